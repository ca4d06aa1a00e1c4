"""MobileNet: Howard et al. 2017 (v1), Sandler et al. 2018 (v2, "Inverted residuals and linear bottlenecks"), Howard et al. 2019 (v3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.models.model import Model
from minigraph.nn import BatchNorm2d, Conv2d, Dropout, Hardswish, Linear, Module, ReLU, ReLU6, Sequential
from minigraph.ops.activation import hardsigmoid, relu
from minigraph.ops.pool import adaptive_avg_pool2d, global_avg_pool

Activation = type[Module] | None
V1 = "64 128/2 128 256/2 256 512/2 512 512 512 512 512 1024/2 1024"  # channels/stride
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# kernel, expanded channels, channels, whether channels are weighted, whether hard-swish, stride
V3 = {
    "large": (
        (3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2), (5, 120, 40, 1, 0, 1),
        (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1),
        (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1), (5, 960, 160, 1, 1, 1),
    ),
    "small": (
        (3, 16, 16, 1, 0, 2), (3, 72, 24, 0, 0, 2), (3, 88, 24, 0, 0, 1), (5, 96, 40, 1, 1, 2), (5, 240, 40, 1, 1, 1),
        (5, 240, 40, 1, 1, 1), (5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1), (5, 288, 96, 1, 1, 2), (5, 576, 96, 1, 1, 1),
        (5, 576, 96, 1, 1, 1),
    ),
}  # fmt: skip


def conv_norm(
    channels: int, out: int, f: int, stride: int, dtype: Any, activation: Activation, groups: int = 1, **norm: Any
) -> Sequential:
    """Convolution, batch norm, and the activation if any."""
    conv = Conv2d(channels, out, f, stride, f // 2, groups=groups, bias=False, dtype=dtype)
    after = [] if activation is None else [activation()]
    return Sequential(conv, BatchNorm2d(out, dtype=dtype, **norm), *after)


def whole(channels: float) -> int:
    """The multiple of 8 next to ``channels``, at most 10 % below."""
    n = max(8, int(channels + 4) // 8 * 8)
    return n if n >= 0.9 * channels else n + 8


class MobileNetV1(Model):
    """Depthwise and 1×1 convolutions in turn, the paper's table 1: (N, 3, 224, 224) → (N, 1000)."""

    def __init__(
        self, num_classes: int = 1000, *, in_channels: int = 3, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        super().__init__(num_classes, (in_channels, 224, 224))
        layers, channels = [conv_norm(in_channels, 32, 3, 2, dtype, ReLU)], 32
        for word in V1.split():
            out, _, stride = word.partition("/")
            layers.append(conv_norm(channels, channels, 3, int(stride or 1), dtype, ReLU, channels))
            layers.append(conv_norm(channels, int(out), 1, 1, dtype, ReLU))
            channels = int(out)
        self.features, self.fc = Sequential(*layers), Linear(channels, num_classes, dtype=dtype)
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        return self.fc(global_avg_pool(self.features(x)))


class InvertedResidual(Module):
    """1×1 to more channels, depthwise 3×3, a linear 1×1 projection; plus x where the shape is the same."""

    def __init__(self, channels: int, out: int, stride: int, factor: int, dtype: Any) -> None:
        inner = channels * factor
        first = [conv_norm(channels, inner, 1, 1, dtype, ReLU6)] if factor > 1 else []
        self.conv = Sequential(
            *first, conv_norm(inner, inner, 3, stride, dtype, ReLU6, inner), *conv_norm(inner, out, 1, 1, dtype, None)
        )
        self.residual = stride == 1 and channels == out

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(Model):
    """The paper's table 2: (N, 3, 224, 224) → (N, 1000)."""

    def __init__(
        self, num_classes: int = 1000, *, in_channels: int = 3, dropout: float = 0.2, rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, (in_channels, 224, 224))
        layers: list[Module] = [conv_norm(in_channels, 32, 3, 2, dtype, ReLU6)]
        channels = 32
        for factor, out, repeats, stride in V2:
            for i in range(repeats):
                layers.append(InvertedResidual(channels, out, 1 if i else stride, factor, dtype))
                channels = out
        self.features = Sequential(*layers, conv_norm(channels, 1280, 1, 1, dtype, ReLU6))
        self.classifier = Sequential(Dropout(dropout), Linear(1280, num_classes, dtype=dtype))
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        return self.classifier(global_avg_pool(self.features(x)))


class SqueezeExcitation(Module):
    """x times a weight for each channel, found from the channels' means: Hu et al. 2018, with hard sigmoid."""

    def __init__(self, channels: int, squeezed: int, dtype: Any) -> None:
        self.fc1, self.fc2 = Conv2d(channels, squeezed, 1, dtype=dtype), Conv2d(squeezed, channels, 1, dtype=dtype)

    def forward(self, x: Any) -> Any:
        return x * hardsigmoid(self.fc2(relu(self.fc1(adaptive_avg_pool2d(x, 1)))))


class V3Block(Module):
    """An inverted residual whose channels may be weighted before the projection."""

    def __init__(
        self, channels: int, f: int, inner: int, out: int, weighted: int, hard: int, stride: int, dtype: Any, norm: dict[str, Any]
    ) -> None:  # fmt: skip
        act = Hardswish if hard else ReLU
        parts: list[Module] = [conv_norm(channels, inner, 1, 1, dtype, act, **norm)] if inner != channels else []
        parts.append(conv_norm(inner, inner, f, stride, dtype, act, inner, **norm))
        if weighted:
            parts.append(SqueezeExcitation(inner, whole(inner // 4), dtype))
        self.block = Sequential(*parts, conv_norm(inner, out, 1, 1, dtype, None, **norm))
        self.residual = stride == 1 and channels == out

    def forward(self, x: Any) -> Any:
        return x + self.block(x) if self.residual else self.block(x)


class MobileNetV3(Model):
    """The paper's tables 1 and 2, "large" and "small": (N, 3, 224, 224) → (N, 1000)."""

    def __init__(
        self, size: str, num_classes: int = 1000, *, in_channels: int = 3, dropout: float = 0.2, rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, (in_channels, 224, 224))
        norm: dict[str, Any] = {"eps": 0.001, "momentum": 0.01}
        layers: list[Module] = [conv_norm(in_channels, 16, 3, 2, dtype, Hardswish, **norm)]
        channels, hidden = 16, 1280 if size == "large" else 1024
        for f, inner, out, weighted, hard, stride in V3[size]:
            layers.append(V3Block(channels, f, inner, out, weighted, hard, stride, dtype, norm))
            channels = out
        self.features = Sequential(*layers, conv_norm(channels, 6 * channels, 1, 1, dtype, Hardswish, **norm))
        self.classifier = Sequential(
            Linear(6 * channels, hidden, dtype=dtype),
            Hardswish(),
            Dropout(dropout),
            Linear(hidden, num_classes, dtype=dtype),
        )
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        return self.classifier(global_avg_pool(self.features(x)))


def mobilenet_v1(num_classes: int = 1000, **options: Any) -> MobileNetV1:
    """Of full width; 4,231,976 parameters."""
    return MobileNetV1(num_classes, **options)


def mobilenet_v2(num_classes: int = 1000, **options: Any) -> MobileNetV2:
    """Of full width; 3,504,872 parameters."""
    return MobileNetV2(num_classes, **options)


def mobilenet_v3_large(num_classes: int = 1000, **options: Any) -> MobileNetV3:
    """5,483,032 parameters."""
    return MobileNetV3("large", num_classes, **options)


def mobilenet_v3_small(num_classes: int = 1000, **options: Any) -> MobileNetV3:
    """2,542,856 parameters."""
    return MobileNetV3("small", num_classes, **options)
