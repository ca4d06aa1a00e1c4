"""Inception-v4 and Inception-ResNet-v2, with the parameters named as in the library timm.

Szegedy, Ioffe, Vanhoucke and Alemi 2017, "Inception-v4, Inception-ResNet and the impact of residual connections on
learning".
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minigraph.models.branches import Branches, ConvNormReLU, MakeConv, row
from minigraph.models.model import Model
from minigraph.nn import Conv2d, Dropout, Linear, Sequential
from minigraph.ops.activation import relu
from minigraph.ops.pool import global_avg_pool
from minigraph.ops.shape import concatenate

# --- Inception-v4: figures 3 to 9; V is for valid, no padding ---------------------------------------------

STEM = "32 3x3/2 V, 32 3x3 V, 64 3x3"
MIXED_3A = {"maxpool": "max 3x3/2 V", "conv": "96 3x3/2 V"}
MIXED_4A = {"branch0": "64 1x1, 96 3x3 V", "branch1": "64 1x1, 64 1x7, 64 7x1, 96 3x3 V"}
MIXED_5A = {"conv": "192 3x3/2 V", "maxpool": "max 3x3/2 V"}
INCEPTION_A = {
    "branch0": "96 1x1", "branch1": "64 1x1, 96 3x3", "branch2": "64 1x1, 96 3x3, 96 3x3", "branch3": "avg 3x3, 96 1x1",
}  # fmt: skip
REDUCTION_A = {"branch0": "384 3x3/2 V", "branch1": "192 1x1, 224 3x3, 256 3x3/2 V", "branch2": "max 3x3/2 V"}
INCEPTION_B = {
    "branch0": "384 1x1", "branch1": "192 1x1, 224 1x7, 256 7x1",
    "branch2": "192 1x1, 192 7x1, 224 1x7, 224 7x1, 256 1x7", "branch3": "avg 3x3, 128 1x1",
}  # fmt: skip
REDUCTION_B = {
    "branch0": "192 1x1, 192 3x3/2 V", "branch1": "256 1x1, 256 1x7, 320 7x1, 320 3x3/2 V", "branch2": "max 3x3/2 V",
}  # fmt: skip
MODULES_V4 = [MIXED_3A, MIXED_4A, MIXED_5A, *[INCEPTION_A] * 4, REDUCTION_A, *[INCEPTION_B] * 7, REDUCTION_B]


class InceptionC(Branches):
    """Figure 6: two of the four branches fork at their ends.   (N, 1536, H, W) → (N, 1536, H, W)."""

    def __init__(self, channels: int, conv: MakeConv) -> None:
        super().__init__(channels, conv, {
            "branch0": "256 1x1", "branch1_0": "384 1x1", "branch2_0": "384 1x1", "branch3": "avg 3x3, 256 1x1",
        })  # fmt: skip
        self.branch1_1a, self.branch1_1b = conv(384, 256, (1, 3), 1, (0, 1)), conv(384, 256, (3, 1), 1, (1, 0))
        self.branch2_1, self.branch2_2 = conv(384, 448, (3, 1), 1, (1, 0)), conv(448, 512, (1, 3), 1, (0, 1))
        self.branch2_3a, self.branch2_3b = conv(512, 256, (1, 3), 1, (0, 1)), conv(512, 256, (3, 1), 1, (1, 0))
        self.channels = 6 * 256

    def forward(self, x: Any) -> Any:
        x0, x1, x2, x3 = (getattr(self, name)(x) for name in self.names)
        x2 = self.branch2_2(self.branch2_1(x2))
        forks = self.branch1_1a(x1), self.branch1_1b(x1), self.branch2_3a(x2), self.branch2_3b(x2)
        return concatenate([x0, *forks, x3], 1)


class InceptionV4(Model):
    """Figure 9: (N, 3, 299, 299) → (N, 1000); see inception_v4."""

    def __init__(
        self,
        num_classes: int = 1000,
        *,
        in_channels: int = 3,
        dropout: float = 0.2,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(num_classes, (in_channels, 299, 299))
        conv = partial(ConvNormReLU, dtype=dtype)
        modules, channels = row(STEM, in_channels, conv)
        for rows in MODULES_V4:
            modules.append(Branches(channels, conv, rows))
            channels = modules[-1].channels
        self.features = Sequential(*modules, *[InceptionC(channels, conv) for _ in range(3)])
        self.head_drop = Dropout(dropout)
        self.last_linear = Linear(channels, num_classes, dtype=dtype)
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        return self.last_linear(self.head_drop(global_avg_pool(self.features(x))))


def inception_v4(num_classes: int = 1000, **options: Any) -> InceptionV4:
    """Inception-v4; 42,679,816 parameters."""
    return InceptionV4(num_classes, **options)


# --- Inception-ResNet-v2: figures 15 to 19, with the stem, widths and repetitions that the authors released ----------

STEM_2 = {  # name: layer
    "conv2d_1a": "32 3x3/2 V", "conv2d_2a": "32 3x3 V", "conv2d_2b": "64 3x3", "maxpool_3a": "max 3x3/2 V",
    "conv2d_3b": "80 1x1", "conv2d_4a": "192 3x3 V", "maxpool_5a": "max 3x3/2 V",
}  # fmt: skip
MIXED_5B = {
    "branch0": "96 1x1", "branch1": "48 1x1, 64 5x5", "branch2": "64 1x1, 96 3x3, 96 3x3", "branch3": "avg 3x3, 64 1x1",
}  # fmt: skip
BLOCK_35 = {"branch0": "32 1x1", "branch1": "32 1x1, 32 3x3", "branch2": "32 1x1, 48 3x3, 64 3x3"}
MIXED_6A = {"branch0": "384 3x3/2 V", "branch1": "256 1x1, 256 3x3, 384 3x3/2 V", "branch2": "max 3x3/2 V"}
BLOCK_17 = {"branch0": "192 1x1", "branch1": "128 1x1, 160 1x7, 192 7x1"}
MIXED_7A = {
    "branch0": "256 1x1, 384 3x3/2 V", "branch1": "256 1x1, 288 3x3/2 V", "branch2": "256 1x1, 288 3x3, 320 3x3/2 V",
    "branch3": "max 3x3/2 V",
}  # fmt: skip
BLOCK_8 = {"branch0": "192 1x1", "branch1": "192 1x1, 224 1x3, 256 3x1"}


class Residual(Branches):
    """x + scale · (branches, then a convolution back to the channels of x), and ReLU.   (N, C, H, W) → the same."""

    def __init__(
        self, channels: int, conv: MakeConv, rows: dict[str, str], scale: float, dtype: Any, last: bool = False
    ) -> None:
        super().__init__(channels, conv, rows)
        self.conv2d = Conv2d(self.channels, channels, 1, dtype=dtype)
        self.channels, self.scale, self.last = channels, scale, last

    def forward(self, x: Any) -> Any:
        x = x + self.scale * self.conv2d(super().forward(x))
        return x if self.last else relu(x)


class InceptionResNetV2(Model):
    """Figure 15: (N, 3, 299, 299) → (N, 1000); see inception_resnet_v2."""

    def __init__(
        self,
        num_classes: int = 1000,
        *,
        in_channels: int = 3,
        dropout: float = 0.2,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(num_classes, (in_channels, 299, 299))
        conv = partial(ConvNormReLU, dtype=dtype)
        channels = in_channels
        for name, text in STEM_2.items():
            (layer,), channels = row(text, channels, conv)
            setattr(self, name, layer)
        stages = (
            ("mixed_5b", MIXED_5B, "repeat", BLOCK_35, 0.17, 10),
            ("mixed_6a", MIXED_6A, "repeat_1", BLOCK_17, 0.10, 20),
            ("mixed_7a", MIXED_7A, "repeat_2", BLOCK_8, 0.20, 9),
        )
        for name, rows, repeat, block, scale, times in stages:
            mixed = Branches(channels, conv, rows)
            channels = mixed.channels
            setattr(self, name, mixed)
            setattr(self, repeat, Sequential(*[Residual(channels, conv, block, scale, dtype) for _ in range(times)]))
        self.block8 = Residual(channels, conv, BLOCK_8, 1.0, dtype, last=True)
        self.conv2d_7b = conv(channels, 1536, 1)
        self.head_drop = Dropout(dropout)
        self.classif = Linear(1536, num_classes, dtype=dtype)
        self.steps = [*STEM_2, *[name for stage in stages for name in (stage[0], stage[2])], "block8", "conv2d_7b"]
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        for step in self.steps:
            x = getattr(self, step)(x)
        return self.classif(self.head_drop(global_avg_pool(x)))


def inception_resnet_v2(num_classes: int = 1000, **options: Any) -> InceptionResNetV2:
    """Inception-ResNet-v2; 55,843,464 parameters."""
    return InceptionResNetV2(num_classes, **options)
