"""Checks of arguments. Each error names the function, what it got and what it wanted."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from math import inf
from numbers import Integral
from typing import Any

import numpy as np

from minigraph.node import Node


def expect_node(function: str, y: Any, wanted: str = "; wanted a Node") -> None:
    """Raise TypeError unless ``y`` is a Node; for a model the message says how to get one."""
    if isinstance(y, Node):
        return
    got = type(y).__name__
    if callable(y):
        raise TypeError(
            f"{function}: got {got}{wanted}; call it first: {function}(model(x)) with a Node x, or a Spec for "
            "the shapes alone"
        )
    raise TypeError(f"{function}: got {got}{wanted}; arrays are computed without a record")


def expect_integer(function: str, least: int, most: int | None = None, **given: Any) -> None:
    """Raise TypeError unless all of ``given`` are integers, ValueError if one is below ``least`` or above ``most``."""
    for name, value in given.items():
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
            raise TypeError(f"{function}: got {name} {value!r}; wanted an integer")
        if value < least:
            raise ValueError(f"{function}: got {name} {value}; wanted at least {least}")
        if most is not None and int(value) > most:
            raise ValueError(f"{function}: got {name} {value}; wanted at most {most}")


def expect_positive(function: str, zero: bool = False, **given: Any) -> None:
    """Raise TypeError unless all of ``given`` are numbers, ValueError unless finite and above 0 (at least 0 if ``zero``)."""
    for name, value in given.items():
        expect_number(function, **{name: value})
        if not (0 < value < inf or (zero and value == 0)):
            wanted = "of at least 0" if zero else "above 0"
            raise ValueError(f"{function}: got {name} {value!r}; wanted a finite number {wanted}")


def expect_flags(function: str, **given: Any) -> None:
    """Raise TypeError unless all of ``given`` are True or False."""
    for name, value in given.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{function}: got {name} {value!r}; wanted True or False")


def expect_choice(function: str, choices: tuple[str | None, ...], **given: Any) -> None:
    """Raise TypeError unless all of ``given`` are strings or None, ValueError unless they are among the ``choices``."""
    for name, value in given.items():
        if value is not None and not isinstance(value, str) or value not in choices:
            wanted = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
            raise (ValueError if value is None or isinstance(value, str) else TypeError)(
                f"{function}: got {name} {value!r}; wanted {wanted}"
            )


def known(what: str, name: str, names: Iterable[str], error: type[Exception] = ValueError) -> str:
    """``name``, if it is one of the names. Raises ``error`` naming one that is close, or all."""
    names = list(names)
    if name not in names:
        close = get_close_matches(str(name), names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"wanted one of {', '.join(names)}"
        raise error(f"got {what} {name!r}; {hint}")
    return name


def expect_plain(function: object, **given: Any) -> None:
    """Raise TypeError if one of ``given``, settings that are not differentiated, is a Node."""
    for name, value in given.items():
        if isinstance(value, Node):
            raise TypeError(
                f"{function}: got {value.label} as {name}; wanted a plain array, since {name} is not differentiated"
            )


def expect_number(function: object, **given: Any) -> None:
    """Raise TypeError unless all of ``given`` are numbers, ValueError for integers that no array dtype holds."""
    for name, value in given.items():
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{function}: got {name} {value!r}; wanted a number")
        if isinstance(value, int) and abs(value) >= 1 << 63:
            raise ValueError(f"{function}: got {name} {value!r}; wanted a number within the range of int64")
