"""mg.derive: the chain rule read off a graph equals the backward walk, and every language of it can be read."""

import re
from itertools import product
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_formulas import NODES

import minigraph as mg
from minigraph.cli import main
from minigraph.inspect.derive.symbols import symbol
from minigraph.node import FLOATS
from minigraph.tape import Tape

matplotlib.use("agg")


def network(layers=1, n=8):
    """The network of the lectures with its symbols, and X, F, W and l."""
    rng = np.random.default_rng(0)
    X = mg.constant(rng.standard_normal((1, 1, n, n)), "X")
    H, filters = X, []
    for i in range(1, layers + 1):
        number = str(i) if layers > 1 else ""
        F = mg.parameter(rng.standard_normal((2, H.shape[1], 3, 3)), f"F{number}")
        S = mg.conv2d(H, F).named(f"S{number}")
        H = mg.relu(S).named(f"H{number}")
        filters.append(F)
    W = mg.parameter(rng.standard_normal((3, H.size)), "W")
    s = mg.linear(mg.flatten(H).named("vec(H)"), W).named("s")
    l = mg.cross_entropy(s, np.array([1])).named("l")
    return X, filters, W, l


def test_the_lectures_chain_rule():
    X, (F,), W, l = network()
    text = str(mg.derive(l, F))
    assert "∂l/∂vec(F) = ∂l/∂s · ∂s/∂vec(H) · ∂vec(H)/∂vec(S) · ∂vec(S)/∂vec(F)" in text
    assert "= (p − t)ᵀ/N · W    · diag(Ind(S > 0)) · (I ⊗ M_X)" in text
    assert "1×3          3×72   72×72              72×18" in text
    assert "∂l/∂vec(X) = " in str(mg.derive(l, X)) and "· M_F" in str(mg.derive(l, X))
    assert "∂l/∂F = X ∗ ∂l/∂S" in text and "∂l/∂X = full(rot180(F), ∂l/∂S)" in str(mg.derive(l, X))
    steps = mg.derive(l, F).steps()
    assert [step.text for step in steps] == [
        "∂l/∂s = (p − t)ᵀ/N",
        "∂l/∂vec(H) = ∂l/∂s · W",
        "∂l/∂vec(S) = ∂l/∂vec(H) · diag(Ind(S > 0))",
        "∂l/∂vec(F) = ∂l/∂vec(S) · (I ⊗ M_X)",
    ]
    assert steps[1].known == ["∂l/∂s"] and steps[1].calculate == ["W"]
    assert r"\underbrace{\frac{\partial l}{\partial s}}_{\text{already known}}" in mg.derive(l, F).latex(steps=True)


def test_two_layers_and_softmax_by_name():
    X, (F1, F2), W, l = network(2)
    derivation = mg.derive(l, F1)
    assert "· M_F₂" in str(derivation) and "diag(Ind(S₁ > 0))" in str(derivation)
    assert derivation.check() < 1e-10
    s = mg.parameter([0.5, -1.0, 2.0], "s")
    assert "diag(p) − p pᵀ" in str(mg.derive(mg.softmax(s).named("p"), s))


def test_forks_are_summed_and_shared_products_named_once():
    x = mg.parameter([0.5, -1.0], "x")
    a = np.tanh(x).named("a")
    b = (np.sin(a) * np.cos(a)).named("b")
    y = np.sum(b * b).named("y")
    derivation = mg.derive(y, x)
    assert derivation.paths == 4
    assert [e.node.name for e in derivation.equations] == [None, "b", "a", "x"]
    assert "∂y/∂a = ∂y/∂b · ∂b/∂v₂ · ∂v₂/∂a + ∂y/∂b · ∂b/∂v₃ · ∂v₃/∂a" in str(derivation)
    assert derivation.check() < 1e-12


def test_numbers_are_written_out():
    A = mg.constant([[1.0, 2.0], [3.0, 4.0]], "A")
    x = mg.parameter([1.0, -2.0], "x")
    y = np.sum(mg.relu(A @ x).named("h") ** 2 * 1e-9).named("y")
    text = mg.derive(y, x).latex(numbers=True)
    assert r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}" in text and r"1 \cdot 10^{-9}" in text
    big = mg.parameter(np.ones(30), "x")
    assert r"[1 \times 30]" in mg.derive(np.sum(big), big).latex(numbers=True)


UNARY = (np.tanh, np.sin, mg.relu, lambda v: v * 2.0, lambda v: mg.max_pool2d(v, 3, stride=1, padding=1), np.exp,
         lambda v: v**2, lambda v: np.transpose(v, (0, 1, 3, 2)), lambda v: mg.batch_norm(v, training=True),
         lambda v: mg.avg_pool2d(v, 3, stride=1, padding=1), lambda v: mg.softmax(v, axis=1))  # fmt: skip
