"""What a network has learned: filters, feature maps, activations, saliency, receptive fields."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minigraph.array import Array
from minigraph.inspect.pixels import trace_pixel
from minigraph.inspect.plot import BLUE, VERMILION, draw_values, new_figure
from minigraph.nn import Module
from minigraph.node import Node, constant
from minigraph.plot.figures import draw_picture, written
from minigraph.tape import Tape
from minigraph.train.metrics import inference

MAX_FILTERS, MAX_CHANNELS, MAX_MAPS, MAX_IMAGES = 64, 16, 64, 8


def filters(w: Any, path: Any = None) -> Figure:
    """The filters (K, C, H, W) of a convolution, or of a module that has them as ``weight``: as colours if C is 3; → Figure.

    Otherwise a row for each filter and a column for each channel, on one scale about 0; at most 64 filters of 16 channels.
    Raises ValueError for another number of axes.
    """
    w = np.asarray(getattr(w, "weight", w))
    if w.ndim != 4:
        raise ValueError(f"filters: got an array of shape {w.shape}; wanted filters (K, C, H, W)")
    K, C = w.shape[:2]
    shown = w[: MAX_FILTERS if C in (1, 3) else MAX_CHANNELS, : max(3, MAX_CHANNELS)]
    columns = min(len(shown), 12) if C in (1, 3) else shown.shape[1]
    limit = float(np.abs(shown).max()) or 1.0
    tiles = shown if C == 3 else shown.reshape(-1, 1, *w.shape[2:])
    sheet = mosaic(tiles, columns)
    figure = new_figure(0.55 * columns + 1.8, 0.55 * -(-len(tiles) // columns) + 0.9)
    ax = figure.subplots()
    if C == 3:
        ax.imshow(np.where(np.isnan(sheet), 1, 0.5 + sheet / (2 * limit)), interpolation="nearest")
    else:
        figure.colorbar(draw_values(ax, sheet[..., 0], limit), ax=ax, label="weight", shrink=0.8)
    ax.axis("off")
    what = {1: "", 3: f"grey is 0, the range ±{limit:.2g}"}.get(C, "a row for each filter, a column for each channel")
    left = [
        f"{n - m} more {name}" for n, m, name in ((K, len(shown), "filters"), (C, shown.shape[1], "channels")) if n > m
    ]
    ax.set_title("; ".join(filter(None, [f"{K} filters of {C}×{w.shape[2]}×{w.shape[3]}", what, *left])), fontsize=9)
    return written(figure, path)


def mosaic(tiles: Array, columns: int) -> Array:
    """Tiles (n, C, h, w) in rows of ``columns``, NaN between them and where there are none; → (H, W, C)."""
    n, C, h, w = tiles.shape
    rows, gap = -(-n // columns), max(1, max(h, w) // 8)
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, C), np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        sheet[top : top + h, left : left + w] = np.moveaxis(tile, 0, 2)
    return sheet


def feature_maps(model: Module, x: Any, layer: str, path: Any = None) -> Figure:
    """The output of the layer at a path for one image x (1, C, H, W): its maps beside the image, or its entries as bars; → Figure.

    Raises KeyError, naming similar paths, for a layer that the output does not depend on; ValueError for several images.
    """
    x = _one_image("feature_maps", x)
    y = _scores(model, constant(x)).find(layer.replace(".", "/")).value
    name = f"{layer}: {' × '.join(map(str, y.shape[1:]))}"
    if y.ndim != 4:
        figure = new_figure(7, 3.2)
        left, right = figure.subplots(1, 2, width_ratios=(1, 2.4))
        draw_picture(left, x[0])
        right.bar(np.arange(y[0].size), y[0].ravel(), color=BLUE, width=0.9)
        right.set_title(name, fontsize=10)
        return written(figure, path)
    maps = y[0][:MAX_MAPS]
    columns = math.ceil(math.sqrt(1.5 * len(maps)))
    figure = new_figure(2.6 + 0.75 * columns, max(2.6, 0.75 * -(-len(maps) // columns) + 0.7))
    left, right = figure.subplots(1, 2, width_ratios=(2, 0.75 * columns))
    draw_picture(left, x[0])
    shade = right.imshow(mosaic(maps[:, None], columns)[..., 0], cmap="viridis", interpolation="nearest")
    figure.colorbar(shade, ax=right, shrink=0.8)
    right.axis("off")
    more = f"; {y.shape[1] - len(maps)} more" if y.shape[1] > len(maps) else ""
    right.set_title(name + more, fontsize=10)
    return written(figure, path)


def activations(model: Module, x: Any, path: Any = None) -> Figure:
    """Of each layer with parameters, its outputs for images x (N, C, H, W): mean ± deviation, and the share of them that is not above 0; → Figure."""
    y, names = _scores(model, constant(np.asarray(x))), []
    outputs: list[Array] = []
    for name, module in model.named_modules():
        if name and isinstance(vars(module).get("weight"), Node):
            try:
                outputs.append(np.asarray(y.find(name.replace(".", "/")).value, np.float64))
                names.append(name)
            except KeyError:  # a side branch, off the way to the scores
                continue
    if not names:
        raise ValueError(f"activations: {type(model).__name__} has no layers with a weight; wanted some")
    at = np.arange(len(names))
    figure = new_figure(max(5, 0.32 * len(names) + 2), 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    means, deviations = (np.array([f(o) for o in outputs]) for f in (np.mean, np.std))
    upper.errorbar(at, means, deviations, fmt="o", color=BLUE, capsize=3)
    upper.set_ylabel("output: mean ± deviation")
    lower.bar(at, [100 * np.mean(o <= 0) for o in outputs], color=VERMILION)
    lower.set(ylabel="not above 0, %", ylim=(0, 100))
    lower.set_xticks(at, names, rotation=90, fontsize=8)
    return written(figure, path)


def saliency(model: Module, x: Any, labels: Any = None, path: Any = None) -> Figure:
    """|∂ score of the label / ∂x| for images x (N, C, H, W), beside them; the largest over the channels; → Figure.

    One pull to the input (Simonyan et al. 2014). Without ``labels`` each image's largest score counts. At most 8 images.
    """
    x = np.asarray(x)[:MAX_IMAGES]
    gradient, labels = input_gradient(model, x, labels)
    figure = new_figure(1.7 * len(x) + 0.5, 3.9)
    axes = figure.subplots(2, len(x), squeeze=False)
    for i in range(len(x)):
        draw_picture(axes[0, i], x[i])
        axes[0, i].set_title(f"class {labels[i]}", fontsize=10)
        axes[1, i].imshow(np.abs(gradient[i]).max(axis=0), cmap="magma", interpolation="nearest")
        axes[1, i].set(xticks=[], yticks=[])
    axes[1, 0].set_ylabel("|∂ score / ∂ x|")
    return written(figure, path)


def input_gradient(model: Module, x: Array, labels: Any = None) -> tuple[Array, Array]:
    """∂ score of the label / ∂x, of the shape of x, and the labels: given ones, or the largest scores."""
    image = constant(x, "input")
    scores = _scores(model, image)
    chosen = np.asarray(scores.value.argmax(axis=1) if labels is None else labels).astype(int)
    g = np.zeros(scores.shape, scores.dtype)
    g[np.arange(len(x)), chosen] = 1
    (pulled,) = Tape.of(scores).pull(g, [image])
    gradient: Array = np.asarray(pulled)
    return gradient, chosen


def receptive_field(model: Module, x: Any, layer: str, at: tuple[int, ...] | None = None, path: Any = None) -> Figure:
    """The pixels of an image x (1, C, H, W) that one entry of a layer depends on, and how much; → Figure.

    ``at``: (channel, row, column), by default in the middle. The box has all pixels with a derivative that is not 0.
    """
    x = _one_image("receptive_field", x)
    image = constant(x, "input")
    y = _scores(model, image).find(layer.replace(".", "/"))
    index = (0, *(at if at is not None else (0, *(n // 2 for n in y.shape[2:]))))
    trace = trace_pixel(y, index, image)
    (top, bottom), (left, right) = trace.layers[-1].box
    figure = new_figure(8.2, 3.9)
    first, second = figure.subplots(1, 2)
    for ax in (first, second):
        ax.set(xticks=[], yticks=[])
        if ax is first:
            draw_picture(ax, x[0])
        else:
            row = np.abs(trace.row[0]).max(axis=0)
            figure.colorbar(ax.imshow(row, cmap="magma", interpolation="nearest"), ax=ax, shrink=0.85)
        ax.add_patch(
            Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=VERMILION, linewidth=2)
        )
    first.set_title(f"{bottom - top} × {right - left} of {x.shape[2]} × {x.shape[3]} pixels", fontsize=10)
    second.set_title("|∂ of the entry / ∂ x|", fontsize=10)
    figure.suptitle(f"what entry {list(index[1:])} of {layer} depends on", fontsize=11)
    return written(figure, path)


def _scores(model: Module, x: Node) -> Node:
    """The scores in inference mode: running statistics stay as they are, and nothing is dropped."""
    with inference([model]):
        output = model(x)
    scores: Node = output[0] if isinstance(output, tuple) else output
    return scores


def _one_image(function: str, x: Any) -> Array:
    images: Array = np.asarray(x)
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or len(images) != 1:
        raise ValueError(f"{function}: got images of shape {images.shape}; wanted one, (1, C, H, W)")
    return images
