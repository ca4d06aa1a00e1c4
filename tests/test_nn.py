"""Modules: state, scopes, modes, initialisation, and what is refused."""

import collections
import copy
import dataclasses
import json
import logging
import pickle
import struct
import threading
import types

import numpy as np
import pytest

import minigraph as mg
from minigraph import nn


def net(rng=0):
    model = nn.Sequential(
        conv=nn.Conv2d(2, 4, 3, bias=False), norm=nn.BatchNorm2d(4), act=nn.ReLU(), drop=nn.Dropout(0.5), pool=nn.GlobalAvgPool(),
        head=nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)),
    )  # fmt: skip
    return model if rng is None else model.initialize(rng)


X = np.random.default_rng(0).standard_normal((5, 2, 6, 6)).astype(np.float32)


def test_state_round_trip(tmp_path):
    """By dict and by file, with running statistics, in PyTorch's order."""
    model = net()
    model(X)
    state = model.state_dict()
    assert list(state) == [
        "conv.weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
        "head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias",
    ]  # fmt: skip
    assert state["norm.num_batches_tracked"] == 1 and state["norm.running_mean"].any()
    model.save(tmp_path / "net.safetensors")
    for other in (net(None), net(7)):
        other.load(tmp_path / "net.safetensors")
        for name, value in other.state_dict().items():
            assert value.dtype == state[name].dtype
            np.testing.assert_array_equal(value, state[name])
        np.testing.assert_array_equal(other.eval()(X).value, model.eval()(X).value)
    other = net(None)
    other.load_state_dict({name: v for name, v in state.items() if name != "norm.num_batches_tracked"})  # older files
    (values, copies) = ([p.value for p in m.parameters()] for m in (model, other))
    assert not any(np.shares_memory(a, b) for a, b in zip(values, copies, strict=True))


def header(**entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


def test_damaged_files(tmp_path):
    model, path = net(), tmp_path / "net.safetensors"
    model.save(path)
    good = path.read_bytes()
    before = {name: value.copy() for name, value in model.state_dict().items()}
    entry = {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]}
    bad = [b"", b"{}", good[:7], good[:200], good[:-1], good + b"x", struct.pack("<Q", 2**63) + good[8:],
           header(a=entry), header(a=entry | {"shape": [1], "dtype": "F99"}) + bytes(4),
           header(a=entry | {"shape": [1], "data_offsets": [4, 0]}) + bytes(4),
           header(a=entry | {"dtype": "BF16", "shape": [2]}) + bytes(4), b"\xff" * 100]  # fmt: skip
    for content in bad:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="safetensors"):
            model.load(path)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    for load in (model.load, model.save):
        with pytest.raises(OSError):
            load(tmp_path / "nowhere" / "net.safetensors")


def test_load_lists_all_problems_and_loads_none():
    model, state = net(), dict(net(7).state_dict())
    before = model.state_dict()
    state["head.0.weight"] = state["head.0.weight"][:1]
    state["head.0.bias"] = state["head.0.bias"].astype(np.complex64)
    state["extra"] = state.pop("norm.bias")
    with pytest.raises(ValueError) as caught:
        model.load_state_dict(state)
    for problem in ("missing norm.bias", "unknown extra", r"head.0.weight: got shape (1, 4), wanted (4, 4)",
                    "head.0.bias: got dtype complex64, wanted float32"):  # fmt: skip
        assert problem in str(caught.value)
    with pytest.raises(ValueError, match="head.0.weight") as caught:
        model.load_state_dict(state, strict=False)
    assert "extra" not in str(caught.value)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_scopes_and_names():
    y = net()(mg.constant(X, "x"))
    scopes = {node.kind: node.scope for node in mg.Tape.of(y).nodes if node.op}
    assert scopes["conv2d"] == "conv" and scopes["batch_norm"] == "norm" and scopes["tanh"] == "head/1"
    assert {p.path for p in mg.Tape.of(y).parameters} >= {"conv/weight", "norm/bias", "head/2/weight"}
    with mg.scope("twin"):
        assert net()(X).scope == "twin/head/2"
    with pytest.raises(mg.ShapeError, match="^head/0: linear: got"):
        nn.Sequential(head=nn.Sequential(nn.Linear(3, 3)))(mg.Spec((2, 4)))


