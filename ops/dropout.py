"""Dropout: entries set to zero at random, the rest scaled up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.linear import Diagonal, LinearMap
from minigraph.node import Spec
from minigraph.op import Case, Op, expect_floats, expect_number
from minigraph.random import generator

__all__ = [
    "dropout",
]  # fmt: skip


@dataclass(eq=False)
class Dropout(Op):
    """y = x · m, m = 0 with probability p, else 1/(1 − p).   (S) → (S);   J = diag(m).

    The mask is a function of the seed, so computing it again gives the same.
    """

    name = "dropout"
    p: float
    seed: int

    def infer(self, x: Spec) -> Spec:
        return Spec(x.shape, expect_floats(self, x=x))

    def mask(self, x: Any) -> Array:
        keep = np.random.default_rng(self.seed).random(x.shape, np.float32) >= self.p
        scaled: Array = keep * x.dtype.type(1 / (1 - self.p) if self.p < 1 else 0)
        return scaled

    def forward(self, x: Array) -> Any:
        return x * self.mask(x)

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap]:
        return (Diagonal(x, self.mask, (x,)),)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        x = rng.standard_normal((3, 4))
        drawn = np.random.default_rng(7).random((3, 4), np.float32)
        yield Case(cls(0.25, 7), (x,), np.where(drawn < 0.25, 0, x / 0.75))
        yield Case(cls(1.0, 7), (x,), np.zeros((3, 4)))


def dropout(x: Any, p: float = 0.5, rng: np.random.Generator | int | None = None, training: bool = True) -> Any:
    """Zero each entry with probability ``p`` and scale the rest by 1/(1 − p); x itself unless ``training``. (S) → (S).

    J = diag(mask). ``rng``: a numpy.random.Generator or a seed, needed in training. Srivastava et al. 2014.
    Raises ValueError for p outside [0, 1], TypeError for another rng.
    """
    expect_number("dropout", p=p)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: got p {p}; wanted a probability from 0 to 1")
    if not training or p == 0:
        return x
    return Dropout(float(p), int(generator(rng, "dropout").integers(2**63)))(x)
