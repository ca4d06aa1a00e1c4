"""Losses: numbers to make small. Like reductions, J = Sum · diag(weights)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from minigraph.array import Array
from minigraph.linear import Diagonal, LinearMap, promoted
from minigraph.node import Spec, plain, value_of
from minigraph.op import Case, Op, expect, expect_floats, expect_number
from minigraph.ops.activation import log_softmax, softmax
from minigraph.ops.reduce import summation

__all__ = [
    "cross_entropy", "l2_penalty",
]  # fmt: skip


class CrossEntropy(Op):
    """l = −Σ t log softmax(s), t the target distribution.   s (N, C, …), labels (N, …) → () or (N, …).

    ∂l/∂s = p − t, the lectures' −(y − p)ᵀ, scaled by 1/N for the mean.
    """

    name = "cross_entropy"

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"cross_entropy: got reduction {reduction!r}; wanted 'mean', 'sum' or 'none'")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"cross_entropy: got label_smoothing {label_smoothing}; wanted a number from 0 to 1")
        expect_number(self.name, ignore_index=ignore_index, label_smoothing=label_smoothing)
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
            if labels.dtype.kind == "b":
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
            hot, seen, total = labels.astype(s.dtype), np.array(True), labels.size // classes
        else:
            labels = value_of(labels)
            seen = labels != self.ignore_index
            wrong = labels[seen & ((labels < 0) | (labels >= classes))]
            if wrong.size:
                raise ValueError(f"{self}: got label {int(wrong[0])}; wanted labels from 0 to {classes - 1}")
            hot = np.zeros(s.shape, s.dtype)
            labels, seen = np.expand_dims(np.where(seen, labels, 0), axis), np.expand_dims(seen, axis)
            np.put_along_axis(hot, labels, seen, axis)
            total = float((hot * column).sum())
        smooth = self.label_smoothing
        return (
            (1 - smooth) * hot + s.dtype.type(smooth / classes) * seen
        ) * column, total if self.reduction == "mean" else 1

    def forward(self, s: Array, labels: Array) -> Any:
        target, total = self.target(s, labels)
        axis = self.axis(s) if self.reduction == "none" else None
        shifted = s - s.max(axis=self.axis(s), keepdims=True, initial=-np.inf)
        logs = shifted - np.log(np.exp(shifted).sum(axis=self.axis(s), keepdims=True))
        sums = -np.sum(np.where(target != 0, target * logs, 0), axis=axis)
        with np.errstate(invalid="ignore", divide="ignore"):  # the mean over nothing is NaN, as in NumPy and PyTorch
            return (sums / s.dtype.type(total)).astype(s.dtype)[()]

    def jacobians(self, y: Any, s: Any, labels: Any) -> tuple[LinearMap, LinearMap | None]:
        target, count = self.target(s, labels)
        axis = self.axis(s)
        scale = 1 / count if count else 0.0  # the mean over nothing is NaN, and flat
        kept = tuple(1 if i == axis or self.reduction != "none" else n for i, n in enumerate(s.shape))

        def probability_slope() -> Any:
            logs = log_softmax(s, axis) * ((self.label_smoothing - 1) * scale)
            if self.weight is not None:
                logs = logs * self.weight.astype(s.dtype).reshape((-1,) + (1,) * (len(s.shape) - 1 - axis))
            return logs

        slope = Diagonal(s, lambda: (softmax(s, axis) * np.sum(target, axis=axis, keepdims=True) - target) * scale)
        total = summation(s, kept, y.shape)
        to_labels = promoted(total @ Diagonal(s, probability_slope), labels) if labels.dtype.kind == "f" else None
        return total @ slope, to_labels

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        s, labels = rng.standard_normal((4, 3)), np.array([2, 0, 1, 1])
        logs = special.log_softmax(s, 1)
        each = np.array([-row[i] for row, i in zip(logs, labels, strict=True)])
        yield Case(cls(), (s, labels), np.average(each), (s, labels[:3]), "labels of shape")
        yield Case(cls(reduction="none"), (s, labels), each, (np.ones(()), labels), "at least one class")
        yield Case(cls(reduction="sum", label_smoothing=0.1), (s, labels), (0.9 * each - 0.1 * logs.mean(1)).sum())
        weight = np.array([1.0, 2.0, 0.5])
        yield Case(cls(weight), (s, labels), (each * weight[labels]).sum() / weight[labels].sum())
        yield Case(cls(ignore_index=1), (s, labels), (each[0] + each[1]) / 2)
        yield Case(cls(), (s, special.softmax(-s, 1)), -(special.softmax(-s, 1) * logs).sum() / 4)
        yield Case(cls(), (s[0], labels[0]), each[0])
        image = rng.standard_normal((2, 3, 5))
        places = rng.integers(3, size=(2, 5))
        yield Case(
            cls(reduction="none"),
            (image, places),
            [[special.logsumexp(image[n, :, i]) - image[n, places[n, i], i] for i in range(5)] for n in range(2)],
        )


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


class L2Penalty(Op):
    """y = λ Σᵢ ‖xᵢ‖².   any shapes → ();   Jᵢ = 2λ vec(xᵢ)ᵀ."""

    name = "l2_penalty"

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
        return dtype.type(self.weight) * np.sum([np.vdot(x.conj(), x) for x in xs], dtype=dtype)

    def jacobians(self, y: Any, *xs: Any) -> list[LinearMap]:
        return [
            promoted(
                summation(Spec(x.shape, y.dtype), (1,) * len(x.shape), ()) @ Diagonal(x, partial(self.slope, x)), x
            )
            for x in xs
        ]

    def slope(self, x: Any) -> Any:
        return x * (2 * self.weight)

    @classmethod
    def cases(cls, rng: np.random.Generator) -> Iterator[Case]:
        a, b = rng.standard_normal((2, 3)), rng.standard_normal(4)
        yield Case(cls(0.1), (a, b), 0.1 * (np.linalg.norm(a) ** 2 + np.linalg.norm(b) ** 2))


def l2_penalty(parameters: Any, weight: float) -> Any:
    """λ Σ ‖p‖² over a parameter or a list of them, λ = ``weight``. any shapes → (). ∂y/∂p = 2λ p."""
    expect_number("l2_penalty", weight=weight)
    return L2Penalty(weight)(*(parameters if isinstance(parameters, (list, tuple)) else [parameters]))
