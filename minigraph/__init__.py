"""minigraph: computational graphs whose every node has one local Jacobian that pushes, pulls and is a sparse matrix.

Leaves are made by ``constant`` and ``parameter``; NumPy's functions (``np.exp``, ``np.sum``, …) and those of networks below
record nodes. A ``Tape`` walks what was recorded, backward, forward, or by sparse matrices; ``grad``, ``jvp``, ``hessian``
and others do so for functions. ``draw``, ``summary``, ``verify`` and ``profile`` look inside. ``nn`` has layers, ``models``
networks, ``optim`` optimizers, ``data`` images, ``train`` training, ``plot`` pictures; ``ops`` has NumPy's functions for
arrays and ``Spec``s too, and ``extend`` what an op of your own needs.

    F = mg.parameter(np.random.default_rng(0).standard_normal((6, 1, 3, 3)), "F")
    y = np.sum(mg.relu(mg.conv2d(np.ones((1, 1, 8, 8)), F)))  # a node
    y.backward(retain_graph=True)  # F.grad, of F's shape
    J = mg.Tape.of(y).jacobian(F).tosparse()  # the same as a matrix, 1 × 54
"""

import pathlib as _pathlib
import typing as _typing

__version__ = "0.1.0"

# A bare checkout keeps the ops beside this folder; an installed package has them inside it.
if not (_pathlib.Path(__file__).parent / "ops").is_dir():
    __path__.append(str(_pathlib.Path(__file__).parent.parent))

from minigraph import interrupt as interrupt  # before the imports that take long

# isort: split
from minigraph import extend, nn, ops, optim
from minigraph import guard as guard
from minigraph.check import check_grads
from minigraph.inspect import spy as _spy  # noqa: F401  attaches LinearMap.spy
from minigraph.inspect.choices import chosen_kernels
from minigraph.inspect.costs import costs
from minigraph.inspect.derive import derive
from minigraph.inspect.difference import compare
from minigraph.inspect.draw import draw
from minigraph.inspect.exact import exact
from minigraph.inspect.frames import frames
from minigraph.inspect.lower import lower
from minigraph.inspect.pixels import trace_pixel
from minigraph.inspect.profile import profile
from minigraph.inspect.summary import summary
from minigraph.inspect.verify import verify
from minigraph.kernels import numpy as _numpy_kernels  # noqa: F401  enters itself into the registry
from minigraph.kernels import onednn as _onednn_kernels  # noqa: F401  and these where oneDNN is installed
from minigraph.kernels.numpy.threads import threads
from minigraph.maps import LinearMap
from minigraph.mode import detect_anomaly, enable_grad, no_grad, scope
from minigraph.node import (
    GraphError,
    MemoryBudgetError,
    Node,
    Parameter,
    ShapeError,
    Spec,
    constant,
    named,
    parameter,
)
from minigraph.ops.activation import *
from minigraph.ops.conv import *
from minigraph.ops.dropout import *
from minigraph.ops.interpolate import *
from minigraph.ops.loss import *
from minigraph.ops.normalization import *
from minigraph.ops.pool import *
from minigraph.ops.products import linear
from minigraph.ops.reduce import logsumexp
from minigraph.ops.shape import flatten
from minigraph.replay import compile
from minigraph.tape import Tape
from minigraph.transforms import checkpoint, grad, hessian, hvp, jacobian, jvp, linearize, value_and_grad, vjp

if _typing.TYPE_CHECKING:
    from minigraph import data, models, plot, scipy, train

__all__ = [
    # leaves and nodes
    "constant", "parameter", "Spec", "Node", "Parameter", "named",
    # walks
    "Tape", "LinearMap",
    # transforms of functions
    "grad", "value_and_grad", "vjp", "jvp", "jacobian", "hessian", "hvp", "linearize", "checkpoint", "check_grads",
    # modes
    "no_grad", "enable_grad", "detect_anomaly", "scope",
    # inspection
    "draw", "compare", "derive", "exact", "frames", "trace_pixel", "summary", "verify", "costs", "profile", "lower",
    # settings
    "threads", "precision", "autotune", "chosen_kernels", "compile",
    # errors
    "ShapeError", "GraphError", "MemoryBudgetError",
    # modules
    "nn", "optim", "models", "data", "train", "plot", "ops", "scipy", "extend",

    # convolution
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "tiled_conv1d", "tiled_conv2d", "tiled_conv3d", "locally_connected1d", "locally_connected2d", "locally_connected3d",
    "im2col", "col2im", "connected_filters", "linear_to_conv", "conv_to_linear", "interpolate",
    # pooling
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "global_max_pool", "global_avg_pool", "maxout",
    # matrices
    "conv_matrix", "patch_matrix", "pool_matrix",
    # linear layers, activations, dropout
    "linear", "flatten", "relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "softplus",
    "softmax", "log_softmax", "logsumexp", "dropout", "dropout1d", "dropout2d", "dropout3d",
    # normalisation
    "batch_norm", "layer_norm", "group_norm", "instance_norm", "local_response_norm",
    # losses
    "cross_entropy", "nll_loss", "multi_margin_loss", "binary_cross_entropy_with_logits",
    "mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "l2_penalty",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> _typing.Any:
    if name in ("models", "data", "train", "plot", "scipy"):  # imported when first asked for
        import importlib

        return importlib.import_module(f"minigraph.{name}")
    hint = ""
    if name in ops.__all__:
        import numpy as np
        from scipy import special

        homes = {"np": np, "np.linalg": np.linalg, "scipy.special": special}
        alternatives = [f"{home}.{name} on nodes, or " for home, module in homes.items() if hasattr(module, name)]
        hint = f"; use {''.join(alternatives[:1])}mg.ops.{name}"
    elif name in extend.__all__:
        hint = f"; use mg.extend.{name}"
    raise AttributeError(f"module 'minigraph' has no attribute {name!r}{hint}")
