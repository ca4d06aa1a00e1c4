"""Transforms against what they say, and loaders: orders, balance, prefetching, reproducibility, errors."""

import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from scipy import ndimage

from minigraph import data
from minigraph.data import transforms as T

RNG = np.random.default_rng(0)
X = RNG.random((6, 3, 9, 7), np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])

ALL = [
    T.Normalize([0.1, 0.2, 0.3], [1, 2, 3]), T.Pad(2), T.Resize((5, 12)), T.Resize(4), T.CenterCrop(5), T.RandomCrop(4),
    T.RandomCrop(padding=2), T.RandomResizedCrop((6, 5)), T.RandomHorizontalFlip(), T.RandomVerticalFlip(0.9),
    T.RandomAffine(20, (0.1, 0.2), (0.8, 1.2)), T.RandomRotation(30), T.ColorJitter(0.3, 0.3, 0.3, 0.2), T.Cutout(3),
    T.LabelSmoothing(3), T.Mixup(3), T.Compose([T.RandomCrop(padding=1), T.Mixup(3, 1.0)]),
]  # fmt: skip


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_every_transform(transform):
    """It repeats for a seed, differs for another if it is random, keeps its input and the dtype, works image by image."""
    before = X.copy()
    for dtype in (np.float32, np.float64):
        x, y = transform(X.astype(dtype), Y, np.random.default_rng(1))
        again, labels = transform(X.astype(dtype), Y, np.random.default_rng(1))
        other, _ = transform(X.astype(dtype), Y, np.random.default_rng(2))
        np.testing.assert_array_equal(x, again)
        np.testing.assert_array_equal(y, labels)
        assert x.dtype == dtype and x.shape[:2] == (6, 3) and np.isfinite(x).all() and len(y) == 6
        assert transform.random == (not np.array_equal(x, other))
    np.testing.assert_array_equal(X, before)
    if transform.random:
        with pytest.raises(TypeError, match="got no rng"):
            transform(X, Y)


def test_each_image_is_changed_by_a_chance_of_its_own():
    same = np.repeat(X[:1], 40, axis=0)
    for transform in ALL:
        if transform.random and not isinstance(transform, (T.Mixup, T.Compose)):
            x, _ = transform(same, np.zeros(40, int), np.random.default_rng(0))
            assert len(np.unique(x.reshape(40, -1), axis=0)) > 1, transform


def test_normalisation():
    x, _ = T.Normalize.fit(X)(X, None)
    np.testing.assert_allclose(x.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=(0, 2, 3)), 1, rtol=1e-5)
    found = T.Normalize.fit((X * 255).astype(np.uint8))
    np.testing.assert_allclose(found.mean, X.mean(axis=(0, 2, 3)), atol=5e-3)


