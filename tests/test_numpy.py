"""NumPy on nodes, by a table of all its functions: the right derivative, an answer without one, or a clear refusal."""

import copy
import inspect
import io
import math
import operator
import pickle
import re
import struct
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.fft
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.ndimage
import scipy.optimize
import scipy.signal
import scipy.sparse as sp
import scipy.special
from scipy.sparse.linalg import LinearOperator, cg, gmres, lsmr, spsolve

import minigraph as mg
from minigraph.array import IMPLEMENTATIONS, QUERIES
from minigraph.ops.composed import METHODS as QUANTILES
from minigraph.ops.elementwise import Elementwise
from minigraph.tape import Tape

Dispatched = type(np.sum)
RNG = np.random.default_rng(0)
V, W = np.array([0.3, -1.2, 0.7]), np.array([1.1, 0.4, -0.8])
M, N, S = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 2)), RNG.standard_normal((3, 3))
T = RNG.standard_normal((2, 3, 4))
P = S @ S.T + np.eye(3)
C = 0.25
U = np.array([0.2, 0.5, 0.6])


def call(*args, **kwargs):
    return args, kwargs


def taken(function, args, kwargs):
    """Whether NumPy takes these arguments; np.linalg has some functions of np with other arguments."""
    try:
        function(*args, **kwargs)
    except TypeError:
        return False
    return True


def newer(function, *args, **kwargs):
    """A sample that older NumPys do not take, where this one does."""
    try:
        function(*args, **kwargs)
    except TypeError:
        return []
    return [call(*args, **kwargs)]


