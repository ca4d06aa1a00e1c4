"""Labelled images: the digits that come with the package, readers of the common formats, transforms, and batches.

A reader gives a Split; nothing is downloaded. ``data.Loader(x, y, 32, shuffle=True, transform=[...], rng=0)`` gives batches.
"""

from minigraph.data import transforms
from minigraph.data.dataset import Split, split
from minigraph.data.handwritten import digits
from minigraph.data.loader import Loader

__all__ = ["Loader", "Split", "digits", "split", "transforms"]
