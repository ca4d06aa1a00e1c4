"""The ops of the engine itself."""

import numpy as np

from cases.case import Case, cases_of
from minigraph.maps import Apply, pick
from minigraph.transforms import Argument, Checkpoint, checkpoint


@cases_of(Apply)
def apply(rng):
    index = np.array([[3, -1], [0, 3]])
    x = rng.standard_normal(5)
    yield Case(Apply(pick(index, (5,), x.dtype)), (x,), np.array([[x[3], 0], [x[0], x[3]]]))
    g = rng.standard_normal((2, 2))
    yield Case(Apply(pick(index, (5,), x.dtype).T), (g,), np.array([g[1, 0], 0, 0, g[0, 0] + g[1, 1], 0]))


@cases_of(Argument)
def argument(rng):
    x = rng.standard_normal((2, 3))
    yield Case(Argument(), (x,), x.tolist())


@cases_of(Checkpoint)
def checkpointed(rng):
    x = rng.standard_normal(4)
    yield Case(checkpoint(lambda x: np.sin(x) * x), (x,), np.sin(x) * x)
