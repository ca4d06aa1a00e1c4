"""profile: every node once, with sums that add up; what is pulled is what the tape pulls; nothing is disturbed."""

import importlib
import json
import sys

import numpy as np
import pytest

import minigraph as mg
from minigraph import nn
from minigraph.inspect import profile as profile_module
from minigraph.inspect.profile import Profile, Row

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape, np.float32)


def by_kind(y, **options):
    """The rows by their ops, each of which must be there once."""
    rows = mg.profile(y, 1, **options).rows
    found = {row.node.kind: row for row in rows}
    assert len(found) == len(rows)
    return found


def test_the_name_is_the_function_and_hides_nobody():
    module = importlib.import_module("minigraph.inspect.profile")
    assert mg.profile is module.profile and callable(mg.profile)
    assert importlib.import_module("profile") is not module
    assert sys.modules["profile"].run and importlib.import_module("cProfile").run


@pytest.mark.parametrize("progress", [False, True])
def test_every_node_once_and_totals(progress):
    x, w, V = mg.constant(draw(2, 3, 8, 8), "x"), mg.parameter(draw(4, 3, 3, 3), "w"), mg.parameter(draw(5, 36))
    h = mg.max_pool2d(mg.relu(mg.conv2d(x, w).named("conv")), 2)
    loss = mg.cross_entropy(mg.linear(mg.flatten(h), V), [0, 4])
    report = mg.profile(loss, 2, progress=progress)
    assert [row.node for row in report.rows] == [node for node in mg.Tape.of(loss).nodes if node.op]
    assert all(row.backward is not None for row in report.rows)
    for name in ("forward", "backward", "seconds", "traffic", "multiply_adds"):
        assert getattr(report, name) == sum(getattr(row, name) for row in report.rows)
    assert report.seconds == pytest.approx(report.forward + report.backward)

    data = json.loads(report.to_json())
    assert data["rows"][0] | {"forward": 0, "backward": 0} == {
        "node": "conv", "op": "conv2d", "shape": [2, 4, 6, 6], "forward": 0, "backward": 0,
        "traffic": 4 * (2 * 3 * 64 + 4 * 27 + 2 * 4 * 36), "multiply_adds": 2 * 4 * 36 * 27,
    }  # fmt: skip
    assert data["totals"]["multiply_adds"] == 2 * 4 * 36 * 27 + 2 * 5 * 36
    assert [row["forward"] for row in data["rows"]] == [row.forward for row in report.rows]


def test_table():
    x = mg.parameter(np.ones((500, 1000)), "x")
    y = mg.ops.sin(x).named("y")
    z = (y * 2).sum()
    sine, product, total = (row.node for row in mg.profile(z).rows)
    rows = (
        Row(sine, 0.002, 0.001, 8_000_000, 0),
        Row(product, 0.001, None, 0, 10**6),
        Row(total, 0.0, 0.006, 4_000, 0),
    )
    head, *lines, last = [line.split() for line in str(Profile(rows)).splitlines()]
    assert " ".join(head).startswith("node op shape forward, ms backward, ms share traffic, MB GB/s GFLOP/s")
    assert lines[0][-4:] == ["0.000", "6.000", "60.0%", "0.004"]  # the slowest first; no rate without a time
    assert lines[0][-5] == "scalar"
    assert lines[1] == ["y", "sin", "500×1000", "2.000", "1.000", "30.0%", "8.000", "4.0"]
    assert lines[2][-4:] == ["1.000", "10.0%", "0.000", "2.0"]  # not computed is not zero
    assert last == ["total", "3.000", "7.000", "100.0%", "8.004", "2.7", "0.7"]
    text = Profile(rows).text(1).splitlines()
    assert len(text) == 4 and text[2].split() == ["2", "more", "3.000", "1.000", "40.0%", "8.000", "2.7", "0.7"]
    assert len(Profile(rows * 9).text().splitlines()) == 23 and len(Profile(rows * 9).text(None).splitlines()) == 29
    assert Profile(rows)._repr_html_().startswith("<pre>") and "3 nodes, 10.000 ms" in repr(Profile(rows))
    assert Profile(rows[1:2]).backward is None and '"backward": null' in Profile(rows[1:2]).to_json()


