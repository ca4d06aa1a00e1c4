"""What an op of your own is made of: ``Op``, its checks, and the kinds of linear maps that its Jacobians may be.

``define`` enters an elementwise function by one line; a subclass of ``Op`` is anything else; ``check_op`` checks it.
docs/add-an-op.md goes through all of it, with examples.
"""

from minigraph.check import check_op
from minigraph.facts import Axis, Layer, Reach
from minigraph.maps import (
    Apply,
    Bounds,
    Broadcast,
    Diagonal,
    FunctionMap,
    Identity,
    LinearMap,
    Product,
    Selection,
    Sum,
    pick,
    promoted,
)
from minigraph.node import value_of
from minigraph.op import Op, expect, expect_floats, implements
from minigraph.ops.activation import lines
from minigraph.ops.elementwise import Elementwise, define
from minigraph.ops.geometry import over_axes
from minigraph.ops.reduce import sum_map

__all__ = [
    # the op and its checks
    "Op", "Elementwise", "define", "implements", "over_axes", "expect", "expect_floats", "value_of", "check_op",
    # the maps
    "LinearMap", "Identity", "Diagonal", "Selection", "pick", "Broadcast", "FunctionMap", "Product", "Sum", "Apply", "Bounds",
    "promoted", "lines", "sum_map",
    # facts for costs and drawings
    "Layer", "Axis", "Reach",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
