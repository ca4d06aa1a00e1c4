"""Functions that work entry by entry, in parts that stay in cache, on all threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigraph.kernels.numpy.memory import POOLED_BYTES, empty, empty_like, in_memory
from minigraph.kernels.numpy.threads import PART_ENTRIES, parallel_slices
from minigraph.kernels.window import Array


def map_entries(function: Callable[..., Any], *xs: Any) -> Any:
    """``function(*xs)``, which must work entry by entry, in parts: for large arrays of one shape.

    Numbers among ``xs`` go to every part. All else is left to a single call. A function that takes ``out`` writes there.
    """
    first = xs[0]
    if not isinstance(first, np.ndarray) or first.nbytes < POOLED_BYTES:
        return function(*xs)
    arrays = [i for i, x in enumerate(xs) if isinstance(x, np.ndarray) and x.ndim]
    if any(xs[i].shape != first.shape for i in arrays):
        return function(*xs)
    order = in_memory(first)
    turned = [xs[i].transpose(order) for i in arrays]
    flat = [x.reshape(-1) if x.flags.c_contiguous else x for x in turned]
    if any(x.ndim > 1 for x in flat):
        flat = turned

    def call(s: slice, **out: Any) -> Any:
        some = list(xs)
        for i, x in zip(arrays, flat, strict=True):
            some[i] = x[s]
        return function(*some, **out)

    dtype, writes = call(slice(0, 1)).dtype, takes_out(function)
    out = empty(turned[0].shape, dtype)
    target = out.reshape(flat[0].shape)

    def part(s: slice) -> None:
        if writes:
            call(s, out=target[s])
        else:
            target[s] = call(s)

    parallel_slices(part, len(target), first.size, uses_blas=False)
    return out.transpose(np.argsort(order))


def takes_out(function: Any) -> bool:
    """Whether a function of arrays writes into ``out`` where it is given: a ufunc, or with a keyword ``out=None``."""
    return isinstance(function, np.ufunc) or (getattr(function, "__kwdefaults__", None) or {}).get("out", 0) is None


_zeros = {np.dtype(dtype): np.zeros(PART_ENTRIES, dtype) for dtype in (np.float32, np.float64)}


def positive_part(x: Any, *, out: Any = None) -> Any:
    """max(x, 0). NumPy compares two arrays more than twice as fast as an array and a number."""
    if x.size > PART_ENTRIES or x.dtype not in _zeros or not (x.flags.c_contiguous and x.ndim):
        return np.maximum(x, x.dtype.type(0), out=out)
    return np.maximum(x, _zeros[x.dtype][: x.size].reshape(x.shape), out=out)


def where_positive(y: Array, g: Array) -> Array:
    """g where y > 0, else 0."""

    def part(g: Array, y: Array, *, out: Any = None) -> Any:
        return where_true(y > 0, g, out)

    return map_entries(part, g, y)  # type: ignore[no-any-return]


def where_true(hit: Array, v: Array, out: Array | None = None) -> Array:
    """v where ``hit``, else 0, whatever v is there; computed bitwise, as fast as v · hit, which makes NaN of infinity · 0."""
    if v.dtype.kind != "f" or v.itemsize > 8:
        return np.where(hit, v, v.dtype.type(0))
    out = empty_like(v) if out is None else out
    bits = out.view(f"i{v.itemsize}")
    bits[...] = np.negative(hit.view(np.int8))  # 0 or -1, all bits set
    np.bitwise_and(bits, v.view(bits.dtype), out=bits)
    return out
