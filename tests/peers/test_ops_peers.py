"""Values, gradients and gradients of gradients against PyTorch's."""

import numpy as np
import pytest

import minigraph as mg

torch = pytest.importorskip("torch")
F = torch.nn.functional
rng = np.random.default_rng(0)
X, Y, P = rng.standard_normal((3, 4)), rng.standard_normal((3, 4)), rng.uniform(0.2, 2, (3, 4))
U = rng.uniform(-0.9, 0.9, (3, 4))
LABELS = np.array([1, 3, -100])
WEIGHT = np.array([1.0, 2.0, 0.5, 1.5])


def agree(ours, theirs, *arrays):
    """ours(*arrays) and theirs(*tensors): value, vjp, and the gradient of ‖vjp‖²."""
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = theirs(*tensors)
    g = rng.standard_normal(tuple(y.shape))
    cotangents = torch.autograd.grad(y, tensors, torch.tensor(g), create_graph=True)
    squares = sum((c**2).sum() for c in cotangents)
    second = [torch.zeros_like(t) for t in tensors]
    if squares.requires_grad:
        found = torch.autograd.grad(squares, tensors, allow_unused=True)
        second = [s if f is None else f for f, s in zip(found, second, strict=True)]

    value, pull = mg.vjp(ours, *arrays)
    got = pull(g) if len(arrays) > 1 else (pull(g),)
    np.testing.assert_allclose(value, y.detach(), rtol=1e-9, atol=1e-11)
    for a, b in zip(got, cotangents, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(force=True), rtol=1e-9, atol=1e-11)

    def norm(*xs):
        pulled = mg.vjp(ours, *xs)[1](g)
        return sum((c**2).sum() for c in (pulled if len(xs) > 1 else (pulled,)))

    twice = mg.grad(norm, argnums=range(len(arrays)))(*arrays)
    for a, b in zip(twice, second, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(force=True), rtol=1e-8, atol=1e-10)


NAMES = {
    "arcsin": U, "arccos": U, "arctan": X, "arctanh": U, "arcsinh": X, "arccosh": P + 1, "sin": X, "cos": X, "tan": U,
    "sinh": X, "cosh": X, "tanh": X, "exp": X, "exp2": X, "expm1": X, "log": P, "log2": P, "log10": P, "log1p": P,
    "sqrt": P, "square": X, "reciprocal": P, "absolute": X, "negative": X, "deg2rad": X, "rad2deg": X, "sinc": P,
    "erf": X, "relu": X, "sigmoid": X,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_elementwise(name):
    agree(getattr(mg, name, None) or getattr(mg.ops, name), getattr(torch, name), NAMES[name])


@pytest.mark.parametrize(
    ("ours", "theirs", "arrays"),
    [
        (lambda x: mg.softplus(x), F.softplus, (X,)),
        (mg.silu, F.silu, (X,)),
        (mg.gelu, F.gelu, (X,)),
        (lambda x: mg.gelu(x, "tanh"), lambda x: F.gelu(x, approximate="tanh"), (X,)),
        (lambda x: mg.elu(x, 0.7), lambda x: F.elu(x, 0.7), (X,)),
        (lambda x: mg.leaky_relu(x, 0.2), lambda x: F.leaky_relu(x, 0.2), (X,)),
        (lambda x: mg.ops.clip(x, -0.5, 0.5), lambda x: torch.clip(x, -0.5, 0.5), (X,)),
        (mg.ops.hypot, torch.hypot, (X, Y)),
        (mg.ops.arctan2, torch.arctan2, (X, Y)),
        (mg.ops.power, torch.pow, (P, Y)),
        (mg.ops.logaddexp, torch.logaddexp, (X, Y)),
        (mg.ops.maximum, torch.maximum, (X, Y)),
        (mg.ops.divide, torch.divide, (X, P)),
        (lambda x: mg.softmax(x, 0), lambda x: torch.softmax(x, 0), (X,)),
        (mg.log_softmax, lambda x: torch.log_softmax(x, -1), (X,)),
        (lambda x: mg.logsumexp(x, 1), lambda x: torch.logsumexp(x, 1), (X,)),
        (lambda x: mg.ops.var(x, 0, ddof=1), lambda x: torch.var(x, 0), (X,)),
        (lambda x: mg.ops.std(x, 0), lambda x: torch.std(x, 0, correction=0), (X,)),
        (lambda x: mg.ops.prod(x, 1), lambda x: torch.prod(x, 1), (X,)),
        (lambda x: mg.ops.norm(x, 3, 1), lambda x: torch.linalg.norm(x, 3, 1), (X,)),
        (lambda x: mg.ops.cumsum(x, 1), lambda x: torch.cumsum(x, 1), (X,)),
        (lambda x: mg.ops.max(x, 1), lambda x: torch.max(x, 1).values, (X,)),
        (lambda x: mg.ops.sort(x, 0), lambda x: torch.sort(x, 0).values, (X,)),
        (lambda x, w, b: mg.linear(x, w, b), F.linear, (X, rng.standard_normal((2, 4)), rng.standard_normal(2))),
        (lambda a, b: mg.ops.einsum("ij,kj->ik", a, b), lambda a, b: torch.einsum("ij,kj->ik", a, b), (X, Y)),
        (mg.ops.matmul, torch.matmul, (rng.standard_normal((2, 1, 3, 4)), rng.standard_normal((5, 4, 2)))),
        (mg.ops.matmul, torch.matmul, (rng.standard_normal(4), rng.standard_normal((5, 4, 2)))),
    ],
)
def test_functions(ours, theirs, arrays):
    agree(ours, theirs, *arrays)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("kind", ["labels", "ignored", "probabilities", "image"])
def test_cross_entropy(reduction, smoothing, weight, kind):
    x = rng.standard_normal((3, 4, 2)) if kind == "image" else X
    target = {
        "labels": np.array([1, 3, 0]),
        "ignored": LABELS,
        "probabilities": P / P.sum(1, keepdims=True),
        "image": rng.integers(4, size=(3, 2)),
    }[kind]
    options = {"reduction": reduction, "label_smoothing": smoothing}
    w = None if weight is None else torch.tensor(weight)
    if kind == "probabilities":
        agree(lambda x, t: mg.cross_entropy(x, t, weight, **options),
              lambda x, t: F.cross_entropy(x, t, w, **options), x, target)  # fmt: skip
    else:
        agree(lambda x: mg.cross_entropy(x, target, weight, **options),
              lambda x: F.cross_entropy(x, torch.tensor(target), w, **options), x)  # fmt: skip
