"""Transforms of batches: (x (N, C, H, W), y, rng) → (x, y), each image changed by chance of its own.

Names are torchvision's where it has them, and arguments mean the same unless a docstring says otherwise. Images are floats;
colours count from 0 to 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from minigraph.arguments import expect_number, expect_positive
from minigraph.array import Array
from minigraph.ops.interpolate import interpolate

Rng = np.random.Generator


class TransformError(ValueError):
    """A transform returned something other than a batch."""


def applied(transform: Any, x: Array, y: Any, rng: Rng | None) -> tuple[Array, Any]:
    """``transform(x, y, rng)``. Raises TransformError, which names the transform, unless it returned as many images and labels.

    Images may be of another size, or flattened to (N, features).
    """
    result = transform(x, y, rng)
    n, shape, name = len(x), np.shape(x), _name(transform)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TransformError(f"transform {name} returned {_kind(result)}; wanted (x, y), images and labels")
    images, labels = result
    if not isinstance(images, np.ndarray):
        raise TransformError(f"transform {name} returned {_kind(images)} as images; wanted an array")
    if images.ndim not in (2, len(shape)) or len(images) != n:
        raise TransformError(
            f"transform {name} returned {_kind(images)} for images of shape {shape}; wanted {n} images"
        )
    if y is not None and np.shape(labels)[:1] != (n,):
        raise TransformError(
            f"transform {name} returned {_kind(labels)} as labels of {n} images; wanted one label for each"
        )
    return images, labels


def expect_transform(name: str, t: Any) -> Any:
    """``t`` itself. Raises TypeError unless it can be called; a class is refused too, since calling it makes a transform."""
    if isinstance(t, type):
        raise TypeError(f"{name}: got the class {t.__name__} as transform; wanted {t.__name__}(…)")
    if not callable(t):
        raise TypeError(f"{name}: got {type(t).__name__} as transform; wanted a function of (x, y, rng)")
    return t


def _kind(value: Any) -> str:
    """What a value is, in a few words."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of length {len(value)}"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _name(transform: Any) -> str:
    """The name of a function and the file that it is in, or the repr of anything else."""
    code = getattr(transform, "__code__", None)
    where = f" ({os.path.basename(code.co_filename)}, line {code.co_firstlineno})" if code else ""
    return f"{getattr(transform, '__qualname__', None) or repr(transform)}{where}"


class Transform:
    """The base: ``images(x, rng)`` changes the images alone, ``change(x, y, rng)`` labels too.

    ``random``: whether it draws from the rng. Raises ValueError for images that are not (N, C, H, W), TypeError unless they
    are floats.
    """

    random = True

    def images(self, x: Array, rng: Rng) -> Array:
        """The images, changed; ``x`` itself stays as it is."""
        raise NotImplementedError

    def change(self, x: Array, y: Any, rng: Rng) -> tuple[Array, Any]:
        """Images and labels, changed."""
        return self.images(x, rng), y

    def __call__(self, x: Array, y: Any, rng: Rng | None = None) -> tuple[Array, Any]:
        name, x = type(self).__name__, np.asarray(x)
        if x.ndim != 4:
            raise ValueError(f"{name}: got images of shape {x.shape}; wanted (N, C, H, W)")
        if x.dtype.kind != "f":
            raise TypeError(f"{name}: got images of {x.dtype}; wanted floats, as transforms.as_floats makes them")
        if self.random and not isinstance(rng, np.random.Generator):
            got = "no rng" if rng is None else f"{type(rng).__name__} as rng"
            raise TypeError(f"{name}: got {got}; wanted a numpy.random.Generator")
        return self.change(x, y, rng)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        shown = (
            f"{key}={np.asarray(v).tolist() if isinstance(v, np.ndarray) else v!r}" for key, v in vars(self).items()
        )
        return f"{type(self).__name__}({', '.join(shown)})"


class Compose(Transform):
    """Several transforms one after another."""

    def __init__(self, transforms: Sequence[Any]) -> None:
        self.transforms = [expect_transform("Compose", t) for t in transforms]

    @property
    def random(self) -> bool:  # type: ignore[override]
        return any(getattr(t, "random", True) for t in self.transforms)

    def __call__(self, x: Array, y: Any, rng: Rng | None = None) -> tuple[Array, Any]:
        for t in self.transforms:
            x, y = applied(t, x, y, rng)
        return x, y

    def __repr__(self) -> str:
        return f"Compose({self.transforms})"


