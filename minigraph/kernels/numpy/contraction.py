"""Contractions of index letters, pair by pair as matrix products."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minigraph.kernels.numpy import summation
from minigraph.kernels.numpy.products import matmul
from minigraph.kernels.window import Array


@lru_cache(maxsize=4096)
def _plan(a: str, b: str, out: str) -> tuple[str, str, str, str, str, str]:
    """Letters of a pair of factors: (summed in a alone, summed in b alone, batch, a's own, shared and summed, b's own)."""
    lone_a = "".join(c for c in a if c not in b and c not in out)
    lone_b = "".join(c for c in b if c not in a and c not in out)
    batch = "".join(c for c in out if c in a and c in b)
    free_a = "".join(c for c in out if c in a and c not in b)
    free_b = "".join(c for c in out if c in b and c not in a)
    return lone_a, lone_b, batch, free_a, "".join(c for c in a if c in b and c not in out), free_b


def contract(subscripts: str, *xs: Array) -> Any:
    """np.einsum for distinct letters in each factor, every pair of factors by one matrix product."""
    terms, out = subscripts.split("->")
    names = terms.split(",")
    if len(xs) == 1:
        x, a = _alone(names[0], xs[0], out)
        return np.einsum(f"{a}->{out}", x)
    a, x = names[0], xs[0]
    for i, (b, z) in enumerate(zip(names[1:], xs[1:], strict=True), 1):
        later = set(out).union(*names[i + 1 :])
        target = out if i == len(xs) - 1 else "".join(dict.fromkeys(c for c in a + b if c in later))
        a, x = target, _pair(a, x, b, z, target)
    return x


def _alone(a: str, x: Array, others: str) -> tuple[Any, str]:
    """The sum of x over those of its letters a that are not among the ``others``, and the letters left."""
    axes = tuple(i for i, c in enumerate(a) if c not in others)
    return (summation.total(x, axes) if axes else x), "".join(c for c in a if c in others)


def _pair(a: str, x: Array, b: str, z: Array, out: str) -> Any:
    lone_a, lone_b, batch, free_a, summed, free_b = _plan(a, b, out)
    if lone_a:
        x, a = _alone(a, x, b + out)
    if lone_b:
        z, b = _alone(b, z, a + out)
    sides = dict(zip(a + b, x.shape + z.shape, strict=True))

    def matrices(letters: str, array: Array, rows: str, columns: str) -> Array:
        shape = [prod(tuple(sides[c] for c in group)) for group in (rows, columns)]
        return array.transpose([letters.index(c) for c in batch + rows + columns]).reshape(
            [sides[c] for c in batch] + shape
        )

    if not batch + free_a + free_b and summation.single(x) and summation.single(z):
        return summation.inner(*(np.ravel(f.transpose([t.index(c) for c in summed])) for t, f in ((a, x), (b, z))))
    left, right = matrices(a, x, free_a, summed), matrices(b, z, summed, free_b)
    if not summed:
        product = left * right
    elif not batch and left.shape[0] == 1:
        product = summation.row_times(left, right)
    else:
        product = matmul(left, right)
    letters = batch + free_a + free_b
    shape = tuple(sides[c] for c in letters)
    if letters == out and product.shape == shape:
        return product  # not a view
    return product.reshape(shape).transpose([letters.index(c) for c in out])
