"""Node: a value of the computation, with the op and the inputs it was computed from."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minigraph.array import ArrayLike, as_object, plain
from minigraph.callers import multiplies_sparse
from minigraph.mode import MODE, VARIABLES
from minigraph.ownership import HELD_ONCE, count, references
from minigraph.text import readable, readable_repr

if TYPE_CHECKING:
    from minigraph.op import Op

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class ShapeError(ValueError):
    """Shapes that do not fit the op."""


class GraphError(RuntimeError):
    """The graph cannot be differentiated: it has no values, was freed, was changed, or the nodes are not connected."""


class MemoryBudgetError(MemoryError):
    """An explicit matrix that would take more memory than allowed."""


@readable_repr
@dataclass(frozen=True, slots=True)
class Spec(NDArrayOperatorsMixin):
    """Shape and dtype of an array without its values; an op called with Specs infers the Spec of its result."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any] = FLOATS[0]
    name: str | None = None

    __array_ufunc__ = ArrayLike.__array_ufunc__
    __array_function__ = ArrayLike.__array_function__

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if multiplies_sparse(sys._getframe(1)):
            return as_object(self)
        raise TypeError(f"got a Spec {self}, which has no values; wanted an array or node")

    def __post_init__(self) -> None:
        try:
            shape = tuple(index(n) for n in (self.shape if np.iterable(self.shape) else (self.shape,)))
        except TypeError:
            raise TypeError(f"Spec: got shape {self.shape!r}; wanted a tuple of integers") from None
        if any(n < 0 for n in shape):
            raise ShapeError(f"Spec: got shape {shape}; wanted sizes of at least 0")
        try:
            dtype = np.dtype(self.dtype)
        except TypeError:
            raise TypeError(f"Spec: got dtype {self.dtype!r}; wanted a NumPy dtype; the shape is one tuple") from None
        if dtype.kind not in "fciub":
            raise TypeError(f"Spec: got dtype {dtype}; wanted a dtype of numbers")
        checked_name(self.name, "Spec")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "dtype", dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=object))

    def __str__(self) -> str:
        return readable(f"{self.name!r} {self.shape} {self.dtype}" if self.name else f"{self.shape} {self.dtype}")


_serials = itertools.count(1)


class Hooks:
    """Functions that Node calls but that are defined in modules which import this one; each is set on import."""

    tape: Callable[[Node], Any]  # the record behind a node: minigraph/tape.py
    notebook: Callable[[Node], dict[str, Any]]  # what a notebook shows: minigraph/inspect/draw
    spy: Callable[..., Any]  # a picture of a Jacobian: minigraph/inspect/spy.py


