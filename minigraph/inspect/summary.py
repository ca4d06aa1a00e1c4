"""summary: what each layer of a network gives, holds and costs, from shapes alone."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import reduce
from html import escape
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from minigraph.arguments import expect_integer, expect_node
from minigraph.inspect.draw.dot import caption
from minigraph.inspect.outputs import abstract_outputs, joint_tape
from minigraph.maps import Shape
from minigraph.nn.module import Module
from minigraph.node import FLOATS, Node, Parameter
from minigraph.tape import Tape
from minigraph.text import readable, readable_repr, table

__all__ = ["Row", "Summary", "Totals", "summary"]


# --- what a summary says ---------------------------------------------------------------------------


@readable_repr
@dataclass(frozen=True)
class Row:
    """One layer.

    ``layer``: its scope and name; ``op``: its ops; ``output`` and ``dtype``: shape and dtype of its output.
    ``parameters``: entries of the parameters that it reads first; ``weights``: the same without biases.
    ``multiply_adds``: those of its convolutions and matrix products, for the whole batch.
    ``forward``: bytes of the values it computes; ``backward``: bytes of their cotangents.
    ``receptive_field``: along each spatial axis of an input (N, C, …), the number of pixels from the first to the last that
    one output can depend on. ``stride``: the pixels from one output to the next; None if no spatial axes are left.
    """

    layer: str
    op: str
    output: Shape
    dtype: str
    parameters: int
    weights: int
    multiply_adds: int
    forward: int
    backward: int
    receptive_field: Shape | None
    stride: tuple[float, ...] | None

    def cells(self, human: bool) -> tuple[str, ...]:
        """The row as a table shows it."""
        number = _human if human else "{:,}".format
        counts = (number(n) for n in (self.parameters, self.weights, self.multiply_adds))
        sizes = (_bytes(n) for n in (self.forward, self.backward))
        return self.layer, self.op, _sides(self.output), *counts, *sizes, _sides(self.receptive_field, True), \
            _sides(self.stride, True)  # fmt: skip


@dataclass(frozen=True)
class Totals:
    """The whole network: the sums of the columns, and memory.

    ``unused``: entries of the module's parameters that the output does not depend on; they are in no row. ``frozen``: entries
    of parameters whose ``requires_grad`` is False.
    ``parameter_bytes``: bytes of the parameters. ``inference``: the peak bytes of values if each is freed after its last
    use. ``training``: the peak with all values kept until the backward walk has passed them, with cotangents and the
    gradients of the parameters. None of them includes the workspace of the ops.
    """

    parameters: int
    weights: int
    multiply_adds: int
    forward: int
    backward: int
    unused: int
    frozen: int
    parameter_bytes: int
    inference: int
    training: int


@dataclass(frozen=True, repr=False)
class Summary:
    """The result of ``summary``: ``rows`` and ``totals``; prints as a table."""

    rows: tuple[Row, ...]
    totals: Totals

    def __getitem__(self, layer: str) -> Row:
        """The row of a layer. Raises KeyError if there is none."""
        for row in self.rows:
            if row.layer == layer:
                return row
        raise KeyError(layer)

    def text(self, human: bool = False) -> str:
        """The table; with ``human`` numbers like 2.7K and 34M."""
        cells = [row.cells(human) for row in self.rows]
        return f"{table(HEAD, [*cells, self._last(human)], NUMBERS)}\n\n{self._remarks()}"

    __str__ = text

    def __repr__(self) -> str:
        return f"<Summary of {len(self.rows)} layers, {self.totals.parameters:,} parameters>"

    def _repr_html_(self) -> str:
        def line(cells: Iterable[str], tag: str) -> str:
            styles = ("right" if i in NUMBERS else "left" for i in range(len(HEAD)))
            inner = (f'<{tag} style="text-align:{s}">{escape(c)}</{tag}>' for s, c in zip(styles, cells, strict=True))
            return f"<tr>{''.join(inner)}</tr>"

        body = "".join(line(row.cells(False), "td") for row in self.rows)
        return (
            f"<table><thead>{line(HEAD, 'th')}</thead><tbody>{body}</tbody>"
            f"<tfoot>{line(self._last(False), 'th')}</tfoot></table><p>{escape(self._remarks())}</p>"
        )

    def to_json(self) -> str:
        """{"rows": [{"layer", "op", …}], "totals": {…}} as JSON text; memory in bytes."""
        data = {"rows": [asdict(row) for row in self.rows], "totals": asdict(self.totals)}
        return json.dumps(data, indent=1)

    def to_csv(self) -> str:
        """The rows as comma-separated values under a line of names; shapes as 1×64×224×224, memory in bytes."""
        text = io.StringIO()
        names = [field.name for field in fields(Row)]
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        for row in self.rows:
            values = (getattr(row, name) for name in names)
            writer.writerow([_sides(v) if isinstance(v, tuple) else v for v in values])
        return readable(text.getvalue())

    def _last(self, human: bool) -> tuple[str, ...]:
        t = self.totals
        counts = Row("total", "", (), "", t.parameters, t.weights, t.multiply_adds, t.forward, t.backward, None, None)
        return tuple("" if i == 2 else cell for i, cell in enumerate(counts.cells(human)))

    def _remarks(self) -> str:
        t = self.totals
        unused = f"; {t.unused:,} more that the output does not depend on" if t.unused else ""
        frozen = f", {t.frozen:,} of them frozen" if t.frozen else ""
        return (
            f"parameters: {_bytes(t.parameter_bytes)}{frozen}{unused}. Values: at least {_bytes(t.inference)} at once for "
            f"inference, {_bytes(t.training)} for training, gradients included."
        )


HEAD = (
    "layer", "op", "output", "parameters", "weights", "multiply-adds", "forward", "backward", "field", "stride",
)  # fmt: skip
NUMBERS = range(3, len(HEAD))


def _human(n: float) -> str:
    """2688 is 2.7K, 34 million is 34M."""
    for unit in ("", "K", "M", "G", "T"):
        if n < 999.5 or unit == "T":
            break
        n /= 1000
    return f"{n:.1f}{unit}" if unit and n < 9.95 else f"{n:.0f}{unit}"


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n < 999.5 or unit == "TB":
            break
        n /= 1000
    return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"


def _sides(sides: Sequence[float] | None, short: bool = False) -> str:
    """(1, 3, 5) is 1×3×5; when ``short`` equal sides are told once."""
    if sides is None:
        return ""
    if short and len(set(sides)) == 1:
        sides = sides[:1]
    return "×".join(f"{n:g}" if isinstance(n, float) else str(n) for n in sides) or "scalar"


# --- making it -------------------------------------------------------------------------------------


def summary(model: Any, *inputs: Any, depth: int | None = None) -> Summary:
    """Every layer of a network: output, parameters, multiply-adds, memory and receptive field, from shapes alone.

    ``model``: a Node, abstract or not, for the graph behind it; or a Module, with its ``inputs``: Specs, arrays or shapes,
    of which only shape and dtype are read (a bare shape has the dtype of the parameters; a model with an attribute
    ``image`` needs no input). Nothing is computed, and no parameter needs a value. The module, and whether it is in training
    or inference mode, stays unchanged.

    A layer is a scope without inner scopes; nodes outside such scopes are layers of their own. ``depth`` folds scopes of
    more than that many names into one row. Inputs have rows too. A parameter counts once, in the row that reads it first.

    Raises TypeError for anything but a Node or Module, for a Module without input and a Node with one; ShapeError if the
    input does not fit the network; ValueError for a depth below 1; GraphError for a freed graph of more than 5000 nodes.
    """
    if depth is not None:
        expect_integer("summary", 1, depth=depth)
    x = inputs if len(inputs) > 1 else inputs[0] if inputs else None
    if isinstance(model, Module):
        with abstract_outputs("summary", model, x) as outputs:
            return _summarised(outputs, depth, model.parameters())
    expect_node("summary", model, "; wanted a Node, or a Module and its input")
    if x is not None:
        raise TypeError(f"summary: got {model.label} and an input; wanted the Node alone, or a Module and its input")
    return _summarised([model], depth, ())


def _summarised(outputs: Sequence[Node], depth: int | None, parameters: Iterable[Parameter]) -> Summary:
    tape = joint_tape(outputs)
    graph = _Graph(tape)
    rows = []
    names: Counter[str] = Counter()
    for name, nodes in graph.layers(depth):
        names[name] += 1
        rows.append(graph.row(name if names[name] == 1 else f"{name}_{names[name]}", nodes))
    on_tape = set(tape.parameters)
    columns = ("parameters", "weights", "multiply_adds", "forward", "backward")
    totals = Totals(
        **{name: sum(getattr(row, name) for row in rows) for name in columns},
        unused=sum(p.size for p in parameters if p not in on_tape),
        frozen=sum(p.size for p in on_tape if not p.requires_grad),
        parameter_bytes=sum(p.nbytes for p in on_tape),
        inference=graph.inference(),
        training=graph.training(),
    )
    return Summary(tuple(rows), totals)


class _Graph:
    """What the rows and totals of a tape need to know of each node."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.inputs = _inputs(tape)
        self.fields = _fields(tape)
        self.inner = {x for node in tape.nodes for x in node.inputs}  # nodes that others read
        self.active = {node for node in tape.depending_on(tape.parameters) if node.dtype in FLOATS}
        self.base: dict[Node, Node] = {}  # whose memory the value is in
        self.read: dict[Node, list[Parameter]] = {}  # the parameters that a node is the first to read
        self.biases: set[Parameter] = set()
        self.held: dict[Node, Parameter] = {p: p for p in tape.parameters}  # parameters, and rearrangements of them
        met: set[Parameter] = set()
        for node in tape.nodes:
            self.base[node] = self.base[node.inputs[0]] if _is_view(node) else node
            if node.op and node.op.rearranges and node.inputs[0] in self.held and node in self.inner:
                self.held[node] = self.held[node.inputs[0]]
                continue
            for i, x in enumerate(node.inputs):
                p = self.held.get(x)
                if p is not None and p not in met:
                    met.add(p)
                    self.read.setdefault(node, []).append(p)
                    if node.op and node.op.is_bias(i):
                        self.biases.add(p)

    def layers(self, depth: int | None) -> list[tuple[str, list[Node]]]:
        """Names and nodes of the rows, in order."""
        groups = [(node.path or "input", [node]) for node in self.inputs]
        ops = [node for node in self.tape.nodes if node.op]
        outer = {node.scope[:i] for node in ops for i, c in enumerate(node.scope) if c == "/"}
        last, used = None, set[Parameter]()
        waiting: list[Node] = []  # rearrangements of parameters, which go to the layer of their reader
        for node in ops:
            if node in self.held:
                waiting.append(node)
                continue
            parts = node.scope.split("/") if node.scope else []
            folded = depth is not None and len(parts) >= depth
            scope = "/".join(parts[:depth]) if folded else node.scope if node.scope not in outer else None
            reads = {self.held[x] for x in node.inputs if x in self.held}
            if not scope or scope != last or (not folded and reads & used):
                name = scope or node.path if scope or node.name else "/".join([*parts, node.kind])
                groups.append((name, []))
                used = set()
            groups[-1][1].extend([*waiting, node])
            waiting, last, used = [], scope, used | reads
        return groups

    def row(self, layer: str, nodes: list[Node]) -> Row:
        """The row of these nodes, whose last one is the layer's output."""
        y = nodes[-1]
        own = [p for node in nodes for p in self.read.get(node, ())]
        ops = [node for node in nodes if node not in self.held]
        if len(ops) == 1:
            op = " ".join(filter(None, caption(ops[0])))
        else:
            op = ", ".join(f"{kind} ×{n}" if n > 1 else kind for kind, n in Counter(node.kind for node in ops).items())
        size, stride = self.fields.get(y, (None, None))
        return Row(
            layer=layer,
            op=op,
            output=y.shape,
            dtype=y.dtype.name,
            parameters=sum(p.size for p in own),
            weights=sum(p.size for p in own if p not in self.biases),
            multiply_adds=sum(node.op.multiply_adds(node, *node.inputs) for node in nodes if node.op),
            forward=sum(node.nbytes for node in nodes if self.base[node] is node),
            backward=sum(node.nbytes for node in nodes if self.base[node] is node and node in self.active),
            receptive_field=None if size is None else tuple(map(ceil, size)),
            stride=None if stride is None else tuple(int(s) if s == int(s) else float(s) for s in stride),
        )

    def inference(self) -> int:
        """The peak of bytes if each value is freed after its last reader."""
        last = {self.base[x]: node for node in self.tape.nodes for x in node.inputs}
        now = most = 0
        for node in self.tape.nodes:
            if self.base[node] is node and (node.op or node in self.inputs):
                now += node.nbytes
                most = max(most, now)
            now -= sum(x.nbytes for x in {self.base[x] for x in node.inputs} if last[x] is node and x.op)
        return most

    def training(self) -> int:
        """The most bytes at once of values, cotangents and the parameters' gradients, over the backward walk."""
        values = [node for node in self.tape.nodes if self.base[node] is node and (node.op or node in self.inputs)]
        there = {self.base[node] for node in self.tape.nodes if node not in self.inner}  # cotangents; parameters' stay
        now = most = sum(node.nbytes for node in [*values, *there])
        for node in reversed(self.tape.nodes):
            for x in {self.base[x] for x in node.inputs if x in self.active} if node in self.active else ():
                if x not in there:
                    there.add(x)
                    now += x.nbytes
            most = max(most, now)
            if node.op and node in self.active and self.base[node] is node:
                now -= 2 * node.nbytes
        return most


