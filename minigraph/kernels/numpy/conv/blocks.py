"""The batch in blocks that stay in cache, and the patches of a block: what the algorithms share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from numpy.lib.stride_tricks import as_strided

from minigraph.kernels.numpy.threads import equal_slices, scratch
from minigraph.kernels.window import Array, Window

OPERATIONS_PER_NANOSECOND = 240  # operations that a core does in a nanosecond of a matrix product, for cost estimates
BLOCK_BYTES = 2 << 20  # of a block, which stays in cache; shorter calls would wait for the GIL instead

Part = tuple[slice, slice]  # samples, and outputs of the first axis


def split_batch(n: int, rows: int, each: int, most: int | None = None, least: int = 0) -> list[Part]:
    """The batch in blocks of samples, or of lines of one sample, of at most ``most`` bytes or entries, ``each`` a line."""
    if most is None:  # several for each thread, unless they are very short
        most = max(min(BLOCK_BYTES, max(BLOCK_BYTES // 2, n * rows * each // 8)), least)
    samples = most // max(rows * each, 1)
    if samples or rows == 1:
        return [(s, slice(0, rows)) for s in equal_slices(n, samples)]
    blocks = equal_slices(rows, most // max(each, 1), n)
    return [(slice(i, i + 1), s) for i in range(n) for s in blocks]


def crop_rows(window: Window, outputs: slice) -> tuple[slice, Window]:
    """The pixels of the first axis under some of its outputs, and the window over these alone."""
    return _crop(window, 0, outputs.start, outputs.stop)


def cut_rows(part: Part, outputs: int, each: int, most: int) -> list[tuple[slice, ...]]:
    """A part whose line, of ``each`` bytes, is longer than ``most``: the outputs of the second axis in pieces too."""
    if outputs == 1 or each <= most or part[1].stop - part[1].start > 1:
        return [part]
    return [(*part, s) for s in equal_slices(outputs, most * outputs // each)]


def crop(window: Window, outputs: Sequence[slice]) -> tuple[list[slice], Window]:
    """The pixels of each axis under some outputs of the first axes, and the window over these alone."""
    found = []
    for axis, some in enumerate(outputs):
        pixels, window = _crop(window, axis, some.start, some.stop)
        found.append(pixels)
    return found, window


@lru_cache(4096)
def _crop(window: Window, axis: int, start: int, stop: int) -> tuple[slice, Window]:
    s, n, before = window.stride[axis], window.size[axis], window.padding[axis][0]
    first, last = start * s - before, (stop - 1) * s - before + window.extent[axis]
    lo = min(max(first, 0), n)
    hi = max(min(last, n), lo)
    size, padding = list(window.size), list(window.padding)
    size[axis], padding[axis] = hi - lo, (lo - first, last - hi)
    return slice(lo, hi), replace(window, size=tuple(size), padding=tuple(padding))


def patches(x: Array, window: Window) -> Array:
    """A view of every patch of x (N, *n, C): (N, *n′, *f, C); of a padded copy where there is padding."""
    window = window.exact
    core: list[slice] = [
        slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(window.size, window.padding, strict=True)
    ]
    x = x[(slice(None), *core)]
    if any(b > 0 or a > 0 for b, a in window.padding):
        margins = [(max(b, 0), max(a, 0)) for b, a in window.padding]
        sides = [n + b + a for n, (b, a) in zip(x.shape[1:-1], margins, strict=True)]
        padded = scratch("padded", (len(x), *sides, x.shape[-1]), x.dtype)
        padded[...] = 0
        padded[:, *(slice(b, n - a) for n, (b, a) in zip(sides, margins, strict=True))] = x
        x = padded
    outer = [s * step for s, step in zip(window.stride, x.strides[1:-1], strict=True)]
    taps = [d * step for d, step in zip(window.dilation, x.strides[1:-1], strict=True)]
    shape = len(x), *window.out, *window.kernel, x.shape[-1]
    return as_strided(x, shape, (x.strides[0], *outer, *taps, x.strides[-1]), writeable=False)
