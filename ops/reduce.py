"""Reductions: y = r(x) over some axes, each by its value and its weights ∂y/∂xᵢ.

J = Sum · diag(weights): every reduction differs from a sum by one diagonal matrix only.
"""

from __future__ import annotations

import math
from builtins import max as largest
from collections.abc import Callable
from functools import partial
from operator import index
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from scipy import special

from minigraph import notation
from minigraph.arguments import expect_number, expect_plain
from minigraph.array import Array
from minigraph.kernels.numpy.summation import single
from minigraph.kernels.sparse import compressed
from minigraph.maps import Bounds, Broadcast, Diagonal, FunctionMap, LinearMap
from minigraph.node import Spec, value_of
from minigraph.op import Op, expect, implements, operand
from minigraph.ops.elementwise import add, logaddexp, maximum, minimum, multiply, square, subtract
from minigraph.ops.elementwise import where as choose
from minigraph.ops.shape import astype
from minigraph.sums import Axis, cumulative, total
from minigraph.sums import mean as mean_of

__all__ = [
    "average", "cumprod", "cumsum", "logsumexp", "max", "mean", "min", "prod", "ptp", "std", "sum", "var",
]  # fmt: skip

Weights = Callable[..., Any]  # of (y, x, axes), y with the reduced axes kept

WEIGHTS: dict[str, tuple[Callable[..., Any], Weights | None]] = {}


def checked_axis(name: str, axis: Any) -> Axis:
    """``axis`` as None, an integer or a tuple of them; raises TypeError for anything else."""
    try:
        return axis if axis is None else tuple(map(index, axis)) if np.iterable(axis) else index(axis)
    except TypeError:
        raise TypeError(f"{name}: got axis {axis!r}; wanted an integer, several, or None") from None


class Reduction(Op):
    """y = r(x) over ``axis``.   (S) → (S without ``axis``);   J = Sum · diag(∂y/∂x)."""

    name = "reduction"
    defaults: ClassVar[dict[str, Any]] = {"axis": None, "keepdims": False}

    def __init__(self, name: str, axis: Axis = None, keepdims: bool = False, **options: Any) -> None:
        if not isinstance(keepdims, (bool, np.bool, int)):
            raise TypeError(f"{name}: got keepdims {keepdims!r}; wanted True or False")
        self.name, self.axis, self.keepdims, self.options = name, checked_axis(name, axis), bool(keepdims), options
        function, weights = WEIGHTS[name]
        self.function, self.weights = partial(function, **options), weights and partial(weights, **options)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"axis": self.axis, "keepdims": self.keepdims, **self.options}

    @property
    def slope(self) -> str:
        """∂y/∂xᵢ on paper, for each entry of x, where y is as long as x."""
        n = f"(n − {self.options['ddof']:g})" if self.options.get("ddof") else "n"
        order = self.options.get("ord", 2)
        return {
            "sum": "1",
            "mean": "1/n",
            "prod": "∏_{j≠i} x_j",
            "max": "Ind(x = y)",
            "min": "Ind(x = y)",
            "var": f"2 (x − mean x)/{n}",
            "std": f"(x − mean x)/({n} y)",
            "logsumexp": "exp(x − y)",
            "norm": {1: "sign(x)", 2: "x/y", np.inf: "sign(x) Ind(|x| = y)"}.get(order, "sign(x) |x/y|ᵖ⁻¹"),
        }[self.name]

    legend: ClassVar[dict[str, str]] = {
        "n": "the number of entries reduced to one y",
        "p": "the order of the norm",
        "Ind": "1 where the condition holds, 0 elsewhere; of equal entries only the first counts",
    }

    def formula(self, i: int) -> str | None:
        return notation.transposed(self.slope, "nNy")

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        """A row for a single y, else the sums of diag(slope)."""
        axes, shape = self.axes(xs[0]), xs[0].shape
        if not shape:
            return self.slope
        sums = notation.kronecker(("1ᵀ" if i in axes else "I", n) for i, n in enumerate(shape))
        if self.slope in ("1", "1/n"):
            return sums if self.slope == "1" else notation.over(sums, "n")
        return self.formula(i) if sums == "1ᵀ" else notation.times(sums, f"diag({self.slope})")

    def polynomial(self, n: int) -> list[tuple[int, ...]] | None:
        return [(0,)] if self.name in ("sum", "mean", "max", "min") else None

    def divisor(self, y: Any, *xs: Any) -> int:
        return math.prod(xs[0].shape[i] for i in self.axes(xs[0])) if self.name == "mean" else 1

    def axes(self, x: Any) -> tuple[int, ...]:
        return tuple(range(len(x.shape))) if self.axis is None else normalize_axis_tuple(self.axis, len(x.shape))

    def infer(self, x: Spec) -> Spec:
        try:
            axes = self.axes(x)
        except (ValueError, OverflowError):  # AxisError and repeated axes
            expect(False, self, f"axis {self.axis} to name distinct axes of x", x=x)
        if self.name in ("max", "min", "logsumexp") or self.options.get("ord") == np.inf:
            expect(all(x.shape[i] for i in axes), self, "at least one entry to choose from", x=x)
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if self.keepdims or i not in axes)
        return Spec(
            shape, x.dtype if x.dtype.kind in "fc" else self.forward(np.ones((1,) * len(x.shape), x.dtype)).dtype
        )

    def forward(self, x: Array) -> Any:
        return self.function(x, axis=self.axes(x), keepdims=self.keepdims)

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap | None]:
        if x.dtype.kind not in "fc":
            return (None,)
        axes = self.axes(x)
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        total = sum_map(x, shape, y.shape)
        if self.weights is None:
            return (total,)
        return (total @ Diagonal(x, self.weights, (np.reshape(y, shape), x, axes)),)


