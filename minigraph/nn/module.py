"""Module: a layer or model that holds parameters and calls ops, with PyTorch's names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from difflib import get_close_matches
from numbers import Integral
from operator import index
from types import NoneType
from typing import Any, ClassVar, Self

import numpy as np

from minigraph.arguments import expect_flags
from minigraph.array import Array
from minigraph.files import checked_path, write
from minigraph.kernels.numpy import layout
from minigraph.mode import MODE, Configuration, refuse_replay, scope
from minigraph.nn.parts import HOLD_NOTHING, parts_in
from minigraph.nn.state import IncompatibleKeys, advice, no_name_fits, read, within, without
from minigraph.node import FLOATS, GraphError, Node, Parameter, ShapeError, Spec, constant
from minigraph.random import generator

PARTS: tuple[type, ...]  # the types of a module's parts, defined at the end of this file
MAX_PATHS = 100_000
Initializer = Callable[[tuple[int, ...], np.random.Generator], Array]


class Buffer:
    """An array that belongs to a module's state and is not learned, such as a running mean.

    ``load_state_dict`` does not require an ``optional`` buffer, and leaves it unchanged if the state lacks it.
    """

    def __init__(self, value: Any, optional: bool = False) -> None:
        self.value = np.array(value)
        self.optional = optional


class RemovableHandle:
    """A hook of a module, until ``remove`` is called."""

    def __init__(self, module: Module, entry: tuple[bool, Callable[..., Any]]) -> None:
        if not callable(entry[1]):
            raise TypeError(f"{type(module).__name__}: got {type(entry[1]).__name__} as a hook; wanted a function")
        self.module, self.entry = module, entry
        vars(module)["_hooks"] = (*module._hooks, entry)
        Configuration.version += 1

    def remove(self) -> None:
        """Call the hook no more."""
        vars(self.module)["_hooks"] = tuple(entry for entry in self.module._hooks if entry is not self.entry)
        Configuration.version += 1


class Module:
    """Holds parameters, buffers and modules as attributes, and computes ``forward``.

    Calling it records ``forward`` in a scope with the name of the attribute, so that diagrams and tables group nodes by
    layer. Without an ``rng`` parameters are abstract: they have shapes only, and get values from ``load`` or ``initialize``.
    """

    training = True
    name = ""
    _hooks: tuple[tuple[bool, Callable[..., Any]], ...] = ()  # (whether it is called before forward, the hook)

    def forward(self, x: Any) -> Any:
        """Compute the output of the module."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """``forward``, recorded under this module's scope; an input Spec becomes a leaf.

        Raises GraphError if x has values and a parameter has none. A ShapeError names the module it was raised in.
        """
        if isinstance(x, Spec):
            x = constant(x, x.name or "input")
        abstract = isinstance(x, Node) and x.abstract
        with scope(self.name) if self.name else nullcontext():
            path = MODE.get().scope
            for p in self._own():
                p.scope = path
                if p.abstract and not abstract:
                    raise GraphError(f"{p.label} has no values yet; call initialize(rng) or load(path) on the model")
            try:
                if not self._hooks:
                    return self.forward(x, *args, **kwargs)
                return self._hooked(x, *args, **kwargs)
            except ShapeError as error:
                if path and not hasattr(error, "scope"):  # named by the innermost module
                    error.scope = path  # type: ignore[attr-defined]
                    error.args = (f"{path}: {error}",)
                raise

    def _hooked(self, *args: Any, **kwargs: Any) -> Any:
        """``forward`` between the hooks."""
        refuse_replay(f"{self.name or type(self).__name__} has hooks")
        for before, hook in self._hooks:
            if before and (changed := hook(self, args)) is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        y = self.forward(*args, **kwargs)
        for before, hook in self._hooks:
            if not before and (changed := hook(self, args, y)) is not None:
                y = changed
        return y

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(module, inputs, output) after every ``forward``; what it returns, unless None, replaces the output."""
        return RemovableHandle(self, (False, hook))

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call hook(module, inputs) before every ``forward``; what it returns, unless None, replaces the inputs."""
        return RemovableHandle(self, (True, hook))

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, PARTS) and (not name or "." in name):
            raise ValueError(f"{type(self).__name__}: got {name!r} as the name of a part; wanted a name without dots")
        if isinstance(value, (Module, Parameter)):
            value.name = name
        elif isinstance(old := vars(self).get(name), (Parameter, Buffer)) and not isinstance(value, (Buffer, NoneType)):
            raise TypeError(
                f"{type(self).__name__}: got {type(value).__name__} as {name}; assign {name}.value, or a "
                f"{type(old).__name__.lower()}"
            )
        elif type(value) not in HOLD_NOTHING and not isinstance(value, Buffer):
            parts = list(parts_in(value, PARTS))
            if parts and not {id(part) for part in parts} <= self._seen():
                self._refuse(name, value)
        if vars(self).get(name, self) is not value:
            Configuration.version += 1
            refuse_replay(f"it sets {name} of {self.name or type(self).__name__}")
        super().__setattr__(name, value)

    # --- parts -----------------------------------------------------------------------------------------

    def named_modules(self, once: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all its submodules by dotted path, each once or, without ``once``, under every path.

        Raises TypeError for a module, parameter or buffer in a plain container, which parameters() would miss.
        """
        seen = self._seen()
        for _, module in self._walk():
            for name, value in module._others():
                if type(value) not in HOLD_NOTHING and any(id(part) not in seen for part in parts_in(value, PARTS)):
                    module._refuse(name, value)
        return self._walk(once)

    def _walk(self, once: bool = True) -> Iterator[tuple[str, Module]]:
        stack: list[tuple[str, Module, tuple[Module, ...]]] = [("", self, ())]
        seen: set[int] = set()
        count = 0
        while stack:
            path, module, above = stack.pop()
            count += 1
            if count > MAX_PATHS and not once:  # modules that share modules that share modules
                raise ValueError(
                    f"{type(self).__name__}: got shared modules under more than {MAX_PATHS} paths, such as {path[:100]}; "
                    "wanted each under one, or a few"
                )
            if once and id(module) in seen:
                continue
            if module in above:
                raise ValueError(
                    f"{type(module).__name__}: {path} is the module that it lies in; wanted a tree of modules"
                )
            seen.add(id(module))
            yield path, module
            parts = [(f"{path}.{n}" if path else n, m) for n, m in vars(module).items() if isinstance(m, Module)]
            stack.extend((name, part, () if once else (*above, module)) for name, part in reversed(parts))

    def _own(self) -> Iterator[Parameter]:
        """The parameters that this module computes with itself."""
        for value in vars(self).values():
            if isinstance(value, Parameter):
                yield value
            elif isinstance(value, Container):
                yield from value._own()

    def _seen(self) -> set[int]:
        """The ids of this module's parts, and of theirs."""
        modules = [module for _, module in self._walk()]
        return {id(part) for module in modules for part in (module, *vars(module).values()) if isinstance(part, PARTS)}

    def _others(self) -> Iterator[tuple[str, Any]]:
        """What is kept in this module, or shared by its class, and is no part."""
        own = vars(self)
        for name, value in own.items():
            if type(value) not in HOLD_NOTHING and not isinstance(value, PARTS):
                yield name, value
        for kind in type(self).__mro__:
            if kind is Module:
                break
            for name, value in vars(kind).items():
                if type(value) not in HOLD_NOTHING and name not in own and name[:2] != "__":
                    yield name, value

    def _refuse(self, name: str, value: Any) -> None:
        of = "" if isinstance(value, PARTS) else f" {'that holds' if callable(value) else 'of'} modules or parameters"
        raise TypeError(
            f"{type(self).__name__}: got a {type(value).__name__}{of} as {name}, which "
            "parameters() would not see; wanted nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.Sequential, or an "
            "attribute for each"
        )

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
        """Parameters by dotted path; a shared parameter appears once, under its first path."""
        return self._named(Parameter)

    def parameters(self) -> list[Parameter]:
        """All parameters; a shared parameter appears once."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Buffers by dotted path."""
        return self._named(Buffer)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes of this one, by name."""
        return ((name, part) for name, part in vars(self).items() if isinstance(part, Module))

    def children(self) -> Iterator[Module]:
        """The modules that are attributes of this one."""
        return (module for _, module in self.named_children())

    def get_submodule(self, path: str) -> Module:
        """The module at a dotted path, this one at "". Raises KeyError naming close paths."""
        return self._at("module", path, dict(self.named_modules(once=False)))  # type: ignore[no-any-return]

    def get_parameter(self, path: str) -> Parameter:
        """The parameter at a dotted path. Raises KeyError naming close paths."""
        return self._at("parameter", path, dict(self._named(Parameter, once=False)))  # type: ignore[no-any-return]

    def _at(self, what: str, path: str, parts: dict[str, Any]) -> Any:
        if path not in parts:
            close = get_close_matches(path, parts, cutoff=0.5)
            raise KeyError(
                f"{type(self).__name__}: got no {what} {path!r}; wanted {' or '.join(close) or 'one of its own'}"
            )
        return parts[path]

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call ``function`` with every module below this one and with this one, as PyTorch does; returns the module."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def to(self, dtype: Any) -> Self:
        """Convert all parameters and buffers of floats to ``dtype``, float32 or float64; returns the module."""
        dtype = np.dtype(dtype)
        if dtype not in FLOATS:
            raise TypeError(f"to: got dtype {dtype}; wanted float32 or float64")
        for _, module in self.named_modules():
            for part in vars(module).values():
                if isinstance(part, Parameter):
                    part.convert(dtype)
                elif isinstance(part, Buffer) and part.value.dtype.kind == "f":
                    part.value = part.value.astype(dtype)
        return self

    def float(self) -> Self:
        """Convert all parameters and buffers of floats to float32; returns the module."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Convert all parameters and buffers of floats to float64; returns the module."""
        return self.to(np.float64)

    # --- state -----------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode in this module and all submodules: dropout drops, batch norm uses the batch."""
        expect_flags("train", mode=mode)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set inference mode in this module and all submodules."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze all parameters with False: ``backward`` and optimizers leave them as they are; True ends that."""
        expect_flags("requires_grad_", requires_grad=requires_grad)
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Set ``grad`` of all parameters to None."""
        for _, module in self._walk():
            for p in vars(module).values():
                if isinstance(p, Parameter):
                    p.grad = None

    def state_dict(self) -> dict[str, Array]:
        """Values of parameters and buffers by dotted path, in PyTorch's order.

        Raises GraphError if a parameter has no value.
        """
        abstract = [name for name, p in self.named_parameters() if p.abstract]
        if abstract:
            raise GraphError(
                f"state_dict: {abstract[0]}{f' and {len(abstract) - 1} more' if len(abstract) > 1 else ''} have no "
                "values yet; call initialize(rng) or load(path) first"
            )
        return {name: np.asarray(slot.value, order="C") for name, slot in self._named(Parameter, Buffer, once=False)}

    def load_state_dict(
        self, state: Mapping[str, Any], strict: bool = True, *, prefix: str = "", skip: str | Iterable[str] = ()
    ) -> IncompatibleKeys:
        """Set the values of parameters and buffers by dotted path; if one does not fit, none is changed.

        Of the state's names ``prefix`` is taken off. What lies in the parts that ``skip`` names, like "fc", stays as it
        is. Returns the names that stayed (missing_keys) and those that were not taken (unexpected_keys).
        Raises ValueError listing every name that is missing or unknown (only if ``strict``) and every shape
        or dtype that does not fit, or saying that no name fits; then nothing was loaded.
        """
        if not isinstance(state, Mapping):
            raise TypeError(
                f"load_state_dict: got {type(state).__name__}; wanted a mapping of names to arrays, or load(path)"
            )
        slots: dict[str, Parameter | Buffer] = dict(self._named(Parameter, Buffer, once=False))
        given, strangers = without(prefix, state)
        skipped = within(skip, [*slots, *given])
        taken = {name: given[name] for name in slots if name in given and name not in skipped}
        there = {id(slots[name]) for name in taken}  # a shared parameter may be there under one of its names
        missing = [n for n, s in slots.items() if id(s) not in there and not (isinstance(s, Buffer) and s.optional)]
        unexpected = strangers + [name for name in given if name not in taken]

        problems = []
        if strict:
            problems += [f"missing {name}" for name in missing if name not in skipped]
            problems += [f"unknown {name}" for name in unexpected if name not in skipped]
        if (problems or not taken) and (slots or state):
            told = advice(given, slots, f"{prefix.rstrip('.')}." if prefix else "") if given else advice(state, slots)
            if told or not taken:
                raise ValueError(f"load_state_dict: nothing loaded; {told or no_name_fits(state, slots, prefix)}")
        loaded: dict[str, Array] = {}
        names: dict[int, str] = {}
        for name, value in taken.items():
            try:
                loaded[name] = _fitting(value, slots[name])
            except (TypeError, ValueError, RuntimeError) as error:
                problems.append(f"{name}: {error}")
                continue
            first = names.setdefault(id(slots[name]), name)
            if name != first and not np.array_equal(loaded[name], loaded[first], equal_nan=True):
                problems.append(f"{name}: got other values than {first}, which is the same parameter")
        if problems:
            raise ValueError(f"load_state_dict: nothing loaded; {'; '.join(problems)}")
        for name, array in loaded.items():
            slot = slots[name]
            if isinstance(slot, Parameter):
                slot.replace(array)
            else:
                slot.value = array
        return IncompatibleKeys(missing, unexpected)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a .safetensors file, atomically; see files.write.

        Raises GraphError if a parameter has no value, OSError if the file cannot be written.
        """
        from safetensors.numpy import save

        write(checked_path("save", path), save(self.state_dict()))

    def load(
        self,
        path: str | os.PathLike[str],
        strict: bool = True,
        *,
        prefix: str = "",
        skip: str | Iterable[str] = (),
    ) -> IncompatibleKeys:
        """Load the state from a .safetensors file; arguments and result are those of load_state_dict.

        Raises ValueError if the file is not a safetensors file, is damaged or does not fit; OSError if it cannot be read.
        """
        state = read(checked_path("load", path))
        try:
            return self.load_state_dict(state, strict, prefix=prefix, skip=skip)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    # --- making parameters ---------------------------------------------------------------------------------

    def new_parameter(self, name: str, shape: tuple[int, ...], init: Initializer, rng: Any, dtype: Any) -> None:
        """Add a parameter, initialised by ``init`` from ``rng``, or abstract without an ``rng``."""
        if np.dtype(dtype) not in FLOATS:
            raise TypeError(f"{type(self).__name__}: got dtype {np.dtype(dtype)}; wanted float32 or float64")
        if not callable(init):
            raise TypeError(
                f"{type(self).__name__}: got {init!r} to draw {name}; wanted a function of a shape and a Generator, as in nn.init"
            )
        p = Parameter(Spec(shape, dtype), name)
        setattr(self, name, p)
        vars(self).setdefault("initializers", {})[name] = init
        if rng is not None:
            p.value = _drawn(init, p, generator(rng, type(self).__name__))

    def initialize(self, rng: np.random.Generator | int) -> Self:
        """Redraw all parameters from ``rng``, a Generator or a seed; returns the module."""
        rng = generator(rng, "initialize")
        for module in self.modules():
            module.initialize_self(rng)
        return self

    def seed(self, rng: np.random.Generator | int) -> Self:
        """Seed dropout in this module and all submodules; parameters stay unchanged. Returns the module."""
        rng = generator(rng, "seed")
        for module in self.modules():
            module.seed_self(rng)
        return self

    def seed_self(self, rng: np.random.Generator) -> None:
        """Seed the randomness of this module itself, without its submodules."""

    def initialize_self(self, rng: np.random.Generator) -> None:
        """Redraw the parameters of this module itself, without its submodules."""
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
        """The module in one line, without its submodules."""
        return type(self).__name__


