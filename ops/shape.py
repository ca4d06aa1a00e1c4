"""Ops that only move entries: each output entry is one input entry, or zero.

J is a 0/1 selection matrix, found by sending the entries' numbers through the same function
(maps.Selection), so NumPy's own function is kernel, rule and matrix at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from inspect import signature
from itertools import pairwise
from operator import index, itemgetter
from typing import Any, ClassVar

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from minigraph import notation
from minigraph.arguments import expect_choice
from minigraph.array import IMPLEMENTATIONS, Array, no_out
from minigraph.facts import Reach
from minigraph.kernels.numpy.memory import in_memory
from minigraph.maps import Broadcast, LinearMap, Selection, promoted
from minigraph.node import FLOATS, Node, Spec, value_of
from minigraph.op import Op, expect, implements, operand
from minigraph.sums import total

__all__ = [
    "array_split", "astype", "atleast_1d", "atleast_2d", "broadcast_to", "concat", "concatenate", "copy",
    "delete", "diag", "diagonal", "diff", "expand_dims", "flatten", "flip", "fliplr", "flipud", "getitem",
    "hstack", "matrix_transpose", "median", "moveaxis", "pad", "ravel", "repeat", "reshape", "roll",
    "rot90", "sort", "split", "squeeze", "stack", "swapaxes", "take", "take_along_axis", "tile", "trace",
    "transpose", "tril", "triu", "vstack",
]  # fmt: skip

MAX_SECTIONS = 1_000_000
RESHAPES = {"reshape", "ravel", "squeeze", "expand_dims", "atleast_1d", "atleast_2d", "copy"}  # keep vec(x) as it is


class Rearrange(Op):
    """y = move(x, *args).   J = the 0/1 matrix of the move; Jᵀ = ``back(g, x)`` where given, else a scatter."""

    name = "rearrange"
    checks_itself = True
    rearranges = True

    def __init__(
        self,
        name: str,
        move: Callable[[Any], Any],
        back: Callable[..., Any] | None = None,
        value: Callable[[Any], Any] | None = None,
        **hyperparameters: Any,
    ) -> None:
        self.name, self.move, self.back, self.value = name, move, back, value or move
        self._hyperparameters = hyperparameters

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return self._hyperparameters

    legend: ClassVar[dict[str, str]] = {
        "P": "0/1: the row of each output has a 1 at the entry it is taken from, if any"
    }

    def formula(self, i: int) -> str | None:
        return "I" if self.name in RESHAPES and "F" not in map(str, self.hyperparameters.values()) else "P"

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        return notation.stretching(xs[0].shape, y.shape) if self.name == "broadcast_to" else self.formula(i)

    def reach(self, y: Any, x: Any, *weights: Any) -> Reach:
        d = len(x.shape) - 2
        if self.name == "getitem" and len(y.shape) == len(x.shape):
            return Reach((1,) * d, tuple(_steps(self.hyperparameters["key"], len(x.shape))[2:]))
        return Reach((1,) * d, (1,) * d) if self.name == "pad" else super().reach(y, x)

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0,)]

    def infer(self, x: Spec) -> Spec:
        try:  # a broadcast zero has the shape without the memory
            return Spec(self.move(np.broadcast_to(np.int8(0), x.shape)).shape, x.dtype)
        except (TypeError, AttributeError, ValueError, IndexError, OverflowError, MemoryError) as error:
            options = ", ".join(str(a) if k.isdigit() else f"{k} {a}" for k, a in self.hyperparameters.items())
            wanted = f"arguments that NumPy takes ({error})"
            if isinstance(error, IndexError) and not isinstance(error, ValueError):  # AxisError is both
                raise IndexError(
                    f"{self}: got x {x}; {error}; wanted arguments that NumPy takes, not {options}"
                ) from None
            if isinstance(error, (TypeError, AttributeError)):
                raise TypeError(f"{self}: got x {x}, arguments {options}; wanted {wanted}") from None
            expect(False, self, wanted, x=x, arguments=options)
            raise

    def forward(self, x: Array) -> Any:
        try:
            return self.value(x)
        except (AttributeError, OverflowError, MemoryError) as error:
            raise ValueError(str(error)) from None

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap | None]:
        if x.dtype.kind not in "fc":
            return (None,)
        back = None if self.back is None else partial(self.back, x=x)
        return (Selection(self.move, x.shape, y.shape, x.dtype, back),)


def _steps(key: Any, ndim: int) -> list[int]:
    """The steps of an index of slices along each axis."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in keys:
        i = keys.index(Ellipsis)
        keys[i : i + 1] = [slice(None)] * (ndim - len(keys) + 1)
    keys += [slice(None)] * (ndim - len(keys))
    return [abs(k.step or 1) if isinstance(k, slice) else 1 for k in keys]


