"""Loader: batches in an order and with transforms that depend on a seed alone, prepared ahead in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.data.dataset import Subset, class_labels
from minigraph.data.transforms import Compose, Transform, TransformError, applied, as_floats, expect_transform
from minigraph.random import generator

Batch = tuple[Array, Array]
LOOKAHEAD = 2  # batches that each worker prepares ahead


class Loader:
    """Batches (x, y) of images x (N, C, H, W) and labels y (N,), once through the data each time it is iterated.

    ``x``: an array, or a sequence that an array of indices can index, as of pictures in files. Unsigned bytes become
    float32 from 0 to 1. ``transform(x, y, rng)`` changes a batch. ``shuffle`` draws a new order every epoch; ``balanced``
    draws all classes equally often, repeating images of the rarer ones.

    Everything random comes from a seed drawn from ``rng`` and from the numbers of epoch and batch, so that a batch is the
    same however many threads (``num_workers``; 0: none) prepare it and wherever training was resumed. Iterating begins the
    next epoch; ``batches(epoch, start)`` gives a certain one.

    Raises ValueError for no images, for labels that do not fit, for a class without images if ``balanced``, and for data
    smaller than a batch if ``drop_last``; TypeError without an ``rng`` where one is needed. A batch with an image that is not
    finite raises ValueError when it is asked for.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        balanced: bool = False,
        transform: Transform | Callable[..., Any] | list[Any] | None = None,
        rng: np.random.Generator | int | None = None,
        num_workers: int = 1,
    ) -> None:
        for name, n, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
            if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < least:
                raise ValueError(f"Loader: got {name} {n!r}; wanted an integer of at least {least}")
        self.x, self.y = _images(x), np.asarray(y)
        self.batch_size, self.num_workers = int(batch_size), int(num_workers)
        self.shuffle, self.drop_last, self.balanced = bool(shuffle), bool(drop_last), bool(balanced)
        transform = Compose(transform) if isinstance(transform, (list, tuple)) else transform
        self.transform = Compose([]) if transform is None else expect_transform("Loader", transform)
        self._check()
        needed = self.shuffle or self.balanced or getattr(self.transform, "random", True)
        self.seed = int(generator(rng, "Loader").integers(2**63)) if needed or rng is not None else 0
        self.epoch = 0

    def _check(self) -> None:
        n = len(self.x) if self.x.shape else 0
        if not n:
            raise ValueError("Loader: got no images; wanted at least one")
        if self.y.shape[:1] != (n,):
            raise ValueError(
                f"Loader: got labels of shape {self.y.shape} for {n} images; wanted one label for each image"
            )
        if self.y.dtype.kind in "iu" and self.y.ndim == 1:
            class_labels("Loader", self.y, n)
        if self.y.dtype.kind not in "buif":
            raise TypeError(f"Loader: got labels of {self.y.dtype}; wanted integers, or floats such as probabilities")
        if not np.isfinite(self.y).all():
            bad = np.isfinite(self.y).reshape(n, -1).all(axis=1).argmin()
            raise ValueError(f"Loader: label {bad} has a NaN or an infinity; wanted finite labels")
        if self.drop_last and n < self.batch_size:
            raise ValueError(
                f"Loader: got {n} images; wanted at least {self.batch_size}, one batch, since drop_last drops smaller ones"
            )
        if self.balanced:
            if self.y.ndim != 1 or self.y.dtype.kind not in "iu":
                raise ValueError(
                    f"Loader: got labels of {self.y.dtype} {self.y.shape}; wanted one class for each image to balance"
                )
            counts = np.bincount(self.y)
            if not counts.all():
                raise ValueError(
                    f"Loader: got no image of class {int(np.argmin(counts))}; wanted images of each class to balance"
                )

    def __len__(self) -> int:
        """The number of batches."""
        return len(self.x) // self.batch_size if self.drop_last else -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self.batches(epoch)

    def order(self, epoch: int) -> Array:
        """The numbers of the images in the order of this epoch."""
        n = len(self.x)
        rng = np.random.default_rng([self.seed, epoch])
        if self.balanced:
            members = [np.flatnonzero(self.y == c) for c in range(int(self.y.max()) + 1)]
            each = -(-n // len(members))
            drawn = [np.concatenate([rng.permutation(m) for _ in range(-(-each // len(m)))])[:each] for m in members]
            return rng.permutation(np.concatenate(drawn))[:n]
        return rng.permutation(n) if self.shuffle else np.arange(n)

    def batch(self, epoch: int, i: int, order: Array | None = None) -> Batch:
        """Batch i of an epoch."""
        order = self.order(epoch) if order is None else order
        indices = order[i * self.batch_size : (i + 1) * self.batch_size]
        if not len(indices):
            raise IndexError(f"Loader: got batch {i}; wanted 0 to {len(self) - 1}")
        x, y = as_floats(self.x[indices]), self.y[indices]
        if len(x) != len(y):
            raise ValueError(f"Loader: got images of shape {x.shape} for {len(y)} indices; wanted one for each")
        if not np.isfinite(x).all():
            bad = indices[np.argmin(np.isfinite(x).reshape(len(x), -1).all(axis=1))]
            raise ValueError(f"Loader: image {bad} has a NaN or an infinity; wanted finite pixels")
        try:
            return applied(self.transform, x, y, np.random.default_rng([self.seed, epoch, i]))
        except TransformError as error:
            raise TransformError(f"Loader: {error}; in batch {i}, {_named(self.x, indices)}") from None

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number ``start`` on, in order."""
        order, numbers = self.order(epoch), iter(range(start, len(self)))
        if not self.num_workers:
            for i in numbers:
                yield self.batch(epoch, i, order)
            return
        with ThreadPoolExecutor(self.num_workers, "minigraph-loader") as pool:
            ahead: deque[Future[Batch]] = deque()
            try:
                for i in numbers:
                    ahead.append(pool.submit(self.batch, epoch, i, order))
                    if len(ahead) > LOOKAHEAD * self.num_workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def __repr__(self) -> str:
        return f"Loader({len(self.x)} images, batch_size={self.batch_size}, shuffle={self.shuffle}, transform={self.transform})"


def _named(x: Any, indices: Array) -> str:
    """The first of these images, by its file if it has one, and its number."""
    first = int(indices[0])
    number, source = first, x
    while isinstance(source, Subset):
        first, source = int(source.indices[first]), source.x
    paths = getattr(source, "paths", None)
    return f"which begins with image {number}" + (f", {paths[first]}" if paths else "")


def _images(x: Any) -> Any:
    """Images that can be indexed by an array of numbers; a list of arrays becomes one. Raises ValueError for several shapes."""
    if hasattr(x, "shape") and hasattr(x, "__getitem__"):
        return x
    if not isinstance(x, Iterable):
        raise TypeError(f"Loader: got {type(x).__name__} as images; wanted an array or a sequence of images")
    shapes = {np.shape(image) for image in x}
    if len(shapes) > 1:
        several = " and ".join(map(str, sorted(shapes)[:2]))
        raise ValueError(
            f"Loader: got images of several shapes, such as {several}; wanted one shape; resize them first"
        )
    return np.asarray(x)
