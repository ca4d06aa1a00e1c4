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


def never(work: Work) -> float:
    """Not to be chosen by "auto"."""
    return inf


class Algorithm(NamedTuple):
    """Three kernels on plain arrays, each called with (array, array, window, groups).

    x (N, C, *n), w (K, C/groups, *f), g (N, K, *n′); every result is a new array of the common dtype, in any order
    in memory. An algorithm for some geometries only says which in ``supports``, and in words in ``limits``. It may ask
    for kernel, stride, dilation, groups and numbers of channels: these the three slots share, so where a convolution is
    computed, its derivatives of every order are. ``cost`` estimates the seconds that the forward slot takes a core, for "auto" to compare.
    ``error``: the largest relative error in float32 that is usual, by the largest entry of the result.
    """

    forward: Kernel  # x, w → y
    input_gradient: Kernel  # g, w → x-shaped
    filter_gradient: Kernel  # x, g → w-shaped
    supports: Callable[[Work], bool] = everywhere
    limits: str = "any geometry"
    cost: Callable[[Work], float] = never
    error: float = 1e-6


ALGORITHMS: dict[str, Algorithm] = {}


def expect_supported(op: object, name: str, work: Work) -> None:
    """Raise ValueError where the algorithm of that name does not compute this."""
    if name != "auto" and not ALGORITHMS[name].supports(work):
        window = work.window
        raise ValueError(
            f"{op}: got kernel {window.kernel}, stride {window.stride}, dilation {window.dilation}, groups {work.groups} "
            f"of {work.C} channels and {work.K} filters; wanted {ALGORITHMS[name].limits} for algorithm {name!r}"
        )


PRECISIONS = {"fast": inf, "strict": 2e-6}  # the largest error that "auto" takes
FAR = 8  # times the least estimate: what is farther off need not be tried
_precision = "fast"
_tuned: dict[tuple[Any, ...], Kernel] | None = None


def precision(name: str | None = None) -> str:
    """How exact "auto" is in float32, "fast" or "strict"; with ``name``, from now on.

    "strict" keeps out algorithms that lose more than rounding does: Winograd's F(4×4, 3×3) and F(2×2, 5×5), whose
    errors are about 1e-5 of the largest entry. float64 never takes them. Raises ValueError for another name.
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
    tuned = _tuned
    fit = [ALGORITHMS[other] for other in _by_cost(work, PRECISIONS[_precision], tuple(ALGORITHMS))]
    if tuned is None or len(fit) == 1:
        return getattr(fit[0], slot)  # type: ignore[no-any-return]
    key = slot, work, _precision
    if key not in tuned:
        tuned[key] = min((getattr(a, slot) for a in fit), key=lambda kernel: _seconds(kernel, work, a, b))
    return tuned[key]


@lru_cache(4096)
def _by_cost(work: Work, most: float, names: tuple[str, ...]) -> list[str]:
    """Which of the algorithms may do it with errors of ``most``, the cheapest first, and none that is far dearer."""
    exact = [name for name in names if ALGORITHMS[name].error <= most and ALGORITHMS[name].supports(work)]
    costs = {name: ALGORITHMS[name].cost(work) for name in exact}
    dearest = FAR * min(costs.values())
    return sorted((name for name in exact if costs[name] < inf and costs[name] <= dearest), key=costs.__getitem__)


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
    if name not in names:
        raise ValueError(f"{op}: got algorithm {name!r}; wanted one of {', '.join(names)}")
    return name
