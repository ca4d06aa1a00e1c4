"""Total: the Jacobian of a whole tape, and the ways to its matrix."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from minigraph.array import Array
from minigraph.kernels.sparse import below, compressed, eye, full, plus, times
from minigraph.maps import BLOCK_BYTES, Bounds, LinearMap
from minigraph.mode import VARIABLES
from minigraph.node import GraphError, Node
from minigraph.text import readable

if TYPE_CHECKING:
    from minigraph.tape import Tape

ENTRY_BYTES = 40  # of an entry while matrices are multiplied and added
WORK_BYTES = 1 << 28  # of the products behind some rows of a Jacobian; more rows are made in blocks
TOGETHER_BYTES = 1 << 21  # of the cotangents of a node that are pulled at once


class Total(LinearMap):
    """∂y/∂x over a whole tape: the sum over all paths from x to y of the products of local Jacobians.

    Its matrix is made the way that should be cheapest: by pulls, a row each; by pushes, a column each; or by products
    of the nodes' matrices, from y back or from x on.
    """

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
        """Nanoseconds of n pulls or pushes, batched, by a rough estimate."""
        return sum(20e3 * -(-n // together) + n * (sum(shape) + 0.03 * local.nnz) for _, _, local, shape in self._edges)

    def _back(self, rows: int) -> tuple[float, int]:
        """Nanoseconds, and the peak of stored entries, of the products from some rows of y back to x."""
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

    def _way(self, rows: int | None, dense: bool) -> str:
        """The cheapest of "pull" and "back" for some rows, or with "push" and "on" for all of them (None).

        Pulls and pushes give full rows, and are for arrays and for matrices that are full anyway.
        """
        n = self.shape[0] if rows is None else rows
        costs = {"back": self._back(n)[0]}
        if rows is None:
            costs["on"] = self._on()
        if dense or self.bounds.nnz == prod(self.shape):
            costs["pull"] = self._walks(n, self._together)
            if rows is None:
                costs["push"] = self._walks(self.shape[1])
        return min(costs, key=costs.__getitem__)

    def _expect_plain(self) -> None:
        self.tape.check_unchanged()
        if self.create_graph and VARIABLES:
            raise lost(self)

    @property
    def workspace(self) -> float:
        if self._way(None, False) in ("pull", "push"):
            return 8 * max(TOGETHER_BYTES, self._widest * self.dtype.itemsize)
        return min(self._back(self.shape[0])[1] * ENTRY_BYTES, self.nbytes + WORK_BYTES) + 32 * sum(self.shape)

    def _beside_dense(self) -> float:
        if self._way(None, True) in ("pull", "push"):
            return 8 * max(TOGETHER_BYTES, self._widest * self.dtype.itemsize)
        return self.nbytes + self.workspace

    def _matrix(self) -> sp.csr_array:
        return self._made(None, False)

    def _rows(self, index: Array) -> sp.csr_array:
        return self._made(index, False)

    def _dense(self) -> Array:
        made = self._made(None, True)
        return made if isinstance(made, np.ndarray) else np.asarray(made.toarray())

    def _made(self, index: Array | None, dense: bool) -> Any:
        """Rows of the matrix, or all of it; as an array where ``dense`` and made by walks."""
        self._expect_plain()
        way = self._way(None if index is None else len(index), dense)
        index = np.arange(self.shape[0]) if index is None else index
        if way == "on":
            return self._from_x()
        if way == "back":
            return self._products(index)
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
        if not np.isfinite(rows).all():  # a 0 times an infinite slope, where the matrix has no entry
            return self._products(index)
        return rows if dense else full(rows)

    def _products(self, index: Array) -> sp.csr_array:
        """Rows of the matrix by products of the nodes' matrices from y back, in blocks where they are many."""
        n = len(index)
        step = max(1, min(n, int(WORK_BYTES * n // (self._back(n)[1] * ENTRY_BYTES + 1))))
        blocks = (self._after(_unit_rows(index[i : i + step], self)) for i in range(0, n, step))
        if 0 < n <= step:
            return next(blocks)
        return below(blocks, n, self.shape[1], min(self.bounds.nnz, n * self.bounds.row), self.dtype)

    @property
    def _together(self) -> int:
        """How many cotangents are pulled at once: as many as keep each node's in cache."""
        return max(1, TOGETHER_BYTES // (self._widest * self.dtype.itemsize + 1))

    @property
    def _widest(self) -> int:
        """Entries of the largest node on the way."""
        return max([max(shape) for _, _, _, shape in self._edges], default=0)

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
        maps = node.op.maps(node)  # type: ignore[union-attr]
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


class Recorded(LinearMap):
    """A map whose pushes and pulls are being recorded, and whose matrix would lose the derivative."""

    def __init__(self, of: LinearMap) -> None:
        self.of = of
        super().__init__(of.in_shape, of.out_shape, of.dtype)

    def push(self, v: Any) -> Any:
        return self.of._push(v)

    def pull(self, g: Any) -> Any:
        return self.of._pull(g)

    @property
    def bounds(self) -> Bounds:
        return self.of.bounds

    def _matrix(self) -> sp.csr_array:
        raise lost(self)

    def _rows(self, index: Array) -> sp.csr_array:
        raise lost(self)

    def __str__(self) -> str:
        return str(self.of)


def lost(J: LinearMap) -> GraphError:
    """A matrix of plain numbers asked for where its derivative is wanted."""
    return GraphError(f"{J}: a sparse matrix cannot be differentiated again; wanted push, pull or mg.jacobian here")
