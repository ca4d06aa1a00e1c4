"""A classifier of 8×8 digits, slid over a larger picture at the cost of one convolutional network.

A fully connected layer is a convolution whose kernel has the size of the feature map (``mg.linear_to_conv``). With that
the network takes pictures of any size, and gives scores for every window.
"""

import numpy as np

import minigraph as mg
from minigraph import data, nn, train

digits = data.digits()
net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
train.fit(net, digits, epochs=6, lr=0.05, rng=0)
net.eval()

weight, bias = net.parameters()[-2:]
features = nn.Sequential(*[getattr(net, str(i)) for i in range(4)])


def slide(picture):
    """The scores (1, 10, H − 7, W − 7) of every 8×8 window of a picture (1, 1, H, W)."""
    return mg.conv2d(features(picture), mg.linear_to_conv(weight.value, (32, 4, 4)), bias.value)


rng = np.random.default_rng(0)
chosen = rng.choice(len(digits.x_test), 5, replace=False)
picture, places = np.zeros((1, 1, 24, 60), np.float32), []
for i, number in enumerate(chosen):
    top, left = rng.integers(16), 12 * i + rng.integers(4)
    picture[0, 0, top : top + 8, left : left + 8] = digits.x_test[number, 0]
    places.append((top, left))

with mg.no_grad():
    scores = slide(picture)
    windows = np.lib.stride_tricks.sliding_window_view(picture[0, 0], (8, 8)).reshape(-1, 1, 8, 8)
    one_by_one = net(np.ascontiguousarray(windows)).T.reshape(scores.shape)
print("largest difference from each window by itself:", f"{np.abs(scores - one_by_one).max():.1e}")
assert np.allclose(scores, one_by_one, atol=1e-3)

found = [int(scores[0, :, top, left].argmax()) for top, left in places]
print("digits in the picture:", digits.y_test[chosen].tolist(), "found where they are:", found)
for row in picture[0, 0, ::2]:
    print("".join(" .:*#"[min(4, int(5 * value))] for value in row))
assert np.mean(found == digits.y_test[chosen]) >= 0.8
