"""Convolution whose filters change with the position: tiled, and without any sharing, locally connected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np

from minigraph import notation
from minigraph.array import Array
from minigraph.facts import Reach
from minigraph.kernels.numpy.matrices import BlockMatrix, numbers
from minigraph.kernels.window import Ints, Window
from minigraph.maps import Bounds, LinearMap, Shape, promoted
from minigraph.node import Spec, value_of
from minigraph.op import Op, expect, expect_floats
from minigraph.ops.conv.columns import Col2im, Im2col
from minigraph.ops.conv.matrices import BlockMap
from minigraph.ops.geometry import WINDOW, Padding, expect_axes, integers, over_axes, paddings, shape_of, window_over
from minigraph.ops.products import einsum


def _tiled_conv(d: int, x: Any, w: Any, b: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    """Tiled convolution: x (N, C, H, W), w (t, t, K, C, f, f)[, b (K,) or (K, H′, W′)] → (N, K, H′, W′).

    The filters cycle over the positions: output p is that of conv2d with the bank w[p mod t]. The tile's
    sides, w's first axes, may differ. One bank: convolution; as many as positions: locally_connected2d. Arguments as conv2d.
    J_x is M_F with each row's own filter, J_w is M_X with each row at its own bank. Le et al. 2010.
    Raises ShapeError, also for a tile that is larger than the output; TypeError.
    """
    return _tiled(d, False, x, w, b, stride, padding, dilation)


def _locally_connected(
    d: int, x: Any, w: Any, b: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> Any:
    """Convolution without sharing: x (N, C, H, W), w (H′, W′, K, C, f, f)[, b (K,) or (K, H′, W′)] → (N, K, H′, W′).

    Each output position has its own filter bank: w[p] (K, C, f, f) is the bank of position p, laid out
    as conv2d's. Arguments and Jacobians as tiled_conv2d, of which this is the case with a tile of all positions.
    Raises ShapeError, TypeError.
    """
    return _tiled(d, True, x, w, b, stride, padding, dilation)


tiled_conv1d, tiled_conv2d, tiled_conv3d = over_axes(_tiled_conv)
locally_connected1d, locally_connected2d, locally_connected3d = over_axes(_locally_connected)


def _tiled(d: int, local: bool, x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    op = f"{'locally_connected' if local else 'tiled_conv'}{d}d"
    hyper = integers(op, "stride", stride, d), paddings(op, padding, d), integers(op, "dilation", dilation, d)
    y = TiledConv(*hyper, local)(x, w)
    if b is None:
        return y
    shape = shape_of(b)
    expect(shape in (y.shape[1:2], y.shape[1:]), op, f"b of shape {y.shape[1:2]} or {y.shape[1:]}", b=shape)
    return y + (np.reshape(b, (-1, *[1] * d)) if len(shape) == 1 else b)


@dataclass(frozen=True)
class TiledForm:
    """Σ x[n, c, q] w[p mod t, k, c, i] y[n, k, p] for one geometry, and one matrix product for each bank.

    The columns of x are (C · f…, N, positions), w is (banks, K, C · f…), y is (N, K, positions), positions and banks
    with an axis of quotients p // t and one of remainders p mod t for each spatial axis.
    """

    window: Window
    tile: Ints
    N: int
    C: int
    K: int

    @cached_property
    def whole(self) -> Window:
        """The window with so much padding after that its positions are whole tiles."""
        window = self.window.exact
        axes = zip(window.padding, window.stride, window.out, self.tile, strict=True)
        return replace(window, padding=tuple((b, a + -o % t * s) for (b, a), s, o, t in axes))

    def shape(self, slot: str) -> Shape:
        window, N, C, K = self.window, self.N, self.C, self.K
        return {"x": (N, C, *window.size), "w": (*self.tile, K, C, *window.kernel), "y": (N, K, *window.out)}[slot]

    def third_slot(self, **slots: Any) -> Any:
        """What two of x, w, y make of the third."""
        window, out, d = self.whole, self.whole.out, len(self.tile)
        hyper = window.kernel, window.stride, window.padding, window.dilation
        cropped = [(0, n - o) for n, o in zip(out, self.window.out, strict=True)]
        positions = tuple(side for o, t in zip(out, self.tile, strict=True) for side in (o // t, t))
        taps, letters = self.C * prod(window.kernel), "aibjcl"[: 2 * d]
        terms = {"x": f"zn{letters}", "w": f"{letters[1::2]}kz", "y": f"nk{letters}"}
        shapes = {"x": (taps, self.N, *positions), "w": (*self.tile, self.K, taps), "y": (self.N, self.K, *positions)}
        if "x" in slots:
            slots["x"] = Im2col(*hyper)(slots["x"])
        if "y" in slots and any(map(any, cropped)):
            slots["y"] = np.pad(slots["y"], ((0, 0), (0, 0), *cropped))
        (open_slot,) = terms.keys() - slots.keys()
        factors = [np.reshape(array, shapes[name]) for name, array in slots.items()]
        result = einsum(f"{','.join(terms[name] for name in slots)}->{terms[open_slot]}", *factors)
        if open_slot == "x":
            cols = np.reshape(result, (taps, self.N * prod(out)))
            return Col2im(*hyper, self.shape("x"))(cols)
        if open_slot == "w":
            return np.reshape(result, self.shape("w"))
        inside: Any = ..., *map(slice, self.window.out)
        return np.reshape(result, (self.N, self.K, *out))[inside]


class HeldTiles(BlockMap):
    """The form with x or w held: a linear map from the other to y.

    Holding w, M_F with w[p mod t, k, c, i] in row (n, k, p), column (n, c, q). Holding x, M_X with x[n, c, q] in
    that row, column (p mod t, k, c, i).
    """

    def __init__(self, form: TiledForm, slot: str, held: Any, dtype: Any) -> None:
        self.form, self.slot, self.held, self.source = form, slot, held, "w" if slot == "x" else "x"
        super().__init__(form.shape(self.source), form.shape("y"), dtype)

    def push(self, v: Any) -> Any:
        return self.form.third_slot(**{self.source: v, self.slot: self.held})

    def pull(self, g: Any) -> Any:
        return self.form.third_slot(**{"y": g, self.slot: self.held})

    def _blocks(self) -> BlockMatrix:
        window, N, C, K = self.form.window, self.form.N, self.form.C, self.form.K
        T, S, held = prod(window.kernel), prod(window.size), value_of(self.held).astype(self.dtype, copy=False)
        position = np.indices(window.out).reshape(len(window.out), -1)
        banks: Array = np.ravel_multi_index(tuple(position), self.form.tile, mode="wrap") * np.array([C * T])
        sites, width = (window.pixels, window.size, S, numbers(C, T)), self.shape[1]
        if self.slot == "w":
            held = np.moveaxis(held.reshape(-1, K, C * T), 1, 0).reshape(K, prod(self.form.tile) * C * T)
            return BlockMatrix(held, *sites, np.arange(N).repeat(K).reshape(N, K, 1) * (C * S), width, True, banks)
        return BlockMatrix(
            held.reshape(N, C * S), *sites, np.tile(np.arange(K) * (C * T), (1, N, 1)), width, False, banks * K
        )

    @property
    def bounds(self) -> Bounds:
        form, meet = self.form, self.form.window.meetings
        nnz, col = form.N * form.K * form.C * meet.total, form.K * meet.per_pixel
        if self.slot == "x":
            tables = zip(form.window.pixels, form.tile, strict=True)
            col = form.N * prod(max(int((q[r::t] >= 0).sum(0).max()) for r in range(t)) for q, t in tables)
        return Bounds(nnz, form.C * meet.per_output, col) if nnz else Bounds(0, 0, 0)

    def __str__(self) -> str:
        return {"w": "M_F", "x": "M_X"}[self.slot]


@dataclass(eq=False)
class TiledConv(Op):
    """Convolution with filters that repeat periodically over the positions.   x (N, C, *n), w (*t, K, C, *f) → y (N, K, *n′).

    y[n, k, p] = Σ x[n, c, q] w[p mod t, k, c, i],   q = p · stride + i · dilation − padding;   ``local``: t is n′.
    J_x is M_F with w[p mod t, k] in row (n, k, p); J_w is M_X, with the patch of that row in the columns of bank p mod t.
    Raises ShapeError, TypeError.
    """

    stride: Ints
    padding: Padding
    dilation: Ints
    local: bool = False
    name = "tiled_conv"
    operands = ("x", "w")
    data_operands = 1
    defaults = WINDOW
    formulas = ("I ⊗ M_F", "M_X")
    legend: ClassVar[dict[str, str]] = {
        "M_F": "in row (k, p) the filter k of position p's bank, laid into a zero image",
        "M_X": "in row (n, k, p) the patch at p, in the columns of filter k of position p's bank",
    }

    named_after: ClassVar[dict[str, str]] = {"M_F": "w", "M_X": "x"}

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        return "M_X" if i else notation.kronecker([("I", y.shape[0]), ("M_F", 0)])

    def __post_init__(self) -> None:
        self.name = f"{'locally_connected' if self.local else 'tiled_conv'}{len(self.stride)}d"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {name: value for name, value in super().hyperparameters.items() if name != "local"}

    def form(self, x: Any, w: Any) -> TiledForm:
        d = len(self.stride)
        window = window_over(self, x, w.shape[d + 2 :], self.stride, self.padding, self.dilation)
        return TiledForm(window, w.shape[:d], x.shape[0], x.shape[1], w.shape[d])

    def infer(self, x: Spec, w: Spec) -> Spec:
        d = len(self.stride)
        expect_axes(self, d, "N, C", x=x)
        expect(w.ndim == 2 * d + 2, self, f"w of {2 * d + 2} axes: {d} of the tile, K, C, {d} of the kernel", w=w)
        expect(x.shape[1] == w.shape[d + 1], self, f"x of {w.shape[d + 1]} channels", x=x, w=w)
        form = self.form(x, w)
        out = form.window.out
        expect(
            form.tile == out or not self.local,
            self,
            f"w ({', '.join(map(str, out))}, K, C, *f), a bank for each position",
            x=x,
            w=w,
        )
        valid = all(0 < t <= n for t, n in zip(form.tile, out, strict=True))
        expect(valid, self, f"a tile of at least one bank, no larger than the output {out}", x=x, w=w)
        return Spec((x.shape[0], w.shape[d], *out), expect_floats(self, x=x, w=w))

    def forward(self, x: Array, w: Array) -> Array:
        return np.ascontiguousarray(self.form(x, w).third_slot(x=x, w=w))

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0, 1), (2,)][: n - 1]

    def multiply_adds(self, y: Any, x: Any, w: Any) -> int:
        return int(y.size * prod(w.shape[len(self.stride) + 1 :]))

    def reach(self, y: Any, x: Any, *weights: Any) -> Reach:
        window = self.form(x, *weights).window
        return Reach(window.extent, window.stride)

    def jacobians(self, y: Any, x: Any, w: Any) -> list[LinearMap]:
        form = self.form(x, w)
        return [promoted(HeldTiles(form, "w", w, y.dtype), x), promoted(HeldTiles(form, "x", x, y.dtype), w)]
