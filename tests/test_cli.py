"""The console command: what it prints where, and how it ends."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import minigraph as mg
from minigraph.cli import main

NETWORK = """
import numpy as np
import minigraph as mg

def loss():
    w = mg.parameter([1.0, 2.0], "w")
    return mg.ops.sum(np.sin(w) * w).named("l")

def layer():
    w = mg.parameter(np.ones((2, 3)), "w")
    return mg.linear(np.arange(3.0), w)

def array():
    return np.ones(3)

def wrong():
    return mg.constant(np.ones(3)) @ np.ones(4)

def needs(x):
    return x

class Nets:
    node = mg.constant(1.0, "one")

def module():
    return mg.nn.Sequential(mg.nn.Linear(3, 2, rng=0))

class Total(mg.nn.Module):
    def forward(self, x):
        return mg.ops.sum(x)

total = Total()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with nets.py in it."""
    (tmp_path / "nets.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    return tmp_path


def spawn(*arguments, **options):
    command = [sys.executable, "-m", "minigraph", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_module_and_version():
    process = spawn("--version")
    assert process.communicate(timeout=60) == (f"minigraph {mg.__version__}\n", "")
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently there")
@pytest.mark.parametrize("line", ["doctor", "--help", "draw --help", "--version"])
def test_a_reader_that_goes_away(line):
    unread, pipe = os.pipe()
    os.close(unread)
    command = [sys.executable, "-m", "minigraph", *line.split()]
    done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
@pytest.mark.parametrize("start", ["-m minigraph", "-mminigraph", "-Bmminigraph", "a/minigraph"])
@pytest.mark.parametrize("moment", ["minigraph.interrupt", "numpy._core", "scipy.sparse", "minigraph.cli"])
def test_an_interruption_at_any_moment_is_quiet(tmp_path, start, moment):
    script = tmp_path / "a" / "minigraph"  # as pip writes it
    script.parent.mkdir()
    script.write_text("import sys\nfrom minigraph.cli import main\nsys.exit(main())\n")
    command = [sys.executable, "-X", "importtime", *start.split(), "verify", "resnet20"]
    home = str(Path(mg.__file__).parent.parent)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": home},
    ) as process:  # fmt: skip
        for line in process.stderr:
            if line.split()[-1] == moment:
                process.send_signal(signal.SIGINT)
                break
        rest = [line for line in process.stderr if not line.startswith("import time:")]
        assert (process.stdout.read(), rest) == ("", [])
    assert process.returncode == 130


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
def test_an_interruption_during_exec_has_the_same_status(tmp_path):
    # Named tuples and dataclasses are made by exec(); Python would kill itself at its end instead of returning 130.
    (tmp_path / "sitecustomize.py").write_text(
        "import argparse, signal\n"
        "interrupted = lambda *_: exec('print(1); signal.raise_signal(signal.SIGINT)')\n"
        "argparse.ArgumentParser.parse_args = interrupted\n"
    )
    home = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(mg.__file__).parent.parent)])}
    command = [sys.executable, "-m", "minigraph"]
    done = subprocess.run(command, capture_output=True, text=True, env=home, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "1\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [
        (">&-", 1, "minigraph: stdout is closed; wanted a place for the results\n"),
        (">/dev/full", 1, "minigraph: [Errno 28] No space left on device\n"),
        ("2>&-", 0, ""),
        (">&- 2>&-", 1, ""),
    ],
)
@pytest.mark.parametrize("line", ["list", "--help", "verify --help"])
def test_streams_that_cannot_be_written(line, redirection, status, message):
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = subprocess.run(
        f'"{sys.executable}" -m minigraph {line} {redirection}', shell=True, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (status, message)


def test_interruption_is_quiet(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("minigraph.cli.training.run", interrupted)
    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "")


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in ("demo", "list", "summary", "draw", "verify", "profile", "doctor"):
        assert name in text
        assert main([name, "--help"]) == 0


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("", 2, "required: COMMAND"),
        ("paint", 2, "invalid choice"),
        ("demo --epochs 0", 2, "argument --epochs: got '0'; wanted an integer of at least 1"),
        ("demo --seed x", 2, "got 'x'"),
        ("demo --out nets.py", 1, "nets.py is a file; wanted a folder"),
        ("draw -o x.jpg", 2, "got x.jpg; wanted a name that ends in one of .png"),
        ("draw -o no/x.png", 2, "the folder no does not exist"),
        ("draw nets -o x.dot", 2, "minigraph: there is no model 'nets'; did you mean unet or lenet5 or"),
        ("summary zebra", 2, "wanted one of lenet5, alexnet"),
        ("verify vgg", 2, "(other targets are module:function or file.py:function)"),
        ("draw nets.py -o x.dot", 2, "got the file nets.py; add :NAME, the name of a function, Node or Module in it"),
        (
            "profile lenet5 --batch 100000000000000000000",
            1,
            "got an input of shape (100000000000000000000, 1, 32, 32); wanted",
        ),
        ("summary :f", 2, "wanted module:function or file.py:function"),
        ("summary alexnet --input 1,3,20,20", 1, "an input of shape (1, 3, 20, 20) does not go through"),
        ("summary alexnet --input 1,3,0", 2, "got '1,3,0'; wanted a shape like 1,3,224,224"),
        ("summary nets:loss --input 1,3", 2, "--input is for models"),
        ("summary nets:module", 2, "Sequential needs an input; wanted --input"),
        ("summary alexnet --csv --json", 2, "not allowed with"),
        ("draw no.py:f -o x.dot", 2, "there is no file no.py"),
        ("draw no.module:f -o x.dot", 2, "there is no module no.module"),
        ("draw nets:nothing -o x.dot", 2, "nets has no nothing"),
        ("draw nets:needs -o x.dot", 2, "nets:needs: missing a required argument: 'x'"),
        ("draw nets.py:array -o x.dot", 2, "nets.py:array gave ndarray; wanted a Node"),
        ("verify nets:loss", 1, "wanted a graph with a convolution"),
        ("profile zebra", 2, "wanted one of lenet5, alexnet"),
        ("profile nets:module", 2, "Sequential needs an input; wanted --image, like --image 3,224,224"),
        ("profile nets:loss --batch 2", 2, "--batch and --image are for models; the target is a Node"),
        ("profile nets:loss --image 3", 2, "--batch and --image are for models"),
        ("profile lenet5 --image 1,x", 2, "got '1,x'; wanted a shape like 3,224,224"),
        ("profile lenet5 --image 1,9,9", 1, "LeNet5 takes images (N, 1, H, W) of at least 32×32"),
        ("profile lenet5 --draw x.jpg", 2, "got x.jpg; wanted a name that ends in one of .png"),
        ("profile lenet5 --repeats 0", 2, "wanted an integer of at least 1"),
        ("profile nets:Nets.node", 1, "wanted a node that an op computed"),
        ("verify nets:wrong", 1, "nets:wrong raised ShapeError: matmul: got"),
    ],
)
def test_errors_are_one_line(here, capsys, line, status, message):
    assert main(line.split()) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("minigraph: ") and err.count("\n") == 1
    assert message in err


def test_errors_in_the_users_code_name_the_line(here, capsys):
    assert main(["draw", "nets.py:wrong", "-o", "x.dot"]) == 1
    line = NETWORK.splitlines().index("    return mg.constant(np.ones(3)) @ np.ones(4)") + 1
    assert f"nets.py:{line})" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["nets:loss", "nets.py:loss", "nets.py:Nets.node"])
def test_draw_targets(here, capsys, target):
    assert main(["draw", target, "-o", "x.dot", "--direction", "LR", "--no-edges"]) == 0
    assert capsys.readouterr() == ("x.dot\n", "")
    assert "rankdir=LR" in (here / "x.dot").read_text(encoding="utf-8")


def test_draw_the_lectures_network(here, capsys):
    assert main(["draw", "-o", "net.png"]) == 0
    assert (here / "net.png").read_bytes().startswith(b"\x89PNG")
    assert main(["draw", "-o", "net.dot", "--lower", "im2col"]) == 0
    text = (here / "net.dot").read_text(encoding="utf-8")
    assert all(f"<b>{name}</b>" in text for name in ("X", "F", "b", "cols", "rows", "out_col", "H", "W", "s", "p", "l"))


def test_verify(here, capsys, monkeypatch):
    assert main(["verify"]) == 0
    table, err = capsys.readouterr()
    assert "S" in table and err == ""
    assert main(["verify", "nets:layer", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]
    monkeypatch.setattr(mg, "verify", lambda y: SimpleNamespace(ok=False))
    assert main(["verify", "nets:layer"]) == 1


def test_list(capsys):
    assert main(["list"]) == 0
    lines, err = capsys.readouterr()
    assert re.search(r"^vgg16 +138,357,544 +1×3×224×224$", lines, re.MULTILINE) and err == ""
    assert main(["list", "--json"]) == 0
    found = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert list(found) == mg.models.names() == [line.split()[0] for line in lines.splitlines()[1:]]
    assert found["vgg16"] == {"name": "vgg16", "parameters": 138_357_544, "input": [1, 3, 224, 224]}


def test_summary(here, capsys):
    assert main(["summary", "resnet18", "--depth", "1"]) == 0
    text, err = capsys.readouterr()
    assert err == "" and "layer4" in text and "layer4/" not in text and "11,689,512" in text
    assert main(["summary", "resnet18", "--input", "2,3,64,64", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["output"] == [2, 3, 64, 64]
    assert main(["summary", "nets:module", "--input", "4,3", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0,linear,4×2,float32,8,6,24,")
    assert main(["summary", "nets:layer", "--human"]) == 0
    assert "linear" in capsys.readouterr().out
    assert main(["summary"]) == 0  # the lectures' network
    assert "H~" in capsys.readouterr().out


def test_draw_and_verify_models(here, capsys):
    assert main(["draw", "resnet20", "-o", "x.dot"]) == 0
    text = (here / "x.dot").read_text(encoding="utf-8")
    assert "<b>layer3</b>" in text and "1×3×32×32" in text
    assert main(["verify", "resnet20", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.removeprefix("x.dot\n"))["ok"] and "resnet20 is given an image of 3×5×5" in err
    assert main(["verify", "nets:module", "--input", "2,3"]) == 0


def test_profile(here, capsys):
    assert main("profile lenet5 --batch 2 --image 1,32,32 --repeats 1 --top 3 --draw x.dot".split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[0].startswith("node") and lines[-1].startswith("total")
    text = (here / "x.dot").read_text(encoding="utf-8")
    assert "conv2d" in text and "fillcolor" in text and "backward" in text and "2×6×28×28" in text
    assert main("profile lenet5 --repeats 1 --seed 3 --json".split()) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows[0]["shape"] == [1, 6, 28, 28] and rows[0]["multiply_adds"] == 6 * 28 * 28 * 25
    assert rows[-1]["op"] == "cross_entropy" and None not in [row["backward"] for row in rows]
    for target, ops in (("nets:loss", "sin multiply sum"), ("nets:module --image 3 --batch 4", "linear cross_entropy"),
                        ("nets:total --image 3", "sum")):  # fmt: skip
        assert main(f"profile {target} --repeats 1 --json".split()) == 0
        assert [row["op"] for row in json.loads(capsys.readouterr().out)["rows"]] == ops.split()
    assert main("profile --repeats 1".split()) == 0  # the lectures' network
    assert "H~" in capsys.readouterr().out


def test_doctor(capsys, monkeypatch):
    assert main(["doctor", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["ok"] and figures["drawing"] == figures["gradients"] == "works"
    assert figures["versions"]["minigraph"] == mg.__version__
    assert figures["threads"].startswith(str(mg.threads()))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    assert main(["doctor"]) == 0
    assert "(OPENBLAS_CORETYPE=Nehalem)" in capsys.readouterr().out

    def broken(*_, **__):
        raise ImportError("drawing needs Graphviz: pip install pygraphviz")

    monkeypatch.setattr(importlib.import_module("minigraph.inspect.draw.render"), "run", broken)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "drawing         drawing needs Graphviz: pip install pygraphviz" in out
    assert "broken" in out
