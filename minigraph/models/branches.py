"""Inception modules: rows of layers side by side, written as the papers draw them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from minigraph.nn import AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d, Module, Sequential
from minigraph.ops.activation import relu
from minigraph.ops.shape import concatenate

LAYER = re.compile(r"(\d+|max|avg) (\d+)x(\d+)(?:/(\d+))?( V)?")
MakeConv = Callable[..., Module]  # (channels, filters, kernel, stride, padding)


class ConvReLU(Conv2d):
    """A convolution and ReLU.   (N, C, H, W) → (N, K, H′, W′)."""

    def forward(self, x: Any) -> Any:
        return relu(super().forward(x))


class ConvNormReLU(Module):
    """A convolution without bias, batch norm and ReLU.   (N, C, H, W) → (N, K, H′, W′)."""

    def __init__(
        self, channels: int, filters: int, kernel: Any, stride: Any = 1, padding: Any = 0, *, dtype: Any
    ) -> None:
        self.conv = Conv2d(channels, filters, kernel, stride, padding, bias=False, dtype=dtype)
        self.bn = BatchNorm2d(filters, eps=1e-3, dtype=dtype)

    def forward(self, x: Any) -> Any:
        return relu(self.bn(self.conv(x)))


def row(text: str, channels: int, conv: MakeConv) -> tuple[list[Any], int]:
    """The layers that ``text`` lists, and how many channels they make of ``channels``.

    "64 1x1, 96 3x3/2 V" is 64 filters 1×1, then 96 filters 3×3 with stride 2 and, as V says, no padding; without
    V the image is padded by half the kernel. "max 3x3" and "avg 3x3" pool; averages leave the padding out.
    """
    layers: list[Any] = []
    for word in text.split(", "):
        match = LAYER.fullmatch(word)
        if not match:
            raise ValueError(f"row: got {word!r}; wanted a layer such as '96 3x3/2 V'")
        kind, kernel, stride = match[1], (int(match[2]), int(match[3])), int(match[4] or 1)
        padding = (0, 0) if match[5] else (kernel[0] // 2, kernel[1] // 2)
        if kind == "max":
            layers.append(MaxPool2d(kernel, stride, padding))
        elif kind == "avg":
            layers.append(AvgPool2d(kernel, stride, padding, count_include_pad=False))
        else:
            layers.append(conv(channels, int(kind), kernel, stride, padding))
            channels = int(kind)
    return layers, channels


class Branches(Module):
    """Rows of layers side by side, joined along the channels: (N, C, H, W) → (N, ΣCᵢ, H′, W′).

    Each is an attribute of the given name: the layer itself if it is one, else a Sequential.
    """

    def __init__(self, channels: int, conv: MakeConv, rows: dict[str, str]) -> None:
        self.names, self.channels = tuple(rows), 0
        for name, text in rows.items():
            layers, out = row(text, channels, conv)
            setattr(self, name, layers[0] if len(layers) == 1 else Sequential(*layers))
            self.channels += out

    def forward(self, x: Any) -> Any:
        return concatenate([getattr(self, name)(x) for name in self.names], 1)
