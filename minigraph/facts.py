"""What an op says of itself to those who count, compare, draw and derive: no one else need know which op it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from minigraph.node import Spec

if TYPE_CHECKING:
    from minigraph.op import Op


class Reach(NamedTuple):
    """Along each spatial axis of an input: the pixels under one output, and the pixels from one output to the next.

    ``steps`` is None where one output depends on all of the image.
    """

    taps: tuple[int, ...]
    steps: tuple[int | Fraction, ...] | None


class JacobianFormula(NamedTuple):
    """The Jacobian of an op in one of its inputs, ∂vec(y)/∂vec(operand) with vec in C order, on paper.

    ``operand``: the letter of the input in ``text``; ``latex``: the text in LaTeX; y is the value, and the op's ``legend``
    tells the rest. In diag(…) letters stand for vec of the arrays, broadcast to each other. ⊗ is Kronecker's product, ⊕ᵢ
    puts a block for each i along the diagonal, I is the identity and 1 the column of ones of the sides that fit.
    ``shape``: of the matrix, (entries of y, entries of the operand).
    """

    operand: str
    text: str
    latex: str
    shape: tuple[int, int]


class Axis(NamedTuple):
    """An axis along which a layer can be cut without changing what is left.

    ``places``: where it stands, as (input, axis) or (−1, axis) for the output; ``least``: the shortest side possible.
    """

    letter: str
    places: tuple[tuple[int, int], ...]
    least: int = 1


class Layer(NamedTuple):
    """A layer with an explicit matrix, as ``costs`` counts it and ``verify`` compares it.

    ``sample``: the inputs for one sample. ``data``, ``weights``: which inputs these are. ``operations`` and ``nnz`` of one
    sample, where they are not those of its multiply-adds and its Jacobian. ``ways``: the same op by each algorithm.
    ``loops``: how often the slowest of these goes round. ``cuts``: groups of axes to cut, the first group first.
    """

    sample: tuple[Spec, ...]
    data: int = 0
    weights: int | None = None
    operations: int | None = None
    nnz: int | None = None
    ways: Mapping[str, Op] = {}
    loops: int = 0
    cuts: Sequence[Sequence[Axis]] = ()


def one_sample(x: Any) -> Spec:
    """The first sample of a batch (N, …)."""
    return Spec((1, *x.shape[1:]), x.dtype)


def spatial_axes(first: int, sides: int) -> list[tuple[str, int]]:
    """The letters of spatial axes, the last of D, H, W, with their numbers from ``first`` on."""
    return list(zip("DHW"[3 - sides :], range(first, first + sides), strict=True))
