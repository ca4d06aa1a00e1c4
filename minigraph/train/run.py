"""A run: training by settings, in a folder that has all that is needed to resume, repeat, evaluate and use it.

config.toml          the settings; ``minigraph train --repeat RUN`` trains by them again
environment.json     versions of Python, NumPy, SciPy and minigraph, and the machine
preprocessing.json   classes, and how images are prepared
history.csv, .jsonl  a row for each epoch
last.safetensors     the checkpoint to resume from
best.safetensors     the weights of the best epoch
evaluation.json      the figures of these weights on the images held out
pictures/            curves, the confusion of classes, filters, mistakes; drawn by the command
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from minigraph.array import Array
from minigraph.data import Loader, Split, load, split, transforms
from minigraph.files import write
from minigraph.kernels.numpy.threads import threads
from minigraph.models.model import Model
from minigraph.nn import Module
from minigraph.nn.state import read
from minigraph.node import Spec
from minigraph.train import checkpoint
from minigraph.train.augmentation import augmentation
from minigraph.train.callbacks import Checkpoints, EarlyStopping, HistoryFiles, Progress, Statistics, TensorBoard
from minigraph.train.fitting import make_trainer
from minigraph.train.metrics import Evaluation, evaluate, scores_of
from minigraph.train.settings import Settings, gathered, read_toml
from minigraph.train.trainer import Callback, Row, Trainer

Build = Callable[[Settings, int, int], Module]  # the model for these settings, classes, and channels, without weights
MAX_PADDING = 4  # pixels by which images are padded rather than resized to a model's least side


class Run:
    """Training by settings: data, model, trainer; ``train(folder)`` trains, and writes all files but the pictures.

    Raises ValueError where settings, data and model do not fit, before anything is written.
    """

    def __init__(self, settings: Settings, build: Build, version: str = "") -> None:
        self.settings, self.version = settings, version
        self.data = held_out(load(settings.data), settings)
        self.classes = self.data.classes or tuple(
            map(str, range(int(max(self.data.y_train.max(), self.data.y_test.max())) + 1))
        )
        channels = self.data.x_train.shape[1]
        self.model = build(settings, len(self.classes), channels)
        self.preprocessing = preprocessing(settings, self.data, self.model, self.classes)
        self._check_model()
        self.model.initialize(settings.seed)
        self.drawn: list[str] = []  # weights that the file to begin with did not have
        if settings.weights:
            self.drawn = load_weights(self.model, settings.weights)
        frozen(self.model, settings.freeze)
        self.batches, self.validation = self._loaders()
        self.statistics = Statistics() if settings.statistics else None
        self.trainer = self._trainer()

    def _check_model(self) -> None:
        first = prepare(self.preprocessing, self.data.x_train[np.arange(1)])
        output = self.model(Spec((2, *first.shape[1:])))
        scores = scores_of(output)
        if scores.ndim != 2 or scores.shape[1] < len(self.classes):
            raise ValueError(
                f"{type(self.model).__name__} gives {scores.shape[1:]}; wanted scores for {len(self.classes)} classes"
            )
        self.outputs = scores.shape[1]

    def _loaders(self) -> tuple[Loader, Loader]:
        s, prepared = self.settings, transform_of(self.preprocessing)
        changes, last = augmentation(s.augment, self.outputs)
        if s.label_smoothing:
            last.append(transforms.LabelSmoothing(self.outputs, s.label_smoothing))
        before, after = prepared.transforms[:-1], prepared.transforms[-1:]  # normalisation comes after colours change
        train = Loader(
            self.data.x_train, self.data.y_train, s.batch_size, shuffle=True, balanced=s.balanced,
            transform=[*before, *changes, *after, *last], rng=s.seed, num_workers=s.workers,
        )  # fmt: skip
        held = Loader(
            self.data.x_test, self.data.y_test, max(s.batch_size, 64), transform=prepared, num_workers=s.workers
        )
        return train, held

    def _trainer(self) -> Trainer:
        s, model = self.settings, self.model
        return make_trainer(
            model, self.batches, epochs=s.epochs, optimizer=s.optimizer, lr=s.lr, momentum=s.momentum,
            weight_decay=s.weight_decay, nesterov=s.nesterov, schedule=s.schedule, warmup=s.warmup, step_size=s.step_size,
            gamma=s.gamma, accumulate=s.accumulate, clip_norm=s.clip_norm, average=s.average,
        )  # fmt: skip

    def train(
        self, folder: Any, resume: bool = False, progress: bool | None = None, callbacks: Sequence[Callback] = ()
    ) -> list[Row]:
        """Train, or go on from the folder's last checkpoint; returns the history.

        Raises FileExistsError for a folder with a run in it, unless it is to be resumed.
        """
        folder, s = Path(folder), self.settings
        if not resume and (folder / "config.toml").exists():
            raise FileExistsError(f"{folder} has a run in it; resume it, or name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        if s.threads is not None:
            threads(s.threads)
        last = checkpoint.latest(folder) if resume else None
        if not last:
            self._describe(folder)
        kept: list[Callback] = [
            Checkpoints(folder, monitor=s.monitor, every_seconds=s.checkpoint_seconds),
            HistoryFiles(folder),
        ]
        others = [
            EarlyStopping(s.patience, monitor=s.monitor) if s.patience else None,
            self.statistics, TensorBoard(folder / "events") if s.tensorboard else None,
        ]  # fmt: skip
        shown = Progress(None if progress is None else not progress)
        self.trainer.callbacks = [*callbacks, *filter(None, others), *kept, shown]
        if last:
            self.trainer.load(last)
        history = self.trainer.fit(self.batches, s.epochs, self.validation)
        best = folder / "best.safetensors"
        if best.exists():
            self.model.load(best)
        self.evaluation = evaluate(self.model, self.validation, classes=self.classes)
        write_json(folder / "evaluation.json", {**self.evaluation.to_dict(), "classes": list(self.classes)})
        return history

    def _describe(self, folder: Path) -> None:
        """Write what the run can be repeated by."""
        write(folder / "config.toml", self.settings.to_toml().encode())
        write_json(folder / "environment.json", environment(self.version))
        write_json(folder / "preprocessing.json", self.preprocessing)


def held_out(data: Split, settings: Settings) -> Split:
    """The data, with a part of the training images held out where there is no test part."""
    if len(data.x_test):
        return data
    if not settings.holdout:
        raise ValueError(f"{settings.data} has no test part; wanted holdout above 0")
    (x, y), (x_test, y_test) = split(data.x_train, data.y_train, settings.holdout, settings.seed)
    return Split(x, y, x_test, y_test, data.classes)


def preprocessing(settings: Settings, data: Split, model: Module, classes: Sequence[str]) -> dict[str, Any]:
    """How images are prepared: classes, channels, padding, size, mean and deviation, as JSON."""
    C, *sides = data.x_train.shape[1:]
    padding, size = fitting_size(settings, model, tuple(sides))
    prepared: dict[str, Any] = {
        "classes": list(classes),
        "channels": C,
        "picture": list(sides),
        "padding": padding,
        "size": size,
    }
    prepared |= {"mean": [0.0] * C, "std": [1.0] * C}
    if settings.normalize:
        sample = data.x_train[np.linspace(0, len(data.x_train) - 1, min(len(data.x_train), 5000)).astype(int)]
        found = transforms.Normalize.fit(prepare(prepared, sample))
        prepared |= {"mean": found.mean.tolist(), "std": found.std.tolist()}
    return prepared


def fitting_size(settings: Settings, model: Module, sides: tuple[int, ...]) -> tuple[int, list[int] | None]:
    """By how many pixels images are padded, and the size that they are resized to, so that the model takes them."""
    if settings.size:
        return 0, [settings.size, settings.size]
    if not isinstance(model, Model):
        return 0, None
    least, most = model.least_side(2), model.most_side(2)
    missing = least - min(sides)
    if 0 < missing <= MAX_PADDING and missing % 2 == 0 and sides[0] == sides[1]:
        return missing // 2, None
    if missing > 0 or (most and max(sides) > most):
        side = least if missing > 0 else most
        return 0, [side, side]  # type: ignore[list-item]
    return 0, None


def transform_of(prepared: dict[str, Any]) -> transforms.Compose:
    """The transforms that prepare images; normalisation is the last."""
    steps: list[Any] = []
    if prepared["size"]:
        steps.append(transforms.Resize(tuple(prepared["size"])))
    if prepared["padding"]:
        steps.append(transforms.Pad(prepared["padding"]))
    return transforms.Compose([*steps, transforms.Normalize(prepared["mean"], prepared["std"])])


def prepare(prepared: dict[str, Any], x: Any) -> Array:
    """Images as the model takes them."""
    return transform_of(prepared)(transforms.as_floats(x), None)[0]


def load_weights(model: Module, path: str) -> list[str]:
    """Load all weights that fit by name and shape; returns the names that stayed as they were drawn.

    Raises ValueError if nothing fits.
    """
    own, given = model.state_dict(), read(path)
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise ValueError(f"{path}: no weight fits {type(model).__name__} by name and shape")
    model.load_state_dict(fitting, strict=False)
    return [name for name in own if name not in fitting]


def frozen(model: Module, parts: str) -> None:
    """Freeze the parameters in these parts. Raises ValueError for a part that is none, and if nothing is left to learn."""
    names = dict(model.named_parameters())
    for part in filter(None, parts.replace(" ", "").split(",")):
        inside = [p for name, p in names.items() if f"{name}.".startswith(f"{part}.")]
        if not inside:
            raise ValueError(
                f"got freeze {part!r}; wanted parts of the model, such as {', '.join(dict.fromkeys(n.split('.')[0] for n in names))}"
            )
        for p in inside:
            p.requires_grad = False
    if not any(p.requires_grad for p in names.values()):
        raise ValueError(f"got freeze {parts!r}, which is the whole model; wanted something left to learn")


def environment(version: str) -> dict[str, Any]:
    """What the run was computed with."""
    return {
        "minigraph": version, "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
        "system": platform.system(), "machine": platform.machine(), "processors": os.cpu_count(), "threads": threads(),
        "arguments": sys.argv[1:],
    }  # fmt: skip


def write_json(path: Path, content: Any) -> None:
    """Write JSON, atomically."""
    write(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


# --- what others read in a run's folder --------------------------------------------------------------------


def settings_of(folder: Any, changes: dict[str, Any] | None = None) -> Settings:
    """The settings of a run, with changes. Raises FileNotFoundError for a folder without a run."""
    path = Path(folder) / "config.toml"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no run: it has no config.toml")
    return gathered(read_toml(path), changes or {})


def preprocessing_of(folder: Any) -> dict[str, Any]:
    """How a run prepares images. Raises ValueError for a file that is damaged."""
    path = Path(folder) / "preprocessing.json"
    try:
        prepared = json.loads(path.read_text(encoding="utf-8"))
        transform_of(prepared)
        if not isinstance(prepared["classes"], list):
            raise TypeError
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged: {error}") from None
    return prepared  # type: ignore[no-any-return]


def model_of(folder: Any, build: Build, weights: str = "best") -> Module:
    """The model of a run, with its best or its last weights, in inference mode."""
    folder, prepared = Path(folder), preprocessing_of(folder)
    model = build(settings_of(folder), len(prepared["classes"]), prepared["channels"])
    path = folder / f"{weights}.safetensors"
    if weights == "last":
        state = {n.removeprefix("model."): v for n, v in read(path).items() if n.startswith("model.")}
        model.load_state_dict(state)
    else:
        model.load(path)
    return model.eval()


def evaluated(folders: Sequence[Any], build: Build, data: str | None = None, weights: str = "best", crops: int = 1,
              size: int | None = None) -> Evaluation:  # fmt: skip
    """The models of these runs, together, on the images held out by the first, or on the test images of other data."""
    models = [model_of(folder, build, weights) for folder in folders]
    prepared = [preprocessing_of(folder) for folder in folders]
    first = prepared[0]
    for folder, other in zip(folders, prepared, strict=True):
        differing = [key for key in first if key != "picture" and other[key] != first[key]]
        if differing:
            raise ValueError(
                f"{folder}: its {differing[0]} is another than that of {folders[0]}; wanted runs with the same data"
            )
    settings = settings_of(folders[0], {"data": data} if data else None)
    found = load(settings.data)
    found = found if data and not len(found.x_test) else held_out(found, settings)
    x, y = (found.x_test, found.y_test) if len(found.x_test) else (found.x_train, found.y_train)
    if x.shape[1] != first["channels"]:
        raise ValueError(f"got images of {x.shape[1]} channels; wanted {first['channels']}")
    loader = Loader(x, y, 64, transform=transform_of(first))
    return evaluate(models, loader, crops=crops, size=size, classes=first["classes"])


def same_settings(a: Settings, b: Settings, but: Sequence[str]) -> list[str]:
    """The options in which two settings differ, other than ``but``."""
    ours, theirs = asdict(a), asdict(b)
    return [name for name in ours if name not in but and ours[name] != theirs[name]]
