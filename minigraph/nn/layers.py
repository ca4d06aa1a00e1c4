"""Layers: parameters and the op they go to. Names and arguments are PyTorch's; ``rng`` draws the weights.

Without an ``rng`` a layer is abstract: it has shapes but no numbers until ``initialize`` or ``load_state_dict``.
Weights start as ``weight_init`` says (He et al. 2015 by default), biases at zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import Any

import numpy as np

from minigraph.arguments import expect_choice, expect_integer, expect_number
from minigraph.mode import MODE, refuse_replay
from minigraph.nn import init
from minigraph.nn.composed import alpha_dropout, bilinear, embedding, feature_alpha_dropout, prelu, rms_norm
from minigraph.nn.module import Buffer, Initializer, Module
from minigraph.node import Node, Parameter
from minigraph.op import expect
from minigraph.ops import conv, dropout
from minigraph.ops.activation import relu, sigmoid
from minigraph.ops.geometry import MAX_ARGUMENT, integers, is_sequence, paddings, pairs
from minigraph.ops.normalization import batch_norm, group_norm, instance_norm, layer_norm
from minigraph.ops.products import linear
from minigraph.random import generator


def expect_windows(name: str, axes: int, **given: Any) -> tuple[int, ...]:
    """Raise TypeError or ShapeError unless ``given`` are one positive integer or ``axes``; the first of them, for each axis."""
    windows = [integers(name, argument, value, axes) for argument, value in given.items()]
    return windows[0]


def _abstract(x: Any) -> bool:
    return isinstance(x, Node) and x.abstract


class _Weighted(Module):
    """A layer of a weight and perhaps a bias."""

    weight: Parameter
    bias: Parameter | None

    def make(self, weight: tuple[int, ...], bias: int | None, inits: tuple[Initializer, Initializer], rng: Any, dtype: Any) -> None:  # fmt: skip
        rng = None if rng is None else generator(rng, type(self).__name__)
        self.new_parameter("weight", weight, inits[0], rng, dtype)
        self.bias = None
        if bias is not None:
            self.new_parameter("bias", (bias,), inits[1], rng, dtype)

    def describe(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.settings.items())})"

    settings: dict[str, Any] = {}


class _Conv(_Weighted):
    """A convolution over as many axes as its name says, or its transpose."""

    axes = 2
    op: Callable[..., Any]
    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", *, output_padding: Any = 0, algorithm: str = "auto",
        weight_init: Initializer = init.he_normal, bias_init: Initializer = init.zeros, rng: Any = None, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        expect_integer(name, 1, MAX_ARGUMENT, in_channels=in_channels, out_channels=out_channels, groups=groups)
        kernel = expect_windows(name, self.axes, kernel_size=kernel_size, stride=stride, dilation=dilation)
        pairs(name, padding, self.axes) if self.transposed else paddings(name, padding, self.axes)
        alike = not is_sequence(kernel_size) or len(kernel_size) == self.axes
        expect(alike, name, f"an integer or {self.axes} of them", kernel_size=kernel_size)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: got in_channels {in_channels}, out_channels {out_channels}, groups {groups}; wanted groups "
                "dividing both numbers of channels"
            )
        self.settings = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size}
        defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "algorithm": "auto"}
        self.options = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "algorithm": algorithm,
        }
        if self.transposed:
            self.options["output_padding"], defaults["output_padding"] = output_padding, 0
        else:
            self.options["padding_mode"], defaults["padding_mode"] = padding_mode, "zeros"
        self.settings |= {k: v for k, v in self.options.items() if v != defaults[k]}
        outer, inner = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.make(
            (outer, inner // groups, *kernel), out_channels if bias else None, (weight_init, bias_init), rng, dtype
        )

    def forward(self, x: Any) -> Any:
        return type(self).op(x, self.weight, self.bias, **self.options)


class Conv1d(_Conv):
    """mg.conv1d with weight (K, C/groups, f), bias (K,).   (N, C, W) → (N, K, W′)."""

    axes, op = 1, staticmethod(conv.conv1d)


class Conv2d(_Conv):
    """mg.conv2d with weight (K, C/groups, f, f), bias (K,).   (N, C, H, W) → (N, K, H′, W′)."""

    axes, op = 2, staticmethod(conv.conv2d)


class Conv3d(_Conv):
    """mg.conv3d with weight (K, C/groups, f, f, f), bias (K,).   (N, C, D, H, W) → (N, K, D′, H′, W′)."""

    axes, op = 3, staticmethod(conv.conv3d)


class _ConvTranspose(_Conv):
    """A transposed convolution: PyTorch's order of arguments is another here."""

    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, *, algorithm: str = "auto",
        weight_init: Initializer = init.he_normal, bias_init: Initializer = init.zeros, rng: Any = None, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, output_padding=output_padding,
            algorithm=algorithm, weight_init=weight_init, bias_init=bias_init, rng=rng, dtype=dtype,
        )  # fmt: skip


