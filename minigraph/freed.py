"""What is kept of a graph that backward() has freed: ops, names and shapes, to be printed, drawn and summarised."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from minigraph.node import GraphError, Node, Parameter, Spec

FREED_NODES = 5000  # nodes of a graph whose structure outlives it; larger ones are neither drawn nor read


class FreedError(GraphError):
    """A walk that meets a graph which backward() has freed."""


class Freed(tuple[()]):
    """The inputs of a node whose graph backward() has freed: none, but a record of the nodes that were there."""

    nodes: dict[int, Any]  # by serial: a leaf that stays, or what a stand-in is made of

    def __iter__(self) -> NoReturn:  # so that walks over graphs need not ask
        raise FreedError("the graph was freed by backward(); call backward(retain_graph=True)")

    def __new__(cls, nodes: Iterable[Node]) -> Freed:
        self = super().__new__(cls)
        self.nodes = described(nodes)
        return self


def described(nodes: Iterable[Node]) -> dict[int, Any]:
    """By serial: leaves that are parameters or numbers; of other nodes op, number or shape, name, scope, inputs' serials."""
    found: dict[int, Any] = {}
    for node in nodes:  # in the fewest steps, since every backward() does it
        op, value = node.op, node._value
        number = type(value) is np.float64 or isinstance(value, np.generic)
        if op is None and (number or isinstance(node, Parameter)):
            found[node.serial] = node
            continue
        xs = node.inputs
        serials = (xs[0].serial, xs[1].serial) if len(xs) == 2 else tuple([x.serial for x in xs])
        found[node.serial] = op, value if number else (value.shape, value.dtype), node.name, node.scope, serials
    return found


def stand_ins(y: Node) -> list[Node]:
    """The graph behind y as it was before it was freed: nodes without values stand in for those that are gone."""
    found: dict[int, Any] = {}
    there, todo = {y}, [y]
    while todo:
        node = todo.pop()
        if type(node.inputs) is Freed:
            if node.serial not in node.inputs.nodes:  # too large a graph
                raise freed_error(node)
            found |= node.inputs.nodes
            continue
        found |= described([node])
        for x in node.inputs:
            if x not in there:
                there.add(x)
                todo.append(x)
    made: dict[int, Node] = {}
    for serial, what in sorted(found.items()):
        if not isinstance(what, Node):
            op, value, name, scope, inputs = what
            value = Spec(*value) if isinstance(value, tuple) else value
            what = Node(value, op, tuple(made[i] for i in inputs), name, scope)
            what.serial = serial
        made[serial] = what
    for node in there:
        made[node.serial]._value, made[node.serial].grad = node._value, node.grad
    behind, serials = {y.serial}, [y.serial]
    while serials:
        for x in made[serials.pop()].inputs:
            if x.serial not in behind:
                behind.add(x.serial)
                serials.append(x.serial)
    return [node for serial, node in made.items() if serial in behind]


def freed_error(node: Node) -> GraphError:
    """The error of a walk that meets a freed graph."""
    return FreedError(f"{node.label}: the graph behind it was freed by backward(); call backward(retain_graph=True)")
