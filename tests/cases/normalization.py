"""Normalisation: one group of entries after another, by the statistics module."""

from math import sqrt
from statistics import fmean, pvariance

import numpy as np

from cases.case import Case, cases_of
from minigraph.ops.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm


def standardized(values, eps):
    """The values less their mean, over their standard deviation: one Python number at a time."""
    numbers = values.ravel().tolist()
    mean, deviation = fmean(numbers), sqrt(pvariance(numbers) + eps)
    return np.array([(v - mean) / deviation for v in numbers]).reshape(values.shape)


@cases_of(BatchNorm)
def batch_norm(rng):
    for shape in ((4, 3), (2, 3, 4), (3, 2, 1, 2), (1, 2, 2, 1, 2)):
        x, C = rng.standard_normal(shape), shape[1]
        w, b, mean, var = rng.standard_normal(C), rng.standard_normal(C), rng.standard_normal(C), rng.random(C)
        channels = [standardized(x[:, c], 1e-3) for c in range(C)]
        single = np.ones((1, C, *(1 for _ in shape[2:])))
        yield Case(BatchNorm(1e-3), (x,), np.stack(channels, 1), (single,), "more than 1 value per channel")
        y = np.stack([w[c] * channels[c] + b[c] for c in range(C)], 1)
        yield Case(BatchNorm(1e-3), (x, w, b), y, (x, w[1:], b), "weight of shape")
        y = np.stack([w[c] * (x[:, c] - mean[c]) / sqrt(var[c] + 1e-3) + b[c] for c in range(C)], 1)
        yield Case(BatchNorm(1e-3, (mean, var)), (x, w, b), y, (x[:, 1:], w, b), "running statistics")
        y = np.stack([(y[:, c] - b[c]) / w[c] for c in range(C)], 1)
        yield Case(BatchNorm(1e-3, (mean, var)), (x,), y, (mean,), "2 to 5 axes")


@cases_of(InstanceNorm)
def instance_norm(rng):
    x, w, b = rng.standard_normal((2, 3, 2, 2)), rng.standard_normal(3), rng.standard_normal(3)
    y = [[w[c] * standardized(x[n, c], 1e-5) + b[c] for c in range(3)] for n in range(2)]
    yield Case(InstanceNorm(1e-5), (x, w, b), y, (x[..., :1, :1], w, b), "more than 1 position")


@cases_of(GroupNorm)
def group_norm(rng):
    x, w, b = rng.standard_normal((2, 6, 2)), rng.standard_normal(6), rng.standard_normal(6)
    y = np.array([np.concatenate([standardized(x[n, c : c + 3], 1e-5) for c in (0, 3)]) for n in range(2)])
    yield Case(GroupNorm(1e-5, 2), (x, w, b), y * w[:, None] + b[:, None], (x[:, :5], w, b), "multiple of 2")
    yield Case(GroupNorm(1e-5, 2), (x,), y)


@cases_of(LayerNorm)
def layer_norm(rng):
    x, w, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    y = np.array([standardized(sample, 1e-5) for sample in x])
    yield Case(LayerNorm(1e-5, (3, 4)), (x, w, b), y * w + b, (x[:, 1:], w, b), "last axes")
    y = np.array([[standardized(row, 1e-5) for row in sample] for sample in x])
    yield Case(LayerNorm(1e-5, (4,)), (x, w[0], b[0]), y * w[0] + b[0], (x, w, b), "weight of shape")


@cases_of(LocalResponseNorm)
def local_response_norm(rng):
    for size, shape in ((3, (2, 4, 3)), (4, (1, 5, 2, 2)), (5, (2, 2, 1, 1)), (1, (1, 2, 2))):
        x = rng.standard_normal(shape)
        y = np.empty(shape)
        for n, c, *p in np.ndindex(shape):
            window = [x[n, i, *p] for i in range(c - size // 2, c - size // 2 + size) if 0 <= i < shape[1]]
            y[n, c, *p] = x[n, c, *p] / (1.5 + 0.8 / size * sum(v * v for v in window)) ** 0.75
        yield Case(
            LocalResponseNorm(size, 0.8, 0.75, 1.5), (x,), y, (x[0],) if x.ndim == 3 else None, "at least one channel"
        )
