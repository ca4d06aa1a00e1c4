"""scipy.special for nodes. Elementwise functions have their derivatives in the table of minigraph/ops/elementwise.py."""

from __future__ import annotations

import math
from typing import Any

from minigraph.ops.activation import log_softmax, logsigmoid, softmax
from minigraph.ops.activation import normal_distribution as ndtr
from minigraph.ops.activation import sigmoid as expit
from minigraph.ops.elementwise import (
    digamma,
    entr,
    erf,
    erfc,
    erfinv,
    exp2,
    expm1,
    gammaln,
    i0,
    i0e,
    i1,
    i1e,
    log1p,
    log_ndtr,
    logit,
    polygamma,
    xlog1py,
    xlogy,
)  # fmt: skip
from minigraph.ops.reduce import logsumexp

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammaln", "i0", "i0e", "i1", "i1e", "kl_div",
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
