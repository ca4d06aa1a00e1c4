"""Convolution: one trilinear form, its three slots as ops, and an algorithm a file."""

from minigraph.ops.conv import depthwise, direct, fft, toeplitz, winograd  # noqa: F401  each enters itself into ALGORITHMS
from minigraph.ops.conv import im2col as _im2col  # noqa: F401  so does this, whose name the op takes below
from minigraph.ops.conv.algorithm import ALGORITHMS as ALGORITHMS
from minigraph.ops.conv.algorithm import Algorithm as Algorithm
from minigraph.ops.conv.algorithm import Work as Work
from minigraph.ops.conv.algorithm import autotune as autotune
from minigraph.ops.conv.algorithm import precision as precision
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
