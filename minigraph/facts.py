"""Facts that each op states about itself, so that counting, verification, drawing and lowering need no list of ops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from minigraph.node import Spec
from minigraph.notation import numbered

if TYPE_CHECKING:
    from minigraph.op import Op


class Reach(NamedTuple):
    """Along each spatial axis of an input: the pixels that one output sees, and the step from one output to the next.

    ``steps`` is None where one output depends on the whole image.
    """

    taps: tuple[int, ...]
    steps: tuple[int | Fraction, ...] | None


class JacobianFormula(NamedTuple):
    """The formula of an op's Jacobian with respect to one input, ∂vec(y)/∂vec(operand) with vec in C order.

    ``operand``: the letter of the input in ``text``; ``latex``: the formula in LaTeX. y is the value. In diag(…) letters
    stand for vec of the arrays, broadcast to each other. ⊗ is the Kronecker product, ⊕ᵢ the block-diagonal matrix with a
    block for each i, I the identity and 1 a column of ones, of matching sizes. ``shape``: of the matrix, (entries of y,
    entries of the operand). ``legend``: the meaning of other letters in ``text``.
    """

    operand: str
    text: str
    latex: str
    shape: tuple[int, int]
    legend: Mapping[str, str]


class Axis(NamedTuple):
    """An axis along which a layer can be shortened without changing the remaining results.

    ``places``: its positions, as (input, axis), with (−1, axis) for the output; ``least``: the smallest possible size.
    """

    letter: str
    places: tuple[tuple[int, int], ...]
    least: int = 1


class Layer(NamedTuple):
    """A layer with an explicit matrix, as counted by ``costs`` and compared by ``verify``.

    ``sample``: the inputs for one sample. ``data``, ``weights``: the indices of these inputs. ``operations`` and ``nnz`` of
    one sample, where they differ from the multiply-adds and the Jacobian of the op. ``algorithms``: the same op by each
    algorithm. ``loops``: iterations of the slowest algorithm. ``cuts``: groups of axes to shorten, in order.
    """

    sample: tuple[Spec, ...]
    data: int = 0
    weights: int | None = None
    operations: int | None = None
    nnz: int | None = None
    algorithms: Mapping[str, Op] = {}
    loops: int = 0
    cuts: Sequence[Sequence[Axis]] = ()


def one_sample(x: Any) -> Spec:
    """The first sample of a batch (N, …)."""
    return Spec((1, *x.shape[1:]), x.dtype)


def spatial_axes(first: int, sides: int) -> list[tuple[str, int]]:
    """The last letters of D, H, W, one for each spatial axis, with the axis numbers from ``first`` on."""
    return list(zip("DHW"[3 - sides :], range(first, first + sides), strict=True))


class ConvolutionPull(NamedTuple):
    """A pull written as a convolution: ``text`` in the operands' letters and g, the cotangent of y; ``compute(g, *xs)``."""

    text: str
    compute: Callable[..., Any]


class Facts:
    """Facts about an op that follow from shapes alone; an Op overrides those that differ from the defaults here."""

    name: str = ""
    operands: Sequence[str] = ()  # names of the inputs, unless they are interchangeable
    data_operands: ClassVar[int | None] = (
        None  # number of inputs that are data; the others are weights. None: all are data
    )
    defaults: ClassVar[Mapping[str, Any]] = {}  # hyper-parameters that are not shown, besides the defaults of fields
    rearranges: ClassVar[bool] = False  # the value has the entries of the only input, in another order or shape
    is_leaf: ClassVar[bool] = False  # its nodes count as leaves: the arguments of transforms
    formulas: Sequence[str | None] = ()  # of each Jacobian, in the grammar of minigraph.notation; None: no derivative
    legend: ClassVar[Mapping[str, str]] = {}  # the meaning of letters in the formulas, besides operands and y
    named_after: ClassVar[
        Mapping[str, str]
    ] = {}  # matrices in the formulas that are named after an operand: M_F after w
    lowerings: ClassVar[Mapping[str, Callable[..., Any]]] = {}  # mg.lower replaces the op by these functions

    @property
    def default_hyperparameters(self) -> dict[str, Any]:
        """Hyper-parameters by name, with the value at which they are not shown."""
        own_fields: Any = fields(self) if is_dataclass(self) else ()
        return {f.name: f.default for f in own_fields if f.default is not MISSING} | dict(self.defaults)

    def operand_names(self, n: int) -> list[str]:
        """The names of n inputs: ``operands``, or x₁, x₂, …"""
        if len(self.operands) >= n:
            return list(self.operands[:n])
        return [numbered("x", i) for i in range(1, n + 1)] if n > 1 else ["x"]

    def symbols(self, n: int) -> list[str]:
        """The letters of n inputs in formulas."""
        return self.operand_names(n)

    def formula(self, i: int) -> str | None:
        """∂y/∂xᵢ for any shapes, in the grammar of ``minigraph.notation``; None where there is no derivative."""
        return self.formulas[i] if i < len(self.formulas) else f"∂y/∂{self.symbols(i + 1)[i]}"

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        """∂y/∂xᵢ for inputs of these shapes, as the matrix ∂vec(y)/∂vec(xᵢ), vec in C order."""
        return self.formula(i)

    def convolution_pull(self, i: int) -> ConvolutionPull | None:
        """The pull to input i as a convolution of the cotangent with another input; None for most ops."""
        return None

    def polynomial(self, n: int) -> list[tuple[int, ...]] | None:
        """For an op of n inputs that is piecewise a polynomial: the inputs that each of its terms multiplies; else None.

        Coefficients are whole numbers over the ``divisor``.
        """
        return None

    def divisor(self, y: Any, *xs: Any) -> int:
        """The common denominator of the coefficients of the ``polynomial``, from shapes alone."""
        return 1

    def is_bias(self, i: int) -> bool:
        """Whether input i is a bias, added to the result of the others."""
        return i < len(self.operands) and self.operands[i] in ("b", "bias")

    def multiply_adds(self, y: Any, *xs: Any) -> int:
        """The number of multiply-adds, from shapes alone; zero padding is counted."""
        return 0

    def reach(self, y: Any, x: Any, *weights: Any) -> Reach:
        """The extent of x (N, C, *n) that one output sees."""
        d = len(x.shape) - 2
        same = y.shape[-d:] == x.shape[-d:]
        return Reach((1,) * d, (1,) * d) if same else Reach(tuple(x.shape[-d:]), None)

    def layer(self, learned: int, *xs: Any) -> Layer | None:
        """The op as a layer, for ``costs`` and ``verify``; ``learned``: the first input that is a parameter, or −1."""
        return None

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments, for tables and diagrams."""
        own_fields: Any = fields(self) if is_dataclass(self) else ()
        return {f.name: getattr(self, f.name) for f in own_fields if f.init and f.repr}
