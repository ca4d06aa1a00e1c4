"""Curves over training: figures of each epoch, of several runs, statistics of layers, learning rates, means over seeds."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from minigraph.inspect.plot import BLUE, PAPER, VERMILION, new_figure
from minigraph.plot.figures import written
from minigraph.train.callbacks import read_history

# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
PANELS = (("loss", "loss"), ("top1", "accuracy, %"), ("lr", "learning rate"))
FEW_LAYERS = 12  # more are told apart by a colour scale rather than by a legend
Row = dict[str, Any]


def training_curves(runs: Any, path: Any = None) -> Figure:
    """Loss, accuracy and learning rate of each epoch, of one history or several over one another; → Figure.

    ``runs``: a history (a list of rows), a history file (.jsonl, .csv), a run's folder, or a mapping of names to these.
    Training is dashed, validation solid, the best epoch marked. Raises ValueError for histories without rows.
    """
    named: Mapping[str, Any] = runs if isinstance(runs, Mapping) else {"": runs}
    histories = {name: history_of(run) for name, run in named.items()}
    for name, history in histories.items():
        if not history:
            raise ValueError(f"training_curves: got no epochs{f' of {name}' if name else ''}; wanted at least one")
    present = [(key, label) for key, label in PANELS if any(_key(row, key) for h in histories.values() for row in h)]
    if not present:
        raise ValueError("training_curves: got rows without loss, top1 or lr; wanted at least one of them")
    figure = new_figure(4.4 * len(present) + 0.4, 3.8)
    axes = np.atleast_1d(figure.subplots(1, len(present), squeeze=False))[0]
    for ax, (key, label) in zip(axes, present, strict=True):
        for i, (name, history) in enumerate(histories.items()):
            _curves(ax, history, key, name, COLOURS[i % len(COLOURS)])
        if key == "top1":
            ax.set_ylim(top=min(ax.get_ylim()[1], 100.5))
        elif _is_wide(ax):
            _logarithmic(ax)
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        _plain(ax)
    _legend(figure, axes[0])
    return written(figure, path)


def _key(row: Row, key: str) -> list[str]:
    return [name for name in (key, f"train_{key}", f"validation_{key}") if name in row]


def _curves(ax: Any, history: list[Row], key: str, name: str, colour: str) -> None:
    epochs = [row["epoch"] for row in history]
    for part, line in (("train", "--"), ("validation", "-"), ("", "-")):
        values = np.array([row.get(f"{part}_{key}" if part else key, math.nan) for row in history], float)
        if np.isnan(values).all():
            continue
        scale = 100 if key == "top1" else 1
        label = " ".join(filter(None, (name, part))) or key
        marker = "o" if len(epochs) == 1 else ""
        ax.plot(
            epochs,
            scale * values,
            line,
            color=colour,
            linewidth=1.2 if part == "train" else 2,
            label=label,
            marker=marker,
        )
        if part == "validation" and key != "lr":
            best = int(np.nanargmax(values) if key == "top1" else np.nanargmin(values))
            ax.plot(epochs[best], scale * values[best], "o", color=colour, markersize=5)
            if not name:
                ax.set_title(f"best {scale * values[best]:.4g} after epoch {epochs[best]}", fontsize=10)


def history_of(run: Any) -> list[Row]:
    """The rows of a history, of its file, or of a run's folder. Raises ValueError for other files, naming the line."""
    if not isinstance(run, (str, os.PathLike)):
        return [dict(row) for row in run]
    path = Path(run)
    if path.suffix != ".csv":
        return read_history(path)
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    try:
        numbers = [{key: float(v) if v else math.nan for key, v in row.items()} for row in rows]
        return [{**row, "epoch": int(row["epoch"])} for row in numbers]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: no history; wanted a table of numbers with a column epoch") from None


