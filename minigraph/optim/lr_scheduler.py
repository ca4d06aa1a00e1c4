"""Schedules of the learning rate, with PyTorch's names, arguments and meaning.

A schedule changes ``lr`` of an optimizer's groups when ``step()`` is called: after every epoch, or after every step of
the optimizer. Most multiply the current rate, so that schedules can be chained and a rate changed in between counts.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minigraph.optim.optimizer import Optimizer

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR",
    "MultiStepLR", "OneCycleLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


class LRScheduler:
    """The base of schedules: ``get_lr`` computes the rates of all groups for ``last_epoch`` from the current ones.

    ``interval`` says when a trainer calls ``step``: after every "epoch" or every "step". Raises TypeError for anything but
    an optimizer.
    """

    interval = "epoch"
    needs_figure = False  # whether ``step`` is given how well the epoch went

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: got {type(optimizer).__name__}; wanted an optimizer")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self._set(self.get_lr())

    def get_lr(self) -> list[float]:
        """The rate of each group for ``last_epoch``."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def step(self) -> None:
        """Go on by one epoch, or one step."""
        self.last_epoch += 1
        self._set(self.get_lr())

    def restart(self) -> None:
        """Begin anew, from the initial rates."""
        self.last_epoch = 0
        self._set(self.base_lrs)
        self._set(self.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """All numbers that the schedule goes on from."""
        return {key: value for key, value in vars(self).items() if key not in ("optimizer", "lr_lambdas")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from the state of a schedule of the same class. Raises ValueError for another's."""
        own = self.state_dict()
        if not isinstance(state_dict, Mapping) or own.keys() != state_dict.keys():
            got = ", ".join(map(str, state_dict)) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            raise ValueError(f"{type(self).__name__}: got a state of {got}; wanted {', '.join(own)}")
        vars(self).update(state_dict)

    def __repr__(self) -> str:
        settings = {k: v for k, v in vars(self).items() if k not in ("optimizer", "base_lrs") and k[0] != "_"}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in settings.items())})"


class LambdaLR(LRScheduler):
    """lr = initial lr · lr_lambda(epoch); one function, or one for each group. A state does not contain the functions."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        groups = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 0
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"LambdaLR: got {len(self.lr_lambdas)} functions; wanted {groups}, one for each group")
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class StepLR(LRScheduler):
    """lr · gamma after every ``step_size`` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = _count("StepLR", step_size=step_size), _number("StepLR", gamma=gamma)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return self._scaled(self.gamma if self.last_epoch and self.last_epoch % self.step_size == 0 else 1.0)


class MultiStepLR(LRScheduler):
    """lr · gamma at each of the epochs ``milestones``."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self.milestones = sorted(_count("MultiStepLR", 0, milestones=m) for m in milestones)
        self.gamma = _number("MultiStepLR", gamma=gamma)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return self._scaled(self.gamma ** Counter(self.milestones)[self.last_epoch])


class ConstantLR(LRScheduler):
    """lr · factor until epoch ``total_iters``, then lr."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self.factor = _number("ConstantLR", above=0, factor=factor)
        self.total_iters = _count("ConstantLR", 0, total_iters=total_iters)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        return self._scaled(1 / self.factor if self.last_epoch == self.total_iters else 1.0)


