"""Where a graph spends its time: every node computed again, forward and backward, with its traffic and arithmetic."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigraph.node import GraphError, Node, Parameter
from minigraph.table import table
from minigraph.tape import Tape
from minigraph.verify import multiply_adds


@dataclass(frozen=True)
class Timing:
    """One node: seconds forward and backward, bytes that must be read and written forward, multiply-adds."""

    node: Node
    forward: float
    backward: float
    traffic: int
    multiply_adds: int


@dataclass(frozen=True)
class Profile:
    """The timings of a graph, in order; printed as a table, the slowest first."""

    rows: tuple[Timing, ...]

    @property
    def forward(self) -> float:
        """Seconds of all nodes forward."""
        return sum(row.forward for row in self.rows)

    @property
    def backward(self) -> float:
        """Seconds of all nodes backward."""
        return sum(row.backward for row in self.rows)

    def __str__(self) -> str:
        return self.table(20)

    def table(self, most: int | None = None) -> str:
        """The table of the ``most`` slowest nodes, all by default, with the totals of all."""
        rows = sorted(self.rows, key=lambda row: -row.forward - row.backward)
        shown = [
            (
                row.node.path or row.node.label, row.node.kind, "×".join(map(str, row.node.shape)),
                f"{1e3 * row.forward:.3f}", f"{1e3 * row.backward:.3f}", f"{row.traffic / 1e6:.1f}",
                f"{row.traffic / row.forward / 1e9:.1f}" if row.forward else "",
                f"{2 * row.multiply_adds / row.forward / 1e9:.0f}" if row.multiply_adds and row.forward else "",
            )
            for row in rows[:most]
        ]  # fmt: skip
        rest = rows[len(shown) :]
        if rest:
            seconds = [1e3 * sum(getattr(row, verb) for row in rest) for verb in ("forward", "backward")]
            shown.append((f"{len(rest)} more", "", "", *(f"{s:.3f}" for s in seconds), "", "", ""))
        traffic = sum(row.traffic for row in rows) / 1e6
        shown.append(("total", "", "", f"{1e3 * self.forward:.3f}", f"{1e3 * self.backward:.3f}", f"{traffic:.1f}", "", ""))
        head = ("node", "op", "shape", "forward, ms", "backward, ms", "traffic, MB", "GB/s", "GFLOP/s")
        return table(head, shown, range(3, 8))


def profile(y: Node, repeats: int = 5) -> Profile:
    """Time every node behind ``y``: its kernel, and the pulls of its Jacobians on the way back to the parameters.

    Median seconds of ``repeats`` calls each, after one more to warm up, every node by itself, so that the sum is close to a step's time.
    Traffic is what the inputs and the value of a node take in memory.
    Raises GraphError for a graph without values or a freed one, ValueError for less than one repeat.
    """
    if repeats < 1:
        raise ValueError(f"profile: got repeats {repeats}; wanted at least 1")
    tape = Tape.of(y)
    tape.check_unchanged()
    for node in tape.nodes:
        if node.abstract:
            raise GraphError(f"profile: {node.label} was built from a Spec; wanted a graph with values")
    active = tape.depending_on(tape.parameters)
    cotangents: dict[Node, Any] = {y: np.ones(y.shape, y.dtype)[()]}
    backward: dict[Node, float] = {}
    for node in reversed(tape.nodes):
        g = cotangents.pop(node, None)
        if g is None or node.op is None or node not in active:
            continue

        def pull(node: Node = node, g: Any = g) -> list[Any]:
            maps = zip(node.inputs, tape.local(node), strict=True)
            return [(x, J.pull(g)) for x, J in maps if J is not None and x in active]

        backward[node] = _seconds(pull, repeats)
        for x, c in pull():
            if not isinstance(x, Parameter):
                cotangents[x] = cotangents[x] + c if x in cotangents else c
    rows = []
    for node in tape.nodes:
        if node.op is not None:
            values = [x.value for x in node.inputs]
            traffic = sum(v.nbytes for v in [*values, node.value])
            forward = _seconds(lambda op=node.op, values=values: op.forward(*values), repeats)  # type: ignore[misc]
            rows.append(Timing(node, forward, backward.get(node, 0.0), traffic, multiply_adds(node.op, node, *node.inputs)))
    return Profile(tuple(rows))


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
