"""Convolution by Winograd's minimal filtering: F(m, r) computes m outputs of r taps by t = m + r − 1 products.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015 (the matrices: section 4), after Winograd 1980.

On one axis the form over a tile of the image x (t), the filter w (r) and a tile of outputs y (m) is a sum of t products,
exactly:

    Σ x[p + i] w[i] y[p] = Σ_t (Bᵀ x)[t] (G w)[t] (A y)[t]

and over two axes the same, axis after axis. Leave one of the three open, and each slot of the convolution is a product
of the other two's transforms, with the transposed matrix of its own on the way back. The input's gradient is the
convolution of g with the filters turned by 180°. Transforms are matrix products over the tiles of a block, and so are,
for each t, the sums over the channels.

The matrices come from t points, one of them ∞: the rows of G and A are their powers. So the same points, and the same
Bᵀ, serve all m and r with the same t.

"winograd" is F(4×4, 3×3), 36 products instead of 144; it loses a digit or two. "winograd2" is F(2×2, 3×3): 16 instead of 36, about as accurate as the sum itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np

from minigraph.kernels.numpy import layout
from minigraph.kernels.numpy.conv.blocks import OPERATIONS_PER_NANOSECOND, Part, crop_rows, patches, split_batch
from minigraph.kernels.numpy.memory import empty
from minigraph.kernels.numpy.threads import equal_slices, parallel, scratch, slices
from minigraph.kernels.tasks import ConvProblem, register_convolution
from minigraph.kernels.window import Array, Window

WAVE_BYTES = 16 << 20  # of transformed tiles between the transforms and the products
CACHED_BYTES = 1 << 21  # of transformed filters that stay in cache, so that a block runs through all steps at once
MIN_TILES = 256  # tiles of a block, unless the channels are very few or very many
ACCUMULATORS = 8  # partial sums of a filter gradient
ENTRIES_PER_CALL = 1 << 17  # entries of filters that one call transforms


@dataclass(frozen=True, eq=False)
class Winograd:
    """F(m, r) by its matrices Bᵀ (t, t), G (t, r), A (t, m); ``entries`` of a matrix in a block."""

    BT: Array
    G: Array
    A: Array
    entries: int

    @property
    def m(self) -> int:
        return int(self.A.shape[1])

    @property
    def r(self) -> int:
        return int(self.G.shape[1])

    def image_tiles(self, window: Window) -> Window:
        """The tiles of t pixels, overlapping by r − 1, as a window over the image."""
        m, side = self.m, len(self.BT)
        axes = zip(window.out, window.size, window.padding, strict=True)
        padding = tuple((b, -(-o // m) * m + side - m - n - b) for o, n, (b, _) in axes)
        return Window(window.size, (side, side), (m, m), padding, (1, 1))

    def output_tiles(self, window: Window) -> Window:
        """The tiles of m outputs, side by side, as a window over the outputs."""
        m = self.m
        return Window(window.out, (m, m), (m, m), tuple((0, -n % m) for n in window.out), (1, 1))

    def filters(self, w: Array, groups: int, dtype: Any, turned: bool = False) -> Array:
        """G w Gᵀ for each filter, or each turned by 180°: (K, C, r, r) → (t², groups, K/groups, C/groups)."""
        K, C = w.shape[:2]
        square = np.kron(self.G, self.G).astype(dtype)
        square = square[:, ::-1] if turned else square
        rows = np.ascontiguousarray(layout.channels_last(w), dtype).reshape(K, self.r**2, C)
        U = empty((len(square), K, C), dtype)
        for_each_filter(square, rows, U.swapaxes(0, 1))
        return U.reshape(-1, groups, K // groups, C)

    def forward(self, x: Array, w: Array, window: Window, groups: int) -> Array:
        """Y = Aᵀ [G w · Bᵀ x]: for each t (tiles, C) · (C, K)."""
        images, y = layout.empty(len(x), len(w), window.out, np.result_type(x, w))
        if x.size and w.size:
            self.correlate(layout.channels_last(x), self.filters(w, groups, y.dtype).swapaxes(2, 3), window, y)
        else:
            y[...] = 0
        return images

    def input_gradient(self, g: Array, w: Array, window: Window, groups: int) -> Array:
        """The convolution of g with the filters turned by 180°, from K to C channels."""
        images, x = layout.empty(len(g), w.shape[1] * groups, window.size, np.result_type(g, w))
        if g.size and w.size:
            axes = zip(window.out, window.size, window.padding, strict=True)
            padding = tuple((self.r - 1 - b, n - o + b) for o, n, (b, _) in axes)
            turned = Window(window.out, window.kernel, (1, 1), padding, (1, 1))
            self.correlate(layout.channels_last(g), self.filters(w, groups, x.dtype, turned=True), turned, x)
        else:
            x[...] = 0
        return images

    def correlate(self, x: Array, U: Array, window: Window, y: Array) -> None:
        """Y (N, *n′, K) from x (N, *n, C) and transformed filters U (t, groups, C/groups, K/groups)."""
        image, output, C, K = self.image_tiles(window), self.output_tiles(window), x.shape[-1], y.shape[-1]
        blocks = self.blocks(len(x), image, max(C, K))

        def whole(block: Part) -> None:
            V = scratch("transformed", (len(U), tiles(image, block), C), y.dtype)
            M = scratch("products", (*V.shape[:2], K), y.dtype)
            self.transform(self.BT, x, image, block, V)
            multiply(V, U, M)
            self.write(M, output, block, y)

        def wave(some: list[Part]) -> None:
            each, n = spans(image, some)
            V, M = empty((len(U), n, C), y.dtype), empty((len(U), n, K), y.dtype)
            parallel(lambda e: self.transform(self.BT, x, image, e[0], V[:, e[1]]), each)
            parallel(lambda t: multiply(V[t], U[t], M[t]), slices(len(U), 6))
            parallel(lambda e: self.write(M[:, e[1]], output, e[0], y), each)

        if U.nbytes <= CACHED_BYTES:
            parallel(whole, blocks)
        else:
            for some in self.waves(blocks, y.dtype):
                wave(some)

    def filter_gradient(self, x: Array, g: Array, window: Window, groups: int) -> Array:
        """W = Gᵀ Σ [(Bᵀ x)ᵀ · A g]: for each t (C, tiles) · (tiles, K)."""
        image, output = self.image_tiles(window), self.output_tiles(window)
        C, K, dtype, side = x.shape[1], g.shape[1], np.result_type(x, g), len(self.BT)
        X, G = layout.channels_last(x), layout.channels_last(g)
        blocks = self.blocks(len(x), image, max(C, K)) if x.size and g.size else []

        def transform(block: Part, V: Array, M: Array) -> None:
            self.transform(self.BT, X, image, block, V)
            self.transform(self.A, G, output, block, M)

        def add_products(W: Array, V: Array, M: Array, first: bool) -> None:
            out = W if first else scratch("sum", W.shape, dtype)
            np.matmul(by_group(M, groups).swapaxes(2, 3), by_group(V, groups), out=out)
            if not first:
                W += out

        def add(block: Part, W: Array, first: bool) -> None:
            V = scratch("transformed", (side**2, tiles(image, block), C), dtype)
            M = scratch("products", (side**2, tiles(image, block), K), dtype)
            transform(block, V, M)
            add_products(W, V, M, first)

        def lane(i: int) -> None:
            for j, block in enumerate(blocks[i::lanes]):
                add(block, sums[i], not j)

        def wave(some: list[Part], first: bool) -> None:
            each, n = spans(image, some)
            V, M = empty((side**2, n, C), dtype), empty((side**2, n, K), dtype)
            parallel(lambda e: transform(e[0], V[:, e[1]], M[:, e[1]]), each)
            parallel(lambda t: add_products(sums[0, t], V[t], M[t], first), slices(side**2, 6))

        shape = side**2, groups, K // groups, C // groups
        few = prod(shape) * dtype.itemsize <= CACHED_BYTES
        lanes = min(ACCUMULATORS, len(blocks)) if few else 1
        if not blocks:
            return np.zeros((K, C // groups, *window.kernel), dtype)
        sums = empty((lanes, *shape), dtype)
        if few:
            parallel(lane, range(lanes))
        else:
            for i, some in enumerate(self.waves(blocks, dtype)):
                wave(some, not i)
        w = empty((K, *window.kernel, C // groups), dtype)
        total = (sums.sum(0) if few else sums[0]).reshape(side**2, K, -1)
        for_each_filter(np.kron(self.G, self.G).astype(dtype).T, total.swapaxes(0, 1), w.reshape(K, self.r**2, -1))
        return np.moveaxis(w, -1, 1)

    def blocks(self, N: int, image: Window, C: int) -> list[Part]:
        """The batch in blocks of some hundred tiles, as far as these stay in cache."""
        return split_batch(N, image.out[0], image.out[1] * C, min(self.entries, max(self.entries // 2, MIN_TILES * C)))

    def waves(self, blocks: list[Part], dtype: Any) -> list[list[Part]]:
        """Blocks of which as many go together as stay in cache between transforms and products."""
        each = self.entries * len(self.BT) ** 2 * np.dtype(dtype).itemsize
        return [blocks[some] for some in slices(len(blocks), WAVE_BYTES // each)]

    def transform(self, matrix: Array, x: Array, tiles: Window, part: Part, out: Array) -> None:
        """Out (t, tiles, C) = ``matrix`` · tile · ``matrix``ᵀ for every tile of a part of x (N, *n, C)."""
        samples, outputs = part
        pixels, window = crop_rows(tiles, outputs)
        windows = patches(x[samples, pixels], window)  # (N, *tiles, *m, C)
        n, side, m = prod(windows.shape[:3]) * x.shape[-1], *matrix.shape
        matrix = matrix.astype(out.dtype)
        entries, half = scratch("entries", (m, m, n), out.dtype), scratch("half", (side, m, n), out.dtype)
        entries.reshape(m, m, *windows.shape[:3], x.shape[-1])[...] = windows.transpose(3, 4, 0, 1, 2, 5)
        np.matmul(matrix, entries.swapaxes(0, 1), out=half.swapaxes(0, 1))
        np.matmul(matrix, half, out=as_matrices(out, side))

    def write(self, M: Array, tiles: Window, part: Part, y: Array) -> None:
        """Aᵀ M A, M (t, tiles, K), to the tiles of a part of y (N, *n′, K)."""
        samples, outputs = part
        m, side, n = self.m, len(self.BT), M.shape[1] * M.shape[2]
        AT = np.ascontiguousarray(self.A.T, M.dtype)
        half = scratch("half", (m, side, n), M.dtype)
        np.matmul(AT, as_matrices(M, side).swapaxes(0, 1), out=half.swapaxes(0, 1))
        entries = scratch("entries", (m, m, n), M.dtype)
        np.matmul(AT, half, out=entries)
        pixels, window = crop_rows(tiles, outputs)
        y = y[samples, pixels]
        values = entries.reshape(m, m, len(y), *window.out, y.shape[-1])
        for rows, i in whole_and_rest(y.shape[1], m):
            for columns, j in whole_and_rest(y.shape[2], m):
                if i and j:
                    target = y[:, rows[1], columns[1]]
                    split = target.reshape(len(y), -1, i, target.shape[2] // j, j, y.shape[-1])
                    split[...] = values[:i, :j, :, rows[0], columns[0]].transpose(2, 3, 0, 4, 1, 5)


def for_each_filter(matrix: Array, w: Array, out: Array) -> None:
    """Out (K, s, C) = ``matrix`` (s, t) · w (K, t, C), filter by filter."""
    parallel(lambda s: np.matmul(matrix, w[s], out=out[s]), equal_slices(len(w), ENTRIES_PER_CALL // max(w[0].size, 1)))


def multiply(V: Array, U: Array, out: Array) -> None:
    """Out (t, tiles, K) = V (t, tiles, C) · U (t, groups, C/groups, K/groups) for each t."""
    np.matmul(by_group(V, U.shape[1]), U, out=by_group(out, U.shape[1]))


def tiles(image: Window, part: Part) -> int:
    """How many tiles a part has."""
    samples, rows = (s.stop - s.start for s in part)
    return int(samples * rows * image.out[1])


def spans(image: Window, blocks: list[Part]) -> tuple[list[tuple[Part, slice]], int]:
    """Blocks, each with the places of its tiles among those of all; and how many these are."""
    ends = list(accumulate((tiles(image, block) for block in blocks), initial=0))
    return [(block, slice(*span)) for block, span in zip(blocks, pairwise(ends), strict=True)], ends[-1]


def as_matrices(M: Array, side: int) -> Array:
    """A view of (side², tiles, C) as (side, side, tiles · C)."""
    return np.lib.stride_tricks.as_strided(
        M, (side, side, M.shape[1] * M.shape[2]), (side * M.strides[0], M.strides[0], M.itemsize)
    )


def by_group(V: Array, groups: int) -> Array:
    """A view of (t, tiles, C) as (t, groups, tiles, C/groups)."""
    return V.reshape(*V.shape[:2], groups, -1).swapaxes(1, 2)


def whole_and_rest(n: int, m: int) -> list[tuple[tuple[slice, slice], int]]:
    """n outputs in tiles of m: (the tiles, their outputs) and how many each has, for whole tiles and the last, shorter."""
    full = n // m
    return [
        ((slice(0, full), slice(0, full * m)), m if full else 0),
        ((slice(full, None), slice(full * m, n)), n % m),
    ]


def cost(F: Winograd, work: ConvProblem) -> float:
    """Seconds of a core for the forward slot: both transforms, the products, the filters'. float32 only."""
    t, C, K = len(F.BT) ** 2, work.C // work.groups, work.K // work.groups
    if work.dtype != np.float32 or (work.groups > 1 and min(C, K) < 8):
        return float("inf")  # others want exactness; small groups, products of a few entries
    n = work.N * prod(F.image_tiles(work.window).out)
    sixteens = -(-K // 16) * 16
    products = 2 * n * work.C * (sixteens + 8) / OPERATIONS_PER_NANOSECOND
    each = 0.65 if 4 * t * C * work.K <= CACHED_BYTES else 1  # of an entry of a transformed tile
    return 1e-9 * t * (n * each * (work.C + work.K) + products + 0.4 * C * work.K)


def powers(points: list[int], n: int) -> Array:
    """The first n powers of each point as its row, and the row of ∞."""
    return np.array([[p**k for k in range(n)] for p in points] + [[0] * (n - 1) + [1]])


BT6 = np.array([
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
])  # fmt: skip
POINTS_F4 = [0, 1, -1, 2, -2]
SCALE6 = np.array([[6], [-4], [-4], [1], [1], [24]]) / 24
BT4 = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]])
POINTS_F2 = [0, 1, -1]
SCALE4 = np.array([[2], [1], [1], [2]]) / 2

F4 = Winograd(BT6, SCALE6 * powers(POINTS_F4, 3), powers(POINTS_F4, 4), 1 << 14)
F2 = Winograd(BT4, SCALE4 * powers(POINTS_F2, 3), powers(POINTS_F2, 2), 1 << 15)


def enter(name: str, F: Winograd) -> None:
    """Enter F(m, 3) as the algorithm ``name``."""

    def supports(work: ConvProblem) -> bool:
        window = work.window
        return window.kernel == (F.r, F.r) and prod(window.stride) == prod(window.dilation) == 1

    register_convolution(
        name,
        F.forward,
        F.input_gradient,
        F.filter_gradient,
        supports=supports,
        limits=f"a kernel {F.r}×{F.r} with stride 1 and dilation 1",
        cost=lambda work: cost(F, work),
        error=3e-5,
        tiles=len(F.BT),
    )


enter("winograd", F4)
enter("winograd2", F2)
