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
from minigraph.data.dataset import subset
from minigraph.data.pickle_files import read_pickle

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


NAMES = {"fine": [f"fine{i}" for i in range(100)], "coarse": [f"coarse{i}" for i in range(20)]}


@pytest.mark.parametrize("coarse", [False, True])
def test_cifar100(tmp_path, coarse):
    (tmp_path / "bin").mkdir()
    fine, rough = CLASSES[0] * 9, CLASSES[0]
    for name in ("train", "test"):
        rows = np.concatenate([rough[:, None], fine[:, None], CIFAR[0]], axis=1).astype(np.uint8)
        (tmp_path / "bin" / f"{name}.bin").write_bytes(rows.tobytes())
        content = {b"data": CIFAR[0], b"fine_labels": fine.tolist(), b"coarse_labels": rough.tolist()}
        (tmp_path / name).write_bytes(pickle.dumps(content, 2))
    (tmp_path / "meta").write_bytes(pickle.dumps({f"{kind}_label_names": names for kind, names in NAMES.items()}, 2))
    for path in (tmp_path, tmp_path / "bin"):
        split = data.cifar100(path, coarse=coarse)
        np.testing.assert_array_equal(split.y_train, rough if coarse else fine)
        np.testing.assert_array_equal(split.x_test, CIFAR[0].reshape(4, 3, 32, 32))
    assert data.cifar100(tmp_path, coarse=coarse).classes == tuple(NAMES["coarse" if coarse else "fine"])


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
        ("empty", lambda: (pictures / "train" / "eel").mkdir(), "eel: contains no pictures of this class"),
        ("classes", lambda: (pictures / "train" / "eel" / "a.png").write_bytes((pictures / "val/cat/0.png").read_bytes()), "the class eel in only one of"),
    ]:  # fmt: skip
        change()
        with pytest.raises(ValueError, match=match):
            data.folder(pictures)
        assert name
    Image.fromarray(np.zeros((5, 8), np.uint8)).save(pictures / "val" / "cat" / "9.png")
    x = data.Pictures([pictures / "val/cat/0.png", pictures / "val/cat/9.png"])
    with pytest.raises(
        ValueError, match="9.png: got a picture of 5×8 pixels where the others have 6×8; wanted pictures of one size"
    ):
        x[np.array([0, 1])]
    for call in (lambda: data.Pictures([], channels=2), lambda: data.read_picture("a.png", channels=2)):
        with pytest.raises(ValueError, match="channels 2; wanted 1"):
            call()
    with pytest.raises(NotADirectoryError):
        data.folder(pictures / "nowhere")
    (pictures / "none").mkdir()
    with pytest.raises(ValueError, match="contains no folders"):
        data.folder(pictures / "none")


def test_fingerprints_of_folders(pictures):
    """They follow names, sizes of files, labels and the size of images, not where the folder is."""

    def found(root=pictures, **options):
        return data.fingerprint(data.folder(root, **options))

    known, part = found(), data.split(*data.folder(pictures)[:2], 0.5, 0)[0]
    assert found(size=4) != known and data.fingerprint(part) != data.fingerprint(data.folder(pictures)[:2])
    moved = pictures.rename(pictures.with_name("moved"))
    assert found(moved) == known
    picture = moved / "train/dog/1.png"
    content = picture.read_bytes()
    for other in (content + b"\0", content[:-1] + b"\0"):
        picture.write_bytes(other)
        assert found(moved) != known
    picture.write_bytes(content)
    assert found(moved) == known
    picture.rename(moved / "train/dog/3.png")
    assert found(moved) != known


