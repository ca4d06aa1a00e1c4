"""``minigraph derive``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import minigraph as mg
from minigraph.cli.arguments import add_input, add_seed, add_target, command
from minigraph.cli.failure import UsageError
from minigraph.cli.target import load
from minigraph.files import write
from minigraph.tape import Tape

FORMATS = ("text", "markdown", "latex", "mathml", "steps")
PICTURES = (".png", ".svg", ".pdf")


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    parser = command(commands, "derive", run)
    add_target(parser)
    add_input(parser)
    add_seed(parser)
    option = parser.add_argument
    option(
        "--wrt",
        metavar="NODE",
        help="name or path of the node to differentiate with respect to (default: the first parameter)",
    )
    option("--of", metavar="NODE", help="name or path of the node to differentiate (default: the target)")
    option("--format", choices=FORMATS, default="text", help="what to print (default: text)")
    option("--numbers", action="store_true", help="write out small matrices in LaTeX and MathML")
    option("-o", "--output", metavar="FILE", help="write to a file instead; a .png, .svg or .pdf shows the equations")


def run(arguments: argparse.Namespace) -> int:
    """Derive the chain rule between two nodes from the graph."""
    y = load(arguments.target, arguments.seed, arguments.input, abstract=not arguments.numbers)
    tape = Tape.of(y)
    try:
        y = tape.find(arguments.of) if arguments.of else y
        x = tape.find(arguments.wrt) if arguments.wrt else next(iter(tape.parameters), None)
    except KeyError as error:
        raise UsageError(str(error.args[0])) from None
    if x is None:
        raise UsageError("derive: the graph has no parameter; name a node with --wrt")
    derivation = mg.derive(y, x)
    output = arguments.output
    if output and Path(output).suffix.lower() in PICTURES:
        derivation.save(output)
    else:
        written = text(derivation, arguments.format, arguments.numbers)
        if output:
            write(output, f"{written}\n".encode())
    print(output or written)
    return 0


def text(derivation: Any, form: str, numbers: bool) -> str:
    """The derivation in a format."""
    if form == "latex":
        return str(derivation.latex(numbers=numbers))
    if form == "mathml":
        return str(derivation.mathml(numbers=numbers))
    if form == "steps":
        return "\n".join(map(str, derivation.steps()))
    return str(derivation.markdown() if form == "markdown" else derivation)
