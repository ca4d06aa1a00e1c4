"""verify: layers that agree are said to agree, layers that do not are named, and parts are called parts."""

import json

import numpy as np
import pytest

import minigraph as mg
from minigraph.inspect.costs import Ways
from minigraph.kernels import tasks
from minigraph.kernels.registry import Kernel
from minigraph.ops.pool import Averages
from minigraph.ops.products import Linear


def network(leaf, N=2):
    """Every kind of layer; ``leaf(make, *shape)`` makes its leaves."""
    x = leaf(mg.constant, N, 2, 12, 11)
    h = mg.conv2d(x, leaf(mg.parameter, 4, 2, 3, 3), leaf(mg.parameter, 4), padding=1)
    h = mg.max_pool2d(mg.relu(h), 3, stride=2, padding=1)
    h = mg.avg_pool2d(mg.conv2d(h, leaf(mg.parameter, 4, 2, 2, 2), groups=2, padding="same"), 2, ceil_mode=True)
    h = mg.conv_transpose2d(h, leaf(mg.parameter, 4, 3, 2, 3), leaf(mg.parameter, 3), stride=(3, 2))
    s = mg.linear(np.reshape(h, (N, -1)), leaf(mg.parameter, 5, 168), leaf(mg.parameter, 5))
    return s @ leaf(mg.parameter, 5, 6) + mg.global_avg_pool(h) @ leaf(mg.parameter, 6, 3).T


def arrays(dtype=np.float64):
    rng = np.random.default_rng(0)
    return lambda make, *shape: make(rng.standard_normal(shape).astype(dtype))


def specs(make, *shape):
    return make(mg.Spec(shape, np.float64))


LAYERS = [
    "conv2d", "max_pool2d", "conv2d", "avg_pool2d", "conv_transpose2d", "linear", "matmul", "global_avg_pool", "matmul",
]  # fmt: skip


