"""Writing files atomically."""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from errno import EACCES, EISDIR
from pathlib import Path
from typing import Any

PART = re.compile(r"\..{1,20}-[0-9a-f]{16}")  # the name of a temporary file
SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


def checked_path(function: str, path: Any) -> str:
    """``path`` as a string. Raises TypeError for other types: an integer would be taken for an open file descriptor."""
    named = isinstance(path, (str, os.PathLike)) and os.fspath(path)
    if not isinstance(named, str) or "\0" in named:
        raise TypeError(f"{function}: got path {path!r}; wanted the name of a file, as text or a pathlib.Path")
    return named


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
