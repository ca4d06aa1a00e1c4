"""What a computation leaves behind is freed when the last reference goes: no op waits for the garbage collector."""

import gc

import numpy as np
import pytest
from cases import CASES

import minigraph as mg
from minigraph import nn
from minigraph.inspect.draw import to_dot
from minigraph.node import FLOATS
from minigraph.tape import Tape


@pytest.fixture(scope="module")
def left_for_the_collector():
    """A function that names the types of what only the collector can free, made since it was last called."""

    def left():
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        found = sorted({type(x).__name__ for x in gc.garbage})
        gc.garbage.clear()
        gc.collect()
        return found

    gc.collect()
    gc.freeze()  # all that is there already is looked through no more, which takes most of the time
    gc.disable()
    try:
        yield left
    finally:
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
                J.push(np.ones(J.in_shape))
                J.pull(np.ones(J.out_shape))
                assert [J.tosparse(), *J.row_blocks(3), repr(J)]
    tape.push({x: np.ones(x.shape) for x in wrt})
    for x in wrt:
        tape.jacobian(x).tosparse()
    found = [c for c in tape.pull(np.ones(y.shape), wrt, create_graph=True) if isinstance(c, mg.Node)]
    for c in found:
        Tape.of(c).pull(np.ones(c.shape), wrt)
    np.sum(y).backward()


@pytest.mark.parametrize(
    ("cls", "case"), CASES, ids=[f"{cls.__name__}-{getattr(case.op, 'name', 'composed')}" for cls, case in CASES]
)
def test_no_op_leaves_garbage(cls, case, left_for_the_collector):
    compute(case)
    left_for_the_collector()  # of others, and of what NumPy and SciPy make when they are first called
    compute(case)
    assert left_for_the_collector() == []


def small_network():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, groups=4),
        nn.LocalResponseNorm(3), nn.Dropout(0.5), nn.GlobalAvgPool(), nn.Linear(4, 3),
    )  # fmt: skip


def train(model, optimizer):
    for p in model.parameters():
        p.grad = None
    mg.cross_entropy(model(np.ones((2, 2, 8, 8), np.float32)), [0, 1]).backward()
    optimizer.step()


def f(x):
    return np.sum(np.tanh(x) * x)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: mg.grad(f)(x),
        lambda x: mg.grad(mg.checkpoint(f))(x),
        lambda x: mg.value_and_grad(f)(x),
        lambda x: mg.jvp(f, [x], [x]),
        lambda x: mg.vjp(f, x)[1](1.0),
        lambda x: mg.hvp(f, [x], [x]),
        lambda x: mg.hessian(f)(x),
        lambda x: mg.jacobian(np.tanh, format="csr")(x),
        lambda x: mg.linearize(f, x),
        lambda x: mg.check_grads(f, x),
        lambda x: mg.grad(lambda x: np.sum(mg.grad(f)(x)))(x),
        lambda x: str(mg.summary(f(mg.parameter(x)))),
        lambda x: to_dot(f(mg.parameter(x))),
        lambda x: mg.lower(mg.conv2d(mg.parameter(np.ones((1, 1, 4, 4))), np.ones((1, 1, 2, 2))), "toeplitz"),
        lambda x: mg.profile(f(mg.parameter(x)), repeats=1),
        lambda x: mg.verify(mg.linear(np.ones((1, 3)), mg.parameter(x))),
    ],
)
def test_no_function_leaves_garbage(call, left_for_the_collector):
    x = np.linspace(0.1, 1, 6).reshape(2, 3)
    call(x)  # once, for what is imported when first needed
    left_for_the_collector()
    call(x)
    assert left_for_the_collector() == []


def test_no_step_of_training_leaves_garbage(left_for_the_collector):
    model = small_network()
    model.initialize(0)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, optimizer)
    left_for_the_collector()
    train(model, optimizer)
    assert left_for_the_collector() == []
