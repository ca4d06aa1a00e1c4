"""Training steps: forward, cross-entropy, backward and SGD, float32, against PyTorch in its faster layout; scores alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.networks import NETWORKS, contenders, replayed
from benchmarks.timing import OURS, Row, compare

BATCHES = 1, 32  # of images whose scores are computed


def rows(repeats: int) -> Iterator[Row]:
    """A step of each network, recorded and replayed, and its scores for one image and for several."""
    for name, network in NETWORKS.items():
        both = contenders(network) | {"minigraph, replayed": partial(replayed, network)}
        row = compare(name, 1, repeats, both)
        samples = dict(row.samples)
        again = samples.pop("minigraph, replayed")
        yield Row(name, 1, samples, row.missing)
        yield Row(f"{name}, replayed", 0.75, samples | {OURS: again}, row.missing)
    for name, network in NETWORKS.items():
        for n in BATCHES:
            some = network._replace(shape=(n, *network.shape[1:]))
            title = f"{name.rpartition(', batch')[0]}, batch {n}, scores only"
            yield compare(title, 0.9, repeats, contenders(some, training=False))
