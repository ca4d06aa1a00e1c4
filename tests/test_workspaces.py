"""The memory that convolutions and matrices take beside their inputs and results."""

import tracemalloc

import numpy as np
import pytest

import minigraph as mg
from minigraph.kernels import tasks
from minigraph.kernels.numpy import memory, threads
from minigraph.kernels.window import Window


def taken(call):
    """The most bytes at once, and the result's."""
    threads._local.__dict__.pop("buffers", None)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        result = call()
        return tracemalloc.get_traced_memory()[1] - before, result
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "name, x_shape, w_shape, stride, padding, groups",
    [
        ("auto", (1, 3, 1024, 1024), (16, 3, 3, 3), 1, 1, 1),  # a large image of few channels
        ("auto", (1, 3, 700, 700), (64, 3, 7, 7), 2, 3, 1),
        ("auto", (1, 32, 4, 20000), (32, 32, 3, 5), 1, 1, 1),  # long lines
        ("auto", (1, 16, 6, 96, 96), (16, 16, 3, 3, 3), 1, 1, 1),  # three axes
        ("auto", (1, 1, 1024, 1024), (1, 1, 31, 31), 1, 0, 1),  # large kernels
        ("auto", (2, 64, 128, 128), (64, 1, 3, 3), 1, 1, 64),
        ("fft", (2, 96, 24, 24), (96, 96, 15, 15), 1, 0, 1),  # many large filters
        ("fft", (64, 32, 14, 14), (64, 32, 3, 3), 1, 1, 1),  # a large batch
        ("im2col", (64, 64, 14, 14), (64, 64, 3, 3), 1, 1, 1),
        ("winograd", (64, 64, 14, 14), (64, 64, 3, 3), 1, 1, 1),
    ],
)
def test_workspaces_are_bounded(monkeypatch, name, x_shape, w_shape, stride, padding, groups):
    """Whatever the batch, the image and the filters: by 64 MB, copies of the arrays, five of the filters, five planes."""
    monkeypatch.setattr(memory, "_blocks", {})
    d = len(x_shape) - 2
    window = Window(x_shape[2:], w_shape[2:], (stride,) * d, ((padding, padding),) * d, (1,) * d)
    x, w = np.ones(x_shape, np.float32), np.ones(w_shape, np.float32)
    y = np.ones((x_shape[0], w_shape[0], *window.out), np.float32)
    plane = 8 * np.prod(np.add(x_shape[2:], 2 * padding)) if name in ("auto", "fft") else 0
    for task, (a, b) in zip(tasks.CONVOLUTIONS, ((x, w), (y, w), (x, y)), strict=True):
        kernel = task.kernel(name, a, b, window, groups).run
        most, result = taken(lambda a=a, b=b, kernel=kernel: kernel(a, b, window, groups))
        assert most - result.nbytes <= (64 << 20) + a.nbytes + b.nbytes + 5 * w.nbytes + 5 * plane


def test_matrices_take_little_more_than_themselves():
    """While they are built, and a block of rows no more than its share and a copy of the filters."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 8, 48, 48), np.float32), rng.standard_normal((16, 8, 3, 3), np.float32)
    y = mg.conv2d(mg.parameter(x), mg.parameter(w), padding=1)
    pooled = [mg.avg_pool2d(mg.parameter(x), 5, 1), mg.adaptive_avg_pool2d(mg.parameter(x), 20)]
    local = mg.locally_connected2d(mg.parameter(x), mg.parameter(rng.standard_normal((46, 46, 4, 8, 3, 3), np.float32)))
    maps = [J for node in (y, *pooled, local) for J in mg.Tape.of(node).local(node)]
    for J in maps:
        most, matrix = taken(lambda J=J: J.tosparse(None))
        assert matrix.indices.dtype == matrix.indptr.dtype == np.int32 and matrix.has_canonical_format
        found = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        assert found == J.nbytes and most <= 1.5 * found + (8 << 20), str(J)
        del matrix
        index = rng.permutation(J.shape[0])[:100]
        most, block = taken(lambda J=J, index=index: J._rows(index))
        assert most <= 60 * block.nnz + (3 << 20), str(J)


@pytest.mark.parametrize("call", [
    lambda **limit: mg.conv_matrix(np.ones((512, 512, 3, 3), np.float32), (512, 2000, 2000), padding=1, **limit),
    lambda **limit: mg.patch_matrix(np.ones((1, 4000, 4000), np.float32), 99, **limit),
    lambda **limit: mg.pool_matrix(np.ones((1, 2000, 2000), np.float32), 99, 1, kind="avg", **limit),
])  # fmt: skip
def test_matrices_have_a_budget(call):
    """Known before anything is built, a gigabyte unless another is given."""
    with pytest.raises(mg.MemoryBudgetError, match=r"_matrix: got a matrix of [\d,]+ entries, .* MB; wanted at most"):
        call()


@pytest.mark.parametrize("limit, fits", [(10**4, True), (None, True), (100, False)])
def test_small_matrices_within_a_budget(limit, fits):
    x, w = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2))
    for call in (lambda: mg.conv_matrix(w, (1, 4, 4), max_bytes=limit), lambda: mg.patch_matrix(x, 2, max_bytes=limit),
                 lambda: mg.pool_matrix(x, 2, 1, max_bytes=limit), lambda: mg.pool_matrix(x, 2, kind="avg", max_bytes=limit)):  # fmt: skip
        if fits:
            assert call().nnz
        else:
            with pytest.raises(mg.MemoryBudgetError, match="wanted at most 0 MB"):
                call()
