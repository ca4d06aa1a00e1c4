"""Elementwise functions: one line each, the function and its derivative in every argument.

y = f(a, b, …) entry by entry, broadcast as in NumPy. J = diag(∂f/∂a), after a Broadcast where a was stretched.
At kinks the derivative is the subgradient of the text below: |x|, relu and sign have 0 at 0; of equal
arguments of maximum and minimum the first wins.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Sequence
from functools import cache
from inspect import Parameter, Signature
from operator import index
from types import MethodType
from typing import Any

import numpy as np
from scipy import special

from minigraph import notation
from minigraph.array import IMPLEMENTATIONS, plain
from minigraph.kernels import tasks
from minigraph.kernels.numpy.elementwise import where_true
from minigraph.maps import Broadcast, Diagonal, Identity, LinearMap
from minigraph.node import Node, Spec, value_of
from minigraph.op import Op, expect, implements

__all__ = [
    "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "bitwise_and", "bitwise_or", "bitwise_xor", "cbrt",
    "ceil", "clip", "conjugate", "copysign", "cos", "cosh", "entr", "erfc", "erfinv", "fmax", "fmin", "heaviside", "log_ndtr", "logical_xor", "logit", "signbit", "xlog1py", "xlogy", "deg2rad", "divide", "equal", "erf", "exp", "exp2", "expm1", "floor", "erfcinv", "gamma", "gammaln", "gammasgn", "rgamma", "digamma", "i0", "i0e", "i1", "i1e", "ldexp", "polygamma",
    "floor_divide", "fmod", "greater", "greater_equal", "hypot", "invert", "isfinite", "isinf", "isnan", "less",
    "less_equal", "log", "log10", "log1p", "log2", "logaddexp", "logaddexp2", "logical_and", "logical_not",
    "logical_or", "maximum", "minimum", "multiply", "negative", "not_equal", "positive", "power", "rad2deg",
    "reciprocal", "remainder", "rint", "sign", "sin", "sinc", "sinh", "sqrt", "square", "subtract", "tan",
    "tanh", "trunc", "where",
]  # fmt: skip

# A function of (y, *inputs); a number where the derivative is constant; None where there is none.
Derivative = Callable[..., Any] | float | None
Slopes = str | Sequence[str | None]  # the derivative in every argument, in the grammar of minigraph.notation
SCALAR = np.float64  # has short cuts: to ask a NumPy scalar for its dtype costs as much as to multiply two


def _one(y: Any, *xs: Any) -> float:
    return 1.0


def _function(derivative: Derivative) -> Callable[..., Any] | None:
    if derivative is None or callable(derivative):
        return derivative
    return _one if derivative == 1 else lambda *args: derivative


def slopes(derivatives: Sequence[Derivative], formula: Slopes) -> list[str | None]:
    """The formula of each derivative, of numbers as they are; ∂y/∂x where none is given."""
    given = [formula] if isinstance(formula, str) else list(formula)
    formulas: list[str | None] = []
    for i, d in enumerate(derivatives):
        if d is None:
            formulas.append(None)
        elif given:
            formulas.append(given[i])
        else:
            letter = "x" if len(derivatives) == 1 else "abc"[i]
            formulas.append(
                f"∂y/∂{letter}" if callable(d) else np.format_float_positional(d, trim="-").replace("-", "−")
            )
    return formulas


class Pointwise(Diagonal):
    """A Diagonal whose ``derivative`` works entry by entry, so that large arrays are computed in parts."""

    def push(self, v: Any) -> Any:
        if type(v) is np.ndarray and v.ndim:
            return tasks.map_entries(self._times, v, *self.args)
        return v * self.derivative(*self.args)

    def pull(self, g: Any) -> Any:
        if type(g) is np.ndarray and g.ndim:
            return tasks.map_entries(self._times, g, *self.args)
        return g * self.derivative(*self.args)

    def _times(self, v: Any, *args: Any, out: Any = None) -> Any:
        d = self.derivative(*args)
        if type(d) is np.ndarray and d.dtype.kind == "b" and d.shape == v.shape:
            return where_true(d, v, out)
        return v * d if out is None else np.multiply(v, d, out=out)


class Elementwise(Op):
    """y = f(x, …), entry by entry.   (S), (T), … → (broadcast of S, T, …);   J = diag(∂f/∂x)."""

    name = "elementwise"
    checks_itself = True
    table: dict[str, Elementwise] = {}

    def __init__(
        self, name: str, function: Callable[..., Any], *derivatives: Derivative, doc: str = "", formula: Slopes = ()
    ) -> None:
        self.name = self.__name__ = name
        self.slopes = slopes(derivatives, formula)
        self.function = self.kernel = function
        self.derivatives = tuple(map(_function, derivatives))
        names = self.symbols(len(derivatives))
        self.__signature__ = Signature([Parameter(n, Parameter.POSITIONAL_ONLY) for n in names])
        known = [(n, t) for n, d, t in zip(names, derivatives, self.slopes, strict=True) if d is not None]
        rule = ", ".join(f"J_{n} = diag({t or f'∂y/∂{n}'})" for n, t in known)
        rule = rule or "No derivative: it is zero wherever there is one"
        one, given = len(names) == 1, ", ".join(names)
        shapes = "(S) → (S)" if one else f"{', '.join(f'{n} ({n.upper()})' for n in names)} → their broadcast shape"
        self.__doc__ = (
            f"{doc or f'{name}({given})'}, entry by entry. {shapes}. {rule}.\n\n"
            f"Raises {'' if one else 'ShapeError for shapes that do not broadcast, '}TypeError for dtypes that it does not take."
        )

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {}

    def symbols(self, n: int) -> list[str]:
        return ["x"] if n == 1 else list("abc")[:n]

    def formula(self, i: int) -> str | None:
        slope = self.slopes[i]
        return slope and self.diagonal(slope)

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        slope = self.slopes[i]
        if slope is None:
            return None
        stretched = () if xs[i].shape == y.shape else (notation.stretching(xs[i].shape, y.shape),)
        return self.diagonal(slope, *stretched) if y.shape else slope

    @staticmethod
    def diagonal(slope: str, stretched: str = "I") -> str:
        """diag(slope) after the matrix that stretches the input, if any."""
        if notation.constant(slope):
            return notation.scaled(slope, stretched if stretched in ("I", "1") or slope == "1" else f"({stretched})")
        return notation.times(f"diag({slope})", stretched)

    def polynomial(self, n: int) -> list[tuple[int, ...]] | None:
        if self.name in ("multiply", "square"):
            return [(0, 1)[:n]] if n == 2 else [(0, 0)]
        linear = ("add", "subtract", "negative", "positive", "absolute", "relu", "maximum", "minimum")
        return [(i,) for i in range(n)] if self.name in linear else None

    def is_bias(self, i: int) -> bool:
        return self.name == "add"

    def infer(self, *xs: Spec) -> Spec:
        got = {f"argument {i}": x for i, x in enumerate(xs, 1)}
        expect(len(xs) == len(self.derivatives), self, f"{len(self.derivatives)} arguments", **got)
        try:
            shape = np.broadcast_shapes(*[x.shape for x in xs])
        except ValueError:
            expect(False, self, "shapes that broadcast to one", **got)
        try:
            with np.errstate(all="ignore"):
                return Spec(shape, Elementwise.forward(self, *[np.ones((), x.dtype) for x in xs]).dtype)
        except TypeError:
            raise TypeError(f"{self}: got {', '.join(map(str, xs))}; wanted dtypes that np.{self} takes") from None

    def forward(self, *xs: Any) -> Any:
        y = self.function(*xs) if type(xs[0]) is SCALAR else tasks.map_entries(self.kernel, *xs)
        if type(y) is SCALAR is type(xs[0]):
            return y
        if y.dtype is not xs[0].dtype:  # integers beside floats must not turn float32 into float64
            floats = [x.dtype for x in xs if x.dtype.kind in "fc"]
            if floats and y.dtype.kind in "fc" and np.result_type(*floats) != y.dtype:
                y = self.function(*[x if x.dtype.kind in "fcb" else x.astype(floats[0]) for x in xs])
        return y[()] if y.ndim == 0 else y

    def leaf(self, x: Any, xs: Sequence[Any]) -> Node:
        return Node(self.operand(x, xs)) if type(x) in (float, int) else super().leaf(x, xs)

    def operand(self, x: Any, xs: Sequence[Any]) -> Any:
        if type(x) in (float, int):  # Python scalars take the others' dtype
            try:
                for other in xs:
                    if isinstance(other, Node):
                        other = other._value
                    if type(other) is SCALAR:
                        return SCALAR(x)
                    dtype = getattr(other, "dtype", None)
                    if dtype is not None and dtype.kind in "fc":
                        return dtype.type(x)
            except OverflowError:
                raise ValueError(f"{self}: got {x}; wanted a number that floats hold") from None
        return plain(x, self.name)[()]

    def jacobians(self, y: Any, *xs: Any) -> list[LinearMap | None]:
        maps: list[LinearMap | None] = []
        kind, args = type(y), (y, *xs)
        if kind is not SCALAR and y.dtype.kind in "fc" and any(x.dtype.kind in "iu" for x in xs):
            args = (y, *[x.astype(y.dtype) if x.dtype.kind in "iu" else x for x in xs])
        for x, derivative in zip(xs, self.derivatives):  # noqa: B905  infer has counted them
            if derivative is None:
                maps.append(None)
                continue
            J = Identity(y) if derivative is _one else Pointwise(y, derivative, args)
            if type(x) is kind is SCALAR or (x.dtype is y.dtype and x.shape == y.shape):
                maps.append(J)
            else:
                maps.append(J @ Broadcast(x, y.shape, y.dtype) if x.dtype.kind in "fc" else None)
        return maps


def define(
    name: str,
    function: Callable[..., Any],
    *derivatives: Derivative,
    numpy: Sequence[Any] = (),
    doc: str = "",
    formula: Slopes = (),
) -> Elementwise:
    """Enter a function into the table, as ``name`` and as what NumPy's function does to Nodes.

    ``doc``: what it computes, if the name does not say so. ``formula``: the formula of each derivative in x (or a, b, …)
    and y; constants say it themselves.
    What others enter is checked when it is used, as their ops are.
    """
    op = Elementwise.table[name] = Elementwise(name, function, *derivatives, doc=doc, formula=formula)
    if function in (operator.add, operator.sub, operator.mul, operator.truediv):  # which are quick for scalars only
        op.kernel = numpy[0]
    if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] != "minigraph":
        for part in ("infer", "forward", "jacobians"):
            check = Op.guards[part]
            setattr(op, part, MethodType(check(getattr(Elementwise, part)), op))
    IMPLEMENTATIONS.update(dict.fromkeys([function, *numpy], op))
    return op


LN2, LN10 = math.log(2), math.log(10)
E = define


def _beside_one(x: Any) -> Any:
    """1 − x²: as it stands where x is small, for the digits of its derivative; as a product where it is near 0."""
    return np.where(np.absolute(x) < 0.5, 1 - x * x, (1 - x) * (1 + x))


def _sinc_slope(y: Any, x: Any) -> Any:
    """(cos πx − sinc x) / x, and near 0, where that cancels, its series π Σ (−1)ᵏ 2k/(2k+1)! (πx)²ᵏ⁻¹."""
    near = np.absolute(x) < 0.2
    t = np.where(near, x, 0) * math.pi
    series = np.zeros_like(t)
    for k in range(7, 0, -1):
        series = (-1) ** k * 2 * k / math.factorial(2 * k + 1) + t * t * series
    return np.where(near, math.pi * t * series, (np.cos(x * math.pi) - y) / np.where(near, 1, x))


def _logistic_density(x: Any) -> Any:
    e = np.exp(np.minimum(x, -x))
    root = 1 + e
    root *= root
    e /= root
    return e


def _near(x: Any) -> Any:
    """x, no further from 0 than where exp(−x²) is 0 in any dtype."""
    return np.minimum(np.maximum(x, -40), 40)


def _power(a: Any, b: Any) -> Any:
    """aᵇ. For b of one entry NumPy 2.0 gives a ** b the dtype of a, even where that of b is wider."""
    return np.power(a, b) if a.dtype.itemsize < b.dtype.itemsize else a**b


def _power_slope(y: Any, a: Any, b: Any) -> Any:
    """b aᵇ⁻¹; as b y / a where a is so small that aᵇ⁻¹ alone may overflow."""
    if np.all(np.absolute(value_of(b)) >= 0.5):
        return b * _power(a, b - 1)
    zero = np.equal(a, 0)
    small = (np.absolute(a) < np.sqrt(np.finfo(value_of(a).dtype).tiny)) & (np.absolute(b) < 0.5) & ~zero
    usual = b * _power(np.where(small | zero & np.equal(b, 0), 1, a), b - 1)
    return np.where(small, b * y / np.where(small, a, 1), usual)


def _power_exponent_slope(y: Any, a: Any, b: Any) -> Any:
    """aᵇ log a, and 0 where a is negative, or zero with b at least 0."""
    some = np.greater(a, 0) & np.not_equal(y, 0) | np.equal(a, 0) & np.less(b, 0)
    return np.where(some, y, 0) * np.log(np.where(some, a, 1))


def _scaled(a: Any, b: Any) -> tuple[Any, Any, Any]:
    """a/m, b/m and m, the larger of |a| and |b|: the squares of a/m and b/m neither overflow nor vanish."""
    m = np.maximum(np.absolute(value_of(a)), np.absolute(value_of(b)))
    m = np.where((m > 0) & np.isfinite(m), m, 1)
    return a / m, b / m, m


def _cosine(y: Any, a: Any, b: Any) -> Any:
    """a / √(a² + b²), 0 at the origin."""
    u, v, _ = _scaled(a, b)
    h = np.hypot(u, v)
    return u / np.where(value_of(h) == 0, 1, h)


def _angle_slope(a: Any, b: Any) -> Any:
    """b / (a² + b²), 0 at the origin."""
    u, v, m = _scaled(a, b)
    squares = u * u + v * v
    return v / np.where(value_of(squares) == 0, 1, squares) / m


# arithmetic
add = E("add", operator.add, 1.0, 1.0, numpy=[np.add])
subtract = E("subtract", operator.sub, 1.0, -1.0, numpy=[np.subtract])
multiply = E("multiply", operator.mul, lambda y, a, b: b, lambda y, a, b: a, numpy=[np.multiply], formula=["b", "a"])
divide = E(
    "divide",
    operator.truediv,
    lambda y, a, b: 1 / b,
    lambda y, a, b: -y / b,
    numpy=[np.divide],
    formula=["1/b", "−y/b"],
)
power = E("power", operator.pow, _power_slope, _power_exponent_slope, numpy=[np.power], formula=["b aᵇ⁻¹", "aᵇ log a"])
power.kernel = _power
remainder = E("remainder", np.remainder, 1.0, lambda y, a, b: -np.floor_divide(a, b), formula=["1", "−⌊a/b⌋"])
fmod = E("fmod", np.fmod, 1.0, lambda y, a, b: np.rint((y - a) / b), formula=["1", "−trunc(a/b)"])
floor_divide = E("floor_divide", np.floor_divide, None, None)
negative = E("negative", np.negative, -1.0)
positive = E("positive", np.positive, 1.0)
conjugate = E("conjugate", np.conjugate, 1.0, doc="x itself, as all nodes are real")
reciprocal = E("reciprocal", np.reciprocal, lambda y, x: -y * y, formula="−1/x²")
square = E("square", np.square, lambda y, x: 2 * x, formula="2 x")
absolute = E("absolute", np.absolute, lambda y, x: np.sign(x), formula="sign(x)")
_fabs = E("fabs", np.fabs, lambda y, x: np.sign(x), formula="sign(x)")
hypot = E("hypot", np.hypot, _cosine, lambda y, a, b: _cosine(y, b, a), doc="√(a² + b²)", formula=["a/y", "b/y"])
maximum = E("maximum", np.maximum, lambda y, a, b: a >= b, lambda y, a, b: b > a, formula=["Ind(a ≥ b)", "Ind(b > a)"])
minimum = E("minimum", np.minimum, lambda y, a, b: a <= b, lambda y, a, b: b < a, formula=["Ind(a ≤ b)", "Ind(b < a)"])
_where = E(
    "where",
    np.where,
    None,
    lambda y, c, a, b: np.not_equal(c, 0),
    lambda y, c, a, b: np.equal(c, 0),
    formula=[None, "Ind(a ≠ 0)", "Ind(a = 0)"],
)
# exponentials and logarithms
exp = E("exp", np.exp, lambda y, x: y, formula="eˣ")
exp2 = E("exp2", np.exp2, lambda y, x: y * LN2, formula="y log 2")
expm1 = E("expm1", np.expm1, lambda y, x: np.exp(x), formula="eˣ")
log = E("log", np.log, lambda y, x: 1 / x, formula="1/x")
log2 = E("log2", np.log2, lambda y, x: (1 / LN2) / x, formula="1/(x log 2)")
log10 = E("log10", np.log10, lambda y, x: (1 / LN10) / x, formula="1/(x log 10)")
log1p = E("log1p", np.log1p, lambda y, x: 1 / (1 + x), formula="1/(1 + x)")
sqrt = E("sqrt", np.sqrt, lambda y, x: 0.5 / y, formula="1/(2 y)")
cbrt = E("cbrt", np.cbrt, lambda y, x: 1 / (3 * y * y), formula="1/(3 y²)")
logaddexp = E(
    "logaddexp",
    np.logaddexp,
    lambda y, a, b: special.expit(a - b),
    lambda y, a, b: special.expit(b - a),
    doc="log(eᵃ + eᵇ)",
    formula=["σ(a − b)", "σ(b − a)"],
)
logaddexp2 = E(
    "logaddexp2",
    np.logaddexp2,
    lambda y, a, b: special.expit((a - b) * LN2),
    lambda y, a, b: special.expit((b - a) * LN2),
    formula=["2ᵃ⁻ʸ", "2ᵇ⁻ʸ"],
)

# trigonometric and hyperbolic
sin = E("sin", np.sin, lambda y, x: np.cos(x), formula="cos x")
cos = E("cos", np.cos, lambda y, x: -np.sin(x), formula="−sin x")
tan = E("tan", np.tan, lambda y, x: 1 + y * y, formula="1 + y²")
arcsin = E("arcsin", np.arcsin, lambda y, x: 1 / np.sqrt(_beside_one(x)), formula="1/√(1 − x²)")
arccos = E("arccos", np.arccos, lambda y, x: -1 / np.sqrt(_beside_one(x)), formula="−1/√(1 − x²)")
arctan = E("arctan", np.arctan, lambda y, x: 1 / np.hypot(1, x) / np.hypot(1, x), formula="1/(1 + x²)")
arctan2 = E(
    "arctan2",
    np.arctan2,
    lambda y, a, b: _angle_slope(a, b),
    lambda y, a, b: -_angle_slope(b, a),
    formula=["b/(a² + b²)", "−a/(a² + b²)"],
)
sinh = E("sinh", np.sinh, lambda y, x: np.cosh(x), formula="cosh x")
cosh = E("cosh", np.cosh, lambda y, x: np.sinh(x), formula="sinh x")
tanh = E("tanh", np.tanh, lambda y, x: 4 * logistic_density(2 * x), formula="1 − y²")
arcsinh = E("arcsinh", np.arcsinh, lambda y, x: 1 / np.hypot(1, x), formula="1/√(1 + x²)")
arccosh = E("arccosh", np.arccosh, lambda y, x: 1 / np.sqrt(x - 1) / np.sqrt(x + 1), formula="1/√(x² − 1)")
arctanh = E("arctanh", np.arctanh, lambda y, x: 1 / _beside_one(x), formula="1/(1 − x²)")
deg2rad = E("deg2rad", np.deg2rad, math.pi / 180, numpy=[np.radians], formula="π/180")
rad2deg = E("rad2deg", np.rad2deg, 180 / math.pi, numpy=[np.degrees], formula="180/π")
sinc = E("sinc", np.sinc, _sinc_slope, doc="sin(πx) / (πx), 1 at 0", formula="(cos(π x) − y)/x")
erf = E(
    "erf",
    special.erf,
    lambda y, x: (2 / math.sqrt(math.pi)) * gaussian(x),
    doc="2/√π ∫ exp(−t²) dt from 0 to x",
    formula="2 exp(−x²)/√π",
)
# slopes of saturating functions, which keep their digits where 1 − y² or 1 − y would cancel
logistic_density: Elementwise = E(
    "logistic_density", _logistic_density, lambda y, x: -y * np.tanh(0.5 * x), formula="−y tanh(x/2)"
)
gaussian: Elementwise = E(
    "gaussian", lambda x: np.exp(-np.square(_near(x))), lambda y, x: -2 * _near(x) * y, formula="−2 x y"
)

erfc = E(
    "erfc",
    special.erfc,
    lambda y, x: (-2 / math.sqrt(math.pi)) * gaussian(x),
    doc="1 − erf x",
    formula="−2 exp(−x²)/√π",
)
erfinv = E(
    "erfinv", special.erfinv, lambda y, x: (math.sqrt(math.pi) / 2) * np.exp(np.square(y)), doc="the x whose erf this is",
    formula="√π exp(y²)/2",
)  # fmt: skip
logit = E("logit", special.logit, lambda y, x: 1 / (x * (1 - x)), doc="log x / (1 − x)", formula="1/(x (1 − x))")
xlogy = E(
    "xlogy", special.xlogy, lambda y, a, b: np.where(np.equal(a, 0), 0, np.log(b)), lambda y, a, b: a / b,
    doc="a log b, 0 where a is 0", formula=["Ind(a ≠ 0) log b", "a/b"],
)  # fmt: skip
xlog1py = E(
    "xlog1py", special.xlog1py, lambda y, a, b: np.where(np.equal(a, 0), 0, np.log1p(b)), lambda y, a, b: a / (1 + b),
    doc="a log(1 + b), 0 where a is 0", formula=["Ind(a ≠ 0) log(1 + b)", "a/(1 + b)"],
)  # fmt: skip
entr = E("entr", special.entr, lambda y, x: -np.log(x) - 1, doc="−x log x", formula="−log x − 1")
log_ndtr = E(
    "log_ndtr", special.log_ndtr, lambda y, x: np.exp(-0.5 * np.square(x) - y) / math.sqrt(2 * math.pi),
    doc="the logarithm of the normal distribution function", formula="exp(−x²/2 − y)/√(2 π)",
)  # fmt: skip
gammaln = E(
    "gammaln", special.gammaln, lambda y, x: digamma(x), doc="log |Γ(x)|", formula="ψ(x)"
)  # fmt: skip
gamma = E("gamma", special.gamma, lambda y, x: y * digamma(x), doc="Γ(x), (x − 1)! of integers", formula="y ψ(x)")
rgamma = E("rgamma", special.rgamma, lambda y, x: -y * digamma(x), doc="1/Γ(x)", formula="−y ψ(x)")
gammasgn = E("gammasgn", special.gammasgn, None, doc="the sign of Γ(x)")
erfcinv = E(
    "erfcinv", special.erfcinv, lambda y, x: (-math.sqrt(math.pi) / 2) * np.exp(np.square(y)),
    doc="the x whose erfc this is", formula="−√π exp(y²)/2",
)  # fmt: skip
digamma: Elementwise = E(
    "digamma", special.digamma, lambda y, x: polygamma(1, x), doc="ψ(x) = d/dx log |Γ(x)|", formula="polygamma(1, x)"
)
i0 = E("i0", special.i0, lambda y, x: i1(x), numpy=[np.i0], doc="the modified Bessel function I₀(x)", formula="i1(x)")
i1: Elementwise = E(
    "i1", special.i1, lambda y, x: i0(x) - np.where(np.equal(x, 0), 0.5, y / np.where(np.equal(x, 0), 1, x)),
    doc="the modified Bessel function I₁(x)", formula="i0(x) − y/x",
)  # fmt: skip
i0e = E("i0e", special.i0e, lambda y, x: i1e(x) - np.sign(x) * y, doc="exp(−|x|) I₀(x)", formula="i1e(x) − sign(x) y")
i1e: Elementwise = E(
    "i1e", special.i1e,
    lambda y, x: i0e(x) - np.sign(x) * y - np.where(np.equal(x, 0), 0.5, y / np.where(np.equal(x, 0), 1, x)),
    doc="exp(−|x|) I₁(x)", formula="i0e(x) − sign(x) y − y/x",
)  # fmt: skip


@cache
def _polygamma(n: int) -> Elementwise:
    def value(x: Any) -> Any:
        return np.asarray(special.polygamma(n, x)).astype(x.dtype if x.dtype.kind == "f" else float)

    return Elementwise(f"polygamma{n}", value, lambda y, x: _polygamma(n + 1)(x), formula=f"polygamma({n + 1}, x)")


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of the digamma function at x, entry by entry. (S) → (S). J = diag(polygamma(n + 1, x))."""
    return _polygamma(index(n))(x) if n else digamma(x)


