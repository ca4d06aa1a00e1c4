"""What the functions that look at graphs say of arguments they cannot take: function, got, wanted."""

import math
import operator
import re

import numpy as np
import pytest

import minigraph as mg
from minigraph import nn
from minigraph.inspect.draw import draw, to_dot

X, W = mg.constant(np.ones((1, 1, 4, 4)), "x"), mg.parameter(np.ones((1, 1, 2, 2)), "w")
Y = mg.ops.sum(mg.conv2d(X, W))
MODEL = mg.nn.Sequential(mg.nn.Linear(3, 2, rng=0))
Z = np.ones(2)
NAN = math.nan


def square(x):
    return np.sum(x * x)


def check(**options):
    return mg.check_grads(square, Z, **options)


HUGE = 10**400
NO_WHOLE = ("2", 2.5, NAN, [1], b"2", Z)
NO_NUMBER = ("2", [1], 1j, True, b"2", Z)
NO_SEED = ("a", -1, 1.5)
OPTIONS = [  # a call, an option, and what it cannot be
    (lambda **o: to_dot(Y, **o), "direction", (None, 5, "up", ["TB"], Z, b"TB")),
    *[(lambda **o: to_dot(Y, **o), name, ("no", None, 3, Z)) for name in ("edges", "values", "gradients", "scopes")],
    (lambda **o: to_dot(Y, **o), "profile", (5, "x", Y)),
    (lambda **o: draw(Y, "a.svg", **o), "dpi", (*NO_NUMBER, None, NAN, -1, 0, math.inf, HUGE)),
    (lambda **o: draw(Y, "a.svg", **o), "timeout", (*NO_NUMBER, NAN, -1, 0, math.inf, HUGE)),
    (lambda **o: draw(Y, "a.svg", **o), "engine", (5, [1], "cairo", Z)),
    (lambda **o: draw(Y, "a.svg", **o), "max_nodes", (*NO_WHOLE, None, True, -1, 0)),
    (lambda **o: draw(Y, **o), "path", (5, b"a.dot", ["a"], 1.5, "\0.dot")),
    (lambda **o: mg.summary(Y, **o), "depth", (*NO_WHOLE, True, 0, -1)),
    (lambda **o: mg.verify(Y, **o), "rtol", (*NO_NUMBER, NAN, -1)),
    (lambda **o: mg.verify(Y, **o), "max_bytes", (*NO_WHOLE, None, -1)),
    (lambda **o: mg.verify(Y, **o), "max_loops", (*NO_WHOLE, None, -1)),
    (lambda **o: mg.verify(Y, **o), "rng", NO_SEED),
    (lambda **o: mg.profile(Y, **o), "repeats", (*NO_WHOLE, None, True, 0, -1, HUGE)),
    (lambda **o: mg.profile(Y, **o), "progress", ("no", None)),
    (lambda **o: mg.lower(Y, **o), "to", (None, 5, ["im2col"], "fft", b"im2col", Z)),
    (check, "order", (*NO_WHOLE, None, True, 0, -1, HUGE)),
    (check, "rtol", (*NO_NUMBER, None, NAN, -1, 0)),
    (check, "atol", (*NO_NUMBER, None, NAN, -1)),
    (check, "step", (*NO_NUMBER, None, NAN, -1, 0, HUGE)),
    (check, "max_entries", (*NO_WHOLE, None, -1, 0)),
    (check, "rng", NO_SEED),
    (lambda **o: mg.scope(**o), "name", (None, 5, b"a", ["a"])),
    (lambda **o: mg.parameter(1.0).named(**o), "name", (5, b"a", ["a"])),
    (lambda **o: mg.parameter(1.0, **o), "name", (5, b"a", ["a"])),
    (lambda **o: mg.constant(1.0, **o), "name", (5, b"a", ["a"])),
    (lambda **o: mg.Spec((2,), **o), "name", (5, b"a", ["a"])),
]


