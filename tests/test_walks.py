"""What walks, maps and transforms hand out: whose it is, that no derivative is lost, and how matrices are made."""

import copy
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.sparse.linalg import aslinearoperator, cg, gmres, svds
from test_ops import CASES, as_nodes, floats, name_of, substitute

import minigraph as mg
from minigraph import array, dense, nn
from minigraph.dense import Rows, steps
from minigraph.inspect.draw import to_dot
from minigraph.maps import Bounds, FunctionMap, LinearMap
from minigraph.node import FLOATS
from minigraph.op import Op, expect_floats
from minigraph.ops.elementwise import Elementwise, define
from minigraph.tape import Tape

rng = np.random.default_rng(0)

# --- dense Jacobians -----------------------------------------------------------------------------------------


def each_sample(mixes):
    """A network of layers of every kind; batch normalisation mixes its samples in training."""
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2),
        nn.GroupNorm(2, 6), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 5), nn.LayerNorm(5), nn.Tanh(),
        nn.Linear(5, 3),
    ).initialize(0).train(mixes)  # fmt: skip
    x = np.random.default_rng(0).standard_normal((4, 2, 7, 7), np.float32)
    return net, mg.cross_entropy(net(x), np.array([0, 2, 1, 1]), reduction="none")


@pytest.mark.parametrize("mixes", [False, True])
def test_gradients_of_each_sample_are_a_jacobian(mixes, monkeypatch):
    """They are what a pull for each sample gives, and take one pull for all where samples do not mix."""
    net, losses = each_sample(mixes)
    tape, carried, through = Tape.of(losses), [], Rows.through
    monkeypatch.setattr(Rows, "through", lambda rows, J: carried.append(rows) or through(rows, J))
    found = tape.jacobians()
    rows = [tape.pull(e) for e in np.eye(4, dtype=np.float32)]
    for J, p, *single in zip(found, tape.parameters, *rows, strict=True):
        assert J.shape == (4, *p.shape) and J.dtype == np.float32
        np.testing.assert_allclose(J, single, rtol=1e-4, atol=1e-6)
    assert all(rows.sparse and len(rows.values) == 1 for rows in carried) is not mixes
    expect_own(found, *[p.value for p in tape.parameters])


def test_jacobians_of_several_nodes_take_one_walk(monkeypatch):
    x, w, unused = (mg.parameter(rng.standard_normal(3)) for _ in range(3))
    tape, taken = Tape.of(np.tanh(x + w)), []
    monkeypatch.setattr(dense, "steps", lambda *args: taken.append(args[1]) or steps(*args))
    J_x, J_w, none, again = tape.jacobians([x, w, unused, x])
    assert none is None and len(taken) == len(tape.nodes)
    for J in (J_x, J_w, again):
        np.testing.assert_allclose(J, np.diag(1 - np.tanh(x.value + w.value) ** 2))
    expect_own([J_x, J_w, again])
    with pytest.raises(mg.MemoryBudgetError):
        tape.jacobians(max_bytes=10)


# --- whose arrays they are ----------------------------------------------------------------------------------


def expect_own(found, *others):
    """Each of ``found`` can be written, and shares no memory with another or with what is given."""
    for i, a in enumerate(found):
        if isinstance(a, np.ndarray):
            assert a.flags.writeable
            for b in (*found[:i], *others):
                assert not np.shares_memory(a, b)