def test_pictures_of_several_sizes(pictures):
    """Are refused by name where no size is given, in parts too; a size makes them one."""
    from PIL import Image

    Image.fromarray(np.zeros((12, 8), np.uint8)).save(pictures / "train/cat/2.png")
    split = data.folder(pictures)
    for x in (split.x_train, split.x_train[1:], subset(split.x_train, np.array([4, 2]))):
        with pytest.raises(ValueError, match="2.png: got a picture of 12×8 pixels where the others have 6×8; wanted"):
            x[np.arange(len(x))]
    assert data.folder(pictures, size=(3, 5)).x_train[np.arange(6)].shape == (6, 3, 3, 5)
    for size, error in [
        (0, ValueError),
        ((4,), ValueError),
        ((4, -1), ValueError),
        ("4", TypeError),
        (True, TypeError),
    ]:
        with pytest.raises(error, match="folder: got size"):
            data.folder(pictures, size=size)
    loader = data.Loader(
        *data.split(*data.folder(pictures, size=4)[:2], 0.4, 0)[1], transform=lambda x, y, rng: x, rng=0
    )
    with pytest.raises(ValueError, match=r"in batch 0, which begins with image 0, .*train.cat.\d\.png$"):
        list(loader)
    assert repr(split) == "Split(6 images (3, 6, 8) uint8 to learn from, 6 held out, 2 classes (cat, dog))"
    for part in ("train", "val"):
        for c in ("cat", "dog"):
            Image.fromarray(np.zeros((6 + (part == "val"), 8), np.uint8)).save(pictures / part / c / "0.png")
    with pytest.raises(
        ValueError, match=r"val: got test images of shape \(3, 7, 8\); wanted \(3, 6, 8\), as in .*train"
    ):
        data.folder(pictures)


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
    wanted = {"bomb": "decompression bomb", "cut": "truncated"}.get(content, "cannot identify image file")
    with pytest.raises(ValueError, match=f"a.png: damaged, or not a picture that Pillow can read: .*{wanted}"):
        data.read_picture(path)


def test_a_picture_that_claims_much(tmp_path):
    """Memory is that of the file, though its chunk of pixels claims 2³² bytes."""
    content = written("png")
    (tmp_path / "a.png").write_bytes(content[:33] + b"\xff" * 4 + content[37:])
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(data.read_picture(tmp_path / "a.png", channels=1)[0], IMAGES[0])
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def huge_array():
    """A pickle of an array that claims 2⁴² entries."""
    content = pickle.dumps({b"data": CIFAR[0], b"labels": [0]}, 2)
    return content.replace(b"K\x04M\x00\x0c", b"J\xff\xff\xff\x7fM\x00\x0c")


def archive(**arrays):
    held = io.BytesIO()
    np.savez(held, **arrays)
    return held.getvalue()


HEAD = b"{'descr': '|u1', 'fortran_order': False, 'shape': %s, }\n"


def archive_of(head, method=zipfile.ZIP_DEFLATED):
    """An .npz whose array x has this header, and no data."""
    held, y = io.BytesIO(), io.BytesIO()
    np.save(y, LABELS)
    with zipfile.ZipFile(held, "w", method) as file:
        file.writestr("x.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", len(head)) + head)
        file.writestr("y.npy", y.getvalue())
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


def again_and_again():
    """A pickle that encodes one string many times."""
    text = b"X" + struct.pack("<I", 1 << 16) + b"a" * (1 << 16)
    begin = b"\x80\x02c_codecs\nencode\nq\x00" + text + b"X\x06\0\0\0latin1\x86q\x01]"
    return begin + (b"h\x00h\x01R" * 9999) + b"."


