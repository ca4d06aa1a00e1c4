"""Convolution by oneDNN: samples, or rows of a single one, in parts; filters reordered as the primitive wants them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ctypes import c_int
from math import prod
from typing import Any

import numpy as np

from minigraph.kernels.numpy import layout, memory
from minigraph.kernels.numpy.conv.blocks import OPERATIONS_PER_NANOSECOND, crop_rows
from minigraph.kernels.numpy.threads import equal_slices, parallel
from minigraph.kernels.onednn.library import Unsupported, dims
from minigraph.kernels.onednn.primitive import (
    DIFF_DST, DIFF_SRC, DIFF_WEIGHTS, DST, MOST_KEPT, MOST_PARTS, SRC, TRAINING, WEIGHTS, Primitive,
    channels_last, images, library,
)
from minigraph.kernels.tasks import ConvProblem, register_convolution
from minigraph.kernels.window import Array, Window

PART_PRODUCTS = 1 << 22  # of a part at least: some 70 µs of a core
_DIRECT = c_int(1)


@lru_cache(MOST_KEPT)
def primitive(slot: str, problem: ConvProblem) -> Primitive:
    """The primitive that fills a slot from the two others, with filters in the layout that it chooses."""
    window, N, C, K, groups, _ = problem
    x, y, w = images(N, C, window.size), images(N, K, window.out), library.layout(filter_sides(problem))
    before, after = zip(*window.padding, strict=True)
    sides = window.stride, [d - 1 for d in window.dilation], before, after
    geometry = [dims(each) for each in sides]
    forward = Primitive("convolution_forward", library.engine, TRAINING, _DIRECT, x, w, None, y, *geometry,
                        numbers=(SRC, WEIGHTS, DST))  # fmt: skip
    if slot == "y":
        return forward
    if slot == "x":
        return Primitive("convolution_backward_data", library.engine, _DIRECT, x, w, y, *geometry, forward.problem,
                         numbers=(DIFF_DST, WEIGHTS, DIFF_SRC))  # fmt: skip
    return Primitive("convolution_backward_weights", library.engine, _DIRECT, x, w, None, y, *geometry, forward.problem,
                     numbers=(SRC, DIFF_DST, DIFF_WEIGHTS))  # fmt: skip


def filter_sides(problem: ConvProblem) -> tuple[int, ...]:
    """(K, C, *f), with groups (groups, K/groups, C/groups, *f)."""
    _, _, C, K, groups, _ = problem
    return ((groups,) if groups > 1 else ()) + (K // groups, C // groups, *problem.window.kernel)


@lru_cache(MOST_KEPT)
def reorder(slot: str, problem: ConvProblem) -> Primitive:
    """Filters from C order into the primitive's layout, or for slot "w" from its layout into C order."""
    of, sides = primitive(slot, problem), filter_sides(problem)
    plain = library.layout(sides, [prod(sides[i + 1 :]) for i in range(len(sides))])
    ends = (of.layout(DIFF_WEIGHTS), plain) if slot == "w" else (plain, of.layout(WEIGHTS))
    return Primitive("reorder", ends[0], library.engine, ends[1], library.engine, numbers=(SRC, DST))


