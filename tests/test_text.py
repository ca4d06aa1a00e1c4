"""What is printed can be read under every encoding of the output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minigraph as mg
from minigraph.text import readable

GRAPH = """
import numpy as np
import minigraph as mg
from minigraph import optim
from minigraph.cli.examination import Examination

with mg.scope("réseau/λ"):
    x, w = mg.constant(np.ones((1, 1, 6, 6)), "日本 ∂ \\udc80"), mg.parameter(np.ones((2, 1, 3, 3)), "µ")
    y = mg.ops.sum(mg.conv2d(x, w) ** 2)
"""
REPORTS = """
tape = mg.Tape.of(y)
J = tape.jacobian(w)
model = mg.models.build("lenet5")
for thing in (
    tape, mg.summary(y), mg.summary(model), mg.verify(y), mg.costs(y), mg.profile(y, 1), J, J.T, J.T @ J,
    *tape.local(tape.nodes[2]), *tape.nodes, mg.Spec((1, 2), name="∂"), x.dtype, model, mg.check_grads(np.sin, np.ones(2)),
    mg.summary(y).rows[-1], mg.verify(y).rows[0], mg.costs(y)[0], mg.profile(y, 1).rows[0], Examination({"ok": True, "folder": "日本 → ∂"}), optim.SGD([w], 0.1),
):
    print(thing)
    print(repr(thing))
for report in (mg.summary(y), mg.verify(y), mg.profile(y, 1)):
    print(report.to_json())
print(mg.summary(y).to_csv())
"""
LINES = (
    "list", "list --json", "summary", "summary lenet5 --human", "summary lenet5 --json", "summary lenet5 --csv", "verify",
    "verify --json", "profile --repeats 1", "profile --repeats 1 --json", "draw -o a.dot", "doctor", "demo --epochs 1 --out out",
    "summary nets.py:y", "summary nets.py:y --csv", "verify nets.py:y --json", "--help", "draw --help",
)  # fmt: skip


def run(command, encoding, folder):
    home = str(Path(mg.__file__).parent.parent)
    environment = {
        **os.environ,
        "PYTHONIOENCODING": encoding,
        "PYTHONUTF8": "0",
        "PYTHONPATH": home,
        "PYTHONWARNINGS": "",
    }
    done = subprocess.run([sys.executable, *command], capture_output=True, check=False, cwd=folder, env=environment)
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert done.returncode == 0 and "Traceback" not in err, err
    assert "?" not in out
    return out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_reports_print_under_any_encoding(encoding, tmp_path):
    out = run(["-c", GRAPH + REPORTS], encoding, tmp_path)
    signs = {"ascii": "d(sum #", "cp1252": "d(sum #", "utf-8": "∂(sum #"}
    assert signs[encoding] in out
    assert ("1×6×28×28" if encoding != "ascii" else "1x6x28x28") in out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_commands_print_under_any_encoding(encoding, tmp_path):
    (tmp_path / "nets.py").write_text(GRAPH, encoding="utf-8")
    lines = LINES if encoding == "ascii" else ("list", "summary lenet5 --csv", "verify", "summary nets.py:y")
    program = (
        f"from minigraph.cli import main\nfor line in {lines}: print('\\f', main(line.split()), sep='', flush=True)"
    )
    outputs = run(["-c", program], encoding, tmp_path).split("\f")
    assert [text[0] for text in outputs[1:]] == ["0"] * len(lines)
    for line, out in zip(lines, outputs, strict=False):
        out = out.removeprefix("0\n")
        if "--json" in line:
            json.loads(out)
        elif line == "list":
            assert ("1×3×224×224" if encoding != "ascii" else "1x3x224x224") in out


def test_signs(monkeypatch):
    class Terminal:
        encoding = "ascii"

    assert readable("∂y/∂x ≤ 3 × 2 … é 日") == "∂y/∂x ≤ 3 × 2 … é 日"
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert readable("∂y/∂x ≤ 3 × 2² … x₁ Jᵀ é 日 \udc80") == r"dy/dx <= 3 x 2^2 ... x1 J^T e \u65e5 \udc80"
    monkeypatch.setattr(Terminal, "encoding", "cp1252")
    assert readable("∂y × é") == "dy × é"
    monkeypatch.setattr(Terminal, "encoding", "of its own")
    assert readable("∂") == "∂"
