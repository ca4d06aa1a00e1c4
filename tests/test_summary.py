"""summary: the slides' tables, row by row; sizes and fields against the arrays and Jacobians themselves."""

import csv
import io
import json
import re
import time
import tracemalloc
from math import prod
from pathlib import Path

import numpy as np
import pytest

import minigraph as mg
from minigraph import models, nn

SLIDES = json.loads((Path(__file__).parent / "data" / "slides.json").read_text(encoding="utf-8"))
WEIGHTED = ("conv2d", "linear")


def rows(report, *kinds):
    """The rows that do one thing, of these kinds."""
    return [row for row in report.rows if row.op.split(" ")[0] in kinds]


# --- the slides ------------------------------------------------------------------------------------


def test_alexnet():
    report, slide = mg.summary(models.alexnet()), SLIDES["alexnet"]
    layers = rows(report, *WEIGHTED, "max_pool2d")
    assert [list(row.output[1:]) for row in layers] == slide["outputs"]
    assert layers[0].weights == 11 * 11 * 3 * 96 and round(layers[0].weights / 1000) == slide["first_weights_K"]
    assert [layers[i].receptive_field for i in (0, 7)] == [(11, 11), (195, 195)] and layers[7].stride == (32, 32)


def test_vgg():
    report, slide = mg.summary(models.vgg16()), SLIDES["vgg16"]
    layers = rows(report, *WEIGHTED)
    assert [row.weights for row in layers] == slide["weights"]
    assert [row.parameters - row.weights for row in layers] == [row.output[1] for row in layers]
    activations = [prod(row.output) for row in rows(report, "input", *WEIGHTED, "max_pool2d")]
    assert round(activations[1] / 1e6, 1) == slide["activations_M"]["first convolution"]
    assert activations[-4] // 1000 == slide["activations_K"]["last pooling"]
    # The slide's totals are not the sums of its rows.
    assert sum(slide["weights"]) == report.totals.weights == 138_344_128 and slide["totals"]["parameters_M"] == 128
    assert sum(activations) == 15_237_608 and slide["totals"]["activations_M"] == 24
    assert report.totals.parameters == 138_357_544 and report.totals.multiply_adds == 15_470_264_320
    assert report["features/30"].receptive_field == (212, 212) and report.rows[-1].receptive_field == (404, 404)


# Where the slide's table, which is the paper's, is not what its widths give: (thousands of 1024, millions).
GOOGLENET = {
    "conv 7x7/2": (9.2, 118), "4a": (367, 74), "4b": (438, 88), "4c": (498, 100), "4d": (590, 119), "4e": (847, 170),
    "3b": (379, 304), "5a": (1018, 51), "5b": (1409, 71),
}  # fmt: skip


def test_googlenet():
    report = mg.summary(models.googlenet(), depth=1)
    found = {"conv 7x7/2": ["conv1"], "conv 3x3/1": ["conv2", "conv3"], "linear": ["fc"]}
    channels = 192
    for name, slide in SLIDES["googlenet"]["rows"].items():
        layers = [report[layer] for layer in found.get(name, [f"inception{name}"])]
        weights, products = (sum(getattr(row, what) for row in layers) for what in ("weights", "multiply_adds"))
        assert list(layers[-1].output[1:]) == slide["output"]
        if "widths" in slide:
            a, b, c, d, e, f = slide["widths"]
            assert weights == channels * (a + b + d + f) + 9 * b * c + 25 * d * e
            assert products == weights * prod(slide["output"][1:])
            channels = slide["output"][0]
        wanted = slide["parameters_K"], slide.get("multiply_adds_M", round(products / 1e6))
        thousands, millions = GOOGLENET.get(name, wanted)
        assert abs(weights / 1024 - thousands) < 0.6 and round(products / 1e6) == millions
        if name not in ("conv 7x7/2", "4c", "5a"):
            assert weights / 1024 == pytest.approx(wanted[0], rel=0.02) and abs(millions - wanted[1]) <= 1


@pytest.mark.parametrize(
    ("layers", "parameters", "multiply_adds", "field"),
    [
        (18, 11_689_512, 1_814_073_344, 435),
        (34, 21_797_672, 3_663_761_408, 899),
        (50, 25_557_032, 4_089_184_256, 427),
        (101, 44_549_160, 7_801_405_440, 971),
        (152, 60_192_808, 11_513_626_624, 1451),
    ],
)
def test_resnet(layers, parameters, multiply_adds, field):
    report = mg.summary(models.build(f"resnet{layers}"), depth=2)
    assert (report.totals.parameters, report.totals.multiply_adds) == (parameters, multiply_adds)
    assert rows(report, "global_avg_pool")[0].receptive_field == (field + 6 * 32,) * 2
    assert report.rows[-3].receptive_field == (field, field) and report.rows[-3].stride == (32, 32)


