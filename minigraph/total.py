"""TotalJacobian: the Jacobian of a whole tape, with several methods of building its matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from minigraph.array import Array
from minigraph.dense import jacobians, steps
from minigraph.kernels.sparse import below, compressed, eye, full, plus, times
from minigraph.maps import BATCH_BYTES, BLOCK_BYTES, Bounds, LinearMap
from minigraph.mode import VARIABLES
from minigraph.node import GraphError, Node
from minigraph.text import readable

if TYPE_CHECKING:
    from minigraph.tape import Tape

ENTRY_BYTES = 40  # memory per entry while matrices are multiplied and added
WORK_BYTES = 1 << 28  # of intermediate products; if all rows would take more, they are computed in blocks


class TotalJacobian(LinearMap):
    """∂y/∂x over a whole tape: the sum over all paths from x to y of the products of local Jacobians.

    Its matrix is built by the method with the lowest estimated cost: by pulls, one per row; by pushes, one per column; or
    by multiplying the nodes' matrices, from y backward or from x forward.
    """

    def __init__(self, tape: Tape, x: Node, create_graph: bool = False) -> None:
        super().__init__(x.shape, tape.y.shape, tape.y.dtype)
        self.tape, self.x, self.create_graph = tape, x, create_graph

    def __str__(self) -> str:
        return readable(f"∂({self.tape.y.label})/∂({self.x.label})")

    def push(self, v: Any) -> Any:
        """J v by one forward walk over the tape; see Tape.push."""
        return self.tape.push({self.x: v}, create_graph=self.create_graph)

    def pull(self, g: Any) -> Any:
        """Jᵀ g by one backward walk over the tape; see Tape.pull."""
        (c,) = self.tape.pull(g, [self.x], create_graph=self.create_graph)
        return np.zeros(self.in_shape, self.x.dtype) if c is None else c

    # --- the matrix ------------------------------------------------------------------------------

    @cached_property
    def _edges(self) -> list[Edge]:
        """The local Jacobians on paths from x to y, with their bounds, in the order of the tape."""
        self.tape.check_unchanged()
        active = self.tape.depending_on([self.x])
        return [Edge(node, x, J.bounds, J.shape) for node in self.tape.nodes if node is not self.x
                for x, J in steps(self.tape, node, active)]  # fmt: skip

    @cached_property
    def bounds(self) -> Bounds:
        n = self.shape[1]
        reached = {self.x: Bounds(n, 1, 1)}
        for node, x, local, (rows, _) in self._edges:
            if x in reached:
                path = local.after(reached[x], rows, n)
                reached[node] = reached[node].plus(path, rows, n) if node in reached else path
        return reached.get(self.tape.y, Bounds(0, 0, 0))

    def _walks(self, n: int) -> float:
        """Rough estimate of the nanoseconds of n pulls or pushes in batches."""
        return sum(
            20e3 * -(-n // self._batch) + n * (sum(shape) + 0.03 * local.nnz) for _, _, local, shape in self._edges
        )

    def _backward(self, rows: int) -> tuple[float, int]:
        """Nanoseconds, and the largest number of stored entries, of the products from some rows of y backward to x."""
        cost, most, bounds = 0.0, 0, {self.tape.y: Bounds(rows, 1, rows)}
        for node, x, local, (_, columns) in reversed(self._edges):
            if node in bounds:
                left = bounds[node]
                cost += 50e3 + 8 * (left.nnz * local.row + min(local.nnz, left.nnz * local.row))
                path = left.after(local, rows, columns)
                bounds[x] = bounds[x].plus(path, rows, columns) if x in bounds else path
                most = max(most, left.nnz + 3 * path.nnz + min(local.nnz, BLOCK_BYTES // 12))
        return cost, most

    def _forward(self) -> float:
        """Nanoseconds of the products from all columns of x forward to y."""
        n, cost = self.shape[1], 0.0
        bounds = {self.x: Bounds(n, 1, 1)}
        for node, x, local, (rows, _) in self._edges:
            if x in bounds:
                cost += 50e3 + 8 * (local.nnz * bounds[x].row + local.nnz)
                path = local.after(bounds[x], rows, n)
                bounds[node] = bounds[node].plus(path, rows, n) if node in bounds else path
        return cost

    def _method(self, rows: int | None, dense: bool) -> str:
        """The cheapest method: "pull" or "backward" for some rows; also "push" or "forward" for all of them (None).

        Pulls and pushes give dense rows, so they are used for arrays and for matrices without zeros only.
        """
        n = self.shape[0] if rows is None else rows
        costs = {"backward": self._backward(n)[0]}
        if rows is None:
            costs["forward"] = self._forward()
        if dense or self.bounds.nnz == prod(self.shape):
            costs["pull"] = self._walks(n)
            if rows is None:
                costs["push"] = self._walks(self.shape[1])
        return min(costs, key=costs.__getitem__)

    def _expect_plain(self) -> None:
        self.tape.check_unchanged()
        if self.create_graph and VARIABLES:
            raise lost(self)

    @property
    def workspace(self) -> float:
        if self._method(None, False) in ("pull", "push"):
            return 8 * max(BATCH_BYTES, self._widest * self.dtype.itemsize)
        return min(self._backward(self.shape[0])[1] * ENTRY_BYTES, self.nbytes + WORK_BYTES) + 32 * sum(self.shape)

    @property
    def _few(self) -> bool:
        """Whether the rows of one sample are so few that they can be pulled at once, and no other method is estimated."""
        return prod(self.out_shape[1:]) <= self._batch

    def _dense_workspace(self) -> float:
        if self._few or self._method(None, True) in ("pull", "push"):
            samples = 2 * self.out_shape[0] * self.shape[1] if self.out_shape else 0  # rows of all of them, added up
            return (8 * max(BATCH_BYTES, self._widest * self.dtype.itemsize)) + samples * self.dtype.itemsize
        return self.nbytes + self.workspace

    def _matrix(self) -> sp.csr_array:
        return self._build(None, False)

    def _rows(self, index: Array) -> sp.csr_array:
        return self._build(index, False)

    def _dense(self) -> Array:
        return dense([self])[0]

    def _dense_alone(self) -> Array:
        """The dense matrix by the method with the lowest estimated cost."""
        made = self._build(None, True)
        return made if isinstance(made, np.ndarray) else np.asarray(made.toarray())

    def _build(self, index: Array | None, dense: bool) -> Any:
        """Some rows of the matrix, or all; an array if ``dense`` and built by pulls or pushes."""
        self._expect_plain()
        method = self._method(None if index is None else len(index), dense)
        index = np.arange(self.shape[0]) if index is None else index
        if method == "forward":
            product = self._walk_forward(
                eye(self.shape[1], self.dtype), lambda J, right: times(J._matrix(), right), plus
            )
            return sp.csr_array(self.shape, dtype=self.dtype) if product is None else product
        if method == "backward":
            return self._products(index)
        rows = np.empty((len(index), self.shape[1]), self.dtype)
        if method == "pull":
            for part in self._parts(len(index)):
                cotangents = _unit_vectors(index[part], self.out_shape, self.dtype)
                rows[part] = self._pull_rows(cotangents).reshape(len(cotangents), self.shape[1])
        else:
            for part in self._parts(self.shape[1]):
                tangents = _unit_vectors(np.arange(self.shape[1])[part], self.in_shape, self.x.dtype)
                rows[:, part] = self._push_rows(tangents).reshape(len(tangents), self.shape[0]).T
        if not _finite(rows):
            return self._products(index)
        return rows if dense else full(rows)

    def _products(self, index: Array) -> sp.csr_array:
        """Rows of the matrix by products of the nodes' matrices from y backward, in blocks if there are many rows."""
        n = len(index)
        step = max(1, min(n, int(WORK_BYTES * n // (self._backward(n)[1] * ENTRY_BYTES + 1))))
        blocks = (self._after(_basis_rows(index[i : i + step], self)) for i in range(0, n, step))
        if 0 < n <= step:
            return next(blocks)
        return below(blocks, n, self.shape[1], min(self.bounds.nnz, n * self.bounds.row), self.dtype)

    @property
    def _batch(self) -> int:
        """The number of arrays carried at once: as many as fit the cache at every node."""
        return max(1, BATCH_BYTES // (self._widest * self.dtype.itemsize + 1))

    def _parts(self, n: int) -> list[slice]:
        """n rows or columns in batches."""
        return [slice(start, start + self._batch) for start in range(0, n, self._batch)]

    @cached_property
    def _widest(self) -> int:
        """Entries of the largest node on the paths."""
        return max(node.size for node in self.tape.depending_on([self.x]))

    def _push_rows(self, rows: Any) -> Any:
        pushed = self._walk_forward(rows, lambda J, right: J._push_rows(right), lambda a, b: a + b)
        return np.zeros((len(rows), *self.out_shape), self.dtype) if pushed is None else pushed

    def _pull_rows(self, rows: Any) -> Any:
        pulled = self._walk_back(rows, lambda J, left: J._pull_rows(left), lambda a, b: a + b)
        return np.zeros((len(rows), *self.in_shape), self.dtype) if pulled is None else pulled

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        product = self._walk_back(matrix, lambda J, left: J._after(left), plus)
        return sp.csr_array((matrix.shape[0], self.shape[1]), dtype=self.dtype) if product is None else product

    def _walk_back(self, left: Any, verb: Callable[[LinearMap, Any], Any], add: Callable[[Any, Any], Any]) -> Any:
        """``left`` carried by ``verb`` through the nodes' maps from y to x, and summed over the paths; None without paths."""
        self._expect_plain()
        active = self.tape.depending_on([self.x])
        sums = {self.tape.y: left}
        for node in reversed(self.tape.nodes):
            if node is not self.x and node in sums:
                left = sums.pop(node)
                for x, J in steps(self.tape, node, active):
                    product = verb(J, left)
                    sums[x] = add(sums[x], product) if x in sums else product
        return sums.get(self.x)

    def _walk_forward(self, right: Any, verb: Callable[[LinearMap, Any], Any], add: Callable[[Any, Any], Any]) -> Any:
        """``right`` carried by ``verb`` through the nodes' maps from x to y, and summed over the paths; None without paths."""
        self._expect_plain()
        active = self.tape.depending_on([self.x])
        last = {x: node for node in self.tape.nodes if node in active for x in node.inputs}
        sums = {self.x: right}
        for node in self.tape.nodes:
            for x, J in steps(self.tape, node, active) if node is not self.x else ():
                if x in sums:
                    product = verb(J, sums[x])
                    sums[node] = add(sums[node], product) if node in sums else product
            for x in node.inputs:
                if last.get(x) is node:
                    sums.pop(x, None)
        return sums.get(self.tape.y)


def dense(maps: Sequence[TotalJacobian]) -> list[Array]:
    """The dense matrices of maps of one tape; those that are made by pulls in one walk."""
    for J in maps:
        J._expect_plain()
    pulled = [J for J in maps if J._few or J._method(None, True) == "pull"]
    found = pulled and jacobians(pulled[0].tape, [J.x for J in pulled], min(J._batch for J in pulled))
    made = {J: rows.reshape(J.shape) for J, rows in zip(pulled, found or (), strict=False) if _finite(rows)}
    return [made[J] if J in made else J._dense_alone() for J in maps]


def _finite(rows: Array) -> bool:
    """Whether all entries are finite; they are not where 0 times an infinite derivative came in, an entry of no matrix."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(rows, None)) or np.isfinite(rows).all())


class Edge(NamedTuple):
    """A local Jacobian on a path: what is known of it before its matrix is built."""

    node: Node
    x: Node
    bounds: Bounds
    shape: tuple[int, int]


def basis_vector(i: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """Zeros of ``shape`` with a 1 at the flat position i."""
    e = np.zeros(shape, dtype)
    e.flat[i] = 1
    return e[()]


def _unit_vectors(index: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """An array of ``shape`` for each flat position in ``index``, with a 1 there: (index, shape)."""
    rows = np.zeros((len(index), prod(shape)), dtype)
    rows[np.arange(len(index)), index] = 1
    return rows.reshape(-1, *shape)


def _basis_rows(index: Array, J: LinearMap) -> sp.csr_array:
    """The rows ``index`` of the identity matrix, to be multiplied by J."""
    n = len(index)
    return compressed(np.ones(n, J.dtype), index, np.arange(n + 1), (n, J.shape[0]))


class RecordedMap(LinearMap):
    """A map whose pushes and pulls are recorded. Its matrix, which could not be differentiated, raises GraphError."""

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
    """The error for a matrix of plain numbers that a transform would have to differentiate."""
    return GraphError(f"{J}: a sparse matrix cannot be differentiated again; wanted push, pull or mg.jacobian here")