@pytest.mark.parametrize("small", [{}, {"max_bytes": 80, "max_loops": 40}], ids=["whole", "parts"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layer_of_a_network(dtype, small):
    y = network(arrays(dtype))
    report = mg.verify(y, **small)
    assert report.ok and [row.node.split(" ")[0] for row in report.rows] == LAYERS
    for row in report.rows:
        assert row.tolerance == (1e-4 if dtype == np.float32 else 1e-12) and 0 <= row.difference <= row.tolerance
        names = {n for n in tasks.algorithms() if "winograd" not in n or "(4, 2, 3, 3)" in row.geometry} - {"depthwise"}
        names -= {"onednn"} if dtype == np.float64 else set()
        assert set(row.differences) == {"node", *(names if "conv" in row.node else ())}
    on = [row.checked for row in report.rows]
    if small:
        without = ("direct", "toeplitz", "depthwise", *(["onednn"] if dtype == np.float64 else []))
        fast = ", ".join(["node", *(name for name in tasks.algorithms() if name not in without)])
        assert on[0] == f"N 1 of 2, H 1 of 12, W 1 of 11, K 2 of 4; {fast} on the whole"
        assert on[1] == "N 1 of 2, C 1 of 4" and on[5] == "N 1 of 2, out 1 of 5"
    else:
        assert set(on) == {"whole"}

    data = json.loads(report.to_json())
    assert data["ok"] and [row["checked"] for row in data["rows"]] == on
    text = str(report)
    assert "9 of 9 layers agree" in text and "DIFFERS" not in text and all(row.node in text for row in report.rows)
    assert "<pre>" in report._repr_html_() and "<pre>" in report.costs._repr_html_()


@pytest.mark.parametrize("axes", [1, 3])
def test_other_axes_and_lowered_graphs(axes):
    leaf = arrays()
    conv, pool = (mg.conv1d, mg.max_pool1d) if axes == 1 else (mg.conv3d, mg.max_pool3d)
    y = pool(conv(leaf(mg.constant, 2, 2, *[5] * axes), leaf(mg.parameter, 3, 2, *[2] * axes)), 2)
    assert mg.verify(y).ok and mg.verify(y, max_bytes=1000, max_loops=10).ok
    for to, kind in (("im2col", "matmul"), ("toeplitz", "toeplitz_matmul")):
        for small in ({}, {"max_bytes": 1000}):
            report = mg.verify(mg.lower(y, to), **small)
            assert report.ok and report.rows[0].node.startswith(kind)


@pytest.mark.parametrize("kernel", range(3))
@pytest.mark.parametrize("where", ["everywhere", "in batches", "NaN"])
def test_a_wrong_algorithm_is_named(monkeypatch, kernel, where):
    kernels = [task.kernels["im2col"].run for task in tasks.CONVOLUTIONS]
    right = kernels[kernel]

    def wrong(*args):
        y = right(*args)
        if where != "in batches" or len(args[0]) > 1:
            y[(-1,) * y.ndim] += np.nan if where == "NaN" else 1e-6 * np.abs(y).max()
        return y

    kernels[kernel] = wrong
    for task, run in zip(tasks.CONVOLUTIONS, kernels, strict=True):
        monkeypatch.setitem(task.kernels, "wrong", Kernel("wrong", run, cost=lambda problem: 1e9))
    leaf = arrays()
    x, w = mg.parameter(1e-9 * leaf(np.copy, 2, 3, 6, 6)), leaf(mg.parameter, 3, 3, 3, 3)
    for y in (mg.conv2d(x, w), mg.conv_transpose2d(x, w)):
        for small in ({}, {"max_loops": 30}):  # a part of one sample: fast algorithms are compared on the whole too
            report = mg.verify(y, **small)
            (row,) = report.rows
            assert not report.ok and not row.ok
            assert [name for name, d in row.differences.items() if not d <= row.tolerance] == ["wrong"]
            assert "DIFFERS: wrong" in str(report) and "0 of 1 layers agree" in str(report)
            assert json.loads(report.to_json())["ok"] is False
    assert mg.verify(mg.conv2d(x, w), rtol=1.0).ok == (where != "NaN")


def test_a_wrong_node_is_found(monkeypatch):
    """A backward walk, a kernel, and a recorded value that are not those of the matrix."""
    y = network(arrays())

    def wrong():
        return [row.node.split(" ")[0] for row in mg.verify(y).rows if not row.ok]

    assert not wrong()
    with monkeypatch.context() as patch:
        patch.setattr(Averages, "pull", lambda J, g, right=Averages.pull: 2 * right(J, g))
        assert wrong() == ["avg_pool2d", "global_avg_pool"]
    with monkeypatch.context() as patch:
        patch.setattr(Linear, "forward", lambda op, x, w, b: x @ w.T)
        y = network(arrays())
    assert wrong() == ["linear"]
    assert not mg.verify(y, max_bytes=10).ok
    pooled = mg.max_pool2d(arrays()(mg.parameter, 1, 1, 4, 4), 2)
    pooled._value = pooled.value + 1e-9
    assert not mg.verify(pooled).ok


def test_the_lectures_table():
    """§3: one edge-detecting layer, input 320×280, kernel 2×1, output 319×280."""
    (cost,) = mg.costs(mg.conv2d(mg.Spec((1, 1, 320, 280)), mg.Spec((1, 1, 2, 1))))
    assert cost.stored == Ways(layer=2, dense=319 * 280 * 320 * 280, sparse=178_640)
    assert (cost.operations.layer, cost.operations.sparse) == (267_960, 267_960)
    assert cost.stored.dense > 8e9 and cost.operations.dense > 16e9
    leaf = arrays()
    report = mg.verify(mg.conv2d(leaf(mg.constant, 1, 1, 320, 280), leaf(mg.parameter, 1, 1, 2, 1)))
    assert report.ok and (report.costs[0].stored, report.costs[0].operations) == (cost.stored, cost.operations)
    for number in ("8,003,072,000", "178,640", "267,960"):
        assert number in str(report)


def test_costs_are_those_of_the_matrices():
    y, abstract = network(arrays(), N=1), network(specs, N=3)
    tape, table = mg.Tape.of(y), mg.costs(y)
    for (cost, of_spec), node in zip(zip(table, mg.costs(abstract), strict=True), layers(tape), strict=True):
        assert (cost.stored, cost.operations) == (of_spec.stored, of_spec.operations) or "matmul" in cost.node
        matrix = tape.local(node)[0].tosparse()
        assert (cost.stored.dense, cost.stored.sparse) == (np.prod(matrix.shape), matrix.nnz)
        rows, nnz = matrix.shape[0], matrix.nnz
        assert cost.operations.sparse == 2 * nnz - rows
    ways = {cost.node.split(" ")[0]: (cost.stored.layer, cost.operations.layer) for cost in table}
    assert ways["linear"] == (840, 840 + 835) and ways["matmul"] == (18, 18 + 12)
    assert ways["conv_transpose2d"][0] == 72 and ways["max_pool2d"] == (0, 4 * 6 * 6 * 8)
    assert table[0].operations.layer == 4 * 12 * 11 * (18 + 17)


def layers(tape):
    labels = {cost.node for cost in mg.costs(tape.y)}
    return [node for node in tape.nodes if node.label in labels]


def test_what_cannot_be_verified():
    with pytest.raises(mg.GraphError, match="conv2d #.* was built from a Spec.* or use costs"):
        mg.verify(network(specs))
    x = mg.parameter(np.ones(3))
    with pytest.raises(mg.GraphError, match="wanted a graph with a convolution"):
        mg.verify(x + x)
    assert mg.costs(x + x) == ()
    with pytest.raises(TypeError, match="wanted a Node"):
        mg.verify(x.value)
    y = mg.linear(np.ones(3), mg.parameter(np.ones((2, 3))))
    y.inputs[1].value = np.zeros((2, 3))
    with pytest.raises(mg.GraphError, match="was changed after"):
        mg.verify(y)


def test_every_kind_of_pooling_is_compared():
    x = mg.parameter(np.random.default_rng(0).standard_normal((2, 4, 5, 7)))
    kinds = (
        lambda x: mg.max_pool2d(x, 2),
        lambda x: mg.avg_pool2d(x, 2),
        mg.global_avg_pool,
        mg.global_max_pool,
        lambda x: mg.adaptive_avg_pool2d(x, (2, 3)),
        lambda x: mg.adaptive_max_pool2d(x, (2, 3)),
        lambda x: mg.maxout(x, 2),
    )
    report = mg.verify(sum(f(x).sum() for f in kinds))
    assert report.ok and len(report.rows) == len(kinds)
    for budget in (300, 1000):
        parts = mg.verify(sum(f(x).sum() for f in kinds), max_bytes=budget)
        assert parts.ok and any(row.checked != "whole" for row in parts.rows)
    stored, matrix, entries = zip(*((row.cost.stored) for row in report.rows), strict=True)
    assert set(stored) == {0} and entries[:4] == (24, 96, 140, 4) and matrix[3] == 4 * 140
    operations = [row.cost.operations[0] for row in report.rows]
    assert operations == [24 * 3, 24 * 4, 140, 140 - 4, entries[4], entries[4] - 24, 140 - 70]
