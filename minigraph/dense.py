"""Dense Jacobians by pulls: those of several nodes in one walk, the rows of all samples at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigraph.array import Array
from minigraph.maps import BATCH_BYTES, LinearMap
from minigraph.node import Node
from minigraph.ownership import own

if TYPE_CHECKING:
    from minigraph.tape import Tape


class Rows(NamedTuple):
    """R · N cotangents of a node of shape S: ``values`` (R · N, S), or where they are sparse (R, N, …) = (R, S).

    Of sparse ones number (r, n) is ``values[r]`` at sample n, the n-th entry of the node's first axis, and 0 elsewhere.
    """

    values: Array
    sparse: bool

    def full(self) -> Array:
        """All entries: (R · N, S)."""
        if not self.sparse:
            return self.values
        R, N = self.values.shape[:2]
        rows = np.zeros((R, N, *self.values.shape[1:]), self.values.dtype)
        rows[:, np.arange(N), np.arange(N)] = self.values
        return rows.reshape(R * N, *self.values.shape[1:])

    def through(self, J: LinearMap) -> Rows:
        """The cotangents of J's input."""
        if not self.sparse:
            return Rows(J._pull_rows(self.values), False)
        if J.by_sample:
            one = len(self.values) == 1
            return Rows(np.asarray(J._pull(self.values[0]))[None] if one else J._pull_rows(self.values), True)
        pulled = J._pull_samples(self.values)
        return Rows(pulled.reshape(len(pulled) * pulled.shape[1], *J.in_shape), False)

    def plus(self, other: Rows) -> Rows:
        """The sums over two paths."""
        if self.sparse and other.sparse:
            return Rows(self.values + other.values, True)
        return Rows(self.full() + other.full(), False)


def steps(tape: Tape, node: Node, active: set[Node]) -> list[tuple[Node, LinearMap]]:
    """The inputs of ``node`` among the ``active`` nodes, each with its local Jacobian."""
    if not node.op or node not in active or node in tape.until:
        return []
    return [(x, J) for x, J in zip(node.inputs, node.op.maps(node), strict=True) if J is not None and x in active]


def jacobians(tape: Tape, wrt: Sequence[Node], together: int) -> list[Array] | None:
    """∂y/∂x for each x, (y.shape) + (x.shape), by pulls of a row for each entry of a sample of y, ``together`` at once.

    While each sample depends on the same sample of a node alone, one pull serves all samples. None if samples mix in a
    node whose rows would take more memory than a batch, and than the result.
    """
    y = tape.y
    N, rest = (y.shape[0], y.shape[1:]) if y.shape else (1, ())
    R = prod(rest)
    most = (
        max([BATCH_BYTES // (N * min(R, together) * y.dtype.itemsize + 1), *[x.size for x in wrt]]) if N > 1 else np.inf
    )
    parts: list[list[Array]] = []  # of each x, in the order of the batches
    for start in range(0, max(R, 1), together):
        index = np.arange(start, min(start + together, R))
        units = np.zeros((len(index), R), y.dtype)
        units[np.arange(len(index)), index] = 1
        units = np.repeat(units[:, None], N, 1) if N != 1 else units
        found = _walk(tape, wrt, Rows(units.reshape(len(index), *y.shape), bool(y.shape)), N, most)
        if found is None:
            return None
        parts.append([_owned(found, y.dtype).reshape(len(index), N, *x.shape).swapaxes(0, 1) for x in wrt])
    joined = [some[0] if len(some) == 1 else np.concatenate(some, 1) for some in zip(*parts, strict=True)]
    return [rows.reshape(y.shape + x.shape) for x, rows in zip(wrt, joined, strict=True)]


def _owned(found: list[Rows], dtype: Any) -> Array:
    """The first of the rows, taken from the list, in memory that nothing else refers to."""
    values = found.pop(0).full().astype(dtype, copy=False)
    owned: Array = own(values)
    return owned


def _walk(tape: Tape, wrt: Sequence[Node], rows: Rows, N: int, most: float) -> list[Rows] | None:
    """``rows`` of y pulled back to each x; None if a node has more than ``most`` entries, and rows that are full."""
    active, wanted, count = tape.depending_on(wrt), set(wrt), N * len(rows.values)
    found: dict[Node, Rows] = {}
    sums = {tape.y: rows} if tape.y in active else {}
    for node in reversed(tape.nodes):
        if node not in sums:
            continue
        rows = sums.pop(node)
        if node in wanted:
            found[node] = rows
        for x, J in steps(tape, node, active):
            if x.size > most and not (rows.sparse and J.by_sample):
                return None
            pulled = rows.through(J)
            sums[x] = sums[x].plus(pulled) if x in sums else pulled
    return [found[x] if x in found else Rows(np.zeros((count, *x.shape), tape.y.dtype), False) for x in wrt]
