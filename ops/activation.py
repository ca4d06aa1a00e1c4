"""Activations: elementwise ones enter the table of elementwise functions; softmax couples the entries of a line."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.lib.array_utils import normalize_axis_index
from scipy import special

from minigraph import notation
from minigraph.arguments import expect_choice, expect_number
from minigraph.array import Array
from minigraph.kernels.numpy.elementwise import positive_part
from minigraph.kernels.sparse import compressed
from minigraph.maps import Bounds, FunctionMap, LinearMap
from minigraph.node import Spec, value_of
from minigraph.op import Op, expect, expect_floats, operand
from minigraph.ops.elementwise import define, gaussian, logistic_density
from minigraph.sums import total

__all__ = [
    "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_softmax",
    "logsigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softshrink", "softsign",
    "tanhshrink", "threshold",
]  # fmt: skip


_ROOT2 = math.sqrt(2)


relu = define("relu", positive_part, lambda y, x: x > 0, doc="max(x, 0) with derivative 0 at 0", formula="Ind(x > 0)")


def _logistic(x: Any) -> Any:
    """1 / (1 + e⁻ˣ), without overflow."""
    x = x if x.dtype.kind in "fc" else x + 0.0  # of small integers NumPy would make half precision
    y, e = np.exp(np.minimum(x, 0)), np.exp(np.minimum(x, -x))
    e += 1
    y /= e
    return y


sigmoid = define(
    "sigmoid",
    _logistic,
    lambda y, x: logistic_density(x),
    numpy=[special.expit],
    doc="1 / (1 + e⁻ˣ)",
    formula="y (1 − y)",
)
_softplus = define(
    "softplus", lambda x: np.logaddexp(x, 0), lambda y, x: special.expit(x), doc="log(1 + eˣ)", formula="σ(x)"
)
silu = define(
    "silu",
    lambda x: x * _logistic(x),
    lambda y, x: special.expit(x) * (1 + x * special.expit(-x)),
    doc="x / (1 + e⁻ˣ)",
    formula="σ(x) + x σ(x) σ(−x)",
)
normal_distribution = define(
    "normal_distribution", special.ndtr, lambda y, x: gaussian(x / _ROOT2) / (math.pi**0.5 * _ROOT2), formula="φ(x)"
)
_gelu = define(
    "gelu",
    lambda x: x * special.ndtr(x),
    lambda y, x: normal_distribution(x) + np.clip(x, -40, 40) * gaussian(x / _ROOT2) / (math.pi**0.5 * _ROOT2),
    formula="Φ(x) + x φ(x)",
)
_ROOT = math.sqrt(2 / math.pi)


def _inner(x: Any) -> tuple[Any, Any]:
    """2u and x ∂2u/∂x of ½ (1 + tanh u) = σ(2u), u = √(2/π) (x + 0.044715 x³): beyond ±30 σ is 0 or 1 in any dtype."""
    x = np.clip(x, -30, 30)
    cube = 0.044715 * x * x * x
    return 2 * _ROOT * (x + cube), 2 * _ROOT * (x + 3 * cube)


def _tanh_slope(y: Any, x: Any) -> Any:
    t, slope = _inner(x)
    return sigmoid(t) + slope * logistic_density(t)


_gelu_tanh = define(
    "gelu_tanh",
    lambda x: x * _logistic(_inner(x)[0]),
    _tanh_slope,
    formula="y/x + 2 √(2/π) (1 + 0.134145 x²) y (1 − y/x)",
)


def gelu(x: Any, approximate: str = "none") -> Any:
    """x Φ(x), Φ the normal distribution function; ``approximate="tanh"`` for its tanh form. (S) → (S).

    J = diag(Φ(x) + x φ(x)). Hendrycks & Gimpel 2016. Raises ValueError for another ``approximate``.
    """
    expect_choice("gelu", ("none", "tanh"), approximate=approximate)
    return (_gelu if approximate == "none" else _gelu_tanh)(x)


_leaky_relu = define(
    "leaky_relu",
    lambda x, slope: np.where(x > 0, x, slope * x),
    lambda y, x, slope: np.where(x > 0, x.dtype.type(1), slope),
    lambda y, x, slope: np.minimum(x, 0),
    formula=["Ind(a > 0) + b Ind(a ≤ 0)", "min(a, 0)"],
)
_elu = define(
    "elu",
    lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    lambda y, x, alpha: np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))),
    lambda y, x, alpha: np.expm1(np.minimum(x, 0)),
    formula=["Ind(a > 0) + b eᵃ Ind(a ≤ 0)", "(eᵃ − 1) Ind(a ≤ 0)"],
)


def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(β x))/β. (S) → (S). J = diag(σ(β x)).

    For another ``beta`` or ``threshold`` than the default it is x where β x is above the threshold, as in PyTorch.
    Raises TypeError, ValueError for beta 0.
    """
    if beta == 1 and threshold == 20:
        return _softplus(x)
    expect_number("softplus", beta=beta, threshold=threshold)
    if beta == 0:
        raise ValueError("softplus: got beta 0; wanted another number")
    x = operand("softplus", x)
    scaled = x * beta
    above = np.greater(value_of(scaled), threshold)
    return np.where(above, x, _softplus(np.where(above, 0, scaled)) / beta)


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Any:
    """x where x > 0, else ``negative_slope`` · x. (S) → (S). J_x = diag(1 or negative_slope); a slope may be learned.

    Maas et al. 2013; learned, He et al. 2015. Raises ShapeError for a slope that does not broadcast with x.
    """
    return _leaky_relu(x, negative_slope)


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x where x > 0, else α (eˣ − 1). (S) → (S). J_x = diag(1, or α eˣ). Clevert et al. 2016.

    Raises ShapeError for an α that does not broadcast with x.
    """
    return _elu(x, alpha)


# --- piecewise linear, and smooth variants -----------------------------------------------------------------

relu6 = define(
    "relu6",
    lambda x: np.minimum(np.maximum(x, 0), 6),
    lambda y, x: (x > 0) & (x < 6),
    doc="min(max(x, 0), 6)",
    formula="Ind(x > 0) Ind(x < 6)",
)
_hardtanh = define(
    "hardtanh",
    lambda x, low, high: np.minimum(np.maximum(x, low), high),
    lambda y, x, low, high: (x > low) & (x < high),
    lambda y, x, low, high: x <= low,
    lambda y, x, low, high: x >= high,
    formula=["Ind(a > b) Ind(a < c)", "Ind(a ≤ b)", "Ind(a ≥ c)"],
)
hardsigmoid = define(
    "hardsigmoid",
    lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
    lambda y, x: np.where((x > -3) & (x < 3), x.dtype.type(1 / 6), 0),
    doc="min(max(x + 3, 0), 6) / 6",
    formula="Ind(x > −3) Ind(x < 3)/6",
)
hardswish = define(
    "hardswish",
    lambda x: x * (np.minimum(np.maximum(x + 3, 0), 6) / 6),
    lambda y, x: np.where(x < -3, 0, np.where(x <= 3, x / 3 + 0.5, 1)),
    doc="x min(max(x + 3, 0), 6) / 6",
    formula="(x/3 + 1/2) Ind(x ≥ −3) Ind(x ≤ 3) + Ind(x > 3)",
)
_hardshrink = define(
    "hardshrink",
    lambda x, limit: np.where(np.absolute(x) > limit, x, 0),
    lambda y, x, limit: np.absolute(x) > limit,
    None,
    formula=["Ind(|a| > b)", None],
)
_softshrink = define(
    "softshrink",
    lambda x, limit: np.sign(x) * np.maximum(np.absolute(x) - limit, 0),
    lambda y, x, limit: np.absolute(x) > limit,
    lambda y, x, limit: -np.sign(x) * (np.absolute(x) > limit),
    formula=["Ind(|a| > b)", "−sign(a) Ind(|a| > b)"],
)
_threshold = define(
    "threshold",
    lambda x, limit, value: np.where(x > limit, x, value),
    lambda y, x, limit, value: x > limit,
    None,
    lambda y, x, limit, value: x <= limit,
    formula=["Ind(a > b)", None, "Ind(a ≤ b)"],
)
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
selu = define(
    "selu",
    lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    lambda y, x: _SELU_SCALE * np.where(x > 0, 1, _SELU_ALPHA * np.exp(np.minimum(x, 0))),
    doc="λ x where x > 0, else λ α (eˣ − 1), α and λ from Klambauer et al. 2017",
    formula=f"{_SELU_SCALE} (Ind(x > 0) + {_SELU_ALPHA} eˣ Ind(x ≤ 0))",
)


def _celu_slope(t: Any) -> Any:
    """eᵗ − 1 − t eᵗ."""
    return np.expm1(t) - t * np.exp(t)


_celu = define(
    "celu",
    lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha)),
    lambda y, x, alpha: np.exp(np.minimum(x, 0) / alpha),
    lambda y, x, alpha: _celu_slope(np.minimum(x, 0) / alpha),
    formula=["Ind(a > 0) + exp(a/b) Ind(a ≤ 0)", "(exp(a/b) − 1 − a exp(a/b)/b) Ind(a ≤ 0)"],
)
softsign = define(
    "softsign",
    lambda x: x / (1 + np.absolute(x)),
    lambda y, x: 1 / np.square(1 + np.absolute(x)),
    doc="x / (1 + |x|)",
    formula="1/((1 + |x|) (1 + |x|))",
)


def _without_tanh(x: Any) -> Any:
    """x − tanh x; near 0, where that cancels, x Σ 2k/(2k+1)! x²ᵏ / cosh x."""
    near = np.absolute(x) < 1
    t = np.where(near, x, 0)
    series = np.zeros_like(t)
    for k in range(10, 0, -1):
        series = t * t * (2 * k / math.factorial(2 * k + 1) + series)
    return np.where(near, t * series / np.cosh(t), x - np.tanh(x))


tanhshrink = define(
    "tanhshrink",
    _without_tanh,
    lambda y, x: np.square(np.tanh(x)),
    doc="x − tanh x",
    formula="tanh x tanh x",
)
logsigmoid = define(
    "logsigmoid",
    lambda x: -np.logaddexp(0, -x),
    lambda y, x: special.expit(-x),
    doc="log 1 / (1 + e⁻ˣ)",
    formula="σ(−x)",
)


def _mish_slope(y: Any, x: Any) -> Any:
    t = np.tanh(np.logaddexp(0, x))
    return t + x * special.expit(x) * (1 - t) * (1 + t)


mish = define(
    "mish",
    lambda x: x * np.tanh(np.logaddexp(0, x)),
    _mish_slope,
    doc="x tanh(log(1 + eˣ)) (Misra 2020)",
    formula="tanh(log(1 + eˣ)) + x σ(x) (1 − tanh(log(1 + eˣ))) (1 + tanh(log(1 + eˣ)))",
)


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """min(max(x, min_val), max_val). (S) → (S). J = diag(Ind(min_val < x < max_val)). Raises ValueError unless min_val < max_val."""
    expect_number("hardtanh", min_val=min_val, max_val=max_val)
    if not min_val < max_val:
        raise ValueError(f"hardtanh: got min_val {min_val} and max_val {max_val}; wanted the smaller first")
    return _hardtanh(x, float(min_val), float(max_val))


def hardshrink(x: Any, lambd: float = 0.5) -> Any:
    """x where |x| > λ, else 0. (S) → (S). J = diag(Ind(|x| > λ))."""
    expect_number("hardshrink", lambd=lambd)
    return _hardshrink(x, float(lambd))


def softshrink(x: Any, lambd: float = 0.5) -> Any:
    """sign(x) max(|x| − λ, 0). (S) → (S). J = diag(Ind(|x| > λ)). Raises ValueError for λ below 0."""
    expect_number("softshrink", lambd=lambd)
    if lambd < 0:
        raise ValueError(f"softshrink: got lambd {lambd}; wanted at least 0")
    return _softshrink(x, float(lambd))


def threshold(x: Any, threshold: float, value: float) -> Any:
    """x where x > threshold, else value. (S) → (S). J = diag(Ind(x > threshold))."""
    expect_number("threshold", threshold=threshold, value=value)
    return _threshold(x, float(threshold), float(value))


def celu(x: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else α (exp(x/α) − 1). (S) → (S). J = diag(1, or exp(x/α)). Barron 2017. Raises ValueError for α = 0."""
    expect_number("celu", alpha=alpha)
    if not alpha:
        raise ValueError("celu: got alpha 0; wanted another number")
    return _celu(x, float(alpha))


