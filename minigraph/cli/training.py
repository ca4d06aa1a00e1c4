"""The demo: the lectures' network, built node by node, trained on handwritten digits, checked and drawn."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minigraph as mg
from minigraph.array import Array
from minigraph.data import Split, digits
from minigraph.inspect.draw import RenderError
from minigraph.optim import SGD
from minigraph.text import readable

FILTERS, KERNEL, SIDE, CLASSES = 8, 5, 8, 10
EPOCHS, BATCH, LEARNING_RATE, MOMENTUM, L2 = 30, 32, 0.1, 0.9, 1e-3


class Network:
    """X → S = X * F + b → H = max(0, S) → H~ = max pool(H) → s = W vec(H~) + c → p = softmax(s) → l.

    X (N, 1, 8, 8); eight filters F (8, 1, 5, 5) with padding 2, so S and H are (N, 8, 8, 8); H~ (N, 8, 4, 4);
    s and p (N, 10). Weights start as He et al. (2015) say: normal, with variance 2 / inputs; biases at zero.
    """

    def __init__(self, seed: int = 0, dtype: Any = np.float32) -> None:
        rng = np.random.default_rng(seed)

        def he(*shape: int) -> Array:
            weights: Array = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
            return weights.astype(dtype)

        self.F = mg.parameter(he(FILTERS, 1, KERNEL, KERNEL), "F")
        self.b = mg.parameter(np.zeros(FILTERS, dtype), "b")
        self.W = mg.parameter(he(CLASSES, FILTERS * (SIDE // 2) ** 2), "W")
        self.c = mg.parameter(np.zeros(CLASSES, dtype), "c")
        self.parameters = [self.F, self.b, self.W, self.c]

    def planes(self, X: mg.Node) -> mg.Node:
        """H = max(0, X * F + b): what the filters see."""
        S = mg.conv2d(X, self.F, self.b, padding=KERNEL // 2).named("S")
        return mg.relu(S).named("H")  # type: ignore[no-any-return]

    def scores(self, X: mg.Node) -> mg.Node:
        """s (N, 10): one number for each digit."""
        pooled = mg.max_pool2d(self.planes(X), 2).named("H~")
        return mg.linear(mg.flatten(pooled).named("vec(H~)"), self.W, self.c).named("s")  # type: ignore[no-any-return]

    def loss(self, X: mg.Node, y: mg.Node) -> mg.Node:
        """l = −log(yᵀ p) on average, + λ (‖F‖² + ‖W‖²), as the lectures write it; y (N, 10) has a 1 for the digit."""
        p = mg.softmax(self.scores(X)).named("p")
        likelihood = mg.ops.einsum("nk,nk->n", y, p).named("yᵀp")
        return (mg.ops.mean(-mg.ops.log(likelihood)) + self.penalty()).named("l")  # type: ignore[no-any-return]

    def stable_loss(self, X: mg.Node, labels: Array) -> mg.Node:
        """The same number in one node: log p is never taken of a p that was rounded to 0. What training uses."""
        return mg.cross_entropy(self.scores(X), labels) + self.penalty()  # type: ignore[no-any-return]

    def penalty(self) -> mg.Node:
        return mg.l2_penalty([self.F, self.W], L2).named("λ(‖F‖²+‖W‖²)")  # type: ignore[no-any-return]

    def accuracy(self, x: Array, labels: Array) -> float:
        """The part of the images whose largest score is their label's."""
        guesses = self.scores(mg.constant(x)).value.argmax(axis=1)
        return float(np.mean(guesses == labels))


def graph(network: Network, x: Array, labels: Array) -> mg.Node:
    """The lectures' loss of some images."""
    y = np.eye(CLASSES, dtype=network.F.dtype)[labels]
    return network.loss(mg.constant(x, "X"), mg.constant(y, "y"))


def few_digits(seed: int = 0, images: int = 3) -> mg.Node:
    """The lectures' network before any training, on the first few digits."""
    data = digits()
    return graph(Network(seed), data.x_train[:images], data.y_train[:images])


def blueprint() -> mg.Node:
    """The lectures' network for one image, from shapes alone."""
    X, y = mg.Spec((1, 1, SIDE, SIDE)), mg.Spec((1, CLASSES))
    return Network().loss(mg.constant(X, "X"), mg.constant(y, "y"))


@dataclass
class History:
    """What was seen while training: the loss of every step, the accuracies after every epoch."""

    losses: list[float] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)


