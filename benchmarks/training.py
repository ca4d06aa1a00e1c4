"""Training steps: forward, cross-entropy, backward and SGD, float32, against PyTorch in its faster layout."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.networks import NETWORKS, VGG, contenders
from benchmarks.timing import Row, compare


def rows(repeats: int) -> Iterator[Row]:
    """A step of each network, and VGG-16 forward."""
    for name, network in NETWORKS.items():
        yield compare(name, 1, repeats, contenders(network))
    yield compare("VGG-16, 224×224, batch 4, forward only", 1, repeats, contenders(VGG, training=False))
