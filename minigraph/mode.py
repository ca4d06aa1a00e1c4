"""Mode: what holds while nodes are recorded, for each thread and context its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any


@dataclass(frozen=True, slots=True)
class Mode:
    """What holds while nodes are recorded."""

    scope: str = ""
    grad: bool = True
    anomaly: bool = False
    replaying: bool = False  # a checkpoint runs its function again: running statistics have moved already
    tracing: bool = False  # a transform runs its function here: a float that leaves the graph would lose its derivative
    outer: Mode | None = field(default=None, repr=False, compare=False)  # what holds again after the ``with``


MODE: ContextVar[Mode] = ContextVar("minigraph_mode", default=Mode())
VARIABLES: set[Any] = set()  # the nodes that transforms at work differentiate by, in all threads


class Change(ContextDecorator):
    """What ``with`` and decorators change of the mode; one object serves any number of times, nested and in any thread."""

    def __init__(self, change: Callable[[Mode], Mode]) -> None:
        self.change = change

    def __enter__(self) -> None:
        mode = MODE.get()
        MODE.set(replace(self.change(mode), outer=mode))

    def __exit__(self, *error: object) -> None:
        MODE.set(MODE.get().outer or Mode())

    def __call__(self, function: Any) -> Any:
        """``function`` with the change in force while it runs, or while the coroutine that it gives does.

        Raises TypeError for classes and generators, whose code runs later and beside the caller's.
        """
        if (
            not callable(function)
            or isinstance(function, type)
            or isgeneratorfunction(function)
            or isasyncgenfunction(function)
        ):
            raise TypeError(
                f"a mode as a decorator: got {function!r}; wanted a function, or a ``with`` inside the function"
            )
        if not iscoroutinefunction(function):
            return super().__call__(function)

        @wraps(function)
        async def changed(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return changed


def _mode(**changes: Any) -> Change:
    return Change(lambda mode: replace(mode, **changes))


def scope(name: str) -> Any:
    """Group the nodes recorded inside under ``name`` in diagrams and tables; scopes nest as ``outer/inner``.

    Raises TypeError for a name that is no string.
    """
    if not isinstance(name, str):
        raise TypeError(f"scope: got {name!r} as the name; wanted a string")
    return Change(lambda mode: replace(mode, scope=f"{mode.scope}/{name}" if mode.scope else name))


def enable_grad() -> Any:
    """Record inside, even within ``no_grad``."""
    return _mode(grad=True)


def no_grad() -> Any:
    """Compute without recording: inside, ops called with Nodes return plain arrays."""
    return _mode(grad=False)


def detect_anomaly() -> Any:
    """Stop at the first node whose value has a NaN or an infinity.

    Raises FloatingPointError naming the node, the entry, the inputs and the line that built it.
    """
    return _mode(anomaly=True)


def replaying() -> Any:
    """Run again what has run before, so that what moves with every call must not move once more."""
    return _mode(replaying=True)


@contextmanager
def tracing(variables: Iterable[Any]) -> Iterator[None]:
    """The mode in which a transform by ``variables`` runs its function: record, and refuse to convert nodes to floats."""
    added = frozenset(variables)
    VARIABLES.update(added)
    try:
        with _mode(grad=True, tracing=True):
            yield
    finally:
        VARIABLES.difference_update(added)
