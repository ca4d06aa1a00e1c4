"""A parser for formulas in Unicode, which translates them into LaTeX and, if they are elementwise, into Python.

A formula is a sum of products: ``2 (x − mean x)ᵀ/n``. Factors are separated by a space or ``·``; ``⊗`` binds less tightly
than they do, ``∗`` is convolution, and ``/`` divides the whole product before it by the single factor after it. Names are single letters, with
an optional combining hat or tilde, subscript (``x₁``, ``M_F``, ``B_{kl}``) and superscript (``x²``, ``aᵇ⁻¹``, ``Aᵀ``).
Longer words are functions (``cos x``, ``diag(w)``) or upright names. A 1 that multiplies or is transposed is a vector of
ones.
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
    "π": "pi", "σ": "sigma", "φ": "phi", "Φ": "Phi", "ψ": "psi", "⊤": "top",
}  # fmt: skip
RELATIONS = {"=": ("=", "=="), "≠": (r"\neq", "!="), "<": ("<", "<"), ">": (">", ">"),
             "≤": (r"\leq", "<="), "≥": (r"\geq", ">=")}  # fmt: skip
UPRIGHT = {"cos", "sin", "tan", "cosh", "sinh", "tanh", "exp", "log", "max", "min"}  # which LaTeX knows
ONES = r"\mathbf{1}"
FUNCTIONS = UPRIGHT | {
    "Ind",
    "clip",
    "diag",
    "full",
    "mean",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "polygamma",
    "rot180",
    "sign",
    "softmax",
    "trunc",
    "up",
    "vec",
}
PYTHON = {"max": "maximum", "min": "minimum", "σ": "expit", "Φ": "ndtr", "φ": "norm.pdf", "ψ": "digamma", "Ind": ""}
BIG = {"Σ": r"\sum", "∏": r"\prod", "⊕": r"\bigoplus"}
FENCES = {"(": (")", "(", ")"), "[": ("]", "[", "]"), "|": ("|", "|", "|"), "⌊": ("⌋", r"\lfloor ", r" \rfloor")}
CALLS = {"(": "", "|": "abs", "⌊": "floor", "[": ""}

TOKEN = re.compile(
    rf"""\s*(?:(?P<number>\d+(?:\.\d+)?)
    |(?P<big>[ΣΠ∏⊕])
    |(?P<word>rot180|i[01]e?|[A-Za-z]{{2,}}(?![{"".join(MARKS)}]))
    |(?P<name>[A-Za-z{"".join(GREEK)}…\U000F0000-\U000FFFFD][{"".join(MARKS)}]?)
    |(?P<raised>[{"".join(RAISED)}]+)
    |(?P<lowered>[{"".join(LOWERED)}]+|_[A-Za-z0-9]|_\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}})
    |(?P<sign>\S))""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A token of a formula, with its kind and whether a space precedes it."""

    kind: str
    text: str
    spaced: bool


class Piece(NamedTuple):
    """A part of a formula in LaTeX and Python; ``bare``: its LaTeX without enclosing parentheses."""

    latex: str
    python: str
    kind: str  # sum, product, factor, one
    bare: str


def piece(latex: str, python: str, kind: str = "factor", bare: str = "") -> Piece:
    """A Piece whose ``bare`` defaults to its LaTeX."""
    return Piece(latex, python, kind, bare or latex)


def bold(part: Piece) -> str:
    """The LaTeX of a factor in a matrix product, where 1 is the vector of ones."""
    return ONES if part.kind == "one" else part.latex


def fenced(left: str, inside: str, right: str) -> str:
    """``inside`` in parentheses, which are stretched if it is tall."""
    tall = any(command in inside for command in (r"\frac", r"\sum", r"\prod", r"\bigoplus"))
    return rf"\left{left.strip()} {inside} \right{right.strip()}" if tall else left + inside + right


class Parser:
    """Recursive-descent parser of one formula; each method returns the Piece it has parsed."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.bars = text, 0, 0
        self.entries = True  # whether the formula is elementwise, so that it can be translated into Python
        self.tokens = [
            Token(m.lastgroup or "", m[m.lastgroup or 0], m[0][:1].isspace()) for m in TOKEN.finditer(text.strip())
        ]

    @property
    def next(self) -> Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else Token("end", "", False)

    def take(self, *signs: str) -> str:
        """Consume and return the next token if it is one of the signs; else return an empty string."""
        if self.next.text in signs:
            self.at += 1
            return self.tokens[self.at - 1].text
        return ""

    def whole(self) -> Piece:
        result = self.relation()
        if self.next.kind != "end":
            raise self.error()
        return result

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
        result = self.kronecker()
        if sign:
            result = piece("-" + result.latex, "-" + result.python, "negative")
        while sign := self.take("+", "−", "-"):
            b, sign = self.kronecker(), sign.replace("−", "-")
            result = piece(f"{result.latex} {sign} {b.latex}", f"{result.python} {sign} {b.python}", "sum")
        return result

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
        result = self.factor()
        while True:
            if self.take("/"):
                b = self.factor()
                result = piece(rf"\frac{{{result.bare}}}{{{b.bare}}}", f"{result.python}/{b.python}", "product")
            elif dot := self.take("·", "∗") or self.begins():
                b = self.factor()
                by = {"·": r" \cdot ", "∗": r" \ast "}.get(str(dot), " ")
                self.entries = self.entries and dot != "∗"
                result = piece(bold(result) + by + bold(b), f"{result.python}*{b.python}", "product")
            else:
                return result

    def begins(self) -> bool:
        """Whether the next token begins a factor."""
        kind, text, _ = self.next
        return (
            kind in ("number", "word", "name", "big")
            or text in ("(", "[", "⌊", "√", "∂")
            or (text == "|" and not self.bars)
        )

    def factor(self) -> Piece:
        result = self.atom()
        while self.next.kind == "raised" or self.next.text == "′":
            if self.take("′"):
                result = piece(result.latex + "'", "")
                self.entries = False
                continue
            raised = "".join(RAISED[c] for c in self.next.text)
            self.at += 1
            if "⊤" in raised:
                self.entries = False
            exponent = Parser(raised).whole()
            if raised == "⊤":
                result = piece(bold(result) + r"^{\top}", f"transposed({result.python})")
                continue
            python = f"{result.python}**{exponent.python if raised.isalnum() else f'({exponent.python})'}"
            result = piece(f"{result.latex}^{{{exponent.latex}}}", python)
        return result

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
        if text in FUNCTIONS or (text in ("σ", "Φ", "φ", "ψ") and self.next == ("sign", "(", False)):
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
        """An expression in parentheses, brackets or bars."""
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
        """A function applied to an expression in parentheses, or to the single factor after it."""
        if name in ("diag", "softmax", "vec"):
            self.entries = False
        tex = rf"\{name}" if name in UPRIGHT else rf"\{GREEK[name]}" if name in GREEK else rf"\operatorname{{{name}}}"
        if self.next.text == "(" and not self.next.spaced:
            self.at += 1
            inside = self.fence("(")
            return piece(tex + inside.latex, PYTHON.get(name, name) + inside.python)
        inside = self.factor()
        return piece(f"{tex} {inside.latex}", f"{PYTHON.get(name, name)}({inside.python})", "product")

    def lowered(self, base: Piece) -> Piece:
        """``base`` with the subscript that follows, if any."""
        if self.next.kind != "lowered":
            return base
        text = self.next.text
        self.at += 1
        if text.startswith("_{"):
            below = rf"_{{{indices(text[2:-1])}}}"
        else:
            below = text if text[0] == "_" else "_{" + "".join(LOWERED[c] for c in text).replace("−", "-") + "}"
        return piece(bold(base) + below, base.python + below.translate(str.maketrans("", "", "{}")))


