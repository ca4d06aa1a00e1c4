"""Steps of optimizers, in parts that stay in cache, in place."""

from __future__ import annotations

import numpy as np

from minigraph.kernels.numpy.memory import in_memory
from minigraph.kernels.numpy.threads import parallel_slices
from minigraph.kernels.window import Array


def sgd_step(
    new: Array,
    old: Array,
    g: Array,
    velocity: Array | None,
    first: bool,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Write old − lr v into ``new``, which may be ``old``, and v into ``velocity``, which at ``first`` becomes d."""
    order = in_memory(new)
    turned = [np.atleast_1d(a.transpose(order)) for a in (new, old, g, *([] if velocity is None else [velocity]))]

    def part(s: slice) -> None:
        new, old, d, *rest = (a[s] for a in turned)
        if weight_decay:
            d = d + weight_decay * old
        for v in rest:
            if first:
                v[...] = d
            else:
                v *= momentum
                v += d if dampening == 0 else (1 - dampening) * d
            d = d + momentum * v if nesterov else v
        np.subtract(old, lr * d, out=new)

    parallel_slices(part, len(turned[0]), new.size)
