"""scipy.signal for nodes: convolution and correlation of arrays of up to three axes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minigraph.arguments import expect_choice
from minigraph.op import expect, operand
from minigraph.ops.conv.functions import conv1d, conv2d, conv3d
from minigraph.ops.shape import astype, flip, reshape

__all__ = ["convolve", "convolve2d", "correlate", "correlate2d", "fftconvolve"]
MODES = ("full", "valid", "same")


def windows(name: str, x: Any, w: Any, mode: str, algorithm: str = "auto") -> Any:
    """Σ x[p + i] w[i] for windows of w slid over x with zeros around it: the cross-correlation."""
    expect_choice(name, MODES, mode=mode)
    d = len(x.shape)
    expect(
        1 <= d <= 3 and d == len(w.shape), name, "two arrays of as many axes, one to three", in1=x.shape, in2=w.shape
    )
    pads = {"full": [(k - 1, k - 1) for k in w.shape], "valid": [(0, 0)] * d,
            "same": [((k - 1) // 2, k // 2) for k in w.shape]}[mode]  # fmt: skip
    padded = np.pad(x, pads)
    slide = (conv1d, conv2d, conv3d)[d - 1]
    y = slide(reshape(padded, (1, 1, *padded.shape)), reshape(w, (1, 1, *w.shape)), algorithm=algorithm)
    return reshape(y, y.shape[2:])


def _floats(name: str, in1: Any, in2: Any) -> tuple[Any, Any]:
    a, b = operand(name, in1), operand(name, in2)
    dtype = np.result_type(a.dtype, b.dtype, np.float32)
    a, b = (x if x.dtype == dtype else astype(x, dtype) for x in (a, b))
    return a, b


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """Convolution, Σᵢ in1[p − i] in2[i], as scipy.signal.convolve; ``method``: "auto", "direct" or "fft".

    "full": all positions where they overlap; "valid": where one lies within the other; "same": as many as in1 has, in the
    middle. J by in2: the Toeplitz matrix of in1, and the other way round.
    """
    a, b = _floats("convolve", in1, in2)
    expect_choice("convolve", ("auto", "direct", "fft"), method=method)
    if mode == "valid" and any(m > n for n, m in zip(a.shape, b.shape, strict=False)):
        a, b = b, a
    if mode == "same" and prod(b.shape) > prod(a.shape):
        return _middle(convolve(a, b, "full", method), a.shape)
    turned = flip(b)
    if mode == "same":  # SciPy's middle is one to the left for even kernels
        return _middle(windows("convolve", a, turned, "full", method), a.shape)
    return windows("convolve", a, turned, mode, method)


def _middle(y: Any, shape: tuple[int, ...]) -> Any:
    starts = [(n - m) // 2 for n, m in zip(y.shape, shape, strict=True)]
    return y[tuple(slice(s, s + m) for s, m in zip(starts, shape, strict=True))]


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """Cross-correlation, Σᵢ in1[p + i] in2[i], as scipy.signal.correlate; modes as in convolve."""
    a, b = _floats("correlate", in1, in2)
    if mode == "valid" and any(m > n for n, m in zip(a.shape, b.shape, strict=False)):
        return flip(convolve(b, flip(a), mode, method))
    return convolve(a, flip(b), mode, method)


def fftconvolve(in1: Any, in2: Any, mode: str = "full") -> Any:
    """convolve by the FFT, as scipy.signal.fftconvolve."""
    return convolve(in1, in2, mode, "fft")


def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0) -> Any:
    """Convolution of two matrices, as scipy.signal.convolve2d; ``boundary``: "fill", "wrap" or "symm" beyond in1."""
    a, b = _floats("convolve2d", in1, in2)
    expect(len(a.shape) == 2 == len(b.shape), "convolve2d", "two matrices", in1=a.shape, in2=b.shape)
    expect_choice("convolve2d", ("fill", "wrap", "symm"), boundary=boundary)
    if boundary == "fill" and fillvalue == 0:
        return convolve(a, b, mode)
    if mode == "valid":
        return convolve(a, b, mode)
    width = [(k - 1, k - 1) for k in b.shape]
    words: dict[str, dict[str, Any]] = {"fill": {"constant_values": fillvalue}, "wrap": {"mode": "wrap"},
                                        "symm": {"mode": "symmetric"}}  # fmt: skip
    full = windows("convolve2d", np.pad(a, width, **words[boundary]), flip(b), "valid")
    return full if mode == "full" else _middle(full, a.shape)


def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0) -> Any:
    """Cross-correlation of two matrices, as scipy.signal.correlate2d."""
    a, b = _floats("correlate2d", in1, in2)
    if mode != "same":
        return convolve2d(a, flip(b), mode, boundary, fillvalue)
    full = convolve2d(a, flip(b), "full", boundary, fillvalue)
    return full[tuple(slice(k // 2, k // 2 + n) for k, n in zip(b.shape, a.shape, strict=True))]
