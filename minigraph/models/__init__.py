"""Published networks for images, each a function that gives an nn.Module: ``models.vgg16(num_classes=10, rng=0)``.

Without an ``rng`` a model is abstract: shapes only, to be drawn, summarised, loaded, or drawn at random later.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from minigraph.models.alexnet_2012 import alexnet
from minigraph.models.densenet import densenet121
from minigraph.models.inception import inception_resnet_v2, inception_v4
from minigraph.models.inception_v1 import GoogLeNetOutputs, googlenet
from minigraph.models.lenet import lenet5
from minigraph.models.mobilenet import mobilenet_v1, mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from minigraph.models.model import Model
from minigraph.models.resnet import (
    plain18,
    plain20,
    plain32,
    plain34,
    plain44,
    plain56,
    plain110,
    resnet18,
    resnet20,
    resnet32,
    resnet34,
    resnet44,
    resnet50,
    resnet56,
    resnet101,
    resnet110,
    resnet152,
)  # fmt: skip
from minigraph.models.shufflenet import shufflenet_v2_x1_0
from minigraph.models.squeezenet import squeezenet1_1
from minigraph.models.unet_2015 import unet
from minigraph.models.vgg import vgg11, vgg13, vgg16, vgg19, vgg_a_lrn, vgg_c

__all__ = [
    "GoogLeNetOutputs", "Model", "alexnet", "build", "densenet121", "googlenet", "inception_resnet_v2", "inception_v4",
    "lenet5", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "names", "plain110",
    "plain18", "plain20", "plain32", "plain34", "plain44", "plain56", "resnet101", "resnet110", "resnet152", "resnet18",
    "resnet20", "resnet32", "resnet34", "resnet44", "resnet50", "resnet56", "shufflenet_v2_x1_0", "squeezenet1_1",
    "unet", "vgg11", "vgg13", "vgg16", "vgg19", "vgg_a_lrn", "vgg_c",
]  # fmt: skip

MODELS: dict[str, Callable[..., Model]] = {
    f.__name__: f
    for f in (
        lenet5, alexnet, vgg11, vgg_a_lrn, vgg13, vgg_c, vgg16, vgg19, googlenet,
        resnet18, resnet34, resnet50, resnet101, resnet152, plain18, plain34,
        resnet20, resnet32, resnet44, resnet56, resnet110, plain20, plain32, plain44, plain56, plain110,
        inception_v4, inception_resnet_v2, squeezenet1_1, densenet121, mobilenet_v1, mobilenet_v2, mobilenet_v3_large,
        mobilenet_v3_small, shufflenet_v2_x1_0, unet,
    )
}  # fmt: skip


def names() -> list[str]:
    """The names of all models, family by family."""
    return list(MODELS)


def build(name: str, **options: Any) -> Model:
    """The model of that name, with the options of its function. Raises ValueError for a name that is none."""
    if name not in MODELS:
        close = get_close_matches(name, MODELS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"wanted one of {', '.join(MODELS)}"
        raise ValueError(f"build: there is no model {name!r}; {hint}")
    return MODELS[name](**options)
