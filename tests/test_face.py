"""What a user meets first: the names of minigraph, their docstrings, and nodes found by name."""

import importlib
import inspect
import pickle
import re

import numpy as np
import pytest

import minigraph as mg
from minigraph import models

# Functions whose docstring need not say a shape, and why.
NO_SHAPE = {
    "named": "gives back what it got",
    "checkpoint": "a function of any shapes",
    "check_grads": "a report",
    "no_grad": "a mode", "enable_grad": "a mode", "detect_anomaly": "a mode", "scope": "a mode",
    "draw": "a picture", "frames": "pictures", "compare": "a report", "summary": "a report", "verify": "a report", "costs": "a report", "profile": "a report",
    "lower": "another graph of the same shapes",
    "threads": "a setting", "precision": "a setting", "autotune": "a setting", "chosen_kernels": "a report",
    "compile": "a function of any shapes",
}  # fmt: skip
FUNCTIONS = {
    name: f
    for name in mg.__all__
    if not inspect.isclass(f := getattr(mg, name)) and not inspect.ismodule(f) and callable(f)
}
OVER_AXES = sorted(name for name in mg.__all__ if re.search(r"[123]d$", name))
NETWORK = (
    "activation",
    "conv",
    "dropout",
    "interpolate",
    "loss",
    "normalization",
    "pool",
)  # modules whose names are all public


def test_the_names_are_a_table_of_contents():
    assert len(dir(mg)) <= 125 and dir(mg) == sorted(mg.__all__)
    assert len(set(mg.__all__)) == len(mg.__all__)
    assert not {name for name in mg.__all__ if not hasattr(mg, name)}
    assert all(inspect.getdoc(getattr(mg, name)) for name in mg.__all__)
    assert [name for name in mg.__all__ if inspect.ismodule(getattr(mg, name))] == [
        "nn", "optim", "models", "data", "train", "plot", "ops", "scipy", "extend",
    ]  # fmt: skip


def test_star_imports_give_the_listed_names():
    for module in ("minigraph", "minigraph.ops", "minigraph.extend"):
        names = {}
        exec(f"from {module} import *", names)
        assert names.keys() - {"__builtins__"} == set(importlib.import_module(module).__all__)


def test_every_function_of_an_op_is_public_in_one_place():
    for name in NETWORK:
        assert set(importlib.import_module(f"minigraph.ops.{name}").__all__) <= set(mg.nn.functional.__all__)
    assert set(mg.nn.functional.__all__) <= set(dir(mg.nn.functional))
    assert set(mg.__all__) & set(mg.ops.__all__) == {"linear", "flatten", "logsumexp"}
    assert all(getattr(mg, name) is getattr(mg.ops, name) for name in ("linear", "flatten", "logsumexp"))
    assert all(callable(getattr(mg.ops, name)) for name in mg.ops.__all__)


@pytest.mark.parametrize(("name", "way"), [
    ("exp", "; use np.exp on nodes, or mg.ops.exp"),
    ("stack", "; use np.stack on nodes, or mg.ops.stack"),
    ("norm", "; use np.linalg.norm on nodes, or mg.ops.norm"),
    ("erf", "; use scipy.special.erf on nodes, or mg.ops.erf"),
    ("getitem", "; use mg.ops.getitem"),
    ("Op", "; use mg.extend.Op"),
    ("nothing", ""),
])  # fmt: skip
def test_names_that_live_elsewhere(name, way):
    with pytest.raises(AttributeError, match=f"^module 'minigraph' has no attribute '{name}'{re.escape(way)}$"):
        getattr(mg, name)


def test_numpys_functions_of_arrays_specs_and_nodes():
    x = np.array([0.5, 1.0])
    assert type(mg.ops.exp(x)) is np.ndarray and mg.ops.exp(mg.Spec((3, 1))).shape == (3, 1)
    assert isinstance(mg.ops.exp(mg.constant(x)), mg.Node) and isinstance(np.stack([mg.constant(x)] * 2), mg.Node)
    assert mg.ops.norm(x) == np.linalg.norm(x)


# --- docstrings ------------------------------------------------------------------------------------


def test_exceptions_are_functions():
    assert NO_SHAPE.keys() <= FUNCTIONS.keys()


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_docstrings_say_the_shape(name):
    text = inspect.getdoc(FUNCTIONS[name])
    assert text.split("\n")[0].endswith((".", ":"))
    assert "→" in text or "shape" in text or name in NO_SHAPE


@pytest.mark.parametrize("name", mg.__all__[mg.__all__.index("conv1d") :])
def test_docstrings_of_networks_say_derivatives_and_errors(name):
    text = inspect.getdoc(getattr(mg, name))
    assert "Raises " in text
    assert re.search(r"\bJ\b|\bJ_|Jacobian|∂|M_F|M_X|A vec", text)


def test_the_module_says_what_there_is():
    names = re.findall(r"``(\w+)``", mg.__doc__)
    assert {"constant", "grad", "nn", "ops", "extend"} <= set(names) <= set(mg.__all__) | {"np"}
    lines = [line for line in mg.__doc__.split("\n") if line.startswith("    ")]
    assert len(lines) == 4
    space = {"mg": mg, "np": np}
    exec("\n".join(line.strip() for line in lines), space)
    assert space["J"].shape == (1, 54) and space["F"].grad.shape == (6, 1, 3, 3)


@pytest.mark.parametrize(("function", "said"), [
    (mg.relu, "max(x, 0) with derivative 0 at 0, entry by entry. (S) → (S). J_x = diag(Ind(x > 0))."),
    (mg.sigmoid, "1 / (1 + e⁻ˣ), entry by entry."),
    (mg.ops.power, "power(a, b), entry by entry. a (A), b (B) → their broadcast shape. J_a = diag(b aᵇ⁻¹), J_b"),
    (mg.ops.floor, "floor(x), entry by entry. (S) → (S). No derivative"),
])  # fmt: skip
def test_elementwise_functions_say_what_they_compute(function, said):
    assert function.__doc__.startswith(said)


