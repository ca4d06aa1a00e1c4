"""A graph of ours computed by PyTorch, node by node, as one would write it there: the same network for both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import minigraph as mg
from benchmarks import timing
from benchmarks.networks import SGD, Network

torch = timing.torch()
F = torch.nn.functional
OVERWRITABLE = {"add", "batch_norm", "conv2d", "linear"}  # their derivatives do not need their outputs


def pads(op: Any) -> list[int]:
    """The padding, which must be the same before and after, as PyTorch takes it."""
    assert all(before == after for before, after in op.padding)
    return [before for before, _ in op.padding]


def window(op: Any) -> dict[str, Any]:
    return {"kernel_size": op.kernel_size, "stride": op.stride, "padding": pads(op), "ceil_mode": op.ceil_mode}


def batch_norm(op: Any, channels: int, _: bool) -> Callable[..., Any]:
    """With running statistics, which a step updates as ours does."""
    given = (np.zeros(channels), np.ones(channels)) if op.statistics is None else op.statistics
    mean, var = (torch.tensor(s, dtype=torch.float32) for s in given)
    return lambda x, w, b: F.batch_norm(x, mean, var, w, b, op.statistics is None, eps=op.eps)


# Name of the op → what makes PyTorch's function: of op, channels, and whether it may write over its first input.
OPS: dict[str, Callable[[Any, int, bool], Callable[..., Any]]] = {
    "add": lambda op, _, over: torch.Tensor.add_ if over else torch.add,
    "avg_pool2d": lambda op, *_: partial(F.avg_pool2d, **window(op), count_include_pad=op.count_include_pad),
    "batch_norm": batch_norm,
    "concatenate": lambda op, *_: lambda *xs: torch.cat(xs, op.axis),
    "conv2d": lambda op, *_: partial(
        F.conv2d, stride=op.stride, padding=pads(op), dilation=op.dilation, groups=op.groups
    ),
    "cross_entropy": lambda *_: F.cross_entropy,
    "dropout": lambda op, *_: partial(F.dropout, p=op.p),
    "getitem": lambda op, *_: lambda x: x[op.hyperparameters["key"]],
    "global_avg_pool": lambda *_: partial(torch.mean, dim=(2, 3)),
    "linear": lambda *_: F.linear,
    "local_response_norm": lambda op, *_: partial(
        F.local_response_norm, size=op.size, alpha=op.alpha, beta=op.beta, k=op.k
    ),
    "max_pool2d": lambda op, *_: partial(F.max_pool2d, **window(op), dilation=op.dilation),
    "pad": lambda op, *_: partial(F.pad, pad=[n for pair in reversed(op.hyperparameters["pad_width"]) for n in pair]),
    "relu": lambda op, _, over: partial(F.relu, inplace=over),
    "reshape": lambda *_: partial(torch.flatten, start_dim=1),  # as all of them are here
}


class TorchGraph:
    """The function from ``inputs`` to ``y`` on PyTorch's tensors, with parameters of its own.

    Their values are the graph's; where it has none, since it was made of Specs, they are drawn.
    """

    def __init__(self, y: mg.Node, inputs: Sequence[mg.Node]) -> None:
        nodes = mg.Tape.of(y).nodes
        place = {node: i for i, node in enumerate(nodes)}
        readers = Counter(x for node in nodes for x in node.inputs)
        last = {x: node for node in nodes for x in node.inputs}
        self.inputs, self.y = [place[x] for x in inputs], place[y]
        self.parameters: dict[int, Any] = {}
        self.steps: list[tuple[Callable[..., Any], list[int], int, list[int]]] = []
        for node in nodes:
            if isinstance(node, mg.Parameter):
                empty = torch.empty(node.shape)
                value = empty.normal_(0, 0.02) if node.abstract else empty.copy_(torch.tensor(node.value))
                self.parameters[place[node]] = torch.nn.Parameter(value)
            elif node.op is not None:
                first = node.inputs[0]
                over = readers[first] == 1 and first.kind in OVERWRITABLE
                done = [place[x] for x in set(node.inputs) if last[x] is node and x.op is not None]
                reads = [place[x] for x in node.inputs]
                function = OPS[node.kind](node.op, node.shape[1] if node.ndim > 1 else 0, over)
                self.steps.append((function, reads, place[node], done))

    def __call__(self, *inputs: Any) -> Any:
        values = self.parameters | dict(zip(self.inputs, inputs, strict=True))
        for function, reads, place, done in self.steps:
            values[place] = function(*[values[i] for i in reads])
            for i in done:
                del values[i]
        return values[self.y]


def convert(network: Network, training: bool = True, values: bool = True) -> TorchGraph:
    """The loss of images and labels in training, else the scores of images."""
    model = network.build().train(training)
    if values:
        model.initialize(0)
    x, y = mg.constant(mg.Spec(network.shape)), mg.constant(mg.Spec(network.shape[:1], np.int64))
    return TorchGraph(mg.cross_entropy(model(x), y), [x, y]) if training else TorchGraph(model(x), [x])


def contender(network: Network, channels_last: bool, training: bool, values: bool) -> Callable[[], object]:
    """A training step that gives the loss, or a forward pass that gives the scores."""
    graph = convert(network, training, values)
    images, labels = map(torch.from_numpy, network.data())
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
        for p in graph.parameters.values():
            if p.ndim == 4:
                p.data = p.data.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(graph.parameters.values(), **SGD)

    def step() -> object:
        loss = graph(images, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    def forward() -> object:
        with torch.no_grad():
            return graph(images)

    return step if training else forward
