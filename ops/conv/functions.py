"""The public functions: PyTorch's names and arguments, the same for one, two and three spatial axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.linear import Apply, Selection
from minigraph.node import Node, Spec
from minigraph.op import expect
from minigraph.ops.conv.algorithm import known
from minigraph.ops.conv.geometry import integers, paddings, pairs
from minigraph.ops.conv.slots import Conv, ConvInputGradient


def conv1d(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    algorithm: str = "auto",
    flip: bool = False,
) -> Any:
    """Convolution over one axis: x (N, C, W), w (K, C/groups, f)[, b (K,)] → (N, K, W′); see conv2d."""
    return _conv(1, x, w, b, stride, padding, dilation, groups, algorithm, flip)


def conv2d(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    algorithm: str = "auto",
    flip: bool = False,
) -> Any:
    """Convolution over two axes: x (N, C, H, W), w (K, C/groups, f, f)[, b (K,)] → (N, K, H′, W′).

    y[n, k, p] = Σ x[n, c, p · stride + i · dilation − padding] w[k, c, i] + b[k]: cross-correlation, as in
    PyTorch; ``flip`` rotates the filter by 180° for convolution in the sense of mathematics.
    H′ = ⌊(H + 2 padding − dilation (f − 1) − 1) / stride⌋ + 1; columns and rows left over are dropped.
    ∂vec(y)/∂vec(x) = M_F (``conv_matrix``), ∂vec(y)/∂vec(w) = M_X (``patch_matrix``).

    stride, dilation: one integer or one for each axis. padding: an integer; one for each axis; before and
    after for each axis (top, bottom, left, right); "valid"; or "same" (stride 1; an odd rest goes after).
    groups: channels and filters in so many groups that do not mix. algorithm: "auto", "direct", "im2col",
    "toeplitz": one value, computed in different ways.
    Raises ShapeError naming the shapes that do not fit, TypeError for what is not float32 or float64.
    """
    return _conv(2, x, w, b, stride, padding, dilation, groups, algorithm, flip)


def conv3d(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    algorithm: str = "auto",
    flip: bool = False,
) -> Any:
    """Convolution over three axes: x (N, C, D, H, W), w (K, C/groups, f, f, f)[, b (K,)] → (N, K, D′, H′, W′).

    See conv2d.
    """
    return _conv(3, x, w, b, stride, padding, dilation, groups, algorithm, flip)


def conv_transpose1d(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    algorithm: str = "auto",
) -> Any:
    """Transposed convolution: x (N, C, W), w (C, K/groups, f)[, b (K,)] → (N, K, W′); see conv_transpose2d."""
    return _conv_transpose(1, x, w, b, stride, padding, output_padding, groups, dilation, algorithm)


def conv_transpose2d(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    algorithm: str = "auto",
) -> Any:
    """Transposed convolution: x (N, C, H, W), w (C, K/groups, f, f)[, b (K,)] → (N, K, H′, W′).

    The input gradient of conv2d with the same filter and arguments: vec(y) = M_Fᵀ vec(x).
    H′ = (H − 1) stride − 2 padding + dilation (f − 1) + output_padding + 1; ``output_padding`` tells which of
    the sizes that conv2d takes to H is meant, and is smaller than stride or dilation.
    Raises ShapeError, TypeError as conv2d.
    """
    return _conv_transpose(2, x, w, b, stride, padding, output_padding, groups, dilation, algorithm)


def conv_transpose3d(
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    algorithm: str = "auto",
) -> Any:
    """Transposed convolution: x (N, C, D, H, W), w (C, K/groups, f, f, f)[, b (K,)] → (N, K, D′, H′, W′).

    See conv_transpose2d.
    """
    return _conv_transpose(3, x, w, b, stride, padding, output_padding, groups, dilation, algorithm)


def _conv(
    d: int,
    x: Any,
    w: Any,
    b: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    algorithm: str,
    flip: bool,
) -> Any:
    op = f"conv{d}d"
    conv = Conv(
        integers(op, "stride", stride, d),
        paddings(op, padding, d),
        integers(op, "dilation", dilation, d),
        integers(op, "groups", groups, 1)[0],
        known(op, algorithm),
    )
    w = rotated(w) if flip else w
    return conv(x, w) if b is None else conv(x, w, b)


def _conv_transpose(
    d: int,
    x: Any,
    w: Any,
    b: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
    algorithm: str,
) -> Any:
    op = f"conv_transpose{d}d"
    s, dil = integers(op, "stride", stride, d), integers(op, "dilation", dilation, d)
    more = integers(op, "output_padding", output_padding, d, 0)
    fits = all(m < max(a, c) for m, a, c in zip(more, s, dil, strict=True))
    expect(
        fits,
        op,
        "output_padding smaller than stride or dilation",
        output_padding=more,
        stride=s,
        dilation=dil,
    )
    pads = tuple((before, after - m) for (before, after), m in zip(pairs(op, padding, d), more, strict=True))
    transpose = ConvInputGradient(s, pads, dil, integers(op, "groups", groups, 1)[0], known(op, algorithm))
    return transpose(x, w) if b is None else transpose(x, w, b)


def rotated(w: Any) -> Any:
    """The filter w (K, C, *f) turned by 180°; its Jacobian is a permutation."""
    w = w if isinstance(w, Node | Spec) else np.asarray(w)

    def turn(v: Any) -> Any:
        return np.flip(v, tuple(range(2, v.ndim)))

    return Apply(Selection(turn, w.shape, w.shape, w.dtype, turn))(w)
