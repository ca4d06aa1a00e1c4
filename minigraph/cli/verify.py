"""``minigraph verify``."""

from __future__ import annotations

import argparse
from typing import Any

import minigraph as mg
from minigraph.cli.arguments import add_input, add_json, add_seed, add_target, command
from minigraph.cli.failure import FAILURE
from minigraph.cli.target import load


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    parser = command(commands, "verify", run)
    add_target(parser)
    add_input(parser)
    add_seed(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare convolutions, pools and fully connected layers with their explicit matrices."""
    report = mg.verify(load(arguments.target, arguments.seed, arguments.input, small=True))
    print(report.to_json() if arguments.json else report)
    return 0 if report.ok else FAILURE
