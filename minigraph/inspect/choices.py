"""``mg.chosen_kernels``: which kernel computes what."""

from __future__ import annotations

from typing import NamedTuple

from minigraph.kernels import tasks
from minigraph.kernels.registry import Task
from minigraph.text import readable, table


class Choice(NamedTuple):
    """A kernel of a task, and the number of problems, of shapes and geometries, for which it is the one chosen."""

    task: str
    kernel: str
    problems: int


class Choices(list[Choice]):
    """The choices; prints as a table."""

    def __str__(self) -> str:
        rows = [(c.task, c.kernel, str(c.problems)) for c in self]
        return readable(table(("task", "kernel", "problems"), rows, right=(2,)) if rows else "nothing was chosen yet")


def chosen_kernels() -> Choices:
    """The kernels chosen so far, for the tasks that have several."""
    chosen = [task for task in vars(tasks).values() if isinstance(task, Task)]
    return Choices(Choice(task.name, name, n) for task in chosen for name, n in task.choices().items())
