"""costs: what each layer of a graph stores and computes, as itself and by its matrices, from shapes alone."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minigraph.arguments import expect_node
from minigraph.node import Node, Parameter, Spec
from minigraph.ops.conv.product import ToeplitzMatmul
from minigraph.ops.conv.slots import Conv, ConvFilterGradient, ConvInputGradient
from minigraph.ops.conv.tiled import TiledConv
from minigraph.ops.matmul import Contraction, Linear, SparseProduct
from minigraph.ops.pool import AdaptiveAvgPool, AdaptivePool, Choice, GlobalAvgPool, MaxPool, Pool, parts
from minigraph.ops.shape import Rearrange
from minigraph.tape import Tape
from minigraph.text import readable_repr, table

__all__ = ["Cost", "Costs", "Ways", "costs", "multiply_adds"]

POOLS = Pool | GlobalAvgPool | AdaptiveAvgPool | Choice


class Ways(NamedTuple):
    """One number for each way to compute a layer: as itself, by the dense matrix, by the sparse matrix."""

    layer: int
    dense: int
    sparse: int


@readable_repr
@dataclass(frozen=True)
class Cost:
    """One layer: ``stored`` floats and float ``operations`` (multiplications and additions) for one sample.

    Biases are left out everywhere. The layer stores its weights; the matrix is ∂vec(y)/∂vec(x) of one sample.
    A sum of f products takes f multiplications and f − 1 additions. A convolution multiplies by its zero padding
    too, the sparse matrix does not. Pooling stores nothing, and its operations are comparisons, or additions and
    a division. A product with a parameter that is no ``linear`` counts all of its other factor, as one sample.
    """

    node: str
    geometry: str
    stored: Ways
    operations: Ways


class Costs(tuple[Cost, ...]):
    """The costs of a graph's layers, in order; prints as a table."""

    __slots__ = ()

    def __str__(self) -> str:
        head = ("node", "layer", "floats stored", "dense matrix", "sparse matrix", "operations", "dense", "sparse")
        return table(
            head, [(c.node, c.geometry, *(f"{n:,}" for n in (*c.stored, *c.operations))) for c in self], range(2, 8)
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def costs(y: Node) -> Costs:
    """Floats stored and operations of every convolution, pooling and fully connected layer behind ``y``, from shapes alone.

    Works on abstract graphs: ``costs(conv2d(Spec((1, 1, 320, 280)), Spec((1, 1, 2, 1))))``.
    Raises TypeError for anything but a Node, GraphError for a freed graph of more than 5000 nodes.
    """
    expect_node("costs", y)
    return Costs(cost(node) for node in Tape.of(y).nodes if is_layer(node))


def cost(node: Node) -> Cost:
    """What one layer costs."""
    op: Any = node.op
    xs = [Spec(x.shape, node.dtype) for x in node.inputs]
    data = weights = 0
    if isinstance(op, ToeplitzMatmul):
        op, xs = op.conv, [Spec((1, *op.size), node.dtype), xs[0]]
    if isinstance(op, Contraction):
        weights = _learned(node)
        data = 1 - weights
    elif isinstance(op, Linear):
        xs[0] = Spec(xs[0].shape[-1:], node.dtype)
    else:
        xs[0] = Spec((1, *xs[0].shape[1:]), node.dtype)
    y = op.infer(*xs)
    rows, columns = y.size, xs[data].size
    if isinstance(op, POOLS):
        stored, operations = 0, _pooled(op, xs[0], rows) - rows * isinstance(op, MaxPool | Choice)
    elif isinstance(op, Contraction):
        stored, operations = xs[weights].size, _sums(multiply_adds(op, y, *xs), rows)
    else:
        stored, operations = xs[1].size, _sums(multiply_adds(op, y, *xs), rows)
    nnz = rows if isinstance(op, MaxPool | Choice) else op.jacobians(y, *xs)[data].nnz
    return Cost(
        node.label,
        geometry(node),
        Ways(stored, rows * columns, nnz),
        Ways(operations, _sums(rows * columns, rows), _sums(nnz, rows)),
    )


def multiply_adds(op: Any, y: Any, *xs: Any) -> int:
    """Products that a convolution or matrix product sums, from the shapes of its output and inputs; 0 for other ops.

    A convolution multiplies by its zero padding too.
    """
    if isinstance(op, Conv | Linear):
        return int(y.size * prod(xs[1].shape[1:]))
    if isinstance(op, ConvInputGradient):
        return int(xs[0].size * prod(xs[1].shape[1:]))
    if isinstance(op, ConvFilterGradient):
        return int(xs[1].size * prod(y.shape[1:]))
    if isinstance(op, TiledConv):
        return int(y.size * prod(xs[1].shape[len(op.stride) + 1 :]))
    if isinstance(op, ToeplitzMatmul):
        return int(y.size * prod(op.filters[1:]))
    if isinstance(op, Contraction):
        return (len(xs) - 1) * prod(op.sides(*xs).values())
    if isinstance(op, SparseProduct):
        return int(op.matrix.nnz * prod(xs[0].shape[1:]))
    return 0


def _pooled(op: Any, x: Spec, rows: int) -> int:
    """The entries of all windows of a pooling."""
    if isinstance(op, Pool):
        return rows * prod(op.kernel_size)
    if isinstance(op, AdaptivePool):
        sides = zip(x.shape[2:], op.out(x), strict=True)
        return x.shape[1] * prod(sum(stop - start for start, stop in parts(n, o)) for n, o in sides)
    return x.size


def _sums(products: int, results: int) -> int:
    """Multiplications and additions for so many ``products`` summed into so many ``results``."""
    return products + max(products - results, 0)


# --- what is a layer -------------------------------------------------------------------------------


def is_layer(node: Node) -> bool:
    """Whether ``costs`` and ``verify`` look at the node: convolutions, pools, and products with a parameter."""
    op = node.op
    if isinstance(op, Contraction):
        return len(node.inputs) == 2 and _learned(node) >= 0
    return isinstance(op, Conv | ConvInputGradient | ToeplitzMatmul | POOLS | Linear)


def _learned(node: Node) -> int:
    """The first input that is a parameter, perhaps transposed or reshaped; −1 if none is."""
    for i, x in enumerate(node.inputs):
        while isinstance(x.op, Rearrange):
            (x,) = x.inputs
        if isinstance(x, Parameter):
            return i
    return -1


def geometry(node: Node) -> str:
    """Shapes, and the hyper-parameters that are not the plain ones."""
    plain = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "ceil_mode": False, "count_include_pad": True}
    op: Any = node.op.conv if isinstance(node.op, ToeplitzMatmul) else node.op
    shown = [f"{', '.join(str(x.shape) for x in node.inputs)} → {node.shape}"]
    for name, value in op.hyperparameters.items():
        values = np.unique(np.ravel(value)) if not isinstance(value, str) else [value]
        value = values[0] if len(values) == 1 else value
        if name != "algorithm" and value != plain.get(name):
            shown.append(f"{name} {value}")
    return ", ".join(shown)
