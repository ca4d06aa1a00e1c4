"""Depthwise convolution, one filter per channel: a sum over the taps of shifted images, entry by entry.

There is no sum over channels, and so no matrix product. Images lie channels last: a tap is the same product for a
whole line of pixels, its filter entries repeated along the line.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minigraph.kernels.numpy import layout
from minigraph.kernels.numpy.conv.blocks import BLOCK_BYTES, Part, crop_rows, patches, split_batch
from minigraph.kernels.numpy.threads import equal_slices, parallel, scratch
from minigraph.kernels.tasks import ConvProblem, register_convolution
from minigraph.kernels.window import Array, Window, phases

MAX_SUMMED = 256  # products that are summed in single precision


def taps(x: Array, window: Window, part: Part) -> Array:
    """The image under each tap, of a part of x (N, *n, C): (N, …, n′, *f, C), or (N, …, *f, n′ C) where the stride is 1.

    Then the windows of a line are neighbours, and a tap is a line of the image.
    """
    samples, outputs = part
    pixels, over = crop_rows(window, outputs)
    windows = patches(x[samples, pixels], over)
    if window.stride[-1] > 1:
        return windows
    d = len(window.out)
    shape = *windows.shape[:d], *window.kernel, window.out[-1] * x.shape[-1]
    return as_strided(
        windows, shape, (*windows.strides[:d], *windows.strides[d + 1 : -1], windows.itemsize), writeable=False
    )


def in_lines(a: Array, window: Window) -> Array:
    """A view of (…, n′, C) as (…, n′ C) where the windows of a line are neighbours."""
    return a.reshape(*a.shape[:-2], -1) if window.stride[-1] == 1 else a


def letters(window: Window) -> tuple[str, str]:
    """Of positions and of taps, for ``einsum``: the last letter of positions, with the channels', is a line's."""
    d = len(window.out)
    return "nxyz"[: d + (window.stride[-1] > 1)], "abc"[:d]


def blocks(N: int, C: int, window: Window, dtype: Any, most: int = BLOCK_BYTES) -> list[Part]:
    """Parts of about two megabytes, whose lines are whole."""
    line = prod(window.out[1:]) * C * np.dtype(dtype).itemsize
    if len(window.out) == 1:
        return [(s, slice(0, window.out[0])) for s in equal_slices(N, most // max(window.out[0] * line, 1))]
    return split_batch(N, window.out[0], line, most)


def repeated(w: Array, window: Window) -> Array:
    """Filters (C, *f) as (*f, C), or repeated along a line (*f, n′ C)."""
    by_tap = np.ascontiguousarray(np.moveaxis(w, 0, -1))
    return np.tile(by_tap, window.out[-1]) if window.stride[-1] == 1 else by_tap


def correlate(x: Array, w: Array, window: Window, y: Array) -> None:
    """Y (N, *n′, C) = Σ over the taps of the image under the tap times w (C, *f) there."""
    filters = repeated(w.astype(y.dtype, copy=False), window)
    places, offsets = letters(window)
    dtype = y.dtype if prod(window.kernel) <= MAX_SUMMED else np.result_type(y.dtype, float)

    def block(part: Part) -> None:
        target = y[part]
        direct = target.flags.c_contiguous and dtype == y.dtype
        out = in_lines(target if direct else scratch("total", target.shape, dtype), window)
        np.einsum(f"{places}{offsets}l,{offsets}l->{places}l", taps(x, window, part), filters, out=out)
        if not direct:
            target[...] = out.reshape(target.shape)

    parallel(block, blocks(len(x), x.shape[-1], window, y.dtype) if y.size else [])


def forward(x: Array, w: Array, window: Window, groups: int) -> Array:
    """y[n, c, p] = Σ x[n, c, q] w[c, 0, i]."""
    images, y = layout.empty(len(x), len(w), window.out, np.result_type(x, w))
    correlate(np.ascontiguousarray(layout.channels_last(x)), w[:, 0], window, y)
    return images


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """For each residue of the stride: the convolution of g with the taps that meet it, reversed."""
    images, x = layout.empty(len(g), len(w), window.size, np.result_type(g, w))
    cotangents = np.ascontiguousarray(layout.channels_last(g))
    for pixels, meeting, phase in phases(window):
        if phase is None:
            x[pixels] = 0
        else:
            correlate(cotangents, w[(slice(None), 0, *meeting)], phase, x[pixels])
    return images


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """w[c, 0, i] = Σ x[n, c, q] g[n, c, p]: for each tap the sum of a product, parts added in order."""
    dtype, C = np.result_type(x, g), x.shape[1]
    X, G = (np.ascontiguousarray(layout.channels_last(a)) for a in (x, g))
    terms = MAX_SUMMED * (window.out[-1] if window.stride[-1] == 1 else 1) * C * dtype.itemsize
    all_parts = blocks(len(x), C, window, dtype, min(BLOCK_BYTES, terms)) if x.size and g.size else []
    places, offsets = letters(window)

    double = np.result_type(dtype, float)
    long = window.stride[-1] > 1 and window.out[-1] > MAX_SUMMED  # lines that are summed one pixel after another
    options: dict[str, Any] = {"dtype": double} if long else {}

    def block(part: Part) -> Array:
        over, cotangents = taps(X, window, part), in_lines(G[part], window)
        partial = np.einsum(f"{places}{offsets}l,{places}l->{offsets}l", over, cotangents, **options)
        return np.asarray(partial.reshape(*window.kernel, -1, C).sum(-2, dtype=double))

    w = np.zeros((*window.kernel, C), double)
    for partial in parallel(block, all_parts):
        w += partial
    return np.moveaxis(w.astype(dtype, copy=False), -1, 0)[:, None]


def supports(work: ConvProblem) -> bool:
    """A filter for each channel."""
    return work.C == work.K == work.groups


def cost(work: ConvProblem) -> float:
    """Seconds of a core: a product and a sum for each tap and output."""
    return 0.2e-9 * work.N * work.K * float(np.prod(work.window.out)) * float(np.prod(work.window.kernel))


register_convolution(
    "depthwise",
    forward,
    input_gradient,
    filter_gradient,
    supports=supports,
    limits="as many groups as channels and filters",
    cost=cost,
)
