"""Optimizers, clipping, averages and schedules against PyTorch's, step by step."""

import copy

import numpy as np
import pytest

import minigraph as mg
from minigraph import optim
from minigraph.optim import lr_scheduler

torch = pytest.importorskip("torch")

OPTIMIZERS = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.05, "maximize": True}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    ("Adam", {}),
    ("Adam", {"betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.05, "amsgrad": True}),
    ("Adam", {"maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.05}),
    ("RMSprop", {"alpha": 0.9, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.01, "weight_decay": 0.05, "initial_accumulator_value": 0.1, "maximize": True}),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)
def test_100_steps(name, options, dtype):
    """Two groups, a frozen parameter, clipping, gradients that are missing now and then, rates changed by hand."""
    rng = np.random.default_rng(0)
    starts = [rng.standard_normal(shape).astype(dtype) for shape in [(3, 4), (4,), (), (2, 2)]]
    mine = [mg.parameter(x) for x in starts]
    theirs = [torch.tensor(x, requires_grad=True) for x in starts]
    mine[3].requires_grad = False
    theirs[3].requires_grad_(False)
    ours, torchs = (
        getattr(module, name)([{"params": ps[:2]}, {"params": ps[2:], "lr": 0.02}], lr=0.05, **options)
        for module, ps in ((optim, mine), (torch.optim, theirs))
    )
    for step in range(100):
        ours.zero_grad()
        torchs.zero_grad()
        if step % 30 == 20:
            ours.param_groups[1]["lr"] = torchs.param_groups[1]["lr"] = 0.1 / (1 + step)
        for p, q in zip(mine[:3], theirs[:3], strict=True):
            if step % 3 or p.ndim:
                g = rng.standard_normal(p.shape).astype(dtype)
                p.grad, q.grad = g, torch.tensor(g)
        norms = [optim.clip_grad_norm_(mine, 2.5), torch.nn.utils.clip_grad_norm_(theirs, 2.5).item()]
        np.testing.assert_allclose(*norms, rtol=8 * np.finfo(dtype).eps)
        if step == 50:  # from a copy of the state, as after loading a checkpoint
            state = copy.deepcopy(ours.state_dict())
            ours = type(ours)([{"params": mine[:2]}, {"params": mine[2:]}], lr=1.0)
            ours.load_state_dict(state)
        ours.step()
        torchs.step()
        for p, q in zip(mine, theirs, strict=True):
            assert p.dtype == dtype
            bound = 1e-12 if dtype == np.float64 else 2e-4
            np.testing.assert_allclose(p.value, q.detach().numpy(), rtol=bound, atol=bound)
    assert np.array_equal(mine[3].value, starts[3])


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
def test_clipping(norm_type):
    rng = np.random.default_rng(0)
    grads = [10 * rng.standard_normal(shape) for shape in [(3, 4), (4,), ()]]
    mine = [mg.parameter(np.zeros(g.shape)) for g in grads]
    theirs = [torch.zeros(g.shape, dtype=torch.float64) for g in grads]
    for limit in (1e9, 20.0, 0.5):
        for p, q, g in zip(mine, theirs, grads, strict=True):
            p.grad, q.grad = g, torch.tensor(g)
        ours = optim.clip_grad_norm_(mine, limit, norm_type)
        assert ours == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, limit, norm_type).item(), rel=1e-14)
        for p, q in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-13)
    optim.clip_grad_value_(mine, 0.1)
    torch.nn.utils.clip_grad_value_(theirs, 0.1)
    for p, q in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-13)


SCHEDULES = {
    "step": lambda s, o: s.StepLR(o, 7, 0.3),
    "milestones": lambda s, o: s.MultiStepLR(o, [5, 20, 20, 60], 0.5),
    "constant": lambda s, o: s.ConstantLR(o, 0.2, 6),
    "linear": lambda s, o: s.LinearLR(o, 0.1, 1.0, 12),
    "linear down": lambda s, o: s.LinearLR(o, 1.0, 0.05, 50),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.97),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 30, 1e-3),
    "lambda": lambda s, o: s.LambdaLR(o, [lambda t: 1 / (1 + t), lambda t: 0.9**t]),
    "one cycle": lambda s, o: s.OneCycleLR(o, [0.5, 0.1], total_steps=100),
    "three phases": lambda s, o: s.OneCycleLR(
        o, 0.5, epochs=10, steps_per_epoch=10, three_phase=True, anneal_strategy="linear", pct_start=0.4
    ),
    "warm-up": lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 5), s.CosineAnnealingLR(o, 90)], [5]),
    "three in turn": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 9), s.ExponentialLR(o, 0.9), s.StepLR(o, 10, 0.1)], [10, 40]
    ),
    "chained": lambda s, o: s.ChainedScheduler([s.LinearLR(o, 0.1, 1.0, 5), s.ExponentialLR(o, 0.98)]),
    "plateau": lambda s, o: s.ReduceLROnPlateau(o, factor=0.5, patience=3, cooldown=2, min_lr=[1e-3, 1e-2]),
    "plateau of a maximum": lambda s, o: s.ReduceLROnPlateau(
        o, "max", patience=2, threshold=0.05, threshold_mode="abs"
    ),
}


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore")  # PyTorch wants optimizer.step first, and warns of its own rates
def test_100_rates(name, optimizer):
    rng = np.random.default_rng(0)
    options = {"momentum": 0.9} if optimizer == "SGD" else {}
    mine, theirs = mg.parameter(np.zeros(2)), torch.zeros(2)
    ours, torchs = (
        getattr(module, optimizer)([{"params": [a]}, {"params": [b], "lr": 0.2}], lr=0.1, **options)
        for module, a, b in ((optim, mine, mg.parameter(np.zeros(2))), (torch.optim, theirs, torch.zeros(2)))
    )
    schedule, other = SCHEDULES[name](lr_scheduler, ours), SCHEDULES[name](torch.optim.lr_scheduler, torchs)
    for step in range(100):
        for a, b in zip(ours.param_groups, torchs.param_groups, strict=True):
            for key in a.keys() & {"lr", "momentum", "betas"}:
                np.testing.assert_allclose(a[key], b[key], rtol=1e-12, atol=1e-15, err_msg=f"{key} at {step}")
        if step == 33 and name not in ("lambda",):  # changed by hand
            for group in (*ours.param_groups, *torchs.param_groups):
                group["lr"] *= 0.7
        if step == 44:
            state = copy.deepcopy(schedule.state_dict())
            rates, groups = schedule.get_last_lr(), copy.deepcopy(ours.state_dict())
            schedule = SCHEDULES[name](lr_scheduler, ours)
            ours.load_state_dict(groups)
            schedule.load_state_dict(state)
            assert schedule.get_last_lr() == rates
        figures = [float(rng.standard_normal() + 3 - step / 50)] if "plateau" in name else []
        schedule.step(*figures)
        other.step(*figures)


def test_moving_averages():
    rng = np.random.default_rng(0)
    mine, theirs = mg.parameter(np.zeros(3)), torch.nn.Linear(3, 1, bias=False).double()
    average = optim.ExponentialMovingAverage([mine], 0.9)
    model = torch.optim.swa_utils.AveragedModel(theirs, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    for _ in range(100):
        mine.value = rng.standard_normal(3)
        with torch.no_grad():
            theirs.weight[0] = torch.tensor(mine.value)
        average.update()
        model.update_parameters(theirs)
    before = mine.value.copy()
    with average.applied():
        np.testing.assert_allclose(mine.value, model.module.weight.detach().numpy()[0], rtol=1e-12)
    np.testing.assert_array_equal(mine.value, before)
