"""The chain rule on a graph: the local Jacobians on the paths from y to x, and the equations that multiply and add them.

Every node with several readers, or several inputs on the way to x, gets an equation for its derivative, which later
equations refer to. So their number grows with the nodes, not with the paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import scipy.sparse as sp

from minigraph.kernels.sparse import eye, plus, times
from minigraph.maps import MAX_BYTES, LinearMap
from minigraph.node import FLOATS, GraphError, Node
from minigraph.tape import Tape


@dataclass(frozen=True, eq=False)
class Factor:
    """A local Jacobian ∂node/∂x, x the input ``i`` of ``node``, with its formula, in which placeholders stand for nodes."""

    node: Node
    i: int
    x: Node
    formula: str
    legend: Mapping[str, str]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the matrix: (entries of the node, entries of the input)."""
        return prod(self.node.shape), prod(self.x.shape)

    @property
    def identity(self) -> bool:
        """Whether the Jacobian is the identity."""
        return self.formula == "I" or self.formula == "1" and self.shape == (1, 1)

    @property
    def map(self) -> LinearMap:
        """The local Jacobian as a linear map. Raises GraphError for a graph without values."""
        J = Tape.of(self.node, self.node.inputs).local(self.node)[self.i]
        assert J is not None
        return J

    @property
    def nnz(self) -> int | None:
        """Stored entries of the matrix; None if they depend on values that the graph does not have."""
        if not self.node.abstract:
            return self.map.nnz
        J = _abstract_map(self.node, self.i)
        return None if J is None else J.nnz

    def tosparse(self, max_bytes: int | None = MAX_BYTES) -> sp.csr_array:
        """The matrix. Raises MemoryBudgetError, and GraphError for a graph without values."""
        return self.map.tosparse(max_bytes)


def _abstract_map(node: Node, i: int) -> LinearMap | None:
    """The Jacobian of a node without values, where its rule reads shapes alone."""
    op: Any = node.op
    try:
        J = op.jacobians(node.spec, *[x.spec for x in node.inputs])[i]
        J.nnz  # noqa: B018  a selection needs values to count its entries
    except (GraphError, TypeError, AttributeError, ValueError):
        return None
    return J  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Term:
    """A product: the derivative by ``start``, known from an earlier equation, or 1 for y itself, times the factors."""

    start: Node
    factors: tuple[Factor, ...]


@dataclass(frozen=True, eq=False)
class Equation:
    """∂y/∂node as a sum of products."""

    node: Node
    terms: tuple[Term, ...]


class Chain:
    """The graph between y and one or several xs by its local Jacobians, without those that are not on a path.

    ``inputs``: for each node on a path, in the order of the tape, the numbers of the inputs that lead to an x.
    """

    def __init__(self, tape: Tape, *xs: Node) -> None:
        self.tape, self.y, self.xs = tape, tape.y, set(xs)
        ahead = tape.depending_on(xs)
        towards: dict[Node, list[int]] = {x: [] for x in xs}  # the inputs by which each node depends on an x
        for node in tape.nodes:
            if node in ahead and node not in self.xs and node not in tape.until:
                inputs = [i for i, differentiable in enumerate(differentiable_inputs(node)) if differentiable]
                if leading := [i for i in inputs if node.inputs[i] in towards]:
                    towards[node] = leading
        reached = {self.y} if self.y in towards else set[Node]()
        for node in reversed(tape.nodes):
            if node in reached:
                reached.update(node.inputs[i] for i in towards[node])
        self.inputs = {node: towards[node] for node in tape.nodes if node in reached}

    @cached_property
    def paths(self) -> dict[Node, int]:
        """The number of paths from each node to the xs."""
        counts = dict.fromkeys(self.xs, 1)
        for node, inputs in self.inputs.items():
            if node not in self.xs:
                counts[node] = sum(counts[node.inputs[i]] for i in inputs)
        return counts

    @cached_property
    def readers(self) -> dict[Node, list[tuple[Node, int]]]:
        """The edges by which each node is read: pairs of a reader and the number of its input."""
        edges: dict[Node, list[tuple[Node, int]]] = {node: [] for node in self.inputs}
        for node, inputs in self.inputs.items():
            for i in inputs:
                edges[node.inputs[i]].append((node, i))
        return edges

    @cached_property
    def bottlenecks(self) -> list[Node]:
        """The nodes that every path passes, from y to x."""
        down = dict.fromkeys(self.inputs, 0) | {self.y: 1}
        for node in reversed(self.inputs):
            for i in self.inputs[node]:
                down[node.inputs[i]] += down[node]
        total = self.paths.get(self.y, 0)
        return [node for node in reversed(self.inputs) if down[node] * self.paths[node] == total]

    def named(self, node: Node) -> bool:
        """Whether the derivative by ``node`` gets an equation: a sum, a derivative used several times, and the result."""
        return node in self.xs or node is not self.y and (len(self.readers[node]) > 1 or len(self.inputs[node]) > 1)

    def walk(self) -> Iterator[Node]:
        """The nodes from the inputs of y to the xs, in the order of the backward walk."""
        return (node for node in reversed(self.inputs) if node is not self.y)


def differentiable_inputs(node: Node) -> list[bool]:
    """Which inputs of a node have a Jacobian; without values, those that have a formula."""
    op: Any = node.op
    if op is None or node.dtype not in FLOATS:
        return [False] * len(node.inputs)
    if not node.abstract and not any(x.abstract for x in node.inputs):
        return [J is not None and x.dtype in FLOATS for J, x in zip(op.maps(node), node.inputs, strict=True)]
    return [x.dtype in FLOATS and op.formula_at(i, node, *node.inputs) is not None for i, x in enumerate(node.inputs)]


def evaluated(equations: list[Equation], y: Node, max_bytes: int | None = MAX_BYTES) -> dict[Node, sp.csr_array]:
    """The derivative of each equation, by products and sums of the sparse matrices of its factors."""
    derivatives: dict[Node, Any] = {}
    for equation in equations:
        total = None
        for term in equation.terms:
            product = derivatives.get(term.start)
            for factor in term.factors:
                matrix = factor.tosparse(max_bytes)
                product = matrix if product is None else times(product, matrix)
            product = eye(prod(y.shape), y.dtype) if product is None else product
            total = product if total is None else plus(total, product)
        derivatives[equation.node] = total
    return derivatives
