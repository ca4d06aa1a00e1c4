"""A training step of LeNet-5 against other engines for automatic differentiation on NumPy, as their users write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.networks import LENET, SGD, step
from benchmarks.timing import OURS, Row, compare


def values() -> list[np.ndarray]:
    """The weights that ours starts from, layer by layer: weight, bias, weight, …"""
    return [np.array(p.value) for p in LENET.build().initialize(0).parameters()]


def descend(p: np.ndarray, g: np.ndarray, velocity: np.ndarray) -> None:
    """SGD's step, in place."""
    velocity *= SGD["momentum"]
    velocity += g + SGD["weight_decay"] * p
    p -= SGD["lr"] * velocity


def mygrads() -> Callable[[], object]:
    from mygrad import matmul, reshape, tensor
    from mygrad.nnet.activations import relu
    from mygrad.nnet.layers import conv_nd, max_pool
    from mygrad.nnet.losses import softmax_crossentropy

    images, labels = LENET.data()
    weights = [tensor(v) for v in values()]
    velocities = [np.zeros_like(p.data) for p in weights]

    def call() -> object:
        F1, b1, F2, b2, W1, c1, W2, c2, W3, c3 = weights
        h = relu(conv_nd(images, F1, stride=1, padding=2) + reshape(b1, (1, -1, 1, 1)))
        h = relu(conv_nd(max_pool(h, (2, 2), 2), F2, stride=1) + reshape(b2, (1, -1, 1, 1)))
        h = reshape(max_pool(h, (2, 2), 2), (len(images), -1))
        h = relu(matmul(h, W1.T) + c1)
        h = relu(matmul(h, W2.T) + c2)
        loss = softmax_crossentropy(matmul(h, W3.T) + c3, labels)
        loss.backward()
        for p, velocity in zip(weights, velocities, strict=True):
            descend(p.data, p.grad, velocity)
        return loss.item()

    return call


def autograds() -> Callable[[], object]:
    """Its convolution turns the filters by 180°; they start turned, so that the network is the same."""
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.signal import convolve
    from autograd.scipy.special import logsumexp

    images, labels = LENET.data()
    weights = [np.flip(v, (2, 3)).copy() if v.ndim == 4 else v for v in values()]
    velocities = [np.zeros_like(v) for v in weights]

    def conv(x, w, b):
        return convolve(x, w, axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid") + b.reshape((1, -1, 1, 1))

    def pool(x):
        N, C, H, W = x.shape
        return anp.max(anp.max(x.reshape((N, C, H // 2, 2, W // 2, 2)), axis=3), axis=4)

    def loss(weights):
        F1, b1, F2, b2, W1, c1, W2, c2, W3, c3 = weights
        h = pool(anp.maximum(0, conv(anp.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)), "constant"), F1, b1)))
        h = pool(anp.maximum(0, conv(h, F2, b2))).reshape((len(images), -1))
        h = anp.maximum(0, anp.dot(h, W1.T) + c1)
        h = anp.maximum(0, anp.dot(h, W2.T) + c2)
        scores = anp.dot(h, W3.T) + c3
        return anp.mean(logsumexp(scores, axis=1) - scores[anp.arange(len(labels)), labels])

    both = value_and_grad(loss)

    def call() -> object:
        value, gradients = both(weights)
        for p, g, velocity in zip(weights, gradients, velocities, strict=True):
            descend(p, g, velocity)
        return value

    return call


def rows(repeats: int) -> Iterator[Row]:
    """A row for each engine."""
    for name, wanted, theirs in (("MyGrad", 0.1, mygrads), ("autograd", 0.025, autograds)):
        yield compare(
            f"step of LeNet-5, batch 128, {name}", wanted, repeats, {OURS: partial(step, LENET), name: theirs}
        )
