"""The handwritten digits that come with the package: nothing is downloaded, nothing is written."""

from importlib.resources import files

import numpy as np
from numpy.typing import DTypeLike

from minigraph.data.dataset import Split

__all__ = ["digits"]

HELD_OUT = 5
"""Every fifth image of each digit is held out by `digits`: 355 of 1797."""


def digits(dtype: DTypeLike = np.float32) -> Split:
    """Handwritten digits: 1797 grey images of 8 x 8 pixels.

    Returns a `Split` with x_train (1442, 1, 8, 8), y_train (1442,), x_test (355, 1, 8, 8) and
    y_test (355,). Pixels are k/16 for k = 0 ... 16, so 0 is paper, 1 is ink, and both dtypes hold them
    exactly; labels are int64, 0 ... 9. The arrays are new on every call, and yours to change.

    The split is fixed and involves no chance: of each digit every fifth image is held out, the 5th, the
    10th and so on in UCI's order, and both parts keep that order. The same writers are in both parts, so
    the test part asks for new images by known hands, not for new hands: a nearest-neighbour classifier
    gets 98.6 % there, and would get less on digits by strangers.

    Raises TypeError if `dtype` is neither float32 nor float64.

    The data are E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0 (see DATA-LICENSE.md in this
    folder). digits.npz was made by `np.savez_compressed` from `images` and `target` of scikit-learn's
    copy, `sklearn.datasets.load_digits()`, cast to uint8 and otherwise as they come.
    """
    wanted = np.dtype(dtype)
    if wanted not in (np.float32, np.float64):
        raise TypeError(f"digits: dtype must be float32 or float64, got {wanted}")
    with (
        files("minigraph.data").joinpath("digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as stored,
    ):
        x = stored["images"][:, np.newaxis].astype(wanted) / 16
        y = stored["labels"].astype(np.int64)
    test = np.zeros(len(y), dtype=bool)
    for digit in range(10):
        test[np.flatnonzero(y == digit)[HELD_OUT - 1 :: HELD_OUT]] = True
    return Split(x[~test], y[~test], x[test], y[test], tuple("0123456789"))