def test_crops_flips_and_cut_outs():
    padded = np.pad(X, [(0, 0), (0, 0), (2, 2), (2, 2)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, X.shape[2:], (2, 3))
    x, _ = T.RandomCrop(padding=2)(X, None, RNG)
    for image, places in zip(x, windows, strict=True):
        assert (places == image[:, None, None]).all(axis=(0, 3, 4)).any()
    np.testing.assert_array_equal(T.CenterCrop(5)(X, None)[0], X[:, :, 2:7, 1:6])
    np.testing.assert_array_equal(T.RandomHorizontalFlip(1)(X, None, RNG)[0], X[..., ::-1])
    np.testing.assert_array_equal(T.RandomVerticalFlip(1)(X, None, RNG)[0], X[:, :, ::-1])
    np.testing.assert_array_equal(T.RandomHorizontalFlip(0)(X, None, RNG)[0], X)
    many = np.ones((400, 1, 8, 8), np.float32)
    holes = (T.Cutout(4)(many, None, RNG)[0] == 0).sum(axis=(1, 2, 3))
    assert holes.max() == 16 and holes.min() == 4
    flipped = (T.RandomHorizontalFlip()(np.tile(np.arange(8.0), (400, 1, 8, 1)), None, RNG)[0][:, 0, 0, 0] > 0).mean()
    assert 0.4 < flipped < 0.6


def test_resizing_is_that_of_others():
    enlarged, _ = T.Resize((18, 14))(X, None)
    np.testing.assert_allclose(  # grid_mode puts pixels at half integers, as images have them
        enlarged, ndimage.zoom(X, (1, 1, 2, 2), order=1, grid_mode=True, mode="nearest"), atol=1e-5
    )
    smooth = ndimage.gaussian_filter(RNG.random((1, 1, 64, 64)), (0, 0, 6, 6))
    reduced, _ = T.Resize(16)(smooth, None)
    np.testing.assert_allclose(reduced, smooth.reshape(1, 1, 16, 4, 16, 4).mean(axis=(3, 5)), atol=2e-3)
    assert T.Resize(4)(X, None)[0].shape == (6, 3, 5, 4) and T.Resize((9, 7))(X, None)[0] is not None


def test_rotations_are_scipys():
    turn = T.RandomRotation(30)
    angles = np.degrees(np.radians(np.random.default_rng(5).uniform(-30, 30, 6)))
    x, _ = turn(X, None, np.random.default_rng(5))
    for image, got, angle in zip(X, x, angles, strict=True):
        wanted = ndimage.rotate(image, -angle, (1, 2), reshape=False, order=1)
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    larger = T.RandomAffine(0, 0, (2.0, 2.0))(X, None, RNG)[0]
    np.testing.assert_allclose(larger[:, :, 4, 3], X[:, :, 4, 3], atol=1e-6)  # the middle stays


def test_colours():
    grey = np.repeat(X[:, :1], 3, axis=1)
    np.testing.assert_allclose(T.ColorJitter(saturation=1.0, hue=0.5)(grey, None, RNG)[0], grey, atol=2e-3)
    rng = np.random.default_rng(3)
    factor = np.random.default_rng(3).uniform(0.5, 1.5, (6, 1, 1, 1))
    np.testing.assert_allclose(T.ColorJitter(0.5)(X, None, rng)[0], np.clip(X * factor, 0, 1), rtol=1e-6)
    mean = (X @ np.zeros((7, 0))).sum()  # no entries: 0
    contrast = T.ColorJitter(contrast=1.0)(X, None, np.random.default_rng(4))[0]
    assert mean == 0 and 0 <= contrast.min() and contrast.max() <= 1
    turned = T.ColorJitter(hue=0.5)(X, None, np.random.default_rng(4))[0]
    assert np.abs(turned - X).max() > 0.1


def test_labels():
    x, t = T.Mixup(3, 1.0)(X, Y, np.random.default_rng(0))
    np.testing.assert_allclose(t.sum(axis=1), 1, rtol=1e-6)
    for image, row in zip(x, t, strict=True):  # a combination of two images with the weights of the labels
        weights = np.linalg.lstsq(X.reshape(6, -1).T.astype(float), image.ravel(), rcond=None)[0]
        np.testing.assert_allclose([weights[c == Y].sum() for c in range(3)], row, atol=1e-4)
    np.testing.assert_allclose(T.LabelSmoothing(3, 0.3)(X, Y)[1][0], [0.8, 0.1, 0.1], rtol=1e-6)
    smooth = T.Compose([T.Mixup(3), T.LabelSmoothing(3)])(X, Y, RNG)[1]
    np.testing.assert_allclose(smooth.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: T.Normalize([0.5], [0]), r"std \[0.0\]; wanted numbers above 0 .*all images are the same"),
        (lambda: T.Normalize.fit(np.zeros((3, 1, 4, 4))), "all images are the same"),
        (lambda: T.Normalize([np.nan], [1]), r"mean \[nan\]; wanted finite numbers"),
        (lambda: T.Normalize.fit(X[:0]), "Normalize.fit: got no images; wanted at least one"),
        (lambda: T.Normalize.fit(X[0]), r"Normalize.fit: got images of shape \(3, 9, 7\); wanted \(N, C, H, W\)"),
        (lambda: T.Normalize([1, 2], [1]), "2 means and 1 standard deviations"),
        (lambda: T.Normalize([1, 2], [1, 1])(X, None), "3 channels; wanted 2"),
        (lambda: T.CenterCrop(10)(X, None), "images of 9×7; wanted at least 10×10"),
        (lambda: T.RandomCrop(8)(X, None, RNG), "images of 9×7; wanted at least 8×8"),
        (lambda: T.RandomHorizontalFlip(2), "p 2; wanted a number from 0 to 1"),
        (lambda: T.RandomAffine(-1), "degrees -1"),
        (
            lambda: T.RandomAffine(scale=(1.1, 0.9)),
            r"scale \(1.1, 0.9\); wanted two numbers above 0, the smaller first",
        ),
        (lambda: T.Cutout(0), "size 0; wanted an integer of at least 1"),
        (lambda: T.ColorJitter(hue=0.6), "hue 0.6; wanted a number from 0 to 0.5"),
        (lambda: T.RandomRotation(361), "degrees 361; wanted a number from 0 to 360"),
        (lambda: T.RandomAffine(0, (1, 0, 0)), r"translate \(1, 0, 0\); wanted a number or two"),
        (lambda: T.Mixup(3, 0), "alpha 0"),
        (lambda: T.Mixup(2)(X, Y, RNG), "labels from 0 to 2; wanted 0 to 1"),
        (lambda: T.Resize((1, 2, 3)), r"size \(1, 2, 3\)"),
        (lambda: T.Pad(1)(X[0], None), r"images of shape \(3, 9, 7\); wanted \(N, C, H, W\)"),
    ],
)
def test_wrong_transforms(call, match):
    with pytest.raises(ValueError, match=match):
        call()


