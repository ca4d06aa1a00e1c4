"""Data by name: ``load("cifar10:PATH")``, as the command takes them."""

from __future__ import annotations

from typing import Any

from minigraph.data.cifar_files import cifar10, cifar100
from minigraph.data.dataset import Split
from minigraph.data.handwritten import digits
from minigraph.data.idx_files import idx
from minigraph.data.npz_files import npz
from minigraph.data.picture_folders import folder

READERS: dict[str, Any] = {
    "idx": idx,
    "mnist": idx,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "npz": npz,
    "folder": folder,
}


def load(name: str, **options: Any) -> Split:
    """The data that ``name`` tells: "digits", or "idx:", "mnist:", "cifar10:", "cifar100:", "npz:" or "folder:" and a path.

    ``options`` are those of the reader. Raises ValueError for other names, listing these, TypeError for what is not a
    string, and what the reader raises.
    """
    if not isinstance(name, str):
        raise TypeError(f"load: got data {name!r}; wanted a string, such as 'digits' or 'cifar10:PATH'")
    kind, _, path = name.partition(":")
    if name == "digits":
        return digits(**options)
    if kind not in READERS or not path:
        raise ValueError(f"got data {name!r}; wanted digits, or one of {', '.join(f'{k}:PATH' for k in READERS)}")
    split: Split = READERS[kind](path, **options)
    return split
