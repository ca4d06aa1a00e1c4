"""NumPy's functions that are composed of others: each line is NumPy text, so that its Jacobians are those of its parts."""

from __future__ import annotations

from builtins import max as largest_of
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import numpy as np
import scipy.sparse as sp

from minigraph.arguments import expect_choice
from minigraph.node import Node, Spec, constant, value_of
from minigraph.op import expect, implements, operand
from minigraph.ops.elementwise import isfinite, isinf, isnan, ldexp, multiply, rint, signbit, trunc, where
from minigraph.ops.products import einsum, matmul, tensordot
from minigraph.ops.reduce import checked_axis, cumprod, cumsum, max, mean, min, norm, prod, std, sum, var
from minigraph.ops.shape import (
    arrays_of,
    astype,
    axis_of,
    broadcast_to,
    concatenate,
    copied_option,
    copy,
    diagonal,
    expand_dims,
    matrix_transpose,
    moveaxis,
    ravel,
    reshape,
    sort,
    split,
    squeeze,
    take,
    take_along_axis,
    trace,
    transpose,
)
from minigraph.sums import Axis

__all__ = [
    "angle", "append", "atleast_3d", "bincount", "block", "broadcast_arrays", "column_stack", "corrcoef", "cov", "cross",
    "dsplit", "dstack", "frexp", "hsplit", "imag", "insert", "kron", "matvec",
    "meshgrid", "modf", "multi_dot", "nan_to_num", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin",
    "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "percentile", "quantile", "real", "round",
    "unstack", "vecdot", "vecmat", "vector_norm", "vsplit",
]  # fmt: skip


# --- rounding, real numbers --------------------------------------------------------------------------------


@implements(np.round, np.around)
def round(a: Any, decimals: int = 0) -> Any:
    """a rounded to ``decimals``, as numpy.round. (S) → (S). It is flat almost everywhere: no derivative passes."""
    return rint(a) if decimals == 0 else rint(operand("round", a) * 10.0**decimals) / 10.0**decimals


@implements(np.modf)
def modf(x: Any) -> tuple[Any, Any]:
    """The fractional and the integral part of x, as numpy.modf. J = I of the first, none of the second."""
    whole = trunc(x)
    return where(isinf(x), np.copysign(0.0, value_of(x)), x - whole), whole


@implements(np.frexp)
def frexp(x: Any) -> tuple[Any, Any]:
    """The mantissa of x, 1/2 ≤ |mantissa| < 1, and its exponent, as numpy.frexp. J = diag(2^−exponent)."""
    exponent = np.frexp(value_of(x))[1]
    return ldexp(x, -exponent), exponent


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """The angle of real numbers: 0, or π where they are negative. It is flat: no derivative passes."""
    z = operand("angle", z)
    return astype(signbit(z), z.dtype) * (180.0 if deg else np.pi)


@implements(np.real, np.real_if_close)
def real(x: Any) -> Any:
    """x itself: nodes are always real. J = I."""
    return copy(x)


@implements(np.imag)
def imag(x: Any) -> Any:
    """0, as all nodes are real."""
    return np.zeros_like(x)


# --- joining and cutting -----------------------------------------------------------------------------------


