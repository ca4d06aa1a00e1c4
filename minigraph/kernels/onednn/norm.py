"""Normalisation by oneDNN, in parts: of channels over the batch, and of responses by those of their neighbours."""

from __future__ import annotations

from ctypes import c_float, c_int, c_int64, c_uint
from functools import lru_cache, partial
from typing import Any

import numpy as np

from minigraph.kernels import tasks
from minigraph.kernels.numpy import layout
from minigraph.kernels.numpy import norm as plain
from minigraph.kernels.numpy.norm import Finish, Groups, Passes
from minigraph.kernels.numpy.threads import equal_slices, parallel, scratch
from minigraph.kernels.onednn.pool import seconds
from minigraph.kernels.onednn.primitive import (  # fmt: skip
    BACKWARD,
    INFERENCE,
    MOST_KEPT,
    TRAINING,
    Argument,
    Primitive,
    accumulating,
    channels_last,
    finite,
    images,
    library,
    parts,
    rows_at,
)
from minigraph.kernels.registry import SEQUENTIAL_ERROR, Saved
from minigraph.kernels.window import Array, Window

_ALL_GIVEN, _SCALED, _NOTHING = c_uint(1 + 2 + 4), c_uint(2 + 4), c_uint(0)  # statistics are 1, scale 2, shift 4
_ACROSS_CHANNELS, _MULTIPLY = c_int(0xAFF), c_int(0x1FFF1)
MOST_OFFSET = 8  # of a mean, in deviations, up to which sums in single precision keep enough digits
SUMMED_LINE = 512  # entries of a line of pixels whose sums go on side by side
CACHED_ENTRIES = 1 << 18  # of a part that a second primitive reads again
MOST_SUMMED = 8192  # rows that oneDNN sums in single precision, one after another

Shape = tuple[int, ...]


@lru_cache(MOST_KEPT)
def affine(rows: int, channels: int) -> Primitive:
    """(x − mean) scale / √variance + shift, for pixels (rows, channels)."""
    x = images(1, channels, (rows, 1))
    return Primitive("batch_normalization_forward", library.engine, INFERENCE, x, x, c_float(0), _ALL_GIVEN,
                     numbers=(Argument.SRC, Argument.MEAN, Argument.VARIANCE, Argument.SCALE, Argument.SHIFT, Argument.DST))  # fmt: skip


@lru_cache(MOST_KEPT)
def statistics(rows: int, channels: int) -> Primitive:
    """Mean and variance of each channel; its other output is discarded."""
    x = images(1, channels, (rows, 1))
    return Primitive("batch_normalization_forward", library.engine, TRAINING, x, x, c_float(1e-5), _NOTHING,
                     numbers=(Argument.SRC, Argument.DST, Argument.MEAN, Argument.VARIANCE))  # fmt: skip


@lru_cache(MOST_KEPT)
def gradients(rows: int, channels: int) -> Primitive:
    """Σ g x̂ and Σ g of each channel; its other output is discarded."""
    x = images(1, channels, (rows, 1))
    hint = library.make("batch_normalization_forward_primitive_desc_create", library.engine, TRAINING, x, x, c_float(0),
                        _SCALED, library.attributes)  # fmt: skip
    return Primitive("batch_normalization_backward", library.engine, BACKWARD, x, x, x, c_float(0), _SCALED, hint,
                     numbers=(Argument.DIFF_DST, Argument.SRC, Argument.MEAN, Argument.VARIANCE, Argument.SCALE, Argument.DIFF_SRC, Argument.DIFF_SCALE, Argument.DIFF_SHIFT))  # fmt: skip


