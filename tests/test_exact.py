"""mg.exact: fractions through the same rules, held against Python's own arithmetic in fractions."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import minigraph as mg


def fractions(rng, shape, top=9):
    values = [
        Fraction(int(a), int(b))
        for a, b in zip(rng.integers(-top, top, np.prod(shape)), rng.integers(1, 7, np.prod(shape)), strict=True)
    ]
    return np.array([*values, None], object)[:-1].reshape(shape)


def convolve(x, w, b):
    """The definition, in fractions: x (N, C, H, W), w (K, C, f, f), padding 1."""
    N, C, H, W = x.shape
    K, _, f, _ = w.shape
    y = np.empty((N, K, H + 3 - f, W + 3 - f), object)
    for n, k, r, c in np.ndindex(y.shape):
        y[n, k, r, c] = b[k] + sum(
            (x[n, ch, r + i - 1, c + j - 1] * w[k, ch, i, j]
             for ch, i, j in product(range(C), range(f), range(f)) if 0 <= r + i - 1 < H and 0 <= c + j - 1 < W),
            Fraction(0),
        )  # fmt: skip
    return y


def network(rng):
    """x → conv → relu → max pool → average → linear, and l = Σ (y − t)²/n, with leaves in thirds, fifths, …"""
    exact = {"x": fractions(rng, (1, 2, 4, 4)), "w": fractions(rng, (3, 2, 3, 3)), "b": fractions(rng, (3,)),
             "W": fractions(rng, (2, 3)), "c": fractions(rng, (2,)), "t": fractions(rng, (1, 2))}  # fmt: skip
    leaves = {name: mg.parameter(v.astype(float), name) for name, v in exact.items()}
    x, w, b, W, c, t = leaves.values()
    h = mg.relu(mg.conv2d(x, w, b, padding=1)).named("h")
    p = mg.max_pool2d(h, 2).named("p")
    y = mg.linear(mg.global_avg_pool(p), W, c).named("y")
    return np.mean(np.square(y - t)).named("l"), leaves, exact


def by_hand(exact):
    """The loss in Python's fractions."""
    h = np.maximum(convolve(exact["x"], exact["w"], exact["b"]), Fraction(0))
    p = h.reshape(1, 3, 2, 2, 2, 2).max(axis=(3, 5))
    a = p.reshape(1, 3, 4).sum(axis=2) / Fraction(4)
    y = a @ exact["W"].T + exact["c"]
    return h, ((y - exact["t"]) ** 2).sum() / Fraction(2)


def test_values_and_gradients_are_those_of_fractions():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        l, leaves, exact = network(rng)
        walk = mg.exact(l, {leaves[name]: v for name, v in exact.items()})
        h, loss = by_hand(exact)
        assert walk[l] == loss and type(walk[l]) is Fraction
        (node,) = [n for n in mg.Tape.of(l).nodes if n.name == "h"]
        assert (walk[node] == h).all()
        step = Fraction(1, 10**9)  # the loss is a polynomial of order 2 here: central differences are exact
        for name in ("x", "w", "b", "W", "c"):
            gradient = walk.pull(leaves[name])
            index = tuple(int(rng.integers(n)) for n in exact[name].shape)
            losses = []
            for sign in (-1, 1):
                moved = {k: v.copy() for k, v in exact.items()}
                moved[name][index] += sign * step
                losses.append(by_hand(moved)[1])
            assert gradient[index] == (losses[1] - losses[0]) / (2 * step), name
        l.backward(retain_graph=True)
        np.testing.assert_allclose(walk.pull(leaves["w"]).astype(float), leaves["w"].grad, atol=1e-9)


def test_local_jacobians_multiply_to_the_gradient():
    l, leaves, exact = network(np.random.default_rng(7))
    walk = mg.exact(l, {leaves[name]: v for name, v in exact.items()})
    tape, row = mg.Tape.of(l), None
    node = l
    while node is not leaves["x"]:
        J = walk.jacobian(node, 0)
        row = J if row is None else row @ J
        node = node.inputs[0]
    assert (np.ravel(walk.pull(leaves["x"])) == np.ravel(row)).all() and tape.y is l


