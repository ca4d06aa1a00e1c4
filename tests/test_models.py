"""The published networks: sizes and tables are the papers', parameters are named as published weights are."""

import pickle
import re
import tracemalloc
from math import prod
from pathlib import Path

import numpy as np
import pytest

import minigraph as mg
from minigraph import models
from minigraph.models.alexnet_2012 import AlexNet
from minigraph.models.branches import ConvNormReLU, row
from minigraph.models.inception import BLOCK_8, Residual
from minigraph.models.lenet import TABLE, LeNet5, RadialBasis, squash
from minigraph.models.resnet import Block

PARAMETERS = {  # as torchvision, timm and the papers count; others as the papers' tables give
    "lenet5": 60_000, "alexnet": 62_378_344, "vgg11": 132_863_336, "vgg_a_lrn": 132_863_336, "vgg13": 133_047_848,
    "vgg_c": 133_638_952, "vgg16": 138_357_544, "vgg19": 143_667_240, "googlenet": 6_998_552, "resnet18": 11_689_512,
    "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160, "resnet152": 60_192_808,
    "resnet20": 269_722, "resnet32": 464_154, "resnet44": 658_586, "resnet56": 853_018, "resnet110": 1_727_962,
    "inception_v4": 42_679_816, "inception_resnet_v2": 55_843_464, "squeezenet1_1": 1_235_496, "densenet121": 7_978_856,
    "mobilenet_v1": 4_231_976, "mobilenet_v2": 3_504_872, "mobilenet_v3_large": 5_483_032, "mobilenet_v3_small": 2_542_856,
    "shufflenet_v2_x1_0": 2_278_604, "unet": 31_030_658,
}  # fmt: skip
PROJECTIONS = {"plain18": 173_824, "plain34": 173_824}  # what the shortcuts of ResNet-18 and 34 hold
RNG = np.random.default_rng(0)


def count(module):
    return sum(p.size for p in module.parameters())


def record(model, *shape):
    """The nodes of the model's graph for images of ``shape``, by default the published one."""
    y = model(mg.Spec((2, *(shape or model.image))))
    return mg.Tape.of(y).nodes


def outputs(nodes):
    """Shape (C, H, W) of the last output of each scope, and of those around it."""
    found = {}
    for node in nodes:
        if node.op and len(node.shape) == 4 and not node.name:
            parts = node.scope.split("/")
            for i in range(len(parts)):
                found["/".join(parts[: i + 1])] = node.shape[1:]
    return found


@pytest.mark.parametrize("name", models.names())
def test_model(name):
    """Built and recorded from shapes in little memory; so many parameters; every one of them is used."""
    tracemalloc.start()
    try:
        model = models.build(name)
        nodes = record(model)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert nodes[-1].shape == (2, model.num_classes, *([388, 388] if name == "unet" else [])) and nodes[-1].abstract
    assert {node for node in nodes if isinstance(node, mg.Parameter)} == set(model.parameters())
    wanted = PARAMETERS.get(name) or PARAMETERS[name.replace("plain", "resnet")] - PROJECTIONS.get(name, 0)
    assert count(model) == wanted
    assert f"{wanted:,}" in (getattr(models, name).__doc__ + type(model).__doc__) or name.startswith("plain")
    assert {node.scope.split("/")[0] for node in nodes if node.op} - {""} <= set(vars(model))
    small = models.build(name, num_classes=7, in_channels=2, dtype=np.float64)
    assert {p.dtype for p in small.parameters()} == {np.dtype(np.float64)} and small.image[0] == 2
    scores = small(mg.Spec((3, *small.image), np.float64))
    assert (scores.shape[:2], scores.dtype) == ((3, 7), np.dtype(np.float64))


def test_table_of_the_documentation():
    text = (Path(__file__).parent.parent / "docs" / "models.md").read_text(encoding="utf-8")
    seen = set()
    for line in re.findall(r"^\| `.* \| [\d×]+ \| .*", text, re.MULTILINE):
        called, image, parameters, millions, least = (cell.strip() for cell in line.strip("|").split("|"))
        for name in re.findall(r"`(\w+)`", called):
            model = models.build(name, **{"modern": True} if "modern" in called else {})
            totals = mg.summary(model).totals
            assert "×".join(map(str, model.image)) == image and f"{totals.parameters:,}" == parameters
            assert abs(totals.multiply_adds / 1e6 - float(millions.replace(",", ""))) < 0.6
            assert model.least_side(batch=2) == int(least)
            seen.add(name)
    assert seen == set(models.names())