class Normalize(Transform):
    """(x − mean) / std in each channel. Raises ValueError for a std that is not above 0."""

    random = False

    def __init__(self, mean: Any, std: Any) -> None:
        self.mean, self.std = (np.atleast_1d(np.asarray(a, np.float64)) for a in (mean, std))
        if self.mean.shape != self.std.shape or self.mean.ndim != 1:
            raise ValueError(
                f"Normalize: got {self.mean.size} means and {self.std.size} standard deviations; wanted one for each channel"
            )
        if not np.isfinite(self.mean).all():
            raise ValueError(f"Normalize: got mean {self.mean.tolist()}; wanted finite numbers")
        if not (np.isfinite(self.std) & (self.std > 0)).all():
            raise ValueError(
                f"Normalize: got std {self.std.tolist()}; wanted numbers above 0 (a std of 0 means that all images are the same)"
            )

    @classmethod
    def fit(cls, x: Any, sample: int = 10_000) -> Normalize:
        """With the mean and the standard deviation of each channel over (at most ``sample``) images, evenly spaced."""
        x = x if hasattr(x, "shape") else np.asarray(x)
        if not len(x):
            raise ValueError("Normalize.fit: got no images; wanted at least one")
        if len(np.shape(x)) != 4:
            raise ValueError(f"Normalize.fit: got images of shape {np.shape(x)}; wanted (N, C, H, W)")
        taken = as_floats(x[np.linspace(0, len(x) - 1, min(len(x), sample)).astype(int)])
        return cls(taken.mean(axis=(0, 2, 3), dtype=np.float64), taken.std(axis=(0, 2, 3), dtype=np.float64))

    def images(self, x: Array, rng: Rng) -> Array:
        if x.shape[1] != len(self.mean) and len(self.mean) > 1:
            raise ValueError(f"Normalize: got {x.shape[1]} channels; wanted {len(self.mean)}")
        mean, std = (a.astype(x.dtype).reshape(1, -1, 1, 1) for a in (self.mean, self.std))
        normal: Array = (x - mean) / std
        return normal


class Pad(Transform):
    """``padding`` more pixels on each side, of value ``fill``."""

    random = False

    def __init__(self, padding: int, fill: float = 0.0) -> None:
        self.padding, self.fill = _count("Pad", 0, padding=padding), _number("Pad", fill=fill)

    def images(self, x: Array, rng: Rng) -> Array:
        p = self.padding
        return np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)], constant_values=self.fill)


class Resize(Transform):
    """Images of ``size``, (H, W) or the shorter side: linear interpolation, blurred first where they become smaller."""

    random = False

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = _size("Resize", size)

    def images(self, x: Array, rng: Rng) -> Array:
        return resized(x, self.size if isinstance(self.size, tuple) else _shorter(x.shape[2:], self.size))