def test_train_and_eval():
    model = net()
    assert not np.array_equal(model(X).value, model(X).value)  # another mask
    model.eval()
    assert not any(module.training for module in model.modules())
    state = model.state_dict()
    np.testing.assert_array_equal(model(X).value, model(X).value)
    assert model.state_dict()["norm.num_batches_tracked"] == state["norm.num_batches_tracked"] == 2
    assert model.train()(mg.Spec(X.shape)).shape == (5, 3)
    assert model.state_dict()["norm.num_batches_tracked"] == 2  # shapes leave no trace
    with pytest.raises(TypeError, match=r"Dropout\(p=0.5\): got no rng to drop by"):
        nn.Dropout(0.5)(X)


def test_shared_parameters_are_there_once():
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.Linear(3, 3, rng=1))
    model[1].weight = model[0].weight
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert len(model.parameters()) == 3 and list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    model(np.ones((2, 3), np.float32)).backward(np.ones((2, 3), np.float32))
    assert model[0].weight.grad is not None and model[0].weight.grad is model[1].weight.grad
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_initialize_is_reproducible():
    one, two, three = net(3), net(None).initialize(np.random.default_rng(3)), net(4)
    three(X)  # moves the running statistics
    three.initialize(3)
    for name, value in one.state_dict().items():
        np.testing.assert_array_equal(value, two.state_dict()[name])
        np.testing.assert_array_equal(value, three.state_dict()[name])
    np.testing.assert_array_equal(one(X).value, two(X).value)  # the masks of dropout too
    assert not np.array_equal(net(4).state_dict()["conv.weight"], one.state_dict()["conv.weight"])
    with pytest.raises(TypeError, match="initialize: got rng None"):
        net(None).initialize(None)


def test_initial_deviations():
    """Each initialiser's deviation is the paper's, and samples are within its bound."""
    shape, rng = (200, 30, 3, 3), np.random.default_rng(0)
    fan_in, fan_out = 270, 1800
    for name, variance in (
        ("he_normal", 2 / fan_in), ("he_normal_fan_out", 2 / fan_out), ("he_uniform", 2 / fan_in),
        ("xavier_normal", 2 / (fan_in + fan_out)), ("xavier_uniform", 2 / (fan_in + fan_out)), ("lecun_uniform", 1 / (3 * fan_in)),
    ):  # fmt: skip
        w = getattr(nn.init, name)(shape, rng)
        np.testing.assert_allclose(w.var(), variance, rtol=0.03, err_msg=name)
        assert "uniform" not in name or np.abs(w).max() <= np.sqrt(3 * variance)


