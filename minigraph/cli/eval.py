"""``minigraph eval``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from minigraph.cli.arguments import add_json, command, whole


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    parser = command(commands, "eval", run)
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder of a run; of several, the mean of their probabilities"
    )
    parser.add_argument(
        "--data", metavar="DATA", help="other data, as for train (default: the images that the run held out)"
    )
    add_weights(parser)
    parser.add_argument("--crops", type=int, choices=(1, 5, 10), default=1, help="windows of each image (default: 1)")
    parser.add_argument("--size", type=whole(1), metavar="N", help="side of these windows (default: the whole image)")
    add_json(parser)


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add --weights."""
    parser.add_argument("--weights", choices=("best", "last"), default="best", help="of which epoch (default: best)")


def run(arguments: argparse.Namespace) -> int:
    """Tell how well trained networks do on images that they have not seen."""
    from minigraph.cli.run import build
    from minigraph.train.run import evaluated

    found = evaluated(arguments.runs, build, arguments.data, arguments.weights, arguments.crops, arguments.size)
    print(json.dumps(found.to_dict(), indent=1) if arguments.json else found)
    return 0