def _inputs(tape: Tape) -> dict[Node, None]:
    """Data and labels: the constants with a name; where there are none, those of several axes."""
    constants = [node for node in tape.leaves if not isinstance(node, Parameter)]
    return dict.fromkeys([x for x in constants if x.name] or [x for x in constants if x.ndim > 1])


MAX_PROBE_ENTRIES = 1 << 24  # entries of an array that may be made to see whether a rearrangement copies it


def _is_view(node: Node) -> bool:
    """Another look at its input's memory, like a transpose; computed images lie channels last."""
    if not (node.op and node.op.rearranges):
        return False
    (x,) = node.inputs
    if x.op and x.ndim > 2 and x.size <= MAX_PROBE_ENTRIES:
        like = np.moveaxis(np.empty((x.shape[0], *x.shape[2:], x.shape[1]), np.int8), -1, 1)
    else:
        like = np.broadcast_to(np.int8(0), x.shape)
    return np.may_share_memory(node.op.forward(like), like)


# --- receptive fields ------------------------------------------------------------------------------


class _Field(NamedTuple):
    """Along each axis: the pixels of the input from the first to the last behind one entry, and from entry to entry."""

    size: tuple[Fraction, ...]
    stride: tuple[Fraction, ...] | None  # None: no such axes are left


