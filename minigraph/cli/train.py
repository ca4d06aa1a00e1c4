"""``minigraph train``."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import minigraph as mg
from minigraph.cli.arguments import add_json, command
from minigraph.cli.failure import UsageError, say
from minigraph.data.named import READERS

CHANGEABLE = ("threads", "workers", "patience", "pictures", "checkpoint_seconds")  # when a run is resumed


def add(commands: Any) -> None:
    """Define the command and its arguments: one for each of the settings."""
    from minigraph.train.settings import Settings

    parser = command(commands, "train", run)
    parser.add_argument(
        "target", nargs="?", metavar="TARGET", help=Settings.__dataclass_fields__["target"].metadata["help"]
    )
    parser.add_argument(
        "--out", metavar="RUN", help="folder of the run (default: runs/TARGET, with a number if there is one)"
    )
    parser.add_argument("--resume", metavar="RUN", help="go on with the run in this folder, from its last checkpoint")
    parser.add_argument("--repeat", metavar="RUN", help="train anew by the settings of the run in this folder")
    parser.add_argument("--config", metavar="FILE", help="a TOML file of options; those given here come before it")
    add_json(parser)
    hints = get_type_hints(Settings)
    for f in fields(Settings):
        if f.name != "target":
            _add_option(parser, f.name, hints[f.name], f.default, f.metadata)


def _add_option(parser: argparse.ArgumentParser, name: str, hint: Any, default: Any, metadata: Any) -> None:
    """An option of the settings; what is not given is not in the parsed arguments."""
    kind = get_args(hint)[0] if isinstance(hint, UnionType) else hint
    flag, default_text = f"--{name.replace('_', '-')}", "none" if default in (None, "") else default
    text = f"{metadata['help']} (default: {str(default_text).lower() if kind is bool else default_text})".replace(
        "%", "%%"
    )
    if kind is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        return
    names = f" {{{','.join(metadata['choices'])}}}" if metadata["choices"] else ""
    parser.add_argument(
        flag, type=kind, default=argparse.SUPPRESS, metavar={int: "N", float: "X", str: "TEXT"}[kind], help=text + names
    )


def run(arguments: argparse.Namespace) -> int:
    """Train a network on data, in a folder from which training can be resumed, repeated and used."""
    from minigraph.cli.run import build
    from minigraph.train.run import Run, same_settings, settings_of
    from minigraph.train.settings import NAMES, gathered

    given = {name: value for name, value in vars(arguments).items() if name in NAMES and value is not None}
    if sum(bool(x) for x in (arguments.resume, arguments.repeat)) > 1:
        raise UsageError("got --resume and --repeat; wanted one of them")
    if arguments.resume:
        if arguments.out or arguments.config:
            raise UsageError(
                "--resume goes on in the run's own folder, by its own settings; wanted no --out and no --config"
            )
        folder, settings = Path(arguments.resume), settings_of(arguments.resume, given)
        changed = same_settings(settings, settings_of(arguments.resume), CHANGEABLE)
        if changed:
            raise UsageError(
                f"{folder} began with another value of {changed[0]}; --resume may change only {', '.join(CHANGEABLE)}; "
                "--repeat takes other settings too, and --weights starts from what was learned"
            )
    else:
        settings = gathered(_beginning(arguments, given), given)
        settings.target, settings.data = absolute(settings.target), absolute(settings.data)
        settings.weights = settings.weights and str(Path(settings.weights).absolute())
        folder = _folder(arguments.out, settings.target)
    trained = Run(settings, build, mg.__version__)
    say(f"{settings.target} on {settings.data}: {len(trained.data.x_train)} images to learn from, "
        f"{len(trained.data.x_test)} held out, {len(trained.classes)} classes; run folder {folder}")  # fmt: skip
    if trained.drawn:
        say(f"not in {settings.weights}, drawn at random: {', '.join(trained.drawn)}")
    try:
        history = trained.train(folder, resume=bool(arguments.resume))
    except KeyboardInterrupt:
        say(f"interrupted after step {trained.trainer.step}; go on with: minigraph train --resume {folder}")
        raise
    if arguments.resume and not trained.steps:
        say(f"{folder} was complete: all {len(history)} epochs were done, and no step was taken")
    elif trained.trainer.stop:
        say(f"ended after epoch {trained.trainer.epoch}: {trained.trainer.stop}")
    files, left_out = pictures(trained, folder) if settings.pictures else ([], {})
    for name, reason in left_out.items():
        say(f"left out {name}: {reason}")
    _report(trained, folder, history, files, arguments.json)
    return 0


def absolute(name: str) -> str:
    """``kind:path`` or ``file.py:function`` with an absolute path, so that the run can be repeated from anywhere."""
    first, colon, last = name.partition(":")
    if colon and first.endswith(".py"):
        return f"{Path(first).absolute()}:{last}"
    return f"{first}:{Path(last).absolute()}" if colon and first in READERS and last else name


def _beginning(arguments: argparse.Namespace, given: dict[str, Any]) -> dict[str, Any]:
    """The options before those that were given: of a run to repeat, or of the model's recipe and a file."""
    from minigraph.train.recipes import recipe
    from minigraph.train.run import settings_of
    from minigraph.train.settings import read_toml

    options = vars(settings_of(arguments.repeat)) if arguments.repeat else {}
    options |= read_toml(arguments.config) if arguments.config else {}
    target = given.get("target", options.get("target"))
    if not target:
        raise UsageError(
            "got no network; wanted TARGET, the name of a model (see `minigraph list`) or file.py:function"
        )
    if arguments.repeat:
        return options
    published = recipe(target, given.get("model_options", options.get("model_options", "")))
    if published:
        say(
            f"recipe of {target}: {', '.join(f'{k}={v}' for k, v in published.items() if k not in given and k not in options)}"
        )
    return published | options


