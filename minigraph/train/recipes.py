"""How the published networks were trained, as far as one machine can repeat it: options by the name of the model."""

from __future__ import annotations

from typing import Any

CIFAR = {
    "batch_size": 128, "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "schedule": "step", "step_size": 60,
    "epochs": 160, "augment": "crop:4,flip",
}  # fmt: skip
IMAGENET = {
    "batch_size": 128, "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "plateau", "epochs": 90,
    "augment": "crop:8,flip,jitter:0.2",
}  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {
    "lenet5": {
        "epochs": 60,
        "lr": 0.005,
        "momentum": 0.9,
        "clip_norm": 5.0,
        "warmup": 2,
        "augment": "affine:15:0.12:0.15",
    },
    "lenet5 modern=true": {
        "epochs": 60,
        "lr": 0.05,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "augment": "affine:15:0.12:0.15",
    },
    **dict.fromkeys(["alexnet", "vgg11", "vgg_a_lrn", "vgg13", "vgg_c", "vgg16", "vgg19", "googlenet"], IMAGENET),
    **dict.fromkeys(
        ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "plain18", "plain34"],
        {**IMAGENET, "lr": 0.1, "weight_decay": 1e-4},
    ),
    **dict.fromkeys([f"{kind}{n}" for kind in ("resnet", "plain") for n in (20, 32, 44, 56)], CIFAR),
    **dict.fromkeys(["resnet110", "plain110"], {**CIFAR, "warmup": 1}),
    **dict.fromkeys(
        ["inception_v4", "inception_resnet_v2"],
        {
            **IMAGENET,
            "optimizer": "rmsprop",
            "lr": 0.045,
            "schedule": "exponential",
            "label_smoothing": 0.1,
            "clip_norm": 2.0,
        },
    ),
}


def recipe(name: str, model_options: str = "") -> dict[str, Any]:
    """The options with which a model is trained unless others are given; none for other networks."""
    given = set(model_options.replace(" ", "").split(","))
    special = [key for key in RECIPES if key.partition(" ")[0] == name and key.partition(" ")[2] in given - {""}]
    return dict(RECIPES.get(special[0] if special else name, {}))
