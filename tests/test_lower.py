"""lower: the same values and derivatives from the matrix products that compute a convolution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigraph as mg
from minigraph.ops.conv import Conv

NAMES = {
    "im2col": ["padded", "cols", "rows", "out_col", "out_col_b", "out"],
    "toeplitz": ["vec_X", "vec_S", "vec_S_b", "out"],
}
TARGETS = list(NAMES)
FUNCTIONS = {1: mg.conv1d, 2: mg.conv2d, 3: mg.conv3d}


@st.composite
def convolutions(draw):
    """(x, w, b, keyword arguments) of a convolution over one to three axes."""
    d, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(d))

    kernel, dilation, stride, rest = each(1, 3), each(1, 2), each(1, 3), each(0, 3)
    padding = tuple(draw(st.integers(0, 2)) for _ in range(2 * d))
    before, after = padding[::2], padding[1::2]
    size = tuple(
        max(1, a * (f - 1) + 1 + r - p - q) for a, f, r, p, q in zip(dilation, kernel, rest, before, after, strict=True)
    )
    C, K = draw(st.integers(1, 2)) * groups, draw(st.integers(1, 2)) * groups
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.standard_normal((draw(st.integers(1, 3)), C, *size))
    w, b = rng.standard_normal((K, C // groups, *kernel)), rng.standard_normal(K)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if draw(st.booleans()):
        options |= {"stride": 1, "padding": "same"}
    return x, w, b if draw(st.booleans()) else None, options


@given(convolutions(), st.sampled_from(TARGETS))
@settings(max_examples=150, deadline=None)
def test_a_lowered_convolution_is_the_same_function(convolution, to):
    x, w, b, options = convolution
    leaves = [mg.parameter(v) for v in (x, w, b) if v is not None]
    y = FUNCTIONS[x.ndim - 2](*leaves, **options)
    lowered = mg.lower(y, to)
    tape = mg.Tape.of(lowered)
    assert not any(isinstance(node.op, Conv) for node in tape.nodes)
    assert set(tape.leaves) == set(leaves)
    close(lowered.value, y.value)
    g = np.random.default_rng(0).standard_normal(y.shape)
    for c, wanted in zip(tape.pull(g), mg.Tape.of(y).pull(g), strict=True):
        close(c, wanted)
    for leaf in leaves:
        close(tape.jacobian(leaf).toarray(), mg.Tape.of(y).jacobian(leaf).toarray())

    abstract = FUNCTIONS[x.ndim - 2](*[mg.parameter(mg.Spec(p.shape, p.dtype)) for p in leaves], **options)
    shapes = [(node.label.split(" #")[0], node.shape, node.dtype) for node in tape.nodes]
    assert shapes == [(n.label.split(" #")[0], n.shape, n.dtype) for n in mg.Tape.of(mg.lower(abstract, to)).nodes]


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12 * max(1, np.abs(wanted).max(initial=0)))


@pytest.mark.parametrize("to", TARGETS)
def test_second_order(to):
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 2, 4, 3)), rng.standard_normal((2, 1, 2, 2)), rng.standard_normal(2)

    def f(x, w, b, lower=mg.lower):
        y = mg.conv2d(x if isinstance(x, mg.Node) else mg.constant(x), w, b, padding=1, stride=2, groups=2)
        return np.sum(lower(y, to) ** 3)

    assert mg.check_grads(f, x, w, b, order=2).kinks == 0

    def slope(lower):  # the argument of the inner gradient comes from a convolution itself
        return mg.grad(
            lambda x: np.sum(mg.grad(lambda z: f(z, w, b, lower))(mg.conv2d(x, w, groups=2, padding=1)) ** 2)
        )

    close(slope(mg.lower)(x), slope(lambda y, to: y)(x))


def network(x):
    """Two convolutions, pooling and a fully connected layer, with names, scopes and a seed."""
    rng = np.random.default_rng(1)

    def p(*shape, name=None):
        return mg.parameter(rng.standard_normal(shape).astype(np.float32), name)

    with mg.scope("net"):
        h = mg.conv2d(x, p(4, 1, 3, 3, name="W1"), p(4, name="b1"), padding=1).named("c1")
        h = mg.dropout(mg.max_pool2d(mg.relu(h), 2), 0.5, rng=3)
        for _ in range(2):
            h = mg.conv2d(h, p(4, 2, 3, 3), groups=2)
        return mg.linear(np.reshape(h, (len(x), -1)), p(5, 4)).named("scores")


@pytest.mark.parametrize("to", TARGETS)
def test_a_network(to):
    x = mg.constant(np.random.default_rng(0).standard_normal((2, 1, 10, 10)).astype(np.float32), "x")
    y = network(x)
    lowered = mg.lower(y, to)
    assert (lowered.label, lowered.dtype) == (y.label, np.float32)
    old, new = mg.Tape.of(y), mg.Tape.of(lowered)
    assert set(new.leaves) == set(old.leaves) and not {n for n in new.nodes if n.op} & set(old.nodes)
    np.testing.assert_allclose(lowered.value, y.value, rtol=1e-5, atol=1e-5)

    scopes = {node.scope for node in new.nodes}
    assert {"net", "net/c1", "net/conv2d", "net/conv2d_2"} <= scopes
    named = [n.name for n in new.nodes if n.scope == "net/c1" and n.name]
    assert named == NAMES[to]
    if to == "toeplitz":
        assert [n.op.hyperparameters["M_F"] for n in new.nodes if n.name == "vec_S"] == ["400×100", "36×100", "4×36"]

    g = np.ones(y.shape, np.float32)
    lowered.backward(g)
    once = [p.grad for p in old.parameters]
    y.backward(g)  # the lowered graph is freed, this one is not
    for p, first in zip(old.parameters, once, strict=True):
        np.testing.assert_allclose(p.grad, 2 * first, rtol=1e-4, atol=1e-4)
    with pytest.raises(mg.GraphError, match="freed"):
        mg.lower(y, to)


def test_columns_have_the_lectures_shapes():
    """§2: cols [HH·WW·C, new_h·new_w·num], rows [K, HH·WW·C], out_col [K, new_h·new_w·num]; d(cols) = rowsᵀ·d(out_col)."""
    x, w, b = (mg.parameter(np.random.default_rng(0).standard_normal(s)) for s in [(2, 3, 5, 6), (4, 3, 3, 2), (4,)])
    nodes = {n.name: n for n in mg.Tape.of(mg.lower(mg.conv2d(x, w, b, padding=1), "im2col")).nodes}
    shapes = {name: nodes[name].shape for name in NAMES["im2col"]}
    assert shapes == {
        "padded": (2, 3, 7, 8),
        "cols": (18, 70),
        "rows": (4, 18),
        "out_col": (4, 70),
        "out_col_b": (4, 70),
        "out": (2, 4, 5, 7),
    }
    g = np.random.default_rng(1).standard_normal((4, 70))
    found = mg.Tape.of(nodes["out_col_b"]).pull(g, [b, nodes["rows"], nodes["cols"]])
    for c, wanted in zip(found, [g.sum(1), g @ nodes["cols"].value.T, nodes["rows"].value.T @ g], strict=True):
        np.testing.assert_allclose(c, wanted, atol=1e-12)


def test_what_is_not_lowered():
    x, w = mg.parameter(np.ones((1, 2, 3, 3), np.float32)), mg.parameter(np.ones((2, 1, 2, 2)))
    y = mg.lower(mg.conv_transpose2d(mg.conv2d(x, np.ones((2, 2, 1, 1), np.float32)), w), "im2col")
    assert str(y.op) == "conv_transpose2d"
    for to in TARGETS:  # of two dtypes
        y = mg.lower(mg.conv1d(x[0], np.ones((1, 3, 2))), to)
        assert y.dtype == np.float64 and mg.Tape.of(y).pull(np.ones(y.shape))[0].dtype == np.float32
    with pytest.raises(ValueError, match="got to='fft'; wanted one of 'im2col', 'toeplitz'"):
        mg.lower(y, "fft")
    with pytest.raises(TypeError, match="wanted a Node"):
        mg.lower(y.value, "im2col")
