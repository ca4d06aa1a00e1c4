"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in the binary and in the Python version: https://www.cs.toronto.edu/~kriz/cifar.html."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.data.dataset import Part, Split, checked_split, class_labels
from minigraph.data.pickle_files import read_pickle
from minigraph.files import checked_path, open_regular

PIXELS = 3 * 32 * 32
MAX_PICKLE_BYTES = 1 << 28  # CIFAR-100's largest file has 155 MB
MAX_META_BYTES = 1 << 16  # CIFAR-100's names have 1.5 kB
MAX_NAME = 100


def cifar10(path: str | os.PathLike[str]) -> Split:
    """CIFAR-10: 50,000 images (3, 32, 32) of unsigned bytes to learn from, 10,000 held out, ten classes.

    ``path``: the folder of either version, or the folder that it is in. The Python version's pickles are read without
    executing anything. Raises FileNotFoundError naming what is missing, ValueError for files that are damaged.
    """
    names = [f"data_batch_{i}" for i in range(1, 6)]
    return _read("cifar10", path, ("cifar-10-batches-bin", "cifar-10-batches-py"), names, ["test_batch"],
                 ("batches.meta.txt", "batches.meta", "label_names"), "labels", skip=0, classes=10)  # fmt: skip


def cifar100(path: str | os.PathLike[str], coarse: bool = False) -> Split:
    """CIFAR-100: 50,000 images (3, 32, 32) to learn from, 10,000 held out; 100 classes, or with ``coarse`` the 20 above them.

    See cifar10 for ``path`` and the errors.
    """
    kind = "coarse" if coarse else "fine"
    meta = (f"{kind}_label_names.txt", "meta", f"{kind}_label_names")
    return _read("cifar100", path, ("cifar-100-binary", "cifar-100-python"), ["train"], ["test"], meta, f"{kind}_labels",
                 skip=0 if coarse else 1, classes=20 if coarse else 100)  # fmt: skip


def _read(
    function: str, path: Any, folders: Sequence[str], train: list[str], test: list[str], meta: tuple[str, str, str],
    labels: str, skip: int, classes: int,
) -> Split:  # fmt: skip
    """The split in the first version that is there; ``skip``: bytes of a binary record before the label that is wanted."""
    root = Path(checked_path(function, path))
    names = [*train, *test]
    for folder in (folder for folder in (root, *(root / name for name in folders)) if folder.is_dir()):
        binary = any((folder / f"{name}.bin").is_file() for name in names)
        if not binary and not any((folder / name).is_file() for name in names):
            continue
        files = [folder / (f"{name}.bin" if binary else name) for name in names]
        for file in files:
            if not file.exists():
                raise FileNotFoundError(f"{folder}: no {file.name}; wanted {', '.join(f.name for f in files)}")
        named = _classes(folder / meta[0 if binary else 1], meta[2], binary, classes)
        bytes_before = 1 + (function == "cifar100")
        parts = [_binary(file, bytes_before, skip) if binary else _python(file, labels) for file in files]
        checked = [(x, class_labels(str(f), y, len(x), classes)) for f, (x, y) in zip(files, parts, strict=True)]
        del parts
        x, y = (np.concatenate(part) for part in zip(*checked[: len(train)], strict=True))
        what, (x_test, y_test) = str(folder), checked[-1]
        return checked_split(
            Part(x, y, what, what), Part(x_test.copy(), y_test, what, what),
            classes=named, limit=classes,
        )  # fmt: skip
    raise FileNotFoundError(f"{root}: no {train[0]}.bin and no {train[0]}; wanted the folder {' or '.join(folders)}")


def _binary(path: Path, before: int, skip: int) -> tuple[Array, Array]:
    """Images and labels of records of ``before`` labels and 3,072 pixels."""
    with open_regular(path, "records of CIFAR's binary version") as file:
        content = file.read()
    size, record = len(content), before + PIXELS
    if not size or size % record:
        whole = size // record * record
        raise ValueError(
            f"{path}: truncated: got {size} bytes; wanted whole records of {record} bytes, but the last begins at offset {whole}"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    return rows[:, before:].reshape(-1, 3, 32, 32), rows[:, skip]


def _python(path: Path, labels: str) -> tuple[Array, Array]:
    """Images and labels of a pickle."""
    content = read_pickle(path, MAX_PICKLE_BYTES)
    data, classes = content.get("data"), content.get(labels)
    if not isinstance(data, np.ndarray) or data.shape[1] != PIXELS:
        got = data.shape if isinstance(data, np.ndarray) else type(data).__name__
        raise ValueError(f"{path}: got {got} as data; wanted unsigned bytes (N, {PIXELS})")
    if not isinstance(classes, list) or not all(type(c) is int for c in classes):
        got = "a list of other types" if isinstance(classes, list) else type(classes).__name__
        raise ValueError(f"{path}: got {got} as {labels}; wanted a list of integers")
    return data.reshape(-1, 3, 32, 32), np.array(classes)


def _classes(path: Path, key: str, binary: bool, wanted: int) -> tuple[str, ...]:
    """The names of the classes, none where there is no file of them."""
    if not path.exists():
        return ()
    if binary:
        with open_regular(path, "class names") as file:
            names: Any = file.read(MAX_META_BYTES).split()
    else:
        names = read_pickle(path, MAX_META_BYTES).get(key)
    if not isinstance(names, list) or len(names) != wanted:
        got = f"{len(names)} names" if isinstance(names, list) else type(names).__name__
        raise ValueError(f"{path}: got {got} as {key}; wanted {wanted} class names")
    if not all(isinstance(name, (bytes, str)) and len(name) <= MAX_NAME for name in names):
        raise ValueError(f"{path}: got something else among the {key}; wanted strings of at most {MAX_NAME} characters")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names)
