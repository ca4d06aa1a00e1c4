"""``exact``: a small piecewise linear network in fractions, by the same rules.

An op that is piecewise a polynomial gives whole numbers for whole numbers, and in float64 these are exact up to 2⁵³. So each
array is kept as whole numbers over one denominator, and kernels and Jacobians compute with the whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm, prod
from typing import Any

import numpy as np

from minigraph.arguments import expect_node
from minigraph.array import Array
from minigraph.node import FLOATS, GraphError, Node, ShapeError
from minigraph.tape import Tape

__all__ = ["Exact", "exact"]

LIMIT = 2.0**53  # up to which float64 holds every whole number


@dataclass(frozen=True)
class Whole:
    """Whole numbers over a denominator."""

    numbers: Array
    denominator: int

    def reduced(self) -> Whole:
        """The same fractions without a common divisor."""
        common = gcd(self.denominator, *(int(n) for n in np.unique(np.abs(self.numbers))))
        return Whole(self.numbers / common, self.denominator // common) if common > 1 else self

    def fractions(self) -> Any:
        """An array of Fractions, or a Fraction."""
        flat = [Fraction(int(n), self.denominator) for n in np.ravel(self.numbers)]
        return np.array([*flat, None], object)[:-1].reshape(self.numbers.shape)[()]

    def __add__(self, other: Whole) -> Whole:
        q = lcm(self.denominator, other.denominator)
        a, b = (_scaled(w.numbers, q // w.denominator) for w in (self, other))
        return Whole(_whole(a + b, np.abs(a) + np.abs(b), "a sum"), q).reduced()


def _scaled(numbers: Array, factor: int) -> Array:
    return _whole(numbers * float(factor), np.abs(numbers) * float(factor), "a common denominator")


def _whole(numbers: Any, bound: Any, what: str) -> Array:
    """Rounded numbers that should be whole. Raises OverflowError if float64 may not hold the sums that they come from."""
    rounded = np.asarray(np.round(numbers), np.float64)
    if np.max(bound, initial=0) >= LIMIT or np.abs(rounded - numbers).max(initial=0) > 0.25:
        raise OverflowError(
            f"exact: {what} takes whole numbers beyond 2^53; wanted smaller numerators and denominators"
        )
    return rounded


def _from_fractions(values: Any, label: str) -> Whole:
    """Fractions, integers or floats as whole numbers over a denominator."""
    array = np.asarray(values, object)
    try:
        flat = [Fraction(v) for v in np.ravel(array)]
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            f"exact: got values for {label} that are no fractions ({error}); wanted finite real numbers"
        ) from None
    q = lcm(*(f.denominator for f in flat)) if flat else 1
    numbers = np.array([float(f * q) for f in flat]).reshape(array.shape)
    return Whole(_whole(numbers, np.abs(numbers), label), q)


class Exact:
    """The values of a graph in fractions: ``exact[node]`` is an array of Fractions; and its derivatives."""

    def __init__(self, tape: Tape, values: Mapping[Node, Any]) -> None:
        self.tape = tape
        self._values: dict[Node, Whole] = {}
        self._lifted: dict[
            Node, tuple[list[Array], list[int], int, int]
        ] = {}  # inputs, their factors, divisor, denominator
        for node in tape.nodes:
            if node.op is None:
                given = values.get(node, None if node.abstract else node.value)
                if given is None:
                    raise GraphError(f"exact: {node.label} has no value; wanted fractions for it")
                whole = _from_fractions(given, node.label)
                if whole.numbers.shape != node.shape:
                    raise ShapeError(
                        f"exact: got fractions of shape {whole.numbers.shape} for {node.label}; wanted {node.shape}"
                    )
                self._values[node] = whole.reduced()
            else:
                self._values[node] = self._compute(node)

    def __getitem__(self, node: Node) -> Any:
        """The value of a node, an array of Fractions, or a Fraction. Raises KeyError for a node of another graph."""
        if node not in self._values:
            raise KeyError(f"exact: {getattr(node, 'label', node)} is not in the graph of {self.tape.y.label}")
        return self._values[node].fractions()

    def _compute(self, node: Node) -> Whole:
        op: Any = node.op
        terms = op.polynomial(len(node.inputs))
        if terms is None:
            raise TypeError(
                f"exact: {node.label} is not piecewise a polynomial; wanted ops such as conv2d, relu, max_pool2d and linear"
            )
        wholes = [self._values[x] for x in node.inputs]
        divisor = op.divisor(node, *node.inputs)
        denominators = [prod(wholes[i].denominator for i in term) for term in terms]
        common = lcm(*denominators)
        factors = [1] * len(wholes)
        for term, q in zip(terms, denominators, strict=True):
            factors[term[0]] = common // q * divisor
        numbers = [_scaled(w.numbers, f) for w, f in zip(wholes, factors, strict=True)]
        y = np.asarray(op.evaluate([n[()] for n in numbers]))
        self._lifted[node] = numbers, factors, divisor, common * divisor
        bound = sum(abs(self._jacobian(node, i)) @ np.ravel(np.abs(numbers[i])) for i in range(len(numbers)))
        return Whole(_whole(y, bound, node.label), common * divisor).reduced()

    def _jacobian(self, node: Node, i: int) -> Any:
        """The sparse matrix of the Jacobian at the whole numbers, times the divisor: whole numbers again."""
        numbers, _, divisor, _ = self._lifted[node]
        op: Any = node.op
        y = op.compute([n[()] for n in numbers])
        saved = {"saved": y[1]} if type(y) is tuple else {}
        J = op.jacobians(y[0] if saved else y, *[n[()] for n in numbers], **saved)[i]
        matrix = J.tosparse() * float(divisor)
        matrix.data = _whole(matrix.data, np.abs(matrix.data), node.label)
        return matrix

    def jacobian(self, node: Node, i: int) -> Any:
        """The local Jacobian of a node by its input i, an array of Fractions (node.size, input.size)."""
        _, factors, divisor, denominator = self._lifted[node]
        scale = Fraction(factors[i] * self._values[node.inputs[i]].denominator, denominator * divisor)
        return Whole(self._jacobian(node, i).toarray(), 1).fractions() * scale

    def pull(self, x: Node, g: Any = None) -> Any:
        """gᵀ ∂y/∂x, an array of Fractions of the shape of x; ``g`` is 1 if y has one entry. 0 if y does not depend on x."""
        y = self.tape.y
        if g is None and y.size != 1:
            raise GraphError(f"exact: got no cotangent for {y.label} of shape {y.shape}; wanted g of that shape")
        seed = _from_fractions(np.ones(y.shape, int) if g is None else g, "g")
        if seed.numbers.shape != y.shape:
            raise ShapeError(f"exact: got g of shape {seed.numbers.shape}; wanted {y.shape}")
        active = self.tape.depending_on([x])
        cotangents = {y: seed} if y in active else {}
        for node in reversed(self.tape.nodes):
            if node is x or node not in cotangents or node.op is None:
                continue
            c = cotangents.pop(node)
            _, factors, divisor, denominator = self._lifted[node]
            for i, v in enumerate(node.inputs):
                if v in active and v.dtype in FLOATS:
                    matrix = self._jacobian(node, i).T
                    flat = np.ravel(c.numbers)
                    pulled = _whole(matrix @ flat, abs(matrix) @ np.abs(flat), node.label).reshape(v.shape)
                    scale = Fraction(factors[i] * self._values[v].denominator, denominator * divisor * c.denominator)
                    whole = Whole(_scaled(pulled, scale.numerator), scale.denominator).reduced()
                    cotangents[v] = cotangents[v] + whole if v in cotangents else whole
        return cotangents.get(x, Whole(np.zeros(x.shape), 1)).fractions()


def exact(y: Node, values: Mapping[Node, Any] | None = None) -> Exact:
    """The graph of ``y`` in ``fractions.Fraction``, by the same kernels and Jacobians: nothing is rounded.

    ``values``: fractions for leaves of the graph, arrays or lists of numbers of their shapes; other leaves have their float
    values, which are fractions too (0.5 is 1/2; 0.1 is no tenth, and has 2⁵⁵ below). For small networks of convolutions, pooling, ReLU, linear layers, sums and means.

    ``exact(y)[node]`` is the value of a node, ``.pull(x)`` the gradient, ``.jacobian(node, i)`` a local Jacobian, all of Fractions
    in the shapes of the graph: (S) → (S). Raises TypeError for an op that is not piecewise a polynomial, and for leaves that
    are none; OverflowError where whole numbers beyond 2⁵³ would be needed; ShapeError for fractions of another shape.
    """
    expect_node("exact", y)
    tape = Tape.of(y)
    tape.check_unchanged()
    if values is not None and not isinstance(values, Mapping):
        raise TypeError(f"exact: got {type(values).__name__} as values; wanted a dict of leaves and their fractions")
    given = dict(values or {})
    for x in given:
        if not any(x is node for node in tape.leaves):
            raise TypeError(f"exact: got values for {getattr(x, 'label', x)}; wanted leaves of the graph of {y.label}")
    return Exact(tape, given)
