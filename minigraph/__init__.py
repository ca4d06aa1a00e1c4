"""minigraph: computational graphs whose every node has one local Jacobian that pushes, pulls and is a sparse matrix."""

import pathlib as _pathlib
import typing as _typing

__version__ = "0.1.0"

# A bare checkout keeps the ops beside this folder; an installed package has them inside it.
if not (_pathlib.Path(__file__).parent / "ops").is_dir():
    __path__.append(str(_pathlib.Path(__file__).parent.parent))

from minigraph import interrupt as interrupt  # before the imports that take long

# isort: split
from minigraph import guard as guard
from minigraph import nn as nn
from minigraph import optim as optim
from minigraph.check import check_grads as check_grads
from minigraph.check import check_op as check_op
from minigraph.inspect.costs import costs as costs
from minigraph.inspect.draw import draw as draw
from minigraph.inspect.lower import lower as lower
from minigraph.inspect.profile import profile as profile
from minigraph.inspect.summary import summary as summary
from minigraph.inspect.verify import verify as verify
from minigraph.kernels import numpy as _numpy_kernels  # noqa: F401  enters itself into the registry
from minigraph.kernels.numpy.threads import threads as threads
from minigraph.maps import LinearMap as LinearMap
from minigraph.mode import detect_anomaly as detect_anomaly
from minigraph.mode import enable_grad as enable_grad
from minigraph.mode import no_grad as no_grad
from minigraph.mode import scope as scope
from minigraph.node import GraphError as GraphError
from minigraph.node import MemoryBudgetError as MemoryBudgetError
from minigraph.node import Node as Node
from minigraph.node import Parameter as Parameter
from minigraph.node import ShapeError as ShapeError
from minigraph.node import Spec as Spec
from minigraph.node import constant as constant
from minigraph.node import named as named
from minigraph.node import parameter as parameter
from minigraph.op import Op as Op
from minigraph.ops import queries as queries
from minigraph.ops.activation import *
from minigraph.ops.conv import *
from minigraph.ops.dropout import *
from minigraph.ops.elementwise import *
from minigraph.ops.interpolate import *
from minigraph.ops.loss import *
from minigraph.ops.matmul import *
from minigraph.ops.norm import *
from minigraph.ops.pool import *
from minigraph.ops.reduce import *
from minigraph.ops.shape import *
from minigraph.tape import Tape as Tape
from minigraph.transforms import checkpoint as checkpoint
from minigraph.transforms import grad as grad
from minigraph.transforms import hessian as hessian
from minigraph.transforms import hvp as hvp
from minigraph.transforms import jacobian as jacobian
from minigraph.transforms import jvp as jvp
from minigraph.transforms import linearize as linearize
from minigraph.transforms import value_and_grad as value_and_grad
from minigraph.transforms import vjp as vjp

if _typing.TYPE_CHECKING:
    from minigraph import models as models


def __getattr__(name: str) -> _typing.Any:
    if name == "models":  # imported when first asked for
        import importlib

        return importlib.import_module("minigraph.models")
    raise AttributeError(f"module 'minigraph' has no attribute {name!r}")
