"""Sparse matrices whose structure does not depend on their values: SciPy's products and sums leave out entries of 0."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from minigraph.kernels.window import Array


def compressed(data: Array, columns: Array, starts: Array, shape: tuple[int, int]) -> sp.csr_array:
    """A csr_array with indices of 32 bits where they fit, sorted within each row."""
    index = index_dtype(len(data), *shape)
    matrix = sp.csr_array((data, columns.astype(index, copy=False), starts.astype(index, copy=False)), shape=shape)
    matrix.sort_indices()
    return matrix


def index_dtype(*sizes: int) -> Any:
    """The smallest index dtype for matrices of these sizes."""
    return np.int32 if max(sizes) < 2**31 else np.int64


def sized(matrix: Any) -> sp.csr_array:
    """Any sparse matrix as ``compressed`` makes it."""
    matrix = sp.csr_array(matrix)
    return compressed(matrix.data, matrix.indices, matrix.indptr, matrix.shape)


def times(left: sp.csr_array, right: sp.csr_array) -> sp.csr_array:
    """The product with all entries that the two structures give: SciPy leaves out those whose value is 0."""
    product = sized(left @ right)
    pattern = sized(_pattern(left) @ _pattern(right))
    if product.nnz == pattern.nnz:
        return product
    data = np.zeros(pattern.nnz, product.dtype)
    data[np.searchsorted(_places(pattern), _places(product))] = product.data
    return sp.csr_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)


def plus(a: sp.csr_array, b: sp.csr_array) -> sp.csr_array:
    """The sum with all entries that either structure has."""
    rows = np.concatenate([np.repeat(np.arange(m.shape[0]), np.diff(m.indptr)) for m in (a, b)])
    columns = np.concatenate([a.indices, b.indices])
    return sized(sp.coo_array((np.concatenate([a.data, b.data]), (rows, columns)), shape=a.shape))


def _pattern(matrix: sp.csr_array) -> sp.csr_array:
    return sp.csr_array((np.ones(matrix.nnz, bool), matrix.indices, matrix.indptr), shape=matrix.shape)


def _places(matrix: sp.csr_array) -> Array:
    """The number of each stored entry in C order."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    places: Array = rows * matrix.shape[1] + matrix.indices
    return places


def full(rows: Array) -> sp.csr_array:
    """A matrix of which every entry is stored."""
    m, n = rows.shape
    index = index_dtype(m * n, m, n)
    columns = np.tile(np.arange(n, dtype=index), m)
    return sp.csr_array((rows.ravel(), columns, np.arange(m + 1, dtype=index) * n), shape=(m, n))


def eye(n: int, dtype: Any) -> sp.csr_array:
    """The identity matrix."""
    index = np.arange(n + 1, dtype=index_dtype(n + 1))
    return compressed(np.ones(n, dtype), index[:n], index, (n, n))


def below(blocks: Iterable[sp.csr_array], height: int, width: int, most: int, dtype: Any) -> sp.csr_array:
    """Matrices one below the other, of at most ``most`` entries in all."""
    index = index_dtype(most, height, width)
    data, indices, starts = np.empty(most, dtype), np.empty(most, index), np.zeros(height + 1, index)
    row = end = 0
    for block in blocks:
        starts[row + 1 : row + 1 + block.shape[0]] = block.indptr[1:] + end
        row, start, end = row + block.shape[0], end, end + block.nnz
        data[start:end], indices[start:end] = block.data, block.indices
    if end < most:
        data, indices = data[:end].copy(), indices[:end].copy()
    return sp.csr_array((data, indices, starts), shape=(height, width))