fmax = E(
    "fmax", np.fmax, lambda y, a, b: (a >= b) | np.isnan(b), lambda y, a, b: ~((a >= b) | np.isnan(b)),
    doc="the larger, or the one that is no NaN", formula=["Ind(a ≥ b)", "Ind(b > a)"],
)  # fmt: skip
fmin = E(
    "fmin", np.fmin, lambda y, a, b: (a <= b) | np.isnan(b), lambda y, a, b: ~((a <= b) | np.isnan(b)),
    doc="the smaller, or the one that is no NaN", formula=["Ind(a ≤ b)", "Ind(b < a)"],
)  # fmt: skip
copysign = E(
    "copysign", np.copysign, lambda y, a, b: np.copysign(1, value_of(a)) * np.copysign(1, value_of(b)), None,
    doc="|a| with the sign of b", formula=["sign(a) sign(b)", None],
)  # fmt: skip
ldexp = E(
    "ldexp", np.ldexp, lambda y, a, b: np.exp2(value_of(b).astype(y.dtype)), None, doc="a 2ᵇ for integers b",
    formula=["2ᵇ", None],
)  # fmt: skip
heaviside = E(
    "heaviside", np.heaviside, None, lambda y, a, b: np.equal(a, 0), doc="0 below 0, 1 above, b at 0",
    formula=[None, "Ind(a = 0)"],
)  # fmt: skip

