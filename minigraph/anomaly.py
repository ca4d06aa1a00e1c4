"""The checks of ``detect_anomaly``: the first NaN or infinity, forward or backward, and the line that caused it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigraph.node import Node, Spec, value_of


def finite(op: Any, value: Any, inputs: Sequence[Any]) -> Any:
    """``value`` if it is finite; raises FloatingPointError naming the op, the entry, the inputs and the line."""
    if isinstance(value, Spec):
        return value
    array = np.asarray(value)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        names = ", ".join(x.label if isinstance(x, Node) else str(np.shape(x)) for x in inputs)
        raise FloatingPointError(
            f"{op}: value {array[at]} at {list(at)} of shape {array.shape}, from inputs {names}, built at {caller()}"
        )
    return value


def finite_cotangent(node: Node, x: Node, c: Any) -> None:
    """Raise FloatingPointError naming the node and its line if its cotangent ``c`` for input x is not finite."""
    if not np.isfinite(value_of(c)).all():
        built = f", built at {node.built}" if hasattr(node, "built") else ""
        raise FloatingPointError(f"{node.label}: its cotangent for {x.label} has a NaN or an infinity{built}")


def caller() -> str:
    """file:line of the innermost code on the stack outside this package."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] == "minigraph":
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
