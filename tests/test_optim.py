"""Optimizers: SGD against its recurrence written out by hand; groups, states, frozen parameters, errors."""

import itertools
import threading
from contextvars import copy_context
from types import SimpleNamespace

import numpy as np
import pytest

import minigraph as mg
from minigraph.kernels.numpy import threads
from minigraph.optim import SGD


def by_hand(p, grads, lrs, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    """One number, one formula at a time."""
    v = None
    for g, lr in zip(grads, lrs, strict=True):
        d = g + weight_decay * p
        if momentum:
            v = d if v is None else momentum * v + (1 - dampening) * d
            d = d + momentum * v if nesterov else v
        p = p - lr * d
    return p


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": m, "dampening": d, "weight_decay": w, "nesterov": n}
        for m, d, w, n in itertools.product([0, 0.9], [0, 0.4], [0, 0.1], [False, True])
        if not n or (m and not d)
    ],
    ids=str,
)
def test_steps_are_the_recurrence(options):
    rng = np.random.default_rng(0)
    start, grads, lrs = rng.standard_normal(4), rng.standard_normal((5, 4)), [0.1, 0.1, 0.03, 0.03, 0]
    p = mg.parameter(start)
    optimizer = SGD([p], lr=1, **options)
    for g, optimizer.lr in zip(grads, lrs, strict=True):
        p.grad = g.copy()
        optimizer.step()
        np.testing.assert_array_equal(p.grad, g)
    for i in range(4):
        np.testing.assert_allclose(p.value[i], by_hand(start[i], grads[:, i], lrs, **options), rtol=1e-14)


def test_velocity_belongs_to_the_parameter_and_waits_where_there_is_no_gradient():
    p, q = mg.parameter([1.0, 2.0]), mg.parameter([1.0, 2.0])
    optimizer = SGD(iter([p, q]), lr=0.5, momentum=0.9)
    for skip in (False, True, False):
        optimizer.zero_grad()
        assert p.grad is None
        p.grad = np.ones(2)
        q.grad = None if skip else np.ones(2)
        optimizer.step()
    np.testing.assert_allclose(p.value, np.array([1, 2]) - 0.5 * (1 + 1.9 + 2.71))
    np.testing.assert_allclose(q.value, np.array([1, 2]) - 0.5 * (1 + 1.9))


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_float32_stays_and_values_are_read_only_and_new(shape):
    p = mg.parameter(np.ones(shape, np.float32), "p")
    before = p.value
    y = mg.ops.sum(p * p)
    optimizer = mg.optim.SGD([p], np.float64(0.1), momentum=0.9, weight_decay=0.1, nesterov=True)
    for _ in range(2):
        mg.ops.sum(p * p).backward()
        optimizer.step()
    assert p.value.dtype == np.float32
    assert isinstance(p.value, np.floating) or not p.value.flags.writeable
    np.testing.assert_array_equal(before, np.ones(shape))
    with pytest.raises(mg.GraphError, match="'p' was changed"):
        y.backward()


def test_it_finds_the_minimum():
    target = np.array([3.0, -1.0])
    p = mg.parameter(np.zeros(2))
    optimizer = SGD([p], lr=0.1, momentum=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        mg.ops.sum((p - target) ** 2).backward()
        optimizer.step()
    np.testing.assert_allclose(p.value, target, atol=1e-10)


def test_wrong_arguments():
    p = mg.parameter([1.0], "w")
    for params, error, match in [
        ([], ValueError, "empty list"),
        (p, TypeError, "'w'; wanted a list"),
        (None, TypeError, "NoneType; wanted a list"),
        ([np.ones(2)], TypeError, "ndarray in the list"),
        ([mg.constant([1.0], "x")], TypeError, "constant 'x' in the list"),
        ([p, p], ValueError, "'w' twice"),
    ]:
        with pytest.raises(error, match=match):
            SGD(params, lr=0.1)
    for options, match in [
        ({"lr": -1}, "lr -1"),
        ({"lr": float("nan")}, "lr nan"),
        ({"momentum": -0.1}, "momentum"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"dampening": float("inf")}, "dampening inf"),
        ({"nesterov": True}, "nesterov with momentum 0"),
        ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "dampening 0.1"),
    ]:
        with pytest.raises(ValueError, match=match):
            SGD([p], **{"lr": 0.1, **options})
    with pytest.raises(TypeError, match="lr 'fast'; wanted a number"):
        SGD([p], lr="fast")
    optimizer = SGD([p], lr=0.1)
    with pytest.raises(ValueError, match="lr -3"):
        optimizer.lr = -3
    p.grad = np.ones((3, 1))
    with pytest.raises(mg.ShapeError, match=r"gradient of shape \(1,\) for parameter 'w'"):
        optimizer.step()


def test_a_thread_that_has_not_woken_up_keeps_no_array():
    """What a step was computed from is let go of when it returns, so that the next one is in place."""
    p, awake = mg.parameter(np.ones(1 << 20)), threading.Event()
    optimizer = mg.optim.SGD([p], lr=1.0)
    p.grad = np.ones(p.shape)
    optimizer.step()  # starts the threads
    for _ in threads._pool.threads:
        threads._pool.inbox.put((SimpleNamespace(help=awake.wait), copy_context()))
    try:
        optimizer.step()
        address = p.value.ctypes.data
        optimizer.step()
        assert p.value.ctypes.data == address
    finally:
        awake.set()


def test_an_interrupted_step_is_noticed():
    """A parameter that is half written stays read-only, and graphs that read it before refuse to go back."""
    p = mg.parameter(np.ones(1 << 20))
    optimizer = mg.optim.SGD([p], lr=1.0)
    p.grad = np.ones(p.shape)
    optimizer.step()  # from now on the value is the optimizer's own
    y = np.sum(p * p)
    p.grad = np.ones(p.shape)
    p.grad[-1] = 1e308
    optimizer.lr = 10.0
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        optimizer.step()
    assert not p.value.flags.writeable
    with pytest.raises(mg.GraphError, match="was changed after"):
        y.backward()


