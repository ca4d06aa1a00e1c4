"""Normalisation: what the rules mean, what the running statistics do, the messages; and those of pools and losses."""

import numpy as np
import pytest

import minigraph as mg
from minigraph.node import ShapeError, Spec

rng = np.random.default_rng(0)
X = rng.standard_normal((4, 3, 5))
ONES = np.ones(3)


def test_a_channel_cannot_see_its_own_shift_and_scale():
    """J 1 = 0 and, but for eps, J x̂ = 0: I − 11ᵀ/m − x̂x̂ᵀ/m projects onto what is left, of rank m − 2."""
    x = mg.parameter(rng.standard_normal((6, 1)))
    y = mg.batch_norm(x, training=True, eps=0.0)
    J = mg.Tape.of(y).jacobian(x).toarray()
    np.testing.assert_allclose(J @ np.ones(6), 0, atol=1e-13)
    np.testing.assert_allclose(J @ x.value.ravel(), 0, atol=1e-13)
    assert np.linalg.matrix_rank(J) == 4
    np.testing.assert_allclose(J * x.value.std(), np.eye(6) - (1 + y.value @ y.value.T) / 6, atol=1e-13)


def test_running_statistics():
    mean, var = np.zeros(3), np.ones(3)
    mg.batch_norm(X, mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.25 * X.mean((0, 2)))
    np.testing.assert_allclose(var, 0.75 + 0.25 * X.var((0, 2), ddof=1))
    held = mean.copy(), var.copy()
    y = mg.batch_norm(mg.parameter(X), mean, var)
    mg.batch_norm(Spec((4, 3, 5)), mean, var, training=True)
    mg.batch_norm(X, mean, var, mg.parameter(Spec((3,), np.float64)), training=True)
    np.testing.assert_array_equal((mean, var), held)  # neither inference nor inferring moves them
    mg.batch_norm(X, running_var=var, training=True)
    assert (var != held[1]).all() and (mean == held[0]).all()
    (dx,) = mg.Tape.of(y).pull(np.ones(y.shape), y.inputs)
    scale = np.broadcast_to((1 / np.sqrt(held[1] + 1e-5))[:, None], X.shape)
    np.testing.assert_allclose(dx, scale)  # with the statistics of then, though var has moved since


def test_nothing_moves_when_a_shape_is_wrong():
    mean, var = np.zeros(3), np.ones(4)
    with pytest.raises(ShapeError, match=r"batch_norm: got running_var \(4,\); wanted running_var of shape \(3,\)"):
        mg.batch_norm(X, mean, var, training=True)
    np.testing.assert_array_equal(mean, 0)


def test_float32_far_from_zero():
    """The variance is that of x − μ: no cancellation where the mean is large."""
    x = (1000 + rng.standard_normal((64, 2, 16, 16))).astype(np.float32)
    node, g = mg.parameter(x), rng.standard_normal(x.shape).astype(np.float32)
    y, exact = mg.batch_norm(node, training=True), mg.parameter(x.astype(np.float64))
    z = mg.batch_norm(exact, training=True)
    np.testing.assert_allclose(y.value, z.value, atol=1e-3)
    np.testing.assert_allclose(mg.Tape.of(y).pull(g, [node])[0], mg.Tape.of(z).pull(g, [exact])[0], atol=1e-3)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: mg.layer_norm(x, (4, 4), np.ones((4, 4))),
        lambda x: mg.group_norm(x, 2),
        lambda x: mg.local_response_norm(x, 3),
        lambda x: mg.adaptive_avg_pool2d(x, 2),
        lambda x: mg.adaptive_max_pool2d(x, 3),
        lambda x: mg.maxout(x, 2),
    ],
)
def test_an_empty_batch(f):
    x = mg.parameter(np.ones((0, 2, 4, 4)))
    y = f(x)
    J = mg.Tape.of(y).jacobian(x)
    assert len(y) == 0 and J.pull(np.ones(y.shape)).shape == x.shape and J.nnz == J.tosparse().nnz == 0


