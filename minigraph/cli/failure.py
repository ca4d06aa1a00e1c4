"""How a command fails: exit statuses, exceptions, and messages of one line on stderr."""

from __future__ import annotations

import sys

FAILURE, USAGE, BROKEN_PIPE = 1, 2, 141


class Failure(Exception):
    """What the command could not do, in one line."""


class UsageError(Failure):
    """What is wrong with the arguments, in one line."""


def say(text: str) -> None:
    """Print a message on stderr, in one line."""
    print("minigraph: " + " ".join(text.split()), file=sys.stderr)
