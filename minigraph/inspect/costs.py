"""costs: what each layer of a graph stores and computes, as itself and by its matrices, from shapes alone."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np

from minigraph.arguments import expect_node
from minigraph.facts import Layer
from minigraph.node import Node, Parameter, Spec
from minigraph.tape import Tape
from minigraph.text import readable_repr, table

__all__ = ["Cost", "Costs", "Ways", "costs"]


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
    layers = ((node, layer_of(node)) for node in Tape.of(y).nodes)
    return Costs(cost(node, layer) for node, layer in layers if layer)


def layer_of(node: Node) -> Layer | None:
    """What the node's op says of itself as a layer; None where it is none."""
    if node.op is None:
        return None
    return node.op.layer(learned(node), *[Spec(x.shape, node.dtype) for x in node.inputs])


def learned(node: Node) -> int:
    """The first input that is a parameter, perhaps transposed or reshaped; −1 if none is."""
    for i, x in enumerate(node.inputs):
        while x.op and x.op.rearranges:
            (x,) = x.inputs
        if isinstance(x, Parameter):
            return i
    return -1


def cost(node: Node, layer: Layer) -> Cost:
    """What one layer costs for one sample."""
    assert node.op
    xs = layer.sample
    y = node.op.infer(*xs)
    rows, columns, operations, nnz = y.size, xs[layer.data].size, layer.operations, layer.nnz
    if operations is None:
        operations = _sums(node.op.multiply_adds(y, *xs), rows)
    if nnz is None:
        J = node.op.jacobians(y, *xs)[layer.data]
        nnz = J.nnz if J else 0
    return Cost(
        node.label,
        geometry(node),
        Ways(0 if layer.weights is None else xs[layer.weights].size, rows * columns, nnz),
        Ways(operations, _sums(rows * columns, rows), _sums(nnz, rows)),
    )


def _sums(products: int, results: int) -> int:
    """Multiplications and additions to sum ``products`` into ``results``."""
    return products + max(products - results, 0)


def geometry(node: Node) -> str:
    """Shapes, and the hyper-parameters that differ from their defaults."""
    assert node.op
    shown = [f"{', '.join(str(x.shape) for x in node.inputs)} → {node.shape}"]
    for name, value in node.op.hyperparameters.items():
        values = np.unique(np.ravel(value)) if not isinstance(value, str) else [value]
        value = values[0] if len(values) == 1 else value
        if name != "algorithm" and value != node.op.default_hyperparameters.get(name):
            shown.append(f"{name} {value}")
    return ", ".join(shown)
