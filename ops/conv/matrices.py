"""The lectures' matrices of a convolution: M_F, whose entries are the filter's, and M_X, whose entries are the image's."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import scipy.sparse as sp

from minigraph.array import Array
from minigraph.kernels.numpy.matrices import BlockMatrix, patches_matrix, toeplitz_matrix
from minigraph.maps import MAX_BYTES, LinearMap
from minigraph.node import MemoryBudgetError, Spec, value_of
from minigraph.op import expect, expect_floats
from minigraph.ops.geometry import (
    expect_axes,
    expect_groups,
    integers,
    is_sequence,
    paddings,
    sides,
    window_over,
)


class BlockMap(LinearMap):
    """A map whose matrix is written block by block."""

    held: Any  # the array that the matrix consists of

    def _blocks(self) -> BlockMatrix:
        raise NotImplementedError

    def origins(self) -> sp.csr_array | None:
        held = value_of(self.held)
        numbered = copy(self)
        numbered.held, numbered.dtype = np.arange(1.0, held.size + 1).reshape(held.shape), np.dtype(np.float64)
        matrix = numbered._matrix()
        matrix.data = (matrix.data - 1).astype(np.int64)
        return matrix

    def _matrix(self) -> sp.csr_array:
        return self._blocks().tocsr()

    def _rows(self, index: Array) -> sp.csr_array:
        return self._blocks().rows(index)


def conv_matrix(
    w: Any,
    in_shape: Sequence[int],
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    max_bytes: int | None = MAX_BYTES,
) -> sp.csr_array:
    """M_F: the Toeplitz matrix of a convolution, vec(conv(x, w)) = M_F vec(x) for one image x.

    w (K, C/groups, *f), in_shape (C, *n) → (K · n′…, C · n…); one to three spatial axes.
    Each row is the filter laid into a zero image. Raises ShapeError for what conv2d would refuse,
    MemoryBudgetError for a matrix of more than ``max_bytes`` (None: no limit).
    """
    w, op = np.asarray(w), "conv_matrix"
    in_shape = sides(op, "in_shape", in_shape)
    spec, x, d = Spec(w.shape, w.dtype), Spec((1, *in_shape), w.dtype), w.ndim - 2
    expect(1 <= d <= 3, op, "w of 3, 4 or 5 axes (K, C/groups, *f)", w=spec)
    expect(x.ndim == w.ndim, op, f"in_shape of {d + 1} axes (C, *n)", in_shape=in_shape)
    expect_floats(op, w=spec)
    (groups,) = integers(op, "groups", groups, 1)
    expect(
        x.shape[1] == w.shape[1] * groups,
        op,
        f"{w.shape[1] * groups} channels",
        in_shape=in_shape,
        w=spec,
    )
    expect_groups(op, groups, x.shape[1], len(w), w=spec)
    window = window_over(
        op,
        x,
        w.shape[2:],
        integers(op, "stride", stride, d),
        paddings(op, padding, d),
        integers(op, "dilation", dilation, d),
    )
    matrix = toeplitz_matrix(w, window, groups)
    expect_bytes(op, matrix.nnz, matrix.nbytes, max_bytes)
    return matrix.tocsr()


def patch_matrix(
    x: Any,
    kernel: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    max_bytes: int | None = MAX_BYTES,
) -> sp.csr_array:
    """M_X: the matrix of patches, vec(conv(x, w)) = M_X vec(w) for one filter w.

    x (C, *n) → (n′…, C · f…), row p the patch under the filter at p; x (N, C, *n) stacks the samples' rows.
    ``kernel``: one integer (two spatial axes), or one for each axis. Raises ShapeError where it does not fit,
    MemoryBudgetError for a matrix of more than ``max_bytes`` (None: no limit).
    """
    x, op = np.asarray(x), "patch_matrix"
    d = len(kernel) if is_sequence(kernel) else 2
    f = integers(op, "kernel", kernel, d)
    if x.ndim == d + 1:
        x = x[None]
    spec = Spec(x.shape, x.dtype)
    expect_axes(op, d, "N, C", x=spec)
    expect_floats(op, x=spec)
    window = window_over(
        op,
        spec,
        f,
        integers(op, "stride", stride, d),
        paddings(op, padding, d),
        integers(op, "dilation", dilation, d),
    )
    matrix = patches_matrix(x, window)
    expect_bytes(op, matrix.nnz, matrix.nbytes, max_bytes)
    return matrix.tocsr()


def expect_bytes(op: str, nnz: int, nbytes: int, max_bytes: int | None) -> None:
    """Raise MemoryBudgetError for a matrix of more than ``max_bytes`` (None: no limit)."""
    if max_bytes is not None and nbytes > max_bytes:
        raise MemoryBudgetError(
            f"{op}: got a matrix of {nnz:,} entries, {nbytes / 1e6:,.0f} MB; wanted at most {max_bytes / 1e6:,.0f} MB. "
            "Use the local Jacobian itself (push, pull, row_blocks), or a larger max_bytes"
        )