@pytest.mark.parametrize(
    ("name", "entries", "first", "last", "shapes"),
    [
        ("vgg16", 32, "features.0.weight", "classifier.6.bias",
         {"features.28.weight": (512, 512, 3, 3), "classifier.0.weight": (4096, 25088), "classifier.3.bias": (4096,)}),
        ("resnet18", 122, "conv1.weight", "fc.bias",
         {"bn1.running_mean": (64,), "layer1.1.conv2.weight": (64, 64, 3, 3), "layer2.0.downsample.0.weight": (128, 64, 1, 1),
          "layer4.0.downsample.1.num_batches_tracked": ()}),
        ("resnet50", 320, "conv1.weight", "fc.bias",
         {"layer1.0.downsample.0.weight": (256, 64, 1, 1), "layer4.2.conv3.weight": (2048, 512, 1, 1),
          "layer4.2.bn3.running_var": (2048,), "fc.weight": (1000, 2048)}),
        ("resnet152", 932, "conv1.weight", "fc.bias", {"layer3.35.bn2.weight": (256,)}),
        ("squeezenet1_1", 52, "features.0.weight", "classifier.1.bias",
         {"features.3.squeeze.weight": (16, 64, 1, 1), "features.12.expand3x3.weight": (256, 64, 3, 3)}),
        ("mobilenet_v2", 314, "features.0.0.weight", "classifier.1.bias",
         {"features.1.conv.0.0.weight": (32, 1, 3, 3), "features.17.conv.2.weight": (320, 960, 1, 1), "features.18.1.running_var": (1280,)}),
        ("mobilenet_v3_large", 312, "features.0.0.weight", "classifier.3.bias",
         {"features.4.block.2.fc1.weight": (24, 72, 1, 1), "features.16.0.weight": (960, 160, 1, 1), "classifier.0.weight": (1280, 960)}),
        ("densenet121", 727, "features.conv0.weight", "classifier.bias",
         {"features.denseblock4.denselayer16.conv2.weight": (32, 128, 3, 3), "features.transition3.conv.weight": (512, 1024, 1, 1)}),
        ("shufflenet_v2_x1_0", 338, "conv1.0.weight", "fc.bias",
         {"stage2.0.branch1.0.weight": (24, 1, 3, 3), "stage4.3.branch2.5.weight": (232, 232, 1, 1), "conv5.0.weight": (1024, 464, 1, 1)}),
        ("inception_v4", 896, "features.0.conv.weight", "last_linear.bias",
         {"features.0.bn.running_mean": (32,), "features.3.conv.conv.weight": (96, 64, 3, 3),
          "features.4.branch1.1.conv.weight": (64, 64, 1, 7), "features.6.branch0.conv.weight": (96, 384, 1, 1),
          "features.6.branch3.1.conv.weight": (96, 384, 1, 1), "features.18.branch1.3.bn.bias": (320,),
          "features.21.branch2_3b.conv.weight": (256, 512, 3, 1), "last_linear.weight": (1000, 1536)}),
        ("inception_resnet_v2", 1306, "conv2d_1a.conv.weight", "classif.bias",
         {"mixed_5b.branch1.1.conv.weight": (64, 48, 5, 5), "repeat.9.conv2d.weight": (320, 128, 1, 1),
          "mixed_6a.branch0.bn.weight": (384,), "repeat_1.19.branch1.2.conv.weight": (192, 160, 7, 1),
          "mixed_7a.branch2.2.conv.weight": (320, 288, 3, 3), "repeat_2.8.branch0.conv.weight": (192, 2080, 1, 1),
          "block8.conv2d.bias": (2080,), "conv2d_7b.conv.weight": (1536, 2080, 1, 1), "classif.weight": (1000, 1536)}),
    ],
)  # fmt: skip
def test_names_are_those_of_published_weights(name, entries, first, last, shapes):
    model = models.build(name)
    state = {n: p.shape for n, p in model.named_parameters()} | {n: b.value.shape for n, b in model.named_buffers()}
    parameters = [n for n, _ in model.named_parameters()]
    assert (len(state), parameters[0], parameters[-1]) == (entries, first, last)
    assert shapes.items() <= state.items()