class CenterCrop(Transform):
    """The middle of each image, of ``size``; smaller images are refused, not padded."""

    random = False

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = _pair("CenterCrop", size)

    def images(self, x: Array, rng: Rng) -> Array:
        top, left = ((n - s) // 2 for n, s in zip(_large_enough("CenterCrop", x, self.size), self.size, strict=True))
        return np.ascontiguousarray(x[:, :, top : top + self.size[0], left : left + self.size[1]])


class RandomCrop(Transform):
    """A window of ``size`` at a random place, after ``padding`` pixels were added on each side.

    Without a size windows are as large as the images: a shift by up to ``padding`` pixels.
    """

    def __init__(self, size: int | tuple[int, int] | None = None, padding: int = 0, fill: float = 0.0) -> None:
        self.size = None if size is None else _pair("RandomCrop", size)
        self.padding, self.fill = _count("RandomCrop", 0, padding=padding), _number("RandomCrop", fill=fill)

    def images(self, x: Array, rng: Rng) -> Array:
        size = self.size or x.shape[2:]
        padded = Pad(self.padding, self.fill).images(x, rng) if self.padding else x
        H, W = _large_enough("RandomCrop", padded, size)
        tops, lefts = (rng.integers(n - s + 1, size=len(x)) for n, s in zip((H, W), size, strict=True))
        out = np.empty((*x.shape[:2], *size), x.dtype)
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            out[i] = padded[i, :, top : top + size[0], left : left + size[1]]
        return out


class RandomResizedCrop(Transform):
    """A window of random area (a share in ``scale``) and proportions (width / height in ``ratio``), resized to ``size``."""

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size = _pair("RandomResizedCrop", size)
        self.scale, self.ratio = _range("RandomResizedCrop", scale=scale), _range("RandomResizedCrop", ratio=ratio)

    def images(self, x: Array, rng: Rng) -> Array:
        n, _, H, W = x.shape
        area = rng.uniform(*self.scale, n) * H * W
        ratio = np.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), n))
        heights = np.clip(np.round(np.sqrt(area / ratio)), 1, H).astype(int)
        widths = np.clip(np.round(np.sqrt(area * ratio)), 1, W).astype(int)
        out = np.empty((*x.shape[:2], *self.size), x.dtype)
        for i, (h, w) in enumerate(zip(heights, widths, strict=True)):
            top, left = rng.integers(H - h + 1), rng.integers(W - w + 1)
            out[i] = resized(x[i : i + 1, :, top : top + h, left : left + w], self.size)[0]
        return out


class RandomHorizontalFlip(Transform):
    """Left and right exchanged with probability ``p``."""

    axis = 3

    def __init__(self, p: float = 0.5) -> None:
        self.p = _share(type(self).__name__, p=p)

    def images(self, x: Array, rng: Rng) -> Array:
        flipped, out = rng.random(len(x)) < self.p, x.copy()
        out[flipped] = np.flip(x[flipped], self.axis)
        return out


class RandomVerticalFlip(RandomHorizontalFlip):
    """Top and bottom exchanged with probability ``p``."""

    axis = 2


class RandomAffine(Transform):
    """Rotation by up to ``degrees``, a shift by up to shares ``translate`` of the sides, scaling by a factor in ``scale``.

    About the middle, with linear interpolation; ``fill`` beyond the edges. ``translate``: a share, or one for the width and one
    for the height. The logarithm of the scale is drawn uniformly.
    """

    def __init__(
        self,
        degrees: float = 0,
        translate: float | tuple[float, float] = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        fill: float = 0.0,
    ) -> None:
        self.degrees, self.scale = _share("RandomAffine", 360, degrees=degrees), _range("RandomAffine", scale=scale)
        self.fill = _number("RandomAffine", fill=fill)
        shares = translate if isinstance(translate, (tuple, list)) else (translate, translate)
        if len(shares) != 2:
            raise ValueError(f"RandomAffine: got translate {translate!r}; wanted a number or two")
        right, down = shares
        self.translate = _share("RandomAffine", translate=down), _share("RandomAffine", translate=right)

    def images(self, x: Array, rng: Rng) -> Array:
        n, _, *sides = x.shape
        angles = np.radians(rng.uniform(-self.degrees, self.degrees, n))
        factors = np.exp(rng.uniform(math.log(self.scale[0]), math.log(self.scale[1]), n))
        shifts = rng.uniform(-1, 1, (n, 2)) * np.multiply(self.translate, sides)
        middle, out = (np.array(sides) - 1) / 2, np.empty_like(x)
        for i, (angle, factor, shift) in enumerate(zip(angles, factors, shifts, strict=True)):
            c, s = math.cos(angle) / factor, math.sin(angle) / factor
            back = np.array([[c, -s], [s, c]])  # from the pixels of the result to those of x
            offset = middle - back @ (middle + shift)
            for source, target in zip(x[i], out[i], strict=True):
                ndimage.affine_transform(source, back, offset, output=target, order=1, cval=self.fill)
        return out


class RandomRotation(RandomAffine):
    """Rotation about the middle by up to ``degrees``, either way."""

    def __init__(self, degrees: float, fill: float = 0.0) -> None:
        super().__init__(degrees, fill=fill)