def sum_map(x: Any, shape: tuple[int, ...], out_shape: tuple[int, ...]) -> LinearMap:
    """Sum x down to ``shape`` (reduced axes have side 1), seen as ``out_shape``: a Broadcast, transposed."""
    return Broadcast(Spec(out_shape, x.dtype), x.shape, seen=shape).T


def _prod(x: Array, axis: Any, keepdims: bool) -> Any:
    if single(x):  # in float32 the errors of many factors add up
        return np.prod(x, axis=axis, keepdims=keepdims, dtype=np.float64).astype(np.float32)
    return np.prod(x, axis=axis, keepdims=keepdims)


def _prod_weights(y: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """∂y/∂xᵢ = ∏ of the others."""
    last = tuple(range(-len(axes), 0))
    moved = np.moveaxis(x, axes, last)
    rows = np.reshape(moved, (*moved.shape[: moved.ndim - len(axes)], _count(x, axes)))
    others = (
        products_of_others(rows.astype(np.float64)).astype(np.float32) if single(rows) else products_of_others(rows)
    )
    return np.moveaxis(np.reshape(others, moved.shape), last, axes)


def products_of_others(rows: Any) -> Any:
    """For each entry of a line the product of the others: of its partner in the other half, and of all other pairs."""
    n = rows.shape[-1]
    if n < 2:
        return np.ones_like(rows)
    left, right, odd = rows[..., : n // 2], rows[..., n // 2 : n // 2 * 2], rows[..., n // 2 * 2 :]
    pairs = products_of_others(np.concatenate([left * right, odd], -1) if n % 2 else left * right)
    shared = pairs[..., : n // 2]
    return np.concatenate([shared * right, shared * left, pairs[..., n // 2 :]], -1)


def _first(y: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """1 at the first entry equal to y along ``axes``, 0 elsewhere."""
    x, y, last = value_of(x), value_of(y), tuple(range(-len(axes), 0))
    hit = np.moveaxis((x == y) | np.isnan(x), axes, last)
    rows = hit.reshape(*hit.shape[: hit.ndim - len(axes)], _count(x, axes))
    first = np.zeros(rows.shape, x.dtype)
    np.put_along_axis(first, rows.argmax(-1, keepdims=True), 1, -1)
    return np.moveaxis(first.reshape(hit.shape), last, axes)


def _scale(x: Array, axes: tuple[int, ...], power: float) -> Any:
    """The largest |x| over ``axes`` where sums of powers of x would overflow or vanish, else 1: x may be divided by it."""
    if x.dtype.kind not in "fc":
        return None
    largest = np.max(np.abs(x), axis=axes, keepdims=True, initial=0)
    limits = np.finfo(largest.dtype)
    low, high = float(limits.tiny) ** (1 / (power + 1)), float(limits.max) ** (1 / (power + 1))
    inside = ((largest > low) & (largest < high)) | (largest == 0) | ~np.isfinite(largest)
    return None if inside.all() else np.where(inside, largest.dtype.type(1), largest)


def _norm(x: Array, axis: Any, keepdims: bool, ord: float = 2) -> Any:
    if ord == np.inf:
        return np.max(np.abs(x), axis=axis, keepdims=keepdims)
    scale = _scale(x, axis, ord) if ord >= 1 else None
    u = x if scale is None else x / scale
    y = np.sqrt(total(u * u, axis, True)) if ord == 2 else total(np.abs(u) ** ord, axis, True) ** (1 / ord)
    y = y if scale is None else y * scale
    return y if keepdims else np.squeeze(y, axis)[()]


def _norm_weights(y: Any, x: Any, axes: tuple[int, ...], ord: float = 2) -> Any:
    """sign(x) |x/y|^(p−1); 0 at the kink where x or y is 0. A scale of x cancels."""
    if ord == np.inf:
        return np.sign(x) * _first(y, np.abs(x), axes)
    scale = _scale(value_of(x), axes, ord) if ord >= 1 else None
    if scale is not None:
        x = x / scale
        y = Reduction("norm", axes, True, ord=ord)(x)
    ratio = x / np.where(value_of(y) == 0, 1, y)
    if ord == 2:
        return ratio
    if ord >= 1:
        return np.sign(x) * np.absolute(ratio) ** (ord - 1)
    some = (value_of(x) != 0) & (value_of(y) != 0)  # elsewhere the slope is infinite
    return np.where(some, np.sign(x) * np.absolute(np.where(some, ratio, 1)) ** (ord - 1), 0)


def _count(x: Any, axes: tuple[int, ...]) -> int:
    n = 1
    for i in axes:
        n *= x.shape[i]
    return n


def _var(x: Array, axis: Any, keepdims: bool, ddof: float = 0) -> Any:
    if not single(x):
        return np.var(x, axis=axis, ddof=ddof, keepdims=keepdims)
    deviations = x - mean_of(x, axis, True)
    return total(deviations * deviations, axis, keepdims) / x.dtype.type(_degrees(x, axis, ddof))


def _degrees(x: Any, axes: tuple[int, ...], ddof: float) -> float:
    """n − ddof; NaN where nothing is left, as in NumPy."""
    return float(np.maximum(_count(x, axes) - ddof, 0)) or math.nan


def _var_weights(y: Any, x: Any, axes: tuple[int, ...], ddof: float = 0) -> Any:
    return (x - mean_of(x, axes, True)) * (2 / _degrees(x, axes, ddof))


def _std(x: Array, axis: Any, keepdims: bool, ddof: float = 0) -> Any:
    scale = _scale(x, axis, 2)
    if scale is None:
        return np.sqrt(_var(x, axis, keepdims, ddof))
    y = np.sqrt(_var(x / scale, axis, True, ddof)) * scale
    return y if keepdims else np.squeeze(y, axis)[()]


def _std_weights(y: Any, x: Any, axes: tuple[int, ...], ddof: float = 0) -> Any:
    """(x − mean) / ((n − ddof) y); 0 at the kink where all of x is the same."""
    return (x - mean_of(x, axes, True)) / (np.where(value_of(y) == 0, 1, y) * _degrees(x, axes, ddof))


def _logsumexp(x: Array, axis: Any, keepdims: bool) -> Any:
    if single(x):
        return special.logsumexp(x.astype(np.float64), axis=axis, keepdims=keepdims).astype(np.float32)
    x = x if x.dtype.kind in "fc" else x.astype(np.float64)  # as SciPy does, but not 1.13
    return special.logsumexp(x, axis=axis, keepdims=keepdims)


def _logsumexp_weights(y: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Softmax of x: eˣ / Σ eˣ, which keeps digits that exp(x − y) loses in large x; 0 where all of x is −∞."""
    largest = np.max(value_of(x), axis=axes, keepdims=True, initial=-np.inf)
    e = np.exp(x - np.where(largest == -np.inf, 0, largest))
    sums = total(e, axes, True)
    return e / np.where(value_of(sums) == 0, 1, sums)


WEIGHTS.update({
    "sum": (total, None),
    "mean": (mean_of, lambda y, x, axes: 1 / (_count(x, axes) or 1)),
    "prod": (_prod, _prod_weights),
    "max": (np.max, _first),
    "min": (np.min, _first),
    "var": (_var, _var_weights),
    "std": (_std, _std_weights),
    "logsumexp": (_logsumexp, _logsumexp_weights),
    "norm": (_norm, _norm_weights),
})  # fmt: skip


def _reduced(
    name: str, x: Any, axis: Axis, keepdims: bool, dtype: Any = None, initial: Any = None, where: Any = True
) -> Any:
    """A reduction with NumPy's keywords: of the entries that ``where`` marks, in ``dtype``, together with ``initial``."""
    x = operand(name, x) if dtype is None else astype(operand(name, x), dtype)
    together, neutral = {
        "sum": (add, 0),
        "prod": (multiply, 1),
        "max": (maximum, None),
        "min": (minimum, None),
        "logsumexp": (logaddexp, -np.inf),
    }[name]
    if where is not True:
        if neutral is None and initial is None:
            raise ValueError(f"{name}: got where and no initial; wanted initial, the value where nothing is marked")
        x = choose(where, x, initial if neutral is None else neutral)
    if initial is None:
        return Reduction(name, axis, keepdims)(x)
    if neutral is None and x.size == 0:  # nothing to choose from
        return together(Reduction("sum", axis, keepdims)(x) * 0 + initial, initial)
    return together(Reduction(name, axis, keepdims)(x), initial)


@implements(np.sum)
def sum(
    x: Any, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None, initial: Any = None, where: Any = True
) -> Any:
    """Sum over ``axis`` (default: all). (S) → (S without axis). J = 1 wherever xᵢ goes into y."""
    return _reduced("sum", x, axis, keepdims, dtype, initial, where)


@implements(np.prod)
def prod(
    x: Any, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None, initial: Any = None, where: Any = True
) -> Any:
    """Product over ``axis``. (S) → (S without axis). ∂y/∂xᵢ = ∏ of the other entries, zeros included."""
    return _reduced("prod", x, axis, keepdims, dtype, initial, where)


@implements(np.max, np.amax)
def max(x: Any, axis: Axis = None, keepdims: bool = False, *, initial: Any = None, where: Any = True) -> Any:
    """Largest entry over ``axis``. (S) → (S without axis). J selects it; the first wins a tie."""
    return _reduced("max", x, axis, keepdims, None, initial, where)


@implements(np.min, np.amin)
def min(x: Any, axis: Axis = None, keepdims: bool = False, *, initial: Any = None, where: Any = True) -> Any:
    """Smallest entry over ``axis``. (S) → (S without axis). J selects it; the first wins a tie."""
    return _reduced("min", x, axis, keepdims, None, initial, where)


@implements(np.mean)
def mean(x: Any, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None, where: Any = True) -> Any:
    """Mean over ``axis``, of the entries that ``where`` marks. (S) → (S without axis). J = 1/n wherever xᵢ goes into y."""
    x = operand("mean", x) if dtype is None else astype(operand("mean", x), dtype)
    if where is True:
        return Reduction("mean", axis, keepdims)(x)
    return sum(x, axis, keepdims, where=where) / _marked(x, axis, keepdims, where)


def _marked(x: Any, axis: Axis, keepdims: bool, where: Any) -> Any:
    """How many entries ``where`` marks."""
    return np.count_nonzero(np.broadcast_to(value_of(where), x.shape), checked_axis("mean", axis), keepdims=keepdims)


def _variance(
    name: str, x: Any, axis: Axis, ddof: float, keepdims: bool, dtype: Any, where: Any, mean: Any, correction: Any
) -> Any:
    """The variance or the standard deviation with NumPy's keywords; ``correction`` is another name of ``ddof``."""
    if correction is not None:
        if ddof != 0:
            raise ValueError(f"{name}: got ddof {ddof} and correction {correction}; wanted one of them")
        ddof = correction
    expect_number(name, ddof=ddof)
    x = operand(name, x) if dtype is None else astype(operand(name, x), dtype)
    if where is True and mean is None:
        return Reduction(name, axis, keepdims, ddof=ddof)(x)
    centre = _mean(x, axis, True, where=where) if mean is None else mean
    deviations = x - centre if where is True else choose(where, x - centre, 0)
    squares = sum(square(deviations), axis, keepdims)
    y = squares / np.maximum(_marked(x, axis, keepdims, where) - ddof, 0)
    return y if name == "var" else np.sqrt(y)


_mean = mean  # below, ``mean`` is an argument


@implements(np.var)
def var(
    x: Any, axis: Axis = None, ddof: float = 0, keepdims: bool = False, *, dtype: Any = None, where: Any = True,
    mean: Any = None, correction: float | None = None,
) -> Any:  # fmt: skip
    """Variance over ``axis``. (S) → (S without axis). ∂y/∂xᵢ = 2 (xᵢ − mean) / (n − ddof)."""
    return _variance("var", x, axis, ddof, keepdims, dtype, where, mean, correction)


@implements(np.std)
def std(
    x: Any, axis: Axis = None, ddof: float = 0, keepdims: bool = False, *, dtype: Any = None, where: Any = True,
    mean: Any = None, correction: float | None = None,
) -> Any:  # fmt: skip
    """Standard deviation over ``axis``. (S) → (S without axis). ∂y/∂xᵢ = (xᵢ − mean) / ((n − ddof) y), 0 where y is 0."""
    return _variance("std", x, axis, ddof, keepdims, dtype, where, mean, correction)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False, *, b: Any = None) -> Any:
    """log Σ b exp(x) over ``axis``, without overflow, as scipy.special.logsumexp. (S) → (S without axis).

    ∂y/∂x = softmax(x + log b). Raises ShapeError for a wrong axis or one without entries, TypeError unless ``x`` is
    numeric.
    """
    x = x if b is None else operand("logsumexp", x) + np.log(operand("logsumexp", b))
    return Reduction("logsumexp", axis, keepdims)(x)


def norm(x: Any, ord: float | None = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """Vector norm (Σ|x|ᵖ)^(1/p), p = ``ord`` (default 2), over ``axis`` (default: all). (S) → (S without axis).

    inf: the largest |x|, −inf: the smallest, 0: how many are not 0. ∂y/∂x = sign(x) |x/y|^(p−1), and 0 where x or y is 0.
    Raises ValueError for an order that is no number.
    """
    expect_plain("norm", ord=ord)
    x, order, axis = operand("norm", x), 2 if ord is None else ord, checked_axis("norm", axis)
    if not isinstance(order, (int, float, np.integer, np.floating)) or math.isnan(order):
        raise ValueError(f"norm: got ord {ord!r} for vectors; wanted a number")
    if order == -np.inf:
        return min(np.abs(x), axis, keepdims)
    if order == 0:
        return sum(np.not_equal(x, 0), axis, keepdims, dtype=x.dtype if x.dtype.kind == "f" else float)
    return Reduction("norm", axis, keepdims, ord=order)(x)


class CumulativeSum(Op):
    """yᵢ = x₁ + … + xᵢ along ``axis``.   (S) → (S);   J = lower triangle of ones, for each line."""

    name = "cumsum"
    formulas = ("L",)
    legend: ClassVar[dict[str, str]] = {"L": "the lower triangle of ones"}

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        axis = normalize_axis_index(self.axis, len(y.shape))
        before, after = math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
        return notation.kronecker([("I", before), ("L", 0), ("I", after)])

    def __init__(self, axis: int) -> None:
        try:
            self.axis = index(axis)
        except TypeError:
            raise TypeError(f"cumsum: got axis {axis!r}; wanted an integer, or None") from None

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"axis": self.axis}

    def infer(self, x: Spec) -> Spec:
        expect(-x.ndim <= self.axis < x.ndim, self, f"axis {self.axis} to name an axis of x", x=x)
        return x if x.dtype.kind == "f" else Spec(x.shape, np.cumsum(np.ones(1, x.dtype)).dtype)

    def forward(self, x: Array) -> Any:
        return cumulative(x, self.axis)

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap | None]:
        if x.dtype.kind not in "fc":
            return (None,)
        axis = normalize_axis_index(self.axis, len(x.shape))
        n, before, after = x.shape[axis], int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis + 1 :]))

        def rows(index: Array) -> sp.csr_array:
            place = index // after % n
            starts = np.concatenate(([0], np.cumsum(place + 1)))
            within = np.arange(starts[-1]) - np.repeat(starts[:-1], place + 1)
            columns = np.repeat(index - place * after, place + 1) + within * after
            return compressed(np.ones(starts[-1], x.dtype), columns, starts, (len(index), before * n * after))

        last = axis - len(x.shape)  # where the axis stays when others are added in front
        return (FunctionMap(x.shape, x.shape, x.dtype, push=lambda v: cumulative(v, last),
                        pull=lambda g: np.flip(cumulative(np.flip(g, last), last), last), leading=True, by_sample=axis > 0,
                        rows=rows, bounds=Bounds(before * n * (n + 1) // 2 * after, n, n)),)  # fmt: skip


@implements(np.cumsum)
def cumsum(x: Any, axis: int | None = None, *, dtype: Any = None) -> Any:
    """Running sum along ``axis``, of the flattened array by default. (S) → (S). J = lower triangle of ones."""
    x = operand("cumsum", x) if dtype is None else astype(operand("cumsum", x), dtype)
    return CumulativeSum(0)(np.reshape(x, -1)) if axis is None else CumulativeSum(axis)(x)


def _running(name: str, x: Any, axis: int | None, dtype: Any, reduction: Callable[..., Any], neutral: float) -> Any:
    """yᵢ = r(x₁, …, xᵢ) along ``axis``: the reductions of the rows of a triangle, which takes n² memory for each line."""
    x = operand(name, x) if dtype is None else astype(operand(name, x), dtype)
    x, at = (np.reshape(x, -1), 0) if axis is None else (x, index(axis))
    expect(-len(x.shape) <= at < len(x.shape), name, f"axis {axis} to name an axis of x", x=x.shape)
    lines = np.expand_dims(np.moveaxis(x, at, -1), -2)
    return np.moveaxis(reduction(choose(np.tri(lines.shape[-1], dtype=bool), lines, neutral), -1), -1, at)


@implements(np.cumprod)
def cumprod(x: Any, axis: int | None = None, *, dtype: Any = None) -> Any:
    """Running product along ``axis``, of the flattened array by default, as numpy.cumprod. (S) → (S).

    ∂yᵢ/∂xⱼ = ∏ of the others up to i, for j ≤ i. With a node, n² memory for each line of n.
    """
    return _running("cumprod", x, axis, dtype, prod, 1)


def _cumulative(running: Callable[..., Any]) -> Callable[..., Any]:
    def cumulative(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
        x = operand(running.__name__, x)
        if axis is None and len(x.shape) != 1:
            raise ValueError(f"{running.__name__}: got no axis for x of {len(x.shape)} axes; wanted one")
        axis = 0 if axis is None else axis
        y = running(x, axis, dtype=dtype)
        if not include_initial:
            return y
        first = np.full_like(np.take(y, [0], axis), 0 if running is cumsum else 1)
        return np.concatenate([first, y], axis)

    return cumulative


for _function, _running_one in (("cumulative_sum", cumsum), ("cumulative_prod", cumprod)):  # new in NumPy 2.1
    if hasattr(np, _function):
        implements(getattr(np, _function))(_cumulative(_running_one))


@implements(np.average)
def average(x: Any, axis: Axis = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """Mean over ``axis`` weighted by ``weights``, of x's shape or a vector along ``axis``, as numpy.average."""
    x, axis = operand("average", x), checked_axis("average", axis)
    expect(
        axis is None or all(-len(x.shape) <= i < len(x.shape) for i in np.atleast_1d(axis)),
        "average",
        f"axis {axis} to name axes of x",
        x=x.shape,
    )
    if weights is None:
        y = mean(x, axis, keepdims)
        return (y, np.where(True, x.size / largest(y.size, 1), y)) if returned else y
    weights = operand("average", weights)
    along = np.ndim(weights) == 1 and isinstance(axis, int)
    expect(
        weights.shape == ((x.shape[axis],) if along else x.shape),
        "average",
        "weights of x's shape, or a vector along axis",
        weights=np.shape(weights),
        x=x.shape,
    )
    if along:
        line = [1] * len(x.shape)
        line[axis] = -1  # type: ignore[index]
        weights = np.reshape(weights, line)
    scale = sum(np.broadcast_to(weights, x.shape), axis, keepdims)
    y = sum(x * weights, axis, keepdims) / scale
    return (y, np.where(True, scale, y)) if returned else y


@implements(np.ptp)
def ptp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Largest minus smallest entry over ``axis``."""
    axis = checked_axis("ptp", axis)
    return subtract(max(x, axis, keepdims), min(x, axis, keepdims))


def _ufunc_reduce(name: str) -> Callable[..., Any]:
    def reduce(
        x: Any, axis: Axis = 0, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Any:
        return _reduced(name, x, axis, keepdims, dtype, initial, where)

    return reduce


def _ufunc_accumulate(reduction: Callable[..., Any], neutral: float) -> Callable[..., Any]:
    def accumulate(x: Any, axis: int = 0, dtype: Any = None) -> Any:
        if reduction is sum:
            return cumsum(x, axis, dtype=dtype)
        return _running(f"{reduction.__name__}.accumulate", x, axis, dtype, reduction, neutral)

    return accumulate


for _ufunc, _reduction, _neutral in (
    (np.add, sum, 0), (np.multiply, prod, 1), (np.maximum, max, -np.inf), (np.minimum, min, np.inf),
    (np.logaddexp, logsumexp, -np.inf),
):  # fmt: skip
    implements((_ufunc, "reduce"))(_ufunc_reduce(_reduction.__name__))
    implements((_ufunc, "accumulate"))(_ufunc_accumulate(_reduction, _neutral))