class Softmax(Op):
    """p = eˣ / Σ eˣ along ``axis``.   (S) → (S);   J = diag(p) − p pᵀ for each line."""

    name = "softmax"
    formulas = ("diag(y) − y yᵀ",)
    of_lines = "⊕ᵢ (diag(yᵢ) − yᵢ yᵢᵀ)", "diag(y) − diag(y) ({}) diag(y)"
    defaults: ClassVar[dict[str, Any]] = {"axis": -1}

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"axis": self.axis}

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        """For one line the formula; for lines that are rows a block each; else by the sums S over all lines."""
        axis = normalize_axis_index(self.axis, len(y.shape))
        before, after = math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
        rows, crossing = self.of_lines
        if after > 1:
            return crossing.format(notation.kronecker([("I", before), ("1 1ᵀ", y.shape[axis]), ("I", after)]))
        return self.formula(i) if before == 1 else rows

    def infer(self, x: Spec) -> Spec:
        if not isinstance(self.axis, (int, np.integer)) or isinstance(self.axis, bool):
            raise TypeError(f"{self}: got axis {self.axis!r}; wanted an integer")
        expect(
            -x.ndim <= self.axis < x.ndim and x.shape[self.axis] > 0,
            self,
            f"axis {self.axis} to exist and have at least one entry",
            x=x,
        )
        return Spec(x.shape, expect_floats(self, x=x))

    def forward(self, x: Array) -> Any:
        e = np.exp(x - x.max(axis=self.axis, keepdims=True))
        e /= total(e, self.axis, True)
        return e

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap]:
        axis = last_axis(self.axis, x)

        def push(v: Any) -> Any:
            return y * (v - total(y * v, axis, True))

        def entries(p: Array, own: Array, hit: Array) -> Any:
            return own * (hit - p)

        return (lines(x, axis, push, push, y, entries),)


