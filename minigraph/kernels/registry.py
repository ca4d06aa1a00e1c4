"""The registry: which kernels compute a task, and which of them computes a given problem.

A problem is what a choice depends on: shapes, dtype, geometry. "auto" takes the kernel with the least estimated cost
among those that support the problem, or after ``autotune()`` the one that was fastest when tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

PRECISIONS = ("fast", "strict")
FLOAT64_ERROR = 1e-6  # an error in float64 as a fraction of that in float32
AUTOTUNE_RANGE = 8  # times the least estimate: autotune does not try kernels beyond it
_precision = "fast"
_tuned: dict[Any, Kernel] | None = None


def everywhere(problem: Any) -> bool:
    """Any problem."""
    return True


def always(problem: Any, *arguments: Any) -> bool:
    """With any data."""
    return True


def never(problem: Any) -> float:
    """Not to be chosen by "auto"."""
    return inf


@dataclass(frozen=True, eq=False)
class Kernel:
    """One way to compute a task: ``run`` takes the task's arguments, plain arrays and settings, and gives a new array.

    ``supports`` says which problems a kernel can compute, ``limits`` says it in words. ``cost`` estimates
    the seconds of a core. ``safe(problem, *arguments)`` looks at the data, where the accuracy depends on them, before
    "auto" takes the kernel.

    The error of an entry of the result is at most ``error`` times the sum of the magnitudes that it is made of, for a
    convolution Σ |x| |w|; ``error`` is that of float32, in float64 it is FLOAT64_ERROR times as large. With ``tiles`` each |x| and
    |y| stands for the largest of its tile of so many pixels a side, each |w| for the largest of its plane. ``plane_error``,
    in any dtype, comes on top, times Σ ‖x‖ ‖w‖ over whole planes.
    """

    name: str
    run: Callable[..., Any]
    supports: Callable[[Any], bool] = everywhere
    limits: str = "any geometry"
    cost: Callable[[Any], float] = never
    error: float = 2e-5
    tiles: int = 0
    plane_error: float = 0.0
    safe: Callable[..., bool] = always

    @property
    def automatic(self) -> bool:
        """Whether "auto" may take it."""
        return self.cost is not never

    @property
    def entrywise(self) -> bool:
        """Whether no entry of the result has errors that come from others than it is made of."""
        return not (self.tiles or self.plane_error)


class Saved(NamedTuple):
    """What a kernel keeps for its gradient, if no other kernel can read it: the gradient is then computed by the same."""

    kernel: str
    value: Any


class Task:
    """Something to compute, and the kernels that do it. A call computes it with the best of them.

    ``problem`` makes of the arguments the hashable problem by which kernels are chosen; while there is one kernel only,
    it is not asked.
    """

    def __init__(self, name: str, problem: Callable[..., Any]) -> None:
        self.name, self.problem = name, problem
        self.kernels: dict[str, Kernel] = {}
        self._only: Callable[..., Any] | None = None
        self._ranked: dict[Any, list[tuple[Kernel, float]]] = {}

    def register(self, name: str, run: Callable[..., Any], **facts: Any) -> None:
        """Enter a kernel; ``facts`` are the other fields of Kernel."""
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
        """The kernel of that name, or for "auto" the best one for these arguments."""
        if algorithm != "auto":
            return self.kernels[algorithm]
        problem = self.problem(*arguments)
        ranked = self._ranked.get((problem, _precision)) or self._rank(problem)
        fit = (pair for pair in ranked if pair[0].safe(problem, *arguments))
        cheapest, least = next(fit)
        tuned = _tuned
        if tuned is None:
            return cheapest
        near = cheapest, *(other for other, cost in fit if cost <= AUTOTUNE_RANGE * least)
        key = problem, near
        if key not in tuned:
            tuned[key] = min(near, key=lambda k: _seconds(k, arguments)) if len(near) > 1 else cheapest
        return tuned[key]

    def _rank(self, problem: Any) -> list[tuple[Kernel, float]]:
        """The kernels that support the problem with their costs, the cheapest first; only entrywise ones for "strict"."""
        strict = _precision == "strict"
        fit = [k for k in self.kernels.values() if k.supports(problem) and (k.entrywise or not strict)]
        costs = [(kernel, kernel.cost(problem)) for kernel in fit]
        ranked = sorted((pair for pair in costs if pair[1] < inf), key=lambda pair: pair[1])
        if len(self._ranked) >= 4096:
            self._ranked.clear()
        self._ranked[problem, _precision] = ranked
        return ranked


def _seconds(kernel: Kernel, arguments: tuple[Any, ...]) -> float:
    """The time of a second call."""
    kernel.run(*arguments)
    start = time.perf_counter()
    kernel.run(*arguments)
    return time.perf_counter() - start


def precision(name: str | None = None) -> str:
    """How exact "auto" is, "fast" or "strict"; with ``name``, from now on.

    "strict" takes only algorithms whose error in an entry is small beside Σ |x| |w| of that entry. It keeps out Winograd's
    and Fourier transforms, where large entries blur small ones near them, or in their plane. "fast" takes Winograd's in
    float32, whose errors are about 1e-5 of the largest in reach, and Fourier transforms where the data's range is small.
    Raises ValueError for another name.
    """
    global _precision
    if name is not None:
        if not isinstance(name, str) or name not in PRECISIONS:
            raise ValueError(f"precision: got {name!r}; wanted one of {', '.join(PRECISIONS)}")
        _precision = name
    return _precision


def autotune(on: bool = True) -> None:
    """Let "auto" try the algorithms when it meets a convolution first, and keep to the fastest.

    It tries all whose estimate is at most eight times the least, with two calls for each new shape and slot, once in a
    process. Estimates decide again after ``autotune(False)``. What is fastest may differ from run to run, and with it
    the rounding. Raises TypeError for what is no bool.
    """
    global _tuned
    if not isinstance(on, bool):
        raise TypeError(f"autotune: got {on!r}; wanted True or False")
    _tuned = (_tuned or {}) if on else None
