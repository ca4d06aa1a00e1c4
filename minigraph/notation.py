"""Formulas, written once as Unicode text: turned into LaTeX, and where they are elementwise into Python.

A formula is a sum of products: ``2 (x − mean x)ᵀ/n``. Factors stand side by side with a space or ``·``; ``⊗`` binds less
than they do, ``/`` divides all of the product before it by the one factor after it. Names are single letters, with a
combining hat or tilde, a subscript (``x₁``, ``M_F``, ``B_{kl}``) and superscripts (``x²``, ``aᵇ⁻¹``, ``Aᵀ``). Longer
words are functions (``cos x``, ``diag(w)``) or upright names. A 1 that multiplies, or is transposed, is a vector of ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

RAISED = dict(
    zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ᵀᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵝ", "0123456789+−()⊤abcdefghijklmnoprstuvwxyzβ", strict=True)
)
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+−aehijklmnoprstuvx", strict=True))
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
MARKS = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar"}
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "θ": "theta", "λ": "lambda", "μ": "mu",
    "π": "pi", "σ": "sigma", "φ": "phi", "Φ": "Phi", "⊤": "top",
}  # fmt: skip
RELATIONS = {"=": ("=", "=="), "≠": (r"\neq", "!="), "<": ("<", "<"), ">": (">", ">"),
             "≤": (r"\leq", "<="), "≥": (r"\geq", ">=")}  # fmt: skip
UPRIGHT = {"cos", "sin", "tan", "cosh", "sinh", "tanh", "exp", "log", "max", "min"}  # which LaTeX knows
ONES = r"\mathbf{1}"
FUNCTIONS = UPRIGHT | {"Ind", "clip", "diag", "mean", "sign", "softmax", "trunc", "vec"}
PYTHON = {"max": "maximum", "min": "minimum", "σ": "expit", "Φ": "ndtr", "φ": "norm.pdf", "Ind": ""}
BIG = {"Σ": r"\sum", "∏": r"\prod", "⊕": r"\bigoplus"}
FENCES = {"(": (")", "(", ")"), "[": ("]", "[", "]"), "|": ("|", "|", "|"), "⌊": ("⌋", r"\lfloor ", r" \rfloor")}
CALLS = {"(": "", "|": "abs", "⌊": "floor", "[": ""}

TOKEN = re.compile(
    rf"""\s*(?:(?P<number>\d+(?:\.\d+)?)
    |(?P<big>[ΣΠ∏⊕])
    |(?P<word>[A-Za-z]{{2,}}(?![{"".join(MARKS)}]))
    |(?P<name>[A-Za-z{"".join(GREEK)}…][{"".join(MARKS)}]?)
    |(?P<raised>[{"".join(RAISED)}]+)
    |(?P<lowered>[{"".join(LOWERED)}]+|_[A-Za-z0-9]|_\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}})
    |(?P<sign>\S))""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A token of a formula, with its kind and whether a space is before it."""

    kind: str
    text: str
    spaced: bool


class Piece(NamedTuple):
    """A part of a formula in both languages; ``bare``: its LaTeX without the parentheses around it."""

    latex: str
    python: str
    kind: str  # sum, product, factor, one
    bare: str


def piece(latex: str, python: str, kind: str = "factor", bare: str = "") -> Piece:
    """A Piece, which is bare unless it says otherwise."""
    return Piece(latex, python, kind, bare or latex)


def bold(part: Piece) -> str:
    """LaTeX of a factor of a product of matrices, in which 1 is the vector of ones."""
    return ONES if part.kind == "one" else part.latex


def fenced(left: str, inside: str, right: str) -> str:
    """``inside`` in parentheses, which grow where it is tall."""
    tall = any(command in inside for command in (r"\frac", r"\sum", r"\prod", r"\bigoplus"))
    return rf"\left{left.strip()} {inside} \right{right.strip()}" if tall else left + inside + right


class Parser:
    """Recursive descent through one formula; every method returns LaTeX and Python of the part that it has parsed."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.bars = text, 0, 0
        self.entries = True  # whether it is a number for each entry, so that Python can say it
        self.tokens = [
            Token(m.lastgroup or "", m[m.lastgroup or 0], m[0][:1].isspace()) for m in TOKEN.finditer(text.strip())
        ]

    @property
    def next(self) -> Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else Token("end", "", False)

    def take(self, *signs: str) -> str:
        """The next token if it is one of the signs, else nothing."""
        if self.next.text in signs:
            self.at += 1
            return self.tokens[self.at - 1].text
        return ""

    def whole(self) -> Piece:
        found = self.relation()
        if self.next.kind != "end":
            raise self.error()
        return found

    def error(self) -> ValueError:
        return ValueError(f"notation: got {self.text!r}; {self.next.text or 'the end'!r} is out of place")

    def relation(self) -> Piece:
        a = self.sum()
        if sign := self.take(*RELATIONS):
            b = self.sum()
            tex, py = RELATIONS[sign]
            return piece(f"{a.latex} {tex} {b.latex}", f"{a.python} {py} {b.python}", "sum")
        return a

    def sum(self) -> Piece:
        sign = self.take("−", "-")
        found = self.kronecker()
        if sign:
            found = piece("-" + found.latex, "-" + found.python, "negative")
        while sign := self.take("+", "−", "-"):
            b, sign = self.kronecker(), sign.replace("−", "-")
            found = piece(f"{found.latex} {sign} {b.latex}", f"{found.python} {sign} {b.python}", "sum")
        return found

    def kronecker(self) -> Piece:
        parts = [self.product()]
        while self.take("⊗"):
            self.entries = False
            parts.append(self.product())
        return (
            parts[0]
            if len(parts) == 1
            else Piece(
                tex := r" \otimes ".join(map(bold, parts)),
                f"kron({', '.join(p.python for p in parts)})",
                "kronecker",
                tex,
            )
        )

    def product(self) -> Piece:
        found = self.factor()
        while True:
            if self.take("/"):
                b = self.factor()
                found = piece(rf"\frac{{{found.bare}}}{{{b.bare}}}", f"{found.python}/{b.python}", "product")
            elif dot := self.take("·") or self.begins():
                b = self.factor()
                by = r" \cdot " if dot == "·" else " "
                found = piece(bold(found) + by + bold(b), f"{found.python}*{b.python}", "product")
            else:
                return found

    def begins(self) -> bool:
        """Whether another factor comes next."""
        kind, text, _ = self.next
        return (
            kind in ("number", "word", "name", "big")
            or text in ("(", "[", "⌊", "√", "∂")
            or (text == "|" and not self.bars)
        )

    def factor(self) -> Piece:
        found = self.atom()
        while self.next.kind == "raised" or self.next.text == "′":
            if self.take("′"):
                found = piece(found.latex + "'", "")
                self.entries = False
                continue
            raised = "".join(RAISED[c] for c in self.next.text)
            self.at += 1
            if "⊤" in raised:
                self.entries = False
            exponent = Parser(raised).whole()
            if raised == "⊤":
                found = piece(bold(found) + r"^{\top}", f"transposed({found.python})")
                continue
            python = f"{found.python}**{exponent.python if raised.isalnum() else f'({exponent.python})'}"
            found = piece(f"{found.latex}^{{{exponent.latex}}}", python)
        return found

    def atom(self) -> Piece:
        kind, text, _ = self.next
        self.at += 1
        if kind == "number":
            return self.lowered(piece(text, text, "one" if text == "1" else "factor"))
        if kind == "big":
            self.entries = False
            sub = self.lowered(piece(BIG[text], "")).latex
            inside = self.product()
            return piece(f"{sub} {inside.latex}", f"sum({inside.python})", "product")
        if text in FUNCTIONS or (text in ("σ", "Φ", "φ") and self.next == ("sign", "(", False)):
            return self.call(text)
        if kind == "word":
            return self.lowered(piece(rf"\mathrm{{{text}}}", text))
        if kind == "name":
            letter = rf"\{GREEK[text[0]]}" if text[0] in GREEK else r"\ldots" if text == "…" else text[0]
            python = {"π": "pi", "e": "e"}.get(text, text)
            return self.lowered(piece(rf"\{MARKS[text[1]]}{{{letter}}}" if len(text) > 1 else letter, python))
        if text == "√":
            inside = self.factor()
            python = inside.python if inside.bare != inside.latex else f"({inside.python})"
            return piece(rf"\sqrt{{{inside.bare}}}", f"sqrt{python}")
        if text == "∂":
            self.entries = False
            return piece(rf"\partial {self.factor().latex}", "")
        if text in FENCES:
            return self.fence(text)
        self.at -= 1
        raise self.error()

    def fence(self, opening: str) -> Piece:
        """What is in parentheses, brackets, or between bars."""
        closing, left, right = FENCES[opening]
        outer, self.bars = self.bars, int(opening == "|")
        inside = [self.relation()]
        while self.take(",", ";"):
            inside.append(self.relation())
        if not self.take(closing):
            raise self.error()
        self.bars = outer
        tex = ", ".join(part.latex for part in inside)
        python = f"{CALLS[opening]}({', '.join(part.python for part in inside)})"
        return piece(fenced(left, tex, right), python, bare=tex if opening == "(" else "")

    def call(self, name: str) -> Piece:
        """A function of what is in parentheses, or of the one factor after it."""
        if name in ("diag", "softmax", "vec"):
            self.entries = False
        tex = rf"\{name}" if name in UPRIGHT else rf"\{GREEK[name]}" if name in GREEK else rf"\operatorname{{{name}}}"
        if self.next.text == "(" and not self.next.spaced:
            self.at += 1
            inside = self.fence("(")
            return piece(tex + inside.latex, PYTHON.get(name, name) + inside.python)
        inside = self.factor()
        return piece(f"{tex} {inside.latex}", f"{PYTHON.get(name, name)}({inside.python})", "product")

    def lowered(self, found: Piece) -> Piece:
        """``found`` with the subscript that may follow."""
        if self.next.kind != "lowered":
            return found
        text = self.next.text
        self.at += 1
        if text.startswith("_{"):
            below = rf"_{{{indices(text[2:-1])}}}"
        else:
            below = text if text[0] == "_" else "_{" + "".join(LOWERED[c] for c in text).replace("−", "-") + "}"
        return piece(bold(found) + below, found.python + below.translate(str.maketrans("", "", "{}")))


