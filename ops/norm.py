"""Normalisation: groups of entries brought to mean 0 and variance 1, and responses damped by their neighbours'."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod, sqrt
from statistics import fmean, pvariance
from string import ascii_letters
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp

from minigraph import summation
from minigraph.arguments import expect_number, expect_plain
from minigraph.array import Array
from minigraph.maps import Bounds, Diagonal, Formula, LinearMap, Shape, promoted
from minigraph.mode import MODE
from minigraph.node import Node, Spec, value_of
from minigraph.op import Case, Op, expect, expect_floats
from minigraph.ops import channels
from minigraph.ops.conv.geometry import Window, integers, shape_of
from minigraph.ops.pool import Averages
from minigraph.parallel import by_sample, scratch
from minigraph.sparse import compressed

__all__ = [
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm",
]  # fmt: skip


class Layout(NamedTuple):
    """How an op sees x: its sides, the axes to average over, and the sides of weight and bias."""

    view: Shape
    axes: tuple[int, ...]
    affine: Shape


@dataclass(eq=False)
class Normalization(Op, abstract=True):
    """y = w x̂ + b, x̂ = (x − μ)/σ, μ the mean and σ² − eps the variance of each group of m entries of x.

    ∂y/∂x = diag(w) σ⁻¹ (I − 11ᵀ/m − x̂x̂ᵀ/m) for a group, ∂y/∂w = diag(x̂) · Broadcast, ∂y/∂b = Broadcast.
    """

    eps: float
    statistics: ClassVar[Any] = None  # given, not taken from x
    seen: Any = field(default=(lambda: None, None), init=False, repr=False)  # the last array (weakly), its moments

    def layout(self, x: Any) -> Layout:
        raise NotImplementedError

    def fits(self, x: Spec) -> Shape:
        """Refuse an x that does not fit; the shape of weight and bias."""
        raise NotImplementedError

    def infer(self, x: Spec, w: Spec | None = None, b: Spec | None = None) -> Spec:
        affine = {name: p for name, p in (("weight", w), ("bias", b)) if p}
        features = self.fits(x)
        for name, p in affine.items():
            expect(p.shape == features, self, f"{name} of shape {features}", x=x, **{name: p})
        return Spec(x.shape, expect_floats(self, x=x, **affine))

    def forward(self, x: Array, w: Array | None = None, b: Array | None = None) -> Array:
        layout = self.layout(x)
        dtype = x.dtype if w is None or b is None else np.result_type(x, w, b)
        *moments, y = self.centred(np.reshape(x.astype(dtype, copy=False), layout.view), layout)
        self.seen = weakref.ref(x), moments
        y *= moments[2] if w is None else moments[2] * w.reshape(layout.affine)
        if b is not None:
            y += b.reshape(layout.affine)
        return np.reshape(y, x.shape)

    def centred(self, x: Any, layout: Layout) -> tuple[Any, Any, Any, Any]:
        """μ, the variance, 1/σ, and x − μ, for x seen by the layout."""
        mean = summation.mean(x, layout.axes, True)
        rest = x - mean
        var = mean_square(rest, layout)
        square = var + self.eps
        inside = channels.inside(value_of(square), square.dtype)
        if inside.all():
            inverse = 1 / np.sqrt(square)
        else:  # squares that overflow or vanish
            scale = np.max(np.abs(value_of(rest)), axis=layout.axes, keepdims=True)
            scale = np.where((scale > 0) & ~inside, scale, 1)
            inverse = 1 / np.sqrt(mean_square(rest / scale, layout) + self.eps / scale / scale) / scale
        return mean, var, inverse if inverse.dtype == x.dtype else inverse.astype(x.dtype), rest

    def moments(self, x: Any) -> Any:
        """Mean, variance and 1/σ of each group; those of the array seen last are remembered."""
        seen, moments = self.seen
        if seen() is x and not (isinstance(x, np.ndarray) and x.flags.writeable):  # the same, and as it was
            return moments
        layout = self.layout(x)
        return self.centred(np.reshape(x, layout.view), layout)[:3]

    def jacobians(self, y: Any, x: Any, w: Any = None, b: Any = None) -> list[LinearMap]:
        layout, dtype = self.layout(x), y.dtype
        mean, _, inverse = self.moments(x)
        J = Standardization(x, dtype, layout, mean, inverse, None if w is None else np.reshape(w, layout.affine))
        maps: list[LinearMap] = [J]
        if self.statistics is not None:
            maps = [Diagonal(Spec(x.shape, dtype), lambda: J.scale)]
        if w is not None and b is not None:
            maps += [spread(w, x, dtype, layout, J, J), spread(b, x, dtype, layout, J)]
        return [promoted(K, p) for K, p in zip(maps, (x, w, b), strict=False)]


class Standardization(LinearMap):
    """v ↦ w σ⁻¹ (v − mean v − x̂ mean x̂v) for each group: the projection that removes shift and scale."""

    def __init__(self, x: Any, dtype: Any, layout: Layout, mean: Any, inverse: Any, weight: Any) -> None:
        super().__init__(x.shape, x.shape, dtype)
        self.x, self.layout, self.mean, self.inverse, self.weight = x, layout, mean, inverse, weight
        self.m = prod(layout.view[i] for i in layout.axes)
        self.found: Any = None, None, None  # the last cotangent and its sums
        self.scale = inverse if weight is None else inverse * weight

    def standard(self) -> Any:
        """x̂, an array of its own."""
        x_hat = np.reshape(self.x, self.layout.view) - self.mean
        x_hat *= self.inverse
        return x_hat

    def by_channel(self, g: Any) -> bool:
        """Whether x̂ and g can be taken pixel by pixel: the groups are the channels, which lie last in memory."""
        plain = type(self.x) is type(g) is type(self.mean) is np.ndarray and self.dtype == self.x.dtype == g.dtype
        channelwise = self.layout.view == self.x.shape and self.layout.axes == (0, *range(2, len(self.x.shape)))
        plain = plain and channelwise and self.dtype.kind == "f" and channels.pixels(self.x) is not None
        return plain and self.moderate

    @cached_property
    def moderate(self) -> bool:
        """Whether σ⁻² neither overflows nor vanishes."""
        return channels.moderate(self.inverse**2, self.dtype)

    def sums(self, g: Array) -> tuple[Array, Array]:
        """Σ g and Σ x̂ g of each channel, (C,): found once for the pulls to x, weight and bias while g cannot change."""
        if self.found[0] is not g or g.flags.writeable:
            mean = self.mean.ravel()

            def products(g: Array, x: Array, mean: Array) -> tuple[Array, Array]:
                if self.small_means:
                    return channels.total(g), channels.total_product(g, x)
                rest = np.subtract(x, mean, out=scratch("rest", x.shape, x.dtype))
                return channels.total(g), channels.total_product(g, rest)

            total, dot = channels.sums(products, [channels.like(a, self.x) for a in (g, self.x)], [mean])
            dot = (dot - mean * total if self.small_means else dot) * self.inverse.ravel()
            self.found = g, total.astype(g.dtype), dot.astype(g.dtype)
        return self.found[1].copy(), self.found[2].copy()

    @cached_property
    def small_means(self) -> bool:
        """Whether x can be taken for x − μ, and the difference be made good afterwards."""
        return channels.means_are_small(self.mean.ravel(), self.inverse.ravel() ** -2)

    def project_by_channel(self, g: Array) -> Array:
        """``project`` for channels: a g − b (x − μ) − a Σ g / m, with a = w σ⁻¹ and b = a σ⁻¹ Σ x̂g / m."""
        total, dot = self.sums(g)
        scale, mean = self.scale.ravel(), self.mean.ravel()
        slope = scale * self.inverse.ravel() * dot / self.m
        N, C, *n = self.x.shape
        images, out = channels.empty(N, C, tuple(n), self.x.dtype)

        def project(x: Array, g: Array, out: Array, scale: Array, mean: Array, slope: Array, shift: Array) -> None:
            rest = scratch("rest", x.shape, x.dtype)
            np.multiply(x if self.small_means else np.subtract(x, mean, out=rest), slope, out=rest)
            np.multiply(g, scale, out=out)
            np.subtract(out, rest, out=out)
            np.subtract(out, shift, out=out)

        shift = scale * total / self.m - (mean * slope if self.small_means else 0)
        arrays = [*(channels.like(a, self.x) for a in (self.x, g)), out.reshape(-1, C)]
        channels.transform(project, arrays, [scale, mean, slope, shift])
        return images

    def project(self, v: Any, scale: Any) -> Any:
        if scale is self.scale and self.by_channel(v):
            return self.project_by_channel(v)
        axes, x_hat, v = self.layout.axes, self.standard(), np.reshape(v, self.layout.view)
        share = total(axes, v, x_hat) * (-1 / self.m)
        u = x_hat * share if isinstance(share, Node) else np.multiply(x_hat, share, out=x_hat)
        u += v  # in place where u is an array
        u -= summation.mean(v, axes, True)
        u *= scale
        return np.reshape(u, self.in_shape)

    @property
    def varies(self) -> bool:
        """Weights differ within a group; else they commute with the projection."""
        return self.weight is not None and any(self.layout.affine[i] > 1 for i in self.layout.axes)

    def weighted(self, v: Any) -> Any:
        return np.reshape(np.reshape(v, self.layout.view) * self.weight, self.in_shape)

    def push(self, v: Any) -> Any:
        return self.weighted(self.project(v, self.inverse)) if self.varies else self.project(v, self.scale)

    def pull(self, g: Any) -> Any:
        return self.project(self.weighted(g), self.inverse) if self.varies else self.project(g, self.scale)

    def _rows(self, index: Array) -> sp.csr_array:
        view, axes, _ = self.layout
        size, m = self.shape[0], self.m
        groups = np.moveaxis(np.arange(size).reshape(view), axes, range(-len(axes), 0)).reshape(-1, m)
        group = np.empty(size, groups.dtype)
        group[groups] = np.arange(len(groups))[:, None]
        columns, x_hat = groups[group[index]], value_of(self.standard()).ravel()
        data = x_hat[columns]
        data *= -x_hat[index, None] / m
        data -= self.dtype.type(1) / m
        data[columns == index[:, None]] += 1
        data *= np.broadcast_to(value_of(self.scale), view).ravel()[index, None]
        return compressed(data.ravel(), columns.ravel(), np.arange(len(index) + 1) * m, (len(index), size))

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.shape[0] * self.m, self.m, self.m)


def spread(
    p: Any, x: Any, dtype: Any, layout: Layout, K: Standardization, J: Standardization | None = None
) -> LinearMap:
    """∂y/∂b: v repeated over all groups; or with J ∂y/∂w: the same, times x̂."""
    view, affine = layout.view, layout.affine
    summed = tuple(i for i, n in enumerate(affine) if n == 1)

    def push(v: Any) -> Any:
        v = np.reshape(v, affine)
        return np.reshape(np.broadcast_to(v, view) if J is None else J.standard() * v, x.shape)

    def pull(g: Any) -> Any:
        if K.by_channel(g):
            return K.sums(g)[0 if J is None else 1]
        g = np.reshape(g, view)
        return np.reshape(summation.total(g, summed) if J is None else total(summed, g, J.standard()), p.shape)

    def matrix() -> sp.csr_array:
        size = prod(view)
        columns = np.broadcast_to(np.arange(prod(affine)).reshape(affine), view).ravel()
        data = np.ones(size, dtype) if J is None else value_of(J.standard()).ravel()
        return sp.csr_array((data, columns, np.arange(size + 1)), shape=(size, prod(affine)))

    size, n = prod(view), prod(affine)
    return Formula(p.shape, x.shape, dtype, push=push, pull=pull, matrix=matrix,
                   bounds=Bounds(size, 1 if size else 0, size // n if n else 0))  # fmt: skip


def mean_square(rest: Any, layout: Layout) -> Any:
    """The mean of rest² over each group; of float32 in double precision."""
    return double_total(layout.axes, rest, rest) / prod(layout.view[i] for i in layout.axes)


def total(axes: tuple[int, ...], a: Any, b: Any) -> Any:
    """Σ a b over ``axes``, which are kept with side 1; of float32 as exact as in double precision."""
    found = double_total(axes, a, b)
    return found.astype(np.float32) if summation.single(a) and summation.single(b) else found


def double_total(axes: tuple[int, ...], a: Any, b: Any) -> Any:
    """The same, of float32 in double precision."""
    letters = ascii_letters[: len(a.shape)]
    rest = "".join(c for i, c in enumerate(letters) if i not in axes)
    kept = tuple(1 if i in axes else n for i, n in enumerate(a.shape))
    double: dict[str, Any] = {"dtype": np.float64} if summation.single(a) and summation.single(b) else {}
    return np.reshape(np.einsum(f"{letters},{letters}->{rest}", a, b, **double), kept)


@dataclass(eq=False)
class BatchNorm(Normalization):
    """Normalisation of each channel over batch and positions.   x (N, C, *n), w (C), b (C) → (N, C, *n).

    With given ``statistics`` (μ, σ² − eps) x̂ is affine in x: ∂y/∂x = diag(w σ⁻¹).
    """

    statistics: tuple[Array, Array] | None = field(default=None, repr=False)  # type: ignore[misc]
    name = "batch_norm"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"training": self.statistics is None, "eps": self.eps}

    def layout(self, x: Any) -> Layout:
        rest = range(2, len(x.shape))
        return Layout(x.shape, (0, *rest), (1, x.shape[1], *(1 for _ in rest)))

    def fits(self, x: Spec) -> Shape:
        expect(2 <= x.ndim <= 5, self, "x of 2 to 5 axes (N, C, *n)", x=x)
        if self.statistics is None:
            expect(x.shape[0] * prod(x.shape[2:]) > 1, self, "more than 1 value per channel when training", x=x)
        else:
            shapes = [s.shape for s in self.statistics]
            expect(
                shapes == [x.shape[1:2]] * 2, self, f"running statistics of shape {x.shape[1:2]}", x=x, shapes=shapes
            )
        return x.shape[1:2]

    def forward(self, x: Array, w: Array | None = None, b: Array | None = None) -> Array:
        pixels = channels.pixels(x)
        if pixels is None or x.dtype.kind != "f" or any(p is not None and p.dtype != x.dtype for p in (w, b)):
            return super().forward(x, w, b)
        mean, var = channels.moments(pixels) if self.statistics is None else self.statistics
        if not channels.moderate(var + self.eps, x.dtype):
            return super().forward(x, w, b)
        affine, inverse = self.layout(x).affine, 1 / np.sqrt(var + self.eps)
        self.seen = weakref.ref(x), tuple(a.astype(x.dtype).reshape(affine) for a in (mean, var, inverse))
        scale = inverse * (1 if w is None else w)
        shift = np.zeros_like(scale) if b is None else b
        N, C, *n = x.shape
        images, y = channels.empty(N, C, tuple(n), x.dtype)

        def normalize(x: Array, y: Array, mean: Array, scale: Array, shift: Array) -> None:
            np.subtract(x, mean, out=y)
            np.multiply(y, scale, out=y)
            np.add(y, shift, out=y)

        vectors = [a.astype(x.dtype) for a in (mean, scale, shift)]
        channels.transform(normalize, [pixels, y.reshape(-1, C)], vectors)
        return images

    def centred(self, x: Any, layout: Layout) -> tuple[Any, Any, Any, Any]:
        if self.statistics is None:
            return super().centred(x, layout)
        mean, var = (s.reshape(layout.affine).astype(x.dtype) for s in self.statistics)
        return mean, var, 1 / np.sqrt(var + self.eps), x - mean

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        for shape in ((4, 3), (2, 3, 4), (3, 2, 1, 2), (1, 2, 2, 1, 2)):
            x, C = rng.standard_normal(shape), shape[1]
            w, b, mean, var = rng.standard_normal(C), rng.standard_normal(C), rng.standard_normal(C), rng.random(C)
            channels = [standardized(x[:, c], 1e-3) for c in range(C)]
            single = np.ones((1, C, *(1 for _ in shape[2:])))
            yield Case(cls(1e-3), (x,), np.stack(channels, 1), (single,), "more than 1 value per channel")
            y = np.stack([w[c] * channels[c] + b[c] for c in range(C)], 1)
            yield Case(cls(1e-3), (x, w, b), y, (x, w[1:], b), "weight of shape")
            y = np.stack([w[c] * (x[:, c] - mean[c]) / sqrt(var[c] + 1e-3) + b[c] for c in range(C)], 1)
            yield Case(cls(1e-3, (mean, var)), (x, w, b), y, (x[:, 1:], w, b), "running statistics")
            y = np.stack([(y[:, c] - b[c]) / w[c] for c in range(C)], 1)
            yield Case(cls(1e-3, (mean, var)), (x,), y, (mean,), "2 to 5 axes")


class InstanceNorm(Normalization):
    """Normalisation of each channel of each sample over its positions.   x (N, C, *n), w (C), b (C) → (N, C, *n)."""

    name = "instance_norm"

    def layout(self, x: Any) -> Layout:
        axes = tuple(range(2, len(x.shape)))
        return Layout(x.shape, axes, (1, x.shape[1], *(1 for _ in axes)))

    def fits(self, x: Spec) -> Shape:
        expect(3 <= x.ndim <= 5, self, "x of 3 to 5 axes (N, C, *n)", x=x)
        expect(prod(x.shape[2:]) > 1, self, "more than 1 position", x=x)
        return x.shape[1:2]

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        x, w, b = rng.standard_normal((2, 3, 2, 2)), rng.standard_normal(3), rng.standard_normal(3)
        y = [[w[c] * standardized(x[n, c], 1e-5) + b[c] for c in range(3)] for n in range(2)]
        yield Case(cls(1e-5), (x, w, b), y, (x[..., :1, :1], w, b), "more than 1 position")


@dataclass(eq=False)
class GroupNorm(Normalization):
    """Normalisation of each sample over groups of channels.   x (N, C, *n), w (C), b (C) → (N, C, *n)."""

    num_groups: int
    name = "group_norm"

    def layout(self, x: Any) -> Layout:
        N, C, *n = x.shape
        each = C // self.num_groups
        ones = (1,) * len(n)
        return Layout((N, self.num_groups, each, *n), tuple(range(2, len(n) + 3)), (1, self.num_groups, each, *ones))

    def fits(self, x: Spec) -> Shape:
        groups = self.num_groups
        expect(x.ndim >= 2 and x.shape[1] % groups == 0, self, f"x (N, C, *n), C a multiple of {groups}", x=x)
        expect(prod(x.shape[1:]) > 0, self, "at least one value in each group", x=x)
        return x.shape[1:2]

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        x, w, b = rng.standard_normal((2, 6, 2)), rng.standard_normal(6), rng.standard_normal(6)
        y = np.array([np.concatenate([standardized(x[n, c : c + 3], 1e-5) for c in (0, 3)]) for n in range(2)])
        yield Case(cls(1e-5, 2), (x, w, b), y * w[:, None] + b[:, None], (x[:, :5], w, b), "multiple of 2")
        yield Case(cls(1e-5, 2), (x,), y)


@dataclass(eq=False)
class LayerNorm(Normalization):
    """Normalisation of each sample over its last axes.   x (…, *s), w (*s), b (*s) → (…, *s)."""

    normalized_shape: Shape
    name = "layer_norm"

    def layout(self, x: Any) -> Layout:
        d, s = len(x.shape), self.normalized_shape
        return Layout(x.shape, tuple(range(d - len(s), d)), (1,) * (d - len(s)) + s)

    def fits(self, x: Spec) -> Shape:
        s = self.normalized_shape
        expect(
            x.shape[x.ndim - len(s) :] == s and prod(s) > 0, self, f"x with last axes {s} of at least one value", x=x
        )
        return s

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        x, w, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
        y = np.array([standardized(sample, 1e-5) for sample in x])
        yield Case(cls(1e-5, (3, 4)), (x, w, b), y * w + b, (x[:, 1:], w, b), "last axes")
        y = np.array([[standardized(row, 1e-5) for row in sample] for sample in x])
        yield Case(cls(1e-5, (4,)), (x, w[0], b[0]), y * w[0] + b[0], (x, w, b), "weight of shape")


def standardized(values: Array, eps: float) -> Array:
    """The values less their mean, over their standard deviation: one Python number at a time."""
    numbers = values.ravel().tolist()
    mean, deviation = fmean(numbers), sqrt(pvariance(numbers) + eps)
    return np.array([(v - mean) / deviation for v in numbers]).reshape(values.shape)


def batch_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """w (x − μ)/√(v + eps) + b for each channel. x (N, C, *n) of 2 to 5 axes; all others (C,) → (N, C, *n).

    In training μ and v are the batch's mean and biased variance; the running statistics, if given, then move by
    ``momentum`` towards μ and the unbiased variance: arrays in place, objects with a ``value`` by a new one. Else
    μ and v are the running statistics. Nothing moves for Specs.

    J for a channel of m entries: w σ⁻¹ (I − 11ᵀ/m − x̂x̂ᵀ/m) in training, else w σ⁻¹ I. Ioffe & Szegedy 2015.
    Raises ShapeError, also for one value per channel in training; ValueError for statistics that are missing or
    read-only, TypeError for those that cannot be updated.
    """
    expect_number("batch_norm", momentum=momentum)
    running = {"running_mean": running_mean, "running_var": running_var}
    expect_plain("batch_norm", **running)
    for name, r in running.items():
        if r is None:
            continue
        if training and not (isinstance(r, np.ndarray) or hasattr(r, "value")):
            raise TypeError(f"batch_norm: got {name} {type(r).__name__}; wanted an array or an object with a value")
        if np.asarray(held(r)).dtype.kind != "f":
            raise TypeError(f"batch_norm: got {name} of dtype {np.asarray(held(r)).dtype}; wanted float32 or float64")
        if training and isinstance(r, np.ndarray) and not r.flags.writeable:
            raise ValueError(f"batch_norm: got a read-only {name}; wanted one that can move")
    if training:
        op = BatchNorm(eps)
    elif running_mean is None or running_var is None:
        raise ValueError("batch_norm: got no running statistics; wanted running_mean and running_var unless training")
    else:
        op = BatchNorm(eps, (np.array(held(running_mean)), np.array(held(running_var))))
    y = _affine(op, x, weight, bias)
    if training and not (isinstance(y, Spec) or (isinstance(y, Node) and y.abstract)):
        move(op, running, momentum, y.size)
    return y


def move(op: BatchNorm, running: dict[str, Any], momentum: float, size: int) -> None:
    """Move the running statistics towards the batch's."""
    if MODE.get().replaying:  # a checkpoint runs again what has moved them already
        return
    mean, var = (np.ravel(moment) for moment in op.seen[1][:2])
    m = size // max(len(mean), 1)
    for name, r in running.items():
        if r is not None:
            expect(np.shape(held(r)) == mean.shape, op, f"{name} of shape {mean.shape}", **{name: np.shape(held(r))})
    for r, new in zip(running.values(), (mean, var * (m / (m - 1))), strict=True):
        if isinstance(r, np.ndarray):
            r[...] = (1 - momentum) * r + momentum * new
        elif r is not None:
            r.value = ((1 - momentum) * r.value + momentum * new).astype(r.value.dtype)