class LinearLR(LRScheduler):
    """lr · a factor that goes from ``start_factor`` to ``end_factor`` within ``total_iters`` epochs: warm-up, for instance."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        self.start_factor = _number("LinearLR", above=0, start_factor=start_factor)
        self.end_factor = _number("LinearLR", end_factor=end_factor)
        self.total_iters = _count("LinearLR", total_iters=total_iters)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self.last_epoch > self.total_iters:
            return self._scaled(1.0)
        rise = self.end_factor - self.start_factor
        return self._scaled(1 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))


class ExponentialLR(LRScheduler):
    """lr · gamma after every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = _number("ExponentialLR", gamma=gamma)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return self._scaled(self.gamma if self.last_epoch else 1.0)


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + ½ (initial lr − eta_min) (1 + cos(π epoch / T_max)): half a cosine (Loshchilov and Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = _count("CosineAnnealingLR", T_max=T_max)
        self.eta_min = _number("CosineAnnealingLR", eta_min=eta_min)
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        rates, t, T, least = self.get_last_lr(), self.last_epoch, self.T_max, self.eta_min
        if t == 0:
            return rates
        if (t - 1 - T) % (2 * T) == 0:
            rise = (1 - math.cos(math.pi / T)) / 2
            return [rate + (base - least) * rise for rate, base in zip(rates, self.base_lrs, strict=True)]
        factor = (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T))
        return [factor * (rate - least) + least for rate in rates]


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to max_lr and down to far below (Smith and Topin 2018), the momentum the other way.

    ``step`` is called after every step of the optimizer, ``total_steps`` or epochs · steps_per_epoch times at most. The rise
    takes ``pct_start`` of them; ``three_phase`` falls as far as it rose, then to the end. Raises ValueError beyond the last
    step, and for ``cycle_momentum`` with an optimizer that has none.
    """

    interval = "step"

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        name = "OneCycleLR"
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{name}: got {type(optimizer).__name__}; wanted an optimizer")
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(f"{name}: got no number of steps; wanted total_steps, or epochs and steps_per_epoch")
            total_steps = _count(name, epochs=epochs) * _count(name, steps_per_epoch=steps_per_epoch)
        self.total_steps = _count(name, total_steps=total_steps)
        self.pct_start, self.three_phase = _number(name, pct_start=pct_start), bool(three_phase)
        if self.pct_start > 1:
            raise ValueError(f"{name}: got pct_start {pct_start}; wanted a number from 0 to 1")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"{name}: got anneal_strategy {anneal_strategy!r}; wanted 'cos' or 'linear'")
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, bool(cycle_momentum)
        rates = _for_groups(name, "max_lr", max_lr, optimizer)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            first = rate / div_factor
            group.update(initial_lr=first, max_lr=rate, min_lr=first / final_div_factor)
        if self.cycle_momentum:
            if not {"momentum", "betas"} & optimizer.defaults.keys():
                raise ValueError(
                    f"{name}: got {type(optimizer).__name__}, which has no momentum; wanted cycle_momentum=False"
                )
            low = _for_groups(name, "base_momentum", base_momentum, optimizer)
            high = _for_groups(name, "max_momentum", max_momentum, optimizer)
            for group, base, most in zip(optimizer.param_groups, low, high, strict=True):
                group.update(base_momentum=base, max_momentum=most)
        super().__init__(optimizer)

    def _phases(self) -> list[tuple[float, str, str, str, str]]:
        """The last step of each phase, and between which rates and momenta it goes."""
        rise, last = self.pct_start * self.total_steps, self.total_steps - 1.0
        up = (rise - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if not self.three_phase:
            return [up, (last, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        down = (2 * rise - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum")
        return [up, down, (last, "initial_lr", "min_lr", "max_momentum", "max_momentum")]

    def get_lr(self) -> list[float]:
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR: got step {t}; wanted at most total_steps, {self.total_steps}")
        phases = self._phases()
        i = min(bisect_left([phase[0] for phase in phases], t), len(phases) - 1)
        begin, (end, *names) = phases[i - 1][0] if i else 0.0, phases[i]
        share = (t - begin) / (end - begin) if end != begin else 1.0
        if self.anneal_strategy == "cos":
            share = (1 - math.cos(math.pi * share)) / 2
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(_between(group, names[0], names[1], share))
            if self.cycle_momentum:
                momentum = _between(group, names[2], names[3], share)
                group.update({"betas": (momentum, group["betas"][1])} if "betas" in group else {"momentum": momentum})
        return rates


def _between(group: dict[str, Any], first: str, last: str, share: float) -> float:
    """The number a share of the way from one of the group's numbers to another."""
    begin, end = float(group[first]), float(group[last])
    return begin + (end - begin) * share


class ReduceLROnPlateau(LRScheduler):
    """lr · factor when a figure has not become better for more than ``patience`` epochs: ``step(figure)``.

    Better is less ("min") or more ("max") than the best so far by ``threshold``, relative ("rel") or absolute ("abs").
    After a reduction ``cooldown`` epochs do not count. Raises ValueError for a NaN.
    """

    needs_figure = True

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        name = type(self).__name__
        for argument, value, known in (
            ("mode", mode, ("min", "max")),
            ("threshold_mode", threshold_mode, ("rel", "abs")),
        ):
            if value not in known:
                raise ValueError(f"{name}: got {argument} {value!r}; wanted {known[0]!r} or {known[1]!r}")
        self.factor = _number(name, factor=factor)
        if self.factor >= 1:
            raise ValueError(f"{name}: got factor {factor}; wanted less than 1")
        self.mode, self.threshold_mode = mode, threshold_mode
        self.patience, self.cooldown = _count(name, 0, patience=patience), _count(name, 0, cooldown=cooldown)
        self.threshold, self.eps = _number(name, threshold=threshold), _number(name, eps=eps)
        self.best, self.num_bad_epochs, self.cooldown_counter = math.inf if mode == "min" else -math.inf, 0, 0
        super().__init__(optimizer)
        self.min_lrs = _for_groups(name, "min_lr", min_lr, optimizer)

    def get_lr(self) -> list[float]:
        return self.get_last_lr()

    def is_better(self, figure: float) -> bool:
        """Whether the figure is better than the best so far."""
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "abs":
            return sign * (figure - self.best) > self.threshold
        return (
            sign * (figure - self.best * (1 + sign * self.threshold)) > 0
            if math.isfinite(self.best)
            else figure != self.best
        )

    def step(self, metrics: float | None = None) -> None:
        """Go on by one epoch, in which the figure was ``metrics``."""
        if metrics is None or math.isnan(metrics):
            raise ValueError(f"ReduceLROnPlateau: got {metrics}; wanted the figure of this epoch")
        self.last_epoch += 1
        if self.is_better(float(metrics)):
            self.best, self.num_bad_epochs = float(metrics), 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                new = max(group["lr"] * self.factor, least)
                if group["lr"] - new > self.eps:
                    group["lr"] = new
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0


