"""NumPy's protocols, operators and array methods for Nodes, all through one table of implementations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from inspect import Parameter, signature
from itertools import takewhile
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minigraph.callers import compiled, library_function, multiplies_sparse, reads_values
from minigraph.mode import MODE, VARIABLES

Array = npt.NDArray[Any]
# What NumPy's functions and ufuncs do if a Node is among their arguments; filled by the ops.
IMPLEMENTATIONS: dict[Any, Callable[..., Any]] = {}
# What to write in place of functions that are refused; filled by ops/queries.py.
WAYS: dict[Any, str] = {}
# Names of NumPy's functions whose results have no derivative; filled by ops/queries.py.
QUERIES: set[str] = set()
UNSUPPORTED = (np.ma.MaskedArray, np.matrix)  # their operators differ from those of arrays
# Types that operators accept without further checks.
OPERANDS: set[type] = {float, int, bool, np.ndarray, np.float64, np.float32, list}


def _operators(ufunc: Any) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """A binary operator and its reflection; NotImplemented if the class of the other operand should handle it."""

    def forward(self: Any, other: Any) -> Any:
        return IMPLEMENTATIONS[ufunc](self, other) if type(other) in OPERANDS or _operand(other) else NotImplemented

    def reflected(self: Any, other: Any) -> Any:
        return IMPLEMENTATIONS[ufunc](other, self) if type(other) in OPERANDS or _operand(other) else NotImplemented

    forward.__qualname__ = reflected.__qualname__ = ufunc.__name__
    return forward, reflected


def _method(function: Any) -> Any:
    """The array method that does what NumPy's ``function`` does."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return invoke(function, (self, *args), kwargs, None)

    method.__name__, method.__doc__ = function.__name__, f"As numpy.{function.__name__}."
    return method


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
        def dtype(self) -> np.dtype[Any]: ...
        @property
        def label(self) -> str: ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        OPERANDS.add(cls)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        frame = sys._getframe(1)
        if multiplies_sparse(frame):
            return as_object(self)
        self._refuse_leaving("np.asarray(node)", frame, compiled(frame))
        return np.array(self.value, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            raise no_out(_ufunc_name(ufunc, method))
        for x in args:
            if type(x) not in OPERANDS and _has_own_ufuncs(x):
                return NotImplemented
        if method == "__call__":
            function = IMPLEMENTATIONS.get(ufunc)
            if function is not None and kwargs:
                args = _as_asked(ufunc, args, **kwargs)
                kwargs = {}
        elif method == "outer" and ufunc in IMPLEMENTATIONS and len(args) == 2:
            a, b = args
            a = IMPLEMENTATIONS["expand"](a, np.ndim(b))
            return ufunc(a, b, **kwargs)
        else:
            function = IMPLEMENTATIONS.get((ufunc, method))
            kwargs = {k: v for k, v in kwargs.items() if v is not None or k == "axis"}  # None is NumPy's default
        if function is not None:
            return _checked(_ufunc_name(ufunc, method), function, args, kwargs) if kwargs else function(*args)
        if method in INSTEAD and ufunc in IMPLEMENTATIONS:
            raise TypeError(f"{_ufunc_name(ufunc, method)} has no Jacobian in minigraph; {INSTEAD[method]}")
        if not MODE.get().tracing and reads_values(sys._getframe(1)):
            return getattr(ufunc, method)(*values(args), **values(kwargs))
        raise _no_rule(_ufunc_name(ufunc, method), sys._getframe(1))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        for kind in types:
            theirs = kind not in OPERANDS and kind.__array_function__ is not ArrayLike.__array_function__
            if theirs and not issubclass(kind, np.ndarray):
                return NotImplemented
        frame = sys._getframe(1)
        if reads_values(frame) and not MODE.get().tracing:
            return function(*values(args), **values(kwargs))
        return invoke(function, args, kwargs, frame)

    def _refuse_leaving(self, how: str, frame: FrameType | None = None, reader: str = "") -> None:
        """Raise TypeError if reading this node's value would lose a derivative; ``reader``, ``frame``: the code that reads."""
        if self.dtype.kind != "f":
            return
        mode = MODE.get()
        name = library_function(frame) or reader if frame and not reads_values(frame) else ""
        lost = name and mode.grad and name.rpartition(".")[2] not in QUERIES and self._depends_on(is_parameter)
        if lost or mode.tracing or (VARIABLES and mode.grad and self._depends_on(VARIABLES.__contains__)):
            raise TypeError(
                f"{self.label}: {name or how} leaves the graph, and the derivative would be lost; use "
                "np.stack and NumPy functions of nodes, or node.value where no derivative is to pass"
            )

    def _depends_on(self, leaf: Callable[[Any], bool]) -> bool:
        """Whether ``leaf`` holds for this node or one that it was computed from."""
        seen: set[Any] = {self}
        stack: list[Any] = [self]
        while stack:
            node = stack.pop()
            if leaf(node):
                return True
            for x in node.inputs or ():  # empty if the graph was freed
                if x not in seen and x.dtype.kind == "f":
                    seen.add(x)
                    stack.append(x)
        return False

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return invoke(function, (self, *args), kwargs, None)

    def __getattr__(self, name: str) -> Any:
        if hasattr(np.ndarray, name) and not name.startswith("_"):
            frame = sys._getframe(1)
            if library_function(frame):  # it takes the node for an array
                self._refuse_leaving(f".{name}", frame)
                return getattr(self.value, name)
            way = f"np.{name}(node)" if getattr(np, name, None) in IMPLEMENTATIONS else "node.value"
            raise AttributeError(f"{type(self).__name__} does not have the array method .{name}; use {way}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # --- operators -------------------------------------------------------------------------------

    __add__, __radd__ = _operators(np.add)
    __sub__, __rsub__ = _operators(np.subtract)
    __mul__, __rmul__ = _operators(np.multiply)
    __truediv__, __rtruediv__ = _operators(np.divide)
    __pow__, __rpow__ = _operators(np.power)
    __mod__, __rmod__ = _operators(np.remainder)
    __floordiv__, __rfloordiv__ = _operators(np.floor_divide)
    __matmul__, __rmatmul__ = _operators(np.matmul)
    __and__, __rand__ = _operators(np.bitwise_and)
    __or__, __ror__ = _operators(np.bitwise_or)
    __xor__, __rxor__ = _operators(np.bitwise_xor)
    __eq__, _ = _operators(np.equal)
    __ne__, _ = _operators(np.not_equal)
    __lt__, _ = _operators(np.less)
    __le__, _ = _operators(np.less_equal)
    __gt__, _ = _operators(np.greater)
    __ge__, _ = _operators(np.greater_equal)
    del _

    def __divmod__(self, other: Any) -> Any:
        return (self // other, self % other) if _operand(other) else NotImplemented

    def __rdivmod__(self, other: Any) -> Any:
        return (other // self, other % self) if _operand(other) else NotImplemented

    def __neg__(self) -> Any:
        return IMPLEMENTATIONS[np.negative](self)

    def __pos__(self) -> Any:
        return IMPLEMENTATIONS[np.positive](self)

    def __abs__(self) -> Any:
        return IMPLEMENTATIONS[np.absolute](self)

    def __invert__(self) -> Any:
        return IMPLEMENTATIONS[np.invert](self)

    __hash__ = object.__hash__

    def __getitem__(self, key: Any) -> Any:
        return IMPLEMENTATIONS["getitem"](self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(
            f"{self.label}: values on the tape are read-only, so x[key] = v is not possible; "
            "build a new one with np.where(mask, v, x), np.pad or np.concatenate"
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
        self._refuse_leaving("float(node)", sys._getframe(1))
        return float(self.value)

    def __int__(self) -> int:
        self._refuse_leaving("int(node)", sys._getframe(1))
        return int(self.value)

    def __round__(self, ndigits: int | None = None) -> Any:
        return self._call(np.round, ndigits or 0)

    def __contains__(self, x: Any) -> bool:
        return bool(np.any(self.value == (x.value if isinstance(x, ArrayLike) else x)))

    def __format__(self, spec: str) -> str:
        return format(self.value.item() if spec and self.size == 1 else str(self), spec)

    # --- array methods -------------------------------------------------------------------------------

    @property
    def T(self) -> Any:
        return self._call(np.transpose)

    @property
    def mT(self) -> Any:
        return self._call(np.matrix_transpose)

    @property
    def real(self) -> Any:
        return self._call(np.real)

    @property
    def imag(self) -> Any:
        return self._call(np.imag)

    def sort(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{self.label}: values on the tape are read-only, so x.sort() is not possible; use np.sort(x)")

    def item(self, *args: Any) -> Any:
        self._refuse_leaving("node.item()", sys._getframe(1))
        try:
            return self.value.item(*args)
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            kind = IndexError if isinstance(error, OverflowError) else type(error)
            raise kind(
                f"item: got {', '.join(map(repr, args)) or 'no index'} for {self.label} of shape {self.shape}; wanted "
                f"the position of an entry ({error})"
            ) from None

    def tolist(self) -> Any:
        self._refuse_leaving("node.tolist()", sys._getframe(1))
        return self.value.tolist()

    any = _method(np.any)
    all = _method(np.all)
    argmax = _method(np.argmax)
    argmin = _method(np.argmin)
    argpartition = _method(np.argpartition)
    argsort = _method(np.argsort)
    clip = _method(np.clip)
    conj = _method(np.conj)
    conjugate = _method(np.conjugate)
    cumprod = _method(np.cumprod)
    cumsum = _method(np.cumsum)
    diagonal = _method(np.diagonal)
    dot = _method(np.dot)
    max = _method(np.max)
    mean = _method(np.mean)
    min = _method(np.min)
    nonzero = _method(np.nonzero)
    prod = _method(np.prod)
    repeat = _method(np.repeat)
    round = _method(np.round)
    searchsorted = _method(np.searchsorted)
    squeeze = _method(np.squeeze)
    std = _method(np.std)
    sum = _method(np.sum)
    swapaxes = _method(np.swapaxes)
    take = _method(np.take)
    trace = _method(np.trace)
    var = _method(np.var)

    def compress(self, condition: Any, axis: Any = None) -> Any:
        return invoke(np.compress, (condition, self, axis), {}, None)

    def copy(self, order: str = "C") -> Any:
        return self._call(np.copy)

    def flatten(self, order: str = "C") -> Any:
        return self._call(np.ravel, order)

    ravel = flatten

    def reshape(self, *shape: Any, order: Any = "C", copy: bool | None = None) -> Any:
        return self._call(np.reshape, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        return self._call(np.transpose, axes[0] if len(axes) == 1 else axes or None)

    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        if not np.can_cast(self.dtype, dtype, casting):  # type: ignore[arg-type]
            raise TypeError(f"astype: got {self.label} of {self.dtype}; wanted casting that allows {np.dtype(dtype)}")
        return IMPLEMENTATIONS["astype"](self, dtype)


def is_parameter(node: Any) -> bool:
    """Whether ``node`` is a leaf to be learned."""
    return node.kind == "parameter"  # type: ignore[no-any-return]


class Plan(NamedTuple):
    """How the arguments of a NumPy function are passed to its implementation."""

    alike: int  # number of positional arguments with the same meaning in both
    options: frozenset[str]  # keywords with the same meaning in both
    names: tuple[str, ...]  # NumPy's names by position
    leading: int  # number of arguments that the implementation takes by position, under its own names
    defaults: dict[str, Any]  # NumPy's


@cache
def _plan(function: Any, implementation: Any) -> Plan:
    ours = signature(implementation).parameters
    try:
        theirs = signature(function).parameters
    except ValueError:  # a C function without a signature
        theirs = ours
    names, own = ([p.name for p in f.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)] for f in (theirs, ours))  # fmt: skip
    kinds = {p.kind for p in ours.values()}
    leading = sum(ours[n].default is Parameter.empty for n in own)
    if Parameter.VAR_POSITIONAL in kinds:
        alike = names.index("out") if "out" in names else sys.maxsize
    else:
        alike = leading + sum(1 for _ in takewhile(lambda n: n[0] == n[1], zip(names[leading:], own[leading:])))  # noqa: B905
    shared = theirs if Parameter.VAR_KEYWORD in kinds else theirs.keys() & ours.keys()
    defaults = {n: p.default for n, p in theirs.items() if p.default is not p.empty}
    return Plan(alike, frozenset(shared) - {*names[:leading], "out"}, tuple(names), leading, defaults)


def invoke(function: Any, args: Any, kwargs: Any, frame: FrameType | None) -> Any:
    """NumPy's ``function`` on Nodes, with NumPy's positional and keyword arguments; TypeError if it has no rule."""
    implementation = IMPLEMENTATIONS.get(function)
    if implementation is None:
        raise _no_rule(_name(function), frame, WAYS.get(function, ""))
    plan = _plan(function, implementation)
    if len(args) <= plan.alike and (not kwargs or plan.options.issuperset(kwargs)):
        return implementation(*args, **kwargs)
    if len(args) > (most := max(len(plan.names), plan.alike)):
        raise TypeError(f"{_name(function)}: got {len(args)} arguments for a node; wanted at most {most}")
    kwargs = dict(zip(plan.names[plan.alike :], args[plan.alike :], strict=False)) | kwargs
    args = args[: plan.alike]
    for name in plan.names[len(args) : plan.leading]:
        if name in kwargs:
            args = (*args, kwargs.pop(name))
    options = {
        k: v for k, v in kwargs.items() if k in plan.options or not _same(v, plan.defaults.get(k, Parameter.empty))
    }
    if "out" in options:
        raise no_out(_name(function))
    return _checked(_name(function), implementation, args, options)


# What to write in place of methods of ufuncs.
INSTEAD = {
    "at": "values on the tape are read-only; add at positions by a product with a 0/1 matrix of scipy.sparse: S @ x",
    "reduceat": "write np.stack([np.add.reduce(x[i:j]), ...])",
    "reduce": "write a loop over np.unstack(x), or a reduction that NumPy names, such as np.sum or np.all",
    "accumulate": "write a loop, and np.stack",
}


def _as_asked(
    ufunc: Any, args: Any, where: Any = True, dtype: Any = None, signature: Any = None, casting: str = "same_kind",
    order: str = "K", subok: bool = True,
) -> Any:  # fmt: skip
    """The arguments of a ufunc in the dtypes that its options ask for; where the result lies in memory is not promised.

    Raises TypeError for ``where``, which leaves entries without a value, and for dtypes that NumPy refuses.
    """
    if where is not True:
        name = f"np.{ufunc.__name__}"
        raise TypeError(f"{name}: got where, which leaves entries undefined; write np.where(where, {name}(x), other)")
    if dtype is None and signature is None and casting == "same_kind":
        return args
    given = [x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype for x in args]
    asked = signature if signature is not None else (*[None] * ufunc.nin, *[np.dtype(dtype)] * ufunc.nout)
    asked = (
        tuple(np.dtype(t) if isinstance(t, (type, str)) else t for t in asked) if isinstance(asked, tuple) else asked
    )
    found = ufunc.resolve_dtypes((*given, *[None] * ufunc.nout), signature=asked, casting=casting)
    return [x if t == f else IMPLEMENTATIONS["astype"](x, f) for x, t, f in zip(args, given, found)]  # noqa: B905


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) in (str, int, float) and value == default)


@cache
def _keywords(implementation: Callable[..., Any]) -> tuple[str, ...] | None:
    """The names of the options of ``implementation``; None if it accepts any."""
    parameters = signature(implementation).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return tuple(p.name for p in parameters if p.default is not p.empty)


def _checked(name: str, implementation: Callable[..., Any], args: Any, options: dict[str, Any]) -> Any:
    known = _keywords(implementation)
    unexpected = [] if known is None else [k for k in options if k not in known]
    if unexpected:
        wanted = f"no options but {', '.join(known)}" if known else "no options"
        raise TypeError(f"{name}: got {', '.join(unexpected)} for a node; wanted {wanted}")
    return implementation(*args, **options)


def plain(value: Any, what: str) -> Any:
    """``value`` as an array; raises TypeError for a list of Nodes, whose derivatives would be lost."""
    if isinstance(value, (list, tuple)) and _holds_node(value):
        raise TypeError(f"{what}: got a list of nodes; wanted one node (np.stack makes one)")
    if isinstance(value, UNSUPPORTED):
        name, way = ("masked array", ".filled(...)") if isinstance(value, np.ma.MaskedArray) else ("matrix", ".A")
        raise TypeError(f"{what}: got a {name}; wanted a plain array, such as {name.split()[0]}{way}")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{what}: got {type(value).__name__}; wanted an array of numbers ({error})") from error
    if array.dtype.kind not in "fiubc":
        hint = "; use .toarray()" if hasattr(value, "toarray") else ""
        raise TypeError(
            f"{what}: got {type(value).__name__} of dtype {array.dtype}; wanted float32, float64, integers or booleans{hint}"
        )
    return array


def _holds_node(value: Any) -> bool:
    return any(isinstance(v, ArrayLike) or (isinstance(v, (list, tuple)) and _holds_node(v)) for v in value)


def _operand(x: Any) -> bool:
    """Whether operators take ``x`` as an array; otherwise the operator of its class is called."""
    if type(x) in OPERANDS or isinstance(x, (np.ndarray, np.generic, ArrayLike)):
        return True
    if _has_own_ufuncs(x) or isinstance(x, (str, bytes, bytearray)):
        return False
    arrays = ("__array__", "__array_function__", "tocsr")  # tocsr: a sparse one
    return isinstance(x, (int, float, complex, Sequence)) or any(hasattr(type(x), name) for name in arrays)


def _has_own_ufuncs(x: Any) -> bool:
    """Whether the class of ``x`` overrides ufuncs, or refuses them with ``__array_ufunc__ = None``."""
    theirs = getattr(type(x), "__array_ufunc__", ArrayLike.__array_ufunc__)
    return theirs is not ArrayLike.__array_ufunc__ and not isinstance(x, (np.ndarray, np.generic, ArrayLike))


def as_object(x: Any) -> Array:
    """x in a 0-d object array, for which SciPy calls ``__rmatmul__`` instead of reading the numbers."""
    scalar = np.empty((), dtype=object)
    scalar[()] = x
    return scalar


def values(given: Any) -> Any:
    """``given`` with Nodes replaced by their values, also in lists; raises TypeError for Specs."""
    if isinstance(given, ArrayLike):
        return given.value
    if getattr(type(given), "__array_function__", None) is ArrayLike.__array_function__:
        raise TypeError(f"got a Spec {given}, which has no values; wanted an array or node")
    if isinstance(given, dict):
        return {k: values(v) for k, v in given.items()}
    return type(given)(map(values, given)) if type(given) in (list, tuple) else given


def _name(function: Any) -> str:
    return f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}"


def _ufunc_name(ufunc: Any, method: str) -> str:
    name = f"np.{ufunc.__name__}" if hasattr(np, ufunc.__name__) else f"the ufunc {ufunc.__name__}"
    return name if method == "__call__" else f"{name}.{method}"


def no_out(name: str) -> TypeError:
    """The error for an ``out`` argument."""
    return TypeError(f"{name}: out= is not possible, values on the tape are read-only; use the result")


def _no_rule(name: str, frame: FrameType | None = None, way: str = "") -> TypeError:
    if frame and (by := library_function(frame)):
        name = f"{by} (by {name})"
    way = (
        way
        or "write it with other NumPy functions or as an Op (docs/add-an-op.md), or leave the graph with np.asarray(node)"
    )
    return TypeError(f"{name} has no Jacobian in minigraph; {way}")
