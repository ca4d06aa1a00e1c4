"""The engine: nodes, tapes and their walks, with what goes wrong when it is misused."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import least_squares
from scipy.sparse.linalg import eigsh, lsmr, svds

import minigraph as mg

rng = np.random.default_rng(0)
A = rng.standard_normal((3, 4))


def network(w, x):
    """Two paths from w, sums, broadcasting, indexing: a bit of everything."""
    h = np.tanh(w @ x)
    return (h * h[::-1] + np.exp(-h) / (1 + x[:3] ** 2)).sum() + (w * w).mean() * np.max(x)


# --- nodes ------------------------------------------------------------------------------------------------


def test_leaves_keep_their_own_copy_and_values_are_read_only():
    data = np.ones(3)
    x = mg.constant(data)
    data[0] = 7
    assert x.value.tolist() == [1, 1, 1]
    y = x * 2
    for node in (x, y):
        with pytest.raises(ValueError, match="read-only"):
            node.value[0] = 3
    with pytest.raises(TypeError, match=r"multiply #\d+: values on the tape are read-only"):
        y.value = np.ones(3)
    with pytest.raises(TypeError, match=r"x\[key\] = v is not possible; build a new one with np.where"):
        y[0] = 1
    shared = np.ones(3)
    shared.setflags(write=False)
    assert mg.constant(shared).value is shared


@pytest.mark.parametrize("value", [1, [1, 2], 1j, "a", None, [object()], np.float16(1)])
def test_a_parameter_is_float32_or_float64(value):
    with pytest.raises(TypeError, match="parameter.*wanted float32"):
        mg.parameter(value)


def test_a_parameter_changed_under_the_tape_stops_the_walk():
    w = mg.parameter([1.0, 2.0], name="w")
    y = (w * w).sum()
    w.value = np.array([3.0, 4.0])
    for walk in (y.backward, lambda: mg.Tape.of(y).push({w: w.value}), lambda: mg.Tape.of(y).jacobian(w).tosparse()):
        with pytest.raises(mg.GraphError, match="parameter 'w' was changed after multiply #"):
            walk()
    with pytest.raises(mg.ShapeError, match=r"parameter 'w': got a value of shape \(3,\); wanted \(2,\)"):
        w.value = np.ones(3)
    with pytest.raises(TypeError, match="parameter 'w': got a value of dtype float32; wanted float64"):
        w.value = np.ones(2, np.float32)


def test_numpy_protocols():
    x = mg.parameter([[1.0, 2.0], [3.0, 4.0]], name="x")
    v = x.value
    for f in (
        lambda x: 2 * x - x / 3 + (-x) ** 2 - 1 / x + 2**x + abs(x) % 0.7 + (+x) // 2,
        lambda x: v @ x + x @ v + np.float64(2) * x + v * x,
        lambda x: np.stack([x, x.T])[0, ::-1].reshape(-1).cumsum(),
        lambda x: np.where(x > 2, np.sin(x), np.concatenate([x, x], axis=1)[:, 1:3]),
        lambda x: np.add.reduce(x, axis=0) + np.median(x, axis=1) + np.linalg.norm(x, axis=0) + np.std(x, axis=0),
        lambda x: np.einsum("ij,kj->ik", x, x) + np.tensordot(x, x, 1) + np.outer(x[0], x[1]) + np.trace(x),
        lambda x: (
            np.hstack(np.split(x, 2)) + np.vstack([x[0], x[1]]).mean() + np.diff(x, axis=0).max() + x.max(axis=0).min()
        ),
        lambda x: (
            np.clip(x, 1.5, None)
            + np.pad(x, 1)[1:-1, 1:-1]
            + np.take(x, [1, 0], axis=0)
            + np.roll(x, 1)
            + np.average(x)
        ),
        lambda x: x[x > 2.5] * x[[0, 1], [1, 0]] + x[..., -1] + x[None, 0, :].squeeze(),
        lambda x: np.add.reduce(x) + np.maximum.reduce(x, axis=1) + np.multiply.reduce(x),
        lambda x: np.average(x, axis=0, weights=np.array([1.0, 3.0])) + np.average(x, weights=x),
        lambda x: x.clip(min=2.0) + x.clip(max=2.0) + np.where(x > 2)[0] + np.isclose(x, 2.0) + np.array_equal(v, x),
        lambda x: x @ np.arange(4).reshape(2, 2) + np.dot(np.ones((2, 2), int), x),
        lambda x: np.array(list(map(float, x.ravel()))).sum() + len(x) + x.size + x.ndim,
    ):
        np.testing.assert_array_equal(np.asarray(f(x)), f(v))
    assert [row.shape for row in x] == [(2,), (2,)]
    assert bool(x[0, 0] == 1) and int(x[1, 0]) == 3 and f"{x[0, 1]:.2f}" == "2.00" and x[0, 0].item() == 1.0
    assert np.argmax(x) == 3 and x.argmax(axis=1).tolist() == [1, 1]
    assert x.T.astype(np.float32).dtype == np.float32


def test_what_numpy_can_and_the_tape_cannot_is_said():
    x = mg.parameter([1.0, 2.0])
    with pytest.raises(TypeError, match=r"np.linalg.qr has no Jacobian in minigraph; use np.linalg.cholesky"):
        np.linalg.qr(x)
    with pytest.raises(TypeError, match=r"np.spacing has no Jacobian in minigraph; .* np.asarray\(node\)"):
        np.spacing(x)
    with pytest.raises(TypeError, match="np.exp: out= is not possible"):
        np.exp(x, out=np.zeros(2))
    with pytest.raises(TypeError, match=r"has shape \(\): cannot iterate"):
        iter(x.sum())
    with pytest.raises(TypeError, match="multiply: got ndarray of dtype complex128"):
        x * np.array([1j, 2])
    with pytest.raises(IndexError, match=r"getitem: got x \(2,\) float64; index 5 is out of bounds"):
        x[5]


def test_float32_stays_float32_beside_integers_and_python_numbers():
    x = mg.parameter(np.array([[1, 2], [3, 5]], np.float32))
    y = (x * 2 + np.arange(2) - 0.5) / 3 ** x.mean(axis=0) + (x > 0) * x - np.std(x) + np.linalg.norm(x, axis=0)
    y = mg.softmax(y) + mg.gelu(x) + mg.leaky_relu(x) + mg.elu(x) + mg.softplus(x) + x**0.5
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32


def test_sparse_constants_multiply_nodes_from_both_sides():
    S = sp.coo_array(rng.standard_normal((3, 4)) * (rng.random((3, 4)) < 0.5))
    x = mg.parameter(rng.standard_normal((4, 2)))
    for f in (
        lambda x: (S @ x).sum(),
        lambda x: (x.T @ S.T.tocsc() * np.arange(3)).sum(),
        lambda x: (S.tocoo() @ x[:, 0]).sum(),
    ):
        mg.check_grads(f, x.value)
    np.testing.assert_allclose((S @ x).value, S.toarray() @ x.value)


def test_only_leaves_are_copied_and_pickled():
    w = mg.parameter([1.0], name="w")
    for twin in (copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        assert isinstance(twin, mg.Parameter) and twin.name == "w" and twin.serial > w.serial
    with pytest.raises(TypeError, match="only leaves can be copied or pickled"):
        pickle.dumps(w * 2)


# --- specs, scopes, modes -----------------------------------------------------------------------------------


def test_specs_infer_without_values():
    x, w = mg.Spec((10**6, 784), np.float32, name="x"), mg.Spec((10, 784))
    y = mg.softmax(mg.relu(mg.linear(x, w)))
    assert (y.shape, y.dtype, y.abstract) == ((10**6, 10), np.float32, True)
    assert mg.Tape.of(y).leaves[0].name == "x"
    with pytest.raises(mg.GraphError, match="was built from a Spec and has no value"):
        y.value  # noqa: B018
    with pytest.raises(mg.GraphError, match="was built from a Spec"):
        mg.Tape.of(y.sum()).pull()
    with pytest.raises(
        mg.ShapeError, match=r"linear: got x 'x' \(1000000, 784\) float32, w .*; wanted x with 5 features"
    ):
        mg.linear(x, mg.Spec((10, 5)))
    assert (np.exp(x) * 2 + x).shape == x.shape and np.sum(x, axis=0).shape == (784,)
    with pytest.raises(TypeError, match="got dtype 4; wanted a NumPy dtype; the shape is one tuple"):
        mg.Spec(3, 4)
    for shape in ("ab", (1.5,), (-1,)):
        with pytest.raises((TypeError, ValueError), match="Spec: got shape"):
            mg.Spec(shape)


def test_scopes_and_names():
    with mg.scope("block"), mg.scope("conv1"):
        y = mg.relu(mg.parameter([1.0], name="w")).named("H")
    assert (y.scope, y.label) == ("block/conv1", "relu 'block/conv1/H'")
    assert y.inputs[0].label == "parameter 'block/conv1/w'"


def test_no_grad_computes_without_recording():
    w = mg.parameter([1.0, 2.0])
    with mg.no_grad():
        assert type(w * 2) is np.ndarray
        assert mg.grad(lambda w: (w * w).sum())(np.ones(2)).tolist() == [2, 2]
        with mg.enable_grad():
            assert isinstance(w * 2, mg.Node)


def test_detect_anomaly_names_the_first_bad_node_and_its_line():
    w = mg.parameter([1.0, 0.0], name="w")
    with mg.detect_anomaly(), np.errstate(divide="ignore"):
        with pytest.raises(FloatingPointError, match=r"log: value -inf at \[1\] .*parameter 'w'.*test_engine.py:\d+"):
            np.log(w)
        root = np.sqrt(w).named("root")
        with pytest.raises(
            FloatingPointError, match=r"sqrt 'root': its cotangent for parameter 'w' has .*test_engine.py"
        ):
            root.sum().backward()


# --- walks --------------------------------------------------------------------------------------------------


def test_three_walks_agree_on_a_graph_of_many_paths():
    w, x = mg.parameter(A, name="w"), mg.constant(rng.standard_normal(4), name="x")
    h = np.tanh(w @ x)
    y = np.concatenate([h * h[::-1], np.exp(-h), (w * w).mean(axis=0) * x, mg.softmax(w, axis=1).ravel()])
    tape = mg.Tape.of(y)
    for leaf in (w, x, h):
        J = tape.jacobian(leaf)
        rows = np.array([np.ravel(tape.pull(e, leaf)[0]) for e in np.eye(y.size)])
        columns = np.array([tape.push({leaf: e.reshape(leaf.shape)}) for e in np.eye(leaf.size)]).T
        for matrix in (J.tosparse().toarray(), rows, sp.vstack(list(J.row_blocks(5))).toarray(), J.T.toarray().T):
            np.testing.assert_allclose(matrix, columns, rtol=1e-12, atol=1e-14)
        assert J.tosparse().nnz <= J.nnz and J.tosparse().format == "csr"
    assert tape.pull(np.ones(y.shape), [mg.constant(0.0)]) == [None]


def test_backward_adds_to_grad_and_frees_the_graph():
    w = mg.parameter(A)
    y = network(w, rng.standard_normal(4))
    inner = weakref.ref(y.inputs[0])
    y.backward()
    first = w.grad
    gc.collect()
    assert inner() is None, "values must go as the walk passes"
    with pytest.raises(mg.GraphError, match=r"freed by backward\(\); call backward\(retain_graph=True\)"):
        y.backward()
    y = (w * w).sum()
    y.backward(retain_graph=True, retain_grad=True)
    y.backward()
    np.testing.assert_allclose(w.grad, first + 4 * w.value)
    assert y.grad == 1


def test_memory_is_freed_while_walking_back():
    x = mg.parameter(np.ones(10))
    nodes = []
    y = x
    for _ in range(5):
        y = np.sin(y)
        nodes.append(weakref.ref(y))
    alive = []

    class Spy(mg.ops.elementwise.Elementwise):
        name = "spy"

        def jacobians(self, y, *xs):
            alive.append(sum(n() is not None for n in nodes))
            return super().jacobians(y, *xs)

    mg.extend.Op.registry.remove(Spy)
    spy = Spy("spy", np.cos, lambda y, x: -np.sin(x))
    z = spy(x)
    for f in (np.sin, np.cos, np.tanh):
        z = f(z)
        nodes.append(weakref.ref(z))
    nodes[:] = nodes[5:]
    z = z.sum()
    z.backward()
    assert alive == [0], "all that came after must be gone when the first node is reached"


def test_misused_walks():
    w = mg.parameter(np.ones((2, 2)), name="w")
    with pytest.raises(mg.GraphError, match=r"got shape \(2, 2\) and no cotangent; wanted g of that shape"):
        (w * 2).backward()
    with pytest.raises(mg.ShapeError, match=r"multiply #\d+: got shape \(3,\); wanted a cotangent of shape \(2, 2\)"):
        (w * 2).backward(np.ones(3))
    with pytest.raises(TypeError, match="got a cotangent of dtype complex128"):
        (w * 2).backward(np.ones((2, 2)) * 1j)
    with pytest.raises(mg.GraphError, match="depends on no parameter"):
        mg.constant(1.0).backward()
    with pytest.raises(TypeError, match="Tape.of: got float; wanted a Node"):
        mg.Tape.of(1.0)
    with pytest.raises(TypeError, match="wanted float32 or float64 to differentiate"):
        (w > 0).backward(np.ones((2, 2)))
    with pytest.raises(mg.GraphError, match=r"jacobian: parameter #\d+ is not on the tape of"):
        mg.Tape.of(w * 2).jacobian(mg.parameter(1.0))


def test_chains_of_a_hundred_thousand_nodes_need_no_recursion():
    x = mg.parameter(1.0)
    y = x
    for _ in range(100_000):
        y = y + x
    tape = mg.Tape.of(y)
    assert tape.push({x: 1.0}) == tape.pull(wrt=x)[0] == 100_001
    assert tape.jacobian(x).nnz == 1
    y.backward()
    del tape, y


def test_threads_record_and_differentiate_side_by_side():
    w, errors = mg.parameter(A), []

    def work(k):
        with mg.scope(f"thread{k}"):
            for _ in range(50):
                y = network(w, np.arange(4.0) + k)
                if y.scope != f"thread{k}":
                    errors.append(y.scope)
                y.backward()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wanted = 50 * sum(mg.grad(network)(A, np.arange(4.0) + k) for k in range(4))
    assert not errors
    np.testing.assert_allclose(w.grad, wanted, rtol=1e-12)


def test_the_trace_is_a_table():
    x = mg.parameter([1.0, 2.0], name="x")
    lines = str(mg.Tape.of(np.exp(x) * 2)).splitlines()
    assert lines[0].split() == ["node", "name", "op", "inputs", "shape", "value"]
    assert [line.split()[0] for line in lines[1:]] == ["v0", "v1", "v2", "v3"]
    assert lines[4].split()[:4] == ["v3", "multiply", "v1,", "v2"]


# --- maps ---------------------------------------------------------------------------------------------------


def test_maps_serve_scipys_solvers():
    x = mg.parameter(rng.standard_normal(6))
    f = lambda x: np.tanh(mg.linear(x, np.arange(24.0).reshape(4, 6) / 10))  # noqa: E731
    y, J = mg.linearize(f, x.value)
    dense = mg.jacobian(f)(x.value)
    operator = J.aslinearoperator()
    np.testing.assert_allclose(np.sort(svds(operator, k=2, random_state=0)[1]), np.sort(np.linalg.svd(dense)[1])[-2:])
    np.testing.assert_allclose(lsmr(operator, y, atol=1e-12, btol=1e-12)[0], np.linalg.pinv(dense) @ y, atol=1e-6)
    H = mg.linearize(mg.grad(lambda x: (f(x) ** 2).sum()), x.value)[1]
    np.testing.assert_allclose(
        np.abs(eigsh(H.aslinearoperator(), k=1)[0]), np.abs(np.linalg.eigvalsh(H.toarray())).max()
    )
    fit = least_squares(lambda x: np.asarray(f(x)) - 0.1, x.value, jac=lambda x: mg.jacobian(f, format="csr")(x))
    assert fit.cost < 1e-12


def test_matrices_keep_to_their_budget():
    x = mg.parameter(np.ones(3000))
    J = mg.Tape.of(np.outer(x, x) @ x).jacobian(x)
    with pytest.raises(
        mg.MemoryBudgetError, match=r"up to [\d,]+ entries, \d+ MB; wanted at most 1 MB. Use the map itself"
    ):
        J.tosparse(max_bytes=10**6)
    with pytest.raises(mg.MemoryBudgetError, match="dense matrix of 72 MB"):
        J.toarray(max_bytes=10**6)
    assert next(J.row_blocks(2)).shape == (2, 3000)
    with pytest.raises(ValueError, match="row_blocks: got rows 0"):
        next(J.row_blocks(0))
    with pytest.raises(ValueError, match="wanted the same shape in the middle"):
        J @ mg.Tape.of(x[:2] * 1.0).jacobian(x)
    product = J @ J.T
    np.testing.assert_allclose(product @ x.value, J.push(J.pull(x.value)))


def test_maps_notice_changes_and_freed_graphs():
    w = mg.parameter(A, name="w")
    y = np.tanh(w).sum()
    tape, J = mg.Tape.of(y), mg.Tape.of(y).jacobian(w)
    w.value = A + 1
    for use in (J.toarray, lambda: J.nnz, lambda: next(J.row_blocks(1)), lambda: J.push(A), lambda: J.pull(1.0)):
        with pytest.raises(mg.GraphError, match="parameter 'w' was changed after"):
            use()
    y = np.tanh(w).sum()
    tape, J = mg.Tape.of(y), mg.Tape.of(y).jacobian(w)
    y.backward()
    for use in (J.toarray, lambda: J.push(A), tape.pull, tape.backward, lambda: tape.push({w: A})):
        with pytest.raises(mg.GraphError, match="freed by backward"):
            use()
    tape = mg.Tape.of(np.tanh(w).sum())
    tape.pull(retain_graph=False)
    with pytest.raises(mg.GraphError, match="freed by backward"):
        tape.pull()


def test_gradients_belong_to_their_parameter():
    a, b, g = mg.parameter(np.ones(3)), mg.parameter(np.ones(3)), np.ones(3)
    (a + b).backward(g)
    a.grad *= 5
    assert b.grad.tolist() == g.tolist() == [1, 1, 1]
    a.sum().backward()
    a.grad += 1


# --- transforms ---------------------------------------------------------------------------------------------


def test_transforms_compose():
    f = lambda x: (np.sin(x) * x**2).sum()  # noqa: E731
    x, v = rng.standard_normal(4), rng.standard_normal(4)
    d1 = np.cos(x) * x**2 + 2 * x * np.sin(x)
    d2 = -np.sin(x) * x**2 + 4 * x * np.cos(x) + 2 * np.sin(x)
    np.testing.assert_allclose(mg.grad(f)(x), d1)
    value, gradient = mg.value_and_grad(f)(x)
    assert value == f(x) and type(gradient) is np.ndarray
    np.testing.assert_allclose(mg.hessian(f)(x), np.diag(d2), atol=1e-14)
    np.testing.assert_allclose(mg.hessian(f, format="csr")(x).toarray(), np.diag(d2), atol=1e-14)
    np.testing.assert_allclose(mg.hvp(f, x, v), d2 * v)
    np.testing.assert_allclose(mg.jvp(f, x, v)[1], d1 @ v)
    np.testing.assert_allclose(mg.vjp(np.sin, x)[1](v), np.cos(x) * v)
    np.testing.assert_allclose(mg.grad(lambda x: mg.jvp(f, (x,), (v,))[1])(x), d2 * v)
    np.testing.assert_allclose(mg.jvp(mg.grad(f), (x,), (v,))[1], d2 * v)
    np.testing.assert_allclose(mg.grad(lambda x: mg.vjp(np.sin, x)[1](v).sum())(x), -np.sin(x) * v)
    np.testing.assert_allclose(mg.jacobian(lambda x: mg.jacobian(np.sin)(x).sum(axis=0))(x), -np.diag(np.sin(x)))
    for k, wanted in enumerate((8.0, 12.0, 12.0, 6.0, 0.0)):
        g = lambda x: x**3  # noqa: E731
        for _ in range(k):
            g = mg.grad(g)
        assert g(2.0) == wanted
    assert mg.grad(lambda a, b: a * b**2, argnums=(0, 1))(2.0, 3.0) == (9.0, 12.0)
    assert mg.grad(lambda x: np.ones(3).sum())(2.0) == 0


def test_forward_inside_reverse_inside_checkpoints():
    x, v = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    f = lambda x: (mg.checkpoint(np.sin)(x) * x).sum()  # noqa: E731
    d2 = (2 * np.cos(x) - x * np.sin(x)) * v
    np.testing.assert_allclose(mg.grad(lambda x: mg.jvp(f, (x,), (v,))[1])(x), d2)
    np.testing.assert_allclose(mg.grad(lambda x: mg.linearize(f, x)[1].push(v))(x), d2)
    with pytest.raises(mg.GraphError, match="a csr_array cannot be differentiated again"):
        mg.grad(lambda x: mg.jacobian(f, format="csr")(x).sum())(x)
    w = mg.parameter(3.0)
    (mg.checkpoint(lambda x: w)(x) * 2.0).backward()
    assert w.grad == 2


def test_rules_at_and_across_their_corners():
    assert mg.grad(lambda b: mg.grad(lambda a: a**b)(2.0))(0.0) == pytest.approx(0.5)
    assert mg.grad(lambda x: x**2.0)(0.0) == 0 and mg.grad(lambda x: x**0.0)(0.0) == 0
    assert mg.grad(np.sinc)(0.0) == 0 and mg.grad(mg.grad(np.sinc))(0.0) == pytest.approx(-(np.pi**2) / 3)
    assert mg.grad(np.hypot, argnums=(0, 1))(0.0, 0.0) == (0, 0)
    mg.check_grads(lambda x: np.sinc(x).sum(), np.array([-1e-2, -3e-3, 5e-3, 1.1e-2, 0.5]))
    assert mg.grad(lambda x: np.mean(x[:0]) if x.size > 3 else x.sum())(np.ones(2)).tolist() == [1, 1]


def test_rules_hold_for_the_arguments_that_numpy_takes():
    x, S = rng.standard_normal(6), rng.standard_normal((3, 3))
    for f, at in (
        (lambda x: np.reshape(x, (3, 2), order="F") * np.arange(6.0).reshape(3, 2), x),
        (lambda x: np.ravel(x, order="F") * np.arange(9.0), S),
        (lambda x: np.tril(x[:3]) * S + np.triu(x[:3], 1), x),
        (lambda x: np.average(x, axis=0, weights=np.array([1.0, 2.0, 5.0])), S),
        (lambda x: np.median(x, axis=0) + np.median(x), S),
        (lambda x: np.clip(x, 2.0, 1.0) + np.clip(x, None, 0.5), x),
        (lambda x: mg.silu(x * 50) + np.logaddexp(x, 0.5), x),
        (lambda x: x[[]].sum() + x[np.array([True] * 6)] + (x * ((x > 0) & (x < 1) | ~(x > -1))).sum(), x),
    ):
        mg.check_grads(f, at)
        np.testing.assert_allclose(np.asarray(f(mg.parameter(at))), f(at))
    assert mg.grad(mg.silu)(np.float32(2e7)) == 1
    assert mg.grad(np.logaddexp, (0, 1))(1e200, 1e200) == (0.5, 0.5)
    assert np.isnan(np.median(mg.parameter([1.0, 2.0, np.nan, 4.0])).value)
    assert (mg.constant([2, 3]) & 1).tolist() == [0, 1] and (np.array([True]) & (mg.parameter([1.0]) > 0)).all()
    assert mg.grad(lambda x: mg.cross_entropy(x, [-100, -100]))(np.ones((2, 3))).tolist() == np.zeros((2, 3)).tolist()
    assert mg.grad(lambda x: np.max(x, axis=1).sum())(np.ones((0, 3))).shape == (0, 3)


def test_arguments_that_change_later_are_kept_as_they_were():
    p, i, S = mg.parameter(np.ones(3)), np.array([0, 1]), sp.csr_array(np.eye(3))
    y = np.sum(p[i]) + np.sum(np.take(p, i)) + np.sum(S @ p)
    i[:] = 2
    S.data[:] = 0
    y.backward()
    assert p.grad.tolist() == [3, 3, 1]


def test_checkpoints_of_derivatives():
    f = lambda x: (np.sin(x) * x).sum()  # noqa: E731
    x = np.array([1.0, 2.0])
    wanted = mg.grad(lambda x: mg.grad(f)(x).sum())(x)
    np.testing.assert_allclose(mg.grad(lambda x: mg.checkpoint(mg.grad(f))(x).sum())(x), wanted)
    with pytest.raises(TypeError, match="checkpoint: the function gave tuple"):
        mg.checkpoint(lambda x: (x, x))(mg.parameter(x))


def test_nodes_in_give_nodes_out():
    X = mg.constant(np.ones(3))
    y = np.sum(mg.grad(lambda x: np.sum(x**3))(X)) + np.sum(X * mg.parameter(1.0))
    assert mg.Tape.of(y).jacobian(X).toarray().tolist() == [[7, 7, 7]]


def test_long_products_of_maps_need_no_recursion():
    J = mg.Tape.of(mg.parameter(np.ones(2)) * 1.0).jacobian
    x = mg.parameter(np.ones(2))
    J = product = mg.Tape.of(x * 0.999).jacobian(x)
    for _ in range(3000):
        product = product @ J
    assert product.nnz == 2 and np.allclose(product.toarray(), 0.999**3001 * np.eye(2))
    with pytest.raises(mg.ShapeError, match=r"got v \(3,\); wanted \(2,\)"):
        J @ np.ones(3)


def test_nested_derivatives_do_not_mix():
    assert mg.grad(lambda x: x * mg.grad(lambda y: x + y)(1.0))(1.0) == 1
    assert mg.grad(lambda x: x * mg.grad(lambda y: x * y * y)(x))(2.0) == 24
    w = mg.parameter(3.0)
    assert isinstance(mg.grad(lambda x: w * x**2)(2.0), np.float64)
    inner = mg.grad(lambda x: w * x**2, create_graph=True)(2.0)
    assert isinstance(inner, mg.Node) and inner.value == 12
    inner.backward()
    assert w.grad == 4


def test_a_gradient_penalty_trains_through_the_gradient():
    w, x = mg.parameter(A), rng.standard_normal(4)

    def penalty(w):
        return (mg.grad(lambda x: network(w, x), create_graph=True)(x) ** 2).sum()

    mg.check_grads(penalty, A, order=1)
    penalty(w).backward()
    np.testing.assert_allclose(w.grad, mg.grad(penalty)(A))


def test_checkpoints_change_memory_not_values():
    w, x = mg.parameter(A), rng.standard_normal(4)
    plain = lambda w, x: (np.tanh(np.sin(w @ x) * w[:, 0]) ** 2).sum()  # noqa: E731
    saved = lambda w, x: (mg.checkpoint(lambda x: np.tanh(np.sin(w @ x) * w[:, 0]))(x) ** 2).sum()  # noqa: E731
    saved(w, x).backward()
    np.testing.assert_array_equal(w.grad, mg.grad(plain)(A, x))
    for i in (0, 1):
        np.testing.assert_allclose(mg.hessian(saved, i)(A, x), mg.hessian(plain, i)(A, x), atol=1e-14)
    chained = lambda w: saved(w, mg.linear(x, np.eye(4) * w[0]))  # noqa: E731
    np.testing.assert_allclose(
        mg.hessian(chained)(A), mg.hessian(lambda w: plain(w, np.eye(4) * w[0] @ x))(A), atol=1e-13
    )
    assert len(mg.Tape.of(mg.checkpoint(np.sin)(w)).nodes) == 2
    noise = np.random.default_rng(0)
    y = mg.checkpoint(lambda w: (w * noise.standard_normal()).sum())(w)
    with pytest.raises(mg.GraphError, match="checkpoint: the function gave another value when run again"):
        y.backward()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.grad(np.sum)(np.arange(3)), "dtype int64; wanted float32 or float64"),
        (lambda: mg.grad(np.sum)(np.ones(3) * 1j), "dtype complex128; wanted float32"),
        (lambda: mg.grad(np.sum)(np.array([None])), "dtype object; wanted float32"),
        (lambda: mg.grad(lambda x: (x, x))(1.0), "the function gave tuple; wanted one array"),
        (lambda: mg.grad(np.sum, argnums=2)(1.0), "got argnums 2 for 1 arguments"),
        (lambda: mg.jvp(np.sin, (1.0,), ()), "got 1 arguments and 0 tangents"),
        (lambda: mg.constant(np.array([1j])), "constant: got ndarray of dtype complex128"),
        (lambda: mg.dropout(np.ones(3), 0.5), "dropout: got rng None; wanted a numpy.random.Generator"),
        (lambda: mg.dropout(np.ones(3), 0.5, "seed"), "dropout: got rng str"),
        (lambda: mg.dropout(np.ones(3), mg.parameter(0.5), 0), "dropout: got p .*wanted a number"),
        (lambda: mg.l2_penalty(mg.parameter(1.0), mg.parameter(0.5)), "l2_penalty: got weight .*wanted a number"),
        (lambda: mg.ops.var(mg.parameter([1.0]), ddof=mg.parameter(0.5)), "var: got ddof .*wanted a number"),
        (lambda: mg.parameter([1.0]).astype(np.float16), "astype: got dtype float16; wanted float32, float64"),
        (lambda: mg.constant(np.ma.masked_array([1.0], [True])), "constant: got a masked array"),
        (lambda: mg.Tape.of(mg.parameter(1.0) * 2).pull(wrt=["x"]), "pull: got str in wrt; wanted nodes"),
    ],
)
def test_wrong_types_are_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.jacobian(np.sin, format="dense"), "got format 'dense'"),
        (lambda: mg.dropout(np.ones(3), 1.5, 0), "dropout: got p 1.5"),
        (lambda: mg.dropout(np.ones(3), 0.5, -1), "dropout: got rng -1"),
        (lambda: mg.cross_entropy(np.ones((2, 3)), [0, 3]), "got label 3; wanted labels from 0 to 2"),
        (lambda: mg.cross_entropy(np.ones((2, 3)), np.full((2, 3), np.nan)), "got NaN or infinite labels"),
        (lambda: mg.cross_entropy(np.ones((2, 3)), [0, 1], reduction="max"), "got reduction 'max'"),
        (lambda: mg.cross_entropy(np.ones((2, 3)), [0, 1], label_smoothing=2), "got label_smoothing 2"),
        (lambda: mg.gelu(np.ones(2), "tan"), "got approximate 'tan'"),
        (lambda: mg.ops.norm(np.ones((2, 2, 2)), 2), "over 3 axes; wanted one axis, or two"),
        (lambda: mg.ops.pad(np.ones(2), 1, mode="mean"), "got mode 'mean'"),
        (lambda: mg.ops.einsum("ij,jk", np.ones((2, 2))), "got 1 factors"),
        (lambda: mg.ops.einsum("ij->ik", np.ones((2, 2))), "'k' is out of place"),
        (lambda: mg.ops.max(np.ones((0, 2))), "at least one entry"),
        (lambda: mg.softmax(np.ones((2, 0))), "axis -1 to exist and have at least one entry"),
        (lambda: mg.ops.concatenate([]), "at least one array"),
        (lambda: mg.ops.split(np.ones(5), 2), "a side that 2 divides"),
        (lambda: mg.ops.ravel(np.ones(5), "K"), "ravel: got K; wanted order 'C' or 'F'"),
        (lambda: mg.ops.diff(np.ones(5), -1), "diff: got n -1"),
        (lambda: mg.flatten(np.ones(5), 9), "wanted start_dim from 0 to 1"),
        (lambda: mg.ops.norm(np.ones((2, 2)), "fro", 0), "wanted a number"),
    ],
)
def test_wrong_values_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_float_labels_are_refused():
    with pytest.raises(TypeError, match="cross_entropy: got labels .* wanted integer class numbers"):
        mg.cross_entropy(np.ones((2, 3)), np.array([0.0, np.nan]))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(np.array([x[0] * x[1], x[1]])),
        lambda x: np.sum([x[0] * x[1], x[1]]),
        lambda x: mg.ops.sum([x[0] * x[1], x[1]]),
        lambda x: mg.ops.concatenate([[x[0]], [x[1]]]).sum(),
        lambda x: x[0] * float(x[1]),
        lambda x: np.multiply(x, [x[0], x[1], 2.0]).sum(),
    ],
)
def test_what_would_lose_a_derivative_is_refused(f):
    with pytest.raises(
        TypeError, match=r"leaves the graph, and the derivative .*np.stack|got a list of nodes; .*np.stack"
    ):
        mg.grad(f)(np.ones(3))
    assert mg.grad(lambda x: mg.ops.stack([x[0] * x[1], x[1]]).sum() * (1 + int(x.value[0])))(np.ones(3)).tolist() == [
        2,
        4,
        0,
    ]


def test_parameters_do_not_change_in_place():
    w = mg.parameter([1.0], name="w")
    with pytest.raises(TypeError, match="parameter 'w': p [+]= v would make p another node; assign p.value"):
        w -= 0.1
    h = w * 2
    h += 1
    assert h.tolist() == [3.0]


def test_wrong_calls_of_ops_are_named():
    with pytest.raises(TypeError, match="silu: got keyword arguments beta; wanted arrays or nodes only"):
        mg.silu(np.ones(2), beta=2)
    with pytest.raises(mg.ShapeError, match="silu: got argument 1 .*; wanted 1 arguments"):
        mg.silu(1.0, 2.0)
    with pytest.raises(TypeError, match="push: got Parameter; wanted a dict"):
        mg.Tape.of(mg.parameter(1.0) * 2).push(mg.parameter(1.0))


# --- check_grads --------------------------------------------------------------------------------------------


def test_check_grads_names_entry_values_and_node():
    wrong = mg.ops.elementwise.Elementwise("wrong", np.sin, lambda y, x: 1.01 * np.cos(x))
    with pytest.raises(
        AssertionError, match=r"argument 0, entry \[\d\]: got derivative .*, wanted .*; node wrong #\d+ is wrong"
    ):
        mg.check_grads(lambda x: (wrong(x) * np.exp(x)).sum(), rng.standard_normal(4))


def test_check_grads_knows_kinks_and_ties():
    found = mg.check_grads(lambda x: mg.relu(x).sum() + np.max(x) + np.abs(x).sum(), np.array([0.0, 1.0, 1.0, -1.0]))
    assert found.kinks >= 3
    with pytest.raises(AssertionError, match="got derivative"):
        beyond = mg.ops.elementwise.Elementwise("beyond", np.abs, lambda y, x: np.where(x == 0, 3.0, np.sign(x)))
        mg.check_grads(lambda x: beyond(x).sum(), np.zeros(2), order=1)
