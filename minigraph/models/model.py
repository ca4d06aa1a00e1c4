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
        """The scores. Raises ShapeError naming the layer that an image does not fit, and the sizes that do."""
        try:
            return super().__call__(x, *args, **kwargs)
        except ShapeError as error:
            C, H, W = self.image
            got = x.shape if hasattr(x, "shape") else np.shape(x)
            wanted = f"{type(self).__name__} takes images (N, {C}, H, W){self._limits(got)}"
            error.args = (f"{error}; {wanted}, and was published for {H}×{W}; got {got}",)
            raise

    def _limits(self, got: tuple[int, ...]) -> str:
        """What images (N, C, H, W) like those that were refused must be beyond that."""
        if len(got) != 4 or got[1] != self.image[0]:
            return ""
        batch, _, *sides = got
        least, most = self.least_side(max(batch, 2)), self.most_side(max(batch, 2))
        if min(sides) < least or (most and max(sides) > most):
            return f" of at least {least}×{least}" + (f" and at most {most}×{most}" if most else "")
        enough = next((n for n in range(batch + 1, 3) if self._takes(n, *sides)), None)  # for batch norm, in training
        return f" with N at least {enough} for this size" if enough else ""

    def least_side(self, batch: int = 1) -> int:
        """The side of the smallest square images that the model takes, ``batch`` at once, found by trying shapes."""
        return self._border(batch, self.image[1], 0)

    def most_side(self, batch: int = 1) -> int | None:
        """The side of the largest square images that the model takes, None where there is no limit."""
        large = 8 * self.image[1]
        return None if self._takes(batch, large, large) else self._border(batch, self.image[1], large)

    def _border(self, batch: int, taken: int, refused: int) -> int:
        """The last side that is taken, on the way from one that is to one that is not."""
        while abs(refused - taken) > 1:
            side = (taken + refused) // 2
            taken, refused = (side, refused) if self._takes(batch, side, side) else (taken, side)
        return taken

    def _takes(self, batch: int, height: int, width: int) -> bool:
        try:
            super().__call__(Spec((batch, self.image[0], height, width)))
        except ShapeError:
            return False
        return True

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
