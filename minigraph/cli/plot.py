"""``minigraph plot``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import minigraph as mg
from minigraph.cli.arguments import command
from minigraph.cli.failure import UsageError


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    parser = command(commands, "plot", run)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs, or history.jsonl files")
    parser.add_argument(
        "-o", "--output", default="curves.png", metavar="FILE", help="a .png file (default: curves.png)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Draw the training curves of runs over one another."""
    path = Path(arguments.output)
    if path.suffix.lower() != ".png":
        raise UsageError(f"got {path}; wanted a name that ends in .png")
    names = [Path(run).name if Path(run).is_dir() else str(run) for run in arguments.runs]
    labels = names if len(set(names)) == len(names) else arguments.runs
    mg.plot.training_curves(dict(zip(labels, arguments.runs, strict=True)), path)
    print(path)
    return 0
