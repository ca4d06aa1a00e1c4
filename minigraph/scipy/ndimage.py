"""scipy.ndimage for nodes: filters of images of up to three axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial import Polynomial

from minigraph.arguments import expect_choice, expect_positive
from minigraph.op import expect, operand
from minigraph.ops.shape import astype, axis_of, flip, moveaxis, reshape
from minigraph.scipy.signal import windows

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "uniform_filter",
]
# SciPy's word for what lies beyond the image: NumPy's
MODES = {"reflect": "symmetric", "constant": "constant", "nearest": "edge", "mirror": "reflect", "wrap": "wrap",
         "grid-mirror": "symmetric", "grid-constant": "constant", "grid-wrap": "wrap"}  # fmt: skip


def correlate(input: Any, weights: Any, mode: str = "reflect", cval: float = 0.0, origin: Any = 0) -> Any:
    """Σᵢ input[p + i] weights[i], weights centred, as scipy.ndimage.correlate: (S), (T) → (S).

    ``mode``: "reflect" (d c b a | a b c d), "constant" (``cval``), "nearest", "mirror" (d c b | a b c d) or "wrap".
    """
    expect_choice("correlate", tuple(MODES), mode=mode)
    x, w = operand("correlate", input), operand("correlate", weights)
    x = x if x.dtype.kind == "f" else astype(x, np.float64)
    w = w if w.dtype == x.dtype else astype(w, x.dtype)
    expect(
        len(x.shape) == len(w.shape), "correlate", "weights of as many axes as input", input=x.shape, weights=w.shape
    )
    origins = [origin] * len(x.shape) if np.ndim(origin) == 0 else list(origin)
    for k, o in zip(w.shape, origins, strict=True):
        if not -(k // 2) <= o <= (k - 1) // 2:
            raise ValueError(f"correlate: got origin {origin} for weights {w.shape}; wanted one within them")
    pads = [(k // 2 + o, k - 1 - k // 2 - o) for k, o in zip(w.shape, origins, strict=True)]
    given = {"constant_values": cval} if MODES[mode] == "constant" else {}
    return windows("correlate", np.pad(x, pads, MODES[mode], **given), w, "valid")  # type: ignore[call-overload]


def convolve(input: Any, weights: Any, mode: str = "reflect", cval: float = 0.0, origin: Any = 0) -> Any:
    """Σᵢ input[p − i] weights[i], as scipy.ndimage.convolve; see correlate."""
    w = operand("convolve", weights)
    origins = [origin] * len(w.shape) if np.ndim(origin) == 0 else list(origin)
    turned = [-o - (k % 2 == 0) for o, k in zip(origins, w.shape, strict=True)]
    return correlate(input, flip(w), mode, cval, turned)


def correlate1d(
    input: Any, weights: Any, axis: int = -1, mode: str = "reflect", cval: float = 0.0, origin: int = 0
) -> Any:
    """correlate with a vector along one axis, as scipy.ndimage.correlate1d."""
    x, w = operand("correlate1d", input), operand("correlate1d", weights)
    axis = axis_of("correlate1d", axis, len(x.shape))
    lines = moveaxis(x, axis, -1)
    flat = reshape(lines, (-1, lines.shape[-1]))
    y = correlate(flat, reshape(w, (1, -1)), mode, cval, (0, origin))
    return moveaxis(reshape(y, lines.shape), -1, axis)


def convolve1d(
    input: Any, weights: Any, axis: int = -1, mode: str = "reflect", cval: float = 0.0, origin: int = 0
) -> Any:
    """convolve with a vector along one axis, as scipy.ndimage.convolve1d."""
    w = operand("convolve1d", weights)
    return correlate1d(input, flip(w), axis, mode, cval, -origin - (w.size % 2 == 0))


def gaussian_filter1d(
    input: Any,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
) -> Any:
    """input convolved with a Gaussian, or with its derivative of an order, as scipy.ndimage.gaussian_filter1d."""
    expect_positive("gaussian_filter1d", sigma=sigma, truncate=truncate)
    radius = int(truncate * sigma + 0.5)
    t = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (t / sigma) ** 2)
    weights /= weights.sum()
    factor = Polynomial([1.0])
    for _ in range(order):  # (p φ)′ = (p′ − t/σ² p) φ
        factor = factor.deriv() - factor * Polynomial([0, 1 / sigma**2])
    return convolve1d(input, factor(t) * weights, axis, mode, cval)


def gaussian_filter(
    input: Any, sigma: Any, order: Any = 0, mode: str = "reflect", cval: float = 0.0, truncate: float = 4.0
) -> Any:
    """input blurred by a Gaussian along every axis, as scipy.ndimage.gaussian_filter; ``sigma``: one, or one for each axis."""
    y = operand("gaussian_filter", input)
    d = len(y.shape)
    sigmas, orders = (list(v) if np.ndim(v) else [v] * d for v in (sigma, order))
    for axis, (s, o) in enumerate(zip(sigmas, orders, strict=True)):
        y = gaussian_filter1d(y, s, axis, o, mode, cval, truncate) if s else y
    return y


def uniform_filter(input: Any, size: Any = 3, mode: str = "reflect", cval: float = 0.0, origin: int = 0) -> Any:
    """The mean of a window around each pixel, as scipy.ndimage.uniform_filter."""
    y = operand("uniform_filter", input)
    sizes = list(size) if np.ndim(size) else [size] * len(y.shape)
    for axis, k in enumerate(sizes):
        y = correlate1d(y, np.full(k, 1 / k), axis, mode, cval, origin) if k > 1 else y
    return y
