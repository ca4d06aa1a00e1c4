"""``minigraph summary``."""

from __future__ import annotations

import argparse
from typing import Any

import minigraph as mg
from minigraph.cli.arguments import add_input, add_json, add_target, command, whole
from minigraph.cli.target import called, input_shape, resolve


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    parser = command(commands, "summary", run)
    add_target(parser)
    add_input(parser)
    parser.add_argument("--depth", type=whole(1), metavar="N", help="merge scopes more than N levels deep into one row")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--human", action="store_true", help="abbreviate numbers, for example to 2.7K and 34M")
    form.add_argument("--csv", action="store_true", help="print comma-separated values instead")
    add_json(form)


def run(arguments: argparse.Namespace) -> int:
    """Print the output, the parameters and the cost of each layer of a network."""
    target = resolve(arguments.target, abstract=True)
    shape = input_shape(target, arguments.input)
    report = called(arguments.target, lambda: mg.summary(target, shape, depth=arguments.depth))
    if arguments.csv:
        print(report.to_csv(), end="")
    else:
        print(report.to_json() if arguments.json else report.text(arguments.human))
    return 0
