"""Losses: Python and SciPy are the other implementations."""

import math

import numpy as np
from scipy import special

from cases.case import Case, cases_of
from minigraph.ops.loss import CrossEntropy, ElementwiseLoss, L2Penalty, MultiMarginLoss, NLLLoss


@cases_of(ElementwiseLoss)
def elementwise_loss(rng):
    a, t = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    w, p = rng.random((3, 1)), 2 * rng.random(4)
    q = rng.random((3, 4))
    pairs = [(*pair,) for pair in zip(a.ravel(), t.ravel(), strict=True)]
    oracles = {
        ElementwiseLoss("mse_loss"): math.dist(a.ravel(), t.ravel()) ** 2,
        ElementwiseLoss("l1_loss"): math.fsum(abs(x - z) for x, z in pairs),
        ElementwiseLoss("huber_loss", delta=0.7): math.fsum(
            (x - z) ** 2 / 2 if abs(x - z) < 0.7 else 0.7 * abs(x - z) - 0.245 for x, z in pairs
        ),
        ElementwiseLoss("smooth_l1_loss", beta=0.7): math.fsum(
            (x - z) ** 2 / 1.4 if abs(x - z) < 0.7 else abs(x - z) - 0.35 for x, z in pairs
        ),
    }
    for op, expected in oracles.items():
        yield Case(op, (a, t), expected / 12, (a, t[:1]), "target of input's shape")
    s = special.expit(a)
    name, weights = "binary_cross_entropy_with_logits", {"weight": w, "pos_weight": p}
    y = -w * (p * q * np.log(s) + (1 - q) * np.log(1 - s))
    yield Case(ElementwiseLoss(name, "none", **weights), (a, q), y, (a.T, q.T), "weight that broadcasts")
    yield Case(ElementwiseLoss(name, "sum", **weights), (a, q), y.sum(), (a, q[0]), "target of input's shape")
    labels = rng.integers(2, size=(3, 4))
    yield Case(
        ElementwiseLoss("mse_loss", "none"), (a, labels), np.where(labels, a - 1, a) ** 2, (a, t[0]), "target of"
    )


@cases_of(CrossEntropy)
def cross_entropy(rng):
    s, labels = rng.standard_normal((4, 3)), np.array([2, 0, 1, 1])
    logs = special.log_softmax(s, 1)
    each = np.array([-row[i] for row, i in zip(logs, labels, strict=True)])
    yield Case(CrossEntropy(), (s, labels), np.average(each), (s, labels[:3]), "labels of shape")
    yield Case(CrossEntropy(reduction="none"), (s, labels), each, (np.ones(()), labels), "at least one class")
    yield Case(CrossEntropy(reduction="sum", label_smoothing=0.1), (s, labels), (0.9 * each - 0.1 * logs.mean(1)).sum())
    weight = np.array([1.0, 2.0, 0.5])
    yield Case(CrossEntropy(weight), (s, labels), (each * weight[labels]).sum() / weight[labels].sum())
    yield Case(CrossEntropy(ignore_index=1), (s, labels), (each[0] + each[1]) / 2)
    yield Case(CrossEntropy(), (s, special.softmax(-s, 1)), -(special.softmax(-s, 1) * logs).sum() / 4)
    yield Case(CrossEntropy(), (s[0], labels[0]), each[0])
    image = rng.standard_normal((2, 3, 5))
    places = rng.integers(3, size=(2, 5))
    yield Case(
        CrossEntropy(reduction="none"),
        (image, places),
        [[special.logsumexp(image[n, :, i]) - image[n, places[n, i], i] for i in range(5)] for n in range(2)],
    )


@cases_of(NLLLoss)
def nll_loss(rng):
    s, labels, weight = rng.standard_normal((4, 3)), np.array([2, 0, 1, 1]), np.array([1.0, 2.0, 0.5])
    each = np.array([-weight[i] * row[i] for row, i in zip(s, labels, strict=True)])
    yield Case(NLLLoss(weight), (s, labels), each.sum() / weight[labels].sum(), (s, labels[:3]), "labels of shape")
    yield Case(NLLLoss(weight, reduction="none"), (s, labels), each)
    yield Case(NLLLoss(ignore_index=1), (s, labels), -(s[0, 2] + s[1, 0]) / 2)
    image, places = rng.standard_normal((2, 3, 2)), rng.integers(3, size=(2, 2))
    picked = [image[n, places[n, i], i] for n in range(2) for i in range(2)]
    yield Case(NLLLoss(reduction="sum"), (image, places), -sum(picked))


@cases_of(MultiMarginLoss)
def multi_margin_loss(rng):
    s, labels, w = rng.standard_normal((4, 3)), np.array([2, 0, 1, 1]), np.array([1.0, 2.0, 0.5])
    for p in (1, 2):
        each = [
            sum(w[t] * max(0, 0.8 - row[t] + v) ** p for j, v in enumerate(row) if j != t) / 3
            for row, t in zip(s, labels, strict=True)
        ]
        yield Case(MultiMarginLoss(p, 0.8, w), (s, labels), sum(each) / 4, (s, labels[:3]), "labels of shape")
        yield Case(MultiMarginLoss(p, 0.8, w, "none"), (s, labels), each, (s[None], labels[None]), r"logits \(N, C\)")
        yield Case(MultiMarginLoss(p, 0.8, w, "sum"), (s[1], labels[1]), each[1])


@cases_of(L2Penalty)
def l2_penalty(rng):
    a, b = rng.standard_normal((2, 3)), rng.standard_normal(4)
    yield Case(L2Penalty(0.1), (a, b), 0.1 * (np.linalg.norm(a) ** 2 + np.linalg.norm(b) ** 2))
