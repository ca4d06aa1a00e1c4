"""Threads, memory used again, and the order in memory: what must not change any result."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import minigraph as mg
from minigraph import ownership, tape
from minigraph.kernels import tasks
from minigraph.kernels.numpy import elementwise, layout, memory, products, threads
from minigraph.nn import BatchNorm2d, Conv2d, Flatten, Linear, LocalResponseNorm, MaxPool2d, Module, ReLU, Sequential


@pytest.fixture(autouse=True)
def two_threads():
    before = mg.threads()
    mg.threads(2)
    yield
    mg.threads(before)


def network():
    """Of layers that take every way through the kernels, on images so large that they are cut into parts."""
    return Sequential(
        Conv2d(3, 32, 3, padding=1), BatchNorm2d(32), ReLU(), MaxPool2d(2), Conv2d(32, 64, 5, padding=2), ReLU(),
        LocalResponseNorm(5, beta=0.75), MaxPool2d(3, 2, 1), Conv2d(64, 256, 3, padding=1), ReLU(),
        Conv2d(256, 48, 1), BatchNorm2d(48), Conv2d(48, 48, 3, padding=1, groups=48), ReLU(),
        Conv2d(48, 48, 3, 2, 1, groups=4), Flatten(), Linear(48 * 25, 500),
    )  # fmt: skip


def step(model: Module, order: str = "C"):
    x = np.random.default_rng(1).standard_normal((24, 3, 38, 38), dtype=np.float32)
    if order == "channels last":
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    x = mg.parameter(np.asarray(x, order="F") if order == "F" else x)
    for p in model.parameters():
        p.grad = None
    y = model(x)
    loss = mg.cross_entropy(y, np.arange(24))
    loss.backward()
    return [y.value, x.grad, *(p.grad for p in model.parameters())]


def test_results_do_not_depend_on_the_number_of_threads():
    """Bit by bit: forward, every gradient and two steps of the optimizer."""
    found = []
    for n in (1, 2, 3, 7):
        mg.threads(n)
        model = network()
        model.initialize(0)
        optimizer = mg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, nesterov=True)
        found.append(step(model))
        optimizer.step()
        found[-1] += step(model)
        optimizer.step()
        found[-1] += [p.value.copy() for p in model.parameters()]
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("order", ["channels last", "F"])
def test_results_do_not_depend_on_the_order_in_memory(order):
    model = network()
    model.initialize(0)
    for a, b in zip(step(model), step(model, order), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-4 * np.abs(b).max())


def test_errors_of_parts_are_raised_and_the_threads_go_on():
    def task(i):
        if i == 5:
            raise ArithmeticError("of part 5")

    for _ in range(20):
        with pytest.raises(ArithmeticError, match="of part 5"):
            threads.parallel(task, range(50))
    done = []
    threads.parallel(done.append, range(50))
    assert sorted(done) == list(range(50))


def test_parts_inside_parts_and_from_several_threads():
    totals = []

    def outer(i):
        found = []
        threads.parallel(found.append, range(10))
        totals.append(sum(found))

    callers = [threading.Thread(target=threads.parallel, args=(outer, range(8))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert totals == [45] * 32


def test_blas_has_one_thread_inside_whoever_calls():
    """And as many as before afterwards, also where threads come and go at the same time."""
    libraries = threads.blas.libraries
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((8, 64, 40, 40), np.float32), rng.standard_normal((64, 64, 3, 3), np.float32)
    before, inside, found = [b.num_threads for b in libraries], [], []

    def call():
        with threads.blas.single_threaded():
            inside.append([b.num_threads for b in libraries])
        found.append(mg.conv2d(x, w, algorithm="im2col"))

    call()
    for together in (1, 3):
        callers = [threading.Thread(target=call) for _ in range(together)]
        for caller in callers:
            caller.start()
        call()
        for caller in callers:
            caller.join()
        assert [b.num_threads for b in libraries] == before
    assert inside == [[1] * len(libraries)] * 7
    assert all(np.array_equal(found[0], other) for other in found)


def test_errors_of_floats_are_those_of_the_caller():
    x = np.full((1 << 24,), 1e38, np.float32)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        mg.ops.square(x)
    with np.errstate(over="ignore"):
        assert np.isinf(mg.ops.square(x)).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_has_threads_of_its_own():
    x = np.ones((1 << 20,), np.float32)
    mg.ops.exp(x)
    child = os.fork()
    if not child:
        os._exit(0 if np.allclose(mg.ops.exp(x), np.e) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_waits_for_no_lock_of_its_parents_threads():
    """Though another thread is inside a kernel and a backward walk at the time; and BLAS has its threads again."""
    before = [b.num_threads for b in threads.blas.libraries]
    inside, done = threading.Event(), threading.Event()

    def hold():
        with threads.blas.single_threaded(), tape._grad_lock, memory._lock:
            inside.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    child = os.fork()
    if not child:
        signal.alarm(20)
        p = mg.parameter(np.ones(1 << 20))
        np.sum(p * p).backward()
        os._exit(0 if p.grad[0] == 2 and [b.num_threads for b in threads.blas.libraries] == before else 1)
    done.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("wrong, error", [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError)])
def test_threads_refuses(wrong, error):
    with pytest.raises(error, match=f"threads: got {wrong}; wanted"):
        mg.threads(wrong)
    assert mg.threads() == 2


@pytest.mark.parametrize("m, k, n", [(3, 700, 9000), (700, 300, 900), (9000, 300, 7), (1, 1, 1), (64, 4096, 65)])
@pytest.mark.parametrize("turned", [False, True])
def test_products_in_parts(m, k, n, turned):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k)), rng.standard_normal((n, k)).T if turned else rng.standard_normal((k, n))
    np.testing.assert_allclose(products.matmul(a, b), a @ b, atol=1e-11)
    np.testing.assert_allclose(products.matmul(a[None], b), (a @ b)[None], atol=1e-11)


def test_elementwise_in_parts_keeps_the_order_in_memory():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 40, 50, 60)).transpose(0, 3, 1, 2)
    assert x.size > threads.SHARED_ENTRIES
    for y in (x, np.ascontiguousarray(x), rng.standard_normal((12, 120, 40, 50))[:, ::2]):
        found = elementwise.map_entries(lambda a, b, c: a * b + c, x, y, 2.0)
        np.testing.assert_array_equal(found, x * y + 2)
        assert found.strides == x.strides


# --- memory ---------------------------------------------------------------------------------------------


def test_memory_is_used_again_only_when_nobody_holds_it(monkeypatch):
    monkeypatch.setattr(memory, "_blocks", {})
    shape = (1 << 10, 1 << 10)
    a = memory.empty(shape, np.float32)
    part = a[3:5].T
    a[...] = 1
    address = a.__array_interface__["data"][0]
    del a
    b = memory.empty(shape, np.float32)
    b[...] = 2
    assert (part == 1).all()
    del part, b
    assert address in [memory.empty(shape, np.float32).__array_interface__["data"][0] for _ in range(2)]


def test_free_memory_makes_room_for_other_sizes(monkeypatch):
    """No more is let go than is taken anew, and nothing that somebody holds."""
    monkeypatch.setattr(memory, "_blocks", {})
    monkeypatch.setattr(memory, "SPARE_BYTES", 3 << 20)
    held = memory.empty((1 << 20,), np.uint8)
    for sizes in ([1 << 20] * 4, [1 << 22]):
        arrays = [memory.empty((n,), np.uint8) for n in sizes]
        del arrays
    blocks = memory._blocks
    assert (
        len(blocks[1 << 20]) == 4 and len(blocks[1 << 22]) == 1
    )  # one gone: with it there were SPARE_BYTES bytes left
    memory.empty((1 << 23,), np.uint8)
    assert not blocks[1 << 22] and sum(b.nbytes for some in blocks.values() for b in some) <= (8 + 1 + 3 << 20)
    assert any(held.base is b for b in blocks[1 << 20])


def test_filters_lie_as_kernels_want_them(tmp_path):
    """Channels last when drawn, loaded and learned, and their gradients too."""
    model = Sequential(Conv2d(3, 8, 3), ReLU(), Conv2d(8, 4, 5, groups=4), Flatten(), Linear(4 * 25, 3))
    model.initialize(0)
    model.save(tmp_path / "m.safetensors")
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def lie_last():
        found = [a for p in model.parameters() for a in (p.value, p.grad) if a is not None and a.ndim == 4]
        return all(np.moveaxis(a, 1, -1).flags.c_contiguous for a in found) and len(found)

    assert lie_last() == 2
    model.load(tmp_path / "m.safetensors")
    loss = mg.cross_entropy(model(np.ones((2, 3, 11, 11), np.float32)), [0, 1])
    loss.backward()
    assert lie_last() == 4
    optimizer.step()
    assert lie_last() == 4


def test_who_alone_holds_memory():
    a = np.zeros((3, 4))
    assert ownership.exclusive(a)
    assert not ownership.exclusive(a.T)
    reshaped = np.zeros(12).reshape(3, 4)
    assert ownership.exclusive(reshaped)
    b = memory.empty((1 << 20,), np.float64)
    assert ownership.exclusive(b)
    c = b[:5]
    assert not ownership.exclusive(c) and ownership.own(b) is not b
    del b
    assert ownership.exclusive(c)


def test_values_on_the_tape_outlive_their_step():
    """Arrays that somebody keeps are not written to by later steps."""
    model = network()
    model.initialize(0)
    first = step(model)
    copies = [a.copy() for a in first]
    for _ in range(3):
        step(model)
    for a, b in zip(first, copies, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_optimizer_writes_in_place_only_what_nobody_else_holds():
    p = mg.parameter(np.ones(5))
    held = p.value
    optimizer = mg.optim.SGD([p], lr=1.0)
    p.grad = np.ones(5)
    optimizer.step()
    assert (held == 1).all() and (p.value == 0).all()
    address = p.value.__array_interface__["data"][0]
    optimizer.step()
    assert (p.value == -1).all() and p.value.__array_interface__["data"][0] == address
    assert not p.value.flags.writeable
    y = np.sum(p * p)
    optimizer.step()
    with pytest.raises(mg.GraphError, match="was changed after"):
        y.backward()


# --- channels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(41, 16, 40, 41), (3, 5, 7, 7), (2, 700, 3), (9, 30, 31, 33)])
@pytest.mark.parametrize("mean", [0, 100])
def test_sums_of_channels(shape, mean):
    rng = np.random.default_rng(0)
    last = rng.standard_normal((shape[0], *shape[2:], shape[1])) + mean
    axes = (0, *range(2, len(shape)))
    for x in (np.moveaxis(last, -1, 1), np.moveaxis(last, -1, 1)[:, 1:4]):
        pixels = layout.pixels(x)
        assert np.shares_memory(pixels, x)
        first, second = layout.moments(pixels)
        np.testing.assert_allclose(first, x.mean(axes), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(second, x.var(axes), rtol=1e-11)
        np.testing.assert_allclose(layout.channel_totals(x), x.sum(axes), rtol=1e-12, atol=1e-11)
    assert layout.pixels(np.ascontiguousarray(np.moveaxis(last, -1, 1))) is None
    x = (last + 29 * mean).astype(np.float32)
    _, var = layout.moments(x.reshape(-1, shape[1]))
    np.testing.assert_allclose(var, x.reshape(-1, shape[1]).astype(float).var(0), rtol=2e-3)


# --- which algorithm ------------------------------------------------------------------------------------


def test_strict_precision_keeps_out_what_loses_digits():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((4, 128, 30, 30), np.float32), rng.standard_normal((128, 128, 3, 3), np.float32)
    exact = mg.conv2d(x.astype(float), w.astype(float))

    def error():
        return np.abs(mg.conv2d(x, w) - exact).max() / np.abs(exact).max()

    assert mg.precision() == "fast" and error() > 2e-6
    try:
        mg.precision("strict")
        assert error() < 2e-6
    finally:
        mg.precision("fast")
    with pytest.raises(ValueError, match="precision: got 'exact'; wanted one of fast, strict"):
        mg.precision("exact")
    with pytest.raises(TypeError, match="autotune: got 'x'; wanted True or False"):
        mg.autotune("x")


def test_autotune_keeps_to_what_was_fastest(monkeypatch):
    calls = []
    kernels = tasks.conv_forward.kernels
    for name, algorithm in kernels.items():

        def counted(*args, name=name, kernel=algorithm.run):
            calls.append(name)
            return kernel(*args)

        monkeypatch.setitem(kernels, name, replace(algorithm, run=counted))
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 19, 11, 13), np.float32), rng.standard_normal((23, 19, 3, 3), np.float32)
    try:
        mg.autotune()
        y = mg.conv2d(x, w)
        assert {"im2col", "winograd", "winograd2"} == set(calls) - {
            "onednn"
        }  # by its estimate fft is fifty times as dear
        fastest = calls[-1]
        calls.clear()
        np.testing.assert_array_equal(mg.conv2d(x, w), y)
        assert calls == [fastest]
    finally:
        mg.autotune(False)


# --- what interrupts a kernel -----------------------------------------------------------------------------


def computations(seed):
    """Calls that take every way through the kernels, with their gradients, on inputs of their own."""
    rng = np.random.default_rng(seed)

    def array(*shape):
        return rng.standard_normal(shape, np.float32)

    def derived(op, *inputs):
        def call():
            nodes = [mg.parameter(x) for x in inputs]
            y = op(*nodes)
            return [y.value, *mg.Tape.of(y).pull(np.ones(y.shape, y.dtype), nodes)]

        return call

    x = array(4, 32, 24, 24)
    for name, w in (("im2col", array(48, 32, 5, 5)), ("winograd", array(32, 32, 3, 3)), ("fft", array(8, 32, 9, 9))):
        yield derived(lambda x, w, name=name: mg.conv2d(x, w, padding=1, algorithm=name), x, w)
    yield derived(lambda x, w: mg.conv2d(x, w, padding=1, groups=32), x, array(32, 1, 3, 3))
    yield derived(lambda x, w, b: mg.batch_norm(x, weight=w, bias=b, training=True), x, array(32), array(32))
    yield derived(lambda x: mg.local_response_norm(x, 5), x)
    yield derived(lambda x: mg.max_pool2d(x, 3, 2), x)
    yield derived(mg.ops.matmul, array(300, 400), array(400, 500))
    yield derived(lambda x: mg.ops.exp(mg.relu(x)), array(1 << 20))


def test_results_within_a_part_are_those_outside():
    for call in computations(0):
        (within,) = threads.parallel(lambda _, call=call: call(), [0])
        for a, b in zip(within, call(), strict=True):
            np.testing.assert_array_equal(a, b)


@contextmanager
def interrupted(handler, shortest, longest, seed):
    """Call ``handler`` from a signal on this thread, again and again, at random times, in seconds, after the last."""
    rng, ended = np.random.default_rng(seed), False

    def interrupt(*_):
        if not ended:
            handler()
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(shortest, longest))

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, longest)
    try:
        yield
    finally:
        ended = True  # else a last call could start the timer anew, and with no handler its signal ends the process
        signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(0.01)  # what is still on its way comes to the handler
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer here")
def test_a_signal_handler_may_compute_while_a_kernel_runs():
    """On the same thread, anywhere between two steps of it: results are the same, bit for bit, and nobody waits for ever."""
    ours, theirs = list(computations(0)), list(computations(1))
    wanted, wanted_there = [call() for call in ours], [call() for call in theirs]
    inside, times, wrong = False, 0, []

    def compute():
        nonlocal inside, times
        if not inside:
            inside, i = True, times % len(theirs)
            if any((a != b).any() for a, b in zip(theirs[i](), wanted_there[i], strict=True)):
                wrong.append(i)
            inside, times = False, times + 1

    def give_up(*_):
        raise TimeoutError

    watch = threading.Timer(60, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1))
    before = signal.signal(signal.SIGUSR1, give_up)
    libraries = [b.num_threads for b in threads.blas.libraries]
    watch.start()
    try:
        with interrupted(compute, 1e-5, 1e-3, seed=2):
            for i in [*range(len(ours))] * 12:
                if any((a != b).any() for a, b in zip(ours[i](), wanted[i], strict=True)):
                    wrong.append(i)
    finally:
        watch.cancel()
        signal.signal(signal.SIGUSR1, before)
    assert times > 50 and not wrong
    assert [b.num_threads for b in threads.blas.libraries] == libraries and threads.blas.inside == 0


def test_a_signal_handler_may_add_to_a_gradient_while_backward_does():
    p, handled = mg.parameter(np.zeros(3)), 0

    def add():
        nonlocal handled
        np.sum(p * 1.0).backward()
        handled += 1

    with interrupted(add, 1e-5, 2e-4, seed=3):
        for _ in range(5000):
            np.sum(p * 1.0).backward()
    assert handled > 20 and p.grad.tolist() == [5000 + handled] * 3