NUMBERS = [
    (T.RandomHorizontalFlip, "p"), (T.RandomAffine, "degrees"), (T.RandomAffine, "translate"), (T.RandomAffine, "fill"),
    (T.ColorJitter, "hue"), (T.ColorJitter, "contrast"), (lambda **o: T.Cutout(1, **o), "fill"), (lambda **o: T.Pad(1, **o), "fill"),
    (lambda **o: T.RandomCrop(1, **o), "fill"), (lambda **o: T.Mixup(3, **o), "alpha"), (lambda **o: T.LabelSmoothing(3, **o), "epsilon"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "name"), NUMBERS)
@pytest.mark.parametrize("value", ["a", None, b"2", 1j, True])
def test_settings_that_are_no_numbers(made, name, value):
    with pytest.raises(TypeError, match=rf"^[A-Z]\w+: got {name} {re.escape(repr(value))}; wanted a number"):
        made(**{name: value})


PROBABILITIES = np.full((6, 3), 1 / 3, np.float32)


@pytest.mark.parametrize("transform", [T.LabelSmoothing(3), T.Mixup(3)], ids=repr)
@pytest.mark.parametrize(
    "labels",
    [Y > 0, Y * 1.0, Y.astype(str), Y.astype(object), Y * 1j, Y[:5], Y[:, None], PROBABILITIES[:, :2], PROBABILITIES[0], None],
)  # fmt: skip
def test_labels_that_transforms_cannot_take(transform, labels):
    a = np.asarray(labels)
    wanted = rf"^{type(transform).__name__}: got labels of {a.dtype} {re.escape(str(a.shape))}; wanted integers \(6,\), or prob"
    with pytest.raises(TypeError, match=wanted):
        transform(X, labels, RNG)
    assert transform(X, PROBABILITIES, RNG)[1].shape == transform(X, Y.astype(np.uint8), RNG)[1].shape == (6, 3)


@pytest.mark.parametrize("transform", ALL, ids=repr)
@pytest.mark.parametrize("dtype", ["u1", "i8", "?", "O", "c8"])
def test_images_that_transforms_cannot_take(transform, dtype):
    with pytest.raises(TypeError, match=f"got images of {np.dtype(dtype)}; wanted floats"):
        transform(X.astype(dtype), Y, RNG)
    with pytest.raises((TypeError, ValueError), match="got int as rng|got images"):
        transform(X if transform.random else X[0], Y, 3)


# --- batches -----------------------------------------------------------------------------------------------

N = 23
IMAGES = np.arange(N * 4, dtype=np.uint8).reshape(N, 1, 2, 2)
LABELS = np.arange(N) % 5


