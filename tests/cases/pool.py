"""Pooling: one window after another is the other implementation."""

from math import prod

import numpy as np

from cases.case import Case, cases_of
from minigraph.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, GlobalAvgPool, GlobalMaxPool, Maxout, MaxPool


def images():
    """Arguments and image shapes over every number of axes and every option."""
    yield ((2,), (2,), ((0, 0),), (1,), False), (2, 2, 5)
    yield ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False), (2, 2, 4, 4)
    yield ((3, 2), (2, 1), ((1, 1), (1, 0)), (1, 1), True), (1, 2, 4, 3)
    yield ((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), True), (1, 1, 4, 5)
    yield ((2, 2), (1, 2), ((0, 0), (1, 1)), (2, 1), True), (1, 2, 4, 4)
    yield ((2, 2, 2), (2, 1, 2), ((0, 0), (0, 0), (1, 1)), (1, 1, 1), False), (1, 2, 3, 2, 2)


def by_loops(op, x, function):
    """``function`` of the entries of every window that lie on the image, one window at a time."""
    window = op.window(x)
    y = np.empty((*x.shape[:2], *window.out))
    for n, c, *p in np.ndindex(y.shape):
        entries = []
        for i in np.ndindex(window.kernel):
            axes = zip(p, i, window.stride, window.dilation, window.padding, strict=True)
            q = [at * s + tap * d - before for at, tap, s, d, (before, _) in axes]
            if all(0 <= at < size for at, size in zip(q, window.size, strict=True)):
                entries.append(x[n, c, *q])
        y[n, c, *p] = function(entries)
    return y


def adaptive_pools(cls):
    """Ops and image shapes: sides that divide, that do not, that grow, and that stay."""
    yield cls(1, (3,)), (2, 2, 5)
    yield cls(2, (2, 2)), (1, 2, 4, 6)
    yield cls(2, (3, None)), (2, 1, 5, 2)
    yield cls(2, (4, 1)), (1, 2, 3, 4)
    yield cls(3, (2, 1, 2)), (1, 2, 3, 2, 4)


def in_parts(op, x, function):
    """``function`` of the entries of every window, one window at a time."""
    y = np.empty((*x.shape[:2], *op.out(x)))
    for n, c, *p in np.ndindex(y.shape):
        entries = []
        for q in np.ndindex(x.shape[2:]):
            axes = zip(p, q, x.shape[2:], y.shape[2:], strict=True)
            if all(i * size < (at + 1) * out and at * out < (i + 1) * size for i, at, size, out in axes):
                entries.append(x[n, c, *q])
        y[n, c, *p] = function(entries)
    return y


@cases_of(MaxPool)
def max_pool(rng):
    for hyper, shape in images():
        op, x = MaxPool(*hyper), rng.permutation(prod(shape)).reshape(shape) / 8
        yield Case(op, (x,), by_loops(op, x, max), (x[0, 0],), "axes")


@cases_of(AvgPool)
def avg_pool(rng):
    for hyper, shape in images():
        if set(hyper[3]) == {1}:
            x = rng.standard_normal(shape)
            op = AvgPool(*hyper)
            op.count_include_pad = False
            yield Case(op, (x,), by_loops(op, x, lambda entries: sum(entries) / len(entries)), (x[0],), "axes")
            full = AvgPool(*hyper[:4])
            average = by_loops(full, x, sum) / prod(hyper[0])
            yield Case(full, (x,), average, (x[0],), "axes")


@cases_of(GlobalAvgPool)
def global_avg_pool(rng):
    for shape in ((2, 3, 4), (1, 2, 3, 2), (2, 1, 2, 1, 3)):
        x = rng.standard_normal(shape)
        average = [[sum(plane.ravel()) / plane.size for plane in sample] for sample in x]
        yield Case(GlobalAvgPool(), (x,), np.array(average), (x[0, 0, 0],), "position")


@cases_of(AdaptiveAvgPool)
def adaptive_avg_pool(rng):
    for op, shape in adaptive_pools(AdaptiveAvgPool):
        x = rng.standard_normal(shape)
        yield Case(op, (x,), in_parts(op, x, lambda entries: sum(entries) / len(entries)), (x[0, 0],), "axes")


@cases_of(AdaptiveMaxPool)
def adaptive_max_pool(rng):
    for op, shape in adaptive_pools(AdaptiveMaxPool):
        x = rng.permutation(prod(shape)).reshape(shape) / 8
        yield Case(op, (x,), in_parts(op, x, max), (x[0, 0],), "axes")


@cases_of(GlobalMaxPool)
def global_max_pool(rng):
    for shape in ((2, 3, 4), (1, 2, 3, 2), (2, 1, 2, 1, 3)):
        x = rng.permutation(prod(shape)).reshape(shape) / 8
        largest = [[max(plane.ravel()) for plane in sample] for sample in x]
        yield Case(GlobalMaxPool(), (x,), np.array(largest), (x[0, 0, 0],), "position")


@cases_of(Maxout)
def maxout(rng):
    x = rng.permutation(36).reshape(2, 6, 3) / 8
    yield Case(
        Maxout(2), (x,), [[[*map(max, *s[i : i + 2])] for i in (0, 2, 4)] for s in x], (x[:, 1:],), "multiple of 2"
    )
    yield Case(Maxout(3, -1), (x,), [[[max(row)] for row in s] for s in x], (x[0, 0, 0],), "axis")
