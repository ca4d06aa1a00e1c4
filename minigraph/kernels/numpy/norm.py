"""Normalisation: groups of entries brought to mean 0 and variance 1, and responses damped by their neighbours'.

Where the groups are the channels and these lie last in memory, the work is done pixel by pixel in parts that stay in
cache. What is written as plain text below serves arrays in any order, and Nodes too, since it calls NumPy alone.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from string import ascii_letters
from typing import Any, NamedTuple

import numpy as np

from minigraph.kernels.numpy import layout as order
from minigraph.kernels.numpy import summation
from minigraph.kernels.numpy.elementwise import positive_part
from minigraph.kernels.numpy.threads import parallel_samples, scratch
from minigraph.kernels.window import Array, Window


class Groups(NamedTuple):
    """How x is seen: its sides, the axes of a group, and the sides of weight and bias."""

    view: tuple[int, ...]
    axes: tuple[int, ...]
    affine: tuple[int, ...]

    @property
    def size(self) -> int:
        """Entries of a group."""
        return prod(self.view[i] for i in self.axes)

    @property
    def stretched(self) -> tuple[int, ...]:
        """The axes along which weight and bias are repeated."""
        return tuple(i for i, n in enumerate(self.affine) if n == 1)

    @property
    def are_channels(self) -> bool:
        """Whether each group is a channel of (N, C, *n)."""
        return self.axes == (0, *range(2, len(self.view)))


Moments = tuple[Any, Any, Any]  # mean, variance and 1/σ of each group, σ² = variance + eps


def moments(x: Any, groups: Groups, eps: float) -> Moments:
    """Mean, variance and 1/σ of each group of x, whose axes are kept with side 1."""
    return _centred(np.reshape(x, groups.view), groups, eps)[:3]


def _centred(x: Any, groups: Groups, eps: float) -> tuple[Any, Any, Any, Any]:
    """μ, the variance, 1/σ, and x − μ, for x of the groups' view."""
    mean = summation.mean(x, groups.axes, True)
    deviations = x - mean
    var = _mean_square(deviations, groups)
    square = var + eps
    plain = getattr(square, "value", square)
    inside = order.in_range(plain, plain.dtype)
    if inside.all():
        inverse = 1 / np.sqrt(square)
    else:  # squares that overflow or vanish
        scale = np.max(np.abs(getattr(deviations, "value", deviations)), axis=groups.axes, keepdims=True)
        scale = np.where((scale > 0) & ~inside, scale, 1)
        inverse = 1 / np.sqrt(_mean_square(deviations / scale, groups) + eps / scale / scale) / scale
    return mean, var, inverse if inverse.dtype == x.dtype else inverse.astype(x.dtype), deviations


def given_moments(statistics: tuple[Array, Array], groups: Groups, eps: float, dtype: Any) -> Moments:
    """The same from a given mean and variance."""
    mean, var = (s.reshape(groups.affine).astype(dtype) for s in statistics)
    return mean, var, 1 / np.sqrt(var + eps)


def _mean_square(deviations: Any, groups: Groups) -> Any:
    """The mean of rest² over each group; of float32 in double precision."""
    return _double_total(groups.axes, deviations, deviations) / groups.size


def total_product(axes: tuple[int, ...], a: Any, b: Any) -> Any:
    """Σ a b over ``axes``, which are kept with side 1; of float32 as exact as in double precision."""
    total = _double_total(axes, a, b)
    return total.astype(np.float32) if summation.single(a) and summation.single(b) else total


def _double_total(axes: tuple[int, ...], a: Any, b: Any) -> Any:
    """The same, of float32 in double precision."""
    letters = ascii_letters[: len(a.shape)]
    remaining = "".join(c for i, c in enumerate(letters) if i not in axes)
    shape = tuple(1 if i in axes else n for i, n in enumerate(a.shape))
    double: dict[str, Any] = {"dtype": np.float64} if summation.single(a) and summation.single(b) else {}
    return np.reshape(np.einsum(f"{letters},{letters}->{remaining}", a, b, **double), shape)


def standardized(x: Any, groups: Groups, mean: Any, inverse: Any) -> Any:
    """x̂ = (x − μ)/σ, of the groups' view."""
    x_hat = np.reshape(x, groups.view) - mean
    x_hat *= inverse
    return x_hat


def projected(v: Any, x_hat: Any, groups: Groups) -> Any:
    """v − mean v − x̂ mean(x̂ v) for each group."""
    share = total_product(groups.axes, v, x_hat) * (-1 / groups.size)
    u = x_hat * share
    u += v  # in place where u is an array
    u -= summation.mean(v, groups.axes, True)
    return u


# --- passes over pixels (M, C), with a number for each channel (C,) ------------------------------------


class Passes(NamedTuple):
    """The passes over x that normalisation of the channels is made of."""

    moments: Callable[[Array], tuple[Array, Array]]  # (x) → mean, variance
    standardize: Callable[..., None]  # (x, y, mean, scale, shift, finish): y = finish((x − mean) scale + shift)
    sums: Callable[..., tuple[Array, Array]]  # (g, x, mean, 1/σ) → Σ g, Σ g x̂
    project: Callable[..., None]  # (g, x, y, scale, mean, slope, shift): y = g scale − (x − mean) slope − shift


