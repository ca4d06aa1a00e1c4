"""Symbols for nodes in formulas: names as mathematics, in Unicode and in LaTeX."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from minigraph.node import Node
from minigraph.notation import GREEK, LOWERED, MARKS, RAISED, numbered

LETTERS = {word: letter for letter, word in GREEK.items()}
ACCENTS = {"~": "\u0303", "^": "\u0302", **{mark: mark for mark in MARKS}}
SUBSCRIPTS = {letter: lowered for lowered, letter in LOWERED.items()}
NAME = re.compile(rf"([^\W\d_]|{'|'.join(LETTERS)})([{''.join(map(re.escape, ACCENTS))}]?)(\d+[a-z]?|_\w+)?(['′]*)")
FIRST_PLACEHOLDER = 0xF0000  # private code points, which no name contains
ESCAPES = {
    "\\": r"\backslash ", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    ".": "{.}", "‖": r"\Vert ", "^": r"\wedge ", "~": r"\sim ", " ": r"\ ", "'": "{'}", '"': "{''}",
}  # fmt: skip


class Symbol(NamedTuple):
    """A symbol in Unicode and in LaTeX."""

    text: str
    latex: str


def symbol(name: str) -> Symbol:
    """The symbol for a name: F1 becomes F₁, H~ becomes H̃, beta becomes β, vec(H~) becomes vec(H̃); others stay upright."""
    if inner := re.fullmatch(r"vec\((.+)\)", name):
        inside = symbol(inner[1])
        return Symbol(f"vec({inside.text})", rf"\operatorname{{vec}}({inside.latex})")
    if not (match := NAME.fullmatch(name)):
        return upright(name)
    letter, accent, below, primes = match.groups()
    letter, below = LETTERS.get(letter, letter), (below or "").removeprefix("_")
    if letter.isascii() and len(letter) == 1 or letter in GREEK:
        tex = rf"\{GREEK[letter]}" if letter in GREEK else letter
    else:
        tex = upright(letter).latex
    if accent:
        tex, letter = rf"\{MARKS[ACCENTS[accent]]}{{{tex}}}", letter + ACCENTS[accent]
    if below:
        tex += f"_{{{upright(below).latex if len(below) > 1 and below.isalpha() else below}}}"
        short = all(c in SUBSCRIPTS for c in below)
        letter += "".join(SUBSCRIPTS[c] for c in below) if short else f"_{{{below}}}"
    return Symbol(letter + "′" * len(primes), tex + "'" * len(primes))


def upright(name: str) -> Symbol:
    """A name of several letters, in upright type; characters that LaTeX gives a meaning to are escaped."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
    parts = []
    for kind, characters in groupby(text, _kind):
        run = "".join(characters)
        if kind == "raised":
            parts.append(f"^{{{''.join(RAISED[c] for c in run)}}}".replace("⊤", r"\top"))
        elif kind == "lowered":
            parts.append(f"_{{{''.join(LOWERED[c] for c in run)}}}")
        elif kind == "foreign":
            parts.append(rf"\text{{{run}}}")
        else:
            parts += [ESCAPES.get(c) or (rf"\{GREEK[c]} " if c in GREEK else c) for c in run]
    return Symbol(text, rf"\mathrm{{{''.join(parts)}}}")


def _kind(c: str) -> str:
    """How LaTeX writes a character: raised, lowered, "plain", or "foreign", which it has outside of formulas only."""
    if c in RAISED or c in LOWERED:
        return "raised" if c in RAISED else "lowered"
    return "plain" if c.isascii() or c in GREEK or c in ESCAPES else "foreign"


class Symbols:
    """A symbol for each of the nodes, and a placeholder for it in formulas.

    A node is called by its name, by its path where several have the name, and by its number on the tape, v₅, where it has
    none or several have the path. Formulas hold the placeholder, a single character, until they are written.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        names, paths = Counter(node.name for node in nodes), Counter(node.path for node in nodes)
        self._symbols: list[Symbol] = []
        self._placeholders: dict[Node, str] = {}
        for i, node in enumerate(nodes):
            if node.name and names[node.name] == 1:
                result = symbol(node.name)
            elif node.name and paths[node.path] == 1:
                result = upright(node.path.replace("/", "."))
            else:
                result = Symbol(numbered("v", i), f"v_{{{i}}}")
            self._placeholders[node] = chr(FIRST_PLACEHOLDER + i)
            self._symbols.append(result)

    def __contains__(self, node: Node) -> bool:
        return node in self._placeholders

    def __getitem__(self, node: Node) -> str:
        """The placeholder of a node."""
        return self._placeholders[node]

    def add(self, symbol: Symbol) -> str:
        """A placeholder for a further symbol."""
        self._symbols.append(symbol)
        return chr(FIRST_PLACEHOLDER + len(self._symbols) - 1)

    def texts(self) -> set[str]:
        """All symbols in Unicode."""
        return {symbol.text for symbol in self._symbols}

    def text(self, formula: str) -> str:
        """The formula with placeholders replaced by symbols in Unicode."""
        text = self._replaced(formula, 0)
        return re.sub(r"_\{(\w[\u0300-\u036f]?[₀-₉]?)\}", r"_\1", text)

    def latex(self, formula: str) -> str:
        """The formula, in LaTeX already, with placeholders replaced by symbols."""
        # A symbol that has a subscript takes a second one only as a group.
        grouped = re.sub(
            "(.)(?=_)", lambda m: f"{{{m[1]}}}" if "_" in self._replaced(m[1], 1) and m[1] != "_" else m[1], formula
        )
        return self._replaced(grouped, 1)

    def _replaced(self, formula: str, language: int) -> str:
        return "".join(
            self._symbols[ord(c) - FIRST_PLACEHOLDER][language] if ord(c) >= FIRST_PLACEHOLDER else c for c in formula
        )
