"""VGG: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", table 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.models.alexnet_2012 import response_norm
from minigraph.models.model import ConvNet
from minigraph.nn import Conv2d, MaxPool2d, ReLU, Sequential

CONFIGURATIONS = {  # 64: 64 filters 3×3, padding 1; 256/1: 256 filters 1×1; N: response normalisation; P: max pooling
    "A": "64 P 128 P 256 256 P 512 512 P 512 512 P",
    "A-LRN": "64 N P 128 P 256 256 P 512 512 P 512 512 P",
    "B": "64 64 P 128 128 P 256 256 P 512 512 P 512 512 P",
    "C": "64 64 P 128 128 P 256 256 256/1 P 512 512 512/1 P 512 512 512/1 P",
    "D": "64 64 P 128 128 P 256 256 256 P 512 512 512 P 512 512 512 P",
    "E": "64 64 P 128 128 P 256 256 256 256 P 512 512 512 512 P 512 512 512 512 P",
}


class VGG(ConvNet):
    """A configuration of the paper's table 1: (N, 3, 224, 224) → (N, 1000), He et al.'s initialisation."""

    def __init__(
        self, configuration: str, num_classes: int = 1000, *, in_channels: int = 3, hidden: int = 4096,
        dropout: float = 0.5, rng: Any = None, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        layers: list[Any] = []
        channels = in_channels
        for word in CONFIGURATIONS[configuration].split():
            if word == "P":
                layers.append(MaxPool2d(2, 2))
            elif word == "N":
                layers.append(response_norm())
            else:
                K, _, f = word.partition("/")
                layers += [Conv2d(channels, int(K), int(f or 3), padding=int(f or 3) // 2, dtype=dtype), ReLU()]
                channels = int(K)
        image = (in_channels, 224, 224)
        super().__init__(Sequential(*layers), channels, 7, num_classes, image, hidden, dropout, rng, dtype)


def vgg11(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG A: 8 convolutions and 3 fully connected layers; 132,863,336 parameters."""
    return VGG("A", num_classes, **options)


def vgg_a_lrn(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG A-LRN: A with AlexNet's local response normalisation after the first layer; 132,863,336 parameters."""
    return VGG("A-LRN", num_classes, **options)


def vgg13(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG B: 10 convolutions and 3 fully connected layers; 133,047,848 parameters."""
    return VGG("B", num_classes, **options)


def vgg_c(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG C: B with a 1×1 convolution at the end of the last three blocks; 133,638,952 parameters."""
    return VGG("C", num_classes, **options)


def vgg16(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG D: 13 convolutions and 3 fully connected layers; 138,357,544 parameters."""
    return VGG("D", num_classes, **options)


def vgg19(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG E: 16 convolutions and 3 fully connected layers; 143,667,240 parameters."""
    return VGG("E", num_classes, **options)
