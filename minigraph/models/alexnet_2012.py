"""AlexNet: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks"."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.models.model import ConvNet
from minigraph.nn import Conv2d, LocalResponseNorm, MaxPool2d, ReLU, Sequential, init

LAYERS = (  # channels, kernel, stride, padding, first value of the biases; P: pooling, N: normalisation
    (96, 11, 4, 0, init.zeros), "P", "N", (256, 5, 1, 2, init.ones), "P", "N", (384, 3, 1, 1, init.zeros),
    (384, 3, 1, 1, init.ones), (256, 3, 1, 1, init.ones), "P",
)  # fmt: skip


def response_norm() -> LocalResponseNorm:  # type: ignore[valid-type]
    """The paper's b = a / (2 + 10⁻⁴ Σ a²)^0.75 over 5 neighbouring channels; LocalResponseNorm divides its α by 5."""
    return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


class AlexNet(ConvNet):
    """In one column, with pooling before normalisation: (N, 3, 227, 227) → (N, 1000); see alexnet."""

    def __init__(
        self, num_classes: int = 1000, *, in_channels: int = 3, hidden: int = 4096, dropout: float = 0.5,
        rng: Any = None, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        layers: list[Any] = []
        channels, weight = in_channels, init.normal(0.01)
        for layer in LAYERS:
            if isinstance(layer, str):
                layers.append(MaxPool2d(3, 2) if layer == "P" else response_norm())
            else:
                K, f, stride, padding, bias = layer
                conv = Conv2d(channels, K, f, stride, padding, weight_init=weight, bias_init=bias, dtype=dtype)
                layers += [conv, ReLU()]
                channels = K
        image = (in_channels, 227, 227)
        super().__init__(
            Sequential(*layers), channels, 6, num_classes, image, hidden, dropout, rng, dtype, weight, init.ones
        )


def alexnet(num_classes: int = 1000, **options: Any) -> AlexNet:
    """AlexNet as lectures draw it; 62,378,344 parameters.

    The paper splits some layers over two GPUs (groups) and normalises before it pools. Weights start
    N(0, 0.01²) and biases at 0 or 1, as in the paper.
    """
    return AlexNet(num_classes, **options)