def _folder(out: str | None, target: str) -> Path:
    """The folder of a new run."""
    if out:
        return Path(out)
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in target.rpartition("/")[2])
    numbered = (Path("runs") / (name if i == 1 else f"{name}-{i}") for i in range(1, 10_000))
    return next(folder for folder in numbered if not folder.exists())


def _report(trained: Any, folder: Path, history: list[dict[str, Any]], files: list[str], as_json: bool) -> None:
    evaluation = trained.evaluation
    if as_json:
        found = {"run": str(folder), "epochs": len(history), "seconds": sum(row["seconds"] for row in history)}
        print(json.dumps({**found, **evaluation.to_dict(), "files": files}, indent=1))
        return
    print(evaluation)
    print(f"run folder: {folder}")
    for name in files:
        print(f"  {name}")


def pictures(trained: Any, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Draw what was learned in the run's folder; returns the files, and why others were left out."""
    model, data, prepared = trained.model, trained.data, trained.preprocessing
    shown = data.x_test[:2000]
    shown = shown[range(len(shown))] if not hasattr(shown, "ndim") else shown

    def first_filters(path: Path) -> None:
        w = next(p.value for p in model.parameters() if p.ndim == 4)
        mg.plot.filters(w, path)

    def confusion(path: Path) -> None:
        mg.plot.confusion_matrix(trained.evaluation.confusion, path, classes=trained.classes)

    def mistakes(path: Path) -> None:
        p = mg.train.predict(model, prepared(shown))
        mg.plot.mistakes(shown, data.y_test[: len(shown)], p, path, classes=trained.classes)

    wanted = {"curves.png": lambda path: mg.plot.training_curves({folder.name: folder}, path), "confusion.png": confusion,
              "filters.png": first_filters, "mistakes.png": mistakes}  # fmt: skip
    if trained.statistics and trained.statistics.rows:
        wanted["statistics.png"] = lambda path: mg.plot.statistics(trained.statistics.rows, path)
    files: list[str] = []
    left_out: dict[str, str] = {}
    (folder / "pictures").mkdir(exist_ok=True)
    for name, draw in wanted.items():
        try:
            draw(folder / "pictures" / name)
            files.append(str(folder / "pictures" / name))
        except (ImportError, StopIteration, ValueError) as error:
            left_out[name] = str(error) or "the model has no convolution over two axes"
    return files, left_out
