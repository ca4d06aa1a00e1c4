"""A fingerprint of data, by which a run that is resumed notices that they are no longer the same."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from minigraph.arguments import expect_integer
from minigraph.data.dataset import Split, Subset
from minigraph.data.loader import Loader
from minigraph.data.picture_folders import Pictures
from minigraph.files import open_regular, read_blocks

SAMPLE = 256
MAX_BYTES = 1 << 20  # of a picture


def fingerprint(data: Any, sample: int = SAMPLE) -> str:
    """A short hash of a Split, a Loader or (x, y): the same for the same data, in every process and on every machine.

    It covers shapes, dtypes, all labels, the names of the classes, and the pixels of at most ``sample`` images, evenly
    spaced; for pictures in a folder the names and sizes of all files, the contents of as many, and how they are resized. So
    it is quick, and a change of few images may go unnoticed. Raises TypeError for other data; OSError for a picture that is
    missing.
    """
    expect_integer("fingerprint", 1, sample=sample)
    if isinstance(data, Loader):
        data = (data.x, data.y)
    if not isinstance(data, Split) and not (isinstance(data, tuple) and len(data) == 2):
        raise TypeError(f"fingerprint: got {type(data).__name__}; wanted a Split, a Loader or (x, y)")
    hashed = hashlib.blake2b(digest_size=16)
    x_parts, y_parts, classes = data[:4:2], data[1:4:2], data[4:]
    for x, y in zip(x_parts, y_parts, strict=True):
        _add_images(hashed, x, sample)
        _add_array(hashed, y)
    _add(hashed, *(name for names in classes for name in names))
    return hashed.hexdigest()


def _add_images(hashed: hashlib.blake2b, x: Any, sample: int) -> None:
    if isinstance(x, Subset):
        _add_array(hashed, x.indices)
        _add_images(hashed, x.x, sample)
    elif isinstance(x, Pictures):
        paths = [p.absolute() for p in x.paths]
        root = os.path.commonpath([p.parent.parent for p in paths]) if paths else ""
        _add(hashed, x.shape, x.size, *((p.relative_to(root).as_posix(), p.stat().st_size) for p in paths))
        for i in _spaced(len(x), sample):
            with open_regular(x.paths[i], "a picture") as file:
                hashed.update(read_blocks(file, MAX_BYTES))
    else:
        shape, dtype = np.shape(x), np.dtype(getattr(x, "dtype", None) or np.asarray(x).dtype)
        _add(hashed, shape, dtype.name)
        for i in _spaced(shape[0] if shape else 0, sample):
            _add_array(hashed, x[i])


def _spaced(n: int, sample: int) -> list[int]:
    """At most ``sample`` numbers from 0 to n − 1, evenly spaced."""
    return sorted({i * (n - 1) // max(sample - 1, 1) for i in range(sample)}) if n > sample else list(range(n))


def _add_array(hashed: hashlib.blake2b, array: Any) -> None:
    """The shape, the dtype and the entries of an array, whatever its memory looks like."""
    a = np.asarray(array)
    if a.dtype.hasobject:
        raise TypeError(f"fingerprint: got an array of {a.dtype}; wanted numbers")
    a = np.ascontiguousarray(a.astype(a.dtype.newbyteorder("<"), copy=False))
    _add(hashed, a.shape, a.dtype.name)
    hashed.update(a.tobytes())


def _add(hashed: hashlib.blake2b, *facts: Any) -> None:
    """Facts as text; each ends with a zero, so that they do not run into one another."""
    hashed.update("".join(f"{fact!r}\0" for fact in facts).encode("utf-8", "surrogateescape"))
