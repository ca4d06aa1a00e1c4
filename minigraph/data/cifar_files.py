"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in the binary and in the Python version: https://www.cs.toronto.edu/~kriz/cifar.html."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.data.dataset import Split, expect_labels
from minigraph.files import checked_path

PIXELS = 3 * 32 * 32
MAX_PICKLE_BYTES = 1 << 29  # CIFAR-100's largest file has 155 MB


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
    places = [folder for folder in (root, *(root / name for name in folders)) if folder.is_dir()]
    for folder in places:
        names = [f"{name}.bin" for name in (*train, *test)]
        binary = any((folder / name).is_file() for name in names)
        if not binary and not any((folder / name).is_file() for name in (*train, *test)):
            continue
        parts = []
        for name in (*train, *test):
            file = folder / (f"{name}.bin" if binary else name)
            if not file.is_file():
                raise FileNotFoundError(
                    f"{folder}: no {file.name}; wanted {', '.join(names if binary else [*train, *test])}"
                )
            bytes_before = 1 + (function == "cifar100")
            parts.append(_binary(file, bytes_before, skip) if binary else _python(file, labels))
            expect_labels(str(file), *parts[-1], classes=classes)
        x, y = (np.concatenate([part[i] for part in parts[: len(train)]]) for i in range(2))
        x_test, y_test = parts[-1]
        return Split(x, y, x_test, y_test, _classes(folder / meta[0 if binary else 1], meta[2], binary))
    raise FileNotFoundError(f"{root}: no {train[0]}.bin and no {train[0]}; wanted the folder {' or '.join(folders)}")


def _binary(path: Path, before: int, skip: int) -> tuple[Array, Array]:
    """Images and labels of records of ``before`` labels and 3,072 pixels."""
    size, record = path.stat().st_size, before + PIXELS
    if not size or size % record:
        whole = size // record * record
        raise ValueError(
            f"{path}: cut short at offset {size}: got {size} bytes; wanted records of {record} bytes, the last begins at {whole}"
        )
    rows = np.fromfile(path, np.uint8).reshape(-1, record)
    return rows[:, before:].reshape(-1, 3, 32, 32).copy(), rows[:, skip if before > 1 else 0].astype(np.int64)


def _python(path: Path, labels: str) -> tuple[Array, Array]:
    """Images and labels of a pickle."""
    content = read_pickle(path)
    data, classes = content.get("data"), content.get(labels)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
        got = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise ValueError(f"{path}: got {got} as data; wanted unsigned bytes (N, {PIXELS})")
    if not isinstance(classes, list) or not all(isinstance(c, int) and abs(c) < 1 << 31 for c in classes):
        raise ValueError(f"{path}: got {type(classes).__name__} as {labels}; wanted a list of integers")
    return data.reshape(-1, 3, 32, 32), np.array(classes, np.int64)


def _classes(path: Path, key: str, binary: bool) -> tuple[str, ...]:
    """The names of the classes, none where there is no file of them."""
    if not path.is_file():
        return ()
    if binary:
        return tuple(path.read_text(encoding="utf-8", errors="replace").split())
    names = read_pickle(path).get(key)
    return (
        tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in names)
        if isinstance(names, list)
        else ()
    )


# --- pickles -----------------------------------------------------------------------------------------------


class _Pending:
    """What stands for an array until its state is there; it takes no memory of the sizes that a file claims."""

    array: Array | None = None

    def __setstate__(self, state: Any) -> None:
        try:
            _, shape, dtype, fortran, data = state
            raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
            flat = np.frombuffer(raw, dtype.dtype)
            self.array = (flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)).copy()
        except (AttributeError, TypeError, ValueError) as error:
            raise pickle.UnpicklingError(f"an array that is damaged: {error}") from None


class _DType:
    """The dtype of a pickled array: of bytes, integers or floats."""

    def __init__(self, name: Any, *_: Any) -> None:
        name = name.decode("latin1") if isinstance(name, bytes) else name
        if name not in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"):
            raise pickle.UnpicklingError(f"an array of dtype {name!r}; wanted numbers")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        if len(state) > 1 and state[1] in ("<", ">", b"<", b">"):
            order = state[1].decode() if isinstance(state[1], bytes) else state[1]
            self.dtype = self.dtype.newbyteorder(order)


def _pending(*_: Any) -> _Pending:
    return _Pending()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1", "latin-1"):
        raise pickle.UnpicklingError("a text that is not in Latin-1")
    return text.encode("latin1")


ALLOWED: Mapping[tuple[str, str], Any] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _pending for core in ("core", "_core")},
    ("numpy", "ndarray"): _Pending,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
}


class _Restricted(pickle._Unpickler):
    """Reads dictionaries, lists, numbers, texts and arrays, and nothing that would run code.

    In Python, since the one in C takes memory for whatever number of an object a file claims.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which could run code")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to another file")


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary of a pickle file, of numbers, texts, lists and arrays, its keys as texts; nothing is executed.

    Raises ValueError for anything else.
    """
    size = path.stat().st_size
    if size > MAX_PICKLE_BYTES:
        raise ValueError(f"{path}: got {size} bytes; wanted at most {MAX_PICKLE_BYTES}")
    try:
        content = _Restricted(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except MemoryError:
        raise ValueError(f"{path}: a pickle that claims more memory than there is") from None
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path}: a pickle that is damaged or not allowed: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: got a pickled {type(content).__name__}; wanted a dictionary")
    named = {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in content.items()}
    return {key: value.array if isinstance(value, _Pending) else value for key, value in named.items()}
