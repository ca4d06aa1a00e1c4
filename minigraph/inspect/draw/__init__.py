"""Pictures of computational graphs: PNG, SVG, PDF and DOT files, and what notebooks show of a Node.

``to_dot`` is a pure function from the graph to DOT text; ``picture`` hands the text to Graphviz. Graphviz is
looked for when something is drawn, and not before.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from minigraph.arguments import expect_choice, expect_flags, expect_integer, expect_node, expect_positive
from minigraph.files import checked_path, write
from minigraph.inspect.draw.dot import Content, Direction, layout, to_dot
from minigraph.inspect.draw.folded import described, draw_folded, shape_of
from minigraph.inspect.draw.outline import DEPTHS, Depth
from minigraph.inspect.draw.render import DPI, FORMATS, Engine, Limit, Overtime, RenderError, picture
from minigraph.inspect.draw.themes import THEMES, themed
from minigraph.inspect.draw.thumbnails import embedded
from minigraph.inspect.draw.thumbnails import thumbnails as make_thumbnails
from minigraph.inspect.outputs import abstract_outputs, joint_tape
from minigraph.inspect.profile import Profile
from minigraph.nn.module import Module
from minigraph.node import GraphError, Hooks, Node
from minigraph.tape import Tape

__all__ = ["RenderError", "draw", "mimebundle", "to_dot"]

TIMEOUT = 10.0
MAX_LEVELS_CROSSED = 2000  # which takes Graphviz about four seconds; the time grows with the third power
PLAIN = Content()
UNFOLDED_NODES = 30  # larger graphs are folded, if they have scopes
SIZES = {"slide": (13.333, 7.5), "page": (8.27, 11.69)}  # inches
_pictures = itertools.count()  # those of notebooks, which may show one graph twice
NOTEBOOK_NODES, NOTEBOOK_SECONDS = 300, 5.0


def draw(
    y: Node | Tape | Module | Sequence[Node],
    path: str | os.PathLike[str] | None = None,
    *,
    inputs: Any = None,
    depth: Depth | None = None,
    size: str | tuple[float, float] | None = None,
    edges: bool | str = True,
    values: bool = True,
    gradients: bool = True,
    scopes: bool = True,
    statistics: bool = False,
    memory: bool = False,
    parameters: str = "box",
    arrows: str = "forward",
    legend: bool = False,
    thumbnails: bool = False,
    direction: Direction = "TB",
    theme: str = "light",
    profile: Profile | None = None,
    dpi: float = DPI,
    engine: Engine | None = None,
    max_nodes: int = 5000,
    timeout: float | None = TIMEOUT,
) -> Picture | None:
    """Draw the graph behind ``y`` into a .png, .svg, .pdf or .dot file, or without ``path`` for a notebook.

    ``y``: a Node, a Tape, several Nodes, or a Module with its ``inputs``: a Spec, an array or a shape, or a tuple of them;
    a model with an attribute ``image`` needs none.

    Boxes: inputs are blue and square, parameters yellow with a folded corner, values white and round, and
    the loss (a ``y`` of one entry) red and thick; other ``y`` are thick. Numbers like the 2 of x**2 are
    written into their reader, ``power(·, 2)``. Nodes built from a Spec are drawn without values.

    ``depth``: how far to fold the graph by its scopes: "op" (not at all; scopes are nested boxes), "layer" (the innermost
    scopes), "block" (scopes of two names, like layer1/0), "stage" (scopes of one name), or the number of names that are
    kept. A folded box lists its ops, its output and its parameters; blocks of the same structure in a row become one box, ×N, and a module that is called again is
    a box again. By default graphs of more than 30 nodes with scopes are folded to at most 48 boxes, if the scopes allow it.
    ``size``: the page: "slide" (13.33 × 7.5 inches), "page" (8.27 × 11.69 inches), or (width, height) in inches. A folded graph
    is laid out in columns that come close to these proportions, by default to at most 2:1 either way. If a drawing would have
    to be scaled below 85 %, it is folded further, with a warning.

    ``edges``, ``values``, ``gradients``, ``scopes``, ``statistics``, ``memory``, ``parameters``, ``arrows``, ``legend``,
    ``direction``, ``profile``: see ``to_dot``. Without
    ``scopes``, in another direction and in .dot files graphs are only folded if ``depth`` or ``size`` says so.
    ``thumbnails``: show in each box of a single op the structure of its Jacobian by the first input; needs the extra ``plot``,
    and values.
    ``theme``: the colours, "light", "dark", "print" (white boxes with black borders) or "contrast" (high contrast).
    ``dpi``: pixels per inch of a PNG; lowered where the PNG would be cut or larger than memory allows.
    ``engine``: "pygraphviz" (brings Graphviz along), "dot" (the program on the PATH), or None for the first available one.
    ``max_nodes``: refuse larger graphs that are not folded, which take long to lay out and cannot be read.
    ``timeout``: seconds for Graphviz, None for no limit. An unfolded graph that takes longer gets a simpler layout, which
    may take as long again: most edges become straight lines behind the nodes, without the sizes of the Jacobians.

    The file is written atomically. Raises TypeError for anything but Nodes, a Tape or a Module; ValueError for
    another suffix, an unknown option, or too many nodes; FileNotFoundError for a missing folder;
    ImportError, saying what to install, without Graphviz; RenderError if Graphviz fails
    or even the simpler layout takes too long; GraphError for a freed graph of more than 5000 nodes. Warns of a PNG too
    small to read, of a simpler layout, and of a graph that was folded further to fit.
    """
    target = Path("notebook.svg" if path is None else checked_path("draw", path))
    form = target.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        wanted = ", ".join("." + name for name in FORMATS)
        raise ValueError(f"draw: got {os.fspath(target)!r}; wanted a name that ends in one of {wanted}")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"draw: the folder {os.fspath(target.parent)!r} of {target.name!r} does not exist; make it first"
        )
    expect_positive("draw", dpi=dpi)
    if timeout is not None:
        expect_positive("draw", timeout=timeout)
    expect_integer("draw", 1, max_nodes=max_nodes)
    expect_choice("draw", (*get_args(Engine), None), engine=engine)
    expect_choice("draw", get_args(Direction), direction=direction)
    expect_choice("draw", tuple(THEMES), theme=theme)
    content = Content(edges, values, gradients, scopes, statistics, memory, parameters, arrows, legend)
    expect_flags("draw", thumbnails=thumbnails)
    if thumbnails and form == "dot":
        raise ValueError(
            "draw: got thumbnails for a .dot file, which cannot hold pictures; wanted a .png, .svg or .pdf"
        )
    expect_depth(depth)
    inches = page_size(size)
    page = f"picture {next(_pictures)}" if path is None else ""
    with _outputs(y, inputs) as outputs, TemporaryDirectory() as folder:
        tape = y.structure() if isinstance(y, Tape) else joint_tape(outputs)
        if thumbnails and isinstance(tape, Tape):
            content = replace(content, thumbnails=make_thumbnails(tape.nodes, folder))
        scoped = any(node.scope for node in tape.nodes if node.op)
        folds = depth is None and scopes and scoped and direction == "TB" and form != "dot"
        if depth not in (None, "op") or inches or len(outputs) > 1 or folds and len(tape.nodes) > UNFOLDED_NODES:
            drawn = draw_folded(tape, outputs, form, depth, inches, content, direction, profile, dpi=dpi,
                           engine=engine, limit=Limit(timeout), page=page, theme=theme)  # fmt: skip
        else:
            if form != "dot" and len(tape.nodes) > max_nodes:
                raise ValueError(
                    f"draw: {tape.y.label} has {len(tape.nodes)} nodes behind it, more than max_nodes={max_nodes}; draw a "
                    f"part of it, write a .dot file, or pass max_nodes={len(tape.nodes)} and an .svg path"
                )
            options = content, direction, profile
            if form == "dot":
                drawn = themed(layout(tape, *options)[0], theme).encode()
            else:
                drawn = rendered(tape, form, *options, dpi=dpi, engine=engine, timeout=timeout, page=page, theme=theme)
                if form == "svg":
                    names = {
                        f"n{i}": f"{node.kind} {node.path}".strip() + f", {shape_of(node)}"
                        for i, node in enumerate(tape.nodes)
                    }
                    title = tape.y.path or tape.y.kind
                    said = f"A graph of {len(tape.nodes)} nodes, from its inputs and parameters to {title}."
                    drawn = described(drawn.decode(), title, said, names).encode()
        if content.thumbnails and form == "svg":
            drawn = embedded(drawn.decode()).encode()
    if path is None:
        return Picture(drawn.decode())
    write(target, drawn)
    return None


@contextmanager
def _outputs(y: Any, inputs: Any) -> Iterator[Sequence[Node]]:
    """The nodes to draw. Raises TypeError for anything but Nodes, a Tape or a Module."""
    if isinstance(y, Module):
        with abstract_outputs("draw", y, inputs) as outputs:
            yield outputs
        return
    if inputs is not None:
        raise TypeError(f"draw: got {type(y).__name__} and inputs; wanted a Module with its inputs, or a Node alone")
    nodes = [y.y] if isinstance(y, Tape) else list(y) if isinstance(y, (list, tuple)) and y else [y]
    for node in nodes:
        expect_node("draw", node, "; wanted a Node, a Tape, a Module or a list of Nodes")
    yield nodes


def expect_depth(depth: Any) -> None:
    """Raise TypeError and ValueError unless ``depth`` is None, a name or an integer of at least 1."""
    if isinstance(depth, str):
        expect_choice("draw", DEPTHS, depth=depth)
    elif depth is not None:
        expect_integer("draw", 1, depth=depth)


def page_size(size: Any) -> tuple[float, float] | None:
    """Width and height in inches. Raises ValueError for an unknown name, TypeError for other types."""
    if size is None:
        return None
    if isinstance(size, str):
        expect_choice("draw", tuple(SIZES), size=size)
        return SIZES[size]
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise TypeError(f"draw: got size {size!r}; wanted 'slide', 'page' or (width, height) in inches")
    expect_positive("draw", width=size[0], height=size[1])
    if max(size) / min(size) > 20 or min(size) < 1:
        raise ValueError(f"draw: got size {size!r}; wanted sides of at least an inch, at most 20:1")
    return float(size[0]), float(size[1])


def rendered(
    tape: Tape,
    form: str,
    content: Content = PLAIN,
    direction: Direction = "TB",
    profile: Profile | None = None,
    timeout: float | None = None,
    theme: str = "light",
    **how: Any,
) -> bytes:
    """The picture of an unfolded graph; in a simpler layout, with a warning, if Graphviz fails or takes too long.

    The first layout has ``timeout`` seconds, including its DOT text, and so has the simpler one; see ``picture``.
    """
    bare = replace(content, edges=False)
    limit = Limit(timeout)
    try:
        if isinstance(tape, Tape) and levels_crossed(tape) > MAX_LEVELS_CROSSED:
            raise Overtime("edges cross too many levels for Graphviz to route them in time")
        try:
            return picture(themed(layout(tape, content, direction, profile)[0], theme), form, limit=limit, **how)
        except RenderError as error:
            if isinstance(error, Overtime) or not (content.edges and content.scopes):
                raise
            # dot aborts on some graphs with labels on edges that cross nested clusters (fixLabelOrder in its mincross.c).
            drawn = picture(themed(layout(tape, bare, direction, profile)[0], theme), form, limit=limit, **how)
            said = f"drawn without the sizes on the edges, which scopes=False would show: {error}"
    except Overtime as error:
        limit = Limit(timeout)
        try:
            text, later = layout(tape, bare, direction, profile, straight=True)
            drawn = picture(themed(text, theme), form, limit=limit, later=later, **how)
        except Overtime:
            raise RenderError(
                f"draw: {error} for the first layout, and for the simpler one; write a .dot file, pass a larger timeout, "
                "or draw a part of the graph"
            ) from None
        said = f"{error}, so edges are straight and without sizes"
    warnings.warn(said, stacklevel=3)
    return drawn


def levels_crossed(tape: Tape) -> int:
    """How many levels all edges together cross, but those of leaves with a single reader: what takes Graphviz its time."""
    readers = Counter(x for node in tape.nodes for x in node.inputs)
    depth: dict[Node, int] = {}
    crossed = 0
    for node in tape.nodes:
        depth[node] = 1 + max([depth[x] for x in node.inputs], default=0)
        crossed += sum(depth[node] - depth[x] - 1 for x in node.inputs if x.op or readers[x] > 1)
    return crossed


@dataclass(frozen=True, repr=False)
class Picture:
    """A drawn graph that a notebook shows; ``svg`` is its text."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


def mimebundle(node: Node) -> dict[str, Any]:
    """What a notebook shows of a node: the picture of its graph, folded if it is large, and its repr.

    Only the repr of graphs of more than some hundred nodes without scopes, and if Graphviz is missing or fails.
    """
    bundle = {"text/plain": repr(node)}
    with suppress(GraphError, ImportError, RenderError, ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = draw(node, max_nodes=NOTEBOOK_NODES, timeout=NOTEBOOK_SECONDS)
        bundle["image/svg+xml"] = picture.svg if picture else ""
    return bundle


Hooks.notebook = mimebundle
