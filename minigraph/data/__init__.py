"""Labelled images: the digits that come with the package, readers of the common formats, transforms, and batches.

A reader gives a Split; nothing is downloaded. ``data.Loader(x, y, 32, shuffle=True, transform=[...], rng=0)`` gives batches.
"""

from minigraph.data import transforms
from minigraph.data.cifar_files import cifar10, cifar100
from minigraph.data.dataset import Split, split
from minigraph.data.fingerprints import fingerprint
from minigraph.data.handwritten import digits
from minigraph.data.idx_files import idx, read_idx
from minigraph.data.loader import Loader
from minigraph.data.named import load
from minigraph.data.npz_files import npz
from minigraph.data.picture_folders import Pictures, folder, read_picture

__all__ = [
    "Loader", "Pictures", "Split", "cifar10", "cifar100", "digits", "fingerprint", "folder", "idx", "load", "npz",
    "read_idx", "read_picture", "split", "transforms",
]  # fmt: skip
