"""Graph → DOT text: a pure function of the graph. No file is written and nothing is rendered here."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from minigraph.arguments import expect_choice, expect_flags, expect_node
from minigraph.inspect.derive.symbols import symbol
from minigraph.inspect.formulas import jacobian_formulas
from minigraph.inspect.profile import Profile
from minigraph.node import FLOATS, Node, Parameter, value_of
from minigraph.tape import Tape

Direction = Literal["TB", "LR", "BT", "RL"]

# Soft fills of different lightness under dark borders of the same hue, and a shape of its own for each kind:
# told apart in print and by colour-blind readers.
STYLES = {
    "input": 'shape=box, style=filled, fillcolor="#DCEAF6", color="#2F6DA3"',
    "parameter": 'shape=note, style=filled, fillcolor="#FBE7BF", color="#A86E08"',
    "frozen": 'shape=note, style="filled,dashed", fillcolor="#EBEFF3", color="#59626D"',
    "value": 'shape=box, style="rounded,filled", fillcolor="#FFFFFF", color="#6B7480"',
    "output": 'shape=box, style="rounded,filled", fillcolor="#FFFFFF", color="#3D4550", penwidth=2.2',
    "loss": 'shape=box, style="rounded,filled", fillcolor="#F3D9E6", color="#9B2D63", penwidth=2.2',
}
FONT = "DejaVu Sans Condensed,Arial,Helvetica,sans-serif"
INK, SOFT, FAINT, VALUE, GRADIENT = "#1B1F24", "#59626D", "#858D97", "#1F5F93", "#9B2D63"
WHITE, HOT = (255, 255, 255), (255, 122, 26)  # no time, and the most; dark text can be read on all between
CLUSTERS = ("#F5F7F9", "#EBEFF3")
MAX_WRITTEN_ENTRIES = 4  # entries up to which arrays are written out
NAME_WIDTH, NAME_LINES, DETAIL_WIDTH = 26, 3, 34
STYLE_OF_PARAMETERS = "#A86E08"
EDGES = ("size", "shape", "name", "nonzeros", "gradient")
ARROWS = {"forward": [], "backward": ["dir=back"], "both": ["dir=both"]}


@dataclass(frozen=True)
class Content:
    """What a drawing shows; see ``to_dot``. Raises TypeError and ValueError for unknown options."""

    edges: bool | str = True
    values: bool = True
    gradients: bool = True
    scopes: bool = True
    statistics: bool = False
    memory: bool = False
    parameters: str = "box"
    arrows: str = "forward"
    legend: bool = False
    thumbnails: Mapping[Node, str] = field(default_factory=dict)  # paths of pictures

    def __post_init__(self) -> None:
        flags = {
            name: getattr(self, name) for name in ("values", "gradients", "scopes", "statistics", "memory", "legend")
        }
        expect_flags("draw", **flags)
        if isinstance(self.edges, str):
            expect_choice("draw", EDGES, edges=self.edges)
        else:
            expect_flags("draw", edges=self.edges)
        expect_choice("draw", ("box", "line", "hidden"), parameters=self.parameters)
        expect_choice("draw", ("forward", "backward", "both"), arrows=self.arrows)

    @property
    def on_edges(self) -> str | None:
        """What is written on edges, one of EDGES; None for nothing."""
        return self.edges if isinstance(self.edges, str) else "size" if self.edges else None


def to_dot(y: Node | Tape, *, direction: Direction = "TB", profile: Profile | None = None, **content: Any) -> str:
    """The graph behind ``y``, a Node or a Tape, as DOT text.

    The text depends on the graph and the profile alone: a graph built twice gives the same bytes. Nodes are numbered in
    the order of the tape.

    ``content``, the same options as in ``draw``:
    ``edges``: what to write on each edge: "size" (or True), the size of the local Jacobian, entries of the output × entries
        of the input; "shape", of the array that passes; "name", the formula of the Jacobian; "nonzeros", its stored entries;
        "gradient", the norm of ``.grad`` of the input, where it is kept; or False for nothing.
    ``values``: write out the values of at most four entries.
    ``gradients``: write ``.grad`` out, or its norm; parameters that have none are marked "not computed",
        unless the graph is abstract and none can be.
    ``scopes``: draw the scopes as nested boxes; without it they become part of the names.
    ``statistics``: write the range, mean and deviation of larger values, and how many are NaN or infinite.
    ``memory``: write the bytes of each value.
    ``parameters``: draw them as a "box", write them into their readers as a "line", or leave them out ("hidden").
    ``arrows``: "forward", from inputs to readers; "backward", as cotangents go; or "both".
    ``legend``: explain the colours.
    ``direction``: where the arrows point: "TB" down, "LR" right, "BT" up, "RL" left.
    ``profile``: what ``mg.profile`` found of this graph; nodes are coloured by their time, and it is written in them.

    Raises TypeError for anything but a Node or Tape, and for a profile that is none; ValueError for another direction
    and for the profile of another graph. Of a graph that backward() has freed the structure is drawn, without values.
    """
    return layout(y, Content(**content), direction, profile)[0]


def layout(
    y: Node | Tape,
    content: Content,
    direction: Direction,
    profile: Profile | None,
    straight: bool = False,
) -> tuple[str, str]:
    """The DOT text, and the lines of edges to be added once the nodes are placed: none unless ``straight``.

    Graphviz bends an edge around all levels that it crosses, in time that grows with the square of their number and
    worse: a sum of n terms of one x has n edges across up to n levels. ``straight`` leaves each node the edge to
    its first reader, so what is laid out is a tree, with the longest way to each node in one column; the others are
    straight lines.
    """
    if not isinstance(y, Tape):
        expect_node("draw", y, "; wanted a Node or a Tape")
    expect_choice("draw", ("TB", "LR", "BT", "RL"), direction=direction)
    tape = Tape.of(y) if isinstance(y, Node) else y.structure()
    index = {
        node: f"n{i}"
        for i, node in enumerate(tape.nodes)
        if node is tape.y or not is_number(node) and boxed(node, content)
    }
    home = {node: node.scope if content.scopes else "" for node in index}
    dtypes = {node.dtype for node in index}
    times = None if profile is None else Times(profile, index)
    root = Cluster("")
    arrows: list[str] = []
    later: list[str] = []
    read: set[Node] = set()
    depth: dict[Node, int] = {}
    for node in index:
        dtype = len(dtypes) > 1 and (node is tape.y or node.dtype != tape.y.dtype)
        text = describe(node, content, not tape.y.abstract, dtype)
        style = STYLES[kind_of(node, tape)]
        if times:
            text, style = times.coloured(node, text, style)
        root.at(home[node]).lines.append(f"{index[node]} [label={text}, {style}{tooltip(node)}]")
        # Leaves stand one step above their reader. A step more from the scope before keeps scopes one below
        # the other, where they would else overlap in height and stand in a staircase.
        reads_leaves = any(x.op is None and home.get(x) == home[node] for x in node.inputs)
        kept = [x for x in node.inputs if x in index and not (straight and x in read)]
        deepest = max(kept, key=depth.__getitem__, default=None)
        depth[node] = 1 + max([depth[x] for x in kept], default=0)
        for i, (x, role) in enumerate(zip(node.inputs, roles(node), strict=True)):
            if x in index:
                attributes = [*edge(x, node, i, role, content.on_edges), *ARROWS[content.arrows]]
                if straight and x is deepest and len(kept) > 1:
                    attributes.append("weight=9")
                if reads_leaves and home[x] != home[node]:
                    attributes.append("minlen=2")
                line = f"{index[x]} -> {index[node]}" + (f" [{', '.join(attributes)}]" if attributes else "")
                (later if straight and x in read else arrows).append(line)
                read.add(x)
    lines = [
        *(["graph [splines=line, outputorder=edgesfirst]"] if straight else []),
        f'graph [rankdir={direction}, bgcolor=white, pad=0.2, nodesep=0.3, ranksep="0.42", fontname="{FONT}"]',
        f'node [fontname="{FONT}", fontsize=11, fontcolor="{INK}", penwidth=1.1, margin="0.09,0.04", height=0.3, width=0.5]',
        f'edge [fontname="{FONT}", fontsize=8, fontcolor="{FAINT}", color="#7A828C", penwidth=0.9, arrowsize=0.6]',
        *([times.legend()] if times else []),
        *(["graph [labelloc=b, label=" + legend() + "]"] if content.legend and not times else []),
        *root.text(),
        *arrows,
    ]
    return "digraph minigraph {\n" + "".join(f"  {line}\n" for line in lines) + "}\n", "\n".join(later)


class Times:
    """The seconds of the nodes to be drawn, as colours and text.

    Raises TypeError for a profile that is none, ValueError where it lacks one of the ``nodes``.
    """

    def __init__(self, profile: Profile, nodes: Iterable[Node]) -> None:
        if not isinstance(profile, Profile):
            raise TypeError(f"draw: got {type(profile).__name__} as profile; wanted what mg.profile(y) gives")
        self.profile, self.seconds = profile, {row.node: row.seconds for row in profile.rows}
        for node in nodes:
            if node.op and node not in self.seconds:
                raise ValueError(f"draw: got a profile without {node.label}; wanted that of the graph to be drawn")
        self.most = max(self.seconds.values(), default=0.0)

    def coloured(self, node: Node, text: str, style: str) -> tuple[str, str]:
        """A node's label with its time, and its style with a fill for it: white for leaves, which take none."""
        return self.heated(self.seconds.get(node), text, style)

    def heated(self, seconds: float | None, text: str, style: str) -> tuple[str, str]:
        """A label with a time, and its style with a fill for it."""
        if seconds is None:
            return text, f'{style}, fillcolor="{heat(0)}"'
        row = f"<tr><td>{font(f'<b>{self.share(seconds)}</b>', 10)}</td></tr>"
        text = re.sub(' color="#.{6}"', f' color="{INK}"', text.replace("</table>", f"{row}</table>"))
        return text, f'{style}, fillcolor="{heat(seconds / self.most if self.most else 0)}"'

    def share(self, seconds: float) -> str:
        """1.5 ms, 30.0%."""
        return f"{duration(seconds)}, {seconds / self.profile.seconds if seconds else 0:.1%}"

    def legend(self) -> str:
        """The label of a graph: the whole time, and the scale of colours."""
        return f"graph [label={self.table()}, labelloc=t]"

    def table(self) -> str:
        """A title with the whole time, and the scale of colours, as an HTML-like label."""
        back = self.profile.backward
        total = duration(self.profile.seconds)
        if back is not None:
            total += f" = forward {duration(self.profile.forward)} + backward {duration(back)}"
        scale = (
            f'<table border="0" cellspacing="4" cellpadding="0"><tr><td align="right">{font("0", 9)}</td>'
            f'<td border="1" color="{FAINT}" width="120" height="10" fixedsize="true" bgcolor="{heat(0)}:{heat(1)}"></td>'
            f'<td align="left">{font(self.share(self.most), 9)}</td></tr></table>'
        )
        return label([font(f"<b>{total}</b>", 11), scale])


