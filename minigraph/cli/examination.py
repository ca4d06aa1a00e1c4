"""What minigraph depends on, whether it works, and what to install if it does not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import minigraph as mg
from minigraph.kernels.onednn import LIBRARY, PROBLEM
from minigraph.text import readable, readable_repr

PACKAGES = ("numpy", "scipy", "tqdm", "pygraphviz", "latex2mathml", "matplotlib")
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")
CORE = "OPENBLAS_CORETYPE"  # holds OpenBLAS to the kernels of one processor
WORKS = "works"


@readable_repr
@dataclass
class Examination:
    """What was found; ``ok`` when everything needed works."""

    figures: dict[str, Any]

    @property
    def ok(self) -> bool:
        return bool(self.figures["ok"])

    def __str__(self) -> str:
        rows: dict[str, Any] = {}
        for name, value in self.figures.items():
            rows.update(value if isinstance(value, dict) else {name: value})
        rows.pop("ok")
        width = max(map(len, rows))
        lines = [f"{name:<{width}}  {'not installed' if value is None else value}" for name, value in rows.items()]
        return readable(
            "\n".join([*lines, "Everything needed works." if self.ok else "Something needed is broken, see above."])
        )


def examine() -> Examination:
    """Look at versions and BLAS, check a gradient, and draw a graph of two nodes."""
    versions: dict[str, str | None] = {"python": platform.python_version(), "minigraph": mg.__version__}
    versions |= {name: _version(name) for name in PACKAGES} | {"dot (Graphviz)": _dot_version()}
    computing, drawing = _computing(), _drawing()
    plotting = WORKS if versions["matplotlib"] else "left out: pip install 'minigraph[plot]'"
    return Examination(
        {
            "versions": versions,
            "system": f"{platform.system()} {platform.machine()}, {os.cpu_count() or 'unknown'} cores",
            "BLAS": _blas(),
            "oneDNN": _onednn(),
            "threads": _threads(),
            "gradients": computing,
            "drawing": drawing,
            "plots": plotting,
            "ok": computing == drawing == WORKS,
        }
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _dot_version() -> str | None:
    """The version of the program ``dot``, which draws where pygraphviz is missing."""
    program = shutil.which("dot")
    if program is None:
        return None
    try:
        said = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    match = re.search(r"version (\S+)", said.stderr + said.stdout)
    return match[1] if match else "unknown"


def _blas() -> str:
    """The loaded libraries, their versions, and the kernels that they chose or were told to use."""
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    named = [" ".join(filter(None, (b["internal_api"], b["version"], b.get("architecture")))) for b in libraries]
    told = f" (OPENBLAS_CORETYPE={os.environ[CORE]})" if os.environ.get(CORE) else ""
    return ", ".join(dict.fromkeys(named)) + told if named else "unknown"


def _onednn() -> str:
    """The version, instructions and place of the library; or why it is not used."""
    if LIBRARY is None:
        return f"not used: {PROBLEM}"
    return f"{LIBRARY.version}, {LIBRARY.instructions}, {LIBRARY.path}"


def _threads() -> str:
    """The number of threads minigraph uses, and the limits that the environment sets for BLAS."""
    limits = [f"{name}={os.environ[name]}" for name in THREADS if os.environ.get(name)]
    return ", ".join([str(mg.threads()), *limits])


def _computing() -> str:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 1, 6, 6)), rng.standard_normal((3, 1, 3, 3))
    try:
        mg.check_grads(lambda x, w: mg.ops.sum(mg.conv2d(x, w) ** 2), x, w)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return WORKS


def _drawing() -> str:
    x = mg.constant(1.0, "x")
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "graph.png")
            mg.draw(mg.ops.exp(x), path)
            return WORKS if path.read_bytes().startswith(b"\x89PNG") else "Graphviz did not write a PNG"
    except Exception as error:
        return str(error) or type(error).__name__
