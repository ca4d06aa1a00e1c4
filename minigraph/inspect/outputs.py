"""The outputs of a module for abstract inputs, and the tape of several outputs."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import numpy as np

from minigraph.nn.module import Module
from minigraph.node import Node, ShapeError, Spec
from minigraph.tape import Tape


def joint_tape(outputs: Sequence[Node]) -> Tape:
    """The tape of several outputs, which is named after the first."""
    if len(outputs) == 1:
        return Tape.of(outputs[0])
    behind = {node for y in outputs for node in Tape.of(y).structure().nodes}
    return Tape(outputs[0], sorted(behind, key=attrgetter("serial")))


@contextmanager
def abstract_outputs(function: str, model: Module, x: Any) -> Iterator[Sequence[Node]]:
    """The outputs of a module for abstract inputs like ``x``; afterwards its parameters have their scopes again.

    ``x``: a Spec, an array or a shape, or a tuple of them; None for a model with an attribute ``image``. ``function``
    begins the messages. Raises TypeError and ShapeError for inputs that do not fit.
    """
    scopes = {p: p.scope for p in model.parameters()}
    try:
        yield _outputs(function, model, x)
    finally:  # a parameter is named after its last call
        for p, scope in scopes.items():
            p.scope = scope


def _outputs(function: str, model: Module, x: Any) -> Sequence[Node]:
    """The output of the module for an abstract input like ``x``."""
    name, parameters = type(model).__name__, model.parameters()
    if x is None:
        if not hasattr(model, "image"):
            raise TypeError(
                f"{function}: got {name} without an input; wanted a Spec, an array or a shape like (1, 3, 32, 32)"
            )
        x = (1, *model.image)
    several = isinstance(x, (tuple, list)) and any(isinstance(p, (tuple, list)) or getattr(p, "shape", ()) for p in x)
    dtype = parameters[0].dtype if parameters else np.dtype(np.float32)
    specs = [_spec(function, part, dtype) for part in (x if several else [x])]
    try:
        inspect.signature(model.forward).bind(*specs)
    except TypeError as error:
        raise TypeError(f"{function}: got {len(specs)} inputs for {name}: {error}") from None
    # A copy with the same parameters: layers count batches and draw random numbers when they are called.
    copied = copy.deepcopy(model, {id(p): p for p in parameters})
    try:
        y = copied(*specs)
    except ShapeError as error:
        shapes = " and ".join(str(spec.shape) for spec in specs)
        raise ShapeError(f"{function}: an input of shape {shapes} does not go through {name}: {error}") from None
    outputs = y if isinstance(y, (tuple, list)) else [y]
    if not outputs or not all(isinstance(output, Node) for output in outputs):
        raise TypeError(f"{function}: {name} gave {type(y).__name__}; wanted a Node, or several")
    return outputs


def _spec(function: str, x: Any, dtype: Any) -> Spec:
    """Shape and dtype of one input. Raises TypeError unless it is a Spec, an array or a shape."""
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return Spec(x.shape, x.dtype, getattr(x, "name", None))
    shape = x if isinstance(x, (tuple, list)) else (x,)
    if not all(isinstance(side, (int, np.integer)) and side >= 0 and not isinstance(side, bool) for side in shape):
        raise TypeError(f"{function}: got the input {x!r}; wanted a Spec, an array or a shape like (1, 3, 32, 32)")
    return Spec(tuple(shape), dtype)