class LogSoftmax(Softmax):
    """y = x − log Σ eˣ along ``axis``.   (S) → (S);   J = I − 1 pᵀ for each line, p = eʸ."""

    name = "log_softmax"
    formulas = ("I − 1 exp(y)ᵀ",)
    of_lines = "⊕ᵢ (I − 1 exp(yᵢ)ᵀ)", "I − ({}) diag(exp(y))"

    def forward(self, x: Array) -> Any:
        y = x - x.max(axis=self.axis, keepdims=True)
        y -= np.log(total(np.exp(y), self.axis, True))
        return y

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap]:
        axis = last_axis(self.axis, x)

        def push(v: Any) -> Any:
            return v - total(np.exp(y) * v, axis, True)

        def pull(g: Any) -> Any:
            return g - np.exp(y) * total(g, axis, True)

        def entries(y: Array, own: Array, hit: Array) -> Any:
            return hit - np.exp(y)

        return (lines(x, axis, push, pull, y, entries),)


def last_axis(axis: int, x: Any) -> int:
    """``axis`` of x counted from the last, where it stays when axes are added in front."""
    return normalize_axis_index(axis, len(x.shape)) - len(x.shape)


def lines(x: Any, axis: int, push: Any, pull: Any, y: Any, entries: Any) -> LinearMap:
    """A map of each line of x along ``axis``, counted from the last, to itself, with a dense block for each.

    ``entries(line, own, hit)``: rows of the blocks (R, n), from the lines of y that they belong to (R, n), the entry of y
    itself (R, 1), and 1 where the column is the row's own (R, n).
    """
    n, size, step = x.shape[axis], math.prod(x.shape), math.prod(x.shape[len(x.shape) + axis + 1 :])

    def rows(index: Array) -> sp.csr_array:
        place = index // step % n
        columns = (index - place * step)[:, None] + np.arange(n) * step
        values, hit = value_of(y).ravel(), place[:, None] == np.arange(n)
        data = entries(values[columns], values[index, None], hit.astype(x.dtype))
        return compressed(data.ravel(), columns.ravel(), np.arange(len(index) + 1) * n, (len(index), size))

    return FunctionMap(x.shape, x.shape, x.dtype, push=push, pull=pull, rows=rows, bounds=Bounds(size * n, n, n), leading=True,
                       by_sample=-axis < len(x.shape))  # fmt: skip


def softmax(x: Any, axis: int = -1) -> Any:
    """eˣ / Σ eˣ along ``axis``: probabilities. (S) → (S). J = diag(p) − p pᵀ for each line. Raises ShapeError for a wrong axis."""
    return Softmax(axis)(x)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x − log Σ eˣ along ``axis``. (S) → (S). J = I − 1 pᵀ for each line. Raises ShapeError for a wrong axis."""
    return LogSoftmax(axis)(x)
