"""Functions as modules, which have a name in diagrams and tables; their names and arguments are PyTorch's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minigraph.nn import composed, images
from minigraph.nn.layers import expect_windows
from minigraph.nn.module import Module
from minigraph.op import expect, operand
from minigraph.ops import activation, elementwise, loss, pool, shape
from minigraph.ops.geometry import pairs
from minigraph.ops.interpolate import interpolate
from minigraph.ops.normalization import local_response_norm


class _Call(Module):
    """A function with its settings as a module, so that it has a name in diagrams and tables; ``inputs``: its arrays."""

    op: Callable[..., Any]
    inputs = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            inspect.signature(type(self).op).bind(*[None] * self.inputs, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        self.args, self.kwargs = args, kwargs

    def forward(self, *xs: Any) -> Any:
        return type(self).op(*xs, *self.args, **self.kwargs)

    def describe(self) -> str:
        shown = [*map(repr, self.args), *[f"{k}={v!r}" for k, v in self.kwargs.items()]]
        return f"{type(self).__name__}({', '.join(shown)})"


class _Pool(_Call):
    """A pooling over as many axes as its name says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name, given = type(self).__name__, inspect.signature(type(self).op).bind(None, *args, **kwargs).arguments
        axes = int(name[-2])
        sizes = {k: given[k] for k in ("kernel_size", "stride", "dilation") if given.get(k) is not None}
        expect_windows(name, axes, **sizes)
        pairs(name, given.get("padding", 0), axes)


def _call(name: str, op: Callable[..., Any], kind: type[_Call] = _Call, inputs: int = 1) -> type[_Call]:
    """A module class that calls ``op``; its arguments are those of ``op`` after its ``inputs`` arrays."""
    after = "x" if inputs == 1 else f"its {inputs} arrays"
    text = (
        f"nn.functional.{getattr(op, '__name__', name)} as a module; its arguments are that function's after {after}."
    )
    return type(name, (kind,), {"op": staticmethod(op), "__doc__": text, "__module__": __name__, "inputs": inputs})


def _loss(name: str, op: Callable[..., Any], inputs: int = 2) -> type[_Call]:
    return _call(name, op, inputs=inputs)


def unflatten(x: Any, dim: int, unflattened_size: Any) -> Any:
    """Axis ``dim`` of x in several, of the given sides. J = I."""
    x = operand("unflatten", x)
    expect(-len(x.shape) <= dim < len(x.shape), "unflatten", f"axis {dim} to exist", x=x.shape)
    dim %= len(x.shape)
    return shape.reshape(x, (*x.shape[:dim], *unflattened_size, *x.shape[dim + 1 :]))


def padded(mode: str, axes: int) -> Callable[..., Any]:
    """A function that pads the last ``axes`` axes by PyTorch's widths: one, or (left, right, top, bottom, …)."""

    def pad(x: Any, padding: Any, value: float = 0.0) -> Any:
        x = operand("pad", x)
        expect(len(x.shape) == axes + 2, "pad", f"x of {axes + 2} axes", x=x.shape)
        widths = [padding] * (2 * axes) if np.ndim(padding) == 0 else list(padding)
        expect(len(widths) == 2 * axes, "pad", f"{2 * axes} widths, or one", padding=padding)
        sides = [(0, 0), (0, 0), *[(widths[i], widths[i + 1]) for i in range(2 * axes - 2, -1, -2)]]
        return shape.pad(x, sides, mode, **({"constant_values": value} if mode == "constant" else {}))

    return pad


