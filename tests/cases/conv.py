"""Convolution, its gradients and its variants: SciPy, sparse matrices and loops are the other implementations."""

from functools import partial
from math import prod

import numpy as np
from scipy import signal

from cases.case import Case, cases_of
from minigraph.kernels.numpy.conv.direct import meetings
from minigraph.kernels.numpy.matrices import patches_matrix
from minigraph.ops.conv.columns import Col2im, Im2col
from minigraph.ops.conv.filters import ConnectedFilters
from minigraph.ops.conv.product import ToeplitzMatmul
from minigraph.ops.conv.slots import Conv, ConvFilterGradient, ConvInputGradient
from minigraph.ops.conv.tiled import TiledConv


def convolutions(rng):
    """Convolutions and their inputs, over every number of axes and every option."""
    none, one = (0, 0), (1, 1)
    for hyper, size, C, kernel, bias in (
        (((1,), (none,), (1,), 1), (5,), 2, (3, 2, 3), True),
        (((2,), ((2, 1),), (2,), 2), (6,), 4, (2, 2, 2), False),
        ((one, (none, none), one, 1), (4, 5), 2, (3, 2, 3, 2), True),
        ((one, (none, none), one, 1), (3, 2), 2, (3, 2, 1, 1), True),
        (((2, 3), (one, (0, 2)), one, 1), (5, 6), 1, (2, 1, 3, 2), False),
        ((one, "same", (2, 1), 2), (4, 3), 4, (2, 2, 2, 2), True),
        ((one, (none, one), one, 2), (3, 3), 2, (4, 1, 2, 3), False),
        (((1, 1, 2), (one, none, none), (1, 1, 2), 1), (2, 3, 5), 2, (2, 2, 2, 2, 2), True),
    ):
        x, w = rng.standard_normal((2, C, *size)), rng.standard_normal(kernel)
        yield Conv(*hyper), x, w, (rng.standard_normal(len(w)),) * bias


