"""What a value holds: parts of a module where ``parameters()`` does not look."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

import numpy as np

from minigraph.node import Node
from minigraph.op import Op

PLAIN = frozenset({bool, bytes, complex, float, int, np.dtype, range, slice, str, type(None)})  # hold nothing
MEMBERS = (list, tuple, set, frozenset, deque)
METHODS = (FunctionType, staticmethod, classmethod, property)
CLOSED = (type, ModuleType, BuiltinFunctionType, Node, Op)  # hold what is not a part of what holds them


def held(value: Any, kinds: tuple[type, ...]) -> Iterator[Any]:
    """The instances of ``kinds`` that ``value`` is, or leads to by containers, functions and attributes."""
    stack, seen = [value], {}
    while stack:
        x = stack.pop()
        if id(x) in seen:
            continue
        seen[id(x)] = x  # held on to, so that no other object gets this id
        if isinstance(x, kinds):
            yield x
        elif not isinstance(x, CLOSED):
            stack.extend(part for part in _inside(x) if type(part) not in PLAIN)


def _inside(x: Any) -> Iterable[Any]:
    if isinstance(x, (dict, MappingProxyType)):
        yield from [*x.keys(), *x.values()]
    elif isinstance(x, MEMBERS):
        yield from x
    elif isinstance(x, np.ndarray):
        yield from x.ravel() if x.dtype.hasobject else ()
    elif isinstance(x, partial):
        yield from (x.func, x.args, x.keywords)
    elif isinstance(x, MethodType):
        yield x.__self__
    elif isinstance(x, FunctionType):
        yield from (x.__defaults__, x.__kwdefaults__, x.__dict__)
        for cell in x.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:
                pass  # not filled yet
    elif hasattr(x, "__wrapped__"):  # a cached function
        yield x.__wrapped__
    library = type(x).__module__.partition(".")[0]
    if library not in sys.stdlib_module_names or library in ("collections", "types"):
        yield from attributes(x).values()


def attributes(x: Any) -> dict[str, Any]:
    """What ``x`` holds by name, in its dict and its slots."""
    own: dict[str, Any] = getattr(x, "__dict__", {})
    slots = [name for kind in type(x).__mro__ if "__slots__" in vars(kind) for name in _names(kind)]
    return {name: getattr(x, name) for name in slots if hasattr(x, name)} | own if slots else own


def _names(kind: Any) -> Iterator[str]:
    slots = (kind.__slots__,) if isinstance(kind.__slots__, str) else kind.__slots__
    return (name for name in slots if not name.startswith("__"))
