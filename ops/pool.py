"""Pooling: the maximum or the average of each window, channel by channel.

Both are a matrix, vec(y) = A vec(x), which for the maximum depends on the positions of the maxima.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, reduce
from math import lcm, prod
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from minigraph import notation
from minigraph.arguments import expect_integer
from minigraph.array import Array
from minigraph.facts import Axis, Layer, Reach, one_sample
from minigraph.kernels import tasks
from minigraph.kernels.numpy.matrices import BlockMatrix
from minigraph.kernels.numpy.pool import winners
from minigraph.kernels.window import Ints, Pairs, Window
from minigraph.maps import MAX_BYTES, Apply, Bounds, FunctionMap, LinearMap, Selection, Shape, pick
from minigraph.node import Node, Spec, value_of
from minigraph.op import Op, expect, expect_floats
from minigraph.ops.conv.matrices import BlockMap, expect_bytes
from minigraph.ops.geometry import (
    MAX_ARGUMENT,
    WINDOW,
    expect_axes,
    integers,
    is_sequence,
    over_axes,
    pairs,
    window_over,
)
from minigraph.ops.products import einsum

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "global_avg_pool", "global_max_pool", "max_pool1d",
    "max_pool2d", "max_pool3d", "maxout", "pool_matrix",
]  # fmt: skip


SELECTION_LEGEND = "0/1: the row of each output has a 1 at the maximum of its window, the first of equal ones"


def _max_pool(
    d: int, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """Maximum of each window: x (N, C, H, W) → (N, C, H′, W′), channel by channel.

    W′ = ⌊(W + 2 padding − dilation (r − 1) − 1) / stride⌋ + 1, or ⌈…⌉ with ``ceil_mode``, which drops a last window that
    would start outside the image. ``stride`` defaults to ``kernel_size``. Padding is never the maximum. Of equal entries
    the first is chosen, and NaN before any number. J = A, 0/1, with one 1 in each row (``pool_matrix``).
    With ``return_indices`` also where each maximum lies in its plane, for max_unpool2d.
    Raises ShapeError, also if padding exceeds half the kernel; TypeError for dtypes other than float.
    """
    op = MaxPool(*_arguments(f"max_pool{d}d", d, kernel_size, stride, padding, dilation, ceil_mode))
    return _with_indices(op, x) if return_indices else op(x)


def _with_indices(op: Any, x: Any) -> tuple[Any, Array]:
    """The maxima and their flat indices in the planes of x."""
    y, value = op(x), np.asarray(value_of(x))
    index = (
        op.winners(value)
        if isinstance(op, AdaptiveMaxPool)
        else winners(value, np.asarray(value_of(y)), op.window(value))
    )
    return y, index.reshape(y.shape) % prod(value.shape[2:])


def _avg_pool(
    d: int,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Average of each window: x (N, C, H, W) → (N, C, H′, W′), channel by channel; sizes as in max_pool2d.

    The divisor counts the zeros of the padding unless ``count_include_pad`` is false. It never counts positions beyond the
    padding, which the last window of ``ceil_mode`` may reach; it is ``divisor_override`` if that is given. J has 1/m at
    the m entries of each window.
    Raises ShapeError, also if padding exceeds half the kernel; TypeError for dtypes other than float.
    """
    arguments = _arguments(f"avg_pool{d}d", d, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is not None:
        expect_integer(f"avg_pool{d}d", 1, divisor_override=divisor_override)
    return AvgPool(*arguments, count_include_pad=count_include_pad, divisor_override=divisor_override)(x)


max_pool1d, max_pool2d, max_pool3d = over_axes(_max_pool)
avg_pool1d, avg_pool2d, avg_pool3d = over_axes(_avg_pool)


def global_avg_pool(x: Any) -> Any:
    """Average over all positions: x (N, C, *n) → (N, C). J has 1/size at every entry of the channel. Lin et al. 2014.

    Raises ShapeError if x has no positions, TypeError for dtypes other than float.
    """
    return GlobalAvgPool()(x)


def global_max_pool(x: Any) -> Any:
    """Maximum over all positions: x (N, C, *n) → (N, C). J = A, 0/1; of equal entries the first is chosen.

    Raises ShapeError if x has no positions, TypeError for dtypes other than float.
    """
    return GlobalMaxPool()(x)


def _adaptive_avg_pool(d: int, x: Any, output_size: Any) -> Any:
    """Averages over a given number of windows: x (N, C, H, W) → (N, C, H′, W′), channel by channel.

    ``output_size``: the size of each axis, or one integer for all; None keeps the size of an axis. Window i of W′ covers
    the pixels from ⌊i W / W′⌋ to ⌈(i + 1) W / W′⌉ − 1; neighbouring windows overlap if W′ does not divide W.
    J = I ⊗ A₁ ⊗ …, with the averages over one axis in the rows of each A. Raises ShapeError, TypeError.
    """
    return AdaptiveAvgPool(*_sizes(f"adaptive_avg_pool{d}d", d, output_size))(x)


def _adaptive_max_pool(d: int, x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over a given number of windows: x (N, C, H, W) → (N, C, H′, W′), channel by channel.

    The windows are those of adaptive_avg_pool2d. Of equal entries the first is chosen, and NaN before any number. J = A,
    0/1, with one 1 in each row. ``return_indices`` as in max_pool2d.
    Raises ShapeError, TypeError.
    """
    op = AdaptiveMaxPool(*_sizes(f"adaptive_max_pool{d}d", d, output_size))
    return _with_indices(op, x) if return_indices else op(x)


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = over_axes(_adaptive_avg_pool)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = over_axes(_adaptive_max_pool)


def maxout(x: Any, pieces: int, axis: int = 1) -> Any:
    """Maximum of each ``pieces`` neighbours along ``axis``, the channels: x (N, C, …) → (N, C / pieces, …).

    J = A, 0/1, with one 1 in each row; of equal entries the first is chosen. Goodfellow et al. 2013.
    Raises ShapeError if ``pieces`` does not divide the axis, TypeError unless both are integers.
    """
    (pieces,), (axis,) = integers("maxout", "pieces", pieces, 1), integers("maxout", "axis", axis, 1, -MAX_ARGUMENT)
    return Maxout(pieces, axis)(x)


def pool_matrix(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    ceil_mode: bool = False,
    kind: str = "max",
    count_include_pad: bool = True,
    max_bytes: int | None = MAX_BYTES,
) -> sp.csr_array:
    """A: the matrix of a pooling, vec(pool(x)) = A vec(x), for ``kind`` "max" (at this x) or "avg".

    x (N, C, *n), or (C, *n) for one image → (N · C · n′…, N · C · n…). Raises ShapeError, ValueError,
    MemoryBudgetError for a matrix of more than ``max_bytes`` (None: no limit).
    """
    op, x, d = "pool_matrix", np.asarray(x), len(kernel_size) if is_sequence(kernel_size) else 2
    if not isinstance(kind, str) or kind not in ("max", "avg"):
        raise ValueError(f"{op}: got kind {kind!r}; wanted 'max' or 'avg'")
    x = x[None] if x.ndim == d + 1 else x
    arguments = _arguments(op, d, kernel_size, stride, padding, dilation, ceil_mode)
    pool = MaxPool(*arguments) if kind == "max" else AvgPool(*arguments, count_include_pad=count_include_pad)
    y = pool.infer(Spec(x.shape, x.dtype))
    if isinstance(pool, AvgPool):
        (J,) = pool.jacobians(y, x)
        expect_bytes(op, J.nnz, J.nbytes, max_bytes)
    else:  # one entry for each output, or none
        n = prod(y.shape)
        expect_bytes(op, n, n * (x.itemsize + 8), max_bytes)
        (J,) = pool.jacobians(pool(x), x)
    return J.tosparse(None)


def _arguments(
    op: str, d: int, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Ints, Ints, Pairs, Ints, bool]:
    r, pads = integers(op, "kernel_size", kernel, d), pairs(op, padding, d)
    dil = integers(op, "dilation", dilation, d)
    half = all(max(pad) <= f // 2 for pad, f in zip(pads, r, strict=True))
    expect(half, op, "padding of at most half the kernel", padding=padding, kernel_size=kernel)
    return r, r if stride is None else integers(op, "stride", stride, d), pads, dil, bool(ceil_mode)


def _sizes(op: str, d: int, output_size: Any) -> tuple[int, tuple[int | None, ...]]:
    """The number of axes and the output size of each; None keeps the input size."""
    sizes = tuple(output_size) if is_sequence(output_size) else (output_size,) * d
    expect(len(sizes) == d, op, f"one integer or None, or {d} of them", output_size=output_size)
    resolved = tuple(None if n is None else integers(op, "output_size", n, 1)[0] for n in sizes)
    expect(
        all(n is None or n <= MAX_ADAPTIVE_WINDOWS for n in resolved),
        op,
        f"sides of at most {MAX_ADAPTIVE_WINDOWS}",
        output_size=output_size,
    )
    return d, resolved


@dataclass(eq=False)
class Pool(Op, abstract=True):
    """Base of max and average pooling: the windows."""

    kernel_size: Ints
    stride: Ints
    padding: Pairs
    dilation: Ints
    ceil_mode: bool = False

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0,)]

    def __post_init__(self) -> None:
        self.name = f"{type(self).name}{len(self.stride)}d"

    def window(self, x: Any) -> Window:
        """The windows; ``ceil_mode`` adds padding at the end for a last window that starts inside the image."""
        pads = self.padding
        if self.ceil_mode:
            axes = zip(x.shape[2:], self.kernel_size, self.stride, pads, self.dilation, strict=True)
            pads = tuple((b, a + ceil_padding(n + b + a - d * (f - 1) - 1, n + b, s)) for n, f, s, (b, a), d in axes)
        return window_over(self, x, self.kernel_size, self.stride, pads, self.dilation)

    defaults = WINDOW
    selects: ClassVar[bool] = False

    def infer(self, x: Spec) -> Spec:
        expect_axes(self, len(self.stride), "N, C", x=x)
        return Spec((*x.shape[:2], *self.window(x).out), expect_floats(self, x=x))

    def reach(self, y: Any, x: Any, *weights: Any) -> Reach:
        window = self.window(x)
        return Reach(window.extent, window.stride)

    def layer(self, learned: int, x: Spec) -> Layer:
        y = self.infer(one_sample(x))
        return pooling(x, y, y.size * prod(self.kernel_size), self.selects)


def pooling(x: Spec, y: Spec, entries: int, selects: bool, channels: bool = True) -> Layer:
    """The layer facts of a pooling that reads ``entries`` entries for one sample y."""
    cuts = [[Axis("N", ((0, 0), (-1, 0)))]] + ([[Axis("C", ((0, 1), (-1, 1)))]] if channels else [])
    if selects:
        return Layer((one_sample(x),), operations=entries - y.size, nnz=y.size, cuts=cuts)
    return Layer((one_sample(x),), operations=entries, cuts=cuts)


def ceil_padding(last: int, end: int, stride: int) -> int:
    """The extra padding of ceil mode; ``last``: the last possible start of a window, ``end``: the end of the image."""
    up = -last % stride
    return up if last + up < end else 0


@dataclass(eq=False)
class MaxPool(Pool):
    """Maximum of each window.   x (N, C, *n) → (N, C, *n′).

    J = A, the 0/1 selection matrix: A[p, q] = 1 iff pixel q is the maximum of window p (the first of equal ones).
    Raises ShapeError, TypeError.
    """

    name = "max_pool"
    formulas = ("A",)
    legend: ClassVar[dict[str, str]] = {"A": SELECTION_LEGEND}
    selects = True

    def forward(self, x: Array) -> tuple[Array, Any]:
        return tasks.max_pool(x, self.window(x))  # type: ignore[no-any-return]

    def jacobians(self, y: Any, x: Any, saved: Any = None) -> list[LinearMap]:
        return [Winners(self.window(x), value_of(x), value_of(y), saved)]


class Winners(Selection):
    """A, the 0/1 matrix that selects the maximum of each window; the first of equal entries wins."""

    def __init__(self, window: Window, x: Array, y: Array, saved: Any = None) -> None:
        LinearMap.__init__(self, x.shape, y.shape, x.dtype)
        self.window, self.x, self.y, self.saved = window, x, y, saved

    by_sample = property(lambda self: True)

    @cached_property
    def index(self) -> Array:
        """The flat index in x of each maximum, −1 for a window without a pixel."""
        return winners(self.x, self.y, self.window)

    def move(self, v: Any) -> Any:
        """The entries of v at the maxima."""
        return pick(self.index, self.in_shape, self.dtype).move(v)

    def back(self, g: Array) -> Any:
        """Each entry of g, added at the maximum of its window."""
        return tasks.max_pool_gradient(g, self.x, self.y, self.window, self.saved)


@dataclass(eq=False)
class AvgPool(Pool):
    """Average of each window.   x (N, C, *n) → (N, C, *n′).

    J[p, q] = 1/r² for the r² pixels q of window p: a convolution of each channel with ones, divided.
    Raises ShapeError, TypeError.
    """

    count_include_pad: bool = True
    divisor_override: int | None = None
    name = "avg_pool"
    formulas = ("I ⊗ A",)
    legend: ClassVar[dict[str, str]] = {
        "A": "the averages of one channel: a row for each window, with 1/r at its r pixels"
    }

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        return notation.kronecker([("I", prod(y.shape[:2])), ("A", 0)])

    def divisor(self, y: Any, *xs: Any) -> int:
        return lcm(*map(int, np.unique(self._divisors(self.window(xs[0])))))

    def forward(self, x: Array) -> Array:
        return self._map(x).push(x)  # type: ignore[no-any-return]

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        return [self._map(x)]

    def _map(self, x: Any) -> Averages:
        window = self.window(x)
        return Averages(window, self._divisors(window), x, (*x.shape[:2], *window.out))

    def _divisors(self, window: Window) -> Array:
        """The number of entries counted in each window: (n′…)."""
        if self.divisor_override is not None:
            return np.full(window.out, self.divisor_override)
        if not self.count_include_pad:
            counts = [(table >= 0).sum(1) for table in window.pixels]
        else:
            axes = zip(window.size, window.kernel, window.stride, self.padding, window.out, strict=True)
            counts = [np.minimum(np.arange(o) * s + f, n + b + a) - np.arange(o) * s for n, f, s, (b, a), o in axes]
        return reduce(np.multiply.outer, counts)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {name: value for name, value in super().hyperparameters.items() if name != "dilation"}


@dataclass(eq=False)
class GlobalAvgPool(Op):
    """Average over all positions.   x (N, C, *n) → (N, C).   J = 1/size.   Raises ShapeError."""

    name = "global_avg_pool"
    formulas = ("(I ⊗ 1ᵀ)/n",)
    legend: ClassVar[dict[str, str]] = {"n": "the number of positions"}

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0,)]

    def divisor(self, y: Any, *xs: Any) -> int:
        return prod(xs[0].shape[2:])

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        n = prod(xs[0].shape[2:])
        return notation.over(notation.kronecker([("I", prod(y.shape)), ("1ᵀ", n)]), "n")

    def infer(self, x: Spec) -> Spec:
        expect(x.ndim > 2 and min(x.shape[2:]) > 0, self, "x (N, C, *n) with at least one position", x=x)
        return Spec(x.shape[:2], expect_floats(self, x=x))

    def forward(self, x: Array) -> Array:
        axes, double = tuple(range(2, x.ndim)), np.float64 if x.dtype == np.float32 else None
        return np.asarray(x.mean(axis=axes, dtype=double), x.dtype)

    def layer(self, learned: int, x: Spec) -> Layer:
        return pooling(x, self.infer(one_sample(x)), prod(x.shape[1:]), False)

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        n, d = x.shape[2:], len(x.shape) - 2
        window = Window(n, n, (1,) * d, ((0, 0),) * d, (1,) * d)
        return [Averages(window, np.full((1,) * d, prod(n)), x, y.shape)]


MAX_ADAPTIVE_WINDOWS = 1 << 20  # of an axis, which adaptive pooling lists one by one


class Averages(BlockMap):
    """The sum of each window of x divided by the divisor of the window."""

    def __init__(self, window: Window, divisors: Array, x: Any, out_shape: Shape) -> None:
        super().__init__(x.shape, out_shape, x.dtype)
        self.window, self.divisors = (
            window,
            divisors.astype(np.float64 if self.dtype.kind == "c" else self.dtype),
        )

    by_sample = property(lambda self: True)

    def push(self, v: Any) -> Any:
        if isinstance(v, Node):
            return Apply(self)(v)
        return tasks.avg_pool(v, self.window, self.divisors).reshape(len(v), *self.out_shape[1:])

    def pull(self, g: Any) -> Any:
        if isinstance(g, Node):
            return Apply(self.T)(g)
        return tasks.avg_pool_gradient(
            np.reshape(g, (len(g), self.in_shape[1], *self.window.out)), self.window, self.divisors
        )

    def _push_rows(self, rows: Any) -> Any:
        return self.push(rows.reshape(-1, *self.in_shape[1:])).reshape(len(rows), *self.out_shape)

    def _pull_rows(self, rows: Any) -> Any:
        return self.pull(rows.reshape(-1, *self.out_shape[1:])).reshape(len(rows), *self.in_shape)

    def _blocks(self) -> BlockMatrix:
        window = self.window
        return average_matrix(window.pixels, window.size, self.divisors, prod(self.in_shape[:2]), self.dtype)

    @property
    def bounds(self) -> Bounds:
        planes, meet = prod(self.in_shape[:2]), self.window.meetings
        return Bounds(planes * meet.total, meet.per_output, meet.per_pixel) if planes else Bounds(0, 0, 0)


def average_matrix(tables: Sequence[Array], size: Ints, divisors: Array, planes: int, dtype: Any) -> BlockMatrix:
    """1/divisor[p] in row p of each plane, at the sites of its window."""
    taps, each = (
        np.zeros((1, prod([table.shape[1] for table in tables])), int),
        (1 / divisors).reshape(1, -1).astype(dtype),
    )
    starts, width = np.arange(planes).reshape(-1, 1, 1) * prod(size), planes * prod(size)
    return BlockMatrix(each, tables, size, 0, taps, starts, width, True, np.arange(divisors.size))


# --- as many windows as are wanted ----------------------------------------------------------------------


def adaptive_windows(n: int, o: int) -> list[tuple[int, int]]:
    """Start and stop of ``o`` windows over ``n`` pixels: ⌊i n / o⌋ and ⌈(i + 1) n / o⌉."""
    return [(i * n // o, -(-(i + 1) * n // o)) for i in range(o)]


def window_pixels(start: Array, stop: Array) -> Array:
    """The pixels of each window, padded with −1: (windows, most pixels in a window)."""
    pixels = start[:, None] + np.arange((stop - start).max(initial=0))
    return np.where(pixels < stop[:, None], pixels, -1)


@dataclass(eq=False)
class AdaptivePool(Op, abstract=True):
    """Base of adaptive pooling over ``axes`` spatial axes; ``output_size``: one size per axis, None keeps the input size."""

    selects: ClassVar[bool] = False
    axes: int = field(repr=False)
    output_size: tuple[int | None, ...]

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0,)]

    def __post_init__(self) -> None:
        self.name = f"{type(self).name}{self.axes}d"

    def reach(self, y: Any, x: Any, *weights: Any) -> Reach:
        sides = list(zip(x.shape[2:], y.shape[2:], strict=True))
        taps = tuple(max(stop - start for start, stop in adaptive_windows(n, m)) for n, m in sides)
        return Reach(taps, tuple(Fraction(n, m) for n, m in sides))

    def layer(self, learned: int, x: Spec) -> Layer:
        sides = zip(x.shape[2:], self.out(x), strict=True)
        entries = x.shape[1] * prod(sum(stop - start for start, stop in adaptive_windows(n, o)) for n, o in sides)
        return pooling(x, self.infer(one_sample(x)), entries, self.selects)

    def out(self, x: Any) -> Ints:
        return tuple(n if o is None else o for n, o in zip(x.shape[2:], self.output_size, strict=True))

    def infer(self, x: Spec) -> Spec:
        expect_axes(self, self.axes, "N, C", x=x)
        expect(min(x.shape[2:]) > 0, self, "an image of at least one pixel", x=x)
        return Spec((*x.shape[:2], *self.out(x)), expect_floats(self, x=x))


class AdaptiveAvgPool(AdaptivePool):
    """Average of each of n′ windows.   x (N, C, *n) → (N, C, *n′).   J = I ⊗ A₁ ⊗ …, one A (n′, n) for each axis."""

    name = "adaptive_avg_pool"
    legend: ClassVar[dict[str, str]] = {"A": "the averages along one axis: 1/r at the pixels of a window of r"}

    def formula(self, i: int) -> str | None:
        return " ⊗ ".join(
            ["I", *([notation.numbered("A", k) for k in range(1, self.axes + 1)] if self.axes > 1 else "A")]
        )

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        text = str(self.formula(i))
        return text if prod(y.shape[:2]) > 1 else text.removeprefix("I ⊗ ")

    def averages(self, x: Any) -> list[Array]:
        """A for each axis: row i has 1/r at the r pixels of window i."""
        matrices = []
        for n, o in zip(x.shape[2:], self.out(x), strict=True):
            A = np.zeros((o, n), x.dtype)
            for i, (start, stop) in enumerate(adaptive_windows(n, o)):
                A[i, start:stop] = 1 / (stop - start)
            matrices.append(A)
        return matrices

    def divisor(self, y: Any, *xs: Any) -> int:
        axes = zip(xs[0].shape[2:], y.shape[2:], strict=True)
        return prod(lcm(*(stop - start for start, stop in adaptive_windows(n, o))) for n, o in axes)

    def forward(self, x: Array) -> Array:
        return self._map(x).push(x)  # type: ignore[no-any-return]

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        return [self._map(x)]

    def _map(self, x: Any) -> LinearMap:
        matrices, d, out, planes = self.averages(x), self.axes, self.out(x), prod(x.shape[:2])
        pixels, outputs = "dhw"[:d], "pqr"[:d]
        tables = ",".join(p + n for p, n in zip(outputs, pixels, strict=True))
        hits = [A != 0 for A in matrices]
        most = [prod(int(hit.sum(i).max()) for hit in hits) for i in (1, 0)]

        def blocks() -> BlockMatrix:
            sides = [np.array(adaptive_windows(n, o)) for n, o in zip(x.shape[2:], out, strict=True)]
            divisors = reduce(np.multiply.outer, [stop - start for start, stop in (side.T for side in sides)])
            return average_matrix([window_pixels(*side.T) for side in sides], x.shape[2:], divisors, planes, x.dtype)

        return FunctionMap(
            x.shape, (*x.shape[:2], *out), x.dtype,
            push=lambda v: einsum(f"...{pixels},{tables}->...{outputs}", v, *matrices),
            pull=lambda g: einsum(f"...{outputs},{tables}->...{pixels}", g, *matrices), leading=True, by_sample=True,
            matrix=lambda: blocks().tocsr(), rows=lambda index: blocks().rows(index),
            bounds=Bounds(planes * prod(int(hit.sum()) for hit in hits), *most) if planes else Bounds(0, 0, 0),
        )  # fmt: skip


class Choice(Op, abstract=True):
    """Each output is the maximum of some inputs.   J = A, 0/1: A[p, q] = 1 iff entry q is chosen for output p."""

    formulas = ("A",)
    legend: ClassVar[dict[str, str]] = {"A": SELECTION_LEGEND}

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0,)]

    def winners(self, x: Array) -> Array:
        """The flat index in x of each output entry."""
        raise NotImplementedError

    def layer(self, learned: int, x: Spec) -> Layer:
        return pooling(x, self.infer(one_sample(x)), prod(x.shape[1:]), True)

    def forward(self, x: Array) -> Any:
        return x.reshape(-1)[self.winners(x)]

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        return [pick(self.winners(value_of(x)), x.shape, x.dtype)]


class AdaptiveMaxPool(AdaptivePool, Choice):
    """Maximum of each of n′ windows.   x (N, C, *n) → (N, C, *n′).   J = A, the 0/1 selection matrix."""

    name = "adaptive_max_pool"
    selects = True

    def winners(self, x: Array) -> Array:
        return window_argmax(x, [adaptive_windows(n, o) for n, o in zip(x.shape[2:], self.out(x), strict=True)])


class GlobalMaxPool(Choice):
    """Maximum over all positions.   x (N, C, *n) → (N, C).   J = A, the 0/1 selection matrix."""

    name = "global_max_pool"

    def infer(self, x: Spec) -> Spec:
        expect(x.ndim > 2 and min(x.shape[2:]) > 0, self, "x (N, C, *n) with at least one position", x=x)
        return Spec(x.shape[:2], expect_floats(self, x=x))

    def winners(self, x: Array) -> Array:
        return window_argmax(x, [[(0, n)] for n in x.shape[2:]]).reshape(x.shape[:2])


@dataclass(eq=False)
class Maxout(Choice):
    """Maximum of each ``pieces`` neighbours along ``axis``.   (…, C, …) → (…, C / pieces, …).   J = A, 0/1."""

    pieces: int
    axis: int = 1
    name = "maxout"

    def infer(self, x: Spec) -> Spec:
        expect(-x.ndim <= self.axis < x.ndim, self, f"axis {self.axis} to be one of x", x=x)
        expect(x.shape[self.axis] % self.pieces == 0, self, f"axis {self.axis} a multiple of {self.pieces}", x=x)
        shape = list(x.shape)
        shape[self.axis] //= self.pieces
        return Spec(tuple(shape), expect_floats(self, x=x))

    def layer(self, learned: int, x: Spec) -> Layer:
        return pooling(x, self.infer(one_sample(x)), prod(x.shape[1:]), True, channels=False)

    def winners(self, x: Array) -> Array:
        axis = self.axis % x.ndim
        shape = (*x.shape[:axis], x.shape[axis] // self.pieces, self.pieces, *x.shape[axis + 1 :])
        best = x.reshape(shape).argmax(axis + 1, keepdims=True)
        return np.take_along_axis(np.arange(x.size).reshape(shape), best, axis + 1).squeeze(axis + 1)


def window_argmax(x: Array, windows: list[list[tuple[int, int]]]) -> Array:
    """The flat index of the maximum of each window, found axis by axis from the last; of equal entries the first."""
    N, C, *n = x.shape
    numbers = np.broadcast_to((np.arange(N * C) * prod(n)).reshape(N, C, *(1 for _ in n)), x.shape)
    for i in reversed(range(len(n))):
        values, places, step = [], [], prod(n[i + 1 :])
        for start, stop in windows[i]:
            part = (slice(None),) * (i + 2) + (slice(start, stop),)
            best = x[part].argmax(i + 2, keepdims=True)
            values.append(np.take_along_axis(x[part], best, i + 2))
            places.append(np.take_along_axis(numbers[part], best, i + 2) + (best + start) * step)
        x, numbers = np.concatenate(values, i + 2), np.concatenate(places, i + 2)
    return numbers
