"""conv2d against PyTorch's, forward and both gradients, float32, on all cores."""

from collections.abc import Iterator

import numpy as np
import torch

import minigraph as mg
from benchmarks.timing import Row, compare

LAYERS = {
    "LeNet-5 conv1 128×1×32×32 → 6, 5×5": ((128, 1, 32, 32), (6, 1, 5, 5), 1, 0),
    "LeNet-5 conv2 128×6×14×14 → 16, 5×5": ((128, 6, 14, 14), (16, 6, 5, 5), 1, 0),
    "AlexNet conv1 8×3×227×227 → 96, 11×11 s4": ((8, 3, 227, 227), (96, 3, 11, 11), 4, 0),
    "VGG conv3 4×128×56×56 → 256, 3×3 p1": ((4, 128, 56, 56), (256, 128, 3, 3), 1, 1),
    "ResNet 1×1 8×256×14×14 → 64": ((8, 256, 14, 14), (64, 256, 1, 1), 1, 0),
}


def rows() -> Iterator[Row]:
    """Forward plus both gradients of typical layers."""
    rng = np.random.default_rng(0)
    for name, (size, kernel, stride, padding) in LAYERS.items():
        x, w = (rng.standard_normal(shape).astype(np.float32) for shape in (size, kernel))
        tx, tw = torch.from_numpy(x).requires_grad_(), torch.from_numpy(w).requires_grad_()

        def ours(x=x, w=w, s=stride, p=padding):
            nodes = mg.parameter(x), mg.parameter(w)
            y = mg.conv2d(*nodes, stride=s, padding=p)
            y.backward(np.ones(y.shape, np.float32))

        def torchs(x=tx, w=tw, s=stride, p=padding):
            y = torch.nn.functional.conv2d(x, w, stride=s, padding=p)
            y.backward(torch.ones_like(y))
            x.grad = w.grad = None

        yield compare(f"{name}, forward + backward", "reported", 7, minigraph=ours, torch=torchs)
