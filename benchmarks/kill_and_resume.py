"""Kills training at random instants, resumes it, and compares the weights at the end with those of an undisturbed run.

    python -m benchmarks.kill_and_resume [kills]

Training is a process of its own, which SIGKILL ends; a checkpoint is written after every step. The network has batch
normalisation and dropout, the run momentum, a schedule, averaged weights, accumulated batches and random transforms.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minigraph import train

TRAIN = """
import sys
import minigraph as mg
from minigraph import data, nn, optim, train

folder = sys.argv[1]
digits = data.digits()
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3), nn.Flatten(),
    nn.Linear(128, 10),
).initialize(0)
optimizer = optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
trainer = train.Trainer(
    model, optimizer, scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, 4), accumulate=2, clip_norm=5.0,
    average=optim.ExponentialMovingAverage(model.parameters(), 0.95),
    callbacks=[train.EarlyStopping(3), train.Checkpoints(folder, every_steps=1), train.HistoryFiles(folder)],
)
changes = [data.transforms.RandomCrop(padding=1), data.transforms.RandomAffine(10), data.transforms.Mixup(10)]
batches = data.Loader(digits.x_train[:640], digits.y_train[:640], 32, shuffle=True, transform=changes, rng=1)
held_out = data.Loader(digits.x_test, digits.y_test, 128)
if train.latest(folder):
    trainer.load(train.latest(folder))
print("begin", trainer.step, flush=True)
trainer.fit(batches, 4, held_out)
print("end", trainer.step, flush=True)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    """Training in a process, at its first step."""
    process = subprocess.Popen([sys.executable, "-c", TRAIN, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    return process


def files(folder: Path) -> dict[str, bytes]:
    """The files of a run that has ended; of the history all but the times."""
    history = [{key: value for key, value in row.items() if key != "seconds"} for row in train.read_history(folder)]
    weights = {name: (folder / name).read_bytes() for name in ("best.safetensors",)}
    return {"history": repr(history).encode(), **weights, "last": arrays(folder / "last.safetensors")}


def arrays(path: Path) -> bytes:
    """The tensors of a checkpoint: weights, optimizer, averages."""
    from minigraph.nn.state import read

    return b"".join(name.encode() + np.asarray(value).tobytes() for name, value in sorted(read(path).items()))


def main(kills: int = 50, seed: int = 0) -> int:
    """Print how each killed run ended; 0 if all ended like the undisturbed one."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as scratch:
        begin = time.perf_counter()
        reference = start(Path(scratch) / "whole")
        reference.wait()
        wanted, seconds = files(Path(scratch) / "whole"), time.perf_counter() - begin
        same = during_write = killed = runs = 0
        while killed < kills:
            folder, runs = Path(scratch) / f"run{runs}", runs + 1
            while True:
                process = start(folder)
                try:
                    process.wait(rng.uniform(0, seconds / 2))
                    break
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    killed += 1
                    during_write += bool([path for path in folder.iterdir() if path.name.startswith(".")])
            assert process.returncode == 0
            same += files(folder) == wanted
        print(
            f"{killed} kills in {runs} runs, {during_write} while a file was written: {same} of {runs} ended bit-identical"
        )
    return 0 if same == runs else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