def test_abstract_modules():
    """Without an rng there are shapes only, and a use of values says what to do."""
    model = net(None)
    y = model(mg.Spec(X.shape))
    assert y.abstract and y.shape == (5, 3) and all(p.abstract for p in model[0].parameters())
    for use in (model, lambda x: model(mg.constant(x))):
        with pytest.raises(mg.GraphError, match=r"'conv/weight' has no values yet; call initialize\(rng\) or load"):
            use(X)
    for use in (model.state_dict, lambda: model.save("nowhere")):
        with pytest.raises(mg.GraphError, match="conv.weight and 4 more have no values yet"):
            use()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups dividing both"),
        (lambda: nn.Conv2d(0, 4, 3), "got in_channels 0"),
        (lambda: nn.Linear(3, -1), "out_features -1"),
        (lambda: nn.BatchNorm2d(0), "got num_features 0"),
        (lambda: nn.Dropout(1.5), "got p 1.5"),
    ],
)
def test_wrong_arguments(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_sequential_takes_functions_only():
    assert nn.Sequential(nn.Linear(2, 2, rng=0), mg.relu)(np.ones((1, 2), np.float32)).kind == "relu"
    with pytest.raises(TypeError, match="got int as part 1"):
        nn.Sequential(nn.ReLU(), 3)


def test_repr_is_a_tree():
    assert repr(net(None)).splitlines()[:2] == [
        "Sequential", "  conv: Conv2d(in_channels=2, out_channels=4, kernel_size=3)",
    ]  # fmt: skip


def test_transposed_convolutions_take_pytorchs_order_of_arguments():
    layer = nn.ConvTranspose2d(4, 4, 3, 2, 1, 1, rng=0)
    assert layer(np.ones((1, 4, 6, 6), np.float32)).shape == (1, 4, 12, 12)
    with pytest.raises(TypeError, match="padding_mode"):
        nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect")


def test_a_checkpoint_moves_running_statistics_once():
    x = mg.parameter(np.random.default_rng(0).standard_normal((4, 2, 3, 3)).astype(np.float32))
    plain, saved = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    (plain(x) ** 2).sum().backward()
    (mg.checkpoint(saved)(x) ** 2).sum().backward()
    for name, value in plain.state_dict().items():
        np.testing.assert_array_equal(saved.state_dict()[name], value)


def test_batch_norm_counts_batches_that_went_through():
    layer = nn.BatchNorm2d(2)
    with pytest.raises(mg.ShapeError, match="BatchNorm2d: got x .*; wanted x of 4 axes"):
        layer(np.ones((2, 2), np.float32))
    assert layer.num_batches_tracked.value == 0


@dataclasses.dataclass
class Config:
    part: object


class Slotted:
    __slots__ = ("part",)

    def __init__(self, part):
        self.part = part


HIDDEN = {  # ways to keep a part where no attribute is one
    "list": lambda part: [part], "tuple": lambda part: (1, part), "set": lambda part: {part}, "dict": lambda part: {"a": part},
    "key": lambda part: {part: 1}, "deque": lambda part: collections.deque([part]), "frozenset": lambda part: frozenset([part]),
    "nested": lambda part: [{"a": (1, [{2: part}])}], "array": lambda part: np.array([part, None], dtype=object),
    "user list": lambda part: collections.UserList([part]), "mapping": lambda part: types.MappingProxyType({"a": part}),
    "values": lambda part: {"a": part}.values(), "items": lambda part: {"a": part}.items(),
}  # fmt: skip
SET = {
    "attribute": lambda net, value: setattr(net, "kept", value),
    "vars": lambda net, value: vars(net).update(kept=value),
    "filled later": lambda net, value: net.empty.append(value),
    "shared by the class": lambda net, value: setattr(type(net), "kept", [value]),
    "below": lambda net, value: vars(net.below).update(kept=value),
}
WALKS = {
    "parameters": lambda net: net.parameters(), "named_parameters": lambda net: [*net.named_parameters()],
    "modules": lambda net: [*net.modules()], "named_buffers": lambda net: [*net.named_buffers()],
    "state_dict": lambda net: net.state_dict(), "save": lambda net: net.save("/nowhere/file"),
    "load_state_dict": lambda net: net.load_state_dict({"below.weight": np.ones((2, 2))}, strict=False),
    "train": lambda net: net.eval(), "initialize": lambda net: net.initialize(0), "seed": lambda net: net.seed(0),
}  # fmt: skip


@pytest.mark.parametrize("assign", SET.values(), ids=SET)
@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN)
def test_parts_out_of_sight_are_refused(hide, assign):
    """A part is refused wherever it would be left out, and taken where an attribute holds it as well."""
    for make in (lambda: nn.Linear(2, 2), lambda: mg.parameter(np.ones(2)), lambda: nn.Buffer(np.ones(2))):

        class Net(nn.Module):
            def __init__(self):
                self.below, self.empty = nn.Linear(2, 2, rng=0), []

        net, part = Net(), make()
        net.below.part = part
        assign(net, hide(part))
        assert net.parameters() and repr(net)
        del net.below.part
        for walk in WALKS.values():
            with pytest.raises(TypeError, match=r"(Net|Linear): got an? \w+ of modules or parameters as \w+, which"):
                walk(net)
        with pytest.raises(TypeError, match="nn.ModuleList, nn.ModuleDict, nn.ParameterList"):
            Net().kept = hide(make())


@pytest.mark.parametrize(
    "value", [[], (1, "a"), {"a": [1, 2]}, np.ones(3), np.random.default_rng(0), Config(3), mg.relu, nn.Linear]
)
def test_what_holds_no_parts_is_kept(value):
    net = nn.Sequential(nn.Linear(2, 2, rng=0))
    net.kept, net.config = value, Config([value, logging.getLogger(), mg.constant(1.0), threading.Lock()])
    assert net.kept is value and len(net.parameters()) == 2


