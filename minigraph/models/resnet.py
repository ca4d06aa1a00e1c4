"""ResNet: He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", with its plain counterparts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from minigraph.models.model import Model
from minigraph.nn import BatchNorm2d, Conv2d, Linear, MaxPool2d, Module, Sequential
from minigraph.ops.activation import relu
from minigraph.ops.pool import global_avg_pool
from minigraph.ops.shape import getitem, pad

SHORTCUTS = ("A", "B", None)
IMAGENET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def _conv(channels: int, out: int, f: int, stride: int, dtype: Any) -> Conv2d:
    return Conv2d(channels, out, f, stride, f // 2, bias=False, dtype=dtype)


class Block(Module):
    """relu(x + F(x)), F the convolutions ``convs`` (channels, kernel, stride), each with batch norm, ReLU between.

    (N, channels, H, W) → (N, channels of the last, H/s, W/s). ``shortcut``: how x follows when F changes its
    shape: "A" every s-th entry, and channels of zeros; "B" a 1×1 convolution. None: no shortcut, relu(F(x)).
    """

    downsample: Sequential | None = None

    def __init__(
        self, channels: int, convs: tuple[tuple[int, int, int], ...], shortcut: str | None, dtype: Any
    ) -> None:
        widths, self.depth = (channels, *[out for out, _, _ in convs]), len(convs)
        for i, ((before, after), (_, f, stride)) in enumerate(zip(pairwise(widths), convs, strict=True), 1):
            setattr(self, f"conv{i}", _conv(before, after, f, stride, dtype))
            setattr(self, f"bn{i}", BatchNorm2d(after, dtype=dtype))
        self.shortcut, self.more, self.stride = shortcut, widths[-1] - channels, max(s for _, _, s in convs)
        if shortcut == "B" and (self.more or self.stride > 1):
            self.downsample = Sequential(
                _conv(channels, widths[-1], 1, self.stride, dtype), BatchNorm2d(widths[-1], dtype=dtype)
            )

    def forward(self, x: Any) -> Any:
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = relu(y) if i < self.depth else y
        if self.downsample:
            x = self.downsample(x)
        elif self.more or self.stride > 1:
            x = self._padded(x) if self.shortcut else x
        return relu(y + x if self.shortcut else y)

    def _padded(self, x: Any) -> Any:
        every = slice(None, None, self.stride)
        return pad(getitem(x, (slice(None), slice(None), every, every)), ((0, 0), (0, self.more), (0, 0), (0, 0)))


class _ResNet(Model):
    """conv1, bn1, stages of blocks layer1, layer2, …, the average over all positions, fc."""

    def __init__(
        self, first: Conv2d, stages: tuple[int, ...], bottleneck: bool, num_classes: int, image: tuple[int, int, int],
        shortcut: str | None, rng: Any, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, image)
        if shortcut not in SHORTCUTS:
            raise ValueError(f"{type(self).__name__}: got shortcut {shortcut!r}; wanted one of {SHORTCUTS}")
        width = channels = first.weight.shape[0]
        self.conv1, self.bn1, self.depth = first, BatchNorm2d(channels, dtype=dtype), len(stages)
        for i, blocks in enumerate(stages):
            row = []
            for j in range(blocks):
                w, s = width << i, 2 if i and not j else 1
                convs = ((w, 1, 1), (w, 3, s), (4 * w, 1, 1)) if bottleneck else ((w, 3, s), (w, 3, 1))
                row.append(Block(channels, convs, shortcut, dtype))
                channels = convs[-1][0]
            setattr(self, f"layer{i + 1}", Sequential(*row))
        self.fc = Linear(channels, num_classes, dtype=dtype)
        self.begin(rng)

    def stem(self, x: Any) -> Any:
        """From the image to the first block."""
        return relu(self.bn1(self.conv1(x)))

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        for i in range(1, self.depth + 1):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(global_avg_pool(x))


class ResNet(_ResNet):
    """The paper's table 1, for ImageNet: (N, 3, 224, 224) → (N, 1000).

    Of basic blocks with 18 and 34 ``layers``, of bottlenecks with 50, 101 and 152. A bottleneck strides in its 3×3 convolution, as in torchvision (the paper: in the first 1×1), so that
    published weights fit. ``shortcut``: see Block; None for a plain network.
    """

    def __init__(
        self, layers: int, num_classes: int = 1000, *, in_channels: int = 3, shortcut: str | None = "B",
        rng: Any = None, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        first = Conv2d(in_channels, 64, 7, 2, 3, bias=False, dtype=dtype)
        image = (in_channels, 224, 224)
        super().__init__(first, IMAGENET[layers], layers >= 50, num_classes, image, shortcut, rng, dtype)
        self.maxpool = MaxPool2d(3, 2, 1)

    def stem(self, x: Any) -> Any:
        return self.maxpool(super().stem(x))


class CifarResNet(_ResNet):
    """The paper's section 4.2, for CIFAR-10: (N, 3, 32, 32) → (N, 10), 6n + 2 ``layers``, 16, 32 and 64 channels.

    ``shortcut``: "A", the paper's, without parameters; "B" by convolution; None for a plain network.
    """

    def __init__(
        self, layers: int, num_classes: int = 10, *, in_channels: int = 3, shortcut: str | None = "A",
        rng: Any = None, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        if layers < 8 or layers % 6 != 2:
            raise ValueError(f"CifarResNet: got {layers} layers; wanted 6n + 2, such as 20")
        first, n = _conv(in_channels, 16, 3, 1, dtype), layers // 6
        super().__init__(first, (n, n, n), False, num_classes, (in_channels, 32, 32), shortcut, rng, dtype)


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """18 layers of basic blocks; 11,689,512 parameters."""
    return ResNet(18, num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """34 layers of basic blocks; 21,797,672 parameters."""
    return ResNet(34, num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """50 layers of bottlenecks; 25,557,032 parameters."""
    return ResNet(50, num_classes, **options)


def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """101 layers of bottlenecks; 44,549,160 parameters."""
    return ResNet(101, num_classes, **options)


def resnet152(num_classes: int = 1000, **options: Any) -> ResNet:
    """152 layers of bottlenecks; 60,192,808 parameters."""
    return ResNet(152, num_classes, **options)


def plain18(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-18 without its shortcuts."""
    return ResNet(18, num_classes, shortcut=None, **options)


