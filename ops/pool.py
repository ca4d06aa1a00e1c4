"""Pooling: the largest entry or the average of each window, channel by channel.

Both are constant matrices once the winners are known: vec(y) = A vec(x).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from minigraph.array import Array
from minigraph.maps import MAX_BYTES, Apply, Bounds, Formula, LinearMap, Selection, Shape, pick
from minigraph.memory import empty_like
from minigraph.node import Node, Spec, value_of
from minigraph.op import Case, Op, expect, expect_floats
from minigraph.ops import channels
from minigraph.ops.conv.blocks import BLOCK_BYTES, Part, lines
from minigraph.ops.conv.blocks import parts as parts_of
from minigraph.ops.conv.geometry import (
    LARGEST,
    Ints,
    Pairs,
    Window,
    expect_axes,
    integers,
    pairs,
    several,
    window_over,
)
from minigraph.ops.conv.matrices import BlockMatrix, expect_bytes
from minigraph.ops.elementwise import where_true
from minigraph.ops.matmul import einsum
from minigraph.parallel import equal, parallel

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "global_avg_pool", "global_max_pool", "max_pool1d",
    "max_pool2d", "max_pool3d", "maxout", "pool_matrix",
]  # fmt: skip


def max_pool1d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Any:
    """Largest entry of each window: x (N, C, W) → (N, C, W′); see max_pool2d."""
    return MaxPool(*_arguments("max_pool1d", 1, kernel_size, stride, padding, dilation, ceil_mode))(x)


def max_pool2d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Any:
    """Largest entry of each window: x (N, C, H, W) → (N, C, H′, W′), channel by channel.

    H′ = ⌊(H + 2 padding − dilation (r − 1) − 1) / stride⌋ + 1, or ⌈…⌉ with ``ceil_mode``, where a last window
    that would start beyond the image is dropped. ``stride`` is ``kernel_size`` unless given. Padding never
    wins; the first of equal entries does; NaN wins always. J = A, 0/1, one 1 in each row (``pool_matrix``).
    Raises ShapeError, also for padding of more than half the kernel; TypeError for what is not float.
    """
    return MaxPool(*_arguments("max_pool2d", 2, kernel_size, stride, padding, dilation, ceil_mode))(x)


def max_pool3d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Any:
    """Largest entry of each window: x (N, C, D, H, W) → (N, C, D′, H′, W′); see max_pool2d."""
    return MaxPool(*_arguments("max_pool3d", 3, kernel_size, stride, padding, dilation, ceil_mode))(x)


def avg_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Average of each window: x (N, C, W) → (N, C, W′); see avg_pool2d."""
    return AvgPool(
        *_arguments("avg_pool1d", 1, kernel_size, stride, padding, 1, ceil_mode), count_include_pad=count_include_pad
    )(x)


def avg_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Average of each window: x (N, C, H, W) → (N, C, H′, W′), channel by channel; sizes as in max_pool2d.

    Zeros of the padding count in the divisor unless ``count_include_pad`` is false; what a last window of
    ``ceil_mode`` reaches beyond them never counts. J has 1/r² at the r² entries of each window.
    Raises ShapeError, also for padding of more than half the kernel; TypeError for what is not float.
    """
    return AvgPool(
        *_arguments("avg_pool2d", 2, kernel_size, stride, padding, 1, ceil_mode), count_include_pad=count_include_pad
    )(x)


def avg_pool3d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Average of each window: x (N, C, D, H, W) → (N, C, D′, H′, W′); see avg_pool2d."""
    return AvgPool(
        *_arguments("avg_pool3d", 3, kernel_size, stride, padding, 1, ceil_mode), count_include_pad=count_include_pad
    )(x)


def global_avg_pool(x: Any) -> Any:
    """Average over all positions: x (N, C, *n) → (N, C). J has 1/size at every entry of the channel."""
    return GlobalAvgPool()(x)


def global_max_pool(x: Any) -> Any:
    """Largest entry over all positions: x (N, C, *n) → (N, C). J = A, 0/1; the first of equal entries wins."""
    return GlobalMaxPool()(x)


def adaptive_avg_pool1d(x: Any, output_size: Any) -> Any:
    """Averages of ``output_size`` windows: x (N, C, W) → (N, C, W′); see adaptive_avg_pool2d."""
    return AdaptiveAvgPool(*_sizes("adaptive_avg_pool1d", 1, output_size))(x)


