"""Elementwise functions: Python's math module and operators are the other implementation."""

import math
import operator
from statistics import NormalDist

import numpy as np

from cases.case import Case, cases_of
from minigraph.ops.elementwise import Elementwise

ANY, POSITIVE, NONZERO, UNIT, ABOVE_ONE = (-2.0, 2.0), (0.2, 3.0), (0.3, 2.0), (-0.9, 0.9), (1.1, 3.0)
TRUTH = (False, True)
# What the value should be, of Python numbers, and the range to draw each argument from; the last one serves the rest too.
TABLE = {
    "add": (lambda a, b: math.fsum((a, b)), ANY),
    "subtract": (lambda a, b: math.fsum((a, -b)), ANY),
    "multiply": (lambda a, b: a / (1 / b), ANY),
    "divide": (lambda a, b: a * b**-1, ANY, NONZERO),
    "power": (math.pow, POSITIVE, ANY),
    "remainder": (lambda a, b: a % b, ANY, NONZERO),
    "fmod": (math.fmod, ANY, NONZERO),
    "floor_divide": (lambda a, b: a // b, ANY, NONZERO),
    "negative": (lambda x: 0 - x, ANY),
    "positive": (float, ANY),
    "conjugate": (float, ANY),
    "reciprocal": (lambda x: x**-1, NONZERO),
    "square": (lambda x: math.pow(x, 2), ANY),
    "absolute": (math.fabs, ANY),
    "fabs": (math.fabs, ANY),
    "hypot": (math.hypot, NONZERO),
    "maximum": (max, ANY),
    "minimum": (min, ANY),
    "where": (lambda c, a, b: a if c else b, TRUTH, ANY),
    "exp": (math.exp, ANY),
    "exp2": (math.exp2, ANY),
    "expm1": (math.expm1, ANY),
    "log": (math.log, POSITIVE),
    "log2": (math.log2, POSITIVE),
    "log10": (math.log10, POSITIVE),
    "log1p": (math.log1p, UNIT),
    "sqrt": (math.sqrt, POSITIVE),
    "cbrt": (math.cbrt, POSITIVE),
    "logaddexp": (lambda a, b: math.log(math.exp(a) + math.exp(b)), ANY),
    "logaddexp2": (lambda a, b: math.log2(2**a + 2**b), ANY),
    "sin": (math.sin, ANY),
    "cos": (math.cos, ANY),
    "tan": (math.tan, (-1, 1)),
    "arcsin": (math.asin, UNIT),
    "arccos": (math.acos, UNIT),
    "arctan": (math.atan, ANY),
    "arctan2": (math.atan2, NONZERO),
    "sinh": (math.sinh, ANY),
    "cosh": (math.cosh, ANY),
    "tanh": (math.tanh, ANY),
    "arcsinh": (math.asinh, ANY),
    "arccosh": (math.acosh, ABOVE_ONE),
    "arctanh": (math.atanh, UNIT),
    "deg2rad": (math.radians, ANY),
    "rad2deg": (math.degrees, ANY),
    "sinc": (lambda x: math.sin(math.pi * x) / (math.pi * x), ANY),
    "erf": (math.erf, ANY),
    "logistic_density": (lambda x: math.exp(x) / (1 + math.exp(x)) ** 2, ANY),
    "gaussian": (lambda x: math.exp(-x * x), ANY),
    "erfc": (math.erfc, ANY),
    "erfinv": (lambda x: NormalDist().inv_cdf((x + 1) / 2) / math.sqrt(2), UNIT),
    "logit": (lambda x: math.log(x) - math.log(1 - x), (0.1, 0.9)),
    "xlogy": (lambda a, b: a * math.log(b), ANY, POSITIVE),
    "xlog1py": (lambda a, b: a * math.log1p(b), ANY, UNIT),
    "gammaln": (math.lgamma, POSITIVE),
    "gamma": (math.gamma, POSITIVE),
    "rgamma": (lambda x: 1 / math.gamma(x), POSITIVE),
    "gammasgn": (lambda x: 1.0, POSITIVE),
    "erfcinv": (lambda x: -NormalDist().inv_cdf(x / 2) / math.sqrt(2), (0.2, 1.8)),
    "digamma": (lambda x: digamma(x), POSITIVE),
    "i0": (lambda x: bessel(0, x), ANY),
    "i1": (lambda x: bessel(1, x), ANY),
    "i0e": (lambda x: bessel(0, x) * math.exp(-abs(x)), ANY),
    "i1e": (lambda x: bessel(1, x) * math.exp(-abs(x)), ANY),
    "entr": (lambda x: -x * math.log(x), POSITIVE),
    "log_ndtr": (lambda x: math.log(NormalDist().cdf(x)), ANY),
    "fmax": (max, ANY),
    "fmin": (min, ANY),
    "copysign": (math.copysign, NONZERO, ANY),
    "ldexp": (lambda a, b: math.ldexp(a, int(b)), ANY, TRUTH),
    "heaviside": (lambda a, b: float(a > 0), NONZERO, ANY),
    "logical_xor": (lambda a, b: bool(a) != bool(b), ANY),
    "signbit": (lambda x: x < 0, ANY),
    "sign": (lambda x: math.copysign(1, x), ANY),
    "floor": (math.floor, ANY),
    "ceil": (math.ceil, ANY),
    "trunc": (math.trunc, ANY),
    "rint": (round, ANY),
    "equal": (lambda a, b: a == b, ANY),
    "not_equal": (lambda a, b: a != b, ANY),
    "less": (lambda a, b: a < b, ANY),
    "less_equal": (lambda a, b: a <= b, ANY),
    "greater": (lambda a, b: a > b, ANY),
    "greater_equal": (lambda a, b: a >= b, ANY),
    "logical_and": (lambda a, b: bool(a and b), ANY),
    "logical_or": (lambda a, b: bool(a or b), ANY),
    "logical_not": (lambda x: not x, ANY),
    "bitwise_and": (operator.and_, TRUTH),
    "bitwise_or": (operator.or_, TRUTH),
    "bitwise_xor": (operator.xor, TRUTH),
    "invert": (lambda x: not x, TRUTH),
    "isnan": (math.isnan, ANY),
    "isinf": (math.isinf, ANY),
    "isfinite": (math.isfinite, ANY),
    "relu": (lambda x: x if x > 0 else 0, ANY),
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), ANY),
    "softplus": (lambda x: math.log1p(math.exp(x)), ANY),
    "silu": (lambda x: x / (1 + math.exp(-x)), ANY),
    "normal_distribution": (lambda x: 0.5 * math.erfc(-x / math.sqrt(2)), ANY),
    "gelu": (lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2)), ANY),
    "gelu_tanh": (lambda x: x / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), ANY),
    "leaky_relu": (lambda x, slope: x if x > 0 else slope * x, ANY),
    "elu": (lambda x, alpha: x if x > 0 else alpha * (math.exp(x) - 1), ANY),
    "relu6": (lambda x: sorted((0, x, 6))[1], (-8, 8)),
    "hardtanh": (lambda x, low, high: sorted((low, x, high))[1], ANY, (-1.5, -0.5), (0.5, 1.5)),
    "hardsigmoid": (lambda x: sorted((0, x / 6 + 0.5, 1))[1], (-5, 5)),
    "hardswish": (lambda x: x * sorted((0, x / 6 + 0.5, 1))[1], (-5, 5)),
    "hardshrink": (lambda x, limit: x if abs(x) > limit else 0, ANY, UNIT),
    "softshrink": (lambda x, limit: math.copysign(max(abs(x) - limit, 0), x), ANY, NONZERO),
    "threshold": (lambda x, limit, value: x if x > limit else value, ANY, ANY, ANY),
    "selu": (lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)), ANY),
    "celu": (lambda x, alpha: x if x > 0 else alpha * (math.exp(x / alpha) - 1), ANY, NONZERO),
    "softsign": (lambda x: x / (1 + abs(x)), ANY),
    "tanhshrink": (lambda x: x - math.tanh(x), ANY),
    "logsigmoid": (lambda x: -math.log1p(math.exp(-x)), ANY),
    "mish": (lambda x: x * math.tanh(math.log1p(math.exp(x))), ANY),
}


def digamma(x):
    """By ψ(x) = ψ(x + 1) − 1/x up to where the asymptotic series holds."""
    return digamma(x + 1) - 1 / x if x < 30 else math.log(x) - 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4)


def bessel(n, x):
    return sum((x / 2) ** (2 * k + n) / (math.factorial(k) * math.factorial(k + n)) for k in range(40))


@cases_of(Elementwise)
def elementwise(rng):
    for name, op in Elementwise.table.items():
        if name in TABLE:
            yield case(op, rng)


def case(op, rng):
    oracle, *ranges = TABLE[op.name]
    count = len(op.derivatives)
    ranges += ranges[-1:] * (count - len(ranges))
    shapes = [(3, 1), (4,), (1, 4)][:count] if count > 1 else [(3, 4)]
    xs = [rng.uniform(*ends, shape) for ends, shape in zip(ranges, shapes, strict=True)]
    xs = tuple(x > 0.5 if ends is TRUTH else x for x, ends in zip(xs, ranges, strict=True))
    bad = (np.ones((2, 3)), np.ones(2), np.ones(2))[:count] if count > 1 else None
    return Case(op, xs, np.vectorize(oracle, otypes=[float])(*xs), bad, "shapes that broadcast")
