"""Images channel by channel, where the channels lie last in memory: in parts that stay in cache, on all threads.

A loop over a few channels is slow for its overhead. So R neighbouring pixels make a line of R · C entries, and what is
given for each channel is repeated R times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from minigraph.kernels.numpy import memory, summation
from minigraph.kernels.numpy.elementwise import positive_part
from minigraph.kernels.numpy.threads import SHARED_ENTRIES, parallel_slices, scratch
from minigraph.kernels.window import Array

MAX_SUMMED = 256  # rows that are summed in single precision
MAX_LINE = 4096  # entries of a line


def empty(n: int, channels: int, size: tuple[int, ...], dtype: Any) -> tuple[Array, Array]:
    """New images (N, C, *n), channels last in memory, and their view (N, *n, C)."""
    y = memory.empty((n, *size, channels), dtype)
    return np.moveaxis(y, -1, 1), y


def channels_last(x: Array) -> Array:
    """A view of x (N, C, *n) as (N, *n, C)."""
    return x.transpose(0, *range(2, x.ndim), 1)  # in a fraction of moveaxis's time


def pixels(x: Array) -> Array | None:
    """x (N, C, *n) as its pixels (M, C), a view; None where the channels do not lie last in memory.

    Some channels of such images lie so too, with others between the pixels.
    """
    turned = channels_last(x)
    if x.size and x.shape[1] == 1:  # whose step says nothing
        return turned.reshape(-1, 1) if turned[..., 0].flags.c_contiguous else None
    steps = [n * s for n, s in zip(turned.shape[1:-1], turned.strides[1:-1], strict=True)]
    if not x.size or turned.strides[-1] != x.itemsize or list(turned.strides[:-2]) != steps:
        return None
    return turned.reshape(-1, x.shape[1])


def pixels_like(g: Array, x: Array) -> Array:
    """The pixels (M, C) of g (N, C, *n), a copy where they do not lie as x's."""
    rows = pixels(g)
    if rows is None:
        N, C, *n = x.shape
        images, _ = empty(N, C, tuple(n), g.dtype)
        images[...] = g
        rows = pixels(images)
    assert rows is not None
    return rows


