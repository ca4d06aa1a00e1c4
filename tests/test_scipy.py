"""Functions by SciPy's names against SciPy: values of every option, and derivatives against differences."""

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.special

import minigraph as mg

rng = np.random.default_rng(0)
LINE, SHORT, IMAGE, KERNEL, EVEN = (rng.standard_normal(n) for n in (9, 4, (6, 7), (3, 5), (2, 4)))
VOLUME, CUBE = rng.standard_normal((4, 5, 3)), rng.standard_normal((2, 3, 3))
A = rng.standard_normal((3, 3))
P, B = A @ A.T + np.eye(3), rng.standard_normal((3, 2))
POSITIVE = rng.uniform(0.6, 3, (2, 3))

CALLS = [
    *[("signal", name, (a, b), {"mode": mode}) for name in ("convolve", "correlate") for mode in ("full", "valid", "same")
      for a, b in ((LINE, SHORT), (SHORT, LINE), (IMAGE, KERNEL), (IMAGE, EVEN), (VOLUME, CUBE))],
    ("signal", "fftconvolve", (IMAGE, KERNEL), {"mode": "same"}),
    *[("signal", name, (IMAGE, k), {"mode": mode, "boundary": b, "fillvalue": 0.5}) for name in ("convolve2d", "correlate2d")
      for k, mode, b in ((KERNEL, "full", "fill"), (EVEN, "same", "wrap"), (KERNEL, "same", "symm"), (EVEN, "full", "symm"), (EVEN, "valid", "fill"), (EVEN, "same", "fill"))],
    *[("signal", name, (IMAGE, EVEN), {"mode": "same"}) for name in ("convolve2d", "correlate2d")],
    *[("ndimage", name, (IMAGE, k), {"mode": mode, "cval": 0.5}) for name in ("convolve", "correlate")
      for k, mode in ((KERNEL, "reflect"), (EVEN, "constant"), (KERNEL, "nearest"), (EVEN, "mirror"), (KERNEL, "wrap"), (EVEN, "reflect"))],
    ("ndimage", "convolve", (IMAGE, KERNEL), {"origin": (1, -2)}), ("ndimage", "correlate", (IMAGE, EVEN), {"origin": (-1, 1)}),
    ("ndimage", "convolve", (IMAGE, EVEN), {"origin": (0, -1)}), ("ndimage", "correlate", (VOLUME, CUBE), {}),
    ("ndimage", "convolve1d", (VOLUME, LINE[:3]), {"axis": 1}), ("ndimage", "correlate1d", (IMAGE, SHORT), {"axis": 0, "mode": "wrap"}),
    ("ndimage", "gaussian_filter", (IMAGE,), {"sigma": 0.8}), ("ndimage", "gaussian_filter", (IMAGE,), {"sigma": (0.5, 0.9), "order": (0, 1)}),
    ("ndimage", "gaussian_filter1d", (IMAGE,), {"sigma": 0.7, "order": 2, "axis": 0, "mode": "nearest"}),
    ("ndimage", "uniform_filter", (IMAGE,), {"size": (3, 2)}),
    ("linalg", "solve", (P, B), {}), ("linalg", "solve", (P, B), {"assume_a": "pos"}), ("linalg", "solve", (A, B), {"transposed": True}),
    *[("linalg", "solve_triangular", (A + 3 * np.eye(3), B), {"trans": t, "lower": low, "unit_diagonal": u})
      for t in (0, "T") for low in (True, False) for u in (True, False)],
    ("linalg", "cholesky", (P,), {}), ("linalg", "cholesky", (P,), {"lower": True}), ("linalg", "eigvalsh", (P,), {}), ("linalg", "eigh", (P,), {"eigvals_only": True}),
    ("linalg", "block_diag", (A, LINE, B), {}), ("linalg", "toeplitz", (LINE, SHORT), {}), ("linalg", "toeplitz", (SHORT,), {}),
    ("linalg", "hankel", (LINE, SHORT), {}), ("linalg", "hankel", (SHORT,), {}), ("linalg", "circulant", (LINE,), {}), ("linalg", "det", (A,), {}),
    ("linalg", "inv", (A,), {}), ("linalg", "pinv", (B,), {}), ("linalg", "svdvals", (B,), {}), ("linalg", "norm", (B,), {}),
    *[("special", name, (POSITIVE,), {}) for name in ("gamma", "rgamma", "gammasgn", "digamma", "psi", "entr", "erf", "erfc", "exp2", "expit", "expm1", "gammaln", "i0", "i0e", "i1", "i1e",
                                                      "log1p", "log_expit", "log_ndtr", "ndtr")],
    ("special", "erfinv", (POSITIVE / 4,), {}), ("special", "erfcinv", (POSITIVE / 4,), {}), ("special", "beta", (POSITIVE, POSITIVE[0]), {}), ("special", "betaln", (POSITIVE, POSITIVE[0]), {}), ("special", "logit", (POSITIVE / 4,), {}),
    ("special", "logsumexp", (A,), {"axis": 1}), ("special", "logsumexp", (B,), {"b": np.abs(B)}), ("special", "softmax", (A,), {"axis": 0}),
    ("special", "log_softmax", (A,), {"axis": 1}), ("special", "multigammaln", (POSITIVE[0, 0] + 2,), {"d": 3}),
    *[("special", name, (POSITIVE, POSITIVE[0]), {}) for name in ("xlogy", "xlog1py", "rel_entr", "kl_div")],
]  # fmt: skip


