"""``minigraph draw``."""

from __future__ import annotations

import argparse
from typing import Any

import minigraph as mg
from minigraph.cli.arguments import add_input, add_target, command, picture_path, whole
from minigraph.cli.target import load
from minigraph.inspect.draw import SIZES
from minigraph.inspect.draw.dot import EDGES
from minigraph.inspect.draw.outline import DEPTHS
from minigraph.inspect.draw.themes import THEMES

OPTIONS = (
    "depth",
    "size",
    "theme",
    "edges",
    "values",
    "gradients",
    "scopes",
    "statistics",
    "memory",
    "parameters",
    "arrows",
    "legend",
    "direction",
    "dpi",
    "engine",
    "timeout",
)  # as ``mg.draw`` has them


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
    option(
        "--depth",
        type=depth,
        metavar="DEPTH",
        help="how far to fold the graph by its scopes: op, layer, block, stage, or a number of names "
        "(default: larger networks are folded until they fit a page)",
    )
    option(
        "--size",
        type=size,
        metavar="SIZE",
        help="the page: slide, page, or WIDTHxHEIGHT in inches, for example 10x6 (default: as large as needed)",
    )
    option("--theme", choices=tuple(THEMES), default="light", help="the colours (default: light)")
    option("--lower", choices=("im2col", "toeplitz"), help="first rewrite convolutions as matrix products")
    edges = parser.add_mutually_exclusive_group()
    edges.add_argument(
        "--edges", choices=EDGES, default="size", help="what to write on edges (default: size, of the Jacobian)"
    )
    edges.add_argument("--no-edges", dest="edges", action="store_false", help="write nothing on edges")
    option("--no-values", dest="values", action="store_false", help="omit short values")
    option("--no-gradients", dest="gradients", action="store_false", help="omit gradients")
    option("--statistics", action="store_true", help="show the range, mean and deviation of values")
    option("--memory", action="store_true", help="show the bytes of values")
    option(
        "--parameters", choices=("box", "line", "hidden"), default="box", help="how to show parameters (default: box)"
    )
    option(
        "--arrows",
        choices=("forward", "backward", "both"),
        default="forward",
        help="which way arrows point (default: forward)",
    )
    option("--legend", action="store_true", help="explain the colours")
    option("--no-scopes", dest="scopes", action="store_false", help="omit the boxes around scopes")
    option("--dpi", type=whole(1), default=160, help="pixels per inch of a PNG (default: 160)")
    option("--engine", choices=("pygraphviz", "dot"), help="what draws the picture (default: the first one available)")
    option(
        "--timeout",
        type=whole(1),
        default=10,
        metavar="TIMEOUT",
        help="seconds for the layout, after which a simpler one is used (default: 10)",
    )


def depth(text: str) -> int | str:
    """A depth on the command line: a name or an integer."""
    return text if text in DEPTHS else whole(1)(text)


def size(text: str) -> str | tuple[float, float]:
    """A size on the command line: a name or WIDTHxHEIGHT."""
    if text in SIZES:
        return text
    width, _, height = text.partition("x")
    try:
        return float(width), float(height)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}; wanted slide, page or WIDTHxHEIGHT in inches") from None


def run(arguments: argparse.Namespace) -> int:
    """Draw a graph."""
    path = picture_path(arguments.output)
    y = load(arguments.target, shape=arguments.input, abstract=True)
    if arguments.lower:
        y = mg.lower(y, arguments.lower)
    mg.draw(y, path, **{name: getattr(arguments, name) for name in OPTIONS})
    print(path)
    return 0
