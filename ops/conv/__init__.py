"""Convolution: one trilinear form and its three slots as ops; im2col and Toeplitz products; filters made of others."""

from minigraph.kernels.registry import autotune as autotune
from minigraph.kernels.registry import precision as precision
from minigraph.ops.conv import lowering as lowering
from minigraph.ops.conv.columns import col2im, im2col
from minigraph.ops.conv.filters import connected_filters, conv_to_linear, linear_to_conv
from minigraph.ops.conv.functions import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from minigraph.ops.conv.matrices import conv_matrix, patch_matrix
from minigraph.ops.conv.slots import Conv as Conv
from minigraph.ops.conv.tiled import (
    locally_connected1d,
    locally_connected2d,
    locally_connected3d,
    tiled_conv1d,
    tiled_conv2d,
    tiled_conv3d,
)

__all__ = [
    "autotune",
    "col2im",
    "connected_filters",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_matrix",
    "conv_to_linear",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "im2col",
    "linear_to_conv",
    "locally_connected1d",
    "locally_connected2d",
    "locally_connected3d",
    "patch_matrix",
    "precision",
    "tiled_conv1d",
    "tiled_conv2d",
    "tiled_conv3d",
]
