"""Dense Jacobians, Hessians and per-sample gradients against those of torch.func, and of a loop over torch.autograd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import numpy as np

import minigraph as mg
from benchmarks import timing
from benchmarks.networks import LENET
from benchmarks.timing import OURS, Row, compare

SIZES = [(16, 8), (16,), (4, 16), (4,)]  # of a perceptron of 8, 16 and 4 units: weight, bias, weight, bias
SAMPLES = 16


def rows(repeats: int) -> Iterator[Row]:
    """The scores of an image, the loss of a perceptron, the losses of a batch."""
    yield scores(repeats)
    yield perceptron(repeats)
    yield losses(repeats)


def stacked_pulls(torch: Any, y: Any, x: Any) -> Any:
    """∂y/∂x by a backward walk for each entry of y."""
    return torch.stack([torch.autograd.grad(entry, x, retain_graph=True)[0] for entry in y.reshape(-1)])


def scores(repeats: int) -> Row:
    """LeNet-5's ten scores by the pixels of one image."""
    network = LENET._replace(shape=(1, *LENET.shape[1:]))
    images, _ = network.data()

    def ours() -> Callable[[], object]:
        model = network.build().initialize(0)
        return lambda: mg.jacobian(model)(images)

    def jacrev() -> Callable[[], object]:
        from benchmarks.torch_graph import convert, torch

        model, x = convert(network, training=False), torch.from_numpy(images)
        return lambda: torch.func.jacrev(model)(x)

    def loop() -> Callable[[], object]:
        from benchmarks.torch_graph import convert, torch

        model, x = convert(network, training=False), torch.from_numpy(images).requires_grad_()
        return lambda: stacked_pulls(torch, model(x), x)

    return compare(
        "scores of LeNet-5 by an image, dense", 1.0, repeats, {OURS: ours, "torch jacrev": jacrev, "torch loop": loop}
    )


def perceptron(repeats: int) -> Row:
    """The Hessian of the loss of a perceptron by all of its parameters, in one vector."""
    rng = np.random.default_rng(0)
    vector = 0.3 * rng.standard_normal(sum(map(np.prod, SIZES)), np.float32)
    x, labels = rng.standard_normal((SAMPLES, 8), np.float32), rng.integers(0, 4, SAMPLES)
    ends = np.cumsum([np.prod(size) for size in SIZES])

    def parts(vector: Any) -> list[Any]:
        return [vector[end - np.prod(size) : end].reshape(size) for size, end in zip(SIZES, ends, strict=True)]

    def ours() -> Callable[[], object]:
        def loss(vector: Any) -> Any:
            w, b, v, c = parts(vector)
            return mg.cross_entropy(mg.linear(np.tanh(mg.linear(x, w, b)), v, c), labels)

        return lambda: mg.hessian(loss)(vector)

    def torchs(loop: bool) -> Callable[[], object]:
        torch = timing.torch()
        F, images, targets, start = torch.nn.functional, *map(torch.from_numpy, (x, labels, vector))

        def loss(vector: Any) -> Any:
            w, b, v, c = parts(vector)
            return F.cross_entropy(F.linear(torch.tanh(F.linear(images, w, b)), v, c), targets)

        def by_loop() -> object:
            at = start.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(at), at, create_graph=True)
            return stacked_pulls(torch, gradient, at)

        return by_loop if loop else lambda: torch.func.jacrev(torch.func.jacrev(loss))(start)

    return compare(
        "Hessian of the loss of a perceptron 8-16-4", 1.0, repeats,
        {OURS: ours, "torch jacrev of jacrev": lambda: torchs(False), "torch loop": lambda: torchs(True)},
    )  # fmt: skip


def losses(repeats: int) -> Row:
    """The gradients of LeNet-5's parameters for each of 32 samples: the Jacobians of the losses."""
    network = LENET._replace(shape=(32, *LENET.shape[1:]))
    images, labels = network.data()

    def ours() -> Callable[[], object]:
        model = network.build().initialize(0)
        return lambda: mg.Tape.of(mg.cross_entropy(model(images), labels, reduction="none")).jacobians()

    def torchs() -> tuple[Any, Callable[..., Any], Any, Any]:
        """The parameters, the loss of a sample as a function of them, and the samples."""
        from benchmarks.torch_graph import convert, torch

        graph = convert(network, training=False)

        def loss(parameters: Any, image: Any, label: Any) -> Any:
            model = copy(graph)
            model.parameters = parameters
            return torch.nn.functional.cross_entropy(model(image[None]), label[None])

        return graph.parameters, loss, torch.from_numpy(images), torch.from_numpy(labels)

    def vmap() -> Callable[[], object]:
        parameters, loss, x, y = torchs()
        func = timing.torch().func
        detached = {place: p.detach() for place, p in parameters.items()}
        gradients = func.vmap(func.grad(loss), (None, 0, 0))
        return lambda: gradients(detached, x, y)

    def loop() -> Callable[[], object]:
        parameters, loss, x, y = torchs()
        grad = timing.torch().autograd.grad
        return lambda: [grad(loss(parameters, *sample), parameters.values()) for sample in zip(x, y, strict=True)]

    return compare(
        "gradients of LeNet-5 for each of 32 samples", 1.0, repeats,
        {OURS: ours, "torch vmap of grad": vmap, "torch loop": loop},
    )  # fmt: skip
