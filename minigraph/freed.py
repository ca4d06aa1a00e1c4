"""The structure of a graph that backward() has freed: ops, names and shapes, for printing, drawing and summaries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from minigraph.node import GraphError, Node, Parameter, Spec

FREED_NODES = 5000  # the structure of larger graphs is not kept: they are too large to draw or read


class FreedError(GraphError):
    """A graph that backward() has freed was walked."""


class FreedInputs(tuple[()]):
    """The inputs of a node in a freed graph: empty, with descriptions of the nodes that were there."""

    nodes: dict[int, Any]  # by serial: a leaf that is kept, or the description of a node

    def __iter__(self) -> NoReturn:  # so that code walking a graph need not check for freed inputs
        raise FreedError("the graph was freed by backward(); call backward(retain_graph=True)")

    def __new__(cls, nodes: Iterable[Node]) -> FreedInputs:
        self = super().__new__(cls)
        self.nodes = descriptions_of(nodes)
        return self


def descriptions_of(nodes: Iterable[Node]) -> dict[int, Any]:
    """By serial: parameters and scalar leaves themselves; of other nodes op, number or shape, name, scope, inputs' serials."""
    descriptions: dict[int, Any] = {}
    for node in nodes:  # every backward() runs this loop
        op, value = node.op, node._value
        number = type(value) is np.float64 or isinstance(value, np.generic)
        if op is None and (number or isinstance(node, Parameter)):
            descriptions[node.serial] = node
            continue
        xs = node.inputs
        serials = (xs[0].serial, xs[1].serial) if len(xs) == 2 else tuple([x.serial for x in xs])
        descriptions[node.serial] = op, value if number else (value.shape, value.dtype), node.name, node.scope, serials
    return descriptions


def structure_of(y: Node) -> list[Node]:
    """The nodes of the freed graph of y, in order: those that are gone are rebuilt without values."""
    descriptions: dict[int, Any] = {}
    remaining, stack = {y}, [y]
    while stack:
        node = stack.pop()
        if type(node.inputs) is FreedInputs:
            if node.serial not in node.inputs.nodes:  # too large a graph
                raise freed_error(node)
            descriptions |= node.inputs.nodes
            continue
        descriptions |= descriptions_of([node])
        for x in node.inputs:
            if x not in remaining:
                remaining.add(x)
                stack.append(x)
    nodes: dict[int, Node] = {}
    for serial, description in sorted(descriptions.items()):
        if not isinstance(description, Node):
            op, value, name, scope, inputs = description
            value = Spec(*value) if isinstance(value, tuple) else value
            description = Node(value, op, tuple(nodes[i] for i in inputs), name, scope)
            description.serial = serial
        nodes[serial] = description
    for node in remaining:
        nodes[node.serial]._value, nodes[node.serial].grad = node._value, node.grad
    reachable, serials = {y.serial}, [y.serial]
    while serials:
        for x in nodes[serials.pop()].inputs:
            if x.serial not in reachable:
                reachable.add(x.serial)
                serials.append(x.serial)
    return [node for serial, node in nodes.items() if serial in reachable]


def freed_error(node: Node) -> GraphError:
    """The error for walking a freed graph."""
    return FreedError(f"{node.label}: the graph behind it was freed by backward(); call backward(retain_graph=True)")
