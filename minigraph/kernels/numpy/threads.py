"""Kernels on several cores: parts of the work in a pool of threads, each with BLAS at one thread.

NumPy lets other threads run while it computes on arrays. So the unit of work is a call on many entries, and BLAS
with threads of its own would only get in the way. What the parts are depends on the shapes alone, never on the number
of threads, and what they add up is added in order: results are the same for any number.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import cached_property
from math import prod
from operator import index
from typing import Any

import numpy as np

from minigraph.kernels.numpy import memory
from minigraph.kernels.numpy.memory import empty_like
from minigraph.kernels.window import Array

PART_ENTRIES = 1 << 18  # entries of a part of elementwise work, which stay in cache
SHARED_ENTRIES = 1 << 20  # entries from which elementwise work is shared among threads

_lock = threading.RLock()  # a signal handler may compute where it interrupts who holds it
_local = threading.local()  # .busy: this thread works on a part; .buffers: its scratch


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_pool: ThreadPoolExecutor | None = None  # made when first needed, and again in a child after a fork
_wanted = 0  # not yet asked for: as many as there are cores


def _forget() -> None:
    global _lock, _pool
    _lock, _pool = threading.RLock(), None
    memory.forget()
    for library, n in blas.before.values():
        library.set_num_threads(n)
    blas.inside, blas.limited = 0, False
    blas.before.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def threads(n: int | None = None) -> int:
    """The number of threads that kernels use; with ``n``, set it. The default is the number of cores.

    Results do not depend on it. Raises ValueError for n < 1, TypeError unless n is an integer.
    """
    global _wanted
    if n is not None:
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"threads: got {n!r}; wanted an integer")
        if index(n) < 1:
            raise ValueError(f"threads: got {n}; wanted at least 1")
        _wanted = index(n)
    return _wanted or _cores()


# --- BLAS -------------------------------------------------------------------------------------------


class _Blas:
    """Limits BLAS to one thread: the first to enter records the previous limit, the last to leave restores it.

    Each step can be interrupted, on the same thread, by another who enters and leaves.
    """

    def __init__(self) -> None:
        self.inside, self.limited, self.before = 0, False, dict[str, tuple[Any, int]]()

    @cached_property
    def libraries(self) -> list[Any]:
        from threadpoolctl import ThreadpoolController  # looks through all libraries that are loaded by now

        return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]

    @contextmanager
    def single_threaded(self) -> Iterator[None]:
        with _lock:
            self.inside += 1
            if not self.limited:
                for library in self.libraries:
                    self.before.setdefault(library.filepath, (library, library.num_threads))
                    self.limit(library, 1)
                self.limited = True
        try:
            yield
        finally:
            with _lock:
                self.inside -= 1
                if not self.inside:
                    self.limited = False
                    for library, n in list(self.before.values()):
                        self.limit(library, n)
                    self.before.clear()

    @staticmethod
    def limit(library: Any, n: int) -> None:
        """From now on n threads in ``library``, from whatever thread this is asked; who asks holds the lock."""
        release = getattr(library, "clear_controlling_thread", lambda force: None)
        release(force=True)  # else threadpoolctl heeds the first thread alone that ever asked
        library.set_num_threads(n)
        release(force=True)

    def limit_here(self) -> None:
        """One thread for good in libraries that have a limit for each thread, in a thread of ours."""
        for library in self.libraries:
            if getattr(library, "threading_layer", "") == "openmp":
                library.set_num_threads(1)


blas = _Blas()


# --- work -------------------------------------------------------------------------------------------


def busy() -> bool:
    """Whether this thread works on a part already."""
    return getattr(_local, "busy", False)


def parallel(task: Callable[[Any], Any], parts: Iterable[Any], shared: bool = True) -> list[Any]:
    """``task(part)`` for every part, in order, computed on all threads or on this.

    The first error of a task is raised when all have stopped.
    """
    parts = list(parts)
    if busy():
        return [task(part) for part in parts]
    others = min(threads(), len(parts)) - 1 if shared else 0
    queue, results = deque(range(len(parts))), [None] * len(parts)
    work = [(task, parts, results)]  # emptied at the end: a thread that has not begun by then must not hold the arrays

    def take() -> None:
        """Parts one after another, until all are taken."""
        was, _local.busy = busy(), True
        try:
            while work and queue:
                try:
                    i = queue.popleft()
                except IndexError:  # another thread was faster
                    return
                task, parts, results = work[0]
                results[i] = task(parts[i])
        except BaseException:
            queue.clear()
            raise
        finally:
            _local.busy = was

    futures: list[Future[None]] = []
    with blas.single_threaded():
        _local.busy = True  # so that a signal handler that computes does not wait for the pool that it has interrupted
        try:
            with suppress(RuntimeError):  # of a pool that takes no more, when the interpreter ends
                for _ in range(others):
                    futures.append(_workers(others).submit(copy_context().run, take))
            take()
        finally:
            wait([future for future in futures if not future.cancel()])
            work.clear()
            _local.busy = False
    for future in futures:
        if not future.cancelled():
            future.result()
    return results


def _workers(n: int) -> ThreadPoolExecutor:
    """The pool, of at least n threads."""
    global _pool
    if _pool is None or _pool._max_workers < n:
        _pool = ThreadPoolExecutor(n, "minigraph", blas.limit_here)
    return _pool


def slices(n: int, step: int) -> list[slice]:
    """0 … n in slices of ``step``, the last one shorter."""
    step = max(1, step)
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]


def equal_slices(n: int, most: int, times: int = 1) -> list[slice]:
    """0 … n in equal slices of at most ``most``, even in number over all ``times``, so that two threads end together."""
    count = -(-n // max(most, 1))
    count = min(n, count + (count > 1 and count * times % 2))
    return [slice(i * n // count, (i + 1) * n // count) for i in range(count)]


def parallel_slices(task: Callable[[slice], Any], n: int, entries: int) -> list[Any]:
    """``task`` for equal parts of 0 … n, on all threads if they stand for enough ``entries``."""
    return parallel(task, equal_slices(n, n * PART_ENTRIES // max(entries, 1)), entries >= SHARED_ENTRIES)


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> Array:
    """An array of this thread's own to work in, its contents undefined; the same memory again for the same name.

    New memory where the last array of that name is still in use, by a kernel that a signal handler has interrupted.
    """
    buffers = _local.__dict__.setdefault("buffers", {})
    size = prod(shape) * np.dtype(dtype).itemsize
    buffer = buffers.get(name)
    if buffer is None or buffer.size < size:
        buffer = buffers[name] = np.empty(size, np.uint8)
    elif sys.getrefcount(buffer) > _UNUSED:
        buffer = np.empty(size, np.uint8)
    array: Array = buffer[:size].view(dtype).reshape(shape)
    if memory.FILL is not None and array.dtype.kind == "f":
        array.fill(memory.FILL)
    return array


def _references() -> int:
    """What a free buffer counts, asked as in ``scratch``."""
    buffers = {"": np.empty(0)}
    buffer = buffers.get("")
    return sys.getrefcount(buffer)


_UNUSED = _references()


def parallel_samples(function: Callable[..., Any], *xs: Any) -> Any:
    """``function(*xs)``, arrays (N, …) → array of xs' shape, each sample by itself, in parts of several samples."""
    if any(type(x) is not np.ndarray for x in xs) or not xs[0].size:
        return function(*xs)
    out = empty_like(xs[0], np.result_type(*xs))
    parallel_slices(lambda s: np.copyto(out[s], function(*[x[s] for x in xs])), len(out), out.size)
    return out
