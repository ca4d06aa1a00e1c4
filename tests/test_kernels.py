"""Every kernel of every task against a reference that can be read: loops, and NumPy's plainest functions."""

import sys
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import product
from math import inf

import numpy as np
import pytest
import scipy.sparse as sp

import minigraph as mg
from minigraph.kernels import tasks
from minigraph.kernels.numpy.norm import Groups
from minigraph.kernels.registry import Kernel, Saved, Task
from minigraph.kernels.window import Window

TASKS = {name: task for name, task in vars(tasks).items() if isinstance(task, Task)}
WINDOWS = [
    Window((7,), (3,), (2,), ((1, 1),), (1,)),
    Window((6, 5), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    Window((6, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    Window((7, 6), (3, 2), (2, 3), ((1, 0), (1, 1)), (2, 1)),
    Window((6, 8), (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1)),
    Window((4, 3, 5), (2, 3, 2), (1, 1, 2), ((0, 1), (1, 1), (0, 0)), (1, 1, 1)),
]


def meetings(window):
    """(p, i, q): output position p and tap i meet at pixel q."""
    for p, i in product(np.ndindex(*window.out), np.ndindex(*window.kernel)):
        axes = zip(p, i, window.stride, window.dilation, window.padding, strict=True)
        q = tuple(at * s + tap * d - before for at, tap, s, d, (before, _) in axes)
        if all(0 <= at < n for at, n in zip(q, window.size, strict=True)):
            yield p, i, q


def last(rng, *shape):
    """An image with its channels last in memory."""
    return np.moveaxis(rng.standard_normal((shape[0], *shape[2:], shape[1])), -1, 1)


# Each sample of a task: its arguments, and what they should give.


def convolution(slot):
    def samples(rng):
        for window, (groups, C, K) in product(WINDOWS, ((1, 3, 4), (2, 4, 6), (4, 4, 4))):
            x, w = last(rng, 2, C, *window.size), rng.standard_normal((K, C // groups, *window.kernel))
            g = last(rng, 2, K, *window.out)
            found = {"y": np.zeros(g.shape), "x": np.zeros(x.shape), "each w": np.zeros((2, *w.shape))}
            for (p, i, q), k, c in product(meetings(window), range(K), range(C // groups)):
                channel = k // (K // groups) * (C // groups) + c
                for n in range(2):
                    found["y"][n, k, *p] += x[n, channel, *q] * w[k, c, *i]
                    found["x"][n, channel, *q] += g[n, k, *p] * w[k, c, *i]
                    found["each w"][n, k, c, *i] += g[n, k, *p] * x[n, channel, *q]
            found["w"] = found["each w"].sum(0)
            arguments = {"y": (x, w), "x": (g, w), "w": (x, g), "each w": (x, g)}[slot]
            yield (*arguments, window, groups), found[slot]

    return samples


def entries(window, x):
    """(n, c, p, the pixels of the window at p)."""
    for n, c, *p in np.ndindex(*x.shape[:2], *window.out):
        yield n, c, tuple(p), [q for at, _, q in meetings(window) if at == tuple(p)]


def max_pool(rng):
    for window in WINDOWS:
        x = np.moveaxis(rng.integers(0, 9, (2, *window.size, 3)).astype(float), -1, 1)
        y = np.full((2, 3, *window.out), -inf)
        for n, c, p, pixels in entries(window, x):
            y[n, c, *p] = max((x[n, c, *q] for q in pixels), default=-inf)
        yield (x, window), y


def max_pool_gradient(rng):
    for (x, window), y in max_pool(rng):
        g, found = last(rng, *y.shape), np.zeros(x.shape)
        for n, c, p, pixels in entries(window, x):
            winner = next((q for q in pixels if x[n, c, *q] == y[n, c, *p]), None)  # the first of equals
            if winner is not None:
                found[n, c, *winner] += g[n, c, *p]
        yield (g, x, y, window, None), found


def avg_pool(rng):
    for window in WINDOWS:
        x, divisors = last(rng, 2, 3, *window.size), rng.integers(1, 9, window.out).astype(float)
        y = np.zeros((2, 3, *window.out))
        for p, _, q in meetings(window):
            y[:, :, *p] += x[:, :, *q] / divisors[p]
        yield (x, window, divisors), y


def avg_pool_gradient(rng):
    for window in [*WINDOWS, Window((4, 5), (4, 5), (1, 1), ((0, 0),) * 2, (1, 1))]:
        g, divisors = last(rng, 2, 3, *window.out), rng.integers(1, 9, window.out).astype(float)
        x = np.zeros((2, 3, *window.size))
        for p, _, q in meetings(window):
            x[:, :, *q] += g[:, :, *p] / divisors[p]
        yield (g, window, divisors), x


def normalizations(rng):
    """(x, w, b, groups, statistics) of batch, instance, group and layer normalisation."""
    x, shape = last(rng, 3, 4, 5, 6) + 3, (3, 4, 5, 6)
    w, b, mean, var = rng.standard_normal(4), rng.standard_normal(4), rng.standard_normal(4), rng.random(4)
    channel = (1, 4, 1, 1)
    yield last(rng, 3, 8, 5, 6)[:, :4], w, b, Groups(shape, (0, 2, 3), channel), None  # others' channels in between
    for some in ((w, b), (None, None)):
        yield x, *some, Groups(shape, (0, 2, 3), channel), None
        yield x, *some, Groups(shape, (0, 2, 3), channel), (mean, var)
        yield np.ascontiguousarray(x), *some, Groups(shape, (2, 3), channel), None
        yield x, *some, Groups((3, 2, 2, 5, 6), (2, 3, 4), (1, 2, 2, 1, 1)), None
    yield x, rng.standard_normal((5, 6)), rng.standard_normal((5, 6)), Groups(shape, (2, 3), (1, 1, 5, 6)), None


def normalized(x, w, b, groups, eps, statistics):
    x = x.reshape(groups.view)
    if statistics is None:
        mean, var = x.mean(groups.axes, keepdims=True), x.var(groups.axes, keepdims=True)
    else:
        mean, var = (s.reshape(groups.affine) for s in statistics)
    x_hat = (x - mean) / np.sqrt(var + eps)
    return x_hat if w is None else x_hat * w.reshape(groups.affine) + b.reshape(groups.affine)


def normalize(rng):
    for x, w, b, groups, statistics in normalizations(rng):
        arguments = x, w, b, groups, 1e-3, statistics
        yield arguments, normalized(*arguments).reshape(x.shape)


def normalize_gradient(rng):
    """By complex steps along random directions."""
    for x, w, b, groups, statistics in normalizations(rng):
        g = last(rng, x.shape[0], 2 * x.shape[1], *x.shape[2:])[:, : x.shape[1]]
        (_, moments), found = tasks.normalize(x, w, b, groups, 1e-3, statistics), []
        for given in (x, w, b):
            found.append(None if given is None else np.zeros(given.shape))
            for at in np.ndindex(*np.shape(given)) if given is not None else ():
                moved = [a if a is not given else a.astype(complex) for a in (x, w, b)]
                moved[[a is given for a in (x, w, b)].index(True)][at] += 1e-30j
                if given is x:  # NumPy's variance is of magnitudes
                    moved = [moved[0], w, b]
                y = analytic(*moved, groups, 1e-3, statistics)
                found[-1][at] = np.sum(g * y.imag.reshape(x.shape)) / 1e-30
        yield (g, x, w, groups, moments, statistics is not None, (True, True, True)[: 1 if w is None else 3]), found


def analytic(x, w, b, groups, eps, statistics):
    x = x.reshape(groups.view)
    if statistics is None:
        mean = x.mean(groups.axes, keepdims=True)
        var = ((x - mean) ** 2).mean(groups.axes, keepdims=True)
    else:
        mean, var = (s.reshape(groups.affine) for s in statistics)
    x_hat = (x - mean) / np.sqrt(var + eps)
    return x_hat if w is None else x_hat * w.reshape(groups.affine) + b.reshape(groups.affine)


def band(C, before, after):
    return Window((C,), (before + 1 + after,), (1,), ((before, after),), (1,))


def local_response_norm(rng):
    for C, before, after in ((5, 1, 1), (4, 2, 1), (3, 3, 3), (32, 2, 2)):
        x, size = last(rng, 2, C, 3, 2), before + after + 1
        y = np.empty(x.shape)
        for c in range(C):
            near = x[:, max(c - before, 0) : c + after + 1]
            y[:, c] = x[:, c] * (1.5 + 0.8 / size * (near**2).sum(1)) ** -0.75
        yield (x, band(C, before, after), size, 0.8, 0.75, 1.5), y


def local_response_norm_gradient(rng):
    for (x, window, size, alpha, beta, k), y in local_response_norm(rng):
        (before, after), g, found = window.padding[0], last(rng, *x.shape), np.zeros(x.shape)
        for d in range(x.shape[1]):
            z = x.astype(complex)
            z[:, d] += 1e-30j
            for c in range(x.shape[1]):
                near = z[:, max(c - before, 0) : c + after + 1]
                moved = z[:, c] * (k + alpha / size * (near**2).sum(1)) ** -beta
                found[:, d] += g[:, c] * moved.imag / 1e-30
        yield (g, x, y, window, size, alpha, beta, k, None), found


def contract(rng):
    a, b, c = rng.standard_normal((3, 4)), rng.standard_normal((4, 5)), rng.standard_normal((2, 5, 3))
    for subscripts, factors in (
        ("ij,jk->ik", (a, b)),
        ("ij,jk,lki->l", (a, b, c)),
        ("ij->j", (a,)),
        ("ij,kl->lkji", (a, b)),
    ):
        yield (subscripts, *factors), np.einsum(subscripts, *factors)


def matmul(rng):
    for left, right in (((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 300, 70), (2, 70, 400)), ((40, 500), (500, 3000))):
        a, b = rng.standard_normal(left), rng.standard_normal(right)
        yield (a, b), np.einsum("...ij,...jk->...ik", a, b)


def map_entries(rng):
    for shape in ((3,), (4, 5), (300, 40, 50)):
        a, b = rng.standard_normal(shape), rng.standard_normal(shape)
        yield (np.hypot, a, b), np.sqrt(a * a + b * b)


def total(rng):
    x = rng.standard_normal((3, 4, 5))
    for axis in (None, 0, (0, 2), -1):
        yield (x, axis), np.add.reduce(np.moveaxis(x, 0, 0), axis=axis)


def mean(rng):
    for (x, axis), y in total(rng):
        yield (x, axis), y * (y.size / x.size)


def cumulative(rng):
    for shape, axis in (((5,), 0), ((3, 400), 1), ((3, 4, 5), 1)):
        x = rng.standard_normal(shape)
        yield (x, axis), np.add.accumulate(x, axis)


def sparse_matmul(rng):
    A = rng.standard_normal((6, 5)) * (rng.random((6, 5)) > 0.5)
    for shape in ((5,), (5, 3)):
        x = rng.standard_normal(shape)
        yield (sp.csr_array(A), x), A @ x


def add_to_channels(rng):
    for y in (last(rng, 2, 3, 4, 5), rng.standard_normal((2, 3, 4))):
        b = rng.standard_normal(3)
        yield (y.copy("K"), b), y + b.reshape(-1, *[1] * (y.ndim - 2))


def channel_totals(rng):
    for g in (last(rng, 2, 3, 4, 5), rng.standard_normal((2, 3, 4))):
        yield (g,), [g[:, c].sum() for c in range(3)]


def update(rng):
    def rule(p, g, v, rate):
        v *= 0.9
        v += g
        return p - rate * v

    for shape in ((3, 40, 5), ()):
        old, g, v = rng.standard_normal((3, *shape))
        yield (rule, np.empty_like(old), np.asarray(old), np.asarray(g), (np.array(v),), 0.1), old - 0.1 * (0.9 * v + g)


SAMPLES = {
    "conv_forward": convolution("y"), "conv_input_gradient": convolution("x"), "conv_filter_gradient": convolution("w"),
    "conv_filter_gradients": convolution("each w"),
} | {name: globals()[name] for name in TASKS if name in globals()}  # fmt: skip


@cache
def samples(task):
    """All samples of a task; what they should give takes long."""
    return list(SAMPLES[task](np.random.default_rng(0)))


SAVED = ("max_pool_gradient", "local_response_norm_gradient")


def single(v):
    """Arguments with float32 in place of float64, in the same layout."""
    if isinstance(v, np.ndarray) and v.dtype == np.float64:
        return v.astype(np.float32, order="K")
    return tuple(map(single, v)) if type(v) is tuple else v.astype(np.float32) if sp.issparse(v) else v


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("task", "kernel"), [(task, name) for task, t in TASKS.items() for name in t.kernels])
def test_kernels_agree_with_the_reference(task, kernel, dtype):
    """Every kernel, on every sample that it supports; and at least one sample that it does."""
    task, count = TASKS[task], 0
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == np.float64 else {"rtol": 2e-4, "atol": 2e-5}
    for arguments, wanted in samples(task.name):
        arguments = single(arguments) if dtype == np.float32 else deepcopy(arguments)
        if task.name in SAVED and kernel != "numpy":  # the gradient reads what the same library has saved
            forward = TASKS[task.name.removesuffix("_gradient")]
            given = arguments[1], *arguments[3:-1]
            if not forward.kernels[kernel].supports(forward.problem(*given)):
                continue
            arguments = *arguments[:-1], forward.kernels[kernel].run(*given)[1]
        elif not task.kernels[kernel].supports(task.problem(*arguments)):
            continue
        before = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        found = task.kernels[kernel].run(*arguments)
        found = arguments[1] if task.name == "update" else found[0] if type(found) is tuple else found
        several = found if isinstance(found, list) else [found]
        for got, expected in zip(several, wanted if isinstance(found, list) else [wanted], strict=True):
            if expected is not None:
                np.testing.assert_allclose(got, expected, **tolerance)
        written = {"update": (1,), "add_to_channels": (0,)}.get(task.name, ())
        for i, (a, b) in enumerate(zip(arguments, before, strict=True)):
            if isinstance(a, np.ndarray) and i not in written:
                np.testing.assert_array_equal(a, b)
        count += 1
    assert count or (kernel == "onednn" and dtype == np.float64)


@pytest.fixture
def own_kernels(monkeypatch):
    """The tasks' kernels as they were, after the test."""
    for task in TASKS.values():
        monkeypatch.setattr(task, "kernels", dict(task.kernels))
        monkeypatch.setattr(task, "_only", task._only)
        monkeypatch.setattr(task, "_ranked", {})
        monkeypatch.setattr(task, "_chosen", {})


def test_a_further_kernel_needs_no_rule(own_kernels):
    """It is taken where it supports the problem and is cheaper; else another computes it, without a word."""
    calls = []

    def forward(x, window):
        calls.append("forward")
        return default(x, window)[0], Saved("mine", "workspace")

    def gradient(g, x, y, window, saved):
        calls.append(saved.value)
        return backward(g, x, y, window, None)

    default, backward = (task.kernels["numpy"].run for task in (tasks.max_pool, tasks.max_pool_gradient))
    narrow = {"supports": lambda problem: problem[1].kernel == (2, 2), "cost": lambda problem: 1e-9}
    tasks.max_pool.register("mine", forward, **narrow)
    tasks.max_pool_gradient.register("mine", gradient)  # for what the other has saved
    x = mg.parameter(np.random.default_rng(0).standard_normal((2, 3, 6, 6)))
    for size, wanted in ((3, []), (2, ["forward", "workspace"])):
        y = mg.max_pool2d(x, size)
        assert (y.saved is None) == (size == 3)
        (g,) = mg.Tape.of(y).pull(np.ones(y.shape), [x], retain_graph=False)
        assert y.saved is None and calls == wanted  # the walk let go of it
        np.testing.assert_allclose(mg.grad(lambda x, size=size: np.sum(mg.max_pool2d(x, size)))(x.value), g)
        calls.clear()


@pytest.mark.parametrize("name", TASKS)
def test_a_kernel_that_supports_nothing_changes_nothing(name, own_kernels):
    """Problems of every task can be hashed, and hold no array."""
    task = TASKS[name]
    task.register("mine", None, supports=lambda problem: False, cost=lambda problem: 0.0)
    for arguments, _ in SAMPLES[name](np.random.default_rng(0)):
        held = [sys.getrefcount(a) for a in arguments]
        task(*arguments)
        assert [sys.getrefcount(a) for a in arguments if isinstance(a, np.ndarray)] == [
            n for n, a in zip(held, arguments, strict=True) if isinstance(a, np.ndarray)
        ]


def test_the_choice(own_kernels):
    """By cost among those that support the problem; safe ones only; strict, strict ones only; by name any."""
    task = Task("task", lambda x: x.shape)
    for name, facts in {
        "dear": {"cost": lambda problem: 2.0},
        "cheap": {"cost": lambda problem: 1.0, "tiles": 4},
        "cheaper": {"cost": lambda problem: 0.5, "supports": lambda problem: problem == (2,)},
        "cheapest": {"cost": lambda problem: 0.1, "safe": lambda problem, x: x[0] > 0},
        "by name": {},
    }.items():
        task.register(name, lambda x, name=name: name, **facts)
    assert task(np.ones(3)) == "cheapest" and task(np.zeros(3)) == "cheap" and task(np.zeros(2)) == "cheaper"
    assert task(np.ones(3), algorithm="by name") == "by name"
    try:
        mg.precision("strict")
        assert task(np.zeros(3)) == "dear"
    finally:
        mg.precision("fast")
    task.register("newest", lambda x: "newest", cost=lambda problem: 0.0)
    assert task(np.ones(3)) == "newest"
    assert isinstance(replace(task.kernels["dear"], limits="some"), Kernel)