@pytest.mark.parametrize(("cls", "case"), CASES, ids=[name_of(*c) for c in CASES])
def test_results_are_the_callers_own(cls, case):
    nodes = as_nodes(case.inputs)
    xs = [np.array(x.value) for x in floats(nodes)]
    f = lambda *xs: case.op(*substitute(nodes, xs))  # noqa: E731
    y = case.op(*nodes)
    if y.dtype not in FLOATS:
        return
    g, vs = rng.standard_normal(y.shape), [rng.standard_normal(x.shape) for x in xs]
    value, pull = mg.vjp(f, *xs)
    first, again = pull(g), pull(g)
    if len(xs) == 1:
        first, again = (first,), (again,)
    kept = [np.array(c) for c in first]
    pushed, tangent = mg.jvp(f, xs, vs)
    expect_own([value, pushed, tangent, *first, *again], g, *xs, *vs)
    maps = mg.linearize(f, *xs)[1]
    for J, v in zip((maps,) if len(xs) == 1 else maps, vs, strict=True):
        expect_own([J.push(v), J.push(v), J.pull(g), J.pull(g)], g, v, *xs)
        expect_own([J.matvec(v.ravel()), J.rmatvec(np.ravel(g))], g, v, *xs)
    tape = Tape.of(y)
    values = [np.asarray(node.value) for node in tape.nodes]
    expect_own(tape.pull(g, [*floats(nodes), y]), g, *values)
    for node in tape.nodes:
        for J in tape.local(node) if node.op else ():
            if J is not None:
                u, v = rng.standard_normal(J.out_shape), rng.standard_normal(J.in_shape)
                expect_own([J.pull(u), J.push(v), J.T.push(u), (J @ J.T).push(u)], u, v, *values)
    np.multiply(g, 2, out=g) if isinstance(g, np.ndarray) else None
    pull(g)
    for a, b in zip(first, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_solvers_and_gradients_are_not_written_through():
    b, shift = rng.standard_normal(4), lambda z: z - 1.0
    np.testing.assert_allclose(gmres(mg.linearize(shift, np.ones(4))[1].aslinearoperator(), b)[0], b)
    np.testing.assert_allclose(gmres(mg.linearize(shift, np.ones(4))[1], b)[0], b)
    g = mg.grad(np.sum)(np.ones(3))
    g *= 0.5
    p = mg.parameter(np.ones(3))
    found = Tape.of(p * 1.0).pull(np.ones(3), [p, p])
    found[0][:] = 7
    assert found[1].tolist() == [1, 1, 1]


def test_what_a_map_keeps_is_not_handed_out():
    kept = np.ones(3)
    J = FunctionMap(
        (3,),
        (3,),
        float,
        push=lambda v: kept,
        pull=lambda g: kept,
        matrix=lambda: sp.csr_array(np.eye(3)),
        bounds=Bounds(3, 1, 1),
    )
    for found in (J.push(kept), J.pull(kept), J.T.push(kept), (J @ J).pull(kept), J.matvec(kept)):
        found[:] = 7
    assert kept.tolist() == [1, 1, 1]


def test_leaves_cannot_be_written_from_outside():
    a = np.ones(3)
    view = a[:]
    a.setflags(write=False)
    for leaf in (mg.constant(a), mg.parameter(a), mg.constant(view[:2])):
        view[:] = 7
        assert leaf.value.tolist() == [1, 1, 1][: leaf.size]
        view[:] = 1
    p = mg.parameter(np.zeros(3))
    p.value = a
    y = p * a
    view[:] = 7
    assert p.value.tolist() == [1, 1, 1] and y.inputs[1].value.tolist() == [1, 1, 1]


# --- no derivative is lost ----------------------------------------------------------------------------------

INNER = {  # of a function h of one number, its slope at 1.0
    "grad": lambda h: mg.grad(h)(1.0),
    "value_and_grad": lambda h: mg.value_and_grad(h)(1.0)[1],
    "vjp": lambda h: mg.vjp(h, 1.0)[1](1.0),
    "jvp": lambda h: mg.jvp(h, 1.0, 1.0)[1],
    "linearize, push": lambda h: mg.linearize(h, 1.0)[1].push(1.0),
    "linearize, pull": lambda h: mg.linearize(h, 1.0)[1].pull(1.0),
    "jacobian": lambda h: mg.jacobian(h)(1.0),
    "checkpoint": lambda h: mg.grad(mg.checkpoint(h))(1.0),
    "Tape.pull": lambda h: on_tape(h, lambda tape, y: tape.pull(None, [y])[0]),
    "Tape.push": lambda h: on_tape(h, lambda tape, y: tape.push({y: 1.0})),
    "Tape.jacobian, pull": lambda h: on_tape(h, lambda tape, y: tape.jacobian(y).pull(1.0)),
    "Tape.jacobian, push": lambda h: on_tape(h, lambda tape, y: tape.jacobian(y).push(1.0)),
}
OUTER = {
    "grad": lambda f, x: mg.grad(f)(x),
    "vjp": lambda f, x: mg.vjp(f, x)[1](1.0),
    "jvp": lambda f, x: mg.jvp(f, (x,), (1.0,))[1],
    "linearize": lambda f, x: mg.linearize(f, x)[1].push(1.0),
    "jacobian": lambda f, x: mg.jacobian(f)(x),
}


def on_tape(h, walk):
    y = mg.parameter(1.0)
    return walk(Tape.of(h(y)), y)


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("inner", INNER)
def test_an_outer_transform_sees_through_an_inner_one(outer, inner):
    """∂/∂x of x · ∂(x y²)/∂y = 2 x² at y = 1, for arrays, constants and parameters x, alone and within a third level."""
    f = lambda x: x * INNER[inner](lambda y: x * y * y)  # noqa: E731
    third = lambda z: z * OUTER[outer](lambda u: u * INNER[inner](lambda y: z * u * y * y), 3.0)  # noqa: E731
    for x in (2.0, np.float64(2.0), mg.constant(2.0), mg.parameter(2.0)):
        assert float(OUTER[outer](f, x)) == pytest.approx(8)
        assert float(mg.grad(lambda z: OUTER[outer](f, z))(x)) == pytest.approx(4)
        assert float(mg.grad(third)(x)) == pytest.approx(48)


def test_an_outer_transform_is_seen_from_other_threads():
    def f(x):
        with ThreadPoolExecutor(2) as pool:
            slopes = list(pool.map(lambda i: mg.grad(lambda y: x * y * y)(i), [1.0, 2.0]))
        return (slopes[0] + slopes[1]) * x

    assert mg.grad(f)(1.3) == pytest.approx(12 * 1.3)
    for leave in (
        float,
        lambda x: mg.linearize(lambda y: x * y, np.ones(2))[1].toarray(),
        lambda x: (x * x).backward(),
    ):
        with pytest.raises((TypeError, mg.GraphError)), ThreadPoolExecutor(1) as pool:
            mg.grad(lambda x: x * pool.submit(leave, x).result())(1.3)  # noqa: B023


def test_infinite_slopes_stay_where_the_structure_has_them():
    for f, x in (
        (np.sqrt, np.array([0.0, 1.0, 4.0])),
        (lambda z: mg.relu(z) * np.array([np.inf, 1.0, 1.0]), np.array([1.0, 1.0, -1.0])),
        (lambda z: np.sqrt(z)[::-1] * 2, np.array([0.0, 1.0, 4.0])),
    ):
        with np.errstate(all="ignore"):
            dense, sparse = mg.jacobian(f)(x), mg.jacobian(f, format="csr")(x)
        np.testing.assert_array_equal(dense, sparse.toarray())
        assert np.isinf(dense).sum() == 1 and not np.isnan(dense).any()


@pytest.mark.parametrize(
    "matrix",
    [
        lambda y, x: mg.linearize(lambda z: z * z * x, y)[1].tosparse(),
        lambda y, x: mg.linearize(lambda z: z * z * x, y)[1].toarray(),
        lambda y, x: next(mg.linearize(lambda z: z * z * x, y)[1].row_blocks(1)),
        lambda y, x: mg.jacobian(lambda z: z * z * x, format="csr")(y),
        lambda y, x: Tape.of(x * x).local(x * x)[0].tosparse(),
        lambda y, x: Tape.of(x * x).jacobian(x).tosparse(),
        lambda y, x: np.asarray(Tape.of(x * x).jacobian(x)),
    ],
)
def test_a_matrix_of_numbers_is_refused_within_a_transform(matrix):
    with pytest.raises((mg.GraphError, TypeError), match="cannot be differentiated again|leaves the graph"):
        mg.grad(lambda x: np.sum(x) + matrix(np.ones(3), x).sum())(np.ones(3))


def test_backward_is_refused_within_a_transform_that_differentiates_it():
    w = mg.parameter(np.ones(3))
    with pytest.raises(mg.GraphError, match=r"backward: sum #\d+ is being differentiated by a transform"):
        mg.grad(lambda x: np.sum(x * w).backward())(np.ones(3))
    mg.grad(lambda x: (np.sum(w * w).backward(), np.sum(x))[1])(np.ones(3))
    assert w.grad.tolist() == [2, 2, 2]


def test_transforms_return_arrays():
    """Also where f reads parameters, so that SciPy's solvers can use them; Nodes where they are asked for."""
    net = nn.Sequential(nn.Linear(3, 4, rng=0, dtype=np.float64), nn.Linear(4, 1, rng=1, dtype=np.float64))
    f = lambda x: np.sum(np.tanh(net(x)) ** 2) + np.sum((x - 1) ** 2)  # noqa: E731
    x, v = np.full(3, 0.5), np.ones(3)
    found = (
        mg.grad(f)(x),
        *mg.value_and_grad(f)(x),
        *mg.jvp(f, (x,), (v,)),
        mg.vjp(f, x)[0],
        mg.vjp(f, x)[1](1.0),
        mg.linearize(f, x)[1].pull(1.0),
        mg.jacobian(f)(x),
        mg.hessian(f)(x),
        mg.hvp(f, x, v),
    )
    assert not any(isinstance(a, mg.Node) for a in found)
    best = minimize(f, x, jac=mg.grad(f), hess=mg.hessian(f), method="trust-exact")
    assert best.success and np.abs(mg.grad(f)(best.x)).max() < 1e-4
    assert minimize(mg.value_and_grad(f), x, jac=True, method="L-BFGS-B").success
    slope = mg.grad(f, create_graph=True)(x)
    np.sum(slope * slope).backward()
    assert np.abs(net[0].weight.grad).max() > 0
    assert isinstance(mg.grad(f)(mg.constant(x)), mg.Node)


def test_keywords_and_several_arguments():
    f = lambda a, b=2.0, *, k=1: np.sum(a * a * b) * k  # noqa: E731
    a, b = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    assert mg.grad(f)(a, k=2).tolist() == [8, 16] and mg.grad(f)(a, b=3.0).tolist() == [6, 12]
    assert mg.grad(f, -1)(a, b).tolist() == [1, 4] and mg.vjp(f, a, k=3)[1](1.0).tolist() == [12, 24]
    assert mg.jvp(f, (a,), (a,), k=2)[1] == 40 and mg.linearize(f, a, k=2)[1].pull(1.0).tolist() == [8, 16]
    assert mg.hvp(f, a, a, k=2).tolist() == [8, 16] and mg.value_and_grad(f)(a, k=2)[0] == 20
    assert mg.grad(mg.checkpoint(f))(a, k=2).tolist() == [8, 16]
    first, second = mg.jacobian(lambda a, b: a * b, (0, 1))(a, b)
    assert first.tolist() == np.diag(b).tolist() and second.tolist() == np.diag(a).tolist()
    (aa, ab), (ba, bb) = mg.hessian(f, (0, 1))(a, b)
    assert aa.tolist() == np.diag(2 * b).tolist() and ab.tolist() == ba.T.tolist() == np.diag(2 * a).tolist()
    assert not bb.any()
    for u, v in ((a, b), (b, a)):
        found = mg.hvp(f, (a, b), (u, v))
        np.testing.assert_allclose(found[0], aa @ u + ab @ v)
        np.testing.assert_allclose(found[1], ba @ u + bb @ v)
    with pytest.raises(mg.GraphError, match=r"grad: the function gave shape \(2,\); wanted a scalar. mg.jacobian"):
        mg.grad(lambda a: a * 2)(a)
    with pytest.raises(TypeError, match=r"grad: got argnums \(0, -2\); wanted each argument once"):
        mg.grad(f, (0, -2))(a, b)


# --- maps ---------------------------------------------------------------------------------------------------


def test_maps_are_added_scaled_and_multiplied():
    x = mg.parameter(rng.standard_normal(4))
    J, K = (Tape.of(f(x)).jacobian(x) for f in (lambda x: np.cumsum(x * x), np.sin))
    A, B, v, M = J.toarray(), K.toarray(), rng.standard_normal(4), rng.standard_normal((4, 3))
    sparse = sp.csr_array(np.where(rng.random((4, 4)) < 0.5, rng.standard_normal((4, 4)), 0))
    for map_, matrix in (
        (J + K, A + B),
        (J - K, A - B),
        (-J, -A),
        (2 * J, 2 * A),
        (J * np.float64(3), 3 * A),
        (J / 2, A / 2),
        (J @ K.T + K * 2, A @ B.T + 2 * B),
    ):
        assert isinstance(map_, LinearMap)
        np.testing.assert_allclose(map_.toarray(), matrix)
        np.testing.assert_allclose(np.asarray(map_), matrix)
        np.testing.assert_allclose(map_ @ v, matrix @ v)
        np.testing.assert_allclose(v @ map_, v @ matrix)
        np.testing.assert_allclose(map_ @ M, matrix @ M)
        np.testing.assert_allclose(M.T @ map_, M.T @ matrix)
        np.testing.assert_allclose((map_ @ sparse).toarray(), matrix @ sparse.toarray())
        np.testing.assert_allclose(np.vstack([b.toarray() for b in map_.row_blocks(3)]), matrix)
        np.testing.assert_allclose(map_.tocoo().toarray(), matrix)
        np.testing.assert_allclose(aslinearoperator(map_) @ (v + 2j * v), matrix @ (v + 2j * v))
        np.testing.assert_allclose(map_.aslinearoperator().rmatvec(v - 3j * v), matrix.T @ (v - 3j * v))
    np.testing.assert_allclose(svds(J, k=2, random_state=0)[1], np.sort(np.linalg.svd(A)[1])[-2:])
    np.testing.assert_allclose(cg(K + K.T, v)[0], np.linalg.solve(B + B.T, v), rtol=1e-4)
    with pytest.raises(mg.ShapeError, match=r"wanted the same shapes"):
        J + Tape.of(x[:2]).jacobian(x)
    for other in (v, M, 1):
        with pytest.raises((TypeError, mg.ShapeError)):
            J + other
    for A_ in (B, sparse, sp.coo_array(B)):
        dense = A_ if isinstance(A_, np.ndarray) else A_.toarray()
        for map_, matrix in ((J + A_, A + dense), (J - A_, A - dense), (A_ - J if dense is A_ else -J + A_, dense - A)):
            np.testing.assert_allclose(map_.toarray(), matrix)
            np.testing.assert_allclose(map_ @ v, matrix @ v)
            np.testing.assert_allclose(v @ map_, v @ matrix)
    with pytest.raises(mg.MemoryBudgetError):
        np.asarray(mg.linearize(np.sin, np.ones(10**5))[1])


@pytest.mark.parametrize(("cls", "case"), CASES, ids=[name_of(*c) for c in CASES])
def test_matrices_have_one_structure(cls, case):
    """Stored entries do not depend on values, indices are sorted and small, and no more bytes than predicted."""
    nodes = as_nodes(case.inputs)
    y = case.op(*nodes)
    if y.dtype not in FLOATS:
        return
    for x in floats(nodes):
        J = Tape.of(y).jacobian(x)
        csr, csc = J.tosparse(), J.tosparse(format="csc")
        assert csr.has_sorted_indices and csr.indices.dtype == np.int32 and csr.format == "csr" and csc.format == "csc"
        copy.copy(csr).check_format()
        np.testing.assert_array_equal(csc.toarray(), csr.toarray())
        assert csr.data.nbytes + csr.indices.nbytes + csr.indptr.nbytes <= J.nbytes
        expect_rows(J)
    for node in Tape.of(y).nodes:
        for L in Tape.of(y).local(node) if node.op else ():
            if L is not None:
                expect_rows(L)


def expect_rows(J):
    """Some rows, in any order and more than once, are those of the whole matrix."""
    matrix, n = J.tosparse(), J.shape[0]
    for index in (rng.permutation(n), rng.permutation(n)[: n // 2], rng.integers(n, size=5) if n else np.arange(0)):
        expect_same(J._rows(index), matrix[index])


def expect_same(a, b):
    """The same entries, stored ones included."""
    b.sort_indices()
    assert a.has_sorted_indices
    for part in ("indptr", "indices"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
    np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-12)


def pictures():
    """An image without and with zeros, and filters that cancel."""
    x = rng.standard_normal((1, 2, 6, 6))
    yield x, rng.standard_normal((3, 2, 3, 3))
    yield np.where(rng.random(x.shape) < 0.5, 0, x), rng.choice([-1.0, 0.0, 1.0], (3, 2, 3, 3))
    yield np.zeros_like(x), np.ones((3, 2, 3, 3))


@pytest.mark.parametrize("by", ["x", "w"])
@pytest.mark.parametrize(
    "net",
    [
        lambda x, w: mg.relu(mg.conv2d(x, w, padding=1)),
        lambda x, w: mg.avg_pool2d(mg.relu(mg.conv2d(x, w)) * 0.0, 2),
        lambda x, w: mg.conv2d(mg.conv2d(x, w, padding=1), np.ones((1, 3, 1, 1))) - x[:, :1],
        lambda x, w: mg.conv2d(x * x, w, algorithm="toeplitz").sum(axis=1) + x[0, 0, 1:-1, 1:-1] * 0,
    ],
)
def test_structure_of_a_network_does_not_depend_on_values(net, by):
    structures = []
    for image, filters in pictures():
        x, w = mg.parameter(image), mg.parameter(filters)
        J = Tape.of(net(x, w)).jacobian(x if by == "x" else w)
        matrix = J.tosparse()
        np.testing.assert_allclose(matrix.toarray(), J.toarray(), atol=1e-12)
        blocks = sp.vstack(list(J.row_blocks(7)), format="csr")
        expect_same(blocks, matrix)
        structures.append((matrix.indptr.tolist(), matrix.indices.tolist()))
    assert structures[0] == structures[1] == structures[2]


def traced(f):
    """What f gives, and the most bytes that it took at once."""
    tracemalloc.start()
    try:
        found = f()
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


LARGE = {
    "conv": (lambda x, w: mg.conv2d(x, w, padding=1), (8, 16, 24, 24), (16, 16, 3, 3)),
    "linear": (lambda x, w: mg.linear(x, w), (200, 100), (120, 100)),
    "relu": (lambda x, w: mg.relu(x), (10**6,), (1,)),
    "broadcast": (lambda x, w: x + w, (1000, 500), (500,)),
    "softmax": (lambda x, w: mg.softmax(x), (500, 60), (1,)),
    "batch_norm": (lambda x, w: mg.batch_norm(x, training=True), (8, 4, 8, 8), (1,)),
    "layer_norm": (lambda x, w: mg.layer_norm(x, 80), (300, 80), (1,)),
    "local_response_norm": (lambda x, w: mg.local_response_norm(x, 5), (4, 16, 24, 24), (1,)),
    "max_pool": (lambda x, w: mg.max_pool2d(x, 2), (16, 16, 48, 48), (1,)),
    "avg_pool": (lambda x, w: mg.avg_pool2d(x, 3), (8, 16, 48, 48), (1,)),
    "cumsum": (lambda x, w: np.cumsum(x, 1), (50, 200), (1,)),
    "interpolate": (lambda x, w: mg.interpolate(x, 96, mode="bilinear"), (2, 4, 48, 48), (1,)),
    "scores": (
        lambda x, w: mg.linear(
            mg.flatten(mg.relu(mg.conv2d(x, w, padding=1))), np.ones((10, 16 * 64 * 64), np.float32)
        ),
        (4, 16, 64, 64),
        (16, 16, 3, 3),
    ),
    "rolled": (lambda x, w: x + np.roll(x, 1) + np.roll(x, 2) + np.roll(x, 3), (300_000,), (1,)),
    "diff": (lambda x, w: np.diff(np.diff(x)), (500_000,), (1,)),
    "softmax of one line": (lambda x, w: mg.softmax(x), (2000,), (1,)),
    "outer": (lambda x, w: np.outer(x, x), (200,), (1,)),
    "network": (lambda x, w: mg.relu(mg.conv2d(mg.max_pool2d(x, 2), w)), (4, 16, 32, 32), (16, 16, 3, 3)),
}


@pytest.mark.parametrize("name", LARGE)
def test_matrices_keep_to_their_budget_and_blocks_to_theirs(name):
    f, *shapes = LARGE[name]
    x, w = (mg.parameter(rng.standard_normal(shape, np.float32)) for shape in shapes)
    y = f(x, w)
    tape = Tape.of(y)
    for J in (tape.jacobian(x), *(L for node in tape.nodes if node.op for L in tape.local(node) if L is not None)):
        need = J.nbytes + J.workspace
        with pytest.raises(mg.MemoryBudgetError):
            J.tosparse(max_bytes=int(need) - 1)
        matrix, peak = traced(lambda: J.tosparse(max_bytes=None))  # noqa: B023
        held = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        assert held <= J.nbytes and peak <= need + 2**20
        del matrix
        if np.prod(J.shape) < 10**7:
            dense = np.prod(J.shape) * J.dtype.itemsize
            assert traced(lambda: J.toarray(max_bytes=None))[1] <= dense + J._dense_workspace() + 2**20  # noqa: B023
        block, peak = traced(lambda: next(J.row_blocks(10)))  # noqa: B023
        arrays = 64 * (max(x.size, y.size) + sum(J.shape))
        assert peak <= 3 * (block.data.nbytes + block.indices.nbytes) + arrays + 2**20


def test_the_cheapest_way_gives_the_same_matrix():
    x, w = mg.parameter(rng.standard_normal((1, 2, 8, 8))), mg.parameter(rng.standard_normal((3, 2, 3, 3)))
    h = np.tanh(mg.conv2d(x, w, padding=1))
    for y, p in ((mg.linear(mg.flatten(h), rng.standard_normal((4, 192))), x), (h, w), (h * np.sum(w), w[:1, :1])):
        if p.op:
            p = w
        J = Tape.of(y).jacobian(p)
        wanted = np.array([np.ravel(J.pull(e.reshape(J.out_shape))) for e in np.eye(J.shape[0])])
        for way in ("pull", "push", "back", "on"):
            J._way = lambda rows, dense, way=way: way
            np.testing.assert_allclose(J.toarray(), wanted, atol=1e-12)
            np.testing.assert_allclose(J.tosparse().toarray(), wanted, atol=1e-12)


# --- ops of others ------------------------------------------------------------------------------------------


def op_with(**parts):
    """An op y = 2 x, with parts of another's."""

    class Double(Op):
        name = "double"

        def infer(self, x):
            return mg.Spec(x.shape, expect_floats(self, x=x))

        def forward(self, x):
            return 2 * x

        def jacobians(self, y, x):
            return [twice(x)]

    cls = type("Double", (Double,), {"__module__": __name__, **parts})
    for made in (cls, Double):
        Op.registry.remove(made)
    return cls()


def twice(x, push=lambda v: 2 * v, pull=lambda g: 2 * g, shapes=None, matrix=None):
    n = x.size
    return FunctionMap(*(shapes or (x.shape, x.shape)), x.dtype, push=push, pull=pull,
                   matrix=matrix or (lambda: sp.csr_array(2 * sp.eye_array(n, dtype=x.dtype))), bounds=Bounds(n, 1, 1))  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"forward": lambda self, x: (2 * x)[:1]},
            r"double: got shape \(1,\); wanted a value \(3,\) float32 from forward",
        ),
        (
            {"forward": lambda self, x: 2 * x.astype(float)},
            "double: forward gave dtype float64; wanted float32, as infer",
        ),
        ({"forward": lambda self, x: [1, 2]}, "double: forward gave list; wanted an array"),
        (
            {"forward": lambda self, x: (2 * x, 1, 2)},
            "double: forward gave a tuple of 3; wanted a value, or a value and what",
        ),
        (
            {"jacobians": lambda self, y, x: []},
            "double: got 0 Jacobians for 1 inputs; wanted a LinearMap or None for each",
        ),
        ({"jacobians": lambda self, y, x: [twice(x), None]}, "double: got 2 Jacobians for 1 inputs"),
        ({"jacobians": lambda self, y, x: twice(x)}, "double: got FunctionMap Jacobians for 1 inputs"),
        (
            {"jacobians": lambda self, y, x: [2.0]},
            "double, Jacobian with respect to input 0: got float; wanted a LinearMap or None",
        ),
        (
            {"jacobians": lambda self, y, x: [twice(x, shapes=((3,), (4,)))]},
            r"double, Jacobian with respect to input 0: got map \(3,\) → \(4,\); wanted a map \(3,\) → \(3,\)",
        ),
        (
            {"jacobians": lambda self, y, x: [twice(x, pull=lambda g: g[:2], push=lambda v: v[:2])]},
            r"double, Jacobian with respect to input 0: got shape \(2,\); wanted shape \(3,\) from pu",
        ),
        (
            {
                "jacobians": lambda self, y, x: [
                    twice(x, pull=lambda g: g * np.float64(2), push=lambda v: v * np.float64(2))
                ]
            },
            "double, Jacobian with respect to input 0: pu.. gave dtype float64; wanted float32",
        ),
        (
            {"jacobians": lambda self, y, x: [twice(x, pull=lambda g: None, push=lambda v: None)]},
            "double, Jacobian with respect to input 0: pu.. gave NoneType; wanted an array",
        ),
    ],
)
def test_ops_of_others_are_checked(parts, message):
    double = op_with(**parts)
    for walk in (
        lambda x: np.sum(double(x)).backward(),
        lambda x: Tape.of(double(x)).push({x: np.ones(3)}),
        lambda x: Tape.of(double(x)).pull(np.ones(3), [x], create_graph=True),
    ):
        with pytest.raises((mg.ShapeError, TypeError), match=message):
            walk(mg.parameter(np.ones(3, np.float32)))
    with pytest.raises((mg.ShapeError, TypeError, AssertionError), match=message):
        mg.extend.check_op(double, np.ones(3, np.float32))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([np.ones(2, np.float32)], r"double, cotangent of input 0: got shape \(2,\); wanted shape \(3,\) from pull"),
        ([np.ones(3)], "double, cotangent of input 0: pull gave dtype float64; wanted float32"),
        (["2"], "double, cotangent of input 0: pull gave str; wanted an array of shape"),
        ([], "double: got 0 cotangents from pull for 1 inputs; wanted one or None for each"),
        (2.0, "double: got float cotangents from pull for 1 inputs"),
    ],
)
def test_pulls_of_several_cotangents_are_checked(found, message):
    double = op_with(pull=lambda self, g, wanted, y, x, saved=None: found)
    with pytest.raises((mg.ShapeError, TypeError), match=message):
        np.sum(double(mg.parameter(np.ones(3, np.float32)))).backward()


