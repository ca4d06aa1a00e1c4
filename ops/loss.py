"""Losses: numbers to make small. Like reductions, J = Sum · diag(weights)."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any, ClassVar

import numpy as np

from minigraph import notation
from minigraph.arguments import expect_choice, expect_number, expect_plain
from minigraph.array import Array, plain
from minigraph.kernels import tasks
from minigraph.maps import Diagonal, LinearMap, promoted
from minigraph.node import Spec, value_of
from minigraph.op import Op, expect, expect_floats, operand
from minigraph.ops.activation import log_softmax, sigmoid, softmax
from minigraph.ops.elementwise import Elementwise
from minigraph.ops.reduce import sum_map
from minigraph.sums import mean, total

__all__ = [
    "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "l1_loss", "l2_penalty", "mse_loss",
    "multi_margin_loss", "nll_loss", "smooth_l1_loss",
]  # fmt: skip


def expect_reduction(op: str, reduction: str) -> None:
    """Raise ValueError for another reduction than the three."""
    expect_choice(op, ("mean", "sum", "none"), reduction=reduction)


# --- of numbers --------------------------------------------------------------------------------------


def of_difference(function: Any, slope: Any) -> tuple[Any, Any, Any]:
    """f(input − target), its derivative in the input, and in the target."""
    return (
        lambda a, t, **options: function(a - t, **options),
        lambda y, a, t, **options: slope(a - t, **options),
        lambda y, a, t, **options: -slope(a - t, **options),
    )


def huber(d: Any, delta: float) -> Any:
    """½ d² where |d| ≤ δ, else δ (|d| − ½ δ)."""
    c = np.clip(d, -delta, delta)
    return c * (d - 0.5 * c)


ONE = np.float64(1)


def logistic(x: Any, t: Any, weight: Any = ONE, pos_weight: Any = ONE) -> Any:
    """−w (p t log σ(x) + (1 − t) log σ(−x)), −log σ(x) = max(−x, 0) + log(1 + e^−|x|): no term cancels another."""
    w, p = weight.astype(x.dtype), pos_weight.astype(x.dtype)
    tail = np.log1p(np.exp(np.minimum(x, -x)))
    return w * (p * t * (np.maximum(-x, 0) + tail) + (1 - t) * (np.maximum(x, 0) + tail))


def logistic_slope(y: Any, x: Any, t: Any, weight: Any = ONE, pos_weight: Any = ONE) -> Any:
    w, p = weight.astype(x.dtype), pos_weight.astype(x.dtype)
    return w * ((1 - t) * sigmoid(x) - p * t * sigmoid(-x))


def logistic_target_slope(y: Any, x: Any, t: Any, weight: Any = ONE, pos_weight: Any = ONE) -> Any:
    w, p = weight.astype(x.dtype), pos_weight.astype(x.dtype)
    return w * ((p - 1) * np.logaddexp(-x, 0) - x)


# The loss of one entry, its derivative in the input, and in the target.
LOSSES = {
    "mse_loss": of_difference(lambda d: d * d, lambda d: 2 * d),
    "l1_loss": of_difference(np.absolute, np.sign),
    "huber_loss": of_difference(huber, lambda d, delta: np.clip(d, -delta, delta)),
    "smooth_l1_loss": of_difference(
        lambda d, beta: np.clip(d, -beta, beta) / beta * (d - 0.5 * np.clip(d, -beta, beta)),
        lambda d, beta: np.clip(d, -beta, beta) / beta,
    ),
    "binary_cross_entropy_with_logits": (logistic, logistic_slope, logistic_target_slope),
}


# The derivative in the input on paper; that in the target has x and t exchanged.
SLOPES = {
    "mse_loss": "2 (x − t)",
    "l1_loss": "sign(x − t)",
    "huber_loss": "clip(x − t, −δ, δ)",
    "smooth_l1_loss": "clip((x − t)/β, −1, 1)",
}


class ElementwiseLoss(Op):
    """l = f(input, target), entry by entry, then summed or averaged.   (S), (S) → () or (S);   J = Sum · diag(∂f)."""

    name = "elementwise_loss"
    operands = ("input", "target")
    defaults: ClassVar[dict[str, Any]] = {"reduction": "mean"}

    def __init__(self, name: str, reduction: str = "mean", **options: Any) -> None:
        expect_reduction(name, reduction)
        self.name, self.reduction, self.options = name, reduction, options
        self.each = Elementwise(name, *(partial(f, **options) for f in LOSSES[name]))

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"reduction": self.reduction, **self.options}

    legend: ClassVar[dict[str, str]] = {"w": "weight", "p": "pos_weight", "n": "the number of entries"}

    def symbols(self, n: int) -> list[str]:
        return ["x", "t"][:n]

    def slope(self, i: int) -> str:
        """∂l/∂xᵢ for one entry, as a formula."""
        if self.name in SLOPES:
            return SLOPES[self.name].replace("x − t", "t − x") if i else SLOPES[self.name]
        if "pos_weight" in self.options:
            text = "(p − 1) log(1 + e⁻ˣ) − x" if i else "(1 − t) σ(x) − p t σ(−x)"
        else:
            text = "−x" if i else "σ(x) − t"
        return f"w {notation.factor(text)}" if "weight" in self.options else text

    def formula(self, i: int) -> str | None:
        row = notation.transposed(self.slope(i))
        return {"none": f"diag({self.slope(i)})", "sum": row, "mean": notation.over(row, "n")}[self.reduction]

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        return self.formula(i) if xs[i].shape else self.slope(i)

    def infer(self, input: Spec, target: Spec) -> Spec:
        got = {"input": input, "target": target}
        expect(input.shape == target.shape, self, "target of input's shape", **got)
        for name, w in self.options.items():
            if isinstance(w, np.ndarray):
                valid = w.ndim <= input.ndim and all(
                    n in (1, m) for n, m in zip(w.shape[::-1], input.shape[::-1], strict=False)
                )
                expect(valid, self, f"{name} that broadcasts to the input", input=input, **{name: w.shape})
        return Spec(input.shape if self.reduction == "none" else (), self.dtype(input, target))

    def dtype(self, input: Any, target: Any) -> Any:
        """The common dtype of what is float; integers and booleans take it."""
        return expect_floats(self, input=input, **({} if target.dtype.kind in "iub" else {"target": target}))

    def forward(self, input: Array, target: Array) -> Any:
        losses = self.each.forward(input, target)
        if self.reduction == "none":
            return losses
        with np.errstate(invalid="ignore"):  # the mean over nothing is NaN, as in PyTorch
            return (
                mean(losses)
                if self.reduction == "mean" and losses.size
                else total(losses) / losses.dtype.type(losses.size if self.reduction == "mean" else 1)
            )

    def jacobians(self, y: Any, input: Any, target: Any) -> list[LinearMap | None]:
        losses = Spec(input.shape, y.dtype)
        maps = self.each.jacobians(losses, input, target)
        if self.reduction == "none":
            return maps
        added = sum_map(losses, (1,) * losses.ndim, ())
        if self.reduction == "mean":
            added = Diagonal(Spec((), y.dtype), lambda: 1 / max(losses.size, 1)) @ added
        return [J and added @ J for J in maps]


def _broadcast(name: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Both in one shape, with a warning if they were of two: (N, 1) beside (N,) is seldom meant."""
    x, t = operand(name, input), operand(name, target)
    if x.shape == t.shape:
        return x, t
    try:
        shape = np.broadcast_shapes(x.shape, t.shape)
    except ValueError:
        expect(False, name, "target of input's shape, or one that broadcasts", input=x.shape, target=t.shape)
    warnings.warn(
        f"{name}: got input {x.shape}, target {t.shape}, which broadcast to {shape}; wanted equal shapes", stacklevel=3
    )
    return np.broadcast_to(x, shape), np.broadcast_to(t, shape)


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """(input − target)², averaged, summed or each. (S), (S) → (), or (S) with reduction "none".

    ∂l/∂input = 2 (input − target) / n = −∂l/∂target. Shapes that differ are broadcast with a warning, as in PyTorch.
    Raises ShapeError for those that do not broadcast, ValueError, TypeError.
    """
    return ElementwiseLoss("mse_loss", reduction)(*_broadcast("mse_loss", input, target))


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """|input − target|, averaged, summed or each. (S), (S) → (), or (S) with reduction "none".

    ∂l/∂input = sign(input − target) / n, 0 where they are equal. Raises as mse_loss.
    """
    return ElementwiseLoss("l1_loss", reduction)(*_broadcast("l1_loss", input, target))


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    """½ d² where |d| ≤ δ, else δ (|d| − ½ δ), d = input − target. (S), (S) → (), or (S) with reduction "none".

    ∂l/∂input = d, clipped to [−δ, δ], over n. Huber 1964. Raises as mse_loss, and ValueError unless δ > 0.
    """
    expect_number("huber_loss", delta=delta)
    if not delta > 0:
        raise ValueError(f"huber_loss: got delta {delta}; wanted a number above 0")
    return ElementwiseLoss("huber_loss", reduction, delta=float(delta))(*_broadcast("huber_loss", input, target))


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """Huber's loss with δ = β, over β: |d| − ½ β beyond β; the l1_loss for β = 0. (S), (S) → (), or (S).

    ∂l/∂input = d/β, clipped to [−1, 1], over n. Girshick 2015. Raises as mse_loss, and ValueError unless β ≥ 0.
    """
    expect_number("smooth_l1_loss", beta=beta)
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: got beta {beta}; wanted a number of at least 0")
    return (
        ElementwiseLoss("smooth_l1_loss", reduction, beta=float(beta))(*_broadcast("smooth_l1_loss", input, target))
        if beta
        else l1_loss(input, target, reduction)
    )


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """−t log σ(s) − (1 − t) log(1 − σ(s)) for logits s = ``input``, t = ``target``. (S), (S) → (), or (S).

    ``weight`` multiplies each loss, ``pos_weight`` its first term; both broadcast to (S). ∂l/∂s = (σ(s) − t) / n
    without them. Without overflow for any s. Raises as mse_loss.
    """
    given = {"weight": weight, "pos_weight": pos_weight}
    name = "binary_cross_entropy_with_logits"
    expect_plain(name, **given)
    weights = {key: np.array(plain(w, name)) for key, w in given.items() if w is not None}
    return ElementwiseLoss(name, reduction, **weights)(input, target)


