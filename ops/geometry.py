"""The arguments that define windows: kernel, stride, padding and dilation are checked and put into a Window."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from inspect import signature
from math import prod
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import numpy as np

from minigraph.kernels.window import MAX_POSITIONS, Ints, Pairs, Window
from minigraph.node import Spec
from minigraph.op import Op, expect

Padding = Pairs | Literal["same"]
WINDOW = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "algorithm": "auto"}  # defaults, which are not shown
MAX_ARGUMENT = 2**31 - 1  # of an argument: beyond it index arithmetic could overflow


_window: Callable[..., Window] = lru_cache(4096)(Window)  # caches slices and tables between steps


def window_over(op: Op | str, x: Spec, kernel: Ints, stride: Ints, padding: Padding, dilation: Ints) -> Window:
    """The Window of ``kernel`` over the last axes of ``x``. Raises ShapeError if it does not fit."""
    if isinstance(padding, str):
        expect(set(stride) == {1}, op, "stride 1 with padding 'same'", stride=stride)
        padding = tuple(
            (d * (f - 1) // 2, d * (f - 1) - d * (f - 1) // 2) for f, d in zip(kernel, dilation, strict=True)
        )
    size = tuple(x.shape[-len(kernel) :])
    window = _window(size, kernel, stride, padding, dilation)
    if window.valid:
        return window
    expect(min(size) > 0, op, "an image of at least one pixel", x=x)
    expect(min(kernel) > 0, op, "a kernel of at least one tap", kernel=kernel)
    if min(window.out) < 1:
        padded = tuple(n + b + a for n, (b, a) in zip(size, padding, strict=True))
        expect(
            False,
            op,
            f"a kernel, dilated {window.extent}, no larger than the padded image {padded}",
            x=x,
            kernel=kernel,
        )
    expect(
        prod(window.out) < MAX_POSITIONS,
        op,
        f"an output of fewer than {MAX_POSITIONS} positions, not {window.out}",
        x=x,
    )
    return window


def window_onto(op: Op | str, g: Spec, kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints) -> Window:
    """The exact Window whose output positions are the last axes of ``g``. Raises ShapeError if there is none."""
    out = g.shape[-len(kernel) :]
    axes = zip(out, kernel, stride, padding, dilation, strict=True)
    size = tuple((o - 1) * s + d * (f - 1) + 1 - b - a for o, f, s, (b, a), d in axes)
    expect(
        min(out) > 0 and min(size) > 0,
        op,
        f"padding that leaves an image, not {size}",
        x=g,
        kernel=kernel,
        padding=padding,
    )
    expect(
        prod(size) < MAX_POSITIONS, op, f"an image of fewer than {MAX_POSITIONS} pixels, not {size}", x=g, stride=stride
    )
    return _window(size, kernel, stride, padding, dilation)


# --- one function for several axes -----------------------------------------------------------------

P = ParamSpec("P")
R = TypeVar("R")
SIDES = ("D", "H", "W"), ("D′", "H′", "W′"), ("f", "f", "f"), ("t", "t", "t")  # in shapes, by axis


def over_axes(function: Callable[Concatenate[int, P], R]) -> tuple[Callable[P, R], Callable[P, R], Callable[P, R]]:
    """Three functions from one whose first argument is the number of spatial axes: conv1d, conv2d, conv3d from ``_conv``.

    The docstring is written for two axes, (N, C, H, W) and conv2d, and adapted for one and three. One image (C, H, W)
    gives one result, as in PyTorch.
    """
    return _over(function, 1), _over(function, 2), _over(function, 3)


def _over(function: Callable[Concatenate[int, P], R], d: int) -> Callable[P, R]:
    parameters, name = signature(function), f"{function.__name__.removeprefix('_')}{d}d"
    given = parameters.replace(parameters=[*parameters.parameters.values()][1:])

    first = next(iter(given.parameters))

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        x = args[0] if args else kwargs.get(first)
        try:
            if len(shape_of(x)) == d + 1:  # one image
                batch = np.expand_dims(x, 0)  # type: ignore[call-overload]
                y: Any = function(d, batch, *args[1:], **kwargs) if args else function(d, **{**kwargs, first: batch})  # type: ignore[arg-type, call-arg]
                return tuple(part[0] for part in y) if isinstance(y, tuple) else y[0]  # type: ignore[return-value]
            return function(d, *args, **kwargs)
        except TypeError:
            try:
                given.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from None
            raise

    text = function.__doc__ or ""
    for sides in SIDES:
        text = text.replace(", ".join(sides[1:]), ", ".join(sides[3 - d :]))
    call.__name__ = call.__qualname__ = name
    call.__doc__ = text.replace("2d", f"{d}d")
    call.__signature__ = given  # type: ignore[attr-defined]
    call.__annotations__ = {
        key: kind for key, kind in function.__annotations__.items() if key != next(iter(parameters.parameters))
    }
    return call


# --- arguments -----------------------------------------------------------------------------------


def integers(op: str, name: str, value: Any, d: int, least: int = 1) -> Ints:
    """An argument with a value for each of ``d`` axes: one integer, or ``d`` of them. Raises TypeError or ShapeError."""
    if type(value) is int and least <= value <= MAX_ARGUMENT:
        return (value,) * d
    values = _numbers(op, name, value, f"an integer or {d} of them")
    values = values * d if len(values) == 1 else values
    expect(len(values) == d, op, f"an integer or {d} of them", **{name: value})
    expect(min(values) >= least, op, f"{name} of at least {least}", **{name: value})
    expect(max(values) <= MAX_ARGUMENT, op, f"{name} of at most {MAX_ARGUMENT}", **{name: value})
    return values


def sides(op: str, name: str, value: Any) -> Ints:
    """A shape: integers of at least 0. Raises TypeError or ShapeError."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        raise TypeError(f"{op}: got {name} {value!r}; wanted a tuple of integers")
    return integers(op, name, tuple(value), len(value), 0) if len(value) else ()


