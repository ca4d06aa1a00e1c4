"""Mode: the settings in force while nodes are recorded. Each thread and context has its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, NamedTuple


class Effects:
    """What a function does besides recording nodes, noted while ``mg.compile`` runs it, to be done again at each replay.

    ``before`` an op computes, such as drawing a new mask, and ``after`` it, such as moving running statistics towards the
    moments that its kernel has saved. ``refused`` tells what cannot be replayed.
    """

    def __init__(self) -> None:
        self.before: dict[Any, Callable[[], None]] = {}
        self.after: dict[Any, list[Callable[[Any], None]]] = {}
        self.refused: list[str] = []


class Mode(NamedTuple):
    """The settings in force while nodes are recorded."""

    scope: str = ""
    grad: bool = True
    anomaly: bool = False
    recomputing: bool = False  # a checkpoint runs its function again; running statistics must not be updated twice
    tracing: bool = False  # a transform runs its function; a float that leaves the graph would lose its derivative
    effects: Effects | None = None  # mg.compile runs the function that it will replay
    outer: Any = None  # the mode restored after the ``with``


MODE: ContextVar[Mode] = ContextVar("minigraph_mode", default=Mode())


class Configuration:
    """How the modules are set up; ``version`` changes with every attribute of any of them."""

    version = 0


VARIABLES: set[Any] = set()  # the nodes that running transforms differentiate with respect to, in all threads


class Change(ContextDecorator):
    """A change of the mode, as a context manager or decorator; reusable, nested and in any thread."""

    def __init__(self, change: Callable[[Mode], Mode]) -> None:
        self.change = change

    def __enter__(self) -> None:
        mode = MODE.get()
        MODE.set(self.change(mode)._replace(outer=mode))

    def __exit__(self, *error: object) -> None:
        MODE.set(MODE.get().outer or Mode())

    def __call__(self, function: Any) -> Any:
        """``function`` with the change in force while it, or the coroutine it returns, runs.

        Raises TypeError for classes and generators: a generator's code is interleaved with its caller's.
        """
        if (
            not callable(function)
            or isinstance(function, type)
            or isgeneratorfunction(function)
            or isasyncgenfunction(function)
        ):
            raise TypeError(
                f"a mode as a decorator: got {function!r}; wanted a function; in a generator or class use ``with``"
            )
        if not iscoroutinefunction(function):
            return super().__call__(function)

        @wraps(function)
        async def changed(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return changed


def _mode(**changes: Any) -> Change:
    return Change(lambda mode: mode._replace(**changes))


def refuse_replay(why: str) -> None:
    """Note that the function that is being recorded cannot be replayed: it draws random numbers, reads values …"""
    effects = MODE.get().effects
    if effects is not None:
        effects.refused.append(why)


def recording(effects: Effects) -> Any:
    """For a function that is to be replayed: nodes are recorded, and effects noted."""
    return _mode(grad=True, effects=effects)


def replayed() -> Any:
    """For code whose effects are noted elsewhere, or that has none."""
    return _mode(effects=None)


def scope(name: str) -> Any:
    """Group the nodes recorded inside under ``name`` in diagrams and tables; scopes nest as ``outer/inner``.

    Raises TypeError if the name is not a string.
    """
    if not isinstance(name, str):
        raise TypeError(f"scope: got {name!r} as the name; wanted a string")
    return Change(lambda mode: mode._replace(scope=f"{mode.scope}/{name}" if mode.scope else name))


def enable_grad() -> Any:
    """Record nodes inside, even within ``no_grad``."""
    return _mode(grad=True)


def no_grad() -> Any:
    """Compute without recording: ops called with Nodes return plain arrays."""
    return _mode(grad=False)


def detect_anomaly() -> Any:
    """Stop at the first node whose value or cotangent has a NaN or an infinity.

    Raises FloatingPointError naming the node, the entry, the inputs and the line that built the node.
    """
    return _mode(anomaly=True)


def recomputing() -> Any:
    """For code that runs a second time only to recompute values: running statistics and random state stay as they are."""
    return _mode(recomputing=True)


@contextmanager
def tracing(variables: Iterable[Any]) -> Iterator[None]:
    """The mode in which a transform runs its function: nodes are recorded, and converting them to floats is refused."""
    added = frozenset(variables)
    VARIABLES.update(added)
    try:
        with _mode(grad=True, tracing=True):
            yield
    finally:
        VARIABLES.difference_update(added)
