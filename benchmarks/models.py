"""Every model at full resolution: seconds and peak memory of one forward and backward walk of one image, float32."""

from __future__ import annotations

from collections.abc import Iterator

import minigraph as mg
from benchmarks.timing import python
from minigraph import models
from minigraph.text import table

CODE = """
import re, sys, time, numpy as np, minigraph as mg
model = mg.models.build({name!r}, rng=0)
model.eval()
rng = np.random.default_rng(0)
x = rng.standard_normal((1, *model.image), dtype=np.float32)
def step():
    start = time.perf_counter()
    y = model(mg.constant(x))
    middle = time.perf_counter()
    mg.cross_entropy(y, [1]).backward()
    return middle - start, time.perf_counter() - middle
step()
times = [step() for _ in range({repeats})]
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(*np.median(times, axis=0), peak)
"""


def lines(repeats: int) -> Iterator[str]:
    """The table of all models; inference mode, so that one image is enough for batch normalisation."""
    rows = []
    for name in models.names():
        totals = mg.summary(models.build(name)).totals
        forward, backward, peak = map(float, python(CODE.format(name=name, repeats=repeats)).split())
        counts = f"{totals.parameters:,}", f"{totals.multiply_adds:,}"
        rows.append((name, *counts, f"{forward:.3f}", f"{backward:.3f}", f"{peak:.0f}"))
    yield table(("model", "parameters", "multiply-adds", "forward, s", "backward, s", "peak, MB"), rows, range(1, 6))
