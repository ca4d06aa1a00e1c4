"""Drawings of folded graphs: an outline's boxes laid out by Graphviz, in columns that give the wanted proportions."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from minigraph.inspect.draw.dot import (
    ARROWS,
    CLUSTERS,
    FAINT,
    FONT,
    INK,
    SOFT,
    STYLES,
    VALUE,
    Content,
    Direction,
    Times,
    caption,
    describe,
    edge_text,
    escaped_label,
    font,
    kind_of,
    label,
    legend,
    lines,
    plain,
    size_in_bytes,
    statistics,
    visible,
)
from minigraph.inspect.draw.outline import MAX_BOXES, Box, Depth, Outline, entries, levels_of, outline
from minigraph.inspect.draw.page import Layout, Place, fitted, parsed, positions
from minigraph.inspect.draw.render import Engine, Limit, Overtime, RenderError, fitting_dpi, run, with_own_ids
from minigraph.inspect.draw.themes import themed
from minigraph.inspect.profile import Profile
from minigraph.node import FLOATS, Node
from minigraph.tape import Tape

MAX_CAPTIONS = 3  # ops of a box that are described one by one
PAD = 16.0  # points around a drawing
LEAST_SCALE = 0.85  # of a drawing on a page: text of 8 points is then still 9 pixels high at 96 pixels per inch


class Sheet:
    """A drawing as DOT attributes by the name of box and by the names at the ends of an edge."""

    def __init__(self, boxes: Mapping[str, str], edges: Mapping[tuple[str, str], str], direction: Direction) -> None:
        self.boxes, self.edges, self.direction = boxes, edges, direction

    def dot(
        self,
        places: Mapping[str, str] | None = None,
        paths: Mapping[tuple[str, str], str] | None = None,
        others: Sequence[str] = (),
    ) -> str:
        """The DOT text, with positions once there are any."""
        statements = [
            f'graph [rankdir={self.direction}, bgcolor=white, pad=0.2, nodesep=0.3, ranksep="0.36", fontname="{FONT}"]',
            f'node [fontname="{FONT}", fontsize=11, fontcolor="{INK}", penwidth=1.1, margin="0.09,0.05", height=0.3, width=0.5]',
            f'edge [fontname="{FONT}", fontsize=8, fontcolor="{FAINT}", color="#7A828C", penwidth=0.9, arrowsize=0.6]',
            *others,
        ]
        for name, attributes in self.boxes.items():
            statements.append(f"{name} [{', '.join(filter(None, (attributes, (places or {}).get(name))))}]")
        for ends, attributes in self.edges.items():
            both = ", ".join(filter(None, (attributes, (paths or {}).get(ends))))
            statements.append(f"{ends[0]} -> {ends[1]}" + (f" [{both}]" if both else ""))
        return "digraph minigraph {\n" + "".join(f"  {line}\n" for line in statements) + "}\n"

    def layout(self, engine: Engine | None, limit: Limit) -> Layout:
        """Graphviz's layout."""
        return parsed(run("dot", "plain", self.dot(), engine, limit).decode())


class Folded(Sheet):
    """The drawing of an outline."""

    def __init__(
        self,
        outline: Outline,
        tape: Tape,
        outputs: Sequence[Node],
        content: Content,
        direction: Direction,
        profile: Profile | None = None,
    ) -> None:
        self.names = {box: f"n{i}" for i, box in enumerate(outline.boxes)}
        self.times = None if profile is None else _box_times(outline, profile)
        counted: set[Node] = set()
        boxes = {}
        for box, name in self.names.items():
            parameters = box.parameters()
            boxes[name] = _box(box, tape, outputs, content, self.times, counted)
            counted.update(parameters)
        edges = {
            (self.names[a], self.names[b]): _edge(a, b, passing, content) for (a, b), passing in outline.edges.items()
        }
        super().__init__(boxes, edges, direction)

    def described(self, svg: str, title: str) -> str:
        """The SVG with names in the place of n0, n1, …, a title and a description."""
        names = {name: spoken(box) for box, name in self.names.items()}
        return described(svg, title, f"A graph of {len(names)} boxes, from its inputs to {title}.", names)


def described(svg: str, title: str, description: str, names: Mapping[str, str]) -> str:
    """An SVG that screen readers can speak: a title, a description, and the names of nodes in the place of n0, n1, …"""
    spelled = {name: html.escape(visible(text)) for name, text in names.items()}
    svg = re.sub(r"<title>(n\d+)</title>", lambda m: f"<title>{spelled.get(m[1], m[1])}</title>", svg)
    svg = re.sub(
        r"<title>(n\d+)&#45;&gt;(n\d+)</title>",
        lambda m: f"<title>{spelled.get(m[1], m[1])} → {spelled.get(m[2], m[2])}</title>",
        svg,
    )
    head = f"<title>{html.escape(visible(title))}</title>\n<desc>{html.escape(visible(description))}</desc>"
    return svg.replace("<title>minigraph</title>", head, 1).replace("<svg ", '<svg role="img" ', 1)


