"""Interrupts and a closed stderr, handled for the command from the first import of this package on.

An interrupted command exits quietly with status 130; with stderr closed it runs without messages.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import PurePath
from typing import Any

INTERRUPTED = 130
MODULE = re.compile("-[a-zA-Z]*mminigraph")  # in one argument, possibly with other options


def _quit(*_: Any) -> None:
    os._exit(INTERRUPTED)


def _is_command() -> bool:
    """Whether this process runs ``minigraph`` or ``python -m minigraph``, for which argv[0] is "-m" during the import."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":
        return any(
            option[:1] == "-" and (option[-1:] == "m" and name == "minigraph" or MODULE.fullmatch(option))
            for option, name in pairwise([*sys.orig_argv, ""])
        )
    return PurePath(program).stem == "minigraph"


def open_stderr() -> None:
    """If stderr is closed, open the null device in its place."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # never closed


def watch() -> None:
    """From now on, exit on SIGINT."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _quit)


@contextmanager
def raised() -> Iterator[None]:
    """Inside, SIGINT raises KeyboardInterrupt, so that files and processes are cleaned up; then the command exits."""
    watched = signal.getsignal(signal.SIGINT) is _quit
    if watched:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        if watched:  # sys.exit would not do: once exec() of a string was interrupted, Python kills itself when it exits
            with suppress(OSError):
                sys.stdout.flush()
            _quit()
        raise
    finally:
        if watched:
            signal.signal(signal.SIGINT, _quit)


if _is_command():
    open_stderr()  # SciPy 1.13 writes to it during import
    watch()