def test_bias_alone_keeps_float32():
    y = mg.layer_norm(X.astype(np.float32), 5, bias=mg.parameter(np.ones(5, np.float32)))
    assert y.dtype == np.float32


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ShapeError, r"batch_norm: got x \(1, 3\) float64; wanted more than 1 value per channel when training",
         lambda: mg.batch_norm(X[:1, :, 0], training=True)),
        (ShapeError, r"batch_norm: got x \(5,\) float64; wanted x of 2 to 5 axes", lambda: mg.batch_norm(X[0, 0], ONES, ONES)),
        (ShapeError, r"weight \(2,\) float64; wanted weight of shape \(3,\)", lambda: mg.batch_norm(X, ONES, ONES, ONES[1:])),
        (ShapeError, r"bias \(2,\) float64; wanted bias of shape \(3,\)",
         lambda: mg.batch_norm(X, ONES, ONES, ONES, ONES[1:])),
        (ShapeError, r"wanted running statistics of shape \(3,\)", lambda: mg.batch_norm(X, ONES[1:], ONES)),
        (ValueError, "wanted running_mean and running_var unless training", lambda: mg.batch_norm(X, ONES)),
        (ValueError, "read-only", lambda: mg.batch_norm(X, mg.constant(ONES).value, training=True)),
        (TypeError, "got running_mean list; wanted an array or an object with a value",
         lambda: mg.batch_norm(X, [0.0] * 3, training=True)),
        (TypeError, "wanted dtype float32 or float64", lambda: mg.batch_norm(X.astype(int), training=True)),
        (ShapeError, "instance_norm: .* wanted more than 1 position", lambda: mg.instance_norm(X[:, :, :1])),
        (ShapeError, "group_norm: .* C a multiple of 2", lambda: mg.group_norm(X, 2)),
        (TypeError, "group_norm: got num_groups 1.5", lambda: mg.group_norm(X, 1.5)),
        (ShapeError, r"layer_norm: .* last axes \(3, 4\)", lambda: mg.layer_norm(X, (3, 4))),
        (ShapeError, "local_response_norm: .* at least one channel", lambda: mg.local_response_norm(X[0], 3)),
        (ShapeError, "size of at least 1", lambda: mg.local_response_norm(X, 0)),
        (ShapeError, "output_size of at least 1", lambda: mg.adaptive_avg_pool1d(X, 0)),
        (ShapeError, "one integer or None, or 2 of them", lambda: mg.adaptive_max_pool2d(X[None], (1, 2, 3))),
        (TypeError, "got output_size 1.5", lambda: mg.adaptive_avg_pool1d(X, 1.5)),
        (ShapeError, "adaptive_max_pool1d: .* 3 axes", lambda: mg.adaptive_max_pool1d(X[0, 0], 2)),
        (ShapeError, "maxout: .* axis 1 a multiple of 2", lambda: mg.maxout(X, 2)),
        (ShapeError, "dropout2d: .* 4 axes", lambda: mg.dropout2d(X[0], 0.5, rng=0)),
        (ValueError, "dropout3d: got p 2", lambda: mg.dropout3d(X, 2, rng=0)),
        (ShapeError, r"mse_loss: got input .*; wanted target of input's shape", lambda: mg.mse_loss(X, X[:, :2])),
        (ValueError, "l1_loss: got reduction 'none at all'", lambda: mg.l1_loss(X, X, "none at all")),
        (ValueError, "huber_loss: got delta 0", lambda: mg.huber_loss(X, X, delta=0)),
        (ValueError, "smooth_l1_loss: got beta -1", lambda: mg.smooth_l1_loss(X, X, beta=-1)),
        (ShapeError, "pos_weight that broadcasts to the input",
         lambda: mg.binary_cross_entropy_with_logits(X, X, pos_weight=ONES)),
        (TypeError, "nll_loss: got labels .* wanted integer class numbers", lambda: mg.nll_loss(X[:, :, 0], X[:, 0, 0])),
        (ValueError, "nll_loss: got label 3; wanted labels from 0 to 2",
         lambda: mg.nll_loss(X[:, :, 0], np.array([0, 1, 2, 3]))),
        (ValueError, "multi_margin_loss: got label -100; wanted labels from 0 to 2",
         lambda: mg.multi_margin_loss(X[:, :, 0], np.array([0, 1, 2, -100]))),
        (ValueError, "multi_margin_loss: got p 3", lambda: mg.multi_margin_loss(X[:, :, 0], np.zeros(4, int), p=3)),
    ],
)  # fmt: skip
def test_messages(error, match, call):
    with pytest.raises(error, match=match):
        call()


