"""scipy.linalg for nodes: matrices of equations, and matrices that are built of a few entries."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.op import expect, operand
from minigraph.ops import linalg as _linalg
from minigraph.ops.linalg import det, inv, norm, pinv, svdvals
from minigraph.ops.shape import concatenate, flip, matrix_transpose, pad, ravel, take, tril, triu

__all__ = [
    "block_diag", "cholesky", "circulant", "cho_solve", "det", "eigh", "eigvalsh", "hankel", "inv", "norm", "pinv",
    "solve", "solve_triangular", "svdvals", "toeplitz",
]  # fmt: skip


def solve(a: Any, b: Any, lower: bool = False, *, assume_a: str = "gen", transposed: bool = False) -> Any:
    """The x of a x = b, or of aᵀ x = b, as scipy.linalg.solve: (…, n, n), (n,) or (…, n, k) → b's shape.

    ``assume_a``: "gen", or "sym" and "pos", for which the lower or the upper triangle is read.
    """
    a = operand("solve", a)
    if assume_a in ("sym", "pos", "symmetric", "positive definite"):
        a = _linalg.symmetric(a if lower else matrix_transpose(a))
    elif assume_a not in ("gen", "general"):
        raise ValueError(f"solve: got assume_a {assume_a!r}; wanted 'gen', 'sym' or 'pos'")
    return _linalg.solve(matrix_transpose(a) if transposed else a, b)


def solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False) -> Any:
    """The x of a x = b for a triangular matrix, of which the other triangle is not read, as scipy.linalg.solve_triangular.

    ``trans``: 0 or "N", or 1 or "T" for aᵀ x = b.
    """
    a = operand("solve_triangular", a)
    expect(len(a.shape) >= 2 and a.shape[-1] == a.shape[-2], "solve_triangular", "square matrices", a=a.shape)
    if trans not in (0, 1, "N", "T"):
        raise ValueError(f"solve_triangular: got trans {trans!r}; wanted 0, 1, 'N' or 'T'")
    k = 1 if unit_diagonal else 0
    a = tril(a, -k) if lower else triu(a, k)
    a = a + np.eye(a.shape[-1], dtype=a.dtype) if unit_diagonal else a
    return _linalg.solve(matrix_transpose(a) if trans in (1, "T") else a, b)


def cholesky(a: Any, lower: bool = False) -> Any:
    """The triangular factor of positive definite matrices, as scipy.linalg.cholesky: a = Uᵀ U, or L Lᵀ with ``lower``."""
    return _linalg.cholesky(a, upper=not lower)


def cho_solve(c_and_lower: tuple[Any, bool], b: Any) -> Any:
    """The x of a x = b by the Cholesky factor of a, as scipy.linalg.cho_solve."""
    c, low = c_and_lower
    first, second = (0, 1) if low else (1, 0)
    return solve_triangular(c, solve_triangular(c, b, first, low), second, low)


def eigvalsh(a: Any, lower: bool = True) -> Any:
    """The eigenvalues of symmetric matrices, ascending, as scipy.linalg.eigvalsh."""
    return _linalg.eigvalsh(a, "L" if lower else "U")


def eigh(a: Any, lower: bool = True, eigvals_only: bool = False) -> Any:
    """The eigenvalues and the eigenvectors of symmetric matrices, as scipy.linalg.eigh."""
    if eigvals_only:
        return eigvalsh(a, lower)
    return tuple(_linalg.eigh(a, "L" if lower else "U"))


def block_diag(*arrs: Any) -> Any:
    """The matrices one after another along the diagonal, zeros elsewhere, as scipy.linalg.block_diag. J places."""
    blocks = [operand("block_diag", a) for a in arrs]
    blocks = [np.reshape(a, (1, -1)) if len(a.shape) < 2 else a for a in blocks]
    for a in blocks:
        expect(len(a.shape) == 2, "block_diag", "matrices", block=a.shape)
    width, before, rows = sum(a.shape[1] for a in blocks), 0, []
    for a in blocks:
        rows.append(pad(a, ((0, 0), (before, width - before - a.shape[1]))))
        before += a.shape[1]
    return concatenate(rows, 0) if rows else np.zeros((1, 0))


def toeplitz(c: Any, r: Any = None) -> Any:
    """The matrix with first column c and first row r (default c) that is constant along diagonals, as scipy.linalg.toeplitz.

    (n), (m) → (n, m); r[0] is not read. Of a filter it is the matrix of its convolution.
    """
    c = ravel(operand("toeplitz", c))
    r = c if r is None else ravel(operand("toeplitz", r))
    n, m = c.size, r.size
    values = concatenate([flip(c), r[1:]])  # from the lowest diagonal to the highest
    return take(values, np.arange(m)[None, :] - np.arange(n)[:, None] + n - 1)


def hankel(c: Any, r: Any = None) -> Any:
    """The matrix with first column c and last row r (default 0) that is constant along antidiagonals, as scipy.linalg.hankel."""
    c = ravel(operand("hankel", c))
    r = np.zeros_like(c) if r is None else ravel(operand("hankel", r))
    return take(concatenate([c, r[1:]]), np.add.outer(np.arange(c.size), np.arange(r.size)))


def circulant(c: Any) -> Any:
    """The matrix whose columns are c, each shifted cyclically by one more, as scipy.linalg.circulant: (n) → (n, n)."""
    c = ravel(operand("circulant", c))
    return take(c, np.subtract.outer(np.arange(c.size), np.arange(c.size)) % max(c.size, 1))