def heat(share: float) -> str:
    """The colour for a part of the most time: WHITE for 0, HOT for 1."""
    return "#" + "".join(f"{round(a + share * (b - a)):02X}" for a, b in zip(WHITE, HOT, strict=True))


def duration(seconds: float) -> str:
    """Seconds in three digits: 5.09 µs, 44.6 µs, 1.42 ms, 2.05 s."""
    scale, unit = (1e6, "µs") if seconds < 0.9995e-3 else (1e3, "ms") if seconds < 0.9995 else (1, "s")
    return f"{scale * seconds:.3g} {unit}"


@dataclass
class Cluster:
    """A scope: the DOT lines of its nodes, and the scopes in it by name."""

    name: str
    lines: list[str] = field(default_factory=list)
    inner: dict[str, Cluster] = field(default_factory=dict)

    def at(self, scope: str) -> Cluster:
        """The cluster of a scope "a/b", made where there is none yet."""
        cluster = self
        for name in filter(None, scope.split("/")):
            cluster = cluster.inner.setdefault(name, Cluster(name))
        return cluster

    def text(self) -> Iterator[str]:
        """The lines of this cluster and all in it; without recursion, as scopes may nest deeply."""
        stack: list[tuple[Cluster, int] | None] = [(self, 0)]
        count = 0
        while stack:
            item = stack.pop()
            if item is None:
                yield "}"
                continue
            cluster, depth = item
            if depth:
                yield f"subgraph cluster_{count} {{"
                yield (
                    f'graph [label={label([font(f"<b>{lines(cluster.name)}</b>", 10, SOFT)])}, labeljust=l, style="rounded,filled", '
                    f'fillcolor="{CLUSTERS[(depth - 1) % 2]}", color="#C5CCD4", penwidth=0.8, margin=10]'
                )
                count += 1
                stack.append(None)
            yield from cluster.lines
            stack.extend((inner, depth + 1) for inner in reversed(cluster.inner.values()))