@implements(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """``values`` after ``arr`` along ``axis``, or of both flattened, as numpy.append. J places."""
    return concatenate([operand("append", arr), operand("append", values)], axis)


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """``values`` before the position ``obj`` along ``axis``, or of the flattened array, as numpy.insert. J places."""
    x = operand("insert", arr)
    v = astype(operand("insert", values), x.dtype)  # as NumPy does
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_of("insert", axis, len(x.shape))
    # NumPy tells where each entry goes: numbers below the size of x are its own, those above are of the values
    own = np.arange(x.size).reshape(x.shape)
    theirs = x.size + np.arange(v.size).reshape(v.shape)
    try:
        place = np.insert(own, obj, theirs, axis)
    except (IndexError, ValueError) as error:
        expect(False, "insert", f"positions and values that NumPy takes ({error})", arr=x.shape, values=v.shape)
    return reshape(take(concatenate([ravel(x), ravel(v)]), place.ravel()), place.shape)


@implements(np.atleast_3d)
def atleast_3d(x: Any) -> Any:
    """The array with at least three axes, as numpy.atleast_3d. J = I."""
    x = operand("atleast_3d", x)
    shape = {0: (1, 1, 1), 1: (1, -1, 1), 2: (*x.shape, 1)}.get(len(x.shape))
    return x if shape is None else reshape(x, shape)


@implements(np.column_stack)
def column_stack(tup: Sequence[Any]) -> Any:
    """Vectors as columns beside each other, as numpy.column_stack. J places."""
    return concatenate([reshape(x, (-1, 1)) if len(x.shape) < 2 else x for x in arrays_of("column_stack", tup)], 1)


@implements(np.dstack)
def dstack(tup: Sequence[Any]) -> Any:
    """Arrays one behind the other, as numpy.dstack. J places."""
    return concatenate([atleast_3d(x) for x in arrays_of("dstack", tup)], 2)


@implements(np.block)
def block(arrays: Any) -> Any:
    """Nested lists of arrays side by side, the innermost along the last axis, as numpy.block. J places."""

    def depth(part: Any) -> int:
        return 1 + depth(part[0]) if isinstance(part, list) else 0

    def joined(part: Any, axis: int) -> Any:
        if not isinstance(part, list):
            x = operand("block", part)
            missing = wide - len(x.shape)
            return reshape(x, (*[1] * missing, *x.shape)) if missing > 0 else x
        return concatenate([joined(inner, axis + 1) for inner in part], axis)

    deep = depth(arrays)
    wide = largest_of(deep, *[len(operand("block", x).shape) for x in _leaves(arrays)])
    return joined(arrays, -deep)


def _leaves(part: Any) -> list[Any]:
    return [leaf for inner in part for leaf in _leaves(inner)] if isinstance(part, list) else [part]


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Cut along the second axis, the first of a vector, as numpy.hsplit. J selects."""
    x = operand("hsplit", ary)
    return split(x, indices_or_sections, 0 if len(x.shape) == 1 else 1)


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Cut along the first axis, as numpy.vsplit. J selects."""
    x = operand("vsplit", ary)
    expect(len(x.shape) > 1, "vsplit", "at least two axes", ary=x.shape)
    return split(x, indices_or_sections, 0)


@implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Cut along the third axis, as numpy.dsplit. J selects."""
    x = operand("dsplit", ary)
    expect(len(x.shape) > 2, "dsplit", "at least three axes", ary=x.shape)
    return split(x, indices_or_sections, 2)


def unstack(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The parts of x along ``axis``, without it, as numpy.unstack. J selects."""
    x = operand("unstack", x)
    axis = axis_of("unstack", axis, len(x.shape))
    return tuple(take(x, i, axis) for i in range(x.shape[axis]))


if hasattr(np, "unstack"):  # new in NumPy 2.1
    implements(np.unstack)(unstack)


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    """The arrays stretched to one shape, as numpy.broadcast_arrays. J copies."""
    xs = _recorded([operand("broadcast_arrays", x) for x in args])
    try:
        shape = np.broadcast_shapes(*[x.shape for x in xs])
    except ValueError:
        expect(
            False,
            "broadcast_arrays",
            "shapes that broadcast to one",
            **{f"array {i}": x.shape for i, x in enumerate(xs, 1)},
        )
    return tuple(broadcast_to(x, shape) for x in xs)


def _recorded(xs: list[Any]) -> list[Any]:
    """The arrays, as constants if one of them is a node."""
    return (
        [x if isinstance(x, (Node, Spec)) else constant(x) for x in xs]
        if any(isinstance(x, (Node, Spec)) for x in xs)
        else xs
    )


@implements(np.meshgrid)
def meshgrid(*xi: Any, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """The coordinates of a grid, as numpy.meshgrid; new nodes, whatever ``copy`` says. J copies."""
    expect_choice("meshgrid", ("xy", "ij"), indexing=indexing)
    xs = [ravel(x) for x in _recorded([operand("meshgrid", x) for x in xi])]
    order = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        order[:2] = [1, 0]
    lines = [reshape(x, tuple(-1 if j == order[i] else 1 for j in range(len(xs)))) for i, x in enumerate(xs)]
    return tuple(lines) if sparse else broadcast_arrays(*lines)


# --- products ----------------------------------------------------------------------------------------------


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Kronecker product, as numpy.kron: the blocks a_{ij} b."""
    a, b = operand("kron", a), operand("kron", b)
    n = largest_of(len(a.shape), len(b.shape))
    a, b = (reshape(x, (*[1] * (n - len(x.shape)), *x.shape)) for x in (a, b))
    outer = tensordot(a, b, 0)
    mixed = transpose(outer, [axis for i in range(n) for axis in (i, n + i)]) if n else outer
    return reshape(mixed, tuple(p * q for p, q in zip(a.shape, b.shape, strict=True)))


@implements(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """Cross products of vectors of three along ``axisa`` and ``axisb``, in the result along ``axisc``, as numpy.cross."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = (moveaxis(operand("cross", x), i, -1) for x, i in ((a, axisa), (b, axisb)))
    expect(a.shape[-1:] == (3,) == b.shape[-1:], "cross", "vectors of three along axis", a=a.shape, b=b.shape)
    first, second = [1, 2, 0], [2, 0, 1]
    y = take(a, first, -1) * take(b, second, -1) - take(a, second, -1) * take(b, first, -1)
    return moveaxis(y, -1, axisc)


implements(np.linalg.cross)(lambda x1, x2, /, *, axis=-1: cross(x1, x2, axis=axis))


def vecdot(x1: Any, x2: Any, axis: int = -1) -> Any:
    """⟨x1, x2⟩ along ``axis``, broadcast elsewhere, as numpy.linalg.vecdot."""
    return sum(multiply(x1, x2), axis)


def matvec(x1: Any, x2: Any) -> Any:
    """A v: (…, M, N), (…, N) → (…, M), as numpy.matvec."""
    return squeeze(matmul(x1, expand_dims(operand("matvec", x2), -1)), -1)


def vecmat(x1: Any, x2: Any) -> Any:
    """Row vector times matrix: (…, N), (…, N, M) → (…, M), as numpy.vecmat."""
    return squeeze(matmul(expand_dims(operand("vecmat", x1), -2), x2), -2)


for _name, _function in (("vecdot", vecdot), ("matvec", matvec), ("vecmat", vecmat)):
    for _home in (np, np.linalg):  # new in NumPy 2.0 to 2.2
        if hasattr(_home, _name):
            implements(getattr(_home, _name))(_function)


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any]) -> Any:
    """Product of several matrices, the first and last may be vectors, as numpy.linalg.multi_dot; in the cheapest order."""
    xs = arrays_of("multi_dot", arrays)
    expect(len(xs) > 1, "multi_dot", "at least two arrays", arrays=len(xs))
    while len(xs) > 1:  # the cheapest product of neighbours first
        work = [x.size * (y.shape[-1] if len(y.shape) > 1 else 1) for x, y in zip(xs, xs[1:], strict=False)]
        i = work.index(sorted(work)[0])
        xs[i : i + 2] = [matmul(xs[i], xs[i + 1])]
    return xs[0]


