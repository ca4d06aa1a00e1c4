"""Functions of images that are composed of ops, by PyTorch's names: padding, patches, pooling, resampling by a grid."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from minigraph.arguments import expect_choice, expect_flags, expect_positive
from minigraph.node import value_of
from minigraph.op import expect, operand
from minigraph.ops.elementwise import absolute, maximum, minimum, power, where
from minigraph.ops.geometry import integers, over_axes, pairs, shape_of
from minigraph.ops.pool import avg_pool1d, avg_pool2d, avg_pool3d
from minigraph.ops.products import einsum, matmul
from minigraph.ops.shape import concatenate, expand_dims, ravel, reshape, take, take_along_axis, transpose
from minigraph.ops.shape import pad as pad_axes
from minigraph.random import generator

__all__ = [
    "affine_grid", "channel_shuffle", "fold", "fractional_max_pool2d", "fractional_max_pool3d", "grid_sample", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_unpool1d",
    "max_unpool2d", "max_unpool3d", "pad", "pixel_shuffle", "pixel_unshuffle", "unfold",
]  # fmt: skip
PADDING = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Padding of the last axes: ``pad`` = (before, after) of the last, then of the one before it, and so on.

    ``mode``: "constant", "reflect", "replicate" or "circular". Negative numbers cut. J selects.
    """
    x = operand("pad", input)
    expect_choice("pad", tuple(PADDING), mode=mode)
    n = len(pad)
    expect(n % 2 == 0 and n // 2 <= len(x.shape), "pad", f"at most {len(x.shape)} pairs", x=x.shape, pad=pad)
    widths = [(0, 0)] * (len(x.shape) - n // 2) + [(pad[i], pad[i + 1]) for i in range(n - 2, -1, -2)]
    x = x[tuple(slice(max(-b, 0), side - max(-a, 0)) for (b, a), side in zip(widths, x.shape, strict=True))]
    widths = [(max(b, 0), max(a, 0)) for b, a in widths]
    if mode != "constant":
        return pad_axes(x, widths, PADDING[mode])
    return pad_axes(x, widths, constant_values=0 if value is None else value)


# --- rearrangements ----------------------------------------------------------------------------------------


def pixel_shuffle(x: Any, upscale_factor: int) -> Any:
    """x (…, C r², H, W) → (…, C, H r, W r). J is a permutation. Shi et al. 2016."""
    x, r = operand("pixel_shuffle", x), upscale_factor
    valid = len(x.shape) >= 3 and r > 0 and x.shape[-3] % (r * r) == 0
    expect(valid, "pixel_shuffle", f"x (…, C·{r}², H, W)", x=x.shape)
    *N, C, H, W = x.shape
    parts, n = reshape(x, (*N, C // (r * r), r, r, H, W)), len(N)
    order = (*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return reshape(transpose(parts, order), (*N, C // (r * r), H * r, W * r))


def pixel_unshuffle(x: Any, downscale_factor: int) -> Any:
    """x (…, C, H r, W r) → (…, C r², H, W), the inverse of pixel_shuffle. J is a permutation."""
    x, r = operand("pixel_unshuffle", x), downscale_factor
    valid = len(x.shape) >= 3 and r > 0 and x.shape[-2] % r == 0 == x.shape[-1] % r
    expect(valid, "pixel_unshuffle", f"x (…, C, H, W) with sides that {r} divides", x=x.shape)
    *N, C, H, W = x.shape
    parts, n = reshape(x, (*N, C, H // r, r, W // r, r)), len(N)
    order = (*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return reshape(transpose(parts, order), (*N, C * r * r, H // r, W // r))


def channel_shuffle(x: Any, groups: int) -> Any:
    """The channels of x (N, C, …) with those of the groups in turn. J is a permutation. Zhang et al. 2018 (ShuffleNet)."""
    x = operand("channel_shuffle", x)
    valid = len(x.shape) > 2 and groups > 0 and x.shape[1] % groups == 0
    expect(valid, "channel_shuffle", f"x (N, C, …) whose C {groups} divides", x=x.shape)
    order = np.arange(x.shape[1]).reshape(groups, -1).T.ravel()
    return take(x, order, 1)


# --- patches -----------------------------------------------------------------------------------------------


def _patches(name: str, size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """The padded size, the padding, and the pixels (r, L) of a padded plane: those of each tap in each window."""
    kernel, dilations = (integers(name, n, v, 2) for n, v in (("kernel_size", kernel_size), ("dilation", dilation)))
    steps, pads = integers(name, "stride", stride, 2), pairs(name, padding, 2)
    padded = tuple(n + b + a for n, (b, a) in zip(size, pads, strict=True))
    out = [(n - d * (f - 1) - 1) // s + 1 for n, f, d, s in zip(padded, kernel, dilations, steps, strict=True)]
    expect(min(out) > 0, name, f"a kernel no larger than the padded image {padded}", kernel_size=kernel_size)
    rows, columns = (
        np.add.outer(np.arange(f) * d, np.arange(o) * s)
        for f, d, o, s in zip(kernel, dilations, out, steps, strict=True)
    )
    pixels = rows[:, None, :, None] * padded[1] + columns[None, :, None, :]
    return padded, pads, pixels.reshape(prod(kernel), prod(out))


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The patches that a window sees, im2col: x (N, C, H, W) → (N, C r, L), r taps, L windows. J selects."""
    x = operand("unfold", input)
    if len(x.shape) == 3:
        return unfold(expand_dims(x, 0), kernel_size, dilation, padding, stride)[0]
    expect(len(x.shape) == 4, "unfold", "x (N, C, H, W) or (C, H, W)", x=x.shape)
    N, C = x.shape[:2]
    padded, pads, pixels = _patches("unfold", x.shape[2:], kernel_size, dilation, padding, stride)
    planes = reshape(pad_axes(x, ((0, 0), (0, 0), *pads)), (N, C, prod(padded)))
    return reshape(take(planes, pixels, 2), (N, C * pixels.shape[0], pixels.shape[1]))


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Patches added where they come from, the transpose of unfold: x (N, C r, L) → (N, C, H, W). J = that of unfold, transposed."""
    x = operand("fold", input)
    if len(x.shape) == 2:
        return fold(expand_dims(x, 0), output_size, kernel_size, dilation, padding, stride)[0]
    size = integers("fold", "output_size", output_size, 2)
    padded, pads, pixels = _patches("fold", size, kernel_size, dilation, padding, stride)
    r, L = pixels.shape
    valid = len(x.shape) == 3 and x.shape[1] % r == 0 and x.shape[2] == L
    expect(valid, "fold", f"x (N, C·{r}, {L}) for output_size {size}", x=x.shape)
    N, C = x.shape[0], x.shape[1] // r
    places = sp.csr_array((np.ones(pixels.size), (pixels.ravel(), np.arange(pixels.size))), (prod(padded), r * L))
    planes = transpose(matmul(places.astype(x.dtype), transpose(reshape(x, (N * C, r * L)))))
    (top, _), (left, _) = pads
    return reshape(planes, (N, C, *padded))[:, :, top : top + size[0], left : left + size[1]]


# --- pooling -----------------------------------------------------------------------------------------------


def _lp_pool(
    d: int, input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The p-norm of each window, (Σ xᵖ)^(1/p), p = ``norm_type``: x (N, C, H, W) → (N, C, H′, W′). Sums below 0 give 0."""
    name = f"lp_pool{d}d"
    expect_positive(name, norm_type=norm_type)
    x, average = operand(name, input), (avg_pool1d, avg_pool2d, avg_pool3d)[d - 1]
    taps = prod(integers(name, "kernel_size", kernel_size, d))
    means = average(power(x, x.dtype.type(norm_type)), kernel_size, stride, 0, ceil_mode)
    return power(maximum(means, 0) * taps, x.dtype.type(1 / norm_type))


def _max_unpool(
    d: int, input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Each entry at the pixel its maximum came from, zeros elsewhere: x (N, C, H, W) → (N, C, H′, W′). J is 0/1.

    ``indices``: of max_pool2d with ``return_indices``; ``output_size``: where several sizes give H × W. Zeiler et al. 2011.
    """
    name, index = f"max_unpool{d}d", np.asarray(value_of(indices))
    x = operand(name, input)
    index = index if index.ndim == len(x.shape) else index[None]
    expect(
        len(x.shape) == d + 2 and index.shape == x.shape, name, "indices of x's shape", x=x.shape, indices=index.shape
    )
    kernel = integers(name, "kernel_size", kernel_size, d)
    steps, pads = kernel if stride is None else integers(name, "stride", stride, d), pairs(name, padding, d)
    size = tuple((n - 1) * s - b - a + k for n, s, k, (b, a) in zip(x.shape[2:], steps, kernel, pads, strict=True))
    if output_size is not None:
        size = integers(name, "output_size", tuple(output_size)[-d:], d)
    planes, pixels = prod(x.shape[:2]), prod(size)
    if index.size and not (0 <= index.min() and index.max() < pixels):
        raise ValueError(f"{name}: got indices from {index.min()} to {index.max()}; wanted 0 to {pixels - 1}")
    source = np.full((planes, pixels), x.size)  # the entry behind the last is zero
    np.put_along_axis(source, index.reshape(planes, -1), np.arange(x.size).reshape(planes, -1), 1)
    padded = concatenate([ravel(x), np.zeros(1, x.dtype)])
    return reshape(take(padded, source), (*x.shape[:2], *size))


def _fractional_max_pool(
    d: int, input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Any = None, rng: Any = None,
) -> Any:  # fmt: skip
    """Maxima of windows at random, on average evenly spaced places: x (N, C, H, W) → (N, C, H′, W′). J is 0/1. Graham 2014.

    Give ``output_size`` or ``output_ratio``, its part of the image's side; ``rng`` draws the places, or ``_random_samples``
    (N, C, d) from 0 to 1 are their offsets.
    """
    name = f"fractional_max_pool{d}d"
    x = operand(name, input)
    kernel, (N, C, *sides) = integers(name, "kernel_size", kernel_size, d), x.shape
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{name}: got output_size {output_size} and output_ratio {output_ratio}; wanted one of them")
    if output_size is None:
        ratios = output_ratio if np.ndim(output_ratio) else [output_ratio] * d
        output_size = tuple(int(n * r) for n, r in zip(sides, ratios, strict=True))
    out = integers(name, "output_size", output_size, d)
    fits = all(o + k - 1 <= n for o, k, n in zip(out, kernel, sides, strict=True))
    expect(
        fits, name, "an output_size that leaves room for the windows", x=x.shape, output_size=out, kernel_size=kernel
    )
    samples = generator(rng, name).random((N, C, d)) if _random_samples is None else np.asarray(_random_samples)
    pixels: Any = np.zeros((N, C), int)
    for i, (n, o, k) in enumerate(zip(sides, out, kernel, strict=True)):
        sample = samples[..., d - 1 - i if d == 2 else i, None]  # PyTorch's first of two is horizontal
        steps = (np.arange(o) + sample) * ((n - k) / max(o - 1, 1))
        starts = steps.astype(int) - (sample * ((n - k) / max(o - 1, 1))).astype(int)
        starts[..., -1] = n - k
        places = starts[..., None] + np.arange(k)
        pixels = pixels[..., None, None] * n + places.reshape(N, C, *[1] * (2 * i), o, k)
    order = (0, 1, *range(2, 2 + 2 * d, 2), *range(3, 3 + 2 * d, 2))
    windows = pixels.transpose(order).reshape(N, C, prod(out), prod(kernel))
    planes = reshape(x, (N, C, prod(sides)))
    values = np.take_along_axis(np.asarray(value_of(planes))[:, :, None], windows, 3)
    index = np.take_along_axis(windows, values.argmax(-1)[..., None], 3)[..., 0]
    y = reshape(take_along_axis(planes, index, 2), (N, C, *out))
    return (y, index.reshape(N, C, *out)) if return_indices else y


lp_pool1d, lp_pool2d, lp_pool3d = over_axes(_lp_pool)
_, fractional_max_pool2d, fractional_max_pool3d = over_axes(_fractional_max_pool)
max_unpool1d, max_unpool2d, max_unpool3d = over_axes(_max_unpool)


# --- resampling by a grid (Jaderberg et al. 2015) ----------------------------------------------------------


def affine_grid(theta: Any, size: Sequence[int], align_corners: bool = False) -> Any:
    """The points that affine maps theta (N, 2, 3) take the pixels' centres to, from −1 to 1: → (N, H, W, 2), x before y.

    ``size``: (N, C, H, W); three axes likewise, (N, 3, 4). J are the centres.
    """
    theta, (N, _, *sides) = operand("affine_grid", theta), size
    d = len(sides)
    expect(theta.shape == (N, d, d + 1), "affine_grid", f"theta ({N}, {d}, {d + 1})", theta=theta.shape)
    lines = [np.linspace(-1, 1, n) * (1 if align_corners else (n - 1) / n) if n > 1 else np.zeros(1) for n in sides]
    centres = np.stack([*reversed(np.meshgrid(*lines, indexing="ij")), np.ones(sides)], -1).astype(theta.dtype)
    return reshape(einsum("pj,nij->npi", centres.reshape(-1, d + 1), theta), (N, *sides, d))


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Any:
    """x (N, C, H, W) at the points of grid (N, H′, W′, 2), x before y, from −1 to 1: → (N, C, H′, W′).

    ``mode``: "bilinear", "nearest", or "bicubic" for two axes; ``padding_mode``: what lies beyond the image, "zeros", "border" or "reflection".
    Three spatial axes likewise, with grid (N, D′, H′, W′, 3). J by x: the weights of the pixels; by grid: differences of
    neighbouring pixels.
    """
    x, grid, d = operand("grid_sample", input), operand("grid_sample", grid), len(shape_of(input)) - 2
    expect_choice("grid_sample", ("bilinear", "nearest", "bicubic"), mode=mode)
    expect_choice("grid_sample", ("zeros", "border", "reflection"), padding_mode=padding_mode)
    expect_flags("grid_sample", align_corners=align_corners)
    N, C, *sides = x.shape
    valid = (
        d in ((2,) if mode == "bicubic" else (2, 3))
        and len(grid.shape) == d + 2
        and grid.shape[0] == N
        and grid.shape[-1] == d
    )
    expect(valid, "grid_sample", f"grid ({N}, …, {d}) with as many spatial axes as x", x=x.shape, grid=grid.shape)
    at = []
    for i, n in enumerate(sides):  # from −1 … 1 to pixels
        p = grid[..., d - 1 - i]
        p = (p + 1) * ((n - 1) / 2) if align_corners else ((p + 1) * n - 1) / 2
        at.append(p if mode == "bicubic" else _inside(p, n, padding_mode, align_corners))
    planes, sample = reshape(x, (N, C, prod(sides))), np.arange(N).reshape(-1, *[1] * (d + 1))
    channel = np.arange(C).reshape(1, -1, *[1] * d)
    total: Any = 0.0
    for corner in np.ndindex(*[{"nearest": 1, "bilinear": 2, "bicubic": 4}[mode]] * d):
        weight: Any = 1.0
        pixel, inside = np.zeros((), int), np.ones((), bool)
        for p, n, up in zip(at, sides, corner, strict=True):
            value = np.asarray(value_of(p))
            near = np.rint(value) if mode == "nearest" else np.floor(value) + up - (mode == "bicubic")
            if mode != "nearest":
                weight = weight * (_cubic(absolute(p - near)) if mode == "bicubic" else 1 - absolute(p - near))
            if mode == "bicubic":
                near = np.rint(_inside(near, n, padding_mode, align_corners))
            inside = inside & (near >= 0) & (near <= n - 1)
            pixel = pixel * n + np.clip(np.nan_to_num(near), 0, n - 1).astype(int)
        weight = where(inside, weight, 0) if mode != "nearest" else inside.astype(x.dtype)
        total = total + planes[sample, channel, pixel[:, None]] * expand_dims(weight, 1)
    return total


def _cubic(t: Any) -> Any:
    """The kernel of Keys 1981 at distances t from 0 to 2, with a = −3/4."""
    a = -0.75
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, (((t - 5) * t + 8) * t - 4) * a
    return where(value_of(t) <= 1, near, far)


def _inside(p: Any, n: int, padding_mode: str, align_corners: bool) -> Any:
    """Positions beyond the image moved into it: to its border, or mirrored there."""
    if padding_mode == "zeros":
        return p
    if padding_mode == "reflection":
        low, span = (0.0, n - 1) if align_corners else (-0.5, n)
        if span == 0:
            return p * 0
        t = absolute(p - low)
        flips = np.floor(np.asarray(value_of(t)) / span)
        t = t - flips * span
        p = where(flips % 2 == 0, t, span - t) + low
    return minimum(maximum(p, 0), n - 1)
