"""scipy.special for nodes. Elementwise functions have their derivatives in the table of minigraph/ops/elementwise.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from minigraph.arguments import expect_plain
from minigraph.ops.activation import log_softmax, logsigmoid, softmax
from minigraph.ops.activation import normal_distribution as ndtr
from minigraph.ops.activation import sigmoid as expit
from minigraph.ops.elementwise import (
    Elementwise,
    digamma,
    entr,
    erf,
    erfc,
    erfcinv,
    erfinv,
    exp2,
    expm1,
    gamma,
    gammaln,
    gammasgn,
    i0,
    i0e,
    i1,
    i1e,
    log1p,
    log_ndtr,
    logit,
    polygamma,
    rgamma,
    xlog1py,
    xlogy,
)  # fmt: skip
from minigraph.ops.reduce import logsumexp

__all__ = [
    "beta", "betaln", "digamma", "entr", "erf", "erfc", "erfcinv", "erfinv", "exp2", "expit", "expm1", "gamma", "gammainc",
    "gammaincc", "gammaln", "gammasgn", "rgamma", "i0", "i0e", "i1", "i1e", "kl_div",
    "log1p", "log_expit", "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "polygamma", "psi",
    "rel_entr", "softmax", "xlog1py", "xlogy",
]  # fmt: skip
psi = digamma


def log_expit(x: Any) -> Any:
    """log σ(x), entry by entry. (S) → (S). J = diag(σ(−x))."""
    return logsigmoid(x)


def rel_entr(x: Any, y: Any) -> Any:
    """x log(x/y), 0 where x is 0, entry by entry. J_x = diag(log(x/y) + 1), J_y = diag(−x/y)."""
    return xlogy(x, x) - xlogy(x, y)


def kl_div(x: Any, y: Any) -> Any:
    """x log(x/y) − x + y, entry by entry. J_x = diag(log(x/y)), J_y = diag(1 − x/y)."""
    return rel_entr(x, y) - x + y


def multigammaln(a: Any, d: int) -> Any:
    """The logarithm of the gamma function of d dimensions, entry by entry: d (d − 1)/4 log π + Σ log Γ(a − i/2), i < d."""
    total: Any = d * (d - 1) / 4 * math.log(math.pi)
    for i in range(d):
        total = total + gammaln(a - i / 2)
    return total


def betaln(a: Any, b: Any) -> Any:
    """The logarithm of |B(a, b)|, entry by entry: log Γ(a) + log Γ(b) − log Γ(a + b)."""
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def beta(a: Any, b: Any) -> Any:
    """B(a, b) = Γ(a) Γ(b) / Γ(a + b), entry by entry."""
    return np.exp(betaln(a, b)) * (gammasgn(a) * gammasgn(b) * gammasgn(a + b))


_lower = Elementwise("gammainc", special.gammainc, None, lambda y, a, x: np.exp((a - 1) * np.log(x) - x - gammaln(a)))


def gammainc(a: Any, x: Any) -> Any:
    """The regularised lower incomplete gamma function, entry by entry. J_x = diag(xᵃ⁻¹ e⁻ˣ/Γ(a)); a is not differentiated."""
    expect_plain("gammainc", a=a)
    return _lower(a, x)


def gammaincc(a: Any, x: Any) -> Any:
    """1 − gammainc(a, x), entry by entry; a is not differentiated."""
    expect_plain("gammaincc", a=a)
    return _upper(a, x)


_upper = Elementwise(
    "gammaincc", special.gammaincc, None, lambda y, a, x: -np.exp((a - 1) * np.log(x) - x - gammaln(a))
)