def learning_rate_range(rates: Any, losses: Any = None, path: Any = None, *, suggestion: float | None = None) -> Figure:
    """The loss over a learning rate that rises, and the suggested rate; ``rates``: numbers, or a RangeTest; → Figure."""
    if losses is None:
        rates, losses, suggestion = rates
    figure = new_figure(5.6, 3.8)
    ax = figure.subplots()
    ax.plot(rates, losses, color=BLUE, linewidth=2)
    ax.set_xscale("log")
    if suggestion is not None:
        ax.axvline(suggestion, color=VERMILION, linestyle="--")
        ax.set_title(f"the loss falls fastest at {suggestion:.2g}", fontsize=10)
    ax.set(xlabel="learning rate", ylabel="loss, smoothed")
    _plain(ax)
    return written(figure, path)


def statistics(rows: Sequence[Row], path: Any = None) -> Figure:
    """What ``train.Statistics`` recorded: a panel for each quantity, a line for each layer, over the steps; → Figure."""
    names = [
        n for n in ("activation_std", "gradient_norm", "weight_norm", "update_ratio") if any(n in row for row in rows)
    ]
    if not names:
        raise ValueError("statistics: got no rows; wanted those of train.Statistics")
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    figure = new_figure(
        4.2 * min(len(names), 2) + (2.2 if len(layers) <= FEW_LAYERS else 1), 3.1 * math.ceil(len(names) / 2)
    )
    axes = np.atleast_1d(figure.subplots(math.ceil(len(names) / 2), min(len(names), 2), squeeze=False)).ravel()
    from_first_to_last = _ramp(len(layers))
    for ax, name in zip(axes, names, strict=False):
        for layer, colour in zip(layers, from_first_to_last, strict=True):
            own = [(row["step"], row[name]) for row in rows if row["layer"] == layer and name in row]
            ax.plot(
                *zip(*own, strict=True), color=colour, linewidth=1.3, label=layer, marker="o" if len(own) == 1 else ""
            )
        ax.set_title(name.replace("_", " "), fontsize=10)
        ax.set_xlabel("step")
        if _is_wide(ax):
            _logarithmic(ax)
        _plain(ax)
    for ax in axes[len(names) :]:
        ax.axis("off")
    if len(layers) <= FEW_LAYERS:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
    else:
        figure.suptitle(f"from the first layer (dark) to the last (light): {layers[0]} to {layers[-1]}", fontsize=10)
    return written(figure, path)


def error_bars(
    x: Sequence[Any],
    series: Mapping[str, Any],
    path: Any = None,
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
) -> Figure:
    """Means over seeds with their standard errors, and each seed as a faint dot.   {name: (len(x), seeds)} → Figure."""
    figure = new_figure(5.8, 4.0)
    ax = figure.subplots()
    for i, (name, values) in enumerate(series.items()):
        v = np.asarray(values, float)
        if v.ndim != 2 or len(v) != len(x):
            raise ValueError(f"error_bars: got {name} of shape {v.shape}; wanted ({len(x)}, seeds)")
        colour, seeds = COLOURS[i % len(COLOURS)], v.shape[1]
        errors = v.std(axis=1, ddof=1) / math.sqrt(seeds) if seeds > 1 else np.zeros(len(v))
        ax.errorbar(x, v.mean(axis=1), errors, color=colour, linewidth=2, capsize=4, marker="o", label=name)
        ax.plot(np.repeat(x, seeds), v.ravel(), ".", color=colour, alpha=0.35)
    ax.set(xlabel=xlabel, ylabel=ylabel, xticks=list(x))
    ax.set_title(title, fontsize=11)
    ax.legend(frameon=False)
    _plain(ax)
    return written(figure, path)


def _ramp(n: int) -> list[Any]:
    return [colormaps["viridis"](0.92 * i / max(n - 1, 1)) for i in range(n)]


def _is_wide(ax: Any) -> bool:
    """Whether all values are above 0 and the largest is more than ten times the smallest."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.get_lines()] or [np.zeros(1)])
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() > 10 * values.min())


def _logarithmic(ax: Any) -> None:
    ax.set_yscale("log", subs=[])
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")


def _plain(ax: Any) -> None:
    ax.grid(color=PAPER, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, ax: Any) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if len(labels) > 4:
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    else:
        ax.legend(frameon=False)
