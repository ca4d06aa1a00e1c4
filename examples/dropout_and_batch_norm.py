"""Dropout and batch normalisation on and off: what they do to the errors on images seen and not seen.

python examples/dropout_and_batch_norm.py --epochs 30 --seeds 3
"""

import argparse

import numpy as np

from minigraph import data, nn, train

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--seeds", type=int, default=1)
parser.add_argument("--images", type=int, default=300, help="how many to learn from: few are learned by heart")
arguments = parser.parse_args()

digits = data.digits()
x, y = digits.x_train[: arguments.images], digits.y_train[: arguments.images]


def network(dropout, norm):
    layers = [nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1),
              nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 128), nn.ReLU(),
              nn.Dropout(dropout), nn.Linear(128, 10)]  # fmt: skip
    return nn.Sequential(*[layer for layer in layers if norm or not isinstance(layer, nn.BatchNorm2d)])


print("dropout  batch norm  loss seen  error seen  error held out")
errors = {}
for dropout in (0.0, 0.5):
    for norm in (False, True):
        rows = []
        for seed in range(arguments.seeds):
            net = network(dropout, norm).initialize(seed)
            train.fit(net, (x, y), epochs=arguments.epochs, lr=0.03, rng=seed)
            seen, held = (
                train.evaluate(net, data.Loader(*part, 128)) for part in ((x, y), (digits.x_test, digits.y_test))
            )
            rows.append((seen.loss, 1 - seen.top1, 1 - held.top1))
        errors[dropout, norm] = np.mean(rows, axis=0)
        loss, a, b = errors[dropout, norm]
        print(f"{dropout:7}  {'yes' if norm else 'no':10}  {loss:9.4f}  {a:10.2%}  {b:14.2%}")
assert all(error[2] < 0.5 for error in errors.values())