def _drawn(init: Initializer, p: Parameter, rng: np.random.Generator) -> Array:
    value = _laid(np.asarray(init(p.shape, rng)), p.dtype)
    value.setflags(write=False)
    return value


def _fitting(value: Any, slot: Parameter | Buffer) -> Array:
    """A copy of ``value`` for the slot. Raises ValueError or TypeError for the wrong shape or dtype."""
    if hasattr(value, "detach"):  # a PyTorch tensor
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    if isinstance(value, Buffer):
        value = value.value
    if hasattr(value, "tocsr"):
        raise TypeError(f"got a sparse {type(value).__name__}, wanted an array, as its toarray() gives")
    value, wanted = np.asarray(value), slot.value if isinstance(slot, Buffer) else slot
    if value.shape != wanted.shape:
        raise ValueError(f"got shape {value.shape}, wanted {wanted.shape}")
    if not np.can_cast(value.dtype, wanted.dtype, "same_kind"):
        raise TypeError(f"got dtype {value.dtype}, wanted {wanted.dtype}")
    with np.errstate(over="ignore"):
        new = _laid(value, wanted.dtype)
    if value.dtype.kind == "f" and (np.isinf(new) & np.isfinite(value)).any():
        raise ValueError(f"got values too large for {wanted.dtype}")
    return new


