"""``compare``: what was added, removed and changed between two graphs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from minigraph.arguments import expect_choice, expect_node
from minigraph.files import checked_path, write
from minigraph.inspect.draw.dot import STYLES, Content, caption, describe, is_number, kind_of
from minigraph.inspect.draw.folded import Sheet, with_corners
from minigraph.inspect.draw.page import fitted, positions
from minigraph.inspect.draw.render import FORMATS, Limit, run, with_own_ids
from minigraph.inspect.draw.themes import THEMES, themed
from minigraph.inspect.outputs import abstract_outputs, joint_tape
from minigraph.nn.module import Module
from minigraph.node import Node
from minigraph.text import readable

__all__ = ["GraphDifference", "compare"]

MAX_NODES = 200  # of a difference that is drawn
COLOURS = {"added": ("#D8EEDD", "#2E7D4F"), "removed": ("#F7D9D9", "#B3261E"), "changed": ("#FFE2B8", "#C25E00")}


@dataclass(frozen=True, eq=False, repr=False)
class GraphDifference:
    """The nodes of b that are ``added``, those of a that are ``removed``, and pairs (of a, of b) that are ``changed`` or alike.

    A changed node has the same name and op, but another shape, dtype, hyper-parameters or inputs.
    """

    added: tuple[Node, ...]
    removed: tuple[Node, ...]
    changed: tuple[tuple[Node, Node], ...]
    alike: tuple[tuple[Node, Node], ...]
    texts: dict[Node, str]  # what the list says of each node

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        lines = [f"- {self.texts[node]}" for node in self.removed] + [f"+ {self.texts[node]}" for node in self.added]
        for a, b in self.changed:
            now = self.texts[b] if self.texts[a] != self.texts[b] else "other inputs"
            lines.append(f"~ {self.texts[a]}  →  {now}")
        counts = f"{len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed, {len(self.alike)} alike"
        return readable("\n".join([counts, *lines]))

    def __repr__(self) -> str:
        return f"<GraphDifference: {str(self).partition(chr(10))[0]}>"

    def draw(self, path: str | os.PathLike[str], *, theme: str = "light") -> None:
        """Draw both graphs in one: added nodes are green, removed ones red and dashed, changed ones orange.

        Raises ValueError for another suffix than .png, .svg, .pdf and .dot, or for more than 200 nodes.
        """
        target = Path(checked_path("compare", path))
        form = target.suffix.lower().removeprefix(".")
        if form not in FORMATS:
            wanted = ", ".join("." + name for name in FORMATS)
            raise ValueError(f"compare: got {os.fspath(target)!r}; wanted a name that ends in one of {wanted}")
        expect_choice("compare", tuple(THEMES), theme=theme)
        sheet = self._sheet()
        if len(sheet.boxes) > MAX_NODES:
            raise ValueError(
                f"compare: got {len(sheet.boxes)} nodes; wanted at most {MAX_NODES} to draw; print the difference"
            )
        layout = fitted(sheet.layout(None, Limit(None)), None)
        places, paths = positions(layout)
        _, corners = with_corners(layout, None, 1.0)
        text = themed(sheet.dot(places, paths, [*corners, "graph [dpi=160]"] if form == "png" else corners), theme)
        drawn = text.encode() if form == "dot" else run("nop2", form, text, None, Limit(None))
        write(target, with_own_ids(drawn) if form == "svg" else drawn)

    def _sheet(self) -> Sheet:
        twin = dict((*self.alike, *self.changed))
        state = dict.fromkeys(self.added, "added") | dict.fromkeys(self.removed, "removed")
        state |= {b: "changed" for _, b in self.changed}
        shown = [*(b for _, b in self.alike), *(b for _, b in self.changed), *self.added, *self.removed]
        names = {node: f"n{i}" for i, node in enumerate(sorted(shown, key=lambda node: node.serial))}
        boxes, edges = {}, {}
        for node, name in names.items():
            style = STYLES[kind_of(node, joint_tape([node]))] if node.op is None else STYLES["value"]
            if node in state:
                fill, border = COLOURS[state[node]]
                dashed = ",dashed" if state[node] == "removed" else ""
                style = f'shape=box, style="rounded,filled{dashed}", fillcolor="{fill}", color="{border}", penwidth=2'
            boxes[name] = (
                f"label={describe(node, Content(values=False, gradients=False, scopes=False), False)}, {style}"
            )
            for x in node.inputs:
                source = twin.get(x, x)
                if source in names:
                    gone = state.get(node) == "removed" or state.get(source) == "removed"
                    edges[names[source], name] = 'style=dashed, color="#B3261E"' if gone else ""
        return Sheet(boxes, edges, "TB")


def compare(a: Node | Module, b: Node | Module, *, inputs: Any = None) -> GraphDifference:
    """What was added, removed and changed from the graph of ``a`` to that of ``b``; values are not compared.

    ``a``, ``b``: Nodes, or Modules with their ``inputs`` as for ``draw``. Nodes are matched by their paths and ops, in the order of
    the tapes. The result is false if the graphs are alike; it prints as a list, and ``draw`` shows both graphs in one.

    Raises TypeError for other types, and for inputs that a Module needs or a Node does not.
    """
    with _outputs(a, inputs) as before, _outputs(b, inputs) as after:
        first, second = (
            [node for node in joint_tape(outputs).nodes if not is_number(node)] for outputs in (before, after)
        )
        keys = [[_key(node) for node in nodes] for nodes in (first, second)]
        texts = {node: _text(node) for node in (*first, *second)}
    matches = SequenceMatcher(isjunk=None, a=keys[0], b=keys[1], autojunk=False).get_matching_blocks()
    pairs = [(first[match.a + k], second[match.b + k]) for match in matches for k in range(match.size)]
    twin = dict(pairs)
    alike: list[tuple[Node, Node]] = []
    changed: list[tuple[Node, Node]] = []
    for x, y in pairs:
        same = _facts(x) == _facts(y) and len(x.inputs) == len(y.inputs)
        same = same and all(
            twin.get(p) is q or is_number(p) and is_number(q) for p, q in zip(x.inputs, y.inputs, strict=True)
        )
        (alike if same else changed).append((x, y))
    kept = {y for _, y in pairs}
    return GraphDifference(
        tuple(node for node in second if node not in kept),
        tuple(node for node in first if node not in twin),
        tuple(changed),
        tuple(alike),
        texts,
    )


@contextmanager
def _outputs(y: Any, inputs: Any) -> Iterator[Sequence[Node]]:
    """The nodes to compare. Raises TypeError for anything but a Node or a Module."""
    if isinstance(y, Module):
        with abstract_outputs("compare", y, inputs) as outputs:
            yield outputs
        return
    expect_node("compare", y, "; wanted a Node or a Module")
    if inputs is not None:
        raise TypeError(f"compare: got {y.label} and inputs; wanted Modules with their inputs, or Nodes alone")
    yield [y]


def _key(node: Node) -> tuple[str, str]:
    return node.path, node.kind


def _facts(node: Node) -> tuple[Any, ...]:
    return node.shape, node.dtype, caption(node)


def _text(node: Node) -> str:
    name, details = caption(node)
    shape = "×".join(map(str, node.shape)) or "scalar"
    label = f"{name} '{node.path}'" if node.path else name
    return f"{label} {shape} {node.dtype}" + (f", {details}" if details else "")
