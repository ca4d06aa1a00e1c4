"""How exact the algorithms of convolution are: each slot against sums in higher precision, with any data."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter
from test_conv import FUNCTIONS, geometries

import minigraph as mg
from minigraph.kernels.registry import FLOAT64_ERROR
from minigraph.kernels.tasks import ConvProblem, algorithms
from minigraph.kernels.window import Window

ALGORITHMS = algorithms()

KINDS = ["normal", "of one sign", "equal", "outliers", "sparse", "mixed", "huge"]


def drawn(kind, shape, rng):
    a = rng.standard_normal(shape)
    if kind == "equal":
        return np.full(shape, rng.uniform(0.1, 1))
    if kind == "of one sign":
        return abs(a)
    if kind == "outliers":
        return np.where(rng.random(shape) < 2 / max(a.size, 2), 1e6 * a, a)
    if kind == "sparse":
        return np.where(rng.random(shape) < 0.3, a * 10.0 ** rng.uniform(-1, 9, shape), 0)
    return a * 10.0 ** rng.uniform(-8, 8, shape) if kind == "mixed" else a


def slots(x, w, g, window, groups):
    """The three slots of the form, tap by tap: y, x and w."""
    N, C, K, P = len(x), w.shape[1], len(w) // groups, int(np.prod(g.shape[2:]))
    padded = np.pad(x, ((0, 0), (0, 0), *window.padding))
    y, X, W = np.zeros_like(g), np.zeros_like(padded), np.zeros_like(w)
    for i in np.ndindex(*w.shape[2:]):
        axes = zip(i, window.stride, window.dilation, g.shape[2:], strict=True)
        at = (..., *(slice(t * a, t * a + (n - 1) * s + 1, s) for t, s, a, n in axes))
        under, over = padded[at].reshape(N, groups, C, P), g.reshape(N, groups, K, P)
        tap = w[(..., *i)].reshape(groups, K, C)
        y += np.einsum("ngcp,gkc->ngkp", under, tap).reshape(y.shape)
        X[at] += np.einsum("ngkp,gkc->ngcp", over, tap).reshape(X[at].shape)
        W[(..., *i)] = np.einsum("ngcp,ngkp->gkc", under, over).reshape(groups * K, C)
    inside = tuple(slice(b, b + n) for (b, _), n in zip(window.padding, window.size, strict=True))
    return y, X[(..., *inside)], W


def norms(x, w, g, groups):
    """Σ ‖·‖ ‖·‖ of whole planes, for each plane of the three slots."""
    one = (1,) * (x.ndim - 2)
    largest = [a.max(initial=0) or 1 for a in (x, w, g)]  # whose squares overflow
    x, w, g = (
        m * np.sqrt(((a / m) ** 2).sum(tuple(range(2, a.ndim)))) for a, m in zip((x, w, g), largest, strict=True)
    )
    N, C, K = len(x), w.shape[1], len(w) // groups
    X, W, G = x.reshape(N, groups, C), w.reshape(groups, K, C), g.reshape(N, groups, K)
    found = np.einsum("ngc,gkc->ngk", X, W), np.einsum("ngk,gkc->ngc", G, W), np.einsum("ngc,ngk->gkc", X, G)
    return [a.reshape(*b.shape, *one) for a, b in zip(found, (g, x, w), strict=True)]


def largest_near(a, side):
    """Each entry as large as the largest of any tile of so many a side that it may be in."""
    return maximum_filter(a, (1, 1, *[2 * side - 1] * (a.ndim - 2)), mode="constant") if a.size else a


@np.errstate(over="ignore", invalid="ignore")  # of the products of two arrays that are both huge, which nobody needs
def allowed(algorithm, arrays, window, groups, dtype):
    """The errors that an algorithm may make, in each slot."""
    x, w, g = map(abs, arrays)
    scale = algorithm.error * (1 if dtype == np.float32 else FLOAT64_ERROR)
    if algorithm.tiles:
        side = max(algorithm.tiles, *window.kernel)
        padded = largest_near(np.pad(x, ((0, 0), (0, 0), *window.padding)), side)
        near = padded, np.broadcast_to(w.max((2, 3), keepdims=True), w.shape), largest_near(g, side)
        inside = tuple(slice(b, b + n) for (b, _), n in zip(window.padding, window.size, strict=True))
        Y, X, W = slots(*near, replace(window, size=padded.shape[2:], padding=((0, 0), (0, 0))), groups)
        sums = Y, X[(..., *inside)], np.broadcast_to(W.max((2, 3), keepdims=True), W.shape)
    else:
        sums = slots(x, w, g, window, groups)
    bounds = [scale * a for a in sums]
    planes = norms(x, w, g, groups)
    return [a + algorithm.plane_error * b for a, b in zip(bounds, planes, strict=True)]


def room(names, kind, dtype):
    """How far sums stay below the largest float: transforms go beyond them, in float64 Fourier's too."""
    if any(ALGORITHMS[name].tiles for name in names):
        return 1e5
    return 1e12 if "fft" in names and dtype == np.float64 else 1e3