class ColorJitter(Transform):
    """Brightness, contrast and saturation changed by factors in [1 − b, 1 + b], the hue turned by up to ``hue`` of a circle.

    In this order, the result within 0 to 1. The hue is turned in the plane of the colours I and Q. Grey images keep
    saturation and hue.
    """

    GREY = np.array([0.299, 0.587, 0.114])  # the luminance of red, green and blue (Rec. 601)
    YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])

    def __init__(self, brightness: float = 0, contrast: float = 0, saturation: float = 0, hue: float = 0) -> None:
        given = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        self.brightness, self.contrast, self.saturation = (_share("ColorJitter", **{k: v}) for k, v in given.items())
        self.hue = _share("ColorJitter", 0.5, hue=hue)

    def images(self, x: Array, rng: Rng) -> Array:
        n, channels = x.shape[:2]
        b, c, s = (
            rng.uniform(1 - a, 1 + a, (n, 1, 1, 1)).astype(x.dtype)
            for a in (self.brightness, self.contrast, self.saturation)
        )
        turns = rng.uniform(-self.hue, self.hue, n) * 2 * math.pi
        if self.brightness:
            x = np.clip(x * b, 0, 1)
        if self.contrast:
            mean = self._grey(x).mean(axis=(1, 2, 3), keepdims=True)
            x = np.clip(mean + c * (x - mean), 0, 1)
        if self.saturation and channels == 3:
            grey = self._grey(x)
            x = np.clip(grey + s * (x - grey), 0, 1)
        if self.hue and channels == 3:
            cos, sin, zero, one = np.cos(turns), np.sin(turns), np.zeros(n), np.ones(n)
            turn = np.array([[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]]).transpose(2, 0, 1)
            colours = (np.linalg.inv(self.YIQ) @ turn @ self.YIQ).astype(x.dtype)
            x = np.clip(np.matmul(colours, x.reshape(n, 3, -1)).reshape(x.shape), 0, 1)
        changed: Array = x
        return changed

    def _grey(self, x: Array) -> Array:
        weights = self.GREY if x.shape[1] == 3 else np.full(x.shape[1], 1 / x.shape[1])
        grey: Array = np.einsum("nchw,c->nhw", x, weights.astype(x.dtype))[:, None]
        return grey


class Cutout(Transform):
    """A square of ``size`` pixels set to ``fill``, its middle anywhere in the image (DeVries and Taylor 2017)."""

    def __init__(self, size: int, fill: float = 0.0) -> None:
        self.size, self.fill = _count("Cutout", 1, size=size), _number("Cutout", fill=fill)

    def images(self, x: Array, rng: Rng) -> Array:
        out, (H, W) = x.copy(), x.shape[2:]
        rows, columns = rng.integers(H, size=len(x)), rng.integers(W, size=len(x))
        before, after = self.size // 2, self.size - self.size // 2
        for image, r, c in zip(out, rows, columns, strict=True):
            image[:, max(r - before, 0) : r + after, max(c - before, 0) : c + after] = self.fill
        return out


class LabelSmoothing(Transform):
    """Labels as probabilities: 1 − ε of the class and ε / classes of every one (Szegedy et al. 2016)."""

    random = False

    def __init__(self, num_classes: int, epsilon: float = 0.1) -> None:
        self.num_classes, self.epsilon = (
            _count("LabelSmoothing", 1, num_classes=num_classes),
            _share("LabelSmoothing", epsilon=epsilon),
        )

    def change(self, x: Array, y: Any, rng: Rng) -> tuple[Array, Any]:
        t = as_probabilities("LabelSmoothing", y, len(x), self.num_classes, x.dtype)
        return x, (1 - self.epsilon) * t + self.epsilon / self.num_classes


class Mixup(Transform):
    """Each image and its label mixed with another's: λ x + (1 − λ) x′, λ from Beta(α, α) (Zhang et al. 2018)."""

    def __init__(self, num_classes: int, alpha: float = 0.2) -> None:
        expect_positive("Mixup", alpha=alpha)
        self.num_classes, self.alpha = _count("Mixup", 1, num_classes=num_classes), float(alpha)

    def change(self, x: Array, y: Any, rng: Rng) -> tuple[Array, Any]:
        share, others = rng.beta(self.alpha, self.alpha, len(x)).astype(x.dtype), rng.permutation(len(x))
        t = as_probabilities("Mixup", y, len(x), self.num_classes, x.dtype)
        a = share.reshape(-1, 1, 1, 1)
        return a * x + (1 - a) * x[others], share[:, None] * t + (1 - share[:, None]) * t[others]


