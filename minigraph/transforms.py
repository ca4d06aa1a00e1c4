"""Transforms: functions of arrays to functions that are their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from minigraph.maps import Identity, LinearMap
from minigraph.mode import MODE, enable_grad, replaying, tracing
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
from minigraph.total import Total, unit

Function = Callable[..., Any]


class Trace:
    """f at xs on a tape, with a fresh node for each argument to differentiate by.

    Fresh nodes keep levels apart: an inner derivative does not see an argument's other uses. Results are arrays of the
    caller's own; Nodes where they are ``open`` to be differentiated in turn: because an argument is a Node, because an
    outer transform is at work, or because ``create_graph`` asks for it.
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
        found = self.tape.pull(g, self.variables, create_graph=self.open, retain_graph=retain_graph or self.open)
        return [np.zeros(x.shape, x.dtype)[()] if c is None else c for x, c in zip(self.variables, found, strict=True)]


def _position(what: str, i: Any, n: int) -> int:
    """The number from 0 of argument i of n."""
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
    """y = x: a fresh node for an argument, which separates levels of differentiation.   J = I."""

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
    """x ↦ (f(x), ∂f/∂x) for a scalar f: (S) → ((), (S)); keyword arguments go to f as they are.

    Results are arrays; Nodes where an argument is a Node, and within another transform that differentiates them.
    ``create_graph``: Nodes in any case, so that ``backward`` can go through the gradient to the parameters that f reads.
    ``argnums``: the argument to differentiate by, or several for a tuple of gradients.
    Raises TypeError for integer and complex arguments, GraphError when f(x) is not a scalar.
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
    """x ↦ ∂f/∂x for a scalar f: (S) → (S). Gradients of gradients give higher orders.

    Arguments and errors as those of ``value_and_grad``.
    """
    both = value_and_grad(f, argnums, create_graph=create_graph)
    return lambda *args, **options: both(*args, **options)[1]


def vjp(f: Function, /, *xs: Any, **options: Any) -> tuple[Any, Callable[[Any], Any]]:
    """(f(xs), pull) with pull(g) = gᵀ ∂f/∂x, (f(xs).shape) → (x.shape): one for one argument, else a tuple.

    Raises TypeError for integer and complex arguments, ShapeError for a g of another shape than f(xs).
    """
    trace = Trace("vjp", f, xs, options=options)
    return trace.value, lambda g: trace.pull(g)[0] if len(xs) == 1 else tuple(trace.pull(g))


def jvp(f: Function, xs: Any, vs: Any, /, **options: Any) -> tuple[Any, Any]:
    """(f(xs), Σ ∂f/∂x v): value and tangent, (x.shape) → (f(xs).shape) both.

    ``xs``, ``vs``: tuples of arguments and tangents, or one array each. Raises TypeError where their numbers differ,
    ShapeError for a tangent of another shape than its argument.
    """
    if not isinstance(xs, (tuple, list)):
        xs, vs = (xs,), (vs,)
    if len(xs) != len(vs):
        raise TypeError(f"jvp: got {len(xs)} arguments and {len(vs)} tangents; wanted a tangent for each argument")
    trace = Trace("jvp", f, xs, options=options)
    return trace.value, trace.tape.push(dict(zip(trace.variables, vs, strict=True)), create_graph=trace.open)


def linearize(f: Function, /, *xs: Any, **options: Any) -> tuple[Any, Any]:
    """(f(xs), J): the value, and the Jacobian as a LinearMap, (x.shape) → (f(xs).shape), to push and pull often.

    A tuple of maps for several arguments. Raises TypeError for integer and complex arguments.
    """
    trace = Trace("linearize", f, xs, options=options)
    maps = tuple(trace.tape.jacobian(x, create_graph=trace.open) for x in trace.variables)
    return trace.value, maps[0] if len(xs) == 1 else maps


def jacobian(f: Function, argnums: Argnums = 0, format: str | None = None, *, create_graph: bool = False) -> Function:
    """x ↦ ∂f/∂x: an array of shape (f(x).shape + x.shape), or with ``format`` "csr" or "csc" sparse (f(x).size, x.size).

    Several ``argnums`` give a tuple. Keyword arguments and ``create_graph`` as in ``value_and_grad``.
    Raises ValueError for another format, MemoryBudgetError when the matrix would be too large.
    """
    if format not in (None, "csr", "csc"):
        raise ValueError(f"jacobian: got format {format!r}; wanted None (dense), 'csr' or 'csc'")

    def matrices(*args: Any, **options: Any) -> Any:
        trace = Trace("jacobian", f, args, _several(argnums), None, options, create_graph)
        maps = [trace.tape.jacobian(x) for x in trace.variables]
        if format and trace.open:
            raise GraphError(f"jacobian: a {format}_array cannot be differentiated again; wanted format=None here")
        if format:
            found = [J.tosparse(format=format) for J in maps]
        elif trace.open:  # one pull a row, differentiable in turn
            rows = zip(*[trace.pull(unit(i, trace.y.shape, trace.y.dtype)) for i in range(trace.y.size)], strict=True)
            found = [np.reshape(np.stack(row), J.out_shape + J.in_shape) for row, J in zip(rows, maps, strict=True)]
        else:
            found = [J.toarray().reshape(J.out_shape + J.in_shape) for J in maps]
        return tuple(found) if isinstance(argnums, Sequence) else found[0]

    return matrices


def hessian(f: Function, argnums: Argnums = 0, format: str | None = None, *, create_graph: bool = False) -> Function:
    """x ↦ ∂²f/∂x² for a scalar f: an array of shape (x.shape + x.shape), or with ``format`` "csr" or "csc" sparse.

    Several ``argnums`` give a tuple of tuples, ∂²f/∂xᵢ∂xⱼ. Arguments and errors as those of ``jacobian``.
    """
    if not isinstance(argnums, Sequence):
        return jacobian(grad(f, argnums), argnums, format, create_graph=create_graph)
    rows = [jacobian(grad(f, i), argnums, format, create_graph=create_graph) for i in argnums]
    return lambda *args, **options: tuple(row(*args, **options) for row in rows)


def hvp(f: Function, x: Any, v: Any, /, **options: Any) -> Any:
    """∂²f/∂x² v for a scalar f, without the Hessian: the push of the gradient. (x.shape) → (x.shape).

    For several arguments ``x`` and ``v`` are tuples, and so is the result.
    """
    if isinstance(x, (tuple, list)):
        slope = lambda *xs: jvp(f, xs, v, **options)[1]  # noqa: E731
        return grad(slope, range(len(x)))(*x)
    return jvp(grad(f), (x,), (v,), **options)[1]


class Checkpoint(Op):
    """y = f(xs) as one node: f runs again in the backward walk instead of keeping its inner values.

    Inputs: f's arguments, then the nodes that f closes over.   J = the Jacobian of f's own tape.
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

    def again(self, y: Any, xs: Sequence[Any]) -> tuple[Tape, list[Node | None]]:
        """The tape of f run again, and on it the node of each input, None where there is no derivative."""
        floats = [i for i, x in enumerate(xs[: self.arguments]) if x.dtype in FLOATS]
        with replaying():
            again = Trace(self.name, self.f, xs[: self.arguments], floats, self.closed)
        if not np.array_equal(again.y.value, value_of(y), equal_nan=True):
            raise GraphError("checkpoint: the function gave another value when run again; wanted one that depends on its "
                             "arguments alone (for random numbers, pass a seed)")  # fmt: skip
        nodes: list[Node | None] = [None] * self.arguments + [*self.closed]
        for i, x in zip(floats, again.variables, strict=True):
            nodes[i] = x
        return again.tape, nodes

    def jacobians(self, y: Any, *xs: Any) -> list[LinearMap | None]:
        tape, nodes = self.again(y, xs)
        return [None if x is None else Total(tape, x) for x in nodes]

    def pull(self, g: Any, wanted: Sequence[bool], y: Any, *xs: Any, saved: Any = None) -> list[Any]:
        """All cotangents by one walk."""
        tape, nodes = self.again(y, xs)
        asked = [x for x, some in zip(nodes, wanted, strict=True) if some and x is not None]
        found = dict(zip(asked, tape.pull(g, asked), strict=True))
        return [None if x is None else found.get(x) for x in nodes]


def _detached(x: Any) -> Any:
    """x as a leaf, so that nothing behind it is on the tape."""
    if not isinstance(x, Node):
        return x
    return Parameter(x._value) if x.dtype in FLOATS else Node(x._value)


def checkpoint(f: Function) -> Function:
    """f as a single node whose inner values are computed again in the backward walk: less memory, more time.

    Keyword arguments go to f as they are. f must give the same value when run again, else the walk raises GraphError. Chen et al. 2016.
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