class Node(ArrayLike):
    """A value on the tape: ``value``, ``shape``, ``dtype``, the ``op`` and ``inputs`` it came from, ``name``, ``scope``.

    Leaves have no op. Values are read-only. Nodes speak NumPy: operators, indexing, ``np.exp(node)``,
    ``np.asarray(node)``. ``serial`` increases with every node created, so it is larger than those of the inputs.
    """

    __slots__ = ("__weakref__", "_value", "built", "grad", "inputs", "name", "op", "saved", "scope", "serial")
    built: str  # the line that built it, set only under detect_anomaly
    changed = 0  # the serial at a parameter's last change

    def __init__(
        self,
        value: Any,
        op: Op | None = None,
        inputs: Any = (),
        name: str | None = None,
        scope: str = "",
        saved: Any = None,
    ) -> None:
        self._value = value
        self.op = op
        self.inputs: tuple[Node, ...] = inputs
        self.name = name
        self.scope = scope
        self.grad: Any = None
        self.saved = saved  # what the op's kernel saves for the gradient
        self.serial = next(_serials)

    @property
    def value(self) -> Any:
        """The array (read-only), or a NumPy scalar where NumPy gives one."""
        if isinstance(self._value, Spec):
            raise GraphError(f"{self.label} was built from a Spec and has no value; call the model with arrays")
        if (effects := MODE.get().effects) is not None:
            effects.refused.append(f"it reads the value of {self.label}")
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        if not isinstance(self, Parameter):
            raise TypeError(f"{self.label}: values on the tape are read-only; only a parameter's value can be replaced")
        if self in VARIABLES:
            raise TypeError(
                f"{self.label}: its value cannot change while a transform differentiates with respect to it; "
                "wanted the new value as an argument of the function"
            )
        if isinstance(value, Node):
            value._refuse_leaving("assigning it as a value")
        new = frozen(value, self.label)
        if new.shape != self.shape:
            raise ShapeError(f"{self.label}: got a value of shape {new.shape}; wanted {self.shape}")
        if new.dtype != self.dtype:
            raise TypeError(f"{self.label}: got a value of dtype {new.dtype}; wanted {self.dtype}")
        self._value = new
        self.changed = next(_serials)

    @property
    def spec(self) -> Spec:
        return Spec(self.shape, self.dtype, self.name)

    @property
    def abstract(self) -> bool:
        """Built from a Spec: shape and dtype, but no value."""
        return isinstance(self._value, Spec)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._value.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(self._value.size)

    @property
    def nbytes(self) -> int:
        """Bytes of the value; for a Spec, the bytes the value would take."""
        return self.size * self.dtype.itemsize

    @property
    def label(self) -> str:
        """The name of this node in messages and tables."""
        if self.name:
            return f"{self.kind} '{self.path}'"
        return f"{self.kind} #{self.serial}" + (f" in '{self.scope}'" if self.scope else "")

    @property
    def kind(self) -> str:
        """The op's name; "parameter" or "constant" for a leaf."""
        return self.op.name if self.op else "parameter" if isinstance(self, Parameter) else "constant"

    @property
    def path(self) -> str:
        """Scope and name, joined by /."""
        return "/".join(filter(None, (self.scope, self.name)))

    def named(self, name: str) -> Node:
        """Give the node a name, and return it."""
        self.name = checked_name(name, "named")
        return self

    def find(self, path: str) -> Node:
        """The output of the module or scope ``path`` in the graph of this node: ``y.find("layer2/0/conv1")``.

        This is the last node recorded in that scope or in a scope inside it. If there is no such scope, it is the node
        with that path or name. Raises KeyError, which suggests similar names, if there is none, and GraphError, which
        lists the paths, if several nodes have the name.
        """
        return Hooks.tape(self).find(path)  # type: ignore[no-any-return]

    def backward(self, g: Any = None, *, retain_graph: bool = False, retain_grad: bool = False) -> None:
        """Add ∂self/∂p to ``p.grad`` of every parameter p that self depends on and whose ``requires_grad`` is True.

        ``g`` is the cotangent of self (needed unless self has one entry). The graph is freed as the
        walk passes unless ``retain_graph``; ``retain_grad`` fills ``.grad`` of every node on the way.
        Raises GraphError when there is no parameter to reach.
        """
        Hooks.tape(self).backward(g, retain_graph=retain_graph, retain_grad=retain_grad)

    def __copy__(self) -> Node:
        return self  # nodes are immutable

    def __reduce__(self) -> Any:
        if self.op is not None:
            raise TypeError(f"{self.label}: only leaves can be copied or pickled; wanted a parameter, or node.value")
        self._refuse_leaving("copying it")
        kept = {"scope": self.scope, "grad": self.grad}
        if isinstance(self, Parameter):
            kept["requires_grad"] = self.requires_grad
        return parameter if isinstance(self, Parameter) else constant, (self._value, self.name), (None, kept)

    def __repr__(self) -> str:
        content = (
            f"Spec{self.shape}" if self.abstract else np.array2string(np.asarray(self.value), threshold=20, precision=5)
        )
        return readable(f"<{self.label} {self.shape} {self.dtype}: {content}>")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return Hooks.notebook(self)


