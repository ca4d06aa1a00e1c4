"""Normalisation by oneDNN: of channels over the batch, on one thread, and responses damped by neighbours', in parts."""

from __future__ import annotations

from ctypes import c_float, c_int, c_int64, c_uint
from functools import lru_cache
from typing import Any

import numpy as np

from minigraph.kernels import tasks
from minigraph.kernels.numpy import layout
from minigraph.kernels.numpy import norm as plain
from minigraph.kernels.numpy.norm import Groups, Moments
from minigraph.kernels.numpy.threads import parallel
from minigraph.kernels.onednn.library import Unsupported
from minigraph.kernels.onednn.pool import seconds
from minigraph.kernels.onednn.primitive import (
    BACKWARD, BACKWARD_DATA, DIFF_DST, DIFF_SCALE, DIFF_SHIFT, DIFF_SRC, DST, INFERENCE, MEAN, MOST_KEPT, SCALE, SHIFT,
    SRC, TRAINING, VARIANCE, WORKSPACE, Primitive, channels_last, finite, images, library, sample_parts,
)  # fmt: skip
from minigraph.kernels.registry import Saved
from minigraph.kernels.window import Array, Window

_GIVEN, _SCALED, _SHIFTED, _ACROSS_CHANNELS = 1, 2, 4, c_int(0xAFF)

Shape = tuple[int, ...]


def _flags(affine: bool, given: bool) -> int:
    return _GIVEN * given + (_SCALED + _SHIFTED) * affine


@lru_cache(MOST_KEPT)
def forward(shape: Shape, affine: bool, given: bool, eps: float) -> Primitive:
    """Moments of the batch, or given ones."""
    x, weights = images(*shape[:2], shape[2:]), (SCALE, SHIFT) if affine else ()
    numbers = (SRC, *((MEAN, VARIANCE) if given else ()), *weights, DST, *(() if given else (MEAN, VARIANCE)))
    return Primitive("batch_normalization_forward", library.engine, INFERENCE if given else TRAINING, x, x,
                     c_float(eps), c_uint(_flags(affine, given)), numbers=numbers)  # fmt: skip


@lru_cache(MOST_KEPT)
def backward(shape: Shape, affine: bool, given: bool) -> Primitive:
    """The gradients, of a variance that contains eps."""
    x, flags = images(*shape[:2], shape[2:]), c_uint(_flags(affine, given))
    hint = library.make("batch_normalization_forward_primitive_desc_create", library.engine, TRAINING, x, x, c_float(0),
                        flags, library.attributes)  # fmt: skip
    numbers = (DIFF_DST, SRC, MEAN, VARIANCE, DIFF_SRC, *((SCALE, DIFF_SCALE, DIFF_SHIFT) if affine else ()))
    return Primitive("batch_normalization_backward", library.engine, BACKWARD if affine else BACKWARD_DATA, x, x, x,
                     c_float(0), flags, hint, numbers=numbers)  # fmt: skip


def normalize(
    x: Array, w: Array | None, b: Array | None, groups: Groups, eps: float, statistics: tuple[Array, Array] | None
) -> tuple[Array, Moments]:
    """w x̂ + b, and the moments; by NumPy where squares overflow or vanish."""
    x, (N, C, *n) = channels_last(x), x.shape
    y, _ = layout.empty(N, C, tuple(n), x.dtype)
    if statistics is None:
        mean, var = np.empty((2, C), x.dtype)
    else:
        mean, var = (np.ascontiguousarray(s, x.dtype) for s in statistics)
    weights = [] if w is None else [np.ascontiguousarray(w), np.ascontiguousarray(b)]
    run = forward(x.shape, w is not None, statistics is not None, eps)
    run(x, *((mean, var, *weights, y) if statistics is not None else (*weights, y, mean, var)))
    square = var + var.dtype.type(eps)
    if not layout.all_in_range(square, x.dtype):
        return plain.normalize(x, w, b, groups, eps, statistics)
    return y, tuple(a.reshape(groups.affine) for a in (mean, var, 1 / np.sqrt(square)))  # type: ignore[return-value]


