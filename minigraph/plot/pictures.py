"""Images: grids of them, mistakes, the confusion of classes; edges of a photograph; equivariance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigraph.array import Array
from minigraph.inspect.plot import draw_values, new_figure
from minigraph.ops.conv.functions import conv2d
from minigraph.ops.pool import max_pool2d
from minigraph.plot.figures import draw_picture, written

MANY_CLASSES = 20  # up to which counts are written into a confusion matrix
MAX_IMAGES = 64


def images(x: Any, path: Any = None, *, titles: Sequence[str] = ()) -> Figure:
    """A grid of images (N, C, H, W), grey or in colours, each on its own scale, with titles; at most 64; → Figure."""
    x = np.asarray(x)
    if x.ndim != 4 or not len(x):
        raise ValueError(f"images: got an array of shape {x.shape}; wanted images (N, C, H, W)")
    shown = x[:MAX_IMAGES]
    columns = min(len(shown), 8)
    rows = math.ceil(len(shown) / columns)
    figure = new_figure(1.5 * columns + 0.2, (1.5 if not titles else 1.75) * rows + 0.2)
    for i, ax in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        ax.axis("off")
        if i < len(shown):
            draw_picture(ax, shown[i])
            if i < len(titles):
                ax.set_title(titles[i], fontsize=9)
    if len(x) > len(shown):
        figure.suptitle(f"{len(shown)} of {len(x)} images", fontsize=10)
    return written(figure, path)


def confusion_matrix(matrix: Any, path: Any = None, *, classes: Sequence[str] = ()) -> Figure:
    """Counts (true class, predicted class) as a matrix, each row coloured by its shares; the accuracy as title; → Figure."""
    M = np.asarray(matrix)
    if M.ndim != 2 or M.shape[0] != M.shape[1] or not M.sum():
        raise ValueError(f"confusion_matrix: got shape {M.shape} with {M.sum()} images; wanted (K, K) with some")
    K = len(M)
    names = [str(c) for c in classes] if len(classes) == K else [str(i) for i in range(K)]
    side = max(4.0, min(10.0, 0.42 * K + 1.6))
    figure = new_figure(side + 0.9, side)
    ax = figure.subplots()
    shares = M / np.maximum(M.sum(axis=1, keepdims=True), 1)
    figure.colorbar(ax.imshow(shares, cmap="Blues", vmin=0, vmax=1), ax=ax, label="share of the true class", shrink=0.8)
    if K <= MANY_CLASSES:
        for (i, j), count in np.ndenumerate(M):
            if count:
                ax.text(
                    j,
                    i,
                    str(count),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if shares[i, j] > 0.5 else "black",
                )
    ticks = np.arange(K) if K <= 40 else np.linspace(0, K - 1, 20).astype(int)
    ax.set_xticks(ticks, [names[i] for i in ticks], rotation=90 if max(map(len, names)) > 2 else 0, fontsize=8)
    ax.set_yticks(ticks, [names[i] for i in ticks], fontsize=8)
    ax.set(
        xlabel="predicted", ylabel="true", title=f"{np.trace(M):,} of {M.sum():,} right: {np.trace(M) / M.sum():.2%}"
    )
    return written(figure, path)


def mistakes(
    x: Any, labels: Any, probabilities: Any, path: Any = None, *, classes: Sequence[str] = (), most: int = 24
) -> Figure:
    """The images that were taken for another class with the most confidence: true → predicted, and its probability; → Figure.

    x (N, C, H, W), labels (N,), probabilities (N, K). Raises ValueError where nothing was mistaken.
    """
    x, y, p = (np.asarray(a) for a in (x, labels, probabilities))
    if p.ndim != 2 or y.shape != (len(p),) or len(x) != len(p):
        raise ValueError(
            f"mistakes: got {len(x)} images, labels {y.shape} and probabilities {p.shape}; wanted as many of each"
        )
    guess = p.argmax(axis=1)
    wrong = np.flatnonzero(guess != y)
    if not len(wrong):
        raise ValueError(f"mistakes: all {len(p)} images are right; wanted at least one mistake")
    worst = wrong[np.argsort(-p[wrong, guess[wrong]], kind="stable")][:most]

    def name(c: int) -> str:
        return str(classes[c]) if c < len(classes) else str(c)

    titles = [f"{name(y[i])} → {name(guess[i])}, {p[i, guess[i]]:.0%}" for i in worst]
    figure = images(x[worst], titles=titles)
    figure.suptitle(
        f"{len(wrong)} of {len(p)} wrong" + (f", the {len(worst)} most confident" if len(worst) < len(wrong) else ""),
        fontsize=10,
    )
    return written(figure, path)


# --- classical filters, by convolution ---------------------------------------------------------------------

SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], float) / 8
LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)


def gaussian(sigma: float) -> Array:
    """The Gaussian filter (n, n), n = 2 ⌈3σ⌉ + 1, of sum 1."""
    t = np.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1)
    g = np.exp(-(t**2) / (2 * sigma**2))
    w: Array = np.outer(g, g) / g.sum() ** 2
    return w


def edges(x: Any, path: Any = None) -> Figure:
    """A photograph (H, W) or (C, H, W), blurred by Gaussian filters, and its edges: Sobel's two filters, their norm, Laplace's; → Figure."""
    x = np.asarray(x, np.float64)
    grey = x if x.ndim == 2 else x.mean(axis=0)
    if grey.ndim != 2:
        raise ValueError(f"edges: got an array of shape {x.shape}; wanted a photograph (H, W) or (C, H, W)")

    def filtered(w: Array) -> Array:
        p = len(w) // 2
        padded = np.pad(grey, p, mode="edge")
        y: Array = conv2d(padded[None, None], w[None, None])[0, 0]
        return y

    down, right = filtered(SOBEL.T), filtered(SOBEL)
    panels = (
        ("photograph", grey, False), ("Gaussian, σ = 1", filtered(gaussian(1)), False),
        ("Gaussian, σ = 3", filtered(gaussian(3)), False), ("Sobel, ∂/∂x", right, True),
        ("Sobel, ∂/∂y", down, True), ("norm of the gradient", np.hypot(right, down), False), ("Laplace", filtered(LAPLACE), True),
    )  # fmt: skip
    figure = new_figure(11, 5.9)
    axes = figure.subplots(2, 4).ravel()
    axes[-1].axis("off")
    for ax, (title, values, signed) in zip(axes, panels, strict=False):
        if signed:
            draw_values(ax, values, float(np.percentile(np.abs(values), 99.5)) or 1.0)
        else:
            ax.imshow(values, cmap="gray", interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=10)
    return written(figure, path)


def equivariance(x: Any, w: Any, shift: tuple[int, int] = (3, 5), path: Any = None, *, window: int = 2) -> Figure:
    """A picture x (H, W) shifted and convolved with w (f, f), and convolved and shifted: the same; and how max pooling changes; → Figure.

    Shifts are cyclic, borders are left out. Under the panels stand the largest differences, relative to the largest value.
    """
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    if x.ndim != 2 or w.ndim != 2:
        raise ValueError(f"equivariance: got a picture {x.shape} and a filter {w.shape}; wanted (H, W) and (f, f)")

    def shifted(a: Array, by: tuple[int, int] = shift) -> Array:
        return np.roll(a, by, (0, 1))

    def convolved(a: Array) -> Array:
        y: Array = conv2d(
            np.pad(a, [(n // 2, n - 1 - n // 2) for n in w.shape], mode="wrap")[None, None], w[None, None]
        )[0, 0]
        return y

    def pooled(a: Array) -> Array:
        y: Array = max_pool2d(a[None, None], window)[0, 0]
        return y

    first, second = convolved(shifted(x)), shifted(convolved(x))
    scale = float(np.abs(second).max()) or 1.0
    one = pooled(convolved(shifted(x, (0, 1))))
    same = pooled(convolved(x))
    change, before = (
        float(np.abs(one - same).mean()),
        float(np.abs(convolved(shifted(x, (0, 1))) - convolved(x)).mean()),
    )
    panels = (
        ("picture, shifted", shifted(x), "gray", f"by {shift}"),
        ("convolved after the shift", first, "gray", ""),
        ("shifted after convolving", second, "gray", ""),
        ("their difference", first - second, None, f"largest: {np.abs(first - second).max() / scale:.1e}"),
        (f"max pooled {window}×{window}", same, "gray", ""),
        ("pooled, shifted by one pixel", one, "gray", f"mean change {change:.3g}, before pooling {before:.3g}"),
    )
    figure = new_figure(10.5, 7.2)
    for ax, (title, values, cmap, note) in zip(figure.subplots(2, 3).ravel(), panels, strict=True):
        if cmap:
            ax.imshow(values, cmap=cmap, interpolation="nearest")
        else:
            draw_values(ax, values, scale)
        ax.set(xticks=[], yticks=[], xlabel=note)
        ax.set_title(title, fontsize=10)
    return written(figure, path)
