"""Filters that see some channels, some positions, or all: each is a convolution where it says so."""

from itertools import product

import numpy as np
import pytest

import minigraph as mg
from minigraph.node import Spec

FUNCTIONS = {
    d: tuple(getattr(mg, f"{name}{d}d") for name in ("conv", "tiled_conv", "locally_connected")) for d in (1, 2, 3)
}
# LeCun et al. 1998, table I: the maps of S2 (rows) that each map of C3 (columns) sees.
S2_C3 = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""
C3 = (np.array([list(row) for row in S2_C3.split()]) == "X").T.astype(int)  # (16, 6)


def pulls(y, g, *nodes):
    return mg.Tape.of(y).pull(g, list(nodes))


def test_the_c3_layer_of_lenet_5():
    """§5: 16 maps over 6, 1,516 parameters; each map is a convolution of the maps that it sees."""
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 6, 14, 14)), rng.standard_normal((C3.sum(), 5, 5)), rng.standard_normal(16)
    W, B = mg.parameter(w), mg.parameter(b)
    y = mg.conv2d(x, mg.connected_filters(W, C3), B)
    assert W.size + B.size == 1516 and y.shape == (2, 16, 10, 10)
    first = 0
    for k, seen in enumerate(C3):
        planes = w[None, first : (first := first + seen.sum())]
        np.testing.assert_allclose(y.value[:, [k]], mg.conv2d(x[:, seen == 1], planes, b[[k]]), rtol=1e-12, atol=1e-12)
    assert W.size + B.size == sum(p.size for p in mg.Tape.of(y).parameters)
    g = rng.standard_normal(y.shape)
    (found,) = pulls(y, g, W)
    bank = mg.parameter(np.asarray(mg.connected_filters(w, C3)))
    np.testing.assert_allclose(found, pulls(mg.conv2d(x, bank, b), g, bank)[0][C3 == 1], rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_between_sharing_all_and_nothing(d):
    """A tile of one bank is convolution; of all positions, locally connected; of equal banks, convolution again."""
    rng = np.random.default_rng(d)
    conv, tiled, local = FUNCTIONS[d]
    for f, stride, padding, dilation in product((1, 2, 3), (1, 2), (0, 1), (1, 2)):
        hyper = {"stride": stride, "padding": padding, "dilation": dilation}
        x, w, b = rng.standard_normal((2, 2, *(6, 5, 6)[:d])), rng.standard_normal((3, 2, *(f,) * d)), np.arange(3.0)
        y = conv(mg.parameter(x), mg.parameter(w), b, **hyper)
        out, g = y.shape[2:], rng.standard_normal(y.shape)
        x_bar, w_bar = pulls(y, g, *y.inputs[:2])
        one, tile = (1,) * d, tuple(min(2 + axis, n) for axis, n in enumerate(out))
        for f, sides in ((tiled, one), (tiled, tile), (tiled, out), (local, out)):
            X, W = mg.parameter(x), mg.parameter(np.broadcast_to(w, (*sides, *w.shape)))
            z = f(X, W, b, **hyper)
            np.testing.assert_allclose(z.value, y.value, rtol=1e-12, atol=1e-12)
            assert z.shape == f(Spec(X.shape, X.dtype), Spec(W.shape, W.dtype), b, **hyper).shape
            c, shared = pulls(z, g, X, W)
            np.testing.assert_allclose(c, x_bar, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(shared.sum(tuple(range(d))), w_bar, rtol=1e-11, atol=1e-11)
        banks, biases = rng.standard_normal((*out, *w.shape)), rng.standard_normal(y.shape[1:])
        np.testing.assert_array_equal(local(x, banks, biases, **hyper), tiled(x, banks, biases, **hyper))
        for p in np.ndindex(*out):  # each position by its own bank
            np.testing.assert_allclose(
                local(x, banks, biases, **hyper)[:, :, *p],
                conv(x, banks[p], **hyper)[:, :, *p] + biases[:, *p],
                rtol=1e-12,
                atol=1e-12,
            )
        cycled = rng.standard_normal((*tile, *w.shape))
        z = tiled(mg.parameter(x), mg.parameter(cycled), **hyper)
        for J in z.op.jacobians(z, *z.inputs):  # predicted exactly
            M = J.tosparse()
            assert J.bounds == (M.nnz, np.diff(M.indptr).max(), np.bincount(M.indices).max())
            assert M.has_sorted_indices and M.has_canonical_format
        z = z.value
        for t in np.ndindex(*tile):  # every t-th position by the convolution with bank t
            every = (..., *(slice(r, None, side) for r, side in zip(t, tile, strict=True)))
            np.testing.assert_allclose(z[every], conv(x, cycled[t], **hyper)[every], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_fully_connected_is_convolution(d):
    """§5: with a kernel the size of the feature map, and 1×1 on flattened ones; values, gradients and matrices."""
    rng = np.random.default_rng(d)
    x, w, b = rng.standard_normal((2, 3, *(4, 3, 2)[:d])), rng.standard_normal((5, 3 * (4, 12, 24)[d - 1])), np.ones(5)
    W, V = mg.parameter(w), mg.parameter(w)
    y = mg.linear(mg.flatten(x), W, b)
    z = FUNCTIONS[d][0](x, mg.linear_to_conv(V, x.shape[1:]), b)
    assert z.shape == (2, 5, *(1,) * d)
    np.testing.assert_allclose(mg.flatten(z).value, y.value, rtol=1e-12)
    np.testing.assert_array_equal(mg.conv_to_linear(mg.linear_to_conv(w, x.shape[1:])), w)
    assert mg.conv_to_linear(Spec((5, 3, *(2,) * d))).shape == (5, 3 * 2**d)
    g = rng.standard_normal(y.shape)
    np.testing.assert_allclose(pulls(y, g, W)[0], pulls(z, g.reshape(z.shape), V)[0], rtol=1e-12)
    J, K = (mg.Tape.of(node).jacobian(p).toarray() for node, p in ((y, W), (z, V)))
    np.testing.assert_allclose(J, K, rtol=1e-12)
    points = FUNCTIONS[d][0](x.reshape(2, -1, *(1,) * d), w.reshape(*w.shape, *(1,) * d), b)  # 1×1
    np.testing.assert_allclose(points.reshape(2, 5), y.value, rtol=1e-12)


@pytest.mark.parametrize("algorithm", ["direct", "im2col", "fft", "toeplitz", "winograd", "winograd2"])
def test_depthwise_and_pointwise(algorithm):
    """groups = C keeps channels apart; 1×1 mixes them at each pixel."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 4, 6, 5)), rng.standard_normal((8, 1, 3, 3))
    y = mg.conv2d(x, w, groups=4, padding=1, algorithm=algorithm)
    for k in range(8):
        np.testing.assert_allclose(y[:, [k]], mg.conv2d(x[:, [k // 2]], w[[k]], padding=1), rtol=1e-10, atol=1e-12)
    if "winograd" not in algorithm:
        w = rng.standard_normal((3, 4))
        mixed = mg.conv2d(x, w[..., None, None], algorithm=algorithm)
        np.testing.assert_allclose(mixed, np.einsum("kc,nchw->nkhw", w, x), rtol=1e-10, atol=1e-12)


X, W = np.ones((2, 2, 4, 4)), np.ones((2, 2, 3, 2, 2, 2))
MISTAKES = [
    (ValueError, r"got a table of shape \(6,\); wanted \(K, C\) of 0 and 1", lambda: mg.connected_filters(W, C3[0])),
    (ValueError, "of 0 and 1", lambda: mg.connected_filters(W, 2 * C3)),
    (ValueError, "at least one 1 in each row", lambda: mg.connected_filters(W, 0 * C3)),
    (mg.ShapeError, r"connected_filters: got w .* wanted w \(60, \*f\)", lambda: mg.connected_filters(W, C3)),
    (mg.ShapeError, r"linear_to_conv: .*wanted w \(out, 32\)", lambda: mg.linear_to_conv(X[0, 0], (2, 4, 4))),
    (mg.ShapeError, r"in_shape \(C, \*n\)", lambda: mg.linear_to_conv(X[0, 0], (4,))),
    (mg.ShapeError, "conv_to_linear: got w .* wanted w of 3, 4 or 5 axes", lambda: mg.conv_to_linear(X[0, 0])),
    (mg.ShapeError, "tiled_conv2d: got w .* wanted w of 6 axes: 2 of the tile", lambda: mg.tiled_conv2d(X, W[0])),
    (mg.ShapeError, "wanted x of 4 axes", lambda: mg.tiled_conv2d(X[0, 0], W)),
    (mg.ShapeError, "wanted x of 2 channels", lambda: mg.tiled_conv2d(X[:, :1], W)),
    (mg.ShapeError, r"no larger than the output \(1, 1\)", lambda: mg.tiled_conv2d(X, W, stride=3)),
    (mg.ShapeError, "at least one bank", lambda: mg.tiled_conv2d(X, W[:0])),
    (mg.ShapeError, r"w \(3, 3, K, C, \*f\), a bank for each", lambda: mg.locally_connected2d(X, W)),
    (mg.ShapeError, r"b of shape \(3,\) or \(3, 3, 3\)", lambda: mg.tiled_conv2d(X, W, np.ones((3, 1, 1)))),
    (TypeError, "wanted dtype float32", lambda: mg.tiled_conv2d(X.astype(int), W)),
    (mg.ShapeError, "tiled_conv2d: got stride 0", lambda: mg.tiled_conv2d(X, W, stride=0)),
]


@pytest.mark.parametrize("error, match, call", MISTAKES, ids=[m[1] for m in MISTAKES])
def test_messages(error, match, call):
    with pytest.raises(error, match=match):
        call()
