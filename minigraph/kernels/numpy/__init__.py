"""The kernels in NumPy and SciPy, which are always there: importing this package enters them into the registry."""

from math import prod
from typing import Any

from minigraph.kernels import tasks
from minigraph.kernels.numpy import contraction, elementwise, layout, norm, optim, pool, products, summation
from minigraph.kernels.numpy.conv import depthwise, direct, fft, im2col, toeplitz, winograd

__all__ = ["depthwise", "direct", "fft", "im2col", "toeplitz", "winograd"]


def seconds(problem: tuple[Any, ...]) -> float:
    """A rough estimate: some passes over the arrays of a problem."""
    return 5e-9 * sum(prod(part.shape) for part in problem if isinstance(part, tasks.ArrayProblem))


for task, run in (
    (tasks.conv_filter_gradients, im2col.filter_gradients),
    (tasks.max_pool, pool.max_pool),
    (tasks.max_pool_gradient, pool.max_pool_gradient),
    (tasks.avg_pool, pool.avg_pool),
    (tasks.avg_pool_gradient, pool.avg_pool_gradient),
    (tasks.normalize, norm.normalize),
    (tasks.normalize_gradient, norm.normalize_gradient),
    (tasks.local_response_norm, norm.local_response_norm),
    (tasks.local_response_norm_gradient, norm.local_response_norm_gradient),
    (tasks.contract, contraction.contract),
    (tasks.matmul, products.matmul),
    (tasks.map_entries, elementwise.map_entries),
    (tasks.total, summation.total),
    (tasks.mean, summation.mean),
    (tasks.cumulative, summation.cumulative),
    (tasks.sparse_matmul, summation.sparse_matmul),
    (tasks.add_to_channels, layout.add_to_channels),
    (tasks.channel_totals, layout.channel_totals),
    (tasks.update, optim.update),
):
    task.register("numpy", run, cost=seconds)
