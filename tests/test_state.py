"""States: files that are written whole or not at all, files that are read, names that fit, copies."""

import copy
import io
import json
import os
import pickle
import resource
import stat
import struct
import threading
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import minigraph as mg
from minigraph import files, nn

RNG = np.random.default_rng(0)


def net(rng=0, classes=3):
    model = nn.Sequential(
        conv=nn.Conv2d(2, 4, 3), norm=nn.BatchNorm2d(4), pool=nn.GlobalAvgPool(), fc=nn.Linear(4, classes)
    )
    return model if rng is None else model.initialize(rng)


def same(model, state):
    mine = model.state_dict()
    return mine.keys() == state.keys() and all(np.array_equal(mine[name], state[name]) for name in mine)


def file_of(entries, data=b""):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


# --- files that are written ----------------------------------------------------------------------------------


@pytest.fixture
def umask():
    old = os.umask(0o027)
    yield 0o027
    os.umask(old)


def test_a_file_is_written_where_links_lead_with_the_mode_that_is_there(tmp_path, umask):
    (tmp_path / "real").mkdir()
    new, link, dangling = tmp_path / "new", tmp_path / "link", tmp_path / "dangling"
    files.write(new, b"1")
    assert stat.S_IMODE(new.stat().st_mode) == 0o666 & ~umask
    target = tmp_path / "real" / "target"
    target.write_bytes(b"old")
    for mode in (0o640, 0o604, 0o755):
        target.chmod(mode)
        link.unlink(missing_ok=True)
        link.symlink_to("real/target")
        files.write(link, b"2")
        assert link.is_symlink() and target.read_bytes() == b"2" and stat.S_IMODE(target.stat().st_mode) == mode
    dangling.symlink_to(tmp_path / "real" / "late")
    files.write(str(dangling), b"3")
    assert dangling.is_symlink() and (tmp_path / "real" / "late").read_bytes() == b"3"
    assert {*os.listdir(tmp_path)} == {"new", "link", "dangling", "real"}
    assert {*os.listdir(tmp_path / "real")} == {"target", "late"}


