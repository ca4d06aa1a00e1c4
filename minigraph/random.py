"""Random generators, always from a numpy Generator or an integer seed that the caller passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigraph.mode import refuse_replay


def generator(rng: np.random.Generator | int | None, what: str) -> np.random.Generator:
    """``rng``, or a Generator seeded with it; ``what`` begins the error message. Raises TypeError for anything else."""
    if isinstance(rng, np.random.Generator):
        refuse_replay(f"{what} draws random numbers")
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"{what}: got rng {rng}; wanted a seed of at least 0")
        return np.random.default_rng(int(rng))
    given: Any = type(rng).__name__ if rng is not None else None
    raise TypeError(f"{what}: got rng {given}; wanted a numpy.random.Generator or an integer seed")
