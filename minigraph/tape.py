"""Tape: the record of a computation, and its three walks: pull, push, and the sparse Jacobian."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from operator import attrgetter
from typing import Any

import numpy as np
import scipy.sparse as sp

from minigraph.anomaly import finite_cotangent
from minigraph.linear import Bounds, LinearMap
from minigraph.memory import exclusive
from minigraph.mode import MODE
from minigraph.node import FLOATS, GraphError, Node, Parameter, constant
from minigraph.op import expect
from minigraph.parallel import elementwise
from minigraph.table import trace
from minigraph.text import readable

_FREED: Any = None
_grad_lock = threading.Lock()


def _forget() -> None:
    """Begin anew, in a child after a fork: another thread may have held the lock."""
    global _grad_lock
    _grad_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Tape:
    """All nodes that ``y`` came from, inputs before outputs.

    A node's serial is larger than its inputs', so sorting by it is a topological order, and no walk
    needs recursion.
    """

    def __init__(self, y: Node, nodes: list[Node], until: frozenset[Node] = frozenset()) -> None:
        self.y, self.nodes, self.until = y, nodes, until

    @classmethod
    def of(cls, y: Node, until: Iterable[Node] = ()) -> Tape:
        """The tape that ends in ``y`` and begins at the leaves, or at the nodes ``until``: those are on it, as leaves.

        Raises TypeError for anything but a Node, GraphError when the graph was freed.
        """
        if not isinstance(y, Node):
            raise TypeError(f"Tape.of: got {type(y).__name__}, wanted a Node; arrays are computed without a record")
        until = frozenset(until)
        seen = {y, *until}
        stack = [] if y in until else [y]
        while stack:
            node = stack.pop()
            if node.inputs is _FREED:
                raise _freed(node)
            for x in node.inputs:
                if x not in seen:
                    seen.add(x)
                    stack.append(x)
        return cls(y, sorted(seen, key=attrgetter("serial")), until)

    def __contains__(self, node: object) -> bool:
        return any(node is other for other in self.nodes)  # == compares values

    @property
    def leaves(self) -> list[Node]:
        return [node for node in self.nodes if node.op is None]

    @property
    def parameters(self) -> list[Parameter]:
        return [node for node in self.nodes if isinstance(node, Parameter)]

    # --- reverse ---------------------------------------------------------------------------------

    def pull(
        self,
        g: Any = None,
        wrt: Sequence[Node] | Node | None = None,
        *,
        create_graph: bool = False,
        retain_graph: bool = True,
    ) -> list[Any]:
        """Cotangents gᵀ ∂y/∂x for every x in ``wrt`` (default: the parameters), None where y does not depend on x.

        ``g``: cotangent of y, (y.shape); 1 when y has one entry. With ``create_graph``, or a Node as ``g``,
        the cotangents are Nodes, differentiable in turn. Without ``retain_graph`` values are freed as the walk passes.
        """
        wrt = self.parameters if wrt is None else [wrt] if isinstance(wrt, Node) else list(wrt)
        for x in wrt:
            if not isinstance(x, Node):
                raise TypeError(f"pull: got {type(x).__name__} in wrt; wanted nodes")
        found = dict(self._reverse(self._seed(g), set(wrt), create_graph, retain_graph))
        return [found.get(x) for x in wrt]

    def backward(self, g: Any = None, *, retain_graph: bool = False, retain_grad: bool = False) -> None:
        """Pull to all parameters and add to their ``.grad``; see Node.backward."""
        wrt: list[Node] = [*self.parameters]
        if not wrt:
            self.check_unchanged()  # a freed tape has none either
            raise GraphError(
                f"backward: {self.y.label} depends on no parameter; wanted at least one mg.parameter behind it"
            )
        if retain_grad:
            wrt = [x for x in self.nodes if x.dtype in FLOATS]
        seed = self._seed(g)
        given = {id(g), id(seed)}  # arrays that somebody else holds
        for node, c in self._reverse(seed, set(wrt), False, retain_graph):
            if isinstance(c, np.ndarray) and (not c.flags.writeable or id(c) in given or not exclusive(c)):
                c = c.copy()
            given.add(id(c))
            with _grad_lock:
                node.grad = c if node.grad is None else node.grad + c

    def _seed(self, g: Any) -> Any:
        y = self.y
        if y.abstract:
            y.value  # noqa: B018  raises the error that says why there is none
        if y.dtype not in FLOATS:
            raise TypeError(f"{y.label}: got dtype {y.dtype}; wanted float32 or float64 to differentiate")
        if g is None:
            if y.size != 1:
                raise GraphError(
                    f"{y.label}: got shape {y.shape} and no cotangent; wanted g of that shape, or a scalar"
                )
            return np.ones(y.shape, y.dtype)[()]
        return _like(g, y, "cotangent")

    def _reverse(self, seed: Any, wrt: set[Node], create_graph: bool, retain_graph: bool) -> Iterator[tuple[Node, Any]]:
        """Yield (node, cotangent) from y back to ``wrt``, each when all paths to it are summed."""
        self.check_unchanged()
        active = self.depending_on(wrt)
        create_graph = create_graph or isinstance(seed, Node)
        if create_graph and not isinstance(seed, Node):
            seed = constant(seed)
        anomaly = MODE.get().anomaly
        cotangents = {self.y: seed} if self.y in active else {}
        nodes, until = self.nodes.copy() if retain_graph else self.nodes, self.until
        while nodes:
            node = nodes.pop()
            g = cotangents.pop(node, None)
            if g is not None:
                if node in wrt:
                    yield node, g
                inputs = node.inputs
                if inputs and node not in until:
                    if create_graph:
                        maps = node.op.jacobians(node, *inputs)  # type: ignore[union-attr]
                    else:
                        maps = node.op.jacobians(node._value, *[x._value for x in inputs])  # type: ignore[union-attr]
                    open_array = type(g) is np.ndarray and g.flags.writeable
                    if open_array:  # as ``unchanging``, which would cost a scalar too much
                        g.flags.writeable = False
                    try:
                        for x, J in zip(inputs, maps):  # noqa: B905  strict costs a step's twentieth; ``local`` is strict
                            if J is not None and x in active:
                                c = J.pull(g)
                                if anomaly:
                                    finite_cotangent(node, x, c)
                                if x not in cotangents:
                                    cotangents[x] = c
                                elif type(c) is np.ndarray:
                                    cotangents[x] = elementwise(np.add, cotangents[x], c)
                                else:
                                    cotangents[x] = cotangents[x] + c
                    finally:
                        if open_array:
                            g.flags.writeable = True
                elif inputs is _FREED:  # by a walk in another thread
                    raise _freed(node)
            if not retain_graph and node in active:  # nodes that do not depend on wrt belong to somebody else
                active.discard(node)
                if node.op:
                    node.inputs = _FREED

    def depending_on(self, wrt: Iterable[Node]) -> set[Node]:
        """The nodes of the tape that depend on ``wrt``: all that a walk need visit."""
        active = set(wrt)
        for node in self.nodes:
            if not active.isdisjoint(node.inputs) and node not in self.until:
                active.add(node)
        return active

    # --- forward ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return readable(f"<Tape of {self.y.label}: {len(self.nodes)} nodes; print it to see the evaluation trace>")

    def push(self, tangents: Mapping[Node, Any], *, create_graph: bool = False) -> Any:
        """The tangent Σ ∂y/∂x v of y for ``tangents`` {x: v}, v of x's shape; (y.shape), zero where y does not depend on x."""
        if not isinstance(tangents, Mapping):
            raise TypeError(f"push: got {type(tangents).__name__}; wanted a dict of nodes and their tangents")
        self.check_unchanged()
        seeds = {x: _like(v, x, "tangent") for x, v in tangents.items()}
        create_graph = create_graph or any(isinstance(v, Node) for v in seeds.values())
        if create_graph:
            seeds = {x: v if isinstance(v, Node) else constant(v) for x, v in seeds.items()}
        found: dict[Node, Any] = dict(seeds)
        last = {x: node for node in self.nodes for x in node.inputs}
        for node in self.nodes:
            if node in seeds or node in self.until or found.keys().isdisjoint(node.inputs):
                continue
            total = None
            for x, J in zip(node.inputs, self.local(node, create_graph), strict=True):
                if J is not None and x in found:
                    t = J.push(found[x])
                    total = t if total is None else total + t
            if total is not None:
                found[node] = total
            for x in node.inputs:
                if last[x] is node:
                    found.pop(x, None)
        return found[self.y] if self.y in found else np.zeros(self.y.shape, self.y.dtype)

    def local(self, node: Node, create_graph: bool = False) -> Sequence[LinearMap | None]:
        """The local Jacobians of one node, one for each input."""
        args = (node, *node.inputs) if create_graph else (node.value, *[x.value for x in node.inputs])
        return node.op.jacobians(*args)  # type: ignore[union-attr]

    # --- sparse ----------------------------------------------------------------------------------

    def jacobian(self, x: Node, *, create_graph: bool = False) -> LinearMap:
        """∂y/∂x as a LinearMap from x.shape to y.shape: push, pull, tosparse.

        With ``create_graph`` its pushes and pulls are Nodes, differentiable in turn.

        Raises TypeError where a dtype is not float, GraphError for an x that is not on the tape.
        """
        if x not in self:
            raise GraphError(f"jacobian: {getattr(x, 'label', x)} is not on the tape of {self.y.label}")
        for node in (x, self.y):
            if node.dtype not in FLOATS:
                raise TypeError(f"jacobian: {node.label} has dtype {node.dtype}; wanted float32 or float64")
        self.check_unchanged()
        return Total(self, x, create_graph)

    def check_unchanged(self) -> None:
        """Raise GraphError if a parameter was changed after a node used its value, or the graph was freed."""
        if self.y.inputs is _FREED or not self.nodes:
            raise _freed(self.y)
        last = max([node.changed for node in self.nodes])
        for node in self.nodes if last else ():
            if node.op and node.serial < last:
                for x in node.inputs:
                    if x.changed > node.serial:
                        raise GraphError(
                            f"{x.label} was changed after {node.label} used it, so derivatives there would be wrong; "
                            "compute the forward pass again after changing a parameter"
                        )

    def __str__(self) -> str:
        """The evaluation trace, one node a row."""
        return trace(self.nodes)


