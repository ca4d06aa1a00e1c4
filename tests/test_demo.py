"""The demo, shortened: what it writes, says and learns."""

import json
import sys

import numpy as np
import pytest

import minigraph as mg
from minigraph.cli import main, training
from minigraph.data import digits

PICTURES = ["graph.png", "graph_im2col.png", "filter_matrix.png", "filters.png", "training.png"]


def test_figures_and_pictures(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "a" / "b"
    assert main(["demo", "--epochs", "2", "--out", str(out), "--json"]) == 0
    text, err = capsys.readouterr()
    figures = json.loads(text)
    assert figures["held_out_accuracy"] > 0.9 and figures["verified"] and figures["epochs"] == 2
    assert figures["files"] == [str(out / name) for name in PICTURES] and not figures["left_out"]
    assert sorted(path.name for path in out.iterdir()) == sorted(PICTURES)
    assert all((out / name).read_bytes().startswith(b"\x89PNG\r\n") for name in PICTURES)
    assert "training: 100%" in err


def test_without_matplotlib(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "minigraph.inspect.plot", raising=False)
    monkeypatch.delattr(mg.inspect, "plot", raising=False)
    assert main(["demo", "--epochs", "1", "--out", str(tmp_path)]) == 0
    text, err = capsys.readouterr()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.png", "graph_im2col.png"]
    assert "Held-out accuracy" in text and "max_pool2d" in text
    assert "left out filters.png: it needs matplotlib: pip install 'minigraph[plot]'" in err


def test_both_losses_are_the_same_number_with_the_same_gradients():
    data, network = digits(np.float64), training.Network(3, np.float64)
    x, labels = data.x_train[:5], data.y_train[:5]
    spelled, stable = training.graph(network, x, labels), network.stable_loss(mg.constant(x), labels)
    np.testing.assert_allclose(spelled.value, stable.value, rtol=1e-12)
    for a, b in zip(mg.Tape.of(spelled).pull(), mg.Tape.of(stable).pull(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_seed_repeats_and_float32_stays():
    data = digits()
    networks = [training.Network(seed) for seed in (1, 1, 2)]
    losses = []
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        *_, history = training.train(network, data, epochs=1, seed=seed)
        losses.append(history.losses)
        assert all(p.dtype == np.float32 and p.grad is None for p in network.parameters)
    assert losses[0] == losses[1] != losses[2]
    assert len(losses[0]) == 46 and np.mean(losses[0][-5:]) < np.mean(losses[0][:5]) / 2