class ConvTranspose1d(_ConvTranspose):
    """mg.conv_transpose1d with weight (C, K/groups, f), bias (K,).   (N, C, W) → (N, K, W′)."""

    axes, op = 1, staticmethod(conv.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """mg.conv_transpose2d with weight (C, K/groups, f, f), bias (K,).   (N, C, H, W) → (N, K, H′, W′)."""

    axes, op = 2, staticmethod(conv.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """mg.conv_transpose3d with weight (C, K/groups, f, f, f), bias (K,).   (N, C, D, H, W) → (N, K, D′, H′, W′)."""

    axes, op = 3, staticmethod(conv.conv_transpose3d)


class Linear(_Weighted):
    """y = x Wᵀ + b with weight (out, in), bias (out,).   (…, in) → (…, out)."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, weight_init: Initializer = init.he_normal,
        bias_init: Initializer = init.zeros, rng: Any = None, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        expect_integer("Linear", 1, MAX_ARGUMENT, in_features=in_features, out_features=out_features)
        self.settings = {"in_features": in_features, "out_features": out_features}
        self.make((out_features, in_features), out_features if bias else None, (weight_init, bias_init), rng, dtype)

    def forward(self, x: Any) -> Any:
        return linear(x, self.weight, self.bias)


def track(module: Module, num_features: int, dtype: Any) -> None:
    """Give a normalisation the buffers of its running statistics."""
    module.running_mean = Buffer(np.zeros(num_features, dtype))
    module.running_var = Buffer(np.ones(num_features, dtype))
    module.num_batches_tracked = Buffer(np.int64(0), optional=True)  # older files lack it


class _BatchNorm(Module):
    """Batch normalisation (Ioffe & Szegedy 2015): by the batch in training, by running statistics after ``eval()``."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Buffer
    running_var: Buffer
    num_batches_tracked: Buffer
    axes: tuple[int, ...] = (2, 3, 4, 5)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, *, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        expect_integer(type(self).__name__, 1, MAX_ARGUMENT, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.track_running_stats = track_running_stats
        self.weight = self.bias = None
        if affine:  # nothing here is random, so that the parameters are there at once
            self.new_parameter("weight", (num_features,), init.ones, 0, dtype)
            self.new_parameter("bias", (num_features,), init.zeros, 0, dtype)
        if track_running_stats:
            track(self, num_features, dtype)

    def initialize_self(self, rng: np.random.Generator) -> None:
        super().initialize_self(rng)
        if self.track_running_stats:
            self.running_mean.value = np.zeros_like(self.running_mean.value)
            self.running_var.value = np.ones_like(self.running_var.value)
            self.num_batches_tracked.value = np.array(0)

    def forward(self, x: Any) -> Any:
        expect(
            len(x.shape) in self.axes, type(self).__name__, f"x of {' or '.join(map(str, self.axes))} axes", x=x.shape
        )
        if not self.track_running_stats:
            return batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        count = int(self.num_batches_tracked.value) + 1
        momentum = 1 / count if self.momentum is None else self.momentum  # None: the mean of all batches
        y = batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, momentum, self.eps
        )
        if self.training and not _abstract(x) and not MODE.get().recomputing:
            self.num_batches_tracked.value = np.asarray(count)
            if self.momentum is None:
                refuse_replay(f"{self.describe()} takes the mean of all batches")
            effects = MODE.get().effects
            if effects is not None and isinstance(y, Node):
                effects.after.setdefault(y.op, []).append(lambda moments: self._count())
        return y

    def _count(self) -> None:
        """One more batch."""
        self.num_batches_tracked.value = np.asarray(int(self.num_batches_tracked.value) + 1)

    def describe(self) -> str:
        return f"{type(self).__name__}({self.num_features}, eps={self.eps}, momentum={self.momentum})"


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, W)."""

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W)."""

    axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W)."""

    axes = (5,)


class Dropout(Module):
    """Zero each entry with probability ``p`` in training; ``rng``: where the masks come from, or ``initialize``."""

    op: Callable[..., Any] = staticmethod(dropout.dropout)

    def __init__(self, p: float = 0.5, *, rng: Any = None) -> None:
        expect_number(type(self).__name__, p=p)
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: got p {p}; wanted a probability from 0 to 1")
        self.p = p
        self.rng = None if rng is None else generator(rng, type(self).__name__)

    def seed_self(self, rng: np.random.Generator) -> None:
        self.rng = np.random.default_rng(rng.integers(2**63))

    def forward(self, x: Any) -> Any:
        if self.rng is None and self.training and self.p and not _abstract(x):
            raise TypeError(f"{self.describe()}: got no rng to drop by; wanted rng=, seed(rng) on the model, or eval()")
        return type(self).op(x, self.p, 0 if _abstract(x) else self.rng, self.training)

    def describe(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class Dropout2d(Dropout):
    """Zero whole channels of (N, C, H, W) with probability ``p`` in training."""

    op = staticmethod(dropout.dropout2d)


class Dropout1d(Dropout):
    """Zero whole channels of (N, C, W) with probability ``p`` in training."""

    op = staticmethod(dropout.dropout1d)


class Dropout3d(Dropout):
    """Zero whole channels of (N, C, D, H, W) with probability ``p`` in training."""

    op = staticmethod(dropout.dropout3d)


class _Norm(_Weighted):
    """A normalisation whose weight starts at one and whose bias at zero; without ``affine`` it has neither."""

    weight: Parameter | None  # type: ignore[assignment]

    def affine(self, shape: tuple[int, ...], affine: bool, bias: bool, dtype: Any) -> None:
        """Make the parameters; nothing in them is random."""
        self.weight = self.bias = None
        if affine:
            self.new_parameter("weight", shape, init.ones, 0, dtype)
        if affine and bias:
            self.new_parameter("bias", shape, init.zeros, 0, dtype)


class LayerNorm(_Norm):
    """Layer normalisation over the last axes, ``normalized_shape`` (Ba et al. 2016)."""

    def __init__(self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True, *, dtype: Any = np.float32) -> None:  # fmt: skip
        shape = tuple(np.atleast_1d(normalized_shape).tolist())
        self.normalized_shape, self.eps = shape, eps
        self.settings = {"normalized_shape": shape, "eps": eps}
        self.affine(shape, elementwise_affine, bias, dtype)

    def forward(self, x: Any) -> Any:
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(_Norm):
    """Division by the root mean square over the last axes, ``normalized_shape`` (Zhang and Sennrich 2019)."""

    def __init__(self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True, *, dtype: Any = np.float32) -> None:  # fmt: skip
        shape = tuple(np.atleast_1d(normalized_shape).tolist())
        self.normalized_shape, self.eps = shape, eps
        self.settings = {"normalized_shape": shape, "eps": eps}
        self.affine(shape, elementwise_affine, False, dtype)

    def forward(self, x: Any) -> Any:
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm(_Norm):
    """Normalisation over ``num_groups`` groups of channels of each sample (Wu and He 2018)."""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: Any = np.float32) -> None:  # fmt: skip
        expect_integer("GroupNorm", 1, MAX_ARGUMENT, num_groups=num_groups, num_channels=num_channels)
        self.num_groups, self.eps = num_groups, eps
        self.settings = {"num_groups": num_groups, "num_channels": num_channels, "eps": eps}
        self.affine((num_channels,), affine, True, dtype)

    def forward(self, x: Any) -> Any:
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class _InstanceNorm(_Norm):
    """Normalisation over the positions of each channel of each sample (Ulyanov et al. 2016)."""

    running_mean: Buffer
    running_var: Buffer

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, *, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        expect_integer(type(self).__name__, 1, MAX_ARGUMENT, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.track_running_stats = track_running_stats
        self.settings = {"num_features": num_features, "eps": eps}
        self.affine((num_features,), affine, True, dtype)
        if track_running_stats:
            track(self, num_features, dtype)

    def forward(self, x: Any) -> Any:
        name, axes = type(self).__name__, int(type(self).__name__[-2])
        if len(x.shape) == axes + 1:
            return self.forward(np.expand_dims(x, 0))[0]
        expect(len(x.shape) == axes + 2, name, f"x of {axes + 2} axes", x=x.shape)
        expect(x.shape[1] == self.num_features, name, f"{self.num_features} channels", x=x.shape)
        tracked = self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if tracked else (None, None)
        by_input = self.training or not tracked
        return instance_norm(x, mean, var, self.weight, self.bias, by_input, self.momentum, self.eps)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, W)."""


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of (N, C, H, W)."""


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W)."""


