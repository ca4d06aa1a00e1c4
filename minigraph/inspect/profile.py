"""profile: where a graph spends its time, node by node, forward and backward, with traffic and arithmetic."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any, TypeVar

import numpy as np

from minigraph.arguments import expect_flags, expect_integer, expect_node
from minigraph.mode import recomputing
from minigraph.node import FLOATS, GraphError, Node
from minigraph.tape import Tape, pulled_together
from minigraph.text import table

__all__ = ["Profile", "Row", "profile"]

T = TypeVar("T")
HEAD = ("node", "op", "shape", "forward, ms", "backward, ms", "share", "traffic, MB", "GB/s", "GFLOP/s")


@dataclass(frozen=True)
class Row:
    """One node: seconds ``forward`` and ``backward``, None where nothing is pulled through it.

    ``traffic``: bytes of its inputs and its value, 0 where the value lies in an input's memory, like a reshape.
    ``multiply_adds``: products that a convolution or matrix product sums, 0 for other ops.
    """

    node: Node
    forward: float
    backward: float | None
    traffic: int
    multiply_adds: int

    @property
    def seconds(self) -> float:
        """Forward and backward."""
        return self.forward + (self.backward or 0.0)

    @property
    def name(self) -> str:
        """Scope and name; the label, with its number, of a node without a name."""
        return self.node.path if self.node.name else self.node.label


@dataclass(frozen=True, repr=False)
class Profile:
    """What ``profile`` found: a row for each node that an op computed, in the order of the tape; prints as a table.

    It holds the nodes, and with them their values.
    """

    rows: tuple[Row, ...]

    @property
    def forward(self) -> float:
        """Seconds of all nodes forward."""
        return sum(row.forward for row in self.rows)

    @property
    def backward(self) -> float | None:
        """Seconds of all nodes backward, None where there is no way back to a parameter."""
        times = [row.backward for row in self.rows if row.backward is not None]
        return sum(times) if times else None

    @property
    def seconds(self) -> float:
        """Seconds of all nodes, forward and backward."""
        return sum(row.seconds for row in self.rows)

    @property
    def traffic(self) -> int:
        """Bytes of traffic of all nodes."""
        return sum(row.traffic for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all nodes."""
        return sum(row.multiply_adds for row in self.rows)

    def text(self, top: int | None = 20) -> str:
        """The table of the ``top`` slowest nodes, None for all, and the sums of the others and of all.

        GB/s is traffic, GFLOP/s two operations for each multiply-add, over the time forward. Winograd's algorithms make
        fewer multiplications than that, and can seem faster than the processor.
        """
        rows = sorted(self.rows, key=lambda row: -row.seconds)
        cells = [
            (row.name, row.node.kind, "×".join(map(str, row.node.shape)) or "scalar", *self._numbers(row))
            for row in rows[:top]
        ]
        rest = rows[len(cells) :]
        if rest:
            cells.append((f"{len(rest)} more", "", "", *self._numbers(Profile(tuple(rest)))))
        cells.append(("total", "", "", *self._numbers(self)))
        return table(HEAD, cells, range(3, len(HEAD)))

    __str__ = text

    def __repr__(self) -> str:
        return f"<Profile of {len(self.rows)} nodes, {1e3 * self.seconds:.3f} ms>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def to_json(self) -> str:
        """The report as JSON text: {"rows": [{"node", "op", "shape", "forward", …}], "totals": {…}}; what is blank is null."""
        rows = [{"node": r.name, "op": r.node.kind, "shape": r.node.shape, **_figures(r)} for r in self.rows]
        return json.dumps({"rows": rows, "totals": _figures(self)}, indent=1)

    def _numbers(self, part: Row | Profile) -> tuple[str, ...]:
        """The cells of one row, or of the sum of some."""
        rates = part.traffic, 2 * part.multiply_adds
        return (
            f"{1e3 * part.forward:.3f}",
            "" if part.backward is None else f"{1e3 * part.backward:.3f}",
            f"{part.seconds / self.seconds:.1%}" if self.seconds else "",
            f"{part.traffic / 1e6:.3f}",
            *(f"{n / part.forward / 1e9:.1f}" if n and part.forward else "" for n in rates),
        )


def _figures(part: Row | Profile) -> dict[str, Any]:
    return {name: getattr(part, name) for name in ("forward", "backward", "traffic", "multiply_adds")}


def profile(y: Node, repeats: int = 5, *, progress: bool = False) -> Profile:
    """Time every node behind ``y``: its kernel forward, and its local Jacobians and their pulls backward.

    Each time is the median of ``repeats`` calls after a warm-up call. Nodes are timed one by one, so their inputs may still
    be in cache, and the sums where paths meet are not included. The cotangent of y is 1 everywhere. Values, ``.grad`` and
    running statistics stay unchanged. ``progress`` shows a progress bar on stderr.

    Raises TypeError for anything but a Node, ValueError for less than one repeat; GraphError for a leaf, for an abstract or
    freed graph, and if a parameter was changed after it was recorded.
    """
    expect_node("profile", y)
    expect_integer("profile", 1, most=1_000_000, repeats=repeats)
    expect_flags("profile", progress=progress)
    tape = Tape.of(y)
    if y.op is None:
        raise GraphError(f"profile: got {y.label}; wanted a node that an op computed")
    if y.abstract:
        raise GraphError(
            f"profile: {y.label} was built from a Spec, so there is nothing to time; call the model with arrays"
        )
    tape.check_unchanged()
    with recomputing():
        ops = [node for node in tape.nodes if node.op]
        forward = {}
        for node in _counted(ops, "forward", len(ops), progress):
            assert node.op
            forward[node] = _seconds(partial(node.op.forward, *[x.value for x in node.inputs]), repeats)
        backward = {}
        active = tape.depending_on(tape.parameters) if y.dtype in FLOATS else set()
        walk = tape._reverse(np.ones(y.shape, y.dtype)[()], active, False, True)
        for node, g in _counted(walk, "backward", len(active), progress):
            if node.op:
                backward[node] = _seconds(partial(_pull, node, g, active), repeats)
    return Profile(tuple(Row(node, forward[node], backward.get(node), _traffic(node), _products(node)) for node in ops))


def _pull(node: Node, g: Any, active: set[Node]) -> None:
    """What a walk back does at this node."""
    assert node.op
    if node.op.pull is None or pulled_together(node, node.inputs, g, active, False) is NotImplemented:
        for x, J in zip(node.inputs, node.op.maps(node), strict=True):
            if J is not None and x in active:
                J.pull(g)


def _traffic(node: Node) -> int:
    inputs = [x.value for x in dict.fromkeys(node.inputs)]
    if any(np.may_share_memory(node.value, value) for value in inputs):
        return 0
    return int(sum(value.nbytes for value in [*inputs, node.value]))


def _products(node: Node) -> int:
    return node.op.multiply_adds(node, *node.inputs) if node.op else 0


def _counted(nodes: Iterable[T], verb: str, total: int, progress: bool) -> Iterable[T]:
    """The same, with a bar that counts them, where counting takes more than a second."""
    if not progress:
        return nodes
    from tqdm import tqdm

    bar: Iterable[T] = tqdm(nodes, verb, total, unit="node", leave=False, delay=1, file=sys.stderr)
    return bar


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
