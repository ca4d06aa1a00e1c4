"""Folders of pictures, a folder for each class; pictures are read by Pillow when they are asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.data.dataset import Split
from minigraph.files import checked_path

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
TRAIN, TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation")
Size = int | tuple[int, int] | None


def folder(path: str | os.PathLike[str], size: Size = None, channels: int = 3) -> Split:
    """Pictures in ``path``/class/…, or in ``path``/train/class/… and ``path``/test/class/…; classes in alphabetical order.

    Images are (channels, H, W) of unsigned bytes, read when they are asked for. ``size``: (H, W), or the side of a square
    cut from the middle after the shorter side was resized to it; without it all pictures must have one size. Raises
    ValueError for an empty class, for no class, for classes that differ and for pictures of several sizes; FileNotFoundError.
    """
    root = Path(checked_path("folder", path))
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: no folder; wanted one with a folder of pictures for each class")
    train = next((root / name for name in TRAIN if (root / name).is_dir()), root)
    test = next((root / name for name in TEST if (root / name).is_dir()), None) if train != root else None
    paths, y, classes = _classes(train)
    x = Pictures(paths, size, channels)
    if test is None:
        return Split(x, y, x[:0], y[:0], classes)
    test_paths, y_test, test_classes = _classes(test)
    if test_classes != classes:
        differing = sorted({*classes} ^ {*test_classes})
        raise ValueError(
            f"{root}: got the class {differing[0]} in one of {train.name} and {test.name} only; wanted it in both"
        )
    return Split(x, y, Pictures(test_paths, size or x.shape[2:], channels), y_test, classes)


def _classes(root: Path) -> tuple[list[Path], Array, tuple[str, ...]]:
    """The pictures of all classes, their labels, and the classes."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] not in "._")
    if not folders:
        raise ValueError(f"{root}: got no folders in it; wanted a folder of pictures for each class")
    members = [sorted(p for p in f.rglob("*") if p.suffix.lower() in SUFFIXES and p.name[0] != ".") for f in folders]
    for f, pictures in zip(folders, members, strict=True):
        if not pictures:
            raise ValueError(
                f"{f}: got no picture of this class; wanted files that end in {', '.join(sorted(SUFFIXES))}"
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
        if channels not in (1, 3):
            raise ValueError(f"Pictures: got channels {channels}; wanted 1, grey, or 3, colours")
        self.paths, self.size, self.channels = [Path(p) for p in paths], size, channels
        sides = (size, size) if isinstance(size, int) else size
        if sides is None:
            sides = read_picture(self.paths[0], None, channels).shape[1:] if self.paths else (0, 0)
        self.shape = (len(self.paths), channels, *sides)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return Pictures(self.paths[i], self.size or self.shape[2:], self.channels)
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
                f"{path}: got a picture of {h}×{w} pixels where {self.paths[0].name} has {H}×{W}; wanted one size, or a size to resize to"
            )
        return picture


def read_picture(path: str | os.PathLike[str], size: Size = None, channels: int = 3) -> Array:
    """A picture (C, H, W) of unsigned bytes, upright, grey or in colours, resized to ``size`` as ``folder`` says.

    Raises ValueError for a file that is damaged, no picture, or larger than Pillow allows; OSError if it cannot be read.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise ImportError("folder: reading pictures needs Pillow: pip install 'minigraph[images]'") from None
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            opened = ImageOps.exif_transpose(Image.open(file))
            if opened.mode in ("P", "PA", "LA", "RGBA") and channels == 3:
                opened = opened.convert("RGBA").convert("RGB")
            picture = opened.convert("L" if channels == 1 else "RGB")
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ValueError(f"{path}: a picture that is too large: {error}") from None
        except UnidentifiedImageError:
            raise ValueError(f"{path}: no picture that Pillow knows") from None
        except (OSError, SyntaxError, EOFError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path}: a picture that is damaged: {error}") from None
        if isinstance(size, int):
            picture = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
        elif size is not None:
            picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        array = np.asarray(picture)
    return np.ascontiguousarray(array[None] if channels == 1 else np.moveaxis(array, 2, 0))
