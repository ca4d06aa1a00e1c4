"""J.spy and trace_pixel: pictures of Jacobians, and which inputs reach one output."""

import numpy as np
import pytest

import minigraph as mg
from minigraph.inspect.draw.thumbnails import shares
from minigraph.tape import Tape

pytest.importorskip("matplotlib")


def network(rng, n=12):
    x = mg.constant(rng.standard_normal((1, 1, n, n)), "x")
    h = mg.relu(mg.conv2d(x, mg.parameter(rng.standard_normal((3, 1, 3, 3)), "F1"), padding=1)).named("h1")
    p = mg.max_pool2d(h, 2).named("p1")
    return x, mg.conv2d(p, mg.parameter(rng.standard_normal((2, 3, 3, 3)), "F2"), padding=1).named("y")


def test_a_trace_is_a_row_of_the_jacobian():
    x, y = network(np.random.default_rng(0))
    tape = Tape.of(y)
    for index in [(0, 0, 2, 3), (0, 1, 0, 0), (0, -1, -1, -1)]:
        trace = mg.trace_pixel(y, index)
        flat = np.ravel_multi_index(tuple(i % n for i, n in zip(index, y.shape, strict=True)), y.shape)
        row = tape.jacobian(x).toarray()[flat]
        np.testing.assert_allclose(np.ravel(trace.row), row, atol=1e-12)
        rows, columns = np.nonzero(row.reshape(x.shape)[0, 0])
        assert trace.layers[-1].box == ((rows.min(), rows.max() + 1), (columns.min(), columns.max() + 1))
        names = [layer.node.name for layer in trace.layers]
        assert names[0] == "y" and names[-1] == "x" and "p1" in names
    field = mg.summary(y).rows[-1].receptive_field
    assert all(seen <= side for seen, side in zip(trace.layers[-1].extent, field, strict=True))


def test_winners_are_those_of_the_pool():
    x, y = network(np.random.default_rng(1))
    trace = mg.trace_pixel(y, (0, 0, 3, 3))
    (pool,) = [layer for layer in trace.layers if layer.winners is not None and layer.node.name == "p1"]
    h, p = pool.node.inputs[0].value, pool.node.value
    windows = h[0].reshape(3, 6, 2, 6, 2).transpose(0, 1, 3, 2, 4).reshape(3, 6, 6, 4)
    c, i, j = np.nonzero(pool.derivative[0])
    best = windows[c, i, j].argmax(axis=-1)
    expected = np.ravel_multi_index((c, 2 * i + best // 2, 2 * j + best % 2), h.shape[1:])
    np.testing.assert_array_equal(pool.winners, np.sort(expected))
    np.testing.assert_array_equal(h.ravel()[pool.winners].sum(), p[0][c, i, j].sum())


def test_a_trace_is_printed_and_drawn(tmp_path):
    v = mg.parameter(2.0, "v")
    assert mg.trace_pixel(v * 3, ()).row == 3 and "scalar" in str(mg.trace_pixel(v * 3, ()))
    x, y = network(np.random.default_rng(2))
    trace = mg.trace_pixel(y, (0, 0, 3, 3), x)
    assert "max_pool2d 'p1'" in str(trace) and "winners" in str(trace) and "3×3" in str(trace)
    trace.draw(tmp_path / "trace.png")
    assert (tmp_path / "trace.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"wanted a name that ends in \.png"):
        trace.draw(tmp_path / "trace.gif")
    with pytest.raises(mg.ShapeError, match="wanted an image"):
        v = mg.parameter([1.0, 2.0], "v")
        mg.trace_pixel(v * v, 1).draw(tmp_path / "v.png")
    with pytest.raises(IndexError, match=r"got index \(0, 9\) for conv2d 'y' .*; wanted the index of an entry"):
        mg.trace_pixel(y, (0, 9))
    with pytest.raises(mg.GraphError, match="y' does not depend on parameter 'z'"):
        mg.trace_pixel(y, (0, 0, 0, 0), mg.parameter(1.0, "z"))


def test_origins_tell_which_entry_each_is_a_copy_of():
    rng = np.random.default_rng(0)
    x, w = mg.parameter(rng.standard_normal((2, 4, 5, 6))), mg.parameter(rng.standard_normal((6, 2, 3, 2)))
    y = mg.conv2d(x, w, stride=(1, 2), padding=1, groups=2)
    for J, held in zip(Tape.of(y).local(y), (w, x), strict=True):
        for K in (J, J.T):
            matrix, origins = K.tosparse(), K.origins()
            np.testing.assert_array_equal(origins.indices, matrix.indices)
            np.testing.assert_array_equal(np.ravel(held.value)[origins.data], matrix.data)
    assert Tape.of(mg.relu(x)).local(mg.relu(x))[0].origins() is None
    tiled = mg.locally_connected2d(np.ones((1, 1, 3, 3)), mg.parameter(rng.standard_normal((2, 2, 1, 1, 2, 2))))
    _, M_X = Tape.of(tiled).local(tiled)
    assert M_X.origins().shape == M_X.shape


def test_shares_count_every_stored_entry():
    rng = np.random.default_rng(0)
    y = mg.conv2d(mg.constant(rng.standard_normal((1, 2, 20, 20))), mg.parameter(rng.standard_normal((3, 2, 3, 3))))
    J = Tape.of(y).local(y)[0]
    for pixels in (7, 64, 500):
        blocks = shares(J, pixels)
        assert max(blocks.shape) <= pixels and blocks.max() <= 1
        sides = [-(-n // pixels) for n in J.shape]
        heights, widths = (
            np.minimum(s, n - np.arange(k) * s) for s, n, k in zip(sides, J.shape, blocks.shape, strict=True)
        )
        assert round((blocks * np.multiply.outer(heights, widths)).sum()) == J.tosparse().nnz


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_pictures_of_jacobians(suffix, tmp_path):
    w = mg.parameter(np.arange(9.0).reshape(1, 1, 3, 3))
    y = mg.conv2d(mg.constant(np.ones((1, 1, 5, 5))), w)
    J = Tape.of(y).local(y)[0]
    for name, options in {"a": {}, "b": {"colour": "origin"}, "c": {"max_pixels": 4}}.items():
        J.spy(tmp_path / f"{name}.{suffix}", **options)
        assert (tmp_path / f"{name}.{suffix}").stat().st_size > 1000
    assert J.spy().axes[0].get_title() == "M_F: 9 × 25, 81 entries"
    with pytest.raises(ValueError, match="spy: got colour 'hue'; wanted 'value' or 'origin'"):
        J.spy(colour="hue")
    with pytest.raises(ValueError, match="spy: got colour 'origin' for Pointwise, whose entries are computed"):
        Tape.of(np.sin(w)).local(np.sin(w))[0].spy(colour="origin")
    with pytest.raises(ValueError, match=r"spy: got .*; wanted a name that ends in \.png, \.svg or \.pdf"):
        J.spy(tmp_path / "a.gif")