def normalize_gradient(
    g: Array, x: Array, w: Array | None, groups: Groups, moments: Moments, constant: bool, wanted: tuple[bool, ...]
) -> list[Array | None]:
    """The cotangents of x, w and b that are wanted."""
    mean, _, inverse = (np.ravel(a) for a in moments)
    square = 1 / (inverse * inverse)
    if not layout.all_in_range(square, x.dtype):
        return plain.normalize_gradient(g, x, w, groups, moments, constant, wanted)
    g, x, (N, C, *n) = channels_last(g), channels_last(x), x.shape
    of_x, _ = layout.empty(N, C, tuple(n), x.dtype)
    affine = [] if w is None else [np.ascontiguousarray(w), np.empty_like(w), np.empty_like(w)]
    backward(x.shape, w is not None, constant)(g, x, mean, square, of_x, *affine)
    gradients: list[Array | None] = [of_x, *affine[1:]]
    return [gradient if want else None for gradient, want in zip(gradients, wanted, strict=False)]


def supports_channels(x: Any, w: Any, groups: Groups) -> bool:
    """float32, one group for each channel."""
    if x.dtype != np.float32 or (w is not None and w.dtype != np.float32) or 0 in x.shape:
        return False
    if not groups.are_channels or groups.view != x.shape:
        return False
    try:
        backward(x.shape, w is not None, False)
    except (Unsupported, RuntimeError):
        return False
    return True


# --- response normalisation ----------------------------------------------------------------------------


@lru_cache(MOST_KEPT)
def damping(shape: Shape, *settings: float) -> Primitive:
    """Of size, alpha, beta and k."""
    x = images(*shape[:2], shape[2:])
    return Primitive("lrn_forward", library.engine, TRAINING, _ACROSS_CHANNELS, x, x, *_numbers(*settings),
                     numbers=(SRC, DST, WORKSPACE))  # fmt: skip


@lru_cache(MOST_KEPT)
def damping_gradient(shape: Shape, *settings: float) -> Primitive:
    """Its gradient."""
    x = images(*shape[:2], shape[2:])
    return Primitive("lrn_backward", library.engine, _ACROSS_CHANNELS, x, x, x, *_numbers(*settings),
                     damping(shape, *settings).problem, numbers=(DIFF_DST, SRC, DIFF_SRC, WORKSPACE))  # fmt: skip


def _numbers(size: float, alpha: float, beta: float, k: float) -> tuple[Any, ...]:
    return c_int64(int(size)), c_float(alpha), c_float(beta), c_float(k)


def local_response_norm(x: Array, window: Window, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Any]:
    """x s^−β, and what each part keeps for the gradient; by NumPy if squares overflow."""
    x, (N, C, *n) = channels_last(x), x.shape
    y, _ = layout.empty(N, C, tuple(n), x.dtype)

    def part(s: slice) -> Array | None:
        if not finite(x[s]):
            return None
        run = damping(x[s].shape, size, alpha, beta, k)
        kept = run.empty(WORKSPACE)
        run(x[s], y[s], kept)
        return kept

    kept = parallel(part, sample_parts(x))
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
        damping_gradient(x[s].shape, size, alpha, beta, k)(g[s], x[s], gradient[s], kept)

    parallel(part, zip(sample_parts(x), saved.value, strict=True))
    return gradient


def supports_damping(x: Any, window: Window, size: int, *settings: float) -> bool:
    """float32, windows of channels that reach as far before as after."""
    if x.dtype != np.float32 or 0 in x.shape or size % 2 == 0 or not settings[-1]:
        return False
    try:
        damping_gradient((1, *x.shape[1:]), size, *settings)
    except (Unsupported, RuntimeError):
        return False
    return True


tasks.normalize.register("onednn", normalize, supports=lambda p: supports_channels(p[0], p[1], p[3]), cost=seconds)
tasks.normalize_gradient.register(
    "onednn", normalize_gradient, supports=lambda p: supports_channels(p[1], p[2], p[3]), cost=seconds
)
tasks.local_response_norm.register(
    "onednn", local_response_norm, supports=lambda p: supports_damping(*p), cost=seconds
)
tasks.local_response_norm_gradient.register("onednn", local_response_norm_gradient)
