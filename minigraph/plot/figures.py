"""What all pictures share: writing a figure, drawing an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigraph.array import Array
from minigraph.inspect.plot import save_figure


def written(figure: Figure, path: Any) -> Figure:
    """The figure, written as PNG if there is a path."""
    if path is not None:
        save_figure(figure, path)
    return figure


def draw_picture(ax: Any, image: Array) -> None:
    """Draw an image (C, H, W): in colours if it has three channels, else the mean over them in grey."""
    image = np.asarray(image, np.float64)
    low, high = image.min(), image.max()
    scaled = (image - low) / (high - low) if high > low else np.zeros_like(image)
    shown = np.moveaxis(scaled, 0, 2) if len(image) == 3 else scaled.mean(axis=0)
    ax.imshow(shown, cmap="gray", interpolation="nearest")
    ax.set(xticks=[], yticks=[])
