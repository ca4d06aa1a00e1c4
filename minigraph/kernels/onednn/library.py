"""oneDNN's C API by ctypes: the library is found, checked and loaded, and its primitives become functions of arrays.

Nothing is compiled and nothing is shipped: the library is that of the package ``onednn-cpu-gomp`` (``pip install
minigraph[fast]``), the environment's, the system's, or the file that the variable MINIGRAPH_ONEDNN names. Where there is
none that can be used, no kernel of it is registered, and PROBLEM tells why.

Every call runs on one thread: the kernels share their work among the threads of minigraph. So results do not depend
on the number of threads, and no thread of OpenMP is ever started, which would hang in a forked child.
"""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int64, c_size_t, c_uint, c_void_p
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE, VARIABLE = "onednn-cpu-gomp", "MINIGRAPH_ONEDNN"
NAMES = {"darwin": ("libdnnl.3.dylib",)}  # elsewhere libdnnl.so.3

# From dnnl_types.h
_F32, _ANY_LAYOUT, _CPU, _IMPLEMENTATION, USER_SCRATCHPAD = c_int(3), c_int(1), c_int(1), c_int(8), c_int(1)
_OF_ARGUMENT, _SEQUENTIAL, _OPENMP = 255, 1, 2
_STATUS = {1: "out of memory", 2: "invalid arguments", 3: "not implemented"}
_INSTRUCTIONS = {
    0x1: "SSE4.1", 0x3: "AVX", 0x7: "AVX2", 0xF: "AVX2-VNNI", 0x1F: "AVX2-VNNI-2", 0x27: "AVX-512", 0x67: "AVX-512-VNNI",
    0xE7: "AVX-512-BF16", 0x1EF: "AVX-512-FP16", 0xFEF: "AMX", 0x1FEF: "AMX-FP16",
}  # fmt: skip


class Unsupported(RuntimeError):
    """oneDNN cannot compute a problem, or only with its slow reference implementation."""


class _Version(Structure):
    _fields_ = [
        ("major", c_int), ("minor", c_int), ("patch", c_int), ("hash", c_char_p), ("cpu_runtime", c_uint),
        ("gpu_runtime", c_uint),
    ]  # fmt: skip


def dims(sides: Sequence[int]) -> Any:
    """Sides as oneDNN takes them."""
    return (c_int64 * 12)(*sides)


class Handle:
    """An object of oneDNN, destroyed with this."""

    def __init__(self, destroy: Any) -> None:
        self._as_parameter_, self._destroy = c_void_p(), destroy

    @property
    def pointer(self) -> int | None:
        return self._as_parameter_.value

    def __del__(self) -> None:
        self._destroy(self._as_parameter_)