# Sample calls. Each float and each array of floats in one is a node in turn.
SAMPLES = {
    "all": [call(M, axis=0)], "allclose": [call(V, W)], "any": [call(M, 0)], "argmax": [call(M, 1)],
    "argmin": [call(M, 1)], "argsort": [call(M, 1)], "argwhere": [call(V)], "array2string": [call(V)],
    "array_equal": [call(V, W)], "array_repr": [call(V)], "array_str": [call(V)], "count_nonzero": [call(M, 1)],
    "iscomplexobj": [call(V)], "isclose": [call(V, W, 0.1, atol=0.1)], "isrealobj": [call(V)],
    "may_share_memory": [call(V, V)], "nonzero": [call(V)], "searchsorted": [call(np.sort(V), W)], "shape": [call(M)],
    "ndim": [call(M)], "shares_memory": [call(V, V)], "size": [call(M), call(M, 1), *newer(np.size, M, axis=(0, 1))],
    "save": [call(io.BytesIO(), V)], "savez": [call(io.BytesIO(), V), call(io.BytesIO(), a=V)],
    "savez_compressed": [call(io.BytesIO(), V)], "savetxt": [call(io.StringIO(), V)],
    "zeros_like": [call(M), call(M, dtype=np.float32), call(M, shape=(2,))], "ones_like": [call(M)],
    "empty_like": [call(M)],
    "full_like": [call(M, 2.5), call(M, V[:1]), call(V, C, shape=(2, 2)), call(V, C, np.float64)],
    "unique": [call(V), call(M, return_index=True, return_counts=True),
               call(M, return_inverse=True, axis=1)],
    "amax": [call(M, 1)], "amin": [call(M, 1)], "array_split": [call(V, 2), call(M, [1, 3], 1)],
    "astype": [call(V, np.float32)], "atleast_1d": [call(C)], "atleast_2d": [call(V)],
    "angle": [call(V), call(V, True)], "apply_along_axis": [call(np.cumsum, 0, M), call(lambda r: np.outer(r, r), 1, M)],
    "apply_over_axes": [call(np.sum, T, [0, 2])], "argpartition": [call(M, 1)], "array_equiv": [call(V, W)],
    "bincount": [call([1, 0, 2, 1], M[0]), call([1, 3, 1], V, minlength=5)], "can_cast": [call(V, np.float32)],
    "choose": [call([0, 1, 1], [V, W]), call([[0], [4]], [V, W], mode="wrap")], "common_type": [call(V)],
    "compress": [call([True, False, True], M, 0), call([True, False, True], V)], "diag_indices_from": [call(S)],
    "diagflat": [call(V, 1)], "digitize": [call(V, np.sort(W))], "einsum_path": [call("ij,jk", M, N)],
    "extract": [call(M > 0, M)], "flatnonzero": [call(M)], "frexp": [call(V)], "geomspace": [call(C, 2.0, 4), call(U, 2 * U, 3, axis=1)],
    "intersect1d": [call(V, W), call(V, W, return_indices=True)], "iscomplex": [call(V)], "isin": [call(V, V[:1])],
    "isneginf": [call(V)], "isposinf": [call(V)], "isreal": [call(V)], "ix_": [call(np.array([True, False]))],
    "ldexp": [call(V, [1, -2, 3])], "lexsort": [call(M)], "linspace": [call(C, 2.0, 5), call(V, W, 4, False, axis=1), call(C, 1.5, 3, retstep=True)],
    "logspace": [call(C, 2.0, 5), call(V, W, 3, base=2.5)], "matrix_rank": [call(S)], "min_scalar_type": [call(C)], "modf": [call(V)],
    "nanargmax": [call(M, 1)], "nanargmin": [call(M)], "nancumprod": [call(M, 1)], "nanmedian": [call(M, 1)],
    "nanpercentile": [call(M, 30, 0)], "nanquantile": [call(M, [0.25, 0.5], 1), call(M, U, 1), call(M, 0.4, axis=(0, 1), keepdims=True)],
    "partition": [call(M, 1), call(V, 1, None)],
    "piecewise": [call(M, [M < 0, M > 1], [lambda x: x * x, 2.0, lambda x: -x]), call(V, V > 0, [np.exp])],
    "polyadd": [call(V, M[0])], "polyder": [call(M[0]), call(M[0], 2)], "polyint": [call(V), call(V, 2, C)],
    "polymul": [call(V, M[0])], "polysub": [call(M[0], V)], "polyval": [call(V, W), call(V, C)], "ravel_multi_index": [call(([1], [2]), (3, 4))],
    "resize": [call(M, (2, 8)), call(V, 2)], "result_type": [call(V)], "rollaxis": [call(T, 2), call(T, 0, 3)],
    "setdiff1d": [call(V, W)], "setxor1d": [call(V, W)], "tril_indices_from": [call(S)],
    "trim_zeros": [call(V)], "triu_indices_from": [call(S, 1)], "union1d": [call(V, W)],
    "unique_all": [call(V)], "unique_counts": [call(V)], "unique_inverse": [call(M)], "unique_values": [call(M)],
    "unravel_index": [call(5, (2, 3))], "unwrap": [call(8 * M, axis=0)], "vander": [call(V), call(V, 2, True)],
    "cumprod": [call(M, 1), call(M)], "cumulative_sum": [call(M, axis=0, include_initial=True), call(V)],
    "cumulative_prod": [call(M, axis=1, include_initial=True), call(V)], "imag": [call(V)],
    "average": [call(M), call(M, 1, U.repeat(2)[:4]), call(V, weights=U)], "broadcast_to": [call(V, (2, 3))],
    "clip": [call(V, -0.9, 0.5), *newer(np.clip, V, min=C), call(M, None, np.array([0.1, 0.5, 0.2, 0.6]))],
    "concat": [call([V, W])], "concatenate": [call([V, W]), call((M, T[0]), 1), call([M, V], axis=None)],
    "copy": [call(M)], "cumsum": [call(M, 1), call(M)], "delete": [call(M, [1], 0)], "diag": [call(V), call(S, 1)],
    "diagonal": [call(S, 1), call(S, offset=1)], "diff": [call(M), call(M, 2, 0)], "dot": [call(V, W), call(M, N)],
    "cholesky": [call(P)], "cond": [call(S), call(S, 1)], "det": [call(S), call(np.stack([S, P]))], "eigh": [call(P), call(P, "U")],
    "eigvalsh": [call(P)], "inv": [call(S), call(np.stack([S, P]))], "pinv": [call(M), call(M.T)], "slogdet": [call(S), call(np.stack([S, P]))],
    "solve": [call(S, V), call(P, M), call(np.stack([S, P]), M)], "svd": [call(M, compute_uv=False)], "svdvals": [call(M)],
    "tensorinv": [call(RNG.standard_normal((2, 3, 6)))], "tensorsolve": [call(RNG.standard_normal((2, 3, 6)), M[:2, :3])],
    "i0": [call(V)],
    "einsum": [call(M, [0, 1], N, [1, 2], [0, 2]), call(S, [0, 0]), call(T, [..., 0], U.repeat(2)[:4], [0]), call("ij,jk->ik", M, N), call("ii", S), call("...j,j", T, U.repeat(2)[:4])],
    "expand_dims": [call(V, 0)], "fix": [call(V)], "flip": [call(M, 0)], "fliplr": [call(M)], "flipud": [call(M)],
    "hstack": [call([V, W]), call([M, T[1]])], "inner": [call(V, W)], "norm": [call(V), call(M, axis=1)],
    "matrix_transpose": [call(T)], "max": [call(M, 0), call(M, axis=1, keepdims=True)],
    "mean": [call(M, 0), call(M)], "median": [call(V), call(M, 1), call(T, (0, 2), keepdims=True)], "min": [call(M, 0)],
    "moveaxis": [call(T, 0, -1), call(T, [0, 1], [1, 0])], "outer": [call(V, W)],
    "pad": [call(M, 1), call(V, (1, 2), constant_values=0.5), call(M, [[1, 0], [0, 2]], "edge"),
            call(V, 1, "constant", constant_values=(0.5, 0.25)), call(M.T, 1, constant_values=[[1, 2], [3, 4]])],
    "prod": [call(M, 0)], "ptp": [call(M, 0)], "ravel": [call(M)], "repeat": [call(M, 2, 0), call(V, [1, 2, 0])],
    "reshape": [call(M, (2, 6)), call(M, -1, order="F")], "roll": [call(M, 1, 0)], "rot90": [call(M)],
    "sinc": [call(V)], "sort": [call(M), call(M, 0, kind="stable"), call(M, None)], "split": [call(V, 3), call(V, [1])],
    "squeeze": [call(M[:, :1], 1)], "stack": [call([V, W], 1)], "std": [call(M, 0), call(M, ddof=1)],
    "sum": [call(M, 0), call(M, axis=(0, 1)), call(M, 0, None, None, True)],
    "swapaxes": [call(T, 0, 1)], "take": [call(M, [0, 2], 0), call(M, 3)],
    "take_along_axis": [call(M, np.argsort(M, 1), 1)], "tensordot": [call(M, N, 1), call(M, M, [[0, 1], [0, 1]]), call(M, N, axes=1)],
    "tile": [call(V, 2)], "trace": [call(S)], "transpose": [call(T), call(T, [2, 0, 1])], "tril": [call(S)],
    "triu": [call(S, 1)], "var": [call(M, 0)], "vdot": [call(V, W)], "vstack": [call([V, W])],
    "where": [call(V > 0, V, W), call(V, 1.5, W), call(V)],
    "append": [call(M, V), call(M, M, 0)], "around": [call(V, 1)], "round": [call(V)], "atleast_3d": [call(M)], "block": [call([[S, S], [S, S]])],
    "broadcast_arrays": [call(M, V[:, None])], "column_stack": [call([V, W])], "convolve": [call(V, W, "same")], "corrcoef": [call(M)],
    "correlate": [call(V, W, "full")], "cov": [call(M), call(V, W)], "cross": [call(V, W), call(M, M[::-1] + 1, 0, 0, 0), call(M, T[0], 0, axisb=0), call(M, V, axisa=0, axisc=0)], "dsplit": [call(T, 2)], "dstack": [call([M, M])],
    "ediff1d": [call(V)], "gradient": [call(V), call(M, 0.5, axis=1), call(V, np.sort(W), edge_order=2), call(M, U, axis=0)], "hsplit": [call(M, 2)], "insert": [call(V, 1, C), call(M, [0, 2], V[:, None], 1)],
    "interp": [call(U, np.sort(V), W)], "kron": [call(M, V)], "meshgrid": [call(V, W)], "nan_to_num": [call(V)], "nancumsum": [call(M, 1)],
    "nanmax": [call(M, 0)], "nanmean": [call(M)], "nanmin": [call(M, 1)], "nanprod": [call(M, 0)], "nanstd": [call(M, 0)], "nansum": [call(M, 0)],
    "nanvar": [call(M, 1, ddof=1)], "percentile": [call(M, 30)], "quantile": [call(M, 0.3, 1), *[call(M, [0.1, 0.35, 0.8], 1, method=m) for m in QUANTILES]], "real": [call(V)], "real_if_close": [call(V)],
    "select": [call([V > 0], [V], C)], "trapezoid": [call(M), call(V, np.sort(W))], "unstack": [call(M)], "vsplit": [call(M, 3)],
    "matmul": [call(M, N)], "matrix_norm": [call(M), *[call(M, ord=o) for o in (1, -1, 2, -2, "nuc")]], "matrix_power": [call(S, 3), call(S, -2)], "multi_dot": [call([M, N])], "vecdot": [call(V, W)],
    "vector_norm": [call(V), call(M, axis=1), *[call(M, axis=1, ord=p) for p in (-2, 0, 1, 3)]],
}  # fmt: skip
# Options of these functions: taken as NumPy takes them, or refused.
OPTIONS = {
    "diff": [call(V, prepend=C), call(V, 1, -1, C, C), call(M, 2, 0, M[:1], M)], "sum": [call(M, 0, np.float64), call(M, initial=C), call(M, where=M > 0)],
    "mean": [call(M, 0, np.float64), call(M, where=V[:, None] > 0)],
    "max": [call(M, initial=C), call(M, 0, where=M > 0, initial=-9.0), call(M, where=M > 0), call(M[:0], 0, initial=C)],
    "prod": [call(M, 1, where=M > 0, keepdims=True), call(M, initial=C, dtype=np.float32)],
    "var": [call(M, 1, where=M > -1), call(M, 0, np.float64, None, 1, True), call(M, ddof=1, correction=1)],
    "pad": [call(V, 1, mode="linear_ramp", end_values=C), call(V, 1, mode="mean"), call(V, 1, "maximum", stat_length=2)],
    "median": [call(M, (0, 1)), call(M, keepdims=True)], "average": [call(M, returned=True), call(M, 1, M * M, returned=True, keepdims=True)],
    "einsum": [call("ij,jk", M, N, dtype=np.float32), call(M, [0, 1], [1, 0])], "sort": [call(V, order="a")],
    "trace": [call(S, 0, 0, 1, np.float32)], "std": [call(M, correction=1), call(M, mean=C), call(M, 1, where=M > -1, mean=M[:, :1])],
    "stack": [call([V, W], dtype=np.float32)], "concatenate": [call([V, W], casting="no")], "copy": [call(M, "F")],
    "clip": [call(V, C, None, dtype=np.float32)], "norm": [call(S, "nuc"), call(T, 2, (0, 2)), call(S, 1, keepdims=True), call(S, None), call(V, 0), call(V, -1)], "reshape": newer(np.reshape, M, 12, copy=True),
    "cumsum": [call(M, 0, np.float32)], "take": [call(M, 3, mode="wrap")],
}  # fmt: skip
DOMAIN = {"arccosh": U + 1, "log": U, "log2": U, "log10": U, "sqrt": U, "power": U, "float_power": U, "arcsin": U - 0.6,
          "arccos": U - 0.6, "arctanh": U - 0.6, "cbrt": U, "bitwise_and": V > 0, "bitwise_or": V > 0,
          "bitwise_xor": V > 0, "invert": V > 0, "log1p": U, "matvec": S, "vecmat": S}  # fmt: skip