# flat almost everywhere: the derivative is zero, so none is passed on
sign = E("sign", np.sign, None)
floor = E("floor", np.floor, None)
ceil = E("ceil", np.ceil, None)
trunc = E("trunc", np.trunc, None, numpy=[np.fix])
rint = E("rint", np.rint, None)
equal = E("equal", np.equal, None, None)
not_equal = E("not_equal", np.not_equal, None, None)
less = E("less", np.less, None, None)
less_equal = E("less_equal", np.less_equal, None, None)
greater = E("greater", np.greater, None, None)
greater_equal = E("greater_equal", np.greater_equal, None, None)
logical_and = E("logical_and", np.logical_and, None, None)
logical_or = E("logical_or", np.logical_or, None, None)
logical_xor = E("logical_xor", np.logical_xor, None, None)
logical_not = E("logical_not", np.logical_not, None)
signbit = E("signbit", np.signbit, None)
bitwise_and = E("bitwise_and", operator.and_, None, None, numpy=[np.bitwise_and])
bitwise_or = E("bitwise_or", operator.or_, None, None, numpy=[np.bitwise_or])
bitwise_xor = E("bitwise_xor", operator.xor, None, None, numpy=[np.bitwise_xor])
invert = E("invert", operator.invert, None, numpy=[np.invert])
isnan = E("isnan", np.isnan, None)
isinf = E("isinf", np.isinf, None)
isfinite = E("isfinite", np.isfinite, None)


