"""Initialisers: (shape, rng) → float64 array. Weights have shape (out, in, *kernel); fans count the kernel's taps."""

from __future__ import annotations

from functools import partial
from math import prod, sqrt

import numpy as np

from minigraph.arguments import expect_number, expect_positive
from minigraph.array import Array
from minigraph.nn.module import Initializer
from minigraph.op import expect
from minigraph.ops.geometry import sides
from minigraph.random import generator


def _fans(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs that an output sees, outputs that an input reaches."""
    shape = sides(name, "shape", shape)
    expect(len(shape) > 0, name, "a shape of at least one axis", shape=shape)
    taps = prod(shape[2:])
    return prod(shape[1:2]) * taps, shape[0] * taps


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """All zero, as biases start."""
    return np.zeros(shape)


def ones(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """All one, as the scales of batch norm start."""
    return np.ones(shape)


def normal(std: float = 0.01, mean: float = 0.0) -> Initializer:
    """Normal with the given deviation: AlexNet's 0.01 (Krizhevsky et al. 2012)."""
    expect_positive("normal", zero=True, std=std)
    expect_number("normal", mean=mean)
    return partial(_normal, std, mean)


def _normal(std: float, mean: float, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return generator(rng, "normal").normal(mean, std, shape)


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Normal with variance 2 / fan_in: keeps the variance through ReLUs forward (He et al. 2015)."""
    return generator(rng, "he_normal").normal(0, sqrt(2 / max(_fans("he_normal", shape)[0], 1)), shape)


def he_normal_fan_out(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Normal with variance 2 / fan_out: keeps it through ReLUs backward (He et al. 2015)."""
    return generator(rng, "he_normal_fan_out").normal(0, sqrt(2 / max(_fans("he_normal_fan_out", shape)[1], 1)), shape)


def he_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Uniform with variance 2 / fan_in (He et al. 2015)."""
    bound = sqrt(6 / max(_fans("he_uniform", shape)[0], 1))
    return generator(rng, "he_uniform").uniform(-bound, bound, shape)


def xavier_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Normal with variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""
    return generator(rng, "xavier_normal").normal(0, sqrt(2 / max(sum(_fans("xavier_normal", shape)), 1)), shape)


def xavier_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""
    bound = sqrt(6 / max(sum(_fans("xavier_uniform", shape)), 1))
    return generator(rng, "xavier_uniform").uniform(-bound, bound, shape)


def lecun_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Uniform in ±1/√fan_in: PyTorch's default for weights."""
    bound = 1 / sqrt(max(_fans("lecun_uniform", shape)[0], 1))
    return generator(rng, "lecun_uniform").uniform(-bound, bound, shape)
