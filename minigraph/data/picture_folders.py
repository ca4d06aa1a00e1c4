"""Folders of pictures, a folder for each class; pictures are read by Pillow when they are asked for."""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.arguments import expect_integer
from minigraph.array import Array
from minigraph.data.dataset import Part, Split, checked_split
from minigraph.files import checked_path, decoding, open_regular

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
TRAIN, TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation")
Size = int | tuple[int, int] | None


def folder(path: str | os.PathLike[str], size: Size = None, channels: int = 3) -> Split:
    """Pictures in ``path``/class/…, or in ``path``/train/class/… and ``path``/test/class/…; classes in alphabetical order.

    Images are (channels, H, W) of unsigned bytes, read when they are asked for. ``size=(H, W)`` stretches or squeezes each
    picture to exactly that; ``size=S`` keeps its proportions: the shorter side becomes S, and the S×S square in the middle is
    kept. Without a size all pictures must have one. Raises ValueError for an empty class, for no class, for classes that
    differ and for pictures of several sizes; NotADirectoryError.
    """
    root = Path(checked_path("folder", path))
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: not a folder; wanted one with a folder of pictures for each class")
    train = next((root / name for name in TRAIN if (root / name).is_dir()), root)
    test = next((root / name for name in TEST if (root / name).is_dir()), None) if train != root else None
    paths, y, classes = _classes(train)
    part = Part(Pictures(paths, size, channels), y, str(train), str(train))
    if test is None:
        return checked_split(part, classes=classes)
    test_paths, y_test, test_classes = _classes(test)
    if test_classes != classes:
        differing = sorted({*classes} ^ {*test_classes})
        raise ValueError(
            f"{root}: got the class {differing[0]} in only one of {train.name} and {test.name}; wanted it in both"
        )
    return checked_split(
        part, Part(Pictures(test_paths, size, channels), y_test, str(test), str(test)), classes=classes
    )


def _classes(root: Path) -> tuple[list[Path], Array, tuple[str, ...]]:
    """The pictures of all classes, their labels, and the classes."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] not in "._")
    if not folders:
        raise ValueError(f"{root}: contains no folders; wanted a folder of pictures for each class")
    members = [sorted(p for p in f.rglob("*") if p.suffix.lower() in SUFFIXES and p.name[0] != ".") for f in folders]
    for f, pictures in zip(folders, members, strict=True):
        if not pictures:
            raise ValueError(
                f"{f}: contains no pictures of this class; wanted files that end in {', '.join(sorted(SUFFIXES))}"
            )
    labels = np.repeat(np.arange(len(folders)), [len(pictures) for pictures in members])
    return [p for pictures in members for p in pictures], labels, tuple(f.name for f in folders)


class Pictures:
    """Pictures in files, read when indexed: an integer gives (C, H, W), a slice Pictures, an array of integers (n, C, H, W).

    ``shape`` (N, C, H, W), ``dtype`` uint8. Raises ValueError naming the file for a picture that is damaged, too large, or,
    without a ``size``, of another size than the first.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths: Sequence[Any], size: Size = None, channels: int = 3) -> None:
        self.size, self.channels = _checked(size, channels)
        self.paths = [Path(p) for p in paths]
        sides = (size, size) if isinstance(size, int) else size
        if sides is None:
            sides = read_picture(self.paths[0], None, channels).shape[1:] if self.paths else (0, 0)
        self.shape = (len(self.paths), channels, *sides)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            part = copy.copy(self)
            part.paths = self.paths[i]
            part.shape = (len(part.paths), *self.shape[1:])
            return part
        if np.ndim(i) == 0:
            return self._read(self.paths[i])
        return (
            np.stack([self._read(self.paths[k]) for k in np.asarray(i)])
            if len(i)
            else np.empty((0, *self.shape[1:]), np.uint8)
        )

    def _read(self, path: Path) -> Array:
        picture = read_picture(path, self.size, self.channels)
        if picture.shape != self.shape[1:]:
            (h, w), (H, W) = picture.shape[1:], self.shape[2:]
            raise ValueError(
                f"{path}: got a picture of {h}×{w} pixels where the others have {H}×{W}; wanted pictures of one size, or "
                f"a size to resize them to"
            )
        return picture

    def __repr__(self) -> str:
        return f"Pictures({len(self)} of {self.shape[1:]})"


def read_picture(path: str | os.PathLike[str], size: Size = None, channels: int = 3) -> Array:
    """A picture (C, H, W) of unsigned bytes, upright, grey or in colours, resized to ``size`` as ``folder`` says.

    Raises ValueError for a file that is damaged, not a picture, or larger than Pillow allows; OSError if it cannot be read.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError("folder: reading pictures needs Pillow: pip install 'minigraph[images]'") from None
    (size, channels), wanted = _checked(size, channels), "a picture that Pillow can read"
    path = checked_path("read_picture", path)
    with open_regular(path, wanted) as file, decoding(path, wanted):
        content = io.BytesIO(file.read())  # a file would take memory for whatever size Pillow asks for
        opened: Image.Image = Image.open(content)
        if Image.MAX_IMAGE_PIXELS and opened.width * opened.height > Image.MAX_IMAGE_PIXELS:  # Pillow itself warns
            raise ValueError(f"got {opened.width}×{opened.height} pixels; wanted at most {Image.MAX_IMAGE_PIXELS}")
        opened = ImageOps.exif_transpose(opened)
        if opened.mode in ("P", "PA", "LA", "RGBA") and channels == 3:
            opened = opened.convert("RGBA").convert("RGB")
        picture = opened.convert("L" if channels == 1 else "RGB")
    if isinstance(size, int):
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
    elif size is not None:
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.asarray(picture)
    return np.ascontiguousarray(array[None] if channels == 1 else np.moveaxis(array, 2, 0))


def _checked(size: Any, channels: Any) -> tuple[Size, int]:
    """Size, which is None, a side, or (H, W); and channels. Raises TypeError or ValueError for anything else."""
    if channels not in (1, 3):
        raise ValueError(f"folder: got channels {channels!r}; wanted 1 (grey) or 3 (colour)")
    pair = isinstance(size, (tuple, list))
    if pair and len(size) != 2:
        raise ValueError(f"folder: got size {size!r}; wanted an integer or (H, W)")
    for side in size if pair else () if size is None else (size,):
        expect_integer("folder", 1, size=side)
    whole: Size = (int(size[0]), int(size[1])) if pair else None if size is None else int(size)
    return whole, int(channels)
