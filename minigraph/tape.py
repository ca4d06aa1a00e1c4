"""Tape: the record of a computation, with its three walks: pull, push and the sparse Jacobian."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np

from minigraph.anomaly import finite_cotangent
from minigraph.freed import FREED_NODES, FreedError, FreedInputs, freed_error, structure_of
from minigraph.kernels import tasks
from minigraph.maps import MAX_BYTES, LinearMap
from minigraph.mode import MODE, VARIABLES, refuse_replay
from minigraph.node import FLOATS, GraphError, Hooks, Node, Parameter, constant
from minigraph.op import expect
from minigraph.ownership import own
from minigraph.text import readable, table
from minigraph.total import RecordedMap, TotalJacobian, dense

_grad_lock = threading.RLock()


def _forget() -> None:
    """Reset the lock in a forked child: another thread may have held it."""
    global _grad_lock
    _grad_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Tape:
    """All nodes that ``y`` was computed from, inputs before outputs.

    A node's serial is larger than those of its inputs, so sorting by serial gives a topological order, and no walk needs
    recursion.
    """

    def __init__(self, y: Node, nodes: list[Node], until: frozenset[Node] = frozenset(), freed: bool = False) -> None:
        self.y, self.nodes, self.until, self.freed = y, nodes, until, freed

    @classmethod
    def of(cls, y: Node, until: Iterable[Node] = ()) -> Tape:
        """The tape that ends in ``y`` and begins at the leaves, or at the nodes ``until``, which count as leaves.

        If backward() has freed the graph, only its structure is left, for printing and drawing: its nodes have no values,
        and every walk raises GraphError. Raises TypeError for anything but a Node, GraphError for a freed graph of more
        than 5000 nodes, of which no structure is kept.
        """
        if not isinstance(y, Node):
            raise TypeError(f"Tape.of: got {type(y).__name__}; wanted a Node; arrays are computed without a record")
        until = frozenset(until)
        seen = {y, *until}
        stack = [] if y in until else [y]
        try:
            while stack:
                for x in stack.pop().inputs:
                    if x not in seen:
                        seen.add(x)
                        stack.append(x)
        except FreedError:
            nodes = structure_of(y)
            return cls(nodes[-1], nodes, until, freed=True)
        return cls(y, sorted(seen, key=attrgetter("serial")), until)

    def __contains__(self, node: object) -> bool:
        return any(node is other for other in self.nodes)  # == compares values

    def __getitem__(self, name: str) -> Node:
        """The node with that name or path (scope/name).

        Raises KeyError, which suggests similar names, if there is none, and GraphError, which lists the paths, if there
        are several.
        """
        return self._named(name, ())

    def find(self, path: str) -> Node:
        """The output of the module or scope with that path, the last node recorded in it; otherwise ``tape[path]``."""
        outputs: dict[str, Node] = {}
        for node in self.nodes:
            if node.op and node.scope:
                parts = node.scope.split("/")
                outputs.update(("/".join(parts[: i + 1]), node) for i in range(len(parts)))
        return outputs[path] if isinstance(path, str) and path in outputs else self._named(path, outputs)

    def _named(self, name: str, scopes: Iterable[str]) -> Node:
        """The node with that name or path; ``scopes``: further paths to suggest if there is none."""
        if not isinstance(name, str):
            raise TypeError(f"{self.y.label}: got {name!r}; wanted the name or path of a node, a string")
        named = [node for node in self.nodes if node.name]
        matches = [node for node in named if node.path == name] or [node for node in named if node.name == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            paths = ", ".join(f"{node.path} (#{node.serial})" for node in matches)
            raise GraphError(
                f"{self.y.label}: got {name!r}, the name of {len(matches)} nodes behind it; wanted one of {paths}"
            )
        names = dict.fromkeys([*scopes, *[node.path for node in named], *[str(node.name) for node in named]])
        close = get_close_matches(name, names, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise KeyError(f"{self.y.label}: no node behind it has the name or path {name!r}{hint}")

    @property
    def leaves(self) -> list[Node]:
        return [node for node in self.nodes if node.op is None]

    @cached_property
    def parameters(self) -> list[Parameter]:
        return [node for node in self.nodes if isinstance(node, Parameter)]

    @property
    def differentiated(self) -> bool:
        """Whether a running transform differentiates with respect to one of the nodes: results must then be Nodes."""
        return bool(VARIABLES) and MODE.get().grad and any(x in VARIABLES for x in self.nodes if x not in self.until)

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

        ``g``: the cotangent of y, (y.shape); 1 if y has one entry. The cotangents are Nodes, which can be differentiated
        again, with ``create_graph``, if ``g`` is a Node, or in a transform that differentiates y; otherwise new arrays.
        Without ``retain_graph`` values are freed during the walk.
        """
        create_graph = create_graph or self.differentiated
        wrt = self.parameters if wrt is None else [wrt] if isinstance(wrt, Node) else list(wrt)
        for x in wrt:
            if not isinstance(x, Node):
                raise TypeError(f"pull: got {type(x).__name__} in wrt; wanted nodes")
        cotangents = dict(self._reverse(self._seed(g), set(wrt), create_graph, retain_graph))
        return _for_each(wrt, cotangents)

    def backward(self, g: Any = None, *, retain_graph: bool = False, retain_grad: bool = False) -> None:
        """Pull to all parameters and add the results to their ``.grad``; see Node.backward.

        Raises GraphError in a transform that differentiates y, because ``.grad`` is a plain array.
        """
        if self.differentiated:
            raise GraphError(
                f"backward: {self.y.label} is being differentiated by a transform, and .grad would lose that derivative; "
                "wanted mg.grad or Tape.pull"
            )
        parameters = self.parameters
        wrt: list[Node] = [p for p in parameters if p.requires_grad]
        if not wrt:
            self.check_unchanged()  # a freed tape has none either
            found = f"only on frozen parameters, such as {parameters[0].label}" if parameters else "on no parameter"
            raise GraphError(
                f"backward: {self.y.label} depends {found}; wanted at least one mg.parameter behind it"
                + (" with requires_grad" if parameters else "")
            )
        if retain_grad:
            wrt = [x for x in self.nodes if x.dtype in FLOATS]
        for node, c in self._reverse(self._seed(g), set(wrt), False, retain_graph):
            accumulate(node, c)

    def _seed(self, g: Any) -> Any:
        y = self.y
        if y.abstract:
            y.value  # noqa: B018  raises the error for a node without a value
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
        """Yield (node, cotangent) for the nodes ``wrt``, from y backward, each when the sum over its paths is complete."""
        if not create_graph and not isinstance(seed, Node):
            refuse_replay(f"it pulls from {self.y.label} without a graph")
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
            record = FreedInputs(nodes if len(nodes) <= FREED_NODES else ())
            self.nodes, self.freed = [], True
        while nodes:
            node = nodes.pop()
            g = cotangents.pop(node, None)
            if g is not None:
                if node in wrt:
                    g = own(g)
                    yield node, g
                inputs = node.inputs
                if inputs and not (until and node in until):
                    op: Any = node.op
                    together = (
                        NotImplemented if op.pull is None else pulled_together(node, inputs, g, active, create_graph)
                    )
                    if together is not NotImplemented:
                        maps = together
                    elif create_graph:
                        maps = op.jacobians(node, *inputs)
                    elif node.saved is not None:
                        maps = op.jacobians(node._value, *[x._value for x in inputs], saved=node.saved)
                    elif len(inputs) == 2:  # written out: for scalars a comprehension costs as much as the rule
                        maps = op.jacobians(node._value, inputs[0]._value, inputs[1]._value)
                    else:
                        maps = op.jacobians(node._value, *[x._value for x in inputs])
                    for x, J in zip(inputs, maps):  # noqa: B905  strict costs 5 % of a step; ``local`` is strict
                        if J is not None and x in active:
                            c = J._pull(g) if together is NotImplemented else J
                            if anomaly:
                                finite_cotangent(node, x, c)
                            if x not in cotangents:
                                cotangents[x] = c
                            elif type(c) is np.ndarray:
                                cotangents[x] = tasks.map_entries(np.add, cotangents[x], c)
                            else:
                                cotangents[x] = cotangents[x] + c
                    together = maps = J = None
                    c = None  # a reference here would make ``own`` copy
                elif type(inputs) is FreedInputs:  # a walk in another thread has freed it
                    raise freed_error(node)
            if not retain_graph and node in active:  # other graphs may share nodes that do not depend on wrt
                active.discard(node)
                if node.op:
                    node.inputs, node.saved = record, None

    def depending_on(self, wrt: Iterable[Node]) -> set[Node]:
        """The nodes of the tape that depend on ``wrt``; a walk visits only these."""
        active, until = set(wrt), self.until
        independent = active.isdisjoint
        for node in self.nodes:
            xs = node.inputs
            if xs and not independent(xs) and node not in until:
                active.add(node)
        return active

    # --- forward ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return readable(
            f"<Tape of {self.y.label}: {len(self.structure().nodes)} nodes; print it to see the evaluation trace>"
        )

    def push(self, tangents: Mapping[Node, Any], *, create_graph: bool = False) -> Any:
        """The tangent Σ ∂y/∂x v of y, (y.shape), for ``tangents`` {x: v}, v of x's shape; zero if y depends on no x.

        It is a Node with ``create_graph``, if one of the tangents is a Node, or in a transform that differentiates y.
        """
        if not isinstance(tangents, Mapping):
            raise TypeError(f"push: got {type(tangents).__name__}; wanted a dict of nodes and their tangents")
        tangent = self._forward(tangents, create_graph or self.differentiated)
        return own(tangent)

    def _forward(self, tangents: Mapping[Node, Any], create_graph: bool) -> Any:
        if not create_graph:
            refuse_replay(f"it pushes to {self.y.label} without a graph")
        self.check_unchanged()
        seeds = {x: _like(v, x, "tangent") for x, v in tangents.items()}
        create_graph = create_graph or any(isinstance(v, Node) for v in seeds.values())
        if create_graph:
            seeds = {x: v if isinstance(v, Node) else constant(v) for x, v in seeds.items()}
        tangents_of: dict[Node, Any] = dict(seeds)
        last = {x: node for node in self.nodes for x in node.inputs}
        for node in self.nodes:
            if node in seeds or node in self.until or tangents_of.keys().isdisjoint(node.inputs):
                continue
            total = None
            for x, J in zip(node.inputs, self.local(node, create_graph), strict=True):
                if J is not None and x in tangents_of:
                    t = J._push(tangents_of[x])
                    total = t if total is None else total + t
            if total is not None:
                tangents_of[node] = total
            for x in node.inputs:
                if last[x] is node:
                    tangents_of.pop(x, None)
        return tangents_of[self.y] if self.y in tangents_of else np.zeros(self.y.shape, self.y.dtype)

    def local(self, node: Node, create_graph: bool = False) -> Sequence[LinearMap | None]:
        """The local Jacobians of one node, one for each input; with ``create_graph`` their pulls and pushes give Nodes."""
        if self.freed:
            raise freed_error(self.y)
        if not create_graph and self.differentiated:
            return [None if J is None else RecordedMap(J) for J in self.local(node, True)]
        if create_graph:
            return node.op.jacobians(node, *node.inputs)  # type: ignore[union-attr]
        return node.op.maps(node)  # type: ignore[union-attr]

    # --- sparse ----------------------------------------------------------------------------------

    def jacobian(self, x: Node, *, create_graph: bool = False) -> TotalJacobian:
        """∂y/∂x as a LinearMap from x.shape to y.shape, with push, pull and tosparse.

        With ``create_graph``, or in a transform that differentiates y, its pushes and pulls give Nodes. Raises TypeError
        if a dtype is not float, GraphError if x is not on the tape.
        """
        if x not in self:
            raise GraphError(f"jacobian: {getattr(x, 'label', x)} is not on the tape of {self.y.label}")
        for node in (x, self.y):
            if node.dtype not in FLOATS:
                raise TypeError(f"jacobian: {node.label} has dtype {node.dtype}; wanted float32 or float64")
        self.check_unchanged()
        return TotalJacobian(self, x, create_graph or self.differentiated)

    def jacobians(self, wrt: Sequence[Node] | Node | None = None, *, max_bytes: int | None = MAX_BYTES) -> list[Any]:
        """∂y/∂x, (y.shape) + (x.shape), for every x in ``wrt`` (default: the parameters), None if x is not on the tape.

        Of losses (N,), one for each sample, these are the gradients of each sample. While samples do not mix, one pull
        serves all of them. Raises as ``jacobian``, and MemoryBudgetError if an array would be larger than ``max_bytes``.
        """
        wrt = self.parameters if wrt is None else [wrt] if isinstance(wrt, Node) else list(wrt)
        behind = set(self.nodes)
        maps = {x: self.jacobian(x) for x in wrt if x in behind}
        for J in maps.values():
            J._expect_dense(max_bytes)
        shapes = [J.out_shape + J.in_shape for J in maps.values()]
        made = {x: rows.reshape(s) for x, rows, s in zip(maps, dense([*maps.values()]), shapes, strict=True)}
        return _for_each(wrt, made)

    def check_unchanged(self) -> None:
        """Raise GraphError if the graph was freed, or a parameter was changed after a node used its value."""
        if self.freed or type(self.y.inputs) is FreedInputs:
            raise freed_error(self.y)
        last = max([p.changed for p in self.parameters], default=0)
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
        return _trace(self.structure().nodes)

    def structure(self) -> Tape:
        """This tape; for a freed graph the structure that is left for printing and drawing."""
        return Tape.of(self.y, self.until) if not self.nodes or type(self.y.inputs) is FreedInputs else self