class PReLU(_Weighted):
    """ReLU with a learned slope below zero, one or one for each channel (He et al. 2015)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = np.float32) -> None:
        expect_integer("PReLU", 1, MAX_ARGUMENT, num_parameters=num_parameters)
        expect_number("PReLU", init=init)
        self.settings = {"num_parameters": num_parameters}
        self.new_parameter("weight", (num_parameters,), lambda shape, rng: np.full(shape, init), 0, dtype)

    def forward(self, x: Any) -> Any:
        return prelu(x, self.weight)


class Embedding(_Weighted):
    """The rows of a weight (num_embeddings, embedding_dim) that integers (S) name; → (S, embedding_dim)."""

    def __init__(self, num_embeddings: int, embedding_dim: int, *, weight_init: Initializer | None = None, rng: Any = None, dtype: Any = np.float32) -> None:  # fmt: skip
        expect_integer("Embedding", 1, MAX_ARGUMENT, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.settings = {"num_embeddings": num_embeddings, "embedding_dim": embedding_dim}
        self.make((num_embeddings, embedding_dim), None, (weight_init or init.normal(1.0), init.zeros), rng, dtype)

    def forward(self, x: Any) -> Any:
        return embedding(x, self.weight)


class Bilinear(_Weighted):
    """yₖ = x1ᵀ Wₖ x2 + bₖ with weight (K, I, J), bias (K).   (…, I), (…, J) → (…, K)."""

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, *,
        weight_init: Initializer = init.lecun_uniform, bias_init: Initializer = init.zeros, rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        shape = {"in1_features": in1_features, "in2_features": in2_features, "out_features": out_features}
        expect_integer("Bilinear", 1, MAX_ARGUMENT, **shape)
        self.settings = dict(shape)
        self.make(
            (out_features, in1_features, in2_features),
            out_features if bias else None,
            (weight_init, bias_init),
            rng,
            dtype,
        )

    def forward(self, x1: Any, x2: Any) -> Any:  # type: ignore[override]
        return bilinear(x1, x2, self.weight, self.bias)


class AlphaDropout(Dropout):
    """Dropout that keeps mean and variance of SELU's outputs (Klambauer et al. 2017)."""

    op = staticmethod(lambda x, p, rng, training: alpha_dropout(x, p, training, rng))