# Of floats, but the same whatever the node's are.
CONSTANT = {"zeros_like", "ones_like", "empty_like", "full_like", "imag", "intersect1d", "setdiff1d"}


def public(module):
    for name in dir(module):
        function = getattr(module, name)
        if name.startswith("_") or not callable(function) or isinstance(function, (type, ModuleType)):
            continue
        if not re.search(r"^\.\. deprecated::", inspect.getdoc(function) or "", re.MULTILINE):
            yield name, function


DISPATCHED = {prefix + name: f for prefix, module in (("", np), ("linalg.", np.linalg), ("fft.", np.fft))
              for name, f in public(module) if isinstance(f, Dispatched)}  # fmt: skip
UFUNCS = {name: f for name, f in public(np) if isinstance(f, np.ufunc)}
CALLS = [
    (name, f, *sample)
    for name, f in DISPATCHED.items()
    for sample in SAMPLES.get(name if f not in IMPLEMENTATIONS else f.__name__, [])
    if not name.startswith("linalg.") or taken(f, *sample)
]
ALL = DISPATCHED | UFUNCS
MAYBE = [(name, DISPATCHED.get(name, np.linalg.norm), *sample) for name, calls in OPTIONS.items() for sample in calls]
CALLS += [(name, f, *sample) for name, f in UFUNCS.items() for sample in SAMPLES.get(name, [])]
CALLS += [
    (name, f, (DOMAIN.get(f.__name__, V), *[DOMAIN.get(f.__name__, U)] * (f.nin - 1)), {})
    for name, f in UFUNCS.items()
    if name not in SAMPLES
]
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(CALLS)]


def is_float(x):
    return isinstance(x, float) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")


def places(given, path=()):
    """Where floats stand in ``given``, a nest of lists and dicts."""
    items = given.items() if isinstance(given, dict) else enumerate(given)
    for key, x in items:
        if is_float(x):
            yield (*path, key)
        elif isinstance(x, (list, tuple, dict)):
            yield from places(x, (*path, key))


def at(given, path):
    return at(given[path[0]], path[1:]) if path else given


def put(given, path, x):
    if not path:
        return x
    if isinstance(given, dict):
        return given | {path[0]: put(given[path[0]], path[1:], x)}
    changed = list(given)
    changed[path[0]] = put(given[path[0]], path[1:], x)
    return type(given)(changed)


def with_each_float(args, kwargs):
    """(path, value, a function of that value) for every float of a call."""
    for path in places((args, kwargs)):
        yield path, at((args, kwargs), path), lambda x, path=path: put((args, kwargs), path, x)


def leaves_of(y):
    return [z for part in y for z in leaves_of(part)] if isinstance(y, (list, tuple)) else [y]


def applied(function, full):
    """function(*args, **kwargs) as a function of one value in them."""

    def f(x):
        args, kwargs = full(x)
        return function(*args, **kwargs)

    return f


def refusal(name, error):
    text = str(error.__cause__ or error)  # NumPy makes a ValueError of what float(node) raises
    names = [n for n, f in ALL.items() if f is ALL.get(name)] or [name]
    assert any(n in text for n in names), f"{name} is not named: {text}"
    assert any(hint in text for hint in ("wanted", "use ", "has no Jacobian")), f"no way out: {text}"


def check(name, function, value, full):
    """One call with one node: whether it is differentiated (True), answers without derivative (None) or refuses (False)."""
    called = function.__name__

    f, p = applied(function, full), mg.parameter(value)
    try:
        found = f(p)
    except (TypeError, ValueError) as error:
        refusal(called, error)
        with pytest.raises((TypeError, ValueError)) as again:
            mg.vjp(f, p.value)
        refusal(called, again.value)
        return False
    plain, found, h = leaves_of(f(np.asarray(value)[()])), leaves_of(found), 1e-6
    v = np.random.default_rng(1).standard_normal(np.shape(value))
    ahead, behind = leaves_of(f(value + h * v)), leaves_of(f(value - h * v))
    differentiated = None
    assert len(found) == len(plain)
    for i, (y, z) in enumerate(zip(found, plain, strict=True)):
        if isinstance(y, mg.Node):
            np.testing.assert_allclose(y.value, z, rtol=1e-7 if y.dtype == np.float64 else 1e-6)
            assert y.dtype == np.asarray(z).dtype
        if isinstance(y, mg.Node) and y.dtype.kind == "f":
            differentiated = True
            slope, g = (ahead[i] - behind[i]) / (2 * h), np.ones(y.shape, y.dtype)
            (c,) = Tape.of(y).pull(g, [p])
            tolerance = {"rtol": 1e-6, "atol": 1e-7} if y.dtype == np.float64 else {"rtol": 0.2, "atol": 0.1}
            np.testing.assert_allclose(0 if c is None else np.sum(c * v), np.sum(slope), **tolerance)
            tangent = mg.jvp(lambda x, i=i: leaves_of(f(x))[i], p.value, v)[1]
            np.testing.assert_allclose(tangent, slope, **tolerance)
        elif name not in CONSTANT and not isinstance(y, mg.Node):
            assert y is None or isinstance(y, (int, str, bool, type, np.dtype)) or np.asarray(y).dtype.kind in "iub", y
            if "memory" not in name:  # of a parameter, which has a copy
                np.testing.assert_array_equal(y, z)
    return differentiated


