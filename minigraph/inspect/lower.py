"""lower: a graph's convolutions rewritten into the matrix products that compute them."""

from __future__ import annotations

from collections import Counter
from contextvars import copy_context

from minigraph.arguments import expect_node
from minigraph.mode import MODE
from minigraph.node import Node
from minigraph.op import Op
from minigraph.tape import Tape


def lower(y: Node, to: str) -> Node:
    """The graph of ``y`` with each convolution as the nodes of a matrix product; (y.shape).

    "im2col": W → rows (K, C · f…), X → padded → cols (C · f…, N · n′…), rows × cols = out_col,
    + b = out_col_b, reshaped and transposed → out. With groups one product for each, side by side.
    "toeplitz": X → vec_X (N, C · n…), M_F vec_X = vec_S (N, K · n′…), + b = vec_S_b, reshaped → out.

    A convolution's nodes share a scope named after it. All other nodes are recorded again with their op, name
    and scope, transposed convolutions and checkpoints as they are; only the leaves are the same nodes, so
    ``backward`` of either graph fills the same ``.grad``. What grad, jvp and so on differentiate by counts as a leaf,
    whatever is behind it.
    An abstract graph stays abstract.
    Raises ValueError for another ``to``, TypeError for anything but a Node, GraphError when the graph was freed.
    Chellapilla, Puri and Simard 2006 (im2col).
    """
    if not isinstance(to, str):
        raise TypeError(f"lower: got to={to!r}; wanted one of {_wanted()}")
    if to not in _names():
        raise ValueError(f"lower: got to={to!r}; wanted one of {_wanted()}")
    expect_node("lower", y)
    tape = Tape.of(y)
    tape.check_unchanged()
    tape = Tape.of(y, until=[node for node in tape.nodes if node.op and node.op.is_leaf])
    return copy_context().run(_lowered, tape, to)  # a separate context, so that modes set inside end with it


def _names() -> list[str]:
    """What ops can be lowered to."""
    return list(dict.fromkeys(name for op in Op.registry for name in op.lowerings))


def _wanted() -> str:
    return ", ".join(map(repr, _names()))


def _lowered(tape: Tape, to: str) -> Node:
    mode = MODE.get()._replace(grad=True)
    new: dict[Node, Node] = {}
    uses: Counter[str] = Counter()
    for node in tape.nodes:
        if node.op is None or node in tape.until:
            new[node] = node
            continue
        inputs = [new[x] for x in node.inputs]
        lowering = node.op.lowerings.get(to)
        if lowering:
            path = "/".join(filter(None, (node.scope, node.name or node.op.name)))
            uses[path] += 1
            MODE.set(mode._replace(scope=path if uses[path] == 1 else f"{path}_{uses[path]}"))
            inputs = [x if x.dtype == node.dtype else x.astype(node.dtype) for x in inputs]
            new[node] = lowering(node.op, node.shape, *inputs).named("out")
        else:
            MODE.set(mode._replace(scope=node.scope))
            new[node] = node.op(*inputs)
            new[node].name = node.name
    return new[tape.y]
