"""The kernels of oneDNN, where the library is installed: importing this package enters them into the registry."""

from minigraph.kernels.onednn.library import LIBRARY, PROBLEM

__all__ = ["LIBRARY", "PROBLEM"]

if LIBRARY is not None:
    from minigraph.kernels.onednn import conv, norm, pool

    __all__ += ["conv", "norm", "pool"]