@pytest.mark.parametrize(("home", "name", "arrays", "options"), CALLS, ids=lambda x: x if isinstance(x, str) else "")
def test_functions_of_scipy(home, name, arrays, options):
    ours = getattr(getattr(mg.scipy, home), name)
    wanted = getattr(getattr(scipy, home), name)(*arrays, **options)
    nodes = [mg.parameter(x) for x in arrays]
    np.testing.assert_allclose(np.asarray(ours(*nodes, **options)), wanted, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours(*arrays, **options), wanted, rtol=1e-9, atol=1e-12)
    for i in range(len(arrays)):
        mg.check_grads(
            lambda x, i=i: np.sum(np.sin(ours(*arrays[:i], x, *arrays[i + 1 :], **options))), np.asarray(arrays[i])
        )


def test_derivatives_of_digamma():
    np.testing.assert_allclose(mg.scipy.special.polygamma(2, POSITIVE), scipy.special.polygamma(2, POSITIVE))
    third = mg.grad(mg.grad(mg.grad(lambda x: mg.scipy.special.gammaln(x))))(1.7)
    np.testing.assert_allclose(third, scipy.special.polygamma(2, 1.7))


@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_incomplete_gamma_functions(name):
    ours = getattr(mg.scipy.special, name)
    np.testing.assert_allclose(ours(1.7, POSITIVE), getattr(scipy.special, name)(1.7, POSITIVE))
    mg.check_grads(lambda x: np.sum(np.sin(ours(1.7, x))), POSITIVE)
    with pytest.raises(TypeError, match="as a; wanted a plain array, since a is not differentiated"):
        ours(mg.parameter(1.7), POSITIVE)


def test_cholesky_factors_solve():
    c = scipy.linalg.cho_factor(P)
    np.testing.assert_allclose(mg.scipy.linalg.cho_solve(c, B), scipy.linalg.cho_solve(c, B))


def test_the_toeplitz_matrix_of_the_lectures():
    """M_F of a filter is a Toeplitz matrix: T(f) x = x ∗ f."""
    T = mg.scipy.linalg.toeplitz(np.r_[SHORT, np.zeros(5)], np.r_[SHORT[0], np.zeros(5)])
    np.testing.assert_allclose(T @ LINE[:6], mg.scipy.signal.convolve(LINE[:6], SHORT))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: mg.scipy.signal.convolve(LINE, IMAGE), mg.ShapeError, "convolve: .*as many axes"),
        (lambda: mg.scipy.signal.convolve(LINE, SHORT, "whole"), ValueError, "mode 'whole'; wanted 'full'"),
        (lambda: mg.scipy.signal.convolve(LINE, SHORT, method="fast"), ValueError, "method 'fast'"),
        (lambda: mg.scipy.signal.convolve2d(LINE, SHORT), mg.ShapeError, "convolve2d: .*two matrices"),
        (lambda: mg.scipy.ndimage.correlate(IMAGE, KERNEL, "edge"), ValueError, "mode 'edge'; wanted 'reflect'"),
        (lambda: mg.scipy.ndimage.correlate(IMAGE, KERNEL, origin=2), ValueError, "origin 2 for weights"),
        (lambda: mg.scipy.ndimage.gaussian_filter(IMAGE, -1.0), ValueError, "sigma -1.0|wanted"),
        (lambda: mg.scipy.linalg.solve(A, B, assume_a="her"), ValueError, "assume_a 'her'"),
        (lambda: mg.scipy.linalg.solve_triangular(A, B, trans=3), ValueError, "trans 3; wanted 0, 1"),
        (lambda: mg.scipy.linalg.block_diag(VOLUME), mg.ShapeError, "block_diag: .*matrices"),
    ],
)
def test_wrong_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()
