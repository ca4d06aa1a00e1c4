"""Sums of many float32 numbers, as exact as in double precision.

NumPy adds numbers one after another unless they are neighbours in memory, and rounds each time to the last digit of a
sum that grows. Here MAX_TERMS of them are added in single precision, and what they come to in double precision.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from minigraph.kernels.numpy.memory import in_memory
from minigraph.kernels.numpy.products import matmul
from minigraph.kernels.window import Array

FLOAT32 = np.dtype(np.float32)
MAX_TERMS = 128  # numbers that may be added one after another
MAX_PRODUCTS = 4096  # products that BLAS may add, several at a time
_add: Any = np.add.reduce  # in half the time of numpy.sum where there is little to add
Axis = int | tuple[int, ...] | None


def total(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Σ x over ``axis``, as numpy.sum."""
    if not _many(x, axis):
        return _add(x, axis, keepdims=keepdims)
    return _double(x, axis, keepdims).astype(np.float32)[()]


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean of x over ``axis``, as numpy.mean."""
    if not _many(x, axis):
        return np.mean(x, axis=axis, keepdims=keepdims)
    sums = _double(x, axis, keepdims)
    return (sums * (sums.size / x.size)).astype(np.float32)[()]


def cumulative(x: Any, axis: int) -> Any:
    """x₁ + … + xᵢ along ``axis``, as numpy.cumsum."""
    if single(x) and x.shape[axis] > MAX_TERMS:
        return np.cumsum(x, axis=axis, dtype=np.float64).astype(np.float32)
    return np.cumsum(x, axis=axis)


def inner(a: Array, b: Array) -> Any:
    """Σ aᵢ bᵢ of two vectors, as numpy.dot."""
    if not (single(a) and single(b)) or a.size <= MAX_PRODUCTS:
        return a @ b
    full = a.size // MAX_PRODUCTS * MAX_PRODUCTS
    lines = np.vecdot(a[:full].reshape(-1, MAX_PRODUCTS), b[:full].reshape(-1, MAX_PRODUCTS))
    return np.float32(np.add.reduce(lines, dtype=np.float64) + a[full:] @ b[full:])


def row_times(a: Array, b: Array) -> Array:
    """a b for a row a (1, k) and a matrix b (k, n)."""
    k, n = b.shape
    if not (single(a) and single(b)) or k <= MAX_PRODUCTS:
        return matmul(a, b)
    full = k // MAX_TERMS * MAX_TERMS
    parts = matmul(a[:, :full].reshape(-1, 1, MAX_TERMS), b[:full].reshape(-1, MAX_TERMS, n))
    sums: Array = np.add.reduce(parts, 0, dtype=np.float64) + a[:, full:] @ b[full:]
    return sums.astype(np.float32)


def sparse_matmul(matrix: Any, x: Array) -> Any:
    """matrix @ x for a sparse matrix of x's dtype."""
    if single(x) and matrix.nnz > MAX_TERMS * matrix.shape[0]:
        return (matrix.astype(np.float64) @ x.astype(np.float64)).astype(np.float32)
    return matrix @ x


def single(x: Any) -> bool:
    """Whether x is an array of float32, whose sums over many entries lose digits."""
    return type(x) is np.ndarray and x.dtype == FLOAT32


def _many(x: Any, axis: Axis) -> bool:
    """Whether a sum over ``axis`` adds so many float32 numbers that NumPy's sum would lose digits."""
    if not single(x) or x.size <= 2 * MAX_TERMS:
        return False
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    if prod([x.shape[i] for i in axes]) <= 2 * MAX_TERMS:
        return False
    neighbours = x.flags.c_contiguous and min(i % x.ndim for i in axes) == x.ndim - len(axes)
    return not neighbours  # those NumPy adds in pairs


def _double(x: Array, axis: Axis, keepdims: bool) -> Array:
    """The sum in double precision."""
    axes = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim)
    order = in_memory(x)
    groups: list[tuple[int, int, bool]] = []  # sides, steps, whether summed: neighbouring axes of one kind are one
    for i in order:
        n, step, summed = x.shape[i], x.strides[i], i in axes
        if groups and groups[-1][1:] == (n * step, summed):
            groups[-1] = groups[-1][0] * n, step, summed
        else:
            groups.append((n, step, summed))
    v: Array = x.transpose(order).reshape([n for n, _, _ in groups])
    for i in reversed(range(len(groups))):
        if groups[i][2]:
            v = _along(v, i)
    kept = [i for i in order if keepdims or i not in axes]
    v = v.reshape([1 if i in axes else x.shape[i] for i in kept])
    return v if kept == sorted(kept) else v.transpose(np.argsort(kept))


def _along(v: Array, i: int) -> Array:
    """Σ v over axis i, where no axis after i is left to sum over; at the end in double precision."""
    n, before, after = v.shape[i], v.shape[:i], v.shape[i + 1 :]
    if n <= MAX_TERMS or not after or v.dtype != np.float32:
        return np.asarray(np.add.reduce(v, i), np.float64)
    full = n // MAX_TERMS * MAX_TERMS
    some = v[(slice(None),) * i + (slice(full),)].reshape(*before, full // MAX_TERMS, MAX_TERMS, *after)
    if v.strides[-1] == v.itemsize:  # a product is faster than NumPy's sum
        lines = some.reshape(*some.shape[: i + 2], prod(after))
        parts = matmul(np.ones((1, MAX_TERMS), v.dtype), lines).reshape(*before, full // MAX_TERMS, *after)
    else:
        parts = np.add.reduce(some, i + 1)
    sums: Array = np.add.reduce(parts, i, dtype=np.float64)
    if full < n:
        sums += np.add.reduce(v[(slice(None),) * i + (slice(full, None),)], i)
    return sums
