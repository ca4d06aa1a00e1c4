"""Matrix products: on all threads where they are large, and as exact in float32 as BLAS is for large ones."""

from __future__ import annotations

from math import prod

import numpy as np

from minigraph.kernels.numpy.memory import empty
from minigraph.kernels.numpy.threads import blas, busy, parallel, slices
from minigraph.kernels.window import Array

GEMM = 1 << 23  # multiply-adds of a matrix product that is worth sharing, in two parts,
PART = 1 << 27  # and of a part from then on: every part packs the whole other factor
SIDE = 256  # of a part at least, from then on
LONG = 320  # factors of an entry, which the small kernels sum one after another: more would lose digits
THIN = 64  # rows of a product that are few beside the other factor's
SMALL_PRODUCT = 10**6  # multiply-adds of a product up to which BLAS may take its small kernels
SMALL = 1 << 14  # multiply-adds for which BLAS takes one thread anyhow


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b of matrices (…, m, k), (…, k, n), on this thread.

    BLAS adds up small float32 products, and those of few rows or columns, one factor after another. Where these are many,
    pieces of them are added in double precision.
    """
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    few = min(m, n) <= THIN or m * n * k <= SMALL_PRODUCT
    if k <= 2 * LONG or not few or a.dtype != np.float32 or b.dtype != np.float32:
        return np.matmul(a, b, out=out)
    count = k // LONG
    whole = count * LONG
    left = a[..., :whole].reshape(*a.shape[:-1], count, LONG).swapaxes(-3, -2)
    pieces = np.matmul(left, b[..., :whole, :].reshape(*b.shape[:-2], count, LONG, n))
    total = np.add.reduce(pieces, -3, dtype=np.float64)
    if whole < k:
        total += np.matmul(a[..., whole:], b[..., whole:, :])
    if out is None:
        return np.asarray(total, np.float32)
    out[...] = total
    return out


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b of matrices (…, m, k), (…, k, n), the larger side of the result in parts."""
    m, n = a.shape[-2], b.shape[-1]
    work = m * n * a.shape[-1] * prod(a.shape[:-2])
    if work < SMALL or busy():
        return product(a, b, out)
    if work < GEMM:
        with blas.single_threaded():  # its own threads would go on waiting for work, in the way of ours
            return product(a, b, out)
    if out is None:
        out = empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), m, n), np.result_type(a, b))
    count, side = 2, max(m, n)
    while count < 16 and work > count * PART and side > 2 * count * SIDE:
        count *= 2
    parts = slices(side, -(-side // count // 16) * 16)
    if n > m <= THIN and b.ndim == 2 and b.T.flags.c_contiguous:  # the lines of b stay where they are
        turned = np.ascontiguousarray(np.swapaxes(a, -1, -2))

        def part(s: slice) -> None:
            out[..., s] = np.swapaxes(product(b.T[s], turned), -1, -2)

        parallel(part, parts)
    elif n > m:
        parallel(lambda s: product(a, b[..., s], out[..., s]), parts)
    elif a.ndim == b.ndim == 2:
        parallel(lambda s: product(a[s], b, out[s]), parts)
    else:
        parallel(lambda s: product(a[..., s, :], b, out[..., s, :]), parts)
    return out