def test_traffic():
    w = mg.parameter(np.ones((2, 3)), "w")
    rows = by_kind(mg.ops.sum(np.square(mg.ops.reshape(w * w, (3, 2)))))
    assert rows["multiply"].traffic == 2 * 48  # w is read once
    assert rows["reshape"].traffic == 0  # and a view not at all
    assert rows["square"].traffic == 2 * 48 and rows["sum"].traffic == 48 + 8  # a np.float64
    assert by_kind(mg.parameter(2.0) * 3.0)["multiply"].traffic == 24


def test_not_computed_is_not_zero():
    x, w = mg.constant(draw(4), "x"), mg.parameter(draw(4), "w")
    rows = by_kind(mg.ops.where(w > 0, w, 0) + np.sin(x))
    assert None not in (rows["add"].backward, rows["where"].backward)
    assert rows["greater"].backward is rows["sin"].backward is None  # booleans; no parameter behind it
    for y in (np.exp(x) * 2, (w > 0) & (w < 1)):
        report = mg.profile(y, 1)
        assert report.backward is None and all(row.backward is None for row in report.rows)
        assert report.seconds == report.forward


def test_what_is_pulled_is_what_the_tape_pulls(monkeypatch):
    """The cotangents that reach nodes used once, twice and by one op twice; y has several entries."""
    w, v = mg.parameter(draw(3), "w"), mg.parameter(draw(3), "v")
    h = np.sin(w)
    y = h * h + np.exp(h) * mg.constant(draw(3)) - np.tanh(v)
    nodes = [node for node in mg.Tape.of(y).nodes if node.op]
    wanted = mg.Tape.of(y).pull(np.ones(3), nodes)
    seen = {node: [] for node in nodes}

    pull = profile_module._pull

    def spy(node, g, active):
        seen[node].append(np.array(g))
        pull(node, g, active)

    monkeypatch.setattr(profile_module, "_pull", spy)
    mg.profile(y, 2)
    for node, g in zip(nodes, wanted, strict=True):
        assert len(seen[node]) == 3  # one to warm up, two to time
        assert all(np.array_equal(g, other) for other in seen[node])


def test_nothing_is_disturbed():
    x, labels = draw(6, 2, 4, 4), RNG.integers(0, 3, 6)

    net = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(12, 3))
    net.initialize(0)
    last = nn.BatchNorm1d(3)
    loss = mg.cross_entropy(mg.checkpoint(last)(net(x)), labels)
    parameters = [*net.parameters(), *last.parameters()]
    loss.backward(retain_graph=True)
    values = [node.value for node in mg.Tape.of(loss).nodes]
    copies = [np.array(value) for value in values]
    grads = [p.grad for p in parameters]
    state = [np.array(value) for module in (net, last) for value in module.state_dict().values()]
    kept = [np.array(g) for g in grads]
    mg.profile(loss, 2)
    assert all(node.value is value for node, value in zip(mg.Tape.of(loss).nodes, values, strict=True))
    assert all(map(np.array_equal, values, copies))
    assert all(p.grad is g for p, g in zip(parameters, grads, strict=True)) and all(map(np.array_equal, grads, kept))
    now = [value for module in (net, last) for value in module.state_dict().values()]
    assert len(now) == len(state) == 14 and all(map(np.array_equal, now, state))
    for p in parameters:
        p.grad = None
    loss.backward()
    assert all(map(np.array_equal, (p.grad for p in parameters), kept))


def changed():
    w = mg.parameter(1.0, "w")
    y = w * w
    w.value = 2.0
    return y


def freed():
    y = np.sin(mg.parameter(1.0, "w")) * 2
    y.backward()
    return y


@pytest.mark.parametrize(
    ("y", "repeats", "error", "message"),
    [
        (lambda: mg.parameter(1.0) * 2, 0, ValueError, "profile: got repeats 0; wanted at least 1"),
        (lambda: np.ones(3), 5, TypeError, "got ndarray; wanted a Node"),
        (lambda: mg.parameter(1.0, "w"), 5, mg.GraphError, "profile: got parameter 'w'; wanted a node that an op"),
        (lambda: np.sin(mg.constant(mg.Spec((2,)))), 5, mg.GraphError, "profile: sin .* was built from a Spec"),
        (freed, 5, mg.GraphError, "freed by backward"),
        (changed, 5, mg.GraphError, "parameter 'w' was changed after multiply"),
    ],
)
def test_errors(y, repeats, error, message):
    with pytest.raises(error, match=message):
        mg.profile(y(), repeats)