def train(network: Network, data: Split, epochs: int, seed: int) -> Iterator[History]:
    """Mini-batch SGD with momentum, ten times slower in the last fifth; yields after every step."""
    rng = np.random.default_rng(seed)
    optimizer = SGD(network.parameters, LEARNING_RATE, momentum=MOMENTUM)
    history = History()
    for epoch in range(epochs):
        optimizer.lr = LEARNING_RATE if epoch < 0.8 * epochs else LEARNING_RATE / 10
        order = rng.permutation(len(data.y_train))
        batches = np.split(order, range(BATCH, len(order), BATCH))
        for batch in batches:
            loss = network.stable_loss(mg.constant(data.x_train[batch]), data.y_train[batch])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            history.losses.append(loss.item())
            if batch is batches[-1]:
                history.train.append(network.accuracy(data.x_train, data.y_train))
                history.test.append(network.accuracy(data.x_test, data.y_test))
            yield history


def run(seed: int = 0, out: str | os.PathLike[str] = "out", epochs: int = EPOCHS, as_json: bool = False) -> int:
    """Train, report and draw; 0, or 1 when the verification fails. See ``minigraph demo --help``.

    Raises OSError when ``out`` cannot be written.
    """
    from tqdm import tqdm

    start = time.perf_counter()
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; wanted a folder for the pictures")
    folder.mkdir(parents=True, exist_ok=True)
    data = digits()
    network = Network(seed)
    say = _nothing if as_json else _print

    say(f"{len(data.y_train)} handwritten digits to learn from, {len(data.y_test)} others to be judged by.")
    sizes = " + ".join(f"{p.size} in {p.name}" for p in network.parameters)
    say(f"The network has {sum(p.size for p in network.parameters)} parameters: {sizes}.")

    history = History()
    steps = epochs * -(-len(data.y_train) // BATCH)
    with tqdm(total=steps, desc="training", unit="step", file=sys.stderr) as bar:
        for history in train(network, data, epochs, seed):
            if history.test and len(history.losses) % 10 == 0:
                bar.set_postfix(loss=f"{history.losses[-1]:.3f}", held_out=f"{history.test[-1]:.1%}", refresh=False)
            bar.update()
        trained = time.perf_counter() - start
    accuracy = network.accuracy(data.x_test, data.y_test)
    say(f"\nHeld-out accuracy {accuracy:.1%} after {epochs} epoch{'s' if epochs != 1 else ''}, {trained:.1f} s.")

    one = graph(network, data.x_test[:1], data.y_test[:1])
    one.backward(retain_graph=True)
    say(f"\nThe evaluation trace for one image, a {data.y_test[0]}:\n\n{mg.Tape.of(one)}")
    report = mg.verify(graph(network, data.x_test[:4], data.y_test[:4]))
    say(f"\nEvery layer of the graph of four images, verified:\n\n{report}")

    files, left_out = pictures(folder, network, history, data, one)
    if files:
        say(f"\nPictures: {', '.join(files)}")
    for name, why in left_out.items():
        print(f"minigraph: left out {name}: {why}", file=sys.stderr)
    seconds = time.perf_counter() - start
    if as_json:
        figures = {
            "seed": seed,
            "epochs": epochs,
            "train_images": len(data.y_train),
            "held_out_images": len(data.y_test),
            "loss": history.losses[-1],
            "train_accuracy": history.train[-1],
            "held_out_accuracy": accuracy,
            "training_seconds": round(trained, 3),
            "seconds": round(seconds, 3),
            "verified": bool(report.ok),
            "files": files,
            "left_out": left_out,
        }
        print(json.dumps(figures, indent=2))
    say(f"Done in {seconds:.1f} s.")
    return 0 if report.ok else 1


def pictures(
    folder: Path, network: Network, history: History, data: Split, one: mg.Node
) -> tuple[list[str], dict[str, str]]:
    """Draw the graph, the filters and the training into ``folder``; return the files, and why others were left out."""

    def filter_matrix(path: Path) -> None:
        from minigraph.inspect import plot

        plot.filter_matrix(network.F.value, (1, SIDE, SIDE), path, padding=KERNEL // 2)

    def filters(path: Path) -> None:
        from minigraph.inspect import plot

        X = data.x_test[:1]
        plot.filters(network.F.value, X, network.planes(mg.constant(X)).value, path)

    def training(path: Path) -> None:
        from minigraph.inspect import plot

        plot.training(history.losses, history.train, history.test, path)

    wanted: dict[str, Callable[[Path], object]] = {
        "graph.png": lambda path: mg.draw(one, path),
        "graph_im2col.png": lambda path: mg.draw(mg.lower(one, "im2col"), path),
        "filter_matrix.png": filter_matrix,
        "filters.png": filters,
        "training.png": training,
    }
    files: list[str] = []
    left_out: dict[str, str] = {}
    for name, picture in wanted.items():
        try:
            picture(folder / name)
            files.append(str(folder / name))
        except (ImportError, RenderError) as error:
            left_out[name] = str(error)
    return files, left_out


def _print(text: str) -> None:
    print(readable(text))


def _nothing(text: str) -> None:
    pass
