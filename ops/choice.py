"""NumPy's functions that choose entries by conditions, positions or sets. Which entries is not differentiated: J selects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from minigraph.arguments import expect_choice
from minigraph.node import value_of
from minigraph.op import expect, implements, operand
from minigraph.ops.composed import unstack
from minigraph.ops.elementwise import where
from minigraph.ops.queries import unique
from minigraph.ops.shape import (
    astype,
    axis_of,
    broadcast_to,
    concatenate,
    expand_dims,
    moveaxis,
    ravel,
    reshape,
    stack,
    take,
    take_along_axis,
)

__all__ = [
    "apply_along_axis", "apply_over_axes", "choose", "compress", "extract", "intersect1d", "partition", "piecewise",
    "resize", "rollaxis", "select", "setdiff1d", "setxor1d", "trim_zeros", "union1d",
]  # fmt: skip


# --- by conditions and positions ---------------------------------------------------------------------------


@implements(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Of the choices the first whose condition holds, entry by entry, as numpy.select."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(f"select: got {len(condlist)} conditions and {len(choicelist)} choices; wanted equal numbers")
    y = default
    for condition, choice in zip(reversed(list(condlist)), reversed(list(choicelist)), strict=True):
        y = where(condition, choice, y)
    return y


@implements(np.choose)
def choose(a: Any, choices: Any, *, mode: str = "raise") -> Any:
    """Entry by entry the choice that the integer in ``a`` names, as numpy.choose."""
    number, given = np.asarray(value_of(a)), [operand("choose", c) for c in choices]
    if number.dtype.kind not in "iub":
        raise TypeError(f"choose: got a of dtype {number.dtype}; wanted integers")
    expect_choice("choose", ("raise", "wrap", "clip"), mode=mode)
    try:
        shape = np.broadcast_shapes(number.shape, *[c.shape for c in given])
    except ValueError:
        expect(False, "choose", "shapes that broadcast", a=number.shape, choices=[c.shape for c in given])
    n = len(given)
    if mode == "raise" and number.size and not (0 <= number.min() and number.max() < n):
        raise ValueError(f"choose: got a from {number.min()} to {number.max()}; wanted 0 to {n - 1}")
    number = number % n if mode == "wrap" else np.clip(number, 0, n - 1)
    every = stack([broadcast_to(c, shape) for c in given])
    return take_along_axis(every, np.broadcast_to(number, shape)[None], 0)[0]


@implements(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    """The parts of ``a`` along ``axis`` for which the condition holds, as numpy.compress."""
    return take(operand("compress", a), np.flatnonzero(value_of(condition)), axis)


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """The entries for which the condition holds, as a vector, as numpy.extract."""
    return take(ravel(operand("extract", arr)), np.flatnonzero(value_of(condition)))


@implements(np.partition)
def partition(a: Any, kth: Any, axis: int | None = -1) -> Any:
    """The entries along ``axis`` with the k-th smallest in its place in sorted order, smaller ones before it."""
    x = operand("partition", a)
    x, axis = (ravel(x), 0) if axis is None else (x, axis_of("partition", axis, len(x.shape)))
    return take_along_axis(x, np.argpartition(value_of(x), value_of(kth), axis), axis)


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """Of functions or numbers the last whose condition holds, as numpy.piecewise: each sees only its entries of x.

    One function more than conditions is for the entries of which none holds; without it these are 0.
    """
    x = operand("piecewise", x)
    holds = [np.asarray(value_of(c), bool) for c in (condlist if isinstance(condlist, (list, tuple)) else [condlist])]
    if len(holds) == 1 and holds[0].ndim == len(x.shape) + 1:
        holds = list(holds[0])
    functions = list(funclist)
    if len(functions) == len(holds) + 1:
        holds.append(~np.any(holds, axis=0))
    if len(functions) != len(holds):
        raise ValueError(
            f"piecewise: got {len(functions)} functions for {len(holds)} conditions; wanted equal numbers, or one function more"
        )
    which = np.full(x.shape, len(holds))
    for i, condition in enumerate(holds):
        which[condition] = i
    parts, places = [], []
    for i, function in enumerate([*functions, 0]):
        at = np.flatnonzero(which == i)
        if at.size:
            y = function(take(ravel(x), at), *args, **kw) if callable(function) else function
            parts.append(broadcast_to(astype(operand("piecewise", y), x.dtype), at.shape))
            places.append(at)
    if not parts:
        return reshape(x, x.shape)
    return reshape(take(concatenate(parts), np.argsort(np.concatenate(places))), x.shape)


@implements(np.trim_zeros)
def trim_zeros(filt: Any, trim: str = "fb") -> Any:
    """A vector without zeros at its front ("f" in ``trim``) and at its back ("b"), as numpy.trim_zeros."""
    x = operand("trim_zeros", filt)
    expect(len(x.shape) == 1, "trim_zeros", "a vector", filt=x.shape)
    kept = np.flatnonzero(value_of(x))
    begin = kept[0] if "f" in trim.lower() and kept.size else 0
    end = kept[-1] + 1 if "b" in trim.lower() and kept.size else x.size
    return x[begin:end] if kept.size else x[:0]


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """The entries in another shape, repeated as often as it takes, as numpy.resize."""
    x = ravel(operand("resize", a))
    shape = (new_shape,) if isinstance(new_shape, (int, np.integer)) else tuple(new_shape)
    expect(all(n >= 0 for n in shape), "resize", "sides of at least 0", new_shape=shape)
    return reshape(take(x, np.arange(prod(shape)) % max(x.size, 1)), shape)


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """Move an axis before the one at ``start``, as numpy.rollaxis."""
    x = operand("rollaxis", a)
    n = len(x.shape)
    axis, start = axis_of("rollaxis", axis, n), axis_of("rollaxis", start, n + 1) if start >= 0 else start + n
    return moveaxis(x, axis, start - (axis < start))


# --- functions of lines ------------------------------------------------------------------------------------


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """func1d of each line along ``axis``, as numpy.apply_along_axis. (S) → (S with the axes of its result for axis)."""
    x = operand("apply_along_axis", arr)
    axis = axis_of("apply_along_axis", axis, len(x.shape))
    rows = moveaxis(x, axis, -1)
    found = [func1d(row, *args, **kwargs) for row in unstack(reshape(rows, (-1, rows.shape[-1])))]
    expect(bool(found), "apply_along_axis", "at least one line", arr=x.shape)
    y = stack([operand("apply_along_axis", f) for f in found])
    y = reshape(y, (*rows.shape[:-1], *y.shape[1:]))
    n, m = len(rows.shape) - 1, len(y.shape)
    return moveaxis(y, tuple(range(n, m)), tuple(range(axis, axis + m - n)))


@implements(np.apply_over_axes)
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """func(a, axis) for each of the axes in turn, which are kept, as numpy.apply_over_axes."""
    x = operand("apply_over_axes", a)
    for axis in np.atleast_1d(axes):
        y = operand("apply_over_axes", func(x, axis))
        x = y if len(y.shape) == len(x.shape) else expand_dims(y, axis_of("apply_over_axes", axis, len(x.shape)))
    return x


# --- sets --------------------------------------------------------------------------------------------------


def _pair(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    return ravel(operand(name, a)), ravel(operand(name, b))


@implements(np.union1d)
def union1d(ar1: Any, ar2: Any) -> Any:
    """The different entries of both in ascending order, as numpy.union1d."""
    return unique(concatenate(_pair("union1d", ar1, ar2)))


@implements(np.intersect1d)
def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The different entries that both have, in ascending order, as numpy.intersect1d. J selects those of ar1."""
    a, b = _pair("intersect1d", ar1, ar2)
    _, i, j = np.intersect1d(value_of(a), value_of(b), assume_unique, True)
    return (take(a, i), i, j) if return_indices else take(a, i)


@implements(np.setdiff1d)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The different entries of ar1 that ar2 does not have, as numpy.setdiff1d."""
    a, b = _pair("setdiff1d", ar1, ar2)
    kept = np.arange(a.size) if assume_unique else np.unique(value_of(a), return_index=True)[1]
    return take(a, kept[~np.isin(value_of(a)[kept], value_of(b))])


@implements(np.setxor1d)
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The different entries that only one of them has, in ascending order, as numpy.setxor1d."""
    a, b = _pair("setxor1d", ar1, ar2)
    both = union1d(a, b)
    values = value_of(both)
    return take(both, np.flatnonzero(np.isin(values, value_of(a)) != np.isin(values, value_of(b))))


for _name in ("all", "counts", "inverse", "values"):  # of the array API
    _asked = {"return_index": _name == "all", "return_inverse": _name in ("all", "inverse"),
              "return_counts": _name in ("all", "counts")}  # fmt: skip
    implements(getattr(np, f"unique_{_name}"))(lambda x, /, asked=_asked: unique(x, **asked, equal_nan=False))
implements(np.diagflat)(lambda v, k=0: np.diag(ravel(operand("diagflat", v)), k))
