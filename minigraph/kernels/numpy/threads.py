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
from contextlib import contextmanager, nullcontext, suppress
from contextvars import Context, copy_context
from functools import cached_property
from math import prod
from operator import index
from queue import SimpleQueue
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


class _Pool:
    """Threads, started when first needed, and where they take their jobs from."""

    def __init__(self) -> None:
        self.threads, self.inbox = list[threading.Thread](), SimpleQueue[Any]()


_pool = _Pool()  # in a child after a fork a new one
_wanted = 0  # not yet asked for: as many as there are cores


def _forget() -> None:
    global _lock, _pool
    _lock, _pool = threading.RLock(), _Pool()
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
    """Whether this thread works on a part already, with BLAS at one thread."""
    return getattr(_local, "busy", False)


class Job:
    """The parts of one call of ``parallel``, taken one after another by the threads that work on it."""

    def __init__(self, task: Callable[[Any], Any], parts: list[Any]) -> None:
        self.task, self.parts, self.results = task, parts, [None] * len(parts)
        self.left = deque(range(len(parts)))
        self.begun: list[None] = []  # an entry for each helper, made before it looks for a part
        self.ended: SimpleQueue[BaseException | None] = SimpleQueue()  # what each helper ended with

    def take(self) -> None:
        """Parts one after another, until none is left. After an error none is left for others either."""
        try:
            while self.left:
                try:
                    i = self.left.popleft()
                except IndexError:  # another thread was faster
                    return
                self.results[i] = self.task(self.parts[i])
        except BaseException:
            self.left.clear()
            raise

    def help(self) -> None:
        """The same in a thread of the pool."""
        self.begun.append(None)
        error: BaseException | None = None
        try:
            self.take()
        except BaseException as raised:
            error = raised
        self.ended.put(error)

    def finish(self) -> list[Any]:
        """Take parts, and wait for the helpers that have begun; those that have not will find nothing left."""
        try:
            self.take()
        finally:
            errors = list[BaseException | None]()
            while len(errors) < len(self.begun):  # one may begin in the meantime
                errors.append(self.ended.get())
            results = self.results
            del self.task, self.parts, self.results  # which a helper that has not begun must not hold
        for error in errors:
            if error is not None:
                raise error
        return results


def parallel(
    task: Callable[[Any], Any], parts: Iterable[Any], shared: bool = True, uses_blas: bool = True
) -> list[Any]:
    """``task(part)`` for every part, in order, computed on all threads or on this.

    BLAS is held to one thread meanwhile, unless the task does not use it, which saves time. The first error of a task
    is raised when all have stopped.
    """
    parts = list(parts)
    others = min(threads(), len(parts)) - 1 if shared else 0
    if busy() or not (others or uses_blas):
        return [task(part) for part in parts]
    with _limited() if uses_blas else nullcontext():
        job = Job(task, parts)
        with suppress(RuntimeError):  # where no thread can be started: when the interpreter ends
            for _ in range(others):
                _inbox(others).put((job, copy_context()))
        return job.finish()


@contextmanager
def _limited() -> Iterator[None]:
    """BLAS on one thread; and this thread busy, so that products inside, or in a signal handler, are not shared again."""
    with blas.single_threaded():
        _local.busy = True
        try:
            yield
        finally:
            _local.busy = False


def _inbox(n: int) -> SimpleQueue[tuple[Job, Context]]:
    """Where a pool of at least n threads takes its jobs from."""
    with _lock:
        while len(_pool.threads) < n:
            thread = threading.Thread(target=_serve, args=(_pool.inbox,), name="minigraph", daemon=True)
            thread.start()
            _pool.threads.append(thread)
    return _pool.inbox


def _serve(inbox: SimpleQueue[tuple[Job, Context]]) -> None:
    """Help with the jobs that arrive, in their contexts, which hold NumPy's handling of errors."""
    blas.limit_here()
    _local.busy = True
    while True:
        job, context = inbox.get()
        context.run(job.help)
        del job, context  # not to hold their arrays until the next


def slices(n: int, step: int) -> list[slice]:
    """0 … n in slices of ``step``, the last one shorter."""
    step = max(1, step)
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]


def equal_slices(n: int, most: int, times: int = 1) -> list[slice]:
    """0 … n in equal slices of at most ``most``, even in number over all ``times``, so that two threads end together."""
    count = -(-n // max(most, 1))
    count = min(n, count + (count > 1 and count * times % 2))
    return [slice(i * n // count, (i + 1) * n // count) for i in range(count)]


def parallel_slices(task: Callable[[slice], Any], n: int, entries: int, uses_blas: bool = True) -> list[Any]:
    """``task`` for equal parts of 0 … n, on all threads if they stand for enough ``entries``."""
    return parallel(task, equal_slices(n, n * PART_ENTRIES // max(entries, 1)), entries >= SHARED_ENTRIES, uses_blas)


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
