"""Averages of weights over the steps of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.kernels import tasks
from minigraph.node import GraphError, Parameter
from minigraph.optim.optimizer import number


class ExponentialMovingAverage:
    """The exponential moving average of parameters: a = decay · a + (1 − decay) · p after every step.

    The first update takes the values as they are. ``update()`` is called after the optimizer's step; ``with applied():``
    puts the averages in place of the values, to evaluate or save. Buffers such as running statistics are not averaged.
    Raises ValueError for a decay out of [0, 1).
    """

    def __init__(self, params: Iterable[Parameter], decay: float = 0.999) -> None:
        self.decay = number(0, 1)("ExponentialMovingAverage", "decay", decay)
        self.params = list(params)
        for p in self.params:
            if not isinstance(p, Parameter):
                raise TypeError(f"ExponentialMovingAverage: got {type(p).__name__}; wanted parameters")
        self.averages: list[Array] = []

    def update(self) -> None:
        """Take the present values into the averages."""
        if not self.averages:
            self.averages = [np.array(p.value, order="K") for p in self.params]
            return
        for a, p in zip(self.averages, self.params, strict=True):
            tasks.update(_average, a, a, np.asarray(p.value), (), self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the parameters have the averages as values; after it the values from before. Before any update, as they are."""
        before = [np.array(p.value, order="K") for p in self.params] if self.averages else []
        for p, a in zip(self.params, self.averages, strict=False):
            p.replace(a.copy("K"))
        try:
            yield
        finally:
            for p, value in zip(self.params, before, strict=False):
                p.replace(value)

    def state_dict(self) -> dict[str, Any]:
        """{"decay": …, "averages": [arrays]}, empty before the first update."""
        return {"decay": self.decay, "averages": [a.copy() for a in self.averages]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state. Raises ValueError for averages of other shapes; nothing has changed then."""
        averages = [np.asarray(a) for a in state_dict["averages"]]
        shapes = [p.shape for p in self.params]
        if averages and [a.shape for a in averages] != shapes:
            raise ValueError(
                f"ExponentialMovingAverage: got averages of {len(averages)} parameters; wanted {len(shapes)} of the same shapes"
            )
        if averages and any(p.abstract for p in self.params):
            raise GraphError(
                "ExponentialMovingAverage: the parameters have no values yet; wanted initialize(rng) first"
            )
        self.decay = number(0, 1)("ExponentialMovingAverage", "decay", state_dict["decay"])
        self.averages = []
        for a, p in zip(averages, self.params, strict=False):
            kept = np.array(p.value, order="K")
            kept[...] = a
            self.averages.append(kept)


def _average(a: Array, p: Array, decay: float) -> Array:
    return a * decay + p * (1 - decay)
