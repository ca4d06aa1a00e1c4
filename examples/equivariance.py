"""Convolution moves along with the picture; pooling hardly notices small moves."""

import numpy as np

import minigraph as mg
from minigraph.data import digits

rng = np.random.default_rng(0)
x = np.pad(digits(np.float64).x_test[:100], [(0, 0), (0, 0), (6, 6), (6, 6)])  # paper on all sides
F = rng.standard_normal((4, 1, 3, 3))


def shifted(planes, by):
    return np.roll(planes, by, axis=-1)


# Equivariance: first shifted, then convolved is first convolved, then shifted. As matrices, M_F T = T M_F.
for by in (1, 2, 5):
    assert np.allclose(mg.conv2d(shifted(x, by), F, padding=1), shifted(mg.conv2d(x, F, padding=1), by))
print("conv(shift(X)) = shift(conv(X)) for shifts of 1, 2 and 5 pixels.\n")

# Invariance: how much of what comes out of max pooling changes when the digit moves by a few pixels?
H = mg.relu(mg.conv2d(x, F, padding=1))
print(f"{'shift':>5}" + "".join(f"{f'pool {r}×{r}':>12}" for r in (1, 2, 4)))
changes = {}
for by in (1, 2, 3):
    row = []
    for r in (1, 2, 4):
        still, moved = mg.max_pool2d(H, r), mg.max_pool2d(shifted(H, by), r)
        row.append(np.linalg.norm(moved - still) / np.linalg.norm(still))
    changes[by] = row
    print(f"{by:5}" + "".join(f"{change:12.0%}" for change in row))
print("\nThe relative change: the larger the windows and the smaller the shift, the less pooling notices.")
assert changes[1] == sorted(changes[1], reverse=True)
