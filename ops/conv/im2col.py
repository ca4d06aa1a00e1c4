"""Convolution by im2col: copy every patch into a column, then one matrix product (BLAS).

Chellapilla, Puri and Simard, "High Performance Convolutional Neural Networks for Document Processing", 2006.
The batch goes through in blocks whose columns stay in cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from minigraph.array import Array
from minigraph.ops.conv.algorithm import ALGORITHMS, Algorithm
from minigraph.ops.conv.geometry import Window

BLOCK_BYTES = 2 << 20


def unfold(x: Array, window: Window, columns: Array) -> None:
    """Copy the patches of x (N, C, *n) into ``columns`` (N, C, taps, *n′), whose padding is zero already."""
    for t, (outputs, pixels) in enumerate(window.taps):
        columns[:, :, t][outputs] = x[pixels]


def fold(columns: Array, window: Window, x: Array) -> None:
    """Add ``columns`` (N, C, taps, *n′) to the pixels of x (N, C, *n) they came from: unfold transposed."""
    for t, (outputs, pixels) in enumerate(window.taps):
        x[pixels] += columns[:, :, t][outputs]


def is_identity(window: Window) -> bool:
    """Whether the columns are the image itself: 1×1 kernels at every pixel."""
    return (
        prod(window.kernel) == prod(window.stride) == 1
        and window.out == window.size
        and not any(before for before, _ in window.padding)
    )


def blocks(n: int, bytes_each: int, most: int = BLOCK_BYTES) -> Iterator[slice]:
    """The batch in blocks of about ``most`` bytes, one sample at least."""
    step = max(1, most // max(bytes_each, 1))
    return (slice(i, min(i + step, n)) for i in range(0, n, step))


def forward(x: Array, w: Array, window: Window, groups: int) -> Array:
    """y = W · im2col(x) for each sample: (K, C f²) · (C f², H′W′)."""
    N, C, K, T, P = len(x), x.shape[1], len(w), prod(window.kernel), prod(window.out)
    y = np.empty((N, groups, K // groups, P), np.result_type(x, w))
    filters = w.reshape(groups, K // groups, C // groups * T)
    if is_identity(window):
        np.matmul(filters, x.reshape(N, groups, C // groups, P), out=y)
    else:
        columns = np.zeros((0, C, T, *window.out), x.dtype)
        for block in blocks(N, C * T * P * x.itemsize):
            m = block.stop - block.start
            columns = columns[:m] if len(columns) >= m else np.zeros((m, C, T, *window.out), x.dtype)
            unfold(x[block], window, columns)
            np.matmul(filters, columns.reshape(m, groups, -1, P), out=y[block])
    return y.reshape(N, K, *window.out)


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """x = col2im(Wᵀ · g) for each sample."""
    N, C, K, T, P = len(g), w.shape[1] * groups, len(w), prod(window.kernel), prod(window.out)
    dtype = np.result_type(g, w)
    transposed = w.reshape(groups, K // groups, C // groups * T).swapaxes(1, 2)
    g = g.reshape(N, groups, K // groups, P)
    if is_identity(window):
        x: Array = np.matmul(transposed, g)
        return x.reshape(N, C, *window.size)
    x = np.zeros((N, C, *window.size), dtype)
    for block in blocks(N, C * T * P * dtype.itemsize):
        fold(np.matmul(transposed, g[block]).reshape(-1, C, T, *window.out), window, x[block])
    return x


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """W = Σ g · im2col(x)ᵀ, the samples of a block side by side in one product."""
    N, C, K, T, P = len(x), x.shape[1], g.shape[1], prod(window.kernel), prod(window.out)
    w = np.zeros((groups, K // groups, C // groups * T), np.result_type(x, g))
    columns = np.zeros((C, T, 0, *window.out), x.dtype)
    for block in blocks(N, C * T * P * x.itemsize):
        m = block.stop - block.start
        if columns.shape[2] != m:
            columns = np.zeros((C, T, m, *window.out), x.dtype)
        unfold(x[block], window, np.moveaxis(columns, 2, 0))
        side_by_side = np.moveaxis(g[block].reshape(m, groups, K // groups, P), 0, 2).reshape(
            groups, K // groups, m * P
        )
        w += np.matmul(side_by_side, columns.reshape(groups, -1, m * P).swapaxes(1, 2))
    return w.reshape(K, C // groups, *window.kernel)


ALGORITHMS["im2col"] = Algorithm(forward, input_gradient, filter_gradient)
