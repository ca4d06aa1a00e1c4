"""Text for output encodings without Unicode, and tables."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

SIGNS = {
    "∂": "d", "×": "x", "→": "->", "↦": "->", "…": "...", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "ᵀ": "^T", "−": "-",
    "·": "*", "′": "'", "∞": "inf", "‖": "||", "∥": "||", "²": "^2", "³": "^3", "½": "1/2", "⟨": "<", "⟩": ">", "Σ": "sum",
    "√": "sqrt", "∈": "in", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "µ": "u", "μ": "mu", "λ": "lambda",
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "θ": "theta", "π": "pi",
    "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "ω": "omega", "Δ": "Delta", "Ω": "Omega",
}  # fmt: skip
HANDLER = "minigraph.signs"  # the name of the error handler, for ``errors=`` of text files


def readable(text: str) -> str:
    """``text`` with the characters that stdout cannot encode replaced."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, HANDLER).decode(encoding)
    except LookupError:  # the stream has an encoding that Python does not know
        pass
    return text


def readable_repr(cls: type[T]) -> type[T]:
    """Class decorator that makes the ``repr`` of a class readable on every stdout."""
    written = cls.__repr__
    cls.__repr__ = lambda self: readable(written(self))  # type: ignore[method-assign]
    return cls


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows under a header, in aligned columns; the columns in ``right`` are right-aligned."""
    cells = [[readable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(width(row[i]) for row in cells) for i in range(len(head))]
    lines = []
    for row in cells:
        spaces = [" " * (w - width(cell)) for cell, w in zip(row, widths, strict=True)]
        filled = (s + c if i in right else c + s for i, (c, s) in enumerate(zip(row, spaces, strict=True)))
        lines.append("  ".join(filled).rstrip())
    return "\n".join(lines)


def width(text: str) -> int:
    """The number of columns that ``text`` takes in a terminal: combining accents take none."""
    return len(text) - sum(map(bool, map(unicodedata.combining, text)))


def _signs(error: UnicodeError) -> tuple[str, int]:
    """Error handler: the characters that cannot be encoded as ASCII signs, letters without accents, or escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_sign, error.object[error.start : error.end])), error.end


def _sign(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return SIGNS.get(character) or plain or character.encode("ascii", "backslashreplace").decode()


codecs.register_error(HANDLER, _signs)