def test_statistics_and_weights_through_which_no_derivative_passes():
    x, node = np.arange(6.0).reshape(2, 3), mg.parameter(np.ones(3))
    with pytest.raises(TypeError, match="batch_norm: got parameter .* as running_mean; wanted a plain array"):
        mg.batch_norm(x, node, np.ones(3))
    with pytest.raises(TypeError, match="batch_norm: got running_mean of dtype int64"):
        mg.batch_norm(x, np.zeros(3, int), np.ones(3), training=True)
    mean, var = np.zeros(3), np.ones(3)
    var.flags.writeable = False
    with pytest.raises(ValueError, match="batch_norm: got a read-only running_var"):
        mg.batch_norm(x, mean, var, training=True)
    assert not mean.any()
    with pytest.raises(TypeError, match="got parameter .* as weight; wanted a plain array"):
        mg.binary_cross_entropy_with_logits(np.zeros(3), np.ones(3), weight=node)


def test_nothing_is_computed_of_nothing():
    assert mg.interpolate(np.ones((0, 1, 4)), size=6).shape == (0, 1, 6)
    for algorithm in ("winograd", "winograd2"):
        w = mg.parameter(np.ones((2, 0, 3, 3)))
        y = mg.conv2d(mg.parameter(np.ones((1, 0, 8, 8))), w, algorithm=algorithm)
        y.sum().backward()
        assert not y.value.any() and w.grad.shape == w.shape
    assert mg.grad(lambda x: mg.batch_norm(x, training=True).sum())(np.ones((2, 0, 3))).shape == (2, 0, 3)
    assert mg.local_response_norm(np.ones((1, 2, 3)), 10**8).shape == (1, 2, 3)


@pytest.mark.parametrize("order", ["C", "channels last"])
def test_groups_that_happen_to_be_as_many_as_channels(order):
    """What is fast for channels must not be taken for other groups of their number."""
    rng = np.random.default_rng(0)
    affine = rng.standard_normal((2, 4, 3, 3))
    for f, shape in (
        (lambda x: mg.layer_norm(x, 4), (4, 4)),
        (lambda x: mg.layer_norm(x, (3, 3)), (4, 4, 3, 3)),
        (lambda x: mg.layer_norm(x, (4, 3, 3), *affine), (4, 4, 3, 3)),
        (lambda x: mg.group_norm(x, 2), (2, 4, 3, 3)),
        (lambda x: mg.instance_norm(x), (1, 3, 4, 4)),
        (lambda x: mg.batch_norm(x, training=True), (4, 1, 3, 3)),
        (lambda x: mg.batch_norm(x, np.zeros(1), np.ones(1)), (1, 1, 3, 3)),
        (lambda x: mg.batch_norm(x, training=True), (1, 3, 4, 1)),
    ):
        x = rng.standard_normal(shape)
        if order == "channels last":
            x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        mg.check_grads(f, x, order=2)


def test_a_cotangent_may_change_between_pulls():
    rng = np.random.default_rng(0)
    x = np.moveaxis(rng.standard_normal((4, 5, 5, 3)), -1, 1)
    y = mg.batch_norm(mg.parameter(x), None, None, mg.parameter(np.ones(3)), mg.parameter(np.ones(3)), training=True)
    g, maps = rng.standard_normal(y.shape), mg.Tape.of(y).local(y)
    for J in maps:
        assert np.abs(J.pull(g)).max() > 0
    g *= 0
    assert all(np.abs(J.pull(g)).max() == 0 for J in maps) and g.flags.writeable


@pytest.mark.parametrize("shape", [(4, 3, 150, 151), (1, 3, 501, 499)])
def test_float32_keeps_its_digits_over_many_positions(shape):
    """In any order in memory, against the same in float64."""
    x = np.maximum(np.random.default_rng(0).standard_normal(shape), 0)
    g = np.random.default_rng(1).standard_normal(shape)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    for norm in (lambda x: mg.batch_norm(x, training=True), mg.instance_norm, lambda x: mg.group_norm(x, 1)):
        for order in (x, last):
            found = []
            for dtype in (np.float64, np.float32):
                p = mg.parameter(order.astype(dtype))
                y = norm(p)
                y.backward(g.astype(dtype))
                found.append((y.value, p.grad))
            for wanted, single in zip(*found, strict=True):
                np.testing.assert_allclose(single, wanted, rtol=0, atol=4e-6 * np.abs(wanted).max())


def test_an_x_that_is_the_same_everywhere():
    p = mg.parameter(np.ones((1, 5, 1, 1)))
    y = mg.batch_norm(np.broadcast_to(p, (4, 5, 6, 6)), training=True)
    y.backward(np.ones(y.shape))
    np.testing.assert_allclose(p.grad, 0, atol=1e-9)
