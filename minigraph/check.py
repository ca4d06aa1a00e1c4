"""check_grads and check_op: derivatives compared with differences and with each other, entry by entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minigraph.arguments import expect_integer, expect_positive
from minigraph.array import Array
from minigraph.maps import LinearMap
from minigraph.node import FLOATS, Node, Parameter, Spec, constant, parameter
from minigraph.random import generator
from minigraph.tape import Tape
from minigraph.transforms import Trace

MAX_ORDER = 20  # beyond it differences are meaningless


@dataclass(frozen=True)
class GradientCheck:
    """The result of ``check_grads``: entries compared, entries at a kink or tie, and the largest relative error."""

    entries: int
    kinks: int
    max_error: float

    def __str__(self) -> str:
        return (
            f"{self.entries} entries agree, {self.kinks} of them at kinks; largest relative error {self.max_error:.1e}"
        )

    def _repr_html_(self) -> str:
        rows = {
            "entries that agree": self.entries,
            "at kinks": self.kinks,
            "largest relative error": f"{self.max_error:.1e}",
        }
        return (
            "<table>"
            + "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
            + "</table>"
        )


def check_grads(
    f: Callable[..., Any],
    *xs: Any,
    order: int = 2,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    step: float = 1e-4,
    max_entries: int = 200,
    rng: np.random.Generator | int = 0,
) -> GradientCheck:
    """Compare the derivatives of f, up to ``order``, with central differences, and its pushes with its pulls.

    xs: real arrays, which are checked in float64. If there are more than ``max_entries`` entries, a random subset is
    checked. At a kink or tie, where the slopes from the two sides differ, any value between them passes. Where a derivative
    jumps, the next order is not defined, and passes.
    Raises AssertionError naming the argument, the entry, both values and the node whose own Jacobian is wrong.
    """
    if not callable(f):
        raise TypeError(f"check_grads: got {f!r}; wanted a function, and then its arguments")
    if not xs:
        raise TypeError("check_grads: got a function alone; wanted its arguments too")
    expect_integer("check_grads", 1, max_entries=max_entries)
    expect_integer("check_grads", 1, most=MAX_ORDER, order=order)
    expect_positive("check_grads", rtol=rtol, step=step)
    expect_positive("check_grads", zero=True, atol=atol)
    draw = generator(rng, "check_grads")
    points = [_point(i, x) for i, x in enumerate(xs)]
    trace = Trace("check_grads", f, points)
    g = draw.uniform(0.5, 1.5, trace.y.shape) * draw.choice([-1.0, 1.0], trace.y.shape)
    pulled = [np.asarray(c) for c in trace.pull(g)]

    vs = [draw.standard_normal(p.shape) for p in points]
    pushed = np.asarray(trace.tape.push(dict(zip(trace.variables, vs, strict=True))))
    forward, reverse = float(np.sum(g * pushed)), float(sum(np.sum(c * v) for c, v in zip(pulled, vs, strict=True)))
    if not np.isclose(forward, reverse, rtol=1e-8, atol=1e-10):
        raise AssertionError(
            f"check_grads: push and pull disagree: ⟨g, Jv⟩ = {forward:.9g}, ⟨Jᵀg, v⟩ = {reverse:.9g}; {_culprit(trace.tape, rtol)}"
        )

    def along(i: int, at: tuple[int, ...], h: float) -> float:
        moved = [p.copy() if k == i else p for k, p in enumerate(points)]
        moved[i][at] += h
        y = f(*moved)
        return float(np.sum(g * (y.value if isinstance(y, Node) else np.asarray(y))))

    def meeting(i: int, at: tuple[int, ...], h: float) -> bool:
        """Whether kinks of several nodes coincide here: every node, and the derivative on either side, is right."""
        if _wrong_node(trace.tape, rtol):
            return False
        for side in (-h, h):
            moved = [p.copy() if k == i else p for k, p in enumerate(points)]
            moved[i][at] += side
            beside = float(np.asarray(Trace("check_grads", f, moved).pull(g)[i])[at])
            slope = (along(i, at, side * 1.1) - along(i, at, side * 0.9)) / (0.2 * side)
            if not np.isclose(beside, slope, rtol=1e-3, atol=1e-5):
                return False
        return True

    plain = f(*points)
    if not np.allclose(trace.y.value, plain.value if isinstance(plain, Node) else plain, rtol=1e-9, equal_nan=True):
        raise AssertionError(f"check_grads: the value on the tape is {trace.y.value}, of plain arrays {plain}")
    entries = [(i, at) for i, p in enumerate(points) for at in np.ndindex(p.shape)]
    if len(entries) > max_entries:
        entries = [entries[k] for k in sorted(draw.choice(len(entries), max_entries, replace=False))]
    terms = g * np.asarray(trace.y.value)
    middle, kinks, worst, failed = float(np.sum(terms)), 0, 0.0, None
    rounding = float(np.finfo(np.float64).eps * np.sum(np.abs(terms)))
    for i, at in entries:
        h = step * max(1.0, abs(float(points[i][at])))
        got = float(pulled[i][at])
        wanted = (8 * (along(i, at, h / 2) - along(i, at, -h / 2)) - (along(i, at, h) - along(i, at, -h))) / (6 * h)
        error = abs(got - wanted) / max(atol / rtol + abs(wanted), np.finfo(float).tiny)
        if error <= rtol:
            worst = max(worst, error)
            continue
        left, right, corner = _slopes(partial(along, i, at), middle, h, rtol, atol, got, rounding)
        if corner or (error > 0.01 and meeting(i, at, h / 10)):
            kinks += 1
        elif not np.isclose(got, (left + right) / 2, rtol=10 * rtol, atol=10 * atol) and (
            failed is None or not error <= failed[0]
        ):
            failed = error, i, at, got, wanted
    if failed:
        _, i, at, got, wanted = failed
        raise AssertionError(
            f"check_grads: argument {i}, entry {list(at)}: got derivative {got:.9g}, wanted {wanted:.9g} (differences); {_culprit(trace.tape, rtol)}"
        )
    result = GradientCheck(len(entries), kinks, worst)
    if order > 1:

        def gradient(*args: Any) -> Any:
            inner = Trace("check_grads", f, args)
            return np.concatenate([np.reshape(c, -1) for c in inner.pull(g)])

        rest = check_grads(
            gradient, *points, order=order - 1, rtol=rtol, atol=atol, step=step, max_entries=max_entries, rng=draw
        )
        result = GradientCheck(
            result.entries + rest.entries, result.kinks + rest.kinks, max(result.max_error, rest.max_error)
        )
    return result


def _point(i: int, x: Any) -> Array:
    """Argument ``i`` in float64. Raises TypeError if it is not an array of real numbers."""
    return np.array(_real(f"check_grads: argument {i}", x), dtype=np.float64)


def _real(what: str, x: Any) -> Array:
    """``x`` as an array. Raises TypeError if its entries are not real numbers."""
    if isinstance(x, Spec):
        raise TypeError(f"{what}: got a Spec {x}, which has no values; wanted real numbers")
    array = np.asarray(x.value if isinstance(x, Node) else x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what}: got {type(x).__name__} of dtype {array.dtype}; wanted real numbers")
    return array


def _slopes(
    moved: Callable[[float], float], middle: float, h: float, rtol: float, atol: float, got: float, rounding: float
) -> tuple[float, float, bool]:
    """The slopes on the left and right of a point, and whether ``got`` is acceptable at a kink or jump there.

    Two steps to one side eliminate the second derivative, which may differ between the sides.
    """
    tiny = h / 100
    left, right = ((4 * (moved(side / 2) - middle) - (moved(side) - middle)) / side for side in (-tiny, tiny))
    atol += 8 * rounding / tiny
    slack = 10 * (atol + rtol * max(abs(left), abs(right)))
    kink = abs(right - left) > slack and min(left, right) - slack <= got <= max(left, right) + slack
    coarse = (abs(middle - moved(-h)) + abs(moved(h) - middle)) / h
    jump = abs(left) + abs(right) > 10 * (coarse + atol)  # the slopes grow as the steps shrink
    return left, right, bool(np.isfinite(got)) and (kink or jump)


def _culprit(tape: Tape, rtol: float) -> str:
    """The end of the error message: the first node whose Jacobian disagrees with differences of its kernel."""
    return _wrong_node(tape, rtol) or "every single node agrees with differences, so check how they are composed"


def _wrong_node(tape: Tape, rtol: float) -> str | None:
    """A description of the first node whose push is not between the slopes on the two sides; None if there is none."""
    draw = np.random.default_rng(0)
    for node in tape.nodes:
        if node.op is None or node.dtype not in FLOATS:
            continue
        values: list[Array] = [np.asarray(x.value) for x in node.inputs]
        for k, (x, J) in enumerate(zip(values, tape.local(node), strict=True)):
            if x.dtype not in FLOATS:
                continue
            v, h = draw.standard_normal(x.shape), 1e-6
            with np.errstate(all="ignore"):
                before, here, after = (
                    np.asarray(node.op.evaluate([*values[:k], x + s * h * v, *values[k + 1 :]])) for s in (-1, 0, 1)
                )
            slopes = (here - before) / h, (after - here) / h
            got = np.zeros(here.shape) if J is None else np.asarray(J.push(v))
            error = np.maximum(np.minimum(*slopes) - got, got - np.maximum(*slopes))
            if error.size and not error.max() <= 100 * rtol * (1 + np.abs(slopes).max()):
                at = tuple(int(n) for n in np.unravel_index(np.argmax(np.nan_to_num(error, nan=np.inf)), error.shape))
                return (
                    f"node {node.label} is wrong for input {k}: push gives {got[at]:.6g} at {list(at)}, differences "
                    f"{(slopes[0] + slopes[1])[at] / 2:.6g}"
                )
    return None


def check_op(op: Callable[..., Any], *inputs: Any, rng: np.random.Generator | int = 0) -> GradientCheck:
    """Check an op, or a function of ops, at ``inputs``, in the same way as minigraph's own ops.

    Arrays, Nodes and Specs must give the same value, shape and dtype; push, pull and matrix of each Jacobian must be the
    same map, within its predicted size; float32 must stay float32; derivatives up to the second order must agree with
    differences, as in ``check_grads``. Raises AssertionError naming what disagrees; errors of the op itself pass through.
    """
    if isinstance(op, type) or not callable(op):
        wanted = f"an op, such as {op.__name__}()" if isinstance(op, type) else "an op or a function of ops"
        raise TypeError(f"check_op: got {op!r}; wanted {wanted}")
    draw = generator(rng, "check_op")
    arrays = [_real(f"check_op: input {i}", x) for i, x in enumerate(inputs)]
    nodes = [parameter(x) if x.dtype in FLOATS else constant(x) for x in arrays]
    raw, y = op(*arrays), op(*nodes)
    name = str(getattr(y, "op", None) or op)
    if not isinstance(y, Node):
        raise AssertionError(f"check_op: {name} gave {type(y).__name__} for Nodes; wanted a Node")
    if not np.array_equal(raw, y.value, equal_nan=y.dtype.kind == "f"):
        raise AssertionError(f"check_op: {name} gave {raw} for arrays and {y.value} for Nodes; wanted the same")
    abstract = op(*[Spec(x.shape, x.dtype) for x in arrays])
    if (abstract.shape, abstract.dtype) != (y.shape, y.dtype):
        raise AssertionError(f"check_op: {name} infers {abstract.spec}; wanted {y.spec}, the value's")
    tape = Tape.of(y)
    precision = np.float32 if any(node.dtype == np.float32 for node in tape.nodes) else np.float64
    for node in tape.nodes:
        for i, J in enumerate(tape.local(node) if node.op else ()):
            if J is not None:
                check_map(J, draw, f"{node.label}, Jacobian with respect to input {i}", precision)
    floats = [i for i, x in enumerate(nodes) if x.dtype in FLOATS]
    if y.dtype not in FLOATS or not floats:
        return GradientCheck(0, 0, 0.0)
    single = [parameter(x.value.astype(np.float32)) if x.dtype in FLOATS else x for x in nodes]
    z = op(*single)
    tape = Tape.of(z)
    results = [z, *(c for c in tape.pull(np.ones(z.shape, z.dtype), single) if c is not None)]
    wider = any(
        isinstance(node, Parameter) and node.dtype == np.float64 for node in tape.nodes
    )  # parameters of a module
    if not wider and any(a.dtype != np.float32 for a in results):
        raise AssertionError(f"check_op: {name} of float32 gave {[str(a.dtype) for a in results]}; wanted float32")

    def function(*xs: Any) -> Any:
        given = dict(zip(floats, xs, strict=True))
        return op(*[given.get(i, x) for i, x in enumerate(arrays)])

    return check_grads(function, *[arrays[i] for i in floats], rng=draw)


def check_map(J: LinearMap, draw: np.random.Generator, what: str, precision: type = np.float64) -> None:
    """Raise AssertionError unless push, pull and matrix of J are the same map, within the predicted size.

    ``precision``: the dtype of the numbers that J was computed from; the dtype of J may be wider.
    """
    v, g = draw.standard_normal(J.in_shape), draw.standard_normal(J.out_shape)
    pushed, pulled, matrix = J.push(v), J.pull(g), J.tosparse()
    forward, reverse = float(np.sum(g * pushed)), float(np.sum(pulled * v))
    rtol, atol = (1e-9, 1e-10) if J.dtype == precision == np.float64 else (1e-4, 1e-4)
    if not np.isclose(forward, reverse, rtol=rtol, atol=atol):
        raise AssertionError(f"{what}: push and pull disagree: ⟨g, Jv⟩ = {forward:.9g}, ⟨Jᵀg, v⟩ = {reverse:.9g}")
    for verb, got, wanted in (("push", pushed, matrix @ np.ravel(v)), ("pull", pulled, matrix.T @ np.ravel(g))):
        if not np.allclose(np.ravel(got), wanted, rtol=rtol, atol=atol):
            raise AssertionError(f"{what}: the matrix and {verb} disagree: {wanted} and {np.ravel(got)}")
    nnz, row, column = J.bounds
    most = np.diff(matrix.indptr).max(initial=0), np.bincount(matrix.indices, minlength=1).max()
    if matrix.nnz > nnz or most[0] > row or most[1] > column:
        raise AssertionError(
            f"{what}: the matrix has {matrix.nnz} entries, at most {most[0]} in a row and {most[1]} in a column; "
            f"wanted at most {nnz}, {row} and {column}, as its bounds say"
        )
    rows = J._rows(np.arange(J.shape[0])[::-1])
    difference = abs(rows - matrix[::-1]).max() / (1 + abs(matrix).max()) if matrix.nnz else rows.nnz
    if difference > atol:
        raise AssertionError(f"{what}: rows built separately differ from those of the whole matrix")