class Finish(NamedTuple):
    """What follows a normalisation in the same pass: ``other`` is added, then max(y, 0) taken."""

    other: Any = None
    rectified: bool = False

    def write(self, y: Array, other: Array | None) -> None:
        """Finish a part of y in place."""
        if other is not None:
            np.add(y, other, out=y)
        if self.rectified:
            positive_part(y, out=y)


AS_IT_IS = Finish()


def standardize_pixels(x: Array, y: Array, mean: Array, scale: Array, shift: Array, finish: Finish) -> None:
    """y = finish((x − mean) scale + shift)."""
    others = [] if finish.other is None else [finish.other]

    def part(x: Array, y: Array, *given: Array) -> None:
        *other, mean, scale, shift = given
        np.subtract(x, mean, out=y)
        np.multiply(y, scale, out=y)
        np.add(y, shift, out=y)
        finish.write(y, other[0] if other else None)

    order.map_pixels(part, [x, y, *others], [mean, scale, shift])


def sums_of_pixels(g: Array, x: Array, mean: Array, inverse: Array) -> tuple[Array, Array]:
    """Σ g and Σ g x̂."""
    small = order.means_are_small(mean, inverse**-2)  # then x passes for x − μ, and the sum is made good afterwards

    def products(g: Array, x: Array, mean: Array) -> tuple[Array, Array]:
        if small:
            return order.sum_rows(g), order.sum_row_products(g, x)
        deviations = np.subtract(x, mean, out=scratch("rest", x.shape, x.dtype))
        return order.sum_rows(g), order.sum_row_products(g, deviations)

    total, dot = order.sum_pixels(products, [g, x], [mean])
    return total, (dot - mean * total if small else dot) * inverse


def project_pixels(g: Array, x: Array, y: Array, scale: Array, mean: Array, slope: Array, shift: Array) -> None:
    """y = g scale − (x − mean) slope − shift."""

    def part(g: Array, x: Array, y: Array, scale: Array, mean: Array, slope: Array, shift: Array) -> None:
        np.multiply(g, scale, out=y)
        deviations = np.subtract(x, mean, out=scratch("rest", x.shape, x.dtype))
        np.multiply(deviations, slope, out=deviations)
        np.subtract(y, deviations, out=y)
        np.subtract(y, shift, out=y)

    order.map_pixels(part, [g, x, y], [scale, mean, slope, shift])


PASSES = Passes(order.moments, standardize_pixels, sums_of_pixels, project_pixels)


# --- the two tasks -------------------------------------------------------------------------------------


def normalize(
    x: Array,
    w: Array | None,
    b: Array | None,
    groups: Groups,
    eps: float,
    statistics: tuple[Array, Array] | None,
    finish: Finish = AS_IT_IS,
    passes: Passes = PASSES,
) -> tuple[Array, Moments]:
    """w x̂ + b, finished, and the moments; of given ``statistics`` (mean, variance) where there are any."""
    result: tuple[Array, Moments] | None = _normalize_pixels(x, w, b, groups, eps, statistics, finish, passes)
    if result is not None:
        return result
    view = np.reshape(x.astype(x.dtype if w is None else np.result_type(x, w, b), copy=False), groups.view)
    if statistics is None:
        mean, var, inverse, y = _centred(view, groups, eps)
    else:
        mean, var, inverse = given_moments(statistics, groups, eps, view.dtype)
        y = view - mean
    y *= inverse if w is None else inverse * w.reshape(groups.affine)
    if b is not None:
        y += b.reshape(groups.affine)
    y = np.reshape(y, x.shape)
    if finish.other is not None:
        y += finish.other
    return np.maximum(y, y.dtype.type(0), out=y) if finish.rectified else y, (mean, var, inverse)


def _normalize_pixels(
    x: Array, w: Any, b: Any, groups: Groups, eps: float, statistics: Any, finish: Finish, passes: Passes
) -> Any:
    pixels = order.pixels(x) if groups.are_channels and x.ndim > 1 and x.dtype.kind == "f" else None
    if pixels is None or any(p is not None and p.dtype != x.dtype for p in (w, b)):
        return None
    mean, var = passes.moments(pixels) if statistics is None else statistics
    if not order.all_in_range(var + eps, x.dtype):
        return None
    inverse = 1 / np.sqrt(var + eps)
    scale = inverse if w is None else inverse * w
    shift = np.zeros_like(scale) if b is None else b
    N, C, *n = x.shape
    images, y = order.empty(N, C, tuple(n), x.dtype)

    numbers = [a.astype(x.dtype) for a in (mean, scale, shift)]
    if finish.other is not None:
        finish = finish._replace(other=order.pixels_like(finish.other, x))
    passes.standardize(pixels, y.reshape(-1, C), *numbers, finish)
    return images, tuple(a.astype(x.dtype).reshape(groups.affine) for a in (mean, var, inverse))


