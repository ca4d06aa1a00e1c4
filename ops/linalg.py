"""Linear algebra, matrix by matrix over the leading axes: solve, determinants, Cholesky, eigenvalues and singular values.

Each rule is the differential of the function (Giles 2008, "Collected matrix derivative results"). Like NumPy's, cholesky and
eigh read the lower triangle of a symmetric matrix only; so their Jacobians have zeros for the entries above it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from minigraph import notation
from minigraph.arguments import expect_plain, expect_positive
from minigraph.array import Array
from minigraph.kernels.sparse import compressed
from minigraph.maps import Bounds, FunctionMap, LinearMap, promoted
from minigraph.node import Node, Spec, value_of
from minigraph.op import Op, expect, expect_floats, implements, operand
from minigraph.ops.composed import matrix_norm as norm_of_entries
from minigraph.ops.composed import matrix_power as positive_power
from minigraph.ops.elementwise import sign
from minigraph.ops.reduce import checked_axis, max, min, products_of_others, sum
from minigraph.ops.reduce import norm as norm_of_vectors
from minigraph.ops.shape import (
    astype,
    broadcast_to,
    expand_dims,
    matrix_transpose,
    reshape,
    squeeze,
    transpose,
    tril,
)  # fmt: skip

__all__ = [
    "cholesky", "cond", "det", "eigh", "eigvalsh", "inv", "matrix_norm", "matrix_power", "norm", "pinv", "slogdet", "solve",
    "svdvals", "tensorinv", "tensorsolve",
]  # fmt: skip


SLOGDET, EIGH = (type(f(np.eye(1))) for f in (np.linalg.slogdet, np.linalg.eigh))  # NumPy's named tuples


class MatrixOp(Op, abstract=True):
    """An op on each matrix of the last two axes by itself; J is block diagonal, with a dense block for each matrix."""

    square = True
    core: Callable[[int, int], tuple[int, ...]]  # the shape of the result for a matrix (m, n)

    def infer(self, *xs: Spec) -> Spec:
        A = xs[0]
        expect(A.ndim >= 2, self, "matrices, at least two axes", A=A)
        m, n = A.shape[-2:]
        expect(m == n or not self.square, self, "square matrices", A=A)
        return Spec((*A.shape[:-2], *type(self).core(m, n)), expect_floats(self, A=A))

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        text = str(self.formula(i))
        return text if prod(xs[0].shape[:-2]) == 1 else f"⊕ᵢ {notation.term(text)}"

    def map(self, A: Any, y: Any, push: Callable[[Any], Any], pull: Callable[[Any], Any], of: Any = None) -> LinearMap:
        """The map by its two directions; a row of its matrix is the pullback of a unit vector, within its block."""
        x = A if of is None else of
        batch = prod(A.shape[:-2])
        rows_each, columns_each = prod(y.shape) // (batch or 1), prod(x.shape) // (batch or 1)

        def rows(index: Array) -> sp.csr_array:
            data = np.empty((len(index), columns_each), y.dtype)
            for k, i in enumerate(index):
                g = np.zeros(prod(y.shape), y.dtype)
                g[i] = 1
                data[k] = np.reshape(pull(np.reshape(g, y.shape)), (batch, columns_each))[i // rows_each]
            columns = (index // rows_each)[:, None] * columns_each + np.arange(columns_each)
            starts = np.arange(len(index) + 1) * columns_each
            return compressed(data.ravel(), columns.ravel(), starts, (len(index), prod(x.shape)))

        bounds = Bounds(prod(y.shape) * columns_each, columns_each, rows_each)
        J = FunctionMap(
            x.shape,
            y.shape,
            y.dtype,
            push=push,
            pull=pull,
            rows=rows,
            bounds=bounds,
            leading=True,
            by_sample=len(A.shape) > 2,
        )
        return promoted(J, x)

    def real(self, A: Array) -> Array:
        """A. Raises TypeError for complex numbers, of which the function is not analytic."""
        if A.dtype.kind == "c":
            raise TypeError(f"{self}: got A of dtype {A.dtype}; wanted real numbers")
        return A


def symmetric(A: Any, UPLO: str = "L") -> Any:
    """The symmetric matrix whose lower triangle is that of A, or the upper one ("U")."""
    A = matrix_transpose(A) if UPLO == "U" else A
    return tril(A) + matrix_transpose(tril(A, -1))


def lower(G: Any, UPLO: str = "L") -> Any:
    """The pullback of ``symmetric``: what falls above the diagonal is added below it."""
    G = tril(G) + tril(matrix_transpose(G), -1)
    return matrix_transpose(G) if UPLO == "U" else G


# --- equations and determinants ----------------------------------------------------------------------------


class Solve(MatrixOp):
    """Y = A⁻¹ B.   (…, n, n), (…, n, k) → (…, n, k);   dY = A⁻¹ (dB − dA Y)."""

    name = "solve"
    formulas = ("−W ⊗ Yᵀ", "W ⊗ I")
    operands = ("A", "B")
    legend: ClassVar[dict[str, str]] = {"W": "the inverse of A", "Y": "the solution"}

    def infer(self, A: Spec, B: Spec) -> Spec:  # type: ignore[override]
        super().infer(A, B)
        valid = A.ndim == B.ndim and A.shape[:-2] == B.shape[:-2] and A.shape[-1] == B.shape[-2]
        expect(valid, self, "B with as many rows as A", A=A, B=B)
        return Spec(B.shape, expect_floats(self, A=A, B=B))

    core = staticmethod(lambda m, n: (n, n))

    def forward(self, A: Array, B: Array) -> Any:
        return np.linalg.solve(A, B)

    def jacobians(self, y: Any, A: Any, B: Any) -> list[LinearMap]:
        def turned(g: Any) -> Any:
            return np.linalg.solve(np.matrix_transpose(A), g)

        by_matrix = self.map(A, y, lambda V: -np.linalg.solve(A, V @ y), lambda g: -turned(g) @ np.matrix_transpose(y))
        return [by_matrix, self.map(A, y, lambda v: np.linalg.solve(A, v), turned, B)]


class Determinant(MatrixOp):
    """y = det A.   (…, n, n) → (…);   J = the cofactors of A, as a row."""

    name = "det"
    formulas = ("vec(C)ᵀ",)
    legend: ClassVar[dict[str, str]] = {"C": "the cofactors of A: y A⁻ᵀ, where A has an inverse"}
    core = staticmethod(lambda m, n: ())

    def forward(self, A: Array) -> Any:
        return np.linalg.det(A)

    def jacobians(self, y: Any, A: Any) -> list[LinearMap]:
        def weights() -> Any:
            if isinstance(A, Node):
                return expand_dims(y, (-2, -1)) * np.matrix_transpose(np.linalg.inv(A))
            U, s, Vt = np.linalg.svd(A)  # also where A has no inverse
            signs = np.linalg.det(U) * np.linalg.det(Vt)
            return signs[..., None, None] * (U * products_of_others(s)[..., None, :]) @ Vt

        return [weighted(self, A, y, weights)]


class LogDeterminant(MatrixOp):
    """y = log |det A|.   (…, n, n) → (…);   J = A⁻ᵀ, as a row."""

    name = "log_abs_det"
    formulas = ("vec(W)ᵀ",)
    legend: ClassVar[dict[str, str]] = {"W": "the inverse of A, transposed"}
    core = staticmethod(lambda m, n: ())

    def forward(self, A: Array) -> Any:
        return np.linalg.slogdet(self.real(A))[1]

    def jacobians(self, y: Any, A: Any) -> list[LinearMap]:
        return [weighted(self, A, y, lambda: np.matrix_transpose(np.linalg.inv(A)))]


def weighted(op: MatrixOp, A: Any, y: Any, weights: Callable[[], Any]) -> LinearMap:
    """The map v ↦ Σ W ∘ v of each matrix."""
    return op.map(A, y, lambda V: np.sum(weights() * V, (-2, -1)), lambda g: np.expand_dims(g, (-2, -1)) * weights())


# --- symmetric matrices ------------------------------------------------------------------------------------


class Cholesky(MatrixOp):
    """L, lower triangular with positive diagonal, A = L Lᵀ.   (…, n, n) → (…, n, n);   dL = L Φ(L⁻¹ dA L⁻ᵀ).

    Φ takes the lower triangle and half of the diagonal.
    """

    name = "cholesky"
    formulas = ("(L ⊗ I) Φ (W ⊗ W) S",)
    legend: ClassVar[dict[str, str]] = {
        "L": "the result", "W": "its inverse", "Φ": "the matrix that keeps the lower triangle and half of the diagonal",
        "S": "0/1: the matrix that copies the lower triangle above the diagonal",
    }  # fmt: skip
    core = staticmethod(lambda m, n: (n, n))

    def forward(self, A: Array) -> Any:
        return np.linalg.cholesky(self.real(A))

    def jacobians(self, y: Any, A: Any) -> list[LinearMap]:
        half = np.tri(A.shape[-1]) - 0.5 * np.eye(A.shape[-1])
        half = half.astype(A.dtype)

        def push(V: Any) -> Any:
            inside = np.linalg.solve(y, np.matrix_transpose(np.linalg.solve(y, symmetric(V))))
            return y @ (half * inside)

        def pull(g: Any) -> Any:
            turned = np.matrix_transpose(y)
            middle = np.linalg.solve(turned, half * (turned @ g))  # L⁻ᵀ Φ(Lᵀ g)
            return lower(np.matrix_transpose(np.linalg.solve(turned, np.matrix_transpose(middle))))

        return [self.map(A, y, push, pull)]


class SymmetricOp(MatrixOp, abstract=True):
    """An op on symmetric matrices, of which one triangle is read, the lower or the upper one."""

    defaults: ClassVar[dict[str, Any]] = {"UPLO": "L"}

    def __init__(self, UPLO: str = "L") -> None:
        if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
            raise ValueError(f"{self.name}: got UPLO {UPLO!r}; wanted 'L' or 'U'")
        self.UPLO: Any = UPLO.upper()

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"UPLO": self.UPLO}


class EigenvaluesOfSymmetric(SymmetricOp):
    """w, ascending, A = Q diag(w) Qᵀ.   (…, n, n) → (…, n);   dwᵢ = qᵢᵀ dA qᵢ."""

    name = "eigvalsh"
    formulas = ("[q_{ik} q_{jk}] S",)
    legend: ClassVar[dict[str, str]] = {
        "[ ]": "the matrix with these entries, a row for each k", "q": "the eigenvectors, in columns",
        "S": "0/1: the matrix that copies the lower triangle above the diagonal",
    }  # fmt: skip
    core = staticmethod(lambda m, n: (n,))

    def forward(self, A: Array) -> Any:
        return np.linalg.eigvalsh(self.real(A), self.UPLO)

    def jacobians(self, y: Any, A: Any) -> list[LinearMap]:
        def Q() -> Any:
            return np.linalg.eigh(A, self.UPLO)[1]

        return [
            self.map(
                A, y, lambda V: np.einsum("...ik,...ij,...jk->...k", Q(), symmetric(V, self.UPLO), Q()),
                lambda g: lower((q := Q()) * np.expand_dims(g, -2) @ np.matrix_transpose(q), self.UPLO),
            )
        ]  # fmt: skip


class Eigenvectors(SymmetricOp):
    """Q, the eigenvectors in columns, A = Q diag(w) Qᵀ.   (…, n, n) → (…, n, n);   dQ = Q (F ∘ Qᵀ dA Q).

    Fᵢⱼ = 1/(wⱼ − wᵢ), 0 on the diagonal: infinite for eigenvalues that are repeated, whose vectors are not unique.
    """

    name = "eigenvectors"
    formulas = ("(Q ⊗ I) diag(vec(F)) (Qᵀ ⊗ Qᵀ) S",)
    legend: ClassVar[dict[str, str]] = {
        "Q": "the result", "F": "1/(wⱼ − wᵢ) at i, j, 0 on the diagonal; w: the eigenvalues",
        "S": "0/1: the matrix that copies the lower triangle above the diagonal",
    }  # fmt: skip
    core = staticmethod(lambda m, n: (n, n))

    def forward(self, A: Array) -> Any:
        return np.linalg.eigh(self.real(A), self.UPLO)[1]

    def jacobians(self, y: Any, A: Any) -> list[LinearMap]:
        def gaps() -> Any:
            w = np.linalg.eigvalsh(A, self.UPLO)
            differences = np.expand_dims(w, -2) - np.expand_dims(w, -1) + np.eye(A.shape[-1], dtype=A.dtype)
            with np.errstate(divide="ignore"):
                return (1 - np.eye(A.shape[-1], dtype=A.dtype)) / differences

        def scaled(P: Any) -> Any:  # where nothing is to be divided, nothing is
            return np.where(value_of(P) == 0, 0, P * gaps())

        turned = np.matrix_transpose
        return [
            self.map(
                A, y, lambda V: y @ scaled(turned(y) @ symmetric(V, self.UPLO) @ y),
                lambda g: lower(y @ scaled(turned(y) @ g) @ turned(y), self.UPLO),
            )
        ]  # fmt: skip


class SingularValues(MatrixOp):
    """s, descending, A = U diag(s) Vᵀ.   (…, m, n) → (…, min(m, n));   dsᵢ = uᵢᵀ dA vᵢ."""

    name = "svdvals"
    square = False
    formulas = ("[u_{ik} v_{jk}]",)
    legend: ClassVar[dict[str, str]] = {
        "[ ]": "the matrix with these entries, a row for each k", "u": "the left singular vectors, in columns",
        "v": "the right ones",
    }  # fmt: skip
    core = staticmethod(lambda m, n: (m if m < n else n,))

    def forward(self, A: Array) -> Any:
        return np.linalg.svd(self.real(A), compute_uv=False)

    def jacobians(self, y: Any, A: Any) -> list[LinearMap]:
        def vectors() -> Any:
            if not isinstance(A, Node):
                U, _, Vt = np.linalg.svd(A, full_matrices=False)
                return U, Vt
            wide = A.shape[-2] < A.shape[-1]
            X = np.matrix_transpose(A) if wide else A
            V = np.flip(np.linalg.eigh(np.matrix_transpose(X) @ X)[1], -1)
            U = X @ V / np.expand_dims(y, -2)
            return (V, np.matrix_transpose(U)) if wide else (U, np.matrix_transpose(V))

        def push(V: Any) -> Any:
            U, Vt = vectors()
            return np.einsum("...ik,...ij,...kj->...k", U, V, Vt)

        def pull(g: Any) -> Any:
            U, Vt = vectors()
            return (U * np.expand_dims(g, -2)) @ Vt

        return [self.map(A, y, push, pull)]


class PseudoInverse(MatrixOp):
    """Y, the pseudo-inverse.   (…, m, n) → (…, n, m).

    dY = −Y dA Y + Y Yᵀ dAᵀ (I − A Y) + (I − Y A) dAᵀ Yᵀ Y, where the rank does not change (Golub and Pereyra 1973).
    """

    name = "pinv"
    square = False
    defaults: ClassVar[dict[str, Any]] = {"rcond": None}
    formulas = ("−Y ⊗ Yᵀ + (Y Yᵀ ⊗ M + N ⊗ Yᵀ Y) K",)
    legend: ClassVar[dict[str, str]] = {
        "Y": "the result", "M": "I − A Y", "N": "I − Y A", "K": "0/1: the permutation that takes vec(A) to vec(Aᵀ)",
    }  # fmt: skip
    core = staticmethod(lambda m, n: (n, m))

    def __init__(self, rcond: float | None = None) -> None:
        if rcond is not None:
            expect_positive("pinv", zero=True, rcond=rcond)
        self.rcond = rcond

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"rcond": self.rcond}

    def forward(self, A: Array) -> Any:
        return np.linalg.pinv(self.real(A), 1e-15 if self.rcond is None else self.rcond)

    def jacobians(self, y: Any, A: Any) -> list[LinearMap]:
        turned = np.matrix_transpose
        M, N = np.eye(A.shape[-2], dtype=A.dtype) - A @ y, np.eye(A.shape[-1], dtype=A.dtype) - y @ A

        def push(V: Any) -> Any:
            return y @ turned(y) @ turned(V) @ M + N @ turned(V) @ turned(y) @ y - y @ V @ y

        def pull(g: Any) -> Any:
            return M @ turned(g) @ y @ turned(y) + turned(y) @ y @ turned(g) @ N - turned(y) @ g @ turned(y)

        return [self.map(A, y, push, pull)]


# --- by NumPy's names --------------------------------------------------------------------------------------


def matrices(name: str, x: Any) -> Any:
    """x as floats. Raises ShapeError unless it has two axes."""
    x = operand(name, x)
    expect(len(x.shape) >= 2, name, "matrices, at least two axes", A=x.shape)
    return x if x.dtype.kind == "f" else astype(x, np.float64)


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """The x of a x = b: (…, n, n), (n,) or (…, n, k) → b's shape, as numpy.linalg.solve. J_b = A⁻¹, J_a = −A⁻¹ ⊗ xᵀ.

    Raises LinAlgError for a singular matrix, ShapeError.
    """
    A, B = matrices("solve", a), operand("solve", b)
    B = B if B.dtype.kind == "f" else astype(B, A.dtype)
    dtype = np.result_type(A.dtype, B.dtype)
    A, B = (x if x.dtype == dtype else astype(x, dtype) for x in (A, B))
    vector = len(B.shape) == 1
    B = expand_dims(B, -1) if vector else B
    try:
        batch = np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    except ValueError:
        expect(False, "solve", "leading axes that broadcast", a=A.shape, b=B.shape)
    A, B = (x if x.shape[:-2] == batch else broadcast_to(x, (*batch, *x.shape[-2:])) for x in (A, B))
    x = Solve()(A, B)
    return squeeze(x, -1) if vector else x


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    """A⁻¹: (…, n, n) → (…, n, n), as numpy.linalg.inv. dY = −Y dA Y. Raises LinAlgError for a singular matrix."""
    A = matrices("inv", a)
    expect(A.shape[-1] == A.shape[-2], "inv", "square matrices", a=A.shape)
    return solve(A, np.broadcast_to(np.eye(A.shape[-1], dtype=A.dtype), A.shape))


@implements(np.linalg.det)
def det(a: Any) -> Any:
    """The determinant: (…, n, n) → (…), as numpy.linalg.det. J = the cofactors; of second order only where A has an inverse."""
    return Determinant()(matrices("det", a))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """The sign of the determinant and the logarithm of its absolute value, as numpy.linalg.slogdet. J = A⁻ᵀ."""
    A = matrices("slogdet", a)
    y = LogDeterminant()(A)
    signs = np.linalg.slogdet(value_of(A))[0] if not isinstance(y, Spec) and not _abstract(y) else y
    return SLOGDET(sign(np.where(True, signs, y)), y)


def _abstract(x: Any) -> bool:
    return isinstance(x, Node) and x.abstract


@implements(np.linalg.cholesky)
def cholesky(a: Any, *, upper: bool = False) -> Any:
    """L of A = L Lᵀ, for symmetric positive definite matrices, as numpy.linalg.cholesky; with ``upper``, Lᵀ.

    Only the lower triangle of A is read, the upper one with ``upper``. Raises LinAlgError for other matrices.
    """
    A = matrices("cholesky", a)
    if upper:
        return matrix_transpose(Cholesky()(matrix_transpose(A)))
    return Cholesky()(A)


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of symmetric matrices, ascending: (…, n, n) → (…, n), as numpy.linalg.eigvalsh. dwᵢ = qᵢᵀ dA qᵢ."""
    return EigenvaluesOfSymmetric(UPLO)(matrices("eigvalsh", a))


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """The eigenvalues, ascending, and the eigenvectors of symmetric matrices, as numpy.linalg.eigh.

    Where eigenvalues are repeated, derivatives of the vectors are infinite or NaN; where only the values are used, they
    are not. Only the lower triangle is read, or the upper one ("U").
    """
    A = matrices("eigh", a)
    return EIGH(EigenvaluesOfSymmetric(UPLO)(A), Eigenvectors(UPLO)(A))


