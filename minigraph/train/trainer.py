"""Trainer: the training loop. Everything that is not the loop is a callback."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from minigraph.arguments import expect_integer, expect_positive, known
from minigraph.array import Array
from minigraph.data import Loader
from minigraph.data.transforms import as_floats
from minigraph.nn import Module
from minigraph.node import Node
from minigraph.optim import ExponentialMovingAverage, Optimizer, clip_grad_norm_
from minigraph.optim.lr_scheduler import LRScheduler
from minigraph.tape import Tape
from minigraph.train import checkpoint
from minigraph.train.metrics import Evaluation, classification_loss, evaluate, scores_of

Row = dict[str, Any]


class Callback:
    """What a trainer calls on its way. A callback with a state keeps it in checkpoints, by the name of its class.

    Raises TypeError for a subclass with a method on_… that is never called.
    """

    def __init_subclass__(cls) -> None:
        for name in vars(cls):
            if name.startswith("on_") and not hasattr(Callback, name):
                known("callback method", name, [n for n in vars(Callback) if n.startswith("on_")], TypeError)

    def state_dict(self) -> dict[str, Any]:
        """What the callback goes on from when training is resumed."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first step, or the first after resuming."""

    def on_loss(self, trainer: Trainer, loss: Node) -> None:
        """Before each backward walk: the graph of the loss is still there."""

    def on_gradients(self, trainer: Trainer) -> None:
        """Before each step of the optimizer: ``grad`` of the parameters is what it will use."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After each step of the optimizer."""

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """After each epoch and its validation; ``row`` is its row of the history."""

    def on_state_complete(self, trainer: Trainer) -> None:
        """After all callbacks have seen the end of a step or of an epoch: a checkpoint that is saved here has their states."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last step, also where training was stopped, interrupted or failed."""


def batches_of(data: Iterable[Any]) -> int | None:
    """The number of batches of an epoch, None for data that do not say."""
    return len(data) if isinstance(data, Sized) else None