# --- one function for several axes -----------------------------------------------------------------


@pytest.mark.parametrize("name", OVER_AXES)
def test_functions_over_axes(name):
    """They have names, signatures and docstrings of their own, and are found again by name."""
    f, d = getattr(mg, name), int(name[-2])
    assert f.__name__ == f.__qualname__ == name and pickle.loads(pickle.dumps(f)) is f
    signature = inspect.signature(f)
    assert next(iter(signature.parameters)) == "x" and "d" not in f.__annotations__
    assert signature == inspect.signature(getattr(mg, name.replace(f"{d}d", "2d")))
    sides = ", ".join(("D", "H", "W")[3 - d :])
    assert f"(N, C, {sides})" in f.__doc__ and set(re.findall(r"\b[a-z_]+(\dd)\b", f.__doc__)) <= {f"{d}d"}
    with pytest.raises(TypeError, match=f"^{name}: missing a required argument: 'x'"):
        f()
    with pytest.raises(TypeError, match=f"^{name}: got an unexpected keyword argument 'colour'"):
        f(np.ones((1, 1, *[3] * d)), 1, colour=2)


def test_over_axes_makes_three_of_one():
    def _sums(d, x, /, *, scale: float = 1.0) -> float:
        """Sum of x (N, C, H, W) → (H′, W′), for kernels (f, f); as conv2d."""
        if scale < 0:
            raise TypeError("of its own")
        return d * scale * x

    sums1d, sums2d, sums3d = mg.extend.over_axes(_sums)
    assert (sums1d(2.0), sums2d(2.0, scale=3.0), sums3d(1.0)) == (2.0, 12.0, 3.0)
    assert sums1d.__doc__ == "Sum of x (N, C, W) → (W′), for kernels (f); as conv1d."
    assert sums2d.__doc__ == _sums.__doc__ and sums2d.__module__ == __name__
    assert sums3d.__doc__ == "Sum of x (N, C, D, H, W) → (D′, H′, W′), for kernels (f, f, f); as conv3d."
    assert str(inspect.signature(sums3d)) == "(x, /, *, scale: float = 1.0) -> float"
    with pytest.raises(TypeError, match="^of its own$"):
        sums2d(1.0, scale=-1.0)


# --- nodes by name ---------------------------------------------------------------------------------


def graph():
    with mg.scope("outer"):
        a = np.exp(mg.parameter(np.ones(2), "w")).named("hidden")
        with mg.scope("inner"):
            b = np.sin(a).named("hidden")
            c = np.sum(b * mg.parameter(np.ones(2), "weights"))
    return a, b, c, (c * 2).named("loss")


def test_a_tape_by_name_or_path():
    a, b, _, loss = graph()
    tape = mg.Tape.of(loss)
    assert tape["loss"] is loss and tape["outer/hidden"] is a and tape["outer/inner/hidden"] is b
    assert tape["w"] is tape["outer/w"] and isinstance(tape["w"], mg.Parameter)
    with pytest.raises(mg.GraphError, match=rf"'loss': got 'hidden', the name of 2 nodes behind it; wanted one of "
                                            rf"outer/hidden \(#{a.serial}\), outer/inner/hidden \(#{b.serial}\)"):  # fmt: skip
        tape["hidden"]
    with pytest.raises(KeyError, match="no node behind it has the name or path 'weigths'; did you mean weights"):
        tape["weigths"]
    with pytest.raises(KeyError, match="has the name or path '9'\"$"):
        tape["9"]
    for key in (0, None, loss, ["w"]):
        with pytest.raises(TypeError, match="wanted the name or path of a node"):
            tape[key]
    with pytest.raises(KeyError):
        tape["outer/inner"]  # a scope: find knows it


def test_find_gives_the_output_of_a_scope():
    a, b, c, loss = graph()
    assert loss.find("outer") is loss.find("outer/inner") is c and a.find("outer") is a
    assert loss.find("outer/hidden") is a and loss.find("loss") is loss and loss.find("outer/inner/hidden") is b
    with pytest.raises(mg.GraphError, match="the name of 2 nodes"):
        loss.find("hidden")
    with pytest.raises(KeyError, match="did you mean outer/inner"):
        loss.find("outer/iner")
    with pytest.raises(TypeError, match="wanted the name or path"):
        loss.find(3)


def test_feature_maps_of_models():
    """What each module gave is found by the module's path."""
    model, given = models.resnet20(rng=0), {}
    for path, module in model.named_modules():
        forward = module.forward
        module.__dict__["forward"] = lambda *xs, path=path, forward=forward: given.setdefault(path, forward(*xs))
    y = model(np.ones((1, 3, 32, 32), np.float32))
    assert len(given) > 50
    for path, output in given.items():
        assert not path or y.find(path.replace(".", "/")) is output, path

    y = models.lenet5(rng=0)(np.ones((1, 1, 32, 32), np.float32))
    shapes = {path: y.find(path).shape[1:] for path in ("C1", "S2", "C3", "S4", "C5", "F6", "output")}
    assert shapes == {"C1": (6, 28, 28), "S2": (6, 14, 14), "C3": (16, 10, 10), "S4": (16, 5, 5), "C5": (120, 1, 1),
                      "F6": (84,), "output": (10,)}  # fmt: skip
    with pytest.raises(KeyError, match="did you mean C1"):
        y.find("c1")
    assert models.resnet18()(mg.Spec((1, 3, 64, 64))).find("layer2/0/conv1").shape == (1, 128, 8, 8)
