"""The ops: every node type with its kernel and its rules; as functions, those that NumPy has too.

``mg.ops.exp`` does to Nodes what ``np.exp`` does, and takes arrays and Specs too, by the same checks: shapes from Specs,
no record from arrays. The functions of networks are minigraph's own: ``mg.relu``, ``mg.conv2d``.
"""

if __name__ != "minigraph.ops":
    raise ImportError(f"got import of {__name__!r}; wanted minigraph.ops (import minigraph)")

from minigraph.ops import choice as _choice
from minigraph.ops import composed as _composed
from minigraph.ops import elementwise as _elementwise
from minigraph.ops import linalg as _linalg
from minigraph.ops import lines as _lines
from minigraph.ops import products as _products
from minigraph.ops import queries as _queries  # noqa: F401  enters itself into the table of NumPy's functions
from minigraph.ops import reduce as _reduce
from minigraph.ops import shape as _shape
from minigraph.ops.choice import *
from minigraph.ops.composed import *
from minigraph.ops.elementwise import *
from minigraph.ops.linalg import *
from minigraph.ops.lines import *
from minigraph.ops.products import *
from minigraph.ops.reduce import *
from minigraph.ops.shape import *

__all__ = [
    *_choice.__all__,
    *_composed.__all__,
    *_elementwise.__all__,
    *_linalg.__all__,
    *_lines.__all__,
    *_products.__all__,
    *_reduce.__all__,
    *_shape.__all__,
]


def __dir__() -> list[str]:
    return sorted(__all__)
