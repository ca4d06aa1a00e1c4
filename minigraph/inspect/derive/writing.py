"""Derivations as text, Markdown, LaTeX, MathML and pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from minigraph import notation
from minigraph.inspect.derive.chain import Equation, Factor, Term
from minigraph.node import Node
from minigraph.text import table, width

if TYPE_CHECKING:
    from minigraph.inspect.derive.derivation import Derivation, Step

PAGE = 110  # columns of text
LINE = 80  # columns that a line of LaTeX would take as text
MAX_SIDE = 12  # rows or columns of a matrix that is written out in numbers
HEAD = ("Jacobian", "formula", "size", "non-zeros", "node")


class Writer:
    """Formulas of a derivation in a language: "text" or "latex"."""

    def __init__(self, derivation: Derivation, language: str) -> None:
        self.derivation, self.symbols, self.language = derivation, derivation.symbols, language
        self.dot = " · " if language == "text" else r" \cdot "

    def spelled(self, formula: str) -> str:
        """A formula with placeholders."""
        if self.language == "text":
            return self.symbols.text(formula)
        return self.symbols.latex(notation.latex(formula))

    def matrix(self, factor: Factor, alone: bool = True) -> str:
        """The formula of a factor, in parentheses where a product needs them."""
        if factor.formula == "1" and factor.shape != (1, 1):
            return "1" if self.language == "text" else notation.ONES
        return self.spelled(factor.formula if alone else notation.term(factor.formula))

    def partial(self, node: Node, x: Node) -> str:
        """∂node/∂x."""
        return self.spelled(f"∂{self.derivation.variable(node)}/∂{self.derivation.variable(x)}")

    def derivative(self, node: Node) -> str:
        """∂y/∂node."""
        return self.partial(self.derivation.y, node)

    def symbolic(self, term: Term) -> list[str]:
        """A product, each Jacobian as the derivative of one node by the next."""
        d = self.derivation
        return [*self._start(term), *(self.partial(f.node, f.x) for f in term.factors if not d.renames(f))]

    def formulas(self, term: Term) -> list[tuple[str, tuple[int, int]]]:
        """A product, each Jacobian by its formula with the size of its matrix; identities are left out."""
        start, d = self._start(term), self.derivation
        kept = [f for f in term.factors if not f.identity] or ([] if start else list(term.factors[:1]))
        alone = len(kept) + len(start) == 1
        pieces = [(name, (prod(d.y.shape), prod(term.start.shape))) for name in start]
        return pieces + [(self.matrix(f, alone), f.shape) for f in kept]

    def _start(self, term: Term) -> list[str]:
        return [] if term.start is self.derivation.y else [self.derivative(term.start)]

    def step(self, step: Step) -> str:
        """∂y/∂node of a step: what is known times what to calculate now, added."""
        terms = [Term(reader, (factor,)) for reader, factor in step.terms]
        right = " + ".join(self.dot.join(piece for piece, _ in self.formulas(term)) for term in terms)
        return f"{self.derivative(step.node)} = {right}"


# --- text ------------------------------------------------------------------------------------------------


def text(d: Derivation) -> str:
    """The derivation as plain text."""
    parts = [f"{d.summary()}\n{d.count()}"]
    if d.by_blocks:
        return "\n\n".join([*parts, d.many(), table(("block", "size", "paths", "where"), block_rows(d), (1, 2))])
    parts.extend(equation_text(Writer(d, "text"), equation) for equation in d.equations)
    if pulls := d.convolutions():
        lines = [f"{d.symbols.text(left)} = {d.symbols.text(right)}" for left, right in pulls]
        parts.append("As convolutions of arrays:\n" + "\n".join(lines))
    if rows := factor_rows(d):
        parts.append(table(HEAD, rows, (2, 3)))
    if legend := d.legend():
        parts.append(table(("letter", "meaning"), list(legend.items())))
    return "\n\n".join(parts)


def equation_text(writer: Writer, equation: Equation) -> str:
    """An equation: the product of derivatives, then their formulas, with the size of each matrix under it."""
    left = writer.derivative(equation.node)
    indent = " " * width(left)
    symbolic = joined([[(piece, "") for piece in writer.symbolic(term)] for term in equation.terms])
    symbolic = [] if [piece for piece, _ in symbolic] == [left] else symbolic
    sizes = joined(
        [[(piece, "×".join(map(str, shape))) for piece, shape in writer.formulas(t)] for t in equation.terms]
    )
    lines = wrapped(f"{left} = ", symbolic)
    if not lines or [piece for piece, _ in symbolic] != [piece for piece, _ in sizes]:
        lines += wrapped(f"{indent if lines else left} = ", sizes)
    return "\n".join(lines) or f"{left} = I"


def joined(terms: Iterable[Sequence[tuple[str, str]]]) -> list[tuple[str, str]]:
    """The pieces of a sum of products in a row, with the signs between them."""
    row: list[tuple[str, str]] = []
    for term in terms:
        for k, (piece, below) in enumerate(term):
            sign = "" if not row else " + " if k == 0 else " · "
            row.append((sign + piece, " " * len(sign) + below))
    return row


def wrapped(left: str, pieces: Sequence[tuple[str, str]], columns: int = PAGE) -> list[str]:
    """Lines of pieces after ``left``, each with what stands below its pieces, broken before + and ·."""
    indent = width(left)
    lines: list[str] = []
    upper, lower = left, " " * indent
    for piece, below in pieces:
        if upper.strip() and width(upper) + max(width(piece), len(below)) > columns and width(upper) > indent:
            lines += [upper, lower]
            upper, lower = " " * (indent - 1), " " * (indent - 1)
        side = max(width(piece), len(below))
        upper += piece + " " * (side - width(piece))
        lower += below + " " * (side - len(below))
    return [line for line in (row.rstrip() for row in [*lines, upper, lower]) if line] if pieces else []


def factor_rows(d: Derivation) -> list[tuple[str, str, str, str, str]]:
    """A row for each Jacobian: its formula, size, non-zeros and node."""
    writer = Writer(d, "text")
    return [
        (
            writer.partial(f.node, f.x),
            writer.matrix(f),
            "×".join(f"{n:,}" for n in f.shape),
            "" if f.nnz is None else f"{f.nnz:,}",
            d.call(f.node),
        )
        for f in d.ordered_factors()
        if not d.renames(f)
    ]


def block_rows(d: Derivation) -> list[tuple[str, str, str, str]]:
    """A row for each block between nodes that every path passes."""
    writer = Writer(d, "text")
    return [
        (writer.partial(a, b), "×".join(f"{prod(node.shape):,}" for node in (a, b)), f"{paths:,}", a.scope or a.path)
        for a, b, paths in d.blocks()
    ]


# --- Markdown and LaTeX ------------------------------------------------------------------------------------


def markdown(d: Derivation) -> str:
    """The derivation as Markdown, its equations in LaTeX."""
    parts = [d.summary(), d.count()]
    if d.by_blocks:
        return "\n\n".join([*parts, d.many(), markdown_table(("block", "size", "paths", "where"), block_rows(d), ())])
    if d.equations:
        parts.append(f"$$\n{latex(d)}\n$$")
    writer = Writer(d, "latex")
    if pulls := d.convolutions():
        lines = [f"- ${writer.spelled(left)} = {writer.spelled(right)}$" for left, right in pulls]
        parts.append("As convolutions of arrays:\n\n" + "\n".join(lines))
    rows = [
        (f"${writer.partial(f.node, f.x)}$", f"${writer.matrix(f)}$", *row[2:])
        for f, row in zip((f for f in d.ordered_factors() if not d.renames(f)), factor_rows(d), strict=True)
    ]
    if rows:
        parts.append(markdown_table(HEAD, rows, (0, 1)))
    if legend := d.legend():
        parts.append("\n".join(f"- {escaped(letter)}: {escaped(meaning)}" for letter, meaning in legend.items()))
    return "\n\n".join(parts)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], formulas: Sequence[int]) -> str:
    """A Markdown table; columns in ``formulas`` hold LaTeX, others text, whose marks are escaped."""
    lines = [head, ["---"] * len(head)]
    for row in rows:
        lines.append([
            cell.replace("|", r"\vert ") if i in formulas else escaped(cell) for i, cell in enumerate(row)
        ])  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escaped(text: str) -> str:
    """Text whose characters Markdown does not take as marks."""
    return "".join("\\" + c if c in "\\`*_{}[]<>#|$~" else c for c in text)


def latex(d: Derivation, numbers: bool = False, steps: bool = False) -> str:
    """The equations, or the steps, in an align* environment; with ``numbers`` the matrices written out."""
    writer = Writer(d, "latex")
    if steps:
        lines = [step_latex(writer, step) for step in d.steps()]
    else:
        values = d.values() if numbers else {}
        lines = [line for equation in d.equations for line in equation_latex(writer, equation, values)]
    lines = lines or [f"{writer.derivative(d.x)} &= 0"]
    return "\\begin{align*}\n" + " \\\\\n".join(lines) + "\n\\end{align*}"


def equation_latex(writer: Writer, equation: Equation, values: dict[Node, Any]) -> list[str]:
    """The lines of an equation: derivatives, formulas with the sizes under them, and numbers if there are ``values``."""
    narrow = Writer(writer.derivation, "text")
    symbolic, sized = [], []
    for term in equation.terms:
        symbolic.append(
            [(a, width(b) // 2 + 1) for a, b in zip(writer.symbolic(term), narrow.symbolic(term), strict=True)]
        )
        pieces = zip(writer.formulas(term), narrow.formulas(term), strict=True)
        sized.append([
            (rf"\underset{{{m} \times {n}}}{{{piece}}}", max(width(text), len(f"{m}×{n}")))
            for (piece, (m, n)), (text, _) in pieces
        ])  # fmt: skip
    left = writer.derivative(equation.node)
    lines = [] if [[piece for piece, _ in term] for term in symbolic] == [[left]] else broken(symbolic)
    if any(sized):
        lines += broken(sized)
    if values and any(sized):
        lines.append(f"&= {numbers_latex(writer, equation, values)}")
        lines.append(f"&= {matrix_latex(values[equation.node])}")
    first, *others = lines or ["&= I"]
    return [f"{left} {first}", *others]


def broken(terms: Iterable[Sequence[tuple[str, int]]], columns: int = LINE) -> list[str]:
    """A sum of products, given as pieces of LaTeX with their widths as text, in lines of about so many columns."""
    lines, line, used = list[str](), "", 0
    for term in terms:
        for k, (piece, columns_of_piece) in enumerate(term):
            sign = "+ " if k == 0 else r"\cdot "
            if line and used + columns_of_piece > columns:
                lines.append(line)
                line, used = r"&\quad {}", 0
            line = f"{line}{' ' if used else ''}{sign}{piece}" if line else f"&= {piece}"
            used += columns_of_piece + 3
    return [*lines, line] if line else []


def numbers_latex(writer: Writer, equation: Equation, values: dict[Node, Any]) -> str:
    """An equation with all its matrices written out."""
    d, products = writer.derivation, []
    for term in equation.terms:
        matrices = [] if term.start is d.y else [values[term.start]]
        kept = [f for f in term.factors if not f.identity] or ([] if matrices else list(term.factors[:1]))
        products.append(" ".join(map(matrix_latex, [*matrices, *(f.tosparse() for f in kept)])))
    return " + ".join(products)


def matrix_latex(matrix: Any) -> str:
    """A matrix in numbers; of a larger one the size."""
    m, n = matrix.shape
    if max(m, n) > MAX_SIDE:
        return rf"[{m} \times {n}]"
    rows = (" & ".join(number(value) for value in row) for row in matrix.toarray())
    return r"\begin{bmatrix} " + r" \\ ".join(rows) + r" \end{bmatrix}"


def number(value: Any) -> str:
    """A number in four digits."""
    text = f"{value:.4g}"
    mantissa, _, exponent = text.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else text


def step_latex(writer: Writer, step: Step) -> str:
    """A step of the backward walk, with braces under what is known and what to calculate now."""
    d, products = writer.derivation, []
    for reader, factor in step.terms:
        now = rf"\underbrace{{{writer.matrix(factor, reader is d.y)}}}_{{\text{{calculate now}}}}"
        known = rf"\underbrace{{{writer.derivative(reader)}}}_{{\text{{already known}}}}"
        products.append(now if reader is d.y else known + writer.dot + now)
    return f"{writer.derivative(step.node)} &= {' + '.join(products)}"


def mathml(d: Derivation, numbers: bool = False) -> str:
    """The equations as a MathML element."""
    from latex2mathml.converter import convert

    element = str(convert(latex(d, numbers), display="block"))
    # MathML Core, which browsers implement, has neither columnalign nor bold type by mathvariant.
    element = re.sub(r'columnalign="(\w+)"', r'columnalign="\1" style="text-align: \1"', element)
    return re.sub(r'<m([in]) mathvariant="bold">1</m\1>', "<mn>\U0001d7cf</mn>", element)


# --- pictures ----------------------------------------------------------------------------------------------


def mathtext(tex: str) -> str:
    """LaTeX without the escapes that matplotlib's mathtext does not know."""
    return tex.strip().replace(r"\&", "&").replace(r"\#", r"\sharp ").replace("`", "'")