def _box_times(outline: Outline, profile: Profile) -> Times:
    """The times of a profile with the sum of each box at its last node."""
    nodes = [node for box in outline.boxes for part in (box, *box.repeats) for node in part.nodes]
    times = Times(profile, nodes)
    for box in outline.boxes:
        parts = [node for part in (box, *box.repeats) for node in part.nodes if node in times.seconds]
        if parts:
            times.seconds[box.output] = sum(times.seconds[node] for node in parts)
    times.most = max((times.seconds.get(box.output, 0.0) for box in outline.boxes), default=0.0)
    return times


def spoken(box: Box) -> str:
    """A box in words."""
    node = box.nodes[-1]
    name = visible(box.title or node.path or node.kind)
    times = f", {len(box.repeats) + 1} times" if box.repeats else ""
    ops = ", ".join(op if n == 1 else f"{n} {op}" for op, n in box.ops())
    return f"{name}{times}: {ops}, {shape_of(box.output)}"


def shape_of(node: Node) -> str:
    """1×64×56×56."""
    return "×".join(map(str, node.shape)) or "scalar"


def _box(
    box: Box, tape: Tape, outputs: Sequence[Node], content: Content, times: Times | None, earlier: set[Node]
) -> str:
    """The attributes of a box; ``earlier``: parameters that earlier boxes have, which are not counted again."""
    node = box.output
    ends = any(node is y for y in outputs)
    if not box.folded and not box.scope:
        text = describe(node, replace(content, scopes=False), not tape.y.abstract)
        style = STYLES[kind_of(node, tape)] if not ends or node is tape.y else STYLES["output"]
        if times:
            text, style = times.heated(times.seconds.get(node), text, style)
        return f"label={text}, {style}, {_tooltip(box)}"
    title = lines(box.title)
    if box.repeats:
        title += f"  ×{len(box.repeats) + 1}"
    rows = [font(f"<b>{title}</b>", 12)]
    ops = [n for n in box.nodes if n.op and not n.op.rearranges] or box.nodes
    if len(ops) <= MAX_CAPTIONS:
        for op in ops:
            name, details = caption(op)
            rows.append(font(plain(f"{name} {details}".strip()), 9.5, SOFT))
    else:
        counted = ", ".join(op if n == 1 else f"{n} {op}" for op, n in box.ops())
        rows.append(font(lines(counted, 34, 4), 9.5, SOFT))
    rows.append(font(shape_of(node), 9, SOFT))
    parameters = box.parameters()
    if parameters and content.parameters != "hidden":
        new = [p for p in parameters if p not in earlier]
        frozen = entries([p for p in new if not p.requires_grad])
        marked = f", {'frozen' if frozen == entries(new) else f'{frozen:,} frozen'}" if frozen else ""
        rows[-1] += font(plain(f"  {entries(new):,} parameters{marked}" if new else "  shared parameters"), 9, VALUE)
    if content.memory:
        parts = (part for one in (box, *box.repeats) for part in one.nodes)
        rows.append(font(plain(size_in_bytes(sum(n.nbytes for n in parts))), 9, SOFT))
    if content.statistics and not node.abstract and node.size:
        rows.append(font(plain(statistics(np.asarray(node.value))), 9, VALUE))
    if len(ops) == 1 and ops[0] in content.thumbnails:
        rows.append(f'<img src="{content.thumbnails[ops[0]]}"/>')
    style = STYLES["output" if ends else "value"]
    if box.repeats:
        style = f'shape=box, style="rounded,filled", fillcolor="{CLUSTERS[0]}", color="#6B7480", peripheries=2'
    text = label(rows)
    if times:
        text, style = times.heated(times.seconds.get(node), text, style)
    return f"label={text}, {style}, {_tooltip(box)}"


def _tooltip(box: Box) -> str:
    text = spoken(box)[:1000].replace("\\", "\\\\").replace('"', '\\"')
    return f'tooltip="{text}"'


def _edge(a: Box, b: Box, passing: Sequence[Node], content: Content) -> str:
    """The attributes of an edge: what ``content`` writes on it; dashed if it carries no derivative."""
    if b.output.dtype not in FLOATS or not any(x.dtype in FLOATS for x in passing):
        return "style=dashed"
    what, text = content.on_edges, ""
    if what in ("shape", "gradient"):
        text = ", ".join(filter(None, (edge_text(x, b.output, 0, what) for x in passing)))
    elif what and b.folded:
        text = f"{b.output.size}×{sum(x.size for x in passing)}" if what == "size" else ""
    elif what:
        numbers = [i for i, x in enumerate(b.output.inputs) if any(x is other for other in passing)]
        text = ", ".join(filter(None, (edge_text(b.output.inputs[i], b.output, i, what) for i in numbers)))
    label = [f'label=" {escaped_label(text)}"'] if text else []
    return ", ".join([*label, *ARROWS[content.arrows]])


