"""NumPy functions that answer a question about an array: of a Node they give plain arrays, with no derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from minigraph.array import QUERIES, WAYS, values
from minigraph.mode import MODE
from minigraph.node import FLOATS, Node, ShapeError, Spec, constant
from minigraph.op import implements
from minigraph.ops.shape import astype, axis_of, broadcast_to, take


def _plain(function: Callable[..., Any]) -> None:
    implements(function)(partial(_answer, function))
    QUERIES.add(function.__name__)


def _answer(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What NumPy answers. Raises TypeError and ShapeError naming the function and its arguments."""
    args, kwargs = _values(function, args), _values(function, kwargs)
    try:
        return function(*args, **kwargs)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        given = [*map(_shown, args), *[f"{k} {_shown(v)}" for k, v in kwargs.items()]]
        kind = TypeError if isinstance(error, TypeError) else ShapeError
        raise kind(
            f"np.{function.__name__}: got {', '.join(given)}; wanted arguments that NumPy takes ({error})"
        ) from None


def _shown(x: Any) -> str:
    return f"an array {x.shape}" if isinstance(x, np.ndarray) else repr(x)[:100]


def _values(function: Callable[..., Any], given: Any) -> Any:
    try:
        return values(given)
    except TypeError as error:
        raise TypeError(f"np.{function.__name__}: {error}") from None


# Answers are integers, booleans or text.
for _function in (
    np.argmax, np.argmin, np.argsort, np.argwhere, np.any, np.all, np.nonzero, np.count_nonzero, np.array_equal,
    np.allclose, np.isclose, np.searchsorted, np.array2string, np.array_repr, np.array_str, np.may_share_memory,
    np.shares_memory, np.iscomplexobj, np.isrealobj, np.argpartition, np.array_equiv, np.can_cast,
    np.common_type, np.diag_indices_from, np.digitize, np.einsum_path, np.flatnonzero, np.iscomplex,
    np.isin, np.isneginf, np.isposinf, np.isreal, np.ix_, np.lexsort, np.linalg.matrix_rank,
    np.min_scalar_type, np.nanargmax, np.nanargmin, np.ravel_multi_index, np.result_type, np.tril_indices_from,
    np.triu_indices_from, np.unravel_index,
):  # fmt: skip
    _plain(_function)
for _ufunc, _function in ((np.logical_and, np.all), (np.logical_or, np.any)):
    implements((_ufunc, "reduce"))(
        lambda x, axis=0, keepdims=False, where=True, function=_function: function(
            x, axis, keepdims=keepdims, where=where
        )
    )
implements(np.shape)(lambda x: x.shape)
implements(np.ndim)(lambda x: len(x.shape))


@implements(np.size)
def size(x: Any, axis: Any = None) -> int:
    """The number of entries, in all or along ``axis``, as numpy.size."""
    ndim = len(x.shape)
    axes = range(ndim) if axis is None else axis if np.iterable(axis) else [axis]
    return prod(x.shape[axis_of("size", a, ndim)] for a in axes)


def _save(function: Callable[..., Any]) -> None:
    def save(*args: Any, **kwargs: Any) -> Any:
        if MODE.get().tracing:
            raise TypeError(
                f"np.{function.__name__}: got a node that is being differentiated; wanted node.value, which has no derivative"
            )
        return function(*_values(function, args), **_values(function, kwargs))

    implements(function)(save)
    QUERIES.add(function.__name__)


for _writer in (np.save, np.savez, np.savez_compressed, np.savetxt):
    _save(_writer)


def _filled(function: Callable[..., Any]) -> None:
    def like(x: Any, dtype: Any = None, order: Any = "K", subok: bool = True, *, shape: Any = None) -> Any:
        if isinstance(x, Spec) or (isinstance(x, Node) and x.abstract):
            return constant(Spec(x.shape if shape is None else shape, x.dtype if dtype is None else dtype))
        return function(x.value if isinstance(x, Node) else x, dtype, order, subok, shape=shape)

    implements(function)(like)


for _filler in (np.zeros_like, np.ones_like, np.empty_like):
    _filled(_filler)


@implements(np.full_like)
def full_like(
    x: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, *, shape: Any = None
) -> Any:
    """fill_value, broadcast to x's shape and in its dtype, as numpy.full_like. J copies fill_value; x has no derivative."""
    if isinstance(fill_value, (Node, Spec)):
        return broadcast_to(
            astype(fill_value, x.dtype if dtype is None else dtype), x.shape if shape is None else shape
        )
    like = np.empty_like(x, dtype, order, subok, shape=shape)
    return like if isinstance(like, Node) else np.full_like(like, fill_value)


@implements(np.unique)
def unique(
    x: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    **options: Any,
) -> Any:
    """The different entries in ascending order, as numpy.unique. J selects the first of equal entries."""
    kept, index, *rest = _answer(np.unique, x, True, return_inverse, return_counts, axis, **options)
    if x.dtype in FLOATS:
        kept = take(x, index, axis)
    answers = (kept, *([index] if return_index else []), *rest)
    return answers if len(answers) > 1 else kept


WAYS.update(dict.fromkeys(
    (np.put, np.putmask, np.place, np.copyto, np.fill_diagonal, np.put_along_axis),
    "values on the tape are read-only: build a new array with np.where(mask, v, x)",
))  # fmt: skip
WAYS.update(dict.fromkeys(
    (np.histogram, np.histogram2d, np.histogramdd, np.histogram_bin_edges),
    "counts do not change with the entries: use np.asarray(node)",
))  # fmt: skip
WAYS.update({
    np.polyfit: "use np.linalg.solve(V.T @ V, V.T @ y) with V = np.vander(x, degree + 1)",
    np.linalg.lstsq: "use np.linalg.solve(A.T @ A, A.T @ b), or np.linalg.pinv(A) @ b",
    np.linalg.qr: "use np.linalg.cholesky(A.T @ A)",
    np.linalg.svd: "use np.linalg.svdvals(A), or np.linalg.eigh(A.T @ A)",
    np.linalg.eig: "use np.linalg.eigh if the matrix is symmetric",
    np.linalg.eigvals: "use np.linalg.eigvalsh if the matrix is symmetric",
    np.sort_complex: "use np.sort, since nodes are real",
})  # fmt: skip

# Of lists of nodes too: these answer with booleans.
QUERIES.update(
    f.__name__
    for f in (
        np.isnan, np.isinf, np.isfinite, np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
        np.logical_and, np.logical_or, np.logical_xor, np.logical_not,
    )
)  # fmt: skip
