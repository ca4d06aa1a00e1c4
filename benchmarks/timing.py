"""Fair timing: contenders take turns, so that a machine that speeds up or slows down does so for all."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A line of the table: what was done, by whom, in how many seconds, and the ratio that was wanted."""

    task: str
    seconds: dict[str, float]
    wanted: str

    def __str__(self) -> str:
        ours = self.seconds["minigraph"]
        peers = "   ".join(
            f"{name} {scaled(s)} (ratio {ours / s:.3g})" for name, s in self.seconds.items() if name != "minigraph"
        )
        return f"{self.task:<58} {scaled(ours):>10}   {peers}   wanted: {self.wanted}"


def scaled(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def compare(task: str, wanted: str, repeats: int, per: int = 1, **contenders: Callable[[], object]) -> Row:
    """Median seconds of each contender over interleaved repeats, after one warm-up each, divided by ``per``."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        call()
    for _ in range(repeats):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return Row(task, {name: statistics.median(t) / per for name, t in times.items()}, wanted)


def python(code: str) -> Callable[[], object]:
    """A contender that runs ``code`` in a fresh interpreter, with bytecode cached as after an installation."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return lambda: (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env).stdout
    )
