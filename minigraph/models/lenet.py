"""LeNet-5: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition"."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minigraph.array import Array
from minigraph.mode import scope
from minigraph.models.model import Model
from minigraph.nn import Buffer, Conv2d, Flatten, Linear, MaxPool2d, Module, Sequential, Tanh, init
from minigraph.nn.module import Initializer
from minigraph.node import Parameter
from minigraph.ops.conv.filters import connected_filters
from minigraph.ops.conv.functions import conv2d
from minigraph.ops.elementwise import square, tanh
from minigraph.ops.pool import avg_pool2d
from minigraph.ops.reduce import sum as total
from minigraph.ops.shape import expand_dims, flatten, reshape

# Table I: the maps of S2 (columns) that each map of C3 (rows) sees, 60 of 96.
TABLE = np.array([[row[c] == "x" for c in range(6)] for row in (
    "xxx...", ".xxx..", "..xxx.", "...xxx", "x...xx", "xx...x", "xxxx..", ".xxxx.",
    "..xxxx", "x..xxx", "xx..xx", "xxx..x", "xx.xx.", ".xx.xx", "x.xx.x", "xxxxxx",
)])  # fmt: skip

# What F6 should show for each digit: stylised pictures, 7×12, of +1 (#) and −1.
DIGITS = """
.......|.......|.......|.......|.......|.......|.......|.......|.......|.......
..###..|...#...|..###..|.#####.|....#..|.#####.|...##..|#######|..###..|..###..
.#...#.|..##...|.#...#.|.....#.|...##..|.#.....|..#....|......#|.#...#.|.#...#.
#.....#|.#.#...|#.....#|....#..|...##..|#......|.#.....|.....#.|#.....#|#.....#
#.....#|...#...|......#|...#...|..#.#..|#......|#......|.....#.|#.....#|#.....#
#.....#|...#...|.....#.|..###..|.#..#..|#.###..|#.###..|....#..|.#...#.|.#...##
#.....#|...#...|....#..|.....#.|.#..#..|##...#.|##...#.|....#..|..###..|..###.#
#.....#|...#...|...#...|......#|#...#..|......#|#.....#|...#...|.#...#.|......#
#.....#|...#...|..#....|......#|#######|......#|#.....#|...#...|#.....#|......#
#.....#|...#...|.#.....|#.....#|....#..|#.....#|#.....#|..#....|#.....#|.....#.
.#...#.|...#...|#......|.#...#.|....#..|.#...#.|.#...#.|..#....|.#...#.|....#..
..###..|.#####.|#######|..###..|....#..|..###..|..###..|..#....|..###..|..##...
"""


def squash(x: Any) -> Any:
    """1.7159 tanh(2x/3), which sends ±1 to ±1.   (S) → (S)."""
    return 1.7159 * tanh(2 / 3 * x)


def by_fan_in(fan_in: Any) -> Initializer:
    """Uniform within ±2.4 / fan_in, the paper's start; ``fan_in``: a number, or one for each row of the weight."""
    return partial(_uniform, np.asarray(fan_in))