def _laid(value: Array, dtype: Any) -> Array:
    """A copy of ``value``; filters (K, C, *f) are stored with channels last, the order that convolution reads."""
    if value.ndim > 2:
        value = np.moveaxis(np.ascontiguousarray(layout.channels_last(value)), -1, 1)
    return np.array(value, dtype, order="K")


class Container(Module):
    """Base of containers: named parts of one ``kind``."""

    kind: ClassVar[type] = Module
    names: tuple[str, ...] = ()

    def _put(self, parts: Mapping[str, Any]) -> None:
        """Hold these parts and no others."""
        for name, part in parts.items():
            if not isinstance(part, self.kind):
                raise TypeError(
                    f"{type(self).__name__}: got {type(part).__name__} as part {name}; wanted a {self.kind.__name__.lower()}"
                )
            if not isinstance(name, str) or not name or "." in name or (name not in self.names and hasattr(self, name)):
                raise ValueError(
                    f"{type(self).__name__}: got {name!r} as the name of a part; wanted one that is free and has no dot"
                )
        for name in self.names:
            delattr(self, name)
        self.names = tuple(parts)
        for name, part in parts.items():
            setattr(self, name, part)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        for part in self.names if name == "name" else {name} & {*self.names}:
            getattr(self, part).name = f"{self.name}/{part}" if self.name else part

    def __len__(self) -> int:
        return len(self.names)

    def __bool__(self) -> bool:
        return True


