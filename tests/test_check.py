"""check_grads: corners of every order are recognised, and wrong rules are told at them too."""

import numpy as np
import pytest

import minigraph as mg
from minigraph import nn
from minigraph.op import Op
from minigraph.ops.elementwise import Elementwise

# Functions that are smooth but for one point, and that point.
CORNERS = {
    "|z|": (np.abs, 0.0),
    "z|z|": (lambda z: z * np.abs(z), 0.0),
    "z² sign z": (lambda z: z**2 * np.sign(z), 0.0),
    "|z|³": (lambda z: np.abs(z) ** 3, 0.0),
    "z²|z|": (lambda z: z * z * np.abs(z), 0.0),
    "z³|z|": (lambda z: z**3 * np.abs(z), 0.0),
    "relu": (mg.relu, 0.0),
    "relu²": (lambda z: mg.relu(z) ** 2, 0.0),
    "max(0, z)³": (lambda z: np.maximum(0, z) ** 3, 0.0),
    "z relu": (lambda z: z * mg.relu(z), 0.0),
    "product of clips": (lambda z: np.clip(z, -1, 1) * np.clip(z, -2, 1), 1.0),
    "squared distance to an interval": (lambda z: (z - np.clip(z, -1, 1)) ** 2, -1.0),
    "huber": (lambda z: np.where(np.abs(z) <= 1, 0.5 * z * z, np.abs(z) - 0.5), 1.0),
    "elu": (mg.elu, 0.0),
    "steep": (lambda z: 1e4 * z * np.abs(z) + 3 * z, 0.0),
    "high": (lambda z: 1e3 + z * np.abs(z), 0.0),
    "curved": (lambda z: np.exp(3 * z) * z * np.abs(z) + np.sin(z), 0.0),
    "smooth": (mg.softplus, 0.0),
}
# Those whose slope jumps there, so that there is no second derivative, or jumps by more than the error below.
KINKS = ("|z|", "relu", "product of clips", "steep")


@pytest.mark.parametrize("name", CORNERS)
def test_corners_of_every_order_pass(name):
    f, corner = CORNERS[name]
    for off in (0.0, 1e-9, -3e-7, 8e-7, 1e-5, -6e-5, 0.3):
        for order in (1, 2, 3):
            mg.check_grads(f, np.array([corner + off]), order=order)
    mg.check_grads(lambda z: np.sum(f(z)), np.array([corner, corner + 0.5, corner, corner - 0.7]), order=3)


def wrong(name, by):
    """The function with a derivative that is off by ``by``, and with a second derivative that is."""
    f, _ = CORNERS[name]
    slope = mg.grad(lambda z: np.sum(f(z)))
    first = Elementwise("first", lambda z: np.asarray(f(z)), lambda y, z: slope(z) + by)
    inner = Elementwise(
        "inner", lambda z: np.asarray(slope(z)), lambda y, z: mg.grad(lambda z: np.sum(slope(z)))(z) + by
    )
    second = Elementwise("second", lambda z: np.asarray(f(z)), lambda y, z: inner(z))
    return first, second


@pytest.mark.parametrize("name", CORNERS)
def test_wrong_rules_are_told_at_corners(name):
    corner = CORNERS[name][1]
    first, second = wrong(name, by=3.0)
    for off in (0.0, 1e-5, 0.3):
        z = np.array([corner + off])
        with pytest.raises(AssertionError, match="argument 0, entry"):
            mg.check_grads(first, z, order=1)
        if off or name not in KINKS:
            mg.check_grads(second, z, order=1)
            with pytest.raises(AssertionError, match="argument 0, entry"):
                mg.check_grads(second, z, order=2)


@pytest.mark.parametrize("dtypes", [(np.float32,), (np.float64,), (np.float32, np.float64), (np.float64, np.float32)])
@pytest.mark.parametrize("of", [np.float32, np.float64])
def test_modules_of_every_precision_pass(dtypes, of):
    """Errors are measured by the least precise numbers that went in."""
    draw = np.random.default_rng(1)
    for make, shape in ((lambda d, r: nn.Linear(4, 4, rng=r, dtype=d), (3, 4)),
                        (lambda d, r: nn.Conv2d(2, 2, 3, padding=1, rng=r, dtype=d), (1, 2, 5, 5))):  # fmt: skip
        layers = [make(dtype, i) for i, dtype in enumerate(dtypes)]
        assert mg.extend.check_op(nn.Sequential(*layers), draw.standard_normal(shape).astype(of)).entries


def doubling(infer):
    class Double(Op):
        name = "double"

        def infer(self, x):
            raise NotImplementedError

        def forward(self, x):
            return 2 * x

        def jacobians(self, y, x):
            return (None,)

    Double.registry.remove(Double)
    Double.infer = Op.guards["infer"](lambda self, x: infer(x))
    return Double


@pytest.mark.parametrize(
    "infer", [lambda x: None, lambda x: x.shape, lambda x: (x.shape, x.dtype), lambda x: x.dtype, lambda x: 1]
)
def test_what_infer_gives_is_checked(infer):
    op = doubling(infer)()
    for use in (mg.extend.check_op, type(op).__call__):
        with pytest.raises(TypeError, match=r"double: infer gave \w+; wanted a Spec"):
            use(*((op, np.ones(2)) if use is mg.extend.check_op else (op, mg.Spec((2,)))))


@pytest.mark.parametrize("bad", [None, 5, "relu", doubling(lambda x: x)])
def test_what_is_no_op(bad):
    with pytest.raises(TypeError, match="check_op: got .*; wanted an op"):
        mg.extend.check_op(bad, np.ones(2))


def test_a_check_is_a_table_in_notebooks():
    html = mg.check_grads(np.sin, np.array([0.5, 1.0]))._repr_html_()
    assert "<th>at kinks</th><td>0</td>" in html and html.count("<tr>") == 3
