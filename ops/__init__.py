"""The ops: every node type with its kernel and its rules."""

if __name__ != "minigraph.ops":
    raise ImportError(f"got import of {__name__!r}; wanted minigraph.ops (import minigraph)")

from minigraph.ops.activation import *
from minigraph.ops.conv import *
from minigraph.ops.dropout import *
from minigraph.ops.elementwise import *
from minigraph.ops.loss import *
from minigraph.ops.matmul import *
from minigraph.ops.pool import *
from minigraph.ops.reduce import *
from minigraph.ops.shape import *