class Trainer:
    """Trains ``model`` with ``optimizer``: for each batch (x, y) a step down the gradient of loss(model(x), y).

    ``scheduler`` is stepped after every epoch, or every step if its ``interval`` says so. ``accumulate`` batches make one
    step, with the mean of their gradients; ``clip_norm`` limits its norm. ``average``, an ExponentialMovingAverage, follows
    the weights, and is what is validated. ``history`` has a row for each epoch.

    Ctrl-C ends training after the current step: callbacks save what was learned, then KeyboardInterrupt is raised.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        *,
        loss: Callable[[Any, Any], Any] = classification_loss,
        scheduler: LRScheduler | None = None,
        accumulate: int = 1,
        clip_norm: float | None = None,
        average: ExponentialMovingAverage | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        for name, value, kind in (("model", model, Module), ("optimizer", optimizer, Optimizer)):
            if not isinstance(value, kind):
                raise TypeError(f"Trainer: got {type(value).__name__} as the {name}; wanted an {kind.__name__}")
        if not {*optimizer.params} & {*model.parameters()}:
            raise ValueError(
                "Trainer: got an optimizer without any parameter of the model; wanted model.parameters() in it"
            )
        if scheduler is not None and scheduler.optimizer is not optimizer:
            raise ValueError("Trainer: got a schedule of another optimizer; wanted one of this")
        expect_integer("Trainer", 1, accumulate=accumulate)
        if clip_norm is not None:
            expect_positive("Trainer", clip_norm=clip_norm)
        self.model, self.optimizer, self.loss, self.scheduler = model, optimizer, loss, scheduler
        self.accumulate, self.clip_norm, self.average = accumulate, clip_norm, average
        self.callbacks = list(callbacks)
        self.epoch = 0  # epochs that are complete
        self.batch = 0  # batches of the present epoch that are done
        self.step = 0  # steps of the optimizer
        self.last_loss = math.nan  # of the last step
        self.history: list[Row] = []
        self.evaluation: Evaluation | None = None  # of the last validation
        self.stop: str | None = None  # set by a callback: why training shall end after this step
        self.seconds = 0.0
        self.settings: dict[str, Any] = {}  # what training was set up by; a checkpoint has to have the same
        self._sums = np.zeros(3)  # of this epoch: loss, hits, images
        self.data: Iterable[Any] = ()
        self.epochs = 0
        self._seed: int | None = None  # of the loader, from a checkpoint
        self._batches_before: int | None = None  # of an epoch, from a checkpoint

    def fit(self, data: Iterable[Any], epochs: int, validation: Iterable[Any] | None = None) -> list[Row]:
        """Train until ``epochs`` epochs are complete, those before a checkpoint included; returns the history.

        ``data``: a Loader, or any iterable of batches (x, y) that can be iterated anew for each epoch. Raises ValueError
        for data without batches, or fewer than they say; FloatingPointError naming the step and the first bad node when
        the loss is not finite.
        """
        expect_integer("fit", 1, epochs=epochs)
        self.data, self.epochs, self.stop = data, epochs, None
        if self.batch and self._batches_before not in (None, batches_of(data)):
            raise ValueError(
                f"fit: got data of {batches_of(data)} batches; wanted {self._batches_before}, as before the checkpoint"
            )
        if isinstance(data, Loader) and self._seed is not None:
            data.seed = self._seed
        with self._interruptible():
            try:
                self._call("on_fit_begin")
                while self.epoch < epochs and not self.stop:
                    self._run_epoch(validation)
            except BaseException:
                self.stop = None  # in the middle of a step: callbacks must not save what is half done
                self.optimizer.zero_grad()
                raise
            finally:
                self._call("on_fit_end")
        if self.stop == "interrupted":
            raise KeyboardInterrupt
        return self.history

    def _run_epoch(self, validation: Iterable[Any] | None) -> None:
        begin = time.perf_counter() - self.seconds
        self.model.train()
        batches = self._batches()
        while group := list(islice(batches, self.accumulate)):
            self.learn(group)
            self.batch += len(group)
            self.seconds = time.perf_counter() - begin
            self._call("on_step_end")
            self._call("on_state_complete")
            if self.stop:
                return
        loss, hits, images = self._sums
        row: Row = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "lr": self.optimizer.lr,
            "train_loss": float(loss / images),
        }
        if not math.isnan(hits):
            row["train_top1"] = float(hits / images)
        if validation is not None:
            row |= {f"validation_{name}": figure for name, figure in self.validate(validation).figures().items()}
        if self.scheduler and self.scheduler.needs_figure:
            self.scheduler.step(row.get("validation_loss", row["train_loss"]))  # type: ignore[call-arg]
        elif self.scheduler and self.scheduler.interval == "epoch":
            self.scheduler.step()
        row["seconds"] = round(time.perf_counter() - begin, 3)
        self.history.append(row)
        self.epoch, self.batch, self.seconds = self.epoch + 1, 0, 0.0
        self._sums = np.zeros(3)
        self._call("on_epoch_end", row)
        self._call("on_state_complete")

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        """The batches of the present epoch that are not done."""
        data, count = self.data, self.batch
        size = batches_of(data)
        source = data.batches(self.epoch, count) if isinstance(data, Loader) else islice(iter(data), count, None)
        for pair in source:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise TypeError(f"fit: got {type(pair).__name__} as batch {count} of the data; wanted pairs (x, y)")
            count += 1
            yield pair[0], pair[1]
        if not count or (size is not None and count < size):
            raise ValueError(
                f"fit: the data ended after {count} batches of epoch {self.epoch + 1}; wanted "
                + (f"{size}" if size else "at least one, each time that it is iterated (a list, not a generator)")
            )

    def learn(self, batches: Sequence[tuple[Any, Any]]) -> None:
        """One step of the optimizer with the mean gradient of these batches."""
        for x, y in batches:
            output = self.model(as_floats(x))
            loss = self.loss(output, y)
            value = float(loss.value)
            if not math.isfinite(value):
                raise FloatingPointError(self._not_finite(loss))
            self._count(value, output, y)
            for callback in self.callbacks:
                callback.on_loss(self, loss)
            loss.backward()
            del loss, output
        if len(batches) > 1:
            for p in self.optimizer.params:
                if p.grad is not None:
                    p.grad = p.grad / len(batches)
        if self.clip_norm is not None:
            clip_grad_norm_(self.optimizer.params, self.clip_norm)
        self._call("on_gradients")
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average:
            self.average.update()
        self.step, self.last_loss = self.step + 1, value
        if self.scheduler and self.scheduler.interval == "step":
            self.scheduler.step()

    def validate(self, data: Iterable[Any]) -> Evaluation:
        """Evaluate the model, with averaged weights if there are any."""
        if self.average:
            with self.average.applied():
                self.evaluation = evaluate(self.model, data)
        else:
            self.evaluation = evaluate(self.model, data)
        return self.evaluation

    def _count(self, loss: float, output: Any, y: Any) -> None:
        """Add a batch to the sums of the epoch."""
        scores, y = scores_of(output).value, np.asarray(y)
        y = y.argmax(axis=1) if y.shape == scores.shape else y
        labelled = scores.ndim == 2 and y.shape == scores.shape[:1]
        hits = np.count_nonzero(scores.argmax(axis=1) == y) if labelled else math.nan
        self._sums += np.array([loss * len(scores), hits, len(scores)])

    def _not_finite(self, loss: Node) -> str:
        """The message for a loss that is not finite: the step, and the first node with such a value."""
        where = f"fit: the loss is {float(loss.value)} at step {self.step + 1} (epoch {self.epoch + 1}, batch {self.batch + 1})"
        for node in Tape.of(loss).nodes:
            value: Array = np.asarray(node.value)
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                cause = "the data" if node.op is None and node.kind == "constant" else node.label
                return f"{where}; the first value that is not finite is in {cause}; wanted a smaller lr, or clip_norm"
        return where

    # --- interrupts, callbacks, state ------------------------------------------------------------------------

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Inside, the first SIGINT stops training after the current step; another raises KeyboardInterrupt at once."""

        def interrupt(*_: Any) -> None:
            if self.stop == "interrupted":
                raise KeyboardInterrupt
            self.stop = "interrupted"
            print("stopping after this step; press Ctrl-C again to stop at once", file=sys.stderr)

        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _call(self, event: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *args)

    def save(self, path: Any) -> None:
        """Write a checkpoint: weights, optimizer, schedule, averages, random states, history and the place in the epoch."""
        checkpoint.save(path, self)

    def load(self, path: Any) -> None:
        """Go on from a checkpoint; ``fit`` then continues in the middle of the epoch, with the same batches."""
        checkpoint.load(path, self)
        self.optimizer.zero_grad()

    def progress(self) -> dict[str, Any]:
        """Where training is, for a checkpoint."""
        seed = self.data.seed if isinstance(self.data, Loader) else None
        names = ("epoch", "batch", "step", "history", "seconds")
        return {
            **{name: getattr(self, name) for name in names},
            "sums": self._sums.tolist(),
            "seed": seed,
            "batches": batches_of(self.data),
        }

    def set_progress(self, progress: dict[str, Any]) -> None:
        """Go on from where ``progress`` says."""
        for name in ("epoch", "batch", "step", "history", "seconds"):
            setattr(self, name, progress[name])
        self._sums, self._seed = np.array(progress["sums"], float), progress["seed"]
        self._batches_before = progress["batches"]

    def __repr__(self) -> str:
        return f"Trainer({type(self.model).__name__}, {self.optimizer!r}, epoch={self.epoch}, step={self.step})"
