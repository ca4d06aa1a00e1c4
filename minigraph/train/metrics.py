"""How well a model does: losses, hits, the confusion of classes; of one model, of several together, over several crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigraph.arguments import expect_integer
from minigraph.array import Array
from minigraph.data import Loader, Split
from minigraph.data.transforms import as_floats
from minigraph.mode import no_grad
from minigraph.nn import Module
from minigraph.ops.activation import log_softmax
from minigraph.ops.loss import cross_entropy
from minigraph.text import table

SIDE_WEIGHT = 0.3  # of the losses of GoogLeNet's side branches, from the paper


def classification_loss(output: Any, y: Any) -> Any:
    """The cross-entropy of scores (N, K, …) with labels (N, …), or probabilities of the scores' shape; → ().

    Of a tuple, as GoogLeNet gives in training, the first has weight 1 and the others, its side branches, 0.3.
    """
    if not isinstance(output, tuple):
        return cross_entropy(output, y)
    loss = cross_entropy(output[0], y)
    for side in output[1:]:
        loss = loss + SIDE_WEIGHT * cross_entropy(side, y)
    return loss


@contextmanager
def inference(models: Iterable[Module]) -> Iterator[None]:
    """Inside, the models are in inference mode; after it each module is in the mode that it was in."""
    before = [(module, module.training) for model in models for module in model.modules()]
    try:
        for module, _ in before:
            module.training = False
        yield
    finally:
        for module, training in before:
            module.training = training


def scores_of(output: Any) -> Any:
    """The scores in a model's output: of a tuple, as GoogLeNet gives in training, the first."""
    return output[0] if isinstance(output, tuple) else output


def labels_of(y: Any) -> Array:
    """Labels (N,) of labels, or of probabilities (N, K), whose largest counts.

    Raises TypeError for labels that are not integers.
    """
    labels: Array = np.asarray(y)
    if labels.ndim == 2 and labels.dtype.kind == "f":
        return labels.argmax(axis=1)  # type: ignore[no-any-return]
    if labels.dtype.kind not in "iu":
        raise TypeError(f"got labels of dtype {labels.dtype} and shape {labels.shape}; wanted integers (N,)")
    return labels


def log_probabilities(models: Sequence[Module], x: Any, crops: int = 1, size: int | None = None) -> Array:
    """log p (N, K), for the mean p of the models' softmax over the windows of each image; see ``predict``.

    Raises ValueError for scores that are not (N, K) for all models; FloatingPointError if those of an image have a NaN.
    """
    with inference(models), no_grad():
        views = list(windows(as_floats(x), crops, size))
        scores = [np.asarray(scores_of(model(view)), np.float64) for model in models for view in views]
    shapes = list(dict.fromkeys(s.shape for s in scores))
    if len(shapes) > 1 or len(shapes[0]) != 2:
        raise ValueError(f"got scores of shape {', '.join(map(str, shapes))}; wanted (N, K), the same of every model")
    bad = np.flatnonzero(np.isnan(scores).any(axis=(0, 2)))
    if bad.size:
        raise FloatingPointError(f"the scores of image {bad[0]} of the batch have a NaN; wanted numbers")
    logs: Array = np.logaddexp.reduce([np.asarray(log_softmax(s, 1)) for s in scores]) - np.log(len(scores))
    return logs


