"""What all models share: checks of their arguments, and of the images they are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.nn import AdaptiveAvgPool2d, Dropout, Linear, Module, ReLU, Sequential, init
from minigraph.nn.module import Initializer
from minigraph.node import ShapeError, Spec
from minigraph.ops.shape import flatten


class Model(Module):
    """A network that gives images (N, C, H, W) scores (N, num_classes).

    ``image``: the (C, H, W) it was published for. Without an ``rng`` the parameters are abstract; see nn.Module.
    """

    def __init__(self, num_classes: int, image: tuple[int, int, int]) -> None:
        for name, n in (("num_classes", num_classes), ("in_channels", image[0])):
            if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
                raise ValueError(f"{type(self).__name__}: got {name} {n!r}; wanted a positive integer")
        self.num_classes, self.image = int(num_classes), image

    def begin(self, rng: Any) -> None:
        """Draw the parameters if there is an ``rng``: what a constructor does last."""
        if rng is not None:
            self.initialize(rng)

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The scores. Raises ShapeError naming the layer that an image does not fit, and the least size that does."""
        try:
            return super().__call__(x, *args, **kwargs)
        except ShapeError as error:
            C, H, W = self.image
            shape: Any = getattr(x, "shape", ())
            wanted = f"{type(self).__name__} takes images (N, {C}, H, W)"
            if len(shape) == 4 and list(shape[1:2]) == [C]:
                n = self.least_side(max(shape[0], 1))
                wanted += f" of at least {n}×{n}"
            error.args = (f"{error}; {wanted}, and was published for {H}×{W}",)
            raise

    def least_side(self, batch: int = 1) -> int:
        """The side of the smallest square images that the model takes, ``batch`` at once, found by trying shapes."""
        C, high, _ = self.image
        low = 0
        while high - low > 1:
            side = (low + high) // 2
            try:
                super().__call__(Spec((batch, C, side, side)))
            except ShapeError:
                low = side
            else:
                high = side
        return high

    def describe(self) -> str:
        return f"{type(self).__name__}(num_classes={self.num_classes}, image={self.image})"


class ConvNet(Model):
    """Convolutions, then two ``hidden`` layers of as many units: AlexNet and the VGG networks.

    ``features`` gives (N, channels, side, side) for the published image. For another one their average over
    side × side cells goes on, as in torchvision; for the published one that would change nothing and is left out.
    """

    def __init__(
        self, features: Sequential, channels: int, side: int, num_classes: int, image: tuple[int, int, int],
        hidden: int, dropout: float, rng: Any, dtype: Any, weight_init: Initializer = init.he_normal,
        bias_init: Initializer = init.zeros,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, image)
        self.features = features
        self.avgpool = AdaptiveAvgPool2d((side, side))
        inits: dict[str, Any] = {"weight_init": weight_init, "bias_init": bias_init, "dtype": dtype}
        self.classifier = Sequential(
            Linear(channels * side * side, hidden, **inits), ReLU(), Dropout(dropout),
            Linear(hidden, hidden, **inits), ReLU(), Dropout(dropout),
            Linear(hidden, num_classes, weight_init=weight_init, dtype=dtype),
        )  # fmt: skip
        self.side = side
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        x = self.features(x)
        if tuple(x.shape[2:]) != (self.side, self.side):
            x = self.avgpool(x)
        return self.classifier(flatten(x))
