"""Writes docs/coverage.md: which functions of NumPy, SciPy and PyTorch nodes take, with which keywords, and which not.

Run it from the repository: python docs/coverage.py. A test compares the page with what this would write.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np

import minigraph as mg
from minigraph import scipy as of_scipy
from minigraph.array import IMPLEMENTATIONS, QUERIES, WAYS, _keywords, _plan
from minigraph.nn import functional

PAGE = Path(__file__).with_name("coverage.md")
ROOT = Path(__file__).parent.parent
INTRODUCTION = """# Coverage

Written by `python docs/coverage.py`, with NumPy {version}. Every function here keeps its explicit Jacobian, or is composed of
functions that do. `out=` is never taken: values on the tape are read-only. Of ufuncs all options but `where` are taken, and
the method `outer` of those with two arguments.

```python
import numpy as np

import minigraph as mg

A, b = mg.parameter([[2.0, 1.0], [1.0, 3.0]]), mg.parameter([1.0, 2.0])
x = np.linalg.solve(A, b)
y = np.sum(x, where=x.value > 0) + mg.scipy.special.logsumexp(b) + mg.nn.functional.softplus(x, beta=2)[0]
y.backward()
assert A.grad.shape == (2, 2)
try:
    np.linalg.qr(A)
except TypeError as error:
    assert "use np.linalg.cholesky(A.T @ A)" in str(error)
```"""
OTHER = "not differentiable, or of no use to networks; `np.asarray(node)` leaves the graph"
ABSENT = {  # of PyTorch
    "sequences": ("ctc_loss, CTCLoss, RNNBase, RNN, LSTM, GRU, RNNCellBase, Transformer, "
                  "TransformerEncoder, TransformerEncoderLayer, TransformerDecoder, TransformerDecoderLayer, "
                  "MultiheadAttention, multi_head_attention_forward", "`RNNCell`, `LSTMCell`, `GRUCell` in a loop; `scaled_dot_product_attention`"),
    "shortcuts": ("embedding_bag, EmbeddingBag", "`embedding`, then `np.sum` or `np.mean`"),
    "fused": ("linear_cross_entropy, LinearCrossEntropyLoss, AdaptiveLogSoftmaxWithLoss", "`linear`, then `cross_entropy`"),
    "older names": ("upsample, upsample_nearest, upsample_bilinear, NLLLoss2d, CrossMapLRN2d",
                    "`interpolate`, `NLLLoss`, `LocalResponseNorm`"),
    "several processes": ("DataParallel, SyncBatchNorm", "one process"),
}  # fmt: skip


def dispatched(home: Any) -> dict[str, Any]:
    """The public functions and ufuncs of NumPy that nodes can reach, by name."""
    kinds = (type(np.sum), np.ufunc)
    return {n: f for n, f in sorted(vars(home).items()) if isinstance(f, kinds) and not n.startswith("_")}


def keywords(function: Any) -> str:
    """The keywords that nodes take, with NumPy's names."""
    if isinstance(function, np.ufunc):
        return ""
    ours = _keywords(IMPLEMENTATIONS[function])
    try:
        theirs = inspect.signature(function).parameters
    except ValueError:
        return ""
    plan = _plan(function, IMPLEMENTATIONS[function])
    taken = [n for n, p in theirs.items() if p.default is not p.empty and n != "out"]
    if ours is not None:
        taken = [n for n in taken if n in plan.options or n in plan.names[: plan.alike]]
    return ", ".join(taken)


def of_numpy() -> tuple[dict[str, str], list[str], list[str], dict[str, list[str]]]:
    """Functions with keywords and these, those without, those that answer without a derivative, and the refused by way."""
    options: dict[str, str] = {}
    simple: list[str] = []
    answers: list[str] = []
    refused: dict[str, list[str]] = {}
    for home, prefix in ((np, "np."), (np.linalg, "np.linalg.")):
        for name, function in dispatched(home).items():
            if function not in IMPLEMENTATIONS:
                refused.setdefault(WAYS.get(function, OTHER), []).append(prefix + name)
            elif name in QUERIES:
                answers.append(prefix + name)
            elif given := keywords(function):
                options[prefix + name] = given
            else:
                simple.append(prefix + name)
    return options, simple, answers, refused


def listed(names: Any) -> str:
    """Names in lines of at most 120 characters."""
    lines, line = [], ""
    for word in (f"`{n}`," for n in sorted(names)):
        if len(line) + len(word) > 118:
            lines.append(line.rstrip())
            line = ""
        line += word + " "
    return "\n".join([*lines, line.rstrip(" ,")]) + "."


def page() -> str:
    """The page as text."""
    options, simple, answers, refused = of_numpy()
    parts = [INTRODUCTION.format(version=".".join(np.__version__.split(".")[:2]))]
    rows = "\n".join(f"| `{name}` | {given} |" for name, given in options.items())
    parts.append(f"## NumPy\n\n| function | keywords |\n|---|---|\n{rows}")
    parts.append(f"Without keywords: {listed(simple)}")
    parts.append(f"These answer with plain arrays, since they have no derivative: {listed(answers)}")
    rows = "\n".join(f"| {', '.join(f'`{n}`' for n in names)} | {way} |" for way, names in refused.items())
    parts.append(
        f"Refused, with a message that says what to write instead:\n\n| functions | instead |\n|---|---|\n{rows}"
    )
    parts.append("`np.fft` is refused: its values are complex.")
    parts.append(
        "## SciPy\n\nSciPy's ufuncs take nodes: `scipy.special.erf(node)`. The others are in `mg.scipy`, by the same names."
    )
    for name in of_scipy.__all__:
        parts.append(f"`mg.scipy.{name}`: {listed(getattr(of_scipy, name).__all__)}")
    parts.append(f"## PyTorch\n\n`mg.nn.functional`: {listed(functional.__all__)}")
    parts.append(f"`mg.nn`: {listed(n for n in mg.nn.__all__ if n[0].isupper())}")
    rows = "\n".join(f"| {what} | {names} | {way} |" for what, (names, way) in ABSENT.items())
    parts.append(f"Left out:\n\n| | names | instead |\n|---|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
