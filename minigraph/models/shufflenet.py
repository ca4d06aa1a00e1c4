"""ShuffleNet v2: Ma, Zhang, Zheng and Sun 2018, "Practical guidelines for efficient CNN architecture design", table 5."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.models.model import Model
from minigraph.nn import BatchNorm2d, Conv2d, Linear, MaxPool2d, Module, ReLU, Sequential
from minigraph.nn.functional import channel_shuffle
from minigraph.ops.pool import global_avg_pool
from minigraph.ops.shape import concatenate, split

STAGES = ((4, 116), (8, 232), (4, 464))


def _conv(channels: int, out: int, f: int, stride: int, dtype: Any, activated: bool) -> list[Module]:
    """A convolution, depthwise unless 1×1, batch norm, and ReLU if ``activated``."""
    groups = channels if f > 1 else 1
    conv = Conv2d(channels, out, f, stride, f // 2, groups=groups, bias=False, dtype=dtype)
    return [conv, BatchNorm2d(out, dtype=dtype), *([ReLU()] if activated else [])]


class ShuffleUnit(Module):
    """Half of the channels go through 1×1, depthwise 3×3 and 1×1, the others around; then both are shuffled.

    With stride 2 all channels go through both branches, whose sides are half: (N, C, H, W) → (N, K, H/s, W/s).
    """

    def __init__(self, channels: int, out: int, stride: int, dtype: Any) -> None:
        half = out // 2
        self.stride = stride
        around = [*_conv(channels, channels, 3, stride, dtype, False), *_conv(channels, half, 1, 1, dtype, True)]
        self.branch1 = Sequential(*(around if stride > 1 else []))
        self.branch2 = Sequential(
            *_conv(channels if stride > 1 else half, half, 1, 1, dtype, True), *_conv(half, half, 3, stride, dtype, False),
            *_conv(half, half, 1, 1, dtype, True),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        a, b = split(x, 2, 1) if self.stride == 1 else (self.branch1(x), x)
        return channel_shuffle(concatenate([a, self.branch2(b)], 1), 2)


class ShuffleNetV2(Model):
    """(N, 3, 224, 224) → (N, 1000), of full width."""

    def __init__(
        self, num_classes: int = 1000, *, in_channels: int = 3, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        super().__init__(num_classes, (in_channels, 224, 224))
        first = Conv2d(in_channels, 24, 3, 2, 1, bias=False, dtype=dtype)
        self.conv1, self.maxpool = Sequential(first, BatchNorm2d(24, dtype=dtype), ReLU()), MaxPool2d(3, 2, 1)
        channels = 24
        for i, (units, out) in enumerate(STAGES, 2):
            row = [ShuffleUnit(channels, out, 2, dtype), *(ShuffleUnit(out, out, 1, dtype) for _ in range(units - 1))]
            setattr(self, f"stage{i}", Sequential(*row))
            channels = out
        self.conv5 = Sequential(*_conv(channels, 1024, 1, 1, dtype, True))
        self.fc = Linear(1024, num_classes, dtype=dtype)
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.conv1(x))
        for i in range(2, 2 + len(STAGES)):
            x = getattr(self, f"stage{i}")(x)
        return self.fc(global_avg_pool(self.conv5(x)))


def shufflenet_v2_x1_0(num_classes: int = 1000, **options: Any) -> ShuffleNetV2:
    """2,278,604 parameters."""
    return ShuffleNetV2(num_classes, **options)
