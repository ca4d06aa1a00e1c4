"""What makes a Node behave as a NumPy array: protocols, operators and methods, all by one table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minigraph.mode import MODE

Array = npt.NDArray[Any]
# NumPy functions and ufuncs -> what they do when a Node is among their arguments; filled by the ops.
IMPLEMENTATIONS: dict[Any, Callable[..., Any]] = {}


class ArrayLike:
    """NumPy's protocols, operators and array methods for Nodes."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def value(self) -> Any: ...
        @property
        def shape(self) -> tuple[int, ...]: ...
        @property
        def size(self) -> int: ...
        @property
        def label(self) -> str: ...

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if sys._getframe(1).f_globals.get("__name__", "").startswith("scipy.sparse"):
            # ``sparse @ node``: an object scalar makes SciPy hand over to Node.__rmatmul__ instead of
            # computing a plain array that has forgotten where it came from.
            held = np.empty((), dtype=object)
            held[()] = self
            return held
        self._leaves("np.asarray(node)")
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

    def _leaves(self, how: str) -> None:
        if MODE.get().tracing and self.value.dtype.kind == "f":
            raise TypeError(
                f"{self.label}: {how} leaves the graph, and the derivative asked for would be lost; use mg.stack and NumPy "
                "functions of nodes, or node.value where no derivative is to pass"
            )

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
        return self._call(np.invert)

    def __and__(self, other: Any) -> Any:
        return self._call(np.bitwise_and, other)

    def __or__(self, other: Any) -> Any:
        return self._call(np.bitwise_or, other)

    def __xor__(self, other: Any) -> Any:
        return self._call(np.bitwise_xor, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

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
        self._leaves("float(node)")
        return float(self.value)

    def __int__(self) -> int:
        self._leaves("int(node)")
        return int(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value.item() if spec and self.size == 1 else str(self), spec)

    # --- the array methods that NumPy users reach for ----------------------------------------------

    @property
    def T(self) -> Any:
        return self._call(np.transpose)

    def item(self) -> Any:
        return self.value.item()

    def tolist(self) -> Any:
        return self.value.tolist()

    def any(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.any, *args, **kwargs)

    def all(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(np.all, *args, **kwargs)

    def copy(self) -> Any:
        return self._call(np.copy)

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

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        return self._call(np.reshape, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        return self._call(np.transpose, axes[0] if len(axes) == 1 else axes or None)

    def astype(self, dtype: Any) -> Any:
        return IMPLEMENTATIONS["astype"](self, dtype)


def plain(value: Any, what: str) -> Any:
    """``value`` as an array; raises TypeError for a list that holds Nodes, which would forget where they came from."""
    if isinstance(value, (list, tuple)) and _holds_node(value):
        raise TypeError(f"{what}: got a list of nodes; wanted one node, as mg.stack makes of it")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{what}: got a masked array; wanted a plain one, as masked.filled(...) makes of it")
    return np.asarray(value)


def _holds_node(value: Any) -> bool:
    return any(isinstance(v, ArrayLike) or (isinstance(v, (list, tuple)) and _holds_node(v)) for v in value)


def _no_rule(name: str) -> TypeError:
    return TypeError(
        f"{name} has no Jacobian in minigraph; write it with other NumPy functions or as an Op "
        "(docs/add-an-op.md), or leave the graph with np.asarray(node)"
    )
