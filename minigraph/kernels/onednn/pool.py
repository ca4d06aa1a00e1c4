"""Pooling by oneDNN, samples in parts."""

from __future__ import annotations

from ctypes import c_int
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minigraph.kernels import tasks
from minigraph.kernels.numpy import layout
from minigraph.kernels.numpy import pool as plain
from minigraph.kernels.numpy.threads import parallel
from minigraph.kernels.onednn.library import dims
from minigraph.kernels.onednn.primitive import (  # fmt: skip
    MOST_KEPT,
    TRAINING,
    Argument,
    Primitive,
    channels_last,
    finite,
    images,
    library,
    parts,
)
from minigraph.kernels.registry import Saved
from minigraph.kernels.tasks import ArrayProblem
from minigraph.kernels.window import Array, Window

MAXIMUM, AVERAGE = 0x1FF, 0x2FF  # AVERAGE: the divisor is the number of taps


@lru_cache(MOST_KEPT)
def forward(kind: int, n: int, channels: int, window: Window) -> Primitive:
    """Of n samples."""
    numbers = (Argument.SRC, Argument.DST, Argument.WORKSPACE) if kind == MAXIMUM else (Argument.SRC, Argument.DST)
    return Primitive("pooling_forward", library.engine, TRAINING, c_int(kind), images(n, channels, window.size),
                     images(n, channels, window.out), *_geometry(window), numbers=numbers)  # fmt: skip


@lru_cache(MOST_KEPT)
def backward(kind: int, n: int, channels: int, window: Window) -> Primitive:
    """Its gradient."""
    numbers = (
        (Argument.DIFF_DST, Argument.DIFF_SRC, Argument.WORKSPACE)
        if kind == MAXIMUM
        else (Argument.DIFF_DST, Argument.DIFF_SRC)
    )
    return Primitive("pooling_backward", library.engine, c_int(kind), images(n, channels, window.size),
                     images(n, channels, window.out), *_geometry(window), forward(kind, n, channels, window).problem,
                     numbers=numbers)  # fmt: skip


def _geometry(window: Window) -> list[Any]:
    before, after = zip(*window.padding, strict=True)
    return [dims(sides) for sides in (window.stride, window.kernel, [d - 1 for d in window.dilation], before, after)]


def max_pool(x: Array, window: Window) -> tuple[Array, Any]:
    """The largest entry of each window, and where each part found them; by NumPy if an entry of x is not finite."""
    x, (N, C) = channels_last(x), x.shape[:2]
    y, _ = layout.empty(N, C, window.out, x.dtype)

    def part(s: slice) -> Array | None:
        if not finite(x[s]):
            return None
        run = forward(MAXIMUM, s.stop - s.start, C, window)
        winners = run.empty(Argument.WORKSPACE, np.uint8)
        run(x[s], y[s], winners)
        return winners

    winners = parallel(part, parts(x))
    return plain.max_pool(x, window) if any(w is None for w in winners) else (y, Saved("onednn", winners))


def max_pool_gradient(g: Array, x: Array, y: Array, window: Window, saved: Saved) -> Array:
    """Each entry of g, added where its maximum was found."""
    g, (N, C) = channels_last(g), x.shape[:2]
    gradient, _ = layout.empty(N, C, window.size, g.dtype)

    def part(each: tuple[slice, Array]) -> None:
        s, winners = each
        backward(MAXIMUM, s.stop - s.start, C, window)(g[s], gradient[s], winners)

    parallel(part, zip(parts(x), saved.value, strict=True), uses_blas=False)
    return gradient


def avg_pool(x: Array, window: Window, divisors: Array) -> Array:
    """The sum of each window over its divisor."""
    x, (N, C) = channels_last(x), x.shape[:2]
    y, _ = layout.empty(N, C, window.out, x.dtype)
    factors = _factors(window, divisors, x.dtype)

    def part(s: slice) -> None:
        forward(AVERAGE, s.stop - s.start, C, window)(x[s], y[s])
        if factors is not None:
            np.multiply(y[s], factors, out=y[s])

    parallel(part, parts(x), uses_blas=False)
    return y


def avg_pool_gradient(g: Array, window: Window, divisors: Array) -> Array:
    """The transpose."""
    factors, (N, C) = _factors(window, divisors, g.dtype), g.shape[:2]
    g = channels_last(g if factors is None else g * factors)
    gradient, _ = layout.empty(N, C, window.size, g.dtype)
    parallel(
        lambda s: backward(AVERAGE, s.stop - s.start, C, window)(g[s], gradient[s]), parts(gradient), uses_blas=False
    )
    return gradient


def _factors(window: Window, divisors: Array, dtype: Any) -> Array | None:
    """What the averages over all taps are multiplied by; None where that is 1."""
    taps = prod(window.kernel)
    return None if (divisors == taps).all() else (taps / divisors).astype(dtype)


def supports(kind: int, x: ArrayProblem, window: Window) -> bool:
    """float32, every window meets the image, and sums are short."""
    if x.dtype != np.float32 or 0 in x.shape or min(map(min, window.padding)) < 0:
        return False
    if kind == AVERAGE and max(window.kernel) > plain.MAX_SUMMED:
        return False
    axes = zip(window.size, window.kernel, window.stride, window.padding, window.dilation, window.out, strict=True)
    if not all(d == 1 and before < f and (o - 1) * s - before < n for n, f, s, (before, _), d, o in axes):
        return False
    try:
        backward(kind, 1, x.shape[1], window)
    except RuntimeError:
        return False
    return True


def seconds(problem: tuple[Any, ...]) -> float:
    """About one pass over the arrays."""
    return 0.5e-9 * sum(prod(part.shape) for part in problem if isinstance(part, ArrayProblem))


def _as_images(g: ArrayProblem, window: Window) -> ArrayProblem:
    return g._replace(shape=(*g.shape[:2], *window.size))


tasks.max_pool.register("onednn", max_pool, supports=lambda p: supports(MAXIMUM, *p), cost=seconds)
tasks.max_pool_gradient.register("onednn", max_pool_gradient)  # of what max_pool has saved
tasks.avg_pool.register("onednn", avg_pool, supports=lambda p: supports(AVERAGE, *p[:2]), cost=seconds)
tasks.avg_pool_gradient.register(
    "onednn", avg_pool_gradient, supports=lambda p: supports(AVERAGE, _as_images(*p[:2]), p[1]), cost=seconds
)