@pytest.mark.parametrize("f", [
    lambda x: x[:, 1:, ::-1].sum(), lambda x: np.concatenate([x, 2 * x], 1).max(), lambda x: np.abs(x).mean(axis=1).sum(),
    lambda x: mg.avg_pool2d(x[None], 2, stride=1, padding=1, count_include_pad=False).sum(), lambda x: np.sum(np.maximum(x, -x) * x),
    lambda x: np.sum(mg.adaptive_avg_pool2d(x[None], 2)), lambda x: np.sum(np.einsum("abc,acd->abd", x, np.swapaxes(x, 1, 2))),
    lambda x: mg.maxout(x[None], 2).sum(), lambda x: np.sum(mg.conv_transpose2d(x[None], np.ones((2, 1, 2, 2)), stride=2)),
])  # fmt: skip
def test_ops_agree_with_floats(f):
    rng = np.random.default_rng(0)
    values = fractions(rng, (2, 4, 4))
    x = mg.parameter(values.astype(float), "x")
    y = f(x)
    walk = mg.exact(y, {x: values})
    np.testing.assert_allclose(float(walk[y]), y.value, rtol=1e-12)
    np.testing.assert_allclose(walk.pull(x).astype(float), mg.Tape.of(y).pull(None, [x])[0], rtol=1e-12, atol=1e-12)


def test_floats_are_fractions_too():
    x = mg.parameter([0.375, 0.5], "x")
    y = np.sum(x * x)
    assert mg.exact(y)[x][0] == Fraction(3, 8) and mg.exact(y, {x: ["1/3", 2]})[y] == Fraction(37, 9)
    assert (mg.exact(y, {x: ["1/3", 2]}).pull(x) == [Fraction(2, 3), 4]).all()
    assert (mg.exact(x * 2).pull(x, [1, Fraction(1, 2)]) == [2, 1]).all()
    z = mg.parameter(1.0, "z")
    assert mg.exact(np.sum(x) + 0 * z).pull(z) == 0


def test_bad_input():
    x = mg.parameter([0.5, 0.25], "x")
    with pytest.raises(TypeError, match="exact: exp .* is not piecewise a polynomial; wanted ops such as conv2d"):
        mg.exact(np.exp(x).named("e"))
    with pytest.raises(TypeError, match="exact: got int; wanted a Node"):
        mg.exact(3)
    with pytest.raises(TypeError, match="exact: got values for parameter 'x' that are no fractions"):
        mg.exact(np.sum(x), {x: ["a", 1]})
    with pytest.raises(mg.ShapeError, match=r"exact: got fractions of shape \(3,\) for parameter 'x'; wanted \(2,\)"):
        mg.exact(np.sum(x), {x: [1, 2, 3]})
    with pytest.raises(TypeError, match="exact: got values for parameter 'z'; wanted leaves of the graph"):
        mg.exact(np.sum(x), {mg.parameter(1.0, "z"): 1})
    with pytest.raises(TypeError, match="exact: got int as values; wanted a dict of leaves"):
        mg.exact(np.sum(x), 3)
    with pytest.raises(KeyError, match="exact: parameter .* is not in the graph of sum"):
        mg.exact(np.sum(x))[mg.parameter(1.0)]
    with pytest.raises(OverflowError, match=r"exact: .* takes whole numbers beyond 2\^53; wanted smaller"):
        mg.exact(np.sum(x * x * x * x), {x: [Fraction(1, 10007), Fraction(1, 10009)]})
    with pytest.raises(mg.GraphError, match="exact: got no cotangent for"):
        mg.exact(x * 2).pull(x)
    with pytest.raises(mg.GraphError, match="has no value; wanted fractions for it"):
        mg.exact(mg.relu(mg.parameter(mg.Spec((2,), np.float64))))
