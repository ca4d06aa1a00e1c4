"""``minigraph predict``."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

import minigraph as mg
from minigraph.cli.arguments import add_json, command, whole
from minigraph.cli.eval import add_weights
from minigraph.text import readable


def add(commands: Any) -> None:
    """Define the command and its arguments."""
    parser = command(commands, "predict", run)
    parser.add_argument("run_folder", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "pictures", nargs="+", metavar="PICTURE", help="files of pictures, in any format that Pillow reads"
    )
    parser.add_argument(
        "--top", type=whole(1), default=3, metavar="N", help="classes to print, most probable first (default: 3)"
    )
    add_weights(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the most probable classes of pictures."""
    from minigraph.cli.run import build
    from minigraph.train.preprocessing import Preprocessing
    from minigraph.train.run import model_of

    model = model_of(arguments.run_folder, build, arguments.weights)
    prepared = Preprocessing.read(arguments.run_folder)
    (H, W), classes, transform = prepared.picture, prepared.classes, prepared.transform
    found: list[dict[str, Any]] = []
    for path in arguments.pictures:
        x = mg.data.read_picture(path, H if H == W else (H, W), prepared.channels)
        p = mg.train.predict(model, x[None], transform=transform)[0]
        best = np.argsort(-p, kind="stable")[: arguments.top]
        names = [classes[i] if i < len(classes) else str(i) for i in best]
        found.append(
            {
                "picture": path,
                "classes": [{"class": n, "probability": float(p[i])} for n, i in zip(names, best, strict=True)],
            }
        )
        if not arguments.json:
            print(
                readable(f"{path}: " + ", ".join(f"{n} {p[i]:.1%}" for n, i in zip(names, best, strict=True))),
                flush=True,
            )
    if arguments.json:
        print(json.dumps(found, indent=1))
    return 0
