"""Tape: the record of a computation, and its three walks: pull, push, and the sparse Jacobian."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from minigraph.anomaly import finite_cotangent
from minigraph.array import Array
from minigraph.linear import BLOCK_BYTES, Bounds, LinearMap, Recorded, below, compressed, eye, full, lost, plus, times
from minigraph.memory import own
from minigraph.mode import MODE
from minigraph.node import FLOATS, GraphError, Node, Parameter, Spec, constant
from minigraph.op import expect
from minigraph.parallel import elementwise
from minigraph.table import trace

WORK_BYTES = 1 << 28  # of the products behind some rows of a Jacobian; more rows are made in blocks
TOGETHER_BYTES = 1 << 21  # of the cotangents of a node that are pulled at once
MOST = 5000  # nodes of a graph whose structure outlives it; larger ones are neither drawn nor read
_grad_lock = threading.RLock()


def _forget() -> None:
    """Begin anew, in a child after a fork: another thread may have held the lock."""
    global _grad_lock
    _grad_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Freed(tuple[()]):
    """The inputs of a node whose graph backward() has freed: none, but a record of the nodes that were there."""

    nodes: dict[int, Any]  # by serial: a leaf that stays, or what a stand-in is made of

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


def stand_ins(y: Node, nodes: Sequence[Node]) -> list[Node]:
    """The graph behind y as it was before it was freed: nodes without values stand in for those that are gone."""
    found: dict[int, Any] = {}
    for node in nodes:
        if type(node.inputs) is Freed and node.serial not in node.inputs.nodes:  # too large a graph
            raise _freed(node)
        found |= node.inputs.nodes if type(node.inputs) is Freed else described([node])
    made: dict[int, Node] = {}
    for serial, what in sorted(found.items()):
        if not isinstance(what, Node):
            op, value, name, scope, inputs = what
            value = Spec(*value) if isinstance(value, tuple) else value
            what = Node(value, op, tuple(made[i] for i in inputs), name, scope)
            what.serial = serial
        made[serial] = what
    for node in nodes:  # which are still there
        made[node.serial]._value, made[node.serial].grad = node._value, node.grad
    behind, todo = {y.serial}, [y.serial]
    while todo:
        for x in made[todo.pop()].inputs:
            if x.serial not in behind:
                behind.add(x.serial)
                todo.append(x.serial)
    return [node for serial, node in made.items() if serial in behind]


class Tape:
    """All nodes that ``y`` came from, inputs before outputs.

    A node's serial is larger than its inputs', so sorting by it is a topological order, and no walk
    needs recursion.
    """

    def __init__(self, y: Node, nodes: list[Node], until: frozenset[Node] = frozenset(), freed: bool = False) -> None:
        self.y, self.nodes, self.until, self.freed = y, nodes, until, freed

    @classmethod
    def of(cls, y: Node, until: Iterable[Node] = ()) -> Tape:
        """The tape that ends in ``y`` and begins at the leaves, or at the nodes ``until``: those are on it, as leaves.

        Of a graph that backward() has freed the structure alone is there, to be printed and drawn: nodes without values
        stand in for those that are gone, and every walk raises GraphError. Raises TypeError for anything but a Node,
        GraphError for a freed graph of more than 5000 nodes, whose structure is gone too.
        """
        if not isinstance(y, Node):
            raise TypeError(f"Tape.of: got {type(y).__name__}, wanted a Node; arrays are computed without a record")
        until = frozenset(until)
        seen = {y, *until}
        stack, freed = [] if y in until else [y], False
        while stack:
            xs = stack.pop().inputs
            if not xs and type(xs) is Freed:
                freed = True
            for x in xs:
                if x not in seen:
                    seen.add(x)
                    stack.append(x)
        nodes = sorted(seen, key=attrgetter("serial"))
        if not freed:
            return cls(y, nodes, until)
        nodes = stand_ins(y, nodes)
        return cls(nodes[-1], nodes, until, freed=True)

    def __contains__(self, node: object) -> bool:
        return any(node is other for other in self.nodes)  # == compares values

    @property
    def leaves(self) -> list[Node]:
        return [node for node in self.nodes if node.op is None]

    @property
    def parameters(self) -> list[Parameter]:
        return [node for node in self.nodes if isinstance(node, Parameter)]

    @property
    def differentiated(self) -> bool:
        """Whether a transform at work differentiates by one of the nodes: results must then be Nodes."""
        mode = MODE.get()
        return mode.grad and bool(mode.tracing) and not (mode.tracing - self.until).isdisjoint(self.nodes)

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

        ``g``: cotangent of y, (y.shape); 1 when y has one entry. With ``create_graph``, a Node as ``g``, or in a
        transform that differentiates y, the cotangents are Nodes, differentiable in turn; else arrays of the caller's
        own. Without ``retain_graph`` values are freed as the walk passes.
        """
        create_graph = create_graph or self.differentiated
        wrt = self.parameters if wrt is None else [wrt] if isinstance(wrt, Node) else list(wrt)
        for x in wrt:
            if not isinstance(x, Node):
                raise TypeError(f"pull: got {type(x).__name__} in wrt; wanted nodes")
        found = dict(self._reverse(self._seed(g), set(wrt), create_graph, retain_graph))
        asked = {x: i for i, x in reversed([*enumerate(wrt)])}  # each gets an array of its own
        return [found.get(x) if asked[x] == i or x not in found else np.copy(found[x]) for i, x in enumerate(wrt)]

    def backward(self, g: Any = None, *, retain_graph: bool = False, retain_grad: bool = False) -> None:
        """Pull to all parameters and add to their ``.grad``; see Node.backward.

        Raises GraphError in a transform that differentiates y: ``.grad`` is an array.
        """
        if self.differentiated:
            raise GraphError(
                f"backward: {self.y.label} is being differentiated by a transform, and .grad would lose that derivative; "
                "wanted mg.grad or Tape.pull"
            )
        wrt: list[Node] = [*self.parameters]
        if not wrt:
            self.check_unchanged()  # a freed tape has none either
            raise GraphError(
                f"backward: {self.y.label} depends on no parameter; wanted at least one mg.parameter behind it"
            )
        if retain_grad:
            wrt = [x for x in self.nodes if x.dtype in FLOATS]
        for node, c in self._reverse(self._seed(g), set(wrt), False, retain_graph):
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
        nodes, until = self.nodes, self.until
        if retain_graph:
            nodes = nodes.copy()
        else:
            record = Freed(nodes if len(nodes) <= MOST else ())
            self.nodes, self.freed = [], True
        while nodes:
            node = nodes.pop()
            g = cotangents.pop(node, None)
            if g is not None:
                if node in wrt:
                    g = own(g)
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
                                c = J._pull(g)
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
                    c = None  # so that ``own`` counts no reference of ours
                elif type(inputs) is Freed:  # by a walk in another thread
                    raise _freed(node)
            if not retain_graph and node in active:  # nodes that do not depend on wrt belong to somebody else
                active.discard(node)
                if node.op:
                    node.inputs = record

    def depending_on(self, wrt: Iterable[Node]) -> set[Node]:
        """The nodes of the tape that depend on ``wrt``: all that a walk need visit."""
        active, until = set(wrt), self.until
        independent = active.isdisjoint
        for node in self.nodes:
            xs = node.inputs
            if xs and not independent(xs) and node not in until:
                active.add(node)
        return active

    # --- forward ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<Tape of {self.y.label}: {len(self.structure().nodes)} nodes; print it to see the evaluation trace>"

    def push(self, tangents: Mapping[Node, Any], *, create_graph: bool = False) -> Any:
        """The tangent Σ ∂y/∂x v of y for ``tangents`` {x: v}, v of x's shape; (y.shape), zero where y does not depend on x.

        With ``create_graph``, a Node among the tangents, or in a transform that differentiates y, it is a Node.
        """
        if not isinstance(tangents, Mapping):
            raise TypeError(f"push: got {type(tangents).__name__}; wanted a dict of nodes and their tangents")
        return own(self._forward(tangents, create_graph or self.differentiated))

    def _forward(self, tangents: Mapping[Node, Any], create_graph: bool) -> Any:
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
                    t = J._push(found[x])
                    total = t if total is None else total + t
            if total is not None:
                found[node] = total
            for x in node.inputs:
                if last[x] is node:
                    found.pop(x, None)
        return found[self.y] if self.y in found else np.zeros(self.y.shape, self.y.dtype)

    def local(self, node: Node, create_graph: bool = False) -> Sequence[LinearMap | None]:
        """The local Jacobians of one node, one for each input; of Nodes, as ``pull``, with ``create_graph``."""
        if self.freed:
            raise _freed(self.y)
        if not create_graph and self.differentiated:
            return [None if J is None else Recorded(J) for J in self.local(node, True)]
        args = (node, *node.inputs) if create_graph else (node.value, *[x.value for x in node.inputs])
        return node.op.jacobians(*args)  # type: ignore[union-attr]

    # --- sparse ----------------------------------------------------------------------------------

    def jacobian(self, x: Node, *, create_graph: bool = False) -> LinearMap:
        """∂y/∂x as a LinearMap from x.shape to y.shape: push, pull, tosparse.

        With ``create_graph``, or in a transform that differentiates y, its pushes and pulls are Nodes.

        Raises TypeError where a dtype is not float, GraphError for an x that is not on the tape.
        """
        if x not in self:
            raise GraphError(f"jacobian: {getattr(x, 'label', x)} is not on the tape of {self.y.label}")
        for node in (x, self.y):
            if node.dtype not in FLOATS:
                raise TypeError(f"jacobian: {node.label} has dtype {node.dtype}; wanted float32 or float64")
        self.check_unchanged()
        return Total(self, x, create_graph or self.differentiated)

    def check_unchanged(self) -> None:
        """Raise GraphError if a parameter was changed after a node used its value, or the graph was freed."""
        if self.freed or type(self.y.inputs) is Freed:
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
        return trace(self.structure().nodes)

    def structure(self) -> Tape:
        """This tape, or of a freed graph what is left of it to be printed and drawn."""
        return Tape.of(self.y, self.until) if not self.nodes or type(self.y.inputs) is Freed else self


