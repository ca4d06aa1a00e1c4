"""Normalisation, adaptive pooling and losses against PyTorch: values, gradients, second order, whole Jacobians."""

import numpy as np
import pytest
from test_ops_peers import agree

import minigraph as mg

torch = pytest.importorskip("torch")
F = torch.nn.functional
rng = np.random.default_rng(0)
T = torch.tensor


def agree_whole(ours, theirs, x):
    """The explicit matrix is PyTorch's dense Jacobian."""
    node = mg.parameter(x)
    dense = torch.autograd.functional.jacobian(theirs, T(x)).numpy().reshape(-1, x.size)
    np.testing.assert_allclose(mg.Tape.of(ours(node)).jacobian(node).tosparse().toarray(), dense, rtol=1e-9, atol=1e-11)


SHAPES = [(4, 3), (2, 3, 4), (3, 2, 2, 3), (2, 2, 1, 2, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", ["both", "weight", "bias", "none"])
def test_batch_norm(shape, training, affine):
    x, C = 3 * rng.standard_normal(shape) + 1, shape[1]
    w, b, mean, var = rng.standard_normal(C), rng.standard_normal(C), rng.standard_normal(C), rng.random(C) + 0.1
    kw = {"training": training, "eps": 1e-3}
    statistics = (None, None) if training else (mean, var)
    theirs = [s if s is None else T(s) for s in statistics]
    calls = {
        "both": (lambda f, s: lambda x, w, b: f(x, *s, w, b, **kw), (x, w, b)),
        "weight": (lambda f, s: lambda x, w: f(x, *s, w, None, **kw), (x, w)),
        "bias": (
            lambda f, s: lambda x, b: f(x, *s, None if f is mg.batch_norm else torch.ones_like(b), b, **kw),
            (x, b),
        ),
        "none": (lambda f, s: lambda x: f(x, *s, **kw), (x,)),
    }
    make, arrays = calls[affine]
    agree(make(mg.batch_norm, statistics), make(F.batch_norm, theirs), *arrays)
    if affine == "both":
        agree_whole(lambda x: mg.batch_norm(x, *statistics, w, b, **kw),
                    lambda x: F.batch_norm(x, *theirs, T(w), T(b), **kw), x)  # fmt: skip


class Held:
    """An object that holds its array, as a module's buffer does."""

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("how", ["arrays", "held", "nodes", "unrecorded"])
def test_running_statistics_follow(how, dtype):
    mean, var = np.zeros(3, dtype), np.ones(3, dtype)
    theirs = torch.zeros(3, dtype=T(mean).dtype), torch.ones(3, dtype=T(mean).dtype)
    ours = [Held(mean), Held(var)] if how == "held" else [mean, var]
    for _ in range(4):
        x = (5 * rng.standard_normal((2, 3, 4)) + 2).astype(dtype)
        F.batch_norm(T(x), *theirs, training=True, momentum=0.3)
        given = mg.parameter(x) if how in ("nodes", "unrecorded") else x
        if how == "unrecorded":
            with mg.no_grad():
                mg.batch_norm(given, *ours, training=True, momentum=0.3)
        else:
            mg.batch_norm(given, *ours, weight=mg.parameter(np.ones(3, dtype)), training=True, momentum=0.3)
    for r, t in zip(ours, theirs, strict=True):
        value = r.value if how == "held" else r
        assert value.dtype == dtype
        np.testing.assert_allclose(value, t, rtol=1e-5 if dtype == np.float32 else 1e-12)
    if how == "held":
        np.testing.assert_array_equal(mean, 0)  # a new array was assigned, the old one left alone
    x = rng.standard_normal((1, 3)).astype(dtype)
    np.testing.assert_allclose(mg.batch_norm(x, *ours), F.batch_norm(T(x), *theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(2, 6, 3), (2, 6, 2, 2), (3, 6)])
def test_group_instance_and_layer_norm(shape, affine):
    x, w, b = rng.standard_normal(shape), rng.standard_normal(6), rng.standard_normal(6)
    last = shape[1:]
    rows = rng.standard_normal((2, *last))
    cases = [
        (lambda x, *wb: mg.group_norm(x, 3, *wb), lambda x, *wb: F.group_norm(x, 3, *wb), (w, b)),
        (lambda x, *wb: mg.layer_norm(x, last, *wb), lambda x, *wb: F.layer_norm(x, last, *wb), (rows[0], rows[1])),
        (lambda x, *wb: mg.layer_norm(x, shape[-1], *wb), lambda x, *wb: F.layer_norm(x, shape[-1:], *wb),
         (rows[0].reshape(-1, shape[-1])[0], rows[1].reshape(-1, shape[-1])[0])),
    ]  # fmt: skip
    if len(shape) > 2:
        cases.append((lambda x, *wb: mg.instance_norm(x, **dict(zip(("weight", "bias"), wb, strict=False))),
                      lambda x, *wb: F.instance_norm(x, None, None, *wb), (w, b)))  # fmt: skip
    for ours, theirs, parameters in cases:
        agree(ours, theirs, x, *(parameters if affine else ()))
        agree_whole(lambda x, f=ours, p=parameters: f(x, *p), lambda x, f=theirs, p=parameters: f(x, *map(T, p)), x)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 6, 2, 3), (2, 2, 1, 2, 2)])
