"""The public functions: PyTorch's names and arguments, the same for one, two and three spatial axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minigraph.kernels import tasks
from minigraph.kernels.onednn import PROBLEM
from minigraph.node import Node, Spec
from minigraph.op import expect
from minigraph.ops.conv.slots import Conv, ConvInputGradient
from minigraph.ops.geometry import expect_axes, integers, over_axes, paddings, pairs, shape_of
from minigraph.ops.shape import flip as flip_axes
from minigraph.ops.shape import pad

# padding_mode: (NumPy's word, by how much the padding must be shorter than the image)
MODES: dict[str, tuple[str, int | None]] = {
    "reflect": ("reflect", 1),
    "replicate": ("edge", None),
    "circular": ("wrap", 0),
}


def _conv(
    d: int,
    x: Any,
    w: Any,
    b: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    algorithm: str = "auto",
    flip: bool = False,
) -> Any:
    """Convolution: x (N, C, H, W), w (K, C/groups, f, f)[, b (K,)] → (N, K, H′, W′).

    y[n, k, p] = Σ x[n, c, p · stride + i · dilation − padding] w[k, c, i] + b[k]: cross-correlation, as in
    PyTorch. ``flip`` rotates the filter by 180°, which gives convolution as mathematics defines it.
    W′ = ⌊(W + 2 padding − dilation (f − 1) − 1) / stride⌋ + 1; pixels left over at the end are dropped.
    ∂vec(y)/∂vec(x) = M_F (``conv_matrix``), ∂vec(y)/∂vec(w) = M_X (``patch_matrix``).

    stride, dilation: one integer, or one per axis. padding: one integer; one per axis; two per axis, before and after
    (top, bottom, left, right); "valid"; or "same" (stride 1 only; an odd remainder goes after).
    groups: the number of groups into which channels and filters are divided; groups do not mix.
    padding_mode: the content of the padding, "zeros", "reflect" (without the edge), "replicate" or "circular". All but
    "zeros" are applied by ``np.pad`` first.
    algorithm: all compute the same result. "direct", "im2col", "fft" and "toeplitz" support any geometry. "winograd" and
    "winograd2" support 3×3 kernels with stride and dilation 1; "winograd" loses a digit or two in float32. "depthwise"
    needs as many groups as channels and filters. All but "direct" may spread a NaN to neighbouring outputs. "auto" chooses
    the algorithm with the lowest estimated cost: see ``precision`` and ``autotune``.
    Raises ShapeError if shapes do not fit, TypeError for dtypes other than float32 and float64, and ValueError for an
    unknown algorithm or one that does not support the geometry.
    """
    op = f"conv{d}d"
    conv = Conv(
        integers(op, "stride", stride, d),
        paddings(op, padding, d),
        integers(op, "dilation", dilation, d),
        integers(op, "groups", groups, 1)[0],
        expect_algorithm(op, algorithm),
    )
    if not isinstance(padding_mode, str) or padding_mode != "zeros":
        x, conv = _padded(conv, x, w, padding_mode), replace(conv, padding=((0, 0),) * d)
    w = flip_axes(w, tuple(range(2, d + 2))) if flip else w
    return conv(x, w) if b is None else conv(x, w, b)


conv1d, conv2d, conv3d = over_axes(_conv)


def expect_algorithm(op: str, name: str) -> str:
    """``name`` if it is an algorithm; raises ValueError otherwise."""
    names = ["auto", *tasks.algorithms()]
    if not isinstance(name, str) or name not in names:
        why = f" ({PROBLEM})" if isinstance(name, str) and name == "onednn" else ""
        raise ValueError(f"{op}: got algorithm {name!r}; wanted one of {', '.join(names)}{why}")
    return name


def _padded(op: Conv, x: Any, w: Any, mode: str) -> Any:
    """The image with padding that repeats or mirrors its pixels. Raises ShapeError if the image is too small."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"{op}: got padding_mode {mode!r}; wanted one of zeros, {', '.join(MODES)}")
    x = x if isinstance(x, Node | Spec) else np.asarray(x)
    spec, d = Spec(x.shape, x.dtype, getattr(x, "name", None)), len(op.stride)
    expect_axes(op, d, "N, C", x=spec)
    expect_axes(op, d, "K, C/groups", w=Spec(shape_of(w)))
    padding = op.window(spec, Spec(shape_of(w))).padding
    numpy_mode, spare = MODES[mode]
    valid = all(spare is None or max(pad) + spare <= n for n, pad in zip(x.shape[2:], padding, strict=True))
    expect(valid, op, f"padding of the image's side at most, for 'reflect' less, not {padding}", x=spec)
    return pad(x, ((0, 0), (0, 0), *padding), numpy_mode)


def _conv_transpose(
    d: int,
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
    W′ = (W − 1) stride − 2 padding + dilation (f − 1) + output_padding + 1. With a stride, conv2d maps several sizes W′ to
    the same W; ``output_padding``, smaller than stride or dilation, chooses one of them. Raises the errors of conv2d.
    """
    op = f"conv_transpose{d}d"
    s, dil = integers(op, "stride", stride, d), integers(op, "dilation", dilation, d)
    extra = integers(op, "output_padding", output_padding, d, 0)
    valid = all(m < max(a, c) for m, a, c in zip(extra, s, dil, strict=True))
    expect(
        valid,
        op,
        "output_padding smaller than stride or dilation",
        output_padding=extra,
        stride=s,
        dilation=dil,
    )
    hyper = s, pairs(op, padding, d), dil, integers(op, "groups", groups, 1)[0], expect_algorithm(op, algorithm)
    transpose = ConvInputGradient(*hyper, extra)
    return transpose(x, w) if b is None else transpose(x, w, b)


conv_transpose1d, conv_transpose2d, conv_transpose3d = over_axes(_conv_transpose)
