"""Convolution by Winograd's minimal filtering, tile by tile: F(m, 3) computes m outputs of 3 taps by m + 2 products.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015 (the matrices: section 4), after Winograd 1980.

On one axis the form over a tile of the image x (m + 2), the filter w (3) and a tile of outputs y (m) is a sum of m + 2
products, exactly:

    Σ x[p + i] w[i] y[p] = Σ_t (Bᵀ x)[t] (G w)[t] (A y)[t]

and over two axes the same with the Kronecker squares of the matrices. Leave one of the three open, and each slot of the
convolution is a product of the other two's transforms, with the transposed matrix of its own on the way back. The
transforms are matrix products over all tiles of a block, and so are, for each t, the sums over the channels.

"winograd" is F(4×4, 3×3): 36 products instead of 144; it loses a digit or two. "winograd2" is F(2×2, 3×3): 16 instead
of 36, about as accurate as the sum itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.ops.conv.algorithm import ALGORITHMS, Algorithm
from minigraph.ops.conv.geometry import Window
from minigraph.ops.conv.im2col import blocks, fold, unfold

BLOCK_BYTES = 4 << 20  # of transformed tiles


@dataclass(frozen=True, eq=False)
class Winograd:
    """F(m, 3) by its matrices Bᵀ (m + 2, m + 2), G (m + 2, 3), A (m + 2, m)."""

    BT: Array
    G: Array
    A: Array

    def tiles(self, window: Window) -> tuple[Window, Window]:
        """The tiles as windows: of m + 2 pixels, overlapping by 2, over the image; of m outputs, side by side."""
        m, d = self.A.shape[1], len(window.out)
        many = [-(-n // m) for n in window.out]
        pixels = zip(many, window.size, window.padding, strict=True)
        image = tuple((b, t * m + 2 - n - b) for t, n, (b, _) in pixels)
        output = tuple((0, t * m - n) for t, n in zip(many, window.out, strict=True))
        side, one = (m,) * d, (1,) * d
        return Window(window.size, (m + 2,) * d, side, image, one), Window(window.out, side, side, output, one)

    def filters(self, w: Array, groups: int, dtype: Any) -> Array:
        """G w for each filter: (K, C, *f) → (t, groups, K/groups, C)."""
        K, C = w.shape[:2]
        taps = np.moveaxis(w.reshape(K, C, -1), 2, 0).reshape(-1, K * C)
        return (power(self.G, w.ndim - 2, dtype) @ taps).reshape(-1, groups, K // groups, C)

    def forward(self, x: Array, w: Array, window: Window, groups: int) -> Array:
        """Y = Aᵀ [G w · Bᵀ x]: for each t (K, C) · (C, tiles)."""
        image, output = self.tiles(window)
        y = np.zeros((len(x), len(w), *window.out), np.result_type(x, w))
        if not (x.size and w.size):
            return y
        W = self.filters(w, groups, y.dtype)
        for block in tile_blocks(x, y, image):
            X = transformed(self.BT, x[block], image, groups, y.dtype)
            add_transposed(self.A, W @ X, output, y[block])
        return y

    def input_gradient(self, g: Array, w: Array, window: Window, groups: int) -> Array:
        """X = B [(G w)ᵀ · A g]: for each t (C, K) · (K, tiles), where tiles overlap added."""
        image, output = self.tiles(window)
        x = np.zeros((len(g), w.shape[1] * groups, *window.size), np.result_type(g, w))
        if not (g.size and w.size):
            return x
        W = self.filters(w, groups, x.dtype).swapaxes(2, 3)
        for block in tile_blocks(g, x, image):
            Y = transformed(self.A, g[block], output, groups, x.dtype)
            add_transposed(self.BT, W @ Y, image, x[block])
        return x

    def filter_gradient(self, x: Array, g: Array, window: Window, groups: int) -> Array:
        """W = Gᵀ Σ [A g · (Bᵀ x)ᵀ]: for each t (K, tiles) · (tiles, C)."""
        image, output = self.tiles(window)
        K, C = g.shape[1], x.shape[1] // groups
        if not (x.size and g.size):
            return np.zeros((K, C, *window.kernel), np.result_type(x, g))
        W = np.zeros((prod(image.kernel), groups, K // groups, C), np.result_type(x, g))
        for block in tile_blocks(x, g, image):
            X = transformed(self.BT, x[block], image, groups, W.dtype)
            W += transformed(self.A, g[block], output, groups, W.dtype) @ X.swapaxes(2, 3)
        taps = power(self.G, len(window.out), W.dtype).T @ W.reshape(len(W), K * C)
        return np.ascontiguousarray(taps.T).reshape(K, C, *window.kernel)


def power(matrix: Array, d: int, dtype: Any) -> Array:
    """The transform over ``d`` axes: the Kronecker power."""
    return np.asarray(reduce(np.kron, [matrix] * d).astype(dtype))


def tile_blocks(x: Array, y: Array, image: Window) -> Any:
    """The batch in blocks whose transformed tiles stay in cache."""
    each = prod(image.kernel) * prod(image.out) * (x.shape[1] + y.shape[1])
    return blocks(len(x), each * np.result_type(x, y).itemsize, BLOCK_BYTES)


def transformed(matrix: Array, x: Array, tiles: Window, groups: int, dtype: Any) -> Array:
    """``matrix`` · every tile: (N, C, *n) → (t, groups, C/groups, N · tiles)."""
    N, C, T = *x.shape[:2], prod(tiles.kernel)
    entries = np.zeros((T, C, N, *tiles.out), x.dtype)
    unfold(x, tiles, np.moveaxis(entries, (2, 1, 0), (0, 1, 2)))
    return (power(matrix, len(tiles.out), dtype) @ entries.reshape(T, -1)).reshape(
        -1, groups, C // groups, N * prod(tiles.out)
    )


def add_transposed(matrix: Array, X: Array, tiles: Window, x: Array) -> None:
    """Add ``matrix``ᵀ · X, X (t, groups, C/groups, N · tiles), to the tiles of x (N, C, *n)."""
    entries = power(matrix, len(tiles.out), X.dtype).T @ X.reshape(len(X), -1)
    entries = entries.reshape(-1, x.shape[1], len(x), *tiles.out)
    fold(np.moveaxis(entries, (2, 1, 0), (0, 1, 2)), tiles, x)


def supports(window: Window) -> bool:
    """3×3 kernels, stride and dilation 1."""
    return window.kernel == (3, 3) and prod(window.stride) == prod(window.dilation) == 1


F2 = Winograd(
    np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2,
    np.array([[1, 0], [1, 1], [1, -1], [0, -1]]),
)
F4 = Winograd(
    np.array([
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]),
    np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
    np.array([[1, 0, 0, 0], [1, 1, 1, 1], [1, -1, 1, -1], [1, 2, 4, 8], [1, -2, 4, -8], [0, 0, 0, 1]]),
)  # fmt: skip

for name, F in (("winograd", F4), ("winograd2", F2)):
    ALGORITHMS[name] = Algorithm(
        F.forward, F.input_gradient, F.filter_gradient, supports, "a kernel 3×3 with stride 1 and dilation 1"
    )
