"""The sparse matrices of a convolution, built as CSR by index arithmetic.

The form ⟨conv(x, w), y⟩ = Σ x[n, c, q] w[k, c, i] y[n, k, p] runs over the meetings of output position p
and tap i at pixel q. Holding one of the three arrays leaves a matrix between the other two whose entries
are that array's: M_F holds w, M_X holds x. All come from one list of meetings, read in different ways.
Meetings in the padding have no entry; zeros of the held array are kept, so nnz depends on shapes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from minigraph.array import Array
from minigraph.node import Spec
from minigraph.op import expect, expect_floats
from minigraph.ops.conv.geometry import (
    Ints,
    Window,
    expect_axes,
    expect_groups,
    integers,
    paddings,
    window_over,
)


def conv_matrix(
    w: Any, in_shape: Sequence[int], *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> sp.csr_array:
    """M_F: the Toeplitz matrix of a convolution, vec(conv(x, w)) = M_F vec(x) for one image x.

    w (K, C/groups, *f), in_shape (C, *n) → (K · n′…, C · n…); one to three spatial axes.
    Each row is the filter laid into a zero image. Raises ShapeError for what conv2d would refuse.
    """
    w, op = np.asarray(w), "conv_matrix"
    spec, x, d = Spec(w.shape, w.dtype), Spec((1, *in_shape), w.dtype), w.ndim - 2
    expect(1 <= d <= 3, op, "w of 3, 4 or 5 axes (K, C/groups, *f)", w=spec)
    expect(x.ndim == w.ndim, op, f"in_shape of {d + 1} axes (C, *n)", in_shape=tuple(in_shape))
    expect_floats(op, w=spec)
    (groups,) = integers(op, "groups", groups, 1)
    expect(
        x.shape[1] == w.shape[1] * groups,
        op,
        f"{w.shape[1] * groups} channels",
        in_shape=tuple(in_shape),
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
    return image_matrix(w, window, groups)


def patch_matrix(x: Any, kernel: Any, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> sp.csr_array:
    """M_X: the matrix of patches, vec(conv(x, w)) = M_X vec(w) for one filter w.

    x (C, *n) → (n′…, C · f…), row p the patch under the filter at p; x (N, C, *n) stacks the samples' rows.
    ``kernel``: one integer (two spatial axes), or one for each axis. Raises ShapeError where it does not fit.
    """
    x, op = np.asarray(x), "patch_matrix"
    d = 2 if np.ndim(kernel) == 0 else len(kernel)
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
    return filter_matrix(x, window)


# --- the three matrices ----------------------------------------------------------------------------


def image_matrix(w: Array, window: Window, groups: int, batch: int = 1) -> sp.csr_array:
    """From x to y, holding w: row (n, k, p) has w[k, c, i] in column (n, c, q). M_F for a batch of one."""
    K, C, T, S = len(w), w.shape[1], prod(window.kernel), prod(window.size)
    taps, sites, counts = entries(window.pixels, window.size, C, T, S)
    starts = np.arange(batch * groups).reshape(batch, groups, 1, 1) * (C * S)
    data = np.take(w.reshape(1, groups, K // groups, C * T), taps, axis=-1)
    return stacked(data, sites, starts, counts, (batch, groups, K // groups), batch * groups * C * S)


def filter_matrix(x: Array, window: Window, groups: int = 1, filters: int = 1) -> sp.csr_array:
    """From w to y, holding x: row (n, k, p) has x[n, c, q] in column (k, c, i). M_X for one filter."""
    N, C, K, T, S = len(x), x.shape[1] // groups, filters // groups, prod(window.kernel), prod(window.size)
    taps, sites, counts = entries(window.pixels, window.size, C, T, S)
    starts = np.arange(filters).reshape(1, groups, K, 1) * (C * T)
    data = np.take(x.reshape(N, groups, 1, C * S), sites, axis=-1)
    return stacked(data, taps, starts, counts, (N, groups, K), filters * C * T)


def output_matrix(y: Array, window: Window, groups: int, channels: int) -> sp.csr_array:
    """From w to x, holding y: row (n, c, q) has y[n, k, p] in column (k, c, i)."""
    N, K, C, T, P = len(y), y.shape[1] // groups, channels // groups, prod(window.kernel), prod(window.out)
    taps, sites, counts = entries(window.positions, window.out, K, C * T, P)
    starts = np.arange(groups).reshape(1, groups, 1, 1) * (K * C * T) + np.arange(C).reshape(C, 1) * T
    data = np.take(y.reshape(N, groups, 1, K * P), sites, axis=-1)
    return stacked(data, taps, starts, counts, (N, groups, C), groups * K * C * T)


def entries(
    tables: Sequence[Array], size: Ints, channels: int, tap_step: int, site_step: int
) -> tuple[Array, Array, Array]:
    """Entry by entry, row after row: tap number, site number (a pixel's or an output's); entries in each row.

    ``tables`` (rows, taps) for each axis give the coordinate of the site, −1 for none. Within a row channels
    come first, then taps; both numbers grow, so columns come out sorted whichever of the two they are.
    """
    d = len(tables)
    sites: Array = np.zeros((), np.int64)
    hit: Array = np.ones((), bool)
    for axis, (table, n) in enumerate(zip(tables, size, strict=True)):
        table = np.expand_dims(table, [a for a in range(2 * d) if a not in (axis, d + axis)])
        sites, hit = sites * n + table, hit & (table >= 0)
    rows, T = prod(sites.shape[:d]), prod(sites.shape[d:])
    sites, hit = sites.reshape(rows, 1, T), hit.reshape(rows, 1, T)
    c = np.arange(channels)[:, None]
    sites = (sites + c * site_step).ravel()
    taps = np.tile((c * tap_step + np.arange(T)).ravel(), rows)
    counts = hit.sum((1, 2)) * channels
    kept = np.flatnonzero(np.repeat(hit, channels, axis=1))
    return (taps, sites, counts) if len(kept) == len(sites) else (taps[kept], sites[kept], counts)


def stacked(data: Array, columns: Array, starts: Array, counts: Array, blocks: Ints, width: int) -> sp.csr_array:
    """Blocks of rows below each other, all of one pattern: ``columns`` shifted by the block's start."""
    full = (*blocks, len(columns))
    height, nnz = prod(blocks) * len(counts), prod(full)
    index = np.int32 if max(height, width, nnz) < 2**31 else np.int64
    indptr = np.zeros(height + 1, index)
    np.cumsum(np.broadcast_to(counts, (prod(blocks), len(counts))).ravel(), out=indptr[1:])
    indices = np.empty(full, index)
    np.add(columns.astype(index), starts.astype(index), out=indices)
    data = data if data.shape == full else np.broadcast_to(data, full).copy()
    matrix = sp.csr_array((data.ravel(), indices.ravel(), indptr), shape=(height, width))
    matrix.has_canonical_format = True  # sorted and free of duplicates by construction
    return matrix
