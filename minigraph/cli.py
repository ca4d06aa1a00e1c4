"""The console command ``minigraph``: demo, list, summary, draw, verify, profile, doctor.

Results go to stdout, progress and messages to stderr. Exit status: 0 all is well; 1 a mismatch or a failure;
2 wrong usage; 130 interrupted; 141 whoever read stdout went away. A stdout that is closed from the start is a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import inspect
import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from minigraph.interrupt import INTERRUPTED, open_stderr, raised

if TYPE_CHECKING:
    from minigraph.linear import Shape
    from minigraph.nn import Module
    from minigraph.node import Node

FAILURE, USAGE, BROKEN_PIPE = 1, 2, 141
TARGET = (
    "the graph: a model's name, as `minigraph list` prints them; or module:function or file.py:function, something that "
    "is called without arguments and gives a Node or a Module, or is one (default: the lectures' network)"
)


class Failure(Exception):
    """What the command could not do, in one line."""


class UsageError(Failure):
    """What the user has to write differently, in one line."""


class Parser(argparse.ArgumentParser):
    """Wrong arguments are told in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help; argparse itself passes over a full disk and a closed pipe."""
        if message:
            (file or sys.stderr).write(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (default: the process's arguments) and return its exit status."""
    open_stderr()
    if sys.stdout is None:
        _say("stdout is closed; wanted a place for the results")
        return FAILURE
    try:
        with raised():
            return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    from minigraph.text import HANDLER

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)
    try:
        try:
            arguments = _parser().parse_args(argv)
            with warnings.catch_warnings():
                warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
                status: int = arguments.run(arguments)
        except SystemExit as stop:  # --help and --version
            status = int(stop.code or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _drop()
        return BROKEN_PIPE
    except UsageError as error:
        _say(str(error))
        return USAGE
    except (Failure, ImportError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, OSError):  # perhaps of stdout, on a full disk
            _drop()
        _say(str(error) or type(error).__name__)
        return FAILURE


def _drop() -> None:
    """Let go of what is still to be printed, if it cannot be, so that Python does not complain of it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    print("minigraph: " + " ".join(text.split()), file=sys.stderr)


# --- commands ----------------------------------------------------------------------------------------


def demo(arguments: argparse.Namespace) -> int:
    """Train the lectures' network on handwritten digits."""
    from minigraph.demo import EPOCHS, run

    epochs = EPOCHS if arguments.epochs is None else arguments.epochs
    return run(arguments.seed, arguments.out, epochs, arguments.json)


def list_(arguments: argparse.Namespace) -> int:
    """List the models with their parameters."""
    from minigraph import models
    from minigraph.text import table

    found: list[dict[str, Any]] = []
    for name in models.names():
        model = models.build(name)
        found.append({"name": name, "parameters": sum(p.size for p in model.parameters()), "input": [1, *model.image]})
    if arguments.json:
        print(json.dumps({"models": found}, indent=1))
    else:
        head = ("model", "parameters", "input")
        cells = [(m["name"], f"{m['parameters']:,}", "×".join(map(str, m["input"]))) for m in found]
        print(table(head, cells, right=(1,)))
    return 0


def summary(arguments: argparse.Namespace) -> int:
    """Print what each layer of a network gives, holds and costs."""
    import minigraph as mg

    found = resolve(arguments.target, abstract=True)
    shape = _shape(found, arguments.input)
    report = _called(arguments.target, lambda: mg.summary(found, shape, depth=arguments.depth))
    if arguments.csv:
        print(report.to_csv(), end="")
    else:
        print(report.to_json() if arguments.json else report.text(arguments.human))
    return 0


def draw(arguments: argparse.Namespace) -> int:
    """Draw a graph."""
    import minigraph as mg
    from minigraph.inspect.draw import draw as picture

    path = _picture(arguments.output)
    y = load(arguments.target, arguments.seed, arguments.input, abstract=True)
    picture(
        mg.lower(y, arguments.lower) if arguments.lower else y,
        path,
        edges=arguments.edges,
        values=arguments.values,
        gradients=arguments.gradients,
        scopes=arguments.scopes,
        direction=arguments.direction,
        dpi=arguments.dpi,
        engine=arguments.engine,
        timeout=arguments.timeout,
    )
    print(path)
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Compare convolutions, pools and fully connected layers with their explicit matrices."""
    import minigraph as mg

    report = mg.verify(load(arguments.target, arguments.seed, arguments.input, small=True))
    print(report.to_json() if arguments.json else report)
    return 0 if report.ok else FAILURE


def profile(arguments: argparse.Namespace) -> int:
    """Time every node of a network, forward and backward; of a model with the cross-entropy of random labels."""
    import minigraph as mg

    path = _picture(arguments.draw) if arguments.draw else None
    y = _loss(arguments.target, arguments.seed, arguments.batch, arguments.image)
    report = mg.profile(y, arguments.repeats, progress=True)
    if path:
        mg.draw(y, path, edges=False, values=False, gradients=False, profile=report)
    print(report.to_json() if arguments.json else report.text(arguments.top))
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Say what is installed and whether it works."""
    from minigraph.doctor import examine

    report = examine()
    print(json.dumps(report.figures, indent=2) if arguments.json else report)
    return 0 if report.ok else FAILURE


def _picture(name: str) -> Path:
    """The path of a picture, refused before anything is computed where it could not be written."""
    from minigraph.inspect.draw.render import FORMATS

    path = Path(name)
    if path.suffix.lower().removeprefix(".") not in FORMATS:
        raise UsageError(f"got {path}; wanted a name that ends in one of {', '.join('.' + form for form in FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist; make it first")
    return path


# --- targets -----------------------------------------------------------------------------------------


def load(
    target: str | None, seed: int = 0, shape: Shape | None = None, abstract: bool = False, small: bool = False
) -> Node:
    """The Node that ``target`` names, or what its Module makes of an input of ``shape``: random, or ``abstract``.

    A model without a ``shape`` is given its published one, or where it may be ``small`` the least that it takes.
    """
    from minigraph.node import Node

    found = resolve(target, seed, abstract)
    if small and not shape and hasattr(found, "least_side"):
        side = found.least_side()
        shape = (1, found.image[0], side, side)
        _say(
            f"{target} is given an image of {'×'.join(map(str, shape[1:]))}, the least that it takes (--input sets another)"
        )
    shape = _shape(found, shape)
    if shape is None:
        assert isinstance(found, Node)
        return found
    return _output(target, found, shape, seed, abstract)


def _loss(target: str | None, seed: int, batch: int | None, image: Shape | None) -> Node:
    """The Node that ``target`` names, or the cross-entropy of its Module's scores for ``batch`` random images."""
    import numpy as np

    from minigraph.node import FLOATS, Node
    from minigraph.ops.loss import cross_entropy

    found = resolve(target, seed)
    if isinstance(found, Node):
        if batch or image:
            raise UsageError("--batch and --image are for models; the target is a Node, which has its input")
        return found
    image = image or getattr(found, "image", None)
    if not image:
        raise UsageError(f"{type(found).__name__} needs an input; wanted --image, like --image 3,224,224")
    y = _output(target, found, (batch or 1, *image), seed)
    if y.ndim < 2 or y.dtype not in FLOATS:  # no scores (N, C, …)
        return y
    labels = np.random.default_rng(seed).integers(y.shape[1], size=(y.shape[0], *y.shape[2:]))
    loss: Node = cross_entropy(y, labels)
    return loss


def _output(target: str | None, found: Any, shape: Shape, seed: int, abstract: bool = False) -> Node:
    """What the Module ``found`` makes of an input of ``shape``: random, or ``abstract``."""
    import numpy as np

    from minigraph.node import Node, Spec, constant

    try:
        x = Spec(shape) if abstract else np.random.default_rng(seed).standard_normal(shape, np.float32)
    except (ValueError, OverflowError, MemoryError):
        raise Failure(f"got an input of shape {shape}; wanted one that fits the memory") from None
    y = _called(target, lambda: found(constant(x, "input")))
    if not isinstance(y, Node):
        raise UsageError(f"{target} made {type(y).__name__} of its input; wanted a Node")
    return y


def _shape(found: Any, shape: Shape | None) -> Shape | None:
    """The shape of the input to give to what was found: none to a Node."""
    from minigraph.node import Node

    if isinstance(found, Node):
        if shape:
            raise UsageError("--input is for models; the target is a Node, which has its input")
        return None
    if not shape and not hasattr(found, "image"):
        raise UsageError(f"{type(found).__name__} needs an input; wanted --input, like --input 1,3,224,224")
    return shape or (1, *found.image)


def resolve(target: str | None, seed: int = 0, abstract: bool = False) -> Any:
    """The Node or Module that ``target`` names; the lectures' network, with data or ``abstract``, where it is None."""
    from minigraph.nn import Module
    from minigraph.node import Node

    if target is None:
        from minigraph.demo import blueprint, few_digits

        return blueprint() if abstract else few_digits(seed)
    if target.endswith(".py") and os.path.isfile(target):
        raise UsageError(f"got the file {target}; add :NAME, the function, Node or Module in it that is wanted")
    if ":" not in target:
        return model(target, None if abstract else seed)
    place, _, name = target.rpartition(":")
    if not (place and name):
        raise UsageError(f"got target {target!r}; wanted module:function or file.py:function")
    module = _called(target, lambda: _module(place))
    try:
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise UsageError(f"{place} has no {name}") from None
    if callable(found) and not isinstance(found, Module):
        _expect_no_arguments(target, found)
        found = _called(target, found)
    if not isinstance(found, (Node, Module)):
        raise UsageError(
            f"{target} gave {type(found).__name__}; wanted a Node (compute with mg.parameter or mg.constant) or a Module"
        )
    return found


def model(name: str, seed: int | None) -> Module:
    """The model of this name, with weights drawn from ``seed`` or without any."""
    from minigraph import models

    try:
        return models.build(name, rng=seed)
    except ValueError as error:  # no such name
        message = str(error).removeprefix("build: ")
        raise UsageError(f"{message} (other targets are module:function or file.py:function)") from None


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        sys.path.insert(0, os.getcwd())
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name and (place + ".").startswith(error.name + "."):
                raise UsageError(f"there is no module {place}") from None
            raise
    path = Path(place)
    if not path.is_file():
        raise UsageError(f"there is no file {place}")
    sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _expect_no_arguments(target: str, function: Any) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise UsageError(f"{target}: {error}; wanted something to call without arguments") from None
    except ValueError:
        pass  # no signature to look at


def _called(target: str | None, function: Callable[[], Any]) -> Any:
    """``function()``; what goes wrong in the user's code is told in one line, with the place."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for this command's own results
            return function()
    except (Failure, KeyboardInterrupt):
        raise
    except BaseException as error:
        frames = [
            f"{frame.f_code.co_filename}:{line}"
            for frame, line in traceback.walk_tb(error.__traceback__)
            if frame.f_globals.get("__name__", "").split(".")[0] not in ("minigraph", "importlib")
        ]
        place = f" ({frames[-1]})" if frames else ""
        raise Failure(f"{target} raised {type(error).__name__}: {error}{place}") from error


# --- arguments ---------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    from minigraph import __version__

    parser = Parser(
        prog="minigraph", description="Computational graphs whose every node knows its Jacobian.",
        epilog="Exit status: 0 all is well, 1 a mismatch or a failure, 2 wrong usage, 130 interrupted, 141 broken pipe.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"minigraph {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(run: Callable[[argparse.Namespace], int], **options: Any) -> argparse.ArgumentParser:
        about = (run.__doc__ or "").strip()
        made = commands.add_parser(run.__name__.rstrip("_"), help=about, description=about, **options)
        made.set_defaults(run=run)
        return made

    def json_too(to: Any) -> None:
        to.add_argument("--json", action="store_true", help="print one JSON object instead")

    def seed_too(to: argparse.ArgumentParser) -> None:
        to.add_argument(
            "--seed", type=_whole(0), default=0, help="seed of the initial weights and the shuffling (default: 0)"
        )

    one = command(demo)
    seed_too(one)
    one.add_argument("--out", default="out", metavar="FOLDER", help="folder for the pictures (default: out)")
    one.add_argument("--epochs", type=_whole(1), metavar="N", help="passes over the training images")
    json_too(one)

    def target_too(to: argparse.ArgumentParser) -> None:
        to.add_argument("target", nargs="?", metavar="TARGET", help=TARGET)
        to.add_argument(
            "--input",
            type=_sides("1,3,224,224"),
            metavar="SHAPE",
            help="the input of a model, like 1,3,224,224 (default: its own)",
        )

    json_too(command(list_))

    one = command(summary)
    target_too(one)
    one.add_argument("--depth", type=_whole(1), metavar="N", help="fold scopes deeper than N names into one row")
    form = one.add_mutually_exclusive_group()
    form.add_argument("--human", action="store_true", help="print numbers like 2.7K and 34M")
    form.add_argument("--csv", action="store_true", help="print comma-separated values instead")
    json_too(form)

    one = command(draw)
    target_too(one)
    one.add_argument(
        "-o",
        "--output",
        default="graph.png",
        metavar="FILE",
        help="a .png, .svg, .pdf or .dot file (default: graph.png)",
    )
    one.add_argument(
        "--direction",
        choices=("TB", "LR", "BT", "RL"),
        default="TB",
        help="where the arrows point: down, right, up, left",
    )
    one.add_argument(
        "--lower", choices=("im2col", "toeplitz"), help="rewrite convolutions into products of matrices first"
    )
    for name, what in [
        ("edges", "the sizes of the Jacobians on the edges"),
        ("values", "short values"),
        ("gradients", "gradients"),
        ("scopes", "boxes around scopes"),
    ]:
        one.add_argument(f"--no-{name}", dest=name, action="store_false", help=f"leave out {what}")
    one.add_argument("--dpi", type=_whole(1), default=160, help="pixels per inch of a PNG (default: 160)")
    one.add_argument("--engine", choices=("pygraphviz", "dot"), help="what draws (default: the first that is there)")
    one.add_argument(
        "--timeout",
        type=_whole(1),
        default=10,
        metavar="SECONDS",
        help="time for the usual layout; then a cheaper one is taken (default: 10)",
    )
    one.set_defaults(seed=0)

    one = command(verify)
    target_too(one)
    seed_too(one)
    json_too(one)

    one = command(profile)
    one.add_argument("target", nargs="?", metavar="TARGET", help=TARGET)
    one.add_argument("--batch", type=_whole(1), metavar="N", help="images at once (default: 1)")
    one.add_argument(
        "--image", type=_sides("3,224,224"), metavar="SHAPE", help="each of them, like 3,224,224 (default: the model's)"
    )
    one.add_argument(
        "--repeats", type=_whole(1), default=5, metavar="N", help="calls to time of each node (default: 5)"
    )
    one.add_argument("--top", type=_whole(1), default=20, metavar="N", help="nodes to print, the slowest (default: 20)")
    one.add_argument("--draw", metavar="FILE", help="draw the graph, coloured by time: .png, .svg, .pdf or .dot")
    seed_too(one)
    json_too(one)

    json_too(command(doctor))
    return parser


def _whole(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"got {text!r}; wanted a whole number of at least {least}")
        return number

    return whole


def _sides(example: str) -> Callable[[str], Shape]:
    def sides(text: str) -> Shape:
        try:
            shape = tuple(int(side) for side in text.replace("×", ",").replace("x", ",").split(","))
        except ValueError:
            shape = ()
        if not shape or min(shape) < 1:
            raise argparse.ArgumentTypeError(f"got {text!r}; wanted a shape like {example}")
        return shape

    return sides