def test_a_class_keeps_no_parts_for_its_modules():
    class Net(nn.Module):
        layer = nn.Linear(2, 2)

    with pytest.raises(TypeError, match="Net: got a Linear as layer, which parameters"):
        Net().parameters()


class Lists(nn.Module):
    def __init__(self, rng=None):
        self.layers = nn.ModuleList([nn.Linear(3, 4, rng=rng)])
        self.layers.append(nn.Linear(4, 4, rng=rng)).extend([nn.Linear(4, 5, rng=rng)])
        self.heads = nn.ModuleDict({"a": nn.Linear(5, 2, rng=rng)})
        self.heads["b"] = nn.Sequential(nn.Linear(5, 2, rng=rng), nn.BatchNorm1d(2))
        self.scales = nn.ParameterList([mg.parameter(np.ones(2, np.float32) * 3)])
        self.scales += [mg.parameter(np.ones(2, np.float32))]
        self.named = nn.ParameterDict({"shift": mg.parameter(np.ones(2, np.float32))})
        self.nested = nn.ModuleList([nn.ModuleList([nn.Linear(2, 2, rng=rng)])])

    def forward(self, x):
        for layer in self.layers:
            x = mg.relu(layer(x))
        x = sum(scale * head(x) for scale, head in zip(self.scales, self.heads.values(), strict=True))
        return self.nested[0][-1](x + self.named["shift"])


def test_lists_and_dicts_of_modules_and_parameters():
    """Names as PyTorch's; every part is seen, trained, saved, and named in diagrams by its place."""
    net = Lists(rng=0)
    names = [
        *[f"layers.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")], "heads.a.weight", "heads.a.bias",
        "heads.b.0.weight", "heads.b.0.bias", "heads.b.1.weight", "heads.b.1.bias", "scales.0", "scales.1", "named.shift",
        "nested.0.0.weight", "nested.0.0.bias",
    ]  # fmt: skip
    assert [name for name, _ in net.named_parameters()] == names
    y = net(np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32))
    (y**2).sum().backward(retain_graph=True)
    assert all(p.grad is not None for p in net.parameters())
    assert [p.path.replace("/", ".") for p in net.parameters()] == names
    scopes = [node.scope for node in mg.Tape.of(y).nodes if node.kind == "linear"]
    assert scopes == ["layers/0", "layers/1", "layers/2", "heads/a", "heads/b/0", "nested/0/0"]
    other = Lists(rng=1)
    other.load_state_dict(net.state_dict())
    twin = pickle.loads(pickle.dumps(copy.deepcopy(other)))
    for model in (other, twin):
        np.testing.assert_array_equal(model.eval()(X[:, 0, 0, :3]).value, net.eval()(X[:, 0, 0, :3]).value)
    with pytest.raises(mg.GraphError, match="has no values yet"):
        Lists()(np.ones((2, 3), np.float32))


def test_lists_and_dicts_are_changed_as_pythons_are():
    """Random edits, each done to a Python list or dict as well: the same parts under the names of their places."""
    rng = np.random.default_rng(0)
    for ours, theirs, make in ((nn.ModuleList(), [], nn.ReLU), (nn.ParameterList(), [], lambda: mg.parameter([1.0]))):
        for _ in range(80):
            part, i = make(), int(rng.integers(-len(theirs), len(theirs))) if theirs else 0
            edit = rng.choice(["append", "insert", "extend", *(["set", "del", "pop"] if theirs else [])])
            for parts in (ours, theirs):
                if edit == "set":
                    parts[i] = part
                elif edit == "del":
                    del parts[i]
                else:
                    getattr(parts, edit)(
                        *{"append": [part], "insert": [i, part], "extend": [[part, make()][:1]], "pop": [i]}[edit]
                    )
            assert len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))
            assert (
                [p.name for p in ours]
                == [name for name in vars(ours) if name.isdigit()]
                == [str(i) for i in range(len(ours))]
            )
            assert not theirs or (ours[i if edit not in ("del", "pop") else 0] in ours and make() not in ours)
    heads, theirs = nn.ModuleDict(), {}
    for name in rng.choice([*"abcde"], 60):
        name = str(name)
        if name in theirs and rng.random() < 0.4:
            assert heads.pop(name) is theirs.pop(name)
        else:
            part = nn.ReLU()
            heads[name], theirs[name] = part, part
        assert [*heads] == [*heads.keys()] == [*theirs] and all(heads[name] is part for name, part in theirs.items())
        assert (
            heads.items() == [*theirs.items()]
            and [p.name for p in heads.values()] == [*theirs]
            and ("a" in heads) == ("a" in theirs)
        )