def test_lenet5():
    """The layers' counts of the paper; the partial connections; the output's codes."""
    model = models.lenet5(rng=0)
    assert [count(getattr(model, n)) for n in ("C1", "S2", "C3", "S4", "C5", "F6", "output")] == [
        156, 12, 1516, 32, 48120, 10164, 0,
    ]  # fmt: skip
    assert (
        TABLE.sum() == 60 and TABLE.sum(axis=1).tolist() == [3] * 6 + [4] * 9 + [6] and (TABLE.sum(axis=0) == 10).all()
    )
    shapes = outputs(record(model))
    assert [shapes[n] for n in ("C1", "S2", "C3", "S4", "C5")] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1),
    ]  # fmt: skip
    x = RNG.standard_normal((1, 6, 14, 14)).astype(np.float32)
    y, w = model.C3(x).value, iter(model.C3.weight.value)
    for k, row_ in enumerate(TABLE):
        planes = [mg.conv2d(x[:, c : c + 1], next(w)[None, None]) for c in range(6) if row_[c]]
        np.testing.assert_allclose(y[:, k], sum(planes)[:, 0] + model.C3.bias.value[k], rtol=1e-4, atol=1e-5)
    model.S2.bias.value = np.arange(6, dtype=np.float32)
    sums = x.reshape(1, 6, 7, 2, 7, 2).sum(axis=(3, 5))
    wanted = sums * model.S2.weight.value[:, None, None] + np.arange(6)[:, None, None]
    np.testing.assert_allclose(model.S2(x).value, wanted, rtol=1e-5, atol=1e-6)
    codes = model.output.weight.value
    assert codes.shape == (10, 84) and set(codes.ravel()) == {-1, 1}
    np.testing.assert_array_equal(model.output(codes), -((codes[:, None] - codes) ** 2).sum(-1))
    assert (np.argmax(model.output(codes), axis=1) == np.arange(10)).all()
    assert len(np.unique(RadialBasis(50, np.float32).weight.value, axis=0)) == 50
    np.testing.assert_allclose(squash(np.array([-1.0, 1.0])), [-1, 1], atol=1e-4)
    modern = models.lenet5(modern=True)
    assert count(modern) == 61_706
    kinds = [node.kind for node in record(modern) if node.op]
    assert kinds == [*["conv2d", "max_pool2d", "tanh"] * 2, "reshape", *["linear", "tanh"] * 2, "linear"]


def test_alexnet():
    """The rows of the lectures' table."""
    nodes = record(models.alexnet())
    shapes = outputs(nodes)
    rows = {0: (96, 55, 55), 2: (96, 27, 27), 3: (96, 27, 27), 4: (256, 27, 27), 6: (256, 13, 13), 8: (384, 13, 13),
            10: (384, 13, 13), 12: (256, 13, 13), 14: (256, 6, 6)}  # fmt: skip
    assert {i: shapes[f"features/{i}"] for i in rows} == rows
    assert [n.shape[1] for n in nodes if n.kind == "linear"] == [4096, 4096, 1000]
    weights = dict(models.alexnet().named_parameters())
    assert weights["features.0.weight"].size == 34_848
    model = AlexNet(hidden=8, num_classes=3, rng=0)
    biases = {n: float(p.value[0]) for n, p in model.named_parameters() if n.endswith("bias")}
    assert list(biases.values()) == [0, 1, 0, 1, 1, 1, 1, 0]
    assert abs(model.features[0].weight.value.std() - 0.01) < 2e-4