def copied_option(name: str, option: Any) -> Any:
    """A copy of an option, since its owner may change it later; of an integer or boolean node its value."""
    if option is None or type(option) in (int, bool, str):
        return option
    if type(option) in (list, tuple):
        return type(option)([copied_option(name, o) for o in option])
    if isinstance(option, Node):
        if option.dtype in FLOATS:
            raise TypeError(
                f"{name}: got {option.label} of dtype {option.dtype} as an option; wanted integers, since options are not differentiated"
            )
        return option.value
    if isinstance(option, Spec):
        raise TypeError(f"{name}: got a Spec {option} as an option, which has no values; wanted integers")
    try:
        return deepcopy(option)
    except TypeError:  # a generator, which could be read once only
        raise TypeError(
            f"{name}: got {type(option).__name__} as an option; wanted integers or a list of them"
        ) from None


def axis_of(name: str, axis: Any, ndim: int) -> int:
    """``axis`` counted from the first; raises TypeError and ShapeError naming ``name``."""
    n = _integer(name, "axis", axis)
    expect(-ndim <= n < ndim, name, f"an axis from {-ndim} to {ndim - 1}" if ndim else "an x with axes", axis=axis)
    return n % ndim


def _integer(name: str, what: str, n: Any) -> int:
    try:
        return index(n)
    except TypeError:
        raise TypeError(f"{name}: got {what} {n!r}; wanted an integer") from None


def arrays_of(name: str, arrays: Any) -> list[Any]:
    if not np.iterable(arrays) or isinstance(arrays, (str, Spec)):
        raise TypeError(f"{name}: got {type(arrays).__name__}; wanted a list of arrays")
    operands = [x if isinstance(x, Node) else operand(name, x) for x in arrays]
    expect(bool(operands), name, "at least one array", arrays="none")
    return operands


