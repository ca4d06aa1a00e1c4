"""Linear algebra against torch.linalg and scipy.linalg: values, gradients, second order; singular and repeated values."""

import numpy as np
import pytest
import scipy.linalg
from test_ops_peers import agree

import minigraph as mg

torch = pytest.importorskip("torch")
rng = np.random.default_rng(0)
A, B = rng.standard_normal((2, 3, 4, 4))
TALL, V = rng.standard_normal((2, 5, 3)), rng.standard_normal(4)


def definite(x, eye):
    """Symmetric and positive definite, as a function of any matrix."""
    return x @ x.swapaxes(-1, -2) + eye


def both(name):
    return lambda x: getattr(np.linalg, name)(x), lambda x: getattr(torch.linalg, name)(x)


CALLS = {
    "inv": (*both("inv"), A), "det": (*both("det"), A), "slogdet": (
        lambda x: np.linalg.slogdet(x)[1], lambda x: torch.linalg.slogdet(x)[1], A),
    "solve": (np.linalg.solve, torch.linalg.solve, A, B), "solve a vector": (np.linalg.solve, torch.linalg.solve, A[0], V),
    "solve, broadcast": (lambda a, b: np.linalg.solve(a, b), lambda a, b: torch.linalg.solve(a, b), A[0], B),
    "cholesky": (lambda x: np.linalg.cholesky(definite(x, np.eye(4))), lambda x: torch.linalg.cholesky(definite(x, torch.eye(4))), A),
    "eigvalsh": (lambda x: np.linalg.eigvalsh(definite(x, 0)), lambda x: torch.linalg.eigvalsh(definite(x, 0)), A),
    "eigenvectors": (lambda x: np.linalg.eigh(definite(x, 0))[1] ** 2, lambda x: torch.linalg.eigh(definite(x, 0))[1] ** 2, A),
    "svdvals": (*both("svdvals"), TALL), "svdvals, wide": (*both("svdvals"), TALL.swapaxes(1, 2)), "pinv": (*both("pinv"), TALL), "pinv, wide": (*both("pinv"), TALL.swapaxes(1, 2)),
    "matrix_power": (lambda x: np.linalg.matrix_power(x, -3), lambda x: torch.linalg.matrix_power(x, -3), A),
    "cond": (*both("cond"), A), "tensorinv": (lambda x: np.linalg.tensorinv(x, 1), lambda x: torch.linalg.tensorinv(x, 1), rng.standard_normal((4, 2, 2))),
    **{f"norm {o}": (lambda x, o=o: np.linalg.matrix_norm(x, ord=o), lambda x, o=o: torch.linalg.matrix_norm(x, ord=o), TALL)
       for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)},
    **{f"vector norm {o}": (lambda x, o=o: np.linalg.norm(x, o, 1), lambda x, o=o: torch.linalg.vector_norm(x, o, 1), TALL)
       for o in (-np.inf, -2, 0.5, 1, 3, np.inf)},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using a non-full backward hook")
@pytest.mark.parametrize("name", CALLS)
def test_linear_algebra(name):
    ours, theirs, *arrays = CALLS[name]
    agree(ours, lambda *ts: theirs(*(t.double() for t in ts)), *arrays)


def test_the_determinant_of_singular_matrices():
    singular = np.outer([1.0, 2, 3], [4.0, 5, 7]) + np.diag([1.0, 0, 0])
    t = torch.tensor(singular, requires_grad=True)
    torch.linalg.det(t).backward()
    np.testing.assert_allclose(mg.grad(np.linalg.det)(singular), t.grad.numpy(), atol=1e-12)


def test_repeated_eigenvalues():
    twice = np.diag([1.0, 1.0, 2.0])
    np.testing.assert_allclose(mg.grad(lambda x: np.linalg.eigh(x)[0].sum())(twice), np.eye(3), atol=1e-12)
    with np.errstate(all="ignore"):
        assert not np.isfinite(
            mg.grad(lambda x: (np.linalg.eigh(x)[1] * np.arange(9.0).reshape(3, 3)).sum())(twice)
        ).all()


def test_the_pseudo_inverse_of_matrices_that_lack_rank():
    """Value and derivative, along a curve of matrices of the same rank."""
    for A in (np.arange(1.0, 10).reshape(3, 3), np.ones((3, 2)), scipy.linalg.hilbert(8)[:, :7]):
        np.testing.assert_allclose(np.linalg.pinv(mg.parameter(A)).value, np.linalg.pinv(A), rtol=1e-7)
    U, W = rng.standard_normal((2, 4, 2))

    def f(t, pinv):
        return pinv((U + t * np.ones((4, 2))) @ W.T)

    slope = mg.jvp(lambda t: f(t, np.linalg.pinv), 0.3, 1.0)[1]
    h = 1e-6
    np.testing.assert_allclose(slope, (f(0.3 + h, np.linalg.pinv) - f(0.3 - h, np.linalg.pinv)) / (2 * h), rtol=1e-5)
