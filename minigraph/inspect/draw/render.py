"""DOT text → PNG, SVG, PDF, by the Graphviz inside pygraphviz or by the program ``dot``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Literal, get_args

from minigraph.arguments import expect_choice
from minigraph.inspect.draw.child import MISSING, NO_PYGRAPHVIZ

Engine = Literal["pygraphviz", "dot"]
FORMATS = ("png", "svg", "pdf", "dot")
DPI, LEGIBLE_DPI = 160.0, 40.0
MAX_SECONDS = 86_400.0  # no process is waited for longer: the system counts milliseconds in 32 bits
MAX_SIDE, MAX_PIXELS = 30_000, 60_000_000  # cairo cuts at 32,767; 60 million pixels take 240 MB
INSTALL = (
    "drawing needs Graphviz: pip install pygraphviz (brings Graphviz along), "
    "or install Graphviz so that dot is on the PATH; a .dot file needs neither"
)


class RenderError(RuntimeError):
    """Graphviz could not draw the graph."""


class Overtime(RenderError):
    """Graphviz took longer than it may."""


def picture(
    dot: str,
    form: str,
    *,
    dpi: float = DPI,
    engine: Engine | None = None,
    limit: Limit | None = None,
    later: str = "",
    page: str = "",
) -> bytes:
    """The picture of DOT text as the bytes of a "png", "svg" or "pdf".

    ``dpi``: pixels per inch of a PNG, lowered where the picture would be larger than MAX_SIDE or MAX_PIXELS;
    warns (UserWarning) when its text can then no longer be read.
    ``engine``: "pygraphviz", "dot" (the program on the PATH), or None for the first of them that is there.
    ``limit``: when to give up.
    ``later``: lines of edges that do not move the nodes.
    ``page``: what tells an SVG from others of the same graph in one page.

    Raises ImportError, saying what to install, without Graphviz; RenderError when Graphviz fails, Overtime
    when it takes longer than the ``limit``.
    """
    limit = limit or Limit(None)
    program = "dot"
    if later:
        placed = run("dot", "dot", dot, engine, limit).decode()
        end = placed.rindex("}")
        program, dot = "nop1", f"{placed[:end]}{later}\n{placed[end:]}"
    if form == "svg":
        return with_own_ids(run(program, form, dot, engine, limit), page)
    if form != "png":
        return run(program, form, dot, engine, limit)
    placed = run(program, "dot", dot, engine, limit).decode()
    box = re.search(r'\bbb="[^",]+,[^",]+,([^",]+),([^",]+)"', placed)
    width, height = (float(side) / 72 + 0.4 for side in box.groups()) if box else (1.0, 1.0)
    fitting = fitting_dpi(dpi, width, height)
    return run("nop2", form, placed.replace("{", f"{{\n graph [dpi={fitting:.3f}];", 1), engine, limit)


def fitting_dpi(dpi: float, width: float, height: float) -> float:
    """The pixels per inch at which a PNG of these inches is neither cut nor too large; warns if its text cannot be read."""
    fitting = min(dpi, MAX_SIDE / max(width, height), math.sqrt(MAX_PIXELS / (width * height)))
    if fitting < min(dpi, LEGIBLE_DPI):
        warnings.warn(
            f"the picture is {width:.0f} × {height:.0f} inches and fits a PNG only at {fitting:.0f} pixels per inch, "
            "too few to read; write an .svg, which has no such limit",
            stacklevel=5,
        )
    return fitting


def with_own_ids(svg: bytes, page: str = "") -> bytes:
    """The SVG with ids that no other picture has, so that several can stand in one page; they depend on its content."""
    own = hashlib.blake2b(svg + page.encode(), digest_size=6).hexdigest()
    return re.sub(rb'(\bid="|="url\(#|href="#)', rb"\1g" + own.encode() + b"-", svg)


class Limit:
    """A time to be done by, ``seconds`` from now; None for no limit."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds, self.start = seconds, time.monotonic()

    def rest(self) -> float | None:
        """The seconds that are left."""
        return (
            None if self.seconds is None else min(max(0.0, self.start + self.seconds - time.monotonic()), MAX_SECONDS)
        )


def run(program: str, form: str, dot: str, engine: Engine | None, limit: Limit) -> bytes:
    """One pass of Graphviz: "dot" lays out, "nop1" draws the edges between nodes in their places, "nop2" what is laid out."""
    expect_choice("draw", (*get_args(Engine), None), engine=engine)
    if engine != "dot":
        drawn = run_pygraphviz(program, form, dot, limit)
        if drawn is not None:
            return drawn
        if engine:
            raise ImportError(f"pygraphviz cannot be imported; {INSTALL}")
    return run_dot(program, form, dot, limit)


def run_pygraphviz(program: str, form: str, dot: str, limit: Limit) -> bytes | None:
    """None when pygraphviz cannot be imported."""
    if not sys.executable or importlib.util.find_spec("pygraphviz") is None:
        return None
    child = Path(__file__).with_name("child.py")
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, FONTCONFIG_FILE=font_settings(folder))
        command = [sys.executable, "-I", str(child), program, form, *filter(None, sys.path)]
        status, drawn = spawn(command, dot, limit, environment)
    return None if status == NO_PYGRAPHVIZ else drawn


def run_dot(program: str, form: str, dot: str, limit: Limit) -> bytes:
    """One pass of the programs ``dot`` or ``neato`` on the PATH."""
    executable = shutil.which("dot" if program == "dot" else "neato")
    if executable is None:
        raise ImportError(INSTALL)
    places = [] if program == "dot" else [program.replace("nop", "-n")]
    return spawn([executable, *places, f"-T{form}"], dot, limit)[1]


def spawn(command: list[str], dot: str, limit: Limit, environment: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Exit status and output of a process that reads the text; it and its children are killed at the time limit."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            drawn, said = process.communicate(dot.encode(), limit.rest())
        except BaseException as error:
            kill(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Overtime(f"Graphviz took more than {limit.seconds:g} seconds") from None
            raise
    status = process.returncode
    if status != NO_PYGRAPHVIZ and (status or not drawn):
        raise RenderError(f"Graphviz failed ({status}): {said.decode(errors='replace').strip()[-500:]}")
    warn_of_missing(said.decode(errors="replace"))
    return status, drawn


_told: set[str] = set()


def warn_of_missing(said: str) -> None:
    """Warn of the characters that Graphviz had no font for, of each once."""
    missing = {c for line in said.splitlines() if line.startswith(MISSING) for c in line.removeprefix(MISSING)} - _told
    if missing:
        _told.update(missing)
        warnings.warn(
            f"no font on this machine has {' '.join(sorted(missing))}, so boxes stand for them in pictures; install a font "
            "that does, or write an .svg",
            stacklevel=7,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those it started: a ``dot`` that is a script leaves the work to another."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


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
