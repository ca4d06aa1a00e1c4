"""``fit``: from a model and data to a trained model in one call; and the learning-rate range test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

import numpy as np

from minigraph import optim
from minigraph.arguments import expect_integer, known
from minigraph.data import Loader, Split, fingerprint
from minigraph.data.transforms import Compose
from minigraph.nn import Module
from minigraph.optim import Optimizer, lr_scheduler
from minigraph.optim.lr_scheduler import LRScheduler
from minigraph.train import checkpoint
from minigraph.train.callbacks import Checkpoints, EarlyStopping, HistoryFiles, Progress
from minigraph.train.metrics import classification_loss, held_out_batches
from minigraph.train.trainer import Callback, Row, Trainer, batches_of

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW, "rmsprop": optim.RMSprop, "adagrad": optim.Adagrad,
}  # fmt: skip
DEFAULT_LR, DEFAULT_MOMENTUM = 0.01, 0.9
SCHEDULES = ("constant", "cosine", "step", "plateau", "onecycle", "exponential")


def make_optimizer(
    name: str, model: Module, lr: float, momentum: float = 0.9, weight_decay: float = 0.0, nesterov: bool = False
) -> Optimizer:
    """An optimizer by name. Weights decay, and biases and the parameters of normalisation, of one axis, do not."""
    kind = OPTIMIZERS[known("optimizer", name, OPTIMIZERS)]
    options: dict[str, Any] = {"lr": lr}
    if "momentum" in kind.OPTIONS:
        options["momentum"] = momentum
    if nesterov:
        if "nesterov" not in kind.OPTIONS:
            raise ValueError(f"got nesterov with the optimizer {name}; wanted it with sgd")
        options["nesterov"] = True
    parameters = model.parameters()
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return kind([group for group in groups if group["params"]], **options)


def make_schedule(
    name: str,
    optimizer: Optimizer,
    epochs: int,
    steps: int,
    warmup: int = 0,
    step_size: int | None = None,
    gamma: float = 0.1,
) -> LRScheduler | None:
    """A schedule by name, for ``epochs`` epochs of ``steps`` steps, after ``warmup`` epochs of a linear rise."""
    known("schedule", name, SCHEDULES)
    rest = max(1, epochs - warmup)
    if name in ("onecycle", "plateau") and warmup:
        raise ValueError(f"got warm-up with the schedule {name!r}; wanted another schedule")
    if name == "onecycle":
        return lr_scheduler.OneCycleLR(optimizer, [g["lr"] for g in optimizer.param_groups], total_steps=epochs * steps,
                                       cycle_momentum=False)  # fmt: skip
    if name == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimizer, factor=gamma, patience=step_size or 5)
    made: dict[str, Callable[[], LRScheduler | None]] = {
        "constant": lambda: lr_scheduler.ConstantLR(optimizer, 1.0) if warmup else None,
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, rest),
        "step": lambda: lr_scheduler.StepLR(optimizer, step_size or max(1, rest // 3), gamma),
        "exponential": lambda: lr_scheduler.ExponentialLR(optimizer, gamma ** (1 / rest)),
    }
    schedule = made[name]()
    if not warmup or schedule is None:
        return schedule
    return lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.LinearLR(optimizer, 1 / (warmup + 1), 1.0, warmup), schedule], [warmup]
    )


def make_trainer(
    model: Module,
    batches: Iterable[Any],
    *,
    epochs: int,
    optimizer: str | Optimizer = "sgd",
    lr: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    nesterov: bool = False,
    schedule: str = "cosine",
    warmup: int = 0,
    step_size: int | None = None,
    gamma: float = 0.1,
    accumulate: int = 1,
    clip_norm: float | None = None,
    average: float | None = None,
    loss: Callable[[Any, Any], Any] = classification_loss,
) -> Trainer:
    """A trainer by settings, which its checkpoints keep: training goes on from them by the same ones alone."""
    expect_integer("fit", 1, epochs=epochs, accumulate=accumulate)
    expect_integer("fit", 0, warmup=warmup)
    settings = {
        "batches": batches_of(batches), "lr": lr, "momentum": momentum, "weight_decay": weight_decay,
        "nesterov": nesterov, "schedule": schedule, "warmup": warmup, "step_size": step_size, "gamma": gamma,
        "accumulate": accumulate, "clip_norm": clip_norm, "average": average,
    }  # fmt: skip
    if isinstance(batches, Loader):
        settings["data"] = fingerprint(batches)
    if schedule not in ("constant", "plateau") or warmup:
        settings["epochs"] = epochs
    if isinstance(optimizer, Optimizer):
        given = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov or None}
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"fit: got an optimizer and {name} {value}; wanted its {name} in the optimizer")
        made = optimizer
    else:
        made = make_optimizer(optimizer, model, DEFAULT_LR if lr is None else lr,
                              DEFAULT_MOMENTUM if momentum is None else momentum, weight_decay or 0.0, nesterov)  # fmt: skip
    steps = -(-(batches_of(batches) or 0) // accumulate)
    trainer = Trainer(
        model, made, loss=loss, accumulate=accumulate, clip_norm=clip_norm,
        scheduler=make_schedule(schedule, made, epochs, steps, warmup, step_size, gamma),
        average=None if average is None else optim.ExponentialMovingAverage(model.parameters(), average),
    )  # fmt: skip
    trainer.settings = settings
    return trainer


def without_chance(transform: Any) -> Any:
    """Of transforms those that draw nothing, such as a normalisation: what images to validate with go through."""
    several = transform.transforms if isinstance(transform, Compose) else transform
    several = several if isinstance(several, (list, tuple)) else [] if several is None else [several]
    return Compose([t for t in several if not getattr(t, "random", True)])


def loaders(data: Any, batch_size: int, rng: Any, transform: Any = None) -> tuple[Iterable[Any], Iterable[Any] | None]:
    """Batches to learn from and to validate with: of a Split, of a pair (x, y), or the data itself, which has batches."""
    test = None
    if isinstance(data, Split):
        if len(data.x_test):
            test = held_out_batches(data, without_chance(transform), max(batch_size, 128))
        data = (data.x_train, data.y_train)
    if isinstance(data, tuple) and len(data) == 2 and hasattr(data[0], "shape"):
        return Loader(*data, batch_size, shuffle=True, rng=rng, transform=transform), test
    return held_out_batches(data), test


def fit(
    model: Module,
    data: Any,
    *,
    epochs: int = 10,
    validation: Any = None,
    optimizer: str | Optimizer = "sgd",
    lr: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    schedule: str = "cosine",
    warmup: int = 0,
    batch_size: int = 32,
    transform: Any = None,
    rng: np.random.Generator | int = 0,
    accumulate: int = 1,
    clip_norm: float | None = None,
    average: float | None = None,
    patience: int | None = None,
    loss: Callable[[Any, Any], Any] = classification_loss,
    folder: Any = None,
    resume: bool = False,
    progress: bool | None = None,
    callbacks: Sequence[Callback] = (),
) -> list[Row]:
    """Train ``model`` on ``data``, in place; returns the history, a row of figures for each epoch.

    ``data``: a Split (its test images validate), a pair of arrays (x, y), a Loader, or any iterable of batches (x, y).
    ``optimizer``: "sgd", "adam", "adamw", "rmsprop", "adagrad", with ``lr`` (0.01 unless given), ``momentum`` (0.9) and
    ``weight_decay`` (0), or an optimizer, which has its own. ``schedule``: "constant", "cosine", "step", "plateau",
    "onecycle" or "exponential", after ``warmup`` epochs. ``transform``: what training images go through; those of a Split or
    a pair that validate go through the transforms in it that draw nothing. ``average``: the decay of averaged weights.
    ``patience``: epochs without progress after which training ends. With a ``folder`` checkpoints and the history are kept
    in it, those of an earlier call replaced; with ``resume`` training goes on from the last one.

    Raises ValueError for unknown names, and where training is resumed by other settings than it began with; for what else
    is raised see Trainer.fit.
    """
    rng = np.random.default_rng(rng) if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) else rng
    train, test = loaders(data, batch_size, rng, transform)
    if validation is not None:
        test = held_out_batches(validation, without_chance(transform), max(batch_size, 128))
    if model.parameters() and model.parameters()[0].abstract:
        model.initialize(rng)
    trainer = make_trainer(
        model, train, epochs=epochs, optimizer=optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay,
        schedule=schedule, warmup=warmup, accumulate=accumulate, clip_norm=clip_norm, average=average, loss=loss,
    )  # fmt: skip
    kept = [Checkpoints(folder), HistoryFiles(folder)] if folder is not None else []
    stopping = [EarlyStopping(patience)] if patience is not None else []
    trainer.callbacks = [*callbacks, *stopping, *kept, Progress(None if progress is None else not progress)]
    last = checkpoint.latest(folder) if folder is not None and resume else None
    if last:
        trainer.load(last)
    return trainer.fit(train, epochs, test)


class RangeTest(NamedTuple):
    """Learning rates that rise, the smoothed loss at each, and where it fell fastest."""

    rates: list[float]
    losses: list[float]
    suggestion: float


def learning_rate_range(
    model: Module,
    data: Iterable[Any],
    optimizer: Optimizer,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    loss: Callable[[Any, Any], Any] = classification_loss,
) -> RangeTest:
    """The learning-rate range test (Smith 2017): the loss over ``steps`` steps whose rate rises from ``low`` to ``high``.

    Ends when the loss is four times its least. The suggestion is the rate at which the loss, smoothed, fell fastest. Model and
    optimizer are afterwards as they were.
    """
    if not 0 < low < high or steps < 2:
        raise ValueError(
            f"learning_rate_range: got {low} to {high} in {steps} steps; wanted 0 < low < high, and at least 2 steps"
        )
    weights = {name: value.copy() for name, value in model.state_dict().items()}
    state = optimizer.state_dict()
    random = {name: rng.bit_generator.state for name, rng in checkpoint.generators(model).items()}
    modes = [(module, module.training) for module in model.modules()]
    trainer, rates, losses, smooth = Trainer(model, optimizer, loss=loss), list[float](), list[float](), 0.0
    try:
        model.train()
        for i, batch in enumerate(islice(chain.from_iterable(repeat(data)), steps)):
            optimizer.lr = low * (high / low) ** (i / (steps - 1))
            try:
                trainer.learn([batch])
            except FloatingPointError:
                break
            smooth = 0.9 * smooth + 0.1 * trainer.last_loss
            rates.append(optimizer.lr)
            losses.append(smooth / (1 - 0.9 ** (i + 1)))
            if losses[-1] > 4 * min(losses) or not math.isfinite(losses[-1]):
                break
    finally:
        model.load_state_dict(weights)
        optimizer.load_state_dict(state)
        optimizer.zero_grad()
        for module, training in modes:
            module.training = training
        for name, rng in checkpoint.generators(model).items():
            rng.bit_generator.state = random[name]
    if len(losses) < 2:
        raise ValueError(f"learning_rate_range: got {len(losses)} finite losses; wanted a smaller low")
    begin, end = len(losses) // 5, int(np.argmin(losses)) + 1  # the first few losses are hardly smoothed
    slopes = np.gradient(losses, np.log(rates))[begin:end]
    return RangeTest(rates, losses, rates[begin + int(np.argmin(slopes))] if len(slopes) else rates[0])
