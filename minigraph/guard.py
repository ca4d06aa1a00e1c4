"""Run-time checks of user-defined ops: the value of forward, and shape and dtype of push and pull."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import scipy.sparse as sp

from minigraph.array import Array
from minigraph.maps import Bounds, LinearMap, Shape
from minigraph.node import Node, Spec
from minigraph.op import Op, expect
from minigraph.ownership import own


def checked_infer(infer: Callable[..., Any]) -> Callable[..., Spec]:
    """``infer`` of a user's op, which must return a Spec."""

    @wraps(infer)
    def checked(self: Op, *specs: Any) -> Spec:
        y = infer(self, *specs)
        if not isinstance(y, Spec):
            raise TypeError(f"{self}: infer gave {type(y).__name__}; wanted a Spec of the value's shape and dtype")
        return y

    checked.guarded = True  # type: ignore[attr-defined]
    return checked


def checked_forward(forward: Callable[..., Any]) -> Callable[..., Any]:
    """``forward`` of a user's op, whose result must have the shape and dtype that its ``infer`` gives."""

    @wraps(forward)
    def checked(self: Op, *xs: Any) -> Any:
        y: Any = forward(self, *map(read_only, xs))
        saved: list[Any] = []
        if type(y) is tuple:
            if len(y) != 2:
                raise TypeError(
                    f"{self}: forward gave a tuple of {len(y)}; wanted a value, or a value and what it saves"
                )
            y, *saved = y
        wanted = self.infer(*[Spec(np.shape(x), np.asarray(x).dtype) for x in xs])
        if not isinstance(y, (np.ndarray, np.generic)):
            raise TypeError(f"{self}: forward gave {type(y).__name__}; wanted an array {wanted}")
        expect(y.shape == wanted.shape, self, f"a value {wanted} from forward, as infer says", shape=y.shape)
        if y.dtype != wanted.dtype:
            raise TypeError(f"{self}: forward gave dtype {y.dtype}; wanted {wanted.dtype}, as infer says")
        y = own(y)  # not a buffer that the op will write again
        return (y, *saved) if saved else y

    checked.guarded = True  # type: ignore[attr-defined]
    return checked


def read_only(x: Any) -> Any:
    """A read-only view of an array; anything else unchanged."""
    if isinstance(x, np.ndarray):
        x = x.view()
        x.flags.writeable = False
    return x


class Checked(LinearMap):
    """The Jacobian J of a user's op with respect to input i, with its results checked against the shapes of x and y.

    Raises TypeError and ShapeError that name the op, the input, what it got and what it wanted.
    """

    def __init__(self, op: Op, i: int, J: Any, y: Any, x: Any) -> None:
        self.of, self.what = J, f"{op}, Jacobian with respect to input {i}"
        if not isinstance(J, LinearMap):
            raise TypeError(f"{self.what}: got {type(J).__name__}; wanted a LinearMap or None")
        super().__init__(x.shape, y.shape, J.dtype)
        self.in_dtype, self.out_dtype = x.dtype, y.dtype
        shapes = J.in_shape, J.out_shape
        expect(
            shapes == (x.shape, y.shape), self.what, f"a map {x.shape} → {y.shape}", map=f"{shapes[0]} → {shapes[1]}"
        )

    def push(self, v: Any) -> Any:
        tangent = self.of._push(read_only(v))
        self._expect(tangent, self.out_shape, v.dtype == self.in_dtype, self.out_dtype, "push")
        return own(tangent)

    def pull(self, g: Any) -> Any:
        cotangent = self.of._pull(read_only(g))
        self._expect(cotangent, self.in_shape, g.dtype == self.out_dtype, self.in_dtype, "pull")
        return own(cotangent)

    def _expect(self, result: Any, shape: Shape, of_our_dtype: bool, dtype: Any, verb: str) -> None:
        if not isinstance(result, (np.ndarray, np.generic, Node)):
            raise TypeError(f"{self.what}: {verb} gave {type(result).__name__}; wanted an array of shape {shape}")
        expect(result.shape == shape, self.what, f"shape {shape} from {verb}", shape=result.shape)
        if of_our_dtype and result.dtype != dtype:
            raise TypeError(f"{self.what}: {verb} gave dtype {result.dtype}; wanted {dtype}")

    @property
    def bounds(self) -> Bounds:
        bounds: Bounds = self.of.bounds
        return bounds

    def _matrix(self) -> sp.csr_array:
        return self._sized(self.of._matrix(), self.shape)

    def _rows(self, index: Array) -> sp.csr_array:
        return self._sized(self.of._rows(index), (len(index), self.shape[1]))

    @property
    def by_sample(self) -> bool:
        return bool(self.of.by_sample)

    def _pull_samples(self, rows: Any) -> Any:
        return self.of._pull_samples(rows)

    def _push_rows(self, rows: Any) -> Any:
        return self.of._push_rows(rows)

    def _pull_rows(self, rows: Any) -> Any:
        return self.of._pull_rows(rows)

    def _sized(self, matrix: sp.csr_array, shape: tuple[int, int]) -> sp.csr_array:
        expect(matrix.shape == shape, self.what, f"a matrix of shape {shape}", shape=matrix.shape)
        return matrix

    def __str__(self) -> str:
        return str(self.of)


