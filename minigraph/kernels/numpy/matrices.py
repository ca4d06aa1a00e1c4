"""The sparse matrices of a convolution, built as CSR by index arithmetic.

The form ⟨conv(x, w), y⟩ = Σ x[n, c, q] w[k, c, i] y[n, k, p] runs over the meetings of output position p
and tap i at pixel q. Holding one of the three arrays leaves a matrix between the other two whose entries
are that array's: M_F holds w, M_X holds x. All come from one list of meetings, read in different ways.
Meetings in the padding have no entry; zeros of the held array are kept, so nnz depends on shapes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from math import prod

import numpy as np
import scipy.sparse as sp

from minigraph.kernels.numpy.threads import SHARED_ENTRIES, parallel, slices
from minigraph.kernels.sparse import index_dtype
from minigraph.kernels.window import Array, Ints, Window


@dataclass(frozen=True, eq=False)
class BlockMatrix:
    """A matrix in blocks of rows of one pattern: which taps meet which sites at each position.

    Row (a, u, r, p) of block (a, u, r) and position p has for each channel c and tap i that meets a site the entry
    ``held[u, place]`` in column ``starts[a, u, r] + column``. One of place and column is the site's number,
    the other the tap's. Channels come first, then taps; both numbers grow, so the columns of a row are sorted.
    """

    held: Array  # the entries, (U, places)
    tables: Sequence[Array]  # (positions, taps) of each axis: the coordinate of the site, −1 for none
    size: Ints  # sites of each axis
    site_step: int  # from the sites of a channel to those of the next
    taps: Array  # (channels, taps): the number of each tap
    starts: Array  # (A, U, R) of the blocks
    width: int
    sites_are_columns: bool = False
    shift: Array | None = None  # (positions,), added to the numbers of the taps at each position

    def pattern(self, positions: Array) -> tuple[Array, Array, Array]:
        """Columns and places of the entries at some positions, one position after another; how many each has."""
        n, C = len(positions), len(self.taps)
        at = np.unravel_index(positions, [len(table) for table in self.tables])
        sites: Array = np.zeros((n, 1), np.int64)
        hit: Array = np.ones((n, 1), bool)
        for table, p, side in zip(self.tables, at, self.size, strict=True):
            columns = table[p][:, None]
            sites = (sites[..., None] * side + columns).reshape(n, -1)
            hit = (hit[..., None] & (columns >= 0)).reshape(n, -1)
        numbers = sites[:, None] + np.arange(C)[:, None] * self.site_step
        taps = self.taps if self.shift is None else self.taps + self.shift[positions, None, None]
        taps, counts = np.broadcast_to(taps, numbers.shape), hit.sum(1) * C
        if hit.all():
            numbers, taps = numbers.ravel(), taps.ravel()
        else:
            inside = np.broadcast_to(hit[:, None], numbers.shape)
            numbers, taps = numbers[inside], taps[inside]
        return (numbers, taps, counts) if self.sites_are_columns else (taps, numbers, counts)

    @cached_property
    def hits(self) -> list[Array]:
        """For each axis, how many taps of each position meet a site."""
        return [(table >= 0).sum(1) for table in self.tables]

    @property
    def nnz(self) -> int:
        """Stored entries."""
        return self.starts.size * len(self.taps) * prod([int(hit.sum()) for hit in self.hits])

    @property
    def nbytes(self) -> int:
        """Bytes of the matrix: values, column numbers and row starts."""
        rows = self.starts.size * prod([len(table) for table in self.tables])
        index = np.dtype(index_dtype(rows, self.width, self.nnz)).itemsize
        return int(self.nnz * (self.held.itemsize + index) + (rows + 1) * index)

    def tocsr(self) -> sp.csr_array:
        """All rows, written part by part: a part's numbers stay in cache."""
        counts = reduce(np.multiply.outer, self.hits).ravel() * len(self.taps)
        P, B, ends = len(counts), self.starts.size, np.concatenate(([0], np.cumsum(counts)))
        each = int(ends[-1])
        index = index_dtype(B * P, self.width, B * each)
        indptr = np.zeros(B * P + 1, index)
        np.add(ends[1:], np.arange(B)[:, None] * each, out=indptr[1:].reshape(B, P), casting="same_kind")
        starts, shape = self.starts.astype(index)[..., None], (*self.starts.shape, each)
        indices, data = np.empty(shape, index), np.empty(shape, self.held.dtype)

        def part(positions: slice) -> None:
            columns, places, _ = self.pattern(np.arange(positions.start, positions.stop))
            columns, entries = columns.astype(index), slice(ends[positions.start], ends[positions.stop])
            for u in slices(len(self.held), PART_ENTRIES // max(len(columns), 1)):
                np.add(starts[:, u], columns, out=indices[:, u, :, entries])
                data[:, u, :, entries] = np.take(self.held[u], places, axis=1)[:, None]

        parallel(part, slices(P, PART_ENTRIES // max(self.taps.size, 1)) if each else [], B * each > SHARED_ENTRIES)
        return canonical(data.ravel(), indices.ravel(), indptr, (B * P, self.width))

    def rows(self, index: Array) -> sp.csr_array:
        """The rows of these numbers."""
        block, position = np.divmod(index, prod([len(table) for table in self.tables]))
        columns, places, counts = self.pattern(position)
        held = self.held[(block // self.starts.shape[2] % len(self.held)).repeat(counts), places]
        columns = (columns + self.starts.ravel()[block].repeat(counts)).astype(index_dtype(self.width, len(columns)))
        indptr = np.concatenate(([0], np.cumsum(counts))).astype(columns.dtype)
        return canonical(held, columns, indptr, (len(index), self.width))


PART_ENTRIES = 1 << 16  # entries that are written at once


def canonical(data: Array, indices: Array, indptr: Array, shape: tuple[int, int]) -> sp.csr_array:
    """The matrix of these arrays, which are sorted and free of duplicates."""
    matrix = sp.csr_array((data, indices, indptr), shape=shape)
    matrix.has_canonical_format = True
    return matrix


def toeplitz_matrix(w: Array, window: Window, groups: int, batch: int = 1) -> BlockMatrix:
    """From x to y, holding w: row (n, k, p) has w[k, c, i] in column (n, c, q). M_F for a batch of one."""
    K, C, T, S = len(w), w.shape[1], prod(window.kernel), prod(window.size)
    starts = np.arange(batch * groups).reshape(batch, groups).repeat(K // groups, axis=1)[..., None] * (C * S)
    held, width = w.reshape(K, C * T), batch * groups * C * S
    return BlockMatrix(held, window.pixels, window.size, S, numbers(C, T), starts, width, True)


def patches_matrix(x: Array, window: Window, groups: int = 1, filters: int = 1) -> BlockMatrix:
    """From w to y, holding x: row (n, k, p) has x[n, c, q] in column (k, c, i). M_X for one filter."""
    N, C, T, S = len(x), x.shape[1] // groups, prod(window.kernel), prod(window.size)
    starts = np.tile(np.arange(filters).reshape(groups, -1), (1, N, 1)) * (C * T)
    held, width = x.reshape(N * groups, C * S), filters * C * T
    return BlockMatrix(held, window.pixels, window.size, S, numbers(C, T), starts, width)


def outputs_matrix(y: Array, window: Window, groups: int, channels: int) -> BlockMatrix:
    """From w to x, holding y: row (n, c, q) has y[n, k, p] in column (k, c, i)."""
    N, K, C, T, P = len(y), y.shape[1] // groups, channels // groups, prod(window.kernel), prod(window.out)
    starts = np.tile(np.arange(groups)[:, None] * (K * C * T) + np.arange(C) * T, (1, N, 1))
    held, width = y.reshape(N * groups, K * P), groups * K * C * T
    taps = np.arange(K)[:, None] * (C * T) + np.arange(T)
    return BlockMatrix(held, window.positions, window.out, P, taps, starts, width)


def numbers(channels: int, taps: int) -> Array:
    """0, 1, …: (channels, taps)."""
    return np.arange(channels * taps).reshape(channels, taps)
