"""The explicit matrices: assembling M_F, and the Jacobian of a network the size of LeNet-5."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import torch

import minigraph as mg
from benchmarks.timing import Row, compare, python

LENET = """
import resource, numpy as np, minigraph as mg
rng = np.random.default_rng(0)
normal = lambda *shape: rng.standard_normal(shape)
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
x = mg.constant(normal(1, 1, 32, 32))
h = mg.max_pool2d(mg.tanh(mg.conv2d(x, normal(6, 1, 5, 5), normal(6))), 2)
h = mg.max_pool2d(mg.tanh(mg.conv2d(h, normal(16, 6, 5, 5), normal(16))), 2)
h = mg.tanh(mg.linear(h.reshape(1, -1), normal(120, 400), normal(120)))
y = mg.linear(mg.tanh(mg.linear(h, normal(84, 120), normal(84))), normal(10, 84), normal(10))
tape = mg.Tape.of(y)
J = tape.jacobian(x).tosparse()
rows = np.array([tape.pull(e.reshape(1, 10), x)[0].ravel() for e in np.eye(10)])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, np.abs(J.toarray() - rows).max() / np.abs(rows).max())
"""


def rows() -> Iterator[Row]:
    """conv_matrix, 3 → 8 channels, 3×3, 32×32, padding 1, against PyTorch's Jacobian and SciPy's coo_array."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((8, 3, 3, 3))
    triplets = mg.conv_matrix(w, (3, 32, 32), padding=1).tocoo()
    x, filters = torch.zeros(1, 3, 32, 32, dtype=torch.float64), torch.from_numpy(w)

    def torchs() -> object:
        return torch.autograd.functional.jacobian(lambda x: torch.nn.functional.conv2d(x, filters, padding=1), x)

    shuffle = rng.permutation(triplets.nnz)
    data, row, col = triplets.data[shuffle], triplets.row[shuffle], triplets.col[shuffle]
    yield compare("conv_matrix 3→8, 3×3, 32×32, padding 1", "≤ 0.01 of torch", 9,
                  minigraph=lambda: mg.conv_matrix(w, (3, 32, 32), padding=1), torch=torchs)  # fmt: skip
    yield compare("conv_matrix 3→8, 3×3, 32×32, padding 1", "≤ 0.2 of coo_array (sorted and shuffled triplets)", 99,
                  minigraph=lambda: mg.conv_matrix(w, (3, 32, 32), padding=1),
                  coo_array=lambda: sp.coo_array((triplets.data, (triplets.row, triplets.col)), triplets.shape).tocsr(),
                  coo_shuffled=lambda: sp.coo_array((data, (row, col)), triplets.shape).tocsr())  # fmt: skip


def lenet() -> str:
    """Peak memory of the explicit Jacobian of LeNet-5-sized logits by the input, in a process of its own."""
    more, peak, error = map(float, str(python(LENET)()).split())
    return (
        f"Jacobian of LeNet-5-sized logits by the input: {more:.0f} MB more at the peak, {peak:.0f} MB in all "
        f"(wanted < 200 MB); relative difference from stacked reverse rows {error:.1e} (wanted ≤ 1e-12)"
    )
