"""Thumbnails of Jacobians inside the boxes of a drawing."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.maps import LinearMap
from minigraph.node import FLOATS, Node

ROWS = 4096  # rows of a large matrix that are built at a time
SIDE = 56  # pixels of the longer side of a thumbnail
MAX_ENTRIES = 2_000_000  # stored entries of a Jacobian that gets one


def shares(J: LinearMap, max_pixels: int) -> Array:
    """The share of stored entries in each block of the matrix, in at most ``max_pixels`` rows and columns of blocks."""
    sides = [-(-n // max_pixels) for n in J.shape]
    m, n = (-(-size // side) for size, side in zip(J.shape, sides, strict=True))
    counts = np.zeros((m, n))
    start = 0
    for block in J.row_blocks(ROWS):
        entries = block.tocoo()
        np.add.at(counts, ((entries.row + start) // sides[0], entries.col // sides[1]), 1)
        start += block.shape[0]
    heights, widths = (
        np.minimum(side, size - np.arange(k) * side) for size, side, k in zip(J.shape, sides, (m, n), strict=True)
    )
    return np.asarray(counts / np.multiply.outer(heights, widths))


def thumbnails(nodes: Iterable[Node], folder: str) -> dict[Node, str]:
    """PNG files in a folder with the structure of the Jacobian of each node by its first float input.

    Nodes without values, numbers, and Jacobians of more than two million entries get none. Raises ImportError without Pillow.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("thumbnails need Pillow: pip install 'minigraph[plot]'") from error
    paths: dict[Node, str] = {}
    for node in nodes:
        J = _first_jacobian(node)
        if J is None or J.shape == (1, 1) or not 0 < J.nnz <= MAX_ENTRIES:
            continue
        dark = np.sqrt(shares(J, SIDE))  # so that thin bands show
        scale = max(1, SIDE // max(dark.shape))
        grey = np.kron(255 - 215 * dark / max(float(dark.max()), 1e-9), np.ones((scale, scale)))
        path = str(Path(folder, f"{len(paths)}.png"))
        Image.fromarray(np.pad(grey, 1, constant_values=150).astype(np.uint8)).save(path)
        paths[node] = path
    return paths


def _first_jacobian(node: Node) -> LinearMap | None:
    if node.op is None or node.abstract or node.dtype not in FLOATS or any(x.abstract for x in node.inputs):
        return None
    op: Any = node.op
    return next((J for J in op.maps(node) if J is not None), None)


def embedded(svg: str) -> str:
    """The SVG with its thumbnails inside instead of links to files."""

    def inside(match: re.Match[str]) -> str:
        content = base64.b64encode(Path(match[1]).read_bytes()).decode()
        return f'xlink:href="data:image/png;base64,{content}"'

    return re.sub(r'xlink:href="([^"]*\.png)"', inside, svg)
