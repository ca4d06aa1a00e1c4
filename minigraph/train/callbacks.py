"""Callbacks: progress, checkpoints, early stopping, files of the history, TensorBoard, statistics of layers."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.arguments import expect_integer, expect_positive
from minigraph.array import Array
from minigraph.files import remove_parts, write
from minigraph.nn import Module
from minigraph.node import GraphError, Node
from minigraph.train.checkpoint import expect_finite
from minigraph.train.trainer import Callback, Row, Trainer, batches_of

MAXIMA = ("top1", "top5")  # figures of which more is better


class Progress(Callback):
    """A line for each epoch on stderr, and where that is a terminal a tqdm bar over its steps; nothing with ``disable``."""

    def __init__(self, disable: bool | None = None) -> None:
        self.disable = disable
        self.bar: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        from tqdm.auto import tqdm

        size = batches_of(trainer.data)
        steps = None if size is None else -(-size // trainer.accumulate)
        self.bar = tqdm(total=steps, disable=self.disable, unit="step", mininterval=0.2, file=sys.stderr)
        self._begin(trainer)
        self.bar.update(trainer.batch // trainer.accumulate)

    def _begin(self, trainer: Trainer) -> None:
        self.bar.set_description(f"epoch {min(trainer.epoch + 1, trainer.epochs)}/{trainer.epochs}", refresh=False)

    def on_step_end(self, trainer: Trainer) -> None:
        if not self.bar.disable:
            self.bar.set_postfix_str(f"loss {trainer.last_loss:.3g}", refresh=False)
            self.bar.update()

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        if self.disable:
            return
        self.bar.write(describe(row), file=sys.stderr)
        if not self.bar.disable and trainer.epoch < trainer.epochs and not trainer.stop:
            self.bar.reset()
            self._begin(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.bar is not None:
            self.bar.close()


def describe(row: Row) -> str:
    """A row of the history in one line."""
    shown = [f"epoch {row['epoch']}"]
    for part in ("train", "validation"):
        if f"{part}_loss" in row:
            top1 = row.get(f"{part}_top1")
            shown.append(f"{part} loss {row[f'{part}_loss']:.4f}" + (f", top-1 {top1:.2%}" if top1 is not None else ""))
    return "; ".join([*shown, f"lr {row['lr']:.3g}", f"{row['seconds']:.1f} s"])


def monitored(row: Row, monitor: str | None) -> tuple[float, str]:
    """The figure of an epoch by which it is judged, less being better, and its name.

    Without a ``monitor``: validation_top1 where there is one, else the loss. Raises ValueError naming the figures there are.
    """
    name = monitor or next(n for n in ("validation_top1", "validation_loss", "train_loss") if n in row)
    if name not in row or not isinstance(row[name], (int, float)):
        raise ValueError(
            f"got monitor {name!r}; wanted one of {', '.join(k for k in row if k not in ('epoch', 'step'))}"
        )
    figure = float(row[name])
    return (-figure if name.endswith(MAXIMA) else figure), name


class Checkpoints(Callback):
    """Keeps ``last.safetensors``, a checkpoint to resume from, and ``best.safetensors``, the best weights, in a folder.

    The last is written after every epoch, every ``every`` steps or seconds if given, and when training ends. The best are the
    weights (averaged ones, if there are any) after the epoch with the best ``monitor``; ``model.load`` reads them.
    """

    def __init__(
        self,
        folder: Any,
        *,
        monitor: str | None = None,
        every_steps: int | None = None,
        every_seconds: float | None = None,
    ) -> None:
        if every_steps is not None:
            expect_integer("Checkpoints", 1, every_steps=every_steps)
        if every_seconds is not None:
            expect_positive("Checkpoints", zero=True, every_seconds=every_seconds)
        self.folder, self.monitor = Path(folder), monitor
        self.every_steps, self.every_seconds = every_steps, every_seconds
        self.best, self.due = math.inf, False
        self.written: tuple[int, int] | None = None  # the epoch and batch of the last checkpoint
        self.time = time.monotonic()

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("last", "best", "history"):  # of a process that was killed while it wrote
            remove_parts(self.folder / name)

    def on_step_end(self, trainer: Trainer) -> None:
        if self.every_steps is not None and trainer.step % self.every_steps == 0:
            self.due = True
        if self.every_seconds is not None and time.monotonic() - self.time >= self.every_seconds:
            self.due = True

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        figure, _ = monitored(row, self.monitor)
        self.due = True
        if figure < self.best:
            expect_finite(trainer)
            self.best = figure
            path = self.folder / "best.safetensors"
            if trainer.average:
                with trainer.average.applied():
                    trainer.model.save(path)
            else:
                trainer.model.save(path)

    def on_state_complete(self, trainer: Trainer) -> None:
        if self.due:
            self._write(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if trainer.stop and self.written != (trainer.epoch, trainer.batch):
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        trainer.save(self.folder / "last.safetensors")
        self.time, self.written, self.due = time.monotonic(), (trainer.epoch, trainer.batch), False

    def state_dict(self) -> dict[str, Any]:
        """The best figure so far."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.best = float(state["best"])