def summed(x: Array) -> list[slice]:
    """The rows of x in parts that may be summed in single precision."""
    return equal_slices(len(x), min(MOST_SUMMED, CACHED_ENTRIES // x.shape[1]))


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance, from those of parts; by NumPy unless means are small, where digits would be lost."""
    R, (lines,) = layout.rows_of_pixels(
        np.ascontiguousarray(x), most=SUMMED_LINE
    )  # so that R sums of a channel go on side by side
    C, slices, at = lines.shape[1], summed(lines), rows_at(lines)
    found = np.empty((len(slices), 2, C), x.dtype)

    def part(i: int) -> None:
        n = slices[i].stop - slices[i].start
        statistics(n, C)(at(slices[i]), scratch("unused", (n, C), x.dtype), *found[i])

    parallel(part, range(len(slices)), uses_blas=False)
    means, variances = np.moveaxis(found, 1, 0).reshape(2, -1, x.shape[1])
    sizes = np.repeat([float(s.stop - s.start) for s in slices], R)
    mean, var = layout.combined_moments(means, variances, sizes)
    return (mean, var) if layout.means_are_small(mean, var, MOST_OFFSET) else layout.centred_moments(x)


def standardize(x: Array, y: Array, mean: Array, scale: Array, shift: Array, finish: Finish) -> None:
    """y = finish((x − mean) scale + shift)."""
    x = np.ascontiguousarray(x)
    C, numbers = len(mean), np.array([mean, np.ones_like(mean), scale, shift])
    x_at, y_at, of = rows_at(x), rows_at(y), [rows_at(numbers)(slice(i, i + 1)) for i in range(4)]

    def part(s: slice) -> None:
        affine(s.stop - s.start, C)(x_at(s), *of, y_at(s))
        finish.write(y[s], None if finish.other is None else finish.other[s])

    parallel(part, equal_slices(len(x), CACHED_ENTRIES // C) if finish.rectified else parts(x), uses_blas=False)


def sums(g: Array, x: Array, mean: Array, inverse: Array) -> tuple[Array, Array]:
    """Σ g and Σ g x̂, from those of parts."""
    channels = x.shape[1]
    R, (g, x) = layout.rows_of_pixels(np.ascontiguousarray(g), np.ascontiguousarray(x), most=SUMMED_LINE)
    C, slices = x.shape[1], summed(x)
    numbers = np.array([np.tile(v, R) for v in (mean, 1 / (inverse * inverse), np.ones_like(mean))])
    found = np.empty((2 * len(slices), C), x.dtype)
    g_at, x_at, found_at, of = rows_at(g), rows_at(x), rows_at(found), rows_at(numbers)
    given = [of(slice(j, j + 1)) for j in range(3)]

    def part(i: int) -> None:
        s, n = slices[i], slices[i].stop - slices[i].start
        results = [found_at(slice(j, j + 1)) for j in (2 * i, 2 * i + 1)]
        gradients(n, C)(g_at(s), x_at(s), *given, scratch("unused", (n, C), x.dtype), *results)

    parallel(part, range(len(slices)), uses_blas=False)
    dot, total = found.reshape(-1, 2, R, channels).sum((0, 2), dtype=float)
    return total, dot


@lru_cache(MOST_KEPT)
def add_scaled(rows: int, channels: int) -> Primitive:
    """y + g scale, written into y, for pixels (rows, channels)."""
    x, v = library.layout((rows, channels), (channels, 1)), library.layout((1, channels), (channels, 1))
    return Primitive(
        "binary",
        library.engine,
        _MULTIPLY,
        x,
        v,
        x,
        numbers=(Argument.SRC, Argument.SRC_1, Argument.DST),
        attributes=accumulating(),
    )


def project(g: Array, x: Array, y: Array, scale: Array, mean: Array, slope: Array, shift: Array) -> None:
    """y = g scale − (x − mean) slope − shift, in lines of several pixels, which stay in cache between the two steps."""
    R, (g, x, y) = layout.rows_of_pixels(np.ascontiguousarray(g), np.ascontiguousarray(x), y)
    lines = np.array([np.tile(v, R) for v in (mean, np.ones_like(mean), -slope, -shift, scale)])
    C, g_at, x_at, y_at, line_at = x.shape[1], rows_at(g), rows_at(x), rows_at(y), rows_at(lines)
    *given, factors = (line_at(slice(i, i + 1)) for i in range(5))

    def part(s: slice) -> None:
        n = s.stop - s.start
        affine(n, C)(x_at(s), *given, y_at(s))
        add_scaled(n, C)(g_at(s), factors, y_at(s))

    parallel(part, equal_slices(len(x), CACHED_ENTRIES // C), uses_blas=False)


PASSES = Passes(moments, standardize, sums, project)


def supports_channels(x: Any, w: Any, groups: Groups) -> bool:
    """float32, one group for each channel."""
    if x.dtype != np.float32 or (w is not None and w.dtype != np.float32) or 0 in x.shape or not groups.are_channels:
        return False
    try:
        affine(1, x.shape[1]), statistics(1, x.shape[1]), gradients(1, x.shape[1])
    except RuntimeError:
        return False
    return True


tasks.normalize.register(
    "onednn",
    partial(plain.normalize, passes=PASSES),
    supports=lambda p: supports_channels(p[0], p[1], p[3]),
    cost=seconds,
    error=SEQUENTIAL_ERROR,
)
tasks.normalize_gradient.register(
    "onednn", partial(plain.normalize_gradient, passes=PASSES), supports=lambda p: supports_channels(p[1], p[2], p[3]),
    cost=seconds,
    error=SEQUENTIAL_ERROR,
)  # fmt: skip


# --- response normalisation ----------------------------------------------------------------------------


@lru_cache(MOST_KEPT)
def response_norm(shape: Shape, *settings: float) -> Primitive:
    """Of size, alpha, beta and k."""
    x = images(shape[0], shape[1], shape[2:])
    return Primitive("lrn_forward", library.engine, TRAINING, _ACROSS_CHANNELS, x, x, *_numbers(*settings),
                     numbers=(Argument.SRC, Argument.DST, Argument.WORKSPACE))  # fmt: skip


@lru_cache(MOST_KEPT)
def response_norm_gradient(shape: Shape, *settings: float) -> Primitive:
    """Its gradient."""
    x = images(shape[0], shape[1], shape[2:])
    return Primitive("lrn_backward", library.engine, _ACROSS_CHANNELS, x, x, x, *_numbers(*settings),
                     response_norm(shape, *settings).problem, numbers=(Argument.DIFF_DST, Argument.SRC, Argument.DIFF_SRC, Argument.WORKSPACE))  # fmt: skip


def _numbers(size: float, alpha: float, beta: float, k: float) -> tuple[Any, ...]:
    return c_int64(int(size)), c_float(alpha), c_float(beta), c_float(k)


def local_response_norm(x: Array, window: Window, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Any]:
    """x s^−β, and what each part keeps for the gradient; by NumPy if squares overflow."""
    x, (N, C, *n) = channels_last(x), x.shape
    y, _ = layout.empty(N, C, tuple(n), x.dtype)

    def part(s: slice) -> Array | None:
        if not finite(x[s]):
            return None
        run = response_norm(x[s].shape, size, alpha, beta, k)
        kept = run.empty(Argument.WORKSPACE)
        run(x[s], y[s], kept)
        return kept

    kept = parallel(part, parts(x))
    if any(part is None for part in kept):
        return plain.local_response_norm(x, window, size, alpha, beta, k)
    return y, Saved("onednn", kept)


def local_response_norm_gradient(
    g: Array, x: Array, y: Array, window: Window, size: int, alpha: float, beta: float, k: float, saved: Saved
) -> Array:
    """The cotangent of x."""
    g, x, (N, C, *n) = channels_last(g), channels_last(x), x.shape
    gradient, _ = layout.empty(N, C, tuple(n), x.dtype)

    def part(each: tuple[slice, Array]) -> None:
        s, kept = each
        response_norm_gradient(x[s].shape, size, alpha, beta, k)(g[s], x[s], gradient[s], kept)

    parallel(part, zip(parts(x), saved.value, strict=True), uses_blas=False)
    return gradient


def supports_response_norm(x: Any, window: Window, size: int, *settings: float) -> bool:
    """float32, windows of channels that reach as far before as after."""
    if x.dtype != np.float32 or 0 in x.shape or size % 2 == 0 or not settings[-1]:
        return False
    try:
        response_norm_gradient((1, *x.shape[1:]), size, *settings)
    except RuntimeError:
        return False
    return True


tasks.local_response_norm.register(
    "onednn", local_response_norm, supports=lambda p: supports_response_norm(*p), cost=seconds
)
tasks.local_response_norm_gradient.register("onednn", local_response_norm_gradient)
