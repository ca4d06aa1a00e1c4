"""What holds for all tests."""

import signal

import pytest

from minigraph.kernels.numpy import memory

# A shell ignores SIGINT in what it starts in the background, and so would the processes that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def new_arrays_hold_nan(monkeypatch):
    """So that an entry that a kernel forgets to write is seen."""
    monkeypatch.setattr(memory, "FILL", float("nan"))