def as_floats(x: Any) -> Array:
    """Unsigned bytes as float32 from 0 to 1; floats as they are, other numbers as float32. TypeError for anything else."""
    images: Array = np.asarray(x)
    if images.dtype.kind not in "buif":
        raise TypeError(f"got images of {images.dtype}; wanted unsigned bytes or floats")
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    return images if images.dtype in (np.float32, np.float64) else images.astype(np.float32)


def as_probabilities(name: str, y: Any, n: int, num_classes: int, dtype: Any) -> Array:
    """Classes (N,) as one-hot rows (N, classes); rows of probabilities as they are.

    Raises TypeError for labels that are neither, ValueError for classes out of range; messages begin with ``name``.
    """
    labels: Array = np.asarray(y)
    if labels.dtype.kind == "f" and labels.shape == (n, num_classes):
        return labels
    if labels.dtype.kind not in "iu" or labels.shape != (n,):
        raise TypeError(
            f"{name}: got labels of {labels.dtype} {labels.shape}; wanted integers ({n},), or probabilities ({n}, {num_classes})"
        )
    if n and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"{name}: got labels from {labels.min()} to {labels.max()}; wanted 0 to {num_classes - 1}")
    one_hot: Array = np.zeros((n, num_classes), dtype)
    one_hot[np.arange(n), labels] = 1
    return one_hot


def resized(x: Array, size: tuple[int, int]) -> Array:
    """Images (N, C, H, W) → (N, C, *size), by linear interpolation, blurred first along axes that become shorter."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    for axis, n in zip((2, 3), size, strict=True):
        if n < x.shape[axis]:
            x = ndimage.gaussian_filter1d(x, (x.shape[axis] / n - 1) / 2, axis=axis, mode="nearest")
    made: Array = interpolate(x, size=tuple(size), mode="bilinear")
    return made


def _shorter(sides: Sequence[int], side: int) -> tuple[int, int]:
    least = min(sides)
    H, W = (max(1, round(n * side / least)) for n in sides)
    return H, W


def _large_enough(name: str, x: Array, size: tuple[int, ...]) -> tuple[int, int]:
    H, W = x.shape[2:]
    if size[0] > H or size[1] > W:
        raise ValueError(f"{name}: got images of {H}×{W}; wanted at least {size[0]}×{size[1]}")
    return H, W


def _count(name: str, least: int, **given: Any) -> int:
    ((argument, value),) = given.items()
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: got {argument} {value!r}; wanted an integer of at least {least}")
    return int(value)


def _number(name: str, **given: Any) -> float:
    expect_number(name, **given)
    (value,) = given.values()
    return float(value)


def _share(name: str, most: float = 1, **given: Any) -> float:
    value = _number(name, **given)
    if not 0 <= value <= most:
        raise ValueError(f"{name}: got {next(iter(given))} {value:g}; wanted a number from 0 to {most}")
    return value


def _range(name: str, **given: Any) -> tuple[float, float]:
    ((argument, value),) = given.items()
    low, high = value if isinstance(value, (tuple, list)) and len(value) == 2 else (0, 0)
    expect_number(name, **{argument: low})
    expect_number(name, **{argument: high})
    if not 0 < low <= high < math.inf:
        raise ValueError(f"{name}: got {argument} {value!r}; wanted two numbers above 0, the smaller first")
    return float(low), float(high)


def _size(name: str, size: Any) -> int | tuple[int, int]:
    return _pair(name, size) if isinstance(size, (tuple, list)) else _count(name, 1, size=size)


def _pair(name: str, size: Any) -> tuple[int, int]:
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise ValueError(f"{name}: got size {size!r}; wanted an integer or two")
    return _count(name, 1, size=pair[0]), _count(name, 1, size=pair[1])