def _for_each(wrt: Sequence[Node], found: Mapping[Node, Any]) -> list[Any]:
    """What was found for each node, None for others; a node that is listed twice gets two arrays."""
    asked = {x: i for i, x in reversed([*enumerate(wrt)])}
    return [found.get(x) if asked[x] == i or x not in found else np.copy(found[x]) for i, x in enumerate(wrt)]


def accumulate(node: Node, c: Any) -> None:
    """Add a cotangent to ``node.grad``, in any thread."""
    with _grad_lock:
        while True:  # a signal handler may have changed it in between
            old = node.grad
            new = c if old is None else old + c
            if node.grad is old:
                node.grad = new
                break


def pulled_together(node: Node, inputs: Sequence[Node], g: Any, active: set[Node], create_graph: bool) -> Any:
    """The cotangents of a node's inputs by the op's own ``pull``; NotImplemented if its maps must be pulled one by one."""
    op: Any = node.op
    wanted = tuple([x in active for x in inputs])
    if create_graph:
        return op.pull(g, wanted, node, *inputs)
    return op.pull(g, wanted, node._value, *[x._value for x in inputs], saved=node.saved)


Hooks.tape = Tape.of


def _like(v: Any, x: Node, what: str) -> Any:
    """``v`` as a tangent or cotangent of ``x``, checked and cast to its dtype."""
    if not isinstance(v, Node):
        v = np.asarray(v)
        if v.dtype.kind not in "fiub":
            raise TypeError(f"{x.label}: got a {what} of dtype {v.dtype}; wanted {x.dtype}")
        v = v.astype(x.dtype, copy=False)[()]
    elif v.dtype != x.dtype:
        raise TypeError(f"{x.label}: got a {what} of dtype {v.dtype}; wanted {x.dtype}")
    expect(v.shape == x.shape, x.label, f"a {what} of shape {x.shape}", shape=v.shape)
    return v


def _trace(nodes: Iterable[Node]) -> str:
    """The evaluation trace: a row for each node, with its inputs and its value."""
    index: dict[Node, str] = {}
    rows = []
    for node in nodes:
        index[node] = f"v{len(index)}"
        name = f"{node.scope}/{node.name or ''}" if node.scope else node.name or ""
        value = "" if node.abstract else _brief(node.value)
        inputs = ", ".join(index.get(x, "") for x in node.inputs)
        rows.append((index[node], name, node.kind, inputs, str(node.shape), value))
    return table(("node", "name", "op", "inputs", "shape", "value"), rows)


def _brief(value: Any) -> str:
    """A value in a table cell: in full if it is short, otherwise its range."""
    if value.size <= 4:
        return np.array2string(np.asarray(value), precision=4, separator=", ").replace("\n", "")
    return f"{value.min():.4g} … {value.max():.4g}"
