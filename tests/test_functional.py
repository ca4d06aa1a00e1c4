"""Functions that are composed of others: errors, shapes from Specs, randomness; their values are held against PyTorch's."""

import numpy as np
import pytest

import minigraph as mg
from minigraph.nn import functional as F

X = np.random.default_rng(0).standard_normal((4, 6))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.glu(np.ones((2, 3))), mg.ShapeError, "glu: .*an even side along axis -1"),
        (lambda: F.prelu(X, np.ones(3)), mg.ShapeError, r"prelu: .*weight \(1,\) or \(6,\)"),
        (lambda: F.hardtanh(X, 1, 0), ValueError, "min_val 1 and max_val 0; wanted the smaller first"),
        (lambda: F.softshrink(X, -1), ValueError, "lambd -1; wanted at least 0"),
        (lambda: F.celu(X, 0), ValueError, "alpha 0; wanted another number"),
        (lambda: F.drop_path(X, 2), ValueError, "p 2; wanted a probability"),
        (lambda: F.drop_path(X, 0.5, True), TypeError, "drop_path: got rng None"),
        (lambda: F.one_hot([1, 3], 3), ValueError, "labels up to 3 for 3 classes; wanted 0 to 2"),
        (lambda: F.one_hot([0.5]), TypeError, "labels of dtype float64; wanted integers"),
        (lambda: F.embedding([4], X), ValueError, "indices from 4 to 4; wanted 0 to 3"),
        (lambda: F.embedding([1.0], X), TypeError, "indices of dtype float64"),
        (lambda: F.pixel_shuffle(np.ones((1, 3, 2, 2)), 2), mg.ShapeError, "pixel_shuffle: .*C·2²"),
        (lambda: F.pixel_unshuffle(np.ones((1, 3, 3, 2)), 2), mg.ShapeError, "sides that 2 divides"),
        (lambda: F.channel_shuffle(np.ones((1, 3, 2)), 2), mg.ShapeError, "whose C 2 divides"),
        (lambda: F.rms_norm(X, 5), mg.ShapeError, r"x that ends in \(5,\)"),
        (lambda: F.binary_cross_entropy(X, X), ValueError, "wanted probabilities"),
        (lambda: F.kl_div(X, X[:2]), mg.ShapeError, "target of input's shape"),
        (lambda: F.kl_div(X, X, "median"), ValueError, "reduction 'median'"),
        (lambda: F.hinge_embedding_loss(X, X), ValueError, "targets other than −1 and 1"),
        (lambda: F.softplus(X, 0), ValueError, "softplus: got beta 0"),
        (lambda: mg.nn.GroupNorm(0, 4), ValueError, "num_groups 0; wanted at least 1"),
        (lambda: mg.nn.InstanceNorm2d(4)(np.ones((1, 3, 4, 4))), mg.ShapeError, "InstanceNorm2d: .*4 channels"),
        (lambda: mg.nn.ZeroPad2d((1, 2, 3))(np.ones((1, 1, 4, 4))), mg.ShapeError, "pad: .*4 widths, or one"),
        (lambda: mg.nn.Hardtanh(1, 2, 3), TypeError, "Hardtanh: too many positional arguments"),
    ],
)
def test_wrong_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_shapes_from_specs():
    image = mg.Spec((2, 12, 4, 6))
    assert F.pixel_shuffle(image, 2).shape == (2, 3, 8, 12) and F.glu(image, 1).shape == (2, 6, 4, 6)
    assert F.normalize(image).shape == image.shape and F.cosine_similarity(image, image).shape == (2, 4, 6)
    assert F.embedding(np.zeros((2, 3), int), mg.Spec((5, 4))).shape == (2, 3, 4)
    assert mg.nn.Sequential(mg.nn.ZeroPad2d((1, 2, 0, 0)), mg.nn.GroupNorm(3, 12), mg.nn.Mish())(image).shape == (
        2,
        12,
        4,
        9,
    )


