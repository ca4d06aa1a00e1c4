"""Memory for large arrays, used again: fresh pages cost more than what is written into them.

An array is given out as a view of a block of bytes. While anybody holds that view, or a view of it, the block counts
more references than the pool's own; afterwards it is free for the next array of about its size. The pool
never blocks: while another thread, or the code that a signal handler interrupted, uses it, memory is allocated anew.
"""

from __future__ import annotations

import sys
import threading
from math import prod
from typing import Any

import numpy as np

from minigraph.kernels.window import Array


class Block(np.ndarray[Any, Any]):
    """A block of bytes of the pool, which itself holds one reference to it."""

    pooled = 1


_sample = [np.empty(0)]
HELD_ONCE = sys.getrefcount(_sample[0])  # what an array counts that one list holds
POOLED_BYTES = 1 << 17  # size from which arrays come from the pool; the allocator reuses smaller ones itself
SPARE_BYTES = 1 << 26  # of free blocks that are kept when a new block is made
FILL: float | None = None  # the initial content of arrays, by which tests detect entries that were never written
_lock = threading.Lock()
_blocks: dict[int, list[Block]] = {}  # by their size


def forget() -> None:
    """Reset the lock in a forked child: another thread may have held it."""
    global _lock
    _lock = threading.Lock()


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array with undefined contents, as numpy.empty; a large one from the pool."""
    size = prod(shape) * np.dtype(dtype).itemsize
    if size < POOLED_BYTES or not _lock.acquire(blocking=False):
        array: Array = np.empty(shape, dtype)
    else:
        try:
            array = np.ndarray(shape, dtype, buffer=_block(size))
        finally:
            _lock.release()
    if FILL is not None and array.dtype.kind == "f":
        array.fill(FILL)
    return array


def empty_like(x: Array, dtype: Any = None, shape: tuple[int, ...] | None = None) -> Array:
    """As numpy.empty_like: the axes lie in memory in the order of x's."""
    order = in_memory(x)
    sides = x.shape if shape is None else shape
    array = empty(tuple(sides[i] for i in order), x.dtype if dtype is None else dtype)
    return array.transpose(np.argsort(order))


def in_memory(x: Array) -> list[int]:
    """The axes of x from the one with the largest steps in memory to the one with the smallest."""
    return sorted(range(x.ndim), key=lambda i: (-abs(x.strides[i]), i))


def _block(size: int) -> Block:
    """A free block of ``size`` bytes, or up to a half more; else a new one. Sizes are rounded up by at most an eighth."""
    step = 1 << size.bit_length() - 4
    size = -(-size // step) * step
    for near in range(size, size + size // 2 + 1, step):
        blocks = _blocks.get(near, ())
        for i in range(len(blocks)):
            if sys.getrefcount(blocks[i]) == HELD_ONCE:
                return blocks[i]
    _make_room(size)
    block = Block(size, np.uint8)
    _blocks.setdefault(size, []).append(block)
    return block


def _make_room(size: int) -> None:
    """Release ``size`` bytes of free blocks where there are more than SPARE_BYTES, so that the pool does not grow."""
    free = [
        (blocks, i)
        for blocks in _blocks.values()
        for i in range(len(blocks))
        if sys.getrefcount(blocks[i]) == HELD_ONCE
    ]
    spare = sum(blocks[i].nbytes for blocks, i in free)
    for blocks, i in reversed(free):  # from the end of each list, so that numbers stay
        if size <= 0 or spare <= SPARE_BYTES:
            return
        size, spare = size - blocks[i].nbytes, spare - blocks[i].nbytes
        del blocks[i]
