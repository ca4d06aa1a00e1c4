"""The chain rule of the lectures' network, derived from its graph, executed, and drawn: python examples/derivation.py."""

import numpy as np

import minigraph as mg

rng = np.random.default_rng(0)


def network():
    """X → S = X * F → H = max(0, S) → s = W vec(H) → p = softmax(s) → l = −log p_y; returns l and F."""
    X = mg.constant(rng.standard_normal((1, 1, 6, 6)), "X")
    F = mg.parameter(rng.standard_normal((1, 1, 3, 3)), "F")
    W = mg.parameter(rng.standard_normal((3, 16)), "W")
    H = mg.relu(mg.conv2d(X, F).named("S")).named("H")
    p = mg.softmax(mg.linear(mg.flatten(H).named("vec(H)"), W).named("s")).named("p")
    return (-np.log(p[0, 1])).named("l"), F


if __name__ == "__main__":
    l, F = network()
    derivation = mg.derive(l, F)
    print(derivation, end="\n\n")
    for step in derivation.steps():
        print(step)
    gradient = mg.Tape.of(l).pull(None, [F])[0]
    assert np.allclose(derivation.evaluate().toarray(), gradient.reshape(1, -1))
    print(f"\nThe equations and the backward walk differ by {derivation.check():.1e} at most.")
