"""Readers of data: round trips of every format written by hand, and hostile files."""

import gzip
import io
import os
import pickle
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import numpy as np
import pytest

from minigraph import data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 5, 4), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 1, 0, 2, 2], np.uint8)


def idx_bytes(array, code=0x08):
    array = np.asarray(array)
    return (
        struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def idx_folder(folder, compress=False, dots=False, test=True):
    parts = {"train-images-idx3": IMAGES, "train-labels-idx1": LABELS}
    parts |= {"t10k-images-idx3": IMAGES[:3], "t10k-labels-idx1": LABELS[:3]} if test else {}
    for name, array in parts.items():
        content = idx_bytes(array)
        file = folder / ((name.replace("-idx", ".idx") if dots else name) + "-ubyte" + ".gz" * compress)
        file.write_bytes(gzip.compress(content) if compress else content)
    return folder


CIFAR = RNG.integers(0, 256, (6, 4, 3072), dtype=np.uint8)
CLASSES = RNG.integers(0, 10, (6, 4))


def cifar_folder(folder, version):
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    inner = folder / f"cifar-10-batches-{version}"
    inner.mkdir()
    for name, pixels, labels in zip(names, CIFAR, CLASSES, strict=True):
        if version == "bin":
            content = np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1).tobytes()
            (inner / f"{name}.bin").write_bytes(content)
        else:
            content = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"x"}
            (inner / name).write_bytes(pickle.dumps(content, 2))
    names = [f"class{i}" for i in range(10)]
    (inner / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    if version == "py":
        (inner / "batches.meta").write_bytes(pickle.dumps({b"label_names": [n.encode() for n in names]}, 2))
    return folder


@pytest.mark.parametrize(
    "options", [{}, {"compress": True}, {"dots": True, "compress": True}, {"test": False}], ids=str
)
def test_idx(tmp_path, options):
    split = data.load(f"mnist:{idx_folder(tmp_path, **options)}")
    np.testing.assert_array_equal(split.x_train, IMAGES[:, None])
    np.testing.assert_array_equal(split.y_train, LABELS)
    assert split.x_test.shape == (3 if options.get("test", True) else 0, 1, 5, 4) and split.y_train.dtype == np.int64


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_dtypes_of_idx(tmp_path, code, dtype):
    array = RNG.integers(-100 if dtype[0] != "u" else 0, 100, (2, 3)).astype(dtype)
    (tmp_path / "a").write_bytes(idx_bytes(array, code))
    read = data.read_idx(tmp_path / "a")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("version", ["bin", "py"])
def test_cifar10(tmp_path, version):
    for path in (cifar_folder(tmp_path, version), tmp_path / f"cifar-10-batches-{version}"):
        split = data.cifar10(path)
        np.testing.assert_array_equal(split.x_train, CIFAR[:5].reshape(20, 3, 32, 32))
        np.testing.assert_array_equal(split.y_test, CLASSES[5])
        assert split.classes == tuple(f"class{i}" for i in range(10)) and split.x_train.dtype == np.uint8


@pytest.mark.parametrize("coarse", [False, True])
def test_cifar100(tmp_path, coarse):
    (tmp_path / "bin").mkdir()
    fine, rough = CLASSES[0] * 9, CLASSES[0]
    for name in ("train", "test"):
        rows = np.concatenate([rough[:, None], fine[:, None], CIFAR[0]], axis=1).astype(np.uint8)
        (tmp_path / "bin" / f"{name}.bin").write_bytes(rows.tobytes())
        content = {b"data": CIFAR[0], b"fine_labels": fine.tolist(), b"coarse_labels": rough.tolist()}
        (tmp_path / name).write_bytes(pickle.dumps(content, 2))
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": ["a"], "coarse_label_names": ["b"]}, 2))
    for path in (tmp_path, tmp_path / "bin"):
        split = data.cifar100(path, coarse=coarse)
        np.testing.assert_array_equal(split.y_train, rough if coarse else fine)
        np.testing.assert_array_equal(split.x_test, CIFAR[0].reshape(4, 3, 32, 32))
    assert data.cifar100(tmp_path, coarse=coarse).classes == ("b" if coarse else "a",)


@pytest.mark.parametrize(
    "keys",
    ["x_train y_train x_test y_test", "train_images train_labels test_images test_labels", "x y", "images labels"],
)
@pytest.mark.parametrize("form", ["grey", "last", "first", "float"])
def test_npz(tmp_path, keys, form):
    x = {"grey": IMAGES, "last": np.stack([IMAGES] * 3, 3), "first": np.stack([IMAGES] * 3, 1), "float": IMAGES / 255}[
        form
    ]
    y = LABELS[:, None] if form == "last" else LABELS
    np.savez_compressed(tmp_path / "a.npz", **dict(zip(keys.split(), (x, y, x[:2], y[:2]), strict=False)))
    split = data.load(f"npz:{tmp_path / 'a.npz'}")
    channels = 1 if form in ("grey", "float") else 3
    assert split.x_train.shape == (7, channels, 5, 4) and split.x_test.shape[0] == (2 if len(keys.split()) > 2 else 0)
    np.testing.assert_array_equal(split.x_train[:, 0], IMAGES / 255 if form == "float" else IMAGES)
    np.testing.assert_array_equal(split.y_train, LABELS)


@pytest.fixture
def pictures(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    for part in ("train", "val"):
        for c in ("cat", "dog"):
            (tmp_path / part / c).mkdir(parents=True)
            for i in range(3):
                Image.fromarray(np.full((6, 8, 3), 40 * i + (c == "dog"), np.uint8)).save(
                    tmp_path / part / c / f"{i}.png"
                )
    (tmp_path / "train" / "cat" / ".hidden.png").write_bytes(b"no")
    (tmp_path / "train" / "cat" / "notes.txt").write_bytes(b"no")
    return tmp_path


def test_folders_of_pictures(pictures):
    split = data.load(f"folder:{pictures}")
    assert split.classes == ("cat", "dog") and split.x_train.shape == (6, 3, 6, 8)
    np.testing.assert_array_equal(split.y_train, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(split.x_train[np.array([5, 0])][:, 0, 0, 0], [81, 0])
    np.testing.assert_array_equal(split.x_train[1:3][0], split.x_train[1])
    assert data.folder(pictures, size=4, channels=1).x_test.shape == (6, 1, 4, 4)
    batches = list(data.Loader(split.x_train, split.y_train, 4, shuffle=True, rng=0))
    assert [x.shape for x, _ in batches] == [(4, 3, 6, 8), (2, 3, 6, 8)] and batches[0][0].dtype == np.float32
    (x, y), (held, _) = data.split(split.x_train, split.y_train, 1 / 3, rng=0)
    assert (
        len(x) == 4
        and held.shape == (2, 3, 6, 8)
        and sorted(y) == [0, 0, 1, 1]
        and held[np.array([0])].shape == (1, 3, 6, 8)
    )


def test_wrong_folders_of_pictures(pictures):
    from PIL import Image

    for name, change, match in [
        ("empty", lambda: (pictures / "train" / "eel").mkdir(), "eel: got no picture of this class"),
        ("classes", lambda: (pictures / "train" / "eel" / "a.png").write_bytes((pictures / "val/cat/0.png").read_bytes()), "the class eel in one of"),
    ]:  # fmt: skip
        change()
        with pytest.raises(ValueError, match=match):
            data.folder(pictures)
        assert name
    Image.fromarray(np.zeros((5, 8), np.uint8)).save(pictures / "val" / "cat" / "9.png")
    x = data.Pictures([pictures / "val/cat/0.png", pictures / "val/cat/9.png"])
    with pytest.raises(
        ValueError, match="9.png: got a picture of 5×8 pixels where 0.png has 6×8; wanted one size, or a size"
    ):
        x[np.array([0, 1])]
    with pytest.raises(ValueError, match="channels 2"):
        data.Pictures([], channels=2)
    with pytest.raises(NotADirectoryError):
        data.folder(pictures / "nowhere")
    (pictures / "none").mkdir()
    with pytest.raises(ValueError, match="got no folders in it"):
        data.folder(pictures / "none")


def bomb():
    """A PNG of 2³⁰ pixels on a side, in 100 bytes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content", ["bomb", "cut", "text", "nothing"])
def test_hostile_pictures(pictures, content):
    whole = (pictures / "train/cat/1.png").read_bytes()
    path = pictures / "a.png"
    path.write_bytes({"bomb": bomb(), "cut": whole[:-30], "text": b"GIF no", "nothing": b""}[content])
    wanted = {"bomb": "too large", "cut": "damaged"}.get(content, "no picture that Pillow knows")
    with pytest.raises(ValueError, match=f"a.png: .*{wanted}"):
        data.read_picture(path)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def huge_array():
    """A pickle of an array that claims 2⁵⁰ entries."""
    content = pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [0]}, 2)
    return content.replace(b"K\x01M\x00\x0c", b"\x8a\x07\x00\x00\x00\x00\x00\x00\x04M\x00\x0c")


def archive(**arrays):
    held = io.BytesIO()
    np.savez(held, **arrays)
    return held.getvalue()


def forged_archive():
    """An .npz whose array claims 2⁴⁰ bytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name in ("x", "y"):
            head = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                head, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 10, 1 << 10)}
            )
            file.writestr(f"{name}.npy", head.getvalue())
    return held.getvalue()


