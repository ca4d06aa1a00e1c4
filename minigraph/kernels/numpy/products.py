"""Matrix products: on all threads where they are large, and as exact in float32 as BLAS is for large ones."""

from __future__ import annotations

from math import prod

import numpy as np

from minigraph.kernels.numpy.memory import empty
from minigraph.kernels.numpy.threads import blas, busy, parallel, slices
from minigraph.kernels.window import Array

SERIAL_WORK = 1 << 14  # multiply-adds up to which BLAS uses one thread anyway
SHARED_WORK = 1 << 23  # multiply-adds from which a product is split between two threads
WORK_PER_PART = 1 << 27  # multiply-adds of a part beyond that: every part packs the whole other factor
MIN_SIDE = 256  # rows or columns of such a part
MAX_TERMS = 320  # float32 terms that BLAS's small kernels may sum one after another
THIN_SIDE = 64  # rows or columns up to which BLAS may take its small kernels
SMALL_WORK = 10**6  # multiply-adds up to which it may take them


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b of matrices (…, m, k), (…, k, n), on this thread.

    BLAS adds up small float32 products, and those of few rows or columns, one factor after another. Where these are many,
    pieces of them are added in double precision.
    """
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    few = min(m, n) <= THIN_SIDE or m * n * k <= SMALL_WORK
    if k <= 2 * MAX_TERMS or not few or a.dtype != np.float32 or b.dtype != np.float32:
        return np.matmul(a, b, out=out)
    count = k // MAX_TERMS
    full = count * MAX_TERMS
    left = a[..., :full].reshape(*a.shape[:-1], count, MAX_TERMS).swapaxes(-3, -2)
    pieces = np.matmul(left, b[..., :full, :].reshape(*b.shape[:-2], count, MAX_TERMS, n))
    total = np.add.reduce(pieces, -3, dtype=np.float64)
    if full < k:
        total += np.matmul(a[..., full:], b[..., full:, :])
    if out is None:
        return np.asarray(total, np.float32)
    out[...] = total
    return out


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b of matrices (…, m, k), (…, k, n), the larger side of the result in parts.

    The parts are the same for a thread that is busy already: some BLAS kernels round differently in another shape.
    """
    m, n = a.shape[-2], b.shape[-1]
    work = m * n * a.shape[-1] * prod(a.shape[:-2])
    if work < SERIAL_WORK or work < SHARED_WORK and busy():
        return product(a, b, out)
    if work < SHARED_WORK:
        with blas.single_threaded():  # its own threads would go on waiting for work, in the way of ours
            return product(a, b, out)
    if out is None:
        out = empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), m, n), np.result_type(a, b))
    count, side = 2, max(m, n)
    while count < 16 and work > count * WORK_PER_PART and side > 2 * count * MIN_SIDE:
        count *= 2
    parts = slices(side, -(-side // count // 16) * 16)
    if n > m <= THIN_SIDE and b.ndim == 2 and b.T.flags.c_contiguous:  # the lines of b stay where they are
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
