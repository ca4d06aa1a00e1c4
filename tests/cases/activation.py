"""Softmax: SciPy is the other implementation. Elementwise activations are in elementwise.py."""

import numpy as np
from scipy import special

from cases.case import Case, cases_of
from minigraph.ops.activation import LogSoftmax, Softmax


def along_axes(cls, rng):
    x = rng.standard_normal((2, 3, 4))
    for axis in (-1, 1, 0):
        yield Case(cls(axis), (x,), getattr(special, cls.name)(x, axis), (np.ones(()),), "axis")


@cases_of(Softmax)
def softmax(rng):
    return along_axes(Softmax, rng)


@cases_of(LogSoftmax)
def log_softmax(rng):
    return along_axes(LogSoftmax, rng)
