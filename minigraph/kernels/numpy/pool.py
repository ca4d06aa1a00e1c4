"""Pooling: the largest entry and the average of each window, axis by axis, in blocks that stay in cache."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minigraph.kernels.numpy import layout
from minigraph.kernels.numpy.conv.blocks import BLOCK_BYTES, Part, crop_rows, split_batch
from minigraph.kernels.numpy.elementwise import where_true
from minigraph.kernels.numpy.memory import empty_like
from minigraph.kernels.numpy.threads import equal_slices, parallel
from minigraph.kernels.window import Array, Window

MAX_SUMMED = 16  # entries of a side that are summed in single precision


def blocks(x: Array, window: Window) -> list[Part]:
    """The windows over x in blocks of samples, or of lines of a sample, whose entries stay in cache."""
    return split_batch(len(x), window.out[0], x[:1].nbytes // window.out[0], BLOCK_BYTES)


def max_pool(x: Array, window: Window) -> tuple[Array, None]:
    """The largest entry of each window: (N, C, *n) → (N, C, *n′). Nothing is saved."""
    y = empty_like(x, shape=(*x.shape[:2], *window.out))

    def part(block: Part) -> None:
        samples, outputs = block
        pixels, over = crop_rows(window, outputs)
        maximum = x[samples, :, pixels]
        for i in range(len(window.out)):
            maximum = largest(maximum, over, i)
        y[samples, :, outputs] = maximum

    parallel(part, blocks(x, window), uses_blas=False)
    return y, None


def largest(x: Array, window: Window, i: int) -> Array:
    """The largest entries of the windows along spatial axis ``i`` alone: (…, n, …) → (…, n′, …)."""
    y = empty_like(x, shape=(*x.shape[: i + 2], window.out[i], *x.shape[i + 3 :]))
    over: Any = (slice(None),) * (i + 2)
    (first, pixels), *rest = window.axis_taps[i]
    if first == slice(0, window.out[i]) and rest and rest[0][0] == first:
        np.maximum(x[*over, pixels], x[*over, rest[0][1]], out=y)
        rest = rest[1:]
    else:
        y[...] = -np.inf
        rest = [(first, pixels), *rest]
    for outputs, pixels in rest:
        np.maximum(y[*over, outputs], x[*over, pixels], out=y[*over, outputs])
    return y


def max_pool_gradient(g: Array, x: Array, y: Array, window: Window, saved: None) -> Array:
    """The cotangent of x: each entry of g (N, C, *n′) goes to the first entry of its window that is y."""
    out, nan = empty_like(x, g.dtype), bool(np.isnan(y).any())
    rows = slice(0, window.out[0])
    if crop_rows(window, rows)[0] != slice(0, window.size[0]) or window.extent[0] < window.stride[0]:
        out[...] = 0  # pixels beside and between the windows

    def part(block: Part) -> None:
        samples, outputs = block
        pixels, over = crop_rows(window, outputs)
        under, most, cotangents, target = x[samples, :, pixels], y[samples, :, outputs], g[samples, :, outputs], \
            out[samples, :, pixels]  # fmt: skip
        target[...] = 0
        hits, open_, shares = empty_like(most, bool), empty_like(most, bool), empty_like(cotangents)
        open_[...] = True  # windows that have not found their entry yet
        for at, tap in over.taps:
            hit = np.equal(under[tap], most[at], out=hits[at])
            if nan:
                hit |= np.isnan(under[tap])
            np.logical_and(hit, open_[at], out=hit)
            np.not_equal(hit, open_[at], out=open_[at])
            target[tap] += where_true(hit, cotangents[at], shares[at])

    if window.extent[0] <= window.stride[0]:  # no two lines of windows share a pixel
        parallel(part, blocks(x, window), uses_blas=False)
    else:
        parallel(part, [(samples, rows) for samples in equal_slices(len(x), BLOCK_BYTES // max(x[:1].nbytes, 1))])
    return out


def avg_pool(x: Array, window: Window, divisors: Array) -> Array:
    """The sum of each window over its divisor, (*n′): (N, C, *n) → (N, C, *n′)."""
    y, dtype = x, _wide(x, window)
    for i in range(len(window.out)):
        y = _summed(y, window, i, dtype)
    y /= divisors
    return y.astype(x.dtype, copy=False)


def avg_pool_gradient(g: Array, window: Window, divisors: Array) -> Array:
    """The transpose: each entry of g (N, C, *n′) over its divisor, added to every pixel of its window."""
    if window.whole:  # the value goes to every pixel
        images, x = layout.empty(g.shape[0], g.shape[1], window.size, g.dtype)
        x[...] = layout.channels_last(g / divisors)
        return images
    x = g / divisors
    dtype = _wide(x, window)
    for i in reversed(range(len(window.out))):
        x = _spread(x, window, i, dtype)
    return x.astype(g.dtype, copy=False)


def _summed(x: Array, window: Window, i: int, dtype: Any) -> Array:
    """The sums of the windows along spatial axis ``i`` alone: (…, n, …) → (…, n′, …)."""
    over: Any = (slice(None),) * (i + 2)
    y = empty_like(x, dtype, (*x.shape[: i + 2], window.out[i], *x.shape[i + 3 :]))
    taps, region = list(window.axis_taps[i]), slice(0, window.out[i])
    if [outputs for outputs, _ in taps[:2]] == [region, region]:
        (_, first), (_, second), *taps = taps
        np.add(x[*over, first], x[*over, second], out=y, dtype=dtype)
    else:
        y[...] = 0
    for outputs, pixels in taps:
        y[*over, outputs] += x[*over, pixels]
    return y


def _spread(g: Array, window: Window, i: int, dtype: Any) -> Array:
    """The transpose: each entry added to every pixel of its window, (…, n′, …) → (…, n, …)."""
    over: Any = (slice(None),) * (i + 2)
    x = np.zeros_like(g, dtype, shape=(*g.shape[: i + 2], window.size[i], *g.shape[i + 3 :]), subok=False)
    for outputs, pixels in window.axis_taps[i]:
        x[*over, pixels] += g[*over, outputs]
    return x


def _wide(v: Array, window: Window) -> Any:
    """What sums are made in: double precision where many entries are added one after another."""
    return np.result_type(v.dtype, float) if max(window.kernel) > MAX_SUMMED else v.dtype


def winners(x: Array, y: Array, window: Window) -> Array:
    """The flat number in x of the first entry that is the largest of its window, −1 for a window without a pixel."""
    T = len(window.taps)
    rank = np.zeros(y.shape, np.min_scalar_type(T))  # T for the first tap, 1 for the last
    nan = bool(np.isnan(y).any())
    for t, (outputs, pixels) in enumerate(window.taps):
        wins = x[pixels] == y[outputs]
        if nan:
            wins |= np.isnan(x[pixels])
        np.maximum(rank[outputs], wins * rank.dtype.type(T - t), out=rank[outputs])
    starts, steps = _places(window, x.shape)
    index = np.concatenate(([0], steps[::-1])).astype(starts.dtype)[rank]
    index += starts
    if not rank.all():  # windows without a pixel
        index[rank == 0] = -1
    return index


def _places(window: Window, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Flat pixel numbers: of the first tap at each output (N, C, n′…), and from there to each tap (taps,)."""
    dtype = np.int32 if prod(shape) < 2**31 else np.int64
    starts: Array = np.arange(prod(shape[:2]), dtype=dtype).reshape(shape[:2])
    steps: Array = np.zeros((), dtype)
    axes = zip(window.size, window.kernel, window.stride, window.padding, window.dilation, window.out, strict=True)
    for n, f, s, (before, _), d, o in axes:
        starts = starts[..., None] * n + (np.arange(o, dtype=dtype) * s - before)
        steps = steps[..., None] * n + np.arange(f, dtype=dtype) * d
    return starts, steps.ravel()