def indices(text: str) -> str:
    """LaTeX of a subscript: indices side by side, which are no products."""
    for sign, (tex, _) in RELATIONS.items():
        text = text.replace(sign, f"{tex} " if tex[0] == "\\" else tex)
    return text.replace("′", "'").replace("−", "-")


@lru_cache(4096)
def _parsed(text: str) -> tuple[Piece, bool]:
    parser = Parser(text)
    return parser.whole(), parser.entries


def latex(text: str) -> str:
    """The formula ``text`` in LaTeX. Raises ValueError for what is no formula."""
    return _parsed(text)[0].latex


def python(text: str) -> str:
    """The formula ``text``, a number for each entry, in Python with the names of NumPy and SciPy. Raises ValueError."""
    found, entries = _parsed(text)
    if not entries:
        raise ValueError(f"notation: got {text!r}; wanted a formula of entries, without matrices")
    return found.python


def constant(text: str) -> bool:
    """Whether the formula holds no variable: numbers and π alone."""
    return not re.search(r"[^\W\dπ_]", text.replace("log", ""))


# --- formulas made of formulas ---------------------------------------------------------------------------


def factor(text: str) -> str:
    """``text``, in parentheses unless it is a single factor."""
    return text if _parsed(text)[0].kind in ("factor", "one") else f"({text})"


