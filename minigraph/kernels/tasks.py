"""The tasks that kernels compute. Ops and the engine call them; each call runs the kernel chosen by the registry.

To add a kernel, register it: ``tasks.max_pool.register(name, run, supports=…, cost=…)``. Problems that it does not support
are computed by another. Kernels take plain arrays and settings, and return new arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigraph.kernels.registry import Kernel, Task

if TYPE_CHECKING:
    from minigraph.kernels.window import Array, Window


class ConvProblem(NamedTuple):
    """A convolution to compute: N samples of C channels, K filters."""

    window: Window
    N: int
    C: int
    K: int
    groups: int
    dtype: Any


class ArrayProblem(NamedTuple):
    """What a problem contains of an array."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: Any


def problem_of(*arguments: Any) -> tuple[Any, ...]:
    """The problem of these arguments: arrays, also in tuples, without their entries; other arguments unchanged."""
    return tuple(
        ArrayProblem(a.shape, a.strides, a.dtype)
        if isinstance(a, np.ndarray)
        else problem_of(*a)
        if type(a) is tuple
        else a
        for a in arguments
    )


def _function(function: Any, *xs: Any) -> tuple[Any, ...]:
    """The problem of a function of arrays: its name, since the function itself may refer to arrays."""
    return getattr(function, "__name__", ""), *problem_of(*xs)


# Convolution, as the three slots of one trilinear form: each computes the third of x, w and y from the other two.
conv_forward = Task(
    "conv_forward",  # (x, w, window, groups) → y
    lambda x, w, window, groups: ConvProblem(window, len(x), x.shape[1], len(w), groups, np.result_type(x, w)),
)
conv_input_gradient = Task(
    "conv_input_gradient",  # (g, w, window, groups) → x-shaped
    lambda g, w, window, groups: ConvProblem(window, len(g), w.shape[1] * groups, len(w), groups, np.result_type(g, w)),
)
conv_filter_gradient = Task(
    "conv_filter_gradient",  # (x, g, window, groups) → w-shaped
    lambda x, g, window, groups: ConvProblem(window, len(x), x.shape[1], g.shape[1], groups, np.result_type(x, g)),
)
CONVOLUTIONS = conv_forward, conv_input_gradient, conv_filter_gradient
conv_filter_gradients = Task("conv_filter_gradients", problem_of)  # (x, g, window, groups) → one of w for each sample

max_pool = Task("max_pool", problem_of)  # (x, window) → y, saved
max_pool_gradient = Task("max_pool_gradient", problem_of)  # (g, x, y, window, saved) → x-shaped
avg_pool = Task("avg_pool", problem_of)  # (x, window, divisors) → y
avg_pool_gradient = Task("avg_pool_gradient", problem_of)  # (g, window, divisors) → x-shaped

# Moments are mean, variance and 1/σ of each group: what one kernel saves, the gradient of any other can read.
normalize = Task(
    "normalize",  # (x, w, b, groups, eps, statistics[, finish]) → y, moments
    lambda x, w, b, groups, eps, statistics, finish=None: problem_of(x, w, b, groups, eps, statistics),
)
normalize_gradient = Task("normalize_gradient", problem_of)  # (g, x, w, groups, moments, constant, wanted) → [x, w, b]
local_response_norm = Task("local_response_norm", problem_of)  # (x, window, size, alpha, beta, k) → y, saved
local_response_norm_gradient = Task(
    "local_response_norm_gradient", problem_of
)  # (g, x, y, window, …, saved) → x-shaped

contract = Task("contract", problem_of)  # (subscripts, *factors) → einsum, each factor of distinct letters
matmul = Task("matmul", problem_of)  # (a, b) → a @ b
map_entries = Task("map_entries", _function)  # (function, *xs) → function(*xs), which works entry by entry
total = Task("total", problem_of)  # (x, axis=None, keepdims=False) → Σ x, as exact as in double precision
mean = Task("mean", problem_of)  # (x, axis=None, keepdims=False) → the mean of x
cumulative = Task("cumulative", problem_of)  # (x, axis) → x₁ + … + xᵢ
sparse_matmul = Task("sparse_matmul", lambda A, x: (A.shape, A.nnz, *problem_of(x)))  # (A, x) → A x, of one dtype
add_to_channels = Task("add_to_channels", problem_of)  # (y, b[, rectified]) → y + b[k] in channel k, in place
channel_totals = Task("channel_totals", problem_of)  # (g) → Σ g over all but the channels
update = Task(  # settings, such as a learning rate, change with every step, and do not matter for the choice
    "update",  # (rule, new, old, g, state, *settings): writes rule(old, g, *state, *settings) into new
    lambda rule, new, old, g, state, *settings: _function(rule, new, old, g, state),
)


def register_convolution(
    name: str,
    forward: Callable[..., Array],
    input_gradient: Callable[..., Array],
    filter_gradient: Callable[..., Array],
    **facts: Any,
) -> None:
    """Register an algorithm for all three slots, so that it also computes derivatives of every order."""
    for task, run in zip(CONVOLUTIONS, (forward, input_gradient, filter_gradient), strict=True):
        task.register(name, run, **facts)


def algorithms() -> dict[str, Kernel]:
    """The algorithms of convolution by name, as kernels of its forward slot: support, limits and errors are shared."""
    return conv_forward.kernels