@pytest.mark.parametrize(("name", "function", "args", "kwargs"), CALLS, ids=IDS)
def test_every_function_differentiates_answers_or_refuses(name, function, args, kwargs):
    results = [check(name, function, value, full) for _, value, full in with_each_float(args, kwargs)]
    if function in IMPLEMENTATIONS and results:
        without = name in QUERIES | CONSTANT
        assert without or results[0] is not False


@pytest.mark.parametrize(
    ("name", "function", "args", "kwargs"), MAYBE, ids=[f"{m[0]}-{i}" for i, m in enumerate(MAYBE)]
)
def test_every_option_is_taken_as_numpy_takes_it_or_refused(name, function, args, kwargs):
    for _, value, full in with_each_float(args, kwargs):
        check(name, function, value, full)


@pytest.mark.parametrize("name", [name for name, f in DISPATCHED.items() if f not in {g for _, g, *_ in CALLS}])
def test_every_other_function_is_refused_by_name(name):
    p = mg.parameter(V)
    with pytest.raises(TypeError, match=f"np.*{DISPATCHED[name].__name__} has no Jacobian"):
        p.__array_function__(DISPATCHED[name], (mg.Node,), (p,), {})
    assert DISPATCHED[name] not in IMPLEMENTATIONS


def split_up(x):
    """A list of nodes, as someone makes who collects results."""
    return [x[i] for i in range(len(x))]


@pytest.mark.parametrize(("name", "function", "args", "kwargs"), CALLS, ids=IDS)
def test_lists_of_nodes_lose_no_derivative(name, function, args, kwargs):
    written = eval(f"lambda *args, **kwargs: np.{name}(*args, **kwargs)")  # as users write it
    written.__name__ = function.__name__
    for path, value, full in with_each_float(args, kwargs):
        if np.ndim(value) and len(path) == 2:
            args_, kwargs_ = full(value.tolist())
            try:
                answer = function(*args_, **kwargs_)
            except (TypeError, AttributeError):  # NumPy itself wants an array
                continue
            if isinstance(answer, list) and isinstance(answer[0], float):  # a part of the list, in an older NumPy
                continue
            check(name, written, value, lambda x, full=full: full(split_up(x) if isinstance(x, mg.Node) else x))