# --- of classes --------------------------------------------------------------------------------------


class CrossEntropy(Op):
    """l = −Σ t log softmax(s), t the target distribution.   s (N, C, …), labels (N, …) → () or (N, …).

    ∂l/∂s = p − t, the lectures' −(y − p)ᵀ, scaled by 1/N for the mean.
    """

    name = "cross_entropy"
    operands = ("s", "labels")
    legend: ClassVar[dict[str, str]] = {
        "p": "the probabilities softmax(s), 0 for labels that are ignored",
        "t": "the target distribution, smoothed by label_smoothing, times the weights of the classes",
        "Σ": "over the classes, at each position",
        "N": "the number of labels, or the sum of their weights",
    }

    def slope_formula(self, labels: Any) -> str:
        """∂l/∂s at one position, as a formula."""
        simple = self.weight is None and (labels is None or labels.dtype.kind != "f")
        return "p − t" if simple else "p Σ t − t"

    def formula(self, i: int) -> str | None:
        return self.summed(i, None)

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        return self.summed(i, xs[1], xs[0].shape) if i == 0 or xs[1].dtype.kind == "f" else None

    def summed(self, i: int, labels: Any, shape: tuple[int, ...] = (2, 2)) -> str:
        """The row of the loss, or with reduction "none" one for each place, from the slope."""
        text = self.slope_formula(labels)
        if i:
            text = "−" + "".join(
                ("(1 − ε) " if self.label_smoothing else "", "" if self.weight is None else "w ", "log(p)")
            )
        if self.reduction == "none" and math.prod(shape) != shape[axis := 1 if len(shape) > 1 else 0]:
            sums = notation.kronecker(("1ᵀ" if k == axis else "I", n) for k, n in enumerate(shape))
            return notation.times(sums, f"diag({text})")
        row = notation.transposed(text)
        return notation.over(row, "N") if self.reduction == "mean" else row

    defaults: ClassVar[dict[str, Any]] = {
        "reduction": "mean",
        "label_smoothing": 0.0,
        "weight": None,
        "p": 1,
        "margin": 1.0,
    }

    def __init__(
        self,
        weight: Any = None,
        ignore_index: float = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        expect_reduction(self.name, reduction)
        expect_number(self.name, ignore_index=ignore_index, label_smoothing=label_smoothing)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"cross_entropy: got label_smoothing {label_smoothing}; wanted a number from 0 to 1")
        expect_plain(self.name, weight=weight)
        self.weight = None if weight is None else np.array(plain(weight, self.name))
        self.ignore_index, self.reduction, self.label_smoothing = ignore_index, reduction, label_smoothing

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "label_smoothing": self.label_smoothing, "weight": self.weight}

    def infer(self, s: Spec, labels: Spec) -> Spec:
        got = {"logits": s, "labels": labels}
        dtype = expect_floats(self, logits=s)
        expect(s.ndim > 0 and s.shape[self.axis(s)] > 0, self, "logits (N, C, …) of at least one class", **got)
        places = s.shape[: self.axis(s)] + s.shape[self.axis(s) + 1 :]
        if labels.dtype.kind == "f":
            if labels.shape == places:
                raise TypeError(
                    f"{self}: got labels {labels}; wanted integer class numbers, or probabilities of shape {s.shape}"
                )
            expect(labels.shape == s.shape, self, f"labels {places} of integers, or probabilities {s.shape}", **got)
        else:
            if labels.dtype.kind in "bc":
                raise TypeError(f"{self}: got labels {labels}; wanted integer class numbers")
            expect(labels.shape == places, self, f"labels of shape {places}", **got)
        classes = s.shape[self.axis(s)]
        if self.weight is not None:
            expect(
                self.weight.shape == (classes,),
                self,
                f"one weight for each of {classes} classes",
                weight=self.weight.shape,
            )
        return Spec(places if self.reduction == "none" else (), dtype)

    @staticmethod
    def axis(s: Any) -> int:
        return 1 if len(s.shape) > 1 else 0

    def target(self, s: Any, labels: Any) -> tuple[Any, float]:
        """The weighted target distribution, s.shape, and what the sum is divided by."""
        axis, classes = self.axis(s), s.shape[self.axis(s)]
        weight = np.ones(classes, s.dtype) if self.weight is None else self.weight.astype(s.dtype)
        column = weight.reshape((-1,) + (1,) * (len(s.shape) - 1 - axis))
        if labels.dtype.kind == "f":
            if not np.isfinite(value_of(labels)).all():
                raise ValueError(f"{self}: got NaN or infinite labels; wanted probabilities")
            hot, counted, count = labels.astype(s.dtype), np.array(True), labels.size // classes
        else:
            labels = value_of(labels)
            counted = labels != self.ignore_index
            wrong = labels[counted & ((labels < 0) | (labels >= classes))]
            if wrong.size:
                raise ValueError(f"{self}: got label {int(wrong[0])}; wanted labels from 0 to {classes - 1}")
            hot = np.zeros(s.shape, s.dtype)
            labels, counted = np.expand_dims(np.where(counted, labels, 0), axis), np.expand_dims(counted, axis)
            np.put_along_axis(hot, labels, counted, axis)
            count = float(total(hot * column).real)
        smooth = self.label_smoothing
        return (
            (1 - smooth) * hot + s.dtype.type(smooth / classes) * counted
        ) * column, count if self.reduction == "mean" else 1

    def forward(self, s: Array, labels: Array) -> Any:
        target, count = self.target(s, labels)
        axis = self.axis(s) if self.reduction == "none" else None
        sums = -total(np.where(target != 0, target * self.logs(s), 0), axis)
        with np.errstate(invalid="ignore", divide="ignore"):  # the mean over nothing is NaN, as in NumPy and PyTorch
            return (sums / s.dtype.type(count)).astype(s.dtype)[()]

    def logs(self, s: Array) -> Array:
        """Logarithms of the probabilities."""
        shifted: Array = s - s.max(axis=self.axis(s), keepdims=True, initial=-np.inf)
        shifted -= np.log(total(np.exp(shifted), self.axis(s), True))
        return shifted

    def slope(self, s: Any, target: Any) -> Any:
        """∂l/∂s before it is divided."""
        axis = self.axis(s)
        return softmax(s, axis) * total(target, axis, True) - target

    def jacobians(self, y: Any, s: Any, labels: Any) -> tuple[LinearMap, LinearMap | None]:
        target, count = self.target(s, labels)
        axis = self.axis(s)
        scale = 1 / count if count else 0.0  # the mean over nothing is NaN, and flat
        shape = tuple(1 if i == axis or self.reduction != "none" else n for i, n in enumerate(s.shape))

        def probability_slope() -> Any:
            logs = log_softmax(s, axis) * ((self.label_smoothing - 1) * scale)
            if self.weight is not None:
                logs = logs * self.weight.astype(s.dtype).reshape((-1,) + (1,) * (len(s.shape) - 1 - axis))
            return logs

        slope = Diagonal(s, lambda: self.slope(s, target) * scale)
        added = sum_map(s, shape, y.shape)
        to_labels = promoted(added @ Diagonal(s, probability_slope), labels) if labels.dtype.kind == "f" else None
        return added @ slope, to_labels