def matrix_power(a: Any, n: int) -> Any:
    """Aⁿ for n ≥ 0, by squaring: (…, M, M) → (…, M, M), as numpy.linalg.matrix_power."""
    a = operand("matrix_power", a)
    expect(len(a.shape) > 1 and a.shape[-1] == a.shape[-2], "matrix_power", "square matrices", a=a.shape)
    if not isinstance(n, (int, np.integer)) or n < 0:
        raise ValueError(f"matrix_power: got n {n}; wanted an integer of at least 0")
    y = broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape) + 0 * a if n == 0 else None
    while n:
        if n % 2:
            y = a if y is None else matmul(y, a)
        n //= 2
        a = matmul(a, a) if n else a
    return y


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Any:
    """(Σ|x|ᵖ)^(1/p) over ``axis``, of all entries by default, as numpy.linalg.vector_norm."""
    x = operand("vector_norm", x)
    if axis is None:
        y = norm(ravel(x), ord, 0)
        return reshape(y, (1,) * len(x.shape)) if keepdims else y
    return norm(x, None if ord == 2 else ord, axis, keepdims)


def matrix_norm(x: Any, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Frobenius norm, or the largest sum of |x| of a column (1) or a row (inf): (…, M, N) → (…), as numpy.linalg.matrix_norm."""
    x = operand("matrix_norm", x)
    if ord == "fro":
        return norm(x, None, (-2, -1), keepdims)
    if ord not in (1, np.inf):
        raise ValueError(f"matrix_norm: got ord {ord!r}; wanted 'fro', 'nuc', 1, 2, inf, or one of these negative")
    sums = sum(np.abs(x), -2 if ord == 1 else -1, keepdims=True)
    largest = max(sums, (-2, -1), keepdims=True)
    return largest if keepdims else squeeze(largest, (-2, -1))


implements(np.linalg.diagonal)(lambda x, /, *, offset=0: diagonal(x, offset, -2, -1))
implements(np.linalg.trace)(lambda x, /, *, offset=0: trace(x, offset, -2, -1))
implements(np.linalg.matrix_transpose)(matrix_transpose)
implements(np.linalg.matmul)(matmul)
implements(np.linalg.tensordot)(tensordot)
implements(np.linalg.outer)(lambda x1, x2, /: einsum("i,j->ij", x1, x2))


# --- NaN ---------------------------------------------------------------------------------------------------


@implements(np.nan_to_num)
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Entries with NaN and infinities replaced, as numpy.nan_to_num. J = diag(Ind(x is finite))."""
    x = operand("nan_to_num", x)
    most = np.finfo(x.dtype).max if x.dtype.kind == "f" else 0
    big, small = most if posinf is None else posinf, -most if neginf is None else neginf
    value = np.asarray(value_of(x)) if hasattr(x, "value") or isinstance(x, np.ndarray) else np.zeros(x.shape, x.dtype)
    return where(isfinite(x), x, np.nan_to_num(value, True, nan, big, small))


def _without_nan(function: Any, reduction: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction of the entries that are not NaN, with the keywords of the reduction."""

    def reduce(a: Any, axis: Axis = None, *args: Any, where: Any = True, **options: Any) -> Any:
        a = operand(function.__name__, a)
        return reduction(a, axis, *args, where=~isnan(a) & where, **options)

    reduce.__name__, reduce.__doc__ = function.__name__, f"As {reduction.__name__}, of what is not NaN."
    parameters = [p.replace(name="a") if p.name == "x" else p for p in signature(reduction).parameters.values()]
    reduce.__signature__ = signature(reduction).replace(parameters=parameters)  # type: ignore[attr-defined]
    return implements(function)(reduce)


nansum, nanprod, nanmean, nanvar, nanstd = (
    _without_nan(function, reduction)
    for function, reduction in (
        (np.nansum, sum), (np.nanprod, prod), (np.nanmean, mean), (np.nanvar, var), (np.nanstd, std),
    )
)  # fmt: skip


def _extreme(a: Any, axis: Axis, keepdims: bool, reduction: Callable[..., Any], other: float) -> Any:
    y = reduction(where(isnan(a), other, a), axis, keepdims)
    return where(sum(~isnan(a), axis, keepdims) == 0, np.nan, y)


@implements(np.nanmax)
def nanmax(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Largest entry that is not NaN, as numpy.nanmax. J selects it."""
    return _extreme(operand("nanmax", a), axis, keepdims, max, -np.inf)


@implements(np.nanmin)
def nanmin(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Smallest entry that is not NaN, as numpy.nanmin. J selects it."""
    return _extreme(operand("nanmin", a), axis, keepdims, min, np.inf)


@implements(np.nancumprod)
def nancumprod(a: Any, axis: int | None = None) -> Any:
    """Running product in which NaN counts as one, as numpy.nancumprod."""
    return cumprod(where(isnan(a), 1, a), axis)


@implements(np.nancumsum)
def nancumsum(a: Any, axis: int | None = None) -> Any:
    """Running sum in which NaN counts as zero, as numpy.nancumsum."""
    return cumsum(where(isnan(a), 0, a), axis)


# --- statistics --------------------------------------------------------------------------------------------


def axes_of(name: str, axis: Any) -> tuple[int, ...]:
    """One or several axes as a tuple."""
    axes = checked_axis(name, axis)
    return axes if isinstance(axes, tuple) else () if axes is None else (axes,)


# at which place q lies in n sorted entries: α + q (1 − α − β) + n q − 1 (Hyndman and Fan 1996)
METHODS = {
    "interpolated_inverted_cdf": (0, 1), "hazen": (1 / 2, 1 / 2), "weibull": (0, 0), "linear": (1, 1),
    "median_unbiased": (1 / 3, 1 / 3), "normal_unbiased": (3 / 8, 3 / 8), "lower": (1, 1), "higher": (1, 1),
    "midpoint": (1, 1), "nearest": (1, 1),
}  # fmt: skip


def _quantile(name: str, a: Any, q: Any, axis: Axis, keepdims: bool, method: str, ignore_nan: bool = False) -> Any:
    expect_choice(name, tuple(METHODS), method=method)
    x, given, ndim = operand(name, a), q, len(np.shape(a))
    q = np.asarray(value_of(q) if isinstance(q, Node) else copied_option(name, q), float)
    if not ((q >= 0) & (q <= 1)).all():
        raise ValueError(f"{name}: got q outside of 0 to 1; wanted fractions")
    over = tuple(range(ndim)) if axis is None else tuple(axis_of(name, i, ndim) for i in axes_of(name, axis))
    rest = [i for i in range(ndim) if i not in over]
    rows = reshape(transpose(x, [*rest, *over]), (*[x.shape[i] for i in rest], -1))
    n = rows.shape[-1]
    expect(n > 0, name, "at least one entry", a=x.shape)
    ordered = sort(rows, -1)  # NaN is sorted to the end
    count = np.full((*rows.shape[:-1], 1), n)
    if ignore_nan:
        count = n - np.isnan(value_of(rows)).sum(-1, keepdims=True)
    alpha, beta = METHODS[method]
    at = np.clip(alpha + q.ravel() * (1 - alpha - beta) + count * q.ravel() - 1, 0, np.maximum(count - 1, 0))
    low, high = np.floor(at).astype(int), np.ceil(at).astype(int)
    fraction = {"lower": 0 * at, "higher": (high > low) * 1.0, "midpoint": (high > low) * 0.5,
                "nearest": np.rint(at) - low}.get(method, at - low)  # fmt: skip
    first, second = take_along_axis(ordered, low, -1), take_along_axis(ordered, high, -1)
    fraction = fraction.astype(x.dtype if x.dtype.kind == "f" else float)
    if isinstance(given, Node) and method not in ("lower", "higher", "midpoint", "nearest"):
        inside = (at > 0) & (at < count - 1)  # at the ends the place does not move
        fraction = fraction + (ravel(given) - q.ravel()) * ((count + 1 - alpha - beta) * inside)
    y = first + (second - first) * fraction
    last = take(ordered, [n - 1], -1)
    y = where(count == 0, np.nan, y) if ignore_nan else where(isnan(last), last, y)
    kept = [1 if i in over else x.shape[i] for i in range(ndim)] if keepdims else [x.shape[i] for i in rest]
    return reshape(moveaxis(y, -1, 0), (*q.shape, *kept))


@implements(np.quantile)
def quantile(a: Any, q: Any, axis: Axis = None, keepdims: bool = False, *, method: str = "linear") -> Any:
    """The q-th quantiles over ``axis``, as numpy.quantile; NaN where there is one.

    (S) → (shape of q, S without axis). J has the weights of the two entries beside each quantile.
    """
    return _quantile("quantile", a, q, axis, keepdims, method)


@implements(np.nanquantile)
def nanquantile(a: Any, q: Any, axis: Axis = None, keepdims: bool = False, *, method: str = "linear") -> Any:
    """The q-th quantiles of what is not NaN, as numpy.nanquantile."""
    return _quantile("nanquantile", a, q, axis, keepdims, method, ignore_nan=True)


@implements(np.percentile)
def percentile(a: Any, q: Any, axis: Axis = None, keepdims: bool = False, *, method: str = "linear") -> Any:
    """The q-th percentiles, as numpy.percentile: quantile of q / 100."""
    q = q / 100 if isinstance(q, Node) else np.asarray(copied_option("percentile", q), float) / 100
    return quantile(a, q, axis, keepdims, method=method)


@implements(np.nanpercentile)
def nanpercentile(a: Any, q: Any, axis: Axis = None, keepdims: bool = False, *, method: str = "linear") -> Any:
    """The q-th percentiles of what is not NaN, as numpy.nanpercentile."""
    q = q / 100 if isinstance(q, Node) else np.asarray(copied_option("nanpercentile", q), float) / 100
    return nanquantile(a, q, axis, keepdims, method=method)


@implements(np.nanmedian)
def nanmedian(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The middle entry of what is not NaN, or the mean of the two in the middle, as numpy.nanmedian."""
    return nanquantile(a, 0.5, axis, keepdims)


@implements(np.bincount)
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each integer occurs, or the sum of its ``weights``, as numpy.bincount. J places the weights."""
    which = np.asarray(value_of(x))
    if weights is None:
        return np.bincount(which, None, minlength)
    weights = operand("bincount", weights)
    n = np.bincount(which, None, minlength).size
    places = sp.csr_array((np.ones(which.size), (which, np.arange(which.size))), (n, which.size))
    return matmul(places, astype(weights, np.float64))


@implements(np.cov)
def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Any:
    """Covariance matrix of variables in rows, observations in columns, as numpy.cov."""
    m = operand("cov", m)
    expect(len(m.shape) <= 2, "cov", "at most two axes", m=m.shape)
    x = (
        m
        if len(m.shape) == 2 and (rowvar or m.shape[0] == 1)
        else transpose(m)
        if len(m.shape) == 2
        else reshape(m, (1, -1))
    )
    if y is not None:
        y = operand("cov", y)
        other = reshape(y, (1, -1)) if len(y.shape) < 2 else y if rowvar else transpose(y)
        x = concatenate([x, other], 0)
    n = x.shape[1] - ((0 if bias else 1) if ddof is None else ddof)
    deviations = x - mean(x, 1, keepdims=True)
    return squeeze(matmul(deviations, transpose(deviations)) / n)


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """Correlation matrix of variables in rows, as numpy.corrcoef."""
    c = cov(x, y, rowvar)
    if not c.shape:
        return c / c
    d = np.sqrt(diagonal(c))
    return c / expand_dims(d, 1) / expand_dims(d, 0)
