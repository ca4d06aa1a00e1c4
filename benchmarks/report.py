"""The report: rows as a table and as JSON, the machine they were measured on, and what changed since another report."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

import minigraph as mg
from benchmarks import timing
from benchmarks.timing import OURS, Row

UNITS = {"s": (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)), "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))}
LINE = "{:<52} {:>9}   {:<32} {:>6}  {:<13} {}"
HEAD = LINE.format("", OURS, "best peer", "ratio", "quartiles", "wanted")
TOLERANCE = 1.1  # a ratio may grow by so much before it counts as worse


def environment() -> dict[str, Any]:
    """Machine, system, versions, threads and date."""
    packages = ("numpy", "scipy", *timing.PEERS)
    versions = {"python": platform.python_version(), "minigraph": mg.__version__} | {p: _version(p) for p in packages}
    blas = [f"{b['internal_api']} {b['version']} {b.get('architecture', '')}".strip() for b in threadpool_info()
            if b["user_api"] == "blas"]  # fmt: skip
    if told := os.environ.get("OPENBLAS_CORETYPE"):  # slower than what it would choose by itself
        blas.append(f"held to {told} by OPENBLAS_CORETYPE")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{_cpu()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "versions": versions | {"blas": ", ".join(sorted(set(blas)))},
        "threads": {OURS: mg.threads(), "torch": _torch_threads()},
    }


def _torch_threads() -> int | None:
    try:
        return int(timing.torch().get_num_threads())
    except ModuleNotFoundError:
        return None


def watch() -> Callable[[], float | None]:
    """Tells, when called, the share of all processors that other programs took since; None where nobody knows."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return lambda: None

    def elsewhere() -> float:
        user, nice, system, idle, waiting, *rest = map(int, stat.read_text().split()[1:9])
        return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])

    start, before = time.perf_counter(), elsewhere()
    return lambda: (elsewhere() - before) / (time.perf_counter() - start) / (os.cpu_count() or 1)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def title(environment: dict[str, Any]) -> str:
    """The environment in a few lines."""
    versions = [f"{name} {number or 'not installed'}" for name, number in environment["versions"].items()]
    threads = [f"{name} {n}" for name, n in environment["threads"].items() if n]
    where = f"{environment['date']}; {environment['machine']}; {environment['system']}"
    return f"{where}\n{', '.join(versions)}\nthreads: {', '.join(threads)}"


def line(row: Row) -> str:
    """The row in a line."""
    ours, wanted = scaled(row.medians[OURS], row.unit), f"≤ {row.wanted:g}" if row.wanted is not None else "reported"
    wanted += " – MISSED" if row.met is False else ""
    absent = f"without {', '.join(row.missing)}" if row.missing else ""
    if row.peer is None or row.ratio is None or row.spread is None:
        return LINE.format(row.task, ours, absent, "", "", wanted).rstrip()
    peer = f"{scaled(row.medians[row.peer], row.unit):>8} {row.peer}{f' ({absent})' if absent else ''}"
    return LINE.format(row.task, ours, peer, f"{row.ratio:.3g}", "{:.3g}–{:.3g}".format(*row.spread), wanted)


def scaled(value: float, unit: str) -> str:
    """A number of ``unit`` in the multiple that reads best."""
    name, size = next((u for u in UNITS[unit] if value >= u[1]), UNITS[unit][-1])
    return f"{value / size:.3g} {name}"


def record(part: str, row: Row) -> dict[str, Any]:
    """The row for JSON."""
    names = ("task", "unit", "wanted", "ratio", "spread", "met", "peer", "medians", "samples", "missing")
    return {"part": part} | {name: getattr(row, name) for name in names}


def changes(before: dict[str, Any], now: dict[str, Any]) -> tuple[list[str], bool]:
    """How each ratio changed, line by line, and whether one got worse by more than a tenth beyond its spread.

    That is when the lower quartile is now more than a tenth above what the upper one was.
    """
    known = {(row["part"], row["task"]): row for row in before["rows"] if row["ratio"]}
    lines, worse = [], False
    if before["machine"] != now["machine"]:
        lines.append(f"another machine: {before['machine']}")
    for row in now["rows"]:
        old = known.get((row["part"], row["task"]))
        if old is None or row["ratio"] is None:
            continue
        bad = row["spread"][0] > TOLERANCE * old["spread"][1]
        worse |= bad
        change = f"{old['ratio']:.3g} → {row['ratio']:.3g} ({row['ratio'] / old['ratio'] - 1:+.0%})"
        lines.append(f"{row['part']:<12} {row['task']:<52} {change}{' – WORSE' if bad else ''}")
    return lines, worse
