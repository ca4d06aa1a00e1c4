"""Every model, in training: its loss and the gradients of all its parameters are PyTorch's for the same weights.

The graph that a model records is computed once more by PyTorch, node by node (replay.py). What the graph is, its
layers and shapes, is held against the papers' tables in tests/test_models.py.
"""

from math import sqrt

import numpy as np
import pytest

import minigraph as mg
from minigraph import models

torch = pytest.importorskip("torch")
from replay import replay  # noqa: E402  needs torch

NORMAL = np.random.default_rng(0).standard_normal(1_000_003)
SIDES = {
    "alexnet": 67,
    "vgg": 32,
    "googlenet": 64,
    "inception": 139,
    "resnet": 33,
    "plain": 33,
    "squeezenet": 33,
    "densenet": 96,
    "mobilenet": 33,
    "shufflenet": 33,
    "unet": 188,
}  # of images, at most


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """PyTorch's threads and NumPy's would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawn(model, plain):
    """The model with random weights, so that rounding stays small on the way through 100 layers.

    Deep networks with batch norm make it 10⁶ times larger or more where ReLUs switch or where a channel hardly varies:
    few switch here, as batch norm's biases are near 3; and where there is no shortcut, convolutions are near I.
    """
    norms = {id(p) for m in model.modules() if hasattr(m, "running_mean") for p in (m.weight, m.bias)}
    for name, p in model.named_parameters():
        scale = sqrt(2 / (p.size / p.shape[0])) if p.ndim > 1 else 0.1
        values = np.resize(np.roll(NORMAL, len(name)), p.shape) * scale
        if id(p) in norms:
            values += 1 if name.endswith("weight") else 3
        elif plain and p.shape[1:] == (len(p), 3, 3):
            values[:, :, 1, 1] += np.eye(len(p))
        p.value = values.astype(p.dtype)
    for module in model.modules():
        if isinstance(module, mg.nn.Dropout):
            module.rng = np.random.default_rng(1)
    return model


def disagreement(loss, stepwise=False):
    """The largest relative difference from PyTorch: of the loss, and of each parameter's gradient, in the 2-norm.

    Stepwise, PyTorch computes each node from our values of its inputs, and every node's value is compared: then
    rounding cannot switch a ReLU or a pool's winner where two numbers nearly tie, which in float32 happens about once
    in a million and moves gradients by 1 %.

    A gradient below 1/100 of the whole is measured by that, for it may be nothing but rounding, like that of a
    constant which the next batch norm takes away.
    """
    tape = mg.Tape.of(loss)
    found = []

    def step(node, tensor):
        value, wanted = np.asarray(node.value), tensor.detach().numpy()
        found.append(np.linalg.norm(value - wanted) / max(np.linalg.norm(wanted), 1e-30))

    theirs, tensors = replay(loss, step if stepwise else None)
    theirs.backward()
    wanted = [tensors[p].grad.numpy() for p in tape.parameters]
    whole = np.linalg.norm([np.linalg.norm(t) for t in wanted])
    found.append(abs(float(loss.value) / theirs.item() - 1))
    for g, t in zip(tape.pull(), wanted, strict=True):
        assert g.dtype == loss.dtype and g.shape == t.shape
        found.append(np.linalg.norm(g - t) / max(np.linalg.norm(t), whole / 100))
    return max(found)


def loss_of(name, dtype, **options):
    if name.startswith(("alexnet", "vgg")) and name != "vgg16":
        options["hidden"] = 256  # 100 million weights take their time
    model = drawn(models.build(name, num_classes=10, dtype=dtype, **options), name.startswith("plain"))
    C, H, _ = model.image
    side = H if "aux_logits" in options else min([H, *[n for family, n in SIDES.items() if name.startswith(family)]])
    rng = np.random.default_rng(2)
    y = model(mg.constant(rng.standard_normal((2, C, side, side)).astype(dtype)))
    outputs = y if isinstance(y, tuple) else (y,)
    labels = rng.integers(10, size=(2, *outputs[0].shape[2:]))
    loss = sum(w * mg.cross_entropy(s, labels) for w, s in zip((1.0, 0.3, 0.3), outputs, strict=False))
    assert {id(p) for p in mg.Tape.of(loss).parameters} == {id(p) for p in model.parameters()}
    return loss


@pytest.mark.parametrize("name", models.names())
def test_float64(name):
    assert disagreement(loss_of(name, np.float64)) <= 1e-9


@pytest.mark.parametrize("name", models.names())
def test_float32(name):
    assert disagreement(loss_of(name, np.float32), stepwise=True) <= 5e-5


@pytest.mark.parametrize(("name", "options"), [
    ("lenet5", {"modern": True}), ("googlenet", {"aux_logits": True}), ("resnet20", {"shortcut": "B"}),
    ("resnet18", {"shortcut": "A"}),
])  # fmt: skip
def test_options(name, options):
    assert disagreement(loss_of(name, np.float64, **options)) <= 1e-9