def term(text: str) -> str:
    """``text``, in parentheses where it is a sum or has a sign or ⊗."""
    return f"({text})" if _parsed(text)[0].kind in ("sum", "negative", "kronecker") else text


def scaled(coefficient: str, matrix: str) -> str:
    """A number times a matrix."""
    return {"1": matrix, "−1": f"−{matrix}"}.get(coefficient, f"{factor(coefficient)} {matrix}")


def times(a: str, b: str) -> str:
    """The product of two matrices, of which I changes nothing."""
    return b if a == "I" else a if b == "I" else f"{term(a)} {factor(b)}"


def transposed(text: str, numbers: str = "nN") -> str:
    """The row of a vector: numbers before it and below it, digits and the letters ``numbers``, stay outside."""
    if _parsed(text)[0].kind == "sum":
        return f"({text})ᵀ"
    number, rest, below = re.fullmatch(
        rf"(−?(?:\d+ )?)(.*?)((?:/(?:[{numbers}\d]|\([{numbers}\d −()]+\)))?)", text
    ).groups()  # type: ignore[union-attr]
    return f"{number}{factor(rest)}ᵀ{below}" if rest not in ("", "1") else f"{number}1ᵀ{below}"


def over(text: str, divisor: str) -> str:
    """``text`` divided by ``divisor``."""
    loose = _parsed(text)[0].kind in ("sum", "kronecker")
    return f"({text})/{factor(divisor)}" if loose else f"{text}/{factor(divisor)}"


def numbered(name: str, i: int) -> str:
    """The name with the number i below it."""
    return name + str(i).translate(SUBSCRIPTS)


ALIKE = ("I", "1", "1ᵀ", "1 1ᵀ")  # of which two side by side are one of the product of their sides


def kronecker(sides: Iterable[tuple[str, int]]) -> str:
    """The Kronecker product of a matrix for each axis, given with the axis's side; those of side 1 are left out."""
    kept = [name for name, side in sides if side != 1 or name not in ALIKE]
    parts = [name for name, same in groupby(kept) for name in ([name] if name in ALIKE else same)]
    return " ⊗ ".join(parts) or "I"


def stretching(small: tuple[int, ...], large: tuple[int, ...]) -> str:
    """The matrix that copies an array of shape ``small`` along the axes that broadcasting to ``large`` stretches."""
    small = (1,) * (len(large) - len(small)) + small
    return kronecker(("I" if n == m else "1", m) for n, m in zip(small, large, strict=True))
