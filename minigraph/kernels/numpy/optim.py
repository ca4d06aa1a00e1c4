"""Steps of optimizers, in parts that stay in cache, in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigraph.kernels.numpy.memory import in_memory
from minigraph.kernels.numpy.threads import parallel_slices
from minigraph.kernels.window import Array


def update(rule: Callable[..., Any], new: Array, old: Array, g: Array, state: Sequence[Array], *settings: Any) -> None:
    """Write rule(old, g, *state, *settings) into ``new``, which may be ``old``; the rule changes ``state`` in place.

    The rule works entry by entry, so that it can be applied to parts.
    """
    order = in_memory(new)
    new, old, g, *state = (np.atleast_1d(a.transpose(order)) for a in (new, old, g, *state))

    def part(s: slice) -> None:
        new[s] = rule(old[s], g[s], *(a[s] for a in state), *settings)

    parallel_slices(part, len(new), new.size, uses_blas=False)
