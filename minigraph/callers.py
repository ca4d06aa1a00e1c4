"""Inspection of the call stack, to recognise library code that would read a node as a plain array."""

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
# Code that may read the values of Nodes: solvers, comparisons in tests, plots.
READ_VALUES = (
    "scipy.optimize",
    "scipy.integrate",
    "scipy.linalg",
    "scipy.sparse.linalg",
    "numpy.testing",
    "matplotlib",
)
# Functions in C have no Python frame: their reads appear to come from the caller.
_COMPILED = {name for library in (np, special) for name, f in vars(library).items() if isinstance(f, np.ufunc)}
_COMPILED |= {name for name, f in vars(np).items() if not hasattr(getattr(f, "_implementation", module), "__code__")}
_COMPILED |= {name for name in dir(np.random.Generator) if len(name) > 1 and not name.startswith("_")}
_COMPILED |= {"arange", "broadcast", "nditer", "operator", "reduce", "accumulate", "outer", "reduceat"}


def multiplies_sparse(frame: FrameType) -> bool:
    """Whether ``frame`` is SciPy's code inspecting the right operand of ``sparse @ node``."""
    return frame.f_code.co_name == "_matmul_dispatch" and module(frame).startswith("scipy.sparse.")


def reads_values(frame: FrameType) -> bool:
    """Whether ``frame`` belongs to a call of library code that may read the values of Nodes."""
    if not _may_read_values(module(frame)):
        return False
    at: FrameType | None = frame
    while at:
        if module(at).startswith(READ_VALUES) or at.f_code.co_qualname.startswith(
            "_apply_over_batch"
        ):  # of scipy.linalg
            return True
        if not module(at).startswith(LIBRARIES):
            break
        at = at.f_back
    return False


@lru_cache(1024)
def _may_read_values(name: str) -> bool:
    return name.startswith((*LIBRARIES, *READ_VALUES))


def library_function(frame: FrameType) -> str:
    """The public library function that called ``frame``; empty if ``frame`` is not library code."""
    if not module(frame).startswith(LIBRARIES):
        return ""
    while frame.f_back and module(frame.f_back).startswith(LIBRARIES):
        frame = frame.f_back
    name = frame.f_code.co_qualname
    return f"np.{name}" if hasattr(np, name) else f"{module(frame).split('._')[0]}.{name}"


def compiled(frame: FrameType) -> str:
    """The C function that ``frame`` is calling, if it is one of NumPy's that convert nodes to arrays."""
    name = "" if module(frame).startswith(LIBRARIES) else _called(frame.f_code, frame.f_lasti)
    return name if name in _COMPILED else ""


@lru_cache(1024)
def _called(code: CodeType, at: int) -> str:
    """The name of the function called by the instruction at offset ``at``; empty if the bytecode does not tell."""
    steps = list(dis.get_instructions(code))
    call = max((step for step in steps if step.offset <= at), key=lambda step: step.offset)
    if call.opname == "BINARY_OP":
        return "operator"
    begin = (
        call.positions[::2] if call.positions else (None, None)
    )  # line and column, equal to those of the function's name
    if not call.opname.startswith("CALL") or None in begin:
        return ""
    loads = [
        s for s in steps if s.offset < at and s.opname.startswith("LOAD_") and s.positions and s.positions[::2] == begin
    ]
    return str(loads[-1].argval) if loads else ""