class Total(LinearMap):
    """∂y/∂x over a whole tape: the sum over all paths from x to y of the products of local Jacobians.

    Its matrix is made the way that should be cheapest: by pulls, a row each; by pushes, a column each; or by products
    of the nodes' matrices, from y back or from x on.
    """

    def __init__(self, tape: Tape, x: Node, create_graph: bool = False) -> None:
        super().__init__(x.shape, tape.y.shape, tape.y.dtype)
        self.tape, self.x, self.create_graph = tape, x, create_graph

    def __str__(self) -> str:
        return f"∂({self.tape.y.label})/∂({self.x.label})"

    def push(self, v: Any) -> Any:
        """J v by one walk forward over the tape; see Tape.push."""
        return self.tape.push({self.x: v}, create_graph=self.create_graph)

    def pull(self, g: Any) -> Any:
        """Jᵀ g by one walk back over the tape; see Tape.pull."""
        (c,) = self.tape.pull(g, [self.x], create_graph=self.create_graph)
        return np.zeros(self.in_shape, self.x.dtype) if c is None else c

    # --- the matrix ------------------------------------------------------------------------------

    @cached_property
    def _edges(self) -> list[Edge]:
        """The local Jacobians on paths from x to y, by their bounds, in the order of the tape."""
        self.tape.check_unchanged()
        active = self.tape.depending_on([self.x])
        return [Edge(node, x, J.bounds, J.shape) for node in self.tape.nodes for x, J in self._steps(node, active)]

    @cached_property
    def bounds(self) -> Bounds:
        n = self.shape[1]
        found = {self.x: Bounds(n, 1, 1)}
        for node, x, local, (rows, _) in self._edges:
            if x in found:
                path = local.after(found[x], rows, n)
                found[node] = found[node].plus(path, rows, n) if node in found else path
        return found.get(self.tape.y, Bounds(0, 0, 0))

    def _walks(self, n: int, together: int = 1) -> float:
        """Nanoseconds of n pulls or pushes, so many at once, by a rough estimate."""
        return sum(20e3 * -(-n // together) + n * (sum(shape) + 0.03 * local.nnz) for _, _, local, shape in self._edges)

    def _back(self, rows: int) -> tuple[float, int]:
        """Nanoseconds, and the most stored entries at once, of products from so many rows of y back to x."""
        cost, most, found = 0.0, 0, {self.tape.y: Bounds(rows, 1, rows)}
        for node, x, local, (_, columns) in reversed(self._edges):
            if node in found:
                left = found[node]
                cost += 50e3 + 8 * (left.nnz * local.row + min(local.nnz, left.nnz * local.row))
                path = left.after(local, rows, columns)
                found[x] = found[x].plus(path, rows, columns) if x in found else path
                most = max(most, left.nnz + 3 * path.nnz + min(local.nnz, BLOCK_BYTES // 12))
        return cost, most

    def _on(self) -> float:
        """Nanoseconds of products from all columns of x on to y."""
        n, cost = self.shape[1], 0.0
        found = {self.x: Bounds(n, 1, 1)}
        for node, x, local, (rows, _) in self._edges:
            if x in found:
                cost += 50e3 + 8 * (local.nnz * found[x].row + local.nnz)
                path = local.after(found[x], rows, n)
                found[node] = found[node].plus(path, rows, n) if node in found else path
        return cost

    def _way(self, rows: int, dense: bool) -> str:
        """The cheapest of "pull", "push", "back" and "on" for so many rows; the first two only where rows are full."""
        costs = {"back": self._back(rows)[0]}
        if rows == self.shape[0]:
            costs["on"] = self._on()
        if dense or self.bounds.nnz == prod(self.shape):
            costs["pull"] = self._walks(rows, self._together)
            if rows == self.shape[0]:
                costs["push"] = self._walks(self.shape[1])
        return min(costs, key=costs.__getitem__)

    def _expect_plain(self) -> None:
        self.tape.check_unchanged()
        if self.create_graph and MODE.get().tracing:
            raise lost(self)

    @property
    def workspace(self) -> float:
        rows = self.shape[0]
        if self._way(rows, False) in ("pull", "push"):
            return sum(self.shape) * self.dtype.itemsize
        return min(self._back(rows)[1] * 12, self.nbytes + WORK_BYTES) + 32 * sum(self.shape)

    def _matrix(self) -> sp.csr_array:
        return self._made(np.arange(self.shape[0]), False)

    def _rows(self, index: Array) -> sp.csr_array:
        return self._made(index, False)

    def _dense(self) -> Array:
        made = self._made(np.arange(self.shape[0]), True)
        return made if isinstance(made, np.ndarray) else np.asarray(made.toarray())

    def _made(self, index: Array, dense: bool) -> Any:
        """Rows of the matrix; as an array where ``dense`` and made by walks."""
        self._expect_plain()
        way = self._way(len(index), dense)
        if way == "on":
            return self._from_x()
        if way == "back":
            n = len(index)
            step = max(1, min(n, int(WORK_BYTES * n // (self._back(n)[1] * 12 + 1))))
            blocks = (self._after(_unit_rows(index[i : i + step], self)) for i in range(0, n, step))
            if 0 < n <= step:
                return next(blocks)
            return below(blocks, n, self.shape[1], min(self.bounds.nnz, n * self.bounds.row), self.dtype)
        rows = np.empty((len(index), self.shape[1]), self.dtype)
        if way == "pull":
            for start in range(0, len(index), self._together):
                block = slice(start, start + self._together)
                cotangents = np.zeros((len(index[block]), self.shape[0]), self.dtype)
                cotangents[np.arange(len(cotangents)), index[block]] = 1
                pulled = self._pull_rows(cotangents.reshape(-1, *self.out_shape))
                rows[block] = pulled.reshape(len(cotangents), self.shape[1])
        else:
            for j in range(self.shape[1]):
                rows[:, j] = np.ravel(self.push(unit(j, self.in_shape, self.x.dtype)))
        return rows if dense else full(rows)

    @property
    def _together(self) -> int:
        """How many cotangents are pulled at once: as many as keep each node's in cache."""
        widest = max([max(shape) for _, _, _, shape in self._edges], default=0)
        return max(1, TOGETHER_BYTES // (widest * self.dtype.itemsize + 1))

    def _pull_rows(self, rows: Any) -> Any:
        found = self._walk_back(rows, lambda J, left: J._pull_rows(left), lambda a, b: a + b)
        return np.zeros((len(rows), *self.in_shape), self.dtype) if found is None else found

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        found = self._walk_back(matrix, lambda J, left: J._after(left), plus)
        return sp.csr_array((matrix.shape[0], self.shape[1]), dtype=self.dtype) if found is None else found

    def _walk_back(self, left: Any, verb: Callable[[LinearMap, Any], Any], add: Callable[[Any, Any], Any]) -> Any:
        """What ``verb`` makes of ``left`` with the nodes' maps from y back to x, added over the paths; None without any."""
        self._expect_plain()
        active = self.tape.depending_on([self.x])
        sums = {self.tape.y: left}
        for node in reversed(self.tape.nodes):
            if node is not self.x and node in sums:
                left = sums.pop(node)
                for x, J in self._steps(node, active):
                    product = verb(J, left)
                    sums[x] = add(sums[x], product) if x in sums else product
        return sums.get(self.x)

    def _from_x(self) -> sp.csr_array:
        active = self.tape.depending_on([self.x])
        last = {x: node for node in self.tape.nodes if node in active for x in node.inputs}
        sums = {self.x: eye(self.shape[1], self.dtype)}
        for node in self.tape.nodes:
            for x, J in self._steps(node, active):
                if x in sums:
                    product = times(J._matrix(), sums[x])
                    sums[node] = plus(sums[node], product) if node in sums else product
            for x in node.inputs:
                if last.get(x) is node:
                    sums.pop(x, None)
        return sums.get(self.tape.y, sp.csr_array(self.shape, dtype=self.dtype))

    def _steps(self, node: Node, active: set[Node]) -> list[tuple[Node, LinearMap]]:
        """The inputs of ``node`` on a path from x, each with its local Jacobian."""
        if node is self.x or node not in active or node in self.tape.until:
            return []
        args = (node.value, *[x.value for x in node.inputs])
        maps = node.op.jacobians(*args)  # type: ignore[union-attr]
        return [(x, J) for x, J in zip(node.inputs, maps, strict=True) if J is not None and x in active]


class Edge(NamedTuple):
    """A local Jacobian on a path, by what is known before its matrix is built."""

    node: Node
    x: Node
    bounds: Bounds
    shape: tuple[int, int]


def unit(i: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """Zeros with a 1 at the flat position i."""
    e = np.zeros(shape, dtype)
    e.flat[i] = 1
    return e[()]


def _unit_rows(index: Array, J: LinearMap) -> sp.csr_array:
    """The rows of the identity matrix with these numbers, to be multiplied with J."""
    n = len(index)
    return compressed(np.ones(n, J.dtype), index, np.arange(n + 1), (n, J.shape[0]))


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
