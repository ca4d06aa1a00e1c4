"""Formulas of local Jacobians with the symbols of a graph's nodes in the place of an op's own letters."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigraph import notation
from minigraph.facts import JacobianFormula
from minigraph.inspect.derive.chain import Chain, Factor
from minigraph.inspect.derive.symbols import Symbols
from minigraph.inspect.formulas import jacobian_formulas
from minigraph.node import Node


def factors_of(chain: Chain, symbols: Symbols) -> dict[tuple[Node, int], Factor]:
    """The factors of a chain, by node and input, with their formulas.

    A letter that formulas of several nodes use for different things, or that is also the symbol of a node, is numbered in
    the order of the tape: A₁, A₂.
    """
    formulas: dict[tuple[Node, int], JacobianFormula | None] = {}
    for node, inputs in chain.inputs.items():
        op_formulas = jacobian_formulas(node.op, node, *node.inputs) if node.op and inputs else []
        formulas |= {(node, i): op_formulas[i] for i in inputs}
    users: dict[str, dict[Node, int]] = defaultdict(dict)  # by letter: nodes, numbered
    for (node, _), formula in formulas.items():
        for letter in own_letters(node, formula):
            users[letter].setdefault(node, len(users[letter]) + 1)
    taken = symbols.texts()
    factors = {}
    for (node, i), formula in formulas.items():
        numbers = {
            letter: users[letter][node]
            for letter in own_letters(node, formula)
            if len(users[letter]) > 1 or letter in taken
        }
        text, legend = _written(node, formula, symbols, numbers) if formula else (unknown(node, i, symbols), {})
        factors[node, i] = Factor(node, i, node.inputs[i], text, legend)
    return factors


def _written(
    node: Node, formula: JacobianFormula, symbols: Symbols, numbers: Mapping[str, int]
) -> tuple[str, dict[str, str]]:
    """The formula with the symbols of the graph, and the meaning of the letters that are left."""
    op: Any = node.op
    text = substituted(node, formula.text, symbols, numbers)
    legend = {}
    for letter, meaning in formula.legend.items():
        operand = op.named_after.get(letter)
        placeholder = None if operand is None else symbols[node.inputs[_operand(node, operand)]]
        written = spelled(letter, numbers.get(letter)) if placeholder is None else spelled_after(letter, placeholder)
        legend[written] = meaning
    if text == formula.text:  # an exponent may have kept the letters of operands
        operands = zip(op.symbols(len(node.inputs)), node.inputs, strict=True)
        legend |= {letter: symbols[x] for letter, x in operands if letter in notation.names(text)}
    return text, legend


def unknown(node: Node, i: int, symbols: Symbols) -> str:
    """∂y/∂xᵢ, for a Jacobian without a formula."""
    return f"∂{symbols[node]}/∂{symbols[node.inputs[i]]}"


def own_letters(node: Node, formula: JacobianFormula | None) -> Iterable[str]:
    """The letters that stand for something of this node alone, but for those named after operands and for indices."""
    if formula is None:
        return
    op: Any = node.op
    for letter in formula.legend:
        if letter not in op.named_after and letter not in ("i", "[ ]", "Ind", "Σ"):
            yield letter


def _operand(node: Node, letter: str) -> int:
    """The number of the input that the op calls so."""
    return node.op.symbols(len(node.inputs)).index(letter)  # type: ignore[union-attr]


def spelled(letter: str, number: int | None) -> str:
    """A letter with its number, if it has one, below it."""
    return letter if number is None else notation.numbered(letter, number)


def spelled_after(letter: str, placeholder: str) -> str:
    """M_F named after an operand: M_{…}."""
    head, _, rest = letter.partition("_")
    group = ",g" if rest.endswith("_g}") else ""
    return f"{head}_{{{placeholder}{group}}}"


def substituted(
    node: Node, text: str, symbols: Symbols, numbers: Mapping[str, int], others: Mapping[str, str] | None = None
) -> str:
    """The formula ``text`` of a node's op, with placeholders for its operands and ``others``, and with numbered letters."""
    op: Any = node.op
    operands = dict(zip(op.symbols(len(node.inputs)), node.inputs, strict=True)) | {"y": node}
    constants = {letter: number for letter, x in operands.items() if (number := literal(x)) is not None}
    text = re.sub(f"e([{''.join(notation.RAISED)}]+)", exponential, text)
    tokens = list(notation.TOKEN.finditer(text))
    if any(raised_operand(token, operands, constants) for token in tokens):
        return text
    parts, at, i = [], 0, 0
    while i < len(tokens):
        token = tokens[i]
        kind, part, begin, end = token.lastgroup, token[token.lastgroup or 0], *token.span(token.lastgroup or 0)
        following = tokens[i + 1] if i + 1 < len(tokens) else None
        below = following["lowered"] if following and kind in ("name", "word") else None
        if below and (part + below in operands or part + below in op.named_after):
            part, end, i, below = part + below, following.end("lowered"), i + 1, None  # type: ignore[union-attr]
        if kind in ("name", "word"):
            if part in op.named_after:
                part = spelled_after(part, symbols[node.inputs[_operand(node, op.named_after[part])]])
            elif part in (others or {}):
                part = others[part]  # type: ignore[index]
            elif part in constants:
                part = constants[part]
            elif part in operands and part not in numbers:
                part = symbols[operands[part]]
            elif part in numbers:
                if below:
                    indices = "".join(notation.LOWERED.get(c, c) for c in below).strip("_{}")
                    part, end, i = f"{part}_{{{numbers[part]},{indices}}}", following.end("lowered"), i + 1  # type: ignore[union-attr]
                else:
                    part = notation.numbered(part, numbers[part])
        elif kind == "raised":
            part = power(part, constants)
        parts.append(text[at:begin] + part)
        at, i = end, i + 1
    written = "".join(parts) + text[at:]
    return re.sub(r"diag\((\d+(?:\.\d+)?)\)", r"\1 I", written)  # of a constant


