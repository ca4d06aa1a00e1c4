"""Sample calls of every op: a file for each file of ops."""

import numpy as np

from cases import (  # noqa: F401  each enters its cases into FUNCTIONS
    activation,
    conv,
    dropout,
    elementwise,
    engine,
    interpolate,
    linalg,
    loss,
    normalization,
    pool,
    products,
    reduce,
    shape,
)
from cases.case import FUNCTIONS as FUNCTIONS
from cases.case import Case as Case
from cases.case import cases_of as cases_of
from minigraph.op import Op

CASES = [(cls, case) for cls in Op.registry if cls in FUNCTIONS for case in FUNCTIONS[cls](np.random.default_rng(0))]
