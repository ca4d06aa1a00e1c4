"""Dropout: the same numbers drawn once more."""

import numpy as np

from cases.case import Case, cases_of
from minigraph.ops.dropout import ChannelDropout, Dropout


@cases_of(Dropout)
def dropout(rng):
    x = rng.standard_normal((3, 4))
    drawn = np.random.default_rng(7).random((3, 4), np.float32)
    yield Case(Dropout(0.25, 7), (x,), np.where(drawn < 0.25, 0, x / 0.75))
    yield Case(Dropout(1.0, 7), (x,), np.zeros((3, 4)))


@cases_of(ChannelDropout)
def channel_dropout(rng):
    for axes in (1, 2, 3):
        x = rng.standard_normal((2, 3, 4, 2, 1)[: axes + 2])
        kept = np.random.default_rng(7).random((2, 3), np.float32) >= 0.5
        y = [[2 * x[n, c] if kept[n, c] else 0 * x[n, c] for c in range(3)] for n in range(2)]
        yield Case(ChannelDropout(0.5, 7, axes), (x,), y, (x[0],), "axes")
