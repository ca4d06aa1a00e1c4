"""Convolution by Winograd's F(4, 3) along the first axis, and by patches along the second: 6 products instead of 12.

With few channels the transforms of two axes cost more than they save. Along one axis they are products with whole lines
of the image, where it lies in memory, and the lines of outputs come out where they belong. For each of the 6 lines of a
tile there is a convolution along the second axis left, whose patches are runs of 3 pixels: as in im2col, with m
neighbouring outputs in a row.

float32 loses half a digit, where F(4×4, 3×3) loses one or two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

import numpy as np

from minigraph.array import Array
from minigraph.ops.conv.algorithm import ALGORITHMS, Algorithm, Work
from minigraph.ops.conv.geometry import Window
from minigraph.ops.conv.im2col import (
    Part, banded, banded_window, bands, channels_last, empty_images, lines, neighbours, parts, patches, seconds,
)  # fmt: skip
from minigraph.ops.conv.winograd import F4, supports
from minigraph.parallel import matmul, parallel, ranges, scratch

BLOCK_BYTES = 4 << 20  # of rows
LANES = 8  # of blocks whose filter gradients are added up apart
T, M = F4.A.shape  # lines of a tile, and of its outputs


class Plan:
    """How images (N, *n, C) become rows: tiles of lines, and along a line rows of m outputs."""

    def __init__(self, window: Window, N: int, C: int, K: int, groups: int, dtype: np.dtype) -> None:  # type: ignore[type-arg]
        self.groups, self.C, self.K, self.dtype = groups, C // groups, K // groups, dtype
        (before, _), (left, right) = window.padding
        self.size, self.out = window.size, window.out
        self.tiles = -(-window.out[0] // M)
        side = window.size[1] + left + right
        down = self.tiles * M + 2 - window.size[0] - before
        self.whole = Window(window.size, (T, side), (M, 1), ((before, down), (left, right)), (1, 1))
        self.line = Window((side,), (3,), (1,), ((0, 0),), (1,))
        self.m = neighbours(Work(self.line, N * self.tiles * T, C, K, groups, dtype))
        self.wide = banded_window(self.line, self.m)
        each = T * self.wide.out[0] * self.wide.kernel[0] * C * dtype.itemsize
        self.blocks = parts(N, self.tiles, each, BLOCK_BYTES)

    def rows(self, x: Array, part: Part) -> Array:
        """Bᵀ of the lines of every tile of a part, as rows: (T · groups, rows, f · C/groups)."""
        pixels, window = lines(self.whole, part[1])
        found = patches(x[part[0], pixels], window)  # (N, tiles, 1, T, line, C)
        n, C = found.shape[0] * found.shape[1], found.shape[-1]
        flat = found.reshape(*found.shape[:2], T, found.shape[4] * C)
        V = scratch("lines", (T, *found.shape[:2], flat.shape[-1]), self.dtype)
        np.matmul(F4.BT.astype(self.dtype), flat, out=V.transpose(1, 2, 0, 3))
        taken = patches(V.reshape(T * n, -1, C), self.wide).reshape(T, n, self.wide.out[0], -1, self.groups, self.C)
        rows = scratch("rows", (T, self.groups, n * self.wide.out[0], taken.shape[3] * self.C), self.dtype)
        rows.reshape(T, self.groups, n, self.wide.out[0], -1, self.C)[...] = taken.transpose(0, 4, 1, 2, 3, 5)
        return rows.reshape(T * self.groups, rows.shape[2], -1)

    def filters(self, w: Array) -> Array:
        """G w along the first axis: w (groups, 3, 3, C, K) → (T · groups, f · C, m K)."""
        lifted = np.tensordot(F4.G.astype(self.dtype), w, ((1,), (1,)))  # (T, groups, 3, C, K)
        return banded(lifted.reshape(T * self.groups, 3, self.C, self.K), self.line, self.m)

    def outputs(self, part: Part) -> tuple[slice, slice]:
        """The lines of outputs of a part's tiles."""
        return part[0], slice(part[1].start * M, min(part[1].stop * M, self.out[0]))

    def write(self, products: Array, part: Part, y: Array) -> None:
        """Aᵀ of the T · groups products to the lines of a part of y (N, *n′, K)."""
        target = y[self.outputs(part)]
        tiles = part[1].stop - part[1].start
        if self.groups > 1:
            split = products.reshape(T, self.groups, -1, self.K)
            products = np.ascontiguousarray(np.moveaxis(split, 1, 2))
        whole = len(target), tiles, M, self.out[1] * y.shape[-1]
        fits = target.shape[1] == tiles * M and target.flags.c_contiguous
        found = target.reshape(whole) if fits else scratch("outputs", whole, y.dtype)
        AT = np.ascontiguousarray(F4.A.T, self.dtype)
        np.matmul(AT, products.reshape(T, len(target), tiles, -1).transpose(1, 2, 0, 3), out=found)
        if not fits:
            target[...] = found.reshape(len(target), tiles * M, *target.shape[2:])[:, : target.shape[1]]

    def cotangents(self, g: Array, part: Part) -> Array:
        """A of the lines of a part of g (N, *n′, K): (T · groups, rows, m K/groups)."""
        tiles = part[1].stop - part[1].start
        g = g[self.outputs(part)]
        short = tiles * M - g.shape[1]
        if short:
            g = np.concatenate([g, np.zeros((len(g), short, *g.shape[2:]), g.dtype)], 1)
        flat = g.reshape(len(g), tiles, M, -1)
        Y = scratch("cotangents", (T, len(g), tiles, flat.shape[-1]), self.dtype)
        np.matmul(F4.A.astype(self.dtype), flat, out=Y.transpose(1, 2, 0, 3))
        Y = Y.reshape(T, -1, self.m, self.groups, self.K)
        return np.moveaxis(Y, 3, 1).reshape(T * self.groups, -1, self.m * self.K)


