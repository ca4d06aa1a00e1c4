"""Convolution by im2col: copy every patch into a row, then one matrix product (BLAS).

Chellapilla, Puri and Simard, "High Performance Convolutional Neural Networks for Document Processing", 2006.

Images lie channels last in memory (N, *n, C), so that a patch is a few runs of neighbouring entries; shapes stay
(N, C, *n). The batch goes through in blocks whose rows stay in cache, and blocks go to the threads.

With few channels the products are thin. Then m neighbouring outputs of a line share a row, the pixels under all of
them, and the matrix of the filters is banded: m copies side by side, each ``stride`` pixels below the one before, as in
the Toeplitz matrix of a line. That is more arithmetic, but faster, since BLAS is far from its peak on thin matrices.

The input's gradient is a convolution too: pixels a whole stride apart see the same taps, so for each residue of
the stride it is that of g with these taps, reversed, at stride 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minigraph.kernels.numpy import layout
from minigraph.kernels.numpy.conv.blocks import (
    BLOCK_BYTES,
    OPERATIONS_PER_NANOSECOND,
    Part,
    crop,
    cut_rows,
    patches,
    split_batch,
)
from minigraph.kernels.numpy.memory import empty
from minigraph.kernels.numpy.products import matmul, product
from minigraph.kernels.numpy.threads import equal_slices, parallel, scratch
from minigraph.kernels.tasks import ConvProblem, register_convolution
from minigraph.kernels.window import Array, Window, phases

MIN_ROWS = 512  # rows of the product of a block: every product packs the filters again
COPIED_FILTERS = 1 << 16  # entries up to which filters are copied into the order that BLAS multiplies fastest
ACCUMULATORS = 8  # partial sums of a filter gradient, each added up by one thread at a time
ACCUMULATOR_BYTES = 2 << 20  # the most that one may take; else there is a single sum
MAX_ROWS = 1 << 14  # rows of a block of a filter gradient: longer float32 sums lose digits
MAX_BLOCKS = 32  # blocks whose products are summed in single precision


def patch_rows(x: Array, window: Window, part: tuple[slice, ...], groups: int) -> Array:
    """The patches of a part of x (N, *n, C) as rows: (groups, rows, f… · C/groups), a view where they lie so."""
    samples, *outputs = part
    pixels, window = crop(window, outputs)
    windows = patches(x[(samples, *pixels)], window)
    windows = windows.reshape(*windows.shape[:-1], groups, -1) if groups > 1 else windows[..., None, :]
    windows = np.moveaxis(windows, -2, 0)
    n = prod(windows.shape[1 : 2 + len(window.out)])
    if windows.flags.c_contiguous:
        return windows.reshape(groups, n, -1)
    rows = scratch("rows", windows.shape, x.dtype)
    rows[...] = windows
    return rows.reshape(groups, n, -1)


# --- m outputs in a row -------------------------------------------------------------------------------


def banded_window(window: Window, m: int) -> Window:
    """The window of m neighbouring outputs of the last axis: all pixels under them, a whole line without its padding."""
    if m == 1:
        return window
    exact = window.exact
    n, s, e, padding = exact.size[-1], exact.stride[-1], exact.extent[-1], exact.padding
    side, step = ((m - 1) * s + e, m * s) if m < exact.out[-1] else (n, n)
    return replace(
        exact,
        kernel=(*exact.kernel[:-1], side),
        stride=(*exact.stride[:-1], step),
        dilation=(*exact.dilation[:-1], 1),
        padding=padding if m < exact.out[-1] else (*padding[:-1], (0, 0)),
    )


def bands(window: Window, m: int) -> Iterator[tuple[Any, Any]]:
    """For each of the m outputs: where its filters stand in the banded matrix (groups, *f, C, m, K), and which taps do."""
    s, d, f = window.stride[-1], window.dilation[-1], window.kernel[-1]
    n, before = (window.size[-1], window.padding[-1][0]) if m == window.out[-1] else (1 << 62, 0)
    for j in range(m):
        shift = j * s - before
        taps = range(max(0, -(shift // d)), min(f, -((shift - n) // d)))
        if taps:
            pixels = slice(shift + taps[0] * d, shift + taps[-1] * d + 1, d)
            yield (
                (..., pixels, slice(None), j, slice(None)),
                (..., slice(taps[0], taps[-1] + 1), slice(None), slice(None)),
            )


def banded(filters: Array, window: Window, m: int) -> Array:
    """Filters (groups, *f, C, K) as a matrix (groups, f… · C, m K) for rows of m outputs."""
    if m > 1:
        shape = *filters.shape[: len(window.kernel)], banded_window(window, m).kernel[-1], filters.shape[-2], m
        matrix = np.zeros((*shape, filters.shape[-1]), filters.dtype)
        for at, taps in bands(window, m):
            matrix[at] = filters[taps]
        filters = matrix
    return filters.reshape(len(filters), prod(filters.shape[1 : 2 + len(window.kernel)]), -1)


def from_banded(banded: Array, window: Window) -> Array:
    """The transpose of ``banded``: each entry's sum over the m copies, (groups, m, K, *f, C) → (groups, K, *f, C)."""
    groups, m, K, *_, C = banded.shape
    w = np.zeros((groups, K, *window.kernel, C), banded.dtype)
    source, target = np.moveaxis(banded, (1, 2), (-2, -1)), np.moveaxis(w, 1, -1)
    for at, taps in bands(window, m):
        target[taps] += source[at]
    return w


