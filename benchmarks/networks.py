"""The networks whose training steps are compared, and a step of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

import minigraph as mg
from benchmarks.timing import OURS, Contender
from minigraph import models, nn

SGD = {"lr": 1e-4, "momentum": 0.9, "weight_decay": 1e-4}


class Network(NamedTuple):
    """A model of at least ten classes, and the shape of a batch of its images."""

    build: Callable[[], nn.Module]
    shape: tuple[int, int, int, int]

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels."""
        rng = np.random.default_rng(0)
        return rng.standard_normal(self.shape, np.float32), rng.integers(0, 10, self.shape[0])


def lenet() -> nn.Module:
    """LeNet-5 with ReLU and max pooling, for 28×28 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


LENET = Network(lenet, (128, 1, 28, 28))
VGG = Network(models.vgg16, (4, 3, 224, 224))
NETWORKS = {
    "LeNet-5, 28×28, batch 128": LENET,
    "ResNet-20, 32×32, batch 128": Network(models.resnet20, (128, 3, 32, 32)),
    "VGG-16, 224×224, batch 4": VGG,
    "AlexNet, 227×227, batch 16": Network(models.alexnet, (16, 3, 227, 227)),
    "GoogLeNet, 224×224, batch 8": Network(models.googlenet, (8, 3, 224, 224)),
    "ResNet-50, 224×224, batch 4": Network(models.resnet50, (4, 3, 224, 224)),
}


def step(network: Network) -> Callable[[], object]:
    """A training step of ours; gives the loss."""
    model = network.build().initialize(0)
    images, labels = map(mg.constant, network.data())
    optimizer = mg.optim.SGD(model.parameters(), **SGD)

    def step() -> object:
        loss = mg.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.value

    return step


def replayed(network: Network) -> Callable[[], object]:
    """The same step, recorded once and replayed."""
    model = network.build().initialize(0)
    images, labels = network.data()
    optimizer = mg.optim.SGD(model.parameters(), **SGD)
    step = mg.compile(lambda x, labels: mg.cross_entropy(model(x), labels), optimizer)
    return lambda: step(images, labels)


def forward(network: Network) -> Callable[[], object]:
    """Ours forward only, as in use; gives the scores."""
    model, images = network.build().initialize(0).eval(), mg.constant(network.data()[0])

    def forward() -> object:
        with mg.no_grad():
            return model(images)

    return forward


def replayed_forward(network: Network) -> Callable[[], object]:
    """The same, recorded once and replayed."""
    scores, (images, _) = mg.compile(network.build().initialize(0).eval()), network.data()

    def forward() -> object:
        with mg.no_grad():
            return scores(images)

    return forward


def contenders(network: Network, training: bool = True, values: bool = True) -> dict[str, Contender]:
    """Ours, and PyTorch's in both layouts; PyTorch's parameters are equal to ours, or its own without ``values``."""

    def torchs(channels_last: bool) -> Callable[[], object]:
        from benchmarks import torch_graph

        return torch_graph.contender(network, channels_last, training, values)

    return {
        OURS: partial(step if training else forward, network),
        "torch": partial(torchs, False),
        "torch, channels last": partial(torchs, True),
    }
