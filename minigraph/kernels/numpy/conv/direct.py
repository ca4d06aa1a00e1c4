"""Convolution by nested loops: the definition, and the reference for the other algorithms. Sums are in double precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigraph.kernels.tasks import register_convolution
from minigraph.kernels.window import Array, Ints, Window


def meetings(window: Window) -> Iterator[tuple[Ints, Ints, Ints]]:
    """(p, i, q): output position p and tap i meet at pixel q = p · stride + i · dilation − before."""
    for p in np.ndindex(*window.out):
        for i in np.ndindex(*window.kernel):
            axes = zip(p, i, window.stride, window.dilation, window.padding, strict=True)
            q = tuple(at * s + tap * d - before for at, tap, s, d, (before, _) in axes)
            if all(0 <= at < n for at, n in zip(q, window.size, strict=True)):
                yield p, i, q


def grouped(array: Array, groups: int, axis: int) -> Array:
    """A view with the spatial axes first, and ``axis`` split into groups."""
    shape = array.shape
    split = array.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    return np.moveaxis(split, range(3, split.ndim), range(split.ndim - 3))


def forward(x: Array, w: Array, window: Window, groups: int) -> Array:
    """y[n, k, p] = Σ x[n, c, q] w[k, c, i] over c, i."""
    y = np.zeros((len(x), len(w), *window.out), np.result_type(x, w, float))
    X, W, Y = grouped(x, groups, 1), grouped(w, groups, 0), grouped(y, groups, 1)
    for p, i, q in meetings(window):
        Y[p] += np.einsum("ngc,gkc->ngk", X[q], W[i])
    return y.astype(np.result_type(x, w), copy=False)


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """x[n, c, q] = Σ g[n, k, p] w[k, c, i] over k, i."""
    x = np.zeros((len(g), w.shape[1] * groups, *window.size), np.result_type(g, w, float))
    X, W, G = grouped(x, groups, 1), grouped(w, groups, 0), grouped(g, groups, 1)
    for p, i, q in meetings(window):
        X[q] += np.einsum("ngk,gkc->ngc", G[p], W[i])
    return x.astype(np.result_type(g, w), copy=False)


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """w[k, c, i] = Σ x[n, c, q] g[n, k, p] over n, p."""
    w = np.zeros((g.shape[1], x.shape[1] // groups, *window.kernel), np.result_type(x, g, float))
    X, W, G = grouped(x, groups, 1), grouped(w, groups, 0), grouped(g, groups, 1)
    for p, i, q in meetings(window):
        W[i] += np.einsum("ngc,ngk->gkc", X[q], G[p])
    return w.astype(np.result_type(x, g), copy=False)


register_convolution("direct", forward, input_gradient, filter_gradient)