@pytest.mark.parametrize("name", [name for name, f in DISPATCHED.items() if f in IMPLEMENTATIONS])
def test_no_result_is_written_into_an_array(name):
    function, (args, kwargs) = DISPATCHED[name], SAMPLES[DISPATCHED[name].__name__][0]
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:  # a function in C of an older NumPy
        names = re.findall(r"\bout(?==None)", function.__doc__.partition("\n\n")[0])
    if "out" not in names:
        return
    args = [
        mg.parameter(a)
        if is_float(a)
        else [mg.parameter(x) for x in a]
        if isinstance(a, list) and is_float(a[0])
        else a
        for a in args
    ]
    with pytest.raises(TypeError, match="out= is not possible"):
        function(*args, out=np.zeros(3), **kwargs)
    if (
        names[0] not in ("operands", "out")
        and inspect.signature(function).parameters["out"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ):
        defaults = [inspect.signature(function).parameters[n].default for n in names[len(args) : names.index("out")]]
        filled = [kwargs.get(n, d) for n, d in zip(names[len(args) :], defaults, strict=False)]
        with pytest.raises(TypeError, match="out= is not possible"):
            function(*args, *filled, np.zeros(3))


@pytest.mark.parametrize("function", [np.sum, np.mean, np.max, np.min, np.prod, np.var, np.std, np.ptp, np.linalg.norm])
def test_axes_that_can_be_read_once_are_read_once(function):
    p = mg.parameter(T)
    np.testing.assert_allclose(function(p, axis=(a for a in (0, 2))), function(p, axis=(0, 2)))


def test_no_argument_is_left_unread():
    with pytest.raises(TypeError, match="out= is not possible|got 3 arguments for a node; wanted at most 2"):
        np.dot(P, W, np.zeros(()))


@pytest.mark.parametrize("name", UFUNCS)
@pytest.mark.parametrize("method", ["reduce", "accumulate", "reduceat", "outer", "at"])
def test_every_method_of_ufuncs_differentiates_or_refuses(name, method):
    ufunc = UFUNCS[name]
    args = {"reduceat": ([0, 2],), "outer": (W,), "at": ([0], W[:1])}.get(method, ())
    if ufunc.signature or ufunc.nout != 1 or (method != "at" and ufunc.nin != 2):
        return  # which has no such method
    args = args[: ufunc.nin] if method == "at" else args

    def function(x, *given, **options):
        return getattr(ufunc, method)(x, *given, **options)

    function.__name__ = f"{ufunc.__name__}.{method}"
    a, b = DOMAIN.get(ufunc.__name__, M), DOMAIN.get(ufunc.__name__, W)
    if method == "outer" and isinstance(IMPLEMENTATIONS.get(ufunc), Elementwise):
        if a.dtype == float and name not in SAMPLES:
            assert check(name, function, a, lambda x: ((x, b), {})) is not False
            assert check(name, function, b, lambda x: ((a, x), {})) is not False
    elif method == "outer" and ufunc in IMPLEMENTATIONS:  # composed, or of integers
        assert np.array_equal(np.asarray(ufunc.outer(mg.constant([1, 2]), [3, 4])), ufunc.outer([1, 2], [3, 4]))
    elif (ufunc, method) not in IMPLEMENTATIONS:
        with pytest.raises(TypeError, match=f"np.{ufunc.__name__}.{method} has no Jacobian"):
            getattr(ufunc, method)(mg.parameter(V), *args)
    else:
        assert check(name, function, M, lambda x: ((x,), {})) is not False
        kept = [{"axis": (0, 1), "keepdims": True}, {"axis": None}, {"initial": 2.0}, {"initial": 1.0, "where": M > 0}]
        for options in ({"axis": 1}, {"dtype": np.float32}, *(kept if method == "reduce" else ())):
            check(name, function, M, lambda x, options=options: ((x,), options))


METHODS = {
    "all": (), "any": (1,), "argmax": (0,), "argmin": (), "clip": (-0.5, 0.5), "copy": (), "cumsum": (1,), "dot": (N,),
    "flatten": (), "max": (0,), "mean": (1,), "min": (0,), "prod": (1,), "ravel": (), "reshape": (2, 6), "squeeze": (),
    "std": (0,), "sum": (1, None, None, True), "swapaxes": (0, 1), "transpose": (1, 0), "var": (1,),
    "astype": (np.float32,), "argpartition": (1,), "argsort": (1,), "compress": ([True, False, True], 0), "conj": (),
    "conjugate": (), "cumprod": (1,), "diagonal": (1,), "nonzero": (), "repeat": (2, 0), "round": (1,),
    "take": ([1, 2], 0), "trace": (), "sort": (),
}  # fmt: skip
PROPERTIES = {"T", "mT", "real", "imag"}
ATTRIBUTES = {"shape", "dtype", "size", "ndim", "nbytes"}
NUMBERS = {"item", "tolist"}


@pytest.mark.parametrize("name", [name for name in dir(np.ndarray) if not name.startswith("_")])
def test_every_attribute_of_arrays_is_as_there_or_refused(name):
    if name in METHODS:

        def method(x, *args):
            return getattr(x, name)(*args)

        method.__name__ = name
        check(name, method, M, lambda x: ((x, *METHODS[name]), {}))
    elif name in PROPERTIES:
        check(name, lambda x: getattr(x, name), M, lambda x: ((x,), {}))
    elif name == "searchsorted":
        np.testing.assert_array_equal(mg.parameter(np.sort(V)).searchsorted(U), np.sort(V).searchsorted(U))
    elif name in ATTRIBUTES:
        assert getattr(mg.parameter(M), name) == getattr(M, name)
    elif name not in NUMBERS:
        with pytest.raises(
            AttributeError, match=rf"Parameter does not have the array method \.{name}; use (np\.{name}|node\.value)"
        ):
            getattr(mg.parameter(M), name)


def stored(z):
    a = np.zeros(1)
    a[0] = z
    return a


# What hands out the numbers of a node of one entry.
NUMBERS_OF = {
    "float": float, "int": int, "complex": complex, "item": lambda z: z.item(), "tolist": lambda z: z.tolist(),
    "asarray": np.asarray, "array of list": lambda z: np.array([z, z]), "fromiter": lambda z: np.fromiter([z], float),
    "stored": stored, "math": math.sqrt, "struct": lambda z: struct.pack("d", z), "float64": np.float64,
    "full": lambda z: np.full(2, z), "arange": lambda z: np.arange(z, 3.0), "add of list": lambda z: np.add([z], 1),
    "dot of list": lambda z: np.dot([z, z], V[:2]), "method of array": lambda z: V.dot(z),
    "masked": lambda z: np.ma.array(V) * z, "vectorized": lambda z: np.vectorize(float)(z),
    "polynomial": lambda z: np.polynomial.Polynomial([z, 1.0]), "random": lambda z: np.random.default_rng(0).normal(z),
    "deepcopy": copy.deepcopy, "copy": lambda z: copy.copy(z), "pickle": pickle.dumps,
    "buffer": memoryview, "save": lambda z: np.save(io.BytesIO(), z), "index": operator.index, "fsum": lambda z: math.fsum([z]),
    "solver": lambda z: scipy.linalg.solve([[1.0]], np.reshape(z, (1, 1))), "logsumexp": scipy.special.logsumexp,
    "testing": lambda z: np.testing.assert_allclose(z, z), "quad": lambda z: scipy.integrate.quad(lambda t: z, 0, 1),
}  # fmt: skip


@pytest.mark.parametrize("how", NUMBERS_OF)
def test_no_number_leaves_a_function_that_is_being_differentiated(how):
    with pytest.raises((TypeError, ValueError, struct.error)):
        mg.grad(lambda z: z * (NUMBERS_OF[how](z) is None))(1.0)


def test_text_and_answers_may_leave_a_function_that_is_being_differentiated():
    def f(z):
        assert f"{z:.1f} {z}" and repr(z) and bool(z > 0) and np.array2string(z) and np.argmax(z) == 0 and z == 1.5
        return z * z

    assert mg.grad(f)(1.5) == 3


P = mg.parameter(V)
# Functions of NumPy and SciPy that are written for plain arrays only.
OUTSIDE = {
    "mean of list": lambda p: np.mean([p[0], p[1]]), "median of list": lambda p: np.median([p[0], p[1]]),
    "masked": lambda p: np.ma.array(V) * p, "masked sum": lambda p: np.ma.sum(p), "full": lambda p: np.full(2, p[0]),
    "padded": lambda p: np.pad(V, 1, constant_values=p[0]), "logsumexp": lambda p: scipy.special.logsumexp(p),
    "softmax": lambda p: scipy.special.softmax(p), "vectorized": lambda p: np.vectorize(lambda a: a + 1)(p),
    "polynomial": lambda p: np.polynomial.Polynomial(p)(2.0), "polyval": lambda p: np.polynomial.polynomial.polyval(2.0, p),
    "convolved": lambda p: scipy.signal.convolve(p, W), "filtered": lambda p: scipy.ndimage.gaussian_filter1d(p, 1.0),
    "transformed": lambda p: scipy.fft.fft(p), "interpolated": lambda p: scipy.interpolate.CubicSpline(range(3), p)(0.5),
    "sparse times": lambda p: (sp.csr_array(S) * p).toarray(), "sparse of": lambda p: sp.csr_array(p[None]).toarray(),
    "norm of list": lambda p: np.linalg.norm([p[0], p[1]]),
    "covariance": lambda p: np.cov([p, W]), "dot": lambda p: W.dot(p), "dot of list": lambda p: np.dot([p[0], p[1]], W[:2]),
    "times list": lambda p: W * [p[0], p[1], p[2]], "add of list": lambda p: np.add([p[0], p[1]], 1.0),
    "range": lambda p: np.arange(p[0], 3.0), "random": lambda p: np.random.default_rng(0).normal(p),
    "choice": lambda p: np.random.default_rng(0).permutation(p),
    "where list": lambda p: np.where(W > 0, [p[0], p[1], p[2]], W), "joined": lambda p: np.concatenate([[p[0]], [p[1]]]),
}  # fmt: skip


@pytest.mark.parametrize("how", OUTSIDE)
def test_libraries_take_no_parameter_as_a_plain_array(how):
    f = OUTSIDE[how]
    for node in (P, P * 2.0, 1.0 - np.sin(P)):
        with pytest.raises((TypeError, ValueError)) as error:
            f(node)
        text = str(error.value.__cause__ or error.value)
        assert "leaves the graph" in text or "has no Jacobian" in text, text
    with mg.no_grad():
        np.testing.assert_allclose(f(P), f(V))
    np.testing.assert_allclose(f(mg.constant(V) * 2.0), f(V * 2.0))


SPD = S @ S.T + np.eye(3)
SOLVERS = {
    "gmres": lambda p: gmres(SPD, p, rtol=1e-12)[0], "cg": lambda p: cg(SPD, p, rtol=1e-12)[0],
    "gmres from": lambda p: gmres(SPD, W, x0=p, rtol=1e-12)[0], "lsmr": lambda p: lsmr(SPD, p, atol=1e-12, btol=1e-12)[0],
    "spsolve": lambda p: spsolve(sp.csc_array(SPD), p), "solve": lambda p: scipy.linalg.solve(SPD, p),
    "expm": lambda p: scipy.linalg.expm(np.outer(p, p)), "svd": lambda p: scipy.linalg.svdvals(np.outer(p, p)),
    "operator": lambda p: LinearOperator((3, 3), matvec=lambda v: SPD @ v) @ p,
    "reflected operator": lambda p: p @ LinearOperator((3, 3), matvec=lambda v: SPD @ v, rmatvec=lambda v: SPD @ v),
    "minimize": lambda p: scipy.optimize.minimize(lambda x: np.sum((p - x) ** 4 + (p - x) ** 2), p * 0.5, jac=lambda x: 4 * (x - p) ** 3 + 2 * (x - p)).x,
    "least squares": lambda p: scipy.optimize.least_squares(lambda x: np.sin(x) - 0.1 * p, p).x,
    "root": lambda p: scipy.optimize.root(lambda x: np.tanh(x) - 0.1 * p, 0.1 * V).x,
    "brentq": lambda p: scipy.optimize.brentq(lambda t: p[0] - t, -3.0, 3.0),
    "solve_ivp": lambda p: scipy.integrate.solve_ivp(lambda t, y: -y * p, (0.0, 1.0), p).y[:, -1],
    "quad": lambda p: scipy.integrate.quad(lambda t: p[0] * t, 0.0, 1.0)[0],
    "trapezoid": lambda p: scipy.integrate.trapezoid(p),
}  # fmt: skip


@pytest.mark.parametrize("how", SOLVERS)
def test_solvers_take_nodes_as_plain_arrays(how):
    f = SOLVERS[how]
    np.testing.assert_allclose(f(P), f(V), rtol=1e-5, atol=1e-7)


def test_plots_take_nodes():
    plot = {"__name__": "matplotlib.lines", "np": np}
    exec(
        "def plot(ys): return np.concatenate([np.atleast_1d(ys), np.column_stack([ys, ys])[0], np.dot(ys, np.eye(2))])",
        plot,
    )
    np.testing.assert_array_equal(plot["plot"]([P[0], P[1]]), [V[0], V[1], V[0], V[0], V[0], V[1]])
    assert plot["plot"](P[:2] * 1.0).tolist() == [V[0], V[1], V[0], V[0], V[0], V[1]]


def test_comparisons_in_tests_take_nodes():
    np.testing.assert_allclose(P, V)
    np.testing.assert_array_equal(P * 2.0, V * 2.0)
    np.testing.assert_almost_equal(P[0], V[0])
    assert P.value.tolist() == P.tolist() and float(P[0]) == P[0].item() == V[0]


def test_who_asks_for_plain_numbers_outside_of_transforms_gets_them():
    a, z = np.zeros(3), P[2] * 1.0
    a[0], a[1:] = z, P[:2]
    np.testing.assert_array_equal(a, [V[2], V[0], V[1]])
    assert math.sqrt(z) == math.sqrt(V[2]) and math.floor(z) == 0 and f"{z:.1f}" == "0.7" and np.float64(z) == z.item()
    assert np.asarray(P).tolist() == P.tolist() == np.array([P[0], P[1], P[2]]).tolist() == [float(x) for x in P]
    assert np.asarray(P, dtype=np.float32).dtype == np.float32 and list(map(np.asarray, P)) == list(V)
    assert np.argmax([P[0], P[1], P[2]]) == 2 and np.array_equal(np.ascontiguousarray(P), V)
    loss = np.sum(P * P)
    loss.backward()
    assert np.mean([loss, loss]) == loss.value  # no derivative is left to lose


def test_operators_in_place():
    a, y = np.ones(3), P * 1.0
    with pytest.raises(TypeError, match="out= is not possible"):
        a *= P
    y += 1.0
    np.testing.assert_array_equal(y.value, V + 1)
    with pytest.raises(TypeError, match="assign p.value"):
        P.__iadd__(1.0)


@pytest.mark.parametrize("dtype", [object, "U3", "datetime64[s]", "V4"])
def test_a_spec_is_of_numbers(dtype):
    with pytest.raises(TypeError, match="Spec: got dtype .*; wanted a dtype of numbers"):
        mg.Spec((2,), dtype)


class Foreign:
    """A class of arrays with operators of its own."""

    __array_ufunc__ = None

    def answer(self, other):
        return "mine"

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = answer
    __pow__ = __rpow__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = __matmul__ = __rmatmul__ = answer
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __divmod__ = __rdivmod__ = answer
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = answer
    __hash__ = object.__hash__


class Units(Foreign):
    """One with ufuncs and functions of its own."""

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        return "mine"

    def __array_function__(self, function, types, args, kwargs):
        return "mine"


ARITHMETIC = [
    getattr(operator, name) for name in "add sub mul truediv pow mod floordiv matmul and_ or_ xor".split()
] + [divmod]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("operation", ARITHMETIC + COMPARISONS)
def test_operators_defer_to_operands_that_are_no_arrays(operation):
    for foreign in (Foreign(), Units()):
        assert operation(P, foreign) == operation(foreign, P) == "mine"
    for stranger in (object(), None, "a", b"a", {}, {1.0}, Path("a"), Fraction(1, 2), len):
        for a, b in ((P, stranger), (stranger, P)):
            if operation in (operator.eq, operator.ne):
                assert operation(a, b) is (operation is operator.ne)
            elif (operation, type(a)) in ((operator.mod, str), (operator.mod, bytes)):
                continue  # formats
            elif (operation, Fraction) in ((operator.pow, type(a)), (operator.pow, type(b))):
                continue  # Fraction makes a float of itself
            else:
                with pytest.raises(
                    TypeError, match="unsupported operand|not supported between|can't (concat|multiply)|concatenate"
                ):
                    operation(a, b)
    for sparse in (sp.csr_array(S), sp.coo_array(S), sp.csr_matrix(S)):
        if operation is operator.matmul:
            np.testing.assert_allclose((sparse @ P).value, S @ V)
            np.testing.assert_allclose((P @ sparse).value, V @ S)
        else:
            for a, b in ((P, sparse), (sparse, P)):
                if operation is operator.pow and a is sparse:
                    continue  # SciPy's own refusal
                with pytest.raises(TypeError, match="unsupported operand|wanted|leaves the graph"):
                    operation(a, b)


def test_functions_defer_to_foreign_arrays():
    assert np.add(P, Units()) == np.concatenate([P, Units()]) == np.where(P > 0, P, Units()) == "mine"
    assert None not in [P] and P != None and not P == None  # noqa: E711


@pytest.mark.parametrize("operation", ARITHMETIC + COMPARISONS)
def test_operators_are_numpys_for_arrays_lists_and_numbers(operation):
    a, b = (V > 0, W > 0) if operation in ARITHMETIC[-4:-1] else (np.abs(V), np.abs(W))
    for other in (b, b.tolist(), tuple(b.tolist()), b[0], b[0].item(), np.float32(2), 2, mg.constant(b)):
        if (
            operation in ARITHMETIC[-4:-1]
            and isinstance(other, (int, float, np.floating))
            and not isinstance(other, bool)
        ):
            continue
        if operation is operator.matmul and np.ndim(other) == 0:
            continue
        plain = other.value if isinstance(other, mg.Node) else other
        for found, expected in (
            (operation(mg.constant(a), other), operation(a, plain)),
            (operation(other, mg.constant(a)), operation(plain, a)),
        ):
            np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize(("name", "function", "args", "kwargs"), CALLS, ids=IDS)
def test_every_function_infers_or_refuses_specs(name, function, args, kwargs):
    for _, value, full in with_each_float(args, kwargs):
        f = applied(function, full)
        for abstract in (mg.Spec(np.shape(value), np.float64), mg.constant(mg.Spec(np.shape(value), np.float64))):
            try:
                found = leaves_of(f(abstract))
            except (TypeError, mg.GraphError) as error:
                text = str(error.__cause__ or error)
                assert any(word in text for word in ("wanted", "use ", "has no Jacobian", "has no value", "cannot")), (
                    text
                )
                continue
            for y, z in zip(found, leaves_of(f(np.asarray(value)[()])), strict=True):
                if isinstance(y, mg.Node):
                    assert (y.shape, y.dtype) == (np.shape(z), np.asarray(z).dtype)
                else:
                    assert name in ("shape", "size", "ndim") or isinstance(y, (bool, np.bool_))


HUGE = 10**30
AXES = [7, -9, HUGE, "a", 1.5, [0.5]]
INTEGERS = [HUGE, "a", 1.5, 1j]
# Function, arguments with a gap, and what must not stand in the gap.
WRONG = [
    *[(f, lambda x, w, f=f: f(x, axis=w), AXES) for f in (mg.ops.flip, mg.ops.squeeze, mg.ops.expand_dims, mg.ops.diff, mg.ops.sort, mg.ops.median)],
    (mg.ops.roll, lambda x, w: mg.ops.roll(x, 1, w), AXES), (mg.ops.roll, lambda x, w: mg.ops.roll(x, w), ["a", {}]),
    (mg.ops.repeat, lambda x, w: mg.ops.repeat(x, 2, w), AXES), (mg.ops.repeat, lambda x, w: mg.ops.repeat(x, w), [-1, HUGE, "a", 1j]),
    (mg.ops.take, lambda x, w: mg.ops.take(x, [0], w), AXES), (mg.ops.take, lambda x, w: mg.ops.take(x, w), [99, -99, [0, 99], HUGE, "a", 1j]),
    (mg.ops.delete, lambda x, w: mg.ops.delete(x, 0, w), AXES), (mg.ops.delete, lambda x, w: mg.ops.delete(x, w, 0), [99, *INTEGERS]),
    (mg.ops.tile, lambda x, w: mg.ops.tile(x, w), [-1, *INTEGERS]),
    (mg.ops.reshape, lambda x, w: mg.ops.reshape(x, w), [-2, (7, 7), (-1, -1), (5, -1), (3, "b"), *INTEGERS]),
    (mg.ops.broadcast_to, lambda x, w: mg.ops.broadcast_to(x, w), [(3,), (-1, 4), (3, 5), *INTEGERS]),
    (mg.ops.transpose, lambda x, w: mg.ops.transpose(x, w), [(0,), (0, 0), (0, 7), (0, HUGE), "a", (0, 1.5)]),
    (mg.ops.moveaxis, lambda x, w: mg.ops.moveaxis(x, w, 0), AXES), (mg.ops.moveaxis, lambda x, w: mg.ops.moveaxis(x, w, 0), [[0, 1]]),
    (mg.ops.swapaxes, lambda x, w: mg.ops.swapaxes(x, 0, w), AXES), (mg.ops.rot90, lambda x, w: mg.ops.rot90(x, axes=w), [(0, 7), (0, 0), (0,), (0, "b")]),
    (mg.ops.tril, lambda x, w: mg.ops.tril(x, w), ["a", HUGE, 1j]), (mg.ops.diag, lambda x, w: mg.ops.diag(x[None] if w else x[0, 0], 0), [0, 1]),
    (mg.ops.diagonal, lambda x, w: mg.ops.diagonal(x, w), INTEGERS), (mg.ops.diagonal, lambda x, w: mg.ops.diagonal(x, 0, 0, w), [0, *AXES[:5]]),
    (mg.ops.take_along_axis, lambda x, w: mg.ops.take_along_axis(x, w, 0), [np.zeros((1, 4), float), [[0]], np.full((1, 4), 9)]),
    (mg.ops.ravel, lambda x, w: mg.ops.ravel(x, w), ["a", 7, 1.5]),
    (mg.ops.pad, lambda x, w: mg.ops.pad(x, w), [-1, (1, 2, 3), [[1, 2], [3]], [[1, -1]], {7: 1}, {"a": 1}, *INTEGERS]),
    (mg.ops.pad, lambda x, w: mg.ops.pad(x, 1, constant_values=w), ["a", [1, 2, 3], [[1, 2], [3]], object()]),
    (mg.ops.pad, lambda x, w: mg.ops.pad(x, 1, w), ["mean", 7, None]),
    (mg.ops.concatenate, lambda x, w: mg.ops.concatenate([x, x], w), [7, -9, HUGE, "a", 1.5, [0]]),
    (mg.ops.concatenate, lambda x, w: mg.ops.concatenate(w(x)), [lambda x: [], lambda x: 7, lambda x: [x, x[0]], lambda x: [x, "a"], lambda x: [x, x[:, 1:]]]),
    (mg.ops.stack, lambda x, w: mg.ops.stack([x, x], w), [7, -9, HUGE, "a", 1.5, [0], None]),
    (mg.ops.stack, lambda x, w: mg.ops.stack(w(x)), [lambda x: [], lambda x: 7, lambda x: [x, x[0]], lambda x: [x, None]]),
    (mg.ops.hstack, lambda x, w: mg.ops.hstack(w(x)), [lambda x: [], lambda x: 7, lambda x: "a"]),
    (mg.ops.vstack, lambda x, w: mg.ops.vstack(w(x)), [lambda x: [], lambda x: 7, lambda x: "a"]),
    (mg.ops.split, lambda x, w: mg.ops.split(x, w), [0, -1, 2, "a", 1.5, [0.5], None, HUGE]), (mg.ops.split, lambda x, w: mg.ops.split(x, 1, w), AXES),
    (mg.ops.array_split, lambda x, w: mg.ops.array_split(x, w), [0, -1, "a", 1.5, [0.5], None]),
    (mg.ops.array_split, lambda x, w: mg.ops.array_split(x, 1, w), AXES),
    (mg.ops.diff, lambda x, w: mg.ops.diff(x, w), [-1, "a", 1.5, None]), (mg.ops.median, lambda x, w: mg.ops.median(x[:, :0], w), [1]),
    (mg.ops.astype, lambda x, w: mg.ops.astype(x, w), ["foo", "complex128", object, 7, "f2", "U3"]),
    (np.size, lambda x, w: np.size(mg.constant(x) if isinstance(x, np.ndarray) else x, w), AXES), (mg.flatten, lambda x, w: mg.flatten(x, w), [-1, 7, "a", 1.5, None]),
    (mg.ops.trace, lambda x, w: mg.ops.trace(x, w), INTEGERS), (mg.ops.trace, lambda x, w: mg.ops.trace(x[0], w), [0]),
    (mg.ops.getitem, lambda x, w: mg.ops.getitem(x, w), [7, -9, HUGE, "a", 1.5, (0, 0, 0), [0, 9], [0.5], [[0], [0, 1]], slice("a"), slice(0, 4, 0), np.ones(5, bool), {}]),
    (mg.ops.matmul, lambda x, w: mg.ops.matmul(x, w), [2.0, V, "a", None, [[1.0], [1.0, 2.0]], sp.csr_array(S), sp.coo_array(W)]),
    (mg.ops.dot, lambda x, w: mg.ops.dot(x, w), [V, "a", None, object()]), (mg.ops.inner, lambda x, w: mg.ops.inner(x, w), [V, "a", None]),
    (mg.ops.vdot, lambda x, w: mg.ops.vdot(x, w), [V, "a", None]), (mg.ops.outer, lambda x, w: mg.ops.outer(x, w), ["a", None]),
    (mg.ops.tensordot, lambda x, w: mg.ops.tensordot(x, M, w), [1, 3, -1, HUGE, "a", 1.5, None, [0], [[0], [7]], [[0, 0], [0, 1]], [[0], [0, 1]], [["a"], [0]], [[0], [0], [0]]]),
    (mg.ops.einsum, lambda x, w: mg.ops.einsum(w, x, M), ["ij", "ij,jk->ik", "ij,kl->im", "i,ij", "ij,i->", "ij->i->j", "i.,ij", "ij,ij->ii", "i1,ij", None, 7, ["ij,ij"], "...ijk,ij"]),
    (mg.ops.einsum, lambda x, w: mg.ops.einsum("ij,jk", x, w), [V, "a", None, object(), 2.0]),
    (mg.linear, lambda x, w: mg.linear(x, w), [V, M.T, "a", None, 2.0, [[1.0], [1.0, 2.0]]]),
    (mg.linear, lambda x, w: mg.linear(x, M, w), [V[:2], "a", 2.0]),
]  # fmt: skip
# Functions of other functions, under whose names their nodes are recorded.
COMPOSED = {"trace": ["diagonal"], "dot": ["tensordot", "multiply"], "inner": ["tensordot", "multiply"],
            "vdot": ["tensordot", "ravel"], "outer": ["ravel"], "matmul": ["sparse @ node"]}  # fmt: skip
WRONG = [(f, g, w) for f, g, wrong in WRONG for w in wrong]


@pytest.mark.parametrize(
    ("function", "of", "wrong"), WRONG, ids=[f"{f.__name__}-{i}" for i, (f, *_) in enumerate(WRONG)]
)
def test_wrong_arguments_are_named(function, of, wrong):
    for x in (mg.parameter(M), M, mg.constant(mg.Spec(M.shape, M.dtype)), mg.constant(M)):
        with pytest.raises((TypeError, ValueError, IndexError)) as error:
            of(x, wrong)
        text = str(error.value)
        names = (function.__name__, *COMPOSED.get(function.__name__, ()))
        assert any(name in text for name in names) and (
            "got" in text and "wanted" in text or type(error.value) is IndexError
        ), text


CHANGING = {
    "pad": (lambda x, k: mg.ops.pad(x, k), [1, 1], [0, 2]), "pad values": (lambda x, k: mg.ops.pad(x, 1, constant_values=k), [1, 2], [3, 4]),
    "split": (lambda x, k: mg.ops.split(x, k, 1)[1], [1, 2], [2, 3]), "array_split": (lambda x, k: mg.ops.array_split(x, k)[1], [1, 2], [0, 1]),
    "take": (lambda x, k: mg.ops.take(x, k, 0), [0, 1], [1, 2]), "delete": (lambda x, k: mg.ops.delete(x, k, 0), [0], [1]),
    "getitem": (lambda x, k: x[k], [0, 1], [2, 2]), "second key": (lambda x, k: x[:, k], [0, 1], [2, 2]),
    "mask": (lambda x, k: x[k], [True, False, True], [False, True, True]),
    "roll": (lambda x, k: mg.ops.roll(x, k, (0, 1)), [1, 0], [0, 2]), "roll axis": (lambda x, k: mg.ops.roll(x, (1, 0), k), [0, 1], [1, 0]),
    "tile": (lambda x, k: mg.ops.tile(x, k), [2, 1], [1, 2]), "repeat": (lambda x, k: mg.ops.repeat(x, k, 0), [1, 2, 0], [0, 2, 1]),
    "moveaxis": (lambda x, k: mg.ops.moveaxis(x[None], k, [0, 1, 2]), [2, 0, 1], [1, 2, 0]),
    "transpose": (lambda x, k: mg.ops.transpose(x[None], k), [2, 0, 1], [1, 2, 0]), "reshape": (lambda x, k: mg.ops.reshape(x, k), [2, 6], [6, 2]),
    "broadcast_to": (lambda x, k: mg.ops.broadcast_to(x, k), [2, 3, 4], [5, 3, 4]), "rot90": (lambda x, k: mg.ops.rot90(x, 1, k), [0, 1], [1, 0]),
    "take_along_axis": (lambda x, k: mg.ops.take_along_axis(x, k, 0), np.zeros((1, 4), int), np.ones((1, 4), int)),
    "tensordot": (lambda x, k: mg.ops.tensordot(x, S, k), [[0], [0]], [[0], [1]]), "where": (lambda x, k: np.where(k, x, 0.0), np.eye(3, 4) > 0, np.eye(3, 4) < 1),
    "matmul": (lambda x, k: x @ k, np.ones(4), np.zeros(4)), "times": (lambda x, k: x * k, np.ones(4), np.zeros(4)),
    "sparse": (lambda x, k: sp.csr_array((k, ([0, 1], [0, 1])), (3, 3)) @ x, np.ones(2), np.zeros(2)), "unique": (lambda x, k: np.full_like(x, x[0, 0], shape=k), [2, 3], [3, 2]),
    "clip": (lambda x, k: np.clip(x, k, None), np.zeros(4), np.ones(4)), "squeeze": (lambda x, k: mg.ops.expand_dims(x, tuple(k)), [0, 1], [1, 2]),
    "einsum": (lambda x, k: mg.ops.einsum("ij,j", x, k), [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]),
    "concatenate": (lambda x, k: mg.ops.concatenate([x, k]), [[1.0] * 4], [[2.0] * 4]),
    "average": (lambda x, k: np.average(x, 1, k), [1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGING)
def test_a_caller_may_change_his_lists_and_arrays_after_the_call(name):
    function, before, after = CHANGING[name]
    p, v, given = mg.parameter(M), RNG.standard_normal(M.shape), copy.deepcopy(before)
    expected, y = function(p, before), function(p, given)
    given[:] = after
    assert str(y.op.hyperparameters) == str(expected.op.hyperparameters)
    g = RNG.standard_normal(y.shape)
    for walk in (lambda t: t.pull(g, [p])[0], lambda t: t.push({p: v}), lambda t: t.jacobian(p).toarray()):
        np.testing.assert_array_equal(walk(Tape.of(y)), walk(Tape.of(expected)))
