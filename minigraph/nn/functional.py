"""The functions of networks by PyTorch's names, as ``torch.nn.functional`` has them: those of ``mg``, and more."""

from minigraph.nn import composed as _composed
from minigraph.nn import images as _images
from minigraph.nn.composed import *
from minigraph.nn.images import *
from minigraph.ops import activation as _activation
from minigraph.ops import conv as _conv
from minigraph.ops import dropout as _dropout
from minigraph.ops import loss as _loss
from minigraph.ops import normalization as _normalization
from minigraph.ops import pool as _pool
from minigraph.ops.activation import *
from minigraph.ops.conv import *
from minigraph.ops.dropout import *
from minigraph.ops.interpolate import interpolate
from minigraph.ops.loss import *
from minigraph.ops.normalization import *
from minigraph.ops.pool import *
from minigraph.ops.products import linear
from minigraph.ops.shape import flatten

__all__ = [
    *_activation.__all__, *_conv.__all__, *_dropout.__all__, *_loss.__all__, *_normalization.__all__, *_pool.__all__,
    *_composed.__all__, *_images.__all__, "flatten", "interpolate", "linear",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
