"""Pictures of Jacobians: ``J.spy()``."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.arguments import expect_choice, expect_integer
from minigraph.array import Array
from minigraph.files import checked_path, write
from minigraph.inspect.draw.thumbnails import shares
from minigraph.maps import LinearMap
from minigraph.node import Hooks


def spy(J: LinearMap, path: str | os.PathLike[str] | None, *, colour: str, max_pixels: int) -> Any:
    """The picture of LinearMap.spy: a matplotlib Figure, or a file."""
    expect_choice("spy", ("value", "origin"), colour=colour)
    expect_integer("spy", 1, most=20_000, max_pixels=max_pixels)
    if path is not None and Path(checked_path("spy", path)).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ValueError(f"spy: got {os.fspath(path)!r}; wanted a name that ends in .png, .svg or .pdf")
    from minigraph.inspect.plot import jacobian_picture

    if max(J.shape) > max_pixels:
        figure = jacobian_picture(J, shares(J, max_pixels), "share")
    elif colour == "origin":
        origins = J.origins()
        if origins is None:
            raise ValueError(f"spy: got colour 'origin' for {J}, whose entries are computed; wanted 'value'")
        entries = origins.tocoo()
        figure = jacobian_picture(J, _placed(entries, J.shape), "origin")
    else:
        figure = jacobian_picture(J, _placed(J.tosparse().tocoo(), J.shape), "value")
    if path is None:
        return figure
    content = io.BytesIO()
    figure.savefig(content, format=Path(path).suffix.lower().removeprefix("."))
    write(path, content.getvalue())
    return None


def _placed(entries: Any, shape: tuple[int, int]) -> Array:
    """A matrix as an array, NaN where no entry is stored."""
    dense = np.full(shape, np.nan)
    dense[entries.row, entries.col] = entries.data
    return dense


Hooks.spy = spy