class EarlyStopping(Callback):
    """Ends training when ``monitor`` has not become better, by more than ``min_delta``, for ``patience`` epochs."""

    def __init__(self, patience: int = 10, *, monitor: str | None = None, min_delta: float = 0.0) -> None:
        expect_integer("EarlyStopping", 1, patience=patience)
        expect_positive("EarlyStopping", zero=True, min_delta=min_delta)
        self.patience, self.monitor, self.min_delta = patience, monitor, float(min_delta)
        self.best, self.waited = math.inf, 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        if self.waited >= self.patience:  # training that is resumed had ended
            trainer.stop = "it had ended already"

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        figure, name = monitored(row, self.monitor)
        self.waited += 1
        if figure < self.best - self.min_delta:
            self.best, self.waited = figure, 0
        if self.waited >= self.patience:
            trainer.stop = f"{name} has not become better for {self.patience} epochs"

    def state_dict(self) -> dict[str, Any]:
        """The best figure and how long ago it was."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.best, self.waited = float(state["best"]), int(state["waited"])


class HistoryFiles(Callback):
    """Writes the history as history.csv and history.jsonl in a folder, anew after every epoch."""

    def __init__(self, folder: Any) -> None:
        self.folder = Path(folder)

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        write_history(self.folder, trainer.history)


def write_history(folder: Any, history: Sequence[Row]) -> None:
    """Write history.csv and history.jsonl, a row for each epoch."""
    names = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    rows = csv.DictWriter(text, names, lineterminator="\n")
    rows.writeheader()
    rows.writerows(history)
    write(Path(folder) / "history.csv", text.getvalue().encode())
    write(Path(folder) / "history.jsonl", "".join(json.dumps(row) + "\n" for row in history).encode())


def read_history(path: Any) -> list[Row]:
    """The rows of a history.jsonl, or of the one in a run's folder. Raises ValueError for another file, naming the line."""
    path = Path(path)
    path = path / "history.jsonl" if path.is_dir() else path
    rows = []
    for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if (
            not isinstance(row, dict)
            or type(row.get("epoch")) is not int
            or not 0 <= row["epoch"] < 1 << 31
            or not all(type(value) in (int, float) and abs(value) < 1e300 for value in row.values())
        ):
            raise ValueError(
                f"{path}: line {i} is not a row of a history; wanted a JSON object of finite numbers, with an epoch"
            )
        rows.append(row)
    return rows


class TensorBoard(Callback):
    """Writes the loss of every step and the figures of every epoch as TensorBoard's events; needs tensorboardX."""

    def __init__(self, folder: Any) -> None:
        self.folder = Path(folder)
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ImportError("TensorBoard: it needs tensorboardX: pip install 'minigraph[tensorboard]'") from None
        self.writer: Any = SummaryWriter(str(self.folder))

    def on_step_end(self, trainer: Trainer) -> None:
        self.writer.add_scalar("step/loss", trainer.last_loss, trainer.step)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        for name, figure in row.items():
            if name not in ("epoch", "step"):
                self.writer.add_scalar(name.replace("_", "/", 1), figure, row["step"])

    def on_fit_end(self, trainer: Trainer) -> None:
        self.writer.close()


class Statistics(Callback):
    """Every ``every`` steps, of each layer: deviation of its output, norms of weight and gradient, size of the update.

    ``rows`` has a row {"step", "layer", "activation_std", "weight_norm", "gradient_norm", "update_ratio"} for each layer with
    parameters, to be drawn by ``mg.plot.statistics``. update_ratio = ‖change of the weight‖ / ‖weight‖.
    """

    def __init__(self, every: int = 50) -> None:
        expect_integer("Statistics", 1, every=every)
        self.every, self.rows = every, list[Row]()
        self._before: dict[str, tuple[Row, Array]] = {}

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.rows = list(state["rows"])

    def on_loss(self, trainer: Trainer, loss: Node) -> None:
        if trainer.step % self.every:
            return
        self._before.clear()
        for path, module in weighted(trainer.model):
            row: Row = {"step": trainer.step, "layer": path}
            try:
                row["activation_std"] = float(np.std(loss.find(path.replace(".", "/")).value, dtype=np.float64))
            except (KeyError, GraphError):  # a layer that this loss does not depend on
                continue
            w = np.array(vars(module)["weight"].value)
            self._before[path] = (row, w)

    def on_gradients(self, trainer: Trainer) -> None:
        modules = dict(weighted(trainer.model))
        for path, (row, _) in self._before.items():
            g = vars(modules[path])["weight"].grad
            row["gradient_norm"] = 0.0 if g is None else float(np.linalg.norm(np.ravel(g)))

    def on_step_end(self, trainer: Trainer) -> None:
        modules = dict(weighted(trainer.model))
        for path, (row, w) in self._before.items():
            norm = float(np.linalg.norm(w.ravel()))
            change = float(np.linalg.norm((modules[path].weight.value - w).ravel()))  # type: ignore[attr-defined]
            row |= {"weight_norm": norm, "update_ratio": change / norm if norm else math.nan}
            self.rows.append(row)
        self._before.clear()


def weighted(model: Module) -> list[tuple[str, Module]]:
    """The modules that have a weight, by path."""
    return [(path, m) for path, m in model.named_modules() if isinstance(vars(m).get("weight"), Node)]