@pytest.mark.parametrize("name", models.names())
def test_every_model(name):
    tracemalloc.start()
    start = time.perf_counter()
    try:
        model = models.build(name)
        report = mg.summary(model)
        seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seconds < 10 and peak < 100e6  # 2 s on a machine that does nothing else
    assert report.totals.parameters == sum(p.size for p in model.parameters()) and not report.totals.unused
    assert len({row.layer for row in report.rows}) == len(report.rows)


# --- the columns -----------------------------------------------------------------------------------


def net(rng=None):
    return nn.Sequential(
        a=nn.Conv2d(3, 4, 3, padding=1, rng=rng), b=nn.BatchNorm2d(4), c=nn.ReLU(), d=nn.MaxPool2d(2),
        e=nn.Flatten(), f=nn.Dropout(0.5, rng=rng), g=nn.Linear(64, 5, rng=rng),
    )  # fmt: skip


def test_rows_of_a_module():
    report = mg.summary(net(), (2, 3, 8, 8))
    assert [row.layer for row in report.rows] == ["input", *"abcdefg"]
    a, g = report["a"], report["g"]
    assert a.op == "conv2d 3×3, padding 1" and a.output == (2, 4, 8, 8) and a.dtype == "float32"
    assert (a.parameters, a.weights, a.multiply_adds) == (112, 108, 2 * 4 * 64 * 27)
    assert (g.parameters, g.weights, g.multiply_adds) == (325, 320, 2 * 320)
    assert a.forward == a.backward == 2048 and report["input"].backward == 0
    assert (report["d"].receptive_field, report["d"].stride) == ((4, 4), (2, 2))
    assert (report["e"].forward, report["e"].stride) == (512, None)  # a copy: images lie channels last
    with pytest.raises(KeyError, match="nothing"):
        report["nothing"]


def test_folding_keeps_the_sums():
    model = models.resnet20()
    whole = mg.summary(model)
    for depth in (1, 2, 3):
        folded = mg.summary(model, depth=depth)
        assert folded.totals == whole.totals
        assert all(
            row.layer.count("/") < depth + (row.op.split(" ")[0] in ("add", "relu", "pad")) for row in folded.rows
        )
    assert mg.summary(model, depth=1)["layer3"].output == (1, 64, 8, 8)


def test_shared_and_unused_parameters_and_biases():
    class Tied(nn.Module):
        def __init__(self):
            self.layer, self.unread = nn.Linear(4, 4), nn.Linear(4, 7)

        def forward(self, x):
            return self.layer(self.layer(x)) @ self.layer.weight.T + self.layer.bias

    report = mg.summary(Tied(), (2, 4))
    assert [(row.layer, row.parameters, row.weights) for row in report.rows] == [
        ("input", 0, 0), ("layer", 20, 16), ("layer_2", 0, 0), ("matmul", 0, 0), ("add", 0, 0),
    ]  # fmt: skip
    assert (report.totals.parameters, report.totals.unused, report.totals.multiply_adds) == (20, 35, 3 * 32)
    assert "35 more that the output does not depend on" in str(report)

    w, b = mg.parameter(mg.Spec((3, 4)), "w"), mg.parameter(mg.Spec((3,)), "b")
    plain = mg.summary(mg.constant(mg.Spec((2, 4)), "x") @ w.T + b)
    assert [(row.layer, row.parameters, row.weights) for row in plain.rows] == [
        ("x", 0, 0), ("matmul", 12, 12), ("add", 3, 0),
    ]  # fmt: skip
    assert mg.summary(w.T).rows[0].parameters == 12


def test_forward_and_backward_are_the_bytes_of_the_tape():
    model = net(0)
    x = mg.constant(np.random.default_rng(0).standard_normal((2, 3, 8, 8), np.float32), "x")
    y = model(x)
    buffers = {}
    for node in [x, *(node for node in mg.Tape.of(y).nodes if node.op)]:
        array = np.asarray(node.value)
        while isinstance(array.base, np.ndarray):
            array = array.base
        buffers[id(array)] = node, array.nbytes
    report = mg.summary(y)
    assert report.totals.forward == sum(nbytes for _, nbytes in buffers.values())
    y.backward(np.ones_like(y.value), retain_graph=True, retain_grad=True)
    assert report.totals.backward == sum(node.grad.nbytes for node, _ in buffers.values() if node.op)
    assert mg.summary(model, x) == mg.summary(model, mg.Spec(x.shape, name="x")) == report
    assert mg.summary(model, x.value) == mg.summary(model, x.shape) == mg.summary(model, [*x.shape])


def test_memory_at_once():
    w = mg.parameter(mg.Spec((1000,)), "w")
    y = mg.ops.sum(np.tanh(np.exp(np.reshape(w, (10, 100)))))
    totals = mg.summary(y).totals
    assert (totals.parameter_bytes, totals.forward, totals.inference) == (4000, 8004, 8000)
    assert totals.training == 8004 - 2 * 4 + 4 + 2 * 4000  # at tanh: all values but the sum, and two cotangents


