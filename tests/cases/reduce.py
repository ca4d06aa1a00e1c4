"""Reductions: Python, and other functions of NumPy, are the other implementation."""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from cases.case import Case, cases_of
from minigraph.ops.reduce import CumulativeSum, Reduction

ORACLES = {
    "sum": lambda r: float(np.ones(r.size) @ r),
    "mean": lambda r: float(np.ones(r.size) @ r) / r.size,
    "prod": lambda r: float(np.multiply.accumulate(r)[-1]),
    "max": lambda r: sorted(r)[-1],
    "min": lambda r: sorted(r)[0],
    "var": lambda r: float(r @ r) / r.size - float(np.average(r)) ** 2,
    "std": lambda r: math.dist(r, [math.fsum(r) / r.size] * r.size) / math.sqrt(r.size),
    "logsumexp": lambda r: float(np.logaddexp.reduce(r)),
    "norm": lambda r: float(np.linalg.norm(r)),
}


@cases_of(Reduction)
def reduction(rng):
    x = rng.standard_normal((3, 4, 2))
    hole = np.where(x > 1, 0, x)
    bad = (rng.standard_normal(2),)
    for axis, keepdims in ((None, False), (1, False), ((0, 2), True), (-1, True)):
        for name, oracle in ORACLES.items():
            xs = hole if name == "prod" else x
            axes = tuple(range(3)) if axis is None else normalize_axis_tuple(axis, 3)
            rest = [n for i, n in enumerate(xs.shape) if i not in axes]
            rows = np.moveaxis(xs, axes, range(-len(axes), 0)).reshape(*rest, -1)
            expected = np.apply_along_axis(oracle, -1, rows)
            shape = tuple(1 if i in axes else n for i, n in enumerate(xs.shape)) if keepdims else rest
            yield Case(
                Reduction(name, axis, keepdims),
                (xs,),
                np.reshape(expected, shape),
                bad if axis in (1, (0, 2)) else None,
                "axis",
            )
    yield Case(Reduction("var", 0, ddof=1), (x,), np.array([[np.cov(x[:, i, j]) for j in range(2)] for i in range(4)]))
    yield Case(Reduction("norm", 0, ord=3), (x,), (np.abs(x) ** 3).sum(0) ** (1 / 3))
    yield Case(Reduction("norm", 0, ord=np.inf), (x,), np.abs(x).max(0))


@cases_of(CumulativeSum)
def cumulative_sum(rng):
    x = rng.standard_normal((3, 4))
    yield Case(CumulativeSum(0), (x,), np.tri(3) @ x, (np.ones(()),), "axis")
    yield Case(CumulativeSum(-1), (x,), x @ np.tri(4).T)