def adaptive_avg_pool2d(x: Any, output_size: Any) -> Any:
    """Averages of as many windows as are wanted: x (N, C, H, W) → (N, C, H′, W′), channel by channel.

    ``output_size``: H′ and W′, or one integer for both; None keeps a side. Window i of H′ is the rows from
    ⌊i H / H′⌋ up to, but not with, ⌈(i + 1) H / H′⌉; neighbours overlap where H′ does not divide H.
    J = I ⊗ A_H ⊗ A_W, with the averages over one axis in the rows of A. Raises ShapeError, TypeError.
    """
    return AdaptiveAvgPool(*_sizes("adaptive_avg_pool2d", 2, output_size))(x)


def adaptive_avg_pool3d(x: Any, output_size: Any) -> Any:
    """Averages of as many windows as are wanted: x (N, C, D, H, W) → (N, C, D′, H′, W′); see adaptive_avg_pool2d."""
    return AdaptiveAvgPool(*_sizes("adaptive_avg_pool3d", 3, output_size))(x)


def adaptive_max_pool1d(x: Any, output_size: Any) -> Any:
    """Largest entries of ``output_size`` windows: x (N, C, W) → (N, C, W′); see adaptive_max_pool2d."""
    return AdaptiveMaxPool(*_sizes("adaptive_max_pool1d", 1, output_size))(x)


def adaptive_max_pool2d(x: Any, output_size: Any) -> Any:
    """Largest entries of as many windows as are wanted: x (N, C, H, W) → (N, C, H′, W′), channel by channel.

    Windows as in adaptive_avg_pool2d. The first of equal entries wins, NaN always. J = A, 0/1, one 1 in each row.
    Raises ShapeError, TypeError.
    """
    return AdaptiveMaxPool(*_sizes("adaptive_max_pool2d", 2, output_size))(x)


def adaptive_max_pool3d(x: Any, output_size: Any) -> Any:
    """Largest entries of as many windows as are wanted: x (N, C, D, H, W) → (N, C, D′, H′, W′)."""
    return AdaptiveMaxPool(*_sizes("adaptive_max_pool3d", 3, output_size))(x)


def maxout(x: Any, pieces: int, axis: int = 1) -> Any:
    """Largest of each ``pieces`` neighbours along ``axis``, the channels: x (N, C, …) → (N, C / pieces, …).

    J = A, 0/1, one 1 in each row; the first of equal entries wins. Goodfellow et al. 2013.
    Raises ShapeError for sides that ``pieces`` does not divide, TypeError for what is no integer.
    """
    (pieces,), (axis,) = integers("maxout", "pieces", pieces, 1), integers("maxout", "axis", axis, 1, -LARGEST)
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
    op, x, d = "pool_matrix", np.asarray(x), len(kernel_size) if several(kernel_size) else 2
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
    """The number of axes, and the side that each shall have, None for its own."""
    sizes = tuple(output_size) if several(output_size) else (output_size,) * d
    expect(len(sizes) == d, op, f"one integer or None, or {d} of them", output_size=output_size)
    found = tuple(None if n is None else integers(op, "output_size", n, 1)[0] for n in sizes)
    expect(all(n is None or n <= WINDOWS for n in found), op, f"sides of at most {WINDOWS}", output_size=output_size)
    return d, found


@dataclass(eq=False)
class Pool(Op, abstract=True):
    """What both kinds share: the windows, and their number."""

    kernel_size: Ints
    stride: Ints
    padding: Pairs
    dilation: Ints
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        self.name = f"{type(self).name}{len(self.stride)}d"

    def window(self, x: Any) -> Window:
        """The windows; with ``ceil_mode`` more padding after, for a last one that starts before its end."""
        pads = self.padding
        if self.ceil_mode:
            axes = zip(x.shape[2:], self.kernel_size, self.stride, pads, self.dilation, strict=True)
            pads = tuple((b, a + more(n + b + a - d * (f - 1) - 1, n + b, s)) for n, f, s, (b, a), d in axes)
        return window_over(self, x, self.kernel_size, self.stride, pads, self.dilation)

    def infer(self, x: Spec) -> Spec:
        expect_axes(self, len(self.stride), "N, C", x=x)
        return Spec((*x.shape[:2], *self.window(x).out), expect_floats(self, x=x))


def more(last: int, end: int, stride: int) -> int:
    """Padding that rounds the number of windows up: ``last`` the latest start, ``end`` where starts end."""
    up = -last % stride
    return up if last + up < end else 0


