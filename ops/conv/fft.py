"""Convolution by fast Fourier transforms: on a torus it is a product, frequency by frequency.

Mathieu, Henaff and LeCun, "Fast Training of Convolutional Networks through FFTs", 2014.

On each axis pixel q, tap i and output p meet where q + before = p · stride + i · dilation. So lay the pixels at the
sites q + before of a torus, the taps at i · dilation and the outputs at p · stride, with zeros between and enough room
that nothing wraps around: then the form is Σ x̂[t + u] ŵ[t] ŷ[u] whatever the stride and the dilation, and each slot is
the product of the other two's spectra, one of them conjugated where it is a correlation. The channels of a frequency
are one matrix product. The cost does not depend on the kernel's size; a stride saves nothing. A NaN or an infinity
spreads over its plane.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
import scipy  # scipy.fft loads when first used

from minigraph.array import Array
from minigraph.ops.conv.algorithm import ALGORITHMS, Algorithm, Kernel, Work
from minigraph.ops.conv.direct import grouped
from minigraph.ops.conv.geometry import Ints, Window
from minigraph.parallel import matmul, ranges, threads

SPECTRA_BYTES = 32 << 20  # of a block of the batch
PARALLEL = 1 << 18  # entries from which the transforms take all threads


class Torus(NamedTuple):
    """The sites of one geometry, as slices: ``seen`` are the pixels that a window reaches, on the image itself."""

    sides: Ints
    seen: tuple[slice, ...]
    pixels: tuple[slice, ...]
    taps: tuple[slice, ...]
    outputs: tuple[slice, ...]

    @classmethod
    def of(cls, window: Window) -> Torus:
        before, padding = [b for b, _ in window.padding], window.exact.padding
        room = [n + b + a for n, (b, a) in zip(window.size, padding, strict=True)]
        seen = [min(n, max(0, r - b)) for n, b, r in zip(window.size, before, room, strict=True)]
        return cls(
            tuple(scipy.fft.next_fast_len(r, real=True) for r in room),
            tuple(slice(m) for m in seen),
            tuple(slice(b, b + m) for b, m in zip(before, seen, strict=True)),
            tuple(slice(0, e, d) for e, d in zip(window.extent, window.dilation, strict=True)),
            tuple(slice(0, (o - 1) * s + 1, s) for o, s in zip(window.out, window.stride, strict=True)),
        )

    @property
    def axes(self) -> range:
        return range(len(self.sides))

    def spectrum(self, array: Array, sites: tuple[slice, ...], dtype: Any) -> Array:
        """(*sites, groups, a, b) → (*frequencies, groups, a, b)."""
        laid = np.zeros((*self.sides, *array.shape[len(self.sides) :]), dtype)
        laid[sites] = array
        return np.asarray(scipy.fft.rfftn(laid, axes=self.axes, workers=workers(laid)))

    def values(self, spectrum: Array, sites: tuple[slice, ...]) -> Array:
        """(*frequencies, groups, a, b) → (*sites, groups, a, b)."""
        return np.asarray(scipy.fft.irfftn(spectrum, self.sides, axes=self.axes, workers=workers(spectrum))[sites])

    def blocks(self, x: Array, y: Array) -> Any:
        """The batch in blocks whose spectra take about SPECTRA_BYTES."""
        complex_bytes = 2 * np.result_type(x, y).itemsize
        frequencies = int(np.prod(self.sides)) // 2 + 1
        return ranges(len(x), SPECTRA_BYTES // (frequencies * complex_bytes * max(x.shape[1] + y.shape[1], 1)))


def workers(array: Array) -> int:
    """Threads for a transform: one for a small one."""
    return threads() if array.size >= PARALLEL else 1


def planes(array: Array, groups: int) -> Array:
    """A view of images (N, C, *n) as (*n, groups, N, C/groups)."""
    return grouped(array, groups, 1).swapaxes(-3, -2)


def real(kernel: Kernel) -> Kernel:
    """The bilinear ``kernel`` for complex arrays too: real and imaginary parts apart, so that neither blurs the other."""

    def by_parts(a: Array, b: Array, window: Window, groups: int) -> Array:
        if a.dtype.kind == "c":
            return by_parts(a.real, b, window, groups) + 1j * by_parts(a.imag, b, window, groups)
        if b.dtype.kind == "c":
            return by_parts(a, b.real, window, groups) + 1j * by_parts(a, b.imag, window, groups)
        return kernel(a, b, window, groups)

    return by_parts


def forward(x: Array, w: Array, window: Window, groups: int) -> Array:
    """Ŷ = X̂ · conj(Ŵ)ᵀ at every frequency: (N, C) · (C, K)."""
    torus, y = Torus.of(window), np.empty((len(x), len(w), *window.out), np.result_type(x, w))
    W = torus.spectrum(grouped(w, groups, 0), torus.taps, y.dtype).conj().swapaxes(-1, -2)
    for block in torus.blocks(x, y):
        X = torus.spectrum(planes(x[block], groups)[torus.seen], torus.pixels, y.dtype)
        planes(y[block], groups)[...] = torus.values(matmul(X, W), torus.outputs)
    return y


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """X̂ = Ĝ · Ŵ at every frequency: (N, K) · (K, C)."""
    torus, x = Torus.of(window), np.zeros((len(g), w.shape[1] * groups, *window.size), np.result_type(g, w))
    W = torus.spectrum(grouped(w, groups, 0), torus.taps, x.dtype)
    for block in torus.blocks(g, x):
        G = torus.spectrum(planes(g[block], groups), torus.outputs, x.dtype)
        planes(x[block], groups)[torus.seen] = torus.values(matmul(G, W), torus.pixels)
    return x


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """Ŵ = conj(Ĝ)ᵀ · X̂ at every frequency: (K, N) · (N, C)."""
    torus = Torus.of(window)
    w = np.zeros((g.shape[1], x.shape[1] // groups, *window.kernel), np.result_type(x, g))
    for block in torus.blocks(x, g):
        X = torus.spectrum(planes(x[block], groups)[torus.seen], torus.pixels, w.dtype)
        G = torus.spectrum(planes(g[block], groups), torus.outputs, w.dtype)
        grouped(w, groups, 0)[...] += torus.values(matmul(G.conj().swapaxes(-1, -2), X), torus.taps)
    return w


def cost(work: Work) -> float:
    """Seconds of a core: the transforms of all planes, and the products of frequencies."""
    sites = prod(Torus.of(work.window).sides)
    planes = work.N * (work.C + work.K) + work.C * work.K // work.groups
    single = 1e-9 * sites * (3.8 * planes + 0.085 * work.N * work.C * work.K // work.groups)
    return single if work.dtype == np.float32 else 1.5 * single


ALGORITHMS["fft"] = Algorithm(real(forward), real(input_gradient), real(filter_gradient), cost=cost)
