"""Optimizers, which read ``.grad`` of parameters and replace their values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.kernels import tasks
from minigraph.node import Parameter
from minigraph.op import expect

__all__ = ["SGD"]


class SGD:
    """Stochastic gradient descent with momentum; arguments and semantics are PyTorch's.

    For each parameter p with gradient g and velocity v, which is d in the first step:

        d = g + weight_decay · p
        v = momentum · v + (1 − dampening) · d
        p = p − lr · v,   with ``nesterov``  p − lr · (d + momentum · v)

    Without momentum, p = p − lr · d. ``weight_decay`` λ adds the gradient of ½ λ ‖p‖². ``lr`` may be assigned between
    steps. Parameters whose ``grad`` is None are skipped, and so are their velocities.

    Raises TypeError for anything but parameters, ValueError for an empty list, for parameters given twice, for negative
    or infinite numbers, and for ``nesterov`` without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
    ) -> None:
        self.params = _parameters(params)
        self.lr = lr
        self.momentum = _number("momentum", momentum)
        self.dampening = _number("dampening", dampening, signed=True)
        self.weight_decay = _number("weight_decay", weight_decay)
        self.nesterov = bool(nesterov)
        if nesterov and (not momentum or dampening):
            raise ValueError(
                f"SGD: got nesterov with momentum {momentum} and dampening {dampening}; "
                "wanted momentum above 0 and no dampening"
            )
        self._velocity: dict[Parameter, Array] = {}

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = _number("lr", value)

    def zero_grad(self) -> None:
        """Set ``grad`` of every parameter to None."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Replace the value of every parameter that has a gradient. Raises ShapeError if a gradient has another shape."""
        learned = [p for p in self.params if p.grad is not None]
        for p in learned:  # check all before changing any
            expect(
                np.shape(p.grad) == p.shape,
                "SGD",
                f"a gradient of shape {p.shape} for {p.label}",
                shape=np.shape(p.grad),
            )
        for p in learned:
            self._move(p, np.asarray(p.grad).astype(p.dtype, copy=False))

    def _move(self, p: Parameter, g: Any) -> None:
        """The step of one parameter, in place unless something else refers to its value."""
        momentum, velocity = self.momentum != 0, self._velocity.get(p)
        first = momentum and velocity is None
        if first:
            velocity = self._velocity[p] = np.empty_like(p.value)
        new = p.next_value()
        settings = self.lr, self.momentum, self.dampening, self.weight_decay, self.nesterov
        try:
            tasks.sgd_step(new, p.value, g, velocity, first, *settings)
        except BaseException:
            if new is p._value:  # partly overwritten: tapes that used it must not be differentiated
                p.replace(new)
            raise
        p.replace(new)

    def __repr__(self) -> str:
        names = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
        return f"SGD({len(self.params)} parameters, " + ", ".join(f"{n}={getattr(self, n)}" for n in names) + ")"


def _parameters(params: Any) -> list[Parameter]:
    if isinstance(params, Parameter) or not isinstance(params, Iterable):
        raise TypeError(f"SGD: got {getattr(params, 'label', type(params).__name__)}; wanted a list of parameters")
    parameters = list(params)
    if not parameters:
        raise ValueError("SGD: got an empty list; wanted at least one parameter")
    seen: set[Parameter] = set()
    for p in parameters:
        if not isinstance(p, Parameter):
            raise TypeError(f"SGD: got {getattr(p, 'label', type(p).__name__)} in the list; wanted mg.parameter(...)")
        if p in seen:
            raise ValueError(f"SGD: got {p.label} twice; wanted every parameter once")
        seen.add(p)
    return parameters


def _number(name: str, value: Any, signed: bool = False) -> float:
    """``value`` as a Python float, which leaves float32 parameters in float32."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"SGD: got {name} {value!r}; wanted a number") from None
    if not math.isfinite(number) or (number < 0 and not signed):
        raise ValueError(f"SGD: got {name} {value}; wanted a finite number" + ("" if signed else " of at least 0"))
    return number
