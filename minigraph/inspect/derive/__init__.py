"""The chain rule read off a graph: ``derive(y, x)``."""

from __future__ import annotations

from minigraph.inspect.derive.derivation import Derivation, Step, derive

__all__ = ["Derivation", "Step", "derive"]
