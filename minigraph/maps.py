"""LinearMap: a local Jacobian that pushes tangents, pulls cotangents and can be written out as a sparse matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from minigraph.array import Array
from minigraph.kernels import tasks
from minigraph.kernels.sparse import below, compressed, eye, index_dtype, plus, sized, times
from minigraph.node import Hooks, MemoryBudgetError, Node, ShapeError, Spec, value_of
from minigraph.op import Op
from minigraph.ownership import own
from minigraph.text import readable

Shape = tuple[int, ...]
MAX_BYTES = 1 << 30
MATRIX_PULL_DENSITY = (
    4  # entries for each input and output up to which the matrix carries several arrays faster than the map
)
BATCH_BYTES = 1 << 21  # of the arrays of a node that are pushed or pulled at once
BLOCK_BYTES = 1 << 23  # of rows of a matrix that are made at a time where not all of it is to be held


class Bounds(NamedTuple):
    """Upper bounds of the stored entries of a matrix: in total, in any row, in any column."""

    nnz: int
    row: int
    col: int

    def after(self, right: Bounds, rows: int, columns: int) -> Bounds:
        """Bounds of the product with a matrix ``right``; the product has shape (rows, columns)."""
        row, col = min(self.row * right.row, columns), min(self.col * right.col, rows)
        return Bounds(min(self.nnz * right.row, right.nnz * self.col, rows * row, columns * col), row, col)

    def plus(self, other: Bounds, rows: int, columns: int) -> Bounds:
        """Bounds of the sum with a matrix ``other``, both of shape (rows, columns)."""
        row, col = min(self.row + other.row, columns), min(self.col + other.col, rows)
        return Bounds(min(self.nnz + other.nnz, rows * row, columns * col), row, col)


class LinearMap:
    """A linear map J from arrays of ``in_shape`` to arrays of ``out_shape``.

    Vectors are stacked in C order: ``J.tosparse() @ v.ravel() == J.push(v).ravel()`` and
    ``J.tosparse().T @ g.ravel() == J.pull(g).ravel()``. ``nnz`` is known before the matrix is built:
    exact for the elementary maps, an upper bound for products and sums over paths.

    Maps can be added, subtracted, scaled, multiplied by each other and multiplied by arrays on both sides. SciPy's solvers
    accept them, and ``np.asarray(J)`` is the dense matrix.
    """

    __slots__ = ("dtype", "in_shape", "out_shape")
    in_shape: Shape
    out_shape: Shape
    dtype: np.dtype[Any]
    leading: bool = False  # whether _push and _pull leave further axes in front of those of an array as they are
    __array_ufunc__ = None  # array * J and array @ J call the methods here
    ndim = 2

    def __init__(self, in_shape: Shape, out_shape: Shape, dtype: Any) -> None:
        self.in_shape, self.out_shape, self.dtype = in_shape, out_shape, np.dtype(dtype)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for verb in ("push", "pull"):  # a subclass may define the public methods, which then return new arrays
            if verb in cls.__dict__ and f"_{verb}" not in cls.__dict__:
                setattr(cls, f"_{verb}", cls.__dict__[verb])

    # --- defined by subclasses -------------------------------------------------------------------

    def _push(self, v: Any) -> Any:
        """J v; may be v, or share memory with it."""
        raise NotImplementedError

    def _pull(self, g: Any) -> Any:
        """Jᵀ g; may be g, or share memory with it."""
        raise NotImplementedError

    def _matrix(self) -> sp.csr_array:
        """The matrix; a subclass defines this method, or ``_rows``, or both."""
        m, n = self.shape
        step = max(1, int(BLOCK_BYTES // (12 * self.bounds.row + 1)))
        blocks = (self._rows(np.arange(i, min(i + step, m))) for i in range(0, m, step))
        return below(blocks, m, n, self.nnz, self.dtype)

    @property
    def bounds(self) -> Bounds:
        """Bounds of the stored entries."""
        raise NotImplementedError

    def _rows(self, index: Array) -> sp.csr_array:
        """The rows ``index`` of the matrix, in that order."""
        return sized(self._matrix()[index])

    def _push_rows(self, rows: Any) -> Any:
        """Several tangents pushed at once: (R, in_shape) → (R, out_shape)."""
        return self._carried(rows, self._push, self.out_shape, lambda flat: flat @ self._matrix().T)

    def _pull_rows(self, rows: Any) -> Any:
        """Several cotangents pulled at once: (R, out_shape) → (R, in_shape)."""
        return self._carried(rows, self._pull, self.in_shape, lambda flat: flat @ self._matrix())

    def _carried(self, rows: Any, verb: Callable[[Any], Any], target: Shape, product: Callable[[Any], Any]) -> Any:
        """``verb`` of each row: of all at once if it takes leading axes, else by the matrix if that has few entries."""
        if self.leading:
            return verb(rows)
        if self.nnz <= MATRIX_PULL_DENSITY * sum(self.shape):
            flat = product(rows.reshape(len(rows), -1))
            return flat.astype(rows.dtype, copy=False).reshape(len(rows), *target)
        return np.stack([verb(row[()]) for row in rows])

    @property
    def by_sample(self) -> bool:
        """Whether sample n of the output depends on sample n of the input alone, samples being along their first axes."""
        return False

    def _pull_samples(self, rows: Any) -> Any:
        """Each sample's cotangents pulled by themselves, those of other samples taken as zero: (R, out_shape) → (R, N, in_shape)."""
        R, N = rows.shape[:2]
        step, pulled = max(1, BATCH_BYTES // (rows.nbytes + 1)), np.empty((R, N, *self.in_shape), rows.dtype)
        for start in range(0, N, step):
            n = np.arange(start, min(start + step, N))
            alone = np.zeros((R, len(n), *self.out_shape), rows.dtype)
            alone[:, np.arange(len(n)), n] = rows[:, n]
            pulled[:, n] = self._pull_rows(alone.reshape(-1, *self.out_shape)).reshape(R, len(n), *self.in_shape)
        return pulled

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        """``matrix`` @ J. Of J only the rows that are needed are built, and no more than BLOCK_BYTES at a time."""
        most = max(1, int(BLOCK_BYTES // (self.bounds.row * 12 + 1)))
        used = np.unique(matrix.indices)
        if self.shape[0] <= most and 2 * len(used) > self.shape[0]:
            return times(matrix, self._matrix())
        if len(used) > most and matrix.shape[0] > 1:  # fewer rows of ``matrix`` need fewer rows of J
            step = max(1, matrix.shape[0] * most // len(used))
            parts = [self._after(sized(matrix[i : i + step])) for i in range(0, matrix.shape[0], step)]
            return below(parts, matrix.shape[0], self.shape[1], sum(part.nnz for part in parts), parts[0].dtype)
        product = None
        for start in range(0, max(len(used), 1), most):
            index = used[start : start + most]
            part = times(sized(matrix[:, index]), self._rows(index))
            product = part if product is None else plus(product, part)
        return product

    # --- shared by all maps ----------------------------------------------------------------------

    def push(self, v: Any) -> Any:
        """J v: the tangent of the output, (in_shape) → (out_shape), as a new array."""
        tangent = self._push(v)
        return own(tangent)

    def pull(self, g: Any) -> Any:
        """Jᵀ g: the cotangent of the input, (out_shape) → (in_shape), as a new array."""
        cotangent = self._pull(g)
        return own(cotangent)

    @property
    def nnz(self) -> int:
        """Predicted number of stored entries of the matrix."""
        return self.bounds.nnz

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the matrix, (outputs, inputs)."""
        return prod(self.out_shape), prod(self.in_shape)

    @property
    def nbytes(self) -> int:
        """Predicted bytes of the matrix: values, column indices and row pointers."""
        nnz = self.nnz
        index = int(np.dtype(index_dtype(nnz, *self.shape)).itemsize)
        return nnz * (self.dtype.itemsize + index) + (self.shape[0] + 1) * index

    @property
    def workspace(self) -> float:
        """Predicted bytes needed besides the matrix while it is built."""
        return self.nbytes + 4 * min(self.nbytes, BLOCK_BYTES) + 32 * sum(self.shape)

    def _expect_within(self, need: float, max_bytes: int | None, what: str, shown: float | None = None) -> None:
        if max_bytes is not None and need > max_bytes:
            size = f"{_megabytes(need)} MB"
            if shown is not None:
                size = f"{_megabytes(shown)} MB, {size} while it is built"
            raise MemoryBudgetError(
                f"{self}: got {what} {size}; wanted at most {_megabytes(max_bytes)} MB. "
                "Use the map itself (push, pull, aslinearoperator), some rows at a time (row_blocks), one sample of the batch, or a larger max_bytes"
            )

    def tosparse(self, max_bytes: int | None = MAX_BYTES, format: str = "csr") -> Any:
        """The matrix as a csr_array (or csc_array), (out_size, in_size); its structure does not depend on values.

        Raises MemoryBudgetError if the matrix and the workspace for building it would take more than ``max_bytes``
        (None: no limit), ValueError for another format.
        """
        if format not in ("csr", "csc"):
            raise ValueError(f"tosparse: got format {format!r}; wanted 'csr' or 'csc'")
        need = self.nbytes * (1 + (format == "csc")) + self.workspace
        self._expect_within(need, max_bytes, f"a matrix of up to {self.nnz:,} entries,")
        return sized(self._matrix()).asformat(format)

    def toarray(self, max_bytes: int | None = MAX_BYTES) -> Array:
        """The matrix as a dense array, (out_size, in_size); raises MemoryBudgetError like ``tosparse``."""
        self._expect_dense(max_bytes)
        return self._dense()

    def _expect_dense(self, max_bytes: int | None) -> None:
        dense = prod(self.shape) * self.dtype.itemsize
        self._expect_within(dense + self._dense_workspace(), max_bytes, "a dense matrix of", dense)

    def _dense_workspace(self) -> float:
        """Bytes needed besides the dense matrix while it is built: a block of the sparse matrix."""
        return min(self.nbytes + self.workspace, 8 * BLOCK_BYTES + 32 * sum(self.shape))

    def _dense(self) -> Array:
        if self.nbytes <= BLOCK_BYTES:
            return np.asarray(self._matrix().toarray())
        m, n = self.shape
        dense = np.empty((m, n), self.dtype)
        step = max(1, BLOCK_BYTES // (n * self.dtype.itemsize + 1))
        for start in range(0, m, step):
            rows = np.arange(start, min(start + step, m))
            self._rows(rows).toarray(out=dense[start : start + step])
        return dense

    def row_blocks(self, rows: int) -> Iterator[sp.csr_array]:
        """The matrix in blocks of ``rows`` rows, from top to bottom; the whole is never in memory."""
        if rows < 1:
            raise ValueError(f"row_blocks: got rows {rows}; wanted at least 1")
        n = self.shape[0]
        return (self._rows(np.arange(start, min(start + rows, n))) for start in range(0, n, rows))

    def origins(self) -> sp.csr_array | None:
        """Where each stored entry comes from: its number, in C order, in the array that the matrix consists of.

        For a convolution M_F holds entries of the filters, M_X of the images. None for maps whose entries are computed.
        """
        return None

    def spy(self, path: Any = None, *, colour: str = "value", max_pixels: int = 1000) -> Any:
        """A picture of the matrix, as a matplotlib Figure or in a .png, .svg or .pdf file; needs the extra ``plot``.

        ``colour``: "value", or "origin", which gives all copies of one array entry the same colour, so that the bands of a
        Toeplitz matrix show. Of a matrix with more than ``max_pixels`` rows or columns the shares of stored entries are
        shown, block by block. Raises ValueError for another colour, and for "origin" where entries are computed.
        """
        return Hooks.spy(self, path, colour=colour, max_pixels=max_pixels)

    def aslinearoperator(self) -> Any:
        """The map as a scipy.sparse.linalg.LinearOperator, for svds, eigsh, lsmr and least_squares."""
        from scipy.sparse.linalg import LinearOperator

        return LinearOperator(self.shape, matvec=self.matvec, rmatvec=self.rmatvec, dtype=self.dtype)

    def matvec(self, v: Any) -> Any:
        """J v for a real or complex vector (in_size,) or column; SciPy's solvers call it."""
        return _by_parts(lambda v: np.ravel(self.push(np.asarray(v, self.dtype).reshape(self.in_shape))), v)

    def rmatvec(self, g: Any) -> Any:
        """Jᵀ g for a real or complex vector (out_size,) or column; SciPy's solvers call it."""
        return _by_parts(lambda g: np.ravel(self.pull(np.asarray(g, self.dtype).reshape(self.out_shape))), g)

    def tocoo(self) -> sp.coo_array:
        """The matrix as a coo_array; matplotlib's spy calls it."""
        return self.tosparse().tocoo()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.toarray().astype(dtype or self.dtype, copy=False)

    @property
    def T(self) -> LinearMap:
        return Transpose(self)

    def __matmul__(self, other: Any) -> Any:
        """J @ K: the composition of two maps. J @ v: the push of an array (in_shape), vector (in_size,) or columns (in_size, k)."""
        if isinstance(other, LinearMap):
            return Product(self, other)
        if sp.issparse(other):
            return times(self.tosparse(), sp.csr_array(other))
        if hasattr(other, "matvec"):
            return self.aslinearoperator() @ other
        return self._applied(other, self.push, self.in_shape, self.out_shape, f"{self} @ v: got v")

    def __rmatmul__(self, other: Any) -> Any:
        """g @ J: the pull of an array (out_shape), a vector (out_size,) or rows (k, out_size)."""
        if sp.issparse(other):
            return times(sp.csr_array(other), self.tosparse())
        turned = np.ndim(other) == 2 and np.shape(other) != self.out_shape
        pulled = self._applied(
            np.transpose(other) if turned else other, self.pull, self.out_shape, self.in_shape, f"g @ {self}: got g"
        )
        return np.transpose(pulled) if turned else pulled

    def _applied(self, v: Any, verb: Callable[[Any], Any], source: Shape, target: Shape, what: str) -> Any:
        """``verb`` of an array of shape ``source``, of a vector, or of the columns of a matrix."""
        shape, n = np.shape(v), prod(source)
        if shape == source:
            return verb(v)
        if shape == (n,):
            return np.reshape(verb(np.reshape(v, source)), -1)
        if len(shape) == 2 and shape[0] == n:
            columns = [np.reshape(verb(np.reshape(v[:, k], source)), -1) for k in range(shape[1])]
            return np.stack(columns, 1) if columns else np.zeros((prod(target), 0), self.dtype)
        raise ShapeError(f"{what} {shape}; wanted {source}, ({n},) or a matrix of {n} on that side")

    def __add__(self, other: Any) -> Any:
        if isinstance(other, LinearMap):
            return Sum(self, other)
        if isinstance(other, Real) and other == 0:  # the start value of sum()
            return self
        if sp.issparse(other) or np.ndim(other) == 2:
            return Sum(self, of_matrix(other, self))
        return NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, Real) and not (isinstance(other, np.ndarray) and other.ndim == 0):
            return NotImplemented
        return Product(Diagonal(Spec(self.out_shape, self.dtype), lambda: self.dtype.type(other)), self)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self * (1 / other) if isinstance(other, Real) else NotImplemented

    def __neg__(self) -> LinearMap:
        negated: LinearMap = self * -1
        return negated

    def __repr__(self) -> str:
        return readable(f"<{self}: {self.in_shape} → {self.out_shape}, {self.dtype}, nnz ≤ {self.nnz:,}>")

    def __str__(self) -> str:
        return type(self).__name__


def _megabytes(n: float) -> str:
    return f"{n / 1e6:,.0f}" if n >= 1e6 else f"{n / 1e6:.2g}"


def of_matrix(matrix: Any, like: LinearMap) -> LinearMap:
    """A sparse or dense matrix as a map between the shapes of ``like``."""
    csr = sized(matrix)
    if csr.shape != like.shape:
        raise ShapeError(f"{like}: got a matrix of shape {csr.shape}; wanted {like.shape}")
    count = np.bincount(csr.indices, minlength=1)
    return FunctionMap(
        like.in_shape,
        like.out_shape,
        csr.dtype,
        push=lambda v: (csr @ np.ravel(v)).reshape(like.out_shape),
        pull=lambda g: (csr.T @ np.ravel(g)).reshape(like.in_shape),
        matrix=lambda: csr,
        bounds=Bounds(csr.nnz, int(np.diff(csr.indptr).max(initial=0)), int(count.max())),
    )


def _by_parts(f: Callable[[Any], Any], v: Any) -> Any:
    """The real linear function f, applied to a vector that may be complex."""
    v = np.asarray(v)
    return f(v.real) + 1j * f(v.imag) if v.dtype.kind == "c" else f(v)


class Identity(LinearMap):
    """v ↦ v."""

    leading = True
    by_sample = property(lambda self: bool(self.in_shape))

    def __init__(self, x: Any) -> None:
        super().__init__(x.shape, x.shape, x.dtype)

    def _push(self, v: Any) -> Any:
        return v

    def _pull(self, g: Any) -> Any:
        return g

    def _matrix(self) -> sp.csr_array:
        return eye(self.shape[0], self.dtype)

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        return matrix

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.shape[0], 1, 1)


class Diagonal(LinearMap):
    """v ↦ d · v, entry by entry: diag(vec(d)). d = ``derivative(*args)``, of x's shape or a number, is computed on demand."""

    __slots__ = ("args", "derivative", "x")
    leading = True

    def __init__(self, x: Any, derivative: Callable[..., Any], args: tuple[Any, ...] = ()) -> None:
        self.x, self.derivative, self.args = x, derivative, args

    in_shape = out_shape = property(lambda self: self.x.shape)
    by_sample = property(lambda self: bool(self.in_shape))
    dtype = property(lambda self: self.x.dtype)

    def push(self, v: Any) -> Any:
        return v * self.derivative(*self.args)

    def pull(self, g: Any) -> Any:
        return g * self.derivative(*self.args)

    def _matrix(self) -> sp.csr_array:
        n = self.shape[0]
        index = np.arange(n + 1, dtype=index_dtype(n + 1))
        return compressed(self._entries(), index[:n], index, self.shape)

    def _entries(self) -> Array:
        d = np.broadcast_to(value_of(self.derivative(*self.args)), self.in_shape)
        return np.ravel(d).astype(self.dtype, copy=False)

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        """Scale column j of the matrix by d_j."""
        data = matrix.data * self._entries()[matrix.indices]
        return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.shape[0], 1, 1)


class Selection(LinearMap):
    """Every output entry is one input entry, or zero: a 0/1 matrix with at most one 1 in each row.

    ``move`` applies the map to an array. Applied to the numbers 1 … n, it gives ``index``, the input entry that each
    output entry takes, and thereby the matrix. ``back`` is Jᵀ, if there is a faster method than adding up by ``index``.
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
        """The flat input position of each output entry, (out_shape); −1 where the output is zero."""
        n = self.shape[1]
        return np.asarray(self.move(np.arange(1, n + 1).reshape(self.in_shape))) - 1

    def _push(self, v: Any) -> Any:
        return Apply(self)(v) if isinstance(v, Node) else self.move(v)

    def _pull(self, g: Any) -> Any:
        if isinstance(g, Node):
            return Apply(self.T)(g)
        return self.back(g) if self.back else scatter(g, self.index, self.in_shape)

    @property
    def bounds(self) -> Bounds:
        uses = np.bincount(np.ravel(self.index) + 1, minlength=1)[1:]
        return Bounds(int(uses.sum()), 1, int(uses.max(initial=0)))

    @property
    def by_sample(self) -> bool:
        N, index = (*self.out_shape, 0)[0], self.index.ravel()
        if not index.size or self.in_shape[:1] != (N,):
            return False
        sample = np.repeat(np.arange(N), index.size // N)
        return bool(((index // (self.shape[1] // N) == sample) | (index < 0)).all())

    def _push_rows(self, rows: Any) -> Any:
        index, flat = self.index.ravel(), rows.reshape(len(rows), -1)
        run = _run(index)
        pushed = _picked_columns(flat, index) if run is None else flat[:, run]
        return pushed.reshape(len(rows), *self.out_shape)

    def _pull_rows(self, rows: Any) -> Any:
        index, flat, n = self.index.ravel(), rows.reshape(len(rows), -1), self.shape[1]
        run, shape = _run(index), (len(rows), *self.in_shape)
        if run == slice(0, n):
            return rows.reshape(shape)
        if run is None and np.bincount(index + 1, minlength=1)[1:].max(initial=0) > 1:
            return scatter(rows, np.where(index < 0, -1, index + n * np.arange(len(rows))[:, None]), shape)
        pulled = np.zeros((len(rows), n), rows.dtype)
        if run is not None:
            pulled[:, run] = flat
        else:
            hit = index >= 0
            places = index[hit]
            for to, row in zip(pulled, flat, strict=True):
                to[places] = row[hit]
        return pulled.reshape(shape)

    def _matrix(self) -> sp.csr_array:
        return self._picked(self.index.ravel())

    def _rows(self, index: Array) -> sp.csr_array:
        return self._picked(self.index.ravel()[index])

    def _picked(self, index: Array) -> sp.csr_array:
        hit = index >= 0
        starts = np.concatenate(([0], np.cumsum(hit)))
        return compressed(np.ones(starts[-1], self.dtype), index[hit], starts, (len(index), self.shape[1]))

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        """Add column j of the matrix to column index_j; drop it where index_j is −1."""
        moved, data, starts = self.index.ravel()[matrix.indices], matrix.data, matrix.indptr
        if moved.size and moved.min() < 0:
            hit = moved >= 0
            starts = np.concatenate(([0], np.cumsum(hit)))[starts]
            moved, data = moved[hit], data[hit]
        shape = matrix.shape[0], self.shape[1]
        index = index_dtype(len(data), *shape)
        product = sp.csr_array((data, moved.astype(index), starts.astype(index)), shape=shape, copy=True)
        product.sum_duplicates()
        return product


def _run(index: Array) -> slice | None:
    """The slice that takes what ``index`` takes, neighbouring entries in their order; None if they are not."""
    if not index.size or index[0] < 0 or index[-1] - index[0] != index.size - 1 or (np.diff(index) != 1).any():
        return None
    return slice(int(index[0]), int(index[-1]) + 1)


def _picked_columns(rows: Array, index: Array) -> Array:
    """The columns ``index`` of a matrix, zero for −1."""
    picked = rows.take(index, 1) if rows.size else np.zeros((len(rows), len(index)), rows.dtype)
    picked[:, index < 0] = 0
    return picked


def scatter(g: Any, index: Array, shape: Shape) -> Any:
    """Add every entry of ``g`` to zeros of ``shape`` at its flat ``index``; entries with index −1 are dropped."""
    g, index = np.asarray(g).ravel(), index.ravel()
    if index.size and index.min() < 0:
        g, index = g[index >= 0], index[index >= 0]
    parts = [np.bincount(index, part, prod(shape)) for part in ([g.real, g.imag] if g.dtype.kind == "c" else [g])]
    return (parts[0] + 1j * parts[1] if len(parts) > 1 else parts[0]).astype(g.dtype, copy=False).reshape(shape)


def pick(index: Array, in_shape: Shape, dtype: Any) -> Selection:
    """The Selection of the flat positions ``index``, zero for −1: (in_shape) → index.shape."""

    def move(v: Any) -> Any:
        flat = np.reshape(v, -1)
        return np.where(index >= 0, flat[index], flat.dtype.type(0)) if (index < 0).any() else flat[index]

    return Selection(move, in_shape, index.shape, dtype, lambda g: scatter(g, index, in_shape))


class Broadcast(Selection):
    """v ↦ v, seen in the shape ``seen``, repeated along new and stretched axes, cast to ``dtype``; Jᵀ sums over them.

    ``added`` is Jᵀ, if there is a faster method.
    """

    def __init__(
        self,
        x: Any,
        out_shape: Shape,
        dtype: Any = None,
        seen: Shape | None = None,
        added: Callable[[Any], Any] | None = None,
    ) -> None:
        LinearMap.__init__(self, x.shape, out_shape, dtype or x.dtype)
        self.in_dtype, self.added = x.dtype, added
        self.seen = seen = x.shape if seen is None else seen
        new = len(out_shape) - len(seen)
        self.axes = (*range(new), *[i for i, n in enumerate(seen, new) if n == 1 and out_shape[i] != 1])

    def move(self, v: Any) -> Any:
        """v repeated."""
        return np.broadcast_to(np.reshape(v, self.seen), self.out_shape)

    def back(self, g: Any) -> Any:
        """Σ g over the axes along which v is repeated."""
        if self.added:
            return self.added(g)
        g = tasks.total(g, self.axes) if self.axes else g
        return np.reshape(g, self.in_shape).astype(self.in_dtype, copy=False)

    @property
    def by_sample(self) -> bool:
        return bool(self.seen) and 0 not in self.axes and self.in_shape[:1] == self.seen[:1]

    def _pull_samples(self, rows: Any) -> Any:
        if 0 not in self.axes:
            return super()._pull_samples(rows)
        added = tasks.total(rows, tuple(i + 1 for i in self.axes if i))
        return added.reshape(*rows.shape[:2], *self.in_shape).astype(self.in_dtype, copy=False)

    def _push(self, v: Any) -> Any:
        pushed = super()._push(v)
        return pushed if pushed.dtype == self.dtype else pushed.astype(self.dtype)

    def _push_rows(self, rows: Any) -> Any:
        new = (1,) * (len(self.out_shape) - len(self.seen))
        repeated = np.broadcast_to(rows.reshape(len(rows), *new, *self.seen), (len(rows), *self.out_shape))
        return repeated.astype(self.dtype, copy=False)

    def _pull_rows(self, rows: Any) -> Any:
        added = tasks.total(rows, tuple(i + 1 for i in self.axes)) if self.axes else rows
        return added.reshape(len(rows), *self.in_shape).astype(self.in_dtype, copy=False)

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.shape[0], 1, self.shape[0] // max(self.shape[1], 1))


def promoted(J: LinearMap, x: Any) -> LinearMap:
    """J; if its dtype is wider than that of x, preceded by a cast, so that cotangents have the dtype of x."""
    return J if x.dtype == J.dtype else J @ Broadcast(x, x.shape, J.dtype)


class FunctionMap(LinearMap):
    """A map given by functions: ``push``, ``pull``, ``matrix() -> csr_array``, with the ``bounds`` of that matrix.

    If the matrix is much larger than the arrays, ``rows(index)`` gives some of its rows, in addition to or instead of
    ``matrix``. ``push`` and ``pull`` also take arrays with ``leading`` axes in front, if that is set; otherwise
    ``push_rows``, (R, in_shape) → (R, out_shape), and ``pull_rows`` may carry several arrays at once. ``by_sample``: whether
    samples stay apart; ``pull_samples`` may pull each by itself, (R, out_shape) → (R, N, in_shape).
    """

    def __init__(
        self,
        in_shape: Shape,
        out_shape: Shape,
        dtype: Any,
        *,
        push: Callable[[Any], Any],
        pull: Callable[[Any], Any],
        matrix: Callable[[], sp.csr_array] | None = None,
        bounds: Bounds,
        rows: Callable[[Array], sp.csr_array] | None = None,
        leading: bool = False,
        push_rows: Callable[[Any], Any] | None = None,
        pull_rows: Callable[[Any], Any] | None = None,
        by_sample: bool = False,
        pull_samples: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(in_shape, out_shape, dtype)
        self._push, self._pull = push, pull  # type: ignore[method-assign, assignment]
        self._csr, self._bounds = matrix, bounds
        self._row_block, self.leading = rows, leading
        self._several_pushed, self._several_pulled = push_rows, pull_rows
        self._by_sample, self._each_pulled = by_sample, pull_samples

    def _matrix(self) -> sp.csr_array:
        return sized(self._csr()) if self._csr else super()._matrix()

    def _rows(self, index: Array) -> sp.csr_array:
        return sized(self._row_block(index)) if self._row_block else super()._rows(index)

    def _push_rows(self, rows: Any) -> Any:
        return self._several_pushed(rows) if self._several_pushed else super()._push_rows(rows)

    def _pull_rows(self, rows: Any) -> Any:
        return self._several_pulled(rows) if self._several_pulled else super()._pull_rows(rows)

    @property
    def by_sample(self) -> bool:
        return self._by_sample

    def _pull_samples(self, rows: Any) -> Any:
        return self._each_pulled(rows) if self._each_pulled else super()._pull_samples(rows)

    @property
    def bounds(self) -> Bounds:
        return self._bounds


class Transpose(LinearMap):
    """Jᵀ: push and pull are exchanged."""

    def __init__(self, of: LinearMap) -> None:
        self.of = of
        super().__init__(of.out_shape, of.in_shape, of.dtype)

    def _push(self, v: Any) -> Any:
        return self.of._pull(v)

    def _pull(self, g: Any) -> Any:
        return self.of._push(g)

    @property
    def by_sample(self) -> bool:
        return self.of.by_sample

    def _push_rows(self, rows: Any) -> Any:
        return self.of._pull_rows(rows)

    def _pull_rows(self, rows: Any) -> Any:
        return self.of._push_rows(rows)

    @property
    def bounds(self) -> Bounds:
        nnz, row, col = self.of.bounds
        return Bounds(nnz, col, row)

    @property
    def T(self) -> LinearMap:
        return self.of

    def origins(self) -> sp.csr_array | None:
        origins = self.of.origins()
        return None if origins is None else sized(origins.T)

    def _matrix(self) -> sp.csr_array:
        return sized(self.of._matrix().T)

    def _rows(self, index: Array) -> sp.csr_array:
        """Columns of the matrix of ``of``, of which BLOCK_BYTES are built at a time."""
        m, width = self.of.shape[0], len(index)
        step = max(1, int(BLOCK_BYTES // (self.of.bounds.row * 12 + 1)))
        blocks = (self.of._rows(np.arange(i, min(i + step, m)))[:, index] for i in range(0, m, step))
        return sized(below(blocks, m, width, width * self.bounds.row, self.dtype).T)

    def __str__(self) -> str:
        return readable(f"{self.of}ᵀ")


class Product(LinearMap):
    """J K …: the composition, which applies the last map first."""

    def __init__(self, left: LinearMap, right: LinearMap) -> None:
        if left.in_shape != right.out_shape:
            raise ValueError(
                f"{left} @ {right}: got {left.in_shape} @ {right.out_shape}; wanted the same shape in the middle"
            )
        self.factors: list[LinearMap] = [
            f for J in (left, right) for f in (J.factors if isinstance(J, Product) else [J])
        ]
        super().__init__(right.in_shape, left.out_shape, np.result_type(left.dtype, right.dtype))

    def _push(self, v: Any) -> Any:
        for J in reversed(self.factors):
            v = J._push(v)
        return v

    def _pull(self, g: Any) -> Any:
        for J in self.factors:
            g = J._pull(g)
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

    def _rows(self, index: Array) -> sp.csr_array:
        matrix = self.factors[0]._rows(index)
        for J in self.factors[1:]:
            matrix = J._after(matrix)
        return matrix

    @property
    def by_sample(self) -> bool:
        return all(J.by_sample for J in self.factors)

    def _pull_samples(self, rows: Any) -> Any:
        """All samples at once up to the first factor that mixes them, from there on a row for each."""
        if self.by_sample:
            return super()._pull_samples(rows)
        shape, mixes = (*rows.shape[:2], *self.in_shape), False
        for J in self.factors:
            if not (mixes or J.by_sample):
                rows, mixes = J._pull_samples(rows).reshape(-1, *J.in_shape), True
            else:
                rows = J._pull_rows(rows)
        return rows.reshape(shape)

    def _push_rows(self, rows: Any) -> Any:
        for J in reversed(self.factors):
            rows = J._push_rows(rows)
        return rows

    def _pull_rows(self, rows: Any) -> Any:
        for J in self.factors:
            rows = J._pull_rows(rows)
        return rows

    def _after(self, matrix: sp.csr_array) -> sp.csr_array:
        for J in self.factors:
            matrix = J._after(matrix)
        return matrix

    def __str__(self) -> str:
        return " ".join(map(str, self.factors))


class Sum(LinearMap):
    """J + K."""

    def __init__(self, a: LinearMap, b: LinearMap) -> None:
        if (a.in_shape, a.out_shape) != (b.in_shape, b.out_shape):
            raise ShapeError(
                f"{a} + {b}: got {a.in_shape} → {a.out_shape} and {b.in_shape} → {b.out_shape}; wanted the same shapes"
            )
        self.a, self.b = a, b
        super().__init__(a.in_shape, a.out_shape, np.result_type(a.dtype, b.dtype))

    def push(self, v: Any) -> Any:
        return self.a._push(v) + self.b._push(v)

    def pull(self, g: Any) -> Any:
        return self.a._pull(g) + self.b._pull(g)

    @property
    def by_sample(self) -> bool:
        return self.a.by_sample and self.b.by_sample

    def _push_rows(self, rows: Any) -> Any:
        return self.a._push_rows(rows) + self.b._push_rows(rows)

    def _pull_rows(self, rows: Any) -> Any:
        return self.a._pull_rows(rows) + self.b._pull_rows(rows)

    @property
    def bounds(self) -> Bounds:
        return self.a.bounds.plus(self.b.bounds, *self.shape)

    def _matrix(self) -> sp.csr_array:
        return plus(self.a._matrix(), self.b._matrix())

    def _rows(self, index: Array) -> sp.csr_array:
        return plus(self.a._rows(index), self.b._rows(index))

    def __str__(self) -> str:
        return f"({self.a} + {self.b})"


class Apply(Op):
    """A constant linear map as an op, y = J x; it records the pulls and pushes of Selections."""

    name = "apply"

    def __init__(self, map: LinearMap) -> None:
        self.map = map

    def infer(self, x: Spec) -> Spec:
        return Spec(self.map.out_shape, x.dtype)

    def forward(self, x: Array) -> Any:
        return self.map._push(x)

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap]:
        return (self.map,)

    def formula(self, i: int) -> str | None:
        """P if the map selects entries, Pᵀ if it adds them up, else A."""
        if isinstance(self.map, Selection):
            return "P"
        return "Pᵀ" if isinstance(self.map, Transpose) and isinstance(self.map.of, Selection) else "A"

    def __str__(self) -> str:
        return str(self.map)
