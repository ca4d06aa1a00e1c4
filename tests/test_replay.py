"""``mg.compile``: what is replayed is what would be computed without it, bit by bit; and what cannot be is not."""

import itertools
import threading

import numpy as np
import pytest

import minigraph as mg
from minigraph import nn


class Residual(nn.Module):
    """Every kind of call that a plan treats in its own way."""

    def __init__(self):
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.dropout = nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(0.3)
        self.third, self.last_norm = nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = mg.relu(self.norm(self.conv(x)))
        x = mg.relu(self.last_norm(self.third(mg.relu(self.second(x)))) + x)
        x = mg.max_pool2d(x, 2)
        x = self.dropout(mg.relu(mg.global_avg_pool(x)))
        return self.head(mg.relu(x))


def batches(n, dtype=np.float32, size=8):
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((n, 3, size, size)).astype(dtype), rng.integers(0, 4, n)) for _ in range(4)]


def built(dtype=np.float32):
    model = Residual().initialize(0)
    model.to(dtype)
    return model, mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def state(model):
    return {name: np.array(value) for name, value in model.state_dict().items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [8, 40])  # arrays below and above the size from which memory is reused
def test_replayed_steps_are_the_recorded_ones(dtype, size):
    """With dropout drawn anew and statistics that move: losses, weights and buffers, bit by bit."""
    found = []
    for compiled in (False, True):
        model, optimizer = built(dtype)

        def loss(x, labels, model=model):
            return mg.cross_entropy(model(x), labels)

        step, losses = mg.compile(loss, optimizer), []
        for x, labels in batches(6, dtype, size) * 2:
            if compiled:
                losses.append(step(x, labels))
            else:
                y = loss(mg.constant(x), mg.constant(labels))
                losses.append(y.value)
                y.backward()
                optimizer.step()
                optimizer.zero_grad()
        found.append((losses, state(model)))
    assert step.reason == "" and step.plan is not None
    for part in ("norm/batch_norm + relu", "last_norm/batch_norm + v", "second/conv2d + relu"):
        assert part in str(step)
    np.testing.assert_array_equal(*(losses for losses, _ in found))
    assert len(set(map(float, found[0][0]))) == 8
    for name, value in found[0][1].items():
        np.testing.assert_array_equal(found[1][1][name], value, err_msg=name)


def test_gradients_are_added_without_an_optimizer():
    w = mg.parameter(np.array([1.0, 2.0]))
    step = mg.compile(lambda x: (np.sum(w * w * x), w * x))
    for n in (1, 2, 3):
        loss, product = step(np.array([3.0, 4.0]))
        np.testing.assert_array_equal(w.grad, n * 2 * w.value * [3, 4])
        assert float(loss) == 19
    assert step.reason == "it gives values that the first does not depend on"
    step, w.grad = mg.compile(lambda x: (lambda p: (np.sum(p), p))(w * w * x)), None
    for n in (1, 2, 3):
        loss, product = step(np.array([3.0, 4.0]))
        np.testing.assert_array_equal(w.grad, n * 2 * w.value * [3, 4])
        np.testing.assert_array_equal(product, [3, 16])
        product[:] = 0  # the caller's own
        w.value = w.value if n < 3 else w.value + 1
    assert step.reason == ""
    np.testing.assert_array_equal(step(np.array([3.0, 4.0]))[1], [12, 36])  # with the parameter as it is now


@pytest.mark.parametrize("training", [True, False])
def test_values_alone(training):
    """Without gradients: of any shape, with statistics that move in training, and each value dropped after its last use."""
    found = []
    for compiled in (False, True):
        model, _ = built()
        model.train(training)
        scores = mg.compile(model) if compiled else lambda x, model=model: model(mg.constant(x))
        with mg.no_grad():
            found.append([np.array(scores(x)) for x, _ in batches(5)])
        found[-1] += state(model).values()
    assert scores.reason == "" and not scores.plan.pulls and all(p.grad is None for p in model.parameters())
    for a, b in zip(*found, strict=True):  # moments are recorded by another kernel where no node keeps them
        np.testing.assert_allclose(a, b, rtol=1e-5 if training else 0, atol=1e-7 if training else 0)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: np.reshape(x, (300, 200)),
        lambda x: x.T,
        lambda x: x[1:],
        lambda x: np.broadcast_to(x[:1], x.shape),
        lambda x: np.positive(x),
        lambda x: mg.dropout(x, 0.5, 0, training=False),
        lambda x: x * 1,
    ],
)
def test_no_array_but_its_own_is_overwritten(view):
    """ReLU of a view of an argument or of a parameter leaves it as it is."""
    x = np.random.default_rng(0).standard_normal((200, 300))
    w = mg.parameter(x)
    for step, given in (
        (mg.compile(lambda x: np.sum(mg.relu(view(x)) * np.sum(w))), x.copy()),
        (mg.compile(lambda x: np.sum(mg.relu(view(w)) * np.sum(x))), np.ones(1)),
    ):
        before, found = given.copy(), [step(given) for _ in range(3)]
        assert step.reason == "" and len(set(map(float, found))) == 1
        np.testing.assert_array_equal(given, before)
        np.testing.assert_array_equal(w.value, x)


