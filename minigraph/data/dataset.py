"""Sets of labelled images: those to learn from and those held out, and parts of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigraph.arguments import expect_number
from minigraph.array import Array
from minigraph.files import shortened
from minigraph.random import generator

MAX_CLASSES = 10_000  # a confusion matrix of so many classes takes 800 MB
SHOWN_CLASSES = 4


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

    def __repr__(self) -> str:
        sizes = [np.shape(x) or (0,) for x in (self.x_train, self.x_test)]
        dtype = getattr(self.x_train, "dtype", type(self.x_train).__name__)
        names = [shortened(name, 20) for name in self.classes[:SHOWN_CLASSES]]
        named = f" ({', '.join(names)}{', …' if len(self.classes) > SHOWN_CLASSES else ''})" if names else ""
        y: Array = np.asarray(self.y_train)
        classes = len(self.classes) or (1 + int(y.max()) if y.size and y.dtype.kind in "iu" else 0)
        return (
            f"Split({sizes[0][0]} images {sizes[0][1:]} {dtype} to learn from, {sizes[1][0]} held out, "
            f"{classes} classes{named})"
        )


class Part(NamedTuple):
    """Images (N, C, H, W) and labels of a file, and what messages call the two."""

    x: Any
    y: Any
    x_name: str
    y_name: str


def checked_split(
    train: Part, test: Part | None = None, *, classes: tuple[str, ...] = (), limit: int = MAX_CLASSES
) -> Split:
    """The Split that a reader returns.

    Raises ValueError unless there are images to learn from, all of one shape with at least one pixel, floats finite, with a
    label from 0 to ``limit`` − 1 for each.
    """
    if not len(train.x):
        raise ValueError(f"{train.x_name}: got no images; wanted at least one")
    test = test or train._replace(x=train.x[:0], y=train.y[:0])
    for part in (train, test):
        if 0 in part.x.shape[1:]:
            raise ValueError(f"{part.x_name}: got images of shape {part.x.shape[1:]}; wanted at least one pixel")
        if part.x.shape[1:] != train.x.shape[1:]:
            raise ValueError(
                f"{part.x_name}: got test images of shape {part.x.shape[1:]}; wanted {train.x.shape[1:]}, as in {train.x_name}"
            )
        if part.x.dtype.kind == "f" and not (finite := np.isfinite(part.x).all(axis=(1, 2, 3))).all():
            raise ValueError(f"{part.x_name}: image {finite.argmin()} has a NaN or an infinity; wanted finite pixels")
    y, y_test = (class_labels(part.y_name, part.y, len(part.x), limit) for part in (train, test))
    return Split(train.x, y, test.x, y_test, classes)


def as_images(what: str, x: Array) -> Array:
    """Images (N, H, W) or (N, C, H, W), of unsigned bytes or floats, as (N, C, H, W) of uint8, float32 or float64."""
    if x.ndim not in (3, 4) or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        raise ValueError(f"{what}: got {x.dtype} {x.shape}; wanted images (N, H, W) or (N, C, H, W) of uint8 or floats")
    if x.dtype.kind == "f":
        with np.errstate(all="ignore"):  # what overflows is infinite, and checked_split finds it
            x = x.astype(np.float64 if x.dtype.itemsize == 8 else np.float32, copy=False)
    return np.ascontiguousarray(x[:, None] if x.ndim == 3 else x)


def class_labels(what: str, y: Any, n: int, classes: int = MAX_CLASSES) -> Array:
    """Labels of ``n`` images as int64; ``what`` begins the messages.

    Raises ValueError unless there are n numbers, each a whole number from 0 to ``classes`` − 1; the message tells the first
    that is not, and its position.
    """
    labels: Array = np.asarray(y)
    if labels.dtype.kind not in "iuf":
        raise ValueError(f"{what}: got labels of {labels.dtype} {labels.shape}; wanted integers ({n},)")
    if labels.shape != (n,):
        raise ValueError(f"{what}: got labels of shape {labels.shape} for {n} images; wanted one for each image")
    with np.errstate(invalid="ignore"):
        right = (labels >= 0) & (labels < classes)
        if labels.dtype.kind == "f":
            right &= labels == np.floor(labels)
    if not right.all():
        i = int(right.argmin())
        raise ValueError(f"{what}: got label {labels[i]} at position {i}; wanted an integer from 0 to {classes - 1}")
    return labels.astype(np.int64)


def split(
    x: Any, y: Any, fraction: float, rng: np.random.Generator | int
) -> tuple[tuple[Any, Array], tuple[Any, Array]]:
    """(x, y) in two, the second with ``fraction`` of each class, drawn at random; both keep their order.

    At least one image of each class stays in the first part, so classes of very few images may be absent from the second.
    Raises ValueError for labels that are not classes, and if the second part would have no images; TypeError for a
    fraction that is not a number.
    """
    expect_number("split", fraction=fraction)
    if not 0 < fraction < 1:
        raise ValueError(f"split: got fraction {fraction}; wanted a number between 0 and 1")
    y = class_labels("split", y, len(x))
    if not len(y):
        raise ValueError("split: got no images; wanted at least two of a class")
    draw, second = generator(rng, "split"), np.zeros(len(y), bool)
    for c in np.unique(y):
        members = np.flatnonzero(y == c)
        held = min(round(fraction * len(members)), len(members) - 1)
        second[draw.permutation(members)[:held]] = True
    if not second.any():
        raise ValueError(
            f"split: got fraction {fraction} and at most {np.bincount(y).max()} images of a class, which leaves the second part empty; "
            "wanted a larger fraction or more images"
        )
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

    def __repr__(self) -> str:
        return f"Subset({len(self)} of {self.x!r})"
