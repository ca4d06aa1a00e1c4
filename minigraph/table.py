"""Tables of text, for traces and reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigraph.node import Node
from minigraph.text import readable


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows under a head, in columns as wide as their widest cell; columns numbered in ``right`` are set flush right."""
    cells = [[readable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = (
        "  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def trace(nodes: Iterable[Node]) -> str:
    """The evaluation trace: one node a row, with where its inputs stand and what its value is."""
    index: dict[Node, str] = {}
    rows = []
    for node in nodes:
        index[node] = f"v{len(index)}"
        name = f"{node.scope}/{node.name or ''}" if node.scope else node.name or ""
        value = "" if node.abstract else _brief(node.value)
        inputs = ", ".join(index.get(x, "") for x in node.inputs)
        rows.append((index[node], name, node.kind, inputs, str(node.shape), value))
    return table(("node", "name", "op", "inputs", "shape", "value"), rows)


def _brief(value: Any) -> str:
    """A value in a table's cell: itself when short, else its range."""
    if value.size <= 4:
        return np.array2string(np.asarray(value), precision=4, separator=", ").replace("\n", "")
    return f"{value.min():.4g} … {value.max():.4g}"
