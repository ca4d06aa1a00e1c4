"""IDX files, the format of MNIST and Fashion-MNIST: http://yann.lecun.com/exdb/mnist, plain or compressed by gzip."""

from __future__ import annotations

import gzip
import os
import zlib
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minigraph.array import Array
from minigraph.data.dataset import Split, expect_labels
from minigraph.files import checked_path

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
FILES = {
    "x_train": "train-images-idx3-ubyte", "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte", "y_test": "t10k-labels-idx1-ubyte",
}  # fmt: skip
CHUNK = 1 << 22
GZIP_RATIO = 1032  # at most so many bytes come from one compressed byte


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array of an IDX file, plain or compressed by gzip, whatever its name.

    Raises ValueError naming the offset if the file is cut short, too long or of another format; OSError if it cannot be
    read. What a header claims is compared with the file's size before memory is taken.
    """
    path = checked_path("read_idx", path)
    size = os.stat(path).st_size
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if compressed else raw as file:
            try:
                return _read(path, file, size * GZIP_RATIO if compressed else size)  # type: ignore[arg-type]
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise ValueError(f"{path}: a gzip file that is cut short or damaged: {error}; get it again") from None


def _read(path: str, file: BinaryIO, most: int) -> Array:
    """The array of an open file that can have ``most`` bytes."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= 8:
        raise ValueError(
            f"{path}: not an IDX file: got {magic.hex(' ') or 'nothing'} at offset 0; wanted 00 00, a type and a rank"
        )
    dtype, rank = np.dtype(DTYPES[magic[2]]), magic[3]
    head = file.read(4 * rank)
    if len(head) < 4 * rank:
        raise ValueError(
            f"{path}: an IDX file that is cut short: got {4 + len(head)} bytes; wanted {rank} sizes, of 4 bytes each"
        )
    shape = tuple(int(n) for n in np.frombuffer(head, ">u4"))
    begin, wanted = 4 + 4 * rank, prod(shape) * dtype.itemsize
    if begin + wanted > most:
        raise ValueError(
            f"{path}: its header says {shape} of {dtype.itemsize} bytes each, {wanted} in all; the file has less"
        )
    parts, got = [], 0
    while got < wanted and (part := file.read(min(CHUNK, wanted - got))):
        parts.append(part)
        got += len(part)
    if got < wanted:
        raise ValueError(
            f"{path}: an IDX file that is cut short at offset {begin + got}; wanted {begin + wanted} bytes for {shape}"
        )
    if file.read(1):
        raise ValueError(f"{path}: more data at offset {begin + wanted}, where {shape} ends")
    array: Array = np.frombuffer(b"".join(parts), dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def idx(path: str | os.PathLike[str]) -> Split:
    """MNIST, Fashion-MNIST or any data of that form: a folder of IDX files; images (N, 1, H, W) of unsigned bytes.

    Wanted: train-images-idx3-ubyte and train-labels-idx1-ubyte, and for the test t10k-images-idx3-ubyte and
    t10k-labels-idx1-ubyte; each may end in .gz. Raises FileNotFoundError naming what is missing; ValueError for files that
    are damaged or do not belong together.
    """
    folder = Path(checked_path("idx", path))
    found = {part: _find(folder, name) for part, name in FILES.items()}
    missing = [FILES[part] for part in ("x_train", "y_train") if found[part] is None]
    missing += [
        FILES[part] for part in ("x_test", "y_test") if found[part] is None and (found["x_test"] or found["y_test"])
    ]
    if missing:
        raise FileNotFoundError(f"{folder}: no {' and no '.join(missing)}, nor with .gz; wanted a folder of IDX files")
    arrays: dict[str, Any] = {part: read_idx(path) for part, path in found.items() if path}
    for part, array in arrays.items():
        wanted = 3 if part[0] == "x" else 1
        if array.ndim != wanted:
            raise ValueError(f"{found[part]}: got an array of shape {array.shape}; wanted {wanted} axes")
    x_train = arrays["x_train"][:, None]
    x_test = arrays["x_test"][:, None] if "x_test" in arrays else np.empty((0, *x_train.shape[1:]), x_train.dtype)
    y_train, y_test = arrays["y_train"], arrays.get("y_test", np.empty(0, np.int64))
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        expect_labels(f"{found[f'y_{part}']}", x, y)
    return Split(x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64), ())


def _find(folder: Path, name: str) -> Path | None:
    """The file of this name, or one with a dot before its last part, each possibly with .gz."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: no folder; wanted a folder of IDX files, such as MNIST's")
    first, _, last = name.partition("-idx")
    names = [plain + end for plain in (name, f"{first}.idx{last}") for end in ("", ".gz")]
    return next((folder / n for n in names if (folder / n).is_file()), None)
