"""One test for every op: its sample calls in ``cases`` are held against everything else."""

import itertools

import numpy as np
import pytest
from cases import CASES, elementwise

import minigraph as mg
from minigraph.maps import Product
from minigraph.node import FLOATS
from minigraph.op import Op
from minigraph.ops.elementwise import Elementwise
from minigraph.tape import Tape, TotalJacobian

# Kernels that take complex numbers without being analytic in them: a complex step says nothing about those.
NOT_ANALYTIC = {
    "absolute",
    "sign",
    "norm",
    "max",
    "min",
    "sort",
    "var",
    "std",
    "l2_penalty",
    "maximum",
    "minimum",
    "clip",
    "relu",
    "softshrink",
    "conjugate",
    "fmax",
    "fmin",
    "copysign",
    "softsign",
    "tanhshrink",
}
NOT_ANALYTIC |= {"cross_entropy", "astype", "l1_loss", "huber_loss", "smooth_l1_loss", "multi_margin_loss"}


def name_of(cls, case):
    return f"{cls.__name__}-{getattr(case.op, 'name', 'composed')}"


def as_nodes(inputs):
    return [mg.parameter(x) if np.asarray(x).dtype in FLOATS else mg.constant(x) for x in inputs]


def floats(nodes):
    return [x for x in nodes if x.dtype in FLOATS]


@pytest.mark.parametrize(("cls", "case"), CASES, ids=[name_of(*c) for c in CASES])
def test_op(cls, case):
    rng = np.random.default_rng(1)
    nodes = as_nodes(case.inputs)
    raw, y = case.op(*case.inputs), case.op(*nodes)
    assert isinstance(raw, (np.ndarray, np.generic))
    np.testing.assert_array_equal(raw, y.value)
    np.testing.assert_allclose(raw, np.asarray(case.expect), rtol=1e-10, atol=1e-12)
    tape = Tape.of(y)
    assert any(type(node.op) is cls for node in tape.nodes), "the case does not use its op"

    abstract = case.op(*[mg.constant(mg.Spec(x.shape, x.dtype)) for x in nodes]) if "getitem" not in str(y.op) else y
    assert (abstract.shape, abstract.dtype) == (y.shape, y.dtype)

    if case.bad is not None:
        with pytest.raises(mg.ShapeError, match=case.match) as error:
            case.op(*as_nodes(case.bad))
        assert "got" in str(error.value) and "wanted" in str(error.value)
        with pytest.raises(mg.ShapeError, match=case.match):
            case.op(*case.bad)

    for node in tape.nodes:
        for J in tape.local(node) if node.op else ():
            if J is not None:
                check_map(J, rng)

        if node.op and node.op.pull:
            pulls_as_its_maps(node, tape.local(node), rng)

    if y.dtype not in FLOATS:
        return
    g = rng.standard_normal(y.shape)
    for J, c in zip(tape.jacobians(floats(nodes)), tape.pull(g, floats(nodes)), strict=True):
        found = np.tensordot(g, J, y.ndim)
        np.testing.assert_allclose(found, np.zeros(found.shape) if c is None else c, rtol=1e-9, atol=1e-10)
    v = {x: rng.standard_normal(x.shape) for x in floats(nodes)}
    pushed = tape.push(v)
    slope = difference(case, nodes, v)
    np.testing.assert_allclose(pushed, slope, rtol=1e-5, atol=1e-7 * (1 + np.abs(slope).max(initial=0)))
    if y.op.name not in NOT_ANALYTIC:
        complex_step(case, nodes, v, pushed)
    mg.check_grads(lambda *xs: case.op(*substitute(nodes, xs)), *[x.value for x in floats(nodes)], order=2)
    if y.op.name != "astype":
        keeps_float32(case)
        keeps_each_dtype(case)
    forward_inside_reverse(case, nodes, v)


def pulls_as_its_maps(node, maps, rng):
    """What an op gives by one kernel is what its maps pull one by one, whatever is wanted of it."""
    g, xs = rng.standard_normal(node.shape), [x.value for x in node.inputs]
    for wanted in itertools.product((True, False), repeat=len(xs)):
        found = node.op.pull(g, wanted, node.value, *xs, saved=node.saved)
        assert found is not NotImplemented and len(found) == len(xs)
        for c, J, asked in zip(found, maps, wanted, strict=True):
            if asked and J is not None:
                np.testing.assert_allclose(np.zeros(J.in_shape) if c is None else c, J.pull(g), rtol=1e-10, atol=1e-11)


