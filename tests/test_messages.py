"""What the functions that look at graphs say of arguments they cannot take: function, got, wanted."""

import math
import re

import numpy as np
import pytest

import minigraph as mg
from minigraph.draw import draw, to_dot

X, W = mg.constant(np.ones((1, 1, 4, 4)), "x"), mg.parameter(np.ones((1, 1, 2, 2)), "w")
Y = mg.sum(mg.conv2d(X, W))
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
}


@pytest.mark.parametrize("function", GRAPHS)
@pytest.mark.parametrize("bad", [None, 5, "x", MODEL, square, Z, [Y], b"x"], ids=lambda bad: type(bad).__name__)
def test_what_is_no_graph(function, bad):
    name = function.replace("to_dot", "draw")
    with pytest.raises(TypeError, match=f"{name}: got {type(bad).__name__}") as caught:
        GRAPHS[function](bad)
    assert "wanted a" in str(caught.value)
    if callable(bad) and function != "summary":
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
