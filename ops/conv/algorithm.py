"""The algorithms that compute a convolution: each fills the three slots of one trilinear form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minigraph.array import Array
from minigraph.ops.conv.geometry import Window

Kernel = Callable[[Array, Array, Window, int], Array]


class Work(NamedTuple):
    """What there is to compute: N samples of C channels, K filters."""

    window: Window
    N: int
    C: int
    K: int
    groups: int
    dtype: Any


def everywhere(window: Window) -> bool:
    """Any geometry."""
    return True


def never(work: Work) -> float:
    """Not to be chosen by "auto"."""
    return float("inf")


class Algorithm(NamedTuple):
    """Three kernels on plain arrays, each called with (array, array, window, groups).

    x (N, C, *n), w (K, C/groups, *f), g (N, K, *n′); every result is a new array of the common dtype, in any order
    in memory. An algorithm for some geometries only says which in ``supports``, and in words in ``limits``. It may ask
    for kernel, stride and dilation: these the three slots share, so where a convolution is computed, its derivatives
    of every order are. ``cost`` estimates seconds, for "auto" to compare.
    """

    forward: Kernel  # x, w → y
    input_gradient: Kernel  # g, w → x-shaped
    filter_gradient: Kernel  # x, g → w-shaped
    supports: Callable[[Window], bool] = everywhere
    limits: str = "any geometry"
    cost: Callable[[Work], float] = never


ALGORITHMS: dict[str, Algorithm] = {}


def expect_supported(op: object, name: str, window: Window) -> None:
    """Raise ValueError where the algorithm of that name does not compute this geometry."""
    if name != "auto" and not ALGORITHMS[name].supports(window):
        raise ValueError(
            f"{op}: got kernel {window.kernel}, stride {window.stride}, dilation {window.dilation}; "
            f"wanted {ALGORITHMS[name].limits} for algorithm {name!r}"
        )


def choose(name: str, work: Work) -> Algorithm:
    """The algorithm of that name, or for "auto" the one that should be fastest."""
    if name != "auto":
        return ALGORITHMS[name]
    fit = [algorithm for algorithm in ALGORITHMS.values() if algorithm.supports(work.window)]
    return min(fit, key=lambda algorithm: algorithm.cost(work))


def known(op: str, name: str) -> str:
    """``name`` if there is such an algorithm; raises ValueError."""
    names = ["auto", *ALGORITHMS]
    if name not in names:
        raise ValueError(f"{op}: got algorithm {name!r}; wanted one of {', '.join(names)}")
    return name