def _rearrangement(
    name: str, function: Callable[..., Any], back: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    names = list(signature(function).parameters)
    out = names.index("out") - 1 if "out" in names else None

    def apply(x: Any, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = (
            tuple(copied_option(name, a) for a in args),
            {k: copied_option(name, a) for k, a in kwargs.items()},
        )
        if kwargs.pop("out", None) is not None or (out is not None and args[out:] and args[out] is not None):
            raise no_out(name)
        orders = {a for a in (*args, *kwargs.values()) if isinstance(a, str)}
        if not orders <= {"C", "F", "raise", "wrap", "clip"}:
            raise ValueError(
                f"{name}: got {', '.join(sorted(orders))}; wanted order 'C' or 'F', a mode of numpy.take, or integers"
            )
        shown = {str(i): a for i, a in enumerate(args)} | kwargs
        pull = None if back is None or "F" in orders else (lambda g, x: back(g, x, *args, **kwargs))
        return Rearrange(name, lambda v: function(v, *args, **kwargs), pull, **shown)(x)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = (
        f"{(function.__doc__ or name).strip().splitlines()[0]} As numpy.{name}; J is a 0/1 selection matrix."
    )
    IMPLEMENTATIONS[function] = apply
    return apply


def _like(g: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    return np.reshape(g, x.shape)


def _untranspose(g: Any, x: Any, axes: Any = None) -> Any:
    return np.transpose(g, None if axes is None else np.argsort([normalize_axis_index(a, len(x.shape)) for a in axes]))


def _unbroadcast(g: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    return Broadcast(x, g.shape).pull(g)


def _rows(g: Any, x: Any) -> Any:
    return g if len(x.shape) > 1 else total(g, 0)  # a vector stands in every row


R = _rearrangement
_reshape = R("reshape", np.reshape, _like)
ravel = R("ravel", np.ravel, _like)
squeeze = R("squeeze", np.squeeze, _like)
expand_dims = R("expand_dims", np.expand_dims, _like)
transpose = R("transpose", np.transpose, _untranspose)
moveaxis = R("moveaxis", np.moveaxis, lambda g, x, source, destination: np.moveaxis(g, destination, source))
swapaxes = R("swapaxes", np.swapaxes, lambda g, x, axis1, axis2: np.swapaxes(g, axis1, axis2))
matrix_transpose = R("matrix_transpose", np.matrix_transpose, lambda g, x: np.matrix_transpose(g))
broadcast_to = R("broadcast_to", np.broadcast_to, _unbroadcast)
flip = R("flip", np.flip, lambda g, x, axis=None: np.flip(g, axis))
fliplr = R("fliplr", np.fliplr, lambda g, x: np.fliplr(g))
flipud = R("flipud", np.flipud, lambda g, x: np.flipud(g))
rot90 = R("rot90", np.rot90, lambda g, x, k=1, axes=(0, 1): np.rot90(g, -k, axes))
roll = R("roll", np.roll, lambda g, x, shift, axis=None: np.roll(g, np.negative(shift), axis))
repeat = R("repeat", np.repeat)
tile = R("tile", np.tile)
take = R("take", np.take)
take_along_axis = R("take_along_axis", np.take_along_axis)
diagonal = R("diagonal", np.diagonal)
diag = R("diag", np.diag)
tril = R("tril", np.tril, lambda g, x, k=0: _rows(np.tril(g, k), x))
triu = R("triu", np.triu, lambda g, x, k=0: _rows(np.triu(g, k), x))
delete = R("delete", np.delete)
atleast_1d = R("atleast_1d", np.atleast_1d, _like)
atleast_2d = R("atleast_2d", np.atleast_2d, _like)


@implements(np.reshape)
def reshape(x: Any, shape: Any, *args: Any, **kwargs: Any) -> Any:
    """The entries of x in another shape, of which one side may be -1 to be found, as numpy.reshape."""
    for n in shape if isinstance(shape, (tuple, list)) else (shape,):
        if type(n) is int and n < -1:
            expect(False, "reshape", "sides of at least 0, or one -1", shape=shape)
    return _reshape(x, shape, *args, **kwargs)


@implements("expand")
def _expanded(x: Any, n: int) -> Any:
    """x with n axes of one entry at the end."""
    x = x if isinstance(x, Spec) else operand("outer", x)
    return reshape(x, (*x.shape, *[1] * n))


@implements(np.copy)
def copy(x: Any) -> Any:
    """A new node with the value of x; J = I."""
    return Rearrange("copy", lambda v: v, lambda g, x: g)(x) if isinstance(x, (Node, Spec)) else np.array(x)


@implements(np.trace)
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Sum along a diagonal, as numpy.trace."""
    return np.sum(diagonal(x, offset, axis1, axis2), axis=-1)


def _index(key: Any) -> Any:
    """One index of several; arrays are copied, since theirs may change later."""
    if isinstance(key, Node):
        return value_of(key)
    if isinstance(key, (list, np.ndarray)):
        try:
            array = np.array(key)
        except ValueError:
            raise IndexError(f"getitem: got key {key!r}; wanted a list of integers or booleans") from None
        return array if array.size or array.dtype == bool else array.astype(int)
    return key


@implements("getitem")
def getitem(x: Any, key: Any) -> Any:
    """x[key] by NumPy's basic and advanced indexing. J selects. Raises IndexError naming x."""
    keys = tuple(_index(k) for k in (key if isinstance(key, tuple) else (key,)))
    basic = all(k is None or k is Ellipsis or isinstance(k, (slice, int, np.integer)) for k in keys)

    def back(g: Any, x: Any) -> Any:
        out = np.zeros_like(g, shape=x.shape) if g.ndim == len(x.shape) else np.zeros(x.shape, g.dtype)
        out[keys] = g
        return out

    return Rearrange(
        "getitem", lambda v: v[keys], back if basic else None, key=keys if isinstance(key, tuple) else keys[0]
    )(x)


@implements(np.sort)
def sort(x: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Any:
    """Entries in ascending order along ``axis``. (S) → (S). J is the permutation matrix; ties keep their order."""
    x = operand("sort", x)
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_of("sort", axis, len(x.shape))
    known = not (isinstance(x, Spec) or (isinstance(x, Node) and x.abstract))
    order = np.argsort(value_of(x) if known else np.zeros(x.shape), axis=axis, kind="stable")
    return Rearrange("sort", lambda v: np.take_along_axis(v, order, axis), axis=axis)(x)


@implements(np.median)
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle entry over ``axis``, or the mean of the two in the middle."""
    x = operand("median", x)
    ndim = len(x.shape)
    axes = range(ndim) if axis is None else axis if np.iterable(axis) else [axis]
    over = [axis_of("median", a, ndim) for a in axes]
    rest = [a for a in range(ndim) if a not in over]
    rows = reshape(transpose(x, [*rest, *over]), (*[x.shape[a] for a in rest], -1))
    n = rows.shape[-1]
    expect(n > 0, "median", "at least one entry", x=x.shape)
    ordered = sort(rows, -1)
    middle, last = np.mean(take(ordered, [(n - 1) // 2, n // 2], -1), axis=-1), take(ordered, n - 1, -1)
    y = np.where(np.isnan(last), last, middle)  # NaN is sorted to the end
    return reshape(y, [1 if a in over else n for a, n in enumerate(x.shape)]) if keepdims else y


@implements(np.pad)
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    """Pad as numpy.pad: constant, edge, reflect, symmetric or wrap. J selects; a node as constant is copied around x."""
    x = operand("pad", x)
    expect_choice("pad", ("constant", "edge", "reflect", "symmetric", "wrap"), mode=mode)
    width = _widths(pad_width, len(x.shape))

    def padded(v: Any) -> Any:  # in the order in memory that v has
        order = in_memory(v)
        return np.pad(v.transpose(order), width[order], mode).transpose(np.argsort(order))  # type: ignore[call-overload]

    if mode != "constant":
        return Rearrange("pad", padded, pad_width=width.tolist(), mode=mode)(x)

    def back(g: Any, x: Any) -> Any:
        return g[tuple(slice(b, b + n) for b, n in zip(width[:, 0], x.shape, strict=True))]

    if isinstance(constant_values, (Node, Spec)) and constant_values.dtype in FLOATS:
        expect(
            constant_values.size == 1, "pad", "a node of one entry as constant", constant_values=constant_values.shape
        )
        inside = np.pad(np.ones(x.shape, bool), width)
        return np.where(inside, pad(x, width), reshape(astype(constant_values, x.dtype), ()))
    value = None
    if type(constant_values) is not int or constant_values:
        constants = _pairs("constant_values", constant_values, len(x.shape), "fiub")
        value = partial(np.pad, pad_width=width, constant_values=constants)
    return Rearrange("pad", padded, back, value, pad_width=width.tolist())(x)


def _widths(pad_width: Any, ndim: int) -> Any:
    """Entries before and after each axis, (ndim, 2)."""
    if isinstance(pad_width, dict):  # of axes, the others have none
        widths = np.zeros((ndim, 2), int)
        for axis, width in pad_width.items():
            widths[axis_of("pad", axis, ndim)] = _widths(width, 1)[0]
        return widths
    width = _pairs("pad_width", pad_width, ndim, "iu")
    expect(bool((width >= 0).all()), "pad", "widths of at least 0", pad_width=pad_width)
    return width.astype(int, copy=False)


def _pairs(what: str, given: Any, ndim: int, kinds: str) -> Any:
    """One for each side of each axis, (ndim, 2)."""
    if type(given) is int and abs(given) < 1 << 62:
        return np.full((ndim, 2), given)
    try:
        array = np.array(copied_option("pad", given))
    except ValueError:  # lists of different lengths
        array = np.array(None)
    if array.dtype.kind not in kinds:
        raise TypeError(
            f"pad: got {what} {given!r}; wanted {'integers' if kinds == 'iu' else 'numbers'} that an array can hold"
        )
    valid = array.shape in ((), (1,), (2,), (1, 1), (1, 2), (ndim, 1), (ndim, 2))
    expect(valid, "pad", f"{what} that broadcast to ({ndim}, 2)", given=given)
    return np.array(np.broadcast_to(array, (ndim, 2)))


class Concatenate(Op):
    """y = the xs one after another along ``axis``.   Jᵢ places xᵢ among zeros; Jᵢᵀ is its slice of g."""

    name = "concatenate"
    legend: ClassVar[dict[str, str]] = {"P": "0/1: the row of each output taken from this operand has a 1 at its entry"}

    def formula(self, i: int) -> str | None:
        return notation.numbered("P", i + 1)

    def __init__(self, axis: int = 0) -> None:
        self.axis = _integer(self.name, "axis", axis)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"axis": self.axis}

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(i,) for i in range(n)]

    def infer(self, *xs: Spec) -> Spec:
        got = {f"array {i}": x for i, x in enumerate(xs, 1)}
        expect(len(xs) > 0, self, "at least one array", arrays="none")
        ndim = xs[0].ndim
        expect(-ndim <= self.axis < ndim, self, f"axis {self.axis} to name an axis", **got)
        axis = self.axis % ndim
        others = {x.shape[:axis] + x.shape[axis + 1 :] for x in xs}
        expect(
            len(others) == 1 and all(x.ndim == ndim for x in xs),
            self,
            f"shapes that agree but for axis {self.axis}",
            **got,
        )
        side = sum(x.shape[axis] for x in xs)
        return Spec((*xs[0].shape[:axis], side, *xs[0].shape[axis + 1 :]), np.result_type(*[x.dtype for x in xs]))

    def forward(self, *xs: Array) -> Array:
        return np.concatenate(xs, axis=self.axis)

    def jacobians(self, y: Any, *xs: Any) -> list[LinearMap | None]:
        axis = self.axis % len(y.shape)
        ends = np.cumsum([0, *[x.shape[axis] for x in xs]])
        maps: list[LinearMap | None] = []
        for x, (start, stop) in zip(xs, pairwise(ends), strict=True):
            place = (slice(None),) * axis + (slice(int(start), int(stop)),)

            def move(v: Any, place: Any = place) -> Any:
                out = np.zeros(y.shape, v.dtype)
                out[place] = v
                return out

            J = Selection(move, x.shape, y.shape, y.dtype, itemgetter(place))
            maps.append(promoted(J, x) if x.dtype.kind in "fc" else None)
        return maps


@implements(np.concatenate)
def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    """Join along an axis that exists, as numpy.concatenate. Jᵢ places xᵢ among zeros."""
    arrays = arrays_of("concatenate", arrays)
    if axis is None:
        arrays, axis = [ravel(x) for x in arrays], 0
    return Concatenate(axis)(*arrays)


concat = concatenate
implements(np.concat)(concatenate)


@implements(np.stack)
def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Join along a new axis, as numpy.stack."""
    arrays = arrays_of("stack", arrays)
    if len({x.shape for x in arrays}) > 1:
        expect(False, "stack", "arrays of one shape", **{f"array {i}": x.shape for i, x in enumerate(arrays, 1)})
    axis = axis_of("stack", axis, len(arrays[0].shape) + 1)
    return concatenate([expand_dims(x, axis) for x in arrays], axis)


@implements(np.hstack)
def hstack(arrays: Sequence[Any]) -> Any:
    """Join along the second axis (the first of vectors), as numpy.hstack."""
    arrays = [atleast_1d(x) for x in arrays_of("hstack", arrays)]
    return concatenate(arrays, 0 if len(arrays[0].shape) == 1 else 1)


@implements(np.vstack)
def vstack(arrays: Sequence[Any]) -> Any:
    """Join along the first axis, rows from vectors, as numpy.vstack."""
    return concatenate([atleast_2d(x) for x in arrays_of("vstack", arrays)], 0)


@implements(np.split)
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Cut along ``axis`` into equal sections, or before the given indices, as numpy.split."""
    return _split("split", x, indices_or_sections, axis)


@implements(np.array_split)
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Cut along ``axis`` into nearly equal sections, or before the given indices, as numpy.array_split."""
    return _split("array_split", x, indices_or_sections, axis)


def _split(name: str, x: Any, at: Any, axis: int) -> list[Any]:
    x = operand(name, x)
    axis = axis_of(name, axis, len(x.shape))
    n, at = x.shape[axis], copied_option(name, at)
    if np.iterable(at) and not isinstance(at, str):
        at = [_integer(name, "an index", i) for i in at]
    else:
        at = _integer(name, "sections", at)
        expect(at > 0, name, "at least one section", sections=at)
        expect(at <= MAX_SECTIONS, name, f"at most {MAX_SECTIONS} sections", sections=at)
        expect(name != "split" or n % at == 0, name, f"a side that {at} divides", side=n)
    pieces = np.array_split(np.arange(n), at)
    bounds = [(int(p[0]), int(p[-1]) + 1) if p.size else (0, 0) for p in pieces]
    return [getitem(x, (slice(None),) * axis + (slice(a, b),)) for a, b in bounds]


@implements(np.diff)
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along ``axis``, n times, as numpy.diff; ``prepend`` and ``append`` are put before and after x."""
    x, n = operand("diff", x), _integer("diff", "n", n)
    if n and (prepend is not None or append is not None):
        at = axis_of("diff", axis, len(x.shape))
        side = (*x.shape[:at], 1, *x.shape[at + 1 :])
        ends = [None if e is None else operand("diff", e) for e in (prepend, append)]
        ends = [broadcast_to(e, side) if e is not None and not e.shape else e for e in ends]
        x = concatenate([part for part in (ends[0], x, ends[1]) if part is not None], at)
    if n < 0:
        raise ValueError(f"diff: got n {n}; wanted at least 0")
    axis = axis_of("diff", axis, len(x.shape))
    for _ in range(min(n, x.shape[axis])):  # after which nothing is left
        side = x.shape[axis]
        x = take(x, range(1, side), axis) - take(x, range(side - 1), axis)
    return x


class Cast(Op):
    """y = x in another dtype.   (S) → (S);   J = I."""

    name = "astype"
    formulas = ("I",)

    def __init__(self, dtype: Any) -> None:
        wanted = "wanted float32, float64, an integer type or bool"
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            raise TypeError(f"astype: got dtype {dtype!r}; {wanted}") from None
        if self.dtype not in FLOATS and self.dtype.kind not in "iub":
            raise TypeError(f"astype: got dtype {self.dtype}; {wanted}")

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"dtype": self.dtype.name}

    def infer(self, x: Spec) -> Spec:
        return Spec(x.shape, self.dtype)

    def forward(self, x: Array) -> Any:
        return x.astype(self.dtype, copy=False)

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap | None]:
        return (Broadcast(x, x.shape, self.dtype) if self.dtype in FLOATS and x.dtype in FLOATS else None,)


@implements("astype", getattr(np, "astype", "astype"))  # new in NumPy 2.1
def astype(x: Any, dtype: Any) -> Any:
    """x in float32, float64, an integer or boolean dtype; the derivative passes between the float ones."""
    return Cast(dtype)(x)


def flatten(x: Any, start_dim: int = 1) -> Any:
    """Join the axes from ``start_dim`` on, as torch.flatten from a batch: (N, C, H, W) → (N, C·H·W). J = I.

    Raises ShapeError if ``start_dim`` is not an axis, TypeError unless it is an integer.
    """
    x, start_dim = operand("flatten", x), _integer("flatten", "start_dim", start_dim)
    expect(
        0 <= start_dim <= len(x.shape), "flatten", f"start_dim from 0 to {len(x.shape)}", start_dim=start_dim, x=x.shape
    )
    return reshape(x, (*x.shape[:start_dim], int(np.prod(x.shape[start_dim:]))))
