"""DOT text → PNG, SVG, PDF, by the Graphviz inside pygraphviz or by the program ``dot``."""

from __future__ import annotations

import importlib.util
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Literal, get_args

from minigraph.draw.child import NO_PYGRAPHVIZ

Engine = Literal["pygraphviz", "dot"]
FORMATS = ("png", "svg", "pdf", "dot")
DPI, LEGIBLE_DPI = 160.0, 40.0
MAX_SIDE, MAX_PIXELS = 30_000, 60_000_000  # cairo cuts at 32,767; 60 million pixels take 240 MB
INSTALL = (
    "drawing needs Graphviz: pip install pygraphviz (brings Graphviz along), "
    "or install Graphviz so that dot is on the PATH, and pip install graphviz; a .dot file needs neither"
)


class RenderError(RuntimeError):
    """Graphviz could not draw the graph."""


def picture(
    dot: str, form: str, *, dpi: float = DPI, engine: Engine | None = None, timeout: float | None = None
) -> bytes:
    """The picture of DOT text as the bytes of a "png", "svg" or "pdf".

    ``dpi``: pixels per inch of a PNG, lowered where the picture would be larger than MAX_SIDE or MAX_PIXELS;
    warns (UserWarning) when its text can then no longer be read.
    ``engine``: "pygraphviz", "dot" (the program on the PATH), or None for the first of them that is there.
    ``timeout``: seconds after which to give up on pygraphviz.

    Raises ImportError, saying what to install, without Graphviz; RenderError when Graphviz fails.
    """
    if form != "png":
        return run("dot", form, dot, engine, timeout)
    placed = run("dot", "dot", dot, engine, timeout).decode()
    found = re.search(r'\bbb="[^",]+,[^",]+,([^",]+),([^",]+)"', placed)
    width, height = (float(side) / 72 + 0.4 for side in found.groups()) if found else (1.0, 1.0)
    fitting = min(dpi, MAX_SIDE / max(width, height), math.sqrt(MAX_PIXELS / (width * height)))
    if fitting < min(dpi, LEGIBLE_DPI):
        warnings.warn(
            f"the picture is {width:.0f} × {height:.0f} inches and fits a PNG only at {fitting:.0f} pixels per inch, "
            "too few to read; write an .svg, which has no such limit",
            stacklevel=3,
        )
    return run("nop2", form, placed.replace("{", f"{{\n graph [dpi={fitting:.3f}];", 1), engine, timeout)


def run(program: str, form: str, dot: str, engine: Engine | None, timeout: float | None) -> bytes:
    """One pass of Graphviz: ``program`` "dot" to lay out, "nop2" to draw what is laid out already."""
    if engine not in (None, *get_args(Engine)):
        raise ValueError(f"draw: got engine {engine!r}, wanted 'pygraphviz', 'dot' or None")
    if engine != "dot":
        drawn = run_pygraphviz(program, form, dot, timeout)
        if drawn is not None:
            return drawn
        if engine:
            raise ImportError(f"pygraphviz cannot be imported; {INSTALL}")
    return run_dot(program, form, dot)


def run_pygraphviz(program: str, form: str, dot: str, timeout: float | None) -> bytes | None:
    """None when pygraphviz cannot be imported."""
    if not sys.executable or importlib.util.find_spec("pygraphviz") is None:
        return None
    child = Path(__file__).with_name("child.py")
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(
            os.environ,
            PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
            FONTCONFIG_FILE=font_settings(folder),
        )
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(child), program, form],
                input=dot.encode(), capture_output=True, timeout=timeout, env=environment, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RenderError(f"Graphviz took more than {timeout} seconds") from None
    if done.returncode == NO_PYGRAPHVIZ:
        return None
    if done.returncode or not done.stdout:
        raise RenderError(f"Graphviz failed ({done.returncode}): {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout


def font_settings(folder: str) -> str:
    """Fontconfig's settings, with the fonts of this package beside those of the machine, which may have none."""
    own = Path(__file__).with_name("fonts")
    usual = os.environ.get("FONTCONFIG_FILE", "/etc/fonts/fonts.conf")
    settings = Path(folder, "fonts.conf")
    settings.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f'<include ignore_missing="yes">{usual}</include><dir>{own}</dir>'
        '<cachedir prefix="xdg">fontconfig</cachedir></fontconfig>',
        encoding="utf-8",
    )
    return str(settings)


def run_dot(program: str, form: str, dot: str) -> bytes:
    """One pass of the programs ``dot`` or ``neato`` on the PATH."""
    if importlib.util.find_spec("graphviz") is None or shutil.which("dot") is None:
        raise ImportError(INSTALL)
    import graphviz

    command, no_op = ("neato", 2) if program == "nop2" else (program, None)
    try:
        drawn: bytes = graphviz.pipe(command, form, dot.encode(), neato_no_op=no_op, quiet=True)
    except subprocess.CalledProcessError as error:
        raise RenderError(
            f"Graphviz failed ({error.returncode}): {error.stderr.decode(errors='replace').strip()[-500:]}"
        ) from None
    return drawn


def write(path: Path, data: bytes) -> None:
    """Write a whole file or none: beside ``path`` first, then in its place."""
    path = path.resolve()  # through a link, to the file it leads to
    part = path.with_name(f".{path.stem[:20]}-{os.getpid()}-{threading.get_ident()}{path.suffix}")
    try:
        part.write_bytes(data)
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
