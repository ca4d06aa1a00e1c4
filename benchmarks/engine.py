"""The engine: cost of a node, and of importing the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import minigraph as mg
from benchmarks import timing
from benchmarks.timing import OURS, Row, compare, python

LENGTH = 1000


def chain(x: Any, factor: Any) -> Any:
    for _ in range(LENGTH):
        x = x * factor
    return x


def ours(constant: bool) -> Callable[[], object]:
    def call() -> None:
        x = mg.parameter(np.float64(1.0001))
        chain(x, 1.0001 if constant else x).backward()

    return call


def torchs(constant: bool) -> Callable[[], object]:
    torch = timing.torch()

    def call() -> None:
        x = torch.tensor(1.0001, dtype=torch.float64, requires_grad=True)
        chain(x, 1.0001 if constant else x).backward()

    return call


def rows(repeats: int) -> Iterator[Row]:
    """Scalar chains, forward and backward, per node; import time."""
    for constant, text in ((False, "y = y * x"), (True, "y = y * 1.0001")):
        contenders = {OURS: partial(ours, constant), "torch": partial(torchs, constant)}
        yield compare(f"scalar chain {text}, a node of it", 1, repeats, contenders, LENGTH)
    codes = {OURS: "import minigraph", "NumPy, SciPy": "import numpy, scipy.sparse, scipy.special"}
    yield compare("import", 1.3, repeats, {name: partial(partial, python, code) for name, code in codes.items()})