BINARY = (np.add, np.multiply, np.subtract, np.maximum, lambda a, b: np.concatenate([a, b], 1)[:, ::2])


@st.composite
def graphs(draw):
    """A random graph over images with branches and shared parameters, with one value or several at its end."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = mg.parameter(0.5 * rng.standard_normal((2, 2, 4, 4)), "x")
    w = mg.parameter(0.3 * rng.standard_normal((2, 2, 3, 3)), "w")
    nodes = [x]
    for _ in range(draw(st.integers(1, 8))):
        a, b = (nodes[draw(st.integers(0, len(nodes) - 1))] for _ in range(2))
        kind = draw(st.sampled_from(["conv", "unary", "binary"]))
        if kind == "conv":
            node = mg.conv2d(a, w, padding=1)
        elif kind == "unary":
            node = draw(st.sampled_from(UNARY))(a)
        else:
            node = draw(st.sampled_from(BINARY))(a, b)
        if draw(st.booleans()):
            node.named(draw(st.sampled_from(["H", "S1", "H~", "a b", "σ", "A", "p"])))
        nodes.append(node)
    W = mg.parameter(0.1 * rng.standard_normal((3, 32)), "W")
    y = mg.linear(mg.flatten(nodes[-1]), W)
    return (np.sum(y * y) if draw(st.booleans()) else y), [x, w, W]


@settings(max_examples=500, deadline=None)
@given(graphs())
def test_derivations_of_random_graphs_are_the_backward_walk(graph):
    y, leaves = graph
    for x in leaves:
        derivation = mg.derive(y, x)
        matrix = derivation.evaluate()
        assert matrix.shape == (y.size, x.size)
        assert derivation.check(rtol=1e-10) < 1e-10
        if not derivation.paths:
            assert not matrix.nnz and "The derivative is 0" in str(derivation)
        for factor in derivation.ordered_factors():
            assert factor.tosparse().shape == factor.shape == (factor.node.size, factor.x.size)
            assert factor.tosparse().nnz <= factor.nnz


@settings(max_examples=15, deadline=None)
@given(graphs())
def test_derivations_of_random_graphs_can_be_read(graph):
    y, leaves = graph
    for x in leaves:
        assert_readable(mg.derive(y, x))


def assert_readable(derivation):
    """LaTeX is parsed by mathtext, MathML as XML, and no placeholder is left anywhere."""
    tex = derivation.latex()
    derivation.figure()  # whose lines mathtext parses
    ElementTree.fromstring(derivation.mathml())
    written = [tex, derivation.mathml(), str(derivation), derivation.markdown(), derivation.latex(steps=True),
               *map(str, derivation.steps())]  # fmt: skip
    assert not any(ord(c) >= 0xF0000 for text in written for c in text)


HOSTILE = [
    'say "hi"',
    "<b>&amp;",
    "back\\slash",
    "two\nlines",
    "été 日本",
    "{x}_y^z",
    "$#%~",
    "",
    " ",
    "x" * 300,
    "∂",
    "]]>",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_survive(name):
    x = mg.parameter([1.0, 2.0], name)
    y = np.sum(x * x).named(name * 2)
    derivation = mg.derive(y, x)
    assert_readable(derivation)


def test_symbols():
    expected = {
        "F1": ("F₁", "F_{1}"), "H~": ("H̃", r"\tilde{H}"), "beta": ("β", r"\beta"), "x_hat": ("xₕₐₜ", r"x_{\mathrm{hat}}"),
        "vec(H~)": ("vec(H̃)", r"\operatorname{vec}(\tilde{H})"), "F2i": ("F₂ᵢ", "F_{2i}"), "ce": ("ce", r"\mathrm{ce}"),
        "x'": ("x′", "x'"), "yᵀp": ("yᵀp", r"\mathrm{y^{\top}p}"), "a_b": ("a_{b}", "a_{b}"), "W": ("W", "W"),
    }  # fmt: skip
    assert {name: tuple(symbol(name)) for name in expected} == expected


def test_mathml_is_what_browsers_implement():
    x = mg.parameter(np.ones(3), "x")
    element = mg.derive(np.sum(x), x).mathml()
    assert "<mn>\U0001d7cf</mn>" in element and 'style="text-align: right"' in element and "bold" not in element


def test_symbols_with_subscripts_take_indices_as_a_group():
    a, b = mg.parameter(np.ones((2, 3, 4)), "a1"), mg.parameter(np.ones((2, 4, 5)), "b1")
    tex = mg.derive(np.einsum("bij,bjk->bik", a, b).named("y"), a).latex()
    assert "{b_{1}}_{" in tex
    for _, node in NODES:  # of every op
        for x in node.inputs:
            if x.dtype in FLOATS and node.dtype in FLOATS:
                assert not re.search(r"(?<!})_\{[^{}]*\}_", mg.derive(node, x).latex())


def test_no_path_is_a_zero_with_its_reason():
    x, z = mg.parameter([1.0, 2.0], "x"), mg.parameter(1.0, "z")
    y = np.sum(x * 2.0).named("y")
    assert mg.derive(y, z).evaluate().shape == (1, 1) and "y is not computed from z" in str(mg.derive(y, z))
    assert mg.derive(y, z).latex() == "\\begin{align*}\n\\frac{\\partial y}{\\partial z} &= 0\n\\end{align*}"
    assert_readable(mg.derive(y, z))
    masked = np.sum((x > 1.5) * 1.0).named("m")
    assert "has no derivative" in str(mg.derive(masked, x)) and not mg.derive(masked, x).evaluate().nnz
    assert str(mg.derive(x, x)).endswith("∂x/∂x = I") and (mg.derive(x, x).evaluate().toarray() == np.eye(2)).all()


def test_bad_input():
    x = mg.parameter([1.0, 2.0], "x")
    y = np.sum(x)
    with pytest.raises(TypeError, match="derive: got float; wanted a Node"):
        mg.derive(1.0, x)
    with pytest.raises(TypeError, match="derive: got list"):
        mg.derive(y, [x])
    with pytest.raises(KeyError, match="no node behind it has the name or path 'w'"):
        mg.derive(y, "w")
    with pytest.raises(TypeError, match="derive: got .* of dtype bool; wanted float32 or float64"):
        mg.derive(x > 1, x)
    derivation = mg.derive(y, x)
    with pytest.raises(ValueError, match=r"wanted a name that ends in \.png, \.svg or \.pdf"):
        derivation.save("a.gif")
    y.backward()
    with pytest.raises(mg.GraphError, match="freed by backward"):
        mg.derive(y, x)


def test_abstract_graphs_and_models():
    net = mg.models.build("resnet18")
    y = net(mg.Spec((1, 3, 224, 224)))
    derivation = mg.derive(y, "conv1/weight")
    assert derivation.paths == 256 and not derivation.by_blocks
    assert "25088×25088" in str(derivation)
    with pytest.raises(mg.GraphError, match="has no value"):
        derivation.evaluate()
    deep = mg.derive(mg.models.build("resnet152")(mg.Spec((1, 3, 224, 224))), "conv1/weight")
    assert deep.paths == 2**50 and deep.by_blocks
    paths = 1
    for _, _, n in deep.blocks():
        paths *= n
    assert paths == 2**50 and "layer3/35" in str(deep) and "layer3/35" in deep.markdown()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_pulls_written_as_convolutions(d):
    rng = np.random.default_rng(d)
    compared = 0
    for groups, stride, padding, dilation in product((1, 2), (1, 2, 3), (0, 1, (0, 2) * d), (1, 2)):
        x, w = (
            rng.standard_normal((2, 2 * groups, *range(6, 6 + d))),
            rng.standard_normal((2 * groups, 2, *[2, 3, 1][:d])),
        )
        conv = getattr(mg, f"conv{d}d")
        y = conv(mg.parameter(x), mg.parameter(w), stride=stride, padding=padding, dilation=dilation, groups=groups)
        g = rng.standard_normal(y.shape)
        for i, J in enumerate(Tape.of(y).local(y)):
            np.testing.assert_allclose(y.op.convolution_pull(i).compute(g, x, w), J.pull(g), rtol=1e-9, atol=1e-11)
            compared += 1
    assert compared == 72


def test_pictures(tmp_path):
    X, (F,), W, l = network()
    for suffix in ("png", "svg", "pdf"):
        mg.derive(l, F).save(tmp_path / f"d.{suffix}")
        assert (tmp_path / f"d.{suffix}").stat().st_size > 1000
    assert mg.derive(l, F)._repr_markdown_() == mg.derive(l, F).markdown()


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "mathml", "steps"])
def test_the_command(form, capsys):
    assert main(["derive", "--wrt", "F", "--format", form]) == 0
    text = capsys.readouterr().out
    assert re.search({"text": "· W ", "mathml": "<mi>W</mi>"}.get(form, r"W"), text)


def test_the_command_writes_files_and_names_what_is_wrong(tmp_path, capsys):
    for name in ("d.tex", "d.png"):
        assert main(["derive", "--of", "s", "--wrt", "X", "--format", "latex", "-o", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 100
    assert main(["derive", "--wrt", "nope"]) == 2
    assert "no node behind it has the name or path 'nope'" in capsys.readouterr().err
    assert main(["derive", "--format", "latex", "--numbers", "--wrt", "F"]) == 0
    assert "bmatrix" in capsys.readouterr().out