@pytest.mark.parametrize(("call", "name", "bad"), OPTIONS)
def test_options(call, name, bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in bad:
        with pytest.raises((TypeError, ValueError)) as caught:
            call(**{name: value})
        message = str(caught.value)
        function, _, rest = message.partition(": ")
        assert re.fullmatch(
            "draw|summary|verify|profile|lower|check_grads|scope|named|parameter|constant|Spec", function
        )
        assert "got " in rest and "wanted " in rest and name in rest, message
        assert repr(value) in rest or str(value) in rest or type(value).__name__ in rest, message
    assert not list(tmp_path.iterdir())


GRAPHS = {
    "draw": draw,
    "to_dot": to_dot,
    "verify": mg.verify,
    "costs": mg.costs,
    "profile": mg.profile,
    "lower": lambda y: mg.lower(y, "im2col"),
    "summary": mg.summary,
    "frames": mg.frames,
    "derive": lambda y: mg.derive(y, Y),
    "compare": lambda y: mg.compare(y, Y),
    "trace_pixel": lambda y: mg.trace_pixel(y, 0),
}
TAKE_MODULES = ("summary", "draw", "compare")


@pytest.mark.parametrize("function", GRAPHS)
@pytest.mark.parametrize("bad", [None, 5, "x", MODEL, square, Z, [Y], b"x"], ids=lambda bad: type(bad).__name__)
def test_what_is_no_graph(function, bad):
    name = function.replace("to_dot", "draw")
    if function == "draw" and isinstance(bad, list):
        bad = [[Y]]  # a list of nodes can be drawn
    with pytest.raises(TypeError, match=f"{name}: got {type(bad).__name__}") as caught:
        GRAPHS[function](bad)
    assert "wanted a" in str(caught.value)
    if callable(bad) and not (bad is MODEL and function in TAKE_MODULES):
        assert f"call it first: {name}(model(x))" in str(caught.value)


@pytest.mark.parametrize("bad", ["abc", b"ab", (1, "a"), (1, -3), (1, 2.5), NAN, {}, object(), True])
def test_what_is_no_input_of_a_summary(bad):
    with pytest.raises(TypeError, match="summary: got the input .*; wanted a Spec, an array or a shape like"):
        mg.summary(MODEL, bad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.check_grads(square), "check_grads: got a function alone; wanted its arguments too"),
        (lambda: mg.check_grads(Z, Z), "check_grads: got array.*; wanted a function"),
        (lambda: mg.check_grads(square, "abc"), "check_grads: argument 0: got str of dtype <U3; wanted real numbers"),
        (lambda: mg.check_grads(square, None), "check_grads: argument 0: got NoneType of dtype object"),
        (lambda: mg.check_grads(square, 1j), "check_grads: argument 0: got complex of dtype complex128"),
        (lambda: mg.summary(MODEL, (Z, Z)), "summary: got 2 inputs for Sequential: too many positional arguments"),
    ],
)
def test_arguments_of_functions(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_summary_of_several_inputs():
    class Pair(mg.nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = mg.nn.Linear(3, 2, rng=0), mg.nn.Linear(4, 2, rng=1)

        def forward(self, x, y):
            return self.left(x) * self.right(y)

    found = [
        mg.summary(Pair(), xs).to_json()
        for xs in (((5, 3), (5, 4)), [mg.Spec((5, 3)), mg.Spec((5, 4))], (np.ones((5, 3), np.float32), (5, 4)))
    ]
    assert found[0] == found[1] == found[2]
    assert mg.summary(Pair(), ((5, 3), (5, 4))).totals.parameters == 18
    with pytest.raises(
        mg.ShapeError, match=r"summary: an input of shape \(5, 3\) and \(5, 5\) does not go through Pair"
    ):
        mg.summary(Pair(), ((5, 3), (5, 5)))


# --- what NumPy, SciPy and Python would say without a name ------------------------------------------------------

P, SPEC, MASK = mg.parameter(np.arange(6.0).reshape(2, 3)), mg.Spec((2,)), np.array([True, False])
GENERATOR = np.random.default_rng(0)
MANY = 10**30
ALONG = [
    np.sum, np.mean, np.prod, np.max, np.min, np.var, np.std, np.ptp, np.average, np.cumsum, np.median, np.linalg.norm,
    np.any, np.all, np.argmax, np.argmin, np.argsort, np.count_nonzero, np.unique, np.size, np.sort, np.diff, np.flip,
    np.squeeze, np.expand_dims, mg.logsumexp, mg.softmax, mg.log_softmax,
    *[lambda x, axis, f=f: f(x, 1, axis=axis) for f in (np.take, np.repeat, np.roll, np.delete, np.split, np.array_split)],
    *[lambda x, axis, f=f: f([x, x], axis=axis) for f in (np.stack, np.concatenate)],
    lambda x, axis: np.moveaxis(x, axis, 0), lambda x, axis: np.trace(x, 0, axis), lambda x, axis: np.swapaxes(x, axis, 0),
]  # fmt: skip


def refused(call, *args, **kwargs):
    """The call raises an error that names who says it, what it got and what it wanted."""
    with pytest.raises((TypeError, ValueError, IndexError, KeyError)) as caught:
        call(*args, **kwargs)
    assert re.match(r"\W?[\w.]+.*: got (.|\n)*wanted", str(caught.value)), caught.value


@pytest.mark.parametrize("function", ALONG)
def test_axes_that_are_none(function):
    with pytest.raises((TypeError, DeprecationWarning)) as caught:
        operator.index(MASK[0])
    masks = [MASK] if caught.type is TypeError else []  # NumPy 2.0 still takes them
    for axis in (MANY, -MANY, -7, "a", 1.5, np.array([0.5, 1.0]), *masks, SPEC, P, b"a"):
        for x in (P, mg.constant(np.ones((2, 3), np.float32))):
            refused(function, x, axis=axis)


def matrix(array):
    return np.asarray(array).view(np.matrix)


def numbers(*given):
    return (n for n in given)


NAMELESS = {
    "a Spec as an option": [
        lambda f=f, x=x: f(x, SPEC)
        for x in (P, SPEC)
        for f in (np.tile, np.delete, np.atleast_1d, np.atleast_2d, np.pad, np.roll, np.repeat, np.take, np.reshape,
                  np.broadcast_to, np.transpose, np.diag, np.diagonal, np.tril, np.expand_dims, np.array_split)
    ] + [lambda: mg.ops.take_along_axis(P, SPEC, 0), lambda: nn.Conv2d(1, 1, SPEC), lambda: nn.Linear(SPEC, 1)],
    "a generator": [
        lambda f=f: f(P, numbers(1))
        for f in (np.tile, np.delete, np.pad, np.roll, np.repeat, np.reshape, np.broadcast_to, np.transpose, np.diag,
                  np.diagonal, np.flip, np.squeeze, np.expand_dims, np.array_split)
    ] + [lambda: np.moveaxis(P, numbers(0), 1), lambda: np.any(P, axis=numbers(0))],
    "numbers that are too large": [
        lambda: P * HUGE, lambda: HUGE + P, lambda: P**HUGE, lambda: P < HUGE, lambda: np.maximum(P, HUGE),
        lambda: mg.constant(np.float32(1)) * HUGE, lambda: np.var(P, ddof=MANY), lambda: np.std(P, ddof=HUGE),
        lambda: np.array_split(P, MANY), lambda: P.item(MANY), lambda: P[MANY], lambda: P[0, MANY], lambda: P[[MANY]],
        lambda: nn.BatchNorm2d(MANY), lambda: nn.Linear(MANY, 2), lambda: nn.Conv2d(MANY, 1, 1), lambda: nn.Conv2d(1, 1, MANY),
    ],
    "nothing to choose from": [
        lambda: mg.logsumexp(np.ones((0, 3))), lambda: mg.logsumexp(mg.parameter(np.ones((0, 3)))),
        lambda: np.linalg.norm(mg.parameter(np.ones(0)), np.inf), lambda: np.argmax(mg.parameter(np.ones(0))),
        lambda: np.argmin(mg.parameter(np.ones((0, 3))), 0), lambda: P.item(), lambda: P.item("a"),
    ],
    "an array where a word or a flag is wanted": [
        lambda: np.sum(P, keepdims=MASK), lambda: np.pad(P, 1, mode=MASK), lambda: mg.gelu(P, MASK),
        lambda: mg.mse_loss(P, P.value, MASK), lambda: mg.cross_entropy(P, np.array([0, 1]), reduction=MASK),
        lambda: mg.interpolate(X, 2, mode=MASK), lambda: mg.dropout(P, 0.5, 0, MASK), lambda: MODEL.train(MASK),
        lambda: MODEL.train("no"), lambda: mg.softmax(P, True), lambda: mg.cross_entropy(np.ones(3), 1j),
    ],
    "matrices": [
        lambda: P * matrix(np.ones((2, 3))), lambda: P @ matrix(np.ones((3, 2))), lambda: matrix(np.eye(2)) * P,
        lambda: mg.constant(matrix(np.eye(2))), lambda: mg.linear(matrix(np.eye(3)), P),
    ],
    "settings of layers": [
        *[lambda c=c, o=o: c(1, 2, 3, **o) for c in (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
          for o in ({"padding": "sme"}, {"stride": 0}, {"stride": "a"}, {"dilation": 0}, {"padding": -1}, {"groups": True})],
        *[lambda p=p, a=a: p(*a) for p in (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool2d, nn.AvgPool3d)
          for a in ((0,), (2, 0), ("a",), (2, 1, -1), (True,), (2.5,), (SPEC,))],
        lambda: nn.BatchNorm2d(True), lambda: nn.Linear(True, 2), lambda: nn.Linear(2, 2, weight_init=5),
    ],
    "parts": [
        *[lambda c=c, p=p: c(p) for c in (nn.ModuleList, nn.ParameterList, nn.ModuleDict, nn.ParameterDict)
          for p in (5, "abc", SPEC, MASK)],
        lambda: nn.ModuleList(None), lambda: nn.ModuleList().extend(5), lambda: nn.ModuleDict().update(5),
        lambda: nn.ModuleList().pop(), lambda: nn.ModuleList().insert("a", nn.ReLU()),
        *[lambda m=m, i=i: m[i] for m in (nn.ModuleList([nn.ReLU()]), nn.Sequential(nn.ReLU())) for i in (5, -2, "a", 1.5, None)],
        *[lambda i=i: nn.ModuleList([nn.ReLU()]).__delitem__(i) for i in (7, "a")],
        *[lambda i=i: nn.ModuleList([nn.ReLU()]).__setitem__(i, nn.ReLU()) for i in (7, "a")],
        lambda: nn.ModuleDict()["a"],
    ],
    "initialisers": [
        *[lambda f=f, a=a: f(*a) for f in (nn.init.he_normal, nn.init.he_normal_fan_out, nn.init.he_uniform,
          nn.init.xavier_normal, nn.init.xavier_uniform, nn.init.lecun_uniform)
          for a in (((3, 3), None), ((3, 3), "a"), ((), GENERATOR), ("a", GENERATOR), ((3, -1), GENERATOR))],
        lambda: nn.init.normal("a"), lambda: nn.init.normal(-1), lambda: nn.init.normal()((3,), None),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMELESS)
def test_errors_have_names(kind):
    for call in NAMELESS[kind]:
        refused(call)


def test_endless_differences_are_empty():
    assert np.diff(P, n=MANY).shape == np.diff(P.value, n=5).shape == (2, 0)
