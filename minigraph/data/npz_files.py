""".npz archives of images and labels, as Keras, MedMNIST and NumPy users write them."""

from __future__ import annotations

import os
import zipfile
from math import prod
from typing import Any, BinaryIO

import numpy as np

from minigraph.array import Array
from minigraph.data.dataset import Split, expect_labels
from minigraph.files import checked_path

KEYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x", "y", None, None),
    ("images", "labels", None, None),
)
MAX_BYTES = 1 << 32


def npz(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> Split:
    """The images and labels of an .npz file, under x_train, y_train, x_test, y_test; train_images, …; x, y; or images, labels.

    Images (N, H, W), (N, C, H, W) or (N, H, W, C), of unsigned bytes or floats, become (N, C, H, W). Raises ValueError if
    the file is damaged, has other arrays, claims more than ``max_bytes``, or has images that are not finite or labels that do
    not fit; OSError if it cannot be read. Nothing in it is executed.
    """
    path = checked_path("npz", path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy"): name for name in archive.namelist()}
            keys = next((keys for keys in KEYS if keys[0] in names and keys[1] in names), None)
            if keys is None:
                wanted = "; or ".join(" and ".join(key for key in keys[:2] if key) for keys in KEYS)
                raise ValueError(f"{path}: got arrays {', '.join(names) or 'none'}; wanted {wanted}")
            arrays = [_array(path, archive, names[key], max_bytes) if key in names else None for key in keys if key]
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path}: an .npz file that is damaged, or another file: {error}") from None
    x, y = _images(path, keys[0], arrays[0]), _labels(path, keys[1], arrays[1])
    expect_labels(f"{path}: {keys[1]}", x, y)
    if len(arrays) < 4 or arrays[2] is None or arrays[3] is None:
        return Split(x, y, x[:0], y[:0])
    x_test, y_test = _images(path, keys[2], arrays[2]), _labels(path, keys[3], arrays[3])
    expect_labels(f"{path}: {keys[3]}", x_test, y_test)
    if x_test.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"{path}: got images {x.shape[1:]} to learn from and {x_test.shape[1:]} to test; wanted one shape"
        )
    return Split(x, y, x_test, y_test)


def _array(path: str, archive: zipfile.ZipFile, name: str, max_bytes: int) -> Array:
    """One array, after its header has been compared with the size of its file in the archive."""
    size = archive.getinfo(name).file_size
    with archive.open(name) as file:
        shape, dtype, begin = _header(path, name, file)  # type: ignore[arg-type]
        if dtype.hasobject:
            raise ValueError(f"{path}: {name} holds Python objects, which could run code; wanted numbers")
        wanted = prod(shape) * dtype.itemsize
        if wanted > max_bytes:
            raise ValueError(f"{path}: {name} claims {wanted} bytes; wanted at most {max_bytes}")
        if begin + wanted != size:
            raise ValueError(f"{path}: {name} has {size} bytes; its header, {dtype} {shape}, wants {begin + wanted}")
    with archive.open(name) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _header(path: str, name: str, file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(file)
        return shape, dtype, file.tell()
    except (ValueError, KeyError, SyntaxError, TypeError) as error:
        raise ValueError(f"{path}: {name} is no NumPy array, or damaged: {error}") from None


def _images(path: str, name: str | None, x: Any) -> Array:
    if x.ndim not in (3, 4) or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        raise ValueError(
            f"{path}: got {name} {x.dtype} {x.shape}; wanted images (N, H, W) or (N, C, H, W), of uint8 or floats"
        )
    if x.ndim == 3:
        x = x[:, None]
    elif x.shape[1] not in (1, 3, 4) and x.shape[3] in (1, 3, 4):
        x = np.moveaxis(x, 3, 1)
    if x.dtype.kind == "f":
        x = x.astype(np.float32) if x.dtype != np.float64 else x
        bad = ~np.isfinite(x).reshape(len(x), -1).all(axis=1)
        if bad.any():
            raise ValueError(
                f"{path}: {name}: image {int(bad.argmax())} has a NaN or an infinity; wanted finite pixels"
            )
    return np.ascontiguousarray(x)


def _labels(path: str, name: str | None, y: Any) -> Array:
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(f"{path}: got {name} {y.dtype} {y.shape}; wanted integers (N,)")
    labels: Array = y.astype(np.int64)
    return labels