class Parameter(Node):
    """A leaf to be learned. Its ``value`` can be assigned; tapes that used the old value then refuse to differentiate."""

    __slots__ = ("changed", "requires_grad")

    def __init__(self, value: Any, name: str | None = None, scope: str = "") -> None:
        super().__init__(value, None, (), name, scope)
        self.changed = 0
        self.requires_grad = True  # False for a frozen one, which backward and optimizers leave as it is

    def replace(self, value: Any) -> None:
        """Take ownership of a new value of the same shape and dtype, without a copy."""
        value.flags.writeable = False
        self._value = value if value.ndim else value[()]
        self.changed = next(_serials)

    def convert(self, dtype: Any) -> None:
        """Take another dtype; the gradient is dropped."""
        if self.dtype != dtype:
            if self.abstract:
                self._value = Spec(self.shape, dtype)
                self.changed = next(_serials)
            else:
                self.replace(np.array(self._value, dtype))
            self.grad = None

    def next_value(self) -> Any:
        """A writable array for the next value: the current one if nothing else refers to it, else a new one."""
        if type(self._value) is not np.ndarray or self._value.base is not None or references(self._value) > HELD_ONCE:
            return np.empty_like(self._value)
        array = self._value
        array.flags.writeable = True
        return array

    def __iadd__(self, other: Any) -> Any:
        raise TypeError(f"{self.label}: p += v would make p another node; assign p.value = p.value + v")

    __isub__ = __imul__ = __itruediv__ = __ipow__ = __iadd__

    def __copy__(self) -> Parameter:
        self._refuse_leaving("copying it")
        twin = Parameter(self._value, self.name, self.scope)
        twin.grad, twin.requires_grad = self.grad, self.requires_grad
        return twin


def named(x: Any, name: str) -> Any:
    """Name ``x`` if it is a Node, and return it; arrays pass unchanged, so the same code runs on nodes and arrays."""
    return x.named(name) if isinstance(x, Node) else x


def checked_name(name: Any, what: str) -> Any:
    """``name``; raises TypeError unless it is a string, or None."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"{what}: got {name!r} as the name; wanted a string")
    return name


def constant(value: Any, name: str | None = None) -> Node:
    """A leaf that is not learned, such as data or labels; its shape is that of ``value``.

    ``value``: an array of real numbers, integers or booleans, or a Spec. Raises TypeError for anything else.
    """
    return Node(frozen(value, "constant"), None, (), checked_name(name, "constant"), MODE.get().scope)


def parameter(value: Any, name: str | None = None) -> Parameter:
    """A leaf to be learned; its shape is that of ``value``.

    ``value``: a float32 or float64 array, Python floats (float64), or a Spec. Raises TypeError for integer, complex and
    object values.
    """
    value, name = frozen(value, "parameter"), checked_name(name, "parameter")
    if value.dtype not in FLOATS:
        called = "parameter" if name is None else f"parameter '{name}'"
        raise TypeError(f"{called}: got dtype {value.dtype}; wanted float32 or float64 (1.0, not 1)")
    return Parameter(value, name, MODE.get().scope)


def frozen(value: Any, what: str) -> Any:
    """``value`` as a read-only array. It is shared if it is read-only already and nothing else refers to it; else copied.

    Views taken before the array became read-only can still be written, and each holds a reference to it. So an array with
    any reference besides the caller's variable is copied.
    """
    if isinstance(value, (Spec, np.float64, np.float32)):
        return value
    if isinstance(value, Node):
        return value.value
    array = plain(value, what)
    if array.dtype not in FLOATS and array.dtype.kind not in "iub":
        raise TypeError(
            f"{what}: got {type(value).__name__} of dtype {array.dtype}; wanted float32, float64, integers or booleans"
        )
    if array.ndim == 0:
        return array[()]
    if array.flags.writeable or array.base is not None or count(array) > CALLER_REFERENCES:
        array = np.array(value, order="K")
        array.setflags(write=False)
    return array


def _sole() -> int:
    """The reference count that ``frozen`` sees of an array which only one variable of its caller's caller holds."""

    def given(value: Any) -> int:
        return asked(value)

    def asked(value: Any) -> int:
        array = plain(value, "")
        return count(array)

    array = np.empty(0)
    return given(array)


CALLER_REFERENCES = _sole()


def value_of(x: Any) -> Any:
    """The plain array of a Node or array, for what a rule treats as constant, such as the position of a maximum."""
    return x.value if isinstance(x, Node) else np.asarray(x)