IDX, ROW = idx_bytes(IMAGES), np.zeros(3073, np.uint8).tobytes()
HOSTILE = {
    "idx nothing": ("read_idx", b"", "got nothing at offset 0"),
    "idx of another kind": ("read_idx", b"\x89PNG\r\n", "got 89 50 4e 47 at offset 0"),
    "idx cut in its header": ("read_idx", IDX[:9], "truncated IDX header: got 9 bytes; wanted 16, for 3 sizes"),
    "idx cut": ("read_idx", IDX[:-1], r"truncated IDX file: ends at offset 155; wanted 156 bytes for \(7, 5, 4\)"),
    "idx too long": ("read_idx", IDX + b"x", "more data at offset 156"),
    "idx that claims much": ("read_idx", struct.pack(">HBB3I", 0, 8, 3, *[1 << 31] * 3) + b"x", "its header claims 9903520314283042199192993792 bytes, .*; wanted at most 4294967296"),
    "idx that claims much in gzip": ("read_idx", gzip.compress(struct.pack(">HBB2I", 0, 8, 2, 1 << 16, 1 << 15)), "ends at offset 12; wanted 2147483660"),
    "idx cut in gzip": ("read_idx", gzip.compress(RNG.bytes(999))[:-20], "got .* at offset 0|damaged, or not an IDX file"),
    "idx that ends early in gzip": ("read_idx", gzip.compress(IDX[:-9]), "ends at offset 147; wanted 156 bytes"),
    "gzip in the middle": ("read_idx", gzip.compress(IDX)[:60], "damaged, or not an IDX file, plain or compressed by gzip: Compressed file ended"),
    "npz of another kind": ("npz", b"hello", "damaged, or not an .npz archive of images and labels: File is not a zip file"),
    "npz cut": ("npz", archive(x=IMAGES, y=LABELS)[:-40], "damaged, or not an .npz archive"),
    "npz of other names": ("npz", archive(a=IMAGES), "got arrays a; wanted x_train and y_train, or"),
    "npz of objects": ("npz", archive(x=np.array([Evil()]), y=LABELS), "holds Python objects, which could run code"),
    "npz that claims much": ("npz", forged_archive(), r"x.npy claims 1099511627776 bytes, .*; wanted at most"),
    "npz of lines": ("npz", archive(x=LABELS, y=LABELS), r"x: got uint8 \(7,\); wanted images"),
    "npz of words": ("npz", archive(x=IMAGES, y=np.array(["a"] * 7)), r"y: got labels of <U1 \(7,\); wanted integers"),
    "npz of few labels": ("npz", archive(x=IMAGES, y=LABELS[:3]), r"labels of shape \(3,\) for 7 images"),
    "npz of a deep header": ("npz", archive_of(b"(" * 5000), "x.npy: damaged, or not a NumPy array"),
    "npz of an open header": ("npz", archive_of(b"{'descr': '|u1', (\n"), "x.npy: damaged, or not a NumPy array"),
    "npz of a long header": ("npz", archive_of(b" " * 60000), "x.npy: damaged, or not a NumPy array"),
    "npz of a header of much space": ("npz", archive_of(b" " * (1 << 24)), "x.npy: damaged, or not a NumPy array: EOF"),
    "npz that claims a little more": ("npz", archive_of(HEAD % b"1 << 30"), "x.npy: damaged, or not a NumPy array"),
    "npz that claims more": ("npz", archive_of(HEAD % b"(1073741824, 1, 1)"), "got only 0 bytes of data; wanted 1073741824 for uint8"),
    "npz of negative sizes": ("npz", archive_of(HEAD % b"(-2, -2, 1)"), r"claims 4 bytes, \(-2, -2, 1\)"),
    "npz of no pixels": ("npz", archive_of(HEAD % b"(1099511627776, 0, 5)"), r"got images of shape \(1, 0, 5\); wanted at least one pixel"),
    "npz of bytes changed": ("npz", archive(x=IMAGES, y=LABELS).replace(IMAGES.tobytes(), bytes(140)), "x.npy: damaged, or not a NumPy array: Bad CRC-32"),
    "npz by LZMA": ("npz", archive_of(b"", zipfile.ZIP_LZMA), r"x.npy is compressed by method 14; wanted 0 \(stored\) or 8 \(deflated\)"),
    "npz of no images": ("npz", archive(x=IMAGES[:0] / 255, y=LABELS[:0]), "x: got no images; wanted at least one"),
    "npz of half a test": ("npz", archive(x_train=IMAGES, y_train=LABELS, x_test=IMAGES), "got x_test without y_test"),
    "npz of negative labels": ("npz", archive(x=IMAGES, y=LABELS.astype(int) - 1), "got label -1 at position 0"),
    "npz of NaNs": ("npz", archive(x=np.where(np.arange(7)[:, None, None] == 4, np.nan, IMAGES), y=LABELS), "image 4 has a NaN"),
    "npz of two shapes": ("npz", archive(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:, 1:], y_test=LABELS), r"x_test: got test images of shape \(1, 4, 4\); wanted \(1, 5, 4\), as in .*x_train"),
    "cifar cut": ("cifar10", ROW[:-1], "truncated: got 3072 bytes; wanted whole records of 3073 bytes"),
    "cifar of a wrong label": ("cifar10", b"\x0b" + ROW[1:], "got label 11 at position 0; wanted an integer from 0 to 9"),
    "pickle that runs code": ("cifar10", pickle.dumps({b"data": Evil()}, 2), r"got a reference to (posix|nt)\.mkdir, which could run code"),
    "pickle cut": ("cifar10", pickle.dumps({b"data": CIFAR[0]}, 2)[:-9], "damaged, or not a pickle of CIFAR's Python version: truncated at offset"),
    "pickle that claims much": ("cifar10", huge_array(), "12288 bytes, which do not fit the array's shape"),
    "pickle of many": ("cifar10", b"\x80\x02r\xff\xff\xff\x7f.", "damaged, or not a pickle"),
    "pickle of a list": ("cifar10", pickle.dumps([1], 2), "got a pickled list; wanted a dictionary"),
    "pickle of no array": ("cifar10", pickle.dumps({b"data": 3}, 2), "got int as data"),
    "pickle of floats": ("cifar10", pickle.dumps({b"data": np.ones((1, 3072))}, 2), "got an array of dtype 'f8'; wanted unsigned bytes"),
    "pickle of words": ("cifar10", pickle.dumps({b"data": CIFAR[0], b"labels": "abcd"}, 2), "got str as labels"),
    "pickle of objects": ("cifar10", pickle.dumps({b"data": np.array([None])}, 2), "dtype 'O8'; wanted unsigned bytes"),
    "pickle of nested lists": ("cifar10", pickle.dumps({b"label_names": [[b"a"]]}, 2), "got a list of other types; wanted lists of integers and strings"),
    "pickle of tuple keys": ("cifar10", pickle.dumps({(b"a", b"b"): 1}, 2), "got keys of other types"),
    "pickle of a dictionary inside": ("cifar10", pickle.dumps({b"a": {}}, 2), "got a dict in the dictionary; wanted"),
    "pickle of a long buffer": ("cifar10", b"\x80\x05\x96" + struct.pack("<Q", 1 << 31) + b"x.", r"got opcode b'\\x96' at offset 2"),
    "pickle of a long string": ("cifar10", b"\x80\x02T" + struct.pack("<i", 2**31 - 1) + b"x.", "wanted 2147483647 bytes from offset 7"),
    "pickle of a long frame": ("cifar10", b"\x80\x04\x95" + b"\xff" * 8 + b"]" * 99, "truncated at offset 110"),
    "pickle that changes a function": ("cifar10", b"\x80\x02c_codecs\nencode\n}U\x0c__defaults__U\x05utf16\x85sb.", "got a state for '_codecs.encode'|got a tuple in"),
    "pickle that changes a class": ("cifar10", b"\x80\x02cnumpy\nndarray\n}b.", "got a state for 'numpy.ndarray'; wanted states for arrays only"),
    "pickle that calls a class": ("cifar10", b"\x80\x02cnumpy\nndarray\n)R.", "got a call to 'numpy.ndarray'"),
    "pickle that encodes again and again": ("cifar10", again_and_again(), "a string is encoded more than once"),
    "pickle of a huge label": ("cifar10", pickle.dumps({b"data": CIFAR[0], b"labels": [1, 2, 3, 1 << 70]}, 2), r"labels of object \(4,\); wanted integers"),
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


