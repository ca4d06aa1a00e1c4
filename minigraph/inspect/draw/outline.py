"""A graph folded into boxes by its scopes, with repeated blocks as one box: what a drawing of a large network shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

from minigraph.node import Node, Parameter

Depth = int | Literal["op", "layer", "block", "stage"]
DEPTHS = ("op", "layer", "block", "stage")
MAX_BOXES = 48  # of a drawing whose depth is not given, as far as scopes allow it


@dataclass(eq=False)
class Box:
    """Consecutive nodes of one scope, or a single node; ``repeats``: the boxes of the same structure that follow."""

    scope: str
    nodes: list[Node] = field(default_factory=list)
    repeats: list[Box] = field(default_factory=list)

    @property
    def folded(self) -> bool:
        """Whether the box is more than a node."""
        return len(self.nodes) > 1 or bool(self.repeats)

    @property
    def output(self) -> Node:
        """The last node of the box, or of its last repeat."""
        return (self.repeats[-1] if self.repeats else self).nodes[-1]

    def parameters(self) -> list[Parameter]:
        """The parameters that the box and its repeats read, each once."""
        inputs = (x for box in (self, *self.repeats) for node in box.nodes for x in node.inputs)
        return list(dict.fromkeys(x for x in inputs if isinstance(x, Parameter)))

    def ops(self) -> list[tuple[str, int]]:
        """The names of the ops with their numbers, in the order in which they occur first."""
        return list(Counter(node.op.name for node in self.nodes if node.op and not node.op.rearranges).items()) or list(
            Counter(node.kind for node in self.nodes).items()
        )

    @property
    def title(self) -> str:
        """The scope, of repeats the first and the last: layer3/1 … 5."""
        if not self.repeats:
            return self.scope
        last = self.repeats[-1].scope.rpartition("/")[2]
        return f"{self.scope} … {last}" if last != self.scope.rpartition("/")[2] else self.scope


@dataclass(eq=False)
class Outline:
    """Boxes in the order of the tape, and the edges between them: (from, to) → the nodes that pass."""

    boxes: list[Box]
    edges: dict[tuple[Box, Box], list[Node]]


def levels_of(nodes: Sequence[Node], depth: Depth | None) -> list[int]:
    """The numbers of names of a scope that are kept, from the largest to try to the smallest."""
    levels = max((node.scope.count("/") + 1 for node in nodes if node.op and node.scope), default=0)
    named = {"op": 0, "stage": 1, "block": 2, "layer": levels}
    if depth is not None:
        return [named[depth] if isinstance(depth, str) else depth]
    return list(range(levels, 0, -1)) or [0]


def outline(nodes: Sequence[Node], outputs: Sequence[Node], level: int) -> Outline:
    """The graph of ``nodes`` folded to scopes of at most ``level`` names; 0 for no folding.

    A box holds nodes that were recorded one after another in the same scope, so that no edge points back; a scope that is
    called again is a box again. Parameters and numbers are part of the boxes that read them.
    """
    ends = set(outputs)
    boxes: list[Box] = []
    read: set[Node] = set()
    for node in nodes:
        if not node.op:
            if node in ends or not hidden(node):
                boxes.append(Box("", [node]))
            continue
        scope = "/".join(node.scope.split("/")[:level]) if level else ""
        parameters = {x for x in node.inputs if isinstance(x, Parameter)}
        last = next((box for box in reversed(boxes) if box.nodes[0].op), None)
        if not scope or last is None or last.scope != scope or parameters & read:
            last, read = Box(scope), set()
            boxes.append(last)
        last.nodes.append(node)
        read |= parameters
    return Outline(*_repeated(boxes, ends))


def hidden(node: Node) -> bool:
    """Whether a leaf is part of the boxes that read it: parameters, numbers, and constants that a module holds."""
    return isinstance(node, Parameter) or not node.shape or bool(node.scope) or not node.name and node.size <= 1


def _repeated(boxes: list[Box], ends: set[Node]) -> tuple[list[Box], dict[tuple[Box, Box], list[Node]]]:
    """The boxes, runs of equal ones that read nothing but the one before folded into the first; and the edges."""
    home = {node: box for box in boxes for node in box.nodes}
    readers: dict[Box, set[Box]] = {box: set() for box in boxes}
    for box in boxes:
        for x in _outside(box, home):
            readers[home[x]].add(box)
    kept: list[Box] = []
    for box, structure in zip(boxes, map(_structure, boxes), strict=True):
        first = kept[-1] if kept else None
        if first and box.scope and len(box.nodes) > 1 and structure == _structure(first):
            before = first.repeats[-1] if first.repeats else first
            sources = {home[x] for x in _outside(box, home)}
            if sources == {before} and readers[before] == {box} and ends.isdisjoint(before.nodes):
                first.repeats.append(box)
                continue
        kept.append(box)
    owner = {node: box for box in kept for part in (box, *box.repeats) for node in part.nodes}
    edges: dict[tuple[Box, Box], list[Node]] = {}
    for box in kept:
        for part in (box, *box.repeats):
            for x in _outside(part, owner):
                if owner[x] is not box:
                    passing = edges.setdefault((owner[x], box), [])
                    if not any(x is other for other in passing):
                        passing.append(x)
    return kept, edges


def _outside(box: Box, home: dict[Node, Box]) -> Iterator[Node]:
    """The nodes that a box reads from other boxes."""
    return (x for node in box.nodes for x in node.inputs if x in home and home[x] is not box)


def _structure(box: Box) -> tuple[Any, ...]:
    """What two boxes have in common if they are the same layer with other parameters."""
    index = {node: i for i, node in enumerate(box.nodes)}
    outside: dict[Node, int] = {}
    rows = []
    for node in box.nodes:
        inputs = tuple(
            (0, index[x]) if x in index else (1, x.shape) if hidden(x) and not x.op
            else (2, outside.setdefault(x, len(outside)), x.shape)
            for x in node.inputs
        )  # fmt: skip
        rows.append((node.kind, str(node.op and node.op.hyperparameters), node.shape, node.dtype, inputs))
    return tuple(rows)


def entries(parameters: Sequence[Parameter]) -> int:
    """The number of entries of parameters."""
    return sum(prod(p.shape) for p in parameters)
