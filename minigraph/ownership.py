"""References to an array's memory, which decide whether a result must be copied before it is returned."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def references(array: Any) -> int:
    """How many references there are to ``array``, to be compared with ONE."""
    return sys.getrefcount(array)


_sample = [np.empty(0)]
ONE = references(_sample[0])  # what an array counts that one place holds, asked as here: by what that place gives


def exclusive(x: Any) -> bool:
    """Whether ``x`` is the only way to its memory: not a view, or the only view of its base."""
    if x.base is None:
        return True
    if not isinstance(x.base, np.ndarray):
        return False
    return references(x.base) <= ONE + getattr(x.base, "pooled", 0)


def count(array: Any) -> int:
    """How many references there are to ``array``, asked by a function that was given it."""
    return sys.getrefcount(array)


def _fresh() -> int:
    array = np.empty(0)
    return count(array)


FRESH = _fresh()  # what an array counts that one local variable holds


def own(x: Any) -> Any:
    """``x``, a variable of the caller's, if nothing else refers to its memory and it can be written; else a copy.

    What is no array passes.
    """
    if type(x) is not np.ndarray or (x.flags.writeable and sys.getrefcount(x) <= FRESH and exclusive(x)):
        return x
    return np.array(x, order="K")
