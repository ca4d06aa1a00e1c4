"""Convolution against tiled and locally connected layers: shared weights learn more from few images.

    python examples/connectivity.py --epochs 20 --seeds 3

The three layers see the same windows. A convolution has one filter for all positions, a tiled convolution takes turns between
2×2 filters, a locally connected layer has a filter of its own for each position. One half of the test moves the
digits by a pixel.
"""

import argparse

import numpy as np

import minigraph as mg
from minigraph import data, nn, train

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--seeds", type=int, default=1)
arguments = parser.parse_args()
CHANNELS, SIDE = 8, 6


class Net(nn.Module):
    """A layer of 3×3 windows, ReLU, max pooling, a fully connected layer."""

    def __init__(self, kind):
        shape = {"convolution": (CHANNELS, 1, 3, 3), "tiled": (2, 2, CHANNELS, 1, 3, 3),
                 "locally connected": (SIDE, SIDE, CHANNELS, 1, 3, 3)}[kind]  # fmt: skip
        self.layer = {"convolution": mg.conv2d, "tiled": mg.tiled_conv2d, "locally connected": mg.locally_connected2d}[
            kind
        ]
        scale = np.sqrt(2 / 9)
        self.new_parameter("weight", shape, lambda s, rng: scale * rng.standard_normal(s), None, np.float32)
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(CHANNELS * 9, 10)

    def forward(self, x):
        return self.fc(mg.flatten(self.pool(mg.relu(self.layer(x, self.weight)))))


digits = data.digits()
moved = np.roll(digits.x_test, 1, axis=3)
results = {}
for kind in ("convolution", "tiled", "locally connected"):
    found = []
    for seed in range(arguments.seeds):
        net = Net(kind).initialize(seed)
        train.fit(net, digits, epochs=arguments.epochs, lr=0.05, rng=seed)
        found.append([train.evaluate(net, data.Loader(x, digits.y_test, 128)).top1 for x in (digits.x_test, moved)])
    results[kind] = np.mean(found, axis=0)
    weights = net.weight.size
    print(
        f"{kind:17}: {weights:5} weights in the layer, {results[kind][0]:.2%} of held-out digits, {results[kind][1]:.2%} moved by a pixel"
    )
assert all(result[0] > 0.5 for result in results.values())
