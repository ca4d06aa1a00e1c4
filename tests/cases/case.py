"""A sample call of an op, and the functions that make them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FUNCTIONS = {}  # for each op class, a function of a random generator that yields its cases


@dataclass(frozen=True)
class Case:
    """A sample call of an op.

    ``expect``: what an implementation other than the op's own says the value is.
    ``bad``: inputs that must raise ShapeError, with ``match`` in its message.
    """

    op: Callable[..., Any]
    inputs: tuple[Any, ...]
    expect: Any
    bad: tuple[Any, ...] | None = None
    match: str = ""


def cases_of(cls):
    """A decorator: the function yields the cases of this op class, drawing from the random generator it is given."""

    def enter(function):
        FUNCTIONS[cls] = function
        return function

    return enter