def test_it_is_recorded_anew_for_other_shapes_modes_and_frozen_parameters():
    model, optimizer = built()
    calls = []

    def loss(x, labels):
        calls.append(x.shape)
        return mg.cross_entropy(model(x), labels)

    step = mg.compile(loss)
    x, labels = batches(6)[0]
    for count, change in enumerate(
        [
            lambda: None,
            lambda: model.eval(),
            lambda: model.requires_grad_(False).head.requires_grad_(True),
            lambda: setattr(model, "dropout", nn.Identity()),
            lambda: model.to(np.float64),
        ],
        1,
    ):
        change()
        for _ in range(3):
            model.zero_grad()
            replayed = step(x, labels)
        assert len(calls) == count and step.reason == ""
        gradients = [None if p.grad is None else p.grad.copy() for p in model.parameters()]
        model.zero_grad()
        if not model.training:
            y = loss(mg.constant(x), mg.constant(labels))
            calls.pop()
            y.backward()
            assert float(y.value) == float(replayed)
            for p, g in zip(model.parameters(), gradients, strict=True):
                np.testing.assert_array_equal(p.grad, g)
    before = len(calls)
    for n in (3, 6, 3, 6):
        step(x[:n], labels[:n])
    step(x.astype(np.float64), labels)
    assert len(calls) == before + 2
    model.train()  # statistics of a plan in eval mode are those of now
    step(x, labels), model.eval(), step(x, labels)
    model.norm.running_mean.value = model.norm.running_mean.value + 1
    assert float(step(x, labels)) == float(loss(mg.constant(x), mg.constant(labels)).value)


hooked = nn.Linear(2, 2, rng=0)
hooked.register_forward_hook(lambda module, inputs, y: y * 2)
normed = nn.BatchNorm1d(2, momentum=None)
W = mg.parameter(np.ones(2))
RNG, COUNT = np.random.default_rng(0), itertools.count()


def target(x):
    with mg.no_grad():
        return W * x


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: np.sum(W * float(x[0])), "it reads the value of getitem"),
        (lambda x: np.sum(W * np.asarray(x)), "it reads the value of constant"),
        (lambda x: np.sum(W * x.value), "it reads the value of constant"),
        (lambda x: np.sum(W * W), "its value does not depend on argument 0"),
        (lambda x: mg.checkpoint(lambda x: np.sum(W * x))(x), "it uses a checkpoint"),
        (
            lambda x: np.sum(setattr(normed, "last", next(COUNT)) or W * x),
            "it sets last of BatchNorm1d",
        ),
        (lambda x: np.sum(W * x - target(x)), "it computes multiply within no_grad"),
        (lambda x: np.sum(W * mg.Tape.of(np.sum(W * x)).pull(wrt=[W])[0]), "it pulls from sum"),
        (lambda x: np.sum(W * x * mg.dropout(np.ones(2), 0.5, RNG)), "does not depend on what dropout gives"),
        (lambda x: [mg.dropout(x, 0.5, RNG), np.sum(W * x)][1], "does not depend on what dropout gives"),
        (lambda x: np.sum(hooked(x[None].astype(np.float32))), "Linear has hooks"),
        (lambda x: np.sum(normed(np.stack([x, 2 * x]).astype(np.float32))), "takes the mean of all batches"),
        (lambda x: np.sum(nn.functional.alpha_dropout(W * x, 0.5, True, rng=RNG)), "draws random numbers"),
    ],
)
def test_what_cannot_be_replayed_runs_as_it_is(function, why):
    step = mg.compile(function)
    for n in (1.0, 2.0, 3.0):
        x, before = np.array([n, -n]), RNG.bit_generator.state
        found = step(x)
        assert why in step.reason and why in str(step)
        RNG.bit_generator.state = before
        np.testing.assert_array_equal(found, function(mg.constant(x)).value)


