"""The algorithms that compute a convolution: each fills the three slots of one trilinear form."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minigraph.array import Array
from minigraph.ops.conv.geometry import Window

Kernel = Callable[[Array, Array, Window, int], Array]


def everywhere(window: Window) -> bool:
    """Any geometry."""
    return True


class Algorithm(NamedTuple):
    """Three kernels on plain arrays, each called with (array, array, window, groups).

    x (N, C, *n), w (K, C/groups, *f), g (N, K, *n′); every result is a new array of the common dtype.
    An algorithm for some geometries only says which in ``supports``, and in words in ``limits``. It may ask for
    kernel, stride and dilation: these the three slots share, so where a convolution is computed, its
    derivatives of every order are.
    """

    forward: Kernel  # x, w → y
    input_gradient: Kernel  # g, w → x-shaped
    filter_gradient: Kernel  # x, g → w-shaped
    supports: Callable[[Window], bool] = everywhere
    limits: str = "any geometry"


ALGORITHMS: dict[str, Algorithm] = {}


def choose(op: object, name: str, window: Window) -> Algorithm:
    """The algorithm of that name, or for "auto" the one that should be fastest; ValueError where it does not compute."""
    algorithm = ALGORITHMS["im2col" if name == "auto" else name]
    if not algorithm.supports(window):
        raise ValueError(
            f"{op}: got kernel {window.kernel}, stride {window.stride}, dilation {window.dilation}; "
            f"wanted {algorithm.limits} for algorithm {name!r}"
        )
    return algorithm


def known(op: str, name: str) -> str:
    """``name`` if there is such an algorithm; raises ValueError."""
    names = ["auto", *ALGORITHMS]
    if name not in names:
        raise ValueError(f"{op}: got algorithm {name!r}; wanted one of {', '.join(names)}")
    return name
