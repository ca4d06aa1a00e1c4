"""``minigraph draw``."""

from __future__ import annotations

import argparse
from typing import Any

import minigraph as mg
from minigraph.cli.arguments import add_input, add_target, command, picture_path, whole
from minigraph.cli.target import load

OPTIONS = ("edges", "values", "gradients", "scopes", "direction", "dpi", "engine", "timeout")  # as ``mg.draw`` has them


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    parser = command(commands, "draw", run)
    add_target(parser)
    add_input(parser)
    option = parser.add_argument
    option(
        "-o",
        "--output",
        default="graph.png",
        metavar="FILE",
        help="a .png, .svg, .pdf or .dot file (default: graph.png)",
    )
    option(
        "--direction",
        choices=("TB", "LR", "BT", "RL"),
        default="TB",
        help="direction of the arrows: down, right, up or left (default: TB, down)",
    )
    option("--lower", choices=("im2col", "toeplitz"), help="first rewrite convolutions as matrix products")
    option("--no-edges", dest="edges", action="store_false", help="omit the sizes of the Jacobians on the edges")
    option("--no-values", dest="values", action="store_false", help="omit short values")
    option("--no-gradients", dest="gradients", action="store_false", help="omit gradients")
    option("--no-scopes", dest="scopes", action="store_false", help="omit the boxes around scopes")
    option("--dpi", type=whole(1), default=160, help="pixels per inch of a PNG (default: 160)")
    option("--engine", choices=("pygraphviz", "dot"), help="what draws the picture (default: the first one available)")
    option(
        "--timeout",
        type=whole(1),
        default=10,
        metavar="TIMEOUT",
        help="time limit for the usual layout, after which a cheaper one is used (default: 10)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Draw a graph."""
    path = picture_path(arguments.output)
    y = load(arguments.target, shape=arguments.input, abstract=True)
    if arguments.lower:
        y = mg.lower(y, arguments.lower)
    mg.draw(y, path, **{name: getattr(arguments, name) for name in OPTIONS})
    print(path)
    return 0
