"""How a run prepares images: resized or padded to what its network takes, then normalised."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.data import Split, transforms
from minigraph.models.model import Model
from minigraph.nn import Module

MAX_PADDING = 4  # pixels by which images are padded rather than resized to a model's least side
SAMPLE = 5000  # images from which mean and deviation are computed
MAX_SIDE = 1 << 14


@dataclass(frozen=True)
class Preprocessing:
    """Images (N, ``channels``, H, W) resized to ``size``, padded by ``padding``, less ``mean``, divided by ``std``.

    ``picture`` is the (H, W) of the images as the data have them. Raises ValueError for values that cannot be.
    """

    classes: tuple[str, ...]
    channels: int
    picture: tuple[int, int]
    padding: int
    size: tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        def whole(n: Any, least: int, most: int) -> bool:
            return type(n) is int and least <= n <= most

        sides = (*self.picture, *(self.size or (1, 1)))
        numbers = (*self.mean, *self.std)
        for name, valid in (
            ("classes", self.classes and all(type(name) is str for name in self.classes)),
            ("channels", whole(self.channels, 1, 1 << 10) and len(self.mean) == len(self.std) == self.channels),
            ("picture or size", len(sides) == 4 and all(whole(side, 1, MAX_SIDE) for side in sides)),
            ("padding", whole(self.padding, 0, MAX_SIDE)),
            ("mean or std", all(type(n) is float and isfinite(n) for n in numbers) and min(self.std, default=1) > 0),
        ):
            if not valid:
                values = ", ".join(repr(getattr(self, part)) for part in name.split(" or "))
                raise ValueError(f"Preprocessing: got {name} {values[:100]}; wanted those of images")

    @classmethod
    def fit(
        cls, data: Split, model: Module, classes: Sequence[str], size: int | None = None, normalize: bool = True
    ) -> Preprocessing:
        """What these images need for this model; mean and deviation are those of the training images, or 0 and 1."""
        C, H, W = data.x_train.shape[1:]
        padding, resized = (0, (size, size)) if size else fitting_size(model, (H, W))
        prepared = cls(tuple(classes), C, (H, W), padding, resized, (0.0,) * C, (1.0,) * C)
        if not normalize:
            return prepared
        some = np.linspace(0, len(data.x_train) - 1, min(len(data.x_train), SAMPLE)).astype(int)
        found = transforms.Normalize.fit(prepared(data.x_train[some]))
        return cls(tuple(classes), C, (H, W), padding, resized, tuple(found.mean.tolist()), tuple(found.std.tolist()))

    @classmethod
    def read(cls, folder: Any) -> Preprocessing:
        """That of a run. Raises FileNotFoundError for a folder without one, ValueError for a file that is damaged."""
        path = Path(folder) / "preprocessing.json"
        try:
            entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in entries.items()}
            return cls(**fields)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: damaged: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return asdict(self)

    @property
    def transform(self) -> transforms.Compose:
        """The transforms that prepare images; normalisation is the last."""
        steps: list[Any] = []
        if self.size:
            steps.append(transforms.Resize(self.size))
        if self.padding:
            steps.append(transforms.Pad(self.padding))
        return transforms.Compose([*steps, transforms.Normalize(self.mean, self.std)])

    def __call__(self, x: Any) -> Array:
        """Images as the model takes them."""
        return self.transform(transforms.as_floats(x), None)[0]


def fitting_size(model: Module, sides: tuple[int, int]) -> tuple[int, tuple[int, int] | None]:
    """By how many pixels images are padded, and the size that they are resized to, so that the model takes them."""
    if not isinstance(model, Model):
        return 0, None
    least, most = model.least_side(2), model.most_side(2)
    missing = least - min(sides)
    if 0 < missing <= MAX_PADDING and missing % 2 == 0 and sides[0] == sides[1]:
        return missing // 2, None
    if missing > 0:
        return 0, (least, least)
    return 0, (most, most) if most and max(sides) > most else None
