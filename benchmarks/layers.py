"""Single layers, forward and back, float32, against PyTorch in its faster layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import minigraph as mg
from benchmarks import timing
from benchmarks.timing import OURS, Row, compare

C = 64
# The name, ours, PyTorch's as a function of torch.nn.functional, and the sides of the images.
LAYERS: list[tuple[str, Callable[..., Any], Callable[..., Any], int]] = [
    (
        "batch norm and ReLU",
        lambda x, w: mg.relu(mg.batch_norm(x, weight=w, bias=w, training=True)),
        lambda F, x, w: F.relu_(F.batch_norm(x, None, None, w, w, True)),
        56,
    ),
    ("max pool 3/2", lambda x, w: mg.max_pool2d(x, 3, 2, 1), lambda F, x, w: F.max_pool2d(x, 3, 2, 1), 112),
    ("max pool 2/2", lambda x, w: mg.max_pool2d(x, 2), lambda F, x, w: F.max_pool2d(x, 2), 112),
    ("average pool 3/1", lambda x, w: mg.avg_pool2d(x, 3, 1, 1), lambda F, x, w: F.avg_pool2d(x, 3, 1, 1), 56),
    ("response norm", lambda x, w: mg.local_response_norm(x, 5), lambda F, x, w: F.local_response_norm(x, 5), 56),
]  # fmt: skip


def rows(repeats: int) -> Iterator[Row]:
    """A row for each layer."""
    for name, own, theirs, side in LAYERS:
        contenders = {OURS: partial(ours, own, side)}
        contenders |= {
            f"torch{', channels last' if last else ''}": partial(torchs, theirs, side, last) for last in (False, True)
        }
        yield compare(f"{name}, 8×{C}×{side}×{side}", 1, repeats, contenders)


def images(side: int) -> np.ndarray:
    """With the channels last in memory."""
    return np.moveaxis(np.random.default_rng(0).standard_normal((8, side, side, C), np.float32), -1, 1)


def ours(layer: Callable[..., Any], side: int) -> Callable[[], object]:
    x, w = mg.parameter(images(side)), mg.parameter(np.ones(C, np.float32))
    shape = layer(x, w).shape
    g = np.moveaxis(np.ones((shape[0], *shape[2:], C), np.float32), -1, 1)

    def call() -> None:
        layer(x, w).backward(g)
        x.grad = w.grad = None

    return call


def torchs(layer: Callable[..., Any], side: int, last: bool) -> Callable[[], object]:
    torch = timing.torch()
    order: Any = {"memory_format": torch.channels_last if last else torch.contiguous_format}
    x, w = torch.from_numpy(images(side)).clone(**order).requires_grad_(), torch.ones(C, requires_grad=True)
    g = torch.ones_like(layer(torch.nn.functional, x, w))

    def call() -> None:
        layer(torch.nn.functional, x, w).backward(g)
        x.grad = w.grad = None

    return call