@pytest.mark.parametrize("found", [NotImplemented, None, "own"])
def test_what_is_saved_and_pulled_by_ops_of_others(found):
    """NotImplemented leaves it to the maps, None is a zero; results are the caller's own, g cannot be written."""
    kept = np.full(3, 2.0)

    def pull(self, g, wanted, y, x, saved=None):
        assert not g.flags.writeable and saved is kept and wanted == (True,)
        return found if found is NotImplemented else [None if found is None else kept]

    double = op_with(
        forward=lambda self, x: (2 * x, kept), jacobians=lambda self, y, x, saved=None: [twice(x)], pull=pull
    )
    x = mg.parameter(np.ones(3))
    y = double(x)
    assert y.saved is kept and isinstance(double(np.ones(3)), np.ndarray)
    y.backward(np.ones(3))
    assert y.saved is None and (x.grad is None if found is None else x.grad.tolist() == [2, 2, 2])
    if found == "own":
        x.grad += 1
        assert kept.tolist() == [2, 2, 2]


def test_what_ops_of_others_keep_is_not_shared():
    """Buffers that an op or a map writes again, and arguments that it would write."""
    buffer, x = np.empty((2, 3)), np.array([1.0, 2.0, 3.0])

    def into(row, v):
        buffer[row] = 2 * v
        return buffer[row]

    def in_place(v):
        v *= 2
        return v

    kept = op_with(
        forward=lambda self, x: into(0, x),
        jacobians=lambda self, y, x: [twice(x, push=lambda v: into(1, v), pull=lambda g: into(1, g))],
    )
    assert mg.grad(lambda z: np.sum(kept(z) * kept(z * 10.0)))(x).tolist() == (80 * x).tolist()
    assert mg.jvp(lambda z: kept(z) + kept(z * 3.0), x, np.ones(3))[1].tolist() == [8, 8, 8]
    assert mg.grad(lambda z: np.sum(kept(kept(z)) * 1.0 + kept(z)))(x).tolist() == [6, 6, 6]
    for parts in (
        {"forward": lambda self, x: in_place(x)},
        {"jacobians": lambda self, y, x: [twice(x, push=in_place, pull=in_place)]},
    ):
        writes, v = op_with(**parts), np.ones(3)
        with pytest.raises(ValueError, match="read-only"):
            mg.jvp(lambda z: writes(z) + z, x, v)  # noqa: B023
        assert x.tolist() == [1, 2, 3] and v.tolist() == [1, 1, 1]