def test_lists_and_dicts_refuse_what_is_no_part():
    for make in (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict):
        wrong = nn.ReLU() if "Parameter" in make.__name__ else mg.parameter([1.0])
        for part in (wrong, mg.relu, None, np.ones(2)):
            with pytest.raises(TypeError, match=f"{make.__name__}: got .* as part .*; wanted a (module|parameter)"):
                make([part] if "List" in make.__name__ else {"a": part})
    for name in ("a.b", "", "training", "keys", "forward", "names"):
        with pytest.raises(ValueError, match="as the name of a part"):
            nn.ModuleDict({name: nn.ReLU()})
    with pytest.raises(KeyError, match="ModuleDict: got 'c'; wanted one of a, b"):
        nn.ModuleDict({"a": nn.ReLU(), "b": nn.ReLU()})["c"]
    with pytest.raises(IndexError):
        nn.ModuleList()[0]
    with pytest.raises(NotImplementedError, match="ModuleList defines no forward"):
        nn.ModuleList([nn.ReLU()])(np.ones(2))
    loop = nn.Sequential(inner=nn.Sequential(nn.Linear(2, 2, rng=0)))
    loop.inner.outer = loop
    with pytest.raises(ValueError, match="inner.outer is the module that it lies in"):
        loop.state_dict()
    many = nn.Linear(2, 2, rng=0)
    for _ in range(24):
        many = nn.Sequential(many, many)
    with pytest.raises(ValueError, match="Sequential: got shared modules under more than 100000 paths"):
        many.state_dict()


def test_wrong_parts_are_refused():
    class Net(nn.Module):
        def __init__(self):
            self.layers = [nn.Linear(2, 2)]

    with pytest.raises(TypeError, match="Net: got a list of modules or parameters as layers"):
        Net()
    with pytest.raises(TypeError, match="Sequential: got a function that holds modules or parameters as 0"):
        nn.Sequential(mg.checkpoint(nn.Linear(2, 2, rng=0)))
    with pytest.raises(ValueError, match="Sequential: got 'name' as the name of a part"):
        nn.Sequential(name=nn.ReLU())
    with pytest.raises(TypeError, match="MaxPool2d: missing a required argument: 'kernel_size'"):
        nn.MaxPool2d(kernel=2)