def batches(*args, **options):
    return list(data.Loader(IMAGES, LABELS, 5, *args, **options))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_do_not_depend_on_who_prepares_them(workers):
    options = {
        "shuffle": True,
        "rng": 3,
        "transform": [T.RandomHorizontalFlip(), lambda x, y, rng: (x + rng.random(), y)],
    }
    plain, loader = (
        data.Loader(IMAGES, LABELS, 5, num_workers=0, **options),
        data.Loader(IMAGES, LABELS, 5, num_workers=workers, **options),
    )
    seen = []
    for epoch in range(3):
        mine, wanted = list(loader), list(plain.batches(epoch))
        for (x, y), (a, b) in zip(mine, wanted, strict=True):
            np.testing.assert_array_equal(x, a)
            np.testing.assert_array_equal(y, b)
        for start in (1, 4, 5):  # from the middle of an epoch
            for (x, y), (a, b) in zip(loader.batches(epoch, start), wanted[start:], strict=True):
                np.testing.assert_array_equal(x, a)
                np.testing.assert_array_equal(y, b)
        seen.append(np.concatenate([y for _, y in mine]))
    assert sorted(seen[0]) == sorted(LABELS) and not np.array_equal(seen[0], seen[1])
    assert not [t for t in threading.enumerate() if t.name.startswith("minigraph-loader")]


def test_sizes_orders_and_dtypes():
    assert [len(y) for _, y in batches()] == [5, 5, 5, 5, 3] and [len(y) for _, y in batches(drop_last=True)] == [5] * 4
    x, y = batches()[1]
    np.testing.assert_array_equal(x, IMAGES[5:10] / np.float32(255))
    np.testing.assert_array_equal(y, LABELS[5:10])
    assert x.dtype == np.float32 and len(data.Loader(IMAGES, LABELS, 5)) == 5
    assert next(iter(data.Loader(IMAGES.astype(float), LABELS, 50)))[0].dtype == np.float64
    rng = np.random.default_rng(0)
    one, two = (
        data.Loader(IMAGES, LABELS, 5, shuffle=True, rng=rng),
        data.Loader(IMAGES, LABELS, 5, shuffle=True, rng=rng),
    )
    assert one.seed != two.seed


def test_balance():
    y = np.repeat([0, 1, 2], [20, 5, 2])
    loader = data.Loader(np.zeros((27, 1, 2, 2)), y, 9, balanced=True, rng=0)
    drawn = np.concatenate([labels for _, labels in loader])
    np.testing.assert_array_equal(np.bincount(drawn), [9, 9, 9])


