"""oneDNN behind the kernels: finding it, threads, forks, and data that is left to NumPy."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minigraph as mg
from minigraph.kernels import tasks
from minigraph.kernels.onednn import LIBRARY
from minigraph.kernels.onednn import library as loading
from minigraph.kernels.window import Window

installed = pytest.mark.skipif(LIBRARY is None, reason="oneDNN is not installed")


def last(*shape, seed=0):
    """float32 images with their channels last in memory."""
    rng = np.random.default_rng(seed)
    return np.moveaxis(rng.standard_normal((shape[0], *shape[2:], shape[1]), np.float32), -1, 1)


# --- finding it -----------------------------------------------------------------------------------------


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )


CODE = """
import numpy as np, minigraph as mg
from minigraph.kernels import tasks
from minigraph.kernels.onednn import LIBRARY, PROBLEM
x = np.ones((2, 16, 9, 9), np.float32)
print(LIBRARY is None, "onednn" in tasks.algorithms(), PROBLEM, float(mg.conv2d(x, x[:, :, :3, :3])[0, 0, 0, 0]))
try:
    mg.conv2d(x, x[:, :, :3, :3], algorithm="onednn")
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/no/such/library.so", "/no/such/library.so cannot be loaded: "),
        (__file__, "test_onednn.py cannot be loaded: "),
        (np._core._multiarray_umath.__file__, "lacks a function of oneDNN 3: "),
    ],
)
def test_a_library_that_cannot_be_used_is_named_and_numpy_computes(path, said):
    run = python(CODE, MINIGRAPH_ONEDNN=path)
    assert run.returncode == 0 and f"RuntimeWarning: MINIGRAPH_ONEDNN: {path}" in run.stderr and said in run.stderr
    assert run.stdout.startswith("True False") and "144.0" in run.stdout
    assert "got algorithm 'onednn'; wanted one of auto, " in run.stdout and said in run.stdout


def test_it_can_be_turned_off():
    run = python(CODE, MINIGRAPH_ONEDNN="off")
    assert run.stderr == "" and run.stdout.startswith("True False MINIGRAPH_ONEDNN is off 144.0")


@pytest.mark.parametrize(
    ("version", "runtime", "wanted"),
    [((2, 6, 0), 2, "is oneDNN 2.6.0; wanted 3.x"), ((3, 4, 1), 8, "a build for OpenMP")],
)
def test_another_version_or_runtime_is_refused(version, runtime, wanted, monkeypatch):
    class Call:
        def __call__(self):
            fields = dict(zip(("major", "minor", "patch"), version, strict=True)) | {"cpu_runtime": runtime}
            return SimpleNamespace(contents=SimpleNamespace(**fields))

    monkeypatch.setattr(loading.ctypes, "CDLL", lambda path: SimpleNamespace(dnnl_version=Call()))
    monkeypatch.setattr(loading.ctypes, "PyDLL", lambda path: None)
    with pytest.raises(OSError, match=wanted):
        loading.Library("libdnnl.so")


def test_a_machine_of_32_bits(monkeypatch):
    monkeypatch.setattr(loading.sys, "maxsize", 2**31 - 1)
    assert loading.load() == (None, "oneDNN needs 64 bits")


# --- computing ------------------------------------------------------------------------------------------


def step(seed=0):
    """Every kernel of oneDNN, forward and back: the value and the gradients."""
    x, w, b = mg.parameter(last(9, 16, 30, 30)), mg.parameter(last(32, 16, 3, 3)), mg.parameter(np.ones(32, np.float32))
    y = mg.batch_norm(mg.conv2d(x, w, stride=2, padding=1), weight=b, bias=b, training=True)
    y = mg.local_response_norm(mg.max_pool2d(mg.relu(y), 3, 2, 1), 5)
    y = mg.avg_pool2d(y, 2, padding=1, count_include_pad=False)
    loss = np.sum(y * last(*y.shape, seed=1))
    return [loss.value, *mg.Tape.of(loss).pull(wrt=[x, w, b])]


@installed
def test_results_do_not_depend_on_the_number_of_threads():
    before = mg.threads()
    try:
        found = [mg.threads(n) and step() for n in (1, 2, 3, 5)]
    finally:
        mg.threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    chosen = {choice.task for choice in mg.chosen_kernels() if choice.kernel == "onednn"}
    assert {"conv_forward", "max_pool", "avg_pool", "normalize", "local_response_norm"} <= chosen


@installed
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes():
    wanted, (read, write) = step(), os.pipe()
    pid = os.fork()
    if not pid:
        try:
            same = all(np.array_equal(a, b) for a, b in zip(step(), wanted, strict=True))
            os.write(write, b"same" if same else b"other")
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 10) == b"same" and os.waitpid(pid, 0)[1] == 0
    os.close(read)


@installed
def test_the_threads_of_the_caller_are_left_alone():
    before = LIBRARY.threads()
    try:
        LIBRARY.limit(3)
        step()
        assert LIBRARY.threads() == 3
    finally:
        LIBRARY.limit(before)


@installed
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("call", [lambda x: mg.max_pool2d(x, 3, 2, 1), lambda x: mg.local_response_norm(x, 5)])
def test_special_values_are_left_to_numpy(call, special):
    """NaN is the maximum of its window, and squares may overflow."""
    x, found = last(4, 16, 12, 12), []
    x[1, 2, 3, 4] = x[1, 2, 3, 5] = x[0, 0, 0, 0] = special
    with np.errstate(all="ignore"):
        for dtype in (np.float32, np.float64):
            p = mg.parameter(x.astype(dtype))
            y = call(p)
            found.append([y.value, *mg.Tape.of(y).pull(np.ones(y.shape, dtype), [p])])
        for single, double in zip(*found, strict=True):
            np.testing.assert_allclose(single, double.astype(np.float32), rtol=1e-4, atol=1e-6)


@installed
def test_out_of_memory_inside_the_library(monkeypatch):
    x, w = last(2, 16, 8, 8), last(16, 16, 3, 3)
    mg.conv2d(x, w, algorithm="onednn")
    with monkeypatch.context() as broken:
        broken.setattr(LIBRARY, "execute", lambda *arguments: 1)
        with pytest.raises(MemoryError, match="oneDNN 3.*(convolution_forward|reorder): out of memory"):
            mg.conv2d(x, w, algorithm="onednn")
    wanted = mg.conv2d(x, w, algorithm="im2col")
    np.testing.assert_allclose(mg.conv2d(x, w, algorithm="onednn"), wanted, rtol=1e-4, atol=1e-4)


@installed
@pytest.mark.parametrize("padding", [((-1, 0), (0, 0)), ((0, 0), (1, -1))])
def test_what_it_cannot_do_is_said_or_left_to_numpy(padding):
    x, w = last(2, 16, 8, 8), last(16, 16, 3, 3)
    problem = tasks.conv_forward.problem(x, w, Window((8, 8), (3, 3), (1, 1), padding, (1, 1)), 1)
    assert not tasks.algorithms()["onednn"].supports(problem)
    with pytest.raises(
        ValueError, match="conv2d: got kernel .* wanted float32, padding of zeros for algorithm 'onednn'"
    ):
        mg.conv2d(x.astype(np.float64), w, algorithm="onednn")