def test_in_a_transform_or_a_mode_each_node_is_recorded():
    w = mg.parameter(2.0)
    step = mg.compile(lambda x: w * x * x)
    assert step(3.0) == 18 and w.grad == 9
    with mg.detect_anomaly():
        assert step(3.0) == 18
    assert step.reason == "a mode or a transform watches each node"


def test_what_is_wrong_is_said():
    with pytest.raises(TypeError, match="compile: got int; wanted a function"):
        mg.compile(3)
    with pytest.raises(TypeError, match="compile: got ndarray from the function; wanted a Node, or a tuple of Nodes"):
        mg.compile(lambda x: np.ones(3))(np.ones(3))
    with pytest.raises(TypeError, match="compile: got an argument of type list; wanted an array or a hashable value"):
        mg.compile(lambda x: W)([1.0])
    with pytest.raises(TypeError, match="compile: got a Node as argument 0; wanted an array"):
        mg.compile(lambda x: np.sum(x * W))(W)
    with pytest.raises(mg.GraphError, match=r"got shape \(2,\) and no cotangent; wanted g of that shape, or a scalar"):
        mg.compile(lambda x: W * x)(np.ones(2))
    with pytest.raises(mg.GraphError, match="depends on no parameter"):
        mg.compile(lambda x: np.sum(x))(np.ones(2))
    step = mg.compile(lambda x, labels: mg.cross_entropy(x * W, labels))
    step(np.ones((3, 2)), np.array([0, 1, 1])), step(np.ones((3, 2)), np.array([0, 1, 1]))
    assert step.reason == ""
    with pytest.raises(ValueError, match="cross_entropy: got .* wanted"):
        step(np.ones((3, 2)), np.array([0, 1, 7]))


def test_a_signal_between_the_calls_loses_nothing():
    """An error half way leaves the step usable."""
    model, optimizer = built()
    step = mg.compile(lambda x, labels: mg.cross_entropy(model(x), labels), optimizer)
    (x, labels), *_ = batches(6)
    step(x, labels), step(x, labels)
    call, before = step.plan.steps[5], state(model)
    call.before = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        step(x, labels)
    call.before = None
    assert all(p.grad is None for p in model.parameters())
    for name in ("conv.weight", "head.bias"):
        np.testing.assert_array_equal(state(model)[name], before[name])
    assert np.isfinite(step(x, labels))


def test_equal_arguments_of_other_kinds_have_plans_of_their_own():
    step = mg.compile(lambda x, s, n: np.sum(W * x * n) * (1 if np.signbit(s) else 2))
    x, found = np.array([1.0, 2.0]), []
    for _ in range(2):
        found += [float(step(x, s, n)) for s in (0.0, -0.0) for n in (2, 2.0, True)]
    assert found == [12, 12, 6, 6, 6, 3] * 2 and step.reason == ""
    scattered = np.random.default_rng(0).standard_normal((400, 600))[::2, ::2]
    again = mg.compile(lambda x: np.sum(x) * np.sum(W))
    assert again(scattered) == again(scattered) == again(scattered)


def test_a_shared_normalisation_moves_its_statistics_in_order():
    norm, w = nn.BatchNorm2d(8), mg.parameter(last_channels(8))
    twin = nn.BatchNorm2d(8)

    def loss(norm):
        def f(x):
            v = norm(x * w)
            return np.sum(mg.relu(np.tanh(norm(2 * x)) + v))

        return f

    step, x = mg.compile(loss(norm)), last_channels(8)
    for _ in range(3):
        found, wanted = step(x), loss(twin)(mg.constant(x))
        np.testing.assert_allclose(found, wanted.value, rtol=1e-5)
    assert step.reason == ""
    np.testing.assert_allclose(norm.running_var.value, twin.running_var.value, rtol=1e-5)


def last_channels(c):
    return np.moveaxis(np.random.default_rng(0).standard_normal((4, 20, 20, c), np.float32), -1, 1)


def test_two_threads_on_one_step():
    """Gradients are added, and masks of one call serve its forward and its backward part."""
    w, rng = mg.parameter(np.ones(50_000)), np.random.default_rng(0)
    step = mg.compile(lambda x: (lambda y: (np.sum(y), y))(mg.dropout(w * x, 0.5, rng)))
    x, sums = np.ones(50_000), []
    step(x), step(x)
    w.grad = None

    def work():
        for _ in range(20):
            sums.append(step(x)[1])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sums) == 60
    np.testing.assert_array_equal(w.grad, np.sum(sums, 0))