def test_vgg16():
    """The rows of configuration D: weights without biases, and activations."""
    model = models.vgg16()
    weights = [p.size for n, p in model.named_parameters() if n.endswith("weight")]
    assert weights == [1_728, 36_864, 73_728, 147_456, 294_912, 589_824, 589_824, 1_179_648, *[2_359_296] * 5,
                       102_760_448, 16_777_216, 4_096_000]  # fmt: skip
    nodes = record(model)
    convs = [n.shape[1:] for n in nodes if n.kind == "conv2d"]
    blocks = ((64, 224, 2), (128, 112, 2), (256, 56, 3), (512, 28, 3), (512, 14, 3))
    assert convs == [(K, n, n) for K, n, times in blocks for _ in range(times)]
    assert prod(convs[0]) == 3_211_264 and [n.shape[1:] for n in nodes if n.kind == "max_pool2d"][-1] == (512, 7, 7)
    kinds = {node.kind for node in record(models.vgg_a_lrn()) if node.op}
    assert kinds == {"conv2d", "relu", "local_response_norm", "max_pool2d", "reshape", "linear", "dropout"}
    assert [p.shape[2] for n, p in models.vgg_c().named_parameters() if p.ndim == 4].count(1) == 3
    pooled = [n for n in record(model, 3, 64, 64) if n.kind == "adaptive_avg_pool2d"]  # only where it does something
    assert len(pooled) == 1 and not any(n.kind == "adaptive_avg_pool2d" for n in nodes)


def test_googlenet():
    """Sizes and multiply-adds (millions) of the paper's table.

    Its rows for the first layer (34: as if 7×7 were 7×1 and 1×7) and for 5a (54) do not follow from its own columns.
    """
    nodes = record(models.googlenet())
    shapes, work = outputs(nodes), dict.fromkeys(("conv1", "conv3"), 0)
    for node in nodes:
        if node.kind == "conv2d":
            name = node.scope.split("/")[0].replace("conv2", "conv3")
            work[name] = work.get(name, 0) + node.inputs[1].size * prod(node.shape[2:])
    table = {
        "conv1": ((64, 112, 112), 118), "maxpool1": ((64, 56, 56), None), "conv3": ((192, 56, 56), 360),
        "maxpool2": ((192, 28, 28), None), "inception3a": ((256, 28, 28), 128), "inception3b": ((480, 28, 28), 304),
        "maxpool3": ((480, 14, 14), None), "inception4a": ((512, 14, 14), 73), "inception4b": ((512, 14, 14), 88),
        "inception4c": ((512, 14, 14), 100), "inception4d": ((528, 14, 14), 119), "inception4e": ((832, 14, 14), 170),
        "maxpool4": ((832, 7, 7), None), "inception5a": ((832, 7, 7), 51), "inception5b": ((1024, 7, 7), 71),
    }  # fmt: skip
    assert {name: shapes[name] for name in table} == {name: shape for name, (shape, _) in table.items()}
    for name, (_, millions) in table.items():
        assert millions is None or abs(work[name] / 1e6 - millions) < 1, name
    model = models.googlenet(aux_logits=True)
    assert count(model) == 13_378_280 and model.dropout.p == 0.4
    y = model(mg.Spec((2, 3, 224, 224)))
    assert y._fields == ("logits", "aux_logits2", "aux_logits1") and {s.shape for s in y} == {(2, 1000)}
    assert y.aux_logits2.scope == "aux2/fc2" and y.aux_logits1.scope == "aux1/fc2"
    assert model.eval()(mg.Spec((2, 3, 224, 224))).shape == (2, 1000)


def test_resnet():
    """Sizes of the paper's table 1, depth 6n + 2 for CIFAR, shortcuts A, B and none."""
    for name, factor in (("resnet34", 1), ("resnet152", 4)):
        shapes = outputs(record(models.build(name)))
        assert shapes["conv1"] == (64, 112, 112) and shapes["maxpool"] == (64, 56, 56)
        for i in range(4):
            assert shapes[f"layer{i + 1}"] == ((64 << i) * factor, 56 >> i, 56 >> i)
    for layers in (20, 32, 44, 56, 110):
        for family in ("resnet", "plain"):
            nodes = record(models.build(f"{family}{layers}"))
            assert sum(n.kind in ("conv2d", "linear") for n in nodes) == layers
            assert sum(n.kind == "add" for n in nodes) == (family == "resnet") * (layers - 2) // 2
    shapes = outputs(nodes)
    assert [shapes[f"layer{i}"] for i in (1, 2, 3)] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert count(models.resnet20(shortcut="B")) == 269_722 + 16 * 32 + 32 * 64 + 2 * (32 + 64)
    x = RNG.standard_normal((2, 3, 4, 4)).astype(np.float32)
    block = Block(3, ((5, 3, 2), (5, 3, 1)), "A", np.float32).initialize(0)
    block.bn2.weight.value = np.zeros(5, np.float32)
    wanted = np.zeros((2, 5, 2, 2))
    wanted[:, :3] = np.maximum(x[:, :, ::2, ::2], 0)
    np.testing.assert_array_equal(block(x).value, wanted)


