"""Normalisation: groups of entries brought to mean 0 and variance 1, and responses damped by their neighbours'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from minigraph import notation
from minigraph.arguments import expect_number, expect_plain
from minigraph.array import Array
from minigraph.kernels import tasks
from minigraph.kernels.numpy.norm import (
    Groups,
    Moments,
    given_moments,
    moments,
    power,
    projected,
    standardized,
    total_product,
    wide,
)
from minigraph.kernels.sparse import compressed
from minigraph.kernels.window import Window
from minigraph.maps import Bounds, Diagonal, FunctionMap, LinearMap, Shape, promoted
from minigraph.mode import MODE, refuse_replay, replayed
from minigraph.node import Node, Spec, value_of
from minigraph.op import Op, expect, expect_floats
from minigraph.ops.geometry import integers, shape_of
from minigraph.ops.pool import Averages
from minigraph.sums import total

__all__ = [
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm",
]  # fmt: skip


@dataclass(eq=False)
class Normalization(Op, abstract=True):
    """y = w x̂ + b, x̂ = (x − μ)/σ, μ the mean and σ² − eps the variance of each group of m entries of x.

    ∂y/∂x = diag(w) σ⁻¹ (I − 11ᵀ/m − x̂x̂ᵀ/m) for a group, ∂y/∂w = diag(x̂) · Broadcast, ∂y/∂b = Broadcast.
    """

    operands = ("x", "w", "b")
    data_operands = 1
    formulas = ("diag(w) σ⁻¹ (I − 1 1ᵀ/m − x̂ x̂ᵀ/m)", "diag(x̂) (1 ⊗ I)", "1 ⊗ I")
    legend: ClassVar[dict[str, str]] = {
        "m": "the number of entries of a group",
        "x̂": "x normalised to mean 0 and standard deviation 1 in each group",
        "σ": "√(variance + eps) of each group",
        "S": "1 where two entries belong to the same group",
        "i": "the group",
    }
    eps: float
    statistics: ClassVar[Any] = None  # given, not taken from x

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        groups = self.groups(xs[0])
        if i:
            stretched = notation.stretching(groups.affine, groups.view)
            return stretched if i == 2 else notation.times("diag(x̂)", stretched)
        return self.projection(groups, len(xs) > 1)

    def projection(self, groups: Groups, weighted: bool) -> str:
        """∂y/∂x on paper: for one group, for groups one after another, and for groups in between each other."""
        view, axes, _ = groups
        if self.statistics is not None:
            return "diag(w/σ)" if weighted else "diag(1/σ)"
        last = max(i for i, n in enumerate(view) if i in axes) + 1
        first = min(axes)
        if any(n > 1 for i, n in enumerate(view) if i not in axes and first < i) or prod(view[last:]) > 1:
            return f"diag({'w' if weighted else '1'}/σ) (I − S/m − diag(x̂) S diag(x̂)/m)"
        w = "diag(w) " if weighted else ""
        if prod(view) == groups.size:
            return f"{w}σ⁻¹ (I − 1 1ᵀ/m − x̂ x̂ᵀ/m)"
        return f"⊕ᵢ {w.replace('w', 'wᵢ')}σᵢ⁻¹ (I − 1 1ᵀ/m − x̂ᵢ x̂ᵢᵀ/m)"

    def groups(self, x: Any) -> Groups:
        raise NotImplementedError

    def feature_shape(self, x: Spec) -> Shape:
        """Refuse an x that does not fit; the shape of weight and bias."""
        raise NotImplementedError

    def infer(self, x: Spec, w: Spec | None = None, b: Spec | None = None) -> Spec:
        affine = {name: p for name, p in (("weight", w), ("bias", b)) if p}
        features = self.feature_shape(x)
        for name, p in affine.items():
            expect(p.shape == features, self, f"{name} of shape {features}", x=x, **{name: p})
        return Spec(x.shape, expect_floats(self, x=x, **affine))

    def forward(self, x: Array, w: Array | None = None, b: Array | None = None) -> tuple[Array, Moments]:
        return tasks.normalize(x, w, b, self.groups(x), self.eps, self.statistics)  # type: ignore[no-any-return]

    def moments(self, x: Any) -> Moments:
        """Mean, variance and 1/σ of each group."""
        if self.statistics is not None:
            return given_moments(self.statistics, self.groups(x), self.eps, x.dtype)
        return moments(x, self.groups(x), self.eps)

    def jacobians(self, y: Any, x: Any, w: Any = None, b: Any = None, saved: Moments | None = None) -> list[LinearMap]:
        groups, dtype = self.groups(x), y.dtype
        mean, _, inverse = self.moments(x) if saved is None else saved
        J = Standardization(x, dtype, groups, mean, inverse, None if w is None else np.reshape(w, groups.affine))
        maps: list[LinearMap] = [J]
        if self.statistics is not None:
            maps = [Diagonal(Spec(x.shape, dtype), lambda: J.scale)]
        if w is not None and b is not None:
            maps += [repeated(w, x, dtype, groups, J), repeated(b, x, dtype, groups)]
        return [promoted(K, p) for K, p in zip(maps, (x, w, b), strict=False)]

    def pull(self, g: Any, wanted: Any, y: Any, x: Any, w: Any = None, b: Any = None, saved: Any = None) -> Any:
        if saved is None or any(p is not None and p.dtype != g.dtype for p in (x, w, b)):
            return NotImplemented
        return tasks.normalize_gradient(g, x, w, self.groups(x), saved, self.statistics is not None, wanted)[
            : len(wanted)
        ]


class Standardization(LinearMap):
    """v ↦ w σ⁻¹ (v − mean v − x̂ mean x̂v) for each group: the projection that removes shift and scale."""

    def __init__(self, x: Any, dtype: Any, groups: Groups, mean: Any, inverse: Any, weight: Any) -> None:
        super().__init__(x.shape, x.shape, dtype)
        self.x, self.groups, self.mean, self.inverse, self.weight = x, groups, mean, inverse, weight
        self.scale = inverse if weight is None else inverse * weight

    def standard(self) -> Any:
        """x̂, as a new array."""
        return standardized(self.x, self.groups, self.mean, self.inverse)

    def push(self, v: Any) -> Any:
        projection = projected(np.reshape(v, self.groups.view), self.standard(), self.groups)
        return np.reshape(projection * self.scale, self.in_shape)

    def pull(self, g: Any) -> Any:
        g = np.reshape(g, self.groups.view)
        weighted = g if self.weight is None else g * self.weight
        return np.reshape(projected(weighted, self.standard(), self.groups) * self.inverse, self.in_shape)

    @property
    def by_sample(self) -> bool:
        return 0 not in self.groups.axes and self.groups.view[:1] == self.in_shape[:1]

    def _push_rows(self, rows: Any) -> Any:
        return self._repeated(len(rows)).push(rows)

    def _pull_rows(self, rows: Any) -> Any:
        return self._repeated(len(rows)).pull(rows)

    def _repeated(self, n: int) -> Standardization:
        """The map of n arrays, each by this one."""
        view, axes, affine = self.groups
        groups = Groups((n, *view), tuple(i + 1 for i in axes), (1, *affine))
        x = np.broadcast_to(value_of(self.x), (n, *self.in_shape))
        return Standardization(x, self.dtype, groups, self.mean, self.inverse, self.weight)

    def _rows(self, index: Array) -> sp.csr_array:
        view, axes, _ = self.groups
        size, m = self.shape[0], self.groups.size
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
        m = self.groups.size
        return Bounds(self.shape[0] * m, m, m)


def repeated(p: Any, x: Any, dtype: Any, groups: Groups, J: Standardization | None = None) -> LinearMap:
    """∂y/∂b: v repeated over all groups; or with J ∂y/∂w: the same, times x̂."""
    view, affine = groups.view, groups.affine

    def push(v: Any) -> Any:
        v = np.reshape(v, affine)
        return np.reshape(np.broadcast_to(v, view) if J is None else J.standard() * v, x.shape)

    def pull(g: Any) -> Any:
        g, over = np.reshape(g, view), groups.stretched
        return np.reshape(total(g, over) if J is None else total_product(over, g, J.standard()), p.shape)

    def matrix() -> sp.csr_array:
        size = prod(view)
        columns = np.broadcast_to(np.arange(prod(affine)).reshape(affine), view).ravel()
        data = np.ones(size, dtype) if J is None else value_of(J.standard()).ravel()
        return sp.csr_array((data, columns, np.arange(size + 1)), shape=(size, prod(affine)))

    def pull_samples(rows: Any) -> Any:
        g, over = np.reshape(rows, (len(rows), *view)), tuple(i + 1 for i in groups.stretched if i)
        return np.reshape(total(g if J is None else g * J.standard(), over), (*rows.shape[:2], *p.shape))

    size, n, apart = prod(view), prod(affine), 0 in groups.stretched and view[:1] == x.shape[:1]
    bounds = Bounds(size, 1 if size else 0, size // n if n else 0)
    return FunctionMap(p.shape, x.shape, dtype, push=push, pull=pull, matrix=matrix, bounds=bounds,
                       pull_samples=pull_samples if apart else None)  # fmt: skip


@dataclass(eq=False)
class BatchNorm(Normalization):
    """Normalisation of each channel over batch and positions.   x (N, C, *n), w (C), b (C) → (N, C, *n).

    With given ``statistics`` (μ, σ² − eps) x̂ is affine in x: ∂y/∂x = diag(w σ⁻¹).
    """

    statistics: tuple[Array, Array] | None = field(default=None, repr=False)  # type: ignore[misc]
    name = "batch_norm"

    def formula(self, i: int) -> str | None:
        return "diag(w/σ)" if i == 0 and self.statistics is not None else super().formula(i)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"training": self.statistics is None, "eps": self.eps}

    def groups(self, x: Any) -> Groups:
        spatial = range(2, len(x.shape))
        return Groups(x.shape, (0, *spatial), (1, x.shape[1], *(1 for _ in spatial)))

    def feature_shape(self, x: Spec) -> Shape:
        expect(2 <= x.ndim <= 5, self, "x of 2 to 5 axes (N, C, *n)", x=x)
        if self.statistics is None:
            expect(x.shape[0] * prod(x.shape[2:]) > 1, self, "more than 1 value per channel when training", x=x)
        else:
            shapes = [s.shape for s in self.statistics]
            expect(
                shapes == [x.shape[1:2]] * 2, self, f"running statistics of shape {x.shape[1:2]}", x=x, shapes=shapes
            )
        return x.shape[1:2]


class InstanceNorm(Normalization):
    """Normalisation of each channel of each sample over its positions.   x (N, C, *n), w (C), b (C) → (N, C, *n)."""

    name = "instance_norm"

    def groups(self, x: Any) -> Groups:
        axes = tuple(range(2, len(x.shape)))
        return Groups(x.shape, axes, (1, x.shape[1], *(1 for _ in axes)))

    def feature_shape(self, x: Spec) -> Shape:
        expect(3 <= x.ndim <= 5, self, "x of 3 to 5 axes (N, C, *n)", x=x)
        expect(prod(x.shape[2:]) > 1, self, "more than 1 position", x=x)
        return x.shape[1:2]


@dataclass(eq=False)
class GroupNorm(Normalization):
    """Normalisation of each sample over groups of channels.   x (N, C, *n), w (C), b (C) → (N, C, *n)."""

    num_groups: int
    name = "group_norm"

    def groups(self, x: Any) -> Groups:
        N, C, *n = x.shape
        each = C // self.num_groups
        ones = (1,) * len(n)
        return Groups((N, self.num_groups, each, *n), tuple(range(2, len(n) + 3)), (1, self.num_groups, each, *ones))

    def feature_shape(self, x: Spec) -> Shape:
        groups = self.num_groups
        expect(x.ndim >= 2 and x.shape[1] % groups == 0, self, f"x (N, C, *n), C a multiple of {groups}", x=x)
        expect(prod(x.shape[1:]) > 0, self, "at least one value in each group", x=x)
        return x.shape[1:2]


@dataclass(eq=False)
class LayerNorm(Normalization):
    """Normalisation of each sample over its last axes.   x (…, *s), w (*s), b (*s) → (…, *s)."""

    normalized_shape: Shape
    name = "layer_norm"

    def groups(self, x: Any) -> Groups:
        d, s = len(x.shape), self.normalized_shape
        return Groups(x.shape, tuple(range(d - len(s), d)), (1,) * (d - len(s)) + s)

    def feature_shape(self, x: Spec) -> Shape:
        s = self.normalized_shape
        expect(
            x.shape[x.ndim - len(s) :] == s and prod(s) > 0, self, f"x with last axes {s} of at least one value", x=x
        )
        return s


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
        if np.asarray(running_value(r)).dtype.kind != "f":
            raise TypeError(
                f"batch_norm: got {name} of dtype {np.asarray(running_value(r)).dtype}; wanted float32 or float64"
            )
        if training and isinstance(r, np.ndarray) and not r.flags.writeable:
            raise ValueError(f"batch_norm: got a read-only {name}; wanted one that can move")
    if training:
        op = BatchNorm(eps)
    elif running_mean is None or running_var is None:
        raise ValueError("batch_norm: got no running statistics; wanted running_mean and running_var unless training")
    else:
        op = BatchNorm(eps, given_statistics(running_mean, running_var))
        effects = MODE.get().effects
        if effects is not None:
            effects.before[op] = lambda: setattr(op, "statistics", given_statistics(running_mean, running_var))
    y = _affine(op, x, weight, bias)
    if training and not (isinstance(y, Spec) or (isinstance(y, Node) and y.abstract)):
        size, effects = y.size, MODE.get().effects
        if effects is not None and isinstance(y, Node):
            effects.after.setdefault(op, []).append(
                lambda moments: update_running_statistics(op, running, momentum, moments, size)
            )
        with replayed():
            moments = y.saved if isinstance(y, Node) else op.moments(np.asarray(value_of(x)))
            update_running_statistics(op, running, momentum, moments, size)
    return y


def given_statistics(mean: Any, var: Any) -> tuple[Array, Array]:
    """The running statistics as they are now."""
    return np.array(running_value(mean)), np.array(running_value(var))


def update_running_statistics(
    op: BatchNorm, running: dict[str, Any], momentum: float, moments: Moments, size: int
) -> None:
    """Move the running statistics towards the batch's."""
    mean, var = (np.ravel(moment) for moment in moments[:2])
    move_statistics(op, running, momentum, (mean, var), size // max(len(mean), 1))


def move_statistics(op: Op, running: dict[str, Any], momentum: float, moments: tuple[Array, Array], m: int) -> None:
    """Move running statistics by ``momentum`` towards a mean and the unbiased variance of m entries."""
    if MODE.get().recomputing:  # a checkpoint runs again what has moved them already
        return
    refuse_replay(f"{op} moves running statistics")
    mean, var = moments
    for name, r in running.items():
        if r is not None:
            expect(
                np.shape(running_value(r)) == mean.shape,
                op,
                f"{name} of shape {mean.shape}",
                **{name: np.shape(running_value(r))},
            )
    for r, new in zip(running.values(), (mean, var * (m / (m - 1))), strict=True):
        if isinstance(r, np.ndarray):
            r[...] = (1 - momentum) * r + momentum * new
        elif r is not None:
            r.value = ((1 - momentum) * r.value + momentum * new).astype(r.value.dtype)


def running_value(running: Any) -> Any:
    """The array of a running statistic: itself, or the ``value`` of the object that has it."""
    return getattr(running, "value", running)


def instance_norm(
    x: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """w (x − μ)/√(v + eps) + b, μ and v over the positions of each channel of each sample.

    x (N, C, *n), weight and bias (C,) → (N, C, *n). J as in batch_norm, m the number of positions. Running statistics, if
    given, move by ``momentum`` towards the samples' means of μ and the unbiased variance; without ``use_input_stats`` they
    are μ and v. Ulyanov et al. 2016. Raises ShapeError.
    """
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    y = _affine(InstanceNorm(eps), x, weight, bias)
    if running_mean is not None and not (isinstance(y, Spec) or (isinstance(y, Node) and y.abstract)):
        value = np.asarray(value_of(x), np.float64)
        over, running = tuple(range(2, value.ndim)), {"running_mean": running_mean, "running_var": running_var}
        moments = value.mean((0, *over)), value.var(over).mean(0)
        move_statistics(InstanceNorm(eps), running, momentum, moments, prod(value.shape[2:]))
    return y


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
    formulas = ("diag(1/sᵝ) − 2 α β diag(y/s) A diag(x)",)
    legend: ClassVar[dict[str, str]] = {
        "s": "k + α A x², entry by entry",
        "A": "the sum over each window of channels, divided by size",
    }

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

    def settings(self, x: Any) -> tuple[Any, ...]:
        """What the kernels ask for: the window over the channels, its size, and the numbers."""
        over = self.window(x)
        channels = Window(over.size[:1], over.kernel[:1], over.stride[:1], over.padding[:1], over.dilation[:1])
        return channels, self.size, self.alpha, self.beta, self.k

    def forward(self, x: Array) -> tuple[Array, Any]:
        return tasks.local_response_norm(x, *self.settings(x))  # type: ignore[no-any-return]

    def jacobians(self, y: Any, x: Any, saved: Any = None) -> list[LinearMap]:
        N, C, S = x.shape[0], x.shape[1], prod(x.shape[2:])

        def push(v: Any) -> Any:
            z = wide(x, self.k)
            own, shared = self.damping(y, z)
            return (v * own - shared * self.averaged(z * v)).astype(x.dtype)

        def pull(g: Any) -> Any:
            if all(type(a) is np.ndarray for a in (g, x, y)):
                return tasks.local_response_norm_gradient(g, x, y, *self.settings(x), saved)
            z = wide(x, self.k)
            own, shared = self.damping(y, z)
            return (g * own - z * self.averaged(g * shared, "pull")).astype(x.dtype)

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
        return [FunctionMap(x.shape, x.shape, x.dtype, push=push, pull=pull, rows=rows, bounds=bounds, by_sample=True)]


def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """x / (k + alpha/size Σ x²)^beta, the sum over ``size`` neighbouring channels. x (N, C, *n) → (N, C, *n).

    The window of channel c starts at c − size // 2; beyond the channels there are zeros. J couples the channels
    at each position: a band of ``size`` diagonals. Krizhevsky et al. 2012. Raises ShapeError, TypeError.
    """
    (size,) = integers("local_response_norm", "size", size, 1)
    expect_number("local_response_norm", alpha=alpha, beta=beta, k=k)
    return LocalResponseNorm(size, float(alpha), float(beta), float(k))(x)
