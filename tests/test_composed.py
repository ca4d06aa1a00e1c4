"""NumPy's functions that are composed of others: NumPy's own values, derivatives to the second order, errors."""

import warnings

import numpy as np
import pytest

import minigraph as mg

rng = np.random.default_rng(0)
V, W, M, N, T = (rng.standard_normal(s) for s in ((7,), (4,), (4, 5), (4, 4), (2, 3, 4)))
HOLES = np.where(rng.random((4, 5)) < 0.3, np.nan, M)
ASCENDING = np.sort(rng.random(6))

CALLS = {
    "append": (lambda x, y: np.append(x, y), M, V), "append axis": (lambda x: np.append(x, x, axis=1), M),
    "insert": (lambda x, v: np.insert(x, 2, v, axis=1), M, W), "insert several": (lambda x: np.insert(x, [1, 3], [5.0, 6.0]), V),
    "atleast_3d": (np.atleast_3d, M), "column_stack": (lambda x, y: np.column_stack([x, y]), W, N), "dstack": (lambda x: np.dstack([x, x]), M),
    "block": (lambda x, y: np.block([[x, y], [y, x]]), N, 2 * N), "block of vectors": (lambda x: np.block([x, x]), V),
    "hsplit": (lambda x: np.hsplit(x, [2])[1], M), "vsplit": (lambda x: np.vsplit(x, 2)[0], M), "dsplit": (lambda x: np.dsplit(x, 2)[1], T),
    "broadcast_arrays": (lambda x, y: np.broadcast_arrays(x, y)[1] * x, N, W), "meshgrid": (lambda x, y: np.meshgrid(x, y)[0] * np.meshgrid(x, y)[1], V, W),
    "meshgrid ij": (lambda x, y: np.meshgrid(x, y, indexing="ij", sparse=True)[1] * x[0], V, W),
    "select": (lambda x: np.select([x > 1, x > 0], [x**2, 3 * x], -x), M), "kron": (np.kron, M, N), "kron of vectors": (np.kron, V, M),
    "cross": (lambda x, y: np.linalg.cross(x, y), T[:, :, 0], T[:, :, 1]), "vecdot": (np.linalg.vecdot, M, 2 * M),
    "multi_dot": (lambda a, b, c: np.linalg.multi_dot([a, b, c]), N, M, M.T), "matrix_power": (lambda x: np.linalg.matrix_power(x, 5), N),
    "matrix_power 0": (lambda x: np.linalg.matrix_power(x, 0), N),
    "vector_norm": (lambda x: np.linalg.vector_norm(x), T), "vector_norm 3": (lambda x: np.linalg.vector_norm(x, axis=1, ord=3, keepdims=True), T),
    "matrix_norm": (lambda x: np.linalg.matrix_norm(x), T), "matrix_norm 1": (lambda x: np.linalg.matrix_norm(x, ord=1), T),
    "matrix_norm inf": (lambda x: np.linalg.matrix_norm(x, ord=np.inf, keepdims=True), T),
    "linalg.diagonal": (np.linalg.diagonal, T), "linalg.trace": (np.linalg.trace, T), "matrix_transpose": (np.linalg.matrix_transpose, T),
    "linalg.matmul": (np.linalg.matmul, N, M), "linalg.outer": (np.linalg.outer, V, W), "linalg.tensordot": (lambda a, b: np.linalg.tensordot(a, b, axes=1), N, M),
    "quantile": (lambda x: np.quantile(x, 0.3), M), "quantiles": (lambda x: np.quantile(x, [[0.1, 0.5], [1.0, 0.0]], axis=(0, 2)), T),
    "quantile keepdims": (lambda x: np.quantile(x, 0.37, axis=1, keepdims=True, method="midpoint"), T),
    "percentile": (lambda x: np.percentile(x, [30, 80], axis=1, method="lower"), M),
    "cov": (np.cov, M), "cov of two": (lambda x, y: np.cov(x, y), V, 2 * V[::-1]), "cov columns": (lambda x: np.cov(x, rowvar=False, bias=True), M),
    "corrcoef": (np.corrcoef, M), "ediff1d": (lambda x: np.ediff1d(x, to_end=[1.0], to_begin=2.0), M),
    "trapezoid": (lambda y, x: np.trapezoid(y, x, axis=0), M, W), "trapezoid dx": (lambda y: np.trapezoid(y, dx=0.3), T),
    "gradient": (lambda x: np.gradient(x, 0.5), V), "gradient axes": (lambda x: np.gradient(x, 0.5, 2.0, edge_order=2)[1], M),
    "gradient axis": (lambda x: np.gradient(x, axis=0), M), "interp": (lambda x, f: np.interp(x, ASCENDING, f), rng.uniform(-0.2, 1.2, 9), rng.random(6)),
    "interp ends": (lambda x: np.interp(x, ASCENDING, ASCENDING**2, left=-1.0, right=5.0), rng.uniform(-0.2, 1.2, 9)),
    **{f"convolve {mode}": (lambda a, v, mode=mode: np.convolve(a, v, mode), V, W) for mode in ("full", "same", "valid")},
    **{f"convolve {mode} turned": (lambda a, v, mode=mode: np.convolve(a, v, mode), W, V) for mode in ("full", "same", "valid")},
    **{f"correlate {mode}": (lambda a, v, mode=mode: np.correlate(a, v, mode), V, W) for mode in ("full", "same", "valid")},
    **{f"correlate {mode} turned": (lambda a, v, mode=mode: np.correlate(a, v, mode), W, V) for mode in ("full", "same", "valid")},
    "real": (np.real, M), "conj": (np.conj, M), "real_if_close": (np.real_if_close, M),
}  # fmt: skip
OF_HOLES = {
    "nan_to_num": lambda x: np.nan_to_num(x, nan=2.0), **{f"{name} {axis}": (lambda x, name=name, axis=axis: getattr(np, name)(x, axis=axis))
    for name in ("nansum", "nanprod", "nanmean", "nanmax", "nanmin", "nanvar", "nanstd", "nancumsum") for axis in (None, 0)},
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_composed(name):
    function, *arrays = CALLS[name]
    wanted = function(*arrays)
    nodes = [mg.parameter(x) for x in arrays]
    y = function(*nodes)
    assert isinstance(y, mg.Node)
    np.testing.assert_allclose(y.value, wanted, rtol=1e-12, atol=1e-13)
    mg.check_grads(function, *arrays, order=2)
    abstract = function(*[mg.constant(mg.Spec(x.shape, x.dtype)) for x in arrays]) if "interp" not in name else y
    assert (abstract.shape, abstract.dtype) == (y.shape, y.dtype)
    if "interp" in name:  # between points in double precision
        return
    narrow = function(*[mg.parameter(x.astype(np.float32)) for x in arrays])
    assert narrow.dtype == np.float32


@pytest.mark.parametrize("name", OF_HOLES)
def test_with_nans(name):
    function = OF_HOLES[name]
    x = mg.parameter(HOLES)
    y = function(x)
    np.testing.assert_allclose(y.value, function(HOLES), rtol=1e-12)
    (g,) = mg.Tape.of(y).pull(np.ones(y.shape), [x])
    assert not g[np.isnan(HOLES)].any() and np.isfinite(g).all()
    v = np.where(np.isnan(HOLES), 0, rng.standard_normal(HOLES.shape))
    h = 1e-6
    slope = (np.sum(function(HOLES + h * v)) - np.sum(function(HOLES - h * v))) / (2 * h)
    np.testing.assert_allclose(np.sum(g * v), slope, rtol=1e-6)


def test_rounding_and_questions():
    x = mg.parameter(10 * M)
    for decimals in (0, 1, -1):
        np.testing.assert_array_equal(np.round(x, decimals).value, np.round(10 * M, decimals))
    assert mg.Tape.of(np.sum(np.around(x))).pull(wrt=[x])[0] is None or not np.any(
        mg.Tape.of(np.sum(np.around(x))).pull(wrt=[x])[0]
    )
    np.testing.assert_array_equal(np.logical_xor(x > 0, x > 1).value, (10 * M > 0) ^ (10 * M > 1))
    np.testing.assert_array_equal(np.fmax(mg.parameter(HOLES), 0.0).value, np.fmax(HOLES, 0))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: np.quantile(x, 2.0), ValueError, "q outside of 0 to 1"),
        (lambda x: np.quantile(x, 0.5, method="inverted_cdf"), ValueError, "method 'inverted_cdf'"),
        (lambda x: np.gradient(x, 1.0, 2.0, 3.0), ValueError, "got 3 spacings"),
        (lambda x: np.gradient(x, edge_order=3), ValueError, "edge_order 3"),
        (lambda x: np.linalg.matrix_power(x, 2), mg.ShapeError, "square matrices"),
        (lambda x: np.linalg.matrix_power(x @ x.T, 0.5), ValueError, "n 0.5; wanted an integer"),
        (lambda x: np.linalg.matrix_norm(x, ord="max"), ValueError, "ord 'max'; wanted 'fro', 'nuc', 1, 2, inf"),
        (lambda x: np.linalg.norm(x, 3), ValueError, "ord 3; wanted 'fro', 'nuc', 1, 2, inf"),
        (lambda x: np.linalg.norm(x[0], "fro"), ValueError, "ord 'fro' for vectors; wanted a number"),
        (lambda x: np.linalg.norm(np.stack([x, x]), 1), ValueError, "ord 1 over 3 axes; wanted one axis, or two"),
        (lambda x: np.linalg.norm(x, mg.parameter(1.0)), TypeError, "as ord; wanted a plain array"),
        (lambda x: np.linalg.solve(x, x), mg.ShapeError, "solve: .*square matrices"),
        (lambda x: np.linalg.solve(x @ x.T, x[0]), mg.ShapeError, "solve: .*B with as many rows as A"),
        (
            lambda x: np.linalg.solve(np.ones((2, 1, 1)), np.stack([x[:1]] * 3)),
            mg.ShapeError,
            "leading axes that broadcast",
        ),
        (lambda x: np.linalg.inv(x), mg.ShapeError, "inv: .*square matrices"),
        (lambda x: np.linalg.inv(0 * (x @ x.T)), np.linalg.LinAlgError, "Singular matrix"),
        (lambda x: np.linalg.cholesky(-(x @ x.T)), np.linalg.LinAlgError, "not positive definite"),
        (lambda x: np.linalg.eigh(x @ x.T, "X"), ValueError, "UPLO 'X'; wanted 'L' or 'U'"),
        (lambda x: np.linalg.det(x[0]), mg.ShapeError, "det: .*at least two axes"),
        (lambda x: np.linalg.svd(x), TypeError, "np.linalg.svd has no Jacobian in minigraph for its vectors"),
        (lambda x: np.linalg.tensorinv(x, 1), mg.ShapeError, "as many rows as columns"),
        (lambda x: np.linalg.cross(x, x), mg.ShapeError, "vectors of three"),
        (lambda x: np.convolve(x, x), mg.ShapeError, "two vectors"),
        (lambda x: np.interp(x, [0.0, 1.0], [1.0]), mg.ShapeError, r"xp and fp of one shape"),
        (lambda x: np.insert(x, 99, 1.0), mg.ShapeError, "positions and values that NumPy takes"),
        (lambda x: np.vsplit(x[0], 2), mg.ShapeError, "at least two axes"),
        (lambda x: np.select([x > 0], []), ValueError, "1 conditions and 0 choices; wanted equal numbers"),
        (lambda x: np.broadcast_arrays(x, x.T), mg.ShapeError, "shapes that broadcast"),
    ],
)
def test_wrong_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call(mg.parameter(M))


def test_where_all_is_nan():
    x = np.array([[1.0, np.nan, 3.0], [np.nan] * 3])
    for function in (np.nanmax, np.nanmin, np.nanmean, np.nansum, np.nanprod):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = function(x, axis=1)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(function(mg.parameter(x), axis=1), wanted)
    for function in (np.nanvar, np.nanstd):  # NaN has no part in the derivative
        p = mg.parameter(x[0])
        function(p, ddof=1).backward()
        np.testing.assert_allclose(function(p, ddof=1).value, function(x[0], ddof=1))
        assert np.isfinite(p.grad).all() and p.grad[1] == 0
    np.testing.assert_allclose(np.nansum(mg.parameter(x), where=x > 1, dtype=np.float32), 3)
