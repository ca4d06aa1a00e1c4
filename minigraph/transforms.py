"""Transforms: from functions of arrays to functions that compute their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from minigraph.maps import Identity, LinearMap
from minigraph.mode import MODE, enable_grad, recomputing, tracing
from minigraph.node import (
    FLOATS,
    GraphError,
    Node,
    Parameter,
    Spec,
    constant,
    parameter,
    value_of,
)
from minigraph.op import Op
from minigraph.ownership import own
from minigraph.tape import Tape
from minigraph.total import TotalJacobian, basis_vector

Function = Callable[..., Any]


class Trace:
    """f(*xs) on a tape, with a new node for each argument to differentiate with respect to.

    New nodes separate the levels of nested derivatives: an inner derivative does not see other uses of an argument.
    Results are new arrays, or Nodes if they are ``open`` to further differentiation: because an argument is a Node, because
    an outer transform is running, or because of ``create_graph``.
    """

    def __init__(
        self,
        what: str,
        f: Function,
        xs: Sequence[Any],
        argnums: Sequence[int] | None = None,
        closed: Sequence[Node] | None = None,
        options: Mapping[str, Any] | None = None,
        create_graph: bool = False,
    ) -> None:
        args = list(xs)
        numbers = range(len(xs)) if argnums is None else [_position(what, i, len(xs)) for i in argnums]
        if len(set(numbers)) < len(numbers):
            raise TypeError(f"{what}: got argnums {argnums}; wanted each argument once")
        for i in numbers:
            args[i] = _variable(args[i], what)
        self.variables: list[Node] = [args[i] for i in numbers]
        with tracing(self.variables):
            y = f(*args, **(options or {}))
        _expect_one(y, what)
        self.y = y if isinstance(y, Node) else constant(y)
        self.tape = Tape.of(self.y, until=[*self.variables, *(closed or ())])
        of_nodes = any(x.op for x in self.variables)
        self.open = MODE.get().grad and (create_graph or of_nodes or self.tape.differentiated)

    @property
    def value(self) -> Any:
        value = self.y if self.open else self.y.value
        return own(value)

    def pull(self, g: Any = None, retain_graph: bool = True) -> list[Any]:
        cotangents = self.tape.pull(g, self.variables, create_graph=self.open, retain_graph=retain_graph or self.open)
        return [
            np.zeros(x.shape, x.dtype)[()] if c is None else c for x, c in zip(self.variables, cotangents, strict=True)
        ]


def _position(what: str, i: Any, n: int) -> int:
    """The index of argument i of n; negative i count from the end."""
    if isinstance(i, bool) or not isinstance(i, (int, np.integer)) or not -n <= i < n:
        raise TypeError(f"{what}: got argnums {i} for {n} arguments; wanted the position of an argument")
    return int(i) % n


def _expect_one(y: Any, what: str) -> None:
    if isinstance(y, (tuple, list, dict)) or y is None:
        raise TypeError(f"{what}: the function gave {type(y).__name__}; wanted one array or node")


def _variable(x: Any, what: str) -> Node:
    array = x if isinstance(x, Node) else np.asarray(x)
    if array.dtype not in FLOATS:
        raise TypeError(f"{what}: got an argument of dtype {array.dtype}; wanted float32 or float64 (1.0, not 1)")
    with enable_grad():
        return Argument()(x) if isinstance(x, Node) else parameter(array)


class Argument(Op):
    """y = x: a new node for an argument, which separates levels of differentiation.   J = I."""

    name = "argument"
    formulas = ("I",)
    is_leaf = True

    def infer(self, x: Spec) -> Spec:
        return x

    def forward(self, x: Any) -> Any:
        return x

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap]:
        return (Identity(x),)


Argnums = int | Sequence[int]


def _several(argnums: Argnums) -> Sequence[int]:
    return argnums if isinstance(argnums, Sequence) else [argnums]


def value_and_grad(f: Function, argnums: Argnums = 0, *, create_graph: bool = False) -> Function:
    """x ↦ (f(x), ∂f/∂x) for a scalar f: (S) → ((), (S)); keyword arguments are passed on to f.

    Results are arrays, or Nodes if an argument is a Node or another transform differentiates them.
    ``create_graph``: always Nodes, so that ``backward`` can go through the gradient to the parameters that f reads.
    ``argnums``: the position of the argument to differentiate with respect to, or several for a tuple of gradients.
    Raises TypeError for integer and complex arguments, GraphError if f(x) is not a scalar.
    """

    def with_gradient(*args: Any, **options: Any) -> tuple[Any, Any]:
        trace = Trace("grad", f, args, _several(argnums), None, options, create_graph)
        if trace.y.size != 1:
            raise GraphError(
                f"grad: the function gave shape {trace.y.shape}; wanted a scalar. mg.jacobian differentiates several "
                "values, mg.vjp their sum with weights"
            )
        gradients = trace.pull(retain_graph=False)
        return trace.value, tuple(gradients) if isinstance(argnums, Sequence) else gradients[0]

    return with_gradient


def grad(f: Function, argnums: Argnums = 0, *, create_graph: bool = False) -> Function:
    """x ↦ ∂f/∂x for a scalar f: (S) → (S). Gradients can be nested for higher orders.

    Arguments and errors are those of ``value_and_grad``.
    """
    both = value_and_grad(f, argnums, create_graph=create_graph)
    return lambda *args, **options: both(*args, **options)[1]


def vjp(f: Function, /, *xs: Any, **options: Any) -> tuple[Any, Callable[[Any], Any]]:
    """(f(xs), pull) with pull(g) = gᵀ ∂f/∂x, (f(xs).shape) → (x.shape); a tuple if there are several arguments.

    Raises TypeError for integer and complex arguments, ShapeError if g has not the shape of f(xs).
    """
    trace = Trace("vjp", f, xs, options=options)
    return trace.value, lambda g: trace.pull(g)[0] if len(xs) == 1 else tuple(trace.pull(g))


def jvp(f: Function, xs: Any, vs: Any, /, **options: Any) -> tuple[Any, Any]:
    """(f(xs), Σ ∂f/∂x v): value and tangent, (x.shape) → (f(xs).shape) both.

    ``xs``, ``vs``: tuples of arguments and tangents, or one array each. Raises TypeError if their numbers differ,
    ShapeError if a tangent has not the shape of its argument.
    """
    if not isinstance(xs, (tuple, list)):
        xs, vs = (xs,), (vs,)
    if len(xs) != len(vs):
        raise TypeError(f"jvp: got {len(xs)} arguments and {len(vs)} tangents; wanted a tangent for each argument")
    trace = Trace("jvp", f, xs, options=options)
    return trace.value, trace.tape.push(dict(zip(trace.variables, vs, strict=True)), create_graph=trace.open)


def linearize(f: Function, /, *xs: Any, **options: Any) -> tuple[Any, Any]:
    """(f(xs), J): the value, and the Jacobian as a LinearMap, (x.shape) → (f(xs).shape), for many pushes and pulls.

    For several arguments J is a tuple. Raises TypeError for integer and complex arguments.
    """
    trace = Trace("linearize", f, xs, options=options)
    maps = tuple(trace.tape.jacobian(x, create_graph=trace.open) for x in trace.variables)
    return trace.value, maps[0] if len(xs) == 1 else maps


def jacobian(f: Function, argnums: Argnums = 0, format: str | None = None, *, create_graph: bool = False) -> Function:
    """x ↦ ∂f/∂x: an array of shape f(x).shape + x.shape; with ``format`` "csr" or "csc" a sparse array (f(x).size, x.size).

    Several ``argnums`` give a tuple. Keyword arguments and ``create_graph`` are those of ``value_and_grad``.
    Raises ValueError for another format, MemoryBudgetError if the matrix would be too large.
    """
    if format not in (None, "csr", "csc"):
        raise ValueError(f"jacobian: got format {format!r}; wanted None (dense), 'csr' or 'csc'")

    def matrices(*args: Any, **options: Any) -> Any:
        trace = Trace("jacobian", f, args, _several(argnums), None, options, create_graph)
        if format and trace.open:
            raise GraphError(f"jacobian: a {format}_array cannot be differentiated again; wanted format=None here")
        if format:
            matrices_of = [trace.tape.jacobian(x).tosparse(format=format) for x in trace.variables]
        elif trace.open:  # one pull per row, which can be differentiated again
            rows = zip(
                *[trace.pull(basis_vector(i, trace.y.shape, trace.y.dtype)) for i in range(trace.y.size)], strict=True
            )
            matrices_of = [
                np.reshape(np.stack(row), trace.y.shape + x.shape) for row, x in zip(rows, trace.variables, strict=True)
            ]
        else:
            matrices_of = trace.tape.jacobians(trace.variables)
        return tuple(matrices_of) if isinstance(argnums, Sequence) else matrices_of[0]

    return matrices


def hessian(f: Function, argnums: Argnums = 0, format: str | None = None, *, create_graph: bool = False) -> Function:
    """x ↦ ∂²f/∂x² for a scalar f: an array of shape x.shape + x.shape; with ``format`` "csr" or "csc" a sparse array.

    Several ``argnums`` give a tuple of tuples, ∂²f/∂xᵢ∂xⱼ. Arguments and errors are those of ``jacobian``.
    """
    if not isinstance(argnums, Sequence):
        return jacobian(grad(f, argnums), argnums, format, create_graph=create_graph)
    rows = [jacobian(grad(f, i), argnums, format, create_graph=create_graph) for i in argnums]
    return lambda *args, **options: tuple(row(*args, **options) for row in rows)


def hvp(f: Function, x: Any, v: Any, /, **options: Any) -> Any:
    """∂²f/∂x² v for a scalar f, as the push of the gradient, without building the Hessian: (x.shape) → (x.shape).

    For several arguments ``x``, ``v`` and the result are tuples.
    """
    if isinstance(x, (tuple, list)):
        slope = lambda *xs: jvp(f, xs, v, **options)[1]  # noqa: E731
        return grad(slope, range(len(x)))(*x)
    return jvp(grad(f), (x,), (v,), **options)[1]


class Checkpoint(Op):
    """y = f(xs) as one node: its inner values are not kept, and f runs again in the backward walk.

    Inputs: the arguments of f, then the nodes that f closes over.   J = the Jacobian of the tape of f.
    """

    name = "checkpoint"

    def __init__(self, f: Function, arguments: int, closed: Sequence[Node]) -> None:
        self.f, self.arguments, self.closed = f, arguments, closed

    def infer(self, *xs: Spec) -> Spec:
        with enable_grad():
            return self.f(*xs[: self.arguments]).spec  # type: ignore[no-any-return]

    def forward(self, *xs: Any) -> Any:
        y = self.f(*xs[: self.arguments])
        return y.value if isinstance(y, Node) else y

    def recompute(self, y: Any, xs: Sequence[Any]) -> tuple[Tape, list[Node | None]]:
        """Run f again: its tape, and the node of each input on it, None where there is no derivative."""
        floats = [i for i, x in enumerate(xs[: self.arguments]) if x.dtype in FLOATS]
        with recomputing():
            again = Trace(self.name, self.f, xs[: self.arguments], floats, self.closed)
        if not np.array_equal(again.y.value, value_of(y), equal_nan=True):
            raise GraphError("checkpoint: the function gave another value when run again; wanted one that depends on its "
                             "arguments alone (for random numbers, pass a seed)")  # fmt: skip
        nodes: list[Node | None] = [None] * self.arguments + [*self.closed]
        for i, x in zip(floats, again.variables, strict=True):
            nodes[i] = x
        return again.tape, nodes

    def jacobians(self, y: Any, *xs: Any) -> list[LinearMap | None]:
        tape, nodes = self.recompute(y, xs)
        return [None if x is None else TotalJacobian(tape, x) for x in nodes]

    def pull(self, g: Any, wanted: Sequence[bool], y: Any, *xs: Any, saved: Any = None) -> list[Any]:
        """All cotangents in one backward walk."""
        tape, nodes = self.recompute(y, xs)
        requested = [x for x, some in zip(nodes, wanted, strict=True) if some and x is not None]
        cotangents = dict(zip(requested, tape.pull(g, requested), strict=True))
        return [None if x is None else cotangents.get(x) for x in nodes]


def _detached(x: Any) -> Any:
    """x as a leaf, without the graph it was computed from."""
    if not isinstance(x, Node):
        return x
    return Parameter(x._value) if x.dtype in FLOATS else Node(x._value)


def checkpoint(f: Function) -> Function:
    """f as a single node whose inner values are recomputed in the backward walk: less memory for more time.

    Keyword arguments are passed on to f. If f gives another value when it runs again, the walk raises GraphError.
    Chen et al. 2016, "Training deep nets with sublinear memory cost".
    """

    def recorded(*xs: Any, **options: Any) -> Any:
        g = partial(f, **options) if options else f
        arguments = [_detached(x) for x in xs]
        start = Node(0.0).serial
        y = g(*arguments)
        _expect_one(y, "checkpoint")
        if not isinstance(y, Node) or not MODE.get().grad:
            return y
        inner = [node for node in Tape.of(y).nodes if node.serial > start]
        used = dict.fromkeys(x for node in inner for x in node.inputs if x.serial < start and x.dtype in FLOATS)
        closed = [x for x in used if not any(x is a for a in arguments)] if y.serial > start else [y]
        inputs = tuple(x if isinstance(x, Node) else constant(x) for x in xs)
        return Node(y._value, Checkpoint(g, len(xs), closed), (*inputs, *closed), None, MODE.get().scope)

    recorded.__wrapped__ = f  # type: ignore[attr-defined]
    return recorded
