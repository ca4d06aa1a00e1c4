"""The explicit matrices: assembling M_F, and the Jacobian of a network the size of LeNet-5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import scipy.sparse as sp

import minigraph as mg
from benchmarks import timing
from benchmarks.networks import LENET
from benchmarks.timing import OURS, Contender, Row, compare, python

LENET_CODE = """
import numpy as np, minigraph as mg
from benchmarks.memory import resident
rng = np.random.default_rng(0)
normal = lambda *shape: rng.standard_normal(shape)
x = mg.constant(normal(1, 1, 32, 32))
h = mg.max_pool2d(np.tanh(mg.conv2d(x, normal(6, 1, 5, 5), normal(6))), 2)
h = mg.max_pool2d(np.tanh(mg.conv2d(h, normal(16, 6, 5, 5), normal(16))), 2)
h = np.tanh(mg.linear(h.reshape(1, -1), normal(120, 400), normal(120)))
y = mg.linear(np.tanh(mg.linear(h, normal(84, 120), normal(84))), normal(10, 84), normal(10))
tape, before = mg.Tape.of(y), resident("HWM")
J = tape.jacobian(x).tosparse()
after = resident("HWM")
rows = np.array([tape.pull(e.reshape(1, 10), x)[0].ravel() for e in np.eye(10)])
print(before / 1e6, after / 1e6, np.abs(J.toarray() - rows).max() / np.abs(rows).max())
"""


def rows(repeats: int) -> Iterator[Row | str]:
    """conv_matrix, small and large, and the Jacobian of a network."""
    yield from small(repeats)
    yield large(repeats)
    yield jacobian(repeats)
    yield lenet()


def small(repeats: int) -> Iterator[Row]:
    """conv_matrix, 3 → 8 channels, 3×3, 32×32, padding 1, against PyTorch's Jacobian and SciPy's coo_array."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((8, 3, 3, 3))
    matrix = partial(mg.conv_matrix, w, (3, 32, 32), padding=1)

    def torchs() -> Callable[[], object]:
        torch = timing.torch()
        x, filters = torch.zeros(1, 3, 32, 32, dtype=torch.float64), torch.from_numpy(w)
        conv = partial(torch.nn.functional.conv2d, weight=filters, padding=1)
        return partial(torch.autograd.functional.jacobian, conv, x, vectorize=True)  # else it takes many seconds

    task = "M_F of 3→8, 3×3, 32×32, padding 1"
    yield compare(task, 0.01, repeats, {OURS: lambda: matrix, "torch jacobian": torchs})

    def by_coo() -> sp.csr_array:
        """The same matrix by triplets: every meeting of filter, channel, tap and output position."""
        k, c, i, j, p, q = np.indices((8, 3, 3, 3, 32, 32)).reshape(6, -1)
        y, x = p + i - 1, q + j - 1
        hit = (y >= 0) & (y < 32) & (x >= 0) & (x < 32)
        row, column, data = k * 1024 + p * 32 + q, c * 1024 + y * 32 + x, w[k, c, i, j]
        return sp.coo_array((data[hit], (row[hit], column[hit])), (8192, 3072)).tocsr()

    assert abs(by_coo() - matrix()).max() == 0
    yield compare(f"{task}, made of triplets", 0.2, repeats, {OURS: lambda: matrix, "coo_array": lambda: by_coo})
    triplets, ready = matrix().tocoo(), dict[str, Contender]()
    for name, order, kind in (("shuffled, int64", rng.permutation(triplets.nnz), np.int64),
                              ("sorted, int64", slice(None), np.int64),
                              ("sorted, int32", slice(None), np.int32)):  # fmt: skip
        places = triplets.row[order].astype(kind), triplets.col[order].astype(kind)
        given = triplets.data[order], places
        ready[f"coo_array {name}"] = lambda given=given: lambda: sp.coo_array(given, triplets.shape).tocsr()
    yield compare(f"{task}, triplets ready", None, repeats, {OURS: lambda: matrix, **ready})


def large(repeats: int) -> Row:
    """conv_matrix of a layer of VGG's size against writing arrays as large as its three, once, into fresh memory."""
    w = np.random.default_rng(0).standard_normal((64, 64, 3, 3), np.float32)
    matrix = partial(mg.conv_matrix, w, (64, 56, 56), padding=1)
    made = matrix()
    arrays = [(a.size, a.dtype) for a in (made.data, made.indices, made.indptr)]
    task = f"M_F of 64→64, 3×3, 56×56, padding 1: {made.nnz / 1e6:.0f} M entries"
    del made
    write = lambda: [np.full(size, 1, dtype) for size, dtype in arrays]  # noqa: E731
    return compare(task, 3, repeats, {OURS: lambda: matrix, "writing its arrays": lambda: write})


def jacobian(repeats: int) -> Row:
    """LeNet-5's scores by its image, batch 1. The graph is there before; ``jacrev`` makes its own, which counts."""
    network = LENET._replace(shape=(1, *LENET.shape[1:]))

    def ours() -> Callable[[], object]:
        x = mg.constant(network.data()[0])
        y = network.build().initialize(0)(x)
        return lambda: mg.Tape.of(y).jacobian(x).tosparse()

    def torchs() -> Callable[[], object]:
        from benchmarks.torch_graph import convert, torch

        return partial(torch.func.jacrev(convert(network, training=False)), torch.from_numpy(network.data()[0]))

    return compare("Jacobian of LeNet-5's scores by its image", 0.2, repeats, {OURS: ours, "torch.func.jacrev": torchs})


def lenet() -> str:
    """Peak memory of the explicit Jacobian of LeNet-5-sized logits by the input, in a process of its own."""
    before, peak, error = map(float, python(LENET_CODE).split())
    return (
        f"Jacobian of LeNet-5-sized logits by the input: peak of the whole process {peak:.0f} MB, {before:.0f} MB "
        f"before (wanted < 200 MB); relative difference from stacked reverse rows {error:.1e} (wanted ≤ 1e-12)"
    )
