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
import warnings
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
from minigraph.nn import Module
from minigraph.nn.state import read, read_metadata
from minigraph.node import Spec
from minigraph.train import checkpoint
from minigraph.train.augmentation import augmentation
from minigraph.train.callbacks import Checkpoints, EarlyStopping, HistoryFiles, Progress, Statistics, TensorBoard
from minigraph.train.fitting import make_trainer
from minigraph.train.metrics import Evaluation, evaluate, scores_of
from minigraph.train.preprocessing import Preprocessing
from minigraph.train.settings import Settings, gathered, read_toml
from minigraph.train.trainer import Callback, Row, Trainer

Build = Callable[[Settings, int, int], Module]  # the model for these settings, classes, and channels, without weights


class Run:
    """Training by settings: data, model, trainer; ``train(folder)`` trains, and writes all files but the pictures.

    Raises ValueError where settings, data and model do not fit, before anything is written.
    """

    def __init__(self, settings: Settings, build: Build, version: str = "") -> None:
        self.settings, self.version = settings, version
        self.data = held_out(read_data(settings), settings)
        self.classes = self.data.classes or tuple(
            map(str, range(int(max(self.data.y_train.max(), self.data.y_test.max())) + 1))
        )
        channels = self.data.x_train.shape[1]
        self.model = build(settings, len(self.classes), channels)
        self.preprocessing = Preprocessing.fit(self.data, self.model, self.classes, settings.size, settings.normalize)
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
        first = self.preprocessing(self.data.x_train[np.arange(1)])
        output = self.model(Spec((2, *first.shape[1:])))
        scores = scores_of(output)
        if scores.ndim != 2 or scores.shape[1] < len(self.classes):
            raise ValueError(
                f"{type(self.model).__name__} gives {scores.shape[1:]}; wanted scores for {len(self.classes)} classes"
            )
        self.outputs = scores.shape[1]

    def _loaders(self) -> tuple[Loader, Loader]:
        s, prepared = self.settings, self.preprocessing.transform
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

        Raises FileExistsError for a folder with a checkpoint in it, unless it is to be resumed.
        """
        folder, s = Path(folder), self.settings
        if not resume and checkpoint.latest(folder):
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
        before = self.trainer.step
        history = self.trainer.fit(self.batches, s.epochs, self.validation)
        self.steps = self.trainer.step - before
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
        write_json(folder / "preprocessing.json", self.preprocessing.to_dict())
        source = source_of(self.settings.target)
        if source:
            write(folder / "network.py", source.read_bytes())


def read_data(settings: Settings) -> Split:
    """The data of a run; pictures in folders are read in the size that is wanted, since theirs may differ."""
    in_folders = settings.data.startswith("folder:") and settings.size
    return load(settings.data, **({"size": settings.size} if in_folders else {}))


def source_of(target: str) -> Path | None:
    """The file of a network of the user's own, ``file.py:function``."""
    path = Path(target.rpartition(":")[0])
    return path if path.suffix == ".py" and path.is_file() else None


def held_out(data: Split, settings: Settings) -> Split:
    """The data, with a part of the training images held out where there is no test part."""
    if len(data.x_test):
        return data
    if not settings.holdout:
        raise ValueError(f"{settings.data} has no test part; wanted holdout above 0")
    (x, y), (x_test, y_test) = split(data.x_train, data.y_train, settings.holdout, settings.seed)
    return Split(x, y, x_test, y_test, data.classes)


def weights_in(path: Any) -> dict[str, Array]:
    """The weights in a file of weights, or in a checkpoint."""
    arrays = read(path)
    inside = {name.removeprefix("model."): value for name, value in arrays.items() if name.startswith("model.")}
    return inside if "minigraph" in read_metadata(path) else arrays


def load_weights(model: Module, path: str) -> list[str]:
    """Load all weights that fit by name and shape; returns the names that stayed as they were drawn.

    Raises ValueError if nothing fits.
    """
    own, given = model.state_dict(), weights_in(path)
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


def model_of(folder: Any, build: Build, weights: str = "best") -> Module:
    """The model of a run, with its best or its last weights, in inference mode."""
    folder, settings = Path(folder), settings_of(folder)
    prepared = Preprocessing.read(folder)
    model = build(settings, len(prepared.classes), prepared.channels)
    source, copy = source_of(settings.target), folder / "network.py"
    if source and copy.is_file() and source.read_bytes() != copy.read_bytes():
        warnings.warn(f"{source} has changed since the run, which keeps its own as {copy}", stacklevel=2)
    model.load_state_dict(weights_in(folder / f"{weights}.safetensors"))
    return model.eval()


def evaluated(folders: Sequence[Any], build: Build, data: str | None = None, weights: str = "best", crops: int = 1,
              size: int | None = None) -> Evaluation:  # fmt: skip
    """The models of these runs, together, on the images held out by the first, or on the test images of other data."""
    models = [model_of(folder, build, weights) for folder in folders]
    prepared = [Preprocessing.read(folder) for folder in folders]
    first = prepared[0]
    for folder, other in zip(folders, prepared, strict=True):
        theirs = other.to_dict()
        differing = [name for name, value in first.to_dict().items() if name != "picture" and theirs[name] != value]
        if differing:
            raise ValueError(f"{folder} and {folders[0]} differ in {differing[0]}; wanted runs with the same data")
    settings = settings_of(folders[0], {"data": data} if data else None)
    found = read_data(settings)
    found = found if data and not len(found.x_test) else held_out(found, settings)
    x, y = (found.x_test, found.y_test) if len(found.x_test) else (found.x_train, found.y_train)
    if x.shape[1] != first.channels:
        raise ValueError(f"got images of {x.shape[1]} channels; wanted {first.channels}")
    return evaluate(models, Loader(x, y, 64, transform=first.transform), crops=crops, size=size, classes=first.classes)


def same_settings(a: Settings, b: Settings, but: Sequence[str]) -> list[str]:
    """The options in which two settings differ, other than ``but``."""
    ours, theirs = asdict(a), asdict(b)
    return [name for name in ours if name not in but and ours[name] != theirs[name]]