def literal(x: Node) -> str | None:
    """The number that a nameless scalar constant holds, as formulas write it; None for other nodes."""
    if x.op is not None or x.name or x.shape or x.kind == "parameter" or x.abstract:
        return None
    text = f"{np.asarray(x.value).item():.6g}"
    return text if re.fullmatch(r"\d+(\.\d+)?", text) else None


def exponential(match: re.Match[str]) -> str:
    """exp(…) for a power of e whose exponent has letters: e⁻ˣ is exp(−x)."""
    exponent = "".join(notation.RAISED[c] for c in match[1])
    return f"exp({exponent})" if exponent != "⊤" and any(c.isalpha() for c in exponent) else match[0]


def raised_operand(token: re.Match[str], operands: Mapping[str, Node], constants: Mapping[str, str]) -> bool:
    """Whether an exponent contains an operand that is not a whole number, which no superscript can show."""
    if token.lastgroup != "raised":
        return False
    letters = {c for c in map(notation.RAISED.__getitem__, token["raised"]) if c.isalpha() and c != "⊤"}
    return any(c in operands and not constants.get(c, "").isdigit() for c in letters)


def power(raised: str, constants: Mapping[str, str]) -> str:
    """An exponent with the numbers of constants in it, added up: ᵇ⁻¹ for b = 3 is ², for b = 2 nothing."""
    letters = [notation.RAISED[c] for c in raised]
    if not any(c in constants for c in letters):
        return raised
    text = "".join(constants.get(c, c) for c in letters).replace("−", "-")
    if not re.fullmatch(r"[-+\d]+", text):
        return raised
    total = sum(int(n) for n in re.findall(r"[-+]?\d+", text))
    upper = {digit: sign for sign, digit in notation.RAISED.items()}
    return "" if total == 1 else "".join(upper[c] for c in str(total).replace("-", "−"))