for _name in (
    "add", "multiply", "maximum", "minimum", "hypot", "logaddexp", "equal", "not_equal", "logical_and", "logical_or",
):  # fmt: skip
    Elementwise.table[_name].operands = ("", "")  # symmetric: their operands are interchangeable


@implements(np.where)
def where(condition: Any, *ab: Any) -> Any:
    """a where the condition holds, else b, broadcast together; of the condition alone, the indices where it holds.

    J_a = diag(Ind(condition)), J_b = diag(Ind(not condition)).
    """
    return _where(condition, *ab) if ab else np.nonzero(value_of(condition))


@implements(np.float_power)
def float_power(a: Any, b: Any) -> Any:
    """aᵇ in double precision at least, entry by entry; (S), (T) → (broadcast of S, T). J as that of power."""
    return power(_double(a), _double(b))


def _double(x: Any) -> Any:
    """x in float64; a Python number takes the dtype of its partner."""
    return x if type(x) in (int, float) else IMPLEMENTATIONS["astype"](x, np.float64)


@implements(np.clip)
def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """x limited to [a_min, a_max] (or min, max); (S) → (S). J = diag(Ind(a_min ≤ x ≤ a_max)). None does not bind.

    The minimum with a_max of the maximum with a_min, so that a_max wins where the two cross, as in NumPy.
    """
    a_min, a_max = min if a_min is None else a_min, max if a_max is None else a_max
    if a_min is None and a_max is None:
        return positive(x)
    x = x if a_min is None else maximum(x, a_min)
    return x if a_max is None else minimum(x, a_max)


@implements(np.divmod)
def divmod(a: Any, b: Any) -> tuple[Any, Any]:
    """(floor_divide(a, b), remainder(a, b))."""
    return floor_divide(a, b), remainder(a, b)
