"""``minigraph doctor``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from minigraph.cli.arguments import add_json, command
from minigraph.cli.failure import FAILURE


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    add_json(command(commands, "doctor", run))


def run(arguments: argparse.Namespace) -> int:
    """Report what is installed and whether it works."""
    from minigraph.cli.examination import examine

    report = examine()
    print(json.dumps(report.figures, indent=2) if arguments.json else report)
    return 0 if report.ok else FAILURE
