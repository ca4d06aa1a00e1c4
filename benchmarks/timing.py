"""Fair timing: contenders take turns, so that a machine that speeds up or slows down does so for all."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minigraph as mg

PAUSE = 0.05  # seconds before a turn: threads of BLAS and OpenMP go on spinning for some ms, in the way of the next
TURN = 0.1  # seconds of a turn: what takes less is called again and again, and the median of its calls counts
OURS = "minigraph"
PEERS = ("torch", "mygrad", "autograd")  # packages that may be missing

# Makes all ready and gives what is timed. Raises ModuleNotFoundError where its package is not installed.
Contender = Callable[[], Callable[[], object]]


@dataclass(frozen=True)
class Row:
    """A line of the table: what each contender took, round by round, and the largest ratio that is wanted."""

    task: str
    wanted: float | None
    samples: dict[str, list[float]]
    missing: tuple[str, ...] = ()
    unit: str = "s"

    @property
    def medians(self) -> dict[str, float]:
        return {name: statistics.median(values) for name, values in self.samples.items()}

    @property
    def peer(self) -> str | None:
        """The best of the others; None where all are missing."""
        others = {name: value for name, value in self.medians.items() if name != OURS}
        return min(others, key=lambda name: others[name], default=None)

    @property
    def ratio(self) -> float | None:
        """Our median in the peer's."""
        return self.medians[OURS] / self.medians[self.peer] if self.peer else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """The quartiles of the rounds' ratios."""
        if not self.peer:
            return None
        low, high = np.quantile(np.divide(self.samples[OURS], self.samples[self.peer]), (0.25, 0.75))
        return float(low), float(high)

    @property
    def met(self) -> bool | None:
        """Whether the ratio is as wanted; None where nothing is wanted, or nobody is there to compare with."""
        return None if self.ratio is None or self.wanted is None else self.ratio <= self.wanted


def compare(task: str, wanted: float | None, repeats: int, contenders: dict[str, Contender], per: int = 1) -> Row:
    """Seconds of each contender in ``repeats`` interleaved turns, after one to warm up, divided by ``per``."""
    calls, missing = {}, []
    for name, make in contenders.items():
        try:
            calls[name] = make()
        except ModuleNotFoundError as error:
            package = str(error.name).partition(".")[0]
            if package not in PEERS:
                raise
            missing.append(package)
    for call in calls.values():
        turn(call)
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            time.sleep(PAUSE)
            samples[name].append(turn(call) / per)
    return Row(task, wanted, samples, tuple(dict.fromkeys(missing)))


def turn(call: Callable[[], object]) -> float:
    """The median seconds of as many calls as a turn takes, at least one."""
    times: list[float] = []
    while sum(times) < TURN:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def torch() -> Any:
    """PyTorch, with as many threads as minigraph. Raises ModuleNotFoundError where it is not installed."""
    import torch

    torch.set_num_threads(mg.threads())
    return torch


def python(code: str, *arguments: str) -> str:
    """What ``code`` prints in a fresh interpreter, with bytecode cached as after an installation."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = partial(subprocess.run, check=True, stdout=subprocess.PIPE, text=True, env=env)
    return run([sys.executable, "-c", code, *arguments], cwd=Path(__file__).parent.parent).stdout
