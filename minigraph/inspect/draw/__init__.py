"""Pictures of computational graphs: PNG, SVG, PDF and DOT files, and what notebooks show of a Node.

``to_dot`` is a pure function from the graph to DOT text; ``picture`` hands the text to Graphviz. Graphviz is
looked for when something is drawn, and not before.
"""

from __future__ import annotations

import itertools
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from minigraph.arguments import expect_choice, expect_integer, expect_positive
from minigraph.files import checked_path, write
from minigraph.inspect.draw.dot import Direction, layout, to_dot
from minigraph.inspect.draw.render import DPI, FORMATS, Engine, Limit, Overtime, RenderError, picture
from minigraph.inspect.profile import Profile
from minigraph.node import GraphError, Hooks, Node
from minigraph.tape import Tape

__all__ = ["RenderError", "draw", "mimebundle", "to_dot"]

TIMEOUT = 10.0
_pictures = itertools.count()  # those of notebooks, which may show one graph twice
NOTEBOOK_NODES, NOTEBOOK_SECONDS = 300, 5.0


def draw(
    y: Node | Tape,
    path: str | os.PathLike[str] | None = None,
    *,
    edges: bool = True,
    values: bool = True,
    gradients: bool = True,
    scopes: bool = True,
    direction: Direction = "TB",
    profile: Profile | None = None,
    dpi: float = DPI,
    engine: Engine | None = None,
    max_nodes: int = 5000,
    timeout: float | None = TIMEOUT,
) -> Picture | None:
    """Draw the graph behind ``y``, a Node or a Tape, into a .png, .svg, .pdf or .dot file, or without ``path`` for a notebook.

    Boxes: inputs are blue and square, parameters yellow with a folded corner, values white and round, and
    the loss (a ``y`` of one entry) red and thick; other ``y`` are thick. Numbers like the 2 of x**2 are
    written into their reader, ``power(·, 2)``. Nodes built from a Spec are drawn without values.

    ``edges``, ``values``, ``gradients``, ``scopes``, ``direction``, ``profile``: see ``to_dot``.
    ``dpi``: pixels per inch of a PNG; lowered where the PNG would be cut or larger than memory allows.
    ``engine``: "pygraphviz" (brings Graphviz along), "dot" (the program on the PATH), or None for the first of them that is there.
    ``max_nodes``: refuse larger graphs, which take long to lay out and cannot be read.
    ``timeout``: seconds for Graphviz, None for no limit. When they are over, the graph is laid out in a cheaper way, which
    may take as long again: most edges become straight lines behind the nodes, without the sizes of the Jacobians.

    The file is written whole or not at all. Raises TypeError for anything but a Node or Tape; ValueError for
    another suffix, an option that is none, or too many nodes; FileNotFoundError for a missing folder;
    ImportError, saying what to install, without Graphviz; RenderError when Graphviz fails
    or even the cheaper layout takes too long; GraphError for a freed graph of more than 5000 nodes. Warns of a PNG too
    small to read, and of a layout that is not the usual one.
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
    tape = Tape.of(y) if isinstance(y, Node) else y.structure() if isinstance(y, Tape) else y
    if isinstance(tape, Tape) and form != "dot" and len(tape.nodes) > max_nodes:
        raise ValueError(
            f"draw: {tape.y.label} has {len(tape.nodes)} nodes behind it, more than max_nodes={max_nodes}; draw a part "
            f"of it, write a .dot file, or pass max_nodes={len(tape.nodes)} and an .svg path"
        )
    options = edges, values, gradients, scopes, direction, profile
    if form == "dot":
        write(target, layout(tape, *options)[0].encode())
        return None
    page = f"picture {next(_pictures)}" if path is None else ""
    drawn = rendered(tape, form, *options, dpi=dpi, engine=engine, timeout=timeout, page=page)
    if path is None:
        return Picture(drawn.decode())
    write(target, drawn)
    return None


def rendered(
    tape: Tape,
    form: str,
    edges: bool = True,
    values: bool = True,
    gradients: bool = True,
    scopes: bool = True,
    direction: Direction = "TB",
    profile: Profile | None = None,
    timeout: float | None = None,
    **how: Any,
) -> bytes:
    """The picture of a graph; in a cheaper layout, with a warning, where Graphviz fails or takes too long; see ``picture``.

    All of the usual layout, its DOT text included, has ``timeout`` seconds, and so has the cheaper one.
    """
    shown = values, gradients, scopes, direction, profile
    limit = Limit(timeout)
    try:
        try:
            return picture(layout(tape, edges, *shown)[0], form, limit=limit, **how)
        except RenderError as error:
            if isinstance(error, Overtime) or not (edges and scopes):
                raise
            # dot aborts on some graphs with labels on edges that cross nested clusters (fixLabelOrder in its mincross.c).
            drawn = picture(layout(tape, False, *shown)[0], form, limit=limit, **how)
            said = f"drawn without the sizes on the edges, which scopes=False would show: {error}"
    except Overtime as error:
        limit = Limit(timeout)
        try:
            text, later = layout(tape, False, *shown, straight=True)
            drawn = picture(text, form, limit=limit, later=later, **how)
        except Overtime:
            raise RenderError(
                f"draw: {error} for the usual layout, and for the cheaper one; write a .dot file, pass a larger timeout, "
                "or draw a part of the graph"
            ) from None
        said = f"{error}, so edges are straight and without sizes; a larger timeout gives the usual layout more time"
    warnings.warn(said, stacklevel=3)
    return drawn


@dataclass(frozen=True, repr=False)
class Picture:
    """A drawn graph that a notebook shows; ``svg`` is its text."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


def mimebundle(node: Node) -> dict[str, Any]:
    """What a notebook shows of a node: the picture of its graph, and its repr.

    Only the repr for graphs of more than some hundred nodes, and where Graphviz is missing or fails.
    """
    bundle = {"text/plain": repr(node)}
    try:
        tape = Tape.of(node)
        if len(tape.nodes) <= NOTEBOOK_NODES:
            bundle["image/svg+xml"] = rendered(
                tape, "svg", timeout=NOTEBOOK_SECONDS, page=f"picture {next(_pictures)}"
            ).decode()
    except (GraphError, ImportError, RenderError):
        pass
    return bundle


Hooks.notebook = mimebundle
