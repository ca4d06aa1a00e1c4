"""The parser of the command line."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

import minigraph as mg
from minigraph.cli import demo, derive, doctor, draw, plot, predict, profile, summary, train, verify
from minigraph.cli import eval as eval_
from minigraph.cli import list as list_
from minigraph.cli.failure import UsageError


class Parser(argparse.ArgumentParser):
    """A parser that reports wrong arguments in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help; argparse itself would ignore a full disk and a closed pipe."""
        if message:
            (file or sys.stderr).write(message)


def build() -> Parser:
    """Return the parser of all commands; the parsed arguments have the command's function as ``run``."""
    parser = Parser(
        prog="minigraph",
        description="Computational graphs in which every node knows its Jacobian.",
        epilog="Exit status: 0 success, 1 mismatch or failure, 2 wrong usage, 130 interrupted, 141 broken pipe.",
    )
    parser.add_argument("--version", action="version", version=f"minigraph {mg.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (demo, list_, summary, draw, derive, verify, profile, train, eval_, predict, plot, doctor):
        command.add(commands)
    return parser
