"""Peak memory of training steps, each in a process of its own, against PyTorch in its smaller layout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.networks import NETWORKS, Network, contenders
from benchmarks.timing import PEERS, Row, python
from minigraph import nn

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
TINY = Network(lambda: nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(4, 10)), (2, 1, 2, 2))
CODE = "import sys; from benchmarks.memory import peak; print(peak(*sys.argv[1:]))"


def rows(repeats: int) -> Iterator[Row | str]:
    """A row for each network; repeats would give the same."""
    if not STATUS.exists():
        yield "peak memory is not measured: it is read from /proc"
        return
    for name, network in NETWORKS.items():
        samples, missing = {}, set()
        for contender in contenders(network):
            found = python(CODE, name, contender).strip()
            if found in PEERS:
                missing.add(found)
            else:
                samples[contender] = [float(found)]
        yield Row(name, 1, samples, tuple(missing), "B")


def peak(name: str, contender: str) -> int | str:
    """Bytes that steps take at their peak beyond what the process held before the model; or the missing package."""
    try:
        tiny = contenders(TINY)[contender]()
    except ModuleNotFoundError as error:
        return str(error.name).partition(".")[0]
    tiny()  # loads whatever a step loads
    before = resident("RSS")
    step = contenders(NETWORKS[name], values=False)[contender]()
    CLEAR.write_text("5")  # forget the peak of making it
    for _ in range(2):  # the first makes the momentum
        step()
    return resident("HWM") - before


def resident(kind: str) -> int:
    """Bytes of this process in memory: now (RSS), or at most (HWM)."""
    found = re.search(rf"Vm{kind}:\s+(\d+)", STATUS.read_text())
    assert found
    return 1024 * int(found[1])
