"""What holds for all tests."""

import pytest

from minigraph.kernels.numpy import memory


@pytest.fixture(autouse=True)
def new_arrays_hold_nan(monkeypatch):
    """So that an entry that a kernel forgets to write is seen."""
    monkeypatch.setattr(memory, "FILL", float("nan"))