def label_files(kind, folder, labels):
    """Write seven images with these labels; returns what reads them."""
    if kind == "npz":
        np.savez(folder / "a.npz", x=IMAGES, y=labels)
        return lambda: data.npz(folder / "a.npz")
    if kind == "idx":
        idx_folder(folder)
        code = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}[labels.dtype.str[1:]]
        (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels, code))
        return lambda: data.idx(folder)
    if kind == "pickle":
        content = {b"data": np.zeros((7, 3072), np.uint8), b"fine_labels": labels.tolist()}
        (folder / "train").write_bytes(pickle.dumps(content, 2))
        (folder / "test").write_bytes(pickle.dumps(content, 2))
        return lambda: data.cifar100(folder)
    return lambda: {"loader": data.Loader, "split": lambda x, y: data.split(x, y, 0.5, 0)}[kind](
        IMAGES[:, None], labels
    )


@pytest.mark.parametrize("kind", ["npz", "idx", "loader", "split", "pickle"])
def test_labels_that_are_no_classes(tmp_path, kind):
    """All readers refuse them, and say which label, where, and what is possible."""
    most = 99 if kind == "pickle" else 9999
    wrong = [(most + 1, "i4"), (40_000, "i4"), (-1, "i2")]
    if kind not in ("loader", "pickle"):  # a Loader has floats as targets of regression
        wrong += [(0.5, "f4"), (np.nan, "f8"), (-1.0, "f8"), (np.inf, "f8"), (40_000.0, "f4")]
    for value, dtype in wrong:
        labels = LABELS.astype(dtype)
        labels[4] = value
        with pytest.raises(ValueError, match=f"got label {value} at position 4; wanted an integer from 0 to {most}$"):
            label_files(kind, tmp_path, labels)()
    if kind in ("npz", "idx"):
        whole = label_files(kind, tmp_path, LABELS.astype("f8"))()
        np.testing.assert_array_equal(whole.y_train, LABELS)
        assert whole.y_train.dtype == np.int64