def correlate(x: Array, w: Array, window: Window, y: Array) -> None:
    """Y (N, *n′, K) from x (N, *n, C) and w (groups, 3, 3, C/groups, K/groups)."""
    if not (x.size and y.size):
        y[...] = 0
        return
    plan = Plan(window, len(x), x.shape[-1], y.shape[-1], len(w), y.dtype)
    U = plan.filters(w.astype(y.dtype, copy=False))

    def block(part: Part) -> None:
        rows = plan.rows(x, part)
        products = scratch("products", (*rows.shape[:2], U.shape[-1]), y.dtype)
        plan.write(np.matmul(rows, U, out=products), part, y)

    parallel(block, plan.blocks)


def forward(x: Array, w: Array, window: Window, groups: int) -> Array:
    """Y = Aᵀ [G w · Bᵀ x] along the first axis, a convolution of lines along the second."""
    images, y = empty_images(len(x), len(w), window.out, np.result_type(x, w))
    filters = w.reshape(groups, len(w) // groups, *w.shape[1:])
    correlate(channels_last(x), filters.transpose(0, 3, 4, 2, 1), window, y)
    return images


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """The convolution of g with the filters turned by 180°, from K to C channels."""
    images, x = empty_images(len(g), w.shape[1] * groups, window.size, np.result_type(g, w))
    axes = zip(window.out, window.size, window.padding, strict=True)
    turned = replace(window, size=window.out, padding=tuple((2 - b, n - o + b) for o, n, (b, _) in axes))
    filters = w.reshape(groups, len(w) // groups, *w.shape[1:])[..., ::-1, ::-1]
    correlate(channels_last(g), filters.transpose(0, 3, 4, 1, 2), turned, x)
    return images


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """W = Gᵀ Σ [(Bᵀ x)ᵀ · A g]; a few lanes of blocks, then their sum in order."""
    C, K, dtype = x.shape[1] // groups, g.shape[1] // groups, np.result_type(x, g)
    w = np.zeros((groups * K, C, 3, 3), dtype)
    if not (x.size and g.size):
        return w
    plan = Plan(window, len(x), x.shape[1], g.shape[1], groups, dtype)
    X, G = channels_last(x), channels_last(g)
    sums = np.zeros((LANES, T * groups, plan.wide.kernel[0] * C, plan.m * K), dtype)

    def lane(i: int) -> None:
        for part in plan.blocks[i::LANES]:
            sums[i] += plan.rows(X, part).swapaxes(1, 2) @ plan.cotangents(G, part)

    parallel(lane, range(LANES))
    found = sums.sum(0).reshape(T * groups, plan.wide.kernel[0], C, plan.m, K)
    lifted = np.zeros((T * groups, 3, C, K), dtype)
    for at, taps in bands(plan.line, plan.m):
        lifted[taps] += found[at]
    taps3 = np.tensordot(F4.G.astype(dtype), lifted.reshape(T, groups, 3, C, K), ((0,), (0,)))  # (3, groups, 3, C, K)
    w.reshape(groups, K, C, 3, 3)[...] = taps3.transpose(1, 4, 3, 0, 2)
    return w


def cost(work: Work) -> float:
    """Seconds of a core for the forward slot: the transforms of lines, and the rows. float32 only."""
    if work.dtype != np.float32:
        return float("inf")
    window, tiles = work.window, -(-work.window.out[0] // M)
    line = Window((window.out[1] + 2,), (3,), (1,), ((0, 0),), (1,))
    of_lines = Work(line, work.N * tiles * T, work.C, work.K, work.groups, work.dtype)
    entries = work.N * tiles * T * window.out[1] * (0.5 * work.C + 0.25 * work.K)
    return 1e-9 * entries + seconds(of_lines, neighbours(of_lines))


ALGORITHMS["winograd1d"] = Algorithm(
    forward, input_gradient, filter_gradient, supports, "a kernel 3×3 with stride 1 and dilation 1", cost
)
