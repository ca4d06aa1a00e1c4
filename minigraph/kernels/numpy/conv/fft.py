"""Convolution by fast Fourier transforms: on a torus it is a product, frequency by frequency.

Mathieu, Henaff and LeCun, "Fast Training of Convolutional Networks through FFTs", 2014.

On each axis pixel q, tap i and output p meet where q + before = p · stride + i · dilation. So lay the pixels at the
sites q + before of a torus, the taps at i · dilation and the outputs at p · stride, with zeros between and enough room
that nothing wraps around: then the form is Σ x̂[t + u] ŵ[t] ŷ[u] whatever the stride and the dilation, and each slot is
the product of the other two's spectra, one of them conjugated where it is a correlation. The channels of a frequency
are one matrix product. The cost does not depend on the kernel's size; a stride saves nothing. A NaN or an infinity
spreads over its plane, and so does what rounding leaves of the largest entry. So transforms are in double precision for
float32 too, and "auto" looks at the data first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np
import scipy  # scipy.fft loads when first used

from minigraph.kernels.numpy.conv.direct import grouped
from minigraph.kernels.numpy.products import matmul
from minigraph.kernels.numpy.threads import slices, threads
from minigraph.kernels.tasks import ConvProblem, register_convolution
from minigraph.kernels.window import Array, Ints, Window

SPECTRA_BYTES = 32 << 20  # of a block of the batch
SHARED_ENTRIES = 1 << 18  # entries from which the transforms take all threads
MAX_RANGE = {4: 1e7, 8: 1e3}  # of the products of magnitudes that "auto" leaves to it, by the bytes of an entry
SAMPLES, STEP = 4096, 2654435761  # entries that are looked at for the usual magnitude, strewn over the array


class Torus(NamedTuple):
    """The sites of one geometry, as slices: ``visible`` are the pixels that a window reaches, on the image itself."""

    sides: Ints
    visible: tuple[slice, ...]
    pixels: tuple[slice, ...]
    taps: tuple[slice, ...]
    outputs: tuple[slice, ...]

    @classmethod
    def of(cls, window: Window) -> Torus:
        before, padding = [b for b, _ in window.padding], window.exact.padding
        sides = [n + b + a for n, (b, a) in zip(window.size, padding, strict=True)]
        visible = [min(n, max(0, r - b)) for n, b, r in zip(window.size, before, sides, strict=True)]
        return cls(
            tuple(scipy.fft.next_fast_len(r, real=True) for r in sides),
            tuple(slice(m) for m in visible),
            tuple(slice(b, b + m) for b, m in zip(before, visible, strict=True)),
            tuple(slice(0, e, d) for e, d in zip(window.extent, window.dilation, strict=True)),
            tuple(slice(0, (o - 1) * s + 1, s) for o, s in zip(window.out, window.stride, strict=True)),
        )

    @property
    def axes(self) -> range:
        return range(len(self.sides))

    @property
    def bytes(self) -> int:
        """Of the spectrum of a plane."""
        return 16 * prod(self.sides[:-1]) * (self.sides[-1] // 2 + 1)

    def spectrum(self, array: Array, sites: tuple[slice, ...]) -> Array:
        """(*sites, groups, a, b) → (*frequencies, groups, a, b)."""
        laid = np.zeros((*self.sides, *array.shape[len(self.sides) :]))
        laid[sites] = array
        return np.asarray(scipy.fft.rfftn(laid, axes=self.axes, workers=workers(laid)))

    def values(self, spectrum: Array, sites: tuple[slice, ...]) -> Array:
        """(*frequencies, groups, a, b) → (*sites, groups, a, b)."""
        return np.asarray(scipy.fft.irfftn(spectrum, self.sides, axes=self.axes, workers=workers(spectrum))[sites])

    def block(self, groups: int, *sides: int) -> list[int]:
        """How many groups, rows, terms and columns of a product of matrices go at once: about SPECTRA_BYTES of spectra."""
        shape = [groups, *sides]
        while True:
            g, a, s, b = shape
            if self.bytes * g * (a * s + s * b + a * b) <= SPECTRA_BYTES or max(shape) == 1:
                return shape
            i = 0 if g > 1 else shape.index(max(shape))
            shape[i] = -(-shape[i] // 2)

    def multiply(self, left: Planes, right: Planes, out: Planes) -> None:
        """Out (groups, a, b) = left (groups, a, s) · right (groups, s, b) at every frequency."""
        *_, groups, A, S = left.array.shape
        B, spectra = right.array.shape[-1], dict[int, tuple[Any, Array]]()

        def spectrum(of: Planes, *block: slice) -> Array:
            """The spectrum of a block; the last one is reused."""
            if id(of) not in spectra or spectra[id(of)][0] != block:
                spectra.pop(id(of), None)
                at: Any = ..., *block
                transformed = self.spectrum(of.array[at], of.sites)
                spectra[id(of)] = block, np.conj(transformed, out=transformed) if of.conjugated else transformed
            return spectra[id(of)][1]

        g_, a_, s_, b_ = self.block(groups, A, S, B)
        for g, b, a in itertools.product(slices(groups, g_), slices(B, b_), slices(A, a_)):
            total: Any = 0
            for s in slices(S, s_):
                product = matmul(spectrum(left, g, a, s), spectrum(right, g, s, b))
                total = np.add(total, product, out=product)
            out.array[(..., g, a, b)] = self.values(total, out.sites) if S else 0


class Planes(NamedTuple):
    """Planes (*n, groups, rows, columns), the sites where they lie, and whether their spectrum is to be conjugated."""

    array: Array
    sites: tuple[slice, ...]
    conjugated: bool = False


def workers(array: Array) -> int:
    """Threads for a transform: one for a small one."""
    return threads() if array.size >= SHARED_ENTRIES else 1


def images(array: Array, groups: int) -> Array:
    """A view of images (N, C, *n) as (*n, groups, N, C/groups)."""
    return grouped(array, groups, 1).swapaxes(-3, -2)


def real(kernel: Callable[..., Array]) -> Callable[..., Array]:
    """The bilinear ``kernel`` extended to complex arrays: real and imaginary parts separately, so that neither blurs the other."""

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
    X = Planes(images(x, groups)[torus.visible], torus.pixels)
    W = Planes(grouped(w, groups, 0).swapaxes(-1, -2), torus.taps, conjugated=True)
    torus.multiply(X, W, Planes(images(y, groups), torus.outputs))
    return y


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """X̂ = Ĝ · Ŵ at every frequency: (N, K) · (K, C)."""
    torus, x = Torus.of(window), np.zeros((len(g), w.shape[1] * groups, *window.size), np.result_type(g, w))
    G, W = Planes(images(g, groups), torus.outputs), Planes(grouped(w, groups, 0), torus.taps)
    torus.multiply(G, W, Planes(images(x, groups)[torus.visible], torus.pixels))
    return x


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """Ŵ = conj(Ĝ)ᵀ · X̂ at every frequency: (K, N) · (N, C)."""
    torus = Torus.of(window)
    w = np.zeros((g.shape[1], x.shape[1] // groups, *window.kernel), np.result_type(x, g))
    G = Planes(images(g, groups).swapaxes(-1, -2), torus.outputs, conjugated=True)
    X = Planes(images(x, groups)[torus.visible], torus.pixels)
    torus.multiply(G, X, Planes(grouped(w, groups, 0), torus.taps))
    return w


def cost(work: ConvProblem) -> float:
    """Seconds of a core: the transforms of all planes, and the products of frequencies."""
    torus, (C, K) = Torus.of(work.window), (work.C // work.groups, work.K // work.groups)
    _, n, c, k = (max(side, 1) for side in torus.block(work.groups, work.N, C, K))
    planes = work.N * (work.C * -(-K // k) + work.K) + work.C * K * (1 if c >= C else -(-work.N // n))
    return 1e-9 * prod(torus.sides) * (4.9 * planes + 0.11 * work.N * work.C * K)


def safe(work: ConvProblem, a: Array, b: Array, *geometry: Any) -> bool:
    """Whether the range of the data is small enough for rounding errors, which the largest entries determine, to be small."""
    if work.dtype.kind == "c":
        return True
    (top, usual), (other_top, other_usual) = magnitudes(a), magnitudes(b)
    sites, most = prod(Torus.of(work.window).sides), np.finfo(float).max / 1e3
    in_range = max(top, other_top) * sites < most and top * other_top < most / sites**2 / max(work.N, work.C, work.K, 1)
    return bool(in_range and top * other_top <= MAX_RANGE[work.dtype.itemsize] * usual * other_usual)


def magnitudes(x: Array) -> tuple[float, float]:
    """The largest magnitude, and the median of some that are not zero."""
    if not x.size:
        return 0.0, 0.0
    flat = x.ravel("K")
    some = np.abs(flat[np.arange(min(SAMPLES, flat.size)) * STEP % flat.size])
    some = some[some > 0]
    return max(float(flat.max()), -float(flat.min())), float(np.median(some)) if some.size else 0.0


register_convolution(
    "fft",
    real(forward),
    real(input_gradient),
    real(filter_gradient),
    cost=cost,
    error=1e-6,
    plane_error=1e-15,
    safe=safe,
)