def checked_jacobians(jacobians: Callable[..., Any]) -> Callable[..., Any]:
    """``jacobians`` of a user's op, which must return a map of the right shapes, or None, for each input."""

    @wraps(jacobians)
    def checked(self: Op, y: Any, *xs: Any, **saved: Any) -> list[LinearMap | None]:
        maps = jacobians(self, y, *xs, **saved)
        if not isinstance(maps, (list, tuple)) or len(maps) != len(xs):
            given = len(maps) if isinstance(maps, (list, tuple)) else type(maps).__name__
            raise TypeError(f"{self}: got {given} Jacobians for {len(xs)} inputs; wanted a LinearMap or None for each")
        return [None if J is None else Checked(self, i, J, y, x) for i, (x, J) in enumerate(zip(xs, maps, strict=True))]

    checked.guarded = True  # type: ignore[attr-defined]
    return checked


def checked_pull(pull: Callable[..., Any]) -> Callable[..., Any]:
    """``pull`` of a user's op, which must return a cotangent of the right shape for each input that is wanted."""

    @wraps(pull)
    def checked(self: Op, g: Any, wanted: Any, y: Any, *xs: Any, **saved: Any) -> Any:
        cotangents = pull(self, read_only(g), wanted, y, *xs, **saved)
        if cotangents is NotImplemented:
            return cotangents
        if not isinstance(cotangents, (list, tuple)) or len(cotangents) != len(xs):
            given = len(cotangents) if isinstance(cotangents, (list, tuple)) else type(cotangents).__name__
            raise TypeError(
                f"{self}: got {given} cotangents from pull for {len(xs)} inputs; wanted one or None for each"
            )
        for i, (c, x, asked) in enumerate(zip(cotangents, xs, wanted, strict=True)):
            if asked and c is not None:
                what = f"{self}, cotangent of input {i}"
                if not isinstance(c, (np.ndarray, np.generic, Node)):
                    raise TypeError(f"{what}: pull gave {type(c).__name__}; wanted an array of shape {x.shape}")
                expect(c.shape == x.shape, what, f"shape {x.shape} from pull", shape=c.shape)
                if c.dtype != x.dtype:
                    raise TypeError(f"{what}: pull gave dtype {c.dtype}; wanted {x.dtype}")
        return [own(c) for c in cotangents]

    checked.guarded = True  # type: ignore[attr-defined]
    return checked


Op.guards |= {"infer": checked_infer, "forward": checked_forward, "jacobians": checked_jacobians, "pull": checked_pull}
