"""Filter banks built from other parameters: partial connections between channels, and fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from minigraph.array import Array
from minigraph.maps import LinearMap, Selection
from minigraph.node import Node, Spec
from minigraph.op import Op, expect, expect_floats
from minigraph.ops.geometry import sides
from minigraph.ops.shape import reshape


def connected_filters(w: Any, table: Any) -> Any:
    """A filter bank that is zero where a filter is not connected to a channel: w (connections, *f) → (K, C, *f).

    table (K, C) of 0 and 1: ``table[k, c]`` is 1 if filter k is connected to channel c; w holds the connected planes in C
    order of the table. conv2d(x, connected_filters(w, table), b) is the partially connected layer; J places the planes
    among zeros. LeCun et al. 1998, table I (LeNet-5's C3: 60 of 6 · 16 connections, 60 · 25 + 16 parameters).
    Raises ShapeError; ValueError unless the table consists of 0 and 1 with a 1 in each row.
    """
    array = np.asarray(table)
    if array.ndim != 2 or not np.isin(array, (0, 1)).all() or not array.any(axis=1).all():
        raise ValueError(
            f"connected_filters: got a table of shape {array.shape}; wanted (K, C) of 0 and 1, with at least one 1 in each row"
        )
    return ConnectedFilters(array.astype(bool))(w)


def linear_to_conv(w: Any, in_shape: Sequence[int]) -> Any:
    """The weights of a fully connected layer as filters of the size of the feature map: w (O, C·n…) → (O, C, *n).

    in_shape (C, *n): conv(x, linear_to_conv(w, in_shape), b) has a single position, where it equals
    linear(flatten(x), w, b); for a larger image it gives a map of the layer's outputs. J = I. Raises ShapeError.
    """
    op, w = "linear_to_conv", w if isinstance(w, Node | Spec) else np.asarray(w)
    input_shape = sides(op, "in_shape", in_shape)
    expect(2 <= len(input_shape) <= 4, op, "in_shape (C, *n) with 1 to 3 spatial axes", in_shape=input_shape)
    expect(
        len(w.shape) == 2 and w.shape[1] == prod(input_shape),
        op,
        f"w (out, {prod(input_shape)})",
        w=w.shape,
        in_shape=input_shape,
    )
    return reshape(w, (w.shape[0], *input_shape))


def conv_to_linear(w: Any) -> Any:
    """Filters of the size of the feature map as the weights of a fully connected layer: w (O, C, *n) → (O, C·n…).

    The inverse of linear_to_conv; J = I. Raises ShapeError.
    """
    w = w if isinstance(w, Node | Spec) else np.asarray(w)
    expect(3 <= len(w.shape) <= 5, "conv_to_linear", "w of 3, 4 or 5 axes (O, C, *n)", w=w.shape)
    return reshape(w, (w.shape[0], prod(w.shape[1:])))


@dataclass(eq=False)
class ConnectedFilters(Op):
    """Filters of the connections that ``table`` (K, C) has.   w (connections, *f) → (K, C, *f).

    J = the 0/1 matrix that places the planes, zero rows where there is no connection. Raises ShapeError, TypeError.
    """

    table: Array
    name = "connected_filters"
    formulas = ("P",)
    legend: ClassVar[dict[str, str]] = {"P": "0/1: places the planes, with zero rows where there is no connection"}

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"connections": f"{self.table.sum()} of {self.table.size}"}

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0,)]

    def infer(self, w: Spec) -> Spec:
        n = int(self.table.sum())
        expect(w.ndim >= 1 and w.shape[0] == n, self, f"w ({n}, *f), one plane for each connection", w=w)
        return Spec((*self.table.shape, *w.shape[1:]), expect_floats(self, w=w))

    def forward(self, w: Array) -> Array:
        bank = np.zeros((*self.table.shape, *w.shape[1:]), w.dtype)
        bank[self.table] = w
        return bank

    def jacobians(self, y: Any, w: Any) -> list[LinearMap]:
        return [Selection(self.forward, w.shape, y.shape, w.dtype, lambda g: g[self.table])]
