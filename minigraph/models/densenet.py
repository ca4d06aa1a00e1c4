"""DenseNet-121: Huang, Liu, van der Maaten and Weinberger 2017, "Densely connected convolutional networks", table 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.models.model import Model
from minigraph.nn import AvgPool2d, BatchNorm2d, Conv2d, Linear, MaxPool2d, Module, ReLU, Sequential
from minigraph.ops.activation import relu
from minigraph.ops.pool import global_avg_pool
from minigraph.ops.shape import concatenate

BLOCKS, GROWTH, BOTTLENECK = (6, 12, 24, 16), 32, 4


class DenseLayer(Module):
    """x with 32 new channels after it: (N, C, H, W) → (N, C + 32, H, W), by 1×1 to 128 channels and 3×3."""

    def __init__(self, channels: int, dtype: Any) -> None:
        self.norm1, self.relu1 = BatchNorm2d(channels, dtype=dtype), ReLU()
        self.conv1 = Conv2d(channels, BOTTLENECK * GROWTH, 1, bias=False, dtype=dtype)
        self.norm2, self.relu2 = BatchNorm2d(BOTTLENECK * GROWTH, dtype=dtype), ReLU()
        self.conv2 = Conv2d(BOTTLENECK * GROWTH, GROWTH, 3, padding=1, bias=False, dtype=dtype)

    def forward(self, x: Any) -> Any:
        new = self.conv2(self.relu2(self.norm2(self.conv1(self.relu1(self.norm1(x))))))
        return concatenate([x, new], 1)


class DenseNet(Model):
    """Four dense blocks; each transition between them halves channels and sides: (N, 3, 224, 224) → (N, 1000)."""

    def __init__(
        self, num_classes: int = 1000, *, in_channels: int = 3, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        super().__init__(num_classes, (in_channels, 224, 224))
        channels = 2 * GROWTH
        parts: dict[str, Module] = {
            "conv0": Conv2d(in_channels, channels, 7, 2, 3, bias=False, dtype=dtype),
            "norm0": BatchNorm2d(channels, dtype=dtype), "relu0": ReLU(), "pool0": MaxPool2d(3, 2, 1),
        }  # fmt: skip
        for i, layers in enumerate(BLOCKS, 1):
            block = {f"denselayer{j + 1}": DenseLayer(channels + j * GROWTH, dtype) for j in range(layers)}
            parts[f"denseblock{i}"] = Sequential(**block)
            channels += layers * GROWTH
            if i < len(BLOCKS):
                half = {"norm": BatchNorm2d(channels, dtype=dtype), "relu": ReLU(),
                        "conv": Conv2d(channels, channels // 2, 1, bias=False, dtype=dtype), "pool": AvgPool2d(2)}  # fmt: skip
                parts[f"transition{i}"] = Sequential(**half)
                channels //= 2
        self.features = Sequential(**parts, norm5=BatchNorm2d(channels, dtype=dtype))
        self.classifier = Linear(channels, num_classes, dtype=dtype)
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        return self.classifier(global_avg_pool(relu(self.features(x))))


def densenet121(num_classes: int = 1000, **options: Any) -> DenseNet:
    """121 layers; 7,978,856 parameters."""
    return DenseNet(num_classes, **options)