def test_names_that_collide_or_vanish_are_refused():
    for parts in ({"a.b": nn.ReLU()}, {"training": nn.ReLU()}, {"names": nn.ReLU()}):
        with pytest.raises(ValueError, match="as the name of a part; wanted one that is free"):
            nn.Sequential(**parts)
    with pytest.raises(ValueError, match="got '0' as the name of a part"):
        nn.Sequential(nn.ReLU(), **{"0": nn.ReLU()})
    layer = nn.Linear(2, 2, rng=0)
    for name in ("a.b", ""):
        for part in (nn.ReLU(), mg.parameter(1.0), nn.Buffer(1.0)):
            with pytest.raises(
                ValueError, match=f"Linear: got '{name}' as the name of a part; wanted a name without dots"
            ):
                setattr(layer, name, part)
    with pytest.raises(TypeError, match="Linear: got ndarray as weight; assign weight.value, or a parameter"):
        layer.weight = np.zeros((2, 2), np.float32)
    with pytest.raises(
        TypeError, match="BatchNorm2d: got ndarray as running_mean; assign running_mean.value, or a buffer"
    ):
        nn.BatchNorm2d(2).running_mean = np.zeros(2)
    with pytest.raises(TypeError, match="Linear: got dtype int64; wanted float32 or float64"):
        nn.Linear(2, 2, dtype=int)
    with pytest.raises(ValueError, match="weight: got values too large for float32"):
        layer.load_state_dict({"weight": np.full((2, 2), 1e300), "bias": np.zeros(2)})
    shared = nn.Sequential(layer, nn.ReLU(), layer)
    assert list(shared.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"] and len(shared.parameters()) == 2
    assert [type(part) for part in shared[1:]] == [nn.ReLU, nn.Linear]
    for maker in (nn.Dropout, lambda p: nn.Conv2d(1, 1, (3,)), lambda p: nn.Conv2d(True, 1, 3)):
        with pytest.raises((TypeError, ValueError), match="got"):
            maker("a")


def test_dropout_is_seeded_without_touching_weights():
    model = net()
    before = model.state_dict()
    a = model.seed(1)(np.ones((2, 2, 5, 5), np.float32)).value
    model.load_state_dict(before)
    np.testing.assert_array_equal(model.seed(1)(np.ones((2, 2, 5, 5), np.float32)).value, a)
    np.testing.assert_array_equal(model.state_dict()["conv.weight"], before["conv.weight"])


def test_a_summary_leaves_the_names_of_parameters():
    net = nn.Sequential(a=nn.Linear(2, 2, rng=0))
    outer = nn.Sequential(outer=net)
    outer(np.ones((1, 2), np.float32))
    before = net.parameters()[0].path
    mg.summary(net, (1, 2))
    assert net.parameters()[0].path == before == "outer/a/weight"


def test_hooks_and_parts_by_path():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3, rng=1)).initialize(0)
    x, seen = np.random.default_rng(0).standard_normal((2, 1, 5, 5)).astype(np.float32), []
    y = net(x).value
    handles = [
        net[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape)),
        net[1].register_forward_hook(lambda module, inputs, output: seen.append((module, output.shape))),
    ]
    np.testing.assert_array_equal(net(x).value, y)
    assert seen == [(2, 1, 5, 5), (net[1], (2, 2, 3, 3))]
    replaced = net[1].register_forward_hook(lambda module, inputs, output: 0 * output)
    doubled = net[0].register_forward_pre_hook(lambda module, inputs: 2 * inputs[0])
    np.testing.assert_allclose(net(x).value, np.broadcast_to(net[3].bias.value, (2, 3)))
    for handle in (*handles, replaced, doubled):
        handle.remove()
    np.testing.assert_array_equal(net(x).value, y)
    assert len(seen) == 4
    with pytest.raises(TypeError, match="Sequential: got int as a hook; wanted a function"):
        net.register_forward_hook(3)

    assert net.get_submodule("3") is net[3] and net.get_submodule("") is net
    assert net.get_parameter("3.weight") is net[3].weight and dict(net.named_children())["1"] is net[1]
    with pytest.raises(KeyError, match="no parameter '3.weigth'; wanted 3.weight"):
        net.get_parameter("3.weigth")
    visited = []
    assert net.apply(visited.append) is net and visited[-1] is net and len(visited) == 5


def test_a_lazy_layer_becomes_what_it_makes():
    net = nn.Sequential(nn.LazyConv2d(4, 3, rng=0), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2, rng=0))
    assert "LazyConv2d(4, 3)" in repr(net)
    y = net(np.ones((2, 3, 5, 5), np.float32))
    assert [type(m).__name__ for m in net] == ["Conv2d", "BatchNorm2d", "Flatten", "Linear"]
    assert net.state_dict()["0.weight"].shape == (4, 3, 3, 3) and net.state_dict()["3.weight"].shape == (2, 36)
    assert {node.scope for node in mg.Tape.of(y).nodes} >= {"0", "1", "2", "3"}


def test_conversion_to_another_dtype():
    net = nn.Sequential(nn.Linear(3, 2, rng=0), nn.BatchNorm1d(2))
    net(np.ones((4, 3), np.float32)).backward(np.ones((4, 2), np.float32))
    wide = {name: value.astype(float) for name, value in net.state_dict().items() if value.dtype.kind == "f"}
    assert net.double() is net and net[0].weight.grad is None
    assert all(np.array_equal(net.state_dict()[name], value) for name, value in wide.items())
    assert net.state_dict()["1.running_mean"].dtype == np.float64 and net.to("float32")[0].weight.dtype == np.float32
    assert nn.Linear(3, 2).double().weight.dtype == np.float64  # without values
    with pytest.raises(TypeError, match="to: got dtype int64; wanted float32 or float64"):
        net.to(int)
