"""mg.frames: the walks step by step; the last frame is what the walk gives."""

import re

import numpy as np
import pytest

import minigraph as mg
from minigraph.tape import Tape

Image = pytest.importorskip("PIL.Image")


def network():
    rng = np.random.default_rng(0)
    X = mg.constant(rng.standard_normal((1, 1, 5, 5)), "X")
    F = mg.parameter(rng.standard_normal((2, 1, 3, 3)), "F")
    W = mg.parameter(rng.standard_normal((3, 18)), "W")
    H = mg.relu(mg.conv2d(X, F).named("S")).named("H")
    s = mg.linear(mg.flatten(H).named("vec(H)"), W).named("s")
    return (mg.cross_entropy(s, np.array([1])) + mg.l2_penalty([F, W], 0.1)).named("l")


def test_the_backward_walk_ends_in_the_gradients():
    y = network()
    walk = mg.frames(y)
    captions = str(walk).splitlines()
    assert captions[0] == "0. ∂l/∂l = 1: the walk begins" and captions[-1].endswith("all derivatives are known")
    assert any("∂l/∂vec(H) = ∂l/∂s · W" in caption for caption in captions)
    tape = Tape.of(y)
    for p, c in zip(tape.parameters, tape.pull(), strict=True):
        np.testing.assert_array_equal(walk.cotangents[p], c)
    known = [len(frame.known) for frame in walk.frames]
    assert known == sorted(known) and known[0] == 1
    nodes = [node for frame in walk.frames for node in frame.now]
    assert len(nodes) == len(set(nodes)) and set(walk.cotangents) == {*nodes, y}
    for frame in walk.frames:  # nothing is calculated before what it needs is known
        for node, reader in frame.edges:
            assert reader in frame.known and node in frame.now


def test_frames_have_one_size_and_show_their_step():
    walk = mg.frames(network())
    sizes = {
        re.search(rb'<svg [^>]*width="(\d+)pt" height="(\d+)pt"', walk.picture(i)).groups()
        for i in (0, 4, len(walk) - 1)
    }
    assert len(sizes) == 1
    svg = walk.picture(4).decode()
    assert "calculate now" in svg and "#FFE2B8".lower() in svg.lower() and walk.picture(4) == walk.picture(4)
    assert walk._repr_svg_().encode() == walk.picture(len(walk) - 1)


def test_the_forward_walk():
    walk = mg.frames(network(), walk="forward")
    captions = str(walk).splitlines()
    assert "S = conv2d(X, w: F)" in captions[1] or "S = conv2d(x: X, w: F)" in captions[1]
    assert len(walk) == 2 + sum(node.op is not None for node in walk.tape.nodes)


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_animations(suffix, tmp_path):
    x = mg.parameter([1.0, 2.0], "x")
    walk = mg.frames(np.sum(x * x).named("y"))
    (path,) = walk.save(tmp_path / f"walk.{suffix}", seconds=0.5)
    with Image.open(path) as image:
        assert image.n_frames == len(walk) and image.info["duration"] == 500
    paths = walk.save(tmp_path / "walk.svg")
    assert [p.name for p in paths] == [f"walk-{i:02}.svg" for i in range(len(walk))]


def test_a_convolution_entry_by_entry():
    rng = np.random.default_rng(1)
    x, w = mg.constant(rng.standard_normal((1, 1, 5, 6))), mg.parameter(rng.standard_normal((1, 1, 2, 3)))
    for options in ({}, {"padding": 1, "stride": 2}):
        y = mg.conv2d(x, w, **options)
        walk = mg.frames(y, walk="convolution")
        np.testing.assert_allclose([walk.entry(i) for i in range(len(walk))], np.ravel(y.value), atol=1e-12)
        np.testing.assert_allclose(np.nan_to_num(walk.M_X) @ np.ravel(w.value), np.ravel(y.value), atol=1e-12)
    assert walk.picture(0).startswith(b"<?xml") and walk.picture(3, "png").startswith(b"\x89PNG")


def test_bad_input(tmp_path):
    y = network()
    with pytest.raises(TypeError, match="frames: got float; wanted a Node"):
        mg.frames(1.0)
    with pytest.raises(ValueError, match="frames: got walk 'sideways'; wanted 'backward', 'forward' or 'convolution'"):
        mg.frames(y, walk="sideways")
    with pytest.raises(ValueError, match=r"frames: got a\.mp4.*|wanted a name that ends in \.gif, \.png or \.svg"):
        mg.frames(y).save(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="nodes behind it, more than 60; wanted a smaller graph"):
        mg.frames(sum(mg.parameter(float(i)) for i in range(1, 80)))
    with pytest.raises(IndexError, match="frames: got frame 99; wanted one of"):
        mg.frames(y).picture(99)
    with pytest.raises(ValueError, match="frames: got form 'bmp'; wanted 'svg' or 'png'"):
        mg.frames(y).picture(0, "bmp")
    with pytest.raises(mg.GraphError, match="depends on no parameter"):
        mg.frames(mg.constant([1, 2]).sum())
    with pytest.raises(ValueError, match="wanted a conv2d of one plane by one filter, of at most 144 entries"):
        mg.frames(y, walk="convolution")
    with pytest.raises(mg.GraphError, match="has no value"):
        mg.frames(mg.relu(mg.parameter(mg.Spec((3,), np.float64))))


# --- compare -------------------------------------------------------------------------------------------


def layers(side, act, extra=False):
    x = mg.constant(np.ones((2, 3)), "x")
    with mg.scope("fc1"):
        h = mg.linear(x, mg.parameter(np.ones((side, 3)), "weight"))
    h = act(h)
    if extra:
        h = np.sin(h).named("extra")
    with mg.scope("fc2"):
        return mg.linear(h, mg.parameter(np.ones((2, side)), "weight")).named("y")


def test_differences_of_graphs(tmp_path):
    assert not mg.compare(layers(4, mg.relu), layers(4, mg.relu))
    difference = mg.compare(layers(4, mg.relu), layers(5, mg.sigmoid, extra=True))
    assert [node.kind for node in difference.removed] == ["relu"]
    assert [node.kind for node in difference.added] == ["sigmoid", "sin"]
    changed = {a.path or a.kind for a, _ in difference.changed}
    assert changed == {"fc1/weight", "fc1", "fc2/weight", "fc2/y"} or "fc1/weight" in changed
    text = str(difference)
    assert (
        text.startswith("2 added, 1 removed, 4 changed, 1 alike") and "- relu 2×4" in text and "+ sin 'extra'" in text
    )
    for suffix in ("svg", "png", "dot"):
        difference.draw(tmp_path / f"d.{suffix}")
    dot = (tmp_path / "d.dot").read_text()
    assert dot.count("#D8EEDD") == 2 and dot.count("#F7D9D9") == 1 and dot.count("#FFE2B8") == 4
    with pytest.raises(TypeError, match="compare: got int; wanted a Node or a Module"):
        mg.compare(1, 2)
    with pytest.raises(ValueError, match="compare: got .*; wanted a name that ends in one of"):
        difference.draw(tmp_path / "d.bmp")


def test_differences_of_models():
    difference = mg.compare(mg.models.build("resnet18"), mg.models.build("plain18"))
    assert not difference.added and {node.kind for node in difference.removed} >= {"add"}
    with pytest.raises(ValueError, match="wanted at most 200 to draw; print the difference"):
        mg.compare(mg.models.build("resnet50"), mg.models.build("resnet34")).draw("a.svg")
