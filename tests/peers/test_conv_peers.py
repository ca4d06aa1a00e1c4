"""Convolution and pooling against PyTorch: values and gradients over all combinations of the arguments."""

from itertools import product

import numpy as np
import pytest

import minigraph as mg
import minigraph.ops.conv as conv
import minigraph.ops.pool as pool

torch = pytest.importorskip("torch")
F = torch.nn.functional


def same(ours, theirs, *xs, **kw):
    """Equal values, and equal cotangents of every input."""
    nodes = [mg.constant(x) for x in xs]
    tensors = [torch.tensor(x, requires_grad=True) for x in xs]
    y, t = ours(*nodes, **kw), theirs(*tensors, **kw)
    np.testing.assert_allclose(y.value, t.detach().numpy(), rtol=1e-11, atol=1e-11, err_msg=str(kw))
    g = np.random.default_rng(1).standard_normal(y.shape)
    t.backward(torch.tensor(g))
    for c, tensor in zip(mg.Tape.of(y).pull(g, nodes), tensors, strict=True):
        np.testing.assert_allclose(c, tensor.grad.numpy(), rtol=1e-11, atol=1e-11, err_msg=str(kw))


def refused(theirs, *xs, **kw):
    try:
        theirs(*map(torch.tensor, xs), **kw)
    except RuntimeError:
        return True
    return False


def either(ours, theirs, *xs, **kw):
    """The same result, or both refuse."""
    if refused(theirs, *xs, **kw):
        with pytest.raises(mg.ShapeError):
            ours(*xs, **kw)
    else:
        same(ours, theirs, *xs, **kw)


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch copies x for it
@pytest.mark.parametrize("d", [1, 2, 3])
def test_conv(d):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(conv, f"conv{d}d"), getattr(F, f"conv{d}d")
    for stride, padding, dilation, groups, f in product(
        (1, 2, 3), (0, 1, 2, "same", "valid"), (1, 2), (1, 2), (1, 2, 3)
    ):
        if padding != "same" or stride == 1:
            x, b = rng.standard_normal((2, 4, *(6, 5, 5)[:d])), rng.standard_normal(2)
            w = rng.standard_normal((2, 4 // groups, *(f,) * d))
            either(ours, theirs, x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_conv_transpose(d):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(conv, f"conv_transpose{d}d"), getattr(F, f"conv_transpose{d}d")
    options = product((1, 2, 3), (0, 1, 2), (0, 1, 2), (1, 2, 3), (1, 2), (1, 3))
    for stride, padding, output_padding, dilation, groups, f in options:
        x, b = rng.standard_normal((2, 4, *(3, 4, 2)[:d])), rng.standard_normal(2 * groups)
        w = rng.standard_normal((4, 2, *(f,) * d))
        kw = {"stride": stride, "padding": padding, "output_padding": output_padding}
        either(ours, theirs, x, w, b, **kw, dilation=dilation, groups=groups)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_max_pool(d):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(pool, f"max_pool{d}d"), getattr(F, f"max_pool{d}d")
    options = product((1, 2, 3), (None, 1, 2, 3), (0, 1, 2), (1, 2), (False, True), (4, 5, 7))
    for kernel_size, stride, padding, dilation, ceil_mode, n in options:
        x = rng.standard_normal((2, 2, *(n, 6, 5)[:d]))
        kw = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
        either(ours, theirs, x, **kw, dilation=dilation, ceil_mode=ceil_mode)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_avg_pool(d):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(pool, f"avg_pool{d}d"), getattr(F, f"avg_pool{d}d")
    options = product((1, 2, 3, 4), (None, 1, 2, 3), (0, 1, 2), (False, True), (False, True), (4, 5, 7))
    for kernel_size, stride, padding, ceil_mode, include, n in options:
        x = rng.standard_normal((2, 2, *(n, 6, 5)[:d]))
        kw = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
        either(ours, theirs, x, **kw, ceil_mode=ceil_mode, count_include_pad=include)


def test_ties_and_nan():
    x = np.random.default_rng(0).integers(0, 3, (2, 2, 6, 6)).astype(float)
    same(pool.max_pool2d, F.max_pool2d, x, kernel_size=3, stride=2, padding=1)
    x[0, 0, 2, 2] = np.nan
    same(pool.max_pool2d, F.max_pool2d, x, kernel_size=3, stride=2, padding=1)


def test_unfold():
    """torch.nn.functional.unfold keeps samples apart; im2col puts them side by side."""
    x = np.random.default_rng(0).standard_normal((3, 2, 5, 6))
    kw = {"padding": 1, "stride": 2, "dilation": (1, 2)}
    theirs = F.unfold(torch.tensor(x), (3, 2), **kw)
    np.testing.assert_array_equal(conv.im2col(x, (3, 2), **kw), theirs.permute(1, 0, 2).reshape(12, -1))
