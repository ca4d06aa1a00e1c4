"""SqueezeNet 1.1: Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", in its second version."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.models.model import Model
from minigraph.nn import AdaptiveAvgPool2d, Conv2d, Dropout, MaxPool2d, Module, ReLU, Sequential
from minigraph.ops.activation import relu
from minigraph.ops.shape import concatenate, flatten

# squeezed channels, channels that each of two expansions gives; P: max pooling
FIRES = "16-64 16-64 P 32-128 32-128 P 48-192 48-192 64-256 64-256"


class Fire(Module):
    """A 1×1 convolution to few channels, then 1×1 and 3×3 convolutions beside each other: (N, C, H, W) → (N, 2 K, H, W)."""

    def __init__(self, channels: int, squeezed: int, expanded: int, dtype: Any) -> None:
        self.squeeze = Conv2d(channels, squeezed, 1, dtype=dtype)
        self.expand1x1 = Conv2d(squeezed, expanded, 1, dtype=dtype)
        self.expand3x3 = Conv2d(squeezed, expanded, 3, padding=1, dtype=dtype)

    def forward(self, x: Any) -> Any:
        x = relu(self.squeeze(x))
        return concatenate([relu(self.expand1x1(x)), relu(self.expand3x3(x))], 1)


class SqueezeNet(Model):
    """(N, 3, 224, 224) → (N, 1000); the last convolution gives the scores at each position, which are averaged."""

    def __init__(
        self, num_classes: int = 1000, *, in_channels: int = 3, dropout: float = 0.5, rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, (in_channels, 224, 224))
        layers: list[Any] = [Conv2d(in_channels, 64, 3, 2, dtype=dtype), ReLU(), MaxPool2d(3, 2, ceil_mode=True)]
        channels = 64
        for word in FIRES.split():
            if word == "P":
                layers.append(MaxPool2d(3, 2, ceil_mode=True))
                continue
            squeezed, expanded = map(int, word.split("-"))
            layers.append(Fire(channels, squeezed, expanded, dtype))
            channels = 2 * expanded
        self.features = Sequential(*layers)
        self.classifier = Sequential(
            Dropout(dropout), Conv2d(channels, num_classes, 1, dtype=dtype), ReLU(), AdaptiveAvgPool2d((1, 1))
        )
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        return flatten(self.classifier(self.features(x)))


def squeezenet1_1(num_classes: int = 1000, **options: Any) -> SqueezeNet:
    """1,235,496 parameters."""
    return SqueezeNet(num_classes, **options)
