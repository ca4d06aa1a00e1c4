"""Modes: what holds inside a ``with``, whoever uses the object, how often and where."""

import asyncio
import threading

import numpy as np
import pytest

import minigraph as mg
from minigraph.mode import MODE

MODES = {
    "no_grad": (mg.no_grad, lambda: not MODE.get().grad),
    "enable_grad": (mg.enable_grad, lambda: MODE.get().grad),
    "detect_anomaly": (mg.detect_anomaly, lambda: MODE.get().anomaly),
    "scope": (lambda: mg.scope("a"), lambda: MODE.get().scope.endswith("a")),
}


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("outside", [mg.no_grad, mg.enable_grad])
def test_one_object_serves_any_number_of_times(name, outside):
    make, holds = MODES[name]
    with outside():
        before = MODE.get()
        mode = make()
        for _ in range(2):
            with mode:
                assert holds()
                with mode, mg.scope("b"):
                    pass
                assert holds()
            assert MODE.get() is before
        with pytest.raises(KeyError), mode:
            raise KeyError
        assert MODE.get() is before

        @mode
        def inner(depth):
            assert holds()
            return depth if depth == 0 else inner(depth - 1)

        assert inner(3) == inner(0) == 0 and MODE.get() is before


def test_one_object_serves_threads_and_tasks():
    mode, entered, failed = mg.no_grad(), threading.Barrier(2, timeout=20), []

    def work(delay):
        with mode:
            entered.wait()
            if MODE.get().grad:
                failed.append("not in force")
            entered.wait()
        if not MODE.get().grad:
            failed.append("still in force")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed

    @mode
    async def task(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
            assert not MODE.get().grad
        return turns

    async def both():
        with mode:
            found = await asyncio.gather(task(3), task(1), task(2))
        assert MODE.get().grad
        return found

    assert asyncio.run(both()) == [3, 1, 2]


def test_a_scope_nests_where_it_is_entered():
    block, x = mg.scope("block"), mg.parameter(np.ones(2))
    scopes = []
    with block:
        scopes.append(np.sin(x).scope)
    with mg.scope("net"), block, block:
        scopes.append(np.sin(x).scope)
    assert scopes == ["block", "net/block/block"]


@pytest.mark.parametrize("later", [lambda: (yield), type("C", (), {}), 5], ids=["generator", "class", "number"])
def test_a_mode_decorates_functions_only(later):
    with pytest.raises(TypeError, match="a mode as a decorator: got .*; wanted a function"):
        mg.no_grad()(later)