def test_a_module_stays_as_it_is():
    model = net(0)
    state = {name: np.copy(value) for name, value in model.state_dict().items()}
    drawn = model.f.rng.bit_generator.state
    assert "dropout" in mg.summary(model, (2, 3, 8, 8))["f"].op
    assert model.f.rng.bit_generator.state == drawn
    assert all(np.array_equal(value, state[name]) for name, value in model.state_dict().items())
    assert "dropout" not in str(mg.summary(model.eval(), (2, 3, 8, 8)))


def chain(x, rng):
    """Every kind of step, on (1, 1, n, m)."""

    def w(*shape):
        return mg.parameter(rng.random(shape) + 1, "w")

    yield mg.conv2d(x, w(1, 1, 3, 2), stride=2, padding=1, dilation=(1, 3))
    h = mg.avg_pool2d(x, 3, stride=2, padding=1)
    yield h
    yield mg.conv2d(np.concatenate([mg.conv2d(h, w(1, 1, 1, 5), padding=(0, 2)), np.tanh(h)], 1), w(1, 2, 3, 1))
    yield mg.conv_transpose2d(h, w(1, 1, 3, 4), stride=2)
    yield np.pad(h[:, :, ::2, ::-3], ((0, 0), (0, 1), (1, 0), (0, 0)))
    yield mg.conv2d(h[..., ::2], w(1, 1, 2, 2), stride=(1, 2))
    yield mg.interpolate(mg.conv2d(h, w(1, 1, 3, 3)), scale_factor=2, mode="bilinear")
    yield mg.locally_connected2d(h, w(8, 8, 1, 1, 3, 3))
    yield mg.adaptive_avg_pool2d(h, (3, 5))


@pytest.mark.parametrize("i", range(9))
def test_receptive_field_is_the_jacobians(i):
    rng = np.random.default_rng(0)
    x = mg.constant(rng.random((1, 1, 20, 20)), "x")
    y = list(chain(x, rng))[i]
    row = mg.summary(y).rows[-1]
    J = mg.Tape.of(y).jacobian(x).toarray().reshape(*y.shape[1:], 20, 20) != 0
    for axis in (0, 1):
        hit = J.any(axis=4 - axis)  # channel, p, q, pixels of the axis
        spread = [np.ptp(np.flatnonzero(line)) + 1 for line in hit.reshape(-1, 20) if line.any()]
        assert max(spread) == min(row.receptive_field[axis], 20)


def test_fields_end_where_the_axes_do():
    x = mg.Spec((1, 2, 9, 7))
    for y in (mg.global_avg_pool(mg.conv2d(x, mg.Spec((2, 2, 3, 3)), padding=1)), mg.flatten(mg.relu(x))):
        row = mg.summary(y).rows[-1]
        assert row.stride is None and row.receptive_field == ((11, 9) if "pool" in row.op else (9, 7))
    assert mg.summary(mg.relu(mg.Spec((3, 4)))).rows[-1].receptive_field is None


# --- what it prints --------------------------------------------------------------------------------


def test_text_json_csv_html():
    report = mg.summary(models.vgg16(), depth=1)
    lines = str(report).splitlines()
    assert lines[0].split() == ["layer", "op", "output", "parameters", "weights", "multiply-adds", "forward", "backward", "field", "stride"]  # fmt: skip
    assert re.search(r"^total +138,357,544 +138,344,128 +15,470,264,320", str(report), re.MULTILINE)
    assert "138M" in report.text(human=True) and "15G" in report.text(human=True)
    data = json.loads(report.to_json())
    assert data["totals"]["weights"] == 138_344_128 and data["rows"][1]["layer"] == "features"
    assert data["rows"][1]["receptive_field"] == [212, 212]
    table = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["layer"] for row in table] == [row.layer for row in report.rows]
    assert table[1]["output"] == "1×512×7×7" and int(table[1]["weights"]) == report.rows[1].weights
    assert report._repr_html_().count("<tr>") == len(report.rows) + 2
    assert repr(report) == f"<Summary of {len(report.rows)} layers, 138,357,544 parameters>"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones(3),), {}, TypeError, "summary: got ndarray; wanted a Node, or a Module and its input"),
        ((nn.Linear(3, 2),), {}, TypeError, "got Linear without an input; wanted a Spec, an array or a shape"),
        ((mg.parameter(1.0, "p"), (1, 3)), {}, TypeError, "got parameter 'p' and an input"),
        (
            (net(), (1, 3, 1, 1)),
            {},
            mg.ShapeError,
            r"an input of shape \(1, 3, 1, 1\) does not go through Sequential: b: batch_norm",
        ),
        ((models.alexnet(), (1, 3, 20, 20)), {}, mg.ShapeError, r"does not go through .*: .* of at least"),
        ((net(), (2, 3, 8, 8)), {"depth": 0}, ValueError, "got depth 0; wanted at least 1"),
    ],
)
def test_errors(arguments, options, error, message):
    with pytest.raises(error, match=message):
        mg.summary(*arguments, **options)
