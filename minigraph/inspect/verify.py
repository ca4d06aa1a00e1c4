"""verify: every layer of a graph, computed in each way there is and compared with its explicit matrices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

import numpy as np

from minigraph.arguments import expect_integer, expect_node, expect_positive
from minigraph.array import Array
from minigraph.facts import Layer
from minigraph.inspect.costs import Cost, Costs, cost, geometry, layer_of
from minigraph.kernels import tasks
from minigraph.maps import LinearMap
from minigraph.node import GraphError, Node, Spec
from minigraph.op import Op
from minigraph.random import generator
from minigraph.tape import Tape
from minigraph.text import readable_repr, table

__all__ = ["Row", "Verification", "verify"]

TOLERANCES = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-12}


@readable_repr
@dataclass(frozen=True)
class Row:
    """One layer: where it was compared, and each algorithm's largest difference, relative to the largest magnitude.

    ``differences``: by algorithm; "node" is what the graph holds: the recorded value and its own pulls.
    ``checked``: "whole", or the part on which the loops and matrices were compared, side by side.
    """

    node: str
    geometry: str
    checked: str
    differences: dict[str, float]
    tolerance: float
    cost: Cost

    @property
    def difference(self) -> float:
        """The largest of all; NaN where one is."""
        return float(np.max(list(self.differences.values())))

    @property
    def ok(self) -> bool:
        return self.difference <= self.tolerance


@dataclass(frozen=True, repr=False)
class Verification:
    """What ``verify`` found: a ``Row`` for each layer; prints as two tables, what was compared and what it costs."""

    rows: tuple[Row, ...]
    others: int = 0  # nodes of other ops, which are not compared

    @property
    def ok(self) -> bool:
        """Whether every layer agrees within its tolerance."""
        return all(row.ok for row in self.rows)

    @property
    def costs(self) -> Costs:
        return Costs(row.cost for row in self.rows)

    def to_json(self) -> str:
        """The report as JSON text: {"ok", "others", "rows": [{"node", …, "stored", "operations"}]}; NaN and ∞ become null."""
        rows = []
        for row in self.rows:
            differences = {name: d if isfinite(d) else None for name, d in row.differences.items()}
            rows.append(
                {
                    "node": row.node,
                    "geometry": row.geometry,
                    "checked": row.checked,
                    "differences": differences,
                    "tolerance": row.tolerance,
                    "ok": row.ok,
                    "stored": row.cost.stored._asdict(),
                    "operations": row.cost.operations._asdict(),
                }
            )
        return json.dumps({"ok": self.ok, "others": self.others, "rows": rows}, indent=1)

    def __str__(self) -> str:
        head = ("node", "layer", "compared with the matrices", "on", "difference", "tolerance", "")
        cells = []
        for row in self.rows:
            wrong = [name for name, d in row.differences.items() if not d <= row.tolerance]
            verdict = f"DIFFERS: {', '.join(wrong)}" if wrong else "ok"
            names = ", ".join(row.differences)
            numbers = f"{row.difference:.1e}", f"{row.tolerance:.0e}"
            cells.append((row.node, row.geometry, names, row.checked, *numbers, verdict))
        agree = sum(row.ok for row in self.rows)
        return (
            f"{table(head, cells)}\n\n{self.costs}\n\n"
            f"{agree} of {len(self.rows)} layers agree in their value and in every gradient; "
            f"{self.others} nodes of other ops were not compared"
        )

    def __repr__(self) -> str:
        return f"<Verification of {len(self.rows)} layers, ok: {self.ok}>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def verify(
    y: Node,
    *,
    rtol: float | None = None,
    max_bytes: int = 1 << 26,
    max_loops: int = 20_000,
    rng: np.random.Generator | int = 0,
) -> Verification:
    """Compare every layer behind ``y`` with its explicit matrices: the value, and the gradient in each input.

    Convolutions, transposed or not: value, M_Fᵀ g and M_Xᵀ g by each algorithm for their geometry, against the
    matrices M_F and M_X; pooling: value = A vec(x), gradient Aᵀ g; linear, and products with a parameter: their blocks of
    weights and of data. The matrices are the local Jacobians' ``tosparse()``, multiplied in float64; g is random.

    Where a matrix needs more than ``max_bytes``, or a convolution more than ``max_loops`` (positions × taps) of
    "direct", the comparison is made on a part: the first sample, then a smaller image, then fewer filters or
    outputs; ``row.checked`` says which. The algorithms that are fast are compared on the whole all the same.
    ``rtol``: the largest difference allowed, relative to the largest magnitude; 1e-12 in float64, 1e-4 in float32.

    Raises TypeError for anything but a Node; GraphError when the graph is abstract (``costs`` needs no values),
    freed, without any layer, or when a parameter was changed after it was recorded.
    """
    expect_node("verify", y)
    if rtol is not None:
        expect_positive("verify", zero=True, rtol=rtol)
    expect_integer("verify", 0, max_bytes=max_bytes, max_loops=max_loops)
    draw = generator(rng, "verify")
    tape = Tape.of(y)
    tape.check_unchanged()
    candidates = [(node, layer_of(node)) for node in tape.nodes]
    layers = [(node, layer) for node, layer in candidates if layer]
    if not layers:
        raise GraphError(f"verify: got {y.label}; wanted a graph with a convolution, pooling or fully connected layer")
    for node, _ in layers:
        if node.abstract:
            raise GraphError(
                f"verify: {node.label} was built from a Spec, so there are no values to compare; "
                "call the model with arrays, or use costs for the table of costs"
            )
    rows = []
    for node, layer in layers:
        differences, checked = _compared(node, layer, tape.local(node), max_bytes, max_loops, draw)
        widest = max(TOLERANCES[x.dtype] for x in (node, *node.inputs) if x.dtype in TOLERANCES)
        tolerance = widest if rtol is None else rtol
        rows.append(Row(node.label, geometry(node), checked, differences, tolerance, cost(node, layer)))
    return Verification(tuple(rows), sum(node.op is not None for node in tape.nodes) - len(layers))


Results = list[Any]  # the value, then the gradient for each input, None if there is none
Maps = Sequence[LinearMap | None]


def _compared(
    node: Node, layer: Layer, maps: Maps, max_bytes: int, max_loops: int, draw: np.random.Generator
) -> tuple[dict[str, float], str]:
    """Each algorithm's difference, and on what part."""
    assert node.op
    op, y, xs = node.op, np.asarray(node.value), [np.asarray(x.value) for x in node.inputs]
    shapes, checked = _part(op, layer, y, xs, max_bytes, max_loops)
    differences: dict[str, float] = {}
    if checked != "whole":
        fast = {name: way for name, way in layer.algorithms.items() if tasks.algorithms()[name].automatic}
        if fast:
            g = _cotangent(y, draw)
            full = {"node": _by_maps(y, maps, g)} | {name: _by_op(way, xs, g) for name, way in fast.items()}
            first = full[next(iter(fast))]
            differences = {name: _difference(results, first) for name, results in full.items()}
            checked += f"; {', '.join(full)} on the whole"
        xs = [x[tuple(map(slice, shape))] for x, shape in zip(xs, shapes, strict=False)]
        y = op.evaluate(xs) if layer.algorithms else y[tuple(map(slice, shapes[-1]))]
        maps = op.jacobians(y, *xs)
    g = _cotangent(y, draw)
    wanted = _by_matrices(op, xs, maps, g)
    parts = {"node": _by_maps(y, maps, g)} | {name: _by_op(way, xs, g) for name, way in layer.algorithms.items()}
    for name, results in parts.items():
        differences[name] = float(np.maximum(differences.get(name, 0.0), _difference(results, wanted)))
    return differences, checked


