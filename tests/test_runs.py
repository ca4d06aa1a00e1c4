"""Runs in folders and their commands: train, eval, predict, plot."""

import json
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from minigraph import data
from minigraph.cli import main
from minigraph.kernels.numpy.threads import threads
from minigraph.nn.state import read
from minigraph.train.augmentation import TRANSFORMS, augmentation
from minigraph.train.recipes import RECIPES, recipe
from minigraph.train.settings import NAMES, Settings, read_toml

pytest.importorskip("matplotlib")
NET = """
from minigraph import nn

def build():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(144, 10))

def small():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    before = threads()
    yield tmp_path
    threads(before)


def command(*arguments):
    return main([str(a) for a in arguments])


def tensors(path):
    return {name: value.tobytes() for name, value in read(path).items()}


def test_a_run_from_its_beginning_to_its_use(here, capsys):
    Image = pytest.importorskip("PIL.Image")
    options = ["--epochs", 4, "--lr", 0.05, "--average", 0.9, "--augment", "flip:0,mixup:0.1", "--statistics"]
    assert command("train", "net.py:build", "--out", "run", *options) == 0
    out, err = capsys.readouterr()
    assert "top-1" in out and "1442 images to learn from, 355 held out" in err
    files = {str(path.relative_to(here / "run")) for path in (here / "run").rglob("*") if path.is_file()}
    pictures = {f"pictures/{name}.png" for name in ("curves", "confusion", "filters", "mistakes", "statistics")}
    assert files == pictures | {"config.toml", "environment.json", "preprocessing.json", "history.csv", "history.jsonl",
                                "evaluation.json", "last.safetensors", "best.safetensors", "network.py"}  # fmt: skip
    assert json.loads((here / "run/environment.json").read_text()).keys() >= {"python", "numpy", "scipy", "minigraph"}

    assert command("eval", "run", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    stored = json.loads((here / "run/evaluation.json").read_text())
    assert figures["top1"] == stored["top1"] > 0.8 and figures["count"] == 355

    assert command("train", "--repeat", "run", "--out", "again", "--threads", 1, "--workers", 0, "--no-pictures") == 0
    assert tensors(here / "again/last.safetensors") == tensors(here / "run/last.safetensors")
    assert command("train", "--repeat", "run", "--out", "other", "--seed", 1, "--no-pictures") == 0
    assert tensors(here / "other/best.safetensors") != tensors(here / "run/best.safetensors")
    assert command("eval", "run", "again", "other", "--weights", "last") == 0
    assert command("eval", "run", "--crops", 5, "--size", 8) == 0
    capsys.readouterr()

    digits = data.digits()
    for i in range(3):
        Image.fromarray((255 * digits.x_test[i, 0]).astype(np.uint8)).resize((80, 80)).save(here / f"{i}.png")
    assert command("predict", "run", "0.png", "1.png", "2.png", "--json", "--top", 2) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["picture"] for row in found] == ["0.png", "1.png", "2.png"] and len(found[0]["classes"]) == 2
    assert sum(row["classes"][0]["class"] == str(y) for row, y in zip(found, digits.y_test, strict=False)) >= 2
    assert command("predict", "run", "0.png") == 0 and capsys.readouterr().out.startswith("0.png: ")
    assert (
        command("plot", "run", "again", "other", "-o", "all.png") == 0
        and (here / "all.png").read_bytes()[:4] == b"\x89PNG"
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("sign", ["SIGINT", "SIGKILL"])
def test_a_run_that_is_interrupted(here, capsys, sign):
    options = [
        "net.py:build",
        "--epochs",
        6,
        "--checkpoint-seconds",
        0,
        "--no-pictures",
        "--lr",
        0.1,
        "--augment",
        "crop:1",
    ]
    assert command("train", *options, "--out", "whole") == 0
    process = subprocess.Popen([sys.executable, "-m", "minigraph", "train", *map(str, options), "--out", "cut"],
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    while not (here / "cut/last.safetensors").exists():
        time.sleep(0.01)
        assert process.poll() is None
    time.sleep(0.1)
    process.send_signal(getattr(signal, sign))
    _, errors = process.communicate(timeout=60)
    if sign == "SIGINT":
        assert process.returncode == 130 and "go on with: minigraph train --resume cut" in errors
    assert command("train", "--resume", "cut", "--no-pictures", "--threads", 1) == 0
    assert tensors(here / "cut/last.safetensors") == tensors(here / "whole/last.safetensors")
    rows = [
        [{**json.loads(line), "seconds": 0} for line in (here / run / "history.jsonl").read_text().splitlines()]
        for run in ("cut", "whole")
    ]
    assert rows[0] == rows[1]
    assert command("train", "--resume", "cut", "--lr", "0.2") == 2
    assert "began with another value of lr; --resume may change only threads" in capsys.readouterr().err
    assert command("train", "--resume", "cut", "--no-pictures") == 0
    assert "cut was complete: all 6 epochs were done" in capsys.readouterr().err


def test_data_and_models_that_need_to_fit(here, capsys):
    """Padding, resizing, colours, folders, weights to begin with, frozen parts, a test part held out."""
    Image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for c, bright in (("dark", 60), ("light", 255)):
        (here / "pictures" / c).mkdir(parents=True)
        for i in range(8):
            Image.fromarray(rng.integers(bright - 50, bright, (9, 9, 3), dtype=np.uint8)).save(
                here / "pictures" / c / f"{i}.png"
            )
    small = ["--epochs", 1, "--no-pictures", "--batch-size", 4, "--no-normalize"]
    (here / "mixed").mkdir()
    for c in ("dark", "light"):
        (here / "mixed" / c).mkdir()
        for i in range(4):
            Image.fromarray(rng.integers(0, 255, (20 + i, 30 - i, 3), dtype=np.uint8)).save(
                here / "mixed" / c / f"{i}.png"
            )
    assert command("train", "resnet20", "--data", "folder:mixed", *small, "--out", "e") == 1
    assert "wanted pictures of one size, or a size to resize them to" in capsys.readouterr().err
    assert command("train", "resnet20", "--data", "folder:mixed", "--size", 16, *small, "--out", "e") == 0
    assert json.loads((here / "e/preprocessing.json").read_text())["picture"] == [16, 16]
    assert command("eval", "e") == 0 and command("predict", "e", "mixed/dark/1.png") == 0
    assert command("predict", "e", "mixed") == 1
    assert "mixed" in capsys.readouterr().err
    assert (
        command("train", "resnet20", "--data", "folder:pictures", *small, "--out", "a", "--holdout", 0.25, "--balanced")
        == 0
    )
    prepared = json.loads((here / "a/preprocessing.json").read_text())
    assert prepared["classes"] == ["dark", "light"] and prepared["channels"] == 3 and prepared["picture"] == [9, 9]
    assert command("predict", "a", "pictures/dark/0.png") == 0 and "%" in capsys.readouterr().out
    np.savez(here / "grey.npz", images=rng.random((20, 28, 28)), labels=np.arange(20) % 4)
    lenet = ["lenet5", "--data", "npz:grey.npz", "--model-options", "modern=true", *small]
    assert command("train", *lenet, "--out", "b") == 0
    assert json.loads((here / "b/preprocessing.json").read_text())["padding"] == 2
    assert (
        command("train", *lenet, "--out", "c", "--weights", "b/best.safetensors", "--freeze", "features", "--lr", 0.1)
        == 0
    )
    before, after = read(here / "b/best.safetensors"), read(here / "c/best.safetensors")
    assert {n for n in before if np.array_equal(before[n], after[n])} == {n for n in before if n.startswith("features")}
    assert command("eval", "b", "--data", "npz:grey.npz") == 0
    assert command("train", "net.py:build", "--size", 8, "--data", "npz:grey.npz", *small, "--out", "d") == 0


WRONG = [
    (["train"], 2, "got no network; wanted TARGET"),
    (["train", "lenet6"], 2, "did you mean lenet5"),
    (["train", "net.py:none"], 2, "has no none"),
    (["train", "net.py:build", "--data", "imagenet"], 1, "got data 'imagenet'; wanted digits, or one of"),
    (["train", "net.py:build", "--data", "npz:none.npz"], 1, "none.npz"),
    (["train", "net.py:build", "--optimizer", "adma"], 1, "got optimizer 'adma'; did you mean adam?"),
    (["train", "net.py:build", "--schedule", "x"], 1, "got schedule 'x'; wanted one of constant, cosine"),
    (["train", "net.py:build", "--augment", "flop"], 1, "got transform 'flop'; did you mean flip?"),
    (["train", "net.py:build", "--augment", "cutout:1e99"], 1, "got 1e+99 pixels; wanted a whole number"),
    (["train", "net.py:build", "--augment", "crop:1.5"], 1, "got 1.5 pixels; wanted a whole number"),
    (["train", "net.py:build", "--augment", "mixup:inf"], 1, "got alpha inf; wanted a finite number"),
    (["train", "net.py:build", "--augment", "crop:x"], 1, "got transform 'crop:x'"),
    (["train", "net.py:build", "--augment", "flip:3"], 1, "wanted flip, or flip:NUMBERS"),
    (["train", "net.py:build", "--epochs", "0"], 1, "got epochs 0; wanted at least 1"),
    (["train", "net.py:build", "--patience", "0"], 1, "got patience 0; wanted at least 1"),
    (["train", "net.py:build", "--threads", "0"], 1, "got threads 0; wanted at least 1"),
    (["train", "net.py:build", "--clip-norm", "-1"], 1, "got clip_norm -1.0; wanted at least 0"),
    (["train", "net.py:build", "--average", "1.5"], 1, "got decay 1.5; wanted"),
    (["train", "net.py:build", "--holdout", "1.0"], 1, "got holdout 1.0; wanted a number from 0 to less than 1"),
    (["train", "net.py:build", "--size", "1"], 1, "conv2d"),
    (["train", "net.py:build", "--optimizer", "adam", "--nesterov"], 1, "got nesterov with the optimizer adam; wanted it with sgd"),
    (["train", "net.py:build", "--lr", "nan"], 1, "got lr nan; wanted a finite number"),
    (["train", "net.py:build", "--lr", "fast"], 2, "invalid float value: 'fast'"),
    (["train", "net.py:build", "--speed", "3"], 2, "unrecognized arguments: --speed 3"),
    (["train", "net.py:build", "--monitor", "x", "--epochs", "1"], 1, "got monitor 'x'; wanted one of validation_top1"),
    (["train", "net.py:small"], 1, "gives (2,); wanted scores for 10 classes"),
    (["train", "net.py:build", "--freeze", "7"], 1, "got freeze '7'; wanted parts of the model, such as 0, 4"),
    (["train", "net.py:build", "--freeze", "0,4"], 1, "which is the whole model"),
    (["train", "net.py:build", "--weights", "net.py"], 1, "not a safetensors file"),
    (["train", "net.py:build", "--model-options", "a=1"], 2, "model_options are for the published models"),
    (["train", "lenet5", "--model-options", "modern"], 2, "got model_options 'modern'; wanted NAME=VALUE"),
    (["train", "lenet5", "--model-options", "deep=3"], 2, "lenet5: "),
    (["train", "--resume", "none"], 1, "none: no run: it has no config.toml"),
    (["train", "--resume", "none", "--out", "x"], 2, "wanted no --out"),
    (["train", "--repeat", "none"], 1, "none: no run"),
    (["train", "--repeat", "none", "--resume", "none"], 2, "got --resume and --repeat; wanted one"),
    (["train", "net.py:build", "--config", "net.py"], 1, "net.py: no TOML file"),
    (["train", "net.py:build", "--config", "bad.toml"], 1, "bad.toml: got option 'epoch'; did you mean epochs?"),
    (["train", "net.py:build", "--config", "worse.toml"], 1, "got epochs 'ten'; wanted an integer"),
    (["train", "net.py:build", "--out", "net.py"], 1, "net.py"),
    (["eval", "none"], 1, "none: no run: it has no config.toml"),
    (["predict", "none", "a.png"], 1, "none: no run: it has no config.toml"),
    (["plot", "none"], 1, "none"),
    (["plot", "net.py"], 1, "net.py: line 1 is not a row of a history"),
    (["plot", "net.py", "-o", "a.svg"], 2, "wanted a name that ends in .png"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "status", "message"), WRONG, ids=lambda x: " ".join(x) if isinstance(x, list) else ""
)
def test_wrong_usage(here, capsys, arguments, status, message):
    (here / "bad.toml").write_text("epoch = 3\n")
    (here / "worse.toml").write_text('epochs = "ten"\n')
    assert command(*arguments) == status
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_a_folder_with_a_run_is_not_overwritten(here, capsys):
    small = ["train", "net.py:build", "--epochs", 1, "--no-pictures"]
    assert command(*small, "--out", "run") == 0
    before = (here / "run/last.safetensors").read_bytes()
    assert command(*small, "--out", "run") == 1
    assert "run has a run in it; resume it, or name another folder" in capsys.readouterr().err
    assert (here / "run/last.safetensors").read_bytes() == before
    assert command(*small) == 0 and command(*small) == 0
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["net-py-build", "net-py-build-2"]
    whole = json.loads((here / "run/preprocessing.json").read_text())
    for changes in (
        {"classes": [3]}, {"classes": []}, {"channels": None}, {"picture": [1 << 40, 8]}, {"picture": 8}, {"padding": -1},
        {"size": [0, 0]}, {"mean": [1.0, 2.0]}, {"std": [0.0]}, {"std": ["x"]}, {"more": 1},
    ):  # fmt: skip
        (here / "run/preprocessing.json").write_text(json.dumps({**whole, **changes}))
        assert command("eval", "run") == 1 and "preprocessing.json: damaged" in capsys.readouterr().err, changes
    (here / "run/preprocessing.json").write_text("[]")
    assert command("eval", "run") == 1 and "preprocessing.json: damaged" in capsys.readouterr().err


def test_a_run_that_failed_before_its_first_step_is_begun_anew(here, capsys):
    (here / "net.py").write_text(NET + "\nclass Fails(nn.Linear):\n    def forward(self, x):\n        if x.shape[0] == 32:\n"
                                 "            raise ValueError('not yet')\n        return super().forward(x)\n\n\n"
                                 "def failing():\n    return nn.Sequential(nn.Flatten(), Fails(64, 10))\n")  # fmt: skip
    small = ["--epochs", 1, "--no-pictures", "--out", "run"]
    assert command("train", "net.py:failing", *small) == 1 and "not yet" in capsys.readouterr().err
    assert command("train", "net.py:build", *small) == 0
    (here / "net.py").write_text(NET.replace("0.1", "0.2"))
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # in the tests warnings are errors
        assert command("eval", "run") == 0
    assert "net.py has changed since the run, which keeps its own as run/network.py" in capsys.readouterr().err
    again = ["--weights", "run/last.safetensors", "--epochs", 1, "--no-pictures", "--out", "again"]
    assert command("train", "net.py:build", *again) == 0
    assert "drawn at random" not in capsys.readouterr().err


def test_settings(tmp_path, capsys):
    given = Settings(target="a", epochs=3, lr=1, augment='crop:"4', weights=None)
    (tmp_path / "a.toml").write_text(given.to_toml(), encoding="utf-8")
    assert Settings(**read_toml(tmp_path / "a.toml")) == given and given.lr == 1.0
    for name, options in RECIPES.items():
        made = Settings(target=name, **options)
        assert augmentation(made.augment, 10) is not None
    assert (
        recipe("lenet5", "dropout=0.2, modern=true")["lr"] == 0.05
        and recipe("lenet5", "dropout=0.2")["lr"] == 0.005
        and not recipe("mine")
    )
    for name in TRANSFORMS:
        assert sum(map(len, augmentation(name, 10))) == 1
    with pytest.raises(SystemExit):
        raise SystemExit(main(["train", "--help"]))
    text = " ".join(capsys.readouterr().out.split())
    assert (
        all(f"--{name.replace('_', '-')}" in text for name in NAMES if name != "target")
        and text.count("(default:") >= len(NAMES) - 1
    )