def test_inception():
    """The grids 35×35, 17×17 and 8×8 of the papers' figures; the scaled residual; the language of the tables."""
    shapes = outputs(record(models.inception_v4()))
    assert [shapes[f"features/{i}"] for i in (2, 3, 4, 5, 9, 10, 17, 18, 21)] == [
        (64, 147, 147), (160, 73, 73), (192, 71, 71), (384, 35, 35), (384, 35, 35), (1024, 17, 17), (1024, 17, 17),
        (1536, 8, 8), (1536, 8, 8),
    ]  # fmt: skip
    shapes = outputs(record(models.inception_resnet_v2()))
    assert [shapes[n] for n in ("mixed_5b", "repeat", "mixed_6a", "repeat_1", "mixed_7a", "block8", "conv2d_7b")] == [
        (320, 35, 35), (320, 35, 35), (1088, 17, 17), (1088, 17, 17), (2080, 8, 8), (2080, 8, 8), (1536, 8, 8),
    ]  # fmt: skip
    model = models.inception_resnet_v2()
    assert {block.scale for block in model.modules() if isinstance(block, Residual)} == {0.17, 0.1, 0.2, 1.0}
    assert {m.eps for m in model.modules() if hasattr(m, "running_mean")} == {1e-3}

    def conv(*args):
        return ConvNormReLU(*args, dtype=np.float64)

    x = RNG.standard_normal((2, 4, 3, 3))
    block = Residual(4, conv, BLOCK_8, 0.2, np.float64).initialize(0).eval()
    branches = mg.ops.concatenate([block.branch0(x), block.branch1(x)], 1)
    np.testing.assert_allclose(block(x), np.maximum(x + 0.2 * np.asarray(block.conv2d(branches)), 0))
    block.last = True
    assert np.asarray(block(x)).min() < 0
    with pytest.raises(ValueError, match="got '64 3'; wanted a layer such as"):
        row("64 3", 4, conv)


@pytest.mark.parametrize(
    ("name", "shape", "match"),
    [
        ("lenet5", (1, 28, 28), r"^C5: conv2d: got .*; LeNet5 takes images \(N, 1, H, W\) of at least 32×32"),
        ("lenet5", (1, 64, 64), r"^F6: linear: got .*published for 32×32"),
        ("alexnet", (3, 32, 32), r"^features/6: max_pool2d: got .*; AlexNet takes .* at least 67×67"),
        ("vgg16", (3, 224, 31), r"^features/30: max_pool2d: got .*; VGG takes .* at least 32×32"),
        ("resnet50", (4, 224, 224), r"^conv1: conv2d: got .*wanted x of 3 channels.*; ResNet takes images \(N, 3, H, W\)"),
        ("inception_v4", (3, 70, 299), r"^features/18/branch0/1/conv: .*; InceptionV4 takes .* at least 75×75, .* for 299×299"),
        ("inception_resnet_v2", (3, 74, 74), r"^mixed_7a/branch0/1/conv: .* at least 75×75"),
    ],
)  # fmt: skip
def test_images_that_do_not_fit(name, shape, match):
    with pytest.raises(mg.ShapeError, match=match):
        models.build(name)(mg.Spec((2, *shape)))


def test_images_for_unet():
    """Sides that can be halved four times, with the pixels that unpadded convolutions take away."""
    assert models.unet(padding=1)(mg.Spec((1, 1, 64, 96))).shape == (1, 2, 64, 96)
    for side in range(180, 240):
        out = side - 184
        if out > 0 and side % 16 == 12:
            assert models.unet()(mg.Spec((1, 1, side, side))).shape == (1, 2, out, out)
    with pytest.raises(mg.ShapeError, match="U-Net: .*sides that can be halved four times"):
        models.unet()(mg.Spec((1, 1, 573, 572)))


