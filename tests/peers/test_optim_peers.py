"""SGD against torch.optim.SGD."""

import numpy as np
import pytest

import minigraph as mg

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.05},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
    ],
    ids=str,
)
def test_a_schedule_of_steps(options, dtype):
    rng = np.random.default_rng(0)
    starts = [rng.standard_normal(shape).astype(dtype) for shape in [(3, 4), (4,), ()]]
    mine = [mg.parameter(x) for x in starts]
    theirs = [torch.tensor(x, requires_grad=True) for x in starts]
    ours, torchs = mg.optim.SGD(mine, 0.1, **options), torch.optim.SGD(theirs, 0.1, **options)
    for step in range(6):
        ours.zero_grad()
        torchs.zero_grad()
        ours.lr = torchs.param_groups[0]["lr"] = 0.1 / (1 + step)
        for p, q in zip(mine, theirs, strict=True):
            if step % 3 or p.ndim:  # the scalar has no gradient now and then
                g = rng.standard_normal(p.shape).astype(dtype)
                p.grad, q.grad = g, torch.tensor(g)
        ours.step()
        torchs.step()
    for p, q in zip(mine, theirs, strict=True):
        assert p.dtype == dtype
        np.testing.assert_allclose(p.value, q.detach().numpy(), rtol=8 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)
