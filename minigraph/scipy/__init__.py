"""SciPy's functions for nodes, by SciPy's names: ``mg.scipy.special.logsumexp(node)``. They take arrays too.

SciPy's own ufuncs, such as ``scipy.special.erf``, take nodes directly; its other functions would read them as plain arrays.
"""

from minigraph.scipy import linalg, ndimage, signal, special

__all__ = ["linalg", "ndimage", "signal", "special"]


def __dir__() -> list[str]:
    return sorted(__all__)
