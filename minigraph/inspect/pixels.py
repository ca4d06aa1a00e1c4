"""``trace_pixel``: which inputs reach one output, by a row of the Jacobian, layer by layer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.arguments import expect_node
from minigraph.array import Array
from minigraph.files import checked_path
from minigraph.maps import Selection
from minigraph.node import FLOATS, GraphError, Node, ShapeError
from minigraph.tape import Tape
from minigraph.text import readable, table

__all__ = ["PixelTrace", "trace_pixel"]


@dataclass(frozen=True, eq=False)
class TracedNode:
    """A node that the entry depends on: the derivative ∂y[index]/∂node, and where it is not 0.

    ``box``: along each axis after the first two (first, last + 1), empty if it is 0 everywhere; ``winners``: of a node whose
    Jacobian selects entries, like a max pooling, the flat positions in its input that the entry came by.
    """

    node: Node
    derivative: Array
    box: tuple[tuple[int, int], ...]
    winners: Array | None

    @property
    def extent(self) -> tuple[int, ...]:
        """The sides of the box: how far the entry sees."""
        return tuple(b - a for a, b in self.box)


@dataclass(frozen=True, eq=False, repr=False)
class PixelTrace:
    """What one entry of y depends on: ``layers`` from y back to x, and ``row``, the row of ∂y/∂x in the shape of x."""

    y: Node
    x: Node
    index: tuple[int, ...]
    layers: tuple[TracedNode, ...]

    @property
    def row(self) -> Array:
        """∂y[index]/∂x, (x.shape)."""
        return self.layers[-1].derivative

    def __str__(self) -> str:
        rows = [
            (
                layer.node.label,
                "×".join(map(str, layer.node.shape)) or "scalar",
                "×".join(map(str, layer.extent)),
                f"{np.count_nonzero(layer.derivative):,} of {layer.derivative.size:,}",
                f"{np.linalg.norm(layer.derivative):.4g}",
                "" if layer.winners is None else f"{len(layer.winners):,} winners",
            )
            for layer in self.layers
        ]
        head = ("node", "shape", "sees", "entries", "norm of ∂", "selected")
        place = ", ".join(map(str, self.index))
        return readable(f"∂{self.y.label}[{place}]\n\n{table(head, rows)}")

    def __repr__(self) -> str:
        return readable(f"<PixelTrace of {self.y.label}{list(self.index)} to {self.x.label}; print it>")

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draw the derivative over the image x, and layer by layer, into a .png file; needs the extra ``plot``.

        Raises ShapeError unless x is an image (N, C, H, W), ValueError for another suffix.
        """
        if Path(checked_path("trace_pixel", path)).suffix.lower() != ".png":
            raise ValueError(f"trace_pixel: got {os.fspath(path)!r}; wanted a name that ends in .png")
        if self.x.ndim != 4:
            raise ShapeError(f"trace_pixel: got x of shape {self.x.shape}; wanted an image (N, C, H, W) to draw")
        from minigraph.inspect.plot import pixel_trace

        pixel_trace(self, path)


def trace_pixel(y: Node, index: Sequence[int] | int, x: Node | None = None) -> PixelTrace:
    """Which entries of x one entry of y depends on, and how strongly: the row ``index`` of ∂y/∂x, (x.shape).

    ``x``: the first constant of four axes behind y unless given, else the first leaf. The trace lists each node on the
    way with the extent that the entry sees there, its receptive field where no derivative is 0 by chance, and the winners of
    the selections, such as max poolings, that it passes.

    Raises TypeError for anything but nodes, IndexError for an index that y does not have, GraphError if y does not depend
    on x or has no values.
    """
    expect_node("trace_pixel", y)
    tape = Tape.of(y)
    if x is None:
        images = [leaf for leaf in tape.leaves if leaf.ndim == 4 and leaf.dtype in FLOATS and leaf.kind == "constant"]
        x = next(iter([*images, *(leaf for leaf in tape.leaves if leaf.dtype in FLOATS)]), y)
    expect_node("trace_pixel", x)
    seed = np.zeros(y.shape, y.dtype)
    where = (index,) if isinstance(index, (int, np.integer)) else tuple(index)
    try:
        np.zeros(y.shape, bool)[where].item()
    except (IndexError, ValueError, TypeError):
        raise IndexError(
            f"trace_pixel: got index {index!r} for {y.label} {y.shape}; wanted the index of an entry"
        ) from None
    where = tuple(int(i) % n for i, n in zip(where, y.shape, strict=True))
    seed[where] = 1
    on_way = tape.depending_on([x])
    nodes = [node for node in reversed(tape.nodes) if node in on_way and node.dtype in FLOATS]
    cotangents = tape.pull(seed[()], nodes)
    layers = []
    for node, c in zip(nodes, cotangents, strict=True):
        if c is not None:
            c = np.asarray(c)
            layers.append(TracedNode(node, c, _box(c), _winners(node, c)))
    if not layers or layers[-1].node is not x:
        raise GraphError(f"trace_pixel: {y.label} does not depend on {x.label}")
    return PixelTrace(y, x, where, tuple(layers))


def _box(c: Array) -> tuple[tuple[int, int], ...]:
    """The smallest box of the axes after the first two that holds all entries that are not 0."""
    axes = range(2, c.ndim) if c.ndim > 2 else range(c.ndim)
    if not np.any(c):
        return ((0, 0),) * len(axes)
    places = np.argwhere(c)
    return tuple((int(places[:, i].min()), int(places[:, i].max()) + 1) for i in axes)


def _winners(node: Node, c: Array) -> Any:
    """The flat positions in its input from which a selection takes the entries with derivatives; None for other nodes."""
    op: Any = node.op
    if op is None or op.rearranges or len(node.inputs) != 1:
        return None
    (J,) = op.maps(node)
    if not isinstance(J, Selection):
        return None
    taken = np.ravel(J.index)[np.ravel(c) != 0]
    return np.unique(taken[taken >= 0])
