"""The formulas of an op's Jacobians, as text and as LaTeX, with the shapes of their matrices."""

from __future__ import annotations

from math import prod
from typing import Any

from minigraph.facts import JacobianFormula
from minigraph.notation import ONES, latex, names
from minigraph.op import Op


def jacobian_formulas(op: Op, y: Any, *xs: Any) -> list[JacobianFormula | None]:
    """The formula of the Jacobian of ``op`` for each input, None if there is none; only shapes and dtypes of y and xs matter."""
    formulas: list[JacobianFormula | None] = []
    for i, (name, x) in enumerate(zip(op.symbols(len(xs)), xs, strict=True)):
        smooth = y.dtype.kind in "fc" and x.dtype.kind in "fc"
        text = op.formula_at(i, y, *xs) if smooth else None
        shape = (prod(y.shape), prod(x.shape))
        tex = text and (ONES if text == "1" and shape != (1, 1) else latex(text))
        letters = set(names(text)) if text else set()
        legend = {letter: meaning for letter, meaning in op.legend.items() if letter in letters}
        formulas.append(JacobianFormula(name, text, tex, shape, legend) if text and tex else None)
    return formulas