def normalize_gradient(
    g: Array,
    x: Array,
    w: Array | None,
    groups: Groups,
    moments: Moments,
    constant: bool,
    wanted: tuple[bool, ...],
    passes: Passes = PASSES,
) -> list[Array | None]:
    """The cotangents of x, w and b, those that are ``wanted``; ``constant``: the moments do not depend on x."""
    mean, _, inverse = moments
    if groups.are_channels and _pixelwise(g, x, w, inverse):
        return _pixel_gradients(g, x, w, mean.ravel(), inverse.ravel(), constant, wanted, passes)
    x_hat, g = standardized(x, groups, mean, inverse), np.reshape(g, groups.view)
    of_x = of_w = of_b = None
    if wanted[1:] and wanted[1]:
        of_w = np.reshape(total_product(groups.stretched, g, x_hat), w.shape)  # type: ignore[union-attr]
    if wanted[1:] and wanted[2]:
        of_b = np.reshape(summation.total(g, groups.stretched), w.shape)  # type: ignore[union-attr]
    if wanted[0]:
        weighted = g if w is None else g * w.reshape(groups.affine)
        of_x = np.reshape((weighted if constant else projected(weighted, x_hat, groups)) * inverse, x.shape)
    return [of_x, of_w, of_b]


def _pixelwise(g: Array, x: Array, w: Array | None, inverse: Array) -> bool:
    """Whether x̂ and g can be taken pixel by pixel: channels lie last, and σ⁻² neither overflows nor vanishes."""
    alike = x.dtype.kind == "f" and x.dtype == g.dtype and (w is None or w.dtype == x.dtype)
    return alike and order.pixels(x) is not None and order.all_in_range(inverse**2, x.dtype)


def _pixel_gradients(
    g: Array, x: Array, w: Array | None, mean: Array, inverse: Array, constant: bool, wanted: tuple[bool, ...],
    passes: Passes,
) -> list[Array | None]:  # fmt: skip
    """a g − b (x − μ) − a Σ g / m for x, with a = w σ⁻¹ and b = a σ⁻¹ Σ x̂g / m; Σ x̂g for w, Σ g for b."""
    arrays = [order.pixels_like(a, x) for a in (g, x)]
    total, dot = (a.astype(g.dtype) for a in passes.sums(*arrays, mean, inverse))
    of_x = None
    if wanted[0]:
        N, C, *n = x.shape
        scale, m = inverse if w is None else inverse * w, len(arrays[0])
        slope, shift = (0 * scale, 0 * scale) if constant else (scale * inverse * dot / m, scale * total / m)
        of_x, out = order.empty(N, C, tuple(n), x.dtype)
        passes.project(*arrays, out.reshape(-1, C), scale, mean, slope, shift)
    return [of_x, *(s if wanted[i:] and wanted[i] else None for i, s in ((1, dot), (2, total)))]


# --- response normalisation ----------------------------------------------------------------------------


def local_response_norm(x: Array, window: Window, size: int, alpha: float, beta: float, k: float) -> tuple[Array, None]:
    """x s^−β, s = k + α Σ x² / size over the ``window`` of channels. Nothing is saved."""

    def damped(x: Array) -> Array:
        z = wide(x, k)
        s = k + alpha / size * _band(z * z, window)
        y: Array = (z * power(s, -beta)).astype(x.dtype, copy=False)
        return y

    return parallel_samples(damped, x), None


def local_response_norm_gradient(
    g: Array, x: Array, y: Array, window: Window, size: int, alpha: float, beta: float, k: float, saved: None
) -> Array:
    """The cotangent of x: g s^−β − 2αβ/size x Σ g y/s, the sum over the channels whose window has the channel."""

    def pulled(g: Array, x: Array, y: Array) -> Array:
        z = wide(x, k)
        s = k + alpha / size * _band(z * z, window)
        shared = (2 * alpha * beta / size) * _band(g * y / s, window, transposed=True)
        gradient: Array = (g * power(s, -beta) - z * shared).astype(x.dtype)
        return gradient

    gradient: Array = parallel_samples(pulled, g, x, y)
    return gradient


def _band(v: Array, window: Window, transposed: bool = False) -> Array:
    """The sums over the window of each channel of v (N, C, *n), or the transpose of that."""
    sums = np.zeros_like(v)
    source, target = order.channels_last(v), order.channels_last(sums)
    for outputs, pixels in window.axis_taps[0]:
        if transposed:
            target[..., pixels] += source[..., outputs]
        else:
            target[..., outputs] += source[..., pixels]
    return sums


def wide(x: Any, k: float) -> Any:
    """x in double precision where float32 could not hold the squares, or their sum alone is the damping."""
    v = getattr(x, "value", x)
    if v.dtype == np.float32 and v.size and (max(v.max(), -v.min()) > 1e18 or not k):
        return x.astype(np.float64)
    return x


def power(s: Any, exponent: float) -> Any:
    """s to the ``exponent``; by square roots for −¾, which are ten times as fast."""
    if exponent != -0.75:
        return s**exponent
    root = np.sqrt(s)
    return 1 / (root * np.sqrt(root))
