"""Linear algebra: formulas for small matrices, and products that must give the matrix back, are the other implementation."""

import numpy as np
import scipy.linalg

from cases.case import Case, cases_of
from minigraph.ops.linalg import (
    Cholesky,
    Determinant,
    EigenvaluesOfSymmetric,
    Eigenvectors,
    LogDeterminant,
    PseudoInverse,
    SingularValues,
    Solve,
)


def definite(rng, *shape):
    x = rng.standard_normal(shape)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


@cases_of(Solve)
def solve(rng):
    A, B = rng.standard_normal((2, 3, 3)) + 3 * np.eye(3), rng.standard_normal((2, 3, 2))
    yield Case(Solve(), (A, B), [scipy.linalg.lu_solve(scipy.linalg.lu_factor(a), b) for a, b in zip(A, B, strict=True)],
               (A, B[:, :2]), "as many rows as A")  # fmt: skip
    yield Case(Solve(), (A[0], B[0]), scipy.linalg.inv(A[0]) @ B[0], (A[0, :2], B[0]), "square matrices")


@cases_of(Determinant)
def determinant(rng):
    A = rng.standard_normal((2, 3, 3))
    yield Case(Determinant(), (A,), [a[0] @ np.cross(a[1], a[2]) for a in A], (A[:, :2],), "square matrices")
    yield Case(Determinant(), (A[0],), A[0, 0] @ np.cross(A[0, 1], A[0, 2]), (A[0, 0],), "at least two axes")


@cases_of(LogDeterminant)
def log_determinant(rng):
    A = rng.standard_normal((2, 3, 3))
    yield Case(LogDeterminant(), (A[0],), np.log(abs(np.linalg.det(A[0]))))
    yield Case(LogDeterminant(), (A,), [np.log(abs(a[0] @ np.cross(a[1], a[2]))) for a in A], (A[:, :2],), "square")


@cases_of(Cholesky)
def cholesky(rng):
    A = definite(rng, 2, 3, 3)
    yield Case(Cholesky(), (A,), [scipy.linalg.cholesky(a, lower=True) for a in A], (A[:, :2],), "square")
    yield Case(Cholesky(), (np.tril(A[0]),), scipy.linalg.cholesky(A[0], lower=True))


@cases_of(EigenvaluesOfSymmetric)
def eigenvalues(rng):
    A = definite(rng, 2, 3, 3)
    yield Case(EigenvaluesOfSymmetric("U"), (np.triu(A[0]),), np.sort(np.roots(np.poly(A[0]))))
    yield Case(EigenvaluesOfSymmetric(), (A,), [np.sort(np.roots(np.poly(a))) for a in A], (A[:, :2],), "square")


@cases_of(Eigenvectors)
def eigenvectors(rng):
    A = np.tril(definite(rng, 2, 3, 3))
    yield Case(Eigenvectors(), (A[0],), np.linalg.eigh(A[0])[1])
    yield Case(Eigenvectors("U"), (np.triu(A[1].T),), np.linalg.eigh(A[1].T, "U")[1])
    yield Case(Eigenvectors(), (A,), [np.linalg.eigh(a)[1] for a in A], (A[:, :2],), "square")


@cases_of(SingularValues)
def singular_values(rng):
    A = rng.standard_normal((2, 3, 4))
    found = [np.sqrt(np.sort(np.linalg.eigvalsh(a @ a.T))[::-1]) for a in A]
    yield Case(SingularValues(), (A,), found, (A[0, 0],), "at least two axes")
    yield Case(SingularValues(), (np.swapaxes(A, 1, 2),), found)


@cases_of(PseudoInverse)
def pseudo_inverse(rng):
    A = rng.standard_normal((2, 4, 3))
    found = [scipy.linalg.inv(a.T @ a) @ a.T for a in A]
    yield Case(PseudoInverse(), (A,), found, (A[0, 0],), "at least two axes")
    yield Case(PseudoInverse(), (A[0],), found[0])
    yield Case(PseudoInverse(1e-10), (A[1].T,), found[1].T)