def test_chance():
    many = np.ones((2000, 2, 3))
    dropped = F.drop_path(many, 0.25, True, 0)
    kept = dropped[:, 0, 0] > 0
    assert abs(kept.mean() - 0.75) < 0.05
    np.testing.assert_allclose(dropped[kept], 4 / 3)
    assert F.drop_path(many, 0.25) is many and not F.drop_path(many, 1.0, True, 0).any()
    slopes = -F.rrelu(-many, 0.1, 0.3, True, 0)
    assert 0.1 <= slopes.min() < 0.11 and 0.29 < slopes.max() <= 0.3


def test_chance_in_pooling_and_selection():
    image = np.random.default_rng(0).standard_normal((2, 3, 9, 9))
    a, b = (F.fractional_max_pool2d(image, 2, output_ratio=0.5, rng=1) for _ in range(2))
    assert a.shape == (2, 3, 4, 4) and np.array_equal(a, b)
    assert not np.array_equal(a, F.fractional_max_pool2d(image, 2, output_ratio=0.5, rng=2))
    hard, soft = (F.gumbel_softmax(mg.parameter(X), hard=h, rng=0) for h in (True, False))
    assert set(np.unique(hard.value)) == {0, 1} and np.array_equal(hard.value.argmax(1), soft.value.argmax(1))
    np.testing.assert_allclose(soft.value.sum(1), 1)
    many = F.alpha_dropout(np.random.default_rng(1).standard_normal((200, 500)), 0.3, True, 0)
    assert abs(many.mean()) < 0.02 and abs(many.std() - 1) < 0.02  # as they were
    channels = F.feature_alpha_dropout(np.ones((50, 4, 3, 3)), 0.5, True, 0)
    assert all(len(np.unique(c)) == 1 for c in channels.reshape(-1, 9)) and len(np.unique(channels)) == 2
    assert F.alpha_dropout(X, 0.5) is X
    for call, match in (
        (lambda: F.fractional_max_pool2d(image, 2), "wanted one of them"),
        (lambda: F.fractional_max_pool2d(image, 2, 9, rng=0), "leaves room for the windows"),
        (lambda: F.scaled_dot_product_attention(X, X, X, X @ X.T, True), "attn_mask and is_causal; wanted one"),
        (lambda: np.choose(mg.constant([0, 1]), [mg.parameter(X[0])] * 2, mode="any"), "choose: got mode 'any'"),
        (lambda: np.choose([0, 1], [mg.parameter(X[0, :5])] * 2), "choose: .*shapes that broadcast"),
        (lambda: F.alpha_dropout(X, 2.0, True, 0), "p 2.0; wanted a probability"),
        (lambda: F.pad(X, (1,)), "at most 2 pairs"),
        (lambda: F.pad(X, (1, 1), "mirror"), "mode 'mirror'"),
        (lambda: F.fold(np.ones((1, 5, 4)), 3, 2), r"fold: .*x \(N, C·4, 4\)"),
        (lambda: F.unfold(np.ones((1, 1, 2, 2)), 3), "a kernel no larger than the padded image"),
        (lambda: F.max_unpool2d(image, np.zeros((2, 3, 9, 8), int), 2), "indices of x's shape"),
        (lambda: F.max_unpool2d(image[..., :1, :1], np.full((2, 3, 1, 1), 9), 2), "indices from 9 to 9; wanted 0 to 3"),
        (lambda: F.grid_sample(image, np.zeros((2, 4, 4, 3))), "grid_sample: .*as many spatial axes"),
        (lambda: F.affine_grid(np.zeros((2, 3, 3)), (2, 1, 4, 4)), r"theta \(2, 2, 3\)"),
        (lambda: F.multilabel_margin_loss(X, np.full(X.shape, 6)), "labels up to 6"),
    ):
        with pytest.raises(ValueError, match=match):
            call()


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"])
def test_losses_that_broadcast_say_so(name):
    loss, column = getattr(F, name), X[:, :1] + 0.3
    p = mg.parameter(column)
    with pytest.warns(UserWarning, match=rf"{name}: got input \(4, 6\), target \(4, 1\), which broadcast to \(4, 6\)"):
        y = loss(X, p)
    y.backward()
    np.testing.assert_allclose(y.value, loss(X, np.broadcast_to(column, X.shape)))
    wanted = mg.grad(lambda t: loss(X, t))(np.broadcast_to(column, X.shape)).sum(1, keepdims=True)
    np.testing.assert_allclose(p.grad, wanted)
