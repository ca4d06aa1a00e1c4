"""Pictures of training and of what was learned: that they are drawn, that the numbers in them are right, errors."""

import importlib
import sys

import numpy as np
import pytest

import minigraph as mg
from minigraph import data, models, train

pytest.importorskip("matplotlib")
from minigraph import plot

DIGITS = data.digits()
RNG = np.random.default_rng(0)
X = RNG.random((6, 1, 32, 32), np.float32)
LENET = models.lenet5(modern=True, rng=0)
HISTORY = [{"epoch": i, "lr": 0.1 / i, "train_loss": 1 / i, "train_top1": 1 - 0.5 / i, "validation_loss": 1 / i**0.5,
            "validation_top1": [0.5, 0.9, 0.7][i - 1]} for i in (1, 2, 3)]  # fmt: skip
ROWS = [{"step": s, "layer": n, "weight_norm": 1.0 + s, "activation_std": 100.0**s} for s in range(3) for n in "ab"]
W = RNG.standard_normal((5, 1, 3, 3))
CALLS = {
    "filters": lambda path=None: plot.filters(W, path),
    "filters in colours": lambda path=None: plot.filters(RNG.standard_normal((70, 3, 5, 5)), path),
    "filters of channels": lambda path=None: plot.filters(mg.nn.Conv2d(20, 30, 3, rng=0), path),
    "feature maps": lambda path=None: plot.feature_maps(LENET, X[:1], "features.0", path),
    "outputs": lambda path=None: plot.feature_maps(LENET, X[0], "classifier/1", path),
    "activations": lambda path=None: plot.activations(LENET, X, path),
    "saliency": lambda path=None: plot.saliency(LENET, X, path=path),
    "receptive field": lambda path=None: plot.receptive_field(LENET, X[:1], "features.3", path=path),
    "curves": lambda path=None: plot.training_curves(HISTORY, path),
    "curves of runs": lambda path=None: plot.training_curves({"a": HISTORY, "b": HISTORY[:1]}, path),
    "rates": lambda path=None: plot.learning_rate_range([0.1, 1, 10], [3, 1, 5], path, suggestion=1.0),
    "statistics": lambda path=None: plot.statistics(ROWS, path),
    "error bars": lambda path=None: plot.error_bars([1, 2], {"a": [[1, 2, 3], [4, 5, 6]]}, path, xlabel="layers"),
    "confusion": lambda path=None: plot.confusion_matrix(np.diag([3, 4]) + np.eye(2, k=1, dtype=int), path, classes=("cat", "dog")),
    "mistakes": lambda path=None: plot.mistakes(X, [0, 1, 0, 1, 0, 1], np.tile([0.8, 0.2], (6, 1)), path),
    "images": lambda path=None: plot.images(RNG.random((20, 3, 8, 8)), path, titles=["a"]),
    "edges": lambda path=None: plot.edges(RNG.random((3, 30, 40)), path),
    "equivariance": lambda path=None: plot.equivariance(RNG.random((24, 20)), plot.pictures.SOBEL, path=path),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_every_picture(name, tmp_path):
    figure = CALLS[name](tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG") and figure.axes
    assert CALLS[name]() is not figure


def texts(figure):
    return [t.get_text() for ax in figure.axes for t in [ax.title, ax.xaxis.label, *ax.texts]] + [
        figure.get_suptitle() if hasattr(figure, "get_suptitle") else ""
    ]


def test_numbers_in_the_pictures():
    assert "7 of 8 right: 87.50%" in texts(CALLS["confusion"]()) and {"3", "4", "1"} <= set(texts(CALLS["confusion"]()))
    assert "best 90 after epoch 2" in texts(CALLS["curves"]()) and "1 → 0, 80%" in texts(CALLS["mistakes"]())
    differences = [t for t in texts(CALLS["equivariance"]()) if t.startswith("largest")]
    assert float(differences[0].split()[1]) < 1e-12
    (ax,) = CALLS["error bars"]().axes
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), [2, 5])
    assert any("14 × 14 of 32 × 32" in t for t in texts(CALLS["receptive field"]()))


def test_saliency_is_the_gradient():
    gradient, labels = plot.learned.input_gradient(LENET, X)
    wanted = mg.grad(lambda x: np.sum(LENET.eval()(x) * np.eye(10, dtype=np.float32)[labels]))(X)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-7)
    shown = plot.saliency(LENET, X, labels).axes[6].get_images()[0].get_array()
    np.testing.assert_allclose(shown, np.abs(wanted[0]).max(axis=0), rtol=1e-5, atol=1e-7)
    assert LENET.train().training


def test_looking_changes_nothing():
    nn = mg.nn
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(3600, 3)
    ).initialize(0)
    before = {name: value.tobytes() for name, value in net.state_dict().items()}
    for look in (lambda: plot.feature_maps(net, X[:1], "1"), lambda: plot.activations(net, X), lambda: plot.saliency(net, X),
                 lambda: plot.receptive_field(net, X[:1], "1")):  # fmt: skip
        look()
        assert {name: value.tobytes() for name, value in net.state_dict().items()} == before and net.training


def test_histories_from_files(tmp_path):
    train.callbacks.write_history(tmp_path, HISTORY)
    for run in (tmp_path, tmp_path / "history.jsonl", tmp_path / "history.csv", HISTORY):
        assert plot.curves.history_of(run) == HISTORY
    (tmp_path / "a.csv").write_text("a,b\n1,x\n")
    with pytest.raises(ValueError, match="a.csv: no history; wanted a table of numbers"):
        plot.training_curves(tmp_path / "a.csv")


def test_without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("minigraph.plot")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"minigraph\.plot: it needs matplotlib: pip install 'minigraph\[plot\]'"):
        importlib.import_module("minigraph.plot")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: plot.filters(np.ones((3, 3))), ValueError, r"filters: got an array of shape \(3, 3\); wanted filters"),
        (lambda: plot.feature_maps(LENET, X, "features.0"), ValueError, "wanted one"),
        (lambda: plot.feature_maps(LENET, X[:1], "feature"), KeyError, "did you mean"),
        (lambda: plot.activations(mg.nn.ReLU(), X), ValueError, "no layers with a weight"),
        (lambda: plot.training_curves([]), ValueError, "got no epochs"),
        (lambda: plot.statistics([]), ValueError, "got no rows"),
        (lambda: plot.error_bars([1], {"a": [1, 2]}), ValueError, r"got a of shape \(2,\); wanted \(1, seeds\)"),
        (lambda: plot.confusion_matrix(np.zeros((2, 2))), ValueError, "with 0.0 images; wanted"),
        (lambda: plot.mistakes(X, np.zeros(6, int), np.tile([1, 0], (6, 1))), ValueError, "all 6 images are right"),
        (lambda: plot.mistakes(X, [0], np.ones((6, 2))), ValueError, "wanted as many of each"),
        (lambda: plot.images(X[0]), ValueError, "wanted images"),
        (lambda: plot.edges(np.ones(3)), ValueError, "wanted a photograph"),
        (lambda: plot.equivariance(np.ones(3), np.ones((3, 3))), ValueError, r"wanted \(H, W\) and \(f, f\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn(call, error, match):
    with pytest.raises(error, match=match):
        call()