def indices(text: str) -> str:
    """The LaTeX of a subscript, a sequence of indices."""
    for sign, (tex, _) in RELATIONS.items():
        text = text.replace(sign, f"{tex} " if tex[0] == "\\" else tex)
    return text.replace("′", "'").replace("−", "-")


@lru_cache(4096)
def _parsed(text: str) -> tuple[Piece, bool]:
    parser = Parser(text)
    return parser.whole(), parser.entries


def latex(text: str) -> str:
    """The formula ``text`` in LaTeX. Raises ValueError if it cannot be parsed."""
    return _parsed(text)[0].latex


def python(text: str) -> str:
    """The elementwise formula ``text`` in Python, with the names of NumPy and SciPy. Raises ValueError for others."""
    formula, entries = _parsed(text)
    if not entries:
        raise ValueError(f"notation: got {text!r}; wanted an elementwise formula, without matrices")
    return formula.python


def constant(text: str) -> bool:
    """Whether the formula contains no variable, only numbers and π."""
    return not re.search(r"[^\W\dπ_]", text.replace("log", ""))


def names(text: str) -> set[str]:
    """The names in the formula ``text``: letters and words, also with their subscripts, indices, and [ ] for brackets."""
    names, base = {"[ ]"} if "[" in text else set[str](), ""
    for token in TOKEN.finditer(text):
        kind, part = token.lastgroup, token[token.lastgroup or 0]
        if kind in ("name", "word", "big"):
            base = part
            names.add(part)
        elif kind == "lowered":
            names.add(base + part)
            names |= set(re.findall("[A-Za-z]", "".join(LOWERED.get(c, c) for c in part)))
        elif kind == "raised":
            names |= {RAISED[c] for c in part if RAISED[c].isalpha()}
    return names