class ModuleList(Container):
    """A list of modules that are parts of the enclosing module: ``self.layers = nn.ModuleList([...])``."""

    def __init__(self, parts: Iterable[Any] = ()) -> None:
        self._put_all(parts)

    def _put_all(self, parts: Iterable[Any]) -> None:
        """Hold these parts and no others."""
        self._put({str(i): part for i, part in enumerate(self._several(parts))})

    def _several(self, parts: Any) -> list[Any]:
        """The parts as a list. Raises TypeError for other types."""
        if not np.iterable(parts) or isinstance(parts, (str, bytes)):
            raise TypeError(
                f"{type(self).__name__}: got {type(parts).__name__}; wanted a list of {self.kind.__name__.lower()}s"
            )
        return list(parts)

    def __iter__(self) -> Iterator[Any]:
        return iter([getattr(self, name) for name in self.names])

    def __contains__(self, part: object) -> bool:
        return any(own is part for own in self)

    def __getitem__(self, i: int | slice) -> Any:
        """A part by index; for a slice, a plain list."""
        return list(self)[_place(self, i)]

    def __setitem__(self, i: int, part: Any) -> None:
        parts = list(self)
        parts[_place(self, i)] = part
        self._put_all(parts)

    def __delitem__(self, i: int | slice) -> None:
        parts = list(self)
        del parts[_place(self, i)]
        self._put_all(parts)

    def append(self, part: Any) -> Self:
        """Add a part at the end; returns the list."""
        return self.extend([part])

    def extend(self, parts: Iterable[Any]) -> Self:
        """Add parts at the end; returns the list."""
        self._put_all([*self, *self._several(parts)])
        return self

    __iadd__ = extend

    def insert(self, i: Any, part: Any) -> None:
        """Add a part before part ``i``."""
        if not isinstance(i, Integral):
            raise TypeError(f"{type(self).__name__}: got part {i!r}; wanted an integer")
        parts = list(self)
        parts.insert(i, part)
        self._put_all(parts)

    def pop(self, i: int = -1) -> Any:
        """Remove part ``i`` and return it."""
        part = self[i]
        del self[i]
        return part


