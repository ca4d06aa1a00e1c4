"""Edge detection is a matrix product, twice: vec(S) = M_F vec(X) = M_X vec(F).

And why nobody multiplies by that matrix as it stands: the cost of one edge-detecting layer.
"""

import numpy as np

import minigraph as mg

# A bright square on a dark ground, and a filter that answers where the left is brighter than the right.
X = np.zeros((1, 1, 6, 6))
X[..., 1:5, 1:4] = 1
F = np.array([[[[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]]])

S = mg.conv2d(X, F)
M_F = mg.conv_matrix(F, (1, 6, 6))
M_X = mg.patch_matrix(X, 3)
assert np.allclose(M_F @ X.ravel(), S.ravel())
assert np.allclose(M_X @ F.ravel(), S.ravel())


def show(title: str, plane: np.ndarray) -> None:
    print(f"{title}\n" + "\n".join("".join(f"{v:4.0f}" for v in row) for row in plane) + "\n")


show("The picture X:", X[0, 0])
show("The filter F:", F[0, 0])
show("Its answer S = X * F, edges to the right of the bright square positive:", S[0, 0])

print(f"M_F is {M_F.shape[0]} × {M_F.shape[1]} with {M_F.nnz} entries; each row is the filter in a zero image:")
for row in M_F.toarray()[:5]:
    print("  " + "".join(f"{v:3.0f}" if v else "  ·" for v in row))
print(f"\nM_X is {M_X.shape[0]} × {M_X.shape[1]}; each row is the patch under the filter.")
print("So ∂vec(S)/∂vec(X) = M_F and ∂vec(S)/∂vec(F) = M_X; nothing else is needed for backpropagation.")

# The cost table: a picture of 320 × 280, a filter of 2 × 1 that subtracts each row from the next.
height, width, taps = 320, 280, 2
matrix = mg.conv_matrix(np.array([[[[-1.0], [1.0]]]]), (1, height, width))
outputs, inputs = matrix.shape
operations = outputs * (2 * taps - 1)  # to multiply `taps` times, and to add once less
print(f"\nA layer that finds edges in a {height} × {width} picture with a 2 × 1 filter:\n")
print(f"{'':20}{'floats stored':>16}{'multiplications and additions':>32}")
for name, stored, work in [
    ("convolution", taps, operations),
    ("sparse matrix", matrix.nnz, operations),
    ("dense matrix", outputs * inputs, outputs * (2 * inputs - 1)),
]:
    print(f"{name:20}{stored:16,}{work:32,}")
assert matrix.nnz == 178_640 and operations == 267_960