def check_map(J, rng):
    """Push, pull and matrix are one map, and its size is known before it is built."""
    v, g = rng.standard_normal(J.in_shape), rng.standard_normal(J.out_shape)
    pushed, pulled, matrix = J.push(v), J.pull(g), J.tosparse()
    np.testing.assert_allclose(np.sum(g * pushed), np.sum(pulled * v), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(matrix @ v.ravel(), np.ravel(pushed), rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(matrix.T @ g.ravel(), np.ravel(pulled), rtol=1e-10, atol=1e-11)
    nnz, row, col = J.bounds
    per_row, per_column = np.diff(matrix.indptr), np.bincount(matrix.indices, minlength=1)
    assert matrix.nnz <= nnz and per_row.max(initial=0) <= row and per_column.max() <= col
    if not isinstance(J, (Product, TotalJacobian)):
        assert matrix.nnz == nnz
    for verb, several, shape in ((J.push, J._push_rows, J.in_shape), (J.pull, J._pull_rows, J.out_shape)):
        rows = rng.standard_normal((3, *shape))
        np.testing.assert_allclose(several(rows), np.stack([verb(row) for row in rows]), rtol=1e-10, atol=1e-11)
    keeps_samples(J, matrix, rng)
    operator = J.aslinearoperator()
    np.testing.assert_allclose(operator @ v.ravel(), np.ravel(pushed), rtol=1e-10, atol=1e-11)


def keeps_samples(J, matrix, rng):
    """Each sample's cotangents pulled by themselves; and of a map that keeps samples apart, the matrix is block diagonal."""
    if not J.out_shape:
        assert not J.by_sample
        return
    N, rows = J.out_shape[0], rng.standard_normal((2, *J.out_shape))
    alone = np.zeros((N, *rows.shape))
    alone[np.arange(N), :, np.arange(N)] = rows.swapaxes(0, 1)
    if N:
        single = [[J.pull(row) for row in some] for some in alone.swapaxes(0, 1)]
        np.testing.assert_allclose(J._pull_samples(rows), single, rtol=1e-10, atol=1e-11)
    if J.by_sample:
        assert J.in_shape[0] == N
        i, j = matrix.nonzero()
        assert (i // (J.shape[0] // N or 1) == j // (J.shape[1] // N or 1)).all()


def substitute(nodes, xs):
    xs = iter(xs)
    return [next(xs) if x.dtype in FLOATS else x.value for x in nodes]


def difference(case, nodes, v, h=1e-6):
    ends = [case.op(*[x.value + s * h * v[x] if x in v else x.value for x in nodes]) for s in (1, -1)]
    return (ends[0] - ends[1]) / (2 * h)


def complex_step(case, nodes, v, pushed):
    try:
        y = case.op(*[x.value + 1e-30j * v[x] if x in v else x.value for x in nodes])
    except TypeError:  # a kernel of real numbers only
        return
    np.testing.assert_allclose(pushed, np.imag(y) / 1e-30, rtol=1e-9, atol=1e-11)


def keeps_float32(case):
    nodes = as_nodes([x.astype(np.float32) if np.asarray(x).dtype == np.float64 else x for x in case.inputs])
    y = case.op(*nodes)
    g = np.ones(y.shape, np.float32)
    assert y.dtype == np.float32
    for c in Tape.of(y).pull(g, floats(nodes)):
        assert c is None or c.dtype == np.float32
    assert Tape.of(y).push({x: np.ones(x.shape, np.float32) for x in floats(nodes)}).dtype == np.float32


def keeps_each_dtype(case):
    """Inputs of different dtypes: tangents take the output's dtype, cotangents their input's."""
    nodes = as_nodes(case.inputs)
    if len(floats(nodes)) < 2:
        return
    nodes = [mg.parameter(x.value.astype(np.float32)) if x is floats(nodes)[0] else x for x in nodes]
    y = case.op(*nodes)
    tape = Tape.of(y)
    assert tape.push({x: np.ones(x.shape, x.dtype) for x in floats(nodes)}).dtype == y.dtype
    for x, c in zip(floats(nodes), tape.pull(np.ones(y.shape, y.dtype), floats(nodes)), strict=True):
        assert c is None or c.dtype == x.dtype


def forward_inside_reverse(case, nodes, v):
    """∂/∂x of ⟨Jv, 1⟩ is the same by a pull of a push as by a push of a pull."""
    xs, vs = [x.value for x in floats(nodes)], list(v.values())

    def pushed(*xs):
        return np.sum(mg.jvp(lambda *xs: case.op(*substitute(nodes, xs)), xs, vs)[1])

    def pulled(*xs):
        value, pull = mg.vjp(lambda *xs: case.op(*substitute(nodes, xs)), *xs)
        cotangents = pull(np.ones(value.shape))
        return sum((np.sum(c * w) for c, w in zip(cotangents if len(xs) > 1 else [cotangents], vs, strict=True)), 0.0)

    numbers = range(len(xs))
    for a, b in zip(mg.grad(pushed, numbers)(*xs), mg.grad(pulled, numbers)(*xs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


def test_every_op_has_cases():
    """Write those of a new op into ``tests/cases``, into the file named as that of the op."""
    ours = {cls for cls in Op.registry if cls.__module__.partition(".")[0] == "minigraph"}
    assert ours == {cls for cls, _ in CASES}
    assert Elementwise.table.keys() == elementwise.TABLE.keys()


def test_an_op_that_lacks_a_part_fails_at_import():
    with pytest.raises(TypeError, match="op Half lacks jacobians, name"):

        class Half(Op):
            def infer(self, x):
                return x

            def forward(self, x):
                return x
