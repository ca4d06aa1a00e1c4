"""States: .safetensors files, what other files are, and how names fit a model's."""

from __future__ import annotations

import json
import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigraph.array import Array

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
ENTRY_FIELDS = dict.fromkeys(("dtype", "shape", "data_offsets")).keys()  # of an array in the header
MAX_HEADER_BYTES = 100_000_000  # by the format's definition
CONVERT = (
    "which is not opened, as it could run code; convert it in PyTorch: "
    "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
)
KINDS = {  # how files begin that are no .safetensors: what they are, and what to do
    rb"$": "an empty file; get it again",
    rb"version https://git-lfs": "a Git LFS pointer in place of the file; run git lfs pull",
    rb"\x80[\x02-\x05]|\(dp|ccollections\n": f"a pickle, as PyTorch's .pth, .pt and .bin, {CONVERT}",
    rb"\x89HDF\r\n": "an HDF5 file, .h5; read it with h5py, and pass its arrays to load_state_dict",
    rb"\x93NUMPY": "one NumPy array, .npy; read it with np.load, and pass it to load_state_dict under its name",
    rb"\x1f\x8b": "compressed by gzip; unpack it with gunzip",
    rb"BZh": "compressed by bzip2; unpack it with bunzip2",
    rb"\xfd7zXZ\0": "compressed by xz; unpack it with unxz",
    rb"\x28\xb5\x2f\xfd": "compressed by Zstandard; unpack it with unzstd",
    rb"(?s:.{257})ustar": "a tar archive; unpack it with tar -x",
    rb"GGUF": "a GGUF file; get the model's .safetensors file",
    rb"(\xef\xbb\xbf)?\s*<": "an HTML or XML page in place of the file; get the file itself",
    rb"(\xef\xbb\xbf)?\s*[{\[]": "JSON text, as the index of a state in several files; load those, by load_state_dict",
}


class IncompatibleKeys(NamedTuple):
    """Names of the model that the state lacks, and names of the state that the model lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def read(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a .safetensors file, memory-mapped; bfloat16 is converted to float32.

    Raises ValueError if the file is damaged or of another format, OSError if it cannot be read.
    """
    return _read(path)[0]


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata of a .safetensors file; errors are those of ``read``."""
    return _read(path)[1]


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the metadata."""
    from safetensors import SafetensorError, safe_open

    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        names = [file.name for file in sorted(Path(path).glob("*.safetensors"))]
        raise IsADirectoryError(
            f"{path}: a folder; wanted a .safetensors file" + (f", such as {names[0]} in it" if names else "")
        )
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path}: a device or a pipe; wanted a .safetensors file")
    with open(path, "rb") as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(512)
        length = int.from_bytes(start[:8], "little")
        if start[8:9] != b"{" or length > MAX_HEADER_BYTES:
            raise ValueError(f"{path}: not a safetensors file, but {_kind(path, start)}")
        file.seek(8)
        text = file.read(length)
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", None) or {}
        wanted = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        header, metadata, wanted = {}, {}, 8 + length  # the header is truncated or damaged
    if size < wanted:
        raise ValueError(f"{path}: a safetensors file that is cut short: got {size} bytes of {wanted}; get it again")
    unknown = sorted({str(entry.get("dtype", "F32")) for entry in header.values()} - DTYPES.keys())
    if unknown:  # older releases of the library report such files as damaged
        raise ValueError(f"{path}: a safetensors file of dtype {', '.join(unknown)}; wanted dtypes that NumPy has")
    try:
        with safe_open(os.fspath(path), "numpy"):
            pass  # the library has checked the file
    except SafetensorError as error:
        raise ValueError(f"{path}: a safetensors file that is damaged: {error}; get it again") from None
    for name, entry in header.items():
        if entry.keys() != ENTRY_FIELDS:
            got, wanted_fields = ", ".join(map(repr, entry)), ", ".join(map(repr, ENTRY_FIELDS))
            raise ValueError(f"{path}: a safetensors file that is damaged: {name} has {got}; wanted {wanted_fields}")
    data = np.memmap(path, np.uint8, "r", 8 + length) if wanted > 8 + length else np.zeros(0, np.uint8)
    return {name: _array(data, **entry) for name, entry in header.items()}, metadata


