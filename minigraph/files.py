"""Reading files that may be damaged or hostile, and writing files atomically."""

from __future__ import annotations

import os
import re
import secrets
import stat
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EINVAL, EISDIR
from pathlib import Path
from typing import Any, BinaryIO, Protocol

PART = re.compile(r"\..{1,20}-[0-9a-f]{16}")  # the name of a temporary file
SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))
KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}  # all others are devices
BLOCK = 1 << 20


def checked_path(function: str, path: Any) -> str:
    """``path`` as a string. Raises TypeError for other types: an integer would be taken for an open file descriptor."""
    named = isinstance(path, (str, os.PathLike)) and os.fspath(path)
    if not isinstance(named, str) or "\0" in named:
        raise TypeError(f"{function}: got path {path!r}; wanted the name of a file, as text or a pathlib.Path")
    return named


class Readable(Protocol):
    """What gives bytes: a file, or one within an archive."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``."""
        ...


def open_regular(path: str | os.PathLike[str], wanted: str) -> BinaryIO:
    """The file, open for reading. Raises ValueError for folders, pipes and devices, which may never end; OSError."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "a device")
        raise ValueError(f"{path}: got {kind}, which is not a regular file; wanted {wanted}")
    return open(path, "rb")


def read_blocks(file: Readable, size: int) -> bytearray:
    """The next ``size`` bytes, or what there is of them: memory grows with what has been read, not with ``size``."""
    data = bytearray()
    while len(data) < size and (block := file.read(min(BLOCK, size - len(data)))):
        data += block
    return data


@contextmanager
def decoding(path: str | os.PathLike[str], wanted: str, part: str = "") -> Iterator[None]:
    """Where a file is decoded: whatever is raised becomes a ValueError that names it, and what was wanted.

    Decoders raise almost anything for damaged files. Errors of the disk stay OSErrors, and name the file.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, EINVAL):  # a forged offset is EINVAL
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        place = f"{path}: {part}" if part else path
        raise ValueError(f"{place}: damaged, or not {wanted}: {shortened(error)}") from None


def shortened(text: Any, most: int = 200) -> str:
    """Text from a file for a message: on one line, of at most ``most`` characters; the type of an error without text."""
    text = str(text) or type(text).__name__
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * most])
    return textwrap.shorten(printable, most, placeholder="…") if " " in printable else printable[:most]


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: the data goes to a temporary file in the same directory, which then replaces ``path``.

    Symbolic links are followed. An existing file keeps its mode and owner; devices and pipes are written directly. Raises
    OSError naming ``path``, and the file is then unchanged.
    """
    try:
        try:
            old = os.stat(path)
        except FileNotFoundError:
            old = None
        if old and not stat.S_ISREG(old.st_mode):
            with open(path, "wb") as file:
                file.write(data)
        elif old and not os.access(path, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
        elif os.fspath(path).endswith(SEPARATORS):
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        else:
            _replace(Path(os.path.realpath(path)), data, old)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None  # not the name of the temporary file


def remove_parts(path: Path) -> None:
    """Remove the temporary files of ``path`` that ``write`` left when its process was killed."""
    with suppress(OSError):
        for part in path.parent.iterdir():
            if PART.fullmatch(part.name) and part.name.startswith(f".{path.stem[:20]}-"):
                part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name of a file last through a loss of power, where the system can do that for folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _replace(path: Path, data: bytes, old: os.stat_result | None) -> None:
    part = path.with_name(f".{path.stem[:20]}-{secrets.token_hex(8)}")
    try:
        with open(part, "xb") as file:  # its mode follows the umask
            if old:
                with suppress(AttributeError, PermissionError):  # on Windows; for another user's file
                    os.chown(part, old.st_uid, old.st_gid)
                os.chmod(part, stat.S_IMODE(old.st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
