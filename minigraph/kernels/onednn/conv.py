"""Convolution by oneDNN: samples, or rows of samples, in parts; filters reordered as the primitive wants them."""

from __future__ import annotations

from ctypes import c_int
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from minigraph.kernels.numpy import layout
from minigraph.kernels.numpy.conv.blocks import OPERATIONS_PER_NANOSECOND, crop_rows
from minigraph.kernels.numpy.threads import equal_slices, parallel
from minigraph.kernels.onednn.library import dims
from minigraph.kernels.onednn.primitive import MOST_KEPT, TRAINING, Argument, Primitive, channels_last, images, library
from minigraph.kernels.registry import SEQUENTIAL_ERROR
from minigraph.kernels.tasks import ConvProblem, register_convolution
from minigraph.kernels.window import Array, Window

PART_PRODUCTS = 1 << 22  # of a part at least: some 70 µs of a core
MOST_PARTS = 16
MOST_SUMMED = 8192  # positions over which a filter's gradient is summed one after another
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
                        numbers=(Argument.SRC, Argument.WEIGHTS, Argument.DST))  # fmt: skip
    if slot == "y":
        return forward
    if slot == "x":
        return Primitive("convolution_backward_data", library.engine, _DIRECT, x, w, y, *geometry, forward.problem,
                         numbers=(Argument.DIFF_DST, Argument.WEIGHTS, Argument.DIFF_SRC))  # fmt: skip
    return Primitive("convolution_backward_weights", library.engine, _DIRECT, x, w, None, y, *geometry, forward.problem,
                     numbers=(Argument.SRC, Argument.DIFF_DST, Argument.DIFF_WEIGHTS))  # fmt: skip