def _fields(tape: Tape) -> dict[Node, _Field]:
    """The receptive field of each node on the inputs (N, C, …): the largest over all paths."""
    fields: dict[Node, _Field] = {}
    for node in tape.nodes:
        if node.op:
            inputs = node.inputs[: node.op.data_operands]
            reaches = [_behind(node, x, fields[x]) for x in inputs if x in fields]
            if reaches:
                fields[node] = reduce(_larger, reaches)
        elif node.ndim > 2 and not isinstance(node, Parameter):
            fields[node] = _Field(*[(Fraction(1),) * (node.ndim - 2)] * 2)
    return fields


def _larger(a: _Field, b: _Field) -> _Field:
    strides = [field.stride for field in (a, b) if field.stride]
    size = tuple(map(max, zip(a.size, b.size, strict=True)))
    return _Field(size, tuple(map(max, zip(*strides, strict=True))) if strides else None)


def _behind(node: Node, x: Node, field: _Field) -> _Field:
    """The field of ``node`` for that of its input ``x``: size + (taps − 1) stride, and stride · step."""
    if field.stride is None:
        return field
    assert node.op
    d, taps, steps = len(field.size), *node.op.reach(node, x, *node.inputs[1:])
    if len(taps) != d:  # more axes than the input of the network has, or fewer
        same = node.shape[-d:] == x.shape[-d:]
        taps, steps = ((1,) * d, (1,) * d) if same else (x.shape[-d:], None)
    size = tuple(r + (t - 1) * j for r, t, j in zip(field.size, taps, field.stride, strict=True))
    return _Field(size, None if steps is None else tuple(j * s for j, s in zip(field.stride, steps, strict=True)))