def test_parts_that_ops_of_others_inherit_are_checked():
    class Base(Op, abstract=True):
        def infer(self, a, b):
            return mg.Spec(a.shape, a.dtype)

        def forward(self, a, b):
            return a * b

    class Mixin:
        def jacobians(self, y, a, b):
            return [twice(a)]

    class Mixed(Mixin, Base):
        name = "mixed"

    Op.registry.remove(Mixed)
    with pytest.raises(TypeError, match="mixed: got 1 Jacobians for 2 inputs"):
        mg.grad(lambda a, b: np.sum(Mixed()(a, b)), (0, 1))(np.ones(3), np.ones(3))


@pytest.mark.parametrize(
    ("function", "slope", "message"),
    [
        (lambda x: 2 * np.sum(x), lambda y, x: 2, r"odd: got shape \(\); wanted a value \(3,\) float32 from forward"),
        (
            np.exp,
            lambda y, x: np.ones((2, 3)),
            r"odd, Jacobian with respect to input 0: got shape \(2, 3\); wanted shape \(3,\) from pu",
        ),
        (
            np.exp,
            lambda y, x: np.exp(x.astype(float)),
            "odd, Jacobian with respect to input 0: pu.. gave dtype float64; wanted float32",
        ),
    ],
)
def test_elementwise_functions_of_others_are_checked(function, slope, message, monkeypatch):
    monkeypatch.setattr(Elementwise, "table", {})
    known = dict(array.IMPLEMENTATIONS)
    odd = define("odd", function, slope)
    array.IMPLEMENTATIONS.clear()
    array.IMPLEMENTATIONS.update(known)
    x = mg.parameter(np.ones(3, np.float32))
    for walk in (lambda: odd(x).backward(np.ones(3)), lambda: Tape.of(odd(x)).push({x: np.ones(3)})):
        with pytest.raises((mg.ShapeError, TypeError), match=message):
            walk()


