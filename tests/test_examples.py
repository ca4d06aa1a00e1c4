"""Every example runs, and what it asserts holds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import minigraph

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    home = str(Path(minigraph.__file__).parent.parent)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")]),
        "PYTHONUTF8": "1",
    }
    done = subprocess.run([sys.executable, "-W", "error", str(path)], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout and all(line.startswith("epoch ") for line in done.stderr.splitlines())  # of training
    assert not list(tmp_path.iterdir())