def paddings(op: str, value: Any, d: int) -> Padding:
    """Padding for each of ``d`` axes: "same", "valid" (none), or integers as for ``pairs``."""
    wanted = f"an integer, {d} or {2 * d} of them, 'same' or 'valid'"
    if isinstance(value, str):
        expect(value in ("same", "valid"), op, wanted, padding=repr(value))
        return "same" if value == "same" else ((0, 0),) * d
    return pairs(op, value, d, wanted)


def pairs(op: str, value: Any, d: int, wanted: str = "") -> Pairs:
    """Padding for each of ``d`` axes: one integer, ``d``, or 2d: before and after, axis by axis.

    For two axes: p; (vertical, horizontal); (top, bottom, left, right).
    """
    if type(value) is int and 0 <= value <= MAX_ARGUMENT:
        return ((value, value),) * d
    wanted = wanted or f"an integer, {d} or {2 * d} of them"
    values = _numbers(op, "padding", value, wanted)
    expect(len(values) in (1, d, 2 * d), op, wanted, padding=value)
    expect(min(values) >= 0, op, "padding of at least 0", padding=value)
    expect(max(values) <= MAX_ARGUMENT, op, f"padding of at most {MAX_ARGUMENT}", padding=value)
    if len(values) != 2 * d:
        return tuple((p, p) for p in (values * d if len(values) == 1 else values))
    return tuple(zip(values[::2], values[1::2], strict=True))


def is_sequence(value: Any) -> bool:
    """Whether an argument is a sequence of numbers, one for each axis."""
    return (
        isinstance(value, Sequence) and not isinstance(value, str) or isinstance(value, np.ndarray) and value.ndim == 1
    )


def _numbers(op: str, name: str, value: Any, wanted: str) -> Ints:
    """One integer or a sequence of integers as a tuple. Raises TypeError for booleans and floats."""
    entries = value if is_sequence(value) and len(value) else [value]
    try:
        if any(isinstance(entry, bool | np.bool) for entry in entries):
            raise TypeError
        return tuple(operator.index(entry) for entry in entries)
    except TypeError:
        raise TypeError(f"{op}: got {name} {value!r}; wanted {wanted}") from None


# --- shapes --------------------------------------------------------------------------------------


def expect_axes(op: Op | str, d: int, layout: str, **got: Spec) -> None:
    """Every Spec must have two axes and ``d`` spatial ones."""
    spatial = ", ".join(("D", "H", "W")[3 - d :])
    for name, spec in got.items():
        if len(spec.shape) != d + 2:
            expect(False, op, f"{name} of {d + 2} axes ({layout}, {spatial})", **{name: spec})


def expect_groups(op: Op | str, groups: int, channels: int, filters: int, **got: Spec) -> None:
    """Both numbers of channels must be multiples of ``groups``."""
    expect(
        channels % groups == 0 and filters % groups == 0,
        op,
        f"channels and filters that are multiples of groups {groups}",
        **got,
    )


def expect_bias(op: Op | str, b: Spec | None, channels: int) -> None:
    """A bias, if any, has one entry for each output channel."""
    if b is not None:
        expect(b.shape == (channels,), op, f"b of shape ({channels},), one entry for each output channel", b=b)


def shape_of(x: Any) -> Ints:
    """The shape of an array, Node, Spec or nested list."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)
