"""Activations, rearrangements, distances and losses against torch.nn.functional: values, gradients, second order."""

import numpy as np
import pytest
from test_ops_peers import agree

import minigraph as mg
from minigraph.nn import functional as F

torch = pytest.importorskip("torch")
rng = np.random.default_rng(0)
X, Y, Z = 3 * rng.standard_normal((3, 4, 6))
P, Q = rng.uniform(0.05, 0.95, (2, 4, 6))
SIGNS, IMAGE = rng.choice([-1.0, 1.0], (4, 6)), rng.standard_normal((2, 12, 4, 6))

CALLS = [
    ("relu6", (3 * X,), {}), ("hardtanh", (X,), {}), ("hardtanh", (X,), {"min_val": -0.3, "max_val": 2.0}),
    ("hardswish", (2 * X,), {}), ("hardshrink", (X,), {"lambd": 0.7}), ("softshrink", (X,), {"lambd": 0.7}),
    ("threshold", (X,), {"threshold": 0.2, "value": 5.0}), ("selu", (X,), {}), ("celu", (X,), {}), ("softplus", (3 * X,), {"beta": 2.0, "threshold": 1.0}), ("softplus", (X,), {"beta": -0.5}),
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
    ("poisson_nll_loss", (P, 3 * Q), {"log_input": False, "full": True}), ("gaussian_nll_loss", (X, Y, P), {"full": True}), ("gaussian_nll_loss", (X, Y, P[:, 0]), {}), ("gaussian_nll_loss", (X, Y, P[:, :1]), {}),
    ("margin_ranking_loss", (X, Y, Z), {}), ("cosine_similarity", (X[None], Y[:, None]), {"dim": -2}),
    ("prelu", (X, np.array(0.3)), {}), *[("normalize", (X,), {"p": p}) for p in (0.5, -1.0, -2.5)],
    ("hinge_embedding_loss", (X, SIGNS), {"margin": 0.5}), ("soft_margin_loss", (X, SIGNS), {}),
    ("margin_ranking_loss", (X, Y, SIGNS), {"margin": 0.3}), ("cosine_embedding_loss", (X, Y, SIGNS[:, 0]), {"margin": 0.1}),
    ("pad", (IMAGE,), {"pad": (1, 2, 0, 3, -1, 1), "value": 0.5}), ("pad", (IMAGE,), {"pad": (2, 1, 1, 3), "mode": "reflect"}),
    ("pad", (IMAGE,), {"pad": (2, 1, 0, 1), "mode": "replicate"}), ("pad", (IMAGE,), {"pad": (2, 1, 1, 2), "mode": "circular"}),
    ("pixel_shuffle", (IMAGE[0],), {"upscale_factor": 2}), ("pixel_unshuffle", (IMAGE[0],), {"downscale_factor": 2}),
    ("unfold", (IMAGE,), {"kernel_size": (2, 3), "padding": 1, "stride": 2}), ("unfold", (IMAGE[0],), {"kernel_size": 2, "dilation": 2}),
    ("fold", (rng.standard_normal((2, 18, 6)),), {"output_size": (5, 6), "kernel_size": (2, 3), "padding": 1, "stride": (2, 3)}),
    ("fold", (rng.standard_normal((8, 20)),), {"output_size": (5, 6), "kernel_size": 2}),
    ("lp_pool1d", (np.abs(IMAGE[0]) + 0.1,), {"norm_type": 3.0, "kernel_size": 2}), ("lp_pool2d", (IMAGE,), {"norm_type": 2, "kernel_size": 2}),
    ("lp_pool2d", (np.abs(IMAGE) + 0.1,), {"norm_type": 1.5, "kernel_size": (3, 2), "stride": 1, "ceil_mode": True}),
    ("lp_pool3d", (np.abs(IMAGE) + 0.1,), {"norm_type": 2, "kernel_size": 2}), ("max_pool2d", (IMAGE[0],), {"kernel_size": 2}),
    ("avg_pool2d", (IMAGE,), {"kernel_size": 3, "padding": 1, "divisor_override": 5}), ("avg_pool3d", (IMAGE,), {"kernel_size": 2, "divisor_override": 3}),
    ("conv2d", (IMAGE[0], rng.standard_normal((3, 12, 2, 2))), {"padding": 1}), ("conv_transpose1d", (X, rng.standard_normal((4, 2, 3))), {"stride": 2}),
    ("adaptive_avg_pool2d", (IMAGE[0],), {"output_size": 3}), ("adaptive_max_pool1d", (X,), {"output_size": 2}),
    *[("interpolate", (IMAGE,), {"size": s, "mode": m, "align_corners": c}) for m in ("bicubic", "bilinear") for s in ((7, 5), (2, 9)) for c in (True, False)],
    *[("interpolate", (IMAGE,), {"scale_factor": s, "mode": "bicubic"}) for s in (1.7, (0.6, 2.5))],
    *[("interpolate", (IMAGE,), {"size": (3, 4), "mode": m}) for m in ("area", "nearest-exact")], ("interpolate", (X[None],), {"scale_factor": 1.6, "mode": "nearest-exact"}),
    ("interpolate", (IMAGE,), {"scale_factor": 1.6, "mode": "bilinear", "recompute_scale_factor": True}),
    *[("interpolate", (IMAGE,), {"size": s, "mode": m, "antialias": True}) for m in ("bilinear", "bicubic") for s in ((2, 3), (7, 2), (6, 9))],
    ("affine_grid", (rng.standard_normal((2, 2, 3)),), {"size": (2, 3, 4, 5), "align_corners": False}), ("affine_grid", (rng.standard_normal((2, 3, 4)),), {"size": (2, 1, 2, 3, 4), "align_corners": True}),
    *[("grid_sample", (IMAGE, rng.uniform(-1.4, 1.4, (2, 3, 5, 2))), {"mode": m, "padding_mode": p, "align_corners": c})
      for m in ("bilinear", "nearest", "bicubic") for p in ("zeros", "border", "reflection") for c in (True, False)],
    ("grid_sample", (rng.standard_normal((1, 2, 3, 4, 5)), rng.uniform(-1, 1, (1, 2, 2, 3, 3))), {"align_corners": True}),
    ("bilinear", (X, Y, rng.standard_normal((3, 6, 6)), rng.random(3)), {}),
    ("scaled_dot_product_attention", (X, Y, Z), {"is_causal": True}), ("scaled_dot_product_attention", (X, Y, Z), {"scale": 0.3}),
    ("multilabel_soft_margin_loss", (X, Q), {"weight": rng.random(6)}), ("multilabel_soft_margin_loss", (X, Q), {"reduction": "none"}),
    ("triplet_margin_with_distance_loss", (X, Y, Z), {"swap": True, "margin": 3.0}),
    ("instance_norm", (IMAGE,), {"eps": 0.1}),
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


@pytest.mark.parametrize("d", [1, 2, 3])
def test_pooling_that_is_undone(d):
    x = rng.standard_normal((2, 3, *(7, 6, 5)[:d]))
    theirs, ours = (
        (getattr(module, f"max_pool{d}d"), getattr(module, f"max_unpool{d}d")) for module in (torch.nn.functional, F)
    )
    for options in ({"kernel_size": 2}, {"kernel_size": 3, "padding": 1}):
        y, index = theirs[0](torch.tensor(x), return_indices=True, **options)
        mine, at = ours[0](x, return_indices=True, **options)
        np.testing.assert_array_equal(at, index.numpy())
        options["output_size"] = x.shape[2:]
        agree(
            lambda v, at=at, options=options: ours[1](v, at, **options),
            lambda v, index=index, options=options: theirs[1](v, index, **options),
            mine,
        )
    mine, at = getattr(F, f"adaptive_max_pool{d}d")(x, 3, return_indices=True)
    y, index = getattr(torch.nn.functional, f"adaptive_max_pool{d}d")(torch.tensor(x), 3, return_indices=True)
    np.testing.assert_array_equal(at, index.numpy())


def test_labels_before_the_first_that_is_negative():
    labels = np.array([[1, 0, -1, 2, 3, 3], [5, -1, 0, 1, 2, 3], [-1, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]])
    for reduction in ("mean", "sum", "none"):  # PyTorch's has no second derivative
        t = torch.tensor(X, requires_grad=True)
        theirs = torch.nn.functional.multilabel_margin_loss(t, torch.tensor(labels), reduction=reduction)
        value, pull = mg.vjp(lambda x, r=reduction: F.multilabel_margin_loss(x, labels, r), X)
        theirs.backward(torch.ones_like(theirs))
        np.testing.assert_allclose(value, theirs.detach().numpy())
        np.testing.assert_allclose(pull(np.ones(np.shape(value))), t.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_distances_of_all_pairs(p):
    i, j = np.triu_indices(4, 1)
    agree(lambda x: F.pdist(x, p), lambda x: torch.linalg.vector_norm(x[i] - x[j], p, -1), X)
    np.testing.assert_allclose(F.pdist(X, p), torch.nn.functional.pdist(torch.tensor(X), p).numpy())


@pytest.mark.parametrize("by_input", [True, False])
def test_running_statistics_of_instance_norm(by_input):
    mean, var = rng.standard_normal(12), rng.random(12) + 0.5
    theirs, ours = (torch.tensor(mean), torch.tensor(var)), (mean.copy(), var.copy())
    expected = torch.nn.functional.instance_norm(torch.tensor(IMAGE), *theirs, use_input_stats=by_input, momentum=0.3)
    y = F.instance_norm(IMAGE, *ours, use_input_stats=by_input, momentum=0.3)
    np.testing.assert_allclose(y, expected.numpy(), rtol=1e-9)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-12)
