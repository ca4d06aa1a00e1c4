"""oneDNN's primitives as functions of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import Structure, c_float, c_int, c_void_p
from enum import IntEnum
from functools import cache
from math import prod
from typing import Any

import numpy as np

from minigraph.kernels.numpy import layout
from minigraph.kernels.numpy.memory import empty
from minigraph.kernels.numpy.threads import equal_slices, scratch
from minigraph.kernels.onednn.library import LIBRARY, PROBLEM, USER_SCRATCHPAD, Library, Unsupported
from minigraph.kernels.window import Array

if LIBRARY is None:  # the package imports its kernels only where there is one
    raise ImportError(PROBLEM)
library: Library = LIBRARY


class Argument(IntEnum):
    """The arguments of primitives, by their numbers in dnnl_types.h."""

    SRC = 1
    SRC_1 = 2
    DST = 17
    WEIGHTS = 33
    MEAN = 49
    VARIANCE = 50
    SCALE = 51
    SHIFT = 52
    WORKSPACE = 64
    SCRATCHPAD = 80
    DIFF_SRC = 129
    DIFF_DST = 145
    DIFF_WEIGHTS = 161
    DIFF_SCALE = 255
    DIFF_SHIFT = 256


# Kinds of propagation, from dnnl_types.h.
TRAINING, INFERENCE, BACKWARD = map(c_int, (64, 96, 128))
_IN_ORDER = c_int(1)
_ALIGNMENT = 64
PART_ENTRIES = 1 << 20
MOST_KEPT = 1024  # primitives of each kind, about 10 kB each


class _Argument(Structure):
    _fields_ = [("number", c_int), ("memory", c_void_p)]


@cache
def accumulating() -> Any:
    """Attributes of a primitive whose result is added to what is there."""
    attributes, steps = library.make("primitive_attr_create"), library.make("post_ops_create")
    library.call("primitive_attr_set_scratchpad_mode", attributes, USER_SCRATCHPAD)
    library.call("post_ops_append_sum", steps, c_float(1), c_int(0), c_int(0))
    library.call("primitive_attr_set_post_ops", attributes, steps)
    return attributes


class OneThread:
    """A context in which oneDNN runs on this thread alone; a class, which takes half the time of a generator."""

    def __enter__(self) -> None:
        self.before = library.threads()
        library.limit(1)

    def __exit__(self, *error: object) -> None:
        library.limit(self.before)


def images(n: int, channels: int, size: tuple[int, ...]) -> Any:
    """The description of images (n, channels, *size), channels last in memory."""
    strides = [prod(size) * channels, 1, *(prod(size[i + 1 :]) * channels for i in range(len(size)))]
    return library.layout((n, channels, *size), strides)


def channels_last(x: Array) -> Array:
    """x (N, C, *n), copied unless its channels lie last in memory."""
    if layout.channels_last(x).flags.c_contiguous:
        return x
    copy, _ = layout.empty(x.shape[0], x.shape[1], x.shape[2:], x.dtype)
    copy[...] = x
    return copy


def parts(x: Array) -> list[slice]:
    """The first axis of x in parts of enough entries to be worth a call."""
    return equal_slices(len(x), PART_ENTRIES * len(x) // x.size)


def finite(x: Array) -> bool:
    """Whether x, channels last, has finite entries only, and none above about 1e19."""
    flat = layout.channels_last(x).reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(flat @ flat))


def rows_at(x: Array) -> Callable[[slice], int]:
    """The address of each part of x, found once: to ask an array for it takes longer than to set it."""
    start: int = x.__array_interface__["data"][0]
    step = x.strides[0]
    return lambda part: start + part.start * step


class Primitive:
    """A primitive as a function of arrays: they are its ``takes``, and lie in memory as described to it.

    Any number of threads may call it at once. Raises Unsupported where oneDNN has only its slow reference.
    """

    def __init__(
        self, name: str, *arguments: Any, numbers: Sequence[int], attributes: Any = library.attributes
    ) -> None:
        self.name, self.numbers = name, numbers
        with OneThread():
            self.problem = library.make(f"{name}_primitive_desc_create", *arguments, attributes)
            self.implementation = library.implementation(self.problem)
            if "ref" in self.implementation:
                raise Unsupported(f"oneDNN {library.version}: {name}: only by {self.implementation}")
            self._primitive = library.make("primitive_create", self.problem)
        self._scratch = library.size(self.layout(Argument.SCRATCHPAD))
        self._free: list[Any] = []  # sets of memory objects, each for one call at a time

    def layout(self, number: int) -> Any:
        """The description of an argument."""
        return library.argument(self.problem, number)

    def empty(self, number: int, dtype: Any = np.float32) -> Array:
        """Memory for an argument in the layout that the primitive has chosen."""
        return empty((library.size(self.layout(number)) // np.dtype(dtype).itemsize,), dtype)

    def _memories(self) -> tuple[list[Any], Any, Any]:
        numbers = [*self.numbers, Argument.SCRATCHPAD] if self._scratch else self.numbers
        memories = [library.make("memory_create", self.layout(n), library.engine, c_void_p()) for n in numbers]
        pairs = [_Argument(n, m.pointer) for n, m in zip(numbers, memories, strict=True)]
        return memories, (_Argument * len(pairs))(*pairs), library.make("stream_create", library.engine, _IN_ORDER)

    def __call__(self, *arrays: Array | int) -> None:
        """Run it on arrays or their addresses."""
        try:
            used = self._free.pop()
        except IndexError:
            used = self._memories()
        memories, arguments, stream = used
        set_handle = library.set_handle
        for memory, array in zip(memories, arrays):  # noqa: B905  the scratchpad is left
            set_handle(memory, array if isinstance(array, int) else array.__array_interface__["data"][0])
        if self._scratch:
            work = scratch("onednn", (self._scratch + _ALIGNMENT,), np.uint8)
            library.set_handle(memories[-1], -(-work.__array_interface__["data"][0] // _ALIGNMENT) * _ALIGNMENT)
        with OneThread():
            status = library.execute(self._primitive, stream, len(arguments), arguments)
        library.check(self.name, status)
        self._free.append(used)