@pytest.mark.parametrize(
    ("part", "array", "code", "match"),
    [
        ("t10k-images-idx3", IMAGES[:3, 1:], 8, r"got test images of shape \(1, 4, 4\); wanted \(1, 5, 4\), as in .*train-im"),
        ("train-images-idx3", IMAGES[:, :0], 8, r"train-images-idx3-ubyte: got images of shape \(1, 0, 4\); wanted at least one"),
        ("train-images-idx3", IMAGES[:0], 8, "train-images-idx3-ubyte: got no images"),
        ("train-images-idx3", IMAGES.astype("i2"), 11, r"got int16 \(7, 5, 4\); wanted images .* of uint8 or floats"),
        ("train-images-idx3", np.full((7, 5, 4), np.nan), 14, "train-images-idx3-ubyte: image 0 has a NaN"),
        ("train-images-idx3", LABELS, 8, r"got an array of shape \(7,\); wanted images \(N, H, W\)"),
        ("train-labels-idx1", LABELS[:4], 8, r"train-labels-idx1-ubyte: got labels of shape \(4,\) for 7 images"),
    ],
)  # fmt: skip
def test_idx_files_that_do_not_fit(tmp_path, part, array, code, match):
    idx_folder(tmp_path)
    (tmp_path / f"{part}-ubyte").write_bytes(idx_bytes(array, code))
    with pytest.raises(ValueError, match=match):
        data.idx(tmp_path)


@pytest.mark.parametrize("reader", ["npz", "read_idx", "read_picture", "idx", "cifar10", "cifar10 names"])
@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a device"])
def test_files_that_are_not_regular(tmp_path, reader, kind):
    """They are refused at once: reading them might never end."""
    if kind == "a device" and not os.path.exists("/dev/zero"):
        pytest.skip("this system has no /dev/zero")
    path = {"idx": idx_folder(tmp_path) / "t10k-labels-idx1-ubyte"}.get(reader, tmp_path / "a.npz")
    if reader.startswith("cifar10"):
        folder = cifar_folder(tmp_path, "py") / "cifar-10-batches-py"
        path = folder / ("batches.meta" if reader.endswith("names") else "data_batch_3")
    path.unlink(missing_ok=True)
    {"a folder": path.mkdir, "a pipe": lambda: os.mkfifo(path), "a device": lambda: path.symlink_to("/dev/zero")}[
        kind
    ]()
    with pytest.raises(ValueError, match=f"{path}: got {kind}, which is not a regular file; wanted "):
        getattr(data, reader.split()[0])(tmp_path if reader.startswith(("idx", "cifar")) else path)


@pytest.mark.parametrize("names", [["a"], [b"a"] * 11, [b"a"] * 9 + [3], [b"a"] * 9 + [b"a" * 101], "abcdefghij", None])
def test_class_names(tmp_path, names):
    """As many as there are classes, short, and strings; else the file is named."""
    inner = cifar_folder(tmp_path, "py") / "cifar-10-batches-py"
    (inner / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}, 2))
    with pytest.raises(ValueError, match="batches.meta: got .* label_names"):
        data.cifar10(tmp_path)
    (inner / "batches.meta").write_bytes(pickle.dumps({b"label_names": b"a" * (1 << 17)}, 2))
    with pytest.raises(ValueError, match="batches.meta: got more than 65536 bytes"):
        data.cifar10(tmp_path)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_of_all_protocols(tmp_path, protocol):
    """The contents, as pickle reads them, in both orders of arrays and from NumPy 1 and 2; the caller may change them."""
    for order in "CF":
        content = {
            "data": np.asarray(CIFAR[0], order=order),
            b"labels": [3, 300, 1 << 20, -1],
            "n": None,
            "names": ["é", b"b"],
        }
        pickled = pickle.dumps(content, protocol)
        for old in (pickled, pickled.replace(b"numpy._core", b"numpy.core")) if protocol < 4 else (pickled,):
            (tmp_path / "a").write_bytes(old)
            read = read_pickle(tmp_path / "a", 1 << 20)
            np.testing.assert_array_equal(read.pop("data"), CIFAR[0])
            assert read == {"labels": [3, 300, 1 << 20, -1], "n": None, "names": ["é", b"b"]}


