"""What kernels compute. Ops and the engine call these tasks; each call goes to the kernel that the registry chooses.

To add a kernel, register it: ``tasks.max_pool.register(name, run, supports=…, cost=…)``. Where it does not support a
problem, another computes it. Kernels take plain arrays and settings, and give new arrays.
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
    """An array as a part of a problem."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: Any


def described(*arguments: Any) -> tuple[Any, ...]:
    """The problem of these arguments: arrays, in tuples too, without their entries, all else as it is."""
    return tuple(
        ArrayProblem(a.shape, a.strides, a.dtype)
        if isinstance(a, np.ndarray)
        else described(*a)
        if type(a) is tuple
        else a
        for a in arguments
    )


def _function(function: Any, *xs: Any) -> tuple[Any, ...]:
    """The problem of a function of arrays: its name, since the function itself may hold arrays."""
    return getattr(function, "__name__", ""), *described(*xs)


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

max_pool = Task("max_pool", described)  # (x, window) → y, saved
max_pool_gradient = Task("max_pool_gradient", described)  # (g, x, y, window, saved) → x-shaped
avg_pool = Task("avg_pool", described)  # (x, window, divisors) → y
avg_pool_gradient = Task("avg_pool_gradient", described)  # (g, window, divisors) → x-shaped

# Moments are mean, variance and 1/σ of each group: what one kernel saves, the gradient of any other can read.
normalize = Task("normalize", described)  # (x, w, b, groups, eps, statistics) → y, moments
normalize_gradient = Task("normalize_gradient", described)  # (g, x, w, groups, moments, constant, wanted) → [x, w, b]
local_response_norm = Task("local_response_norm", described)  # (x, window, divisor, alpha, beta, k) → y
local_response_norm_gradient = Task("local_response_norm_gradient", described)  # (g, x, y, window, …) → x-shaped

contract = Task("contract", described)  # (subscripts, *factors) → einsum, each factor of distinct letters
matmul = Task("matmul", described)  # (a, b) → a @ b
map_entries = Task("map_entries", _function)  # (function, *xs) → function(*xs), which works entry by entry
total = Task("total", described)  # (x, axis=None, keepdims=False) → Σ x, as exact as in double precision
mean = Task("mean", described)  # (x, axis=None, keepdims=False) → the mean of x
cumulative = Task("cumulative", described)  # (x, axis) → x₁ + … + xᵢ
sparse_matmul = Task("sparse_matmul", lambda A, x: (A.shape, A.nnz, *described(x)))  # (A, x) → A x, of one dtype
add_to_channels = Task("add_to_channels", described)  # (y, b) → y + b[k] in channel k, in place where possible
channel_totals = Task("channel_totals", described)  # (g) → Σ g over all but the channels
sgd_step = Task("sgd_step", described)  # (new, old, g, velocity, first, lr, …)


def register_convolution(
    name: str,
    forward: Callable[..., Array],
    input_gradient: Callable[..., Array],
    filter_gradient: Callable[..., Array],
    **facts: Any,
) -> None:
    """Enter an algorithm for all three slots. Where a convolution is computed, its derivatives of every order are."""
    for task, run in zip(CONVOLUTIONS, (forward, input_gradient, filter_gradient), strict=True):
        task.register(name, run, **facts)


def algorithms() -> dict[str, Kernel]:
    """The algorithms of convolution by name, as kernels of its forward slot: support, limits and errors are shared."""
    return conv_forward.kernels
