"""The console command ``minigraph``: the command line of the package.

Results go to stdout, progress and messages to stderr. Exit status: 0 success; 1 a mismatch or a failure; 2 wrong usage;
130 interrupted; 141 the reader of stdout went away. If stdout is closed from the start, the command fails.

Each command has a file, whose ``add`` defines its arguments and ``run`` executes it; the other files are what they share. Only what ``import minigraph`` does not load
anyway is imported inside functions, so that ``minigraph --help`` stays quick.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence

from minigraph.cli.failure import BROKEN_PIPE, FAILURE, USAGE, Failure, UsageError, say
from minigraph.cli.parser import build
from minigraph.interrupt import INTERRUPTED, open_stderr, raised
from minigraph.text import HANDLER


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (default: the arguments of the process) and return its exit status."""
    open_stderr()
    if sys.stdout is None:
        say("stdout is closed; wanted a place for the results")
        return FAILURE
    try:
        with raised():
            return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)
    try:
        try:
            arguments = build().parse_args(argv)
            with warnings.catch_warnings():
                warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
                status: int = arguments.run(arguments)
        except SystemExit as stop:  # --help and --version
            status = int(stop.code or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except UsageError as error:
        say(str(error))
        return USAGE
    except (Failure, ImportError, MemoryError, OSError, ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, OSError):  # possibly from stdout, on a full disk
            _discard_output()
        say(str(error) or type(error).__name__)
        return FAILURE


def _discard_output() -> None:
    """Discard buffered output that cannot be written, so that Python does not complain about it when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
