"""Matrices of maps: some rows without the rest, what is stored, and the memory that it takes."""

import numpy as np
import pytest

import minigraph as mg
from minigraph.node import FLOATS
from minigraph.op import Op
from minigraph.tape import Tape

CASES = [(cls, case) for cls in Op.registry for case in cls.cases(np.random.default_rng(0))]


def maps(op, inputs):
    tape = Tape.of(op(*[mg.parameter(x) if np.asarray(x).dtype in FLOATS else mg.constant(x) for x in inputs]))
    return [J for node in tape.nodes if node.op for J in tape.local(node) if J is not None]


@pytest.mark.parametrize(("cls", "case"), CASES, ids=[f"{cls.__name__}-{case.op}"[:40] for cls, case in CASES])
def test_rows_are_those_of_the_matrix(cls, case):
    rng = np.random.default_rng(0)
    for J in maps(case.op, case.inputs):
        whole, n = J._matrix(), J.shape[0]
        for index in (np.arange(n), rng.permutation(n)[: n // 2], rng.integers(0, n, 5) if n else np.arange(0)):
            wanted, found = whole[index], J._rows(index)
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_array_equal(found.indptr, wanted.indptr)
            np.testing.assert_array_equal(found.indices, wanted.indices)
            np.testing.assert_array_equal(found.data, wanted.data)