class SequentialLR(LRScheduler):
    """One schedule after another: the next begins at each of the ``milestones``, from the initial rate."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        self.schedulers = _parts("SequentialLR", schedulers, optimizer)
        self.milestones = [_count("SequentialLR", milestones=m) for m in milestones]
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(
                f"SequentialLR: got {len(self.schedulers)} schedules and {len(self.milestones)} milestones; wanted one "
                "milestone between two schedules"
            )
        self.interval = self.schedulers[0].interval
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            self.schedulers[0].restart()
        return self.get_last_lr()

    def step(self) -> None:
        self.last_epoch += 1
        i = bisect_right(self.milestones, self.last_epoch)
        if i and self.milestones[i - 1] == self.last_epoch:
            self.schedulers[i].restart()
        else:
            self.schedulers[i].step()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "schedulers": [s.state_dict() for s in self.schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        _load_parts(self, state_dict)


class ChainedScheduler(LRScheduler):
    """Several schedules at once: each multiplies the rate."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self.schedulers = _parts("ChainedScheduler", schedulers, optimizer)
        self.interval = self.schedulers[0].interval
        super().__init__(self.schedulers[0].optimizer)

    def get_lr(self) -> list[float]:
        return self.get_last_lr()

    def step(self) -> None:
        self.last_epoch += 1
        for scheduler in self.schedulers:
            scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "schedulers": [s.state_dict() for s in self.schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        _load_parts(self, state_dict)


def _load_parts(scheduler: SequentialLR | ChainedScheduler, state_dict: Mapping[str, Any]) -> None:
    parts = scheduler.schedulers
    LRScheduler.load_state_dict(scheduler, state_dict)
    scheduler.schedulers = parts
    for part, state in zip(parts, state_dict["schedulers"], strict=True):
        part.load_state_dict(state)


def _parts(name: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> list[LRScheduler]:
    """The schedules, all of one optimizer, and none of them in need of a figure."""
    parts = list(schedulers)
    if not parts or not all(isinstance(s, LRScheduler) and not s.needs_figure for s in parts):
        got = ", ".join(type(s).__name__ for s in parts) or "an empty list"
        raise TypeError(f"{name}: got {got}; wanted schedules that need no figure")
    if any(s.optimizer is not (optimizer or parts[0].optimizer) for s in parts):
        raise ValueError(f"{name}: got schedules of several optimizers; wanted one optimizer")
    return parts


def _for_groups(name: str, argument: str, value: Any, optimizer: Optimizer) -> list[float]:
    """The value of each group; one value is for all."""
    groups = len(optimizer.param_groups)
    values = list(value) if isinstance(value, (tuple, list)) else [value] * groups
    if len(values) != groups:
        raise ValueError(f"{name}: got {len(values)} values of {argument}; wanted {groups}, one for each group")
    return [_number(name, **{argument: v}) for v in values]


def _number(name: str, above: float | None = None, **given: Any) -> float:
    """The one argument given, a finite number of at least 0, or above a bound."""
    ((argument, value),) = given.items()
    try:
        converted = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: got {argument} {value!r}; wanted a number") from None
    if not math.isfinite(converted) or converted < 0 or (above is not None and converted <= above):
        raise ValueError(
            f"{name}: got {argument} {value}; wanted a finite number {'of at least' if above is None else 'above'} 0"
        )
    return converted


def _count(name: str, least: int = 1, **given: Any) -> int:
    ((argument, value),) = given.items()
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: got {argument} {value!r}; wanted an integer of at least {least}")
    return int(value)
