"""Find modules, parameters and buffers inside plain containers and wrapped functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from typing import Any

import numpy as np

HOLD_NOTHING = frozenset({bool, bytes, complex, float, int, np.dtype, range, slice, str, type(None)})  # hold nothing


def parts_in(value: Any, kinds: tuple[type, ...]) -> Iterator[Any]:
    """The instances of ``kinds`` that ``value`` is, wraps, or holds in containers within containers."""
    stack, seen = [value], {}
    while stack:
        x = stack.pop()
        if id(x) in seen:
            continue
        seen[id(x)] = x  # held on to, so that no other object gets this id
        if isinstance(x, kinds):
            yield x
        else:
            stack.extend(part for part in _inside(x) if type(part) not in HOLD_NOTHING)


def _inside(x: Any) -> Iterable[Any]:
    if isinstance(x, Mapping):
        return [*x.keys(), *x.values()]
    if isinstance(x, np.ndarray):
        return x.ravel() if x.dtype.hasobject else ()
    if hasattr(x, "__wrapped__"):  # a checkpoint or another decorated function
        return (x.__wrapped__,)
    return x if isinstance(x, (Sequence, Set, ValuesView)) else ()
