"""Dropout: entries set to zero at random, the rest scaled up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from minigraph.arguments import expect_flags, expect_number
from minigraph.array import Array
from minigraph.maps import Diagonal, LinearMap
from minigraph.mode import MODE, replayed
from minigraph.node import Spec
from minigraph.op import Op, expect_floats
from minigraph.ops.geometry import expect_axes, over_axes
from minigraph.random import generator

__all__ = [
    "dropout", "dropout1d", "dropout2d", "dropout3d",
]  # fmt: skip


@dataclass(eq=False)
class Dropout(Op):
    """y = x · m, m = 0 with probability p, else 1/(1 − p).   (S) → (S);   J = diag(m).

    The mask is a function of the seed, so computing it again gives the same.
    """

    name = "dropout"
    formulas = ("diag(m)",)
    legend: ClassVar[dict[str, str]] = {"m": "the mask"}
    p: float
    seed: int

    def infer(self, x: Spec) -> Spec:
        return Spec(x.shape, expect_floats(self, x=x))

    def drawn(self, x: Any) -> tuple[int, ...]:
        """Sides of the mask: one draw for each entry."""
        return x.shape  # type: ignore[no-any-return]

    def mask(self, x: Any) -> Array:
        keep = np.random.default_rng(self.seed).random(self.drawn(x), np.float32) >= self.p
        scaled: Array = keep * x.dtype.type(1 / (1 - self.p) if self.p < 1 else 0)
        return scaled

    def forward(self, x: Array) -> Any:
        return x * self.mask(x)

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap]:
        return (Diagonal(x, self.mask, (x,)),)


@dataclass(eq=False)
class ChannelDropout(Dropout):
    """y = x · m, m drawn for each channel of each sample, as in Dropout.   (N, C, *n) → (N, C, *n);   J = diag(m)."""

    axes: int = field(default=2, repr=False)

    def __post_init__(self) -> None:
        self.name = f"dropout{self.axes}d"

    def infer(self, x: Spec) -> Spec:
        expect_axes(self, self.axes, "N, C", x=x)
        return super().infer(x)

    def drawn(self, x: Any) -> tuple[int, ...]:
        return *x.shape[:2], *(1 for _ in x.shape[2:])


def dropout(x: Any, p: float = 0.5, rng: np.random.Generator | int | None = None, training: bool = True) -> Any:
    """Zero each entry with probability ``p`` and scale the rest by 1/(1 − p); x itself unless ``training``. (S) → (S).

    J = diag(mask). ``rng``: a numpy.random.Generator or a seed, needed in training. Srivastava et al. 2014.
    Raises ValueError for p outside [0, 1], TypeError for another rng.
    """
    return _dropped(Dropout, "dropout", x, p, rng, training)


def _dropout(
    d: int, x: Any, p: float = 0.5, rng: np.random.Generator | int | None = None, training: bool = True
) -> Any:
    """Zero whole channels of each sample with probability ``p``, scale the rest by 1/(1 − p): x (N, C, H, W) → the same.

    Neighbouring pixels are alike, so zeroing single ones takes little away. J = diag(mask). ``rng`` as in dropout.
    Tompson et al. 2015. Raises ShapeError, ValueError for p outside [0, 1], TypeError for another rng.
    """
    return _dropped(ChannelDropout, f"dropout{d}d", x, p, rng, training, d)


dropout1d, dropout2d, dropout3d = over_axes(_dropout)


def _dropped(op: type[Dropout], name: str, x: Any, p: float, rng: Any, training: bool, *axes: int) -> Any:
    expect_number(name, p=p)
    expect_flags(name, training=training)
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: got p {p}; wanted a probability from 0 to 1")
    if not training or p == 0:
        return x
    effects = MODE.get().effects
    with replayed():
        dropped = op(float(p), int(generator(rng, name).integers(2**63)), *axes)
    if effects is not None:
        effects.before[dropped] = lambda: setattr(dropped, "seed", int(generator(rng, name).integers(2**63)))
    return dropped(x)
