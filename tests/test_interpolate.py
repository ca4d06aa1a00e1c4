"""Resampling: what the definition says at sizes where it is plain, and the messages; the rest is in test_ops."""

import numpy as np
import pytest

import minigraph as mg


def test_nearest_repeats_and_its_transpose_sums():
    x = np.arange(12.0).reshape(1, 2, 2, 3)
    X = mg.parameter(x)
    y = mg.interpolate(X, scale_factor=(2, 3))
    np.testing.assert_array_equal(y.value, x.repeat(2, 2).repeat(3, 3))
    np.testing.assert_array_equal(mg.Tape.of(y).pull(np.ones(y.shape), [X])[0], np.full(x.shape, 6))
    np.testing.assert_array_equal(mg.interpolate(y.value, (2, 3)), x)  # and back again
    assert mg.Tape.of(y).jacobian(X).nnz == y.size
    assert mg.interpolate(mg.Spec((1, 2, 5, 5)), scale_factor=0.5).shape == (1, 2, 2, 2)


def test_linear_keeps_lines_straight():
    line = np.arange(5.0)[None, None]
    np.testing.assert_allclose(mg.interpolate(line, 9, mode="linear", align_corners=True)[0, 0], np.arange(0, 4.1, 0.5))
    middle = mg.interpolate(line, 10, mode="linear")[0, 0]
    np.testing.assert_allclose(middle, np.clip((np.arange(10) + 0.5) / 2 - 0.5, 0, 4))
    J = mg.Tape.of(mg.interpolate(mg.parameter(line), 10, mode="linear"))
    matrix = J.jacobian(J.leaves[0]).toarray()
    np.testing.assert_array_equal(matrix[:3, :2], [[1, 0], [0.75, 0.25], [0.25, 0.75]])
    np.testing.assert_array_equal(matrix.sum(1), 1)  # constants stay


@pytest.mark.parametrize("mode", ["linear", "bilinear", "trilinear", "nearest"])
@pytest.mark.parametrize("corners", [False, True])
def test_a_scale_that_leaves_the_size_copies(mode, corners):
    rng, d = np.random.default_rng(0), ["linear", "bilinear", "trilinear"].index(mode) + 1 if mode != "nearest" else 2
    for _ in range(20):
        n = rng.integers(2, 9, d)
        scale = 1 + rng.random(d) / (n + 1)  # ⌊n scale⌋ = n
        x = mg.parameter(rng.standard_normal((2, 1, *n)))
        y = mg.interpolate(x, scale_factor=tuple(scale), mode=mode, align_corners=corners and mode != "nearest")
        np.testing.assert_array_equal(y.value, x.value)
        np.testing.assert_array_equal(mg.Tape.of(y).pull(x.value, [x])[0], x.value)


def test_nearest_of_twice_the_size_repeats():
    """Whatever the scale was exactly, along two axes; along one, the scale is taken as it is."""
    x = np.arange(10.0)
    twice = mg.interpolate(np.tile(x, (1, 1, 10, 1)), scale_factor=2.05)
    np.testing.assert_array_equal(twice[0, 0, 0], x.repeat(2))
    line = mg.interpolate(x[None, None], scale_factor=2.05)
    np.testing.assert_array_equal(line[0, 0], x[np.floor(np.arange(20) / 2.05).astype(int)])


X = np.ones((1, 1, 4, 4))
MISTAKES = [
    (
        ValueError,
        "mode 'linear'; wanted one of nearest, nearest-exact, area, bilinear, bicubic",
        lambda: mg.interpolate(X, 2, mode="linear"),
    ),
    (ValueError, "wanted one of them", lambda: mg.interpolate(X)),
    (ValueError, "wanted one of them", lambda: mg.interpolate(X, 2, 2)),
    (ValueError, "align_corners with mode 'nearest'", lambda: mg.interpolate(X, 2, align_corners=True)),
    (ValueError, "wanted a positive number or 2", lambda: mg.interpolate(X, scale_factor=-1.0)),
    (ValueError, "wanted a positive number or 2", lambda: mg.interpolate(X, scale_factor=(1, 2, 3))),
    (mg.ShapeError, "that leaves a pixel", lambda: mg.interpolate(X, scale_factor=0.2)),
    (mg.ShapeError, "size of at least 1", lambda: mg.interpolate(X, 0)),
    (mg.ShapeError, "1 to 3 spatial axes", lambda: mg.interpolate(X[0, 0], 2)),
    (mg.ShapeError, "at least one pixel", lambda: mg.interpolate(X[..., :0], 2)),
    (TypeError, "interpolate: got size 2.5; wanted an integer", lambda: mg.interpolate(X, 2.5)),
    (TypeError, "wanted dtype float32", lambda: mg.interpolate(X.astype(int), 2)),
]


@pytest.mark.parametrize("error, match, call", MISTAKES, ids=[m[1] for m in MISTAKES])
def test_messages(error, match, call):
    with pytest.raises(error, match=match):
        call()