def parts(problem: ConvProblem, rows: bool = False) -> list[tuple[ConvProblem, Any, Any]]:
    """The problem in parts, each of enough work to be worth a call, with what each takes of x and of y.

    Parts are samples, or with ``rows`` the rows of y if there is a single sample.
    """
    window, N, C, K, groups, _ = problem
    products = N * prod(window.out) * prod(window.kernel) * C * K // groups
    count = max(1, min(products // PART_PRODUCTS, MOST_PARTS))
    if N > 1 or not rows:
        return [(problem._replace(N=s.stop - s.start), s, s) for s in equal_slices(N, -(-N // count))]
    found = []
    for outputs in equal_slices(window.out[0], -(-window.out[0] // count)):
        pixels, over = crop_rows(window, outputs)
        found.append((problem._replace(window=over), (..., pixels, *whole(window)), (..., outputs, *whole(window))))
    return found


def whole(window: Window) -> list[slice]:
    """All of the axes but the first."""
    return [slice(None)] * (len(window.out) - 1)


def arranged(w: Array, slot: str, problems: Iterable[ConvProblem]) -> dict[ConvProblem, Array]:
    """The filters in the layout that each problem's primitive wants."""
    w, found = np.ascontiguousarray(w), dict[ConvProblem, Array]()
    for problem in dict.fromkeys(problems):
        wanted = primitive(slot, problem).layout(WEIGHTS)
        same = next((p for p in found if library.equal(primitive(slot, p).layout(WEIGHTS), wanted)), None)
        found[problem] = primitive(slot, problem).empty(WEIGHTS) if same is None else found[same]
        if same is None:
            reorder(slot, problem)(w, found[problem])
    return found


def forward(x: Array, w: Array, window: Window, groups: int) -> Array:
    """The convolution."""
    problem = ConvProblem(window, len(x), x.shape[1], len(w), groups, x.dtype)
    x, cut = channels_last(x), parts(problem, rows=True)
    y, _ = layout.empty(len(x), len(w), window.out, x.dtype)
    filters = arranged(w, "y", [part for part, _, _ in cut])

    def fill(part: tuple[ConvProblem, Any, Any]) -> None:
        piece, of_x, of_y = part
        primitive("y", piece)(x[of_x], filters[piece], y[of_y])

    parallel(fill, cut)
    return y


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """The transposed convolution."""
    problem = ConvProblem(window, len(g), w.shape[1] * groups, len(w), groups, g.dtype)
    g, cut = channels_last(g), parts(problem)
    x, _ = layout.empty(len(g), problem.C, window.size, g.dtype)
    filters = arranged(w, "x", [part for part, _, _ in cut])

    def fill(part: tuple[ConvProblem, Any, Any]) -> None:
        piece, samples, _ = part
        primitive("x", piece)(g[samples], filters[piece], x[samples])

    parallel(fill, cut)
    return x


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """The sum over the samples: of each part by itself, then of the parts in order."""
    problem = ConvProblem(window, len(x), x.shape[1], g.shape[1], groups, x.dtype)
    x, g, cut = channels_last(x), channels_last(g), parts(problem)

    def gradient(part: tuple[ConvProblem, Any, Any]) -> Array:
        piece, samples, _ = part
        w = primitive("w", piece).empty(DIFF_WEIGHTS)
        primitive("w", piece)(x[samples], g[samples], w)
        return w

    sums: dict[ConvProblem, Array] = {}
    for (piece, _, _), w in zip(cut, parallel(gradient, cut), strict=True):
        sums[piece] = np.add(sums[piece], w, out=sums[piece]) if piece in sums else w
    total: Array | None = None
    for piece, w in sums.items():
        plain = memory.empty((problem.K, problem.C // groups, *window.kernel), x.dtype)
        reorder("w", piece)(w, plain)
        total = plain if total is None else np.add(total, plain, out=total)
    assert total is not None
    return total


def supports(problem: ConvProblem) -> bool:
    """float32, zeros around the image or none, and not left to the library's reference."""
    if problem.dtype != np.float32 or not problem.window.valid or problem.N == 0 or min(map(min, problem.window.padding)) < 0:
        return False
    try:
        for slot in "yxw":
            for piece, _, _ in parts(problem, rows=slot == "y"):
                reorder(slot, piece)
    except (Unsupported, RuntimeError):
        return False
    return True


def cost(problem: ConvProblem) -> float:
    """Seconds of a core, for the forward slot."""
    window, N, C, K, groups, _ = problem
    lanes = -(-K // groups // 16) * 16 * groups
    products = N * prod(window.out) * prod(window.kernel) * (C // groups) * min(lanes, 16 * K)
    return 5e-6 + products * 2e-9 / OPERATIONS_PER_NANOSECOND


register_convolution(
    "onednn", forward, input_gradient, filter_gradient, supports=supports, limits="float32, padding of zeros", cost=cost
)