def figure(d: Derivation) -> Any:
    """The equations as a matplotlib Figure, each part of an equation a line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    writer, rows = Writer(d, "latex"), []
    for equation in d.equations:
        for line in equation_latex(writer, equation, {}):
            left, _, right = re.split(r"((?<!\\)&)", line, maxsplit=1)
            rows.append((mathtext(left), mathtext(right.removeprefix(r"\quad {}"))))
    picture = Figure(figsize=(1, 1))
    axes = picture.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    boxes, at = [], 0.0
    renderer = FigureCanvasAgg(picture).get_renderer()  # type: ignore[no-untyped-call]
    for left, right in rows:
        style: dict[str, Any] = {"fontsize": 16, "va": "baseline", "math_fontfamily": "cm"}
        parts = [axes.text(0, 0, f"${left}$" if left else "", ha="right", **style)]
        parts.append(axes.text(0, 0, f"${right}$", ha="left", **style))
        boxes.append((parts, [part.get_window_extent(renderer) for part in parts]))
    dpi = picture.dpi
    wide_left = max((extents[0].width for _, extents in boxes), default=0.0)
    wide_right = max((extents[1].width for _, extents in boxes), default=0.0)
    height = sum(max(e.height for e in extents) + 0.25 * dpi for _, extents in boxes)
    total = np.array([wide_left + wide_right + 0.5 * dpi, height + 0.3 * dpi])
    picture.set_size_inches(*total / dpi)
    for (left_text, right_text), extents in boxes:
        top = max(e.y1 for e in extents)
        at += 0.125 * dpi + top
        for part, x in ((left_text, wide_left + 0.2 * dpi), (right_text, wide_left + 0.3 * dpi)):
            part.set_position((x / total[0], 1 - (at + 0.15 * dpi) / total[1]))
        at += 0.125 * dpi - min(e.y0 for e in extents)
    return picture
