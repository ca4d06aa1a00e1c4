"""Targets: the graph that a command looks at, as its arguments name it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigraph as mg
from minigraph.cli.failure import Failure, UsageError, say
from minigraph.maps import Shape
from minigraph.nn import Module
from minigraph.node import FLOATS, Node, Spec, constant
from minigraph.ops.loss import cross_entropy


def load(
    target: str | None, seed: int = 0, shape: Shape | None = None, abstract: bool = False, small: bool = False
) -> Node:
    """Return the Node that ``target`` names, or the output of its Module for an input of ``shape``: random, or ``abstract``.

    Without a ``shape``, a model gets an input of its published size, or with ``small`` of the smallest size it accepts.
    """
    model = resolve(target, seed, abstract)
    if small and not shape and hasattr(model, "least_side"):
        side = model.least_side()
        shape = (1, model.image[0], side, side)
        say(
            f"{target} is given an image of {'×'.join(map(str, shape[1:]))}, the smallest that it accepts (--input sets another)"
        )
    shape = input_shape(model, shape)
    if shape is None:
        assert isinstance(model, Node)
        return model
    return _output(target, model, shape, seed, abstract)


def load_loss(target: str | None, seed: int, batch: int | None, image: Shape | None) -> Node:
    """Return the Node that ``target`` names, or the cross-entropy of its Module for ``batch`` images and random labels."""
    found = resolve(target, seed)
    if isinstance(found, Node):
        if batch or image:
            raise UsageError("--batch and --image are for models; the target is a Node, whose input is fixed")
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


def _output(target: str | None, model: Any, shape: Shape, seed: int, abstract: bool = False) -> Node:
    """Return the output of the Module ``found`` for an input of ``shape``: random, or ``abstract``."""
    try:
        x = Spec(shape) if abstract else np.random.default_rng(seed).standard_normal(shape, np.float32)
    except (ValueError, OverflowError, MemoryError):
        raise Failure(f"got an input of shape {shape}; wanted one that fits the memory") from None
    y = called(target, lambda: model(constant(x, "input")))
    if not isinstance(y, Node):
        raise UsageError(f"{target} returned {type(y).__name__}; wanted a Node")
    return y


def input_shape(found: Any, shape: Shape | None) -> Shape | None:
    """Return the shape of the input for what was found; None for a Node, which needs no input."""
    if isinstance(found, Node):
        if shape:
            raise UsageError("--input is for models; the target is a Node, whose input is fixed")
        return None
    if not shape and not hasattr(found, "image"):
        raise UsageError(f"{type(found).__name__} needs an input; wanted --input, like --input 1,3,224,224")
    return shape or (1, *found.image)


def resolve(target: str | None, seed: int = 0, abstract: bool = False) -> Any:
    """Return the Node or Module that ``target`` names; for None the network of the lectures, with data or ``abstract``."""
    if target is None:
        from minigraph.cli.training import blueprint, few_digits

        return blueprint() if abstract else few_digits(seed)
    if target.endswith(".py") and os.path.isfile(target):
        raise UsageError(f"got the file {target}; add :NAME, the name of a function, Node or Module in it")
    if ":" not in target:
        return model(target, None if abstract else seed)
    place, _, name = target.rpartition(":")
    if not (place and name):
        raise UsageError(f"got target {target!r}; wanted module:function or file.py:function")
    module = called(target, lambda: _module(place))
    try:
        value: Any = module
        for part in name.split("."):
            value = getattr(value, part)
    except AttributeError:
        raise UsageError(f"{place} has no {name}") from None
    if callable(value) and not isinstance(value, Module):
        _expect_no_arguments(target, value)
        value = called(target, value)
    if not isinstance(value, (Node, Module)):
        raise UsageError(
            f"{target} gave {type(value).__name__}; wanted a Node (compute with mg.parameter or mg.constant) or a Module"
        )
    return value


def model(name: str, seed: int | None) -> Module:
    """Return the model of this name, with weights drawn from ``seed``, or without weights."""
    try:
        return mg.models.build(name, rng=seed)
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
        raise UsageError(f"{target}: {error}; wanted a function without arguments") from None
    except ValueError:
        pass  # it has no signature


def called(target: str | None, function: Callable[[], Any]) -> Any:
    """Return ``function()``; an error in the user's code is reported in one line, with its place."""
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