def test_groups_and_frozen_parameters():
    p, q, r = (mg.parameter(np.ones(2), name) for name in "pqr")
    optimizer = mg.optim.SGD([{"params": [p]}, {"params": q, "lr": 0.01}], lr=0.1)
    optimizer.add_param_group({"params": [("r", r)], "momentum": 0.5})
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.01, 0.1] and optimizer.params == [p, q, r]
    q.requires_grad = False
    np.sum(p + q + r).backward()
    assert q.grad is None
    optimizer.step()
    assert p.value.tolist() == [0.9, 0.9] and q.value.tolist() == [1, 1]
    q.requires_grad, p.requires_grad, r.requires_grad = True, False, False
    with pytest.raises(
        mg.GraphError, match=r"depends only on frozen parameters, such as parameter 'p'; wanted .* requires_grad"
    ):
        np.sum(p * r).backward()
    optimizer.lr = 1
    assert {group["lr"] for group in optimizer.param_groups} == {1.0}
    assert "3 parameters in 3 groups" in repr(optimizer)
    optimizer.param_groups[1]["lr"] = -1
    with pytest.raises(ValueError, match="lr -1"):
        optimizer.step()
    model = mg.nn.Sequential(mg.nn.Linear(2, 2), mg.nn.Linear(2, 2)).initialize(0)
    model["0" if hasattr(model, "keys") else 0].requires_grad_(False)
    np.sum(model(np.ones((1, 2), np.float32))).backward()
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]


def test_frozen_parameters_survive_copies():
    import copy
    import pickle

    p = mg.parameter(np.ones(2))
    p.requires_grad = False
    assert not any(q.requires_grad for q in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))))


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ({}, "no state of an optimizer"),
        ({"state": {}, "param_groups": [{"params": [0]}]}, r"groups of \[1\] parameters; wanted \[2\]"),
        ({"state": {}, "param_groups": [{"params": [0, 1]}]}, "without lr, betas"),
        ({"state": {7: {}}, "param_groups": [{"params": [0, 1]}]}, "parameter 7; wanted 0 to 1"),
        ({"state": {0: {"exp_avg": np.ones(3)}}, "param_groups": [{"params": [0, 1]}]}, r"exp_avg of shape \(3,\)"),
        ({"state": {}, "param_groups": [{"params": [0, 1], "lr": -1}]}, "lr -1"),
        ({"state": {}, "param_groups": [{"params": [0, 1], "speed": 1}]}, "'speed'; wanted some of lr, betas"),
    ],
)
def test_states_that_do_not_fit(state, match):
    ps = [mg.parameter(np.ones(2)), mg.parameter(np.ones(2))]
    optimizer = mg.optim.Adam(ps)
    for p in ps:
        p.grad = np.ones(2)
    optimizer.step()
    before = optimizer.state_dict()
    with pytest.raises((ValueError, TypeError), match=match):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"] and after["state"].keys() == before["state"].keys()


def test_wrong_schedules():
    optimizer = mg.optim.Adagrad([mg.parameter([1.0])], lr=0.1)
    schedules = mg.optim.lr_scheduler
    for call, error, match in [
        (lambda: schedules.StepLR("fast", 3), TypeError, "str; wanted an optimizer"),
        (lambda: schedules.StepLR(optimizer, 0), ValueError, "step_size 0"),
        (lambda: schedules.ExponentialLR(optimizer, -1), ValueError, "gamma -1"),
        (lambda: schedules.LinearLR(optimizer, 0), ValueError, "start_factor 0; wanted a finite number above 0"),
        (lambda: schedules.OneCycleLR(optimizer, 0.1), ValueError, "no number of steps"),
        (lambda: schedules.OneCycleLR(optimizer, 0.1, 10), ValueError, "Adagrad, which has no momentum"),
        (lambda: schedules.OneCycleLR(optimizer, 0.1, 10, anneal_strategy="sin"), ValueError, "'sin'; wanted 'cos'"),
        (lambda: schedules.ReduceLROnPlateau(optimizer, "least"), ValueError, "mode 'least'; wanted 'min' or 'max'"),
        (lambda: schedules.ReduceLROnPlateau(optimizer, factor=1.0), ValueError, "factor 1.0; wanted less than 1"),
        (lambda: schedules.ReduceLROnPlateau(optimizer).step(float("nan")), ValueError, "nan; wanted the figure"),
        (lambda: schedules.LambdaLR(optimizer, [abs, abs]), ValueError, "2 functions; wanted 1"),
        (lambda: schedules.ReduceLROnPlateau(optimizer, min_lr=[1, 2]), ValueError, "2 values of min_lr; wanted 1"),
        (lambda: schedules.SequentialLR(optimizer, [schedules.StepLR(optimizer, 2)], [3]), ValueError, "1 schedules and 1"),
        (lambda: schedules.ChainedScheduler([schedules.ReduceLROnPlateau(optimizer)]), TypeError, "that need no figure"),
        (lambda: schedules.StepLR(optimizer, 2).load_state_dict({"gamma": 1}), ValueError, "a state of gamma; wanted step_size"),
    ]:  # fmt: skip
        with pytest.raises(error, match=match):
            call()
    cycle = schedules.OneCycleLR(optimizer, 0.1, 2, cycle_momentum=False)
    cycle.step()
    cycle.step()
    with pytest.raises(ValueError, match="got step 3; wanted at most total_steps, 2"):
        cycle.step()
