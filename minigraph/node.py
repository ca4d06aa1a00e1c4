"""Node: a value of the computation, and how it came to be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from minigraph.op import Op

Array = npt.NDArray[Any]
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class ShapeError(ValueError):
    """Shapes that do not fit the op they were given to."""


class GraphError(RuntimeError):
    """A walk that the graph cannot answer: no values, freed, changed or unconnected nodes."""


class MemoryBudgetError(MemoryError):
    """An explicit matrix that would not fit the memory it may take."""


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape and dtype of an array that need not exist; ops called with Specs infer instead of compute."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any] = FLOATS[0]
    name: str | None = None

    __array_ufunc__ = None

    def __post_init__(self) -> None:
        try:
            shape = tuple(int(n) for n in np.atleast_1d(np.asarray(self.shape, dtype=object)))
        except (TypeError, ValueError):
            raise TypeError(f"Spec: got shape {self.shape!r}, wanted a tuple of integers") from None
        if any(n < 0 for n in shape):
            raise ShapeError(f"Spec: got shape {shape}, wanted sizes of at least 0")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "dtype", np.dtype(self.dtype))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=object))

    def __str__(self) -> str:
        return f"{self.name!r} {self.shape} {self.dtype}" if self.name else f"{self.shape} {self.dtype}"


@dataclass(frozen=True, slots=True)
class Mode:
    """What holds while nodes are recorded."""

    scope: str = ""
    grad: bool = True
    anomaly: bool = False


MODE: ContextVar[Mode] = ContextVar("minigraph_mode", default=Mode())


@contextmanager
def _mode(**changes: Any) -> Iterator[None]:
    token = MODE.set(replace(MODE.get(), **changes))
    try:
        yield
    finally:
        MODE.reset(token)


def scope(name: str) -> Any:
    """Group the nodes recorded inside under ``name`` in diagrams and tables; scopes nest as ``outer/inner``."""
    outer = MODE.get().scope
    return _mode(scope=f"{outer}/{name}" if outer else name)


def enable_grad() -> Any:
    """Record inside, even within ``no_grad``."""
    return _mode(grad=True)


def no_grad() -> Any:
    """Compute without recording: inside, ops called with Nodes return plain arrays."""
    return _mode(grad=False)


def detect_anomaly() -> Any:
    """Stop at the first node whose value has a NaN or an infinity.

    Raises FloatingPointError naming the node, the entry, the inputs and the line that built it.
    """
    return _mode(anomaly=True)


_serials = itertools.count(1)
# NumPy functions and ufuncs -> what to call when a Node is among the arguments; filled by the ops.
IMPLEMENTATIONS: dict[Any, Callable[..., Any]] = {}


class Node:
    """A value on the tape: ``value``, ``shape``, ``dtype``, the ``op`` and ``inputs`` it came from, ``name``, ``scope``.

    Leaves have no op. Values are read-only. Nodes speak NumPy: operators, indexing, ``np.exp(node)``,
    ``np.asarray(node)``. ``serial`` numbers nodes by birth, so a node is always younger than its inputs.
    """

    __slots__ = ("__weakref__", "_value", "grad", "inputs", "name", "op", "scope", "serial")
    changed = 0  # the serial of a parameter's last change

    def __init__(
        self, value: Any, op: Op | None = None, inputs: Any = (), name: str | None = None, scope: str = ""
    ) -> None:
        self._value = value
        self.op = op
        self.inputs: tuple[Node, ...] = inputs
        self.name = name
        self.scope = scope
        self.grad: Any = None
        self.serial = next(_serials)

    @property
    def value(self) -> Any:
        """The array (read-only), or a NumPy scalar where NumPy gives one."""
        if isinstance(self._value, Spec):
            raise GraphError(f"{self.label} was built from a Spec and has no value; call the model with arrays")
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        if not isinstance(self, Parameter):
            raise TypeError(f"{self.label}: values on the tape are read-only; only a parameter's value can be replaced")
        new = frozen(value)
        if new.shape != self.shape:
            raise ShapeError(f"{self.label}: got a value of shape {new.shape}, wanted {self.shape}")
        if new.dtype != self.dtype:
            raise TypeError(f"{self.label}: got a value of dtype {new.dtype}, wanted {self.dtype}")
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
    def label(self) -> str:
        """How messages and tables call this node."""
        kind = self.op.name if self.op else "parameter" if isinstance(self, Parameter) else "constant"
        path = "/".join(filter(None, (self.scope, self.name)))
        return f"{kind} '{path}'" if path else f"{kind} #{self.serial}"

    def named(self, name: str) -> Node:
        """Give the node a name, and return it."""
        self.name = name
        return self

    def backward(self, g: Any = None, *, retain_graph: bool = False, retain_grad: bool = False) -> None:
        """Add ∂self/∂p to ``p.grad`` of every parameter p that self depends on.

        ``g`` is the cotangent of self (needed unless self has one entry). The graph is freed as the
        walk passes unless ``retain_graph``; ``retain_grad`` fills ``.grad`` of every node on the way.
        Raises GraphError when there is no parameter to reach.
        """
        from minigraph.tape import Tape

        Tape.of(self).backward(g, retain_graph=retain_graph, retain_grad=retain_grad)

    # --- NumPy protocols -------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        import sys

        if sys._getframe(1).f_globals.get("__name__", "").startswith("scipy.sparse"):
            # ``sparse @ node``: an object scalar makes SciPy hand over to Node.__rmatmul__ instead of
            # computing a plain array that has forgotten where it came from.
            held = np.empty((), dtype=object)
            held[()] = self
            return held
        return np.array(self.value, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        function = IMPLEMENTATIONS.get(ufunc if method == "__call__" else (ufunc, method))
        if "out" in kwargs:
            raise TypeError(
                f"np.{ufunc.__name__}: out= is not possible, values on the tape are read-only; use the result"
            )
        if function is None:
            raise _no_rule(f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}"))
        return function(*args, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        implementation = IMPLEMENTATIONS.get(function)
        if implementation is None:
            raise _no_rule(f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}")
        return implementation(*args, **kwargs)

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return IMPLEMENTATIONS[function](self, *args, **kwargs)

    # --- operators -------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.add](self, other)

    def __radd__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.add](other, self)

    def __sub__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.subtract](self, other)

    def __rsub__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.subtract](other, self)

    def __mul__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.multiply](self, other)

    def __rmul__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.multiply](other, self)

    def __truediv__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.divide](self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.divide](other, self)

    def __pow__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.power](self, other)

    def __rpow__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.power](other, self)

    def __mod__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.remainder](self, other)

    def __rmod__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.remainder](other, self)

    def __floordiv__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.floor_divide](self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.floor_divide](other, self)

    def __matmul__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.matmul](self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return IMPLEMENTATIONS[np.matmul](other, self)

    def __neg__(self) -> Any:
        return self._call(np.negative)

    def __pos__(self) -> Any:
        return self._call(np.positive)

    def __abs__(self) -> Any:
        return self._call(np.absolute)

    def __eq__(self, other: object) -> Any:
        return self._call(np.equal, other)

    def __ne__(self, other: object) -> Any:
        return self._call(np.not_equal, other)

    def __lt__(self, other: Any) -> Any:
        return self._call(np.less, other)

    def __le__(self, other: Any) -> Any:
        return self._call(np.less_equal, other)

    def __gt__(self, other: Any) -> Any:
        return self._call(np.greater, other)

    def __ge__(self, other: Any) -> Any:
        return self._call(np.greater_equal, other)

    def __invert__(self) -> Any:
        return self._call(np.logical_not)

    def __and__(self, other: Any) -> Any:
        return self._call(np.logical_and, other)

    def __or__(self, other: Any) -> Any:
        return self._call(np.logical_or, other)

    __hash__ = object.__hash__

    def __getitem__(self, key: Any) -> Any:
        return IMPLEMENTATIONS["getitem"](self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(
            f"{self.label}: values on the tape are read-only, so x[key] = v is not possible; "
            "build a new one with mg.where(mask, v, x), mg.pad or mg.concatenate"
        )

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError(f"{self.label} has shape (): cannot iterate over a scalar")
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"{self.label} has shape (): a scalar has no length")
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value.item() if spec and self.size == 1 else str(self), spec)

    def __repr__(self) -> str:
        content = f"Spec{self.shape}" if self.abstract else np.array2string(np.asarray(self), threshold=20, precision=5)
        return f"<{self.label} {self.shape} {self.dtype}: {content}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from minigraph.draw import mimebundle

        return mimebundle(self)

    # --- the array methods that NumPy users reach for ----------------------------------------------

    @property
    def T(self) -> Any:
        return self._call(np.transpose)

    def item(self) -> Any:
        return self.value.item()

    def sum(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.sum, *args, **kwargs)

    def mean(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.mean, *args, **kwargs)

    def prod(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.prod, *args, **kwargs)

    def max(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.max, *args, **kwargs)

    def min(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.min, *args, **kwargs)

    def var(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.var, *args, **kwargs)

    def std(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.std, *args, **kwargs)

    def cumsum(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.cumsum, *args, **kwargs)

    def argmax(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.argmax, *args, **kwargs)

    def argmin(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.argmin, *args, **kwargs)

    def clip(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.clip, *args, **kwargs)

    def dot(self, other: Any) -> Any:
        return self._call(np.dot, other)

    def squeeze(self, axis: Any = None) -> Any:
        return self._call(np.squeeze, axis)

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        return self._call(np.swapaxes, axis1, axis2)

    def ravel(self) -> Any:
        return self._call(np.ravel)

    flatten = ravel

    def reshape(self, *shape: Any) -> Any:
        return self._call(np.reshape, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Any:
        return self._call(np.transpose, axes[0] if len(axes) == 1 else axes or None)

    def astype(self, dtype: Any) -> Any:
        return IMPLEMENTATIONS["astype"](self, dtype)


class Parameter(Node):
    """A leaf to be learned: assigning ``value`` replaces it, and is noticed by every tape that read the old one."""

    __slots__ = ("changed",)

    def __init__(self, value: Any, name: str | None = None, scope: str = "") -> None:
        super().__init__(value, None, (), name, scope)
        self.changed = 0


def constant(value: Any, name: str | None = None) -> Node:
    """A leaf that is not learned: data, labels. ``value``: an array of reals, integers or booleans, or a Spec."""
    return Node(frozen(value), None, (), name, MODE.get().scope)


def parameter(value: Any, name: str | None = None) -> Parameter:
    """A leaf to be learned. ``value``: a float32 or float64 array, Python floats (float64), or a Spec.

    Raises TypeError for integer, complex and object values.
    """
    value = frozen(value)
    if value.dtype not in FLOATS:
        raise TypeError(f"parameter {name!r}: got dtype {value.dtype}, wanted float32 or float64; convert with .astype")
    return Parameter(value, name, MODE.get().scope)


def frozen(value: Any) -> Any:
    """``value`` as an array that nobody can write: shared when that is so already, copied otherwise."""
    if isinstance(value, (Spec, np.float64, np.float32)):
        return value
    if isinstance(value, Node):
        return value.value
    array = np.asarray(value)
    if array.dtype not in FLOATS and array.dtype.kind not in "iub":
        raise TypeError(
            f"got {type(value).__name__} of dtype {array.dtype}, wanted real numbers in float32 or float64, or integers"
        )
    if array.ndim == 0:
        return array[()]
    base: Any = array
    while isinstance(base, np.ndarray) and not base.flags.writeable:
        base = base.base
    if base is not None:
        array = np.array(value, order="K")
        array.setflags(write=False)
    return array


def value_of(x: Any) -> Any:
    """The plain array under a Node or array: for what a rule must take as given, like the place of a maximum."""
    return x.value if isinstance(x, Node) else np.asarray(x)


def _no_rule(name: str) -> TypeError:
    return TypeError(
        f"{name} has no Jacobian in minigraph; write it with other NumPy functions or as an Op "
        "(docs/add-an-op.md), or leave the graph with np.asarray(node)"
    )
