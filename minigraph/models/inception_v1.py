"""GoogLeNet: Szegedy et al. 2015, "Going deeper with convolutions", table 1."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minigraph.models.branches import Branches, ConvReLU
from minigraph.models.model import Model
from minigraph.nn import Dropout, Linear, LocalResponseNorm, MaxPool2d, Module
from minigraph.ops.activation import relu
from minigraph.ops.pool import avg_pool2d, global_avg_pool
from minigraph.ops.shape import flatten

# Channels: 1×1; 3×3 reduce, 3×3; 5×5 reduce, 5×5; pool projection. P: max pooling.
TABLE = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "P3": (),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128), "P4": (),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip


class GoogLeNetOutputs(NamedTuple):
    """What the network gives in training: the scores, and those of the side branches after 4d and 4a."""

    logits: Any
    aux_logits2: Any
    aux_logits1: Any


class SideBranch(Module):
    """An auxiliary classifier: (N, C, 14, 14) → (N, num_classes)."""

    def __init__(self, channels: int, num_classes: int, dtype: Any) -> None:
        self.conv = ConvReLU(channels, 128, 1, dtype=dtype)
        self.fc1 = Linear(2048, 1024, dtype=dtype)
        self.dropout = Dropout(0.7)
        self.fc2 = Linear(1024, num_classes, dtype=dtype)

    def forward(self, x: Any) -> Any:
        x = self.conv(avg_pool2d(x, 5, 3))
        return self.fc2(self.dropout(relu(self.fc1(flatten(x)))))


class GoogLeNet(Model):
    """The paper's network: (N, 3, 224, 224) → (N, 1000), response normalisation, no batch norm; see googlenet."""

    def __init__(
        self, num_classes: int = 1000, *, in_channels: int = 3, aux_logits: bool = False, dropout: float = 0.4,
        rng: Any = None, dtype: Any = np.float32,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, (in_channels, 224, 224))
        conv, pool, norm = (
            partial(ConvReLU, dtype=dtype),
            partial(MaxPool2d, 3, 2, ceil_mode=True),
            partial(LocalResponseNorm, 5),
        )
        self.conv1, self.maxpool1, self.norm1 = conv(in_channels, 64, 7, 2, 3), pool(), norm()
        self.conv2, self.conv3, self.norm2, self.maxpool2 = conv(64, 64, 1), conv(64, 192, 3, 1, 1), norm(), pool()
        channels = 192
        aux = {"4a": "aux1", "4d": "aux2"} if aux_logits else {}
        self.steps = ["conv1", "maxpool1", "norm1", "conv2", "conv3", "norm2", "maxpool2"]
        for name, widths in TABLE.items():
            if not widths:
                self.steps.append(f"maxpool{name[1]}")
                setattr(self, self.steps[-1], pool())
                continue
            a, b, c, d, e, f = widths
            rows = {"branch1": f"{a} 1x1", "branch2": f"{b} 1x1, {c} 3x3", "branch3": f"{d} 1x1, {e} 5x5",
                    "branch4": f"max 3x3, {f} 1x1"}  # fmt: skip
            module = Branches(channels, conv, rows)
            self.steps.append(f"inception{name}")
            setattr(self, self.steps[-1], module)
            channels = module.channels
            if name in aux:
                setattr(self, aux[name], SideBranch(channels, num_classes, dtype))
        self.aux_after = {f"inception{name}": branch for name, branch in aux.items()}
        self.dropout = Dropout(dropout)
        self.fc = Linear(channels, num_classes, dtype=dtype)
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        aux = []
        for step in self.steps:
            x = getattr(self, step)(x)
            if self.training and step in self.aux_after:
                aux.append(getattr(self, self.aux_after[step])(x))
        logits = self.fc(self.dropout(global_avg_pool(x)))
        return GoogLeNetOutputs(logits, *reversed(aux)) if aux else logits


def googlenet(num_classes: int = 1000, *, aux_logits: bool = False, **options: Any) -> GoogLeNet:
    """GoogLeNet, 22 layers; 6,998,552 parameters, 13,378,280 with its side branches.

    With ``aux_logits`` a call in training gives GoogLeNetOutputs, as in torchvision; the paper adds their losses
    weighted 0.3. The side branches need images of 224×224 or a little more.
    """
    return GoogLeNet(num_classes, aux_logits=aux_logits, **options)
