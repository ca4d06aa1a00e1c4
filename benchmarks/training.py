"""Training steps: forward, cross-entropy, backward and SGD, float32, against PyTorch in its faster layout; scores alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.networks import NETWORKS, contenders, replayed, replayed_forward
from benchmarks.timing import OURS, Contender, Row, compare

BATCHES = 1, 32  # of images whose scores are computed


def rows(repeats: int) -> Iterator[Row]:
    """A step of each network, recorded and replayed, and its scores for one image and for several."""
    for name, network in NETWORKS.items():
        yield from both(name, (1, 0.75), repeats, contenders(network), partial(replayed, network))
    for name, network in NETWORKS.items():
        for n in BATCHES:
            some = network._replace(shape=(n, *network.shape[1:]))
            title = f"{name.rpartition(', batch')[0]}, batch {n}, scores only"
            yield from both(
                title, (0.9, 0.9), repeats, contenders(some, training=False), partial(replayed_forward, some)
            )


def both(
    title: str, wanted: tuple[float, float], repeats: int, others: dict[str, Contender], again: Contender
) -> Iterator[Row]:
    """A row for ours as it is recorded, and one for ours replayed, of one run."""
    row = compare(title, wanted[0], repeats, others | {"replayed": again})
    samples = dict(row.samples)
    times = samples.pop("replayed")
    yield Row(title, wanted[0], samples, row.missing)
    yield Row(f"{title}, replayed", wanted[1], samples | {OURS: times}, row.missing)
