"""Files: written whole, or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from errno import EACCES, EISDIR
from pathlib import Path
from typing import Any

SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


def checked_path(function: str, path: Any) -> str:
    """``path`` as text. Raises TypeError for anything else: a number would be taken for a file that is open."""
    named = isinstance(path, (str, os.PathLike)) and os.fspath(path)
    if not isinstance(named, str) or "\0" in named:
        raise TypeError(f"{function}: got path {path!r}; wanted the name of a file, as text or a pathlib.Path")
    return named


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file or none: beside ``path`` first, then in its place.

    A link stays, and the file that it leads to is written. A file that was there keeps its mode and owner; a device or
    a pipe is written to. Raises OSError naming ``path``, and the file is then as it was.
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
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None  # the name that the caller knows


def _replace(path: Path, data: bytes, old: os.stat_result | None) -> None:
    part = path.with_name(f".{path.stem[:20]}-{secrets.token_hex(8)}")
    try:
        with open(part, "xb") as file:  # with the mode that umask gives
            if old:
                with suppress(AttributeError, PermissionError):  # Windows; somebody else's file
                    os.chown(part, old.st_uid, old.st_gid)
                os.chmod(part, stat.S_IMODE(old.st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