class Total(LinearMap):
    """∂y/∂x over a whole tape: the sum over all paths from x to y of the products of local Jacobians."""

    def __init__(self, tape: Tape, x: Node, create_graph: bool = False) -> None:
        super().__init__(x.shape, tape.y.shape, tape.y.dtype)
        self.tape, self.x, self.create_graph = tape, x, create_graph

    def __str__(self) -> str:
        return readable(f"∂({self.tape.y.label})/∂({self.x.label})")

    def push(self, v: Any) -> Any:
        """J v by one walk forward over the tape; see Tape.push."""
        return self.tape.push({self.x: v}, create_graph=self.create_graph)

    def pull(self, g: Any) -> Any:
        """Jᵀ g by one walk back over the tape; see Tape.pull."""
        (c,) = self.tape.pull(g, [self.x], create_graph=self.create_graph)
        return np.zeros(self.in_shape, self.x.dtype) if c is None else c

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        self.tape.check_unchanged()
        nodes = self.tape.nodes
        active = self.tape.depending_on([self.x])
        sums = {self.tape.y: matrix}
        for node in reversed(nodes):
            if node is not self.x and node in sums:
                left = sums.pop(node)
                for x, J in self._steps(node, active):
                    product = J._after(left)
                    sums[x] = sums[x] + product if x in sums else product
        return sums.get(self.x, sp.csr_array((matrix.shape[0], self.shape[1]), dtype=self.dtype))

    def _matrix(self) -> sp.csr_array:
        self.tape.check_unchanged()
        if self.shape[0] <= self.shape[1]:
            return self._after(sp.eye_array(self.shape[0], dtype=self.dtype, format="csr"))
        active = self.tape.depending_on([self.x])
        last = {x: node for node in self.tape.nodes if node in active for x in node.inputs}
        sums = {self.x: sp.eye_array(self.shape[1], dtype=self.dtype, format="csr")}
        for node in self.tape.nodes:
            for x, J in self._steps(node, active):
                if x in sums:
                    product = sp.csr_array(J._matrix() @ sums[x])
                    sums[node] = sums[node] + product if node in sums else product
            for x in node.inputs:
                if last.get(x) is node:
                    sums.pop(x, None)
        return sums.get(self.tape.y, sp.csr_array(self.shape, dtype=self.dtype))

    def _steps(self, node: Node, active: set[Node]) -> list[tuple[Node, LinearMap]]:
        """The inputs of ``node`` on a path from x, each with its local Jacobian."""
        if node is self.x or node not in active or node in self.tape.until:
            return []
        return [
            (x, J) for x, J in zip(node.inputs, self.tape.local(node), strict=True) if J is not None and x in active
        ]

    @cached_property
    def bounds(self) -> Bounds:
        self.tape.check_unchanged()
        active = self.tape.depending_on([self.x])
        n = self.shape[1]
        found = {self.x: Bounds(n, 1, 1)}
        for node in self.tape.nodes:
            for x, J in self._steps(node, active):
                if x in found:
                    path = J.bounds.after(found[x], prod(node.shape), n)
                    found[node] = found[node].plus(path, prod(node.shape), n) if node in found else path
        return found.get(self.tape.y, Bounds(0, 0, 0))


def _freed(node: Node) -> GraphError:
    return GraphError(f"{node.label}: the graph behind it was freed by backward(); call backward(retain_graph=True)")


def _like(v: Any, x: Node, what: str) -> Any:
    """``v`` as a tangent or cotangent of ``x``: its shape and dtype."""
    if not isinstance(v, Node):
        v = np.asarray(v)
        if v.dtype.kind not in "fiub":
            raise TypeError(f"{x.label}: got a {what} of dtype {v.dtype}; wanted {x.dtype}")
        v = v.astype(x.dtype, copy=False)[()]
    elif v.dtype != x.dtype:
        raise TypeError(f"{x.label}: got a {what} of dtype {v.dtype}; wanted {x.dtype}")
    expect(v.shape == x.shape, x.label, f"a {what} of shape {x.shape}", shape=v.shape)
    return v