def svdvals(x: Any, /) -> Any:
    """The singular values, descending: (…, m, n) → (…, min(m, n)), as numpy.linalg.svdvals. dsᵢ = uᵢᵀ dA vᵢ."""
    return SingularValues()(matrices("svdvals", x))


implements(np.linalg.svdvals)(svdvals)


@implements(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular values, with ``compute_uv=False``."""
    if compute_uv:
        raise TypeError(
            "np.linalg.svd has no Jacobian in minigraph for its vectors; use compute_uv=False, or np.linalg.eigh(A.T @ A)"
        )
    return svdvals(a)


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: float | None = None, *, rtol: float | None = None) -> Any:
    """The pseudo-inverse: (…, m, n) → (…, n, m), as numpy.linalg.pinv. The derivative is that among matrices of A's rank.

    Singular values of at most ``rcond``, or ``rtol``, times the largest count as 0 (default 10⁻¹⁵, as in NumPy).
    """
    if rcond is not None and rtol is not None:
        raise ValueError(f"pinv: got rcond {rcond} and rtol {rtol}; wanted one of them")
    return PseudoInverse(rcond if rtol is None else rtol)(matrices("pinv", a))


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """Aⁿ, by squaring; of the inverse if n is negative: (…, M, M) → (…, M, M), as numpy.linalg.matrix_power."""
    if isinstance(n, (int, np.integer)) and n < 0:
        return positive_power(inv(a), -n)
    return positive_power(a, n)


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, keepdims: bool = False, ord: Any = "fro") -> Any:
    """A norm of each matrix, (…, M, N) → (…), as numpy.linalg.matrix_norm.

    ``ord``: "fro", the entries' 2-norm; "nuc", the sum of the singular values; 2 and −2, the largest and the smallest of
    them; 1, −1, inf, −inf: the largest and the smallest sum of |x| in a column or a row.
    """
    x = matrices("matrix_norm", x)
    expect_plain("matrix_norm", ord=ord)
    if ord == "nuc":
        y = sum(svdvals(x), -1)
    elif ord in (2, -2):
        y = (max if ord == 2 else min)(svdvals(x), -1)
    elif ord in (-1, -np.inf):
        y = min(sum(np.abs(x), -2 if ord == -1 else -1), -1)
    else:
        return norm_of_entries(x, keepdims, ord)
    return expand_dims(y, (-2, -1)) if keepdims else y


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors or, over two axes, of matrices, as numpy.linalg.norm. (S) → (S without axis).

    Vectors: (Σ|x|ᵖ)^(1/p), p = ``ord`` (default 2), the largest |x| for inf, the smallest for −inf, how many are not 0 for 0.
    ∂y/∂x = sign(x) |x/y|^(p−1). For matrices see matrix_norm. Raises ValueError for other orders.
    """
    expect_plain("norm", ord=ord)
    x, axes = operand("norm", x), checked_axis("norm", axis)
    several = tuple(range(len(x.shape))) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    if ord is None or len(several) == 1:
        return norm_of_vectors(x, ord, axes, keepdims)
    if len(several) != 2:
        raise ValueError(f"norm: got ord {ord!r} over {len(several)} axes; wanted one axis, or two")
    order = [i for i in range(len(x.shape)) if i not in [a % len(x.shape) for a in several]]
    y = matrix_norm(transpose(x, [*order, *several]), ord=ord)
    return expand_dims(y, tuple(a % len(x.shape) for a in several)) if keepdims else y


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """The condition number, ‖A‖ ‖A⁻¹‖, in the norm ``p`` (default 2): (…, M, N) → (…), as numpy.linalg.cond."""
    expect_plain("cond", p=p)
    A = matrices("cond", x)
    if p in (None, 2, -2):
        s = svdvals(A)
        return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
    return matrix_norm(A, ord=p) * matrix_norm(inv(A), ord=p)


@implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """The x of tensordot(a, x, x.ndim) = b, as numpy.linalg.tensorsolve."""
    a, b = operand("tensorsolve", a), operand("tensorsolve", b)
    if axes is not None:
        others = [i for i in range(len(a.shape)) if i not in axes]
        a = np.transpose(a, [*others, *axes])
    shape = a.shape[len(b.shape) :]
    expect(prod(shape) ** 2 == prod(a.shape), "tensorsolve", "a of as many rows as columns", a=a.shape, b=b.shape)
    return reshape(solve(reshape(a, (prod(shape), prod(shape))), reshape(b, (-1,))), shape)


@implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse for tensordot with ``ind`` axes, as numpy.linalg.tensorinv."""
    a = operand("tensorinv", a)
    rows, columns = a.shape[:ind], a.shape[ind:]
    expect(prod(rows) == prod(columns), "tensorinv", "as many rows as columns", a=a.shape, ind=ind)
    return reshape(inv(reshape(a, (prod(rows), -1))), (*columns, *rows))
