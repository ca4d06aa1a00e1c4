""".npz archives of images and labels, as Keras, MedMNIST and NumPy users write them."""

from __future__ import annotations

import io
import os
import zipfile
from math import prod

import numpy as np

from minigraph.array import Array
from minigraph.data.dataset import Part, Split, as_images, checked_split
from minigraph.files import checked_path, decoding, open_regular, read_blocks, shortened

KEYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x", "y", None, None),
    ("images", "labels", None, None),
)
MAX_BYTES = 1 << 32
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
HEADER_BYTES = 1 << 16  # more than NumPy accepts
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that NumPy writes
FORMAT = "an .npz archive of images and labels"


def npz(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> Split:
    """The images and labels of an .npz file, under x_train, y_train, x_test, y_test; train_images, …; x, y; or images, labels.

    Images (N, H, W), (N, C, H, W) or (N, H, W, C), of unsigned bytes or floats, become (N, C, H, W). Raises ValueError if
    the file is damaged, has other arrays, claims more than ``max_bytes`` for one, or has images that are not finite or
    labels that do not fit; OSError if it cannot be read. Nothing in it is executed, and memory is taken as data are read.
    """
    path = checked_path("npz", path)
    with open_regular(path, FORMAT) as file:
        with decoding(path, FORMAT):
            archive = zipfile.ZipFile(file)
        names = {name.removesuffix(".npy"): name for name in archive.namelist()}
        keys = next((keys for keys in KEYS if keys[0] in names and keys[1] in names), None)
        if keys is None:
            wanted = ", or ".join(" and ".join(key for key in keys[:2] if key) for keys in KEYS)
            raise ValueError(f"{path}: got arrays {shortened(', '.join(names) or 'none')}; wanted {wanted}")
        missing = next((pair for pair in (keys[2:], keys[3:1:-1]) if pair[0] in names and pair[1] not in names), None)
        if missing:
            raise ValueError(f"{path}: got {missing[0]} without {missing[1]}; wanted both or neither")
        arrays = {key: _array(path, archive, names[key], max_bytes) for key in keys if key and key in names}
    parts = [
        Part(_images(f"{path}: {x}", arrays[x]), _labels(arrays[y]), f"{path}: {x}", f"{path}: {y}")
        for x, y in (keys[:2], keys[2:])
        if x in arrays and y in arrays
    ]
    return checked_split(*parts)


def _array(path: str, archive: zipfile.ZipFile, name: str, max_bytes: int) -> Array:
    """One array; all that its header claims is checked before memory is taken."""
    if (method := archive.getinfo(name).compress_type) not in METHODS:  # a forged LZMA header takes gigabytes
        raise ValueError(f"{path}: {name} is compressed by method {method}; wanted 0 (stored) or 8 (deflated)")
    with decoding(path, "a NumPy array", name), archive.open(name) as file:
        head = io.BytesIO(file.read(HEADER_BYTES))
        version = np.lib.format.read_magic(head)
        if version not in HEADERS:
            raise ValueError(f"got version {version} of the .npy format; wanted 1.0 or 2.0")
        shape, fortran, dtype = HEADERS[version](head)
        begin, size = head.tell(), prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError(f"{path}: {name} holds Python objects, which could run code; wanted numbers")
    if size > max_bytes or min(shape, default=0) < 0:
        raise ValueError(f"{path}: {name} claims {size} bytes, {shape}; wanted at most {max_bytes}")
    with decoding(path, "a NumPy array", name), archive.open(name) as file:
        read_blocks(file, begin)
        data, more = read_blocks(file, size), file.read(1)  # the last also compares the checksum
        if len(data) < size or more:
            got = "more" if more else f"only {len(data)}"
            raise ValueError(f"got {got} bytes of data; wanted {size} for {dtype} {shape}")
        return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _images(what: str, x: Array) -> Array:
    if x.ndim == 4 and x.shape[1] not in (1, 3, 4) and x.shape[3] in (1, 3, 4):
        x = np.moveaxis(x, 3, 1)
    return as_images(what, x)


def _labels(y: Array) -> Array:
    """Labels (N,), also of a column (N, 1)."""
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
