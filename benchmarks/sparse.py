"""The explicit matrices: assembling M_F, and the Jacobian of a network the size of LeNet-5."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import torch

import minigraph as mg
from benchmarks.timing import Row, compare, python

LENET = """
import re, numpy as np, minigraph as mg
def peak():  # of this process alone, in MB
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
rng = np.random.default_rng(0)
normal = lambda *shape: rng.standard_normal(shape)
x = mg.constant(normal(1, 1, 32, 32))
h = mg.max_pool2d(mg.tanh(mg.conv2d(x, normal(6, 1, 5, 5), normal(6))), 2)
h = mg.max_pool2d(mg.tanh(mg.conv2d(h, normal(16, 6, 5, 5), normal(16))), 2)
h = mg.tanh(mg.linear(h.reshape(1, -1), normal(120, 400), normal(120)))
y = mg.linear(mg.tanh(mg.linear(h, normal(84, 120), normal(84))), normal(10, 84), normal(10))
tape, before = mg.Tape.of(y), peak()
J = tape.jacobian(x).tosparse()
after = peak()
rows = np.array([tape.pull(e.reshape(1, 10), x)[0].ravel() for e in np.eye(10)])
print(before, after, np.abs(J.toarray() - rows).max() / np.abs(rows).max())
"""


def rows() -> Iterator[Row]:
    """conv_matrix, 3 → 8 channels, 3×3, 32×32, padding 1, against PyTorch's Jacobian and SciPy's coo_array."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((8, 3, 3, 3))
    triplets = mg.conv_matrix(w, (3, 32, 32), padding=1).tocoo()
    x, filters = torch.zeros(1, 3, 32, 32, dtype=torch.float64), torch.from_numpy(w)

    def torchs() -> object:
        return torch.autograd.functional.jacobian(lambda x: torch.nn.functional.conv2d(x, filters, padding=1), x)

    yield compare("conv_matrix 3→8, 3×3, 32×32, padding 1", "≤ 0.01 of torch", 3,
                  minigraph=lambda: mg.conv_matrix(w, (3, 32, 32), padding=1), torch=torchs)  # fmt: skip

    def by_coo() -> sp.csr_array:
        """The same matrix by triplets: every meeting of filter, channel, tap and output position."""
        k, c, i, j, p, q = np.indices((8, 3, 3, 3, 32, 32)).reshape(6, -1)
        y, x = p + i - 1, q + j - 1
        hit = (y >= 0) & (y < 32) & (x >= 0) & (x < 32)
        row, column, data = k * 1024 + p * 32 + q, c * 1024 + y * 32 + x, w[k, c, i, j]
        return sp.coo_array((data[hit], (row[hit], column[hit])), (8192, 3072)).tocsr()

    assert abs(by_coo() - mg.conv_matrix(w, (3, 32, 32), padding=1)).max() == 0
    ready = [(name, triplets.row[order].astype(kind), triplets.col[order].astype(kind), triplets.data[order])
             for name, order, kind in (("shuffled_int64", rng.permutation(triplets.nnz), np.int64),
                                       ("sorted_int64", slice(None), np.int64),
                                       ("sorted_int32", slice(None), np.int32))]  # fmt: skip
    yield compare("the same, through scipy.sparse.coo_array", "≤ 0.2", 49,
                  minigraph=lambda: mg.conv_matrix(w, (3, 32, 32), padding=1), triplets=by_coo,
                  **{f"ready_{name}": lambda r=r, c=c, d=d: sp.coo_array((d, (r, c)), triplets.shape).tocsr()
                     for name, r, c, d in ready})  # fmt: skip


def lenet() -> str:
    """Peak memory of the explicit Jacobian of LeNet-5-sized logits by the input, in a process of its own."""
    before, peak, error = map(float, str(python(LENET)()).split())
    return (
        f"Jacobian of LeNet-5-sized logits by the input: peak of the whole process {peak:.0f} MB, {before:.0f} MB before "
        f"(wanted < 200 MB); relative difference from stacked reverse rows {error:.1e} (wanted ≤ 1e-12)"
    )
