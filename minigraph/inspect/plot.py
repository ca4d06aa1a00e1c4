"""Pictures of matrices, filters and training curves, as PNG files. Needs matplotlib: pip install 'minigraph[plot]'."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.files import write
from minigraph.op import expect
from minigraph.ops.conv import conv_matrix

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import LogLocator
except ImportError as error:
    raise ImportError("it needs matplotlib: pip install 'minigraph[plot]'") from error

__all__ = ["filter_matrix", "filters", "jacobian_picture", "pixel_trace", "sliding_window", "training"]

# Colours that colour-blind readers tell apart: Okabe and Ito's blue, vermilion and bluish green.
BLUE, VERMILION, INK, SOFT, PAPER = "#0072B2", "#D55E00", "#1B1F24", "#59626D", "#D9DDE2"
WEIGHTS = "PuOr_r"  # purple below zero, white at zero, orange above
DPI = 160


def filter_matrix(
    w: Any, in_shape: Sequence[int], path: str | os.PathLike[str], *, stride: Any = 1, padding: Any = 0
) -> None:
    """M_F, one block M_Fi for each filter, every entry in the colour of its weight; grey where there is no entry.

    w (K, 1, f, f), in_shape (1, H, W), as for ``mg.conv_matrix``. Each block shows its filter in the corner.
    """
    w = np.asarray(w)
    expect(w.ndim == 4 and w.shape[1] == 1, "filter_matrix", "filters of one plane (K, 1, f, f)", w=w.shape)
    K, width = len(w), in_shape[-1]
    M = conv_matrix(w, in_shape, stride=stride, padding=padding)
    rows = M.shape[0] // K
    entries = M.tocoo()
    values = np.full(M.shape, np.nan)
    values[entries.row, entries.col] = entries.data
    limit = float(np.abs(w).max()) or 1.0
    columns = min(K, 4)
    lines = math.ceil(K / columns)
    figure = new_figure(3.1 * columns + 1.2, 3.15 * lines + 1.25)
    axes = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
    shade: Any = None
    for i, ax in enumerate(axes):
        if i >= K:
            ax.axis("off")
            continue
        ax.set_facecolor(PAPER)
        shade = draw_values(ax, values[i * rows : (i + 1) * rows], limit)
        for at in range(width, M.shape[1], width):
            ax.axvline(at - 0.5, color="white", linewidth=0.4)
        for at in range(width, rows, width):
            ax.axhline(at - 0.5, color="white", linewidth=0.4)
        ax.set_title(f"$M_{{F_{{{i + 1}}}}}$: {rows} × {M.shape[1]}, {M[i * rows : (i + 1) * rows].nnz:,} entries")
        ax.set_xticks([0, M.shape[1] - 1], ["1", str(M.shape[1])])
        ax.set_yticks([0, rows - 1], ["1", str(rows)])
        inset = ax.inset_axes((0.71, 0.71, 0.26, 0.26))
        draw_values(inset, w[i, 0], limit)
        inset.set(xticks=[], yticks=[])
        inset.text(0.5, -0.09, f"$F_{{{i + 1}}}$", transform=inset.transAxes, ha="center", va="top", fontsize=9)
    figure.suptitle(
        "Convolution is a matrix product:  vec($S_i$) = $M_{F_i}$ vec($X$).  Each row is the filter laid into a zero image."
    )
    figure.supxlabel("pixel of $X$, row by row", fontsize=10)
    figure.supylabel("entry of $S_i$, row by row", fontsize=10)
    figure.colorbar(shade, ax=axes, label="weight", shrink=0.6, pad=0.02)
    save_figure(figure, path)


def filters(w: Any, x: Any, planes: Any, path: str | os.PathLike[str]) -> None:
    """Filters w (K, 1, f, f) above the planes (1, K, H, W) they give for the image x (1, 1, H, W)."""
    w, x, planes = np.asarray(w), np.asarray(x), np.asarray(planes)
    K, limit, top = len(w), float(np.abs(w).max()) or 1.0, float(planes.max()) or 1.0
    figure = new_figure(1.25 * (K + 1) + 1.0, 3.6)
    axes = figure.subplots(2, K + 1)
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[])
    axes[0, 0].axis("off")
    axes[1, 0].imshow(x[0, 0], cmap="gray_r", vmin=0)
    axes[1, 0].set_title("$X$")
    weights: Any = None
    heights: Any = None
    for i in range(K):
        weights = draw_values(axes[0, i + 1], w[i, 0], limit)
        heights = axes[1, i + 1].imshow(planes[0, i], cmap="cividis", vmin=0, vmax=top)
        axes[0, i + 1].set_title(f"$F_{{{i + 1}}}$")
        axes[1, i + 1].set_title(f"$H_{{{i + 1}}}$")
    figure.suptitle("The learned filters, and what they see:  $H_i$ = max(0, $X$ * $F_i$ + $b_i$)")
    figure.colorbar(weights, ax=axes[0], label="weight", pad=0.015)
    figure.colorbar(heights, ax=axes[1], label="activation", pad=0.015)
    save_figure(figure, path)


def jacobian_picture(J: Any, entries: Array, kind: str) -> Figure:
    """The matrix of J: its entries, NaN where none is stored, by "value" or "origin", or the "share" of stored entries."""
    m, n = J.shape
    scale = min(8 / max(entries.shape[1], 1), 6 / max(entries.shape[0], 1))
    figure = new_figure(max(3.6, entries.shape[1] * scale + 1.6), max(2.4, entries.shape[0] * scale + 1.1))
    ax = figure.subplots()
    ax.set_facecolor(PAPER)
    if kind == "value":
        shade = draw_values(ax, entries, float(np.nanmax(np.abs(entries), initial=0)) or 1.0)
        figure.colorbar(shade, ax=ax, label="value", shrink=0.8)
    elif kind == "origin":
        shade = ax.imshow(entries, cmap="turbo", interpolation="nearest", aspect="equal")
        figure.colorbar(shade, ax=ax, label="number of the entry", shrink=0.8)
    else:
        shade = ax.imshow(
            np.where(entries > 0, entries, np.nan), cmap="viridis_r", interpolation="nearest", aspect="equal", vmin=0
        )
        figure.colorbar(shade, ax=ax, label="share of entries that are stored", shrink=0.8)
    shown = (
        "" if kind != "share" else f"; a pixel is a block of {-(-m // entries.shape[0])} × {-(-n // entries.shape[1])}"
    )
    ax.set(title=f"{J}: {m:,} × {n:,}, {J.nnz:,} entries{shown}", xticks=[], yticks=[], xlabel="input", ylabel="output")
    return figure


def pixel_trace(trace: Any, path: str | os.PathLike[str]) -> None:
    """The derivative of one entry over the image, and its magnitude at the nodes on the way."""
    layers = [layer for layer in trace.layers if layer.node.ndim == 4 and min(layer.node.shape[2:]) > 1]
    layers = layers if len(layers) <= 8 else [layers[round(i * (len(layers) - 1) / 7)] for i in range(8)]
    figure = new_figure(9.5, 4.2 + 1.9 * math.ceil(len(layers) / 4))
    parts: Any = figure.subfigures(2, 1, height_ratios=(2, math.ceil(len(layers) / 4)))
    upper, lower = parts
    image_ax, row_ax = upper.subplots(1, 2)
    image = np.asarray(trace.x.value)[0].mean(axis=0)
    row = trace.row[0].sum(axis=0)
    image_ax.imshow(image, cmap="gray")
    ((top, bottom), (left, right)) = trace.layers[-1].box
    image_ax.add_patch(
        Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=VERMILION, linewidth=2)
    )
    image_ax.set(title=f"the image, and the {bottom - top} × {right - left} pixels that count", xticks=[], yticks=[])
    shade = draw_values(row_ax, row, float(np.abs(row).max()) or 1.0)
    row_ax.set(title="∂ of the entry by each pixel", xticks=[], yticks=[])
    upper.colorbar(shade, ax=row_ax, shrink=0.8)
    axes = np.atleast_1d(lower.subplots(math.ceil(len(layers) / 4), 4, squeeze=False)).ravel()
    for ax in axes:
        ax.axis("off")
    for ax, layer in zip(axes, layers, strict=False):
        ax.axis("on")
        ax.imshow(np.abs(layer.derivative[0]).sum(axis=0), cmap="magma_r", interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        name = layer.node.name or layer.node.kind
        ax.set_title(f"{name[:18]}: {' × '.join(map(str, layer.extent))}", fontsize=9)
    figure.suptitle(f"What entry {list(trace.index)} of {trace.y.name or trace.y.kind} depends on")
    save_figure(figure, path)


def sliding_window(
    x: Array, w: Array, y: Array, M_F: Array, M_X: Array, i: int, form: str, bias: bool = False
) -> bytes:
    """Entry i of y (H′, W′) = x (H, W) * w: the window over x, the entries of y so far, and row i of both matrices.

    The matrices are NaN where they have no entry; ``bias``: whether y has one added.
    """
    limit = float(max(np.abs(x).max(), np.abs(w).max())) or 1.0
    figure = new_figure(11, 6.4)
    grid = figure.add_gridspec(2, 3, width_ratios=(1.2, 0.8, 1), height_ratios=(1, 1.05))
    reached = np.isfinite(M_F[i].reshape(x.shape))
    panels = (
        (figure.add_subplot(grid[0, 0]), x, "$X$"),
        (figure.add_subplot(grid[0, 1]), w, "$F$"),
        (figure.add_subplot(grid[0, 2]), np.where(np.arange(y.size).reshape(y.shape) <= i, y, np.nan), "$S$"),
    )
    for ax, plane, title in panels:
        scale = limit if title != "$S$" else float(np.abs(y).max()) or 1.0
        draw_values(ax, plane, scale)
        ax.set(xticks=[], yticks=[], title=f"{title}: {plane.shape[0]} × {plane.shape[1]}")
        if plane.size <= 100:
            for (r, c), value in np.ndenumerate(plane):
                if np.isfinite(value):
                    dark = abs(value) > 0.6 * scale
                    ax.text(c, r, f"{value:.3g}", ha="center", va="center", fontsize=8, color="white" if dark else INK)
    rows, columns = np.nonzero(reached)
    if rows.size:
        corner = columns.min() - 0.5, rows.min() - 0.5
        size = np.ptp(columns) + 1, np.ptp(rows) + 1
        panels[0][0].add_patch(
            Rectangle(corner, float(size[0]), float(size[1]), fill=False, edgecolor=VERMILION, linewidth=2.5)
        )
    row, column = np.unravel_index(i, y.shape)
    panels[2][0].add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=VERMILION, linewidth=2.5))
    for place, matrix, name in ((grid[1, :2], M_F, "M_F"), (grid[1, 2], M_X, "M_X")):
        ax = figure.add_subplot(place)
        ax.set_facecolor(PAPER)
        shown = np.where(np.arange(len(matrix))[:, None] <= i, matrix, np.nan)
        draw_values(ax, shown, limit)
        ax.set_aspect("auto")
        ax.add_patch(Rectangle((-0.5, i - 0.5), matrix.shape[1], 1, fill=False, edgecolor=VERMILION, linewidth=2))
        ax.set(
            title=f"${name}$: {matrix.shape[0]} × {matrix.shape[1]}", xticks=[], yticks=[i], yticklabels=[str(i + 1)]
        )
    figure.suptitle(
        f"entry {i + 1} of vec($S$)"
        + " − b" * bias
        + f" = row {i + 1} of $M_F$ · vec($X$) = row {i + 1} of $M_X$ · vec($F$)"
    )
    content = io.BytesIO()
    figure.savefig(content, format=form, dpi=100)
    return content.getvalue()


def training(
    losses: Sequence[float], train: Sequence[float], test: Sequence[float], path: str | os.PathLike[str]
) -> None:
    """The loss of every step beside the accuracies after every epoch, on the training and the held-out images."""
    epochs = np.arange(1, len(test) + 1)
    per_epoch = len(losses) // max(len(test), 1)
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    left.plot(
        np.arange(1, len(losses) + 1) / per_epoch, losses, color=BLUE, alpha=0.3, linewidth=0.8, label="each step"
    )
    means = [np.mean(part) for part in np.split(np.asarray(losses), len(test))]
    left.plot(epochs - 0.5, means, color=BLUE, linewidth=2, label="mean over an epoch")
    left.set_yscale("log", subs=[])
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.set(xlabel="epoch", ylabel="loss  $l$", title="Loss", xlim=(0, len(test)))
    right.plot(
        epochs, 100 * np.asarray(train), "s--", color=BLUE, markersize=3.5, linewidth=1.2, label="training images"
    )
    right.plot(
        epochs, 100 * np.asarray(test), "o-", color=VERMILION, markersize=4, linewidth=2, label="held-out images"
    )
    right.set(xlabel="epoch", ylabel="accuracy, %", title=f"Accuracy: {test[-1]:.1%} of the held-out images")
    right.xaxis.get_major_locator().set_params(integer=True)
    for ax in (left, right):
        ax.grid(color=PAPER, linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
    save_figure(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """A figure outside pyplot: no window, no state, no choice of backend for the caller's own pictures."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    FigureCanvasAgg(figure)
    return figure


def draw_values(ax: Any, values: Array, limit: float) -> Any:
    return ax.imshow(values, cmap=WEIGHTS, vmin=-limit, vmax=limit, interpolation="nearest", aspect="equal")


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    held = io.BytesIO()
    figure.savefig(held, format="png", metadata={"Software": None})
    write(Path(path), held.getvalue())