def test_an_iterator_that_is_left_ends_its_threads():
    for _ in data.Loader(IMAGES, LABELS, 1, num_workers=2):
        break
    assert not [t for t in threading.enumerate() if t.name.startswith("minigraph-loader") and t.is_alive()]


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_come_where_the_batch_is_wanted(workers):
    x = np.zeros((20, 1, 2, 2))
    x[13, 0, 1, 1] = np.nan
    got = 0
    with pytest.raises(ValueError, match="Loader: image 13 has a NaN or an infinity"):
        for _ in data.Loader(x, np.zeros(20, int), 5, num_workers=workers):
            got += 1
    assert got == 2


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: data.Loader([np.zeros((1, 2, 2)), np.zeros((1, 3, 2))], [0, 1]),
            ValueError,
            r"several shapes, such as \(1, 2, 2\) and \(1, 3, 2\)",
        ),
        (lambda: data.Loader(IMAGES[:0], LABELS[:0]), ValueError, "got no images"),
        (lambda: data.Loader(np.float32(1), LABELS), ValueError, "got no images"),
        (lambda: data.Loader(IMAGES, LABELS.astype(str)), TypeError, "labels of <U21; wanted integers, or floats"),
        (lambda: data.Loader(IMAGES, np.where(LABELS == 3, np.nan, 0)), ValueError, "label 3 has a NaN or an infinity"),
        (lambda: next(iter(data.Loader(IMAGES.astype(str), LABELS))), TypeError, "got images of <U3; wanted unsigned"),
        (lambda: data.split(IMAGES, LABELS, "a", 0), TypeError, "split: got fraction 'a'; wanted a number"),
        (lambda: data.load(3), TypeError, "load: got data 3; wanted a string"),
        (lambda: data.Loader(IMAGES, LABELS[:3]), ValueError, r"labels of shape \(3,\) for 23 images"),
        (
            lambda: data.Loader(IMAGES, LABELS - 1),
            ValueError,
            "label -1 at position 0; wanted an integer from 0 to 9999",
        ),
        (lambda: data.Loader(IMAGES, LABELS + (1 << 40)), ValueError, "label 1099511627776 at position 0"),
        (lambda: data.Loader(IMAGES, LABELS, 0), ValueError, "batch_size 0; wanted an integer of at least 1"),
        (
            lambda: data.Loader(IMAGES, LABELS, 50, drop_last=True),
            ValueError,
            "23 images; wanted at least 50, one batch",
        ),
        (
            lambda: data.Loader(IMAGES, LABELS * 2, balanced=True, rng=0),
            ValueError,
            "no image of class 1; wanted images of each class",
        ),
        (lambda: data.Loader(IMAGES, LABELS * 1.0, balanced=True, rng=0), ValueError, "labels of float64"),
        (lambda: data.Loader(IMAGES, LABELS, shuffle=True), TypeError, "Loader: got rng None"),
        (
            lambda: data.Loader(IMAGES, LABELS, transform=[3]),
            TypeError,
            "Compose: got int as transform; wanted a function",
        ),
        (
            lambda: data.Loader(IMAGES, LABELS, transform=3),
            TypeError,
            "Loader: got int as transform; wanted a function",
        ),
        (
            lambda: data.Loader(IMAGES, LABELS, transform=T.Pad),
            TypeError,
            r"Loader: got the class Pad .*; wanted Pad\(…\)",
        ),
        (lambda: data.Loader(None, LABELS), TypeError, "Loader: got NoneType as images; wanted an array or"),
        (lambda: data.Loader(IMAGES, LABELS, num_workers=-1), ValueError, "num_workers -1"),
        (lambda: data.split(IMAGES, LABELS, 1.0, 0), ValueError, "fraction 1.0; wanted a number between 0 and 1"),
        (
            lambda: data.split(IMAGES, LABELS, 0.01, 0),
            ValueError,
            "at most 5 images of a class, which leaves the second part empty",
        ),
        (lambda: data.split(IMAGES, LABELS[:2], 0.5, 0), ValueError, r"labels of shape \(2,\) for 23 images"),
    ],
)
def test_wrong_data(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_a_part_held_out():
    (x, y), (a, b) = data.split(IMAGES, LABELS, 0.4, rng=0)
    np.testing.assert_array_equal(np.bincount(b), [2, 2, 2, 2, 2])
    np.testing.assert_array_equal(np.sort(np.concatenate([x, a])[:, 0, 0, 0]), IMAGES[:, 0, 0, 0])
    for images, labels in ((x, y), (a, b)):
        np.testing.assert_array_equal(labels, LABELS[images[:, 0, 0, 0] // 4])


def flipped(x, y, rng):
    return x[:, :, :, ::-1]


@pytest.mark.parametrize(
    ("transform", "match"),
    [
        (lambda x, y, rng: None, r"<lambda> \(test_data.py, line \d+\) returned None; wanted \(x, y\)"),
        (
            flipped,
            r"flipped \(test_data.py, line \d+\) returned an array of shape \(4, 1, 2, 2\); wanted \(x, y\), images and labels",
        ),
        (lambda x, y, rng: (x, y, rng), "returned a tuple of length 3; wanted"),
        (lambda x, y, rng: (None, y), "returned None as images; wanted an array"),
        (
            lambda x, y, rng: (x[0], y),
            r"returned an array of shape \(1, 2, 2\) for images of shape \(4, 1, 2, 2\); wanted 4",
        ),
        (lambda x, y, rng: (x[:2], y[:2]), r"returned an array of shape \(2, 1, 2, 2\) for images"),
        (lambda x, y, rng: (x[..., 0], y), r"returned an array of shape \(4, 1, 2\) for images"),
        (
            lambda x, y, rng: (x, y[:3]),
            r"returned an array of shape \(3,\) as labels of 4 images; wanted one label for each",
        ),
        (lambda x, y, rng: (x, None), "returned None as labels of 4 images"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("nested", [False, True])
def test_transforms_that_return_something_else(transform, match, workers, nested):
    """The error names the transform, what it returned, what was wanted, and the images."""
    given = T.Compose([T.RandomHorizontalFlip(), transform]) if nested else transform
    loader = data.Loader(IMAGES, LABELS, 4, transform=given, rng=0, num_workers=workers)
    with pytest.raises(ValueError, match=f"Loader: transform .*{match}.*; in batch 2, which begins with image 8$"):
        list(loader.batches(0, start=2))


def test_transforms_may_flatten_and_resize():
    for changed in (lambda x, y, rng: (x.reshape(len(x), -1), y), lambda x, y, rng: (x[:, :, :1], y[:, None])):
        assert len(list(data.Loader(IMAGES, LABELS, 4, transform=changed, rng=0))) == 6


@pytest.mark.parametrize(
    ("counts", "fraction", "held"),
    [((1, 9), 0.9, (0, 8)), ((2, 2), 0.9, (1, 1)), ((1, 1, 4), 0.5, (0, 0, 2)), ((2, 20), 0.1, (0, 2)), ((3,), 0.99, (2,))],
)  # fmt: skip
def test_no_class_is_lost_from_the_first_part(counts, fraction, held):
    y = np.repeat(np.arange(len(counts)), counts)
    (_, first), (_, second) = data.split(np.zeros((len(y), 1, 1, 1)), y, fraction, 0)
    assert tuple(np.bincount(second, minlength=len(counts))) == held
    np.testing.assert_array_equal(np.bincount(first), np.subtract(counts, held))
    with pytest.raises(
        ValueError, match="at most 1 images of a class, which leaves the second part empty; wanted a larger"
    ):
        data.split(np.zeros((5, 1, 1, 1)), np.arange(5), fraction, 0)
    with pytest.raises(ValueError, match="got no images"):
        data.split(np.zeros((0, 1, 1, 1)), [], fraction, 0)


def test_splits_in_one_line():
    split = data.Split(IMAGES, LABELS, IMAGES[:3], LABELS[:3])
    assert repr(split) == "Split(23 images (1, 2, 2) uint8 to learn from, 3 held out, 5 classes)"
    named = split._replace(classes=tuple("abcde"), x_test=IMAGES[:0], y_test=LABELS[:0])
    assert repr(named).endswith("0 held out, 5 classes (a, b, c, d, …))")
    assert repr(data.Split(None, None, [], [])).startswith("Split(0 images () NoneType")
    assert "10 classes (0, 1, 2, 3, …)" in repr(data.digits())


def changed(array, i, value):
    new = array.copy()
    new[i] = value
    return new


DATA = data.Split(IMAGES, LABELS, IMAGES[:4], LABELS[:4], ("a", "b"))


@pytest.mark.parametrize(
    "other",
    [
        DATA._replace(y_train=changed(LABELS, 7, 4)), DATA._replace(y_test=changed(LABELS[:4], 0, 4)),
        DATA._replace(x_train=changed(IMAGES, 22, 1)), DATA._replace(x_test=changed(IMAGES[:4], 1, 9)),
        DATA._replace(x_train=IMAGES.reshape(N, 1, 1, 4)), DATA._replace(x_train=IMAGES.astype("i1")),
        DATA._replace(x_train=IMAGES[:-1], y_train=LABELS[:-1]), DATA._replace(y_train=LABELS.astype("i4")),
        DATA._replace(classes=("ab",)), DATA._replace(x_train=IMAGES[::-1]), DATA[:2], data.Loader(*DATA[:2]),
    ],
    ids=str,
)  # fmt: skip
def test_fingerprints_tell_data_apart(other):
    assert data.fingerprint(other) != data.fingerprint(DATA)


def test_fingerprints_of_equal_data_are_equal():
    """However they are laid out in memory, in a Loader or not, and in other processes."""
    known = data.fingerprint(DATA)
    for x in (np.asfortranarray(IMAGES), IMAGES.copy(), np.repeat(IMAGES, 2, axis=3)[..., ::2]):
        assert data.fingerprint(DATA._replace(x_train=x)) == known
    for order in "<>":
        assert data.fingerprint((IMAGES, LABELS.astype(f"{order}i8"))) == data.fingerprint(data.Loader(IMAGES, LABELS))
    code = "from minigraph import data; print(data.fingerprint(data.digits()))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == data.fingerprint(data.digits())
    huge = np.broadcast_to(np.uint8(3), (1 << 40, 1, 8, 8))  # only evenly spaced images are read
    assert data.fingerprint((huge, LABELS)) != data.fingerprint((huge[1:], LABELS))
    for wrong in (IMAGES, [IMAGES, LABELS], (IMAGES,), (IMAGES, LABELS, IMAGES), None):
        with pytest.raises(TypeError, match="wanted a Split, a Loader or"):
            data.fingerprint(wrong)
    with pytest.raises(TypeError, match="got an array of object"):
        data.fingerprint((IMAGES, LABELS.astype(object)))
