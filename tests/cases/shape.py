"""Rearrangements: lists are the other implementation."""

import numpy as np

from cases.case import Case, cases_of
from minigraph.node import Node, Spec
from minigraph.ops.shape import (
    Cast,
    Concatenate,
    Rearrange,
    broadcast_to,
    diagonal,
    flip,
    getitem,
    pad,
    repeat,
    reshape,
    roll,
    sort,
    take,
    tile,
    transpose,
    tril,
)


@cases_of(Rearrange)
def rearrange(rng):
    x = rng.standard_normal((3, 4))
    m = [list(row) for row in x]
    flat = [v for row in m for v in row]
    columns = [list(c) for c in zip(*m, strict=True)]
    bad = (np.ones(5),)
    yield Case(lambda x: reshape(x, (2, 6)), (x,), [flat[:6], flat[6:]], bad, "reshape")
    yield Case(transpose, (x,), columns)
    yield Case(lambda x: broadcast_to(x, (2, 3, 4)), (x,), [m, m], bad, "broadcast")
    yield Case(lambda x: flip(x, 1), (x,), [row[::-1] for row in m], bad, "flip")
    yield Case(lambda x: roll(x, 1, 0), (x,), [m[-1], *m[:-1]])
    yield Case(lambda x: repeat(x, 2, 0), (x,), [m[0], m[0], m[1], m[1], m[2], m[2]])
    yield Case(lambda x: tile(x, (1, 2)), (x,), [row * 2 for row in m])
    yield Case(lambda x: take(x, [2, 0, 2], 0), (x,), [m[2], m[0], m[2]])
    yield Case(lambda x: diagonal(x), (x,), [m[0][0], m[1][1], m[2][2]], bad, "diag")
    yield Case(lambda x: tril(x), (x,), [[v if j <= i else 0 for j, v in enumerate(row)] for i, row in enumerate(m)])
    yield Case(lambda x: sort(x, 1), (x,), [sorted(row) for row in m])
    yield Case(lambda x: x[1:, ::-2] if isinstance(x, Node) else getitem(x, (slice(1, None), slice(None, None, -2))), (x,),
               [row[::-2] for row in m[1:]])  # fmt: skip
    yield Case(lambda x: getitem(x, ([0, 2, 0], [1, 1, 1])), (x,), [m[0][1], m[2][1], m[0][1]])
    yield Case(lambda x: getitem(x, x > 0 if not isinstance(x, Spec) else ...), (x,), [v for v in flat if v > 0])
    yield Case(lambda x: pad(x, ((1, 0), (0, 2))), (x,), [[0] * 6, *[[*row, 0, 0] for row in m]])
    yield Case(lambda x: pad(x, 1, constant_values=7), (x,), [[7] * 6, *[[7, *row, 7] for row in m], [7] * 6])
    yield Case(lambda x: pad(x, ((0, 0), (1, 1)), mode="reflect"), (x,), [[row[1], *row, row[-2]] for row in m])


@cases_of(Concatenate)
def concatenate(rng):
    a, b, c = rng.standard_normal((2, 3)), rng.standard_normal((2, 1)), rng.standard_normal((2, 2))
    yield Case(Concatenate(1), (a, b, c), [[*p, *q, *r] for p, q, r in zip(a, b, c, strict=True)], (a, b.T, c), "agree")
    yield Case(Concatenate(0), (a, a), [*a, *a])


@cases_of(Cast)
def cast(rng):
    x = rng.standard_normal(3)
    yield Case(Cast(np.float64), (x,), [float(v) for v in x])
