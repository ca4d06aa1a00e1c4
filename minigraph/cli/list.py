"""``minigraph list``."""

from __future__ import annotations

import argparse
import json
from typing import Any

import minigraph as mg
from minigraph.cli.arguments import add_json, command
from minigraph.text import table


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    add_json(command(commands, "list", run))


def run(arguments: argparse.Namespace) -> int:
    """List the models and their numbers of parameters."""
    models: list[dict[str, Any]] = []
    for name in mg.models.names():
        model = mg.models.build(name)
        models.append({"name": name, "parameters": sum(p.size for p in model.parameters()), "input": [1, *model.image]})
    if arguments.json:
        print(json.dumps({"models": models}, indent=1))
    else:
        head = ("model", "parameters", "input")
        rows = [(m["name"], f"{m['parameters']:,}", "×".join(map(str, m["input"]))) for m in models]
        print(table(head, rows, right=(1,)))
    return 0
