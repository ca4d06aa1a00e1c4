"""The lectures' network as a whole: its explicit Jacobians, its chain rule, and a network the size of LeNet-5."""

import tracemalloc

import numpy as np
import pytest

import minigraph as mg

rng = np.random.default_rng(0)


def lecture(dtype=np.float64):
    """X → S = X * F + b → H = max(0, S) → H~ = max pool → s = W vec(H~) + c → p → l = −log p_y + λ‖·‖²."""
    X = mg.constant(rng.standard_normal((2, 1, 6, 6)).astype(dtype), name="X")
    F = mg.parameter(rng.standard_normal((3, 1, 3, 3)).astype(dtype), name="F")
    b = mg.parameter(rng.standard_normal(3).astype(dtype), name="b")
    W = mg.parameter(rng.standard_normal((5, 12)).astype(dtype), name="W")
    c = mg.parameter(rng.standard_normal(5).astype(dtype), name="c")
    S = mg.conv2d(X, F, b).named("S")
    H = mg.relu(S).named("H")
    pooled = mg.max_pool2d(H, 2).named("H~")
    s = mg.linear(mg.flatten(pooled), W, c).named("s")
    loss = (mg.cross_entropy(s, [1, 4]) + mg.l2_penalty([F, W], 1e-2)).named("l")
    return {"X": X, "F": F, "b": b, "W": W, "c": c, "S": S, "H": H, "H~": pooled, "s": s, "l": loss}


def test_the_sparse_jacobian_of_the_whole_network_is_its_stacked_reverse_rows():
    net = lecture()
    for top in ("l", "s", "S"):
        tape = mg.Tape.of(net[top])
        for name in ("X", "F", "b", "S"):
            if net[name] not in tape or name == top:
                continue
            J = tape.jacobian(net[name]).tosparse().toarray()
            rows = [np.ravel(tape.pull(e.reshape(net[top].shape), net[name])[0]) for e in np.eye(net[top].size)]
            scale = np.abs(rows).max()
            np.testing.assert_allclose(J, rows, rtol=0, atol=1e-12 * scale)


def test_the_chain_rule_of_the_slides_in_explicit_matrices():
    net = lecture()
    net["l"].backward(retain_graph=True)
    p = mg.softmax(net["s"].value)
    y = np.eye(5)[[1, 4]]
    matrix = {name: mg.Tape.of(net[top]).jacobian(net[below]).tosparse() for name, top, below in
              (("A", "H~", "H"), ("ind", "H", "S"), ("W", "s", "H~"), ("M_X", "S", "F"))}  # fmt: skip
    dl_ds = -(y - p).ravel() / 2
    dl_dS = ((dl_ds @ matrix["W"]) @ matrix["A"]) @ matrix["ind"]
    dl_dF = dl_dS @ matrix["M_X"] + 2 * 1e-2 * net["F"].value.ravel()
    np.testing.assert_allclose(dl_dF, net["F"].grad.ravel(), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(matrix["ind"].diagonal(), net["S"].value.ravel() > 0)
    assert matrix["A"].shape == (2 * 12, 2 * 48) and set(matrix["A"].data) == {1.0}
    M_F = mg.conv_matrix(net["F"].value, (1, 6, 6))
    np.testing.assert_array_equal(mg.Tape.of(net["S"]).jacobian(net["X"]).tosparse()[:48, :36].toarray(), M_F.toarray())


def test_gradients_of_the_network_against_differences():
    def loss(F, b, W):
        h = mg.max_pool2d(mg.relu(mg.conv2d(x, F, b)), 2)
        return mg.cross_entropy(mg.linear(mg.flatten(h), W), [1, 4]) + mg.l2_penalty([F, W], 1e-2)

    x = rng.standard_normal((2, 1, 6, 6))
    mg.check_grads(loss, rng.standard_normal((3, 1, 3, 3)), rng.standard_normal(3), rng.standard_normal((5, 12)))


def test_float32_is_kept_from_end_to_end():
    net = lecture(np.float32)
    assert {node.dtype for node in mg.Tape.of(net["l"]).nodes} <= {np.dtype(np.float32), np.dtype(np.int64)}
    net["l"].backward()
    assert all(net[name].grad.dtype == np.float32 for name in ("F", "b", "W", "c"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_jacobian_of_a_network_of_lenets_size_fits_in_memory(dtype):
    def draw(*shape):
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(dtype)

    x = mg.constant(draw(1, 1, 32, 32))
    h = mg.max_pool2d(np.tanh(mg.conv2d(x, draw(6, 1, 5, 5), draw(6))), 2)
    h = mg.max_pool2d(np.tanh(mg.conv2d(h, draw(16, 6, 5, 5), draw(16))), 2)
    h = np.tanh(mg.linear(np.tanh(mg.linear(mg.flatten(h), draw(120, 400))), draw(84, 120)))
    tape = mg.Tape.of(mg.linear(h, draw(10, 84)))
    tracemalloc.start()
    J = tape.jacobian(x).tosparse()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    rows = np.array([tape.pull(e.reshape(1, 10), x)[0].ravel() for e in np.eye(10, dtype=dtype)])
    np.testing.assert_allclose(
        J.toarray(), rows, rtol=0, atol=(1e-12 if dtype == np.float64 else 1e-5) * np.abs(rows).max()
    )