class FeatureAlphaDropout(Dropout):
    """AlphaDropout of whole channels of (N, C, …)."""

    op = staticmethod(lambda x, p, rng, training: feature_alpha_dropout(x, p, training, rng))


# --- one step of networks for sequences ------------------------------------------------------------------


class _Cell(Module):
    """A step from a state h (N, H) by an input x (N, I) or (I,): ``gates`` products of each, Wᵢₕ x + bᵢₕ and Wₕₕ h + bₕₕ."""

    gates = 1
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None = None
    bias_hh: Parameter | None = None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, rng: Any = None, dtype: Any = np.float32) -> None:  # fmt: skip
        expect_integer(type(self).__name__, 1, MAX_ARGUMENT, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, rows = input_size, hidden_size, self.gates * hidden_size
        rng = None if rng is None else generator(rng, type(self).__name__)
        uniform = partial(_uniform, 1 / sqrt(hidden_size))
        self.new_parameter("weight_ih", (rows, input_size), uniform, rng, dtype)
        self.new_parameter("weight_hh", (rows, hidden_size), uniform, rng, dtype)
        for name in ("bias_ih", "bias_hh") if bias else ():
            self.new_parameter(name, (rows,), uniform, rng, dtype)

    def products(self, x: Any, h: Any) -> tuple[list[Any], list[Any]]:
        """What each gate gets from the input, and from the state."""
        h = np.zeros((*x.shape[:-1], self.hidden_size), x.dtype) if h is None else h
        by_input, by_state = linear(x, self.weight_ih, self.bias_ih), linear(h, self.weight_hh, self.bias_hh)
        return np.split(by_input, self.gates, -1), np.split(by_state, self.gates, -1)

    def describe(self) -> str:
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size})"