def correlation(op, x, w, b=None):
    """The convolution by scipy.signal.correlate, plane by plane: padded image, dilated filter."""
    window, C, K = op.window(x, w), w.shape[1], len(w) // op.groups
    x = np.pad(x, ((0, 0), (0, 0), *window.padding))
    dilated = np.zeros((*w.shape[:2], *window.extent))
    spread = ..., *[slice(None, None, d) for d in window.dilation]
    dilated[spread] = w
    y = np.zeros((len(x), len(w), *window.out))
    for n, k, c in np.ndindex(len(x), len(w), C):
        plane = signal.correlate(x[n, k // K * C + c], dilated[k, c], mode="valid", method="direct")
        y[n, k] += plane[(*[slice(None, None, s) for s in window.stride],)]
    return y if b is None else y + np.expand_dims(b, tuple(range(1, y.ndim - 1)))


def linear_in(f, shape, g):
    """The transpose of the linear function f, on g: ⟨g, f(e)⟩ for every unit array e of ``shape``."""
    units = np.eye(prod(shape)).reshape(-1, *shape)
    return np.array([np.vdot(f(e), g) for e in units]).reshape(shape)


@cases_of(Conv)
def conv(rng):
    for op, x, w, b in convolutions(rng):
        bad = (x, w[:, :, :1], *b) if w.ndim < 3 else (x, np.concatenate([w, w], 1), *b)
        yield Case(op, (x, w, *b), correlation(op, x, w, *b), bad, "channels")


@cases_of(ConvInputGradient)
def conv_input_gradient(rng):
    for conv, x, w, _ in convolutions(rng):
        window = conv.window(x, w).exact
        g = rng.standard_normal((len(x), len(w), *window.out))
        op = ConvInputGradient(conv.stride, window.padding, conv.dilation, conv.groups)
        value = linear_in(partial(correlation, conv, w=w), x.shape, g)
        yield Case(op, (g, w), value, (g, np.concatenate([w, w])), "channels")
        b = rng.standard_normal((x.shape[1],))
        yield Case(op, (g, w, b), value + np.expand_dims(b, tuple(range(1, x.ndim - 1))), (g, w, b[:0]), "bias|entry")


@cases_of(ConvFilterGradient)
def conv_filter_gradient(rng):
    for conv, x, w, _ in convolutions(rng):
        g = rng.standard_normal((len(x), len(w), *conv.window(x, w).out))
        value = linear_in(partial(correlation, conv, x), w.shape, g)
        op = ConvFilterGradient(conv.stride, conv.padding, conv.dilation, conv.groups, kernel=w.shape[2:])
        yield Case(op, (x, g), value, (x, g[..., :-1]), "g of shape")


def unfoldings():
    """Ops and image shapes."""
    yield Im2col((3,), (1,), ((0, 0),), (1,)), (2, 2, 5)
    yield Im2col((2, 3), (2, 1), ((1, 0), (1, 1)), (1, 1)), (2, 2, 4, 4)
    yield Im2col((2, 2), (1, 1), "same", (2, 2)), (1, 2, 3, 4)


@cases_of(Im2col)
def im2col(rng):
    for op, shape in unfoldings():
        x = rng.standard_normal(shape)
        yield Case(op, (x,), patches_matrix(x, op.window(x)).tocsr().toarray().T, (x[0, 0],), "axes")


@cases_of(Col2im)
def col2im(rng):
    for of, shape in unfoldings():
        op = Col2im(of.kernel_size, of.stride, of.padding, of.dilation, shape)
        units = np.eye(prod(shape)).reshape(-1, *shape)
        cols = rng.standard_normal(op.selection(units[0], op.window(units)).out_shape)
        expect = [np.vdot(patches_matrix(e, op.window(e)).tocsr().toarray().T, cols) for e in units]
        yield Case(op, (cols,), np.reshape(expect, shape), (cols[1:],), "cols of shape")


@cases_of(ConnectedFilters)
def connected_filters(rng):
    table, w = np.array([[1, 0, 1], [0, 1, 1]], bool), rng.standard_normal((4, 2, 3))
    zero = np.zeros((2, 3))
    yield Case(ConnectedFilters(table), (w,), [[w[0], zero, w[1]], [zero, w[2], w[3]]], (w[:3],), "one plane for each")


def by_loops(op, x, w):
    """Each position with its own bank, one tap after another."""
    form = op.form(x, w)
    y = np.zeros(form.shape("y"))
    for p, i, q in meetings(form.window):
        bank = [at % t for at, t in zip(p, form.tile, strict=True)]
        y[..., *p] += x[..., *q] @ w[*bank, ..., *i].T
    return np.asarray(y)


@cases_of(TiledConv)
def tiled_conv(rng):
    none, one = (0, 0), (1, 1)
    for hyper, size, shape in (
        (((1,), (none,), (1,)), (6,), (2, 3, 2, 2)),
        (((2, 1), (one, (0, 2)), (1, 2)), (4, 4), (2, 2, 2, 2, 3, 2)),
        (((1, 2), (none, one), one, True), (3, 3), (2, 2, 2, 2, 2, 2)),
        (((1, 1, 1), "same", (1, 1, 1)), (2, 3, 2), (1, 2, 2, 2, 2, 1, 2, 2)),
    ):
        op, x, w = TiledConv(*hyper), rng.standard_normal((2, 2, *size)), rng.standard_normal(shape)
        y = by_loops(op, x, w)
        yield Case(op, (x, w), y, (x[:, :1], w), "channels")
        yield Case(op, (x, w), y, (x, w[0]), "of the tile")
        yield Case(op, (x, w), y, (x, np.repeat(w, 9, 0)), "a bank for each" if op.local else "no larger than")


@cases_of(ToeplitzMatmul)
def toeplitz_matmul(rng):
    for conv, x, w, _ in convolutions(rng):
        op, vec = ToeplitzMatmul(conv, x.shape[1:], w.shape), x.reshape(len(x), -1)
        yield Case(op, (w, vec), correlation(conv, x, w).reshape(len(x), -1), (w, vec[:, 1:]), "vec")
