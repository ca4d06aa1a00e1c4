"""Pooling: the lectures' matrix, loops as reference, ties, NaN and padding, the messages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigraph as mg
import minigraph.ops.pool as pool
from minigraph.node import ShapeError, Spec

MAX = {1: pool.max_pool1d, 2: pool.max_pool2d, 3: pool.max_pool3d}
AVG = {1: pool.avg_pool1d, 2: pool.avg_pool2d, 3: pool.avg_pool3d}


def windows(n, f, s, before, after, a, ceil_mode):
    """The pixels (padding included, image at 0 … n−1) of every window along one axis, by walking."""
    found, start = [], -before
    while start + a * (f - 1) < n + after or (ceil_mode and start < n and start - s + a * (f - 1) < n + after - 1):
        found.append([start + a * i for i in range(f)])
        start += s
    return found


def naive(x, f, s, padding, dilation, ceil_mode, of):
    """``of(entries on the image, pixels up to the end of the padding)`` for every window, by loops."""
    pairs = zip(padding[::2], padding[1::2], strict=True)
    axes = [
        windows(n, *rest, ceil_mode)
        for n, *rest in (
            (n, f_, s_, b, e, a) for n, f_, s_, (b, e), a in zip(x.shape[2:], f, s, pairs, dilation, strict=True)
        )
    ]
    y = np.empty((*x.shape[:2], *map(len, axes)))
    for n, c, *p in np.ndindex(y.shape):
        chosen = [axis[at] for axis, at in zip(axes, p, strict=True)]
        inside = [[q for q in row if 0 <= q < size] for row, size in zip(chosen, x.shape[2:], strict=True)]
        reach = [
            sum(q < size + e for q in row) for row, size, e in zip(chosen, x.shape[2:], padding[1::2], strict=True)
        ]
        y[n, c, *p] = of(x[n, c][np.ix_(*inside)], int(np.prod(reach)))
    return y


@st.composite
def geometries(draw):
    d = draw(st.integers(1, 3))

    def numbers(lo, hi):
        return tuple(draw(st.integers(lo, hi)) for _ in range(d))

    f, s = numbers(1, 3), numbers(1, 3)
    padding = tuple(draw(st.integers(0, k // 2)) for k in f for _ in (0, 1))
    least = [max(1, k - b - e) for k, b, e in zip(f, padding[::2], padding[1::2], strict=True)]
    size = tuple(draw(st.integers(n, n + 4)) for n in least)
    shape = draw(st.integers(0, 2)), draw(st.integers(1, 2)), *size
    return shape, f, s, padding, draw(st.booleans()), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(geometries(), st.booleans())
def test_pools_are_loops_and_their_matrices(geometry, include):
    shape, f, s, padding, ceil_mode, rng = geometry
    d, x = len(f), rng.integers(-3, 4, shape).astype(float)  # with ties
    kw = {"stride": s, "padding": padding, "ceil_mode": ceil_mode}
    largest = naive(x, f, s, padding, (1,) * d, ceil_mode, lambda entries, reach: entries.max())
    average = naive(x, f, s, padding, (1,) * d, ceil_mode, lambda e, reach: e.sum() / (reach if include else e.size))
    node = mg.constant(x)
    calls = (MAX[d](node, f, **kw), largest), (AVG[d](node, f, **kw, count_include_pad=include), average)
    for y, expect in calls:
        assert y.shape == expect.shape
        np.testing.assert_allclose(y.value, expect, rtol=1e-13, atol=1e-13)
        J = mg.Tape.of(y).jacobian(node)
        A, g = J.tosparse(), rng.standard_normal(y.shape)
        np.testing.assert_allclose(A @ x.ravel(), expect.ravel(), atol=1e-13)
        np.testing.assert_allclose(J.push(x), expect, atol=1e-13)
        np.testing.assert_allclose(A.T @ g.ravel(), np.ravel(J.pull(g)), atol=1e-13)
        stored = np.diff(A.indptr).max(initial=0), np.bincount(A.indices, minlength=1).max()
        assert not len(x) or y.op.jacobians(y, node)[0].bounds == (A.nnz, *stored)
        assert not len(x) or y.op.name.startswith("avg") or (np.diff(A.indptr) == 1).all()


def test_the_lectures_matrix():
    """§4: A is 4×16, ones at columns 6, 8, 9, 16 (from 1)."""
    x = np.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])
    A = pool.pool_matrix(x[None], 2)
    assert A.shape == (4, 16) and (A.indices + 1).tolist() == [6, 8, 9, 16] and set(A.data) == {1}
    B = pool.pool_matrix(x[None], 2, kind="avg")
    assert B.nnz == 16 and set(B.data) == {0.25}
    np.testing.assert_allclose(B @ x.ravel(), [3.25, 5.25, 2, 2])


def test_first_wins_a_tie_and_padding_never():
    node = mg.constant(np.full((1, 1, 4, 4), -7.0))
    y = pool.max_pool2d(node, 3, stride=2, padding=1)
    np.testing.assert_array_equal(y.value, np.full((1, 1, 2, 2), -7))
    won = mg.Tape.of(y).pull(np.array([[[[1.0, 2], [3, 4]]]]), [node])[0][0, 0]
    np.testing.assert_array_equal(won, [[1, 2, 0, 0], [3, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    infinite = mg.constant(np.full((1, 1, 2, 2), -np.inf))
    won = mg.Tape.of(pool.max_pool2d(infinite, 2)).pull(np.ones((1, 1, 1, 1)), [infinite])[0]
    np.testing.assert_array_equal(won, [[[[1, 0], [0, 0]]]])


def test_nan_wins():
    x = np.array([[[1.0, np.nan, 3, 4]]])
    node = mg.constant(x)
    y = pool.max_pool1d(node, 2)
    np.testing.assert_array_equal(y.value, [[[np.nan, 4]]])
    np.testing.assert_array_equal(mg.Tape.of(y).pull(np.ones((1, 1, 2)), [node])[0], [[[0, 1, 0, 1]]])


@pytest.mark.parametrize(("r", "s"), [(2, 2), (3, 1)])
def test_an_infinite_cotangent_reaches_the_winner_only(r, s):
    node = mg.constant(np.arange(16.0).reshape(1, 1, 4, 4))
    y = pool.max_pool2d(node, r, s)
    (won,) = mg.Tape.of(y).pull(np.full(y.shape, np.inf), [node])
    assert np.isinf(won).sum() == 4 and (won == 0).sum() == 12


def test_a_window_without_a_pixel_takes_nothing():
    node = mg.constant(np.ones((1, 1, 2)))
    y = pool.max_pool1d(node, 2, 1, 1, dilation=3)  # taps at −1 and 2
    assert y.value == -np.inf
    J = mg.Tape.of(y).jacobian(node)
    assert J.tosparse().nnz == 0 and J.pull(np.ones((1, 1, 1))).tolist() == [[[0, 0]]]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: pool.max_pool2d(x, 2, 1, 1, ceil_mode=True),
        lambda x: pool.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        pool.global_avg_pool,
        pool.global_max_pool,
        lambda x: pool.adaptive_avg_pool2d(x, (3, 2)),
        lambda x: pool.adaptive_max_pool2d(x, (3, None)),
    ],
)
def test_second_order_dtype_memory_and_empty_batch(f):
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((2, 2, 3, 5, 4))
    node = mg.constant(x)
    (dx,) = mg.Tape.of((f(node) ** 3).sum()).pull(None, [node], create_graph=True)
    second = mg.Tape.of((dx * v).sum()).pull(None, [node])[0]
    e, y = 1e-6, [mg.constant(x + s * 1e-6 * v) for s in (1, -1)]
    ahead, behind = (mg.Tape.of((f(n) ** 3).sum()).pull(None, [n])[0] for n in y)
    np.testing.assert_allclose(second, (ahead - behind) / (2 * e), atol=1e-7)
    single = mg.constant(x.astype(np.float32))
    assert f(single).dtype == mg.Tape.of(f(single).sum()).pull(None, [single])[0].dtype == np.float32
    np.testing.assert_allclose(f(np.asfortranarray(x)), f(x), atol=1e-15)
    assert f(Spec(x.shape)).shape == f(x).shape and f(x[:0]).shape == (0, *f(x).shape[1:])


X = np.ones((2, 3, 4, 4))


@pytest.mark.parametrize(
    "error, match, call",
    [
        (ShapeError, r"max_pool2d: got x .*; wanted x of 4 axes", lambda: pool.max_pool2d(X[0, 0], 2)),
        (ShapeError, "padding 2, kernel_size 3; wanted padding of at most half", lambda: pool.max_pool2d(X, 3, 1, 2)),
        (ShapeError, "at most half the kernel", lambda: pool.avg_pool2d(X, (2, 1), 1, 1)),
        (ShapeError, "got kernel_size 0", lambda: pool.max_pool2d(X, 0)),
        (ShapeError, "got stride 0", lambda: pool.avg_pool2d(X, 2, 0)),
        (ShapeError, "got dilation 0", lambda: pool.max_pool2d(X, 2, dilation=0)),
        (ShapeError, r"no larger than the padded image \(4, 4\)", lambda: pool.max_pool2d(X, 5)),
        (TypeError, "got kernel_size 2.0", lambda: pool.avg_pool2d(X, 2.0)),
        (TypeError, "float32 or float64", lambda: pool.max_pool2d(X.astype(int), 2)),
        (ShapeError, "at least one position", lambda: pool.global_avg_pool(X[0, 0])),
        (ValueError, "wanted 'max' or 'avg'", lambda: pool.pool_matrix(X, 2, kind="sum")),
    ],
)
def test_messages(error, match, call):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: mg.avg_pool2d(x, 512),
        lambda x: mg.avg_pool2d(x, 100, 50),
        lambda x: mg.avg_pool2d(x, (512, 2), 1),
        lambda x: mg.adaptive_avg_pool2d(x, 3),
        lambda x: mg.adaptive_avg_pool2d(x, 1),
        mg.global_avg_pool,
    ],
)
def test_averages_of_many_entries_keep_their_digits(pool):
    """In float32, forward and in all three verbs of the map, where a sum one after another would lose some."""
    rng = np.random.default_rng(0)
    x = rng.random((1, 2, 512, 512), np.float32) + 1
    y = pool(mg.constant(x))
    (J,) = mg.Tape.of(y).local(y)
    (exact,) = mg.Tape.of(pool(mg.constant(x.astype(float)))).local(pool(mg.constant(x.astype(float))))
    A, g = exact.tosparse() if exact.nnz < 10**7 else None, rng.random(y.shape, np.float32) + 1
    wanted = np.asarray(exact.push(x.astype(float)) if A is None else A @ x.astype(float).ravel()).ravel()
    assert (abs(np.ravel(y.value) / wanted - 1) < 5e-7).all() and (abs(np.ravel(J.push(x)) / wanted - 1) < 5e-7).all()
    back = np.ravel(exact.pull(g.astype(float)) if A is None else A.T @ g.astype(float).ravel())
    np.testing.assert_allclose(np.ravel(J.pull(g)), back, rtol=5e-7)
