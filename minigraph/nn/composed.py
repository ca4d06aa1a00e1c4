"""Functions of networks that are composed of ops, by PyTorch's names; each records the nodes that it is composed of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigraph.arguments import expect_choice, expect_number
from minigraph.node import Node, Spec, value_of
from minigraph.op import expect, operand
from minigraph.ops.activation import leaky_relu, sigmoid, softmax, softplus
from minigraph.ops.composed import broadcast_arrays
from minigraph.ops.elementwise import exp, log, maximum, negative, sqrt, square, where
from minigraph.ops.products import einsum, matmul
from minigraph.ops.reduce import mean, norm
from minigraph.ops.reduce import sum as total
from minigraph.ops.shape import expand_dims, matrix_transpose, reshape, split, take, take_along_axis
from minigraph.random import generator

__all__ = [
    "alpha_dropout", "bilinear", "binary_cross_entropy", "cosine_embedding_loss", "cosine_similarity", "drop_path",
    "embedding", "feature_alpha_dropout", "gaussian_nll_loss", "glu", "gumbel_softmax", "hinge_embedding_loss", "kl_div",
    "margin_ranking_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "normalize", "one_hot",
    "pairwise_distance", "pdist", "poisson_nll_loss", "prelu", "rms_norm", "rrelu", "scaled_dot_product_attention",
    "soft_margin_loss", "softmin", "triplet_margin_loss", "triplet_margin_with_distance_loss",
]  # fmt: skip
MAX_CLASSES = 1 << 20
REDUCTIONS = ("none", "mean", "sum")


# --- activations -------------------------------------------------------------------------------------------


def glu(x: Any, dim: int = -1) -> Any:
    """a σ(b), a and b the halves of x along ``dim``. Dauphin et al. 2017. Raises ShapeError for a side that is odd."""
    x = operand("glu", x)
    a, b = _halves("glu", x, dim)
    return a * sigmoid(b)


def _halves(name: str, x: Any, dim: int) -> Any:
    expect(
        -len(x.shape) <= dim < len(x.shape) and x.shape[dim] % 2 == 0, name, f"an even side along axis {dim}", x=x.shape
    )
    return split(x, 2, dim)


def softmin(x: Any, axis: int = -1) -> Any:
    """e⁻ˣ / Σ e⁻ˣ along ``axis``. (S) → (S)."""
    return softmax(negative(x), axis)


def prelu(x: Any, weight: Any) -> Any:
    """x where x > 0, else its channel's learned slope · x. x (N, C, …), weight (C,) or (1,) → x's shape. He et al. 2015."""
    x, weight = operand("prelu", x), operand("prelu", weight)
    if not weight.shape:
        return leaky_relu(x, weight)
    channels = x.shape[1] if len(x.shape) > 1 else 1
    expect(
        len(weight.shape) == 1 and weight.shape[0] in (1, channels),
        "prelu",
        f"weight (1,) or ({channels},)",
        weight=weight.shape,
    )
    if weight.shape == (1,):
        return leaky_relu(x, reshape(weight, ()))
    shape = (-1, *[1] * (len(x.shape) - 2)) if len(x.shape) > 1 else (-1,)
    return leaky_relu(x, reshape(weight, shape))


def rrelu(x: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, rng: Any = None) -> Any:
    """leaky_relu with the slope (lower + upper)/2; in training with slopes drawn between them from ``rng``. Xu et al. 2015."""
    expect_number("rrelu", lower=lower, upper=upper)
    if not training:
        return leaky_relu(x, (lower + upper) / 2)
    x = operand("rrelu", x)
    return leaky_relu(x, generator(rng, "rrelu").uniform(lower, upper, x.shape).astype(x.dtype))


def drop_path(x: Any, p: float = 0.0, training: bool = False, rng: Any = None) -> Any:
    """Stochastic depth: whole samples of x (N, …) set to zero with probability ``p`` in training, the others scaled by 1/(1 − p).

    Huang et al. 2016. J = diag(mask).
    """
    expect_number("drop_path", p=p)
    if not 0 <= p <= 1:
        raise ValueError(f"drop_path: got p {p}; wanted a probability from 0 to 1")
    if not training or not p:
        return x
    x = operand("drop_path", x)
    kept = generator(rng, "drop_path").random((x.shape[0], *[1] * (len(x.shape) - 1))) >= p
    return x * (kept / (1 - p) if p < 1 else np.zeros(kept.shape)).astype(x.dtype)


# --- labels and words --------------------------------------------------------------------------------------


def one_hot(labels: Any, num_classes: int = -1) -> Any:
    """Integers (S) → (S, classes): 1 at the label, 0 elsewhere. Raises ValueError for labels out of range."""
    labels = np.asarray(value_of(labels))
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: got labels of dtype {labels.dtype}; wanted integers")
    classes = int(labels.max(initial=0)) + 1 if num_classes == -1 else num_classes
    if not 0 < classes <= MAX_CLASSES or (labels.size and (labels.min() < 0 or labels.max() >= classes)):
        raise ValueError(
            f"one_hot: got labels up to {labels.max(initial=0)} for {classes} classes; wanted 0 to {classes - 1}"
        )
    encoded = np.zeros((*labels.shape, classes), np.int64)
    np.put_along_axis(encoded, labels[..., None].astype(np.int64), 1, -1)
    return encoded


def embedding(input: Any, weight: Any) -> Any:
    """The rows of ``weight`` (V, D) that ``input`` (S), integers, names; → (S, D). J selects rows."""
    index = np.asarray(value_of(input))
    if index.dtype.kind not in "iu":
        raise TypeError(f"embedding: got indices of dtype {index.dtype}; wanted integers")
    weight = operand("embedding", weight)
    expect(len(weight.shape) == 2, "embedding", "weight (V, D)", weight=weight.shape)
    if index.size and (index.min() < 0 or index.max() >= weight.shape[0]):
        raise ValueError(
            f"embedding: got indices from {index.min()} to {index.max()}; wanted 0 to {weight.shape[0] - 1}"
        )
    return take(weight, index, 0)


def alpha_dropout(x: Any, p: float = 0.5, training: bool = False, rng: Any = None) -> Any:
    """Dropout that keeps mean and variance of SELU's outputs: a kept entry or −λα, scaled and shifted. Klambauer et al. 2017."""
    return _alpha_dropped("alpha_dropout", x, p, training, rng, whole=False)


