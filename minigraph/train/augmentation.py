"""Transforms by name, as the command takes them: "crop:4,flip,mixup:0.2"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigraph.arguments import known
from minigraph.data import transforms

MAX_PIXELS = 1 << 14


def _pixels(n: float) -> int:
    if not 0 <= n <= MAX_PIXELS or n != int(n):
        raise ValueError(f"got {n:g} pixels; wanted a whole number up to {MAX_PIXELS}")
    return int(n)


# name: (transform of its numbers, what the numbers are)
TRANSFORMS: dict[str, tuple[Callable[..., Any] | None, str]] = {
    "crop": (lambda pixels=4: transforms.RandomCrop(padding=_pixels(pixels)), "a shift by up to so many pixels"),
    "flip": (transforms.RandomHorizontalFlip, "left and right exchanged, with a probability"),
    "vflip": (transforms.RandomVerticalFlip, "top and bottom exchanged, with a probability"),
    "affine": (
        lambda degrees=10, shift=0.1, scale=0.1: transforms.RandomAffine(degrees, shift, (1 - scale, 1 + scale)),
        "rotation by up to degrees, shift by a share, scaling by a share",
    ),
    "rotate": (lambda degrees=10: transforms.RandomRotation(degrees), "rotation by up to degrees"),
    "jitter": (
        lambda strength=0.2: transforms.ColorJitter(strength, strength, strength),
        "brightness, contrast, saturation",
    ),
    "cutout": (lambda pixels=8: transforms.Cutout(_pixels(pixels)), "a square of so many pixels left out"),
    "mixup": (None, "images mixed in pairs, by Beta(α, α)"),
}


def augmentation(text: str, num_classes: int) -> tuple[list[Any], list[Any]]:
    """The transforms of images, and those of images and labels, that come last. Raises ValueError naming the known ones."""
    images: list[Any] = []
    last: list[Any] = []
    for part in filter(None, text.replace(" ", "").split(",")):
        name, *numbers = part.split(":")
        make, meaning = TRANSFORMS[known("transform", name, TRANSFORMS)]
        try:
            values = [float(n) for n in numbers]
            if make is None:
                last.append(transforms.Mixup(num_classes, *values))
            else:
                images.append(make(*values))
        except (TypeError, ValueError) as error:
            raise ValueError(f"got transform {part!r}: {error}; wanted {name}, or {name}:NUMBERS ({meaning})") from None
    return images, last