def kind_of(node: Node, tape: Tape) -> str:
    """Which of the STYLES a node is drawn in."""
    if isinstance(node, Parameter):
        return "parameter" if node.requires_grad else "frozen"
    if node.op is None:
        return "input"
    if node is tape.y:
        return "loss" if node.size == 1 else "output"
    return "value"


def is_number(node: Node) -> bool:
    """A nameless scalar constant, like the 2 of x**2."""
    return (
        node.op is None and not isinstance(node, Parameter) and not node.shape and not node.name and not node.abstract
    )


def boxed(node: Node, content: Content) -> bool:
    """Whether a node is drawn as a box."""
    return content.parameters == "box" or not isinstance(node, Parameter)


def describe(node: Node, content: Content, computed: bool, dtype: bool = False) -> str:
    """The label of a node: name, op, shape, value, gradient, one under the other; ``computed``: whether there can be gradients."""
    name = node.name or ""
    op, details = caption(node)
    rows = []
    if name.strip():
        path = symbol(name).text if content.scopes or not node.scope else f"{node.scope}/{name}"
        rows.append(font(f"<b>{lines(path)}</b>", 12))
        if node.op:
            rows.append(font(plain(op), 10.5))
    else:
        rows.append(font(f"<b>{plain(op)}</b>", 12))
    if details:
        rows.append(font(lines(details, DETAIL_WIDTH, 2), 9, SOFT))
    kind = [op] if node.op is None and name.strip() else []
    shape = "×".join(map(str, node.shape)) if len(node.shape) > 1 else f"({node.shape[0]},)" if node.shape else "scalar"
    rows.append(font(" ".join([*kind, shape, *([str(node.dtype)] if dtype else [])]), 9, SOFT))
    if content.values and not node.abstract and node.size <= MAX_WRITTEN_ENTRIES:
        value = font(plain(f"= {written(node.value)}"), 9, VALUE)
        if node.shape:
            rows.append(value)
        else:
            rows[-1] += f" {value}"
    elif content.statistics and not node.abstract and node.size:
        rows.append(font(plain(statistics(np.asarray(node.value))), 9, VALUE))
    if content.memory:
        rows.append(font(plain(size_in_bytes(node.nbytes)), 9, SOFT))
    if node in content.thumbnails:
        rows.append(f'<img src="{content.thumbnails[node]}"/>')
    if content.gradients and (node.grad is not None or (computed and not node.abstract)):
        rows.extend(gradient(node))
    if content.parameters == "line":
        for x, role in zip(node.inputs, roles(node), strict=True):
            if isinstance(x, Parameter):
                shape = "×".join(map(str, x.shape)) or "scalar"
                rows.append(font(lines(f"{role or x.name or ''} {shape}".strip()), 9, STYLE_OF_PARAMETERS))
    return label(rows)


