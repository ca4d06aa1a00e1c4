"""What the commands about runs share: the model that a run's settings name."""

from __future__ import annotations

import inspect
import json
from typing import Any

from minigraph import models
from minigraph.cli.failure import UsageError
from minigraph.cli.target import resolve
from minigraph.nn import Module
from minigraph.train.settings import Settings


def build(settings: Settings, num_classes: int, channels: int) -> Module:
    """The model that settings name, without weights where it is a published one, for so many classes and channels."""
    if ":" in settings.target:
        if settings.model_options:
            raise UsageError("model_options are for the published models; a function of yours has its own")
        module = resolve(settings.target)
        if not isinstance(module, Module):
            raise UsageError(f"{settings.target} gave a {type(module).__name__}; wanted a Module to train")
        return module
    name = settings.target
    if name not in models.MODELS:
        resolve(name, abstract=True)  # raises the error that names similar models
    options = {"num_classes": num_classes, "in_channels": channels, **options_of(settings.model_options)}
    allowed = inspect.signature(models.MODELS[name]).parameters
    try:
        return models.build(name, **options)
    except TypeError as error:
        names = ", ".join(n for n, p in allowed.items() if p.kind is not p.VAR_KEYWORD)
        raise UsageError(f"{name}: {error}; its options are in docs/models.md ({names} and others)") from None


def options_of(text: str) -> dict[str, Any]:
    """The options in ``a=1,b=true``; values are JSON, or else text."""
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"got model_options {part!r}; wanted NAME=VALUE, separated by commas")
        try:
            options[name.strip()] = json.loads(value)
        except ValueError:
            options[name.strip()] = value
    return options
