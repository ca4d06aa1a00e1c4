"""conv2d forward and both its gradients, float32, against PyTorch in its faster layout.

Images and filters lie as layers hold them, channels last; PyTorch gets them in each of its layouts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import minigraph as mg
from benchmarks import timing
from benchmarks.timing import OURS, Row, compare


class Layer(NamedTuple):
    """Shapes of images and filters, and how they meet."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    def __str__(self) -> str:
        (N, C, H, W), (K, _, f, _) = self.x, self.w
        words = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        rest = "".join(f", {word} {n}" for word, usual in words.items() if (n := getattr(self, word)) != usual)
        return f"{N}×{C}×{H}×{W} → {K}, {f}×{f}{rest}"

    @property
    def options(self) -> dict[str, int]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


LAYERS = (
    Layer((4, 3, 224, 224), (64, 3, 3, 3), padding=1),
    Layer((8, 64, 56, 56), (64, 64, 3, 3), padding=1),
    Layer((16, 128, 28, 28), (128, 128, 3, 3), padding=1),
    Layer((16, 256, 14, 14), (256, 256, 3, 3), padding=1),
    Layer((16, 512, 7, 7), (512, 512, 3, 3), padding=1),
    Layer((128, 16, 32, 32), (16, 16, 3, 3), padding=1),
    Layer((128, 6, 14, 14), (16, 6, 5, 5)),
    Layer((8, 256, 56, 56), (64, 256, 1, 1)),
    Layer((4, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3),
    Layer((8, 128, 56, 56), (128, 128, 3, 3), stride=2, padding=1),
    Layer((8, 128, 56, 56), (128, 1, 3, 3), padding=1, groups=128),
    Layer((8, 64, 56, 56), (64, 64, 3, 3), padding=2, dilation=2),
)


def rows(repeats: int) -> Iterator[Row]:
    """A row for each layer, and one for the geometric mean of them all."""
    found = []
    for layer in LAYERS:
        contenders = {OURS: ours, "torch": torchs, "torch, channels last": partial(torchs, channels_last=True)}
        row = compare(str(layer), 1, repeats, {name: partial(make, layer) for name, make in contenders.items()})
        found.append(row)
        yield row
    best = [[row.samples[OURS] for row in found], [row.samples[row.peer] for row in found if row.peer]]
    samples = {name: mean(s) for name, s in zip((OURS, "torch, faster layouts"), best, strict=True) if s}
    yield Row("geometric mean", 0.8, samples, found[0].missing)


def mean(samples: list[list[float]]) -> list[float]:
    """The geometric mean of several rows, round by round."""
    return [float(m) for m in np.exp(np.log(samples).mean(axis=0))]


def arrays(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Images and filters with the channels last in memory, as layers leave and hold them."""
    rng, (N, C, H, W), (K, c, f, _) = np.random.default_rng(0), layer.x, layer.w
    images, filters = (rng.standard_normal(shape, np.float32) for shape in ((N, H, W, C), (K, f, f, c)))
    return images.transpose(0, 3, 1, 2), filters.transpose(0, 3, 1, 2)


def ours(layer: Layer) -> Callable[[], object]:
    x, w = map(mg.parameter, arrays(layer))
    N, K, H, W = mg.conv2d(mg.Spec(x.shape), mg.Spec(w.shape), **layer.options).shape
    g = np.ones((N, H, W, K), np.float32).transpose(0, 3, 1, 2)

    def call() -> None:
        mg.conv2d(x, w, **layer.options).backward(g)
        x.grad = w.grad = None

    return call


def torchs(layer: Layer, channels_last: bool = False) -> Callable[[], object]:
    torch = timing.torch()
    order: Any = {"memory_format": torch.channels_last if channels_last else torch.contiguous_format}
    x, w = (torch.from_numpy(a).clone(**order).requires_grad_() for a in arrays(layer))  # aligned as PyTorch's own
    g = torch.ones_like(torch.nn.functional.conv2d(x, w, **layer.options))

    def call() -> None:
        torch.nn.functional.conv2d(x, w, **layer.options).backward(g)
        x.grad = w.grad = None

    return call