# --- composition of formulas -----------------------------------------------------------------------------


def factor(text: str) -> str:
    """``text``, in parentheses unless it is a single factor."""
    return text if _parsed(text)[0].kind in ("factor", "one") else f"({text})"


def term(text: str) -> str:
    """``text``, in parentheses if it is a sum, is negated, or contains ⊗."""
    return f"({text})" if _parsed(text)[0].kind in ("sum", "negative", "kronecker") else text


def scaled(coefficient: str, matrix: str) -> str:
    """A number times a matrix."""
    return {"1": matrix, "−1": f"−{matrix}"}.get(coefficient, f"{factor(coefficient)} {matrix}")


def times(a: str, b: str) -> str:
    """The product of two matrices, without factors I."""
    return b if a == "I" else a if b == "I" else f"{term(a)} {factor(b)}"


def transposed(text: str, numbers: str = "nN") -> str:
    """The transpose of a vector; scalar factors and divisors, digits and the letters ``numbers``, stay outside."""
    if _parsed(text)[0].kind == "sum":
        return f"({text})ᵀ"
    number, vector, divisor = re.fullmatch(
        rf"(−?(?:\d+ )?)(.*?)((?:/(?:[{numbers}\d]|\([{numbers}\d −()]+\)))?)", text
    ).groups()  # type: ignore[union-attr]
    return f"{number}{factor(vector)}ᵀ{divisor}" if vector not in ("", "1") else f"{number}1ᵀ{divisor}"


def over(text: str, divisor: str) -> str:
    """``text`` divided by ``divisor``."""
    loose = _parsed(text)[0].kind in ("sum", "kronecker")
    return f"({text})/{factor(divisor)}" if loose else f"{text}/{factor(divisor)}"


def numbered(name: str, i: int) -> str:
    """The name with the subscript i."""
    return name + str(i).translate(SUBSCRIPTS)


MERGED = ("I", "1", "1ᵀ", "1 1ᵀ")  # adjacent Kronecker factors that are equal merge into a single larger one


def kronecker(sides: Iterable[tuple[str, int]]) -> str:
    """The Kronecker product of a matrix for each axis, given with the size of the axis; axes of size 1 are left out."""
    kept = [name for name, side in sides if side != 1 or name not in MERGED]
    parts = [name for name, same in groupby(kept) for name in ([name] if name in MERGED else same)]
    return " ⊗ ".join(parts) or "I"


def stretching(small: tuple[int, ...], large: tuple[int, ...]) -> str:
    """The matrix that broadcasts an array of shape ``small`` to ``large``."""
    small = (1,) * (len(large) - len(small)) + small
    return kronecker(("I" if n == m else "1", m) for n, m in zip(small, large, strict=True))
