"""Arguments that several commands have, and the types of their values."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minigraph.cli.failure import UsageError
from minigraph.inspect.draw.render import FORMATS
from minigraph.maps import Shape

TARGET = (
    "the graph: the name of a model (see `minigraph list`), or module:function or file.py:function, where the function "
    "takes no arguments and returns a Node or a Module; a Node or Module can be named in its place "
    "(default: the network of the lectures)"
)


def command(commands: Any, name: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    """Add a command, described by the docstring of the function that runs it."""
    about = (run.__doc__ or "").strip()
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    parser.set_defaults(run=run)
    return parser


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add TARGET, which names the graph."""
    parser.add_argument("target", nargs="?", metavar="TARGET", help=TARGET)


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add --input, the shape of a model's input."""
    parser.add_argument(
        "--input",
        type=shape("1,3,224,224"),
        metavar="SHAPE",
        help="shape of a model's input, for example 1,3,224,224 (default: the model's own)",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add --seed."""
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the random numbers (default: 0)")


def add_json(parser: Any) -> None:
    """Add --json, to a parser or a group of arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")


def whole(least: int) -> Callable[[str], int]:
    """An argparse type: integers of at least ``least``."""

    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"got {text!r}; wanted an integer of at least {least}")
        return number

    return convert


def shape(example: str) -> Callable[[str], Shape]:
    """The type of shapes, written like ``example``."""

    def convert(text: str) -> Shape:
        try:
            sides = tuple(int(side) for side in text.replace("×", ",").replace("x", ",").split(","))
        except ValueError:
            sides = ()
        if not sides or min(sides) < 1:
            raise argparse.ArgumentTypeError(f"got {text!r}; wanted a shape like {example}")
        return sides

    return convert


def picture_path(name: str) -> Path:
    """Return the path of a picture; raise UsageError, before anything is computed, if it could not be written."""
    path = Path(name)
    if path.suffix.lower().removeprefix(".") not in FORMATS:
        raise UsageError(f"got {path}; wanted a name that ends in one of {', '.join('.' + form for form in FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist; make it first")
    return path
