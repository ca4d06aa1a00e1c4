"""Limits on gradients before a step, with PyTorch's names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigraph.node import Parameter
from minigraph.optim.optimizer import number


def clip_grad_norm_(
    parameters: Parameter | Iterable[Parameter],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients so that their norm, as of one vector, is at most ``max_norm``; returns the norm before.

    Each ``grad`` is multiplied by max_norm / (norm + 1e-6) where that is below 1. Raises ValueError for a norm that is not
    finite if ``error_if_nonfinite``; the gradients are unchanged then.
    """
    limit, order = number()("clip_grad_norm_", "max_norm", max_norm), float(norm_type)
    if not order > 0:
        raise ValueError(f"clip_grad_norm_: got norm_type {norm_type}; wanted a number above 0, or infinity")
    learned = _with_gradients("clip_grad_norm_", parameters)
    norms = [float(np.linalg.norm(np.asarray(p.grad, np.float64).ravel(order="K"), order)) for p in learned]
    total = float(np.linalg.norm(norms, order)) if norms else 0.0
    if error_if_nonfinite and not math.isfinite(total):
        raise ValueError(f"clip_grad_norm_: got gradients of norm {total}; wanted a finite norm")
    factor = limit / (total + 1e-6)
    if not factor >= 1:
        for p in learned:
            p.grad = p.grad * factor
    return total


def clip_grad_value_(parameters: Parameter | Iterable[Parameter], clip_value: float) -> None:
    """Limit every entry of the gradients to ±``clip_value``."""
    limit = number()("clip_grad_value_", "clip_value", clip_value)
    for p in _with_gradients("clip_grad_value_", parameters):
        p.grad = np.clip(p.grad, -limit, limit)


def _with_gradients(function: str, parameters: Any) -> list[Parameter]:
    given = [parameters] if isinstance(parameters, Parameter) else list(parameters)
    for p in given:
        if not isinstance(p, Parameter):
            raise TypeError(f"{function}: got {getattr(p, 'label', type(p).__name__)}; wanted parameters")
    return [p for p in given if p.grad is not None]
