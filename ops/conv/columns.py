"""im2col and col2im as ops: the copy of patches into columns, and its transpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from minigraph.array import Array
from minigraph.kernels.window import Ints, Window
from minigraph.maps import LinearMap, Selection, Shape
from minigraph.node import Spec
from minigraph.op import Op, expect, expect_floats
from minigraph.ops.geometry import Padding, expect_axes, integers, paddings, shape_of, sides, window_over


def im2col(x: Any, kernel_size: Any, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    """Every patch of the image as a column: x (N, C, *n) → (C · f…, N · n′…).

    Row (c, i): channel, then tap, as in w.reshape(K, C · f…). Column (n, p): sample, then position. So
    ``w.reshape(K, -1) @ im2col(x, f)`` is (K, N · n′…): reshape to (K, N, *n′) and swap the first two axes
    to get conv(x, w). The result is the transpose of ``patch_matrix(x, f)``. J is a 0/1 matrix that selects pixels, with
    zero rows for padding. Raises the errors of conv2d.
    """
    op, d = "im2col", len(shape_of(x)) - 2
    return Im2col(*_arguments(op, max(d, 1), kernel_size, stride, padding, dilation))(x)


def col2im(
    cols: Any,
    out_shape: Sequence[int],
    kernel_size: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
) -> Any:
    """Every column added back to its patch: cols (C · f…, N · n′…) → out_shape (N, C, *n).

    The transpose of im2col, J = J_im2colᵀ; it is not the inverse if patches overlap. Raises ShapeError.
    """
    op, shape = "col2im", sides("col2im", "out_shape", out_shape)
    d = len(shape) - 2
    expect(1 <= d <= 3, op, "out_shape (N, C, *n) with 1 to 3 spatial axes", out_shape=shape)
    return Col2im(
        *_arguments(op, d, kernel_size, stride, padding, dilation), integers(op, "out_shape", shape, d + 2, 0)
    )(cols)


def _arguments(
    op: str, d: int, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Ints, Ints, Padding, Ints]:
    return (
        integers(op, "kernel_size", kernel, d),
        integers(op, "stride", stride, d),
        paddings(op, padding, d),
        integers(op, "dilation", dilation, d),
    )


def unfold(x: Array, window: Window, columns: Array) -> None:
    """Copy the patches of x (N, C, *n) into ``columns`` (N, C, taps, *n′), which must be zero where there is padding."""
    for t, (outputs, pixels) in enumerate(window.taps):
        columns[:, :, t][outputs] = x[pixels]


def fold(columns: Array, window: Window, x: Array) -> None:
    """Add ``columns`` (N, C, taps, *n′) to the pixels of x (N, C, *n) they came from: unfold transposed."""
    for t, (outputs, pixels) in enumerate(window.taps):
        x[pixels] += columns[:, :, t][outputs]


def columns_of(x: Array, window: Window) -> Array:
    """(N, C, *n) → (C · f…, N · n′…)."""
    N, C, T = len(x), x.shape[1], prod(window.kernel)
    columns = np.zeros((C, T, N, *window.out), x.dtype)
    unfold(x, window, np.moveaxis(columns, 2, 0))
    return columns.reshape(C * T, N * prod(window.out))


def image_of(columns: Array, window: Window, shape: Shape) -> Array:
    """(C · f…, N · n′…) → shape (N, C, *n)."""
    x = np.zeros(shape, columns.dtype)
    columns = columns.reshape(shape[1], prod(window.kernel), shape[0], *window.out)
    fold(np.moveaxis(columns, 2, 0), window, x)
    return x


@dataclass(eq=False)
class _Columns(Op, abstract=True):
    """Base of im2col and col2im."""

    kernel_size: Ints
    stride: Ints
    padding: Padding
    dilation: Ints

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0,)]

    def window(self, x: Any) -> Window:
        return window_over(self, x, self.kernel_size, self.stride, self.padding, self.dilation)

    def selection(self, x: Any, window: Window) -> Selection:
        """The 0/1 map from images like ``x`` to columns."""
        N, C = x.shape[:2]
        out = (C * prod(window.kernel), N * prod(window.out))
        return Selection(lambda v: columns_of(v, window), x.shape, out, x.dtype, lambda g: image_of(g, window, x.shape))


@dataclass(eq=False)
class Im2col(_Columns):
    """Every patch as a column.   x (N, C, *n) → (C · f…, N · n′…).   J: one 1 in a row, none for padding."""

    name = "im2col"
    formulas = ("P",)
    legend: ClassVar[dict[str, str]] = {
        "P": "0/1: in the row of each entry of a patch a 1 at its pixel, none in the padding"
    }

    def infer(self, x: Spec) -> Spec:
        expect_axes(self, len(self.stride), "N, C", x=x)
        expect_floats(self, x=x)
        return Spec(self.selection(x, self.window(x)).out_shape, x.dtype)

    def forward(self, x: Array) -> Array:
        return columns_of(x, self.window(x))

    def jacobians(self, y: Any, x: Any) -> list[LinearMap]:
        return [self.selection(x, self.window(x))]


@dataclass(eq=False)
class Col2im(_Columns):
    """Every column added to its patch.   (C · f…, N · n′…) → out_shape (N, C, *n).   J = J_im2colᵀ."""

    out_shape: Shape
    name = "col2im"
    formulas = ("Pᵀ",)
    legend: ClassVar[dict[str, str]] = {"P": "that of im2col"}

    def infer(self, cols: Spec) -> Spec:
        x = Spec(self.out_shape, cols.dtype)
        expect_floats(self, cols=cols)
        wanted = self.selection(x, self.window(x)).out_shape
        expect(cols.shape == wanted, self, f"cols of shape {wanted} for out_shape {self.out_shape}", cols=cols)
        return x

    def forward(self, cols: Array) -> Array:
        return image_of(cols, self.window(Spec(self.out_shape, cols.dtype)), self.out_shape)

    def jacobians(self, y: Any, cols: Any) -> list[LinearMap]:
        return [self.selection(y, self.window(y)).T]
