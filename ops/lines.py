"""NumPy's functions along a line: differences, integrals, interpolation, ranges, polynomials; each is NumPy text."""

from __future__ import annotations

from builtins import max as largest_of
from typing import Any

import numpy as np

from minigraph.arguments import expect_choice
from minigraph.node import Node, Spec, value_of
from minigraph.op import expect, implements, operand
from minigraph.ops.composed import axes_of, unstack
from minigraph.ops.conv.functions import conv1d
from minigraph.ops.elementwise import power, where
from minigraph.ops.reduce import sum
from minigraph.ops.shape import (
    astype,
    axis_of,
    concatenate,
    flip,
    moveaxis,
    ravel,
    reshape,
    stack,
    take,
)  # fmt: skip
from minigraph.sums import Axis

__all__ = [
    "convolve", "correlate", "ediff1d", "geomspace", "gradient", "interp", "linspace", "logspace",  "polyadd",
    "polyder", "polyint", "polymul", "polysub", "polyval", "trapezoid", "unwrap", "vander",
]  # fmt: skip


# --- differences, integrals, interpolation -----------------------------------------------------------------


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours of the flattened array, between ``to_begin`` and ``to_end``, as numpy.ediff1d."""
    x = ravel(operand("ediff1d", ary))
    ends = [None if end is None else ravel(astype(operand("ediff1d", end), x.dtype)) for end in (to_begin, to_end)]
    return concatenate([part for part in (ends[0], np.diff(x), ends[1]) if part is not None])


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral of y along ``axis`` by trapezoids, as numpy.trapezoid."""
    y = moveaxis(operand("trapezoid", y), axis, -1)
    n = y.shape[-1]
    if x is not None:
        x = operand("trapezoid", x)
        dx = np.diff(x if len(x.shape) == 1 else moveaxis(x, axis, -1))
    return sum(dx * (take(y, range(1, n), -1) + take(y, range(n - 1), -1)), -1) / 2


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Axis = None, edge_order: int = 1) -> Any:
    """Central differences along each axis, one-sided at the ends, as numpy.gradient.

    ``varargs``: for all axes or for each of them the spacing, or a vector of coordinates.
    """
    f, ndim = operand("gradient", f), len(np.shape(f))
    axes = list(range(ndim)) if axis is None else [axis_of("gradient", i, ndim) for i in axes_of("gradient", axis)]
    spacing = list(varargs) * (len(axes) if len(varargs) == 1 else 1) or [1.0] * len(axes)
    if len(spacing) != len(axes):
        raise ValueError(f"gradient: got {len(varargs)} spacings; wanted one, or one for each of {len(axes)} axes")
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: got edge_order {edge_order}; wanted 1 or 2")
    found = []
    for i, h in zip(axes, spacing, strict=True):
        y, n = moveaxis(f, i, -1), f.shape[i]
        expect(n > edge_order, "gradient", f"at least {edge_order + 1} entries along axis {i}", f=f.shape)
        if np.ndim(h) and np.shape(h) != (n,):
            expect(False, "gradient", f"a number or {n} coordinates for axis {i}", spacing=np.shape(h))
        steps = np.diff(operand("gradient", h)) if np.ndim(h) else np.full(n - 1, 1.0, f.dtype) * h
        slopes = np.diff(y, axis=-1) / steps  # between neighbours
        before, after = steps[:-1], steps[1:]
        inner = (slopes[..., 1:] * before + slopes[..., :-1] * after) / (before + after)
        first, last = slopes[..., :1], slopes[..., -1:]
        if edge_order == 2:  # the parabola through three points
            first = first + (first - slopes[..., 1:2]) * (steps[:1] / (steps[:1] + steps[1:2]))
            last = last + (last - slopes[..., -2:-1]) * (steps[-1:] / (steps[-1:] + steps[-2:-1]))
        found.append(moveaxis(concatenate([first, inner, last], -1), -1, i))
    return found[0] if len(found) == 1 else tuple(found)


