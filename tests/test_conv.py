"""Convolution: the algorithms against each other, the lectures' figures, the maps' laws, the messages."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

import minigraph as mg
import minigraph.ops.conv as conv
from minigraph.inspect.draw import to_dot
from minigraph.kernels.numpy import winograd
from minigraph.kernels.tasks import ConvProblem, algorithms
from minigraph.node import ShapeError, Spec
from minigraph.ops.conv.slots import Form, Held

EXAMPLES = json.loads((Path(__file__).parent / "data" / "worked_examples.json").read_text())["examples"]
FUNCTIONS = {1: conv.conv1d, 2: conv.conv2d, 3: conv.conv3d}
TRANSPOSES = {1: conv.conv_transpose1d, 2: conv.conv_transpose2d, 3: conv.conv_transpose3d}


def grad(f, *xs, g, wrt):
    """The cotangent of ``xs[wrt]`` by the tape."""
    nodes = [mg.constant(x) for x in xs]
    return mg.Tape.of(f(*nodes)).pull(g, [nodes[wrt]])[0]


# --- the lectures' numbers ---------------------------------------------------------------------------

EXAMPLE_OPS = {
    "conv1d": conv.conv1d,
    "conv2d": conv.conv2d,
    "conv_transpose2d": conv.conv_transpose2d,
    "max_pool2d": mg.ops.pool.max_pool2d,
    "avg_pool2d": mg.ops.pool.avg_pool2d,
    "max_pool2d_grad": lambda x, g, **kw: grad(lambda x: mg.ops.pool.max_pool2d(x, **kw), x, g=g, wrt=0),
    "conv1d_weight_grad": lambda x, g, **kw: grad(
        lambda x, w: conv.conv1d(x, w, **kw), x[None, None], np.ones((1, 1, 3)), g=g[None, None], wrt=1
    )[0, 0],
    "conv2d_nhwc": lambda x, w, b, **kw: conv.conv2d(
        x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), b, **kw
    ).transpose(0, 2, 3, 1),
}
PRINTED = {"conv1d_weight_grad": 1e-6, "conv_transpose2d": 1e-5}  # figures the source prints rounded


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e["name"])
def test_worked_examples(example):
    inputs = {name: np.array(value, float) for name, value in example["inputs"].items()}
    y = EXAMPLE_OPS[example["op"]](**inputs, **example["params"])
    np.testing.assert_allclose(y, example["expect"], rtol=0, atol=PRINTED.get(example["op"], 1e-12))


def test_the_lectures_matrices():
    """§1: 6×6 under 3×3 gives M_X 16×9 and M_F 16×36; four planes give 16×36 and 16×144."""
    rng = np.random.default_rng(0)
    for planes in (1, 4):
        x, w = rng.standard_normal((planes, 6, 6)), rng.standard_normal((1, planes, 3, 3))
        M_F, M_X = conv.conv_matrix(w, x.shape), conv.patch_matrix(x, 3)
        assert M_F.shape == (16, 36 * planes) and M_X.shape == (16, 9 * planes)
        s = sum(signal.correlate2d(x[c], w[0, c], "valid") for c in range(planes)).ravel()
        np.testing.assert_allclose(M_F @ x.ravel(), s, atol=1e-12)
        np.testing.assert_allclose(M_X @ w.ravel(), s, atol=1e-12)
        for c in range(planes):  # (M_F1 … M_F4), (M_X1 … M_X4)
            part = conv.conv_matrix(w[:, c : c + 1], (1, 6, 6)).toarray()
            np.testing.assert_array_equal(M_F.toarray()[:, 36 * c : 36 * (c + 1)], part)
            np.testing.assert_array_equal(
                M_X.toarray()[:, 9 * c : 9 * (c + 1)], conv.patch_matrix(x[c : c + 1], 3).toarray()
            )
    F, g = rng.standard_normal((3, 3)), rng.standard_normal(16)
    v = grad(conv.conv2d, np.ones((1, 1, 6, 6)), F[None, None], g=g.reshape(1, 1, 4, 4), wrt=0).ravel()
    assert v[0] == g[0] * F[0, 0]
    np.testing.assert_allclose(v[7], g[0] * F[1, 1] + g[1] * F[1, 0] + g[4] * F[0, 1] + g[5] * F[0, 0])
    taps = [(0, 2, 2), (1, 2, 1), (2, 2, 0), (4, 1, 2), (5, 1, 1), (6, 1, 0), (8, 0, 2), (9, 0, 1), (10, 0, 0)]
    np.testing.assert_allclose(v[14], sum(g[p] * F[i, j] for p, i, j in taps))


def test_one_dimension_is_the_lectures_bands():
    x, w = np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7])
    np.testing.assert_array_equal(conv.conv_matrix(w[None, None], (1, 4)).toarray(), [[5, 6, 7, 0], [0, 5, 6, 7]])
    np.testing.assert_array_equal(conv.patch_matrix(x[None], (3,)).toarray(), [[1, 2, 3], [2, 3, 4]])


# --- every algorithm is the same function --------------------------------------------------------------


@st.composite
def geometries(draw, d, three=False):
    """Shapes and arguments of a convolution over d axes that fits; ``three``: kernels of 3, stride and dilation 1."""

    def numbers(lo, hi):
        return tuple(draw(st.integers(lo, hi)) for _ in range(d))

    f, stride, dilation = numbers(1, 3), numbers(1, 3), numbers(1, 2)
    if three:
        f, stride, dilation = (3,) * d, (1,) * d, (1,) * d
    padding = tuple(draw(st.integers(0, 2)) for _ in range(2 * d))
    least = [
        max(1, a * (k - 1) + 1 - b - e) for a, k, b, e in zip(dilation, f, padding[::2], padding[1::2], strict=True)
    ]
    size = tuple(draw(st.integers(n, n + (8 if three else 4 if d < 3 else 2))) for n in least)
    groups, C, K, N = (draw(st.integers(least, 2)) for least in (1, 1, 1, 0))
    if draw(st.booleans()) and set(stride) == {1}:
        padding = "same"
    seed = draw(st.integers(0, 2**32 - 1))
    hyper = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (N, C * groups, *size), (K * groups, C, *f), hyper, np.random.default_rng(seed)


DOUBLE, SINGLE, SINGLES = 1e-12, 1e-5, {"winograd": 1e-4}  # the differences allowed, in float64 and in float32


def algorithms_agree(geometry, dtype=np.float64):
    x_shape, w_shape, hyper, rng = geometry
    arrays = [rng.standard_normal(shape) for shape in (x_shape, w_shape, w_shape[:1])]
    f = FUNCTIONS[len(w_shape) - 2]
    y = f(*map(mg.constant, arrays), **hyper)
    window, g = y.op.window(*arrays[:2]), rng.standard_normal(y.shape)
    arrays, g = [a.astype(dtype) for a in arrays], g.astype(dtype)
    values = {}
    work = ConvProblem(window, x_shape[0], x_shape[1], w_shape[0], hyper.get("groups", 1), np.dtype(dtype))
    for algorithm, kernels in algorithms().items():
        for of in (map(mg.constant, arrays), [Spec(a.shape, dtype) for a in arrays]):
            if not kernels.supports(work):
                with pytest.raises(ValueError, match=f"got kernel .*; wanted .* for algorithm '{algorithm}'"):
                    f(*of, **hyper, algorithm=algorithm)
            else:
                assert f(*of, **hyper, algorithm=algorithm).shape == y.shape
        if kernels.supports(work):
            nodes = [mg.constant(a.astype(np.float64) if algorithm == "direct" else a) for a in arrays]
            found = f(*nodes, **hyper, algorithm=algorithm)
            values[algorithm] = [found.value, *mg.Tape.of(found).pull(g, nodes)]
    plain = set(window.stride) == set(window.dilation) == {1} and len(window.out) == 2
    assert ("winograd" in values) == ("winograd2" in values) == (plain and window.kernel == (3, 3))
    for algorithm, found in values.items():
        tolerance = DOUBLE if dtype == np.float64 else SINGLES.get(algorithm, SINGLE)
        for value, reference in zip(found, values["direct"], strict=True):
            assert value.dtype == dtype or algorithm == "direct"
            scale = max(1.0, np.abs(reference).max(initial=0))
            np.testing.assert_allclose(value, reference, rtol=0, atol=tolerance * scale, err_msg=algorithm)


@settings(max_examples=2000, deadline=None, derandomize=True, database=None)
@given(geometries(2))
def test_algorithms_agree(geometry):
    algorithms_agree(geometry)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(geometries(2, three=True), st.sampled_from([np.float32, np.float64]))
def test_algorithms_agree_on_three_by_three(geometry, dtype):
    algorithms_agree(geometry, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_algorithms_agree_on_many_channels(dtype):
    """In several blocks of the batch, and where sums are long."""
    rng = np.random.default_rng(6)
    algorithms_agree(((9, 64, 15, 14), (32, 64, 3, 3), {"padding": 1}, rng), dtype)
    algorithms_agree(((5, 24, 17, 14), (32, 12, 5, 5), {"padding": (1, 2, 0, 6), "groups": 2}, rng), dtype)
    algorithms_agree(((2, 32, 3, 4), (80, 32, 3, 3), {"stride": 2, "padding": 1}, rng), dtype)
    algorithms_agree(((2, 256, 9, 9), (256, 256, 3, 3), {"padding": 1}, rng), dtype)
    for stride in (1, 2, (3, 1)):
        algorithms_agree(((2, 40, 30, 21), (40, 1, 3, 5), {"stride": stride, "padding": 1, "groups": 40}, rng), dtype)
    algorithms_agree(((3, 8, 20, 17), (4, 4, 7, 5), {"stride": 2, "padding": 3, "groups": 2}, rng), dtype)


@pytest.mark.parametrize("F", [winograd.F2, winograd.F4])
def test_winograds_matrices_are_exact(F):
    """Σ_t Bᵀ[t, q] G[t, i] A[t, p] is 1 where q = p + i, else 0, in integers."""
    G = np.rint(24 * F.G).astype(int)
    np.testing.assert_allclose(G / 24, F.G, rtol=1e-15)
    q, i, p = np.ogrid[: F.m + F.r - 1, : F.r, : F.m]
    np.testing.assert_array_equal(np.einsum("tq,ti,tp->qip", F.BT, G, F.A), 24 * (q == p + i))


@pytest.mark.parametrize("algorithm", [name for name in algorithms() if name != "onednn"])  # which is for float32
def test_derivatives_stay_with_the_algorithm(algorithm):
    """And are right to the third order, also where padding is wider than the kernel."""
    rng = np.random.default_rng(7)
    x, w = rng.standard_normal((1, 2, 3, 2)), rng.standard_normal((2, 1, 3, 3))
    hyper = {"padding": (3, 0, 1, 4), "groups": 2, "algorithm": algorithm}
    X, W = mg.constant(x), mg.constant(w)
    y = conv.conv2d(X, W, **hyper)
    second = [c for g in mg.Tape.of(y).pull(y, [X, W]) for c in mg.Tape.of(g).pull(g, [X, W])]
    found = [node for c in second for node in mg.Tape.of(c).nodes if "conv" in str(node.op)]
    assert len({str(node.op) for node in found}) == 3 and {node.op.algorithm for node in found} == {algorithm}
    mg.check_grads(lambda x, w: conv.conv2d(x, w, **hyper) ** 2, x, w, order=3, max_entries=30)


def test_algorithms_agree_on_every_small_geometry_of_one_axis():
    rng = np.random.default_rng(0)
    for n, f, s, before, after, a in product(range(1, 6), (1, 2, 3), (1, 2, 3), (0, 1, 2), (0, 1, 2), (1, 2)):
        if n + before + after > a * (f - 1):
            hyper = {"stride": s, "padding": (before, after), "dilation": a, "groups": 2}
            algorithms_agree(((2, 2, n), (4, 1, f), hyper, rng))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(geometries(3))
def test_algorithms_agree_over_three_axes(geometry):
    algorithms_agree(geometry)


# --- the maps' laws ------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.one_of(geometries(1), geometries(2), geometries(3)), st.sampled_from([("x", "y"), ("w", "y"), ("w", "x")]))
def test_a_held_slot_is_its_matrix(geometry, ends):
    x_shape, w_shape, hyper, rng = geometry
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    y = FUNCTIONS[w.ndim - 2](mg.constant(x), mg.constant(w), **hyper)
    arrays = {"x": x, "w": w, "y": rng.standard_normal(y.shape)}
    form = Form(y.op.window(x, w), y.op.groups, "direct", x.shape[0], x.shape[1], w.shape[0])
    (held,) = {"x", "w", "y"} - set(ends)
    J = Held(form, *ends, arrays[held], np.float64)
    M = J.tosparse()
    v, g = arrays[ends[0]], arrays[ends[1]]
    np.testing.assert_allclose(M @ v.ravel(), np.ravel(J.push(v)), atol=1e-11)
    np.testing.assert_allclose(M.T @ g.ravel(), np.ravel(J.pull(g)), atol=1e-11)
    stored = np.diff(M.indptr).max(initial=0), np.bincount(M.indices, minlength=1).max()
    assert J.bounds == (M.nnz, *stored)
    assert sp.csr_array((M.data, M.indices, M.indptr), shape=M.shape).has_canonical_format


def test_matrices_keep_zeros_and_small_indices():
    M = conv.conv_matrix(np.zeros((2, 1, 3, 3)), (2, 5, 5), groups=2, padding=1)
    assert M.nnz == 2 * (9 * 9 + 12 * 6 + 4 * 4) and not M.data.any()
    assert M.indices.dtype == M.indptr.dtype == np.int32
    assert conv.conv_matrix(np.ones((1, 1, 2), np.float32), (1, 4)).dtype == np.float32


def test_derivatives_of_every_order():
    """The third derivative of a square of a convolution, by recursion, against differences of the second."""
    rng = np.random.default_rng(1)
    x, w, u, v = (rng.standard_normal(s) for s in ((1, 2, 4, 4), (2, 1, 2, 2), (2, 1, 2, 2), (1, 2, 4, 4)))

    def first(x, w):
        y = conv.conv2d(x, w, stride=2, padding=1, groups=2)
        return mg.Tape.of((y * y * y).sum()).pull(None, [w], create_graph=True)[0]

    def second(x, w):
        return mg.Tape.of((first(x, w) * u).sum()).pull(None, [x], create_graph=True)[0]

    X, W = mg.constant(x), mg.constant(w)
    third = mg.Tape.of((second(X, W) * v).sum()).pull(None, [W])[0]
    e = 1e-5
    ahead, behind = (np.asarray(second(mg.constant(x), mg.constant(w + s * e * u))) for s in (1, -1))
    np.testing.assert_allclose(np.vdot(third, u), np.vdot((ahead - behind) / (2 * e), v), rtol=1e-7)


# --- arguments -----------------------------------------------------------------------------------------


def test_padding_words_and_sides():
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((1, 1, 5, 6)), rng.standard_normal((1, 1, 2, 4))
    same = np.pad(x, ((0, 0), (0, 0), (0, 1), (1, 2)))  # the extra row and column come after
    np.testing.assert_allclose(conv.conv2d(x, w, padding="same"), conv.conv2d(same, w))
    np.testing.assert_array_equal(conv.conv2d(x, w, padding="valid"), conv.conv2d(x, w))
    sides = np.pad(x, ((0, 0), (0, 0), (1, 2), (3, 4)))  # top, bottom, left, right
    np.testing.assert_allclose(conv.conv2d(x, w, padding=(1, 2, 3, 4)), conv.conv2d(sides, w))


def test_flip_is_true_convolution():
    rng = np.random.default_rng(3)
    x, w, g = rng.standard_normal((1, 1, 5, 6)), rng.standard_normal((1, 1, 2, 3)), rng.standard_normal((1, 1, 4, 4))
    y = conv.conv2d(x, w, flip=True)
    np.testing.assert_allclose(y[0, 0], signal.convolve2d(x[0, 0], w[0, 0], "valid"))
    flipped = grad(lambda x, w: conv.conv2d(x, w, flip=True), x, w, g=g, wrt=1)
    np.testing.assert_allclose(flipped, grad(conv.conv2d, x, w, g=g, wrt=1)[..., ::-1, ::-1])
    assert conv.conv2d(Spec(x.shape), Spec(w.shape), flip=True).shape == y.shape


@pytest.mark.parametrize("algorithm", algorithms())
def test_any_memory_any_float(algorithm):
    rng = np.random.default_rng(4)
    groups = 4 if algorithm == "depthwise" else 2
    x, w, b = rng.standard_normal((2, 4, 5, 5)), rng.standard_normal((4, 4 // groups, 3, 3)), rng.standard_normal(4)
    if algorithm == "onednn":
        x, w, b = (a.astype(np.float32) for a in (x, w, b))
    stride = 1 if "winograd" in algorithm else 2
    hyper = {"stride": stride, "padding": 1, "groups": groups, "algorithm": algorithm}
    y = conv.conv2d(x, w, b, **hyper)
    strided = np.repeat(x, 2, axis=3)[..., ::2]
    frozen = np.asfortranarray(x)
    frozen.flags.writeable = False
    for like in (strided, frozen, x[::-1][::-1], x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)):
        np.testing.assert_allclose(
            conv.conv2d(like, np.asfortranarray(w), b, **hyper), y, atol=1e-13 if y.dtype == float else 1e-5
        )
    single = [a.astype(np.float32) for a in (x, w, b)]
    assert conv.conv2d(*single, **hyper).dtype == np.float32
    np.testing.assert_allclose(conv.conv2d(*single, **hyper), y, atol=10 * SINGLES.get(algorithm, 1e-6))
    if algorithm == "onednn":
        return
    assert conv.conv2d(single[0], w, b, **hyper).dtype == np.float64
    for i in range(3):  # a cotangent has its input's dtype, also under promotion
        mixed = [single[j] if j == i else a for j, a in enumerate((x, w, b))]
        assert grad(lambda *a: conv.conv2d(*a, **hyper), *mixed, g=y, wrt=i).dtype == np.float32
    step = conv.conv2d(x + 1e-30j * x, w, b, **hyper)  # complex step
    np.testing.assert_allclose(step.imag / 1e-30, conv.conv2d(x, w, **hyper), atol=1e-12)
    step = conv.conv2d(x, w + 1e-30j * w, b, **hyper)
    np.testing.assert_allclose(step.imag / 1e-30, conv.conv2d(x, w, **hyper), atol=1e-12)
    assert conv.conv2d(x[:0], w, b, **hyper).shape == (0, *y.shape[1:])
    empty = grad(lambda x, w: conv.conv2d(x, w, **hyper), x[:0], w, g=y[:0], wrt=1)
    np.testing.assert_array_equal(empty, np.zeros(w.shape))


X, W = np.ones((2, 4, 5, 5)), np.ones((6, 4, 3, 3))
MISTAKES = [
    (ShapeError, r"conv2d: got x \(5, 5\) .*; wanted x of 4 axes \(N, C, H, W\)", lambda: conv.conv2d(X[0, 0], W)),
    (ShapeError, r"w of 4 axes \(K, C/groups, H, W\)", lambda: conv.conv2d(X, W[0])),
    (ShapeError, r"x \(2, 4, 5, 5\).*w \(6, 3, 3, 3\).*x of 3 channels", lambda: conv.conv2d(X, W[:, :3])),
    (ShapeError, "multiples of groups 4", lambda: conv.conv2d(X, W[:, :1], groups=4)),
    (ShapeError, r"b of shape \(6,\)", lambda: conv.conv2d(X, W, np.ones(5))),
    (ShapeError, r"conv2d: got stride 0; wanted stride of at least 1", lambda: conv.conv2d(X, W, stride=0)),
    (ShapeError, "dilation of at least 1", lambda: conv.conv2d(X, W, dilation=(1, 0))),
    (ShapeError, "groups of at least 1", lambda: conv.conv2d(X, W, groups=0)),
    (ShapeError, "padding of at least 0", lambda: conv.conv2d(X, W, padding=-1)),
    (ShapeError, "an integer, 2 or 4 of them, 'same' or 'valid'", lambda: conv.conv2d(X, W, padding="full")),
    (ShapeError, "an integer, 2 or 4 of them", lambda: conv.conv2d(X, W, padding=(1, 2, 3))),
    (ShapeError, "stride 1 with padding 'same'", lambda: conv.conv2d(X, W, padding="same", stride=2)),
    (ShapeError, r"no larger than the padded image \(5, 5\)", lambda: conv.conv2d(X, W, dilation=3)),
    (ShapeError, "an integer or 2 of them", lambda: conv.conv2d(X, W, stride=(1, 1, 1))),
    (TypeError, r"conv2d: got stride 1.5; wanted an integer or 2 of them", lambda: conv.conv2d(X, W, stride=1.5)),
    (TypeError, "got stride True", lambda: conv.conv2d(X, W, stride=True)),
    (TypeError, "got dilation", lambda: conv.conv2d(X, W, dilation=np.array([1.0, 2.0]))),
    (TypeError, "got padding None", lambda: conv.conv2d(X, W, padding=None)),
    (TypeError, "wanted dtype float32 or float64", lambda: conv.conv2d(X.astype(int), W)),
    (ValueError, "algorithm 'fast'; wanted one of auto, .*direct", lambda: conv.conv2d(X, W, algorithm="fast")),
    (
        ValueError,
        r"conv2d: got kernel \(3, 3\), stride \(2, 2\), dilation \(1, 1\), .*; wanted a kernel 3×3 .* algorithm 'winograd'",
        lambda: conv.conv2d(X, W, stride=2, algorithm="winograd"),
    ),
    (
        ValueError,
        "conv_transpose2d: got kernel .* for algorithm 'winograd2'",
        lambda: conv.conv_transpose2d(X, W[:4], dilation=2, algorithm="winograd2"),
    ),
    (
        ValueError,
        r"conv3d: got kernel \(3, 3, 3\), .* wanted a kernel 3×3",
        lambda: conv.conv3d(X[..., None], W[..., None].repeat(3, -1), padding=1, algorithm="winograd"),
    ),
    (
        ValueError,
        "padding_mode 'mirror'; wanted one of zeros, reflect, replicate, circular",
        lambda: conv.conv2d(X, W, padding=1, padding_mode="mirror"),
    ),
    (
        ShapeError,
        "at most, for 'reflect' less, not .*5, 5",
        lambda: conv.conv2d(X, W, padding=5, padding_mode="reflect"),
    ),
    (ShapeError, "at most, for 'reflect' less", lambda: conv.conv2d(X, W, padding=6, padding_mode="circular")),
    (ShapeError, "conv2d: .* of 4 axes", lambda: conv.conv2d(X[0, 0], W, padding=1, padding_mode="replicate")),
    (ShapeError, r"x 'image' \(2, 4, 5, 5\)", lambda: conv.conv2d(mg.constant(X, "image"), W[:, :3])),
    (ShapeError, "conv_transpose2d: got x .* wanted x with 6 channels", lambda: conv.conv_transpose2d(X, W)),
    (ShapeError, "smaller than stride or dilation", lambda: conv.conv_transpose2d(X, W[:4], output_padding=1)),
    (ShapeError, "padding that leaves an image", lambda: conv.conv_transpose2d(X, W[:4], padding=9)),
    (TypeError, "got padding 'same'", lambda: conv.conv_transpose2d(X, W[:4], padding="same")),
    (ShapeError, r"conv_matrix: .* 4 channels", lambda: conv.conv_matrix(W, (3, 5, 5))),
    (ShapeError, r"in_shape of 3 axes", lambda: conv.conv_matrix(W, (5, 5))),
    (ShapeError, r"patch_matrix: .* 4 axes", lambda: conv.patch_matrix(X[0, 0], 3)),
    (ShapeError, r"im2col: .* no larger than", lambda: conv.im2col(X, 6)),
    (ShapeError, r"col2im: got cols .* wanted cols of shape \(16, 32\)", lambda: conv.col2im(X[0, 0], X.shape, 2)),
]


@pytest.mark.parametrize("error, match, call", MISTAKES, ids=[m[1] for m in MISTAKES])
def test_messages(error, match, call):
    with pytest.raises(error, match=match):
        call()
    if error is not ValueError:
        conv.conv2d(X, W, stride=np.int64(1), padding=np.array([1, 1]))  # NumPy integers are integers


# --- transposed convolution, im2col ----------------------------------------------------------------------


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.one_of(geometries(1), geometries(2), geometries(3)))
def test_transposed_convolution_is_the_input_gradient(geometry):
    x_shape, w_shape, hyper, rng = geometry
    if hyper["padding"] == "same":
        return
    d = len(w_shape) - 2
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    y = FUNCTIONS[d](mg.constant(x), mg.constant(w), **hyper)
    g = rng.standard_normal(y.shape)
    before, after = hyper["padding"][::2], hyper["padding"][1::2]
    axes = zip(x.shape[2:], y.shape[2:], w.shape[2:], hyper["stride"], hyper["dilation"], before, after, strict=True)
    rest = tuple(n + b + e - (o - 1) * s - a * (f - 1) - 1 for n, o, f, s, a, b, e in axes)
    back = TRANSPOSES[d](g, w, **hyper, output_padding=rest)
    np.testing.assert_allclose(back, mg.Tape.of(y).pull(g, [y.inputs[0]])[0], atol=1e-12)


def test_im2col_lays_out_the_second_drawing():
    """§2: rows × cols = out_col (K, samples · positions), which reshapes and transposes to the output."""
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((3, 2, 5, 6)), rng.standard_normal((4, 2, 3, 2))
    hyper = {"stride": (2, 1), "padding": (1, 0, 0, 1), "dilation": (1, 2)}
    cols = conv.im2col(x, (3, 2), **hyper)
    y = conv.conv2d(x, w, **hyper)
    out_col = w.reshape(4, -1) @ cols
    np.testing.assert_allclose(out_col.reshape(4, 3, *y.shape[2:]).swapaxes(0, 1), y, atol=1e-13)
    np.testing.assert_array_equal(cols, conv.patch_matrix(x, (3, 2), **hyper).toarray().T)
    g = rng.standard_normal(cols.shape)
    back = conv.col2im(g, x.shape, (3, 2), **hyper)
    np.testing.assert_allclose(np.vdot(back, x), np.vdot(g, cols))
    np.testing.assert_array_equal(grad(lambda x: conv.im2col(x, (3, 2), **hyper), x, g=g, wrt=0), back)


@pytest.mark.parametrize(("x_shape", "w_shape", "hyper"), [
    ((2, 0, 8, 8), (4, 0, 3, 3), {}), ((2, 3, 8, 8), (0, 3, 3, 3), {"padding": 1}), ((0, 3, 8, 8), (4, 3, 3, 3), {}),
    ((2, 64, 8540), (64, 1, 3), {"padding": 1, "groups": 64}),
    ((2, 64, 8541), (64, 1, 4), {"stride": 2, "groups": 64, "dilation": 3}),
])  # fmt: skip
def test_what_is_empty_or_very_long(x_shape, w_shape, hyper):
    """No channels, no filters, no samples; a line that is more than a block of depthwise convolution."""
    rng, found = np.random.default_rng(0), []
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    for algorithm in ("direct", "auto", "im2col"):
        nodes = mg.parameter(x), mg.parameter(w)
        y = FUNCTIONS[x.ndim - 2](*nodes, **hyper, algorithm=algorithm)
        y.backward(np.cos(np.arange(y.size).reshape(y.shape)))
        found.append([y.value, *(p.grad for p in nodes)])
    for wanted, *others in zip(*found, strict=True):
        for other in others:
            np.testing.assert_allclose(other, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("given", [{"output_padding": 1}, {"output_padding": (0, 1), "padding": (1, 2)}, {}])
def test_a_transposed_convolution_is_labelled_as_it_was_written(given):
    x, w = mg.constant(np.ones((1, 1, 4, 4))), mg.constant(np.ones((1, 1, 3, 3)))
    y = conv.conv_transpose2d(x, w, stride=2, **{"padding": 1, **given})
    shown, output = y.op.hyperparameters, given.get("output_padding", 0)
    assert shown["padding"] == (((1, 1), (2, 2)) if "padding" in given else ((1, 1), (1, 1)))
    assert shown.get("output_padding", (0, 0)) == ((output,) * 2 if isinstance(output, int) else output)
    text = to_dot(y).replace("<br/>", "")
    assert ("output_padding" in text) == bool(given)


# --- arguments that nobody should give -------------------------------------------------------------------


IMAGE, BANK, ODD = np.ones((1, 2, 5, 5)), np.ones((2, 2, 2, 2)), st.one_of(
    st.sampled_from([
        10**30, -(10**30), 2**63, 2**31, 2**31 - 1, 10**9, 0, -1, True, 1.0, 1.5, float("nan"), float("inf"), "3", "", None,
        (), [], [[1, 1]], [1, [1]], {}, {1}, object(), 1j, b"1", np.float64(2), np.array([]), np.array([[1]]), (1, 10**30),
        (1, 1.0), (1, None), (10**30, 1, 1, 1), (1, 2, 3), [True, 1], np.array([1.5, 1]), np.uint64(2**63), slice(1), range(2),
    ]),
    st.integers(-9, 9) | st.integers(10**12, 10**40),
    st.lists(st.integers(-3, 9) | st.integers(10**12, 10**20), max_size=5),
)  # fmt: skip
CALLS = {
    "conv2d": (lambda **o: mg.conv2d(IMAGE, BANK, **o), ["stride", "padding", "dilation", "groups", "algorithm", "padding_mode"]),
    "conv_transpose2d": (
        lambda **o: mg.conv_transpose2d(IMAGE, BANK, **o), ["stride", "padding", "output_padding", "groups", "dilation"]),
    "max_pool2d": (lambda kernel_size=2, **o: mg.max_pool2d(IMAGE, kernel_size, **o), ["kernel_size", "stride", "padding", "dilation"]),
    "avg_pool2d": (lambda kernel_size=2, **o: mg.avg_pool2d(IMAGE, kernel_size, **o), ["kernel_size", "stride", "padding"]),
    "adaptive_avg_pool2d": (lambda output_size: mg.adaptive_avg_pool2d(IMAGE[:, :, :2, :2], output_size), ["output_size"]),
    "adaptive_max_pool2d": (lambda output_size: mg.adaptive_max_pool2d(IMAGE[:, :, :2, :2], output_size), ["output_size"]),
    "maxout": (lambda pieces=2, axis=1: mg.maxout(IMAGE, pieces, axis), ["pieces", "axis"]),
    "im2col": (lambda kernel_size=2, **o: mg.im2col(IMAGE, kernel_size, **o), ["kernel_size", "stride", "padding", "dilation"]),
    "col2im": (lambda out_shape=(1, 2, 5, 5): mg.col2im(np.ones((8, 16)), out_shape, 2), ["out_shape"]),
    "conv_matrix": (lambda in_shape=(2, 5, 5), **o: mg.conv_matrix(BANK, in_shape, **o),
                    ["in_shape", "stride", "padding", "dilation", "groups"]),
    "patch_matrix": (lambda kernel=2, **o: mg.patch_matrix(IMAGE, kernel, **o), ["kernel", "stride", "padding", "dilation"]),
    "pool_matrix": (lambda kernel_size=2, **o: mg.pool_matrix(IMAGE, kernel_size, **o),
                    ["kernel_size", "stride", "padding", "dilation", "kind"]),
    "tiled_conv2d": (lambda **o: mg.tiled_conv2d(IMAGE, BANK[None, None], **o), ["stride", "padding", "dilation"]),
    "linear_to_conv": (lambda in_shape: mg.linear_to_conv(np.ones((2, 50)), in_shape), ["in_shape"]),
}  # fmt: skip


@pytest.mark.parametrize("op, argument", [(op, argument) for op, (_, names) in CALLS.items() for argument in names])
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(value=ODD)
def test_odd_arguments_are_taken_or_refused_by_name(op, argument, value):
    """Whatever is given: a result, or an error that says what was got and wanted, never one from the depths."""
    try:
        CALLS[op][0](**{argument: value})
    except (TypeError, ValueError, mg.MemoryBudgetError) as error:
        names = (op, "max_pool2d") if op == "pool_matrix" else op
        assert str(error).startswith(names) and ": got " in str(error) and "wanted" in str(error), repr(error)
