"""Print the table of the benchmarks and write it as JSON: ``python -m benchmarks``, or parts: ``… engine sparse``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import convolution, engine, jacobians, layers, lenet, memory, models, report, sparse, training

PARTS = {
    "training": training.rows, "convolution": convolution.rows, "layers": layers.rows, "memory": memory.rows, "engine": engine.rows,
    "lenet": lenet.rows, "sparse": sparse.rows, "jacobians": jacobians.rows, "models": models.lines,
}  # fmt: skip
DEFAULT = [part for part in PARTS if part != "models"]  # which has no peer, and takes long


def main(arguments: list[str] | None = None) -> int:
    """Run the parts asked for; 1 if one of their ratios got worse, 2 for arguments that are wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory against peers.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all but models by default")
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="turns of each contender; default 7")
    parser.add_argument("--json", type=Path, default=Path("out/bench.json"), metavar="FILE", help="default %(default)s")
    parser.add_argument("--against", type=Path, metavar="FILE", help="say what changed since this JSON was written")
    options = parser.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"got {', '.join(unknown)}; wanted {', '.join(PARTS)}")
    if options.repeats < 1:
        parser.error(f"got --repeats {options.repeats}; wanted at least 1")
    if options.against and not options.against.exists():
        parser.error(f"there is no {options.against}")
    before = json.loads(options.against.read_text(encoding="utf-8")) if options.against else None

    others = report.watch()
    found: dict[str, Any] = report.environment() | {"repeats": options.repeats, "rows": [], "notes": []}
    print(f"{report.title(found)}\nmedians of interleaved repeats\n\n{report.HEAD}")
    for part in options.parts or DEFAULT:
        print(part, flush=True)
        for row in PARTS[part](options.repeats):
            print(row if isinstance(row, str) else report.line(row), flush=True)
            if isinstance(row, str):
                found["notes"].append(row)
            else:
                found["rows"].append(report.record(part, row))
    found["others"] = others()
    if found["others"] is not None:
        quiet = "" if found["others"] < 0.05 else "; on a quiet machine the figures would be others"
        print(f"other programs took {found['others']:.0%} of the processors meanwhile{quiet}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines, worse = report.changes(before, found) if before else ([], False)
    print("", *lines, sep="\n")
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