class Library:
    """oneDNN, loaded: its version, the instructions that it uses, and its calls."""

    def __init__(self, path: str) -> None:
        """Raises OSError where ``path`` is no library that can be loaded and used."""
        self.path = path
        try:
            self._calls, quick = ctypes.CDLL(path), ctypes.PyDLL(path)  # quick: calls shorter than releasing the GIL
        except OSError as error:
            raise OSError(f"cannot be loaded: {error}") from None
        try:
            self._calls.dnnl_version.restype = POINTER(_Version)
            version = self._calls.dnnl_version().contents
            self.version = f"{version.major}.{version.minor}.{version.patch}"
            if version.major != 3:
                raise OSError(f"is oneDNN {self.version}; wanted 3.x")
            if version.cpu_runtime not in (_OPENMP, _SEQUENTIAL):
                raise OSError(f"is oneDNN {self.version} with threads of its own; wanted a build for OpenMP")
            self.execute, self.set_handle = self._calls.dnnl_primitive_execute, quick.dnnl_memory_set_data_handle
            self.execute.argtypes = [c_void_p, c_void_p, c_int, c_void_p]
            self.set_handle.argtypes = [c_void_p, c_void_p]
            self._size, self._query = self._calls.dnnl_memory_desc_get_size, self._calls.dnnl_primitive_desc_query_md
            self._size.restype, self._size.argtypes = c_size_t, [c_void_p]
            self._query.restype, self._query.argtypes = c_void_p, [c_void_p, c_int, c_int]
            openmp = version.cpu_runtime == _OPENMP
            self.threads = quick.omp_get_max_threads if openmp else lambda: 1
            self.limit = quick.omp_set_num_threads if openmp else lambda n: None
            self.instructions = _INSTRUCTIONS.get(self._calls.dnnl_get_effective_cpu_isa(), "other instructions")
            self.engine = self.make("engine_create", _CPU, c_size_t(0))
            self.attributes = self.make("primitive_attr_create")
            self.call("primitive_attr_set_scratchpad_mode", self.attributes, USER_SCRATCHPAD)
        except AttributeError as error:
            raise OSError(f"lacks a function of oneDNN 3: {error}") from None

    def call(self, name: str, *arguments: Any) -> None:
        """Call ``dnnl_name``. Raises MemoryError, Unsupported, or RuntimeError, which names the call."""
        self.check(name, getattr(self._calls, f"dnnl_{name}")(*arguments))

    def check(self, name: str, status: int) -> None:
        """Raise the error of a call that returned ``status``, unless it is 0."""
        if status:
            error = {1: MemoryError, 3: Unsupported}.get(status, RuntimeError)
            raise error(f"oneDNN {self.version}: {name}: {_STATUS.get(status, f'status {status}')}")

    def make(self, name: str, *arguments: Any) -> Handle:
        """The object that ``dnnl_name`` makes."""
        kind = "primitive_desc" if "primitive_desc_" in name else name.partition("_create")[0]
        made = Handle(getattr(self._calls, f"dnnl_{kind}_destroy"))
        self.call(name, byref(made._as_parameter_), *arguments)
        return made

    def layout(self, shape: Sequence[int], strides: Sequence[int] | None = None) -> Handle:
        """The description of a float32 array with these strides in entries; without them in any layout."""
        sides = c_int(len(shape)), dims(shape), _F32
        if strides is None:
            return self.make("memory_desc_create_with_tag", *sides, _ANY_LAYOUT)
        return self.make("memory_desc_create_with_strides", *sides, dims(strides))

    def argument(self, problem: Handle, number: int) -> Any:
        """The description of an argument of a primitive."""
        return c_void_p(self._query(problem, _OF_ARGUMENT, number))

    def equal(self, layout: Any, other: Any) -> bool:
        """Whether two descriptions are the same."""
        return bool(self._calls.dnnl_memory_desc_equal(layout, other))

    def size(self, layout: Any) -> int:
        """The bytes of an array of that description."""
        return int(self._size(layout))

    def implementation(self, problem: Handle) -> str:
        """The name of the implementation that computes it, such as "jit:avx512_core"."""
        name = c_char_p()
        self.call("primitive_desc_query", problem, _IMPLEMENTATION, c_int(0), byref(name))
        return (name.value or b"").decode()


def candidates() -> list[str]:
    """Where the library may be: in the package, the environment, the system; or only what the variable names."""
    if given := os.environ.get(VARIABLE, "").strip():
        return [] if given == "off" else [str(Path(given).resolve()) if Path(given).exists() else given]
    names = NAMES.get(sys.platform, ("libdnnl.so.3",))
    try:
        files = metadata.distribution(PACKAGE).files or []
        found = [str(Path(str(file.locate())).resolve()) for file in files if file.name in names]
    except metadata.PackageNotFoundError:
        found = []
    found += [str(path) for name in names if (path := Path(sys.prefix, "lib", name)).exists()]
    return [*dict.fromkeys(found), *names]  # a name alone is looked for where the system has its libraries


def load() -> tuple[Library | None, str]:
    """The first library of the candidates that can be used, or None; and what was wrong with the others."""
    if sys.maxsize < 2**32:
        return None, "oneDNN needs 64 bits"
    problems = []
    for path in candidates():
        try:
            return Library(path), ""
        except (OSError, RuntimeError, MemoryError) as error:
            problems.append(f"{path} {error}")
    if os.environ.get(VARIABLE):
        return None, "; ".join(problems) or f"{VARIABLE} is off"
    return None, problems[0] if len(problems) > 1 else "oneDNN is not installed: pip install minigraph[fast]"


LIBRARY, PROBLEM = load()
if PROBLEM and os.environ.get(VARIABLE, "off") != "off":
    warnings.warn(f"{VARIABLE}: {PROBLEM}; the kernels in NumPy are used", RuntimeWarning, stacklevel=2)
