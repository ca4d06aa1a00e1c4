"""Sums for derivative rules: arrays are summed by an accurate kernel, Nodes by NumPy's functions, which are recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.kernels import tasks

Axis = int | tuple[int, ...] | None


def total(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Σ x over ``axis``, as numpy.sum."""
    return tasks.total(x, axis, keepdims) if type(x) is np.ndarray else np.sum(x, axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean of x over ``axis``, as numpy.mean."""
    return tasks.mean(x, axis, keepdims) if type(x) is np.ndarray else np.mean(x, axis=axis, keepdims=keepdims)


def cumulative(x: Any, axis: int) -> Any:
    """x₁ + … + xᵢ along ``axis``, as numpy.cumsum."""
    return tasks.cumulative(x, axis) if type(x) is np.ndarray else np.cumsum(x, axis=axis)
