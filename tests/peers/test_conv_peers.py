"""Convolution and pooling against PyTorch: values and gradients over all combinations of the arguments."""

from itertools import product

import numpy as np
import pytest

import minigraph as mg
import minigraph.ops.conv as conv
import minigraph.ops.pool as pool
from minigraph.kernels.tasks import algorithms

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


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_padding_modes(d, mode):
    """torch.nn.ConvNd's, whose weights are the arguments here."""
    rng = np.random.default_rng(0)

    def theirs(x, w, b, **kw):
        layer = getattr(torch.nn, f"Conv{d}d")(w.shape[1] * kw["groups"], len(w), w.shape[2:], **kw)
        for name in ("weight", "bias"):
            delattr(layer, name)
        layer.weight, layer.bias = w, b
        return layer(x)

    for stride, padding, dilation, groups, f in product(
        (1, 2), (0, 1, 2, 3, 4, 5, "same", "valid"), (1, 2), (1, 2), (1, 2, 3)
    ):
        if padding != "same" or stride == 1:
            x, b = rng.standard_normal((2, 4, *(6, 4, 5)[:d])), rng.standard_normal(2)
            w = rng.standard_normal((2, 4 // groups, *(f,) * d))
            kw = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": mode}
            either(getattr(conv, f"conv{d}d"), theirs, x, w, b, **kw)


def second_order(ours, theirs, *xs, **kw):
    """Equal derivatives of ⟨g, y³⟩'s gradients along random directions, and equal dense Jacobians."""
    rng = np.random.default_rng(1)
    tensors = [torch.tensor(x, requires_grad=True) for x in xs]
    nodes, vs = [mg.constant(x) for x in xs], [rng.standard_normal(x.shape) for x in xs]
    y, t = ours(*nodes, **kw), theirs(*tensors, **kw)
    g = rng.standard_normal(y.shape)
    grads = mg.Tape.of(np.sum(g * y * y * y)).pull(None, nodes, create_graph=True)
    wanted = torch.autograd.grad((torch.tensor(g) * t**3).sum(), tensors, create_graph=True)
    slope = sum(np.sum(c * v) for c, v in zip(grads, vs, strict=True))
    wanted_slope = sum((c * torch.tensor(v)).sum() for c, v in zip(wanted, vs, strict=True))
    pairs = zip(mg.Tape.of(slope).pull(None, nodes), torch.autograd.grad(wanted_slope, tensors), strict=True)
    for c, tensor in pairs:
        np.testing.assert_allclose(c, tensor.numpy(), rtol=1e-9, atol=1e-9, err_msg=str(kw))
    for i, x in enumerate(xs):
        dense = torch.autograd.functional.jacobian(
            lambda z, i=i: theirs(*[z if j == i else s.detach() for j, s in enumerate(tensors)], **kw),
            tensors[i].detach(),
        )
        matrix = mg.Tape.of(y).jacobian(nodes[i]).toarray()
        np.testing.assert_allclose(
            matrix, dense.numpy().reshape(y.size, x.size), rtol=1e-12, atol=1e-12, err_msg=str(kw)
        )


@pytest.mark.parametrize("d", [1, 2, 3])
def test_second_order_and_matrices(d):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(conv, f"conv{d}d"), getattr(F, f"conv{d}d")
    for stride, padding, dilation, groups in product((1, 2), (0, 1), (1, 2), (1, 2)):
        x, w, b = (rng.standard_normal(s) for s in ((2, 2, *(4, 3, 4)[:d]), (2, 2 // groups, *(2,) * d), 2))
        second_order(ours, theirs, x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)
        x, w = rng.standard_normal((2, 2, *(3, 2, 2)[:d])), rng.standard_normal((2, 1, *(2,) * d))
        kw = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        second_order(getattr(conv, f"conv_transpose{d}d"), getattr(F, f"conv_transpose{d}d"), x, w, **kw)


@pytest.mark.parametrize("algorithm", [name for name in algorithms() if name != "onednn"])  # which is for float32
def test_every_algorithm(algorithm):
    rng = np.random.default_rng(0)
    for groups, padding in product((1, 2), (0, 1, 2)):
        groups = 2 if algorithm == "depthwise" else groups
        x, w, b = (rng.standard_normal(s) for s in ((2, 2, 4, 5), (2, 2 // groups, 3, 3), 2))
        kw = {"padding": padding, "groups": groups}
        second_order(lambda *xs, **kw: conv.conv2d(*xs, algorithm=algorithm, **kw), F.conv2d, x, w, b, **kw)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_interpolate(d):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 2, *(5, 4, 3)[:d]))
    linear = ("linear", "bilinear", "trilinear")[d - 1]
    for mode, corners in (("nearest", None), (linear, False), (linear, True)):
        options = [{"size": n} for n in (1, 2, 3, 5, 7, 10, (2, 7, 4)[:d])]
        options += [{"scale_factor": s} for s in (0.4, 0.5, 1.0, 1.5, 2, 2.6, 3, (2, 0.5, 1.5)[:d])]
        if mode != "nearest" or d == 2:  # of one and three axes PyTorch's backward disagrees with its own forward
            options += [{"scale_factor": s} for s in (1.1, 1.3, 2.1)]
        for kw in options:
            same(mg.interpolate, F.interpolate, x, **kw, mode=mode, align_corners=corners)
    second_order(lambda x: mg.interpolate(x, 4, mode=linear), lambda x: F.interpolate(x, 4, mode=linear), x[:1, :1])


def test_nearest_of_every_size():
    x = np.arange(24.0)[None, None]
    for n, out in product(range(1, 25), range(1, 50)):
        theirs = F.interpolate(torch.tensor(x[..., :n]), out)
        np.testing.assert_array_equal(mg.interpolate(x[..., :n], out), theirs, err_msg=f"{n} → {out}")


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
