"""The engine: cost of a node, and of importing the package."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import minigraph as mg
from benchmarks.timing import Row, compare, python

LENGTH = 1000


def chain(x: Any, factor: Any) -> Any:
    for _ in range(LENGTH):
        x = x * factor
    return x


def rows() -> Iterator[Row]:
    """Scalar chains, forward and backward, per node; import time."""

    def ours(constant: bool) -> None:
        x = mg.parameter(np.float64(1.0001))
        chain(x, 1.0001 if constant else x).backward()

    def torchs(constant: bool) -> None:
        x = torch.tensor(1.0001, dtype=torch.float64, requires_grad=True)
        chain(x, 1.0001 if constant else x).backward()

    for constant, text in ((False, "y = y * x"), (True, "y = y * 1.0001")):
        yield compare(f"scalar chain {text}, forward + backward, per node", "≤ 1", 100, LENGTH,
                      minigraph=lambda c=constant: ours(c), torch=lambda c=constant: torchs(c))  # fmt: skip
    yield compare("import", "≤ 1.3", 9, minigraph=python("import minigraph"),
                  numpy_scipy=python("import numpy, scipy.sparse, scipy.special"))  # fmt: skip