def grouped_outputs(y: Array, m: int) -> Array:
    """A view of y (N, *n′, K) with m outputs of the last axis in a row: (N, …, n′/m, m, K)."""
    return y.reshape(*y.shape[:-2], y.shape[-2] // m, m, y.shape[-1])


def is_identity(work: ConvProblem) -> bool:
    """Whether the rows are the pixels themselves: 1×1 kernels at every pixel."""
    window = work.window
    return work.groups == 1 and prod(window.kernel) == prod(window.stride) == 1 and window.out == window.size


@lru_cache(4096)
def outputs_per_row(work: ConvProblem) -> int:
    """m: how many outputs of the last axis make the cheapest row."""
    if is_identity(work):
        return 1
    last = work.window.out[-1]
    return min((m for m in range(1, min(last, 32) + 1) if last % m == 0), key=lambda m: seconds(work, m))


def seconds(work: ConvProblem, m: int) -> float:
    """What rows of m outputs cost a core: the copy, run by run, and the product, with columns in sixteens."""
    window, C, groups = work.window, work.C // work.groups, work.groups
    wide, n = banded_window(window, m), work.K // groups * m
    rows, k = work.N * prod(wide.out) * groups, C * prod(wide.kernel)
    run = max(C, 1) * (wide.kernel[-1] if wide.dilation[-1] == 1 and groups == 1 else 1)
    sixteens = -(-n // 16) * 16
    copy = 0.0 if is_identity(work) else rows * k / run * (1.7 + 0.045 * run)
    return 1e-9 * (copy + 2 * rows * k * (sixteens + 8) / OPERATIONS_PER_NANOSECOND) * int(work.dtype.itemsize) / 4


# --- the three slots --------------------------------------------------------------------------------


def correlate(x: Array, filters: Array, window: Window, y: Array) -> None:
    """Y (N, *n′, K) = the patches of x (N, *n, C) times ``filters`` (groups, *f, C/groups, K/groups)."""
    groups, K = len(filters), y.shape[-1]
    work = ConvProblem(window, len(x), x.shape[-1], K, groups, y.dtype)
    m = outputs_per_row(work)
    if not (x.size and y.size):
        y[...] = 0
        return
    wide, matrix, Y = banded_window(window, m), banded(filters, window, m), grouped_outputs(y, m)
    matrix = np.ascontiguousarray(matrix) if matrix.size < COPIED_FILTERS else matrix
    each = prod(wide.out[1:]) * matrix.shape[1] * groups * y.itemsize

    def block(part: tuple[slice, ...], multiply: Any = product) -> None:
        rows, target = patch_rows(x, wide, part, groups), Y[part]
        if groups == 1 and target.flags.c_contiguous:
            multiply(rows[0], matrix[0], target.reshape(rows.shape[1], m * K))
            return
        products = scratch("products", (groups, rows.shape[1], m * K // groups), y.dtype)
        for one in zip(rows, matrix, products, strict=True):
            multiply(*one)
        by_output = np.moveaxis(products.reshape(groups, rows.shape[1], m, K // groups), 0, 2)
        target[...] = by_output.reshape(target.shape)

    least = MIN_ROWS * each // prod(wide.out[1:]) if groups == 1 else 0
    blocks = in_pieces(split_batch(len(x), wide.out[0], each, least=least), wide, each, max(BLOCK_BYTES, least))
    if is_identity(work) or (groups == 1 and len(x) * prod(wide.out) < 2 * MIN_ROWS):
        block((slice(0, len(x)), slice(0, wide.out[0])), matmul)
    else:
        parallel(block, blocks)


def in_pieces(blocks: list[Part], window: Window, each: int, most: int) -> list[tuple[slice, ...]]:
    """Blocks of lines, each of at most ``most`` bytes of rows where there is a second axis to cut, ``each`` a line."""
    outputs = (*window.out, 1)[1]
    return [piece for block in blocks for piece in cut_rows(block, outputs, each, most)]


def filters_by_group(w: Array, groups: int, dtype: Any) -> Array:
    """Filters w (K, C/groups, *f) as (groups, K/groups, *f, C/groups), a view where they lie channels last."""
    last = np.ascontiguousarray(layout.channels_last(w), dtype)
    return last.reshape(groups, len(w) // groups, *w.shape[2:], w.shape[1])


def forward(x: Array, w: Array, window: Window, groups: int) -> Array:
    """y = im2col(x) · Wᵀ: (N n′…, C f…) · (C f…, K)."""
    images, y = layout.empty(len(x), len(w), window.out, np.result_type(x, w))
    correlate(layout.channels_last(x), np.moveaxis(filters_by_group(w, groups, y.dtype), 1, -1), window, y)
    return images


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """For each residue of the stride: the convolution of g with the taps that meet it, reversed."""
    images, x = layout.empty(len(g), w.shape[1] * groups, window.size, np.result_type(g, w))
    filters = np.moveaxis(filters_by_group(w, groups, x.dtype), 1, -2)
    for pixels, taps, phase in phases(window):
        if phase is None:
            x[pixels] = 0
        else:
            correlate(layout.channels_last(g), filters[(slice(None), *taps)], phase, x[pixels])
    return images


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """W = Σ gᵀ · im2col(x) over the blocks: (K, rows) · (rows, C f…). A few lanes of blocks, then their sum in order."""
    C, K, dtype = x.shape[1] // groups, g.shape[1] // groups, np.result_type(x, g)
    if not (x.size and g.size):
        return np.zeros((groups * K, C, *window.kernel), dtype)
    work = ConvProblem(window, len(x), x.shape[1], g.shape[1], groups, dtype)
    m = outputs_per_row(work)
    wide, X, G = banded_window(window, m), layout.channels_last(x), grouped_outputs(layout.channels_last(g), m)
    shape = groups, m * K, prod(wide.kernel) * C
    each = prod(wide.out[1:]) * shape[2] * groups * dtype.itemsize
    many = prod(shape) * dtype.itemsize > ACCUMULATOR_BYTES
    tall = MAX_ROWS * shape[2] * groups * dtype.itemsize
    if is_identity(work):
        many = work.N * prod(window.out) < 8 * max(shape)
        most = min(-(-x.nbytes // (1 if many else ACCUMULATORS)), tall)
        blocks: list[tuple[slice, ...]] = [*split_batch(len(x), wide.out[0], each, most)]
    else:
        most = min(BLOCK_BYTES << 3 if many else BLOCK_BYTES, tall)
        cut = split_batch(len(x), wide.out[0], each, most if many or most < BLOCK_BYTES else None)
        blocks = in_pieces(cut, wide, each, BLOCK_BYTES << 3 if many else BLOCK_BYTES)
    lanes = 1 if many else min(ACCUMULATORS, len(blocks))
    total = empty((lanes, *shape), np.result_type(dtype, float) if len(blocks) > MAX_BLOCKS * lanes else dtype)

    def add(part: tuple[slice, ...], to: Array, first: bool) -> None:
        rows = patch_rows(X, wide, part, groups)
        by_group = np.moveaxis(G[part].reshape(rows.shape[1], m, groups, K), 2, 0)
        cotangents = by_group.reshape(groups, rows.shape[1], m * K)
        out = to if first and to.dtype == dtype else scratch("sum", shape, dtype)
        if groups == 1 and lanes > 1:
            product(cotangents[0].T, rows[0], out[0])
        else:
            matmul(cotangents.swapaxes(1, 2), rows, out=out)
        if not first:
            to += out
        elif to.dtype != dtype:
            to[...] = out

    def lane(i: int) -> None:
        for j, part in enumerate(blocks[i::lanes]):
            add(part, total[i], not j)

    if lanes == 1:  # the products themselves go to the threads
        lane(0)
    else:
        parallel(lane, range(lanes))
    gradient = (total[0] if lanes == 1 else total.sum(0)).astype(dtype, copy=False)
    w = from_banded(gradient.reshape(groups, m, K, *wide.kernel, C), window) if m > 1 else gradient
    return np.moveaxis(w.reshape(groups * K, *window.kernel, C), -1, 1)


def filter_gradients(x: Array, g: Array, window: Window, groups: int) -> Array:
    """W = gᵀ · im2col(x) of each sample by itself: (N, K, n′…) · (N, n′…, C f…) → (N, K, C/groups, *f)."""
    N, C, K, dtype = len(x), x.shape[1] // groups, g.shape[1] // groups, np.result_type(x, g)
    k = prod(window.kernel) * C
    w = empty((groups, N, K, k), dtype)
    if not (x.size and g.size):
        w[...] = 0
    else:
        X, G = layout.channels_last(x), layout.channels_last(g).reshape(N, -1, groups, K)

        def part(block: Part) -> None:
            rows = patch_rows(X, window, block, groups)
            samples = np.moveaxis(G[block[0]], 2, 0).swapaxes(2, 3)
            product(samples, rows.reshape(groups, -1, prod(window.out), k), w[:, block[0]])

        each = prod(window.out) * k * groups * dtype.itemsize
        parallel(part, [(samples, slice(0, window.out[0])) for samples in equal_slices(N, BLOCK_BYTES // each)])
    return np.moveaxis(w.swapaxes(0, 1).reshape(N, groups * K, *window.kernel, C), -1, 2)


def cost(work: ConvProblem) -> float:
    """Seconds of a core for the forward slot."""
    return seconds(work, outputs_per_row(work))


register_convolution("im2col", forward, input_gradient, filter_gradient, cost=cost)
