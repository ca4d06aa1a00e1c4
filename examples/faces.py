"""Faces against other things, and a photograph searched for a face by the trained weights.

    python examples/faces.py --picture faces.png

The 200 small pictures are scikit-image's subset of Labeled Faces in the Wild, the photograph its portrait of the astronaut
Eileen Collins (NASA, public domain). Trained weights go through a file into a network without fully connected layers,
which is slid over the photograph. With 75 faces to learn from, a few windows of the dress are taken for faces as well.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
from skimage.data import astronaut, lfw_subset

import minigraph as mg
from minigraph import data, nn, train
from minigraph.data.transforms import ColorJitter, RandomCrop, RandomHorizontalFlip, resized

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--nets", type=int, default=3, help="networks whose scores are averaged")
parser.add_argument("--picture", help="a .png file for what was found")
arguments = parser.parse_args()


def network(last):
    """(N, 1, 25, 25) → (N, 2), or with a convolution as its last layer (N, 1, H, W) → (N, 2, (H − 21) // 4, …)."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 4), nn.ReLU(), nn.MaxPool2d(2), *last
    )


def grey(photograph):
    """(H, W) or (H, W, 3) of bytes → (1, 1, H, W) from 0 to 1."""
    plane = photograph if photograph.ndim == 2 else photograph[..., :3].mean(axis=2)
    return plane.astype(np.float32)[None, None] / 255


images, labels = lfw_subset().astype(np.float32)[:, None], np.repeat([1, 0], 100)  # the first half are faces
(x, y), (x_test, y_test) = data.split(images, labels, 0.25, rng=0)
rng, more = np.random.default_rng(0), []  # windows of photographs without faces, at several sizes
for photograph in (
    skimage.data.coffee(),
    skimage.data.rocket(),
    skimage.data.coins(),
    skimage.data.gravel(),
    skimage.data.page(),
):
    plane = grey(photograph)
    for _ in range(100):
        side = rng.integers(25, 150)
        top, left = rng.integers(plane.shape[2] - side), rng.integers(plane.shape[3] - side)
        more.append(resized(plane[:, :, top : top + side, left : left + side], (25, 25))[0])
x, y = np.concatenate([x, more]), np.concatenate([y, np.zeros(len(more), int)])
batches = data.Loader(x, y, 20, shuffle=True, balanced=True, rng=0,
                      transform=[RandomHorizontalFlip(), RandomCrop(padding=2), ColorJitter(0.3, 0.3)])  # fmt: skip
nets, sliding = [], []
for seed in range(arguments.nets):
    net = network([nn.Flatten(), nn.Dropout(0.3), nn.Linear(24 * 4 * 4, 2)]).initialize(seed)
    train.fit(net, batches, epochs=arguments.epochs, lr=0.02)
    wide = network([nn.Conv2d(24, 2, 4)]).initialize(seed)
    with tempfile.TemporaryDirectory() as folder:
        net.save(Path(folder) / "faces.safetensors")
        wide.load(Path(folder) / "faces.safetensors", strict=False)  # the convolutions
    weight, bias = net.parameters()[-2:]
    wide.parameters()[-2].value = mg.linear_to_conv(weight.value, (24, 4, 4))
    wide.parameters()[-1].value = bias.value
    nets, sliding = [*nets, net], [*sliding, wide.eval()]
found = train.evaluate(nets, data.Loader(x_test, y_test), classes=("other", "face"))
print(found)

TOP, LEFT, SIDE = 65, 160, 130  # where her face is
scale = 25 / SIDE
small = resized(grey(astronaut()), (round(512 * scale), round(512 * scale)))
with mg.no_grad():
    scores = np.mean([wide(small) for wide in sliding], axis=0)
margin = scores[0, 1] - scores[0, 0]  # of every window, four pixels of the smaller picture apart
row, column = round(TOP * scale / 4), round(LEFT * scale / 4)
there = margin[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].max()
print(f"of {margin.size} windows of the photograph, {np.mean(margin < there):.0%} are less like a face than those at her face "
      f"({there:.1f} nats; the others have {np.median(margin):.1f} in the middle)")  # fmt: skip
if arguments.picture:
    heat = np.kron(margin, np.ones((8, 8)))[None, None]
    mg.plot.images(heat, arguments.picture, titles=["score of every window"])
assert found.top1 > 0.8
