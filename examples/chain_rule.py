"""The lectures' network, its chain rule multiplied out by hand, matrix by matrix, and compared with backward().

X → S = X * F + b → H = max(0, S) → H~ = A vec(H) → s = W vec(H~) + c → p = softmax(s) → l = −log(yᵀ p)
"""

import numpy as np
import scipy.sparse as sp

import minigraph as mg

rng = np.random.default_rng(0)
filters, f, side, classes, label = 3, 3, 8, 4, 2
x = rng.standard_normal((1, 1, side, side))
y = np.eye(classes)[[label]]

X = mg.parameter(x, "X")  # a parameter, so that backward() fills its gradient too
F = mg.parameter(rng.standard_normal((filters, 1, f, f)), "F")
b = mg.parameter(rng.standard_normal(filters), "b")
S = mg.conv2d(X, F, b).named("S")
H = mg.relu(S).named("H")
pooled = mg.max_pool2d(H, 2).named("H~")
W = mg.parameter(rng.standard_normal((classes, pooled.size)), "W")
c = mg.parameter(rng.standard_normal(classes), "c")
s = mg.linear(mg.flatten(pooled), W, c).named("s")
p = mg.softmax(s).named("p")
l = (-np.log(np.sum(y * p))).named("l")
print(mg.Tape.of(l), end="\n\n")

# Every matrix below is written down from the lectures, none is asked from the graph.
t = S.size // filters  # output positions of one filter
M_X = mg.patch_matrix(x, f)  # t × 9
M_F = sp.vstack([mg.conv_matrix(F.value[[i]], (1, side, side)) for i in range(filters)])
Ind = sp.diags_array((S.value > 0).ravel().astype(float))
A = mg.pool_matrix(H.value, 2)


def block(i: int) -> sp.csr_array:
    """∂vec(S)/∂vec(S_i) = (0; I_t; 0)."""
    return sp.csr_array(sp.eye_array(filters * t, t, k=-i * t))


g_s = -(y - p.value)
g_pooled = g_s @ W.value
g_H = g_pooled @ A
g_S = g_H @ Ind
g_F = [g_S @ block(i) @ M_X for i in range(filters)]
g_X = g_S @ M_F
g_W = g_s.T @ pooled.value.reshape(1, -1)

l.backward(retain_graph=True, retain_grad=True)
steps = [
    ("∂l/∂s       = −(y − p)ᵀ", g_s, s),
    ("∂l/∂vec(H~) = ∂l/∂s · W", g_pooled, pooled),
    ("∂l/∂vec(H)  = ∂l/∂vec(H~) · A", g_H, H),
    ("∂l/∂vec(S)  = ∂l/∂vec(H) · diag(Ind(vec(S) > 0))", g_S, S),
    ("∂l/∂vec(Fᵢ) = ∂l/∂vec(S) · ∂vec(S)/∂vec(Sᵢ) · M_X", np.vstack(g_F), F),
    ("∂l/∂vec(X)  = ∂l/∂vec(S) · M_F", g_X, X),
    ("∂l/∂W       = (∂l/∂s)ᵀ · vec(H~)ᵀ", g_W, W),
    ("∂l/∂c       = ∂l/∂s", g_s, c),
]
print(f"{'by hand':52}{'size':>10}{'largest difference from backward()':>38}")
for rule, by_hand, node in steps:
    difference = np.abs(by_hand.reshape(node.shape) - node.grad).max()
    print(f"{rule:52}{' × '.join(map(str, by_hand.shape)):>10}{difference:38.1e}")
    assert difference < 1e-12

print()
# The graph's own Jacobians are the same matrices: of one node by the one before, and along the whole path.
for name, ours, of, by in [
    ("∂vec(S)/∂vec(X) = M_F", M_F, S, X),
    ("∂vec(H)/∂vec(S) = diag(Ind)", Ind, H, S),
    ("∂vec(H~)/∂vec(H) = A", A, pooled, H),
    ("∂vec(H~)/∂vec(X) = A · diag(Ind) · M_F", A @ Ind @ M_F, pooled, X),
]:
    theirs = mg.Tape.of(of).jacobian(by).tosparse()
    assert abs(ours - theirs).max() < 1e-14
    print(f"{name:42}{theirs.shape[0]:4} × {theirs.shape[1]:<4} {theirs.nnz:6,} entries, equal to the graph's")
