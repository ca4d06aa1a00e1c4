"""Mode: what holds while nodes are recorded, for each thread and context its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Mode:
    """What holds while nodes are recorded."""

    scope: str = ""
    grad: bool = True
    anomaly: bool = False
    replaying: bool = False  # a checkpoint runs its function again: running statistics have moved already
    tracing: frozenset[Any] = frozenset()  # the nodes that transforms at work differentiate by


MODE: ContextVar[Mode] = ContextVar("minigraph_mode", default=Mode())


@contextmanager
def _mode(**changes: Any) -> Iterator[None]:
    token = MODE.set(replace(MODE.get(), **changes))
    try:
        yield
    finally:
        MODE.reset(token)


def scope(name: str) -> Any:
    """Group the nodes recorded inside under ``name`` in diagrams and tables; scopes nest as ``outer/inner``."""
    outer = MODE.get().scope
    return _mode(scope=f"{outer}/{name}" if outer else name)


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


def tracing(variables: Iterable[Any]) -> Any:
    """Record inside, and refuse to let go of floats: what a transform by ``variables`` runs its function in."""
    return _mode(grad=True, tracing=MODE.get().tracing.union(variables))
