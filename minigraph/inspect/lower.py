"""lower: a graph's convolutions rewritten into the matrix products that compute them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import replace
from math import prod
from typing import Any

from minigraph.arguments import expect_node
from minigraph.maps import Shape
from minigraph.mode import MODE
from minigraph.node import Node
from minigraph.ops.conv.columns import Im2col
from minigraph.ops.conv.product import ToeplitzMatmul
from minigraph.ops.conv.slots import Conv
from minigraph.ops.shape import pad, repeat, reshape, swapaxes
from minigraph.tape import Tape
from minigraph.transforms import Argument


def lower(y: Node, to: str) -> Node:
    """The graph of ``y`` with each convolution as the nodes of a matrix product; (y.shape).

    "im2col": W → rows (K, C · f…), X → padded → cols (C · f…, N · n′…), rows × cols = out_col,
    + b = out_col_b, reshaped and transposed → out. With groups one product for each, side by side.
    "toeplitz": X → vec_X (N, C · n…), M_F vec_X = vec_S (N, K · n′…), + b = vec_S_b, reshaped → out.

    A convolution's nodes share a scope named after it. All other nodes are recorded again with their op, name
    and scope, transposed convolutions and checkpoints as they are; only the leaves are the same nodes, so
    ``backward`` of either graph fills the same ``.grad``. What grad, jvp and so on differentiate by counts as a leaf,
    whatever is behind it.
    An abstract graph stays abstract.
    Raises ValueError for another ``to``, TypeError for anything but a Node, GraphError when the graph was freed.
    Chellapilla, Puri and Simard 2006 (im2col).
    """
    if not isinstance(to, str):
        raise TypeError(f"lower: got to={to!r}; wanted one of {', '.join(map(repr, LOWERINGS))}")
    if to not in LOWERINGS:
        raise ValueError(f"lower: got to={to!r}; wanted one of {', '.join(map(repr, LOWERINGS))}")
    expect_node("lower", y)
    tape = Tape.of(y)
    tape.check_unchanged()
    tape = Tape.of(y, until=[node for node in tape.nodes if isinstance(node.op, Argument)])
    return copy_context().run(_lowered, tape, LOWERINGS[to])  # a context of its own: modes set there end there


def _lowered(tape: Tape, lowering: Callable[..., Node]) -> Node:
    mode = replace(MODE.get(), grad=True)
    new: dict[Node, Node] = {}
    uses: Counter[str] = Counter()
    for node in tape.nodes:
        if node.op is None or node in tape.until:
            new[node] = node
            continue
        inputs = [new[x] for x in node.inputs]
        if isinstance(node.op, Conv):
            path = "/".join(filter(None, (node.scope, node.name or node.op.name)))
            uses[path] += 1
            MODE.set(replace(mode, scope=path if uses[path] == 1 else f"{path}_{uses[path]}"))
            inputs = [x if x.dtype == node.dtype else x.astype(node.dtype) for x in inputs]
            new[node] = lowering(node.op, node.shape, *inputs).named("out")
        else:
            MODE.set(replace(mode, scope=node.scope))
            new[node] = node.op(*inputs)
            new[node].name = node.name
    return new[tape.y]


def _by_columns(op: Conv, shape: Shape, x: Any, w: Any, b: Any = None) -> Any:
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


def _by_toeplitz(op: Conv, shape: Shape, x: Any, w: Any, b: Any = None) -> Any:
    vec = reshape(x, (len(x), prod(x.shape[1:]))).named("vec_X")
    out = ToeplitzMatmul(replace(op, algorithm="toeplitz"), x.shape[1:], w.shape)(w, vec).named("vec_S")
    if b is not None:
        out = (out + repeat(b, prod(shape[2:]))).named("vec_S_b")
    return reshape(out, shape)


LOWERINGS: dict[str, Callable[..., Node]] = {"im2col": _by_columns, "toeplitz": _by_toeplitz}
