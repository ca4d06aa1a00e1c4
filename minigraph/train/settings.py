"""Settings of a run: all options with their defaults, from a TOML file, from a published recipe, or from the command line."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from minigraph.arguments import known
from minigraph.train.fitting import OPTIMIZERS, SCHEDULES

MONITORED = ("validation_top1", "validation_top5", "validation_loss", "train_loss", "train_top1")


def option(default: Any, text: str, choices: Any = None) -> Any:
    """A field with its help."""
    return field(default=default, metadata={"help": text, "choices": tuple(choices) if choices else None})


@dataclass
class Settings:
    """The options of a run. Raises ValueError for values out of range, and for unknown names, listing the known ones."""

    target: str = option("", "the network: the name of a model, or module:function or file.py:function")
    data: str = option("digits", "digits, or mnist:PATH, idx:PATH, cifar10:PATH, cifar100:PATH, npz:PATH, folder:PATH")
    model_options: str = option("", "options of the model's function, as modern=true,dropout=0.2")
    weights: str | None = option(None, "a .safetensors file of weights to begin with; what does not fit is drawn anew")
    freeze: str = option("", "parts of the model that are not trained, as features,fc1")
    epochs: int = option(10, "passes over the training images")
    batch_size: int = option(32, "images in a batch")
    accumulate: int = option(1, "batches whose mean gradient makes one step")
    optimizer: str = option("sgd", "the optimizer", OPTIMIZERS)
    lr: float = option(0.01, "the learning rate at its highest")
    momentum: float = option(0.9, "of sgd and rmsprop")
    nesterov: bool = option(False, "Nesterov's momentum")
    weight_decay: float = option(0.0, "decay of weights; biases and normalisation do not decay")
    clip_norm: float | None = option(None, "the largest norm of the gradient")
    schedule: str = option("cosine", "how the learning rate changes", SCHEDULES)
    warmup: int = option(0, "epochs in which the learning rate rises first; not for onecycle and plateau")
    step_size: int | None = option(
        None, "epochs between two reductions (step), or without progress before one (plateau)"
    )
    gamma: float = option(0.1, "the factor of a reduction; of all epochs together for exponential")
    average: float | None = option(None, "the decay of averaged weights, as 0.999")
    augment: str = option("", "transforms of training images, as crop:4,flip,affine:10,jitter:0.2,cutout:8,mixup:0.2")
    label_smoothing: float = option(0.0, "the share of each label that goes to all classes")
    normalize: bool = option(True, "subtract the mean of each channel, divide by its deviation")
    size: int | None = option(
        None, "the side that images are resized to; else padded or resized only if the model needs it"
    )
    holdout: float = option(0.2, "the share of images held out where the data have no test part")
    balanced: bool = option(False, "draw all classes equally often")
    patience: int | None = option(None, "epochs without progress after which training ends")
    monitor: str | None = option(None, "the metric that tells the best epoch; validation_top1 unless given", MONITORED)
    seed: int = option(0, "seed of the weights and of all that is drawn")
    threads: int | None = option(None, "threads of the kernels; results do not depend on it")
    workers: int = option(1, "threads that prepare batches; results do not depend on it")
    checkpoint_seconds: float = option(60.0, "seconds between checkpoints within an epoch")
    statistics: bool = option(False, "record the statistics of each layer")
    tensorboard: bool = option(False, "also write TensorBoard's events")
    pictures: bool = option(True, "draw pictures at the end")

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for f in fields(self):
            setattr(self, f.name, converted(f.name, getattr(self, f.name), hints[f.name]))
            if f.metadata["choices"] and getattr(self, f.name) is not None:
                known(f.name, getattr(self, f.name), f.metadata["choices"])
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("accumulate", 1),
            ("warmup", 0),
            ("seed", 0),
            ("workers", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"got {name} {getattr(self, name)}; wanted at least {least}")
        for name in ("patience", "step_size", "threads", "size"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"got {name} {value}; wanted at least 1")
        for name in ("clip_norm", "checkpoint_seconds", "lr", "gamma", "weight_decay"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise ValueError(f"got {name} {value}; wanted at least 0")
        for name in ("holdout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"got {name} {getattr(self, name)}; wanted a number from 0 to less than 1")

    def to_toml(self) -> str:
        """The settings as TOML, each with its help; options that are not set are comments."""
        lines = []
        for f in fields(self):
            value = getattr(self, f.name)
            shown = (
                f"# {f.name} = (not set)" if value is None else f"{f.name} = {json.dumps(value, ensure_ascii=False)}"
            )
            lines.append(f"{shown}  # {f.metadata['help']}")
        return "\n".join(lines) + "\n"


NAMES = tuple(f.name for f in fields(Settings))


def converted(name: str, value: Any, hint: Any) -> Any:
    """``value`` as the type of the option. Raises ValueError if it is another."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if value is None and type(None) in kinds:
        return None
    kind = kinds[0]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        named = {bool: "true or false", int: "an integer", float: "a finite number", str: "a text"}[kind]
        raise ValueError(f"got {name} {value!r}; wanted {named}")
    return value


def read_toml(path: Any) -> dict[str, Any]:
    """The options in a TOML file. Raises ValueError for one that is damaged and for unknown options, naming close ones."""
    try:
        options = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no TOML file: {error}") from None
    for name in options:
        try:
            known("option", name, NAMES)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return options


def gathered(*sources: Mapping[str, Any]) -> Settings:
    """Settings of several sources, the later ones before the earlier."""
    return Settings(**{name: value for source in sources for name, value in source.items()})
