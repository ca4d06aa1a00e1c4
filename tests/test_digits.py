"""The data that come with the package."""

from typing import Any

import numpy as np
import pytest

from minigraph.data import digits

IN_THE_FILE = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # images of each digit, as UCI counts them


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "float32", np.dtype(np.float64)])
def test_shapes_and_dtypes(dtype: Any) -> None:
    split = digits(dtype)
    assert [part.shape for part in split[:4]] == [(1442, 1, 8, 8), (1442,), (355, 1, 8, 8), (355,)]
    assert [part.dtype for part in split[:4]] == [np.dtype(dtype), np.int64] * 2
    assert all(part.flags.c_contiguous for part in split[:4])


def test_float32_by_default_and_exact_in_it() -> None:
    narrow, wide = digits(), digits(np.float64)
    assert narrow.x_train.dtype == np.float32
    for a, b in zip(narrow[:4], wide[:4], strict=True):
        np.testing.assert_array_equal(a, b)


def test_pixels_are_sixteenths_from_0_to_1() -> None:
    split = digits()
    for x in (split.x_train, split.x_test):
        np.testing.assert_array_equal(np.unique(x), np.arange(17) / 16)


def test_every_fifth_image_of_each_digit_is_held_out_and_none_is_lost() -> None:
    split = digits()
    counts = np.array(IN_THE_FILE)
    np.testing.assert_array_equal(np.bincount(split.y_test), counts // 5)
    np.testing.assert_array_equal(np.bincount(split.y_train), counts - counts // 5)
    images = np.concatenate([split.x_train, split.x_test]).reshape(1797, 64)
    assert len(np.unique(images, axis=0)) == 1797


def test_images_belong_to_their_labels() -> None:
    """A nearest neighbour knows as many held-out digits as the docstring says: 350 of 355."""
    split = digits(np.float64)
    known, asked = split.x_train.reshape(-1, 64), split.x_test.reshape(-1, 64)
    squares = (known**2).sum(axis=1) - 2 * asked @ known.T
    hits = split.y_train[squares.argmin(axis=1)] == split.y_test
    assert hits.sum() == 350


def test_arrays_are_the_callers_own() -> None:
    first = digits()
    for part in first[:4]:
        part[...] = 7
    assert digits().x_train.max() == 1
    assert digits().y_test.max() == 9


@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.complex64, ">f4", bool])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    wanted = rf"^digits: dtype must be float32 or float64, got {np.dtype(dtype)}$"
    with pytest.raises(TypeError, match=wanted):
        digits(dtype)


def test_what_is_no_dtype_is_refused() -> None:
    with pytest.raises(TypeError, match="heavy"):
        digits("heavy")