@pytest.mark.parametrize("name", [*(n for n in models.names() if n != "unet"), "lenet5 modern", "googlenet aux_logits"])
def test_what_is_said_of_images_that_do_not_fit_is_true(name):
    """Sizes that the message names are taken, and those beyond are not; it says what was got."""
    model = models.build(name.split()[0], **dict.fromkeys(name.split()[1:], True))
    C, H, W = model.image

    def takes(batch, height, width):
        try:
            mg.nn.Module.__call__(model, mg.Spec((batch, C, height, width)))
        except mg.ShapeError:
            return False
        return True

    def said(*shape):
        with pytest.raises(mg.ShapeError) as caught:
            model(mg.Spec(shape))
        kind = type(model).__name__
        told = re.search(
            rf"; {kind} takes images \(N, {C}, H, W\)(.*), and was published for {H}×{W}; got (.*)$", str(caught.value)
        )
        assert told and told[2] == str(shape)
        return told[1]

    for shape in ((), (C,), (C, H, W), (2, C, H, W, 1), (2, C + 1, H, W), (H, W, C, 2)):
        assert said(*shape) == ""
    for batch, height, width in (
        (0, H, W),
        (1, H // 7, W // 7),
        (1, 2, 3),
        (2, 0, W),
        (2, H, 1),
        (1, H, 2 * W),
        (2, 9 * H, 9 * W),
    ):
        if takes(batch, height, width):
            continue
        told = said(batch, C, height, width)
        if enough := re.fullmatch(" with N at least (\\d) for this size", told):
            n = int(enough[1])
            assert batch < n and takes(n, height, width) and not takes(n - 1, height, width)
            continue
        sizes = re.fullmatch(r" of at least (\d+)×\1(?: and at most (\d+)×\2)?", told)
        least, most = int(sizes[1]), int(sizes[2] or 9 * H)
        assert not least <= min(height, width) <= max(height, width) <= most
        assert takes(2, least, least) and takes(2, most, least) and takes(2, least, most) and takes(2, most, most)
        assert not takes(2, least - 1, most) and not takes(2, most, least - 1)
        assert not sizes[2] or not (takes(2, most + 1, most) or takes(2, least, most + 1))


@pytest.mark.parametrize("classes", [0, -3, 2.5, True])
@pytest.mark.parametrize("name", ["lenet5", "vgg11", "googlenet", "resnet20", "inception_v4"])
def test_wrong_numbers_of_classes(name, classes):
    with pytest.raises(ValueError, match=f"got num_classes {classes}; wanted a positive integer"):
        models.build(name, num_classes=classes)


def test_wrong_names():
    with pytest.raises(ValueError, match="no model 'vgg61'; did you mean vgg1"):
        models.build("vgg61")
    with pytest.raises(ValueError, match="no model '?'?.*; wanted one of lenet5, alexnet"):
        models.build("?")
    with pytest.raises(ValueError, match="got shortcut 'C'"):
        models.resnet20(shortcut="C")
    assert set(models.names()) < set(models.__all__)


@pytest.mark.parametrize("options", [{}, {"modern": True}], ids=str)
def test_training(options, tmp_path):
    """A few steps make the loss of LeNet-5 smaller; the file it is saved to gives the same scores."""
    model = models.lenet5(rng=0, **options)
    x = RNG.standard_normal((20, 1, 32, 32)).astype(np.float32)
    labels = np.arange(20) % 10
    optimizer = mg.optim.SGD(model.parameters(), lr=2e-2, momentum=0.9)
    losses = []
    for _ in range(12):
        loss = mg.cross_entropy(model(x), labels)
        losses.append(float(loss.value))
        model.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    model.save(tmp_path / "lenet.safetensors")
    other = models.lenet5(**options)
    other.load(tmp_path / "lenet.safetensors")
    np.testing.assert_array_equal(other(x).value, model(x).value)


def test_rng_makes_it_reproducible():
    one, two = models.resnet20(rng=0), models.resnet20().initialize(0)
    for name, value in one.state_dict().items():
        np.testing.assert_array_equal(value, two.state_dict()[name])
    assert isinstance(models.lenet5(), LeNet5)


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "resnet20", "inception_v4"])
def test_models_can_be_copied(name):
    model = models.build(name)
    again = pickle.loads(pickle.dumps(model))
    assert repr(again) == repr(model) and again(mg.Spec((2, *model.image))).shape == (2, model.num_classes)
