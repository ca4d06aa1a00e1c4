"""Activations, rearrangements, distances and losses against torch.nn.functional: values, gradients, second order."""

import numpy as np
import pytest
from test_ops_peers import agree

from minigraph.nn import functional as F

torch = pytest.importorskip("torch")
rng = np.random.default_rng(0)
X, Y, Z = 3 * rng.standard_normal((3, 4, 6))
P, Q = rng.uniform(0.05, 0.95, (2, 4, 6))
SIGNS, IMAGE = rng.choice([-1.0, 1.0], (4, 6)), rng.standard_normal((2, 12, 4, 6))

CALLS = [
    ("relu6", (3 * X,), {}), ("hardtanh", (X,), {}), ("hardtanh", (X,), {"min_val": -0.3, "max_val": 2.0}),
    ("hardswish", (2 * X,), {}), ("hardshrink", (X,), {"lambd": 0.7}), ("softshrink", (X,), {"lambd": 0.7}),
    ("threshold", (X,), {"threshold": 0.2, "value": 5.0}), ("selu", (X,), {}), ("celu", (X,), {}),
    ("mish", (X,), {}), ("softsign", (X,), {}), ("tanhshrink", (X,), {}), ("logsigmoid", (X,), {}),
    ("glu", (X,), {}), ("glu", (X,), {"dim": 0}), ("prelu", (X, rng.random(6)), {}), ("prelu", (IMAGE, rng.random(1)), {}),
    ("rrelu", (X,), {"lower": 0.1, "upper": 0.3}), ("pixel_shuffle", (IMAGE,), {"upscale_factor": 2}),
    ("pixel_unshuffle", (IMAGE,), {"downscale_factor": 2}), ("channel_shuffle", (IMAGE,), {"groups": 3}),
    ("normalize", (X,), {}), ("normalize", (X,), {"p": 3.0, "dim": 0}), ("rms_norm", (X,), {"normalized_shape": (6,)}),
    ("rms_norm", (X, (6,), rng.random(6)), {"eps": 0.1}), ("cosine_similarity", (X, Y), {}), ("pairwise_distance", (X, Y), {}),
    ("pairwise_distance", (X, Y), {"p": 3.0, "keepdim": True}),
    ("binary_cross_entropy", (P, Q), {}), ("binary_cross_entropy", (P, Q), {"weight": rng.random(6), "reduction": "sum"}),
    ("kl_div", (np.log(P), Q), {}), ("kl_div", (np.log(P), np.log(Q)), {"log_target": True, "reduction": "batchmean"}),
    ("kl_div", (np.log(P), Q), {"reduction": "none"}), ("poisson_nll_loss", (X, P), {}),
    ("poisson_nll_loss", (P, 3 * Q), {"log_input": False, "full": True}), ("gaussian_nll_loss", (X, Y, P), {"full": True}),
    ("hinge_embedding_loss", (X, SIGNS), {"margin": 0.5}), ("soft_margin_loss", (X, SIGNS), {}),
    ("margin_ranking_loss", (X, Y, SIGNS), {"margin": 0.3}), ("cosine_embedding_loss", (X, Y, SIGNS[:, 0]), {"margin": 0.1}),
    ("triplet_margin_loss", (X, Y, Z), {}), ("triplet_margin_loss", (X, Y, Z), {"swap": True, "margin": 3.0, "reduction": "none"}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction")  # PyTorch warns of its mean in kl_div
@pytest.mark.parametrize(("name", "arguments", "options"), CALLS, ids=lambda x: x if isinstance(x, str) else "")
def test_functions(name, arguments, options):
    fixed = [
        i for i, x in enumerate(arguments) if x is SIGNS or (isinstance(x, np.ndarray) and np.isin(x, (-1, 1)).all())
    ]
    arrays = [x for i, x in enumerate(arguments) if isinstance(x, np.ndarray) and i not in fixed]

    def call(function, tensor):
        def of(*xs):
            xs = iter(xs)
            full = [
                next(xs) if i not in fixed and isinstance(x, np.ndarray) else tensor(x) for i, x in enumerate(arguments)
            ]
            return function(*full, **{k: tensor(v) if k == "weight" else v for k, v in options.items()})

        return of

    agree(
        call(getattr(F, name), lambda x: x),
        call(getattr(torch.nn.functional, name), lambda x: torch.tensor(x) if isinstance(x, np.ndarray) else x),
        *arrays,
    )


def test_indices():
    index = rng.integers(4, size=(2, 3))
    agree(lambda w: F.embedding(index, w), lambda w: torch.nn.functional.embedding(torch.tensor(index), w), X)
    for classes in (-1, 7):
        ours, theirs = F.one_hot(index, classes), torch.nn.functional.one_hot(torch.tensor(index), classes)
        np.testing.assert_array_equal(ours, theirs.numpy())
    agree(lambda x: F.softmin(x, 1), lambda x: torch.nn.functional.softmin(x, 1), X)
