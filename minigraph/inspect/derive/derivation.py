"""Derivation: the chain rule from y to x, read off a graph, written in several languages, and executable."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from minigraph.arguments import expect_node
from minigraph.files import checked_path, write
from minigraph.inspect.derive import writing
from minigraph.inspect.derive.chain import Chain, Equation, Factor, Term, differentiable_inputs, evaluated
from minigraph.inspect.derive.formulas import factors_of, literal, substituted
from minigraph.inspect.derive.symbols import Symbol, Symbols
from minigraph.inspect.derive.writing import Writer
from minigraph.maps import MAX_BYTES
from minigraph.node import FLOATS, Node
from minigraph.tape import Tape
from minigraph.text import readable, readable_repr

MAX_EQUATIONS = 40  # beyond it a derivation is written block by block


def derive(y: Node, x: Node | str) -> Derivation:
    """The chain rule for ∂vec(y)/∂vec(x), read off the graph: (y.shape), (x.shape) → a matrix (y.size, x.size).

    Each path from y to x contributes the product of its local Jacobians, and the products are added. Derivatives that several
    products share get an equation of their own. vec stacks the entries of an array in C order.

    ``x``: a node, or its name or path. The result prints as text, and writes itself as ``markdown()``, ``latex()`` and
    ``mathml()``; ``steps()`` lists the backward walk with what is known and what to calculate, ``evaluate()`` multiplies and adds the sparse
    matrices. If no path leads from y to x, the derivative is 0, and the derivation says why.

    Raises TypeError unless y and x are nodes of float dtype, KeyError and GraphError for a name that no node, or several,
    have, GraphError for a graph that ``backward`` has freed.
    """
    expect_node("derive", y)
    tape = Tape.of(y)
    if isinstance(x, str):
        x = tape[x]
    expect_node("derive", x)
    tape.check_unchanged()
    for node in (y, x):
        if node.dtype not in FLOATS:
            raise TypeError(f"derive: got {node.label} of dtype {node.dtype}; wanted float32 or float64")
    return Derivation(tape, x)


@readable_repr
@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """One step of the backward walk: ∂y/∂node from derivatives that are known and Jacobians to be calculated now.

    ``terms``: pairs of a node whose derivative is known, y itself for the first step, and the local Jacobian from there.
    """

    derivation: Derivation
    number: int
    node: Node
    terms: tuple[tuple[Node, Factor], ...]

    @property
    def known(self) -> list[str]:
        """The derivatives that earlier steps have calculated."""
        writer = Writer(self.derivation, "text")
        return [writer.derivative(node) for node, _ in self.terms if node is not self.derivation.y]

    @property
    def calculate(self) -> list[str]:
        """The local Jacobians to calculate now, by their formulas."""
        writer = Writer(self.derivation, "text")
        return [writer.matrix(factor) for _, factor in self.terms]

    @property
    def text(self) -> str:
        """The step as an equation."""
        return Writer(self.derivation, "text").step(self)

    def __repr__(self) -> str:
        known = f"   known: {', '.join(self.known)}" if self.known else ""
        return f"{self.number}. {self.text}{known}   calculate now: {', '.join(self.calculate)}"


@readable_repr
class Derivation:
    """The chain rule from y to x: ``equations`` of named derivatives, the last of which is ∂y/∂x.

    ``others``: further nodes whose derivatives get equations and steps.
    """

    def __init__(self, tape: Tape, x: Node, *others: Node) -> None:
        self.tape, self.y, self.x = tape, tape.y, x
        self.chain = Chain(tape, x, *others)
        nodes = tape.nodes if x in tape else [*tape.nodes, x]
        self.symbols = Symbols(nodes)
        self.factors = factors_of(self.chain, self.symbols)

    # --- structure ---------------------------------------------------------------------------------

    @property
    def paths(self) -> int:
        """The number of paths from y to x."""
        return self.chain.paths.get(self.y, 0)

    @cached_property
    def equations(self) -> list[Equation]:
        """The derivatives of shared nodes, from y to x, and last that of x."""
        return [Equation(node, self._terms(node)) for node in self.chain.walk() if self.chain.named(node)] or (
            [Equation(self.x, (Term(self.y, ()),))] if self.x is self.y else []
        )

    def _terms(self, node: Node) -> tuple[Term, ...]:
        terms = []
        for reader, i in self.chain.readers[node]:
            factors = [self.factors[reader, i]]
            while reader is not self.y and not self.chain.named(reader):
                ((above, j),) = self.chain.readers[reader]
                factors.append(self.factors[above, j])
                reader = above
            terms.append(Term(reader, tuple(reversed(factors))))
        return tuple(terms)

    def steps(self, *, all_nodes: bool = False) -> list[Step]:
        """The backward walk, node by node from y to x: what is known at each step, and what to calculate.

        Steps that only rename a vector, from H to vec(H), are left out unless ``all_nodes``.
        """
        nodes = [node for node in self.chain.walk() if all_nodes or self._changes(node)]
        return [
            Step(self, k, node, tuple((reader, self.factors[reader, i]) for reader, i in self.chain.readers[node]))
            for k, node in enumerate(nodes, 1)
        ]

    def _changes(self, node: Node) -> bool:
        """Whether the derivative by a node differs, and not in name only, from that by its reader."""
        edges = self.chain.readers[node]
        return len(edges) > 1 or not self.renames(self.factors[edges[0]])

    @property
    def reason(self) -> str:
        """Why the derivative is 0; empty if there is a path."""
        if self.paths:
            return ""
        x, y = self.symbols.text(self.symbols[self.x]), self.symbols.text(self.symbols[self.y])
        behind = {self.x}
        for node in self.tape.nodes:
            if not behind.isdisjoint(node.inputs):
                behind.add(node)
        if self.x not in self.tape or self.y not in behind:
            return f"{y} is not computed from {x}"
        for node in self.tape.nodes:
            if node in behind and node is not self.x:
                open_inputs = zip(node.inputs, differentiable_inputs(node), strict=True)
                if not any(differentiable for x, differentiable in open_inputs if x in behind):
                    return f"{self.call(node)}, on the way from {x} to {y}, has no derivative"
        return f"no path from {x} to {y} has a derivative"

    def convolutions(self) -> list[tuple[str, str]]:
        """The pulls of convolutions as convolutions, (∂y/∂x, x ∗ ∂y/∂S), each a formula with placeholders.

        Without those to nodes with several readers, whose derivatives are sums. For a y of several entries bars stand for
        cotangents: x̄ = gᵀ ∂y/∂x.
        """
        pulls = []
        for (node, i), factor in self.factors.items():
            pull = node.op.convolution_pull(i) if node.op else None
            if pull and len(self.chain.readers[factor.x]) == 1:
                left, g = (self._cotangent(n) for n in (factor.x, node))
                pulls.append((left, substituted(node, pull.text, self.symbols, {}, {"g": g})))
        return pulls[::-1]

    def _cotangent(self, node: Node) -> str:
        """∂y/∂node as an array, or the cotangent of the node."""
        y, x = self.symbols[self.y], self.symbols[node]
        if self.y.size != 1:
            return self.symbols.add(Symbol(self.symbols.text(x) + "\u0304", rf"\bar{{{self.symbols.latex(x)}}}"))
        text, tex = ([f(n) for n in (y, x)] for f in (self.symbols.text, self.symbols.latex))
        return self.symbols.add(Symbol(f"∂{text[0]}/∂{text[1]}", rf"\frac{{\partial {tex[0]}}}{{\partial {tex[1]}}}"))

    # --- execution ---------------------------------------------------------------------------------

    def evaluate(self, max_bytes: int | None = MAX_BYTES) -> sp.csr_array:
        """∂vec(y)/∂vec(x) by products and sums of the sparse matrices of the factors: (y.size, x.size).

        Raises MemoryBudgetError if a factor would take more than ``max_bytes``, GraphError for a graph without values.
        """
        if self.y.abstract:
            self.y.value  # noqa: B018  raises the error for a node without a value
        if not self.paths:
            return sp.csr_array((prod(self.y.shape), prod(self.x.shape)), dtype=self.y.dtype)
        return evaluated(self.equations, self.y, max_bytes)[self.x]

    def check(self, rtol: float = 1e-4, rng: np.random.Generator | int = 0) -> float:
        """The largest relative difference between gᵀ ∂y/∂v of the equations and of the backward walk, g random.

        Pulls written as convolutions are compared with those of the Jacobians. Raises AssertionError naming the equation or
        the node that differs by more than ``rtol``.
        """
        g = np.asarray(np.random.default_rng(rng).standard_normal(self.y.shape), self.y.dtype)
        pairs = {}
        for node, matrix in self.values().items():
            (pulled,) = self.tape.pull(g, [node])
            pairs[node] = matrix.T @ np.ravel(g), np.ravel(np.asarray(pulled))
        largest = max([float(np.abs(v).max(initial=0)) for v in (g, *(wanted for _, wanted in pairs.values()))])
        rounding, worst = 1000 * float(np.finfo(self.y.dtype).eps) * largest, 0.0
        for node, (got, wanted) in pairs.items():
            error = max(0.0, float(np.abs(got - wanted).max(initial=0)) - rounding)
            error /= float(np.abs(wanted).max(initial=0)) or 1.0
            if not error <= rtol:
                name = Writer(self, "text").derivative(node)
                raise AssertionError(f"derive: {name} differs from the backward walk by {error:.3g}; wanted {rtol:g}")
            worst = max(worst, error)
        return max(worst, self._check_convolutions(rtol, rng))

    def _check_convolutions(self, rtol: float, rng: np.random.Generator | int) -> float:
        """The largest relative difference between pulls as convolutions and the pulls of the Jacobians."""
        draw, worst = np.random.default_rng(rng), 0.0
        for (node, i), factor in self.factors.items():
            if pull := node.op.convolution_pull(i) if node.op else None:
                g = np.asarray(draw.standard_normal(node.shape), node.dtype)
                wanted = factor.map.pull(g)
                error = float(np.abs(pull.compute(g, *[x.value for x in node.inputs]) - wanted).max(initial=0))
                error /= float(np.abs(wanted).max(initial=0)) or 1.0
                if not error <= rtol:
                    raise AssertionError(f"derive: {pull.text} of {node.label} differs by {error:.3g}; wanted {rtol:g}")
                worst = max(worst, error)
        return worst

    # --- description -------------------------------------------------------------------------------

    def variable(self, node: Node) -> str:
        """The node as a vector: vec(x), or x if at most one of its axes has more than one entry."""
        name = self.symbols[node]
        flat = sum(n != 1 for n in node.shape) <= 1 or self.symbols.text(name).startswith("vec(")
        return name if flat else f"vec({name})"

    def renames(self, factor: Factor) -> bool:
        """Whether a factor is an identity between two names of the same vector: vec(H) of a node H."""
        spelled = self.symbols.text
        return factor.identity and spelled(self.variable(factor.node)) == spelled(self.variable(factor.x))

    def ordered_factors(self) -> Iterator[Factor]:
        """All factors, from y to x."""
        return (self.factors[node, i] for node in reversed(self.chain.inputs) for i in self.chain.inputs[node])

    def call(self, node: Node) -> str:
        """The node as a call of its op: S = conv2d(x: X, w: F)."""
        op: Any = node.op
        names = op.operand_names(len(node.inputs))
        values = [literal(x) or self.symbols.text(self.symbols[x]) for x in node.inputs]
        inputs = [v if len(names) == 1 or n in ("", v) else f"{n}: {v}" for n, v in zip(names, values, strict=True)]
        return f"{self.symbols.text(self.symbols[node])} = {op.name}({', '.join(inputs)})"

    def legend(self) -> dict[str, str]:
        """The meaning of the letters in the formulas, with the node that each belongs to."""
        spelled = self.symbols.text
        return {
            spelled(letter): f"{spelled(meaning)} ({spelled(self.symbols[factor.node])})"
            for factor in self.ordered_factors()
            for letter, meaning in factor.legend.items()
        }

    def summary(self) -> str:
        """What the derivative is, in a sentence."""
        y, x = (self.symbols.text(self.symbols[node]) for node in (self.y, self.x))
        m, n = prod(self.y.shape), prod(self.x.shape)
        name = Writer(self, "text").derivative(self.x)
        return (
            f"{name} is {m:,}×{n:,}: a row for each entry of {y} ({_shape(self.y)}), a column for each entry of {x} "
            f"({_shape(self.x)}).\nvec stacks the entries of an array in C order."
        )

    def count(self) -> str:
        """How many paths there are, in a sentence."""
        if not self.paths:
            return f"The derivative is 0: {self.reason}."
        return "There is one path." if self.paths == 1 else f"There are {self.paths:,} paths; their products are added."

    def many(self) -> str:
        """What a derivation of too many equations gives instead of them, in a sentence."""
        return (
            f"It takes {len(self.equations)} equations, too many to write out. It is the product of the Jacobians of these "
            "blocks, between nodes that every path passes; derive(a, b) writes out a single block."
        )

    @property
    def by_blocks(self) -> bool:
        """Whether there are too many equations to write them all."""
        return len(self.equations) > MAX_EQUATIONS

    def blocks(self) -> list[tuple[Node, Node, int]]:
        """The parts between nodes that every path passes, from y to x: (from, to, number of paths)."""
        nodes, paths = self.chain.bottlenecks, self.chain.paths
        return [(a, b, paths[a] // paths[b]) for a, b in zip(nodes, nodes[1:], strict=False)]

    # --- languages ---------------------------------------------------------------------------------

    def __str__(self) -> str:
        return readable(writing.text(self))

    def __repr__(self) -> str:
        name = Writer(self, "text").derivative(self.x)
        return f"<Derivation of {name}: {self.paths:,} paths, {len(self.equations)} equations; print it>"

    def markdown(self) -> str:
        """The derivation as Markdown with equations in LaTeX; notebooks show it."""
        return writing.markdown(self)

    _repr_markdown_ = markdown

    def latex(self, *, numbers: bool = False, steps: bool = False) -> str:
        """The equations in LaTeX, an align* environment of amsmath.

        ``numbers``: also write out the matrices of at most 12 rows and columns. ``steps``: the backward walk instead, with
        braces under what is already known and what to calculate now.
        """
        return writing.latex(self, numbers, steps)

    def mathml(self, *, numbers: bool = False) -> str:
        """The equations as a MathML element, which browsers show; ``numbers`` as in ``latex``."""
        return writing.mathml(self, numbers)

    def figure(self) -> Any:
        """The equations as a matplotlib Figure, set by its mathtext. Raises ImportError without the extra ``plot``."""
        return writing.figure(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``figure()`` to a .png, .svg or .pdf file. Raises ValueError for another suffix, and OSError."""
        name = checked_path("derive", path)
        form = Path(name).suffix.lower().removeprefix(".")
        if form not in ("png", "svg", "pdf"):
            raise ValueError(f"derive: got {name!r}; wanted a name that ends in .png, .svg or .pdf")
        content = io.BytesIO()
        self.figure().savefig(content, format=form, dpi=160)
        write(name, content.getvalue())

    def values(self) -> dict[Node, sp.csr_array]:
        """The derivative of each equation by its node."""
        return evaluated(self.equations, self.y)


def _shape(node: Node) -> str:
    return "×".join(map(str, node.shape)) or "scalar"