def test_pickles_of_python_2(tmp_path):
    """As its cPickle wrote CIFAR's files: strings of bytes, NumPy's old names, -1 and longs."""
    begin = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x06K\x09\x8a\x01\x05eU\x09filenamesq\x04]q\x05(U\x05a.pngq\x06e"
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x08cnumpy\nndarray\nq\x09K\x00\x85U\x01b\x87Rq\x0a(K\x01K\x02K\x03\x86"
    dtype = b"cnumpy\ndtype\nq\x0bU\x02u1K\x00K\x01\x87Rq\x0c(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    (tmp_path / "a").write_bytes(begin + b"U\x04dataq\x07" + array + dtype + b"\x89T\x06\0\0\0abcdef" + b"tbu.")
    read = read_pickle(tmp_path / "a", 1000)
    np.testing.assert_array_equal(read.pop("data"), np.frombuffer(b"abcdef", np.uint8).reshape(2, 3))
    assert read == {"labels": [6, 9, 5], "filenames": [b"a.png"]}


def written(format):
    """A picture as bytes."""
    Image, held = pytest.importorskip("PIL.Image"), io.BytesIO()
    Image.fromarray(np.repeat(IMAGES[0][..., None], 3, 2)).save(held, format)
    return held.getvalue()


VALID = {
    "idx": ("read_idx", lambda: IDX),
    "idx of floats": ("read_idx", lambda: idx_bytes(IMAGES / 255, 0x0E)),
    "idx in gzip": ("read_idx", lambda: gzip.compress(IDX)),
    "npz": ("npz", lambda: archive(x=IMAGES, y=LABELS)),
    "npz of floats": ("npz", lambda: archive(x=np.asfortranarray(IMAGES / 255), y=LABELS * 1.0)),
    "npz, deflated": ("npz", lambda: archive_of(HEAD % b"(7, 5, 4)")),
    "pickle": ("cifar10", lambda: pickle.dumps({b"labels": CLASSES[0].tolist(), b"data": CIFAR[0]}, 2)),
    "pickle of names": ("names", lambda: pickle.dumps({b"label_names": [f"class{i}" for i in range(10)]}, 4)),
    "cifar": ("cifar10", lambda: ROW),
    "png": ("read_picture", lambda: written("png")),
    "gif": ("read_picture", lambda: written("gif")),
}


def mutations(content, n, rng):
    """``content`` with bytes and bits changed, cut off, put in, and numbers made large."""
    for _ in range(n):
        changed, i = bytearray(content), int(rng.integers(len(content)))
        kind = rng.integers(5)
        if kind == 0:
            for j in rng.integers(len(content), size=rng.integers(1, 4)):
                changed[j] = rng.integers(256)
        elif kind == 1:
            changed[i] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            del changed[i:]
        elif kind == 3:
            changed[i:i] = rng.bytes(rng.integers(1, 9))
        else:
            changed[i : i + 4] = rng.choice([b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80\0\0\0"])
        yield bytes(changed)


@pytest.mark.parametrize("name", VALID)
def test_damaged_files(tmp_path, name):
    """Whatever is damaged: a ValueError that names the file, or arrays; never much memory."""
    reader, content = VALID[name]
    path, folder = tmp_path / "a", tmp_path
    if reader in ("cifar10", "names"):
        folder = cifar_folder(tmp_path, "bin" if name == "cifar" else "py")
        folder = folder / ("cifar-10-batches-bin" if name == "cifar" else "cifar-10-batches-py")
        path = folder / {"cifar": "data_batch_1.bin", "pickle": "data_batch_1"}.get(name, "batches.meta")
    read = getattr(data, reader.replace("names", "cifar10"))
    tracemalloc.start()
    try:
        for changed in mutations(content(), 100, np.random.default_rng(0)):
            path.write_bytes(changed)
            try:
                read(folder if path.parent != tmp_path else path)
            except ValueError as error:
                assert str(path) in str(error) and len(str(error)) < 600
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


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
