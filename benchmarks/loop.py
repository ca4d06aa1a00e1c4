"""What training costs besides the steps themselves: the trainer's overhead, waiting for batches, growing memory.

python -m benchmarks.loop [overhead waiting memory]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import minigraph as mg
from minigraph import data, models, optim, train
from minigraph.data.transforms import ColorJitter, Normalize, RandomCrop, RandomHorizontalFlip

STEPS, REPEATS, LONG = 60, 9, 2000


def images(n: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Random images of bytes, and labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.integers(0, 10, n)


def overhead() -> Iterator[str]:
    """A step of LeNet-5 by the trainer, with its usual callbacks, against the four lines of a plain loop."""
    x, y = images(32, (1, 32, 32))
    batch = x / np.float32(255), y
    seconds: dict[str, list[float]] = {"plain": [], "trainer": []}
    nets = {name: models.lenet5(modern=True, rng=0) for name in seconds}
    optimizers = {name: optim.SGD(net.parameters(), 0.01, momentum=0.9) for name, net in nets.items()}
    for repeat in range(REPEATS):
        for name in ("plain", "trainer") if repeat % 2 else ("trainer", "plain"):
            begin = time.perf_counter()
            net, optimizer = nets[name], optimizers[name]
            if name == "plain":
                for _ in range(STEPS):
                    loss = mg.cross_entropy(net(batch[0]), batch[1])
                    loss.backward()
                    optimizer.step()
                    optimizer.zero_grad()
            else:
                train.Trainer(net, optimizer, callbacks=[train.EarlyStopping(), train.Progress()]).fit(
                    [batch] * STEPS, 1
                )
            seconds[name].append((time.perf_counter() - begin) / STEPS)
    ratio = statistics.median(b / a for a, b in zip(seconds["plain"], seconds["trainer"], strict=True))
    plain = statistics.median(seconds["plain"])
    yield f"LeNet-5, batch 32: plain step {1e3 * plain:.2f} ms, by the trainer {ratio:.3f} of that"


def waiting() -> Iterator[str]:
    """The share of an epoch of ResNet-20 and LeNet-5 in which the loop waits for batches of CIFAR's size."""
    x, y = images(2560, (3, 32, 32))
    changes = [
        RandomCrop(padding=4),
        RandomHorizontalFlip(),
        ColorJitter(0.3, 0.3, 0.3),
        Normalize([0.5] * 3, [0.25] * 3),
    ]
    for net in (models.resnet20(rng=0), models.lenet5(modern=True, in_channels=3, rng=0)):
        loader = data.Loader(x, y, 128, shuffle=True, rng=0, transform=changes)
        optimizer, waited = optim.SGD(net.parameters(), 0.01, momentum=0.9), 0.0
        begin = time.perf_counter()
        batches = iter(loader)
        for _ in range(len(loader)):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            loss = mg.cross_entropy(net(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        total = time.perf_counter() - begin
        alone = sum(_seconds(loader, i) for i in range(5)) / 5
        yield (f"{type(net).__name__}, batch 128 of 3×32×32 with crops, flips, jitter: waits {waited / total:.1%} of "
               f"{total:.1f} s; preparing a batch takes {1e3 * alone:.1f} ms")  # fmt: skip


def _seconds(loader: data.Loader, i: int) -> float:
    begin = time.perf_counter()
    loader.batch(0, i)
    return time.perf_counter() - begin


def memory() -> Iterator[str]:
    """Resident memory after the tenth step and after 2,000."""
    for name, net, shape in (
        ("LeNet-5", models.lenet5(modern=True, rng=0), (1, 32, 32)), ("ResNet-20", models.resnet20(rng=0), (3, 32, 32)),
    ):  # fmt: skip
        x, y = images(640, shape)
        trainer = train.Trainer(net, optim.SGD(net.parameters(), 0.001, momentum=0.9), callbacks=[Memory()])
        trainer.fit(data.Loader(x, y, 32, shuffle=True, rng=0, transform=RandomCrop(padding=2)), LONG // 20)
        seen = trainer.callbacks[0].megabytes  # type: ignore[attr-defined]
        yield f"{name}, batch 32: {seen[10]:.0f} MB after 10 steps, {seen[LONG]:.0f} MB after {LONG} ({seen[LONG] / seen[10] - 1:+.1%})"


class Memory(train.Callback):
    """Records resident memory at some steps."""

    def __init__(self) -> None:
        self.megabytes: dict[int, float] = {}

    def on_step_end(self, trainer: train.Trainer) -> None:
        if trainer.step in (10, LONG):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.megabytes[trainer.step] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6


PARTS = {"overhead": overhead, "waiting": waiting, "memory": memory}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        for line in islice(PARTS[part](), None):
            print(line, flush=True)
