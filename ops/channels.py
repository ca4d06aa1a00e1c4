"""Images channel by channel, where the channels lie last in memory: in parts that stay in cache, on all threads.

A loop over a few channels is slow for its overhead. So R neighbouring pixels make a line of R · C entries, and what is
given for each channel is repeated R times.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from minigraph import memory
from minigraph.array import Array
from minigraph.parallel import CHUNK, parallel, ranges, scratch

RUN = 256  # neighbouring entries that are worth taking as one; more are copied as fast by themselves
LINE = 4096  # entries of a line at most


def empty(n: int, channels: int, size: tuple[int, ...], dtype: Any) -> tuple[Array, Array]:
    """New images (N, C, *n), channels last in memory, and their view (N, *n, C)."""
    y = memory.empty((n, *size, channels), dtype)
    return np.moveaxis(y, -1, 1), y


def last(x: Array) -> Array:
    """x (N, C, *n) with the channels last in memory: itself where they lie so, else a copy."""
    moved = np.moveaxis(x, 1, -1)
    return x if moved.flags.c_contiguous else np.moveaxis(np.ascontiguousarray(moved), -1, 1)


class _Items:
    """What NumPy makes an array of: the neighbouring entries of the last axes of an array as one item each."""

    def __init__(self, x: Array, axes: int) -> None:
        self.array, size = x, x.itemsize * prod(x.shape[axes:])
        self.__array_interface__ = {
            "version": 3, "typestr": f"|V{size}", "shape": x.shape[:axes], "strides": x.strides[:axes],
            "data": (x.ctypes.data, False),
        }  # fmt: skip


def copy(target: Array, x: Array) -> None:
    """Target (contiguous) = x: neighbouring entries of x go together, which NumPy's loop over numbers does not do."""
    axes, run = x.ndim, 1
    while axes and x.strides[axes - 1] == run * x.itemsize:
        axes -= 1
        run *= x.shape[axes]
    if 4 <= run <= RUN and axes and x.dtype == target.dtype:
        target, x = (np.asarray(_Items(a, axes)) for a in (target, x))
    target[...] = x


def pixels(x: Array) -> Array | None:
    """x (N, C, *n) as its pixels (M, C), a view; None where the channels do not lie last in memory.

    Some channels of such images lie so too, with others between the pixels.
    """
    last = np.moveaxis(x, 1, -1)
    if x.size and x.shape[1] == 1:  # whose step says nothing
        return last.reshape(-1, 1) if last[..., 0].flags.c_contiguous else None
    steps = [n * s for n, s in zip(last.shape[1:-1], last.strides[1:-1], strict=True)]
    if not x.size or last.strides[-1] != x.itemsize or list(last.strides[:-2]) != steps:
        return None
    return last.reshape(-1, x.shape[1])


def like(g: Array, x: Array) -> Array:
    """The pixels (M, C) of g (N, C, *n), a copy where they do not lie as x's."""
    found = pixels(g)
    if found is None:
        copy = np.empty_like(x, g.dtype)
        copy[...] = g
        found = pixels(copy)
    assert found is not None
    return found


def lines(*arrays: Array) -> tuple[int, list[Array]]:
    """R, and the pixels (M, C) as lines (M / R, R · C)."""
    M, C = arrays[0].shape
    R = 1
    while all(a.flags.c_contiguous for a in arrays) and M % (2 * R) == 0 and 2 * R * C <= LINE:
        R *= 2
    return R, [a.reshape(M // R, R * C) for a in arrays]


def transform(function: Callable[..., object], arrays: list[Array], vectors: list[Any]) -> None:
    """``function(*lines, *repeated)`` on parts of ``arrays`` (M, C), to be changed in place, with ``vectors`` (C,)."""
    R, seen = lines(*arrays)
    repeated = [np.tile(v, R) for v in vectors]
    parallel(lambda s: function(*[a[s] for a in seen], *repeated), ranges(len(seen[0]), CHUNK // seen[0].shape[1]))


def sums(terms: Callable[..., Array], arrays: list[Array], vectors: list[Any]) -> Array:
    """Σ over the pixels of what ``terms(*lines, *repeated)`` gives for parts of ``arrays`` (M, C): (C,) in float64."""
    R, seen = lines(*arrays)
    repeated = [np.tile(v, R) for v in vectors]
    parts = ranges(len(seen[0]), CHUNK // seen[0].shape[1])
    found = np.empty((len(parts), seen[0].shape[1]))

    def part(i: int) -> None:
        entries = terms(*[a[parts[i]] for a in seen], *repeated)
        found[i] = np.ones(len(entries), entries.dtype) @ entries

    parallel(part, range(len(parts)))
    return found.reshape(-1, arrays[0].shape[1]).sum(0)  # type: ignore[no-any-return]


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance over the pixels of x (M, C): (C,) each. Of parts, then put together (Chan et al. 1979)."""
    R, (seen,) = lines(x)
    parts = ranges(len(seen), CHUNK // seen.shape[1])
    counts = np.array([s.stop - s.start for s in parts], float)
    means, squares = (np.empty((len(parts), seen.shape[1])) for _ in range(2))

    def part(i: int) -> None:
        entries = seen[parts[i]]
        ones = np.ones(len(entries), x.dtype)
        mean = (ones @ entries) / x.dtype.type(len(entries))
        rest = np.subtract(entries, mean, out=scratch("rest", entries.shape, x.dtype))
        off = ones @ rest  # what rounding left
        means[i] = mean + off / len(entries)
        squares[i] = ones @ np.multiply(rest, rest, out=rest) - off * off / len(entries)

    parallel(part, range(len(parts)))
    weights = np.repeat(counts, R)[:, None]
    means, squares = means.reshape(-1, x.shape[1]), squares.reshape(-1, x.shape[1])
    mean = (weights * means).sum(0) / len(x)
    return mean, (squares.sum(0) + (weights * (means - mean) ** 2).sum(0)) / len(x)


def add(y: Array, b: Array) -> bool:
    """Add b[k] to channel k of y (N, K, *n) in place; False where the channels do not lie last."""
    found = pixels(y)
    if found is not None:
        transform(lambda y, b: np.add(y, b, out=y), [found], [b])
    return found is not None


def totals(g: Array) -> Array:
    """The sum over samples and positions of g (N, C, *n): (C,)."""
    found = pixels(g)
    if found is None:
        return np.asarray(g.sum(axis=(0, *range(2, g.ndim))))
    return sums(lambda g: g, [found], []).astype(g.dtype)
