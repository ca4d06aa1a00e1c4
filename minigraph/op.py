"""Op: a kind of node, defined by its kernel, its shape rule and its local Jacobians."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from minigraph.anomaly import caller, finite
from minigraph.array import IMPLEMENTATIONS, plain
from minigraph.facts import Facts
from minigraph.mode import MODE, refuse_replay
from minigraph.node import Node, ShapeError, Spec, frozen

if TYPE_CHECKING:
    from minigraph.maps import LinearMap


class Op(Facts):
    """A kind of node. To define one, write a subclass with a name, a kernel, a shape rule and its Jacobians.

    ``forward(*arrays) -> array``     the kernel
    ``infer(*specs) -> Spec``         shape and dtype only; raises ShapeError through ``expect``
    ``jacobians(y, *xs)``             one LinearMap per input, or None where there is no derivative

    ``forward`` may return (array, saved), where ``saved`` is anything the gradient needs; ``jacobians`` is then called with
    ``saved=``, if its arguments are arrays. If one kernel gives several cotangents at once, ``pull(g, wanted, y, *xs,
    saved=None)`` returns a list of them, with None where ``wanted`` is False; it may return NotImplemented, and the maps
    are then pulled one by one.

    Called with arrays, an op computes. Called with a Node among its inputs, it also records a node. Called with Specs, it
    infers. ``jacobians`` is written with NumPy's functions: given arrays, it returns maps of arrays; given Nodes, it
    returns maps whose pushes and pulls are recorded. That gives derivatives of higher order.
    """

    registry: ClassVar[list[type[Op]]] = []
    guards: ClassVar[dict[str, Callable[[Any], Any]]] = {}  # decorators that check the methods of users' ops
    checks_itself: ClassVar[bool] = False  # forward raises an error for wrong shapes, and infer is called only then

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for part, guard in cls.guards.items():  # minigraph's own ops are checked by tests
            where = next(base for base in cls.__mro__ if part in base.__dict__)
            method = where.__dict__[part]
            if method and where.__module__.partition(".")[0] != "minigraph" and not hasattr(method, "guarded"):
                setattr(cls, part, guard(method))
        if abstract:
            return
        missing = [part for part in ("infer", "forward", "jacobians") if getattr(cls, part) is getattr(Op, part)]
        if not cls.name:
            missing.append("name")
        if missing:
            raise TypeError(f"op {cls.__name__} lacks {', '.join(missing)}")
        cls.registry.append(cls)

    def infer(self, *specs: Any) -> Spec:
        raise NotImplementedError

    def forward(self, *arrays: Any) -> Any:
        raise NotImplementedError

    def jacobians(self, y: Any, *xs: Any, **saved: Any) -> Sequence[LinearMap | None]:
        raise NotImplementedError

    pull: ClassVar[Callable[..., Any] | None] = None

    def maps(self, node: Node) -> Sequence[LinearMap | None]:
        """The local Jacobians of a node of this op, as maps of arrays."""
        saved = {} if node.saved is None else {"saved": node.saved}
        return self.jacobians(node.value, *[x.value for x in node.inputs], **saved)

    def __call__(self, *xs: Any, **unknown: Any) -> Any:
        if unknown:
            raise TypeError(f"{self}: got keyword arguments {', '.join(unknown)}; wanted arrays or nodes only")
        mode = MODE.get()
        for x in xs:
            if isinstance(x, Node) or type(x) is Spec:
                break
        else:
            value = self.evaluate(xs)
            return finite(self, value, xs) if mode.anomaly else value
        inputs = tuple([x if isinstance(x, Node) else self.leaf(x, xs) for x in xs])
        value, saved = self.compute(inputs), None
        if type(value) is tuple:
            value, saved = value
        if mode.anomaly:
            finite(self, value, inputs)
        if not mode.grad and type(value) is not Spec:
            refuse_replay(f"it computes {self} within no_grad")
            return value
        if type(value) is np.ndarray:
            value.flags.writeable = False
        node = Node(value, self, inputs, None, mode.scope, saved)
        if mode.anomaly:
            node.built = caller()
        return node

    def evaluate(self, xs: Sequence[Any]) -> Any:
        """The value for arrays or Nodes; the Spec where one of them is abstract."""
        y = self.compute(xs)
        return y[0] if type(y) is tuple else y

    def compute(self, xs: Sequence[Any]) -> Any:
        """The result of ``forward``: a value, or (value, saved)."""
        values, abstract = [], False
        for x in xs:
            value = x._value if isinstance(x, Node) else self.operand(x, xs)
            if type(value) is Spec:
                abstract = True
            values.append(value)
        if self.checks_itself and not abstract:
            try:
                return self.forward(*values)
            except (TypeError, ValueError, IndexError):
                pass  # infer gives the better message
        spec = self.infer(
            *[x.spec if isinstance(x, Node) else Spec(v.shape, v.dtype) for x, v in zip(xs, values, strict=True)]
        )
        return spec if abstract else self.forward(*values)

    def operand(self, x: Any, xs: Sequence[Any]) -> Any:
        """``x``, one of the inputs ``xs``, as an array."""
        return plain(x, self.name)

    def leaf(self, x: Any, xs: Sequence[Any]) -> Node:
        """A constant node for ``x``, one of the inputs ``xs``."""
        return Node(x, name=x.name) if type(x) is Spec else Node(frozen(self.operand(x, xs), self.name))

    def __str__(self) -> str:
        return self.name


def expect(holds: bool, op: Op | str, wanted: str, **got: Any) -> None:
    """Raise ShapeError naming op, node, got and wanted, unless ``holds``. All shape errors are raised here."""
    if not holds:
        given = ", ".join(f"{name} {value}" for name, value in got.items())
        raise ShapeError(f"{op}: got {given}; wanted {wanted}")


def expect_floats(op: Op | str, **got: Any) -> np.dtype[Any]:
    """The common dtype of Specs that must be float32 or float64; complex is allowed for complex-step checks."""
    dtypes = {spec.dtype for spec in got.values()}
    for name, spec in got.items():
        if spec.dtype.kind not in "fc" or spec.dtype == np.float16:
            raise TypeError(f"{op}: got {name} {spec}; wanted dtype float32 or float64")
    return np.result_type(*dtypes)


def operand(name: str, x: Any) -> Any:
    """``x`` unchanged if it is a Node or a Spec, else as an array of numbers."""
    return x if isinstance(x, (Node, Spec)) else plain(x, name)


def implements(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: register a function as the implementation of NumPy's ``functions`` for Nodes."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        IMPLEMENTATIONS.update(dict.fromkeys(functions, function))
        return function

    return register