def _uniform(fan_in: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    limits: Array = 2.4 / fan_in.reshape(-1, *[1] * (len(shape) - 1))
    return rng.uniform(-1, 1, shape) * limits


class Subsampling(Module):
    """The sum over each 2×2 window, times the map's coefficient, plus its bias.   (N, C, 2H, 2W) → (N, C, H, W)."""

    weight: Parameter
    bias: Parameter

    def __init__(self, channels: int, dtype: Any) -> None:
        self.new_parameter("weight", (channels,), by_fan_in(4), None, dtype)
        self.new_parameter("bias", (channels,), init.zeros, None, dtype)

    def forward(self, x: Any) -> Any:
        sums = 4 * avg_pool2d(x, 2)
        return sums * reshape(self.weight, (-1, 1, 1)) + reshape(self.bias, (-1, 1, 1))


class PartialConv2d(Module):
    """A convolution whose filters see the channels that TABLE says.   (N, 6, H, W) → (N, 16, H−4, W−4)."""

    weight: Parameter
    bias: Parameter

    def __init__(self, dtype: Any) -> None:
        fan_in = TABLE.sum(axis=1)
        self.new_parameter("weight", (int(fan_in.sum()), 5, 5), by_fan_in(25 * np.repeat(fan_in, fan_in)), None, dtype)
        self.new_parameter("bias", (len(TABLE),), init.zeros, None, dtype)

    def forward(self, x: Any) -> Any:
        return conv2d(x, connected_filters(self.weight, TABLE), self.bias)


class RadialBasis(Module):
    """Minus the squared distance from a code of ±1 for each class.   (N, 84) → (N, classes).

    The codes are pictures of the ten digits; for other numbers of classes they are drawn at random, the other
    choice that the paper names. They are not learned.
    """

    def __init__(self, num_classes: int, dtype: Any) -> None:
        if num_classes == 10:
            rows = [line.split("|") for line in DIGITS.split()]
            codes = np.array([[c == "#" for row in rows for c in row[digit]] for digit in range(10)])
        else:
            codes = np.random.default_rng(0).random((num_classes, 84)) < 0.5
        self.weight = Buffer(np.where(codes, 1, -1).astype(dtype))

    def forward(self, x: Any) -> Any:
        return -total(square(expand_dims(x, 1) - self.weight.value), axis=2)


class LeNet5(Model):
    """The paper's network: (N, 1, 32, 32) → (N, 10); 60,000 learned parameters.

    C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164; the 10 · 84 entries of the output's codes are fixed. The
    scores are minus the paper's penalties, so that the largest wins and ``cross_entropy`` is its criterion
    (equation 9) without the constant j.
    """

    def __init__(
        self, num_classes: int = 10, *, in_channels: int = 1, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        super().__init__(num_classes, (in_channels, 32, 32))
        self.C1 = Conv2d(in_channels, 6, 5, weight_init=by_fan_in(25 * in_channels), dtype=dtype)
        self.S2 = Subsampling(6, dtype)
        self.C3 = PartialConv2d(dtype)
        self.S4 = Subsampling(16, dtype)
        self.C5 = Conv2d(16, 120, 5, weight_init=by_fan_in(400), dtype=dtype)
        self.F6 = Linear(120, 84, weight_init=by_fan_in(120), dtype=dtype)
        self.output = RadialBasis(num_classes, dtype)
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        for layer in (self.C1, self.S2, self.C3, self.S4, self.C5, self.F6):
            x = layer(flatten(x) if layer is self.F6 else x)
            with scope(layer.name):
                x = squash(x)
        return self.output(x)


class ModernLeNet5(Model):
    """[conv 5×5 – pool 2×2 – tanh] ×2 – fc – tanh – fc – tanh – fc: (N, 1, 32, 32) → (N, 10); 61,706 parameters."""

    def __init__(
        self, num_classes: int = 10, *, in_channels: int = 1, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        super().__init__(num_classes, (in_channels, 32, 32))
        options: dict[str, Any] = {"weight_init": init.xavier_uniform, "dtype": dtype}
        self.features = Sequential(
            Conv2d(in_channels, 6, 5, **options),
            MaxPool2d(2),
            Tanh(),
            Conv2d(6, 16, 5, **options),
            MaxPool2d(2),
            Tanh(),
        )
        self.classifier = Sequential(
            Flatten(), Linear(400, 120, **options), Tanh(), Linear(120, 84, **options), Tanh(),
            Linear(84, num_classes, **options),
        )  # fmt: skip
        self.begin(rng)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x))


def lenet5(num_classes: int = 10, *, modern: bool = False, **options: Any) -> Model:
    """LeNet-5 as in the paper, see LeNet5; or ``modern``, as it is often built today, see ModernLeNet5."""
    return (ModernLeNet5 if modern else LeNet5)(num_classes, **options)