def cross_entropy(
    logits: Any,
    labels: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """−log of the probability that softmax(logits) gives the label. (N, C, …), (N, …) → (), or (N, …) with reduction "none".

    ``labels``: integer classes, or probabilities of the logits' shape. Arguments as in PyTorch.
    ∂l/∂logits = (p − t) / N, t the one-hot labels. Raises ShapeError for shapes that do not fit, ValueError for
    labels out of range or NaN, TypeError for labels that are no integers.
    """
    return CrossEntropy(weight, ignore_index, reduction, label_smoothing)(logits, labels)


class NLLLoss(CrossEntropy):
    """l = −Σ t s, t the one-hot labels, s logarithms of probabilities.   s (N, C, …), labels (N, …) → () or (N, …).

    ∂l/∂s = −t, scaled by 1/N for the mean.
    """

    name = "nll_loss"

    def slope_formula(self, labels: Any) -> str:
        return "−t"

    def infer(self, s: Spec, labels: Spec) -> Spec:
        if labels.dtype.kind == "f":
            raise TypeError(f"{self}: got labels {labels}; wanted integer class numbers")
        return super().infer(s, labels)

    def logs(self, s: Array) -> Array:
        return s

    def slope(self, s: Any, target: Any) -> Any:
        return -target


def nll_loss(log_probs: Any, labels: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """−log_probs at the labels, such as log_softmax gives them. (N, C, …), (N, …) → (), or (N, …) with reduction "none".

    Arguments as in PyTorch; the mean is weighted. ∂l/∂log_probs = −t / N, t the one-hot labels. Raises as cross_entropy.
    """
    return NLLLoss(weight, ignore_index, reduction)(log_probs, labels)


class MultiMarginLoss(CrossEntropy):
    """l = w_t/C Σ_{j≠t} max(0, margin − s_t + s_j)ᵖ, t the label.   s (N, C), labels (N) → () or (N).

    ∂l/∂s_j = e_j for j ≠ t, −Σ e for j = t, with e = p w_t/C max(0, …)ᵖ⁻¹, scaled by 1/N for the mean.
    """

    name = "multi_margin_loss"
    legend: ClassVar[dict[str, str]] = {
        "e": "p w_t/C max(0, margin − s_t + s)ᵖ⁻¹, and 0 at the label",
        "t": "1 at the label, 0 elsewhere",
        "Σ": "over the classes, at each position",
        "N": "the number of labels",
    }

    def slope_formula(self, labels: Any) -> str:
        return "e − t Σ e"

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(weight, math.nan, reduction)  # no label equals NaN
        expect_number(self, p=p, margin=margin)
        if p not in (1, 2):
            raise ValueError(f"{self}: got p {p!r}; wanted 1 or 2")
        self.p, self.margin = p, margin

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"p": self.p, "margin": self.margin, "reduction": self.reduction, "weight": self.weight}

    def infer(self, s: Spec, labels: Spec) -> Spec:
        if labels.dtype.kind == "f":
            raise TypeError(f"{self}: got labels {labels}; wanted integer class numbers")
        expect(s.ndim in (1, 2), self, "logits (N, C) or (C,)", logits=s, labels=labels)
        return super().infer(s, labels)

    def excess(self, s: Any, target: Any) -> Any:
        """max(0, margin − s_t + s_j), 0 for j = t."""
        hot = target != 0
        return np.where(hot, 0, np.maximum(s - total(np.where(hot, s, 0), -1, True) + self.margin, 0))

    def forward(self, s: Array, labels: Array) -> Any:
        target, count = self.target(s, labels)
        losses = mean(self.excess(s, target) ** self.p, -1) * total(target, -1)
        with np.errstate(invalid="ignore"):  # the mean over nothing is NaN
            return losses if self.reduction == "none" else total(losses) / s.dtype.type(count)

    def slope(self, s: Any, target: Any) -> Any:
        h = self.excess(s, target)
        e = (2 * h if self.p == 2 else (value_of(h) > 0).astype(s.dtype)) * (total(target, -1, True) / s.shape[-1])
        return e - np.where(target != 0, total(e, -1, True), 0)

    def target(self, s: Any, labels: Any) -> tuple[Any, float]:
        return super().target(s, labels)[0], labels.size if self.reduction == "mean" else 1


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Any:
    """Hinge loss of several classes: the mean over j of max(0, margin − s_t + s_j)ᵖ, j ≠ t. (N, C), (N) → () or (N).

    ``target``: labels t; ``weight``: of each class; p 1 or 2. ∂l/∂s in MultiMarginLoss; 0 at the kink.
    Weston & Watkins 1999. Raises ShapeError, ValueError for labels out of range, TypeError for labels that are no integers.
    """
    return MultiMarginLoss(p, margin, weight, reduction)(input, target)


class L2Penalty(Op):
    """y = λ Σᵢ ‖xᵢ‖².   any shapes → ();   Jᵢ = 2λ vec(xᵢ)ᵀ."""

    name = "l2_penalty"
    legend: ClassVar[dict[str, str]] = {"λ": "weight"}

    def formula(self, i: int) -> str | None:
        return f"2 λ {notation.numbered('x', i + 1)}ᵀ"

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        return f"2 λ {self.symbols(len(xs))[i]}" + ("ᵀ" if xs[i].shape else "")

    def __init__(self, weight: float) -> None:
        self.weight = weight

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def infer(self, *xs: Spec) -> Spec:
        expect(len(xs) > 0, self, "at least one parameter", parameters="none")
        return Spec((), expect_floats(self, **{f"parameter {i}": x for i, x in enumerate(xs, 1)}))

    def forward(self, *xs: Array) -> Any:
        dtype = np.result_type(*[x.dtype for x in xs])
        return dtype.type(self.weight) * np.sum(
            [tasks.contract("a,a->", np.ravel(x), np.ravel(x)) for x in xs], dtype=dtype
        )

    def jacobians(self, y: Any, *xs: Any) -> list[LinearMap]:
        return [
            promoted(sum_map(Spec(x.shape, y.dtype), (1,) * len(x.shape), ()) @ Diagonal(x, partial(self.slope, x)), x)
            for x in xs
        ]

    def slope(self, x: Any) -> Any:
        return x * (2 * self.weight)


def l2_penalty(parameters: Any, weight: float) -> Any:
    """λ Σ ‖p‖² over a parameter or a list of them, λ = ``weight``. any shapes → (). ∂y/∂p = 2λ p.

    Raises TypeError for parameters that are not float, and a weight that is no number.
    """
    expect_number("l2_penalty", weight=weight)
    return L2Penalty(weight)(*(parameters if isinstance(parameters, (list, tuple)) else [parameters]))
