"""IDX files, the format of MNIST and Fashion-MNIST: http://yann.lecun.com/exdb/mnist, plain or compressed by gzip."""

from __future__ import annotations

import gzip
import os
from math import prod
from pathlib import Path

import numpy as np

from minigraph.array import Array
from minigraph.data.dataset import Part, Split, as_images, checked_split
from minigraph.files import Readable, checked_path, decoding, open_regular, read_blocks

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
FILES = {
    "x_train": "train-images-idx3-ubyte", "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte", "y_test": "t10k-labels-idx1-ubyte",
}  # fmt: skip
MAX_BYTES = 1 << 32
FORMAT = "an IDX file, plain or compressed by gzip"


def read_idx(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> Array:
    """The array of an IDX file, plain or compressed by gzip, whatever its name.

    Raises ValueError naming the offset if the file is truncated, too long or of another format, and for an array of more
    than ``max_bytes``; OSError if it cannot be read. Memory is taken as the data are read, whatever the header claims.
    """
    path = checked_path("read_idx", path)
    with open_regular(path, FORMAT) as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not compressed:
            return _read(path, raw, max_bytes)
        with gzip.GzipFile(fileobj=raw) as file:
            return _read(path, file, max_bytes)


def _read(path: str, file: Readable, max_bytes: int) -> Array:
    """The array of an open file."""

    def read(size: int) -> bytearray:
        with decoding(path, FORMAT):
            return read_blocks(file, size)

    magic = read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= 8:
        raise ValueError(
            f"{path}: not an IDX file: got {magic.hex(' ') or 'nothing'} at offset 0; wanted 00 00, a type code and a rank"
        )
    dtype, rank = np.dtype(DTYPES[magic[2]]), magic[3]
    head = read(4 * rank)
    if len(head) < 4 * rank:
        raise ValueError(
            f"{path}: truncated IDX header: got {4 + len(head)} bytes; wanted {4 + 4 * rank}, for {rank} sizes"
        )
    shape = tuple(int(n) for n in np.frombuffer(head, ">u4"))
    begin, size = 4 + 4 * rank, prod(shape) * dtype.itemsize
    if size > max_bytes:
        raise ValueError(f"{path}: its header claims {size} bytes, {shape}; wanted at most {max_bytes}")
    data = read(size)
    if len(data) < size:
        raise ValueError(
            f"{path}: truncated IDX file: ends at offset {begin + len(data)}; wanted {begin + size} bytes for {shape}"
        )
    if read(1):
        raise ValueError(f"{path}: got more data at offset {begin + size}; wanted the file to end there, after {shape}")
    with decoding(path, FORMAT):  # sizes that no array has, beside a size of 0
        array: Array = np.ndarray(shape, dtype, data)
    return array.byteswap(inplace=True).view(dtype.newbyteorder("=")) if dtype.byteorder == ">" else array


def idx(path: str | os.PathLike[str]) -> Split:
    """MNIST, Fashion-MNIST or any data of that form: a folder of IDX files; images (N, 1, H, W) of unsigned bytes or floats.

    Wanted: train-images-idx3-ubyte and train-labels-idx1-ubyte, and for the test t10k-images-idx3-ubyte and
    t10k-labels-idx1-ubyte; each may end in .gz. Raises FileNotFoundError naming what is missing; ValueError for files that
    are damaged or do not belong together.
    """
    folder = Path(checked_path("idx", path))
    found = {part: _find(folder, name) for part, name in FILES.items()}
    wanted = FILES if found["x_test"] or found["y_test"] else ("x_train", "y_train")
    missing = [FILES[part] for part in wanted if found[part] is None]
    if missing:
        raise FileNotFoundError(
            f"{folder}: no {' and no '.join(missing)}, plain or with .gz; wanted a folder of IDX files"
        )
    pairs = ((found[f"x_{part}"], found[f"y_{part}"]) for part in ("train", "test"))
    return checked_split(*(_part(images, labels) for images, labels in pairs if images and labels))


def _part(images: Path, labels: Path) -> Part:
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3:
        raise ValueError(f"{images}: got an array of shape {x.shape}; wanted images (N, H, W)")
    return Part(as_images(str(images), x), y, str(images), str(labels))


def _find(folder: Path, name: str) -> Path | None:
    """The file of this name, or one with a dot before its last part, each possibly with .gz."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: not a folder; wanted a folder of IDX files, such as MNIST's")
    first, _, last = name.partition("-idx")
    names = [plain + end for plain in (name, f"{first}.idx{last}") for end in ("", ".gz")]
    return next((folder / n for n in names if (folder / n).exists()), None)