def filter_sides(problem: ConvProblem) -> tuple[int, ...]:
    """(K, C, *f), with groups (groups, K/groups, C/groups, *f)."""
    _, _, C, K, groups, _ = problem
    return ((groups,) if groups > 1 else ()) + (K // groups, C // groups, *problem.window.kernel)


@lru_cache(MOST_KEPT)
def reorder(slot: str, problem: ConvProblem, strides: tuple[int, ...]) -> Primitive:
    """Filters that lie in memory by ``strides`` into the primitive's layout, or for slot "w" from its layout into theirs."""
    of, sides = primitive(slot, problem), filter_sides(problem)
    steps = [s // problem.dtype.itemsize for s in strides]
    plain = library.layout(sides, [steps[0] * sides[1], *steps] if problem.groups > 1 else steps)
    ends = (of.layout(Argument.DIFF_WEIGHTS), plain) if slot == "w" else (plain, of.layout(Argument.WEIGHTS))
    return Primitive("reorder", ends[0], library.engine, ends[1], library.engine, numbers=(Argument.SRC, Argument.DST))


class Part(NamedTuple):
    """A part of a convolution: samples, or rows of a sample."""

    problem: ConvProblem
    x: tuple[slice, ...]
    y: tuple[slice, ...]


@lru_cache(MOST_KEPT)
def parts(slot: str, problem: ConvProblem) -> list[Part]:
    """The problem in parts, each of enough work to be worth a call, and for the filters of sums that are not too long."""
    window, N, C, K, groups, _ = problem
    positions = prod(window.out)
    count = max(1, min(N * positions * prod(window.kernel) * C * K // groups // PART_PRODUCTS, MOST_PARTS))
    samples = -(-N // count)
    if slot == "w":
        samples = min(samples, MOST_SUMMED // positions)
        count = max(count, -(-positions // MOST_SUMMED))
    if slot == "x" or (N > 1 and samples):
        return [Part(problem._replace(N=s.stop - s.start), (s,), (s,)) for s in equal_slices(N, samples)]
    found = []
    for n in range(N):
        for outputs in equal_slices(window.out[0], -(-window.out[0] // count)):
            pixels, over = crop_rows(window, outputs)
            sample = slice(n, n + 1), slice(None)
            found.append(Part(problem._replace(N=1, window=over), (*sample, pixels), (*sample, outputs)))
    return found


@lru_cache(MOST_KEPT)
def orders(problem: ConvProblem) -> list[tuple[int, ...]]:
    """The strides of filters with their channels last in memory, and in C order."""
    sides = problem.K, problem.C // problem.groups, problem.window.kernel
    return [layout.empty(*sides, problem.dtype)[0].strides, np.empty((*sides[:2], *sides[2]), problem.dtype).strides]


def arranged(w: Array, slot: str, cut: list[Part]) -> dict[ConvProblem, Array]:
    """The filters in the layout that each part's primitive wants."""
    found = dict[ConvProblem, Array]()
    if w.strides not in orders(cut[0].problem):
        w = w.copy()
    for problem in dict.fromkeys(part.problem for part in cut):
        wanted = primitive(slot, problem).layout(Argument.WEIGHTS)
        same = next((p for p in found if library.equal(primitive(slot, p).layout(Argument.WEIGHTS), wanted)), None)
        found[problem] = primitive(slot, problem).empty(Argument.WEIGHTS) if same is None else found[same]
        if same is None:
            reorder(slot, problem, w.strides)(w, found[problem])
    return found


def filled(slot: str, given: Array, w: Array, problem: ConvProblem, channels: int, size: tuple[int, ...]) -> Array:
    """The images of slot "y" or "x", computed from those of the other and the filters."""
    given, cut = channels_last(given), parts(slot, problem)
    images, _ = layout.empty(problem.N, channels, size, given.dtype)
    filters = arranged(w, slot, cut)

    def fill(part: Part) -> None:
        source, target = (part.x, part.y) if slot == "y" else (part.y, part.x)
        primitive(slot, part.problem)(given[source], filters[part.problem], images[target])

    parallel(fill, cut, uses_blas=False)
    return images


def forward(x: Array, w: Array, window: Window, groups: int) -> Array:
    """The convolution."""
    problem = ConvProblem(window, len(x), x.shape[1], len(w), groups, x.dtype)
    return filled("y", x, w, problem, problem.K, window.out)


def input_gradient(g: Array, w: Array, window: Window, groups: int) -> Array:
    """The transposed convolution."""
    problem = ConvProblem(window, len(g), w.shape[1] * groups, len(w), groups, g.dtype)
    return filled("x", g, w, problem, problem.C, window.size)


def filter_gradient(x: Array, g: Array, window: Window, groups: int) -> Array:
    """The sum over the samples: of each part by itself, then of the parts two by two."""
    problem = ConvProblem(window, len(x), x.shape[1], g.shape[1], groups, x.dtype)
    x, g, cut = channels_last(x), channels_last(g), parts("w", problem)

    def gradient(part: Part) -> Array:
        run = primitive("w", part.problem)
        w = run.empty(Argument.DIFF_WEIGHTS)
        run(x[part.x], g[part.y], w)
        return w

    found = parallel(gradient, cut, uses_blas=False)
    sums = []
    for piece in dict.fromkeys(part.problem for part in cut):  # whose layouts may differ
        w, _ = layout.empty(problem.K, problem.C // groups, window.kernel, x.dtype)
        reorder("w", piece, w.strides)(add([v for v, part in zip(found, cut, strict=True) if part.problem == piece]), w)
        sums.append(w)
    return add(sums)


def add(arrays: list[Array]) -> Array:
    """The sum, written into the first."""
    while len(arrays) > 1:
        pairs = zip(arrays[::2], arrays[1::2], strict=False)
        arrays = [np.add(a, b, out=a) for a, b in pairs] + arrays[len(arrays) // 2 * 2 :]
    return arrays[0]


def supports(problem: ConvProblem) -> bool:
    """float32, zeros around the image or none, and not left to the library's reference."""
    if (
        problem.dtype != np.float32
        or not problem.window.valid
        or problem.N == 0
        or min(map(min, problem.window.padding)) < 0
    ):
        return False
    try:
        for slot in "yxw":
            for part in parts(slot, problem):
                for strides in orders(problem):
                    reorder(slot, part.problem, strides)
    except RuntimeError:
        return False
    return True


def cost(problem: ConvProblem) -> float:
    """Seconds of a core, for the forward slot."""
    window, N, C, K, groups, _ = problem
    lanes = -(-K // groups // 16) * 16 * groups
    products = N * prod(window.out) * prod(window.kernel) * (C // groups) * lanes
    return 5e-6 + products * 2e-9 / OPERATIONS_PER_NANOSECOND


register_convolution(
    "onednn",
    forward,
    input_gradient,
    filter_gradient,
    supports=supports,
    limits="float32, padding of zeros",
    cost=cost,
    error=SEQUENTIAL_ERROR,
)