def test_local_response_norm(size, shape):
    x = rng.standard_normal(shape)
    for options in ({}, {"alpha": 0.7, "beta": 0.6, "k": 2.0}):
        agree(lambda x, o=options: mg.local_response_norm(x, size, **o),
              lambda x, o=options: F.local_response_norm(x, size, **o), x)  # fmt: skip
        agree_whole(lambda x, o=options: mg.local_response_norm(x, size, **o),
                    lambda x, o=options: F.local_response_norm(x, size, **o), x)  # fmt: skip


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [((2, 3, 7), 3), ((2, 3, 5), (7,)), ((1, 2, 6, 7), (3, 3)), ((2, 1, 5, 4), (None, 2)), ((1, 2, 5, 7), 1),
     ((1, 1, 4, 3, 5), (2, 3, 2)), ((0, 2, 4, 4), 3)],
)  # fmt: skip
def test_adaptive_pools(kind, shape, size):
    name = f"adaptive_{kind}_pool{len(shape) - 2}d"
    x = rng.standard_normal(shape)
    agree(lambda x: getattr(mg, name)(x, size), lambda x: getattr(F, name)(x, size), x)
    if len(x):
        agree_whole(lambda x: getattr(mg, name)(x, size), lambda x: getattr(F, name)(x, size), x)


def test_global_max_pool_and_maxout():
    x = rng.standard_normal((2, 6, 3, 4))
    agree(mg.global_max_pool, lambda x: x.amax((2, 3)), x)
    agree(lambda x: mg.maxout(x, 3), lambda x: x.unflatten(1, (2, 3)).amax(2), x)
    agree(lambda x: mg.maxout(x, 2, axis=-1), lambda x: x.unflatten(3, (2, 2)).amax(4), x)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_channel_dropout_takes_whole_channels(d):
    x = np.ones((40, 30, 2, 3, 2)[: d + 2])
    y = getattr(mg, f"dropout{d}d")(x, 0.3, rng=5)
    channels = y.reshape(40, 30, -1)
    assert set(np.unique(y)) == {0, 1 / 0.7} and (channels == channels[..., :1]).all()
    assert abs((channels[..., 0] == 0).mean() - 0.3) < 0.05  # of 1200 draws


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_of_numbers(reduction):
    a, t = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    for name, options in [("mse_loss", {}), ("l1_loss", {}), ("huber_loss", {"delta": 0.6}), ("huber_loss", {}),
                          ("smooth_l1_loss", {"beta": 0.4}), ("smooth_l1_loss", {"beta": 0.0})]:  # fmt: skip
        agree(lambda a, t, n=name, o=options: getattr(mg, n)(a, t, reduction, **o),
              lambda a, t, n=name, o=options: getattr(F, n)(a, t, reduction=reduction, **o), a, t)  # fmt: skip
    q = rng.random((3, 4))
    for weights in (
        {},
        {"weight": rng.random((3, 1))},
        {"pos_weight": 2 * rng.random(4), "weight": rng.random((3, 4))},
    ):
        theirs = {k: T(v) for k, v in weights.items()}
        agree(lambda a, t, w=weights: mg.binary_cross_entropy_with_logits(a, t, reduction=reduction, **w),
              lambda a, t, w=theirs: F.binary_cross_entropy_with_logits(a, t, reduction=reduction, **w), a, q)  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, np.array([1.0, 2.0, 0.0, 0.5])])
def test_losses_of_classes(reduction, weight):
    w = None if weight is None else T(weight)
    x = rng.standard_normal((5, 4))
    image = rng.standard_normal((2, 4, 3))
    for logits, labels in [(x, np.array([1, 3, 0, 2, 2])), (x, np.array([1, 3, -1, 0, -1])),
                           (image, rng.integers(4, size=(2, 3)))]:  # fmt: skip
        agree(lambda x, t=labels: mg.nll_loss(x, t, weight, -1, reduction),
              lambda x, t=labels: F.nll_loss(x, T(t), w, ignore_index=-1, reduction=reduction), logits)  # fmt: skip
    classes = np.array([1, 3, 0, 2, 2])
    for p, margin in [(1, 1.0), (1, 0.3), (2, 1.0), (2, 0.3)]:
        options = {"p": p, "margin": margin, "reduction": reduction}

        def theirs(x, labels, p=p, margin=margin):  # PyTorch's own has no second derivative
            hot = F.one_hot(labels, 4).bool()
            own = x[hot][:, None]
            losses = torch.where(hot, 0, (margin - own + x).clamp(min=0) ** p) * (
                1 if w is None else w[labels][:, None]
            )
            losses = losses.mean(1)
            return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()

        own = F.multi_margin_loss(T(x), T(classes), weight=w, **options)
        torch.testing.assert_close(theirs(T(x), T(classes)), own)
        agree(
            lambda x, o=options: mg.multi_margin_loss(x, classes, weight=weight, **o),
            lambda x, f=theirs: f(x, T(classes)),
            x,
        )
        single = F.multi_margin_loss(T(x[0]), T(3), weight=w, **options)
        np.testing.assert_allclose(mg.multi_margin_loss(x[0], np.array(3), weight=weight, **options), single)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize(("r", "s", "pad"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_an_infinite_cotangent_reaches_the_winner_only(d, r, s, pad):
    x = rng.standard_normal((2, 3, 7, 6)[: d + 2])
    tensor, node = T(x).requires_grad_(), mg.parameter(x)
    theirs, ours = getattr(F, f"max_pool{d}d")(tensor, r, s, pad), getattr(mg, f"max_pool{d}d")(node, r, s, pad)
    g = rng.standard_normal(tuple(theirs.shape))
    g.flat[::4] = np.inf
    (wanted,) = torch.autograd.grad(theirs, tensor, T(g))
    np.testing.assert_allclose(mg.Tape.of(ours).pull(g, [node])[0], wanted, atol=1e-12)
