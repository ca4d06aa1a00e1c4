"""The algorithms that compute a convolution: each fills the three slots of one trilinear form.

"auto" takes the one whose estimated cost is least, or after ``autotune()`` the one that was fastest when tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

import numpy as np

from minigraph.array import Array
from minigraph.ops.conv.geometry import Window

RATE = 240  # operations of a matrix product in a nanosecond of a core, with kernels for AVX-512; estimates start here
Kernel = Callable[[Array, Array, Window, int], Array]  # two arrays, geometry, groups


class Work(NamedTuple):
    """What there is to compute: N samples of C channels, K filters."""

    window: Window
    N: int
    C: int
    K: int
    groups: int
    dtype: Any


def everywhere(work: Work) -> bool:
    """Any geometry."""
    return True


def always(work: Work, a: Array, b: Array) -> bool:
    """With any data."""
    return True


def never(work: Work) -> float:
    """Not to be chosen by "auto"."""
    return inf


class Algorithm(NamedTuple):
    """Three kernels on plain arrays, each called with (array, array, window, groups).

    x (N, C, *n), w (K, C/groups, *f), g (N, K, *n′); every result is a new array of the common dtype, in any order
    in memory. An algorithm for some geometries only says which in ``supports``, and in words in ``limits``. It may ask
    for kernel, stride, dilation, groups and numbers of channels: these the three slots share, so where a convolution is
    computed, its derivatives of every order are. ``cost`` estimates the seconds that the forward slot takes a core, for
    "auto" to compare. ``safe(work, a, b)`` looks at the data, where the accuracy depends on them, before "auto" takes it.

    The error of an entry of the result is at most ``error`` times the sum of the magnitudes that it is made of, Σ |x| |w|;
    ``error`` is that of float32, in float64 it is DOUBLE times as large. With ``tiles`` each |x| and |y| stands for the
    largest of its tile of so many pixels a side, each |w| for the largest of its plane. ``plane_error``, in any dtype, comes
    on top, times Σ ‖x‖ ‖w‖ over whole planes.
    """

    forward: Kernel  # x, w → y
    input_gradient: Kernel  # g, w → x-shaped
    filter_gradient: Kernel  # x, g → w-shaped
    supports: Callable[[Work], bool] = everywhere
    limits: str = "any geometry"
    cost: Callable[[Work], float] = never
    error: float = 2e-5
    tiles: int = 0
    plane_error: float = 0.0
    safe: Callable[[Work, Array, Array], bool] = always

    @property
    def entrywise(self) -> bool:
        """Whether no entry of the result has errors that come from others than it is made of."""
        return not (self.tiles or self.plane_error)


ALGORITHMS: dict[str, Algorithm] = {}


def expect_supported(op: object, name: str, work: Work) -> None:
    """Raise ValueError where the algorithm of that name does not compute this."""
    if name != "auto" and not ALGORITHMS[name].supports(work):
        window = work.window
        raise ValueError(
            f"{op}: got kernel {window.kernel}, stride {window.stride}, dilation {window.dilation}, groups {work.groups} "
            f"of {work.C} channels and {work.K} filters; wanted {ALGORITHMS[name].limits} for algorithm {name!r}"
        )


PRECISIONS = ("fast", "strict")
DOUBLE = 1e-6  # an error in float64 by that in float32
FAR = 8  # times the least estimate: what is farther off need not be tried
_precision = "fast"
_tuned: dict[tuple[Any, ...], Kernel] | None = None


def precision(name: str | None = None) -> str:
    """How exact "auto" is, "fast" or "strict"; with ``name``, from now on.

    "strict" takes only algorithms whose error in an entry is small beside Σ |x| |w| of that entry. It keeps out Winograd's
    and Fourier transforms, where large entries blur small ones near them, or in their plane. "fast" takes Winograd's in
    float32, whose errors are about 1e-5 of the largest in reach, and Fourier transforms where the data's range is small.
    Raises ValueError for another name.
    """
    global _precision
    if name is not None:
        if not isinstance(name, str) or name not in PRECISIONS:
            raise ValueError(f"precision: got {name!r}; wanted one of {', '.join(PRECISIONS)}")
        _precision = name
    return _precision


def autotune(on: bool = True) -> None:
    """Let "auto" try algorithms when it meets a convolution first, and keep to the fastest.

    It tries all whose estimate is at most eight times the least, with four calls for each new shape and slot, once in a
    process. Estimates decide again after ``autotune(False)``. What is fastest may differ from run to run, and with it
    the rounding. Raises TypeError for what is no bool.
    """
    global _tuned
    if not isinstance(on, bool):
        raise TypeError(f"autotune: got {on!r}; wanted True or False")
    _tuned = (_tuned or {}) if on else None


def chosen(name: str, slot: str, work: Work, a: Array, b: Array) -> Kernel:
    """The kernel for ``slot`` (a field of Algorithm) of the algorithm of that name, or for "auto" the fastest one."""
    if name != "auto":
        return getattr(ALGORITHMS[name], slot)  # type: ignore[no-any-return]
    tuned, ranked = _tuned, _by_cost(work, _precision == "strict", tuple(ALGORITHMS))
    fit = (pair for pair in ranked if ALGORITHMS[pair[0]].safe(work, a, b))
    cheapest, least = next(fit)
    if tuned is None:
        return getattr(ALGORITHMS[cheapest], slot)  # type: ignore[no-any-return]
    near = cheapest, *(other for other, cost in fit if cost <= FAR * least)
    key = slot, work, near
    if key not in tuned and len(near) > 1:
        tuned[key] = min((getattr(ALGORITHMS[n], slot) for n in near), key=lambda k: _seconds(k, work, a, b))
    return tuned.get(key) or getattr(ALGORITHMS[cheapest], slot)


@lru_cache(4096)
def _by_cost(work: Work, strict: bool, names: tuple[str, ...]) -> list[tuple[str, float]]:
    """The algorithms that do it, each with its estimate, the cheapest first; only entrywise ones where ``strict``."""
    fit = [name for name in names if ALGORITHMS[name].supports(work) and (ALGORITHMS[name].entrywise or not strict)]
    costs = [(name, ALGORITHMS[name].cost(work)) for name in fit]
    return sorted((pair for pair in costs if pair[1] < inf), key=lambda pair: pair[1])


def _seconds(kernel: Kernel, work: Work, a: Array, b: Array) -> float:
    """The least of three calls, after one to warm up."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        kernel(a, b, work.window, work.groups)
        times.append(time.perf_counter() - start)
    return float(np.min(times[1:]))


def known(op: str, name: str) -> str:
    """``name`` if there is such an algorithm; raises ValueError."""
    names = ["auto", *ALGORITHMS]
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"{op}: got algorithm {name!r}; wanted one of {', '.join(names)}")
    return name
