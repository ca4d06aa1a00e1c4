"""``minigraph profile``."""

from __future__ import annotations

import argparse
from typing import Any

import minigraph as mg
from minigraph.cli.arguments import add_json, add_seed, add_target, command, picture_path, shape, whole
from minigraph.cli.target import load_loss


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    parser = command(commands, "profile", run)
    add_target(parser)
    option = parser.add_argument
    option("--batch", type=whole(1), metavar="N", help="number of images (default: 1)")
    option(
        "--image",
        type=shape("3,224,224"),
        metavar="SHAPE",
        help="shape of each image, for example 3,224,224 (default: the model's own)",
    )
    option("--repeats", type=whole(1), default=5, metavar="N", help="number of timed calls of each node (default: 5)")
    option(
        "--top", type=whole(1), default=20, metavar="N", help="number of nodes to print, slowest first (default: 20)"
    )
    option("--draw", metavar="FILE", help="draw the graph, coloured by time, to a .png, .svg, .pdf or .dot file")
    add_seed(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Time every node of a network forward and backward; the loss of a model is the cross-entropy of random labels."""
    path = picture_path(arguments.draw) if arguments.draw else None
    y = load_loss(arguments.target, arguments.seed, arguments.batch, arguments.image)
    report = mg.profile(y, arguments.repeats, progress=True)
    if path:
        mg.draw(y, path, edges=False, values=False, gradients=False, profile=report)
    print(report.to_json() if arguments.json else report.text(arguments.top))
    return 0
