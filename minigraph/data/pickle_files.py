"""The part of Python's pickle format that CIFAR's files use, read without the module pickle: nothing can be executed.

The format is described in Python's module pickletools. Opcodes are those of protocols 2 to 4 for a dictionary of numbers,
texts, lists of these, and arrays of unsigned bytes.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.files import decoding, open_regular, read_blocks, shortened

FORMAT = "a pickle of CIFAR's Python version"
NUMBERS = {b"K": "<B", b"M": "<H", b"J": "<i"}  # opcode: format of the number that follows
BYTES = {b"U": "<B", b"T": "<i", b"C": "<B", b"B": "<I"}  # opcode: format of the length that follows
TEXTS = {b"X": "<I", b"\x8c": "<B"}
PUT = {b"q": "<B", b"r": "<I"}  # opcode: format of a place in the memo
GET = {b"h": "<B", b"j": "<I"}
IGNORED = {b"\x80": "<B", b"\x95": "<Q"}  # the protocol; a frame
CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}
TUPLES = {b")": 0, b"\x85": 1, b"\x86": 2, b"\x87": 3}
GLOBALS = {
    "_codecs.encode", "numpy.dtype", "numpy.ndarray",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
}  # fmt: skip


class _Global(str):
    """The name of a function or a class; it only stands for it."""


class _Pixels:
    """The dtype of unsigned bytes."""


class _Array:
    """An array, and None until its state has come."""

    value: Array | None = None


def read_pickle(path: Path, max_bytes: int) -> dict[str, Any]:
    """The dictionary of a pickle: numbers, bytes, texts, lists of these, and arrays of unsigned bytes, its keys as texts.

    Raises ValueError for anything else, and for a file of more than ``max_bytes``.
    """
    with open_regular(path, FORMAT) as file:
        content = read_blocks(file, max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"{path}: got more than {max_bytes} bytes; wanted {FORMAT}, which is smaller")
    with decoding(path, FORMAT):
        made = _Machine(content).run()
    if type(made) is not dict:
        raise ValueError(f"{path}: got a pickled {type(made).__name__}; wanted a dictionary")
    return {_text(key): value.value if isinstance(value, _Array) else value for key, value in made.items()}


class _Machine:
    """The stack of a pickle. Each object is made from bytes of the file, so that no object is larger than it."""

    def __init__(self, content: bytearray) -> None:
        self.content, self.at = memoryview(content), 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.encoded = 0

    def take(self, n: int) -> memoryview:
        """The next ``n`` bytes."""
        if not 0 <= n <= len(self.content) - self.at:
            raise ValueError(f"truncated at offset {len(self.content)}: wanted {n} bytes from offset {self.at}")
        self.at += n
        return self.content[self.at - n : self.at]

    def number(self, format: str) -> int:
        """The next number."""
        value: int = struct.unpack(format, self.take(struct.calcsize(format)))[0]
        return value

    def line(self) -> str:
        """The text up to the end of a line, of at most 100 bytes."""
        text, end, _ = bytes(self.content[self.at : self.at + 100]).partition(b"\n")
        self.take(len(text) + len(end))
        return text.decode("latin-1")

    def since_mark(self) -> list[Any]:
        """What was put on the stack since the last mark, taken from it."""
        begin = self.marks.pop()
        items = self.stack[begin:]
        del self.stack[begin:]
        return items

    def run(self) -> Any:
        """The object that the file ends with."""
        push, pop = self.stack.append, self.stack.pop
        while (code := bytes(self.take(1))) != b".":
            if code in NUMBERS:
                push(self.number(NUMBERS[code]))
            elif code == b"\x8a":  # a long of Python 2
                push(int.from_bytes(self.take(self.number("<B")), "little", signed=True))
            elif code in BYTES:
                push(bytes(self.take(self.number(BYTES[code]))))
            elif code in TEXTS:
                push(str(self.take(self.number(TEXTS[code])), "utf-8"))
            elif code in PUT:
                self.memo[self.number(PUT[code])] = self.stack[-1]
            elif code == b"\x94":
                self.memo[len(self.memo)] = self.stack[-1]
            elif code in GET:
                push(self.memo[self.number(GET[code])])
            elif code in CONSTANTS:
                push(CONSTANTS[code])
            elif code in IGNORED:
                self.number(IGNORED[code])
            elif code == b"(":
                self.marks.append(len(self.stack))
            elif code == b"}":
                push({})
            elif code == b"]":
                push([])
            elif code in TUPLES:
                push(tuple(pop() for _ in range(TUPLES[code]))[::-1])
            elif code == b"t":
                push(tuple(self.since_mark()))
            elif code in (b"a", b"e"):
                items = [pop()] if code == b"a" else self.since_mark()
                _extend(self.stack[-1], items)
            elif code in (b"s", b"u"):
                items = [pop(), pop()][::-1] if code == b"s" else self.since_mark()
                _update(self.stack[-1], items)
            elif code == b"c":
                push(_global(self.line(), self.line()))
            elif code == b"\x93":
                name, module = pop(), pop()
                push(_global(module, name))
            elif code == b"R":
                given, function = pop(), pop()
                push(self.call(function, given))
            elif code == b"b":
                state = pop()
                _fill(self.stack[-1], state)
            else:
                raise ValueError(f"got opcode {code!r} at offset {self.at - 1}; wanted one that CIFAR's files use")
        return pop()

    def call(self, function: Any, given: Any) -> Any:
        """What stands for the result of a function; the functions themselves are never called."""
        name = function if isinstance(function, _Global) else ""
        if name.endswith("_reconstruct"):
            return _Array()
        first = given[0] if type(given) is tuple and given else None
        if name == "numpy.dtype":
            if first not in ("u1", b"u1"):
                raise ValueError(f"got an array of dtype {_shown(first)}; wanted unsigned bytes, 'u1'")
            return _Pixels()
        if name == "_codecs.encode" and type(first) is str and given[1:] in (("latin1",), (b"latin1",)):
            self.encoded += len(first)
            if self.encoded > len(self.content):
                raise ValueError("a string is encoded more than once")
            return first.encode("latin-1")
        raise ValueError(f"got a call to {_shown(function)}; wanted only arrays and bytes")


def _global(module: Any, name: Any) -> _Global:
    full = f"{module}.{name}" if type(module) is type(name) is str else ""
    if full not in GLOBALS:
        raise ValueError(
            f"got a reference to {shortened(full, 100)}, which could run code; wanted only arrays and bytes"
        )
    return _Global(full)


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is not list or not all(type(item) in (int, bytes, str) for item in items):
        raise ValueError("got a list of other types; wanted lists of integers and strings")
    target.extend(items)


def _update(target: Any, items: list[Any]) -> None:
    keys, values = items[::2], items[1::2]
    if type(target) is not dict or len(keys) != len(values) or not all(type(key) in (bytes, str) for key in keys):
        raise ValueError("got keys of other types; wanted a dictionary with strings as keys")
    for value in values:
        if not (value is None or type(value) in (bool, int, bytes, str, list, _Array)):
            raise ValueError(
                f"got a {type(value).__name__} in the dictionary; wanted numbers, strings, lists and arrays"
            )
    target.update(zip(keys, values, strict=True))


def _fill(target: Any, state: Any) -> None:
    """Give an array its state: (version, shape, dtype, whether in Fortran's order, the bytes)."""
    if type(target) is _Pixels:
        return
    if type(target) is not _Array:
        raise ValueError(f"got a state for {_shown(target)}; wanted states for arrays only")
    _, shape, dtype, fortran, pixels = state
    if type(dtype) is not _Pixels or type(pixels) is not bytes:
        raise ValueError("got an array without its dtype or its bytes; wanted unsigned bytes")
    if (
        len(shape) != 2
        or not all(type(n) is int for n in shape)
        or shape[0] * shape[1] != len(pixels)
        or min(shape) < 0
    ):
        raise ValueError(f"got {len(pixels)} bytes, which do not fit the array's shape; wanted (N, pixels)")
    target.value = np.ndarray(shape, np.uint8, pixels, order="F" if fortran else "C")


def _shown(value: Any) -> str:
    """A text as it is; of other values only the type, since printing them could take forever."""
    return repr(shortened(value, 40)) if isinstance(value, (str, bytes)) else type(value).__name__


def _text(key: bytes | str) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else key
