"""LinearMap: a local Jacobian that pushes tangents, pulls cotangents and is written out as a sparse matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from minigraph.array import Array
from minigraph.node import MemoryBudgetError, Node, ShapeError, Spec, value_of
from minigraph.op import Case, Op
from minigraph.text import readable

Shape = tuple[int, ...]
MAX_BYTES = 1 << 30


class Bounds(NamedTuple):
    """Stored entries of a matrix: in all, at most in one row, at most in one column."""

    nnz: int
    row: int
    col: int

    def after(self, right: Bounds, rows: int, columns: int) -> Bounds:
        """Bounds of the product (rows, columns) with the matrix ``right`` on the right."""
        row, col = min(self.row * right.row, columns), min(self.col * right.col, rows)
        return Bounds(min(self.nnz * right.row, right.nnz * self.col, rows * row, columns * col), row, col)

    def plus(self, other: Bounds, rows: int, columns: int) -> Bounds:
        """Bounds of the sum (rows, columns) with the matrix ``other``."""
        row, col = min(self.row + other.row, columns), min(self.col + other.col, rows)
        return Bounds(min(self.nnz + other.nnz, rows * row, columns * col), row, col)


class LinearMap:
    """A linear map J from arrays of ``in_shape`` to arrays of ``out_shape``.

    Vectors are stacked in C order: ``J.tosparse() @ v.ravel() == J.push(v).ravel()`` and
    ``J.tosparse().T @ g.ravel() == J.pull(g).ravel()``. ``nnz`` is known before the matrix is built:
    exact for the elementary maps, an upper bound for products and sums over paths.
    """

    __slots__ = ("dtype", "in_shape", "out_shape")
    in_shape: Shape
    out_shape: Shape
    dtype: np.dtype[Any]

    def __init__(self, in_shape: Shape, out_shape: Shape, dtype: Any) -> None:
        self.in_shape, self.out_shape, self.dtype = in_shape, out_shape, np.dtype(dtype)

    # --- what a kind of map defines --------------------------------------------------------------

    def push(self, v: Any) -> Any:
        """J v: the tangent of the output, (in_shape) → (out_shape)."""
        raise NotImplementedError

    def pull(self, g: Any) -> Any:
        """Jᵀ g: the cotangent of the input, (out_shape) → (in_shape)."""
        raise NotImplementedError

    def _matrix(self) -> sp.csr_array:
        raise NotImplementedError

    @property
    def bounds(self) -> Bounds:
        """Stored entries, in all and at most in a row and in a column."""
        raise NotImplementedError

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        """``matrix`` @ J."""
        return sp.csr_array(matrix @ self._matrix())

    # --- what all maps share ---------------------------------------------------------------------

    @property
    def nnz(self) -> int:
        """Stored entries of the matrix, predicted."""
        return self.bounds.nnz

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs): the matrix's shape."""
        return prod(self.out_shape), prod(self.in_shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the matrix, predicted: values, column numbers and row starts."""
        nnz = self.nnz
        index = 4 if max(nnz, *self.shape) < 2**31 else 8
        return nnz * (self.dtype.itemsize + index) + (self.shape[0] + 1) * index

    def tosparse(self, max_bytes: int | None = MAX_BYTES) -> sp.csr_array:
        """The matrix as a csr_array, (out_size, in_size); structural zeros are kept.

        Raises MemoryBudgetError when more than ``max_bytes`` are predicted (None: no limit).
        """
        if max_bytes is not None and self.nbytes > max_bytes:
            raise MemoryBudgetError(
                f"{self}: got a matrix of up to {self.nnz:,} entries, {self.nbytes / 1e6:,.0f} MB; wanted at most "
                f"{max_bytes / 1e6:,.0f} MB. Use the map itself (push, pull, aslinearoperator), some rows at a time "
                "(row_blocks), one sample of the batch, or a larger max_bytes"
            )
        return self._matrix()

    def toarray(self, max_bytes: int | None = MAX_BYTES) -> Array:
        """The matrix as a dense array, (out_size, in_size); raises MemoryBudgetError as ``tosparse``."""
        need = self.shape[0] * self.shape[1] * self.dtype.itemsize
        if max_bytes is not None and need > max_bytes:
            raise MemoryBudgetError(
                f"{self}: got a dense matrix of {need / 1e6:,.0f} MB; wanted at most {max_bytes / 1e6:,.0f} MB"
            )
        return np.asarray(self.tosparse(None).toarray())

    def row_blocks(self, rows: int) -> Iterator[sp.csr_array]:
        """The matrix from top to bottom, ``rows`` rows at a time, without ever holding all of it."""
        if rows < 1:
            raise ValueError(f"row_blocks: got rows {rows}, wanted at least 1")
        starts = range(0, self.shape[0], rows)
        blocks = (np.arange(start, min(start + rows, self.shape[0])) for start in starts)
        return ((pick(block, self.out_shape, self.dtype) @ self)._matrix() for block in blocks)

    def aslinearoperator(self) -> Any:
        """A scipy.sparse.linalg.LinearOperator of the same matrix, for svds, eigsh, lsmr, least_squares."""
        from scipy.sparse.linalg import LinearOperator

        def push(v: Array) -> Array:
            return np.ravel(self.push(np.asarray(v, self.dtype).reshape(self.in_shape)))

        def pull(g: Array) -> Array:
            return np.ravel(self.pull(np.asarray(g, self.dtype).reshape(self.out_shape)))

        return LinearOperator(self.shape, matvec=push, rmatvec=pull, dtype=self.dtype)

    @property
    def T(self) -> LinearMap:
        return Transpose(self)

    def __matmul__(self, other: Any) -> Any:
        """J @ K: the map J after K. J @ v: the push of a vector (in_size,) or array (in_shape)."""
        if isinstance(other, LinearMap):
            return Product(self, other)
        if np.shape(other) == (self.shape[1],):
            return np.reshape(self.push(np.reshape(other, self.in_shape)), -1)
        if np.shape(other) != self.in_shape:
            raise ShapeError(f"{self} @ v: got v {np.shape(other)}, wanted {self.in_shape} or ({self.shape[1]},)")
        return self.push(other)

    def __repr__(self) -> str:
        return readable(f"<{self}: {self.in_shape} → {self.out_shape}, {self.dtype}, nnz ≤ {self.nnz:,}>")

    def __str__(self) -> str:
        return type(self).__name__


class Identity(LinearMap):
    """v ↦ v."""

    def __init__(self, x: Any) -> None:
        super().__init__(x.shape, x.shape, x.dtype)

    def push(self, v: Any) -> Any:
        return v

    def pull(self, g: Any) -> Any:
        return g

    def _matrix(self) -> sp.csr_array:
        return sp.eye_array(self.shape[0], dtype=self.dtype, format="csr")

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        return matrix

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.shape[0], 1, 1)


class Diagonal(LinearMap):
    """v ↦ d · v, entry by entry: diag(vec(d)). d = ``derivative(*args)``, of x's shape or a number, found when needed."""

    __slots__ = ("args", "derivative", "x")

    def __init__(self, x: Any, derivative: Callable[..., Any], args: tuple[Any, ...] = ()) -> None:
        self.x, self.derivative, self.args = x, derivative, args

    in_shape = out_shape = property(lambda self: self.x.shape)
    dtype = property(lambda self: self.x.dtype)

    def push(self, v: Any) -> Any:
        return v * self.derivative(*self.args)

    def pull(self, g: Any) -> Any:
        return g * self.derivative(*self.args)

    def _matrix(self) -> sp.csr_array:
        n = self.shape[0]
        return sp.csr_array((self._entries(), np.arange(n), np.arange(n + 1)), shape=self.shape)

    def _entries(self) -> Array:
        d = np.broadcast_to(value_of(self.derivative(*self.args)), self.in_shape)
        return np.ravel(d).astype(self.dtype, copy=False)

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        """Column j of the matrix, times d_j."""
        data = matrix.data * self._entries()[matrix.indices]
        return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.shape[0], 1, 1)


