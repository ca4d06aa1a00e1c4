"""Convolution by sparse matrices: vec(y) = M_F vec(x) and vec(y) = M_X vec(w), as the lectures write it."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minigraph.kernels.numpy.matrices import patches_matrix, toeplitz_matrix
from minigraph.kernels.tasks import register_convolution
from minigraph.kernels.window import Array, Window


def times(M: Any, columns: Array, dtype: Any) -> Array:
    """(M · columns)ᵀ, summed in double precision, since SciPy adds one product after another."""
    return np.ascontiguousarray((M @ columns.astype(np.result_type(dtype, float), copy=False)).T, dtype)


def forward(x: Array, w: Array, window: Window, groups: int) -> Array:
    """Vec(y) = M_F vec(x), the batch as columns."""
    M = toeplitz_matrix(w, window, groups).tocsr()
    y = times(M, x.reshape(len(x), M.shape[1]).T, np.result_type(x, w))
    return y.reshape(len(x), len(w), *window.out)


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """Vec(x) = M_Fᵀ vec(g)."""
    M = toeplitz_matrix(w, window, groups).tocsr()
    x = times(M.T, g.reshape(len(g), M.shape[0]).T, np.result_type(g, w))
    return x.reshape(len(g), w.shape[1] * groups, *window.size)


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """Vec(w_k) = M_Xᵀ vec(g_k), the filters of a group as columns."""
    N, C, K, P = len(x), x.shape[1] // groups, g.shape[1] // groups, prod(window.out)
    w = np.empty((groups, K, C * prod(window.kernel)), np.result_type(x, g))
    for group in range(groups):
        M = patches_matrix(x[:, group * C : (group + 1) * C], window).tocsr()
        columns = g[:, group * K : (group + 1) * K].reshape(N, K, P).swapaxes(0, 1).reshape(K, N * P).T
        w[group] = times(M.T, columns, w.dtype)
    return w.reshape(groups * K, C, *window.kernel)


register_convolution("toeplitz", forward, input_gradient, filter_gradient)