def check(x_shape, w_shape, hyper, rng, kind, dtype, names=(*ALGORITHMS, "auto", "strict")):
    """Every slot of every algorithm, of what "auto" takes, and of what it takes where it is strict."""
    arrays = [drawn(kind, shape, rng).astype(dtype) for shape in (x_shape, w_shape)]
    f, groups = FUNCTIONS[len(w_shape) - 2], hyper.get("groups", 1)
    y = f(*map(mg.constant, arrays), **hyper)
    window, g = y.op.window(*arrays), drawn(kind, y.shape, rng).astype(dtype)
    work = ConvProblem(window, x_shape[0], x_shape[1], w_shape[0], groups, np.dtype(dtype))
    fit = [name for name, a in ALGORITHMS.items() if a.supports(work)]
    open_to_auto = [name for name in fit if dtype == np.float32 or not ALGORITHMS[name].tiles]
    wide, exact = np.float64 if dtype == np.float32 else np.longdouble, {}
    for name in names:
        classes = {"auto": open_to_auto, "strict": ["im2col"]}.get(name, [name])
        if not set(classes) <= set(fit):
            continue
        x, w, c, far = *arrays, g, 1
        if kind == "huge":
            far = room(classes, kind, dtype)
            x, c = (a * dtype(np.finfo(dtype).max / far / max(abs(a).sum(), 1)) for a in (x, g))
            w = w / dtype(abs(w).max(initial=0) or 1)
        if far not in exact:
            values = [a.astype(wide) for a in (x, w, c)]
            other = slots(values[0], values[1], g.astype(wide), window, groups)[2]
            exact[far] = *slots(*values, window, groups)[:2], other
        mg.precision("strict" if name == "strict" else "fast")
        try:
            nodes = [mg.constant(x), mg.constant(w)]
            found = f(*nodes, **hyper, algorithm="auto" if name == "strict" else name)
            tape = mg.Tape.of(found)
            values = found.value, tape.pull(c, nodes[:1])[0], tape.pull(g, nodes[1:])[0]
        finally:
            mg.precision("fast")
        floats = [a.astype(float) for a in (x, w, c, g)]
        bounds = [
            (*allowed(ALGORITHMS[k], floats[:3], window, groups, dtype)[:2],
             allowed(ALGORITHMS[k], (*floats[:2], floats[3]), window, groups, dtype)[2]) for k in classes
        ]  # fmt: skip
        for slot, value, wanted, *most in zip("yxw", values, exact[far], *bounds, strict=True):
            error = abs(value - wanted) / (np.max(most, axis=0) + 1e3 * np.finfo(dtype).smallest_normal)
            assert value.dtype == dtype
            assert error.max(initial=0) <= 1, (name, slot, kind, float(error.max()))


EXAMPLES = st.one_of(geometries(1), geometries(2), geometries(2, three=True), geometries(3))


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(EXAMPLES, st.sampled_from(KINDS), st.sampled_from([np.float32, np.float64]))
def test_errors_are_of_the_class_that_is_stated(geometry, kind, dtype):
    check(*geometry, kind, dtype)


@pytest.mark.parametrize("kind", ["of one sign", "equal", "outliers", "sparse"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "x_shape, w_shape, hyper",
    [
        ((1, 2, 40, 40), (3, 2, 21, 21), {}),
        ((2, 1, 40, 40), (2, 1, 17, 17), {"padding": 3}),
        ((1, 16, 20, 20), (16, 16, 3, 3), {"padding": 1}),
        ((40, 4, 24, 24), (4, 4, 3, 3), {"padding": 1}),
        ((3, 2, 300, 301), (2, 1, 1, 1), {"groups": 2}),
        ((3, 2, 300, 301), (2, 1, 2, 2), {"groups": 2, "stride": 2}),
        ((1, 25000, 2), (1, 25000, 2), {}),
        ((1, 1, 300000), (1, 1, 2), {}),
        ((1, 2, 60000), (2, 1, 3), {"groups": 2, "stride": 2}),
        ((1, 2, 6000), (2, 1, 1001), {"groups": 2}),
    ],
)
def test_errors_where_sums_are_long(x_shape, w_shape, hyper, kind, dtype):
    names = set(ALGORITHMS) - {"direct"} | {"auto", "strict"}
    check(x_shape, w_shape, hyper, np.random.default_rng(0), kind, dtype, names)


@pytest.mark.parametrize("dtype, most", [(np.float32, 5e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("largest", [1e6, 1e9, 1e36])
def test_a_large_pixel_does_not_blur_those_far_from_it(dtype, most, largest):
    """By the algorithm that "auto" chooses for large kernels: beside the sum of magnitudes of each output."""
    rng = np.random.default_rng(0)
    x, w = rng.random((1, 1, 128, 128)).astype(dtype), rng.random((1, 1, 41, 41)).astype(dtype) - dtype(0.5)
    x[0, 0, 5, 120] = largest
    window, g = Window((128, 128), (41, 41), (1, 1), ((0, 0), (0, 0)), (1, 1)), np.zeros((1, 1, 88, 88), np.longdouble)
    wide = x.astype(np.longdouble), w.astype(np.longdouble), g
    exact, sums = slots(*wide, window, 1)[0], slots(*map(abs, wide), window, 1)[0]
    for name in ("fast", "strict"):
        mg.precision(name)
        try:
            assert (abs(mg.conv2d(x, w) - exact) <= most * sums).all()
        finally:
            mg.precision("fast")