def statistics(values: Any) -> str:
    """The range, the mean and the deviation of the finite values, and how many are not finite."""
    if values.dtype.kind not in "f":
        return f"{entry(values.min())} … {entry(values.max())}"
    finite = values[np.isfinite(values)].astype(np.float64)
    odd = values.size - finite.size
    said = f"{odd} NaN or ∞" if odd else ""
    if not finite.size:
        return said
    text = f"{entry(finite.min())} … {entry(finite.max())}, {entry(finite.mean())} ± {entry(finite.std())}"
    return f"{text}, {said}" if said else text


def size_in_bytes(n: int) -> str:
    """Bytes in three digits: 512 B, 1.02 kB, 3.3 MB."""
    for unit, scale in (("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if n < 999.5 * scale or unit == "GB":
            return f"{n / scale:.3g} {unit}"
    raise AssertionError


def legend() -> str:
    """What the colours and shapes mean, as an HTML-like label."""
    cells = "".join(
        f'<td bgcolor="{fill}" border="1" color="{border}" width="14" height="10" fixedsize="true"></td>'
        f"<td>{font(name, 9, SOFT)}</td>"
        for name, fill, border in (
            ("input", "#DCEAF6", "#2F6DA3"), ("parameter", "#FBE7BF", "#A86E08"), ("value", "#FFFFFF", "#6B7480"),
            ("loss", "#F3D9E6", "#9B2D63"),
        )
    )  # fmt: skip
    return f'<<table border="0" cellspacing="4" cellpadding="1"><tr>{cells}</tr></table>>'


def caption(node: Node) -> tuple[str, str]:
    """What a node is, and the hyper-parameters of its op that are not the defaults."""
    if node.op is None:
        if not isinstance(node, Parameter):
            return "input", ""
        return "parameter" if node.requires_grad else "frozen parameter", ""
    given, defaults = node.op.hyperparameters, node.op.default_hyperparameters
    shown: list[str] = []
    if "stride" in given:
        filters = [x.shape[2:] for x, role in zip(node.inputs, roles(node), strict=True) if role == "w"]
        shown.extend(
            "×".join(map(str, kernel))
            for kernel in [*filters, *np.atleast_2d(given.get("kernel_size", []))]
            if len(kernel)
        )
    for name, value in given.items():
        if node.op.name == "reshape":
            continue  # said by the node's own shape
        if node.op.name == "getitem":
            shown.append(indexing(value))
            continue
        text = setting(value)
        if (name not in defaults or text != setting(defaults[name])) and name not in ("kernel_size", "seed"):
            shown.append(text if name.isdigit() else f"{name} {text}")
    name = node.op.name
    if any(map(is_number, node.inputs)):
        name += f"({', '.join(entry(x.value) if is_number(x) else '·' for x in node.inputs)})"
    return name, ", ".join(shown)


def setting(value: Any) -> str:
    """A hyper-parameter in few characters: ((1, 1), (1, 1)) is 1, (3, 2) is 3×2."""
    if isinstance(value, np.ndarray):
        return "×".join(map(str, value.shape)) + " array" if value.size > MAX_WRITTEN_ENTRIES else written(value)
    if isinstance(value, (tuple, list)) and value:
        parts = [setting(part) for part in value]
        if len(set(parts)) == 1 and len(parts) > 1:
            return parts[0]
        if all(isinstance(part, (int, np.integer)) for part in value):
            return "×".join(parts) if len(parts) > 1 else f"({parts[0]})"
        return f"({', '.join(parts)})"
    if isinstance(value, (bool, np.bool_)):
        return str(value)
    if isinstance(value, (int, float, np.number)):
        return entry(value)
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    return str(value)


def indexing(key: Any) -> str:
    """An index as NumPy text: 1:3, ::-1; arrays of more than MAX_WRITTEN_ENTRIES entries by their shape."""
    if isinstance(key, tuple):
        return ", ".join(map(indexing, key)) or "()"
    if isinstance(key, slice):
        ends = ["" if end is None else str(end) for end in (key.start, key.stop, key.step)]
        return ":".join(ends if key.step is not None else ends[:2])
    if key is None or key is Ellipsis:
        return "None" if key is None else "..."
    array = np.asarray(value_of(key))
    if array.size <= MAX_WRITTEN_ENTRIES:
        return str(array.tolist())
    return f"{'×'.join(map(str, array.shape))} {'mask' if array.dtype == bool else 'array'}"


def gradient(node: Node) -> list[str]:
    """The row of the gradient, which is not that of a zero where none was computed."""
    if node.grad is None:
        return [font("<i>∂ not computed</i>", 9, FAINT)] if isinstance(node, Parameter) else []
    grad = np.asarray(node.grad)
    if grad.size <= MAX_WRITTEN_ENTRIES:
        text = f"∂ = {written(grad)}"
    else:
        text = f"‖∂‖ = {entry(np.linalg.norm(grad.astype(np.float64).ravel()))}"
    return [font(plain(text), 9, GRADIENT)]


def roles(node: Node) -> list[str]:
    """What the op calls its inputs, where that matters: x, w, b of a convolution, x₁ and x₂ of a division."""
    many = len([x for x in node.inputs if not is_number(x)]) > 1
    if node.op is None or not many:
        return [""] * len(node.inputs)
    return node.op.operand_names(len(node.inputs))


def edge(x: Node, node: Node, i: int, role: str, what: str | None) -> list[str]:
    """The attributes of an edge: the role of x, input ``i`` of the node, and ``what``, one of EDGES; no text for None.

    Dashed, and without text but the role, where the dtypes carry no derivative.
    """
    differentiable = x.dtype in FLOATS and node.dtype in FLOATS
    attributes = [] if differentiable else ["style=dashed"]
    text = f"{role}  {edge_text(x, node, i, what)}" if differentiable and what else role
    if what is not None and text.strip():
        attributes.append(f'label=" {escaped_label(text.strip())}"')
    return attributes


def edge_text(x: Node, node: Node, i: int, what: str | None) -> str:
    """What is written on the edge to input ``i`` of a node."""
    if what == "size":
        return f"{node.size}×{x.size}"
    if what == "shape":
        return "×".join(map(str, x.shape)) or "scalar"
    if what == "gradient":
        return "" if x.grad is None else f"‖∂‖ {entry(np.linalg.norm(np.asarray(x.grad, np.float64).ravel()))}"
    formula = jacobian_formulas(node.op, node, *node.inputs)[i] if node.op else None
    if what == "name":
        return formula.text if formula else ""
    J = None if node.abstract or formula is None else node.op.maps(node)[i]  # type: ignore[union-attr]
    return "" if J is None else f"{J.nnz:,} non-zeros"


def escaped_label(text: str) -> str:
    """Text for a quoted label: formulas may contain backslashes and quotes of names."""
    return visible(text).replace("\\", "\\\\").replace('"', '\\"')


def written(array: Any) -> str:
    """A small array, as nested lists."""
    return str(
        np.array2string(np.asarray(array), separator=", ", formatter={"all": entry}, max_line_width=10**6)
    ).replace("\n", "")


def entry(value: Any) -> str:
    """A number in four digits, with a true minus sign."""
    text = str(value) if isinstance(value, (bool, np.bool_, int, np.integer)) else f"{value:.4g}"
    return text.replace("e+0", "e").replace("e+", "e").replace("e-0", "e-").replace("-", "−")


def tooltip(node: Node) -> str:
    """The whole name on hovering, where the label shortens it."""
    if len(node.name or "") <= NAME_WIDTH * NAME_LINES:
        return ""
    text = visible(node.name or "")[:1000].replace("\\", "\\\\").replace('"', '\\"')
    return f', tooltip="{text}"'


# --- HTML-like labels ------------------------------------------------------------------------------


def label(rows: list[str]) -> str:
    """Rows of text, one under the other."""
    cells = "".join(f"<tr><td>{row}</td></tr>" for row in rows)
    return f'<<table border="0" cellspacing="0" cellpadding="1">{cells}</table>>'


def font(text: str, size: float, color: str = INK) -> str:
    """Text, escaped already, in a size and colour."""
    return f'<font point-size="{size}" color="{color}">{text}</font>'


def visible(text: str) -> str:
    """Unprintable characters, and bytes that are no text, in Python's notation."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plain(text: str) -> str:
    """Any text, as one line of a label."""
    return escaped(visible(text))


def escaped(text: str) -> str:
    """Text without HTML's marks, and with the backslashes doubled that Graphviz takes for escapes."""
    return html.escape(text).replace("\\", "\\\\")


def lines(text: str, width: int = NAME_WIDTH, most: int = NAME_LINES) -> str:
    """``text`` escaped and wrapped, shortened with … when it is longer than ``most`` lines."""
    text = visible(text)
    wrapped: list[str] = []
    while text and len(wrapped) < most:
        cut = width if len(text) > width else len(text)
        if len(text) > width:
            space = max(text.rfind(mark, width // 2, width) for mark in " ,/._-")
            cut = space + 1 if space > 0 else width
        wrapped.append(text[:cut].rstrip() if len(text) > cut else text)
        text = text[cut:].lstrip(" ")
    if text:
        wrapped[-1] = wrapped[-1][: width - 1] + "…"
    return "<br/>".join(escaped(line) for line in wrapped)