def _cotangent(y: Array, draw: np.random.Generator) -> Array:
    return np.asarray(draw.standard_normal(y.shape), y.dtype)


def _by_maps(y: Array, maps: Maps, g: Array) -> Results:
    """The results of the graph: the recorded value, and the cotangents of its backward walk."""
    return [y, *[J and J.pull(g) for J in maps]]


def _by_matrices(op: Op, xs: Sequence[Array], maps: Maps, g: Array) -> Results:
    """M vec(x) + b, and Mᵀ vec(g) for each input, with the matrices written out."""
    matrices: list[Any] = [J and J.tosparse(None) for J in maps]
    M, x = next((M, x) for M, x in zip(matrices, xs, strict=True) if M is not None)
    value = M @ x.ravel().astype(np.float64)
    if len(xs) == 3:  # x, w, b
        value += matrices[2] @ xs[2].astype(np.float64)
    return [value, *[None if M is None else M.T @ g.ravel().astype(np.float64) for M in matrices]]


def _by_op(op: Op, xs: Sequence[Array], g: Array) -> Results:
    """The results of an op, computed by its own algorithm."""
    y = op.evaluate(xs)
    return _by_maps(y, op.jacobians(y, *xs), g)


def _difference(got: Results, wanted: Results) -> float:
    """The largest |got − wanted| over the largest |wanted|, of the value and the gradients that both have."""
    worst = 0.0
    for a, b in zip(got, wanted, strict=False):
        if a is None or b is None or not np.size(b):
            continue
        if np.size(a) != np.size(b):
            return float("inf")
        with np.errstate(invalid="ignore"):
            most = float(np.abs(np.ravel(a).astype(np.float64) - np.ravel(b)).max())
        scale = float(np.abs(b).max())
        worst = float(np.maximum(worst, most and (most / scale if scale else float("inf"))))
    return worst


# --- the part of a large layer that is compared ------------------------------------------------------


def _part(
    op: Op, layer: Layer, y: Array, xs: Sequence[Array], max_bytes: int, max_loops: int
) -> tuple[list[list[int]], str]:
    """Shapes of the inputs and the output, reduced until loops and matrices fit, and a description of what was reduced."""
    shapes = [list(array.shape) for array in (*xs, y)]
    cut: dict[str, str] = {}
    for axes in layer.cuts:
        while not _fits(op, [Spec(tuple(s), y.dtype) for s in shapes[:-1]], max_bytes, max_loops):
            sides = [(shapes[i][k], axis) for axis in axes for i, k in axis.places[:1] if shapes[i][k] > axis.least]
            if not sides:
                break
            side, axis = max(sides, key=lambda pair: pair[0])
            side = max(axis.least, 1 if axis.letter == "N" else -(-side // 2))
            for i, k in axis.places:
                shapes[i][k] = side
            i, k = axis.places[0]
            cut[axis.letter] = f"{axis.letter} {side} of {(*xs, y)[i].shape[k]}"
    return shapes, ", ".join(cut.values()) or "whole"


def _fits(op: Op, xs: Sequence[Spec], max_bytes: int, max_loops: int) -> bool:
    layer = op.layer(0, *xs)
    if layer and layer.loops > max_loops:
        return False
    y = op.infer(*xs)
    if layer and layer.nnz is not None:  # a selection, whose matrix needs values
        return bool(y.size * (y.dtype.itemsize + 8) <= max_bytes)
    return all(J is None or J.nbytes <= max_bytes for J in op.jacobians(y, *xs))
