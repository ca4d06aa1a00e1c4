"""Second derivatives without their matrices, and SciPy's solvers on the graph's maps."""

import numpy as np
from scipy.optimize import least_squares
from scipy.sparse.linalg import eigsh

import minigraph as mg

rng = np.random.default_rng(0)

# --- Which directions does a loss curve in? Rows of X to be told apart by logistic regression. ----------
X = rng.standard_normal((60, 12))
labels = (X[:, 0] - X[:, 1] > 0).astype(np.int64)


def loss(w):
    """Cross-entropy of scores (0, X w), with a little L2."""
    s = X @ w
    return mg.cross_entropy(np.stack([0 * s, s], axis=1), labels) + mg.l2_penalty(w, 1e-2)


w, v = rng.standard_normal(12), rng.standard_normal(12)
H = mg.hessian(loss)(w)
assert np.allclose(H @ v, mg.hvp(loss, w, v))
print("∂²l/∂w² v by mg.hvp is the Hessian times v, without the Hessian.")

gradient, curvature = mg.linearize(mg.grad(loss), w)  # the Jacobian of the gradient, as a map
largest, directions = eigsh(curvature.aslinearoperator(), k=3)
assert np.allclose(largest, np.linalg.eigvalsh(H)[-3:])
print(f"Its three largest eigenvalues, from products alone: {np.round(largest[::-1], 4)}\n")

# --- Newton's method: a few steps with the Hessian instead of many with the gradient. --------------------
w = np.zeros(12)
for step in range(8):
    g = mg.grad(loss)(w)
    print(f"Newton step {step}: loss {loss(w):.6f}, gradient {np.linalg.norm(g):.1e}")
    w = w - np.linalg.solve(mg.hessian(loss)(w), g)
assert np.linalg.norm(mg.grad(loss)(w)) < 1e-8

# --- Least squares: which filter made this picture? Its Jacobian is M_X, never written out. --------------
picture = rng.standard_normal((1, 1, 12, 12))
secret = rng.standard_normal((1, 1, 3, 3))
seen = np.tanh(mg.conv2d(picture, secret))


def residual(filter):
    return np.tanh(mg.conv2d(picture, np.reshape(filter, (1, 1, 3, 3)))).ravel() - seen.ravel()


def jacobian(filter):
    return mg.linearize(residual, filter)[1].aslinearoperator()


found = least_squares(residual, np.zeros(9), jac=jacobian, tr_solver="lsmr")
print(f"\nscipy.optimize.least_squares finds the filter after {found.nfev} evaluations,")
print(f"to {np.abs(found.x - secret.ravel()).max():.0e}:\n{np.round(found.x.reshape(3, 3), 4)}")
assert np.allclose(found.x, secret.ravel(), atol=1e-6)