def plain34(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-34 without its shortcuts."""
    return ResNet(34, num_classes, shortcut=None, **options)


def resnet20(num_classes: int = 10, **options: Any) -> CifarResNet:
    """20 layers for CIFAR; 269,722 parameters."""
    return CifarResNet(20, num_classes, **options)


def resnet32(num_classes: int = 10, **options: Any) -> CifarResNet:
    """32 layers for CIFAR; 464,154 parameters."""
    return CifarResNet(32, num_classes, **options)


def resnet44(num_classes: int = 10, **options: Any) -> CifarResNet:
    """44 layers for CIFAR; 658,586 parameters."""
    return CifarResNet(44, num_classes, **options)


def resnet56(num_classes: int = 10, **options: Any) -> CifarResNet:
    """56 layers for CIFAR; 853,018 parameters."""
    return CifarResNet(56, num_classes, **options)


def resnet110(num_classes: int = 10, **options: Any) -> CifarResNet:
    """110 layers for CIFAR; 1,727,962 parameters."""
    return CifarResNet(110, num_classes, **options)


def plain20(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-20 without its shortcuts."""
    return CifarResNet(20, num_classes, shortcut=None, **options)


def plain32(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-32 without its shortcuts."""
    return CifarResNet(32, num_classes, shortcut=None, **options)


def plain44(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-44 without its shortcuts."""
    return CifarResNet(44, num_classes, shortcut=None, **options)


def plain56(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-56 without its shortcuts."""
    return CifarResNet(56, num_classes, shortcut=None, **options)


def plain110(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-110 without its shortcuts."""
    return CifarResNet(110, num_classes, shortcut=None, **options)
