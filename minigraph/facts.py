"""What an op says of itself to those who count, compare, draw and derive: no one else need know which op it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from minigraph.node import Spec

if TYPE_CHECKING:
    from minigraph.op import Op

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


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
    ``loops``: iterations of the slowest of these. ``cuts``: groups of axes to cut, the first group first.
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


class Facts:
    """What an op says of itself, from shapes alone; an Op overrides what is not so for it."""

    name: str = ""
    operands: Sequence[str] = ()  # names of the inputs, unless they are interchangeable
    data_operands: ClassVar[int | None] = None  # how many inputs are data, the others weights; None where all are
    usual: ClassVar[Mapping[str, Any]] = {}  # hyper-parameters that need no words, beside the defaults of fields
    rearranges: ClassVar[bool] = False  # the entries of the only input in another order or shape
    is_leaf: ClassVar[bool] = False  # its nodes count as leaves: the arguments of transforms
    formulas: Sequence[str | None] = ()  # of each Jacobian, in the grammar of minigraph.notation; None: no derivative
    legend: ClassVar[Mapping[str, str]] = {}  # what letters in the formulas stand for, beside operands and y
    lowerings: ClassVar[Mapping[str, Callable[..., Any]]] = {}  # what mg.lower makes of it

    @property
    def usual_values(self) -> dict[str, Any]:
        """Hyper-parameters by name, with the value that needs no words."""
        found: Any = fields(self) if is_dataclass(self) else ()
        return {f.name: f.default for f in found if f.default is not MISSING} | dict(self.usual)

    def operand_names(self, n: int) -> list[str]:
        """The names of n inputs: ``operands``, or x₁, x₂, …"""
        if len(self.operands) >= n:
            return list(self.operands[:n])
        return ["x" + str(i).translate(SUBSCRIPTS) for i in range(1, n + 1)] if n > 1 else ["x"]

    def symbols(self, n: int) -> list[str]:
        """The letters of n inputs in formulas."""
        return self.operand_names(n)

    def formula(self, i: int) -> str | None:
        """∂y/∂xᵢ in general, in the grammar of ``minigraph.notation``; None where there is no derivative."""
        return self.formulas[i] if i < len(self.formulas) else f"∂y/∂{self.symbols(i + 1)[i]}"

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        """∂y/∂xᵢ for inputs of these shapes, as the matrix ∂vec(y)/∂vec(xᵢ), vec in C order."""
        return self.formula(i)

    def is_bias(self, i: int) -> bool:
        """Whether input i is added to what the others give."""
        return i < len(self.operands) and self.operands[i] in ("b", "bias")

    def multiply_adds(self, y: Any, *xs: Any) -> int:
        """Products that are summed, from shapes alone; a convolution multiplies by its zero padding too."""
        return 0

    def reach(self, y: Any, x: Any, *weights: Any) -> Reach:
        """What one output sees of the spatial axes of x (N, C, *n)."""
        d = len(x.shape) - 2
        same = y.shape[-d:] == x.shape[-d:]
        return Reach((1,) * d, (1,) * d) if same else Reach(tuple(x.shape[-d:]), None)

    def layer(self, learned: int, *xs: Any) -> Layer | None:
        """What ``costs`` and ``verify`` need to know of a layer; ``learned``: the first input that is a parameter, or −1."""
        return None

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments, for tables and diagrams."""
        found: Any = fields(self) if is_dataclass(self) else ()
        return {f.name: getattr(self, f.name) for f in found if f.init and f.repr}