@dataclass(eq=False)
class MaxPool(Pool):
    """Largest entry of each window.   x (N, C, *n) → (N, C, *n′).

    J = A, the 0/1 selection matrix: A[p, q] = 1 iff pixel q wins window p (the first wins a tie).
    Raises ShapeError, TypeError.
    """

    name = "max_pool"

    def forward(self, x: Array) -> Array:
        window = self.window(x)
        y = empty_like(x, shape=(*x.shape[:2], *window.out))

        def part(part: Part) -> None:
            samples, outputs = part
            pixels, over = lines(window, outputs)
            found = x[samples, :, pixels]
            for i in range(len(window.out)):
                found = largest(found, over, i)
            y[samples, :, outputs] = found

        parallel(part, blocks(x, window))
        return y

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        return [Winners(self.window(x), value_of(x), value_of(y))]

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        for hyper, shape in samples():
            op, x = cls(*hyper), rng.permutation(prod(shape)).reshape(shape) / 8
            yield Case(op, (x,), by_loops(op, x, max), (x[0, 0],), "axes")


def blocks(x: Array, window: Window) -> list[Part]:
    """The windows over x in blocks of samples, or of lines of a sample, whose entries stay in cache."""
    return parts_of(len(x), window.out[0], x[:1].nbytes // window.out[0], BLOCK_BYTES)


def largest(x: Array, window: Window, i: int) -> Array:
    """The largest entries of the windows along spatial axis ``i`` alone: (…, n, …) → (…, n′, …)."""
    y = empty_like(x, shape=(*x.shape[: i + 2], window.out[i], *x.shape[i + 3 :]))
    over: Any = (slice(None),) * (i + 2)
    (first, pixels), *rest = window.axis_taps[i]
    if first == slice(0, window.out[i]) and rest and rest[0][0] == first:
        np.maximum(x[*over, pixels], x[*over, rest[0][1]], out=y)
        rest = rest[1:]
    else:
        y[...] = -np.inf
        rest = [(first, pixels), *rest]
    for outputs, pixels in rest:
        np.maximum(y[*over, outputs], x[*over, pixels], out=y[*over, outputs])
    return y


def routed(g: Array, y: Array, x: Array, window: Window, i: int) -> Array:
    """The cotangent of x from that of y, its largest entries along axis ``i``: to the first pixel that is as large.

    Bits, not numbers, are kept or cleared, so that an infinite cotangent leaves no NaN where it does not go.
    """
    over: Any = (slice(None),) * (i + 2)
    whole, taps = slice(0, window.out[i]), window.axis_taps[i]
    apart = all(outputs == whole for outputs, _ in taps) and len(taps) * window.out[i] == x.shape[i + 2]
    apart = apart and window.stride[i] == len(taps) and window.dilation[i] == 1
    out = empty_like(x, g.dtype)
    if not apart:
        out[...] = 0
    bits = f"i{g.itemsize}" if g.dtype.kind == "f" and g.itemsize <= 8 else None
    rest = empty_like(g)  # what has not found its winner yet
    rest[...] = g
    for t, (outputs, pixels) in enumerate(taps):
        left, target = rest[*over, outputs], out[*over, pixels]
        if t < len(taps) - 1:
            hit = empty_like(left, bool)
            share = where_true(np.equal(x[*over, pixels], y[*over, outputs], out=hit), left)
            if bits:
                np.bitwise_xor(left.view(bits), share.view(bits), out=left.view(bits))
            else:
                left[hit] = 0
            left = share
        if apart:
            target[...] = left
        else:
            target += left
    return out


class Winners(Selection):
    """A, the 0/1 selection of the entries of x that are the largest of their windows, y: the first of equals."""

    def __init__(self, window: Window, x: Array, y: Array) -> None:
        LinearMap.__init__(self, x.shape, y.shape, x.dtype)
        self.window, self.x, self.y = window, x, y

    @cached_property
    def index(self) -> Array:
        """The numbers of the winners, −1 for a window without a pixel."""
        return winners(self.window, self.x, self.y)

    @cached_property
    def picked(self) -> Selection:
        """The same by these numbers."""
        return pick(self.index, self.in_shape, self.dtype)

    def move(self, v: Any) -> Any:
        """The winners' entries of v."""
        return self.picked.move(v)

    def back(self, g: Array) -> Any:
        """Axis by axis: each largest entry of a line of windows to the line it is from, and there to its pixel."""
        if np.isnan(self.y).any() or not g.size or self.window.meetings.total == 0:
            return self.picked.pull(g)
        window, axes = self.window, range(len(self.window.out))
        x, out = self.x, empty_like(self.x, g.dtype)

        def part(part: Part) -> None:
            samples, outputs = part
            pixels, over = lines(window, outputs)
            found, steps = g[samples, :, outputs], [x[samples, :, pixels]]
            for i in reversed(axes):
                steps.append(largest(steps[-1], over, i))
            for i in axes:
                found = routed(found, steps.pop(), steps[-1], over, i)
            out[samples, :, pixels] = found

        rows = slice(0, window.out[0])
        if lines(window, rows)[0] != slice(0, window.size[0]) or window.extent[0] < window.stride[0]:
            out[...] = 0  # pixels beside and between the windows
        if window.extent[0] <= window.stride[0]:  # no two lines of windows share a pixel
            parallel(part, blocks(x, window))
        else:
            parallel(part, [(samples, rows) for samples in equal(len(x), BLOCK_BYTES // x[:1].nbytes)])
        return out


def winners(window: Window, x: Array, y: Array) -> Array:
    """The numbers of the entries of x that are the maxima y. ``rank`` is T for the first tap, 1 for the last."""
    T = len(window.taps)
    rank = np.zeros(y.shape, np.min_scalar_type(T))
    nan = bool(np.isnan(y).any())
    for t, (outputs, pixels) in enumerate(window.taps):
        wins = x[pixels] == y[outputs]
        if nan:
            wins |= np.isnan(x[pixels])
        np.maximum(rank[outputs], wins * rank.dtype.type(T - t), out=rank[outputs])
    starts, steps = place_numbers(window, x.shape)
    index = np.concatenate(([0], steps[::-1])).astype(starts.dtype)[rank]
    index += starts
    if not rank.all():  # windows without a pixel
        index[rank == 0] = -1
    return index


def place_numbers(window: Window, shape: Shape) -> tuple[Array, Array]:
    """Flat pixel numbers: of the first tap at each output (N, C, n′…), and from there to each tap (taps,)."""
    dtype = np.int32 if prod(shape) < 2**31 else np.int64
    starts: Array = np.arange(prod(shape[:2]), dtype=dtype).reshape(shape[:2])
    steps: Array = np.zeros((), dtype)
    axes = zip(window.size, window.kernel, window.stride, window.padding, window.dilation, window.out, strict=True)
    for n, f, s, (before, _), d, o in axes:
        starts = starts[..., None] * n + (np.arange(o, dtype=dtype) * s - before)
        steps = steps[..., None] * n + np.arange(f, dtype=dtype) * d
    return starts, steps.ravel()


@dataclass(eq=False)
class AvgPool(Pool):
    """Average of each window.   x (N, C, *n) → (N, C, *n′).

    J[p, q] = 1/r² for the r² pixels q of window p: a convolution of each channel with ones, divided.
    Raises ShapeError, TypeError.
    """

    count_include_pad: bool = True
    name = "avg_pool"

    def forward(self, x: Array) -> Array:
        return self._map(x).push(x)  # type: ignore[no-any-return]

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        return [self._map(x)]

    def _map(self, x: Any) -> Averages:
        window = self.window(x)
        return Averages(window, self._divisors(window), x, (*x.shape[:2], *window.out))

    def _divisors(self, window: Window) -> Array:
        """Entries that count in each window: (n′…)."""
        if not self.count_include_pad:
            counts = [(table >= 0).sum(1) for table in window.pixels]
        else:
            axes = zip(window.size, window.kernel, window.stride, self.padding, window.out, strict=True)
            counts = [np.minimum(np.arange(o) * s + f, n + b + a) - np.arange(o) * s for n, f, s, (b, a), o in axes]
        return reduce(np.multiply.outer, counts)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {name: value for name, value in super().hyperparameters.items() if name != "dilation"}

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        for hyper, shape in samples():
            if set(hyper[3]) == {1}:
                x = rng.standard_normal(shape)
                op = cls(*hyper)
                op.count_include_pad = False
                yield Case(op, (x,), by_loops(op, x, lambda entries: sum(entries) / len(entries)), (x[0],), "axes")
                full = cls(*hyper[:4])
                average = by_loops(full, x, sum) / prod(hyper[0])
                yield Case(full, (x,), average, (x[0],), "axes")


@dataclass(eq=False)
class GlobalAvgPool(Op):
    """Average over all positions.   x (N, C, *n) → (N, C).   J = 1/size.   Raises ShapeError."""

    name = "global_avg_pool"

    def infer(self, x: Spec) -> Spec:
        expect(x.ndim > 2 and min(x.shape[2:]) > 0, self, "x (N, C, *n) with at least one position", x=x)
        return Spec(x.shape[:2], expect_floats(self, x=x))

    def forward(self, x: Array) -> Array:
        axes, double = tuple(range(2, x.ndim)), np.float64 if x.dtype == np.float32 else None
        return np.asarray(x.mean(axis=axes, dtype=double), x.dtype)

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        n, d = x.shape[2:], len(x.shape) - 2
        whole = Window(n, n, (1,) * d, ((0, 0),) * d, (1,) * d)
        return [Average(whole, np.full((1,) * d, prod(n)), x, y.shape)]

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        for shape in ((2, 3, 4), (1, 2, 3, 2), (2, 1, 2, 1, 3)):
            x = rng.standard_normal(shape)
            average = [[sum(plane.ravel()) / plane.size for plane in sample] for sample in x]
            yield Case(cls(), (x,), np.array(average), (x[0, 0, 0],), "position")


def summed(x: Array, window: Window, i: int, dtype: Any) -> Array:
    """The sums of the windows along spatial axis ``i`` alone: (…, n, …) → (…, n′, …)."""
    over: Any = (slice(None),) * (i + 2)
    y = empty_like(x, dtype, (*x.shape[: i + 2], window.out[i], *x.shape[i + 3 :]))
    taps, whole = list(window.axis_taps[i]), slice(0, window.out[i])
    if [outputs for outputs, _ in taps[:2]] == [whole, whole]:
        (_, first), (_, second), *taps = taps
        np.add(x[*over, first], x[*over, second], out=y, dtype=dtype)
    else:
        y[...] = 0
    for outputs, pixels in taps:
        y[*over, outputs] += x[*over, pixels]
    return y


def spread(g: Array, window: Window, i: int, dtype: Any) -> Array:
    """The transpose: each entry added to every pixel of its window, (…, n′, …) → (…, n, …)."""
    over: Any = (slice(None),) * (i + 2)
    x = np.zeros_like(g, dtype, shape=(*g.shape[: i + 2], window.size[i], *g.shape[i + 3 :]), subok=False)
    for outputs, pixels in window.axis_taps[i]:
        x[*over, pixels] += g[*over, outputs]
    return x


WINDOWS = 1 << 20  # of an axis, which adaptive pooling lists one by one
MANY = 16  # entries of a side that are added one after another in single precision


class Averages(LinearMap):
    """The sum of each window of x over the window's divisor."""

    def __init__(self, window: Window, divisors: Array, x: Any, out_shape: Shape) -> None:
        super().__init__(x.shape, out_shape, x.dtype)
        self.window, self.divisors = (
            window,
            divisors.astype(np.float64 if self.dtype.kind == "c" else self.dtype),
        )

    def push(self, v: Any) -> Any:
        if isinstance(v, Node):
            return Apply(self)(v)
        sums, dtype = v, self._wide(v)
        for i in range(len(self.window.out)):
            sums = summed(sums, self.window, i, dtype)
        sums /= self.divisors
        return sums.astype(v.dtype, copy=False).reshape(self.out_shape)

    def pull(self, g: Any) -> Any:
        if isinstance(g, Node):
            return Apply(self.T)(g)
        shares = np.reshape(g, (*self.in_shape[:2], *self.window.out)) / self.divisors
        dtype = self._wide(shares)
        for i in reversed(range(len(self.window.out))):
            shares = spread(shares, self.window, i, dtype)
        return shares.astype(g.dtype, copy=False)

    def _wide(self, v: Array) -> Any:
        """What sums are made in: double precision where many entries are added one after another."""
        return np.result_type(v.dtype, float) if max(self.window.kernel) > MANY else v.dtype

    def _matrix(self) -> sp.csr_array:
        return self._blocks().tocsr()

    def _rows(self, index: Array) -> sp.csr_array:
        return self._blocks().rows(index)

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


class Average(Averages):
    """Averages of one window over all: back, the value goes to every position, channels last in memory."""

    def pull(self, g: Any) -> Any:
        if isinstance(g, Node):
            return Apply(self.T)(g)
        N, C, *n = self.in_shape
        images, x = channels.empty(N, C, tuple(n), g.dtype)
        x[...] = np.reshape(g / self.divisors.item(), (N, *(1 for _ in n), C))
        return images


# --- as many windows as are wanted ----------------------------------------------------------------------


def parts(n: int, o: int) -> list[tuple[int, int]]:
    """Start and stop of ``o`` windows over ``n`` pixels: ⌊i n / o⌋ and ⌈(i + 1) n / o⌉."""
    return [(i * n // o, -(-(i + 1) * n // o)) for i in range(o)]


def in_each(start: Array, stop: Array) -> Array:
    """The pixels of each window, −1 after its last: (windows, pixels of the longest)."""
    pixels = start[:, None] + np.arange((stop - start).max(initial=0))
    return np.where(pixels < stop[:, None], pixels, -1)


@dataclass(eq=False)
class AdaptivePool(Op, abstract=True):
    """What both kinds share: ``axes`` spatial axes, and the side that each shall have, None for its own."""

    axes: int = field(repr=False)
    output_size: tuple[int | None, ...]

    def __post_init__(self) -> None:
        self.name = f"{type(self).name}{self.axes}d"

    def out(self, x: Any) -> Ints:
        return tuple(n if o is None else o for n, o in zip(x.shape[2:], self.output_size, strict=True))

    def infer(self, x: Spec) -> Spec:
        expect_axes(self, self.axes, "N, C", x=x)
        expect(min(x.shape[2:]) > 0, self, "an image of at least one pixel", x=x)
        return Spec((*x.shape[:2], *self.out(x)), expect_floats(self, x=x))


class AdaptiveAvgPool(AdaptivePool):
    """Average of each of n′ windows.   x (N, C, *n) → (N, C, *n′).   J = I ⊗ A₁ ⊗ …, one A (n′, n) for each axis."""

    name = "adaptive_avg_pool"

    def averages(self, x: Any) -> list[Array]:
        """A for each axis: row i has 1/r at the r pixels of window i."""
        found = []
        for n, o in zip(x.shape[2:], self.out(x), strict=True):
            A = np.zeros((o, n), x.dtype)
            for i, (start, stop) in enumerate(parts(n, o)):
                A[i, start:stop] = 1 / (stop - start)
            found.append(A)
        return found

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
            sides = [np.array(parts(n, o)) for n, o in zip(x.shape[2:], out, strict=True)]
            divisors = reduce(np.multiply.outer, [stop - start for start, stop in (side.T for side in sides)])
            return average_matrix([in_each(*side.T) for side in sides], x.shape[2:], divisors, planes, x.dtype)

        return Formula(
            x.shape, (*x.shape[:2], *out), x.dtype,
            push=lambda v: einsum(f"nc{pixels},{tables}->nc{outputs}", v, *matrices),
            pull=lambda g: einsum(f"nc{outputs},{tables}->nc{pixels}", g, *matrices),
            matrix=lambda: blocks().tocsr(), rows=lambda index: blocks().rows(index),
            bounds=Bounds(planes * prod(int(hit.sum()) for hit in hits), *most) if planes else Bounds(0, 0, 0),
        )  # fmt: skip

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        for op, shape in adaptive_samples(cls):
            x = rng.standard_normal(shape)
            yield Case(op, (x,), in_parts(op, x, lambda entries: sum(entries) / len(entries)), (x[0, 0],), "axes")


class Choice(Op, abstract=True):
    """Each output entry is the largest of some inputs.   J = A, 0/1: A[p, q] = 1 iff q wins p, the first of equals."""

    def winners(self, x: Array) -> Array:
        """The flat number in x of each output entry."""
        raise NotImplementedError

    def forward(self, x: Array) -> Any:
        return x.reshape(-1)[self.winners(x)]

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        return [pick(self.winners(value_of(x)), x.shape, x.dtype)]


class AdaptiveMaxPool(Choice, AdaptivePool):
    """Largest entry of each of n′ windows.   x (N, C, *n) → (N, C, *n′).   J = A, the 0/1 selection matrix."""

    name = "adaptive_max_pool"

    def winners(self, x: Array) -> Array:
        return best_of(x, [parts(n, o) for n, o in zip(x.shape[2:], self.out(x), strict=True)])

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        for op, shape in adaptive_samples(cls):
            x = rng.permutation(prod(shape)).reshape(shape) / 8
            yield Case(op, (x,), in_parts(op, x, max), (x[0, 0],), "axes")


class GlobalMaxPool(Choice):
    """Largest entry over all positions.   x (N, C, *n) → (N, C).   J = A, the 0/1 selection matrix."""

    name = "global_max_pool"

    def infer(self, x: Spec) -> Spec:
        expect(x.ndim > 2 and min(x.shape[2:]) > 0, self, "x (N, C, *n) with at least one position", x=x)
        return Spec(x.shape[:2], expect_floats(self, x=x))

    def winners(self, x: Array) -> Array:
        return best_of(x, [[(0, n)] for n in x.shape[2:]]).reshape(x.shape[:2])

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        for shape in ((2, 3, 4), (1, 2, 3, 2), (2, 1, 2, 1, 3)):
            x = rng.permutation(prod(shape)).reshape(shape) / 8
            largest = [[max(plane.ravel()) for plane in sample] for sample in x]
            yield Case(cls(), (x,), np.array(largest), (x[0, 0, 0],), "position")


@dataclass(eq=False)
class Maxout(Choice):
    """Largest of each ``pieces`` neighbours along ``axis``.   (…, C, …) → (…, C / pieces, …).   J = A, 0/1."""

    pieces: int
    axis: int = 1
    name = "maxout"

    def infer(self, x: Spec) -> Spec:
        expect(-x.ndim <= self.axis < x.ndim, self, f"axis {self.axis} to be one of x", x=x)
        expect(x.shape[self.axis] % self.pieces == 0, self, f"axis {self.axis} a multiple of {self.pieces}", x=x)
        shape = list(x.shape)
        shape[self.axis] //= self.pieces
        return Spec(tuple(shape), expect_floats(self, x=x))

    def winners(self, x: Array) -> Array:
        axis = self.axis % x.ndim
        shape = (*x.shape[:axis], x.shape[axis] // self.pieces, self.pieces, *x.shape[axis + 1 :])
        best = x.reshape(shape).argmax(axis + 1, keepdims=True)
        return np.take_along_axis(np.arange(x.size).reshape(shape), best, axis + 1).squeeze(axis + 1)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        x = rng.permutation(36).reshape(2, 6, 3) / 8
        yield Case(
            cls(2), (x,), [[[*map(max, *s[i : i + 2])] for i in (0, 2, 4)] for s in x], (x[:, 1:],), "multiple of 2"
        )
        yield Case(cls(3, -1), (x,), [[[max(row)] for row in s] for s in x], (x[0, 0, 0],), "axis")


def best_of(x: Array, windows: list[list[tuple[int, int]]]) -> Array:
    """Flat numbers of the largest entries of all windows, axis after axis from the last; the first of equals wins."""
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


# --- sample calls, with loops as the other implementation ---------------------------------------------


def samples() -> Iterator[tuple[tuple[Any, ...], Shape]]:
    """Arguments and image shapes over every number of axes and every option."""
    yield ((2,), (2,), ((0, 0),), (1,), False), (2, 2, 5)
    yield ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), False), (2, 2, 4, 4)
    yield ((3, 2), (2, 1), ((1, 1), (1, 0)), (1, 1), True), (1, 2, 4, 3)
    yield ((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), True), (1, 1, 4, 5)
    yield ((2, 2), (1, 2), ((0, 0), (1, 1)), (2, 1), True), (1, 2, 4, 4)
    yield ((2, 2, 2), (2, 1, 2), ((0, 0), (0, 0), (1, 1)), (1, 1, 1), False), (1, 2, 3, 2, 2)


def by_loops(op: Pool, x: Array, function: Callable[[list[Any]], Any]) -> Array:
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


def adaptive_samples(cls: type[AdaptivePool]) -> Iterator[tuple[Any, Shape]]:
    """Ops and image shapes: sides that divide, that do not, that grow, and that stay."""
    yield cls(1, (3,)), (2, 2, 5)
    yield cls(2, (2, 2)), (1, 2, 4, 6)
    yield cls(2, (3, None)), (2, 1, 5, 2)
    yield cls(2, (4, 1)), (1, 2, 3, 4)
    yield cls(3, (2, 1, 2)), (1, 2, 3, 2, 4)


def in_parts(op: AdaptivePool, x: Array, function: Callable[[list[Any]], Any]) -> Array:
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