def feature_alpha_dropout(x: Any, p: float = 0.5, training: bool = False, rng: Any = None) -> Any:
    """alpha_dropout of whole channels of x (N, C, …)."""
    return _alpha_dropped("feature_alpha_dropout", x, p, training, rng, whole=True)


def _alpha_dropped(name: str, x: Any, p: float, training: bool, rng: Any, whole: bool) -> Any:
    expect_number(name, p=p)
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: got p {p}; wanted a probability from 0 to 1")
    if not training or not p:
        return x
    x = operand(name, x)
    shape = (*x.shape[:2], *[1] * (len(x.shape) - 2)) if whole else x.shape
    kept = generator(rng, name).random(shape) >= p
    low = -1.0507009873554805 * 1.6732632423543772
    scale = 1 / math.sqrt((1 - p) * (1 + p * low * low)) if p < 1 else 0.0
    shift = -scale * p * low
    mask = kept.astype(x.dtype)
    return x * (mask * x.dtype.type(scale)) + ((1 - mask) * x.dtype.type(low * scale) + x.dtype.type(shift))


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, dim: int = -1, rng: Any = None) -> Any:
    """softmax((logits + Gumbel noise) / tau) along ``dim``; with ``hard`` one-hot, with the derivative of the soft one. Jang et al. 2017."""
    x = operand("gumbel_softmax", logits)
    noise = generator(rng, "gumbel_softmax").gumbel(size=x.shape).astype(x.dtype)
    y = softmax((x + noise) / tau, dim)
    if not hard:
        return y
    value = np.asarray(value_of(y))
    chosen = np.zeros_like(value)
    np.put_along_axis(chosen, value.argmax(dim, keepdims=True), 1, dim)
    return y + (chosen - value)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """yₖ = x1ᵀ Wₖ x2 + bₖ: x1 (…, I), x2 (…, J), weight (K, I, J), bias (K) → (…, K)."""
    y = einsum("...i,kij,...j->...k", input1, weight, input2)
    return y if bias is None else y + bias


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Any:
    """softmax(q kᵀ/√E + mask) v: (…, L, E), (…, S, E), (…, S, V) → (…, L, V). Vaswani et al. 2017.

    ``attn_mask``: added, or True where a key may be seen; ``is_causal``: key j is seen by queries from j on.
    """
    q, k = operand("scaled_dot_product_attention", query), operand("scaled_dot_product_attention", key)
    factor = q.dtype.type(1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    scores = matmul(q * factor, matrix_transpose(k))
    if is_causal and attn_mask is not None:
        raise ValueError("scaled_dot_product_attention: got attn_mask and is_causal; wanted one of them")
    if is_causal:
        attn_mask = np.tri(q.shape[-2], k.shape[-2], dtype=bool)
    if attn_mask is not None:
        added = operand("scaled_dot_product_attention", attn_mask)
        scores = where(added, scores, -np.inf) if added.dtype == bool else scores + added
    return matmul(softmax(scores, -1), value)


# --- norms and distances -----------------------------------------------------------------------------------


def normalize(x: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """x / max(‖x‖ₚ along ``dim``, eps). (S) → (S)."""
    x = operand("normalize", x)
    return x / maximum(norm(x, p, dim, keepdims=True), x.dtype.type(eps))


def rms_norm(x: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """x / √(mean x² + eps) over the last axes, times ``weight`` of their shape. (S) → (S). Zhang and Sennrich 2019."""
    x = operand("rms_norm", x)
    shape = tuple(np.atleast_1d(normalized_shape).tolist())
    expect(x.shape[len(x.shape) - len(shape) :] == shape, "rms_norm", f"x that ends in {shape}", x=x.shape)
    axes = tuple(range(-len(shape), 0))
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    y = x / sqrt(mean(square(x), axes, keepdims=True) + eps)
    return y if weight is None else y * weight


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """⟨x1, x2⟩ / (max(‖x1‖, eps) max(‖x2‖, eps)) along ``dim``; their shape without it."""
    a, b = broadcast_arrays(operand("cosine_similarity", x1), operand("cosine_similarity", x2))
    lengths = [maximum(norm(x, 2, dim, keepdims=True), x.dtype.type(eps)) for x in (a, b)]
    return total(a / lengths[0] * (b / lengths[1]), dim)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """‖x1 − x2 + eps‖ₚ over the last axis; (…, D), (…, D) → (…)."""
    return norm(operand("pairwise_distance", x1) - operand("pairwise_distance", x2) + eps, p, -1, keepdims=keepdim)


# --- losses ------------------------------------------------------------------------------------------------


def _reduced(name: str, losses: Any, reduction: str) -> Any:
    expect_choice(name, REDUCTIONS, reduction=reduction)
    return losses if reduction == "none" else mean(losses) if reduction == "mean" else total(losses)


def _pair(name: str, input: Any, target: Any) -> tuple[Any, Any]:
    x, t = operand(name, input), operand(name, target)
    expect(x.shape == t.shape, name, "target of input's shape", input=x.shape, target=t.shape)
    return x, t


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """−t log p − (1 − t) log(1 − p) of probabilities p (S), targets (S); logarithms are at least −100, in float32 −87.

    From scores, binary_cross_entropy_with_logits is exact.
    """
    p, t = _pair("binary_cross_entropy", input, target)
    value = _values(p)
    if value is not None and value.size and (value.min() < 0 or value.max() > 1):
        raise ValueError(f"binary_cross_entropy: got input from {value.min()} to {value.max()}; wanted probabilities")
    losses = -(t * _bounded_log(p) + (1 - t) * _bounded_log(1 - p))
    return _reduced("binary_cross_entropy", losses if weight is None else losses * weight, reduction)


def _values(x: Any) -> Any:
    """The array of x, None where it has only a shape."""
    if isinstance(x, Spec) or (isinstance(x, Node) and x.abstract):
        return None
    return np.asarray(value_of(x))


def _bounded_log(p: Any) -> Any:
    """log p, at least −100."""
    return log(maximum(p, math.exp(-100) if p.dtype == np.float64 else np.float32(math.exp(-87))))


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """t (log t − input), input (S) logarithms of probabilities, target (S) probabilities, or their logarithms; 0 where t is 0.

    ``reduction``: also "batchmean", the sum divided by the first side.
    """
    x, t = _pair("kl_div", input, target)
    if log_target:
        losses = exp(t) * (t - x)
    else:
        known = _values(t)
        some = True if known is None else known > 0
        losses = where(some, t * (log(where(some, t, 1)) - x), 0 * x)
    if reduction == "batchmean":
        return total(losses) / x.shape[0]
    return _reduced("kl_div", losses, reduction)


def poisson_nll_loss(input: Any, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8,
                     reduction: str = "mean") -> Any:  # fmt: skip
    """exp(x) − t x, or x − t log(x + eps) without ``log_input``; ``full`` adds Stirling's t log t − t + ½ log(2πt) where t > 1."""
    x, t = _pair("poisson_nll_loss", input, target)
    losses = exp(x) - t * x if log_input else x - t * log(x + eps)
    if full:
        large = np.asarray(value_of(t)) > 1
        s = where(large, t, 1)
        losses = losses + where(large, s * log(s) - s + 0.5 * log(2 * math.pi * s), 0 * s)
    return _reduced("poisson_nll_loss", losses, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """½ (log σ² + (x − t)²/σ²), σ² = max(var, eps); ``full`` adds ½ log 2π. ``var``: input's shape, or without its last axis."""
    x, t = operand("gaussian_nll_loss", input), operand("gaussian_nll_loss", target)
    v = operand("gaussian_nll_loss", var)
    v = expand_dims(v, -1) if v.shape != x.shape and v.shape == x.shape[:-1] else v  # one for each row
    v = maximum(v, x.dtype.type(eps))
    losses = 0.5 * (log(v) + square(x - t) / v)
    return _reduced("gaussian_nll_loss", losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def _signs(name: str, target: Any) -> Any:
    t = np.asarray(value_of(target))
    if not np.isin(t, (-1, 1)).all():
        raise ValueError(f"{name}: got targets other than −1 and 1; wanted these")
    return t


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    """x where the target is 1, max(0, margin − x) where it is −1."""
    x, t = operand("hinge_embedding_loss", input), _signs("hinge_embedding_loss", target)
    return _reduced("hinge_embedding_loss", where(t == 1, x, maximum(margin - x, 0)), reduction)


def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """log(1 + exp(−t x)), t = ±1 as a rule."""
    x, t = operand("soft_margin_loss", input), operand("soft_margin_loss", target)
    return _reduced("soft_margin_loss", softplus(-x * t), reduction)


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    """max(0, −t (x1 − x2) + margin), t = ±1 as a rule."""
    a, b, t = (operand("margin_ranking_loss", x) for x in (input1, input2, target))
    return _reduced("margin_ranking_loss", maximum(-t * (a - b) + margin, 0), reduction)


def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    """1 − cos where the target is 1, max(0, cos − margin) where it is −1; inputs (N, D), targets (N,)."""
    t, c = _signs("cosine_embedding_loss", target), cosine_similarity(input1, input2, -1, 1e-8)
    return _reduced("cosine_embedding_loss", where(t == 1, 1 - c, maximum(c - margin, 0)), reduction)


def triplet_margin_loss(anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
                        swap: bool = False, reduction: str = "mean") -> Any:  # fmt: skip
    """max(0, d(a, p) − d(a, n) + margin), d the pairwise distance; with ``swap`` the smaller of d(a, n) and d(p, n)."""
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = -maximum(-far, -pairwise_distance(positive, negative, p, eps))
    return _reduced("triplet_margin_loss", maximum(near - far + margin, 0), reduction)


def triplet_margin_with_distance_loss(
    anchor: Any, positive: Any, negative: Any, *, distance_function: Any = None, margin: float = 1.0, swap: bool = False,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """triplet_margin_loss with a distance of your own, a function of two arrays; the pairwise distance unless given."""
    d = distance_function or pairwise_distance
    near, far = d(anchor, positive), d(anchor, negative)
    if swap:
        far = -maximum(-far, -d(positive, negative))
    return _reduced("triplet_margin_with_distance_loss", maximum(near - far + margin, 0), reduction)


def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Σ max(0, 1 − (x at a label − x at another class)) / K: input (N, K) or (K), target its labels before the first −1."""
    x, t = operand("multilabel_margin_loss", input), np.asarray(value_of(target))
    expect(
        t.shape == x.shape and len(x.shape) in (1, 2),
        "multilabel_margin_loss",
        "target of input's shape",
        input=x.shape,
        target=t.shape,
    )
    if len(x.shape) == 1:
        return multilabel_margin_loss(expand_dims(x, 0), t[None], "sum" if reduction == "none" else reduction)
    K = x.shape[1]
    if t.dtype.kind not in "iu" or (t.size and t.max() >= K):
        raise ValueError(
            f"multilabel_margin_loss: got labels up to {t.max()} of dtype {t.dtype}; wanted integers below {K}"
        )
    given = np.cumprod(t >= 0, axis=1, dtype=bool)
    labels = np.where(given, t, 0)
    is_label = np.zeros(t.shape, bool)
    np.logical_or.at(is_label, (np.nonzero(given)[0], t[given]), True)
    pairs = given[:, :, None] & ~is_label[:, None, :]
    differences = 1 - expand_dims(take_along_axis(x, labels, 1), 2) + expand_dims(x, 1)
    losses = total(where(pairs, maximum(differences, 0), 0), (1, 2)) / K
    return _reduced("multilabel_margin_loss", losses, reduction)


def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """The mean over classes of −t log σ(x) − (1 − t) log σ(−x): input, target (…, K) → (…), reduced."""
    x, t = _pair("multilabel_soft_margin_loss", input, target)
    losses = t * softplus(-x) + (1 - t) * softplus(x)
    return _reduced("multilabel_soft_margin_loss", mean(losses if weight is None else losses * weight, -1), reduction)


def pdist(input: Any, p: float = 2.0) -> Any:
    """The distances of all pairs of rows, x (N, D) → (N (N − 1)/2,), in the order of scipy.spatial.distance.pdist."""
    x = operand("pdist", input)
    expect(len(x.shape) == 2, "pdist", "x (N, D)", input=x.shape)
    i, j = np.triu_indices(x.shape[0], 1)
    return norm(take(x, i, 0) - take(x, j, 0), p, -1)
