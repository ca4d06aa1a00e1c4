"""What a computation leaves behind is freed when the last reference goes: no op waits for the garbage collector."""

import gc

import numpy as np
import pytest

import minigraph as mg
from minigraph.node import FLOATS
from minigraph.op import Op
from minigraph.tape import Tape

CASES = [(cls, case) for cls in Op.registry for case in cls.cases(np.random.default_rng(0))]


@pytest.fixture(scope="module")
def left_for_the_collector():
    """A function that names the types of what only the collector can free, made since it was last called."""

    def left():
        gc.collect()
        found = sorted({type(x).__name__ for x in gc.garbage})
        gc.garbage.clear()
        return found

    gc.collect()
    gc.freeze()  # all that is there already is looked through no more, which takes most of the time
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield left
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.unfreeze()


def compute(case):
    """Forward, both walks, every map's verbs and matrices, and derivatives of second order."""
    nodes = [mg.parameter(x) if np.asarray(x).dtype in FLOATS else mg.constant(x) for x in case.inputs]
    wrt = [x for x in nodes if x.dtype in FLOATS]
    y = case.op(*nodes)
    if y.dtype not in FLOATS:
        return
    tape = Tape.of(y)
    for node in tape.nodes:
        for J in tape.local(node) if node.op else ():
            if J is not None:
                J.push(np.ones(J.in_shape)), J.pull(np.ones(J.out_shape)), J.tosparse(), list(J.row_blocks(3)), repr(J)
    tape.push({x: np.ones(x.shape) for x in wrt})
    for x in wrt:
        tape.jacobian(x).tosparse()
    found = [c for c in tape.pull(np.ones(y.shape), wrt, create_graph=True) if isinstance(c, mg.Node)]
    for c in found:
        Tape.of(c).pull(np.ones(c.shape), wrt)
    np.sum(y).backward()


@pytest.mark.parametrize(("cls", "case"), CASES, ids=[f"{cls.__name__}-{case.op}"[:40] for cls, case in CASES])
def test_no_op_leaves_garbage(cls, case, left_for_the_collector):
    left_for_the_collector()  # of others
    compute(case)
    assert left_for_the_collector() == []
