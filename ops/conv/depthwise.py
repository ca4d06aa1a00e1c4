"""Depthwise convolution, each channel by a filter of its own: a sum over the taps of shifted images, entry by entry.

There is no sum over channels, and so no matrix product. Images lie channels last: a tap is the same product for a
whole line of pixels, its filter entries repeated along the line.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.ops import channels
from minigraph.ops.conv.algorithm import ALGORITHMS, Algorithm, Work
from minigraph.ops.conv.geometry import Window
from minigraph.ops.conv.im2col import Part, channels_last, lines, parts, patches, phases
from minigraph.parallel import parallel, scratch


def taps(x: Array, window: Window, part: Part) -> list[Array]:
    """For each tap the image under it, of a part of x (N, *n, C): (N, …, n′ C), lines of entries where stride is 1."""
    samples, outputs = part
    pixels, over = lines(window, outputs)
    found, positions = patches(x[samples, pixels], over), (slice(None),) * (1 + len(window.out))
    return [in_lines(found[*positions, *tap], window) for tap in np.ndindex(window.kernel)]


def in_lines(a: Array, window: Window) -> Array:
    """A view of (…, n′, C) as (…, n′ C) where the windows of a line are neighbours."""
    return a.reshape(*a.shape[:-2], -1) if window.stride[-1] == 1 else a


def blocks(N: int, C: int, window: Window, dtype: Any) -> list[Part]:
    """Parts whose images, outputs and products stay in cache."""
    each = 3 * int(np.prod(window.out[1:])) * C * np.dtype(dtype).itemsize
    return parts(N, window.out[0], each, 3 << 20)


def repeated(w: Array, window: Window) -> Array:
    """Filters (C, *f) as (taps, C), or repeated along a line (taps, n′ C)."""
    by_tap = np.ascontiguousarray(w.reshape(len(w), -1).T)
    return np.tile(by_tap, window.out[-1]) if window.stride[-1] == 1 else by_tap


def correlate(x: Array, w: Array, window: Window, y: Array) -> None:
    """Y (N, *n′, C) = Σ over the taps of the image under the tap times w (C, *f) there."""
    filters = repeated(w.astype(y.dtype, copy=False), window)

    def block(part: Part) -> None:
        target = y[part]
        total = scratch("total", target.shape, y.dtype)
        total[...] = 0
        total = in_lines(total, window)
        product = scratch("product", total.shape, y.dtype)
        for shifted, entries in zip(taps(x, window, part), filters, strict=True):
            total += np.multiply(shifted, entries, out=product)
        target[...] = total.reshape(target.shape)

    parallel(block, blocks(len(x), x.shape[-1], window, y.dtype) if y.size else [])


def forward(x: Array, w: Array, window: Window, groups: int) -> Array:
    """y[n, c, p] = Σ x[n, c, q] w[c, 0, i]."""
    images, y = channels.empty(len(x), len(w), window.out, np.result_type(x, w))
    correlate(channels_last(x), w[:, 0], window, y)
    return images


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """For each residue of the stride: the convolution of g with the taps that meet it, reversed."""
    images, x = channels.empty(len(g), len(w), window.size, np.result_type(g, w))
    for pixels, meeting, phase in phases(window):
        if phase is None:
            x[pixels] = 0
        else:
            correlate(channels_last(g), w[(slice(None), 0, *meeting)], phase, x[pixels])
    return images


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """w[c, 0, i] = Σ x[n, c, q] g[n, c, p]: for each tap the sum of a product, parts added in order."""
    dtype, C = np.result_type(x, g), x.shape[1]
    X, G = channels_last(x), channels_last(g)
    all_parts = blocks(len(x), C, window, dtype) if x.size and g.size else []
    sums = np.empty((len(all_parts), int(np.prod(window.kernel)), C), dtype)

    def block(i: int) -> None:
        shifted = taps(X, window, all_parts[i])
        cotangents = in_lines(np.ascontiguousarray(G[all_parts[i]]), window)
        product = scratch("product", cotangents.shape, dtype)
        rows = product.reshape(-1, product.shape[-1])
        ones = np.ones(len(rows), dtype)
        for t, image in enumerate(shifted):
            np.multiply(image, cotangents, out=product)
            sums[i, t] = (ones @ rows).reshape(-1, C).sum(0)

    parallel(block, range(len(all_parts)))
    return np.ascontiguousarray(sums.sum(0).T).reshape(C, 1, *window.kernel)


def supports(work: Work) -> bool:
    """A filter for each channel."""
    return work.C == work.K == work.groups


def cost(work: Work) -> float:
    """Seconds of a core: a product and a sum for each tap and output."""
    return 0.4e-9 * work.N * work.K * float(np.prod(work.window.out)) * float(np.prod(work.window.kernel))


ALGORITHMS["depthwise"] = Algorithm(
    forward, input_gradient, filter_gradient, supports, "as many groups as channels and filters", cost
)
