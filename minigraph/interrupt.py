"""What the command needs from the first line that Python runs of this package.

An interrupted command ends quietly, with status 130, and one whose stderr is closed runs without messages.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import PurePath
from typing import Any

INTERRUPTED = 130
MODULE = re.compile("-[a-zA-Z]*mminigraph")  # as one word, perhaps with other options


def _quit(*_: Any) -> None:
    os._exit(INTERRUPTED)


def _is_command() -> bool:
    """Whether this process is ``minigraph`` or ``python -m minigraph``, whose path is not known while it is looked for."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":
        return any(
            option[:1] == "-" and (option[-1:] == "m" and name == "minigraph" or MODULE.fullmatch(option))
            for option, name in pairwise([*sys.orig_argv, ""])
        )
    return PurePath(program).stem == "minigraph"


def open_stderr() -> None:
    """Send messages nowhere where stderr is closed."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # for as long as the process lives


def watch() -> None:
    """From now on end the process on an interruption."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _quit)


@contextmanager
def raised() -> Iterator[None]:
    """Inside, an interruption is a KeyboardInterrupt, so that files and processes are cleared away."""
    watched = signal.getsignal(signal.SIGINT) is _quit
    if watched:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if watched:
            signal.signal(signal.SIGINT, _quit)


if _is_command():
    open_stderr()  # which SciPy 1.13 uses as it is imported
    watch()