IDX, ROW = idx_bytes(IMAGES), np.zeros(3073, np.uint8).tobytes()
HOSTILE = {
    "idx nothing": ("read_idx", b"", "got nothing at offset 0"),
    "idx of another kind": ("read_idx", b"\x89PNG\r\n", "got 89 50 4e 47 at offset 0"),
    "idx cut in its header": ("read_idx", IDX[:9], "cut short: got 9 bytes; wanted 3 sizes"),
    "idx cut": ("read_idx", IDX[:-1], r"its header says \(7, 5, 4\) of 1 bytes each, 140 in all; the file has less"),
    "idx too long": ("read_idx", IDX + b"x", "more data at offset 156"),
    "idx that claims much": ("read_idx", struct.pack(">HBB3I", 0, 8, 3, *[1 << 31] * 3) + b"x", "the file has less"),
    "idx that claims much in gzip": ("read_idx", gzip.compress(struct.pack(">HBB2I", 0, 8, 2, 1 << 20, 1 << 20)), "the file has less"),
    "idx cut in gzip": ("read_idx", gzip.compress(RNG.bytes(999))[:-20], "got .* at offset 0|cut short or damaged"),
    "idx that ends early in gzip": ("read_idx", gzip.compress(IDX[:-9]), "cut short at offset 147; wanted 156 bytes"),
    "gzip in the middle": ("read_idx", gzip.compress(IDX)[:60], "cut short or damaged"),
    "npz of another kind": ("npz", b"hello", "damaged, or another file"),
    "npz cut": ("npz", archive(x=IMAGES, y=LABELS)[:-40], "damaged, or another file"),
    "npz of other names": ("npz", archive(a=IMAGES), "got arrays a; wanted x_train and y_train; or"),
    "npz of objects": ("npz", archive(x=np.array([Evil()]), y=LABELS), "holds Python objects, which could run code"),
    "npz that claims much": ("npz", forged_archive(), r"claims 1099511627776 bytes; wanted at most"),
    "npz of lines": ("npz", archive(x=LABELS, y=LABELS), r"got x uint8 \(7,\); wanted images"),
    "npz of words": ("npz", archive(x=IMAGES, y=np.array(["a"] * 7)), r"got y <U1 \(7,\); wanted integers"),
    "npz of few labels": ("npz", archive(x=IMAGES, y=LABELS[:3]), r"labels of shape \(3,\) for 7 images"),
    "npz of negative labels": ("npz", archive(x=IMAGES, y=LABELS.astype(int) - 1), "got label -1 at 0"),
    "npz of NaNs": ("npz", archive(x=np.where(np.arange(7)[:, None, None] == 4, np.nan, IMAGES), y=LABELS), "image 4 has a NaN"),
    "npz of two shapes": ("npz", archive(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:, 1:], y_test=LABELS), "wanted one shape"),
    "cifar cut": ("cifar10", ROW[:-1], "cut short at offset 3072: got 3072 bytes; wanted records of 3073"),
    "cifar of a wrong label": ("cifar10", b"\x0b" + ROW[1:], "got label 11 at 0; wanted 0 to 9"),
    "pickle that runs code": ("cifar10", pickle.dumps({b"data": Evil()}, 2), r"asks for (posix|nt)\.mkdir, which could run code"),
    "pickle cut": ("cifar10", pickle.dumps({b"data": CIFAR[0]}, 2)[:-9], "damaged or not allowed"),
    "pickle that claims much": ("cifar10", huge_array(), "an array that is damaged"),
    "pickle of many": ("cifar10", b"\x80\x02r\xff\xff\xff\x7f.", "damaged or not allowed"),
    "pickle of a long text": ("cifar10", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.", "damaged or not allowed"),
    "pickle of a list": ("cifar10", pickle.dumps([1], 2), "got a pickled list; wanted a dictionary"),
    "pickle of no array": ("cifar10", pickle.dumps({b"data": 3}, 2), "got int as data"),
    "pickle of floats": ("cifar10", pickle.dumps({b"data": np.ones((1, 3072))}, 2), r"got float64 \(1, 3072\) as data"),
    "pickle of words": ("cifar10", pickle.dumps({b"data": CIFAR[0], b"labels": "abcd"}, 2), "got str as labels"),
    "pickle of objects": ("cifar10", pickle.dumps({b"data": np.array([None])}, 2), "dtype 'O8'; wanted numbers"),
    "pickle of few labels": ("cifar10", pickle.dumps({b"data": CIFAR[0], b"labels": [1]}, 2), r"labels of shape \(1,\) for 4 images"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, monkeypatch, name):
    """A clear error, no code run, and no memory beyond the file's size."""
    reader, content, match = HOSTILE[name]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file"
    path.write_bytes(content)
    if reader == "cifar10":
        for i in range(1, 6):
            (tmp_path / f"data_batch_{i}{'.bin' if name.startswith('cifar') else ''}").write_bytes(content)
        (tmp_path / f"test_batch{'.bin' if name.startswith('cifar') else ''}").write_bytes(content)
        path = tmp_path
    tracemalloc.start()
    try:
        with warnings.catch_warnings(), pytest.raises(ValueError, match=match) as error:
            warnings.simplefilter("error")
            getattr(data, reader)(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert str(tmp_path) in str(error.value) and not (tmp_path / "evil").exists()


def test_what_is_missing(tmp_path):
    for call, match in [
        (lambda: data.idx(tmp_path), "no train-images-idx3-ubyte and no train-labels-idx1-ubyte"),
        (
            lambda: data.cifar10(tmp_path),
            "no data_batch_1.bin and no data_batch_1; wanted the folder cifar-10-batches-bin or",
        ),
        (lambda: data.npz(tmp_path / "a.npz"), "a.npz"),
    ]:
        with pytest.raises(FileNotFoundError, match=match):
            call()
    (tmp_path / "data_batch_1.bin").write_bytes(ROW)
    with pytest.raises(FileNotFoundError, match="no data_batch_2.bin; wanted data_batch_1.bin"):
        data.cifar10(tmp_path)
    for name in ("", "imagenet", "npz", "npz:", "digits:x"):
        with pytest.raises(ValueError, match=f"got data '{name}'; wanted digits, or one of idx:PATH, mnist:PATH"):
            data.load(name)
    with pytest.raises(TypeError, match="got path 3"):
        data.read_idx(3)
