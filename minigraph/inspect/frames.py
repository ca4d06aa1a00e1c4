"""Walks over a graph, and a convolution, step by step: sequences of pictures and animations."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.arguments import expect_choice, expect_node, expect_positive
from minigraph.array import Array
from minigraph.files import checked_path, write
from minigraph.inspect.derive.derivation import Derivation, Step
from minigraph.inspect.draw.dot import (
    SOFT,
    STYLES,
    Content,
    describe,
    entry,
    font,
    is_number,
    kind_of,
    label,
    plain,
    written,
)
from minigraph.inspect.draw.folded import Sheet, with_corners
from minigraph.inspect.draw.page import Layout, Place, fitted, positions
from minigraph.inspect.draw.render import Limit, run, with_own_ids
from minigraph.maps import LinearMap
from minigraph.node import FLOATS, GraphError, Node
from minigraph.tape import Tape

__all__ = ["Frames", "frames"]

MAX_NODES = 60  # of a graph whose walk can be followed
MAX_ENTRIES = 4  # of arrays that are written out
COLOURS = {  # fill and border
    "known": ("#D8EEDD", "#2E7D4F"),
    "calculate now": ("#FFE2B8", "#C25E00"),
    "not reached": ("#F4F5F7", "#B4BAC2"),
}
CAPTION = 22.0  # points of the caption's lines
DPI = 110
MAX_PIXELS = 144  # entries of a convolution that is shown entry by entry


@dataclass(frozen=True, eq=False)
class Frame:
    """A step of a walk: what the caption says, the nodes that are known, and the nodes and edges of this step.

    ``edges``: pairs of a node and its reader, with the text to write on the edge.
    """

    caption: str
    known: frozenset[Node]
    now: frozenset[Node]
    edges: dict[tuple[Node, Node], str]


class Animation:
    """A sequence of pictures of the same size."""

    def __len__(self) -> int:
        raise NotImplementedError

    def picture(self, i: int, form: str = "svg") -> bytes:
        """Frame i as an "svg" or "png"."""
        raise NotImplementedError

    def expect_frame(self, i: Any, form: Any) -> None:
        """Raise IndexError unless there is a frame i, ValueError for another form than "svg" and "png"."""
        expect_choice("frames", ("svg", "png"), form=form)
        if not isinstance(i, (int, np.integer)) or not -len(self) <= i < len(self):
            raise IndexError(f"frames: got frame {i!r}; wanted one of {len(self)}, from 0")

    def _repr_svg_(self) -> str:
        return self.picture(len(self) - 1).decode()

    def save(self, path: str | os.PathLike[str], seconds: float = 1.5) -> list[Path]:
        """Write the frames: an animated .gif or .png (APNG), or of "walk.svg" walk-00.svg, walk-01.svg, …

        ``seconds``: how long an animation shows a frame. Returns the paths that were written. Raises ValueError for another
        suffix, ImportError without the extra ``plot`` for animations, OSError.
        """
        target = Path(checked_path("frames", path))
        expect_positive("frames", seconds=seconds)
        form = target.suffix.lower()
        if form == ".svg":
            digits = max(2, len(str(len(self) - 1)))
            paths = [target.with_name(f"{target.stem}-{i:0{digits}}.svg") for i in range(len(self))]
            for i, file in enumerate(paths):
                write(file, self.picture(i))
            return paths
        if form not in (".gif", ".png"):
            raise ValueError(f"frames: got {os.fspath(target)!r}; wanted a name that ends in .gif, .png or .svg")
        try:
            from PIL import Image
        except ImportError as error:
            raise ImportError("animations need Pillow: pip install 'minigraph[plot]'") from error
        images = [Image.open(io.BytesIO(self.picture(i, "png"))).convert("RGB") for i in range(len(self))]
        size = max(image.width for image in images), max(image.height for image in images)
        sheets = [Image.new("RGB", size, "white") for _ in images]
        for sheet, image in zip(sheets, images, strict=True):
            sheet.paste(image, (0, 0))
        content = io.BytesIO()
        sheets[0].save(
            content,
            form.removeprefix(".").upper(),
            save_all=True,
            append_images=sheets[1:],
            duration=int(1000 * seconds),
            loop=0,
        )
        write(target, content.getvalue())
        return [target]


class Frames(Animation):
    """The frames of a walk; ``cotangents``: of every node that the backward walk visits, as ``Tape.pull`` gives them."""

    def __init__(self, tape: Tape, steps: Sequence[Frame], cotangents: dict[Node, Any]) -> None:
        self.tape, self.frames, self.cotangents = tape, steps, cotangents
        self.nodes = [node for node in tape.nodes if node is tape.y or not is_number(node)]
        self.names = {node: f"n{i}" for i, node in enumerate(self.nodes)}

    def __len__(self) -> int:
        return len(self.frames)

    def __str__(self) -> str:
        """The captions, one a line."""
        return "\n".join(f"{i}. {frame.caption}" for i, frame in enumerate(self.frames))

    # --- drawing -----------------------------------------------------------------------------------

    @cached_property
    def layout(self) -> Layout:
        """The layout, which all frames share: that of the frame with the most to show."""
        everything = frozenset(self.nodes)
        edges = {pair: text for frame in self.frames for pair, text in frame.edges.items()}
        sheet = self._sheet(Frame("", everything, frozenset(), edges), None)
        return fitted(sheet.layout(None, Limit(None)), None)

    def _sheet(self, frame: Frame, layout: Layout | None) -> Sheet:
        boxes, edges = {}, {}
        for node, name in self.names.items():
            state = "calculate now" if node in frame.now else "known" if node in frame.known else "not reached"
            rows = describe(node, Content(gradients=False, scopes=False), False)
            if state != "not reached" and node in self.cotangents:
                c = np.asarray(self.cotangents[node])
                text = f"∂ = {written(c)}" if c.size <= MAX_ENTRIES else f"‖∂‖ = {entry(np.linalg.norm(c))}"
                rows = rows.replace(
                    "</table>>", f"<tr><td>{font(plain(text), 9, COLOURS[state][1])}</td></tr></table>>"
                )
            fill, border = COLOURS[state]
            shape = STYLES[kind_of(node, self.tape)].split(", fillcolor")[0]
            attributes = f'label={rows}, {shape}, fillcolor="{fill}", color="{border}"'
            if layout:
                place = layout.places[name]
                attributes += f", width={place.width / 72:.4f}, height={place.height / 72:.4f}, fixedsize=true"
            boxes[name] = attributes + (", penwidth=2.4" if state == "calculate now" else "")
        for node in self.nodes:
            for x in node.inputs:
                if x in self.names:
                    on_edge = frame.edges.get((x, node))
                    attributes = 'label=""'
                    if on_edge:
                        border = COLOURS["calculate now"][1]
                        text = f"&nbsp;&nbsp;{font(plain(on_edge), 9)}"
                        attributes = f'label=<{text}>, color="{border}", penwidth=2'
                    edges[self.names[x], self.names[node]] = attributes
        return Sheet(boxes, edges, "TB")

    def picture(self, i: int, form: str = "svg") -> bytes:
        """Frame i as an "svg" or "png"."""
        self.expect_frame(i, form)
        frame, layout = self.frames[i], self.layout
        left, bottom, right, top = layout.bounds()
        widest = max(len(f.caption) for f in self.frames) * 6.6 + 20
        centre, half = (left + right) / 2, max(right - left, widest, 330.0) / 2
        head = top + 2.4 * CAPTION
        canvas = Layout({"all": Place(centre, (head + bottom) / 2, 2 * half, head - bottom)}, ())
        _, corners = with_corners(canvas, (2 * half / 72 + 0.4, (head - bottom) / 72 + 0.4), 1.0)
        legend = "&nbsp;&nbsp;&nbsp;".join(
            f'<font color="{border}">■</font> {state}' for state, (_, border) in COLOURS.items()
        )
        caption = label(
            [font(f"<b>{plain(frame.caption)}</b>", 13), f'<font point-size="9" color="{SOFT}">{legend}</font>']
        )
        corners.append(f'caption [shape=plaintext, label={caption}, pos="{centre:.2f},{head - CAPTION / 2:.2f}"]')
        if form == "png":
            corners.append(f"graph [dpi={DPI}]")
        places, paths = positions(layout)
        text = self._sheet(frame, layout).dot(places, paths, corners)
        drawn = run("nop2", form, text, None, Limit(None))
        return with_own_ids(drawn, str(i)) if form == "svg" else drawn


def frames(y: Node, g: Any = None, *, walk: str = "backward") -> Animation:
    """A walk over the graph of ``y``, step by step, as pictures to look at or to ``save`` as an animation.

    ``walk``: "backward" goes from y to all parameters: each frame tells which nodes are not reached, to be calculated now, and
    known. The edges of a step show the local Jacobians by their formulas, and known nodes their cotangents, which are the
    gradients in the last frame; ``g`` is the cotangent of y, 1 if y has one entry. "forward" goes from the leaves to y.
    "convolution" shows y itself, a convolution of one image by one filter, entry by entry: the window over the image beside
    its rows of M_F and M_X; it needs the extra ``plot``.

    Raises TypeError for anything but a Node, GraphError for a graph without values or parameters, ValueError for another
    walk, for a graph of more than 60 nodes, and for a y that is no convolution or has more than 144 entries.
    """
    expect_node("frames", y)
    expect_choice("frames", ("backward", "forward", "convolution"), walk=walk)
    tape = Tape.of(y)
    if walk == "convolution":
        return Sliding(y)
    shown = [node for node in tape.nodes if not is_number(node)]
    if len(shown) > MAX_NODES:
        raise ValueError(
            f"frames: {y.label} has {len(shown)} nodes behind it, more than {MAX_NODES}; wanted a smaller graph, or an inner node"
        )
    return _forward(tape) if walk == "forward" else _backward(tape, g)


def _forward(tape: Tape) -> Frames:
    tape.y.value  # noqa: B018  raises the error for a node without a value
    derivation = Derivation(tape, tape.y)
    leaves = frozenset(node for node in tape.nodes if node.op is None)
    steps, known = [Frame("the inputs and parameters are given", leaves, frozenset(), {})], leaves
    for node in tape.nodes:
        if node.op:
            edges = {(x, node): " " for x in node.inputs if not is_number(x)}
            steps.append(Frame(derivation.call(node), known, frozenset([node]), edges))
            known = known | {node}
    steps.append(Frame("all values are known", known, frozenset(), {}))
    return Frames(tape, steps, {})


def _backward(tape: Tape, g: Any) -> Frames:
    leaves: list[Node] = [*tape.parameters] or [x for x in tape.leaves if x.dtype in FLOATS and not is_number(x)]
    if not leaves:
        raise GraphError(f"frames: {tape.y.label} depends on no parameter; wanted at least one mg.parameter behind it")
    derivation = Derivation(tape, *leaves)
    walk = [tape.y, *derivation.chain.walk()] if derivation.chain.inputs else [tape.y]
    cotangents = dict(zip(walk, tape.pull(g, walk), strict=True))
    name = derivation.symbols.text(derivation.symbols[tape.y])
    known = frozenset([tape.y])
    start = "1" if tape.y.size == 1 and g is None else "g"
    steps = [Frame(f"∂{name}/∂{name} = {start}: the walk begins", known, frozenset(), {})]
    for step in derivation.steps(all_nodes=True):
        edges = {(step.node, reader): _on_edge(step, k) for k, (reader, _) in enumerate(step.terms)}
        steps.append(Frame(step.text, known, frozenset([step.node]), edges))
        known = known | {step.node}
    steps.append(Frame("all derivatives are known", known, frozenset(), {}))
    return Frames(tape, steps, cotangents)


def _on_edge(step: Step, k: int) -> str:
    """The formula and the size of a Jacobian, and where it is one of several, its place in the sum."""
    _, factor = step.terms[k]
    several = f"  (term {k + 1} of {len(step.terms)})" if len(step.terms) > 1 else ""
    return f"{step.calculate[k]}  {factor.shape[0]}×{factor.shape[1]}{several}"


class Sliding(Animation):
    """A convolution of one plane by one filter, entry by entry: the window, and its rows of M_F and M_X."""

    def __init__(self, y: Node) -> None:
        pull = y.op.convolution_pull(1) if y.op else None
        if pull is None or y.ndim != 4 or y.shape[:2] != (1, 1) or y.inputs[0].shape[1] != 1 or y.size > MAX_PIXELS:
            raise ValueError(
                f"frames: got {y.label} {y.shape}; wanted a conv2d of one plane by one filter, of at most {MAX_PIXELS} entries"
            )
        self.y, (self.x, self.w) = y, y.inputs[:2]
        self.M_F, self.M_X = (_written_out(J) for J in Tape.of(y).local(y)[:2] if J is not None)

    def __len__(self) -> int:
        return self.y.size

    def entry(self, i: int) -> float:
        """Entry i of the product M_F vec(x), without the bias."""
        return float(np.nan_to_num(self.M_F[i]) @ np.ravel(self.x.value))

    def picture(self, i: int, form: str = "svg") -> bytes:
        """Frame i: the window of entry i."""
        self.expect_frame(i, form)
        from minigraph.inspect.plot import sliding_window

        return sliding_window(
            self.x.value[0, 0],
            self.w.value[0, 0],
            self.y.value[0, 0],
            self.M_F,
            self.M_X,
            i,
            form,
            len(self.y.inputs) > 2,
        )


def _written_out(J: LinearMap) -> Array:
    """The matrix as an array, NaN where it has no entry."""
    matrix = J.tosparse().tocoo()
    dense = np.full(matrix.shape, np.nan)
    dense[matrix.row, matrix.col] = matrix.data
    return dense