def held(running: Any) -> Any:
    """The array of a running statistic: itself, or the ``value`` of the object that has it."""
    return getattr(running, "value", running)


def instance_norm(x: Any, *, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """w (x − μ)/√(v + eps) + b, μ and v over the positions of each channel of each sample.

    x (N, C, *n), weight and bias (C,) → (N, C, *n). J as in batch_norm, m the number of positions.
    Ulyanov et al. 2016. Raises ShapeError.
    """
    return _affine(InstanceNorm(eps), x, weight, bias)


def group_norm(x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """w (x − μ)/√(v + eps) + b, μ and v over each of ``num_groups`` groups of channels of each sample.

    x (N, C, *n), weight and bias (C,) → (N, C, *n). J as in batch_norm, m the entries of a group.
    Wu & He 2018. Raises ShapeError, TypeError.
    """
    return _affine(GroupNorm(eps, *integers("group_norm", "num_groups", num_groups, 1)), x, weight, bias)


def layer_norm(x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """w (x − μ)/√(v + eps) + b, μ and v over the last axes, which are ``normalized_shape``, an integer or several.

    x (…, *s), weight and bias (*s) → (…, *s). J as in batch_norm, m the entries of *s. Ba et al. 2016.
    Raises ShapeError, TypeError.
    """
    d = len(normalized_shape) if isinstance(normalized_shape, Sequence) else 1
    shape = integers("layer_norm", "normalized_shape", normalized_shape, d)
    return _affine(LayerNorm(eps, shape), x, weight, bias)


def _affine(op: Normalization, x: Any, weight: Any, bias: Any) -> Any:
    """The op with both of weight and bias, or without."""
    expect_number(op, eps=op.eps)
    if weight is None and bias is None:
        return op(x)
    weight = _constant(1, bias) if weight is None else weight
    return op(x, weight, _constant(0, weight) if bias is None else bias)


def _constant(number: float, like: Any) -> Array:
    return np.full(shape_of(like), number, getattr(like, "dtype", None))


def power(s: Any, exponent: float) -> Any:
    """s to the ``exponent``; by square roots for −¾, which are ten times as fast."""
    if exponent != -0.75:
        return s**exponent
    root = np.sqrt(s)
    return 1 / (root * np.sqrt(root))


@dataclass(eq=False)
class LocalResponseNorm(Op):
    """y = x s^−β, s = k + α/size Σ x² over a window of ``size`` channels.   x (N, C, *n) → (N, C, *n).

    J between channels c and c′ at one position: δ_cc′ s_c^−β − 2αβ/size (y_c/s_c) x_c′ for c′ in the window of c.
    """

    size: int
    alpha: float
    beta: float
    k: float
    name = "local_response_norm"

    def infer(self, x: Spec) -> Spec:
        expect(x.ndim >= 3 and min(x.shape[1:]) > 0, self, "x (N, C, *n) with at least one channel and position", x=x)
        return Spec(x.shape, expect_floats(self, x=x))

    def window(self, x: Any) -> Window:
        """The windows over channels and positions: size // 2 channels before, the rest after."""
        C, S = x.shape[1], prod(x.shape[2:])
        before, after = min(self.size // 2, C), min(self.size - 1 - self.size // 2, C)  # beyond is nothing
        return Window((C, S), (before + 1 + after, 1), (1, 1), ((before, after), (0, 0)), (1, 1))

    def neighbours(self, x: Any) -> LinearMap:
        """v ↦ Σ v / size over each window, the padding's zeros included."""
        N, C, S = x.shape[0], x.shape[1], prod(x.shape[2:])
        image = Spec((N, 1, C, S), x.dtype)
        return Averages(self.window(x), np.full((1, 1), self.size), image, image.shape)

    def averaged(self, v: Any, verb: str = "push") -> Any:
        """The average of v over each window, or for ``verb`` "pull" its transpose."""
        A = self.neighbours(v)
        return np.reshape(getattr(A, verb)(np.reshape(v, A.in_shape)), v.shape)

    def damping(self, y: Any, x: Any) -> tuple[Any, Any]:
        """The entries of J: s^−β on the diagonal, and 2αβ y/s, which goes to the window's channels times their x."""
        s = self.k + self.alpha * self.averaged(x * x)
        return power(s, -self.beta), (2 * self.alpha * self.beta) * y / s

    def forward(self, x: Array) -> Any:
        def damped(x: Array) -> Any:
            z = self.wide(x)
            return (z * power(self.k + self.alpha * self.averaged(z * z), -self.beta)).astype(x.dtype, copy=False)

        return by_sample(damped, x)

    def wide(self, x: Any) -> Any:
        """x in double precision where float32 could not hold the squares, or their sum alone is the damping."""
        v = value_of(x)
        if v.dtype == np.float32 and v.size and (max(v.max(), -v.min()) > 1e18 or not self.k):
            return x.astype(np.float64)
        return x

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        N, C, S = x.shape[0], x.shape[1], prod(x.shape[2:])

        def push(v: Any) -> Any:
            z = self.wide(x)
            own, shared = self.damping(y, z)
            return (v * own - shared * self.averaged(z * v)).astype(x.dtype)

        def pulled(g: Any, y: Any, x: Any) -> Any:
            z = self.wide(x)
            own, shared = self.damping(y, z)
            return (g * own - z * self.averaged(g * shared, "pull")).astype(x.dtype)

        def pull(g: Any) -> Any:
            return by_sample(pulled, g, y, x)

        def rows(index: Array) -> sp.csr_array:
            n, c, i = np.unravel_index(index, (N, C, S))
            near = self.window(x).pixels[0][c]  # (R, size): the channels of each window, −1 in the padding
            own, shared = (value_of(d).ravel()[index, None] for d in self.damping(y, x))
            data = -shared / self.size * value_of(x).reshape(N, C, S)[n[:, None], near, i[:, None]]
            data += own * (near == c[:, None])
            columns, hit = (n[:, None] * C + near) * S + i[:, None], near >= 0
            starts = np.concatenate(([0], np.cumsum(hit.sum(1))))
            return compressed(data[hit], columns[hit], starts, (len(index), x.size))

        inside = self.window(x).pixels[0] >= 0
        most = int(inside.sum(1).max())  # a window's most channels, and a channel's most windows
        bounds = Bounds(N * S * int(inside.sum()), most, most) if N else Bounds(0, 0, 0)
        return [Formula(x.shape, x.shape, x.dtype, push=push, pull=pull, rows=rows, bounds=bounds)]

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        for size, shape in ((3, (2, 4, 3)), (4, (1, 5, 2, 2)), (5, (2, 2, 1, 1)), (1, (1, 2, 2))):
            x = rng.standard_normal(shape)
            y = np.empty(shape)
            for n, c, *p in np.ndindex(shape):
                window = [x[n, i, *p] for i in range(c - size // 2, c - size // 2 + size) if 0 <= i < shape[1]]
                y[n, c, *p] = x[n, c, *p] / (1.5 + 0.8 / size * sum(v * v for v in window)) ** 0.75
            yield Case(cls(size, 0.8, 0.75, 1.5), (x,), y, (x[0],) if x.ndim == 3 else None, "at least one channel")


def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """x / (k + alpha/size Σ x²)^beta, the sum over ``size`` neighbouring channels. x (N, C, *n) → (N, C, *n).

    The window of channel c starts at c − size // 2; beyond the channels there are zeros. J couples the channels
    at each position: a band of ``size`` diagonals. Krizhevsky et al. 2012. Raises ShapeError, TypeError.
    """
    (size,) = integers("local_response_norm", "size", size, 1)
    expect_number("local_response_norm", alpha=alpha, beta=beta, k=k)
    return LocalResponseNorm(size, float(alpha), float(beta), float(k))(x)
