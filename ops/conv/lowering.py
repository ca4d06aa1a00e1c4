"""Lowering: a convolution rewritten as the nodes of a matrix product, for mg.lower."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from minigraph.maps import Shape
from minigraph.ops.conv.columns import Im2col
from minigraph.ops.conv.product import ToeplitzMatmul
from minigraph.ops.conv.slots import Conv
from minigraph.ops.shape import pad, repeat, reshape, swapaxes


def by_columns(op: Conv, shape: Shape, x: Any, w: Any, b: Any = None) -> Any:
    """W → rows (K, C · f…), X → padded → cols (C · f…, N · n′…), rows × cols, reshaped and transposed."""
    window, (N, K), G = op.window(x, w), shape[:2], op.groups
    padding = tuple((max(before, 0), max(after, 0)) for before, after in window.padding)
    cropping = tuple((min(before, 0), min(after, 0)) for before, after in window.padding)
    if any(map(any, padding)):
        x = pad(x, ((0, 0), (0, 0), *padding)).named("padded")
    cols = Im2col(window.kernel, window.stride, cropping, window.dilation)(x).named("cols")
    rows = reshape(w, (K, prod(w.shape[1:]))).named("rows")
    if G == 1:
        out = rows @ cols
    else:
        products = reshape(rows, (G, K // G, rows.shape[1])) @ reshape(cols, (G, rows.shape[1], cols.shape[1]))
        out = reshape(products, (K, cols.shape[1]))
    out = out.named("out_col")
    if b is not None:
        out = (out + reshape(b, (K, 1))).named("out_col_b")
    return swapaxes(reshape(out, (K, N, *window.out)), 0, 1)


def by_toeplitz(op: Conv, shape: Shape, x: Any, w: Any, b: Any = None) -> Any:
    """X → vec_X (N, C · n…), M_F vec_X (N, K · n′…), reshaped."""
    vec = reshape(x, (len(x), prod(x.shape[1:]))).named("vec_X")
    out = ToeplitzMatmul(replace(op, algorithm="toeplitz"), x.shape[1:], w.shape)(w, vec).named("vec_S")
    if b is not None:
        out = (out + repeat(b, prod(shape[2:]))).named("vec_S_b")
    return reshape(out, shape)


Conv.lowerings = {"im2col": by_columns, "toeplitz": by_toeplitz}