def on_page(layout: Layout, size: tuple[float, float] | None, columns: bool) -> tuple[Layout, float]:
    """The layout in the proportions of a page of ``size`` inches, and the scale at which it fits; without a size 1.

    ``columns``: whether the drawing, which leads down, may be cut into columns.
    """
    if size is None:
        return (fitted(layout, None) if columns else layout), 1.0
    width, height = (72 * side - 2 * PAD for side in size)
    layout = fitted(layout, width / height) if columns else layout
    left, bottom, right, top = layout.bounds()
    return layout, min(1.0, width / max(right - left, 1.0), height / max(top - bottom, 1.0))


def with_corners(layout: Layout, size: tuple[float, float] | None, scale: float) -> tuple[Layout, list[str]]:
    """The layout with two invisible points that give the drawing the size of the page, and their statements."""
    if size is None:
        return layout, []
    left, bottom, right, top = layout.bounds()
    x, y = (left + right) / 2, (bottom + top) / 2
    half = [(72 * side / 2 - 14.4) / scale for side in size]  # Graphviz adds 0.2 inches
    corners = {"corner0": Place(x - half[0], y - half[1], 0, 0), "corner1": Place(x + half[0], y + half[1], 0, 0)}
    statements = [
        f'{name} [shape=point, style=invis, width=0.001, height=0.001, label="", pos="{p.x:.2f},{p.y:.2f}"]'
        for name, p in corners.items()
    ]
    if scale < 1:
        statements.append(f'graph [size="{size[0]:.3f},{size[1]:.3f}!"]')
    return replace(layout, places=layout.places | corners), statements


def draw_folded(
    tape: Tape,
    outputs: Sequence[Node],
    form: str,
    depth: Depth | None,
    size: tuple[float, float] | None,
    content: Content,
    direction: Direction,
    profile: Profile | None,
    *,
    dpi: float,
    engine: Engine | None,
    limit: Limit,
    page: str,
    theme: str,
) -> bytes:
    """The picture of a graph folded to ``depth``, or further where a page of ``size`` inches requires it."""
    levels = levels_of(tape.nodes, depth)
    outlines = [outline(tape.nodes, outputs, levels[0])]
    while depth is None and len(outlines[-1].boxes) > MAX_BOXES and len(outlines) < len(levels):
        outlines.append(outline(tape.nodes, outputs, levels[len(outlines)]))
    level, boxes, shallower = levels[len(outlines) - 1], outlines[-1], False
    while True:
        drawing = Folded(boxes, tape, outputs, content, direction, profile)
        try:
            placed, scale = on_page(drawing.layout(engine, limit), size, direction == "TB")
        except Overtime as error:
            raise RenderError(
                f"draw: {error} for {len(boxes.boxes)} boxes; pass a smaller depth or a larger timeout"
            ) from None
        if scale >= LEAST_SCALE or level == 1:
            break
        level = level - 1 if level else levels_of(tape.nodes, "layer")[0]
        if not level:
            break
        boxes = outline(tape.nodes, outputs, level)
        shallower = True
    if shallower and size:
        message = f"draw: folded to depth {level}, since more does not fit {size[0]:g} × {size[1]:g} inches"
        warnings.warn(message, stacklevel=3)
    if scale < LEAST_SCALE:
        warnings.warn(
            f"draw: the drawing needs {1 / scale:.1f} times the size of {size[0]:g} × {size[1]:g} inches to be read, and is "  # type: ignore[index]
            "that large; draw a part of the graph, or pass a larger size",
            stacklevel=3,
        )
        size, scale = (size[0] / scale, size[1] / scale), 1.0  # type: ignore[index]
    placed, corners = with_corners(placed, size, scale)
    places, paths = positions(placed, content.arrows)
    if form == "png":
        left, bottom, right, top = placed.bounds()
        inches = scale * (right - left) / 72 + 0.4, scale * (top - bottom) / 72 + 0.4
        corners.append(f"graph [dpi={fitting_dpi(dpi, *inches):.3f}]")
    if drawing.times:
        left, _, right, top = placed.bounds()
        corners.append(
            f'times [shape=plaintext, label={drawing.times.table()}, pos="{(left + right) / 2:.2f},{top + 30:.2f}"]'
        )
    if content.legend:
        left, bottom, right, _ = placed.bounds()
        corners.append(f'legend [shape=plaintext, label={legend()}, pos="{(left + right) / 2:.2f},{bottom - 24:.2f}"]')
    text = themed(drawing.dot(places, paths, corners), theme)
    if form == "dot":
        return text.encode()
    picture = run("nop2", form, text, engine, limit)
    title = tape.y.path or tape.y.kind
    return with_own_ids(drawing.described(picture.decode(), title).encode(), page) if form == "svg" else picture
