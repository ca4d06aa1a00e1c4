"""Sets of labelled images: those to learn from and those held out, and parts of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigraph.array import Array
from minigraph.random import generator


class Split(NamedTuple):
    """Images and labels to learn from, others to be judged by, and the names of the classes.

    Shapes: x_train (N, C, H, W), y_train (N,), x_test (M, C, H, W), y_test (M,); M may be 0. Images of a folder are read
    when they are asked for, all others are arrays.
    """

    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any
    classes: tuple[str, ...] = ()


MAX_CLASSES = 1 << 20  # a larger label is no class, and counting up to it would take memory


def expect_labels(what: str, x: Any, y: Any, classes: int = MAX_CLASSES) -> None:
    """Raise ValueError unless y has a label from 0 to ``classes`` − 1 for each image of x; ``what`` begins the message."""
    if y.shape != (len(x),):
        raise ValueError(f"{what}: got labels of shape {y.shape} for {len(x)} images; wanted one for each")
    wrong = (y < 0) | (y >= classes)
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(f"{what}: got label {y[i]} at {i}; wanted 0 to {classes - 1}")


def split(
    x: Any, y: Any, fraction: float, rng: np.random.Generator | int
) -> tuple[tuple[Any, Array], tuple[Any, Array]]:
    """(x, y) in two, the second with ``fraction`` of each class, drawn at random; both keep their order.

    Raises ValueError unless both parts have images.
    """
    y = np.asarray(y)
    if not 0 < fraction < 1:
        raise ValueError(f"split: got fraction {fraction}; wanted a number between 0 and 1")
    if len(x) != len(y):
        raise ValueError(f"split: got {len(x)} images and {len(y)} labels; wanted as many")
    draw, second = generator(rng, "split"), np.zeros(len(y), bool)
    for c in np.unique(y):
        members = np.flatnonzero(y == c)
        second[draw.permutation(members)[: round(fraction * len(members))]] = True
    if second.all() or not second.any():
        raise ValueError(f"split: got {len(y)} images and fraction {fraction}; wanted enough for both parts")
    first, last = np.flatnonzero(~second), np.flatnonzero(second)
    return (subset(x, first), y[first]), (subset(x, last), y[last])


def subset(x: Any, indices: Array) -> Any:
    """The images of these numbers: an array of an array, else a sequence that reads them when asked."""
    return x[indices] if isinstance(x, np.ndarray) else Subset(x, indices)


class Subset:
    """Some images of a sequence, by number, read when asked."""

    def __init__(self, x: Any, indices: Array) -> None:
        self.x, self.indices = x, np.asarray(indices)
        self.shape, self.dtype = (len(self.indices), *x.shape[1:]), x.dtype

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: Any) -> Any:
        return self.x[self.indices[i]]
