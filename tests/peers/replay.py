"""A graph of ours computed once more by PyTorch: node by node, from the same leaves."""

import numpy as np
import torch

import minigraph as mg

F = torch.nn.functional


def pads(padding):
    """PyTorch's one number an axis, for padding that is the same on both sides."""
    assert all(before == after for before, after in padding)
    return [before for before, _ in padding]


def adaptive(name):
    return lambda op, x: getattr(F, name)(x, op.output_size)


def padded(op, x):
    width = op.hyperparameters["pad_width"]
    return F.pad(x, [n for pair in reversed(width) for n in pair])


def batch_norm(op, x, *affine):
    assert op.statistics is None  # in training
    return F.batch_norm(x, None, None, *affine, training=True, eps=op.eps)


OPS = {  # name of the op: (op, *inputs) → what PyTorch makes of them
    "add": lambda op, a, b: a + b,
    "adaptive_avg_pool2d": adaptive("adaptive_avg_pool2d"),
    "avg_pool2d": lambda op, x: F.avg_pool2d(
        x, op.kernel_size, op.stride, pads(op.padding), op.ceil_mode, op.count_include_pad
    ),
    "batch_norm": batch_norm,
    "concatenate": lambda op, *xs: torch.cat(xs, op.axis),
    "connected_filters": lambda op, w: torch.zeros(*op.table.shape, *w.shape[1:], dtype=w.dtype).index_put(
        tuple(map(torch.tensor, np.nonzero(op.table))), w
    ),
    "conv2d": lambda op, x, w, b=None: F.conv2d(x, w, b, op.stride, pads(op.padding), op.dilation, op.groups),
    "conv_transpose2d": lambda op, x, w, b=None: F.conv_transpose2d(x, w, b, op.stride),
    "hardsigmoid": lambda op, x: (x / 6 + 0.5).clamp(0, 1),  # PyTorch's own keeps 1/6 in float32
    "hardswish": lambda op, x: x * (x / 6 + 0.5).clamp(0, 1),
    "relu6": lambda op, x: F.relu6(x),
    "take": lambda op, x: x[:, torch.tensor(op.hyperparameters["0"])],  # of channels
    "cross_entropy": lambda op, s, labels: F.cross_entropy(s, labels),
    "dropout": lambda op, x: x * torch.tensor(op.mask(mg.Spec(tuple(x.shape), x.numpy(force=True).dtype))),
    "expand_dims": lambda op, x: x.unsqueeze(op.hyperparameters["0"]),
    "getitem": lambda op, x: x[op.hyperparameters["key"]],
    "global_avg_pool": lambda op, x: x.mean((2, 3)),
    "linear": lambda op, x, w, b=None: F.linear(x, w, b),
    "local_response_norm": lambda op, x: F.local_response_norm(x, op.size, op.alpha, op.beta, op.k),
    "max_pool2d": lambda op, x: F.max_pool2d(x, op.kernel_size, op.stride, pads(op.padding), op.dilation, op.ceil_mode),
    "multiply": lambda op, a, b: a * b,
    "negative": lambda op, x: -x,
    "pad": padded,
    "relu": lambda op, x: F.relu(x),
    "reshape": lambda op, x: x.reshape(op.hyperparameters["0"]),
    "square": lambda op, x: x * x,
    "subtract": lambda op, a, b: a - b,
    "sum": lambda op, x: x.sum(op.axis),
    "tanh": lambda op, x: torch.tanh(x),
}


def doubled(node):
    """The value of a node, floats in double precision."""
    value = np.asarray(node.value)
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def replay(y, step=None):
    """The value of node ``y`` by PyTorch, and {parameter: tensor} of the parameters behind it.

    With ``step(node, tensor)``, called for each result, the next op is given the node's value in the tensor's place.
    PyTorch computes in double precision, so that what differs is our rounding and not its own.
    """
    tape = mg.Tape.of(y)
    tensors = {}
    for node in tape.nodes:
        if node.op is None:
            tensors[node] = torch.tensor(doubled(node), requires_grad=isinstance(node, mg.Parameter))
        else:
            tensors[node] = OPS[node.kind](node.op, *[tensors[x] for x in node.inputs])
            if step is not None:
                step(node, tensors[node])
                tensors[node].data = torch.tensor(doubled(node))
    return tensors[y], {p: tensors[p] for p in tape.parameters}
