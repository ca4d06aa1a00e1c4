"""Where a window lies on its image: sizes, strides, padding, and which pixels its taps meet."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]  # (before, after) for each axis
MAX_POSITIONS = 2**40  # of a channel at most, which no memory holds


class Meetings(NamedTuple):
    """How many pairs (output position, kernel tap) lie on the image, not in its padding."""

    total: int
    per_output: int  # the most for one output position, and so on
    per_tap: int
    per_pixel: int


@dataclass(frozen=True)
class Window:
    """A window sliding over an image of any number of axes.

    Tap i of the window at output position p lies on pixel q = p · stride + i · dilation − before.
    """

    size: Ints
    kernel: Ints
    stride: Ints
    padding: Pairs
    dilation: Ints

    @cached_property
    def out(self) -> Ints:
        """⌊(n + before + after − dilation (f − 1) − 1) / stride⌋ + 1 for each axis."""
        return tuple(
            (n + sum(pad) - e) // s + 1
            for n, e, s, pad in zip(self.size, self.extent, self.stride, self.padding, strict=True)
        )

    @cached_property
    def extent(self) -> Ints:
        """Pixels from the first to the last tap: dilation (f − 1) + 1."""
        return tuple(d * (f - 1) + 1 for f, d in zip(self.kernel, self.dilation, strict=True))

    @cached_property
    def exact(self) -> Window:
        """The same windows, padded after (or, where negative, cropped) to end with the last of them.

        Then n = (n′ − 1) stride + extent − before − after: the outputs' size gives back the image's.
        """
        ends = zip(self.size, self.padding, self.extent, self.stride, self.out, strict=True)
        return replace(self, padding=tuple((b, (o - 1) * s + e - n - b) for n, (b, _), e, s, o in ends))

    @cached_property
    def valid(self) -> bool:
        """Whether there is an image, a kernel and an output, of fewer positions than MAX_POSITIONS."""
        return min(*self.size, *self.kernel, *self.out) > 0 and prod(self.out) < MAX_POSITIONS

    @cached_property
    def whole(self) -> bool:
        """Whether there is one window, which is the image."""
        return self.kernel == self.size and not any(map(any, self.padding)) and set(self.dilation) == {1}

    @cached_property
    def pixels(self) -> tuple[Array, ...]:
        """For each axis the pixel under (output position, tap), −1 in the padding: (n′, f)."""
        return tuple(
            _within(np.arange(o)[:, None] * s + np.arange(f) * d - b, n)
            for n, f, s, (b, _), d, o in zip(*self._axes, strict=True)
        )

    @cached_property
    def positions(self) -> tuple[Array, ...]:
        """For each axis the output position whose tap lies on a pixel, −1 if none: (n, f)."""
        numbers = []
        for n, f, s, (b, _), d, o in zip(*self._axes, strict=True):
            p, between = np.divmod(np.arange(n)[:, None] + b - np.arange(f) * d, s)
            numbers.append(_within(np.where(between, -1, p), o))
        return tuple(numbers)

    @cached_property
    def axis_taps(self) -> tuple[tuple[tuple[slice, slice], ...], ...]:
        """For each axis and each of its taps (outputs, pixels): the slices of output and image that meet there."""
        axes = []
        for n, f, s, (b, _), d, o in zip(*self._axes, strict=True):
            axis = []
            for shift in range(-b, f * d - b, d):
                first, last = max(0, -(shift // s)), min(o - 1, (n - 1 - shift) // s)
                meet = slice(first * s + shift, last * s + shift + 1, s)
                axis.append((slice(first, last + 1), meet) if first <= last else (slice(0), slice(0)))
            axes.append(tuple(axis))
        return tuple(axes)

    @cached_property
    def taps(self) -> tuple[tuple[Any, Any], ...]:
        """For each tap in C order (outputs, pixels): the slices of output and image that meet there."""
        return tuple(
            ((..., *(p for p, _ in tap)), (..., *(q for _, q in tap))) for tap in itertools.product(*self.axis_taps)
        )

    @cached_property
    def meetings(self) -> Meetings:
        hits = [table >= 0 for table in self.pixels]
        return Meetings(
            prod(int(hit.sum()) for hit in hits),
            prod(int(hit.sum(1).max(initial=0)) for hit in hits),
            prod(int(hit.sum(0).max(initial=0)) for hit in hits),
            prod(int((table >= 0).sum(1).max(initial=0)) for table in self.positions),
        )

    @property
    def _axes(self) -> tuple[Any, ...]:
        return self.size, self.kernel, self.stride, self.padding, self.dilation, self.out


def _within(index: Array, n: int) -> Array:
    return np.where((index >= 0) & (index < n), index, -1)


def phases(window: Window) -> Iterator[tuple[Any, Any, Window | None]]:
    """For each residue of the stride: its pixels, the taps that meet it, last first, and their window over the outputs.

    Tap i and output p meet pixel q where q + before = p · stride + i · dilation.
    """
    axes = []
    for n, f, s, (before, _), d, o in zip(window.size, window.kernel, window.stride, window.padding, window.dilation,
                                          window.out, strict=True):  # fmt: skip
        axis: list[tuple[slice, slice | None, Any]] = []
        step, far = s // gcd(s, d), d // gcd(s, d)  # between the taps of a residue, and between the outputs they meet
        for r in range(min(s, n)):
            taps = [i for i in range(f) if (r + before - i * d) % s == 0]
            count = len(range(r, n, s))
            if not taps:
                axis.append((slice(r, None, s), None, None))
                continue
            first = (r + before - taps[-1] * d) // s  # the output that the last tap and the first pixel meet
            after = first + count - 1 + far * (len(taps) - 1) - (o - 1)
            reverse = slice(taps[-1], None if taps[0] == 0 else taps[0] - 1, -step)
            axis.append((slice(r, None, s), reverse, (o, len(taps), 1, (-first, after), far)))
        axes.append(axis)
    for each in itertools.product(*axes):
        pixels = (slice(None), *(a[0] for a in each))
        if any(a[1] is None for a in each):
            yield pixels, None, None
        else:
            yield pixels, tuple(a[1] for a in each), Window(*zip(*(a[2] for a in each), strict=True))
