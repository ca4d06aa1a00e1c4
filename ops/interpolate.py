"""Resampling of images: constant linear maps, one small sparse matrix for each axis."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import floor, isfinite, prod
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from minigraph import notation
from minigraph.arguments import expect_plain
from minigraph.array import Array, plain
from minigraph.facts import Reach
from minigraph.kernels import tasks
from minigraph.kernels.sparse import compressed
from minigraph.kernels.window import Ints
from minigraph.maps import Apply, Bounds, LinearMap, Shape
from minigraph.node import Node, Spec
from minigraph.op import Op, expect, expect_floats
from minigraph.ops.geometry import expect_axes, integers, shape_of
from minigraph.ops.pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

__all__ = ["interpolate"]

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
NEAREST = ("nearest", "nearest-exact")
CUBIC = -0.75  # PyTorch's a in the kernel of Keys 1981; with antialias −1/2, as in Pillow


def interpolate(
    x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = False,
    *, recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Any:  # fmt: skip
    """Resample to another size: x (N, C, *n) → (N, C, *n′), one to three spatial axes.

    Give either ``size`` n′ or ``scale_factor`` (n′ = ⌊n · scale⌋), one number or one per axis. mode: "nearest", or
    "linear", "bilinear" or "trilinear" for one, two or three axes, "bicubic" for two (Keys 1981, 4 entries in each row),
    "area", which is adaptive_avg_pool, or "nearest-exact", pixel ⌊(p + ½) n/n′⌋. ``antialias`` widens the kernel where an
    image of two axes shrinks; ``recompute_scale_factor`` takes n/n′ for the scale. Output p samples the image at (p + ½) n/n′ − ½, clamped
    to the centres of the first and last pixels; with ``align_corners`` at p (n − 1)/(n′ − 1). "nearest" takes pixel
    ⌊p n/n′⌋. As in PyTorch, a given scale is used in place of n′/n, except where n′ = n, or n′ = 2n for two axes with
    "nearest"; "nearest" along one or three axes always uses it.
    J is constant and separable, R₁ ⊗ R₂ ⊗ … for each plane, with at most 2 entries in each row of each factor.
    Raises ShapeError; ValueError for an unknown mode or arguments that exclude each other; TypeError for other dtypes.
    """
    op, d = "interpolate", len(shape_of(x)) - 2
    expect(1 <= d <= 3, op, "x (N, C, *n) with 1 to 3 spatial axes", x=shape_of(x))
    modes = (*NEAREST, "area", MODES[d], *(("bicubic",) if d == 2 else ()))
    if not isinstance(mode, str) or mode not in modes:
        raise ValueError(f"{op}: got mode {mode!r}; wanted one of {', '.join(modes)} for {d} spatial axes")
    if align_corners and mode in (*NEAREST, "area"):
        raise ValueError(f"{op}: got align_corners with mode {mode!r}; wanted it with {MODES[d]!r} only")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"{op}: got antialias with mode {mode!r}; wanted it with 'bilinear' or 'bicubic'")
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{op}: got size {size} and scale_factor {scale_factor}; wanted one of them")
    if size is not None:
        return _resampled(x, integers(op, "size", size, d), None, mode, bool(align_corners), antialias)
    expect_plain(op, scale_factor=scale_factor)
    scale = tuple(plain(scale_factor, f"{op}: scale_factor").ravel().astype(float).tolist()) * (
        d if np.ndim(scale_factor) == 0 else 1
    )
    if len(scale) != d or not all(isfinite(s) and s > 0 for s in scale):
        raise ValueError(f"{op}: got scale_factor {scale_factor}; wanted a positive number or {d} of them")
    sides = tuple(floor(n * s) for n, s in zip(shape_of(x)[2:], scale, strict=True))
    expect(min(sides) > 0, op, "a scale_factor that leaves a pixel", x=shape_of(x), scale_factor=scale_factor)
    return _resampled(x, sides, None if recompute_scale_factor else scale, mode, bool(align_corners), antialias)


def _resampled(x: Any, sides: Ints, scale: Any, mode: str, align_corners: bool, antialias: bool) -> Any:
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[len(sides) - 1](x, sides)
    return Interpolate(sides, scale, mode, align_corners, antialias)(x)


def _kernel(mode: str, t: Array, a: float) -> Array:
    """The linear or the cubic kernel at distances t."""
    t = np.abs(t)
    if mode != "bicubic":
        return np.maximum(1 - t, 0)  # type: ignore[no-any-return]
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, (((t - 5) * t + 8) * t - 4) * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


@lru_cache(1024)
def weights(
    n: int, out: int, scale: float | None, mode: str, align_corners: bool, antialias: bool = False
) -> sp.csr_array:
    """R (out, n): the weights of the pixels in each output, along one axis."""
    p = np.arange(out)
    if mode in NEAREST:
        half = 0.5 if mode == "nearest-exact" else 0
        first = np.floor((p + half) * n / out if scale is None else (p + half) / scale).astype(int)
        if mode == "nearest" and scale is None:
            first = p * n // out
        return sp.csr_array((np.ones(out), np.minimum(first, n - 1), np.arange(out + 1)), shape=(out, n))
    if mode == "bicubic" or antialias:
        step = (n - 1) / max(out - 1, 1) if align_corners else n / out if scale is None else 1 / scale
        centre = p * step if align_corners else (p + 0.5) * step - 0.5
        reach, wide = (2 if mode == "bicubic" else 1), max(step, 1.0) if antialias else 1.0
        taps = np.floor(centre).astype(int)[:, None] + np.arange(int(-reach * wide) - 1, int(reach * wide) + 3)
        values = _kernel(mode, (taps - centre[:, None]) / wide, -0.5 if antialias else CUBIC)
        if antialias:  # nothing beyond the image, and rows that sum to 1
            values = np.where((taps >= 0) & (taps < n), values, 0)
            values /= values.sum(1, keepdims=True)
        taps = np.clip(taps, 0, n - 1)
        R = sp.csr_array((values.ravel(), (np.repeat(p, taps.shape[1]), taps.ravel())), shape=(out, n))
        R.sum_duplicates()
        R.eliminate_zeros()
        return R
    if align_corners:
        at = p * ((n - 1) / max(out - 1, 1))
    else:
        at = np.maximum((p + 0.5) * (n / out if scale is None else 1 / scale) - 0.5, 0)
    at = np.minimum(at, n - 1)
    first = at.astype(int)
    second, part = np.minimum(first + 1, n - 1), at - first
    R = sp.csr_array((np.r_[1 - part, part], (np.r_[p, p], np.r_[first, second])), shape=(out, n))
    R.eliminate_zeros()
    return R


class Separable(LinearMap):
    """R₁ ⊗ R₂ ⊗ … over the last axes: each matrix along its own, for every plane."""

    leading = True
    by_sample = property(lambda self: len(self.in_shape) > len(self.matrices))

    def __init__(self, matrices: list[sp.csr_array], in_shape: Shape, dtype: Any) -> None:
        planes = in_shape[: len(in_shape) - len(matrices)]
        super().__init__(in_shape, (*planes, *(R.shape[0] for R in matrices)), dtype)
        self.planes = prod(planes)
        self.matrices = [R.astype(self.dtype) if self.dtype.kind == "f" else R for R in matrices]

    def push(self, v: Any) -> Any:
        return Apply(self)(v) if isinstance(v, Node) else along(self.matrices, v)

    def pull(self, g: Any) -> Any:
        return Apply(self.T)(g) if isinstance(g, Node) else along([R.T for R in self.matrices], g)

    def _rows(self, index: Array) -> sp.csr_array:
        plane, *at = np.unravel_index(index, (self.planes, *(R.shape[0] for R in self.matrices)))
        columns, data, hit = plane[:, None], np.ones((len(index), 1), self.dtype), np.ones((len(index), 1), bool)
        for R, i in zip(self.matrices, at, strict=True):  # of each matrix the entries of its row, side by side
            entry = R.indptr[i][:, None] + np.arange(np.diff(R.indptr).max())
            stored = entry < R.indptr[i + 1][:, None]
            entry[~stored] = 0
            columns = (columns[:, :, None] * R.shape[1] + R.indices[entry][:, None]).reshape(len(index), -1)
            data = (data[:, :, None] * R.data[entry][:, None]).reshape(len(index), -1)
            hit = (hit[:, :, None] & stored[:, None]).reshape(len(index), -1)
        starts = np.concatenate(([0], np.cumsum(hit.sum(1))))
        return compressed(data[hit], columns[hit], starts, (len(index), self.shape[1]))

    @property
    def bounds(self) -> Bounds:
        rows = prod(int(np.diff(R.indptr).max()) for R in self.matrices)
        columns = prod(int(np.bincount(R.indices).max()) for R in self.matrices)
        nnz = self.planes * prod(R.nnz for R in self.matrices)
        return Bounds(nnz, rows, columns) if nnz else Bounds(0, 0, 0)


def along(matrices: list[Any], v: Array) -> Array:
    """Each matrix applied along its axis, the last ones of ``v``."""
    for axis, R in enumerate(matrices, v.ndim - len(matrices)):
        lines = np.moveaxis(v, axis, 0)
        rows = tasks.sparse_matmul(R, lines.reshape(len(lines), prod(lines.shape[1:])))
        v = np.moveaxis(rows.reshape(R.shape[0], *lines.shape[1:]), 0, axis)
    return np.ascontiguousarray(v)


@dataclass(eq=False)
class Interpolate(Op):
    """Every plane resampled to ``size``.   x (N, C, *n) → (N, C, *size).   J = I ⊗ R₁ ⊗ R₂ ⊗ …

    ``scale``: n/size, where it is not that exactly. Raises ShapeError, TypeError.
    """

    size: Ints
    scale: tuple[float, ...] | None = None
    mode: str = "nearest"
    align_corners: bool = False
    antialias: bool = False
    name = "interpolate"

    def formula(self, i: int) -> str | None:
        d = len(self.size)
        return " ⊗ ".join(["I", *(notation.numbered("R", k) for k in range(1, d + 1))]) if d > 1 else "I ⊗ R"

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        text = str(self.formula(i))
        return text if prod(y.shape[:2]) > 1 else text.removeprefix("I ⊗ ")

    legend: ClassVar[dict[str, str]] = {"R": "the weights of the pixels for each output along one axis"}

    def infer(self, x: Spec) -> Spec:
        expect_axes(self, len(self.size), "N, C", x=x)
        expect(min(x.shape[2:]) > 0, self, "an image of at least one pixel", x=x)
        return Spec((*x.shape[:2], *self.size), expect_floats(self, x=x))

    def scales(self, sides: Shape) -> list[float | None]:
        """1/scale of each axis; None where n/size is taken, for which PyTorch has a separate kernel."""
        if self.scale is None:
            return [None] * len(self.size)
        near, images = self.mode == "nearest", len(self.size) == 2
        own = [
            (images or not near) and out in ((n, 2 * n) if near else (n,))
            for n, out in zip(sides, self.size, strict=True)
        ]
        return [None if same else s for same, s in zip(own, self.scale, strict=True)]

    def reach(self, y: Any, x: Any, *weights: Any) -> Reach:
        widest = 1 if self.mode in NEAREST else 4 if self.mode == "bicubic" else 2
        if self.antialias:
            widest = max(int(np.diff(R.indptr).max()) for R in self._map(x).matrices)
        taps = (widest,) * len(self.size)
        return Reach(taps, tuple(Fraction(n, m) for n, m in zip(x.shape[2:], self.size, strict=True)))

    def _map(self, x: Any) -> Separable:
        axes = zip(x.shape[2:], self.size, self.scales(x.shape[2:]), strict=True)
        return Separable(
            [weights(n, out, s, self.mode, self.align_corners, self.antialias) for n, out, s in axes], x.shape, x.dtype
        )

    def forward(self, x: Array) -> Any:
        return self._map(x).push(x)

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        return [self._map(x)]
