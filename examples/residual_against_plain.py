"""Deeper plain networks learn worse, deeper residual networks do not: He, Zhang, Ren and Sun 2015, section 4.2.

    python examples/residual_against_plain.py --depths 8 20 32 56 --seeds 5 --epochs 20 --picture depth.png

The same networks with and without shortcuts, CIFAR's residual networks for the 8×8 digits. By default only small ones, to
show how it goes. The training error is what the paper looks at: it is not a matter of overfitting.
"""

import argparse

import numpy as np

import minigraph as mg
from minigraph import data, train
from minigraph.models.resnet import CifarResNet

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--depths", type=int, nargs="+", default=[8, 14], help="numbers of layers, 6n + 2")
parser.add_argument("--seeds", type=int, default=1)
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--picture", help="a .png file for the figure")
arguments = parser.parse_args()

digits = data.digits()
held_out = data.Loader(digits.x_test, digits.y_test, 128)
errors = {}
for name, shortcut in (("plain", None), ("residual", "A")):
    for depth in arguments.depths:
        for seed in range(arguments.seeds):
            net = CifarResNet(depth, in_channels=1, shortcut=shortcut, rng=seed)
            history = train.fit(net, digits, epochs=arguments.epochs, warmup=arguments.epochs // 5, lr=0.05, weight_decay=1e-4, rng=seed,
                                batch_size=64, validation=held_out, transform=data.transforms.RandomCrop(padding=1))  # fmt: skip
            errors.setdefault((name, depth), []).append(
                [1 - history[-1]["train_top1"], 1 - history[-1]["validation_top1"]]
            )
        mean, spread = np.mean(errors[name, depth], axis=0), np.std(errors[name, depth], axis=0)
        print(f"{name:8} {depth:3} layers: training error {mean[0]:6.2%} ± {spread[0]:.2%}, "
              f"held-out error {mean[1]:6.2%} ± {spread[1]:.2%}", flush=True)  # fmt: skip

if arguments.picture:
    series = {
        f"{name}": [100 * np.array(errors[name, depth])[:, 0] for depth in arguments.depths]
        for name in ("plain", "residual")
    }
    mg.plot.error_bars(arguments.depths, series, arguments.picture, xlabel="layers", ylabel="training error, %",
                       title=f"digits, {arguments.epochs} epochs, {arguments.seeds} seeds")  # fmt: skip
assert all(0 <= e <= 1 for pair in errors.values() for e in np.ravel(pair))