class Selection(LinearMap):
    """Every output entry is one input entry, or zero: a 0/1 matrix with at most a single 1 in each row.

    ``move`` does it for an array. Sending the numbers 1 … n through ``move`` gives ``index``, the input
    entry that each output entry takes, and with it the matrix; ``back`` is Jᵀ where a faster way than
    adding up by ``index`` is known.
    """

    def __init__(
        self,
        move: Callable[[Any], Any],
        in_shape: Shape,
        out_shape: Shape,
        dtype: Any,
        back: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(in_shape, out_shape, dtype)
        self.move, self.back = move, back

    @property
    def index(self) -> Array:
        """(out_shape) of input positions in C order, −1 where the output is zero."""
        n = self.shape[1]
        return np.asarray(self.move(np.arange(1, n + 1).reshape(self.in_shape))) - 1

    def push(self, v: Any) -> Any:
        return Apply(self)(v) if isinstance(v, Node) else self.move(v)

    def pull(self, g: Any) -> Any:
        if isinstance(g, Node):
            return Apply(self.T)(g)
        return self.back(g) if self.back else scatter(g, self.index, self.in_shape)

    @property
    def bounds(self) -> Bounds:
        uses = np.bincount(np.ravel(self.index) + 1, minlength=1)[1:]
        return Bounds(int(uses.sum()), 1, int(uses.max(initial=0)))

    def _matrix(self) -> sp.csr_array:
        index = self.index.ravel()
        hit = index >= 0
        rows = np.concatenate(([0], np.cumsum(hit)))
        return sp.csr_array((np.ones(rows[-1], self.dtype), index[hit], rows), shape=self.shape)

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        """Column j of the matrix, added to column index_j."""
        index = self.index.ravel()
        if index.size and index.min() < 0:
            return super()._after(matrix)
        moved = index.astype(matrix.indices.dtype, copy=False)[matrix.indices]
        product = sp.csr_array((matrix.data, moved, matrix.indptr), shape=(matrix.shape[0], self.shape[1]), copy=True)
        product.sum_duplicates()
        return product


def scatter(g: Any, index: Array, shape: Shape) -> Any:
    """Zeros of ``shape`` with every entry of ``g`` added at its flat ``index``; −1 is dropped."""
    g, index = np.asarray(g).ravel(), index.ravel()
    if index.size and index.min() < 0:
        g, index = g[index >= 0], index[index >= 0]
    places = sp.csc_array((np.ones(g.size, g.dtype), index, np.arange(g.size + 1)), shape=(prod(shape), g.size))
    return (places @ g).reshape(shape)


def pick(index: Array, in_shape: Shape, dtype: Any) -> Selection:
    """The Selection of flat positions ``index`` (−1: zero), (in_shape) → index.shape."""

    def move(v: Any) -> Any:
        flat = np.reshape(v, -1)
        return np.where(index >= 0, flat[index], flat.dtype.type(0)) if (index < 0).any() else flat[index]

    return Selection(move, in_shape, index.shape, dtype, lambda g: scatter(g, index, in_shape))


class Broadcast(Selection):
    """v ↦ v repeated along new and stretched axes, cast to ``dtype``; Jᵀ sums over them."""

    def __init__(self, x: Any, out_shape: Shape, dtype: Any = None) -> None:
        in_shape, back_dtype = x.shape, x.dtype
        new = tuple(range(len(out_shape) - len(in_shape)))
        stretched = tuple(i for i, n in enumerate(in_shape, len(new)) if n == 1 and out_shape[i] != 1)

        def move(v: Any) -> Any:
            return np.broadcast_to(np.asarray(v), out_shape)

        def back(g: Any) -> Any:
            g = np.sum(g, axis=new + stretched) if new or stretched else g
            return np.reshape(g, in_shape).astype(back_dtype, copy=False)

        super().__init__(move, in_shape, out_shape, dtype or back_dtype, back)

    def push(self, v: Any) -> Any:
        pushed = super().push(v)
        return pushed if pushed.dtype == self.dtype else pushed.astype(self.dtype)

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.shape[0], 1, self.shape[0] // max(self.shape[1], 1))


def promoted(J: LinearMap, x: Any) -> LinearMap:
    """J after a cast of x where J's dtype is the wider, so that cotangents come back in x's dtype."""
    return J if x.dtype == J.dtype else J @ Broadcast(x, x.shape, J.dtype)


class Formula(LinearMap):
    """A map given by its verbs: ``push``, ``pull``, ``matrix() -> csr_array``, and the ``bounds`` of that matrix."""

    def __init__(
        self,
        in_shape: Shape,
        out_shape: Shape,
        dtype: Any,
        *,
        push: Callable[[Any], Any],
        pull: Callable[[Any], Any],
        matrix: Callable[[], sp.csr_array],
        bounds: Bounds,
    ) -> None:
        super().__init__(in_shape, out_shape, dtype)
        self._push, self._pull, self._csr, self._bounds = push, pull, matrix, bounds

    def push(self, v: Any) -> Any:
        return self._push(v)

    def pull(self, g: Any) -> Any:
        return self._pull(g)

    def _matrix(self) -> sp.csr_array:
        return self._csr()

    @property
    def bounds(self) -> Bounds:
        return self._bounds


class Transpose(LinearMap):
    """Jᵀ: push and pull change places."""

    def __init__(self, of: LinearMap) -> None:
        self.of = of
        super().__init__(of.out_shape, of.in_shape, of.dtype)

    def push(self, v: Any) -> Any:
        return self.of.pull(v)

    def pull(self, g: Any) -> Any:
        return self.of.push(g)

    @property
    def bounds(self) -> Bounds:
        nnz, row, col = self.of.bounds
        return Bounds(nnz, col, row)

    @property
    def T(self) -> LinearMap:
        return self.of

    def _matrix(self) -> sp.csr_array:
        return self.of._matrix().T.tocsr()

    def __str__(self) -> str:
        return readable(f"{self.of}ᵀ")


class Product(LinearMap):
    """J K …: the last map first."""

    def __init__(self, left: LinearMap, right: LinearMap) -> None:
        if left.in_shape != right.out_shape:
            raise ValueError(
                f"{left} @ {right}: got {left.in_shape} @ {right.out_shape}, wanted the same shape in the middle"
            )
        self.factors: list[LinearMap] = [
            f for J in (left, right) for f in (J.factors if isinstance(J, Product) else [J])
        ]
        super().__init__(right.in_shape, left.out_shape, np.result_type(left.dtype, right.dtype))

    def push(self, v: Any) -> Any:
        for J in reversed(self.factors):
            v = J.push(v)
        return v

    def pull(self, g: Any) -> Any:
        for J in self.factors:
            g = J.pull(g)
        return g

    @property
    def bounds(self) -> Bounds:
        bounds = self.factors[-1].bounds
        for J in self.factors[-2::-1]:
            bounds = J.bounds.after(bounds, J.shape[0], self.shape[1])
        return bounds

    def _matrix(self) -> sp.csr_array:
        matrix = self.factors[0]._matrix()
        for J in self.factors[1:]:
            matrix = J._after(matrix)
        return matrix

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        for J in self.factors:
            matrix = J._after(matrix)
        return matrix

    def __str__(self) -> str:
        return " ".join(map(str, self.factors))


class Apply(Op):
    """A constant linear map as an op: y = J x; what pulls and pushes of Selections become on the tape."""

    name = "apply"

    def __init__(self, map: LinearMap) -> None:
        self.map = map

    def infer(self, x: Spec) -> Spec:
        return Spec(self.map.out_shape, x.dtype)

    def forward(self, x: Array) -> Any:
        return self.map.push(x)

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap]:
        return (self.map,)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        index = np.array([[3, -1], [0, 3]])
        x = rng.standard_normal(5)
        yield Case(cls(pick(index, (5,), x.dtype)), (x,), np.array([[x[3], 0], [x[0], x[3]]]))
        g = rng.standard_normal((2, 2))
        yield Case(cls(pick(index, (5,), x.dtype).T), (g,), np.array([g[1, 0], 0, 0, g[0, 0] + g[1, 1], 0]))

    def __str__(self) -> str:
        return str(self.map)