def _uniform(bound: float, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    return rng.uniform(-bound, bound, shape)


class RNNCell(_Cell):
    """h′ = tanh(Wᵢₕ x + bᵢₕ + Wₕₕ h + bₕₕ), or ReLU (Elman 1990)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", *, rng: Any = None, dtype: Any = np.float32) -> None:  # fmt: skip
        expect_choice("RNNCell", ("tanh", "relu"), nonlinearity=nonlinearity)
        super().__init__(input_size, hidden_size, bias, rng=rng, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, x: Any, h: Any = None) -> Any:
        (a,), (b,) = self.products(x, h)
        return np.tanh(a + b) if self.nonlinearity == "tanh" else relu(a + b)


class LSTMCell(_Cell):
    """(h, c) → (σ(o) tanh c′, c′), c′ = σ(f) c + σ(i) tanh g (Hochreiter & Schmidhuber 1997)."""

    gates = 4

    def forward(self, x: Any, state: Any = None) -> Any:
        h, c = (None, None) if state is None else state
        i, f, g, o = (a + b for a, b in zip(*self.products(x, h), strict=True))
        new = sigmoid(i) * np.tanh(g)
        new = new if c is None else sigmoid(f) * c + new
        return sigmoid(o) * np.tanh(new), new


class GRUCell(_Cell):
    """h′ = (1 − z) n + z h, n = tanh(nₓ + r nₕ), r and z sigmoids (Cho et al. 2014)."""

    gates = 3

    def forward(self, x: Any, h: Any = None) -> Any:
        (r, z, n), (r_h, z_h, n_h) = self.products(x, h)
        r, z = sigmoid(r + r_h), sigmoid(z + z_h)
        new = (1 - z) * np.tanh(n + r * n_h)
        return new if h is None else new + z * h


# --- layers that learn the number of their inputs from the first input -----------------------------------


class _Lazy(Module):
    """A layer that is made when it is first called, for as many channels as its input has; it becomes that layer then."""

    kind: Callable[..., Module]
    axis = 1
    defaults: dict[str, Any] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, self.defaults | kwargs

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        made = self.kind(x.shape[self.axis], *self.args, **self.kwargs)
        name, training = self.name, self.training
        vars(self).clear()
        self.__class__ = self.kind  # type: ignore[assignment]
        vars(self).update(vars(made))
        self.name, self.training = name, training
        return self(x, *args, **kwargs)

    def describe(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.args))})"


def _lazy(kind: type[Module], axis: int = 1, **defaults: Any) -> Any:
    text = (
        f"{kind.__name__} for as many inputs as the first input has. Give rng=, so that its parameters get values then."
    )
    members = {"kind": kind, "axis": axis, "defaults": defaults, "__doc__": text, "__module__": __name__}
    return type(f"Lazy{kind.__name__}", (_Lazy,), members)


LazyConv1d, LazyConv2d, LazyConv3d = (_lazy(kind) for kind in (Conv1d, Conv2d, Conv3d))
LazyConvTranspose1d, LazyConvTranspose2d, LazyConvTranspose3d = (
    _lazy(kind) for kind in (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
)
LazyBatchNorm1d, LazyBatchNorm2d, LazyBatchNorm3d = (_lazy(kind) for kind in (BatchNorm1d, BatchNorm2d, BatchNorm3d))
LazyInstanceNorm1d, LazyInstanceNorm2d, LazyInstanceNorm3d = (
    _lazy(kind, affine=True, track_running_stats=True) for kind in (InstanceNorm1d, InstanceNorm2d, InstanceNorm3d)
)
LazyLinear = _lazy(Linear, -1)