def test_a_device_or_a_pipe_is_written_to_and_stays(tmp_path):
    null, pipe, read = tmp_path / "null", tmp_path / "pipe", []
    null.symlink_to("/dev/null")
    files.write(null, b"1")
    files.write("/dev/null", b"1")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and null.is_symlink()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    net().save(pipe)
    reader.join()
    assert stat.S_ISFIFO(pipe.stat().st_mode) and len(read[0]) > 100
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        files.write("/dev/full", b"1")
    assert {*os.listdir(tmp_path)} == {"null", "pipe"}


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("fault", ["full", "interrupted", "replaced"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, old, fault):
    path, error = tmp_path / "file", OSError
    if old:
        path.write_bytes(old)
    before = os.listdir(tmp_path)
    if fault == "full":
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    else:
        error = KeyboardInterrupt if fault == "interrupted" else PermissionError

        def fail(*args):
            raise error(13, "no")

        monkeypatch.setattr(os, "fsync" if fault == "interrupted" else "replace", fail)
    try:
        with pytest.raises(error) as caught:
            files.write(path, bytes(100_000))
    finally:
        if fault == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fault == "interrupted" or caught.value.filename == str(path)
    assert os.listdir(tmp_path) == before and (not old or path.read_bytes() == old)


def test_where_nothing_can_be_written_is_named(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError, match="nowhere/file"):
        net().save(tmp_path / "nowhere" / "file")
    with pytest.raises(IsADirectoryError):
        net().save(tmp_path)
    with pytest.raises(IsADirectoryError, match="new/"):
        net().save(f"{tmp_path}/new/")
    for function in ("save", "load"):
        for wrong in (None, 1, True, 10**30, b"file", [path], "a\0b", 1.5):
            with pytest.raises(TypeError, match=f"{function}: got path .*; wanted the name of a file"):
                getattr(net(), function)(wrong)
    os.fstat(1)  # which is open still
    monkeypatch.setattr(os, "access", lambda *args: False)  # a file that is read-only, to whom that applies
    with pytest.raises(PermissionError, match="file'$"):
        net().save(path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


# --- files that are read ---------------------------------------------------------------------------------------


class Trap:
    """A pickle of it, opened, writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def zipped(**contents):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return held.getvalue()


def test_other_files_are_named_with_what_to_do(tmp_path):
    trap = Trap(str(tmp_path / "run"))
    held = io.BytesIO()
    np.savez(held, a=np.ones(3))
    pth = zipped(archive__data_pkl=pickle.dumps(trap), archive__version="3")
    convert = r"pickle.*\.pth.*not opened.*safetensors\.torch\.save_file\(model\.state_dict\(\)"
    for content, told in [
        (b"", "an empty file"), (pth, convert), (pth[:-10], r"a zip archive that is damaged, as PyTorch's \.pth"),
        *((pickle.dumps(trap, protocol), convert) for protocol in range(2, 6)),
        (pickle.dumps({"a": trap}, 0), convert), (pickle.dumps(OrderedDict(a=trap), 0), convert),
        (held.getvalue(), r"NumPy's \.npz; read it with np\.load"), (held.getvalue()[50:], "unknown kind|zip"),
        (b"\x93NUMPY\x01\x00v\x00", r"\.npy"), (b"\x89HDF\r\n\x1a\n" + bytes(90), r"HDF5.*h5py"),
        (b"\x1f\x8b\x08" + bytes(90), "gzip.*gunzip"), (b"BZh91AY", "bzip2"), (b"\xfd7zXZ\x00" + bytes(9), "xz"),
        (b"\x28\xb5\x2f\xfd" + bytes(9), "Zstandard"), (bytes(257) + b"ustar\x0000", "tar archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html>", "HTML"), (b"\n  <html lang='en'>", "HTML"), (b"\xef\xbb\xbf<?xml ?>", "XML"),
        (b'{"weight_map": {}}', "JSON.*index"), (b"\n[1]", "JSON"), (b"GGUF" + bytes(99), "GGUF"), (b"\xff" * 100, "unknown kind"),
        (zipped(a_txt="1"), "a zip archive; unpack it"),
    ]:  # fmt: skip
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"(?s)file: not a safetensors file, but .*({told})"):
            net().load(path)
    assert os.listdir(tmp_path) == ["file"]  # no pickle was opened
    (tmp_path / "file").rename(tmp_path / "model.safetensors")
    with pytest.raises(
        IsADirectoryError, match="a folder; wanted a .safetensors file, such as model.safetensors in it"
    ):
        net().load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(IsADirectoryError, match="empty: a folder; wanted a .safetensors file$"):
        net().load(tmp_path / "empty")
    with pytest.raises(ValueError, match="a device or a pipe"):
        net().load("/dev/null")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        net().load(tmp_path / "nowhere")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_said_to_be_and_changes_nothing(tmp_path_factory, data):
    """Cut short anywhere; a few bytes of its header changed; something added."""
    path, model = tmp_path_factory.mktemp("damaged") / "net", net()
    model.save(path)
    good, before = path.read_bytes(), model.state_dict()
    header = 8 + int.from_bytes(good[:8], "little")
    kind = data.draw(st.sampled_from(["cut", "changed", "longer"]))
    if kind == "cut":
        bad = good[: data.draw(st.integers(1, len(good) - 1))]
    elif kind == "longer":
        bad = good + data.draw(st.binary(min_size=1, max_size=20))
    else:
        bad = bytearray(good)
        for place in data.draw(st.lists(st.integers(0, header - 1), min_size=1, max_size=3)):
            bad[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bad)
    other = net(1)
    mine = other.state_dict()
    try:
        other.load(path)
    except ValueError as error:
        assert str(path) in str(error) and same(other, mine)
        assert kind != "cut" or len(bad) < 9 or f"cut short: got {len(bad)} bytes of " in str(error)
        assert kind != "longer" or "damaged" in str(error)
    else:
        assert kind == "changed" and other.state_dict().keys() == before.keys()  # two names, or two places, swapped


def test_half_precision_is_widened(tmp_path):
    x = RNG.standard_normal((3, 4)).astype(np.float32)
    cut = (x.view(np.uint32) >> 16).astype(np.uint16)  # a bfloat16 is a float32 without its last 16 bits
    small = x.astype(np.float16)
    path = tmp_path / "half.safetensors"
    for odd in (b"", b"x"):  # the second at an odd place of the file
        entries = {"odd": {"dtype": "U8", "shape": [len(odd)], "data_offsets": [0, len(odd)]}}
        entries["weight"] = {"dtype": "BF16", "shape": [3, 4], "data_offsets": [len(odd), len(odd) + 24]}
        entries["bias"] = {"dtype": "F16", "shape": [3], "data_offsets": [len(odd) + 24, len(odd) + 30]}
        path.write_bytes(file_of(entries, odd + cut.tobytes() + small[:, 0].tobytes()))
        for dtype in (np.float32, np.float64):
            layer = nn.Linear(4, 3, dtype=dtype)
            assert layer.load(path, strict=False) == ([], ["odd"])
            np.testing.assert_array_equal(layer.weight.value, (cut.astype(np.uint32) << 16).view(np.float32))
            np.testing.assert_array_equal(layer.bias.value, small[:, 0])
            assert layer.weight.dtype == layer.bias.dtype == dtype
    entries["bias"]["more"] = 1
    path.write_bytes(file_of(entries, odd + cut.tobytes() + small[:, 0].tobytes()))
    with pytest.raises(ValueError, match="half.safetensors: .*damaged: bias has 'dtype', .*, 'more'; wanted 'dtype'"):
        nn.Linear(4, 3).load(path, strict=False)
    entries = {"weight": {"dtype": "F8_E4M3", "shape": [12], "data_offsets": [0, 12]}}
    path.write_bytes(file_of(entries, bytes(12)))
    with pytest.raises(ValueError, match="half.safetensors: .*F8_E4M3"):
        nn.Linear(4, 3).load(path)


# --- names ---------------------------------------------------------------------------------------------------


STATE = net(7).state_dict()
HEAD = ["fc.weight", "fc.bias"]


@pytest.mark.parametrize("wrapper", ["module.", "model.", "_orig_mod.", "module._orig_mod."])
def test_prefixed_names_are_told_in_one_line_and_taken_on_request(wrapper, tmp_path):
    state = {wrapper + name: value for name, value in STATE.items()}
    model = net()
    before, path = model.state_dict(), tmp_path / "net.safetensors"
    safetensors.numpy.save_file(state, path)
    for strict in (True, False):
        for call in (
            lambda **options: model.load_state_dict(state, **options),
            lambda **options: model.load(path, **options),
        ):
            with pytest.raises(ValueError) as caught:
                call(strict=strict)
            told = f"every name begins with {wrapper}; pass prefix='{wrapper}'"
            assert str(caught.value).endswith(f"nothing loaded; {told}") and "\n" not in str(caught.value)
            assert same(model, before)
    for prefix in (wrapper, wrapper.rstrip(".")):
        other = net()
        assert other.load(path, prefix=prefix) == ([], []) and same(other, STATE)
    extra = state | {"loss.weight": np.ones(2)}
    with pytest.raises(ValueError, match=f"9 names begin with {wrapper}; pass prefix"):
        model.load_state_dict(extra)
    with pytest.raises(ValueError, match="nothing loaded; unknown loss.weight"):
        model.load_state_dict(extra, prefix=wrapper)
    assert model.load_state_dict(extra, strict=False, prefix=wrapper) == ([], ["loss.weight"]) and same(model, STATE)


def test_states_that_do_not_fit_are_told_why():
    model = net()
    before = model.state_dict()
    for state, told in [
        ({"state_dict": STATE, "epoch": 3}, "the values are in the mapping under 'state_dict'; pass that"),
        ({"epoch": 3, "model": {f"module.{n}": v for n, v in STATE.items()}}, "in the mapping under 'model'"),
        ({"a": np.ones(2), "b": 3}, r"no name is one of the model's: got a, b; wanted conv.weight, .* and \d more"),
        ({}, "no name is one of the model's: got none"),
        ({1: np.ones(2), ("conv", 2): 3}, "no name is one of the model's: got 1, "),
    ]:
        for strict in (True, False):
            with pytest.raises(ValueError, match=f"load_state_dict: nothing loaded; .*{told}"):
                model.load_state_dict(state, strict)
    twice = {f"module.inner.{name}": value for name, value in STATE.items()}
    with pytest.raises(ValueError, match=r"every name begins with module.inner.; pass prefix='module.inner.'"):
        model.load_state_dict(twice, prefix="module")
    with pytest.raises(ValueError, match="nothing loaded; unknown ema"):
        model.load_state_dict(dict(STATE) | {"ema": STATE})
    with pytest.raises(ValueError, match="no name that begins with modul is one of the model's"):
        model.load_state_dict(STATE, prefix="modul", strict=False)
    with pytest.raises(ValueError, match="the model's names begin with inner., and the state's do not; .*model.inner"):
        nn.Sequential(inner=net()).load_state_dict(STATE, strict=False)
    for wrong in ([*STATE.items()], "net.safetensors", None):
        with pytest.raises(TypeError, match="load_state_dict: got .*; wanted a mapping"):
            model.load_state_dict(wrong)
    for option, wrong in [
        *[("prefix", wrong) for wrong in (None, 5, b"a", ["a"])],
        *[("skip", wrong) for wrong in (None, 5, [5], b"fc", [b"fc"], True)],
    ]:
        with pytest.raises(TypeError, match=f"load_state_dict: got {option} .*; wanted"):
            model.load_state_dict(STATE, **{option: wrong})
    endless = {}
    endless["model"] = endless
    for state in (endless, STATE | endless):
        with pytest.raises(ValueError, match="load_state_dict: nothing loaded; "):
            model.load_state_dict(state)
    for value in ("text", None, [[1], [2, 3]], {"a": 1}, object(), sparse.eye_array(3), mg.Spec((3,))):
        with pytest.raises(ValueError, match="nothing loaded; fc.bias: "):
            model.load_state_dict(STATE | {"fc.bias": value})
    assert same(model, before)
    for value in (nn.Buffer(STATE["fc.bias"]), mg.constant(STATE["fc.bias"])):
        assert net().load_state_dict(STATE | {"fc.bias": value}) == ([], [])
    assert nn.ReLU().load_state_dict({}) == ([], [])  # nothing to be loaded


@pytest.mark.parametrize("skip", ["fc", "fc.", ["fc"], ("fc.weight", "fc.bias"), {"fc."}])
def test_a_changed_head_is_skipped(skip):
    model = net(1, classes=5)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"fc.weight: got shape \(3, 4\), wanted \(5, 4\); fc.bias"):
        model.load_state_dict(STATE)
    missing, unexpected = model.load_state_dict(STATE, skip=skip)
    assert missing == unexpected == HEAD
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, (before if name in HEAD else STATE)[name])
    state = {name: value for name, value in STATE.items() if name not in HEAD}
    assert net().load_state_dict(state, strict=False) == (HEAD, [])
    with pytest.raises(ValueError, match="got skip 'f'; wanted parts of the model or the state"):
        model.load_state_dict(STATE, skip="f")
    assert same(model, model.state_dict())


def test_a_shared_parameter_may_be_there_under_one_name():
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1))
    model[1].weight = model[0].weight
    state = {"0.weight": np.eye(2), "0.bias": np.ones(2), "1.bias": np.ones(2)}
    assert model.load_state_dict(state) == ([], [])
    np.testing.assert_array_equal(model[1].weight.value, np.eye(2))
    with pytest.raises(ValueError, match="1.weight: got other values than 0.weight, which is the same parameter"):
        model.load_state_dict(state | {"1.weight": np.ones((2, 2))})


# --- copies --------------------------------------------------------------------------------------------------


COPIES = {"deepcopy": copy.deepcopy} | {
    f"pickle {protocol}": lambda pair, protocol=protocol: pickle.loads(pickle.dumps(pair, protocol))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_trains_on_as_the_original(copied):
    """Values, gradients, velocities, buffers, names, scopes and what is shared: all of it is in the copy."""
    model = nn.Sequential(a=net(), b=nn.Linear(3, 3, rng=1), drop=nn.Dropout(0.5, rng=2), c=nn.Linear(3, 3, rng=3))
    model.c.weight = model.b.weight
    optimizer = mg.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    x = RNG.standard_normal((4, 2, 5, 5)).astype(np.float32)

    def step(model, optimizer):
        (model(x) ** 2).sum().backward()  # on top of the gradients that are there
        optimizer.step()

    step(model, optimizer)
    before = [p.grad.copy() for p in model.parameters()]
    twin, its = copied((model, optimizer))
    assert twin.c.weight is twin.b.weight and len(twin.parameters()) == len(model.parameters())
    assert all(p is q for p, q in zip(twin.parameters(), its.params, strict=True))
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert p is not q and (p.path, p.dtype, p.label) == (q.path, q.dtype, q.label) and p.scope
        np.testing.assert_array_equal(p.grad, q.grad)
    step(model, optimizer)
    step(twin, its)
    assert same(twin, model.state_dict())
    assert any((p.grad != g).any() for p, g in zip(model.parameters(), before, strict=True))


def test_copies_of_one_parameter_keep_its_gradient():
    p = mg.parameter([1.0, 2.0], "p")
    p.scope = "inner"
    (p * p).sum().backward()
    for q in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert q is not p and q.path == "inner/p"
        np.testing.assert_array_equal(q.grad, [2, 4])
        q.value = np.zeros(2)
        (q * q).sum().backward()
    np.testing.assert_array_equal(p.grad, [2, 4])
    np.testing.assert_array_equal(p.value, [1, 2])
