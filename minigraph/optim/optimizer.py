"""Optimizer: parameters in groups, their options and state, and the step, with PyTorch's names and meaning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from minigraph.array import Array
from minigraph.kernels import tasks
from minigraph.node import Parameter
from minigraph.op import expect

Group = dict[str, Any]
Check = Callable[[str, str, Any], Any]


def number(least: float = 0.0, below: float = math.inf) -> Check:
    """The check of an option: a finite number from ``least`` to less than ``below``, as a Python float.

    A Python float leaves float32 parameters in float32.
    """

    def check(optimizer: str, name: str, value: Any) -> float:
        try:
            converted = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{optimizer}: got {name} {value!r}; wanted a number") from None
        if not math.isfinite(converted) or not least <= converted < below:
            bound = "" if least == -math.inf else f" of at least {least:g}"
            raise ValueError(
                f"{optimizer}: got {name} {value}; wanted a finite number{bound}"
                + (f" and less than {below:g}" if below < math.inf else "")
            )
        return converted

    return check


def flag(optimizer: str, name: str, value: Any) -> bool:
    """The check of an option that is true or false."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{optimizer}: got {name} {value!r}; wanted True or False")
    return bool(value)


def two_decays(optimizer: str, name: str, value: Any) -> tuple[float, float]:
    """The check of ``betas``: two numbers from 0 to less than 1."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{optimizer}: got {name} {value!r}; wanted two numbers")
    first, second = (number(0, 1)(optimizer, f"{name}[{i}]", part) for i, part in enumerate(value))
    return first, second


class Optimizer:
    """The base of all optimizers: ``params`` are parameters, or groups of them with options of their own.

    A group is a dictionary: ``{"params": [...], "lr": 0.01}``; options that it lacks are those of the optimizer.
    ``param_groups`` may be changed between steps. Parameters whose ``grad`` is None are skipped, with their state; so
    are frozen ones, whose ``requires_grad`` is False.

    Raises TypeError for anything but parameters, ValueError for an empty list, for parameters given twice, for options
    out of range, and TypeError for unknown options, naming those there are.
    """

    OPTIONS: ClassVar[Mapping[str, Check]] = {}

    def __init__(self, params: Any, **defaults: Any) -> None:
        self.defaults = self._checked(defaults)
        self.param_groups: list[Group] = []
        self.state: dict[Parameter, dict[str, Any]] = {}
        name = type(self).__name__
        if isinstance(params, (Parameter, Mapping)) or not isinstance(params, Iterable):
            raise TypeError(f"{name}: got {_label(params)}; wanted a list of parameters, or of groups")
        given = list(params)
        if not given:
            raise ValueError(f"{name}: got an empty list; wanted at least one parameter")
        groups = [g for g in given if isinstance(g, Mapping)]
        if groups and len(groups) < len(given):
            raise TypeError(f"{name}: got groups and parameters in one list; wanted one or the other")
        for group in groups or [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own: ``{"params": [...], "lr": 0.01}``."""
        name = type(self).__name__
        if "params" not in param_group:
            raise ValueError(f"{name}: got a group of {', '.join(param_group) or 'nothing'}; wanted 'params' in it")
        parameters = self._parameters(param_group["params"])
        options = {key: value for key, value in param_group.items() if key != "params"}
        self.param_groups.append({"params": parameters, **self.defaults, **self._checked(options)})

    def _parameters(self, params: Any) -> list[Parameter]:
        name = type(self).__name__
        params = [params] if isinstance(params, Parameter) else params
        if not isinstance(params, Iterable):
            raise TypeError(f"{name}: got {_label(params)} as params; wanted a list of parameters")
        parameters: list[Parameter] = []
        known = {p for group in self.param_groups for p in group["params"]}
        for p in params:
            if isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str):  # of named_parameters()
                p = p[1]
            if not isinstance(p, Parameter):
                raise TypeError(f"{name}: got {_label(p)} in the list; wanted mg.parameter(...)")
            if p in known:
                raise ValueError(f"{name}: got {p.label} twice; wanted every parameter once")
            known.add(p)
            parameters.append(p)
        return parameters

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options, converted. Schedulers add some of their own, which are kept as they are."""
        unknown = [key for key in options if key not in self.OPTIONS and key not in SCHEDULED]
        if unknown:
            raise TypeError(
                f"{type(self).__name__}: got the option {unknown[0]!r}; wanted some of {', '.join(self.OPTIONS)}"
            )
        return {
            key: self.OPTIONS[key](type(self).__name__, key, value) if key in self.OPTIONS else value
            for key, value in options.items()
        }

    @property
    def lr(self) -> float:
        """The learning rate of the first group; assigned, that of all groups."""
        return self.param_groups[0]["lr"]  # type: ignore[no-any-return]

    @lr.setter
    def lr(self, value: float) -> None:
        checked = self._checked({"lr": value})
        for group in self.param_groups:
            group.update(checked)

    @property
    def params(self) -> list[Parameter]:
        """The parameters of all groups."""
        return [p for group in self.param_groups for p in group["params"]]

    def zero_grad(self) -> None:
        """Set ``grad`` of every parameter to None."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self) -> None:
        """Replace the value of every parameter that has a gradient.

        Raises ShapeError if a gradient has another shape, ValueError for options out of range; nothing has changed then.
        """
        steps = []
        for group in self.param_groups:
            options = self._checked({key: value for key, value in group.items() if key != "params"})
            for p in group["params"]:
                if p.grad is not None and p.requires_grad:
                    expect(
                        np.shape(p.grad) == p.shape,
                        type(self).__name__,
                        f"a gradient of shape {p.shape} for {p.label}",
                        shape=np.shape(p.grad),
                    )
                    steps.append((p, options))
        for p, options in steps:  # all have been checked
            g = np.asarray(p.grad).astype(p.dtype, copy=False)
            rule, state, settings = self.rule(p, self.state.setdefault(p, {}), options)
            new = p.next_value()
            try:
                tasks.update(rule, new, p.value, g, tuple(state), *settings)
            except BaseException:
                if new is p._value:  # partly overwritten: tapes that used it must not be differentiated
                    p.replace(new)
                raise
            p.replace(new)

    def rule(
        self, p: Parameter, state: dict[str, Any], options: dict[str, Any]
    ) -> tuple[Any, list[Array], tuple[Any, ...]]:
        """The rule of this step of p, the arrays that it changes in place, and its settings.

        The rule, called rule(p, g, *arrays, *settings), returns the next p; it works entry by entry.
        """
        raise NotImplementedError

    # --- state -----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number of the parameter: {name: array or number}}, "param_groups": [...]}, as in PyTorch.

        In the groups parameters are numbers. The arrays are copies.
        """
        numbers = {p: i for i, p in enumerate(self.params)}
        state = {
            numbers[p]: {key: np.array(v) if isinstance(v, np.ndarray) else v for key, v in slots.items()}
            for p, slots in self.state.items()
            if p in numbers and slots
        }
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from the state of an optimizer of the same class with groups of the same sizes.

        Raises ValueError if the groups, the shapes or the options do not fit; nothing has changed then.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
            raise ValueError(f"{name}: got no state of an optimizer; wanted a dictionary of 'state' and 'param_groups'")
        got = [len(group["params"]) for group in state_dict["param_groups"]]
        wanted = [len(group["params"]) for group in self.param_groups]
        if got != wanted:
            raise ValueError(f"{name}: got a state for groups of {got} parameters; wanted {wanted}")
        parameters, state = self.params, {}
        for key, slots in state_dict["state"].items():
            i = int(key)
            if not 0 <= i < len(parameters):
                raise ValueError(f"{name}: got a state for parameter {i}; wanted 0 to {len(parameters) - 1}")
            state[parameters[i]] = {slot: self._slot(parameters[i], slot, value) for slot, value in slots.items()}
        groups = [
            {"params": own["params"], **self._checked({k: v for k, v in group.items() if k != "params"})}
            for own, group in zip(self.param_groups, state_dict["param_groups"], strict=True)
        ]
        for group in groups:
            missing = [key for key in self.OPTIONS if key not in group]
            if missing:
                raise ValueError(f"{name}: got a state without {', '.join(missing)}; wanted one of {name}")
        for own, group in zip(self.param_groups, groups, strict=True):
            own.update(group)
        self.state = state

    def _slot(self, p: Parameter, slot: str, value: Any) -> Any:
        if np.ndim(value) == 0 and p.ndim:
            return (
                value
                if isinstance(value, int)
                else float(value)
                if isinstance(value, float)
                else np.asarray(value).item()
            )
        array = np.asarray(value)
        if array.ndim == 0 and slot == "step":
            return array.item()
        if array.shape != p.shape:
            raise ValueError(
                f"{type(self).__name__}: got {slot} of shape {array.shape} for {p.label}; wanted {p.shape}"
            )
        kept = np.empty_like(p.value, subok=False) if p.ndim else np.empty((), p.dtype)
        kept[...] = array
        return kept

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={self.param_groups[0][key]}" for key in self.OPTIONS)
        groups = f" in {len(self.param_groups)} groups" if len(self.param_groups) > 1 else ""
        return f"{type(self).__name__}({len(self.params)} parameters{groups}, {options})"


SCHEDULED = frozenset(
    ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")
)  # what schedulers keep in groups


def slot(state: dict[str, Any], name: str, p: Parameter, fill: float = 0.0) -> Array:
    """An array of the optimizer's state with the shape and memory layout of p, filled when it is made."""
    if name not in state:
        state[name] = np.full_like(p.value, fill) if p.ndim else np.full((), fill, p.dtype)
    array: Array = state[name]
    return array


def _label(x: Any) -> str:
    return str(getattr(x, "label", type(x).__name__))