def test_check_op_finds_what_is_wrong():
    x = rng.standard_normal((2, 3))
    assert "agree" in str(mg.extend.check_op(op_with(), x))
    assert mg.extend.check_op(mg.relu, x).entries == 6 + 6
    assert mg.extend.check_op(
        lambda x, w: mg.conv2d(x, w, padding=1), rng.standard_normal((1, 2, 4, 4)), np.ones((3, 2, 3, 3))
    )
    for parts, message in (
        ({"jacobians": lambda self, y, x: [twice(x, push=lambda v: 3 * v, pull=lambda g: 3 * g)]}, "differ|matrix"),
        ({"jacobians": lambda self, y, x: [twice(x, push=lambda v: 3 * v)]}, "push and pull"),
        ({"jacobians": lambda self, y, x: [twice(x, matrix=lambda: sp.csr_array(sp.eye_array(6)))]}, "matrix"),
        ({"infer": lambda self, x: mg.Spec((3, 2), x.dtype)}, "as infer says"),
        ({"jacobians": lambda self, y, x: [None]}, "difference"),
    ):
        with pytest.raises((AssertionError, mg.ShapeError), match=message):
            mg.extend.check_op(op_with(**parts), x)


# --- freed graphs -------------------------------------------------------------------------------------------


def test_a_freed_graph_keeps_its_structure():
    w, x = mg.parameter(rng.standard_normal((4, 3)), "w"), mg.constant(rng.standard_normal((5, 3)), "x")
    with mg.scope("layer"):
        s = mg.linear(x, w).named("s")
    loss = (np.sum(mg.relu(s) ** 2) + mg.l2_penalty([w], 0.1)).named("loss")
    whole, before = Tape.of(loss), str(mg.summary(loss))
    rows = [(n.kind, n.name, n.scope, n.shape, n.dtype, len(n.inputs)) for n in whole.nodes]
    loss.backward()
    for tape in (whole, Tape.of(loss)):
        left = tape.structure()
        assert [(n.kind, n.name, n.scope, n.shape, n.dtype, len(n.inputs)) for n in left.nodes] == rows
        assert left.nodes[-1].value == loss.value and w in left.nodes
        assert [line.split()[0] for line in str(tape).splitlines()] == ["node", *(f"v{i}" for i in range(len(rows)))]
    assert str(mg.summary(loss)) == before
    later = np.sum(s * s)
    assert len(Tape.of(later).nodes) == 5 and "loss" not in str(Tape.of(later))
    for walk in (loss.backward, later.backward, whole.pull, Tape.of(loss).pull, lambda: Tape.of(later).local(s)):
        with pytest.raises(mg.GraphError, match="freed by backward"):
            walk()
    deep = w
    for _ in range(6000):
        deep = deep + 1.0
    deep = np.sum(deep)
    deep.backward()
    with pytest.raises(mg.GraphError, match="freed by backward"):
        str(Tape.of(deep))


def test_a_freed_graph_is_drawn_with_its_gradients():
    w = mg.parameter(np.ones((2, 3)), "w")
    loss = np.sum(mg.linear(mg.constant(np.ones((5, 3)), "x"), w).named("s") ** 2).named("loss")
    whole = to_dot(loss, values=False)
    tape = Tape.of(loss)
    loss.backward()
    for y in (loss, tape):
        text = to_dot(y, values=False)
        assert text.count("->") == whole.count("->") and "not computed" not in text and "‖∂‖" in text