def windows(x: Array, crops: int, size: int | None) -> Iterator[Array]:
    """The windows of images (N, C, H, W), each (N, C, size, size)."""
    if crops not in (1, 5, 10):
        raise ValueError(f"predict: got crops {crops}; wanted 1, 5 or 10")
    if size is None:
        if crops > 1:
            raise ValueError(f"predict: got {crops} crops and no size; wanted the side of the windows")
        yield x
        return
    H, W = x.shape[2:]
    if not 1 <= size <= min(H, W):
        raise ValueError(f"predict: got windows of {size}×{size} in images of {H}×{W}; wanted smaller ones")
    down, right = H - size, W - size
    corners = [(0, 0), (0, right), (down, 0), (down, right)] if crops > 1 else []
    for top, left in (*corners, (down // 2, right // 2)):
        view = np.ascontiguousarray(x[:, :, top : top + size, left : left + size])
        yield view
        if crops == 10:
            yield np.ascontiguousarray(view[..., ::-1])


def predict(
    models: Module | Sequence[Module],
    x: Any,
    *,
    batch_size: int = 128,
    transform: Any = None,
    crops: int = 1,
    size: int | None = None,
) -> Array:
    """p (N, K) for images x (N, C, H, W): the mean of the models' softmax over ``crops`` windows of each image.

    ``crops``: 1, the whole image or its middle; 5, the corners and the middle; 10, these and their mirror images, each of
    ``size`` (as in Krizhevsky et al. 2012). Raises ValueError for other numbers, for windows larger than the image, and
    for no images; FloatingPointError for scores with a NaN.
    """
    expect_integer("predict", 1, batch_size=batch_size)
    several, parts = modules(models), []
    for i in range(0, len(x), batch_size):
        images = as_floats(x[i : i + batch_size])
        images = images if transform is None else transform(images, None)[0]
        parts.append(np.exp(log_probabilities(several, images, crops, size)))
    if not parts:
        raise ValueError("predict: got no images; wanted at least one")
    return np.concatenate(parts)


def modules(models: Module | Sequence[Module]) -> list[Module]:
    """One model, or several, as a list. Raises ValueError for none."""
    several = [models] if isinstance(models, Module) else list(models)
    if not several:
        raise ValueError("got no model; wanted at least one")
    return several


@dataclass
class Evaluation:
    """What ``evaluate`` found: the mean loss, and of every true class (row) how many images were taken for which (column)."""

    loss: float
    confusion: Array
    top5: float
    classes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def count(self) -> int:
        """The number of images."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """The share of images whose most probable class is right."""
        return float(np.trace(self.confusion) / max(self.count, 1))

    @property
    def recall(self) -> Array:
        """(K,): the share of each class's images that are found; NaN where it has none."""
        return _shares(np.diag(self.confusion), self.confusion.sum(axis=1))

    @property
    def precision(self) -> Array:
        """(K,): the share right of the images taken for each class; NaN where there are none."""
        return _shares(np.diag(self.confusion), self.confusion.sum(axis=0))

    def figures(self) -> dict[str, float]:
        """Loss, top1 and top5 by name."""
        return {"loss": self.loss, "top1": self.top1, "top5": self.top5}

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            **self.figures(),
            "count": self.count,
            "recall": [None if np.isnan(r) else float(r) for r in self.recall],
            "precision": [None if np.isnan(p) else float(p) for p in self.precision],
            "confusion": self.confusion.tolist(),
        }

    def __str__(self) -> str:
        head = f"{self.count} images: loss {self.loss:.4f}, top-1 {self.top1:.2%}, top-5 {self.top5:.2%}"
        names = self.classes or tuple(map(str, range(len(self.confusion))))
        rows = [
            (name, f"{n}", *("–" if np.isnan(fraction) else f"{fraction:.1%}" for fraction in (r, p)))
            for name, n, r, p in zip(names, self.confusion.sum(axis=1), self.recall, self.precision, strict=False)
        ]
        return head + "\n" + table(("class", "images", "recall", "precision"), rows, right=(1, 2, 3))


def _shares(part: Array, whole: Array) -> Array:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def evaluate(
    models: Module | Sequence[Module],
    data: Any,
    *,
    crops: int = 1,
    size: int | None = None,
    classes: Sequence[str] = (),
) -> Evaluation:
    """The loss and the hits of a model over batches (x, y) with labels y (N,), or of several whose probabilities are averaged.

    ``data``: a Split, whose test images are taken, a pair of arrays (x, y), a Loader, or any iterable of batches.
    Of equal scores those of the earlier classes count as larger. ``crops`` and ``size``: see ``predict``. Raises
    ValueError for data without images, and for labels beyond the classes; FloatingPointError for scores with a NaN,
    or if a label's probability is 0.
    """
    several, total, fives, confusion = modules(models), 0.0, 0, None
    for x, y in held_out_batches(data):
        y, logs = labels_of(y), log_probabilities(several, x, crops, size)
        n, K = logs.shape
        if y.shape != (n,) or (n and (y.min() < 0 or y.max() >= K)):
            raise ValueError(
                f"evaluate: got labels of shape {y.shape} from {y.min()} to {y.max()}; wanted ({n},) from 0 to {K - 1}"
            )
        order = np.argsort(-logs, axis=1, kind="stable")
        confusion = np.zeros((K, K), np.int64) if confusion is None else confusion
        np.add.at(confusion, (y, order[:, 0]), 1)
        fives += int((order[:, :5] == y[:, None]).sum())
        total -= float(logs[np.arange(n), y].sum())
    if confusion is None or not confusion.sum():
        raise ValueError("evaluate: got no images; wanted at least one")
    if not np.isfinite(total):
        raise FloatingPointError("evaluate: the probability of a label is 0; wanted finite scores")
    count = int(confusion.sum())
    return Evaluation(total / count, confusion, fives / count, tuple(classes))


def held_out_batches(data: Any, transform: Any = None, batch_size: int = 128) -> Iterable[Any]:
    """Batches (x, y) of a Split's test images, of a pair of arrays (x, y), or the data itself, which has batches."""
    if isinstance(data, Split):
        data = (data.x_test, data.y_test)
    if isinstance(data, tuple) and len(data) == 2 and hasattr(data[0], "shape"):
        return Loader(*data, batch_size, transform=transform)
    if not isinstance(data, Iterable):
        raise TypeError(
            f"got {type(data).__name__} as data; wanted a Split, a pair (x, y), a Loader, or batches (x, y)"
        )
    return data