class ParameterList(ModuleList):
    """A list of parameters that are parts of the enclosing module."""

    kind = Parameter


class ModuleDict(Container):
    """A dict of modules that are parts of the enclosing module: ``self.heads = nn.ModuleDict({"a": …})``."""

    def __init__(self, parts: Mapping[str, Any] | None = None) -> None:
        self._put({} if parts is None else self._mapping(parts))

    def _mapping(self, parts: Any) -> dict[str, Any]:
        """The parts as a dict. Raises TypeError for other types."""
        try:
            return dict(parts)
        except (TypeError, ValueError):
            raise TypeError(
                f"{type(self).__name__}: got {type(parts).__name__}; wanted a mapping of names to "
                f"{self.kind.__name__.lower()}s"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(f"{type(self).__name__}: got {name!r}; wanted one of {', '.join(self.names)}")
        return getattr(self, name)

    def __setitem__(self, name: str, part: Any) -> None:
        self.update({name: part})

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def pop(self, name: str) -> Any:
        """Remove a part and return it."""
        part = self[name]
        self._put({own: self[own] for own in self.names if own != name})
        return part

    def update(self, parts: Mapping[str, Any]) -> None:
        """Add parts; those with existing names replace the old ones."""
        self._put(dict(self.items()) | self._mapping(parts))

    def keys(self) -> tuple[str, ...]:
        """The parts' names."""
        return self.names

    def values(self) -> list[Any]:
        """The parts."""
        return [getattr(self, name) for name in self.names]

    def items(self) -> list[tuple[str, Any]]:
        """Names and parts."""
        return list(zip(self.names, self.values(), strict=True))


class ParameterDict(ModuleDict):
    """A dict of parameters that are parts of the enclosing module."""

    kind = Parameter


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
        """A part by index; for a slice, a Sequential of the same parts with the same names."""
        if isinstance(i, slice):
            piece = Sequential()
            for name in self.names[i]:
                setattr(piece, name, getattr(self, name))
            piece.names = self.names[i]
            return piece
        return getattr(self, self.names[_place(self, i)])


def _place(parts: ModuleList | Sequential, i: Any) -> Any:
    """``i`` as the index of a part, or a slice. Raises TypeError, and IndexError if it is out of range."""
    if isinstance(i, slice):
        return i
    try:
        place = index(i)
    except TypeError:
        raise TypeError(f"{type(parts).__name__}: got part {i!r}; wanted an integer or a slice") from None
    if not -len(parts) <= place < len(parts):
        raise IndexError(f"{type(parts).__name__}: got part {place}; wanted one of its {len(parts)}")
    return place


PARTS = (Module, Parameter, Buffer)
