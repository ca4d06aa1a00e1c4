"""``minigraph demo``."""

from __future__ import annotations

import argparse
from typing import Any

from minigraph.cli.arguments import add_json, add_seed, command, whole


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    parser = command(commands, "demo", run)
    add_seed(parser)
    parser.add_argument("--out", default="out", metavar="FOLDER", help="folder for the pictures (default: out)")
    parser.add_argument("--epochs", type=whole(1), metavar="N", help="passes over the training images")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train the network of the lectures on handwritten digits."""
    from minigraph.cli import training

    epochs = arguments.epochs or training.EPOCHS
    return training.run(arguments.seed, arguments.out, epochs, arguments.json)
