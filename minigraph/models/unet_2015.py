"""U-Net: Ronneberger, Fischer and Brox 2015, "U-Net: convolutional networks for biomedical image segmentation", figure 1."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from minigraph.models.model import Model
from minigraph.nn import Conv2d, ConvTranspose2d, ModuleList, ReLU, Sequential
from minigraph.op import expect
from minigraph.ops.pool import max_pool2d
from minigraph.ops.shape import concatenate, getitem

WIDTHS = (64, 128, 256, 512, 1024)


def _two(channels: int, out: int, padding: int, dtype: Any) -> Sequential:
    """Two 3×3 convolutions, each with ReLU."""
    return Sequential(
        Conv2d(channels, out, 3, padding=padding, dtype=dtype), ReLU(),
        Conv2d(out, out, 3, padding=padding, dtype=dtype), ReLU(),
    )  # fmt: skip


class UNet(Model):
    """A score for each class at each pixel: (N, 1, 572, 572) → (N, 2, 388, 388), or with ``padding=1`` as large as the image.

    Down: two convolutions, then the maximum of 2×2, four times. Up: a transposed convolution 2×2, beside it the middle of
    what the same level had on the way down, then two convolutions. With ``padding`` the sides are multiples of 16.
    """

    def __init__(
        self, num_classes: int = 2, *, in_channels: int = 1, padding: int = 0, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        super().__init__(num_classes, (in_channels, 572 if not padding else 512, 572 if not padding else 512))
        self.padding = padding
        self.down = ModuleList(_two(a, b, padding, dtype) for a, b in pairwise((in_channels, *WIDTHS)))
        self.up = ModuleList(ConvTranspose2d(b, a, 2, 2, dtype=dtype) for a, b in reversed(list(pairwise(WIDTHS))))
        self.merge = ModuleList(_two(2 * a, a, padding, dtype) for a in reversed(WIDTHS[:-1]))
        self.out = Conv2d(WIDTHS[0], num_classes, 1, dtype=dtype)
        self.begin(rng)

    def least_side(self, batch: int = 1) -> int:
        return 16 if self.padding else 188

    def most_side(self, batch: int = 1) -> None:
        return None

    def forward(self, x: Any) -> Any:
        levels = []
        for i, convs in enumerate(self.down):
            x = convs(x if not i else max_pool2d(x, 2))
            levels.append(x)
        for level, up, merge in zip(reversed(levels[:-1]), self.up, self.merge, strict=True):
            x = up(x)
            x = merge(concatenate([_middle(level, x.shape), x], 1))
        return self.out(x)


def _middle(x: Any, shape: tuple[int, ...]) -> Any:
    """The middle of the planes of x, of the size of those of ``shape``."""
    pairs = list(zip(x.shape[2:], shape[2:], strict=True))
    expect(
        all(n >= m and (n - m) % 2 == 0 for n, m in pairs),
        "U-Net",
        "sides that can be halved four times",
        level=x.shape,
    )
    window = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in pairs)
    return x if x.shape[2:] == shape[2:] else getitem(x, (slice(None), slice(None), *window))


def unet(num_classes: int = 2, **options: Any) -> UNet:
    """23 convolutions; 31,030,658 parameters."""
    return UNet(num_classes, **options)