ReLU = _call("ReLU", activation.relu)
LeakyReLU = _call("LeakyReLU", activation.leaky_relu)
ELU = _call("ELU", activation.elu)
GELU = _call("GELU", activation.gelu)
SiLU = _call("SiLU", activation.silu)
Tanh = _call("Tanh", elementwise.tanh)
Sigmoid = _call("Sigmoid", activation.sigmoid)
Softplus = _call("Softplus", activation.softplus)
Softmax = _call("Softmax", activation.softmax)
LogSoftmax = _call("LogSoftmax", activation.log_softmax)
Flatten = _call("Flatten", shape.flatten)
Identity = _call("Identity", lambda x: x)
MaxPool1d = _call("MaxPool1d", pool.max_pool1d, _Pool)
MaxPool2d = _call("MaxPool2d", pool.max_pool2d, _Pool)
MaxPool3d = _call("MaxPool3d", pool.max_pool3d, _Pool)
AvgPool1d = _call("AvgPool1d", pool.avg_pool1d, _Pool)
AvgPool2d = _call("AvgPool2d", pool.avg_pool2d, _Pool)
AvgPool3d = _call("AvgPool3d", pool.avg_pool3d, _Pool)
AdaptiveAvgPool2d = _call("AdaptiveAvgPool2d", pool.adaptive_avg_pool2d)
AdaptiveMaxPool2d = _call("AdaptiveMaxPool2d", pool.adaptive_max_pool2d)
GlobalAvgPool = _call("GlobalAvgPool", pool.global_avg_pool)
LocalResponseNorm = _call("LocalResponseNorm", local_response_norm)
ReLU6 = _call("ReLU6", activation.relu6)
Hardtanh = _call("Hardtanh", activation.hardtanh)
Hardsigmoid = _call("Hardsigmoid", activation.hardsigmoid)
Hardswish = _call("Hardswish", activation.hardswish)
Hardshrink = _call("Hardshrink", activation.hardshrink)
Softshrink = _call("Softshrink", activation.softshrink)
Threshold = _call("Threshold", activation.threshold)
SELU = _call("SELU", activation.selu)
CELU = _call("CELU", activation.celu)
Mish = _call("Mish", activation.mish)
Softsign = _call("Softsign", activation.softsign)
Tanhshrink = _call("Tanhshrink", activation.tanhshrink)
LogSigmoid = _call("LogSigmoid", activation.logsigmoid)
GLU = _call("GLU", composed.glu)
RReLU = _call("RReLU", composed.rrelu)
Softmax2d = _call("Softmax2d", lambda x: activation.softmax(x, -3))
LPPool1d = _call("LPPool1d", images.lp_pool1d)
LPPool2d = _call("LPPool2d", images.lp_pool2d)
LPPool3d = _call("LPPool3d", images.lp_pool3d)
MaxUnpool1d = _call("MaxUnpool1d", images.max_unpool1d, inputs=2)
MaxUnpool2d = _call("MaxUnpool2d", images.max_unpool2d, inputs=2)
MaxUnpool3d = _call("MaxUnpool3d", images.max_unpool3d, inputs=2)
FractionalMaxPool2d = _call("FractionalMaxPool2d", images.fractional_max_pool2d)
FractionalMaxPool3d = _call("FractionalMaxPool3d", images.fractional_max_pool3d)
Fold = _call("Fold", images.fold)
Unfold = _call("Unfold", images.unfold)
UpsamplingNearest2d = _call(
    "UpsamplingNearest2d", lambda x, size=None, scale_factor=None: interpolate(x, size, scale_factor)
)
UpsamplingBilinear2d = _call(
    "UpsamplingBilinear2d", lambda x, size=None, scale_factor=None: interpolate(x, size, scale_factor, "bilinear", True)
)
Softmin = _call("Softmin", composed.softmin)
PixelShuffle = _call("PixelShuffle", images.pixel_shuffle)
PixelUnshuffle = _call("PixelUnshuffle", images.pixel_unshuffle)
ChannelShuffle = _call("ChannelShuffle", images.channel_shuffle)
Unflatten = _call("Unflatten", unflatten)
Upsample = _call("Upsample", interpolate)
AdaptiveAvgPool1d = _call("AdaptiveAvgPool1d", pool.adaptive_avg_pool1d)
AdaptiveAvgPool3d = _call("AdaptiveAvgPool3d", pool.adaptive_avg_pool3d)
AdaptiveMaxPool1d = _call("AdaptiveMaxPool1d", pool.adaptive_max_pool1d)
AdaptiveMaxPool3d = _call("AdaptiveMaxPool3d", pool.adaptive_max_pool3d)
ConstantPad1d, ConstantPad2d, ConstantPad3d = (_call(f"ConstantPad{d}d", padded("constant", d)) for d in (1, 2, 3))
ZeroPad1d, ZeroPad2d, ZeroPad3d = (_call(f"ZeroPad{d}d", padded("constant", d)) for d in (1, 2, 3))
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (
    _call(f"ReflectionPad{d}d", padded("reflect", d)) for d in (1, 2, 3)
)
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (
    _call(f"ReplicationPad{d}d", padded("edge", d)) for d in (1, 2, 3)
)
CircularPad1d, CircularPad2d, CircularPad3d = (_call(f"CircularPad{d}d", padded("wrap", d)) for d in (1, 2, 3))
CosineSimilarity = _loss("CosineSimilarity", composed.cosine_similarity)
PairwiseDistance = _loss("PairwiseDistance", composed.pairwise_distance)
CrossEntropyLoss = _loss("CrossEntropyLoss", loss.cross_entropy)
NLLLoss = _loss("NLLLoss", loss.nll_loss)
MSELoss = _loss("MSELoss", loss.mse_loss)
L1Loss = _loss("L1Loss", loss.l1_loss)
HuberLoss = _loss("HuberLoss", loss.huber_loss)
SmoothL1Loss = _loss("SmoothL1Loss", loss.smooth_l1_loss)
BCELoss = _loss("BCELoss", composed.binary_cross_entropy)
BCEWithLogitsLoss = _loss("BCEWithLogitsLoss", loss.binary_cross_entropy_with_logits)
MultiMarginLoss = _loss("MultiMarginLoss", loss.multi_margin_loss)
KLDivLoss = _loss("KLDivLoss", composed.kl_div)
PoissonNLLLoss = _loss("PoissonNLLLoss", composed.poisson_nll_loss)
GaussianNLLLoss = _loss("GaussianNLLLoss", composed.gaussian_nll_loss, 3)
HingeEmbeddingLoss = _loss("HingeEmbeddingLoss", composed.hinge_embedding_loss)
SoftMarginLoss = _loss("SoftMarginLoss", composed.soft_margin_loss)
MarginRankingLoss = _loss("MarginRankingLoss", composed.margin_ranking_loss, 3)
CosineEmbeddingLoss = _loss("CosineEmbeddingLoss", composed.cosine_embedding_loss, 3)
MultiLabelMarginLoss = _loss("MultiLabelMarginLoss", composed.multilabel_margin_loss)
MultiLabelSoftMarginLoss = _loss("MultiLabelSoftMarginLoss", composed.multilabel_soft_margin_loss)
TripletMarginWithDistanceLoss = _loss("TripletMarginWithDistanceLoss", composed.triplet_margin_with_distance_loss, 3)
TripletMarginLoss = _loss("TripletMarginLoss", composed.triplet_margin_loss, 3)
