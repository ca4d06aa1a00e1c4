"""The registry of kernels: which kernels compute a task, and which one is chosen for a problem.

A problem is everything that the choice depends on: shapes, dtype, geometry. "auto" chooses the kernel with the lowest
estimated cost among those that support the problem, or after ``autotune()`` the one that was measured to be fastest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

PRECISIONS = ("fast", "strict")
STRICT_ERROR = 2e-5  # the most that "strict" allows, in float32
SEQUENTIAL_ERROR = 1.2e-4  # of sums in single precision of up to 8192 terms, one after another
FLOAT64_ERROR = 1e-6  # an error in float64 as a fraction of that in float32
AUTOTUNE_RANGE = 8  # autotune does not try kernels whose estimate is more than this many times the lowest
_precision = "fast"
_tuned: dict[Any, Kernel] | None = None


def everywhere(problem: Any) -> bool:
    """The default of ``supports``: any problem."""
    return True


def always(problem: Any, *arguments: Any) -> bool:
    """The default of ``safe``: any data."""
    return True


def never(problem: Any) -> float:
    """The default of ``cost``: never chosen by "auto"."""
    return inf


@dataclass(frozen=True, eq=False)
class Kernel:
    """An implementation of a task: ``run`` takes the task's arguments, plain arrays and settings, and returns a new array.

    ``supports`` tells which problems the kernel can compute; ``limits`` describes them in words. ``cost`` estimates the
    seconds on one core. If the accuracy depends on the data, ``safe(problem, *arguments)`` inspects them before "auto"
    chooses the kernel.

    The error of an entry of the result is at most ``error`` times the sum of the magnitudes of its terms, for a convolution
    Σ |x| |w|. ``error`` is given for float32; in float64 it is FLOAT64_ERROR times as large. With ``tiles``, each |x| and
    |y| is replaced by the maximum of its tile of that many pixels per side, each |w| by the maximum of its plane.
    ``plane_error`` times Σ ‖x‖ ‖w‖ over whole planes is added, in any dtype.
    """

    name: str
    run: Callable[..., Any]
    supports: Callable[[Any], bool] = everywhere
    limits: str = "any geometry"
    cost: Callable[[Any], float] = never
    error: float = STRICT_ERROR
    tiles: int = 0
    plane_error: float = 0.0
    safe: Callable[..., bool] = always

    @property
    def automatic(self) -> bool:
        """Whether "auto" may take it."""
        return self.cost is not never

    @property
    def strict(self) -> bool:
        """Whether the error of each entry depends only on its own terms, and is small beside them."""
        return not (self.tiles or self.plane_error) and self.error <= STRICT_ERROR


class Saved(NamedTuple):
    """What a kernel saves for its gradient in a format of its own: the gradient must then use the same kernel."""

    kernel: str
    value: Any


class Task:
    """A computation with its kernels; calling it runs the best kernel.

    ``problem`` maps the arguments to the hashable problem for which a kernel is chosen. It is not called while the task has
    a single kernel.
    """

    def __init__(self, name: str, problem: Callable[..., Any]) -> None:
        self.name, self.problem = name, problem
        self.kernels: dict[str, Kernel] = {}
        self._only: Callable[..., Any] | None = None
        self._ranked: dict[Any, list[tuple[Kernel, float]]] = {}
        self._chosen: dict[Any, str] = {}

    def register(self, name: str, run: Callable[..., Any], **facts: Any) -> None:
        """Add a kernel; ``facts`` are the other fields of Kernel."""
        self.kernels[name] = Kernel(name, run, **facts)
        self._only = run if len(self.kernels) == 1 else None
        self._ranked.clear()

    def __call__(self, *arguments: Any, algorithm: str = "auto") -> Any:
        if type(arguments[-1]) is Saved:
            return self.kernels[arguments[-1].kernel].run(*arguments)
        if self._only is not None:
            return self._only(*arguments)
        return self.kernel(algorithm, *arguments).run(*arguments)

    def kernel(self, algorithm: str, *arguments: Any) -> Kernel:
        """The kernel with that name, or for "auto" the best one for these arguments."""
        if algorithm != "auto":
            return self.kernels[algorithm]
        problem = self.problem(*arguments)
        ranked = self._ranked.get((problem, _precision)) or self._rank(problem)
        fit = (pair for pair in ranked if pair[0].safe(problem, *arguments))
        cheapest, least = next(fit)
        tuned = _tuned
        if tuned is None:
            self._chosen[problem] = cheapest.name
            return cheapest
        near = cheapest, *(other for other, cost in fit if cost <= AUTOTUNE_RANGE * least)
        key = problem, near
        if key not in tuned:
            tuned[key] = min(near, key=lambda k: _seconds(k, arguments)) if len(near) > 1 else cheapest
        self._chosen[problem] = tuned[key].name
        return tuned[key]

    def choices(self) -> dict[str, int]:
        """The kernels chosen so far, each with the number of problems for which it was the last one chosen."""
        return Counter(self._chosen.copy().values())

    def _rank(self, problem: Any) -> list[tuple[Kernel, float]]:
        """The kernels that support the problem with their costs, cheapest first; only strict ones for "strict"."""
        strict = _precision == "strict"
        fit = [k for k in self.kernels.values() if k.supports(problem) and (k.strict or not strict)]
        costs = [(kernel, kernel.cost(problem)) for kernel in fit]
        ranked = sorted((pair for pair in costs if pair[1] < inf), key=lambda pair: pair[1])
        if len(self._ranked) >= 4096:
            self._ranked.clear()
            self._chosen.clear()
        self._ranked[problem, _precision] = ranked
        return ranked


def _seconds(kernel: Kernel, arguments: tuple[Any, ...]) -> float:
    """The time of one call after a warm-up call."""
    kernel.run(*arguments)
    start = time.perf_counter()
    kernel.run(*arguments)
    return time.perf_counter() - start


def precision(name: str | None = None) -> str:
    """The accuracy of "auto", "fast" or "strict"; with ``name``, set it.

    "strict" allows only algorithms whose error in each entry is small relative to Σ |x| |w| of that entry. It excludes
    Winograd and FFT, in which large entries cause errors in small ones nearby or in the same plane, and oneDNN, which adds
    long sums term after term. "fast" allows Winograd in float32, with errors of about 1e-5 of the largest entries nearby,
    FFT if the range of the data is small, and oneDNN.
    Raises ValueError for another name.
    """
    global _precision
    if name is not None:
        if not isinstance(name, str) or name not in PRECISIONS:
            raise ValueError(f"precision: got {name!r}; wanted one of {', '.join(PRECISIONS)}")
        _precision = name
    return _precision


def autotune(on: bool = True) -> None:
    """Let "auto" measure the algorithms at the first convolution of each shape, and use the fastest from then on.

    Algorithms whose estimate is at most eight times the lowest are measured, with two calls for each new shape and slot,
    once per process. ``autotune(False)`` returns to estimates. The fastest algorithm may differ between runs, and with it
    the rounding. Raises TypeError unless ``on`` is a bool.
    """
    global _tuned
    if not isinstance(on, bool):
        raise TypeError(f"autotune: got {on!r}; wanted True or False")
    _tuned = (_tuned or {}) if on else None
