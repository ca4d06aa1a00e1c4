"""Convolution as one trilinear form ⟨conv(x, w), y⟩, whose three slots are three ops.

    ⟨conv(x, w), y⟩ = Σ x[n, c, q] w[k, c, i] y[n, k, p]   where   q = p · stride + i · dilation − padding

With y open it is the convolution, with x open the transposed convolution, and with w open the filter gradient. The
Jacobians of each op hold one array fixed and are linear in the other, so their pushes and pulls are the other two ops
again, and derivatives of every order stay within these three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np

from minigraph import notation
from minigraph.array import Array
from minigraph.facts import Axis, ConvolutionPull, Layer, Reach, one_sample, spatial_axes
from minigraph.kernels import tasks
from minigraph.kernels.numpy.matrices import BlockMatrix, outputs_matrix, patches_matrix, toeplitz_matrix
from minigraph.kernels.registry import Task
from minigraph.kernels.tasks import ConvProblem
from minigraph.kernels.window import Ints, Pairs, Window
from minigraph.maps import Bounds, Broadcast, LinearMap, Shape, promoted
from minigraph.node import Node, Spec, value_of
from minigraph.op import Op, expect, expect_floats
from minigraph.ops.conv.matrices import BlockMap
from minigraph.ops.geometry import WINDOW, Padding, expect_axes, expect_bias, expect_groups, window_onto, window_over

Letter = Literal["x", "w", "y"]
TERMS: list[tuple[Letter, Letter]] = [("x", "w"), ("y", "w"), ("x", "y")]
# By the two filled slots, in either order: the task that computes the third, and the order of its arguments.
TASKS: dict[tuple[Letter, ...], tuple[Task, tuple[Letter, Letter]]] = {
    order: (task, names)
    for task, names in zip(tasks.CONVOLUTIONS, TERMS, strict=True)
    for order in (names, names[::-1])
}


@dataclass(frozen=True)
class Form:
    """The trilinear form of one geometry: N samples of C channels, K filters."""

    window: Window
    groups: int
    algorithm: str
    N: int
    C: int
    K: int

    def shape(self, slot: Letter) -> Shape:
        if slot == "w":
            return self.K, self.C // self.groups, *self.window.kernel
        return (self.N, self.C, *self.window.size) if slot == "x" else (self.N, self.K, *self.window.out)

    def third_slot(self, slots: dict[Letter, Any]) -> Any:
        """The open slot, computed from the two filled ones: an array, or a Node if one of them is a Node."""
        if not any(isinstance(v, Node | Spec) for v in slots.values()):
            task, (a, b) = TASKS[tuple(slots)]
            return task(np.asarray(slots[a]), np.asarray(slots[b]), self.window, self.groups, algorithm=self.algorithm)
        window = self.window.exact
        hyper = window.stride, window.padding, window.dilation, self.groups, self.algorithm
        if "y" not in slots:
            return Conv(*hyper)(slots["x"], slots["w"])
        if "x" not in slots:
            return ConvInputGradient(*hyper)(slots["y"], slots["w"])
        return ConvFilterGradient(*hyper, window.kernel)(slots["x"], slots["y"])


# By the slot that is held: the axis along which several arrays of each other slot may lie, since the held one has it not.
BESIDE: dict[Letter, dict[Letter, int]] = {"w": {"x": 0, "y": 0}, "x": {"w": 0, "y": 1}, "y": {"w": 1, "x": 1}}


class Held(BlockMap):
    """The form with the array of one slot held fixed: a linear map between the other two.

    With w held, from x to y: M_F for each sample. With x held, from w to y: M_X for each filter. With y held, from w to x:
    M_Y, whose entries are those of y.
    """

    def __init__(self, form: Form, source: Letter, target: Letter, held: Any, dtype: Any) -> None:
        super().__init__(form.shape(source), form.shape(target), dtype)
        self.form, self.source, self.target, self.held = form, source, target, held
        (self.slot,) = set(BESIDE) - {source, target}

    def push(self, v: Any) -> Any:
        expect(np.shape(v) == self.in_shape, str(self), f"a tangent of shape {self.in_shape}", shape=np.shape(v))
        return self.form.third_slot({self.source: v, self.slot: self.held})

    def pull(self, g: Any) -> Any:
        expect(np.shape(g) == self.out_shape, str(self), f"a cotangent of shape {self.out_shape}", shape=np.shape(g))
        return self.form.third_slot({self.target: g, self.slot: self.held})

    def _push_rows(self, rows: Any) -> Any:
        return self._together(rows, self.source, self.target)

    def _pull_rows(self, rows: Any) -> Any:
        return self._together(rows, self.target, self.source)

    def _together(self, rows: Any, given: Letter, wanted: Letter) -> Any:
        """All rows by one convolution: they lie beside one another along the axis that the held array does not have."""
        form = self.form if self.slot == "w" else replace(self.form, algorithm="auto")  # there will be more channels
        many = form.third_slot({given: self._beside(rows, given), self.slot: value_of(self.held)})
        return self._apart(many, len(rows), wanted)

    @property
    def by_sample(self) -> bool:
        return self.slot == "w"

    def _pull_samples(self, rows: Any) -> Any:
        if (self.source, self.target) != ("w", "y"):
            return super()._pull_samples(rows)
        beside, window = self._beside(rows, "y"), self.form.window
        many = tasks.conv_filter_gradients(value_of(self.held), beside, window, self.form.groups)
        return many[None] if len(rows) == 1 else np.stack([self._apart(w, len(rows), "w") for w in many], 1)

    def _place(self, slot: Letter) -> tuple[int, int]:
        """The axis of that slot along which rows lie beside one another, and the number of groups it has."""
        axis = BESIDE[self.slot][slot]
        return axis, self.form.groups if self.slot != "w" and (slot, axis) != ("w", 1) else 1

    def _beside(self, rows: Array, slot: Letter) -> Array:
        """(R, …, groups · n, …) → (…, groups · R · n, …)."""
        (axis, groups), (R, *shape) = self._place(slot), rows.shape
        split = rows.reshape(R, *shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
        return np.moveaxis(split, 0, axis + 1).reshape(*shape[:axis], shape[axis] * R, *shape[axis + 1 :])

    def _apart(self, many: Array, R: int, slot: Letter) -> Array:
        """(…, groups · R · n, …) → (R, …, groups · n, …)."""
        (axis, groups), shape = self._place(slot), self.form.shape(slot)
        split = many.reshape(*shape[:axis], groups, R, shape[axis] // groups, *shape[axis + 1 :])
        return np.moveaxis(split, axis + 1, 0).reshape(R, *shape)

    def _blocks(self) -> BlockMatrix:
        form, held = self.form, value_of(self.held).astype(self.dtype, copy=False)
        if self.slot == "w":
            return toeplitz_matrix(held, form.window, form.groups, form.N)
        if self.slot == "x":
            return patches_matrix(held, form.window, form.groups, form.K)
        return outputs_matrix(held, form.window, form.groups, form.C)

    @property
    def bounds(self) -> Bounds:
        form, meet = self.form, self.form.window.meetings
        C, K = form.C // form.groups, form.K // form.groups
        each = {"x": K * meet.per_pixel, "w": form.N * meet.per_tap, "y": C * meet.per_output}
        if not form.N:
            return Bounds(0, 0, 0)
        return Bounds(form.N * form.K * C * meet.total, each[self.target], each[self.source])

    def __str__(self) -> str:
        return {"w": "M_F", "x": "M_X", "y": "M_Y"}[self.slot]


def bias_formula(y: Any) -> str:
    """The formula of the Jacobian of a bias, one entry for each channel of y."""
    return notation.kronecker([("1", y.shape[0]), ("I", y.shape[1]), ("1", prod(y.shape[2:]))])


def bias_map(b: Any, y: Any) -> LinearMap:
    """v ↦ v[k] at every position of channel k of y; Jᵀ sums over samples and positions."""
    channel = y.shape[1], *[1] * (len(y.shape) - 2)
    return promoted(Broadcast(Spec(b.shape, y.dtype), y.shape, seen=channel, added=tasks.channel_totals), b)


def patches(N: int, K: int, groups: int) -> str:
    """The formula of ∂vec(y)/∂vec(w): M_X for each filter, followed by the permutation to samples before filters."""
    each = notation.kronecker([("I", K), ("M_X", 0)])
    if groups > 1:
        each = f"⊕_g {notation.term(notation.kronecker([('I', K // groups), ('M_{X_g}', 0)]))}"
    return each if N == 1 or K == 1 else notation.times("P", each)


@dataclass(eq=False)
class Slot(Op, abstract=True):
    """Base of the three ops: the geometry of the form."""

    data_operands: ClassVar[int | None] = 1
    defaults = WINDOW
    legend: ClassVar[dict[str, str]] = {
        "M_F": "the Toeplitz matrix of the filters: in each row a filter, laid into a zero image",
        "M_X": "the im2col matrix: in each row a patch of the image, sample by sample",
        "M_{X_g}": "M_X of the channels of group g",
        "M_Y": "the matrix of the convolution with its output held fixed, from filters to images",
        "P": "the permutation that puts samples before filters",
    }
    named_after: ClassVar[dict[str, str]] = {"M_F": "w", "M_X": "x", "M_{X_g}": "x"}

    stride: Ints
    padding: Padding
    dilation: Ints
    groups: int = 1
    algorithm: str = "auto"

    def __post_init__(self) -> None:
        self.name = f"{type(self).name}{len(self.stride)}d"

    def window(self, x: Any, w: Any) -> Window:
        raise NotImplementedError

    def algorithms(self, problem: ConvProblem) -> dict[str, Slot]:
        """This op by each algorithm that supports the problem."""
        return {
            name: replace(self, algorithm=name)
            for name, kernel in tasks.algorithms().items()
            if kernel.supports(problem)
        }

    def cuts(
        self, window: Window, filters: int, inputs: int, least: Callable[[int, int, int], int]
    ) -> list[list[Axis]]:
        """The batch, then the image, then the filters unless they are grouped; ``filters``: their axis of w."""
        sides = zip(spatial_axes(2, len(window.size)), window.extent, window.stride, window.padding, strict=True)
        image = [Axis(letter, ((0, i),), least(e, s, sum(pad))) for (letter, i), e, s, pad in sides]
        bias = ((2, 0),) if inputs == 3 else ()
        some = [] if self.groups > 1 else [[Axis("K", ((1, filters), *bias))]]
        return [[Axis("N", ((0, 0),))], image, *some]

    def solve(self, task: Task, a: Array, b: Array, window: Window) -> Array:
        """The open slot, computed from the arrays of the other two."""
        return task(a, b, window, self.groups, algorithm=self.algorithm)  # type: ignore[no-any-return]

    def expect_supported(self, problem: ConvProblem) -> None:
        """Raise ValueError if the requested algorithm does not support the problem."""
        if self.algorithm == "auto":
            return
        kernel, window = tasks.algorithms()[self.algorithm], problem.window
        if not kernel.supports(problem):
            raise ValueError(
                f"{self}: got kernel {window.kernel}, stride {window.stride}, dilation {window.dilation}, groups "
                f"{self.groups} of {problem.C} channels and {problem.K} filters; wanted {kernel.limits} for algorithm "
                f"{self.algorithm!r}"
            )

    def _form(self, window: Window, x: Shape, y: Shape) -> Form:
        return Form(window, self.groups, self.algorithm, x[0], x[1], y[1])


@dataclass(eq=False)
class Conv(Slot):
    """Convolution (cross-correlation).   x (N, C, *n), w (K, C/groups, *f)[, b (K,)] → y (N, K, *n′).

    y[n, k, p] = Σ x[n, c, q] w[k, c, i] + b[k];  n′ = ⌊(n + 2P − dilation (f − 1) − 1) / stride⌋ + 1.
    J_x = M_F for each sample; J_w = M_X for each filter; J_b repeats. Raises ShapeError, TypeError.
    """

    name = "conv"
    operands = ("x", "w", "b")
    formulas = ("I ⊗ M_F", "P (I ⊗ M_X)", "1 ⊗ I ⊗ 1")

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        N, K = y.shape[:2]
        if i == 1:
            return patches(N, K, self.groups)
        return notation.kronecker([("I", N), ("M_F", 0)]) if i == 0 else bias_formula(y)

    def window(self, x: Any, w: Any) -> Window:
        return window_over(self, x, w.shape[2:], self.stride, self.padding, self.dilation)

    def infer(self, x: Spec, w: Spec, b: Spec | None = None) -> Spec:
        expect_axes(self, len(self.stride), "N, C", x=x)
        expect_axes(self, len(self.stride), "K, C/groups", w=w)
        channels = w.shape[1] * self.groups
        expect(x.shape[1] == channels, self, f"x of {channels} channels for w and groups {self.groups}", x=x, w=w)
        expect_groups(self, self.groups, channels, w.shape[0], x=x, w=w)
        expect_bias(self, b, w.shape[0])
        dtype = expect_floats(self, x=x, w=w, **({"b": b} if b else {}))
        window = self.window(x, w)
        self.expect_supported(ConvProblem(window, x.shape[0], channels, w.shape[0], self.groups, dtype))
        return Spec((x.shape[0], w.shape[0], *window.out), dtype)

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        y = self.solve(tasks.conv_forward, x, w, self.window(x, w))
        return y if b is None else tasks.add_to_channels(y, b)

    def convolution_pull(self, i: int) -> ConvolutionPull | None:
        """x ∗ g for w, and full(rot180(w), g) for x; up(g) has stride − 1 zeros between the entries of g."""
        g = "g" if set(self.stride) == {1} else "up(g)"
        if i == 1:
            return ConvolutionPull(f"x ∗ {g}", self._filter_gradient)
        return ConvolutionPull(f"full(rot180(w), {g})", self._input_gradient) if i == 0 else None

    def _filter_gradient(self, g: Array, x: Array, w: Array, *b: Array) -> Array:
        """For each group x ∗ g, samples as the channels of the images x[:, c] and of the filters g[:, k]."""
        window = self.window(x, w)
        conv = Conv(self.dilation, window.padding, self.stride)
        pairs = zip(np.split(x, self.groups, 1), np.split(g, self.groups, 1), strict=True)
        taps: Any = (..., *map(slice, window.kernel))  # pixels beyond the last window give further taps
        gradients = [conv.evaluate((x.swapaxes(0, 1), g.swapaxes(0, 1)))[taps].swapaxes(0, 1) for x, g in pairs]
        return np.concatenate(gradients)

    def _input_gradient(self, g: Array, x: Array, w: Array, *b: Array) -> Array:
        """For each group full(rot180(w), up(g)), at the pixels of x."""
        window, d = self.window(x, w), len(self.stride)
        spread = np.zeros(
            (*g.shape[:2], *((n - 1) * s + 1 for n, s in zip(window.out, self.stride, strict=True))), g.dtype
        )
        every: Any = (..., *(slice(None, None, s) for s in self.stride))
        spread[every] = g
        conv = Conv((1,) * d, tuple((e - 1, e - 1) for e in window.extent), self.dilation)
        turned = np.flip(w, tuple(range(2, d + 2)))
        pairs = zip(np.split(spread, self.groups, 1), np.split(turned, self.groups), strict=True)
        full = np.concatenate([conv.evaluate((g, w.swapaxes(0, 1))) for g, w in pairs], 1)
        gradient = np.zeros(x.shape, full.dtype)
        inside = zip(full.shape[2:], x.shape[2:], (before for before, _ in window.padding), strict=True)
        ends = [(before, min(n, size + before)) for n, size, before in inside]
        source: Any = (..., *(slice(before, end) for before, end in ends))
        target: Any = (..., *(slice(0, end - before) for before, end in ends))
        gradient[target] = full[source]
        return gradient

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0, 1), (2,)][: n - 1]

    def multiply_adds(self, y: Any, x: Any, w: Any, b: Any = None) -> int:
        return int(y.size * prod(w.shape[1:]))

    def reach(self, y: Any, x: Any, *weights: Any) -> Reach:
        window = self.window(x, *weights[:1])
        return Reach(window.extent, window.stride)

    def layer(self, learned: int, x: Spec, w: Spec, *b: Spec) -> Layer:
        window = self.window(x, w)
        problem = ConvProblem(window, x.shape[0], x.shape[1], w.shape[0], self.groups, np.result_type(x.dtype, w.dtype))
        cuts = self.cuts(window, 0, 2 + len(b), lambda extent, stride, padding: max(1, extent - padding))
        return Layer(
            (one_sample(x), w, *b), 0, 1, algorithms=self.algorithms(problem), loops=window.meetings.total, cuts=cuts
        )

    def jacobians(self, y: Any, x: Any, w: Any, b: Any = None) -> list[LinearMap]:
        form = self._form(self.window(x, w), x.shape, y.shape)
        maps: list[LinearMap] = [
            promoted(Held(form, "x", "y", w, y.dtype), x),
            promoted(Held(form, "w", "y", x, y.dtype), w),
        ]
        return maps if b is None else [*maps, bias_map(b, y)]


@dataclass(eq=False)
class ConvInputGradient(Slot):
    """Transposed convolution, a convolution's input gradient.

    g (N, K, *n′), w (K, C/groups, *f)[, b (C,)] → (N, C, *n).

    x[n, c, q] = Σ g[n, k, p] w[k, c, i] + b[c];  n = (n′ − 1) stride + dilation (f − 1) + 1 − before − after +
    output_padding, which reduces the padding after. J_g = M_Fᵀ; J_w = M_Y of g. Raises ShapeError, TypeError.
    """

    padding: Pairs
    output_padding: Ints = ()
    name = "conv_transpose"
    operands = ("g", "w", "b")
    formulas = ("I ⊗ M_Fᵀ", "M_Y", "1 ⊗ I ⊗ 1")
    named_after: ClassVar[dict[str, str]] = {"M_F": "w", "M_Y": "g"}

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        return (notation.kronecker([("I", y.shape[0]), ("M_Fᵀ", 0)]), "M_Y", bias_formula(y))[i]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        given = super().hyperparameters
        return given if any(self.output_padding) else {k: v for k, v in given.items() if k != "output_padding"}

    def window(self, g: Any, w: Any) -> Window:
        extra = self.output_padding or (0,) * len(self.padding)
        padding = tuple((before, after - m) for (before, after), m in zip(self.padding, extra, strict=True))
        return window_onto(self, g, w.shape[2:], self.stride, padding, self.dilation)

    def infer(self, g: Spec, w: Spec, b: Spec | None = None) -> Spec:
        expect_axes(self, len(self.stride), "N, C_in", x=g)
        expect_axes(self, len(self.stride), "C_in, C_out/groups", w=w)
        expect(g.shape[1] == w.shape[0], self, f"x with {w.shape[0]} channels, the first side of w", x=g, w=w)
        expect_groups(self, self.groups, w.shape[0], w.shape[1] * self.groups, x=g, w=w)
        expect_bias(self, b, w.shape[1] * self.groups)
        dtype = expect_floats(self, x=g, w=w, **({"b": b} if b else {}))
        window, K, C = self.window(g, w), w.shape[0], w.shape[1] * self.groups
        self.expect_supported(ConvProblem(window, g.shape[0], C, K, self.groups, dtype))
        return Spec((g.shape[0], w.shape[1] * self.groups, *window.size), dtype)

    def forward(self, g: Array, w: Array, b: Array | None = None) -> Array:
        x = self.solve(tasks.conv_input_gradient, g, w, self.window(g, w))
        return x if b is None else tasks.add_to_channels(x, b)

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0, 1), (2,)][: n - 1]

    def multiply_adds(self, y: Any, g: Any, w: Any, b: Any = None) -> int:
        return int(g.size * prod(w.shape[1:]))

    def reach(self, y: Any, x: Any, *weights: Any) -> Reach:
        window = self.window(x, *weights[:1])
        taps = tuple(-(-e // s) for e, s in zip(window.extent, window.stride, strict=True))
        return Reach(taps, tuple(Fraction(1, s) for s in window.stride))

    def layer(self, learned: int, x: Spec, w: Spec, *b: Spec) -> Layer:
        window, C = self.window(x, w), w.shape[1] * self.groups
        problem = ConvProblem(window, x.shape[0], C, w.shape[0], self.groups, np.result_type(x.dtype, w.dtype))
        cuts = self.cuts(
            window, 1, 2 + len(b), lambda extent, stride, padding: max(1, 1 - (extent - 1 - padding) // stride)
        )
        return Layer(
            (one_sample(x), w, *b), 0, 1, algorithms=self.algorithms(problem), loops=window.meetings.total, cuts=cuts
        )

    def jacobians(self, x: Any, g: Any, w: Any, b: Any = None) -> list[LinearMap]:
        form = self._form(self.window(g, w), x.shape, g.shape)
        maps: list[LinearMap] = [
            promoted(Held(form, "x", "y", w, x.dtype).T, g),
            promoted(Held(form, "w", "x", g, x.dtype), w),
        ]
        return maps if b is None else [*maps, bias_map(b, x)]


@dataclass(eq=False)
class ConvFilterGradient(Slot):
    """A convolution's filter gradient.   x (N, C, *n), g (N, K, *n′) → (K, C/groups, *f).

    w[k, c, i] = Σ x[n, c, q] g[n, k, p]. J_x = M_Yᵀ of g; J_g = M_Xᵀ.
    Raises ShapeError, TypeError.
    """

    kernel: Ints = ()
    name = "conv_filter_gradient"
    operands = ("x", "g")
    data_operands = None
    formulas = ("M_Yᵀ", "(P (I ⊗ M_X))ᵀ")
    named_after: ClassVar[dict[str, str]] = {"M_X": "x", "M_{X_g}": "x", "M_Y": "g"}

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        if i == 0:
            return "M_Yᵀ"
        N, K = xs[1].shape[:2]
        text = patches(N, K, self.groups)
        return f"({text})ᵀ" if text[0] in "P⊕" else text + "ᵀ"  # of I ⊗ M_X in place

    def window(self, x: Any, g: Any) -> Window:
        return window_over(self, x, self.kernel, self.stride, self.padding, self.dilation)

    def infer(self, x: Spec, g: Spec) -> Spec:
        expect_axes(self, len(self.stride), "N, C", x=x)
        expect_axes(self, len(self.stride), "N, K", g=g)
        expect_groups(self, self.groups, x.shape[1], g.shape[1], x=x, g=g)
        wanted = (x.shape[0], g.shape[1], *self.window(x, g).out)
        expect(g.shape == wanted, self, f"g of shape {wanted}", x=x, g=g)
        return Spec((g.shape[1], x.shape[1] // self.groups, *self.kernel), expect_floats(self, x=x, g=g))

    def forward(self, x: Array, g: Array) -> Array:
        return self.solve(tasks.conv_filter_gradient, x, g, self.window(x, g))

    def multiply_adds(self, y: Any, x: Any, g: Any) -> int:
        return int(g.size * prod(y.shape[1:]))

    def jacobians(self, w: Any, x: Any, g: Any) -> list[LinearMap]:
        form = self._form(self.window(x, g), x.shape, g.shape)
        return [
            promoted(Held(form, "w", "x", g, w.dtype).T, x),
            promoted(Held(form, "w", "y", x, w.dtype).T, g),
        ]
