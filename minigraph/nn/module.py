"""Module: a layer or model that holds parameters and calls ops; PyTorch's names, none of its machinery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Self

import numpy as np

from minigraph.array import Array
from minigraph.mode import MODE, scope
from minigraph.node import FLOATS, GraphError, Node, Parameter, ShapeError, Spec, constant
from minigraph.ops import channels
from minigraph.random import generator

Initializer = Callable[[tuple[int, ...], np.random.Generator], Array]


class Buffer:
    """An array that belongs to a module's state and is not learned, like a running mean.

    A state to be loaded may lack an ``optional`` one, which then stays as it is.
    """

    def __init__(self, value: Any, optional: bool = False) -> None:
        self.value = np.array(value)
        self.optional = optional


class Module:
    """Holds parameters, buffers and modules as attributes, and computes ``forward``.

    Calling it records ``forward`` under the attribute's name as scope, so that diagrams and tables group
    by layer. Without an ``rng`` parameters are abstract: shapes only, to be drawn, summarised, loaded, or
    drawn at random later by ``initialize``.
    """

    training = True
    name = ""

    def forward(self, x: Any) -> Any:
        """What the module makes of x."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """``forward``, recorded under this module's scope; an input Spec becomes a leaf.

        Raises GraphError when x has values and a parameter has none. A ShapeError names the module it came from.
        """
        if isinstance(x, Spec):
            x = constant(x, x.name or "input")
        abstract = isinstance(x, Node) and x.abstract
        with scope(self.name) if self.name else nullcontext():
            path = MODE.get().scope
            for p in vars(self).values():
                if isinstance(p, Parameter):
                    p.scope = path
                    if p.abstract and not abstract:
                        raise GraphError(
                            f"{p.label} has no values yet; call initialize(rng) or load(path) on the model"
                        )
            try:
                return self.forward(x, *args, **kwargs)
            except ShapeError as error:
                if path and not hasattr(error, "scope"):  # the innermost module tells
                    error.scope = path  # type: ignore[attr-defined]
                    error.args = (f"{path}: {error}",)
                raise

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (Module, Parameter)):
            value.name = name
        elif isinstance(vars(self).get(name), Parameter) and value is not None:
            raise TypeError(
                f"{type(self).__name__}: got {type(value).__name__} as {name}; assign {name}.value, or a parameter"
            )
        elif isinstance(value, (list, tuple)) and any(isinstance(v, (Module, Parameter)) for v in value):
            raise TypeError(
                f"{type(self).__name__}: got a {type(value).__name__} of modules or parameters as {name}, which "
                "parameters() would not see; wanted them one by one, or nn.Sequential"
            )
        super().__setattr__(name, value)

    # --- parts -----------------------------------------------------------------------------------------

    def named_modules(self, once: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all below it, by dotted path, each once or under every path."""
        stack: list[tuple[str, Module]] = [("", self)]
        seen: set[int] = set()
        while stack:
            path, module = stack.pop()
            if once and id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            below = [(f"{path}.{n}" if path else n, m) for n, m in vars(module).items() if isinstance(m, Module)]
            stack.extend(reversed(below))

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _named(self, *kinds: type, once: bool = True) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(once):
            for name, value in vars(module).items():
                if isinstance(value, kinds) and not (once and id(value) in seen):
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Parameters by dotted path; a shared one once, under its first path."""
        return self._named(Parameter)

    def parameters(self) -> list[Parameter]:
        """All parameters, a shared one once."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Buffers by dotted path."""
        return self._named(Buffer)

    # --- state -----------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode here and below: dropout drops, batch norm uses the batch."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set inference mode here and below."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def state_dict(self) -> dict[str, Array]:
        """Values of parameters and buffers by dotted path, in PyTorch's order.

        Raises GraphError while parameters have no values.
        """
        abstract = [name for name, p in self.named_parameters() if p.abstract]
        if abstract:
            raise GraphError(
                f"state_dict: {abstract[0]}{f' and {len(abstract) - 1} more' if len(abstract) > 1 else ''} have no "
                "values yet; call initialize(rng) or load(path) first"
            )
        return {name: np.asarray(slot.value) for name, slot in self._named(Parameter, Buffer, once=False)}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Take over values by dotted path: all of them, or none.

        Raises ValueError listing every name that is missing or unknown (only if ``strict``) and every shape
        or dtype that does not fit; then nothing was loaded.
        """
        slots: dict[str, Parameter | Buffer] = dict(self._named(Parameter, Buffer, once=False))
        problems = []
        if strict:
            optional = {name for name, slot in slots.items() if isinstance(slot, Buffer) and slot.optional}
            problems += [f"missing {name}" for name in slots if name not in state and name not in optional]
            problems += [f"unknown {name}" for name in state if name not in slots]
        loaded: dict[str, Array] = {}
        for name, slot in slots.items():
            if name not in state:
                continue
            value, wanted = np.asarray(state[name]), slot.value if isinstance(slot, Buffer) else slot
            if value.shape != wanted.shape:
                problems.append(f"{name}: got shape {value.shape}, wanted {wanted.shape}")
            elif not np.can_cast(value.dtype, wanted.dtype, "same_kind"):
                problems.append(f"{name}: got dtype {value.dtype}, wanted {wanted.dtype}")
            else:
                with np.errstate(over="ignore"):
                    loaded[name] = _laid(value, wanted.dtype)
                if value.dtype.kind == "f" and (np.isinf(loaded[name]) & np.isfinite(value)).any():
                    problems.append(f"{name}: got values too large for {wanted.dtype}")
        if problems:
            raise ValueError(f"load_state_dict: nothing loaded; {'; '.join(problems)}")
        for name, value in loaded.items():
            value.setflags(write=isinstance(slots[name], Buffer))  # ours alone: a parameter need not copy it
            slots[name].value = value

    def save(self, path: Any) -> None:
        """Write the state to a .safetensors file. Raises GraphError while parameters have no values, OSError."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        state = {name: np.asarray(value, order="C") for name, value in self.state_dict().items()}
        try:
            save_file(state, path)
        except SafetensorError as error:
            raise OSError(f"{path}: {error}") from None

    def load(self, path: Any, strict: bool = True) -> None:
        """Take over the state of a .safetensors file, all of it or nothing.

        Raises ValueError for a file that is damaged or does not fit, OSError for one that cannot be read.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            state = load_file(path)
        except (SafetensorError, AttributeError, TypeError) as error:  # the latter two: dtypes that NumPy lacks
            raise ValueError(f"{path}: not a safetensors file that can be read: {error}") from None
        self.load_state_dict(state, strict)

    # --- making parameters ---------------------------------------------------------------------------------

    def new_parameter(self, name: str, shape: tuple[int, ...], init: Initializer, rng: Any, dtype: Any) -> None:
        """Add a parameter, drawn by ``init`` from ``rng``, or abstract without one."""
        if np.dtype(dtype) not in FLOATS:
            raise TypeError(f"{type(self).__name__}: got dtype {np.dtype(dtype)}; wanted float32 or float64")
        p = Parameter(Spec(shape, dtype), name)
        setattr(self, name, p)
        vars(self).setdefault("initializers", {})[name] = init
        if rng is not None:
            p.value = _drawn(init, p, generator(rng, type(self).__name__))

    def initialize(self, rng: np.random.Generator | int) -> Self:
        """Draw all parameters anew from ``rng``, a Generator or a seed; returns the module."""
        rng = generator(rng, "initialize")
        for module in self.modules():
            module.initialize_self(rng)
        return self

    def seed(self, rng: np.random.Generator | int) -> Self:
        """Where dropout here and below draws from, in training; parameters stay. Returns the module."""
        rng = generator(rng, "seed")
        for module in self.modules():
            module.seed_self(rng)
        return self

    def seed_self(self, rng: np.random.Generator) -> None:
        """Take what randomness this module itself needs in training."""

    def initialize_self(self, rng: np.random.Generator) -> None:
        """Draw what this module itself holds, without those below it."""
        for name, init in vars(self).get("initializers", {}).items():
            p = getattr(self, name)
            if isinstance(p, Parameter):
                p.value = _drawn(init, p, rng)
        self.seed_self(rng)

    def __repr__(self) -> str:
        rows = []
        for path, module in self.named_modules():
            depth = path.count(".") + 1 if path else 0
            rows.append(f"{'  ' * depth}{path.rpartition('.')[2]}{': ' if path else ''}{module.describe()}")
        return "\n".join(rows)

    def describe(self) -> str:
        """The module in a line, without what is below it."""
        return type(self).__name__


def _drawn(init: Initializer, p: Parameter, rng: np.random.Generator) -> Array:
    value = _laid(np.asarray(init(p.shape, rng)), p.dtype)
    value.setflags(write=False)
    return value


def _laid(value: Array, dtype: Any) -> Array:
    """A copy of ``value``, filters (K, C, *f) with the channels last in memory, where convolution wants them."""
    if value.ndim > 2:
        value = np.moveaxis(np.ascontiguousarray(channels.last(value)), -1, 1)
    return np.array(value, dtype, order="K")


class Sequential(Module):
    """Modules one after another; parts are named 0, 1, 2, …, or by keyword."""

    def __init__(self, *modules: Callable[[Any], Any], **named: Callable[[Any], Any]) -> None:
        parts = {str(i): module for i, module in enumerate(modules)}
        for name in named:
            if name in parts or "." in name or hasattr(self, name) or name == "names":
                raise ValueError(
                    f"Sequential: got {name!r} as the name of a part; wanted one that is free and has no dot"
                )
        parts |= named
        self.names = tuple(parts)
        for name, module in parts.items():
            if not callable(module):
                raise TypeError(f"Sequential: got {type(module).__name__} as part {name}; wanted a module or function")
            setattr(self, name, module)

    def forward(self, x: Any) -> Any:
        for part in self:
            x = part(x)
        return x

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, name) for name in self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int | slice) -> Any:
        """A part by its place; of a slice, a Sequential of the same parts under the same names."""
        if isinstance(i, slice):
            piece = Sequential()
            for name in self.names[i]:
                setattr(piece, name, getattr(self, name))
            piece.names = self.names[i]
            return piece
        if not -len(self) <= i < len(self):
            raise IndexError(f"Sequential: got part {i}; wanted one of its {len(self)}")
        return getattr(self, self.names[i])
