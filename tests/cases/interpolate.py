"""Resampling: scipy.ndimage is the other implementation."""

import numpy as np
from scipy import ndimage

from cases.case import Case, cases_of
from minigraph.ops.interpolate import Interpolate


def sampled(op, x):
    """The values at the outputs' places, one after another, by scipy.ndimage (order 0 or 1)."""
    places = []
    for n, out, s in zip(x.shape[2:], op.size, op.scales(x.shape[2:]), strict=True):
        ratio = n / out if s is None else 1 / s
        p = np.arange(out)
        if op.mode == "nearest":
            places.append(np.floor(p * ratio + 1e-9))
        else:
            places.append(np.linspace(0, n - 1, out) if op.align_corners else (p + 0.5) * ratio - 0.5)
    grid, order = np.meshgrid(*places, indexing="ij"), 0 if op.mode == "nearest" else 1
    return np.array([[ndimage.map_coordinates(plane, grid, order=order, mode="nearest") for plane in s] for s in x])


@cases_of(Interpolate)
def interpolate(rng):
    for op, size in (
        (Interpolate((6,)), (3,)),
        (Interpolate((2, 5)), (3, 2)),
        (Interpolate((3, 4, 2)), (1, 2, 3)),
        (Interpolate((5,), None, "linear"), (3,)),
        (Interpolate((7, 2), None, "bilinear"), (3, 4)),
        (Interpolate((4, 1), (1.5, 0.4), "bilinear"), (3, 4)),
        (Interpolate((4, 1), None, "bilinear", True), (3, 4)),
        (Interpolate((3, 2, 4), None, "trilinear", True), (2, 3, 2)),
    ):
        x = rng.standard_normal((2, 2, *size))
        yield Case(op, (x,), sampled(op, x), (x[0],), "axes")