def _array(data: Array, dtype: str, shape: list[int], data_offsets: list[int]) -> Array:
    array = data[slice(*data_offsets)].view(DTYPES[dtype]).reshape(shape)
    return (array.astype("<u4") << 16).view("<f4") if dtype == "BF16" else array


def _kind(path: Any, start: bytes) -> str:
    """What kind of file begins with ``start``, and what to do with it."""
    if start.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            return "a zip archive that is damaged, as PyTorch's .pth and NumPy's .npz are zip archives; get it again"
        if any(name.endswith("data.pkl") for name in names):
            return f"a pickle in a zip archive, as PyTorch's .pth, .pt and .bin, {CONVERT}"
        if all(name.endswith(".npy") for name in names):
            return "NumPy's .npz; read it with np.load, and pass it to load_state_dict"
        return "a zip archive; unpack it"
    return next((kind for begin, kind in KINDS.items() if re.match(begin, start)), "a file of unknown kind")


# --- names -------------------------------------------------------------------------------------------------


def without(prefix: str, state: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The state with the prefix removed from its names, and the names that do not begin with it."""
    if not isinstance(prefix, str):
        raise TypeError(f"load_state_dict: got prefix {prefix!r}; wanted the beginning of the state's names, as text")
    dotted = f"{prefix.rstrip('.')}." if prefix else ""
    begun = {name for name in state if str(name).startswith(dotted)}
    taken = {name[len(dotted) :] if dotted else name: state[name] for name in state if name in begun}
    return taken, [name for name in state if name not in begun]


def within(parts: Any, names: Iterable[str]) -> set[str]:
    """The names that are one of the parts or inside one. Raises ValueError for a part without any name."""
    nested: set[str] = set()
    names = list(names)
    listed: list[Any] = [parts] if isinstance(parts, str) or not np.iterable(parts) else list(parts)
    if isinstance(parts, bytes) or not all(isinstance(part, str) for part in listed):
        raise TypeError(f"load_state_dict: got skip {parts!r}; wanted names of parts, as text")
    for part in listed:
        inside = {name for name in names if f"{name}.".startswith(f"{part.rstrip('.')}.")}
        if not inside:
            raise ValueError(f"load_state_dict: got skip {part!r}; wanted parts of the model or the state")
        nested |= inside
    return nested


def advice(state: Mapping[str, Any], names: Iterable[str], prefix: str = "", depth: int = 3) -> str:
    """A hint on how more names of the state would match the model's ``names``; empty if there is none.

    Nested mappings are searched to a ``depth``, since a mapping may contain itself.
    """
    wanted = set(names)
    fit = len(wanted & state.keys())
    for name, value in state.items():
        if isinstance(value, Mapping) and (
            len(wanted & value.keys()) > fit or (not fit and depth and advice(value, wanted, depth=depth - 1))
        ):
            return f"the values are in the mapping under {name!r}; pass that"
    begins = Counter(begin for name in state for begin, rest in _splits(name) if rest in wanted)
    for begin, times in begins.most_common(1):
        if times > fit:
            every = all(str(name).startswith(begin) for name in state)
            begin = prefix + begin
            return f"{'every name begins' if every else f'{times} names begin'} with {begin}; pass prefix={begin!r}"
    begins = Counter(begin for name in wanted for begin, rest in _splits(name) if rest in state)
    for begin, times in begins.most_common(1):
        if times > fit:
            return f"the model's names begin with {begin}, and the state's do not; load it into model.{begin[:-1]}"
    return ""


def _splits(name: Any) -> Iterable[tuple[str, str]]:
    """Every split of a dotted name in two."""
    return ((name[: i + 1], name[i + 1 :]) for i, c in enumerate(name) if c == ".") if isinstance(name, str) else ()


def no_name_fits(state: Mapping[str, Any], names: Iterable[str], prefix: str) -> str:
    """The message for a state that has none of the model's ``names``."""
    begins = f" that begins with {prefix}" if prefix else ""
    return f"no name{begins} is one of the model's: got {_few(state)}; wanted {_few(names)}"


def _few(names: Iterable[Any]) -> str:
    names = [str(name) for name in names]
    return (", ".join(names[:3]) or "none") + (f" and {len(names) - 3} more" if len(names) > 3 else "")