@implements(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """Linear interpolation between the points (xp, fp), xp ascending, as numpy.interp. x, fp and xp may be nodes."""
    x, xp, fp = (operand("interp", a) for a in (x, xp, fp))
    expect(
        len(xp.shape) == 1 and xp.shape == fp.shape and xp.size > 0,
        "interp",
        "xp and fp of one shape (n,)",
        xp=xp.shape,
        fp=fp.shape,
    )
    if any(isinstance(a, Spec) or (isinstance(a, Node) and a.abstract) for a in (x, xp, fp)):
        raise TypeError("interp: got a Spec, which has no values; wanted an array or node")
    n = xp.size
    known = np.asarray(value_of(x))
    i = np.clip(np.searchsorted(value_of(xp), known, side="right") - 1, 0, largest_of(n - 2, 0))
    a, b = take(xp, i), take(xp, np.minimum(i + 1, n - 1))
    u, v = take(fp, i), take(fp, np.minimum(i + 1, n - 1))
    y = u + (v - u) * ((x - a) / where(np.equal(value_of(b), value_of(a)), 1, b - a))
    y = where(known < value_of(xp)[0], fp[0] if left is None else left, y)
    return where(known > value_of(xp)[-1], fp[-1] if right is None else right, y)


def _line(name: str, a: Any, v: Any, mode: str) -> Any:
    a, v = operand(name, a), operand(name, v)
    expect(
        len(a.shape) == 1 == len(v.shape) and a.size > 0 < v.size,
        name,
        "two vectors with entries",
        a=a.shape,
        v=v.shape,
    )
    expect_choice(name, ("full", "same", "valid"), mode=mode)
    return a, v


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Convolution of two vectors, as numpy.convolve: yₙ = Σₖ aₖ vₙ₋ₖ. J are Toeplitz matrices."""
    a, v = _line("convolve", a, v, mode)
    if v.size > a.size:
        a, v = v, a
    return _slid(a, flip(v), mode)


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Correlation of two vectors, as numpy.correlate: yₙ = Σₖ aₖ₊ₙ vₖ. J are Toeplitz matrices."""
    a, v = _line("correlate", a, v, mode)
    return _slid(a, v, mode) if v.size <= a.size else flip(_slid(v, a, mode))


def _slid(a: Any, v: Any, mode: str) -> Any:
    """The sums of v slid along a, which is at least as long."""
    n = v.size
    before, after = {"full": (n - 1, n - 1), "valid": (0, 0), "same": (n // 2, (n - 1) // 2)}[mode]
    padded = np.pad(a, (before, after))
    return reshape(conv1d(reshape(padded, (1, 1, -1)), reshape(v, (1, 1, -1))), (-1,))


# --- ranges, angles ----------------------------------------------------------------------------------------


@implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    *,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """``num`` numbers from start to stop, evenly spaced, as numpy.linspace. J are the weights of the two ends."""
    start, stop = operand("linspace", start), operand("linspace", stop)
    n = num - 1 if endpoint else num
    if num < 0:
        raise ValueError(f"linspace: got num {num}; wanted at least 0")
    step = (stop - start) / (n if n > 0 else np.nan)
    at = reshape(np.arange(num), (-1, *[1] * len(step.shape)))
    y = start + (stop - start) * (at / max(n, 1))
    y = where((at == n) & (endpoint and num > 1), stop, y)  # exactly
    y = moveaxis(y, 0, axis) if dtype is None else astype(moveaxis(y, 0, axis), dtype)
    return (y, step) if retstep else y


@implements(np.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, *, dtype: Any = None, axis: int = 0
) -> Any:
    """Powers of ``base`` whose exponents are evenly spaced, as numpy.logspace."""
    y = power(operand("logspace", base), linspace(start, stop, num, endpoint, axis=axis))
    return y if dtype is None else astype(y, dtype)


@implements(np.geomspace)
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, *, dtype: Any = None, axis: int = 0) -> Any:
    """``num`` numbers from start to stop, each the one before times the same factor, as numpy.geomspace."""
    start, stop = operand("geomspace", start), operand("geomspace", stop)
    if np.any(value_of(start) == 0) or np.any(value_of(stop) == 0):
        raise ValueError("geomspace: got an end that is 0; wanted ends of the same sign")
    ratio = stop / start
    y = start * power(ratio, linspace(0.0, 1.0, num, endpoint) if not ratio.shape else linspace(
        np.zeros(ratio.shape), np.ones(ratio.shape), num, endpoint))  # fmt: skip
    y = moveaxis(y, 0, axis)
    return y if dtype is None else astype(y, dtype)


@implements(np.unwrap)
def unwrap(p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * np.pi) -> Any:
    """Angles without jumps of more than half a period, as numpy.unwrap: periods are added. J = I."""
    p = operand("unwrap", p)
    value = np.asarray(value_of(p))
    return p + (np.unwrap(value, discont, axis, period=period) - value)


# --- polynomials, highest power first ----------------------------------------------------------------------


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """The polynomial with coefficients p, the highest power first, at x by Horner's scheme, as numpy.polyval."""
    p, x = operand("polyval", p), operand("polyval", x)
    y = 0 * x
    for coefficient in unstack(p):
        y = y * x + coefficient
    return y


def _aligned(name: str, a1: Any, a2: Any) -> tuple[Any, Any]:
    a, b = (ravel(operand(name, x)) for x in (a1, a2))
    n = largest_of(a.size, b.size)
    return np.pad(a, (n - a.size, 0)), np.pad(b, (n - b.size, 0))


@implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """The coefficients of the sum of two polynomials, as numpy.polyadd."""
    a, b = _aligned("polyadd", a1, a2)
    return a + b


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """The coefficients of the difference of two polynomials, as numpy.polysub."""
    a, b = _aligned("polysub", a1, a2)
    return a - b


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """The coefficients of the product of two polynomials: their convolution, as numpy.polymul."""
    return convolve(ravel(operand("polymul", a1)), ravel(operand("polymul", a2)))


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """The coefficients of the m-th derivative of a polynomial, as numpy.polyder."""
    p = ravel(operand("polyder", p))
    for _ in range(m):
        p = p[:-1] * np.arange(p.size - 1, 0, -1)
    return p


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The coefficients of the m-th antiderivative of a polynomial, with constants k (0), as numpy.polyint."""
    p = ravel(operand("polyint", p))
    constants = [0.0] * m if k is None else list(np.atleast_1d(k)) * (m if np.size(k) == 1 else 1)
    if len(constants) < m:
        raise ValueError(f"polyint: got {len(constants)} constants; wanted one, or {m}")
    for i in range(m):
        p = concatenate([p / np.arange(p.size, 0, -1), reshape(operand("polyint", constants[i]), (1,))])
    return p


@implements(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The matrix of powers of a vector, as numpy.vander: (n) → (n, N)."""
    x = operand("vander", x)
    expect(len(x.shape) == 1, "vander", "a vector", x=x.shape)
    n = x.size if N is None else N
    powers = [np.ones_like(x)] if n else []
    for _ in range(n - 1):
        powers.append(powers[-1] * x)
    y = stack(powers, 1) if powers else reshape(x[:0], (x.size, 0)) if not x.size else np.zeros((x.size, 0), x.dtype)
    return y if increasing else flip(y, 1)
