"""The algorithms that compute a convolution: each fills the three slots of one trilinear form."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minigraph.array import Array
from minigraph.ops.conv.geometry import Window

Kernel = Callable[[Array, Array, Window, int], Array]


class Algorithm(NamedTuple):
    """Three kernels on plain arrays, each called with (array, array, window, groups).

    x (N, C, *n), w (K, C/groups, *f), g (N, K, *n′); every result is a new array of the common dtype.
    """

    forward: Kernel  # x, w → y
    input_gradient: Kernel  # g, w → x-shaped
    filter_gradient: Kernel  # x, g → w-shaped


ALGORITHMS: dict[str, Algorithm] = {}


def choose(name: str, window: Window, groups: int) -> Algorithm:
    """The algorithm of that name, or for "auto" the one that should be fastest."""
    return ALGORITHMS["im2col" if name == "auto" else name]


def known(op: str, name: str) -> str:
    """``name`` if there is such an algorithm; raises ValueError."""
    names = ["auto", *ALGORITHMS]
    if name not in names:
        raise ValueError(f"{op}: got algorithm {name!r}; wanted one of {', '.join(names)}")
    return name
