"""The Toeplitz product as a node, which lowering puts in place of a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from minigraph import notation
from minigraph.array import Array
from minigraph.facts import Axis, Layer, one_sample
from minigraph.maps import FunctionMap, LinearMap, Shape
from minigraph.node import Spec
from minigraph.op import Op, expect, expect_floats
from minigraph.ops.conv.slots import Conv, patches
from minigraph.ops.shape import reshape


@dataclass(eq=False)
class ToeplitzMatmul(Op):
    """vec(y) = M_F vec(x) for each sample: the convolution ``conv`` as its Toeplitz matrix M_F (K · n′…, C · n…).

    w ``filters`` (K, C/groups, *f), vec(x) (N, C · n…) of images ``size`` (C, *n) → (N, K · n′…).
    J_x = M_F for each sample; J_w = M_X for each filter.
    """

    conv: Conv
    size: Shape
    filters: Shape
    name = "toeplitz_matmul"
    operands = ("w", "vec")
    formulas = ("P (I ⊗ M_X)", "I ⊗ M_F")
    legend = Conv.legend

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        N = y.shape[0]
        return notation.kronecker([("I", N), ("M_F", 0)]) if i else patches(N, self.filters[0], self.conv.groups)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"M_F": "×".join(map(str, (prod(self._out(1)), prod(self.size))))}

    def _out(self, n: int) -> Shape:
        return self.conv.infer(Spec((n, *self.size)), Spec(self.filters)).shape

    def infer(self, w: Spec, vec: Spec) -> Spec:
        valid = w.shape == self.filters and vec.ndim == 2 and vec.shape[1] == prod(self.size)
        expect(valid, self, f"w of shape {self.filters} and vec(x) of shape (N, {prod(self.size)})", w=w, vec=vec)
        return Spec((vec.shape[0], prod(self._out(1))), expect_floats(self, w=w, vec=vec))

    def forward(self, w: Array, vec: Array) -> Array:
        y = self.conv.forward(vec.reshape(len(vec), *self.size), w)
        return y.reshape(len(vec), prod(y.shape[1:]))

    def multiply_adds(self, y: Any, w: Any, vec: Any) -> int:
        return int(y.size * prod(self.filters[1:]))

    def layer(self, learned: int, w: Spec, vec: Spec) -> Layer:
        return Layer((w, one_sample(vec)), 1, 0, cuts=[[Axis("N", ((1, 0), (-1, 0)))]])

    def jacobians(self, y: Any, w: Any, vec: Any) -> list[LinearMap]:
        shape = (vec.shape[0], *self.size)
        x = Spec(shape, vec.dtype) if isinstance(vec, Spec) else reshape(vec, shape)
        J_x, J_w = self.conv.jacobians(Spec(self._out(vec.shape[0]), y.dtype), x, w)
        return [_flat(J_w, w.shape, y.shape), _flat(J_x, vec.shape, y.shape)]


def _flat(J: LinearMap, in_shape: Shape, out_shape: Shape) -> LinearMap:
    """J between arrays of other shapes and the same entries: the same matrix."""
    return FunctionMap(
        in_shape,
        out_shape,
        J.dtype,
        push=lambda v: reshape(J.push(reshape(v, J.in_shape)), out_shape),
        pull=lambda g: reshape(J.pull(reshape(g, J.out_shape)), in_shape),
        matrix=J._matrix,
        bounds=J.bounds,
        rows=J._rows,
    )
