"""References to an array's memory, which decide whether a result must be copied before it is returned."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def references(array: Any) -> int:
    """The number of references to ``array``, to be compared with HELD_ONCE."""
    return sys.getrefcount(array)


_sample = [np.empty(0)]
HELD_ONCE = references(_sample[0])  # of an array with a single owner, when the argument is an expression, as here


def exclusive(x: Any) -> bool:
    """Whether ``x`` is the only way to its memory: not a view, or the only view of its base."""
    if x.base is None:
        return True
    if not isinstance(x.base, np.ndarray):
        return False
    return references(x.base) <= HELD_ONCE + getattr(x.base, "pooled", 0)


def count(array: Any) -> int:
    """The number of references to ``array``, counted inside a function that received it as an argument."""
    return sys.getrefcount(array)


def _fresh() -> int:
    array = np.empty(0)
    return count(array)


LOCAL_REFERENCES = _fresh()  # of an array that one local variable holds


def own(x: Any) -> Any:
    """``x``, a variable of the caller, if it is writable and nothing else refers to its memory; else a copy.

    Objects that are not arrays pass unchanged.
    """
    if type(x) is not np.ndarray or (x.flags.writeable and sys.getrefcount(x) <= LOCAL_REFERENCES and exclusive(x)):
        return x
    return np.array(x, order="K")
