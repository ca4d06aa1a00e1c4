"""Recognise library code that would read a node as a plain array."""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType, FrameType

import numpy as np
from scipy import special


def module(frame: FrameType) -> str:
    """The name of the module whose code ``frame`` runs."""
    name: str = frame.f_globals.get("__name__", "")
    return name


LIBRARIES = ("numpy.", "scipy.")
# What takes Nodes as plain arrays: solvers, comparisons in tests, plots.
PLAIN = ("scipy.optimize", "scipy.integrate", "scipy.linalg", "scipy.sparse.linalg", "numpy.testing", "matplotlib")
# Functions in C have no Python frame: their reads appear to come from the caller.
_COMPILED = {name for library in (np, special) for name, f in vars(library).items() if isinstance(f, np.ufunc)}
_COMPILED |= {name for name, f in vars(np).items() if not hasattr(getattr(f, "_implementation", module), "__code__")}
_COMPILED |= {name for name in dir(np.random.Generator) if len(name) > 1 and not name.startswith("_")}
_COMPILED |= {"arange", "broadcast", "nditer", "operator", "reduce", "accumulate", "outer", "reduceat"}


def multiplies_sparse(frame: FrameType) -> bool:
    """Whether ``frame`` asks what is on the right of ``sparse @ node``."""
    return frame.f_code.co_name == "_matmul_dispatch" and module(frame).startswith("scipy.sparse.")


def takes_plain(frame: FrameType) -> bool:
    """Whether ``frame`` works for what takes Nodes as plain arrays."""
    if not _may_be_plain(module(frame)):
        return False
    at: FrameType | None = frame
    while at:
        if module(at).startswith(PLAIN) or at.f_code.co_qualname.startswith("_apply_over_batch"):  # of scipy.linalg
            return True
        if not module(at).startswith(LIBRARIES):
            break
        at = at.f_back
    return False


@lru_cache(1024)
def _may_be_plain(name: str) -> bool:
    return name.startswith((*LIBRARIES, *PLAIN))


def library_function(frame: FrameType) -> str:
    """The public library function on the stack above ``frame``; empty if ``frame`` is not library code."""
    if not module(frame).startswith(LIBRARIES):
        return ""
    while frame.f_back and module(frame.f_back).startswith(LIBRARIES):
        frame = frame.f_back
    name = frame.f_code.co_qualname
    return f"np.{name}" if hasattr(np, name) else f"{module(frame).split('._')[0]}.{name}"


def compiled(frame: FrameType) -> str:
    """The function in C that ``frame`` is calling, if it is one of NumPy's that read lists and nodes as arrays."""
    name = "" if module(frame).startswith(LIBRARIES) else _called(frame.f_code, frame.f_lasti)
    return name if name in _COMPILED else ""


@lru_cache(1024)
def _called(code: CodeType, at: int) -> str:
    """The name of the function that is called by the instruction at offset ``at``, as far as the code tells."""
    steps = list(dis.get_instructions(code))
    call = max((step for step in steps if step.offset <= at), key=lambda step: step.offset)
    if call.opname == "BINARY_OP":
        return "operator"
    begin = call.positions[::2] if call.positions else (None, None)  # line and column, as of the function's name
    if not call.opname.startswith("CALL") or None in begin:
        return ""
    loads = [
        s for s in steps if s.offset < at and s.opname.startswith("LOAD_") and s.positions and s.positions[::2] == begin
    ]
    return str(loads[-1].argval) if loads else ""