def rows_of_pixels(*arrays: Array, most: int = MAX_LINE) -> tuple[int, list[Array]]:
    """R, and the pixels (M, C) as lines (M / R, R · C) of at most ``most`` entries."""
    M, C = arrays[0].shape
    R = 1
    while all(a.flags.c_contiguous for a in arrays) and M % (2 * R) == 0 and 2 * R * C <= most:
        R *= 2
    return R, [a.reshape(M // R, R * C) for a in arrays]


def map_pixels(function: Callable[..., object], arrays: list[Array], vectors: list[Any]) -> None:
    """``function(*lines, *repeated)`` on parts of ``arrays`` (M, C), to be changed in place, with ``vectors`` (C,)."""
    R, rows = rows_of_pixels(*arrays)
    tiled = [np.tile(v, R) for v in vectors]
    parallel_slices(lambda s: function(*[a[s] for a in rows], *tiled), len(rows[0]), rows[0].size, uses_blas=False)


def sum_pixels(terms: Callable[..., tuple[Array, ...]], arrays: list[Array], vectors: Sequence[Any] = ()) -> Array:
    """The sums over all pixels that ``terms(*lines, *repeated)`` gives for parts of ``arrays`` (M, C): (k, C) in float64."""
    R, rows = rows_of_pixels(*arrays)
    tiled = [np.tile(v, R) for v in vectors]
    sums = parallel_slices(lambda s: terms(*[a[s] for a in rows], *tiled), len(rows[0]), rows[0].size)
    stack: Array = np.array(sums, float)
    total: Array = stack.reshape(*stack.shape[:2], R, arrays[0].shape[1]).sum((0, 2))
    return total


def sum_rows(a: Array) -> Array:
    """Σ over the lines of a (M, C): (C,). Of many in pieces, which are added in double precision."""
    if len(a) <= MAX_SUMMED:
        return np.asarray(np.ones(len(a), a.dtype) @ a)
    full = len(a) // MAX_SUMMED * MAX_SUMMED
    pieces = np.ones(MAX_SUMMED, a.dtype) @ a[:full].reshape(-1, MAX_SUMMED, a.shape[1])
    return np.asarray(pieces.sum(0, dtype=np.promote_types(a.dtype, float)) + sum_rows(a[full:]))


def sum_row_products(a: Array, b: Array) -> Array:
    """Σ over the lines of a b (M, C): (C,)."""
    if len(a) > MAX_SUMMED:
        return sum_rows(np.multiply(a, b, out=scratch("product", a.shape, a.dtype)))
    return np.asarray(np.einsum("ij,ij->j", a, b))


def in_range(var: Array, dtype: Any) -> Array:
    """Where a variance is one whose terms neither overflow nor vanish in dtype."""
    low, high = _limits(dtype)
    inside: Array = (var > low) & (var < high)
    return inside


@cache
def _limits(dtype: Any) -> tuple[float, float]:
    return float(np.finfo(dtype).tiny) ** 0.6, float(np.finfo(dtype).max) ** 0.6


def all_in_range(var: Array, dtype: Any) -> bool:
    """Whether all variances are ``inside``."""
    return bool(in_range(var, dtype).all())


def means_are_small(mean: Array, var: Array, most: float = 2) -> bool:
    """Whether all means are at most ``most`` deviations, so that x need not be centred to keep its digits."""
    return bool((mean * mean <= most * most * var).all())


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance over the pixels of x (M, C): (C,) each. In one pass where there are many and means are small."""
    if x.size < SHARED_ENTRIES:
        return centred_moments(x)
    first, second = sum_pixels(lambda x: (sum_rows(x), sum_row_products(x, x)), [x]) / len(x)
    var = second - first * first
    return (first, var) if means_are_small(first, var) else centred_moments(x)


def centred_moments(x: Array) -> tuple[Array, Array]:
    """The same, of parts about their own means, then put together (Chan et al. 1979)."""
    R, (rows,) = rows_of_pixels(x)

    def part(s: slice) -> tuple[Array, Array, Any]:
        entries = rows[s]
        mean = (sum_rows(entries) / len(entries)).astype(x.dtype)
        deviations = np.subtract(entries, mean, out=scratch("rest", entries.shape, x.dtype))
        off = sum_rows(deviations) / len(entries)  # what rounding left
        squares = sum_rows(np.multiply(deviations, deviations, out=deviations)) - off * off * len(entries)
        return mean + off.astype(float), squares, np.full(len(mean), len(entries))

    sums = np.array(parallel_slices(part, len(rows), rows.size), float)
    means, squares, weights = np.moveaxis(sums, 1, 0).reshape(3, -1, x.shape[1])
    return combined_moments(means, squares / weights, weights[:, 0])


def combined_moments(means: Array, variances: Array, weights: Array) -> tuple[Array, Array]:
    """The mean and variance of the whole from those of its parts, (parts, C) each, with their sizes (parts,)."""
    shares = weights / weights.sum()
    mean = shares @ means
    return mean, shares @ (variances + (means - mean) ** 2)


def add_to_channels(y: Array, b: Array, rectified: bool = False) -> Array:
    """y (N, K, *n) with b[k] added to channel k, and then max(y, 0) if ``rectified``, in place where the dtype allows."""
    same_dtype = np.result_type(y, b) == y.dtype
    rows = pixels(y) if same_dtype and y.dtype.kind == "f" else None
    if rows is not None:

        def part(y: Array, b: Array) -> None:
            np.add(y, b, out=y)
            if rectified:
                positive_part(y, out=y)

        map_pixels(part, [rows], [b.astype(y.dtype, copy=False)])
        return y
    y = np.add(y, b.reshape(-1, *[1] * (y.ndim - 2)), out=y if same_dtype else None)
    return np.maximum(y, y.dtype.type(0), out=y) if rectified else y


def channel_totals(g: Array) -> Array:
    """The sum over samples and positions of g (N, C, *n): (C,)."""
    rows = pixels(g)
    if rows is None:
        return np.asarray(summation.total(g, (0, *range(2, g.ndim))))
    (sum_,) = sum_pixels(lambda g: (sum_rows(g),), [rows])
    return np.asarray(sum_, g.dtype)
