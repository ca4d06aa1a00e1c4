"""No module shares its dotted name with another object."""

import importlib
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import minigraph as mg
from minigraph.kernels.onednn import LIBRARY, PROBLEM

FOLDERS = {"minigraph.": Path(mg.__file__).parent, "minigraph.ops.": Path(mg.ops.__file__).parent}  # in a checkout, two
MODULES = sorted(
    {
        module.name
        for prefix, folder in FOLDERS.items()
        for module in pkgutil.walk_packages([str(folder)], prefix)
        if module.name != "minigraph.__main__"  # which runs the command
    }
)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_its_name_to_itself(name):
    if name == "minigraph.inspect.plot":
        pytest.importorskip("matplotlib")
    if name.startswith("minigraph.kernels.onednn.") and name != "minigraph.kernels.onednn.library" and LIBRARY is None:
        with pytest.raises(ImportError, match=re.escape(PROBLEM)):
            importlib.import_module(name)
        return
    module = importlib.import_module(name)
    package, _, last = name.rpartition(".")
    assert vars(sys.modules[package])[last] is module
