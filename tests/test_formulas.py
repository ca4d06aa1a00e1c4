"""The formulas of Jacobians: none is missing, LaTeX reads them, and evaluated they are the Jacobians."""

import math
import re
from functools import partial, reduce
from itertools import product
from math import prod

import matplotlib
import numpy as np
import pytest
from cases import CASES
from matplotlib.mathtext import MathTextParser
from scipy import special, stats

import minigraph as mg
from minigraph import notation
from minigraph.inspect.formulas import jacobian_formulas
from minigraph.node import FLOATS
from minigraph.op import Op
from minigraph.ops import linalg
from minigraph.ops.conv.columns import Im2col
from minigraph.ops.conv.slots import Conv, ConvInputGradient
from minigraph.ops.dropout import Dropout
from minigraph.ops.elementwise import Elementwise
from minigraph.ops.interpolate import Interpolate
from minigraph.ops.loss import CrossEntropy, ElementwiseLoss, L2Penalty, MultiMarginLoss
from minigraph.ops.normalization import LocalResponseNorm, Normalization
from minigraph.ops.pool import AdaptiveAvgPool, AvgPool
from minigraph.ops.products import Contraction, Linear, SparseProduct
from minigraph.ops.reduce import CumulativeSum, Reduction
from minigraph.tape import Tape

matplotlib.use("agg")
PARSE = MathTextParser("agg").parse


def nodes_of(case):
    """The nodes of the case that have an op."""
    inputs = [mg.parameter(x) if np.asarray(x).dtype in FLOATS else mg.constant(x) for x in case.inputs]
    return [node for node in Tape.of(case.op(*inputs)).nodes if node.op]


def formulas_of(node):
    """The op's Jacobians, as arrays, with their formulas."""
    found = jacobian_formulas(node.op, node.value, *[x.value for x in node.inputs])
    return list(zip(node.op.maps(node), found, strict=True))


def jacobians(y):
    """Of the last op: each Jacobian as an array, with its text."""
    return [(J.toarray(), formula.text) for J, formula in formulas_of(y)]


NODES = [(cls, node) for cls, case in CASES for node in nodes_of(case) if type(node.op) is cls]
IDS = [f"{cls.__name__}-{node.op.name}" for cls, node in NODES]


def test_legends_explain_the_letters_of_formulas():
    """Every entry of a legend is a letter of a formula of the ops that share it."""
    unused = {(id(cls.legend), letter): cls for cls, _ in NODES for letter in cls.legend}
    for cls, node in NODES:
        for formula in filter(None, jacobian_formulas(node.op, node, *node.inputs)):
            for letter in formula.legend:
                unused.pop((id(cls.legend), letter), None)
    assert not unused
    x, w = mg.Spec((1, 2, 5, 5)), mg.Spec((3, 2, 3, 3))
    by_x, by_w = jacobian_formulas(mg.conv2d(x, w).op, mg.Spec((1, 3, 3, 3)), x, w)
    assert by_x.legend.keys() == {"M_F"} and by_w.legend.keys() == {"M_X"}


def test_every_op_has_cases():
    assert {cls for cls in Op.registry if cls.__module__.startswith("minigraph.")} == {cls for cls, _ in NODES}
    assert Elementwise.table.keys() >= {node.op.name for cls, node in NODES if cls is Elementwise}
    assert {name for name, op in Elementwise.table.items() if any(op.derivatives)} <= {
        node.op.name for _, node in NODES
    }


@pytest.mark.parametrize(("cls", "node"), NODES, ids=IDS)
def test_each_jacobian_has_a_formula(cls, node):
    for i, (J, formula) in enumerate(formulas_of(node)):
        assert (J is None) == (formula is None)
        if J is None:
            continue
        assert formula.shape == J.shape
        stated = "∂" not in formula.text or cls.__name__ == "Checkpoint"
        assert stated and "∂" not in str(node.op.formula(i)) or cls.__name__ == "Checkpoint"
        for text in (formula.text, node.op.formula(i)):
            PARSE(f"${notation.latex(text)}$")
        PARSE(f"${formula.latex}$")


# --- evaluated ---------------------------------------------------------------------------------------------


def names(**more):
    """The names that ``notation.python`` gives."""
    functions = {name: getattr(np, name) for name in (
        "abs", "clip", "cos", "cosh", "exp", "floor", "log", "maximum", "minimum", "sign", "sin", "sinh", "sqrt", "tanh",
        "trunc", "pi", "e")}  # fmt: skip
    special_functions = ("expit", "ndtr", "digamma", "polygamma", "i0", "i0e", "i1", "i1e")
    return functions | {name: getattr(special, name) for name in special_functions} | {"norm": stats.norm} | more


@pytest.mark.parametrize(
    "node", [node for cls, node in NODES if cls is Elementwise], ids=[i for i in IDS if i.startswith("Elementwise-")]
)
def test_slopes_of_elementwise_functions(node):
    xs = [x.value for x in node.inputs]
    given = dict(zip(node.op.symbols(len(xs)), xs, strict=True))
    for i, (slope, derivative) in enumerate(zip(node.op.slopes, node.op.derivatives, strict=True)):
        assert (slope is None) == (derivative is None)
        if slope is None:
            continue
        value = eval(notation.python(slope), names(y=node.value, **given))
        expected = derivative(node.value, *xs)
        np.testing.assert_allclose(value, np.asarray(expected, float), rtol=1e-6, err_msg=f"{node.op} {i}: {slope}")


class Matrix:
    """A matrix in a formula, where * is the matrix product and vectors are columns."""

    __array_ufunc__ = None

    def __init__(self, entries):
        self.entries = np.asarray(entries, float)

    def __mul__(self, other):
        if np.ndim(other) == 0 and not isinstance(other, Matrix):
            return Matrix(self.entries * other)
        return Matrix(self.entries @ column(other))

    def __rmul__(self, other):
        return Matrix(other * self.entries) if np.ndim(other) == 0 else Matrix(column(other) @ self.entries)

    def __add__(self, other):
        assert self.entries.shape == other.entries.shape
        return Matrix(self.entries + other.entries)

    def __sub__(self, other):
        return self + -other

    def __neg__(self):
        return Matrix(-self.entries)

    def __truediv__(self, number):
        return Matrix(self.entries / number)


def column(x):
    return x.entries if isinstance(x, Matrix) else np.reshape(np.asarray(x, float), (-1, 1))


class Sized(dict):
    """Names, among them I, ones and squares of ones, each of the next of the sizes given."""

    def __init__(self, sizes, shape=(), **more):
        super().__init__(names(transposed=lambda x: Matrix(column(x).T), diag=lambda x: Matrix(np.diag(np.ravel(x))),
                               vec=np.ravel, kron=partial(kron, shape)) | more)  # fmt: skip
        self.sizes = iter(sizes)

    def __getitem__(self, name):
        make = {"I": np.eye, "J": lambda n: np.ones((n, n)), "u": lambda n: np.ones((n, 1))}.get(name)
        return super().__getitem__(name) if make is None else Matrix(make(next(self.sizes)))


def kron(shape, *factors):
    factors = [column(factor) for factor in factors]
    if not {prod(sides) for sides in zip(*[a.shape for a in factors], strict=True)} <= set(shape):
        raise ValueError("sides that the whole has not")
    return Matrix(reduce(np.kron, factors))


def values(text, shape, **given):
    """What the formula can be, for all sizes of I, J = 1 1ᵀ and u = 1 that make it a matrix of this shape."""
    text = re.sub(r"(?<![\d.])1(?=ᵀ| ⊗|\)? diag| exp)|(?<=⊗ )1|^1$|(?<=\) )1$", "u", text.replace("1 1ᵀ", "J"))
    code = compile(notation._parsed(text)[0].python, text, "eval")
    unknown = sum(text.replace("Ind", "").count(c) for c in "IJu") - text.count("sum")
    sides = [n for n in range(1, max(shape) + 1) if shape[0] % n == 0 or shape[1] % n == 0]
    for sizes in product(sides, repeat=unknown):
        try:
            found = eval(code, {}, Sized(sizes, shape, **given))
        except (ValueError, AssertionError):  # shapes that do not fit
            continue
        entries = column(found)
        if entries.shape == shape:
            yield entries


def in_order(rows):
    """The same rows in an order of their own."""
    return np.array(sorted(np.round(rows, 9).tolist()))


def arrays(node):
    return dict(zip(node.op.symbols(len(node.inputs)), (x.value for x in node.inputs), strict=True))


def letters(node):
    """What the letters of the node's formulas stand for."""
    op, y, xs = node.op, node.value, [x.value for x in node.inputs]
    given = arrays(node)
    if isinstance(op, Contraction | Linear):
        return {name: Matrix(x.reshape(-1, x.shape[-1])) if x.ndim > 1 else x for name, x in given.items()}
    if isinstance(op, Elementwise):
        return {name: np.broadcast_to(x, y.shape) for name, x in given.items()} | {"y": y}
    if isinstance(op, Reduction):
        x, axes = xs[0], op.axes(xs[0])
        kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
        wide = np.broadcast_to(np.reshape(y, kept), x.shape)
        return {"x": x, "y": wide if y.ndim else y, "n": x.size // max(np.size(y), 1), "p": op.options.get("ord"),
                "mean": lambda x: np.mean(x, axes, keepdims=True)}  # fmt: skip
    if isinstance(op, ElementwiseLoss):
        options = {"w": op.options.get("weight"), "p": op.options.get("pos_weight"), "δ": op.options.get("delta")}
        return given | options | {"β": op.options.get("beta"), "n": xs[0].size}
    if isinstance(op, CrossEntropy) and not isinstance(op, MultiMarginLoss):
        (s, labels), axis = xs, op.axis(xs[0])
        t, N = op.target(s, labels)
        seen = t.sum(axis, keepdims=True) > 0
        return {
            "s": s,
            "t": t,
            "p": special.softmax(s, axis) * seen,
            "N": N,
            "sum": lambda t: t.sum(axis, keepdims=True),
        }
    if isinstance(op, Normalization):
        x, groups = xs[0].reshape(op.groups(xs[0]).view), op.groups(xs[0])
        mean, _, inverse = op.moments(xs[0])
        number = np.arange(x.size).reshape(groups.view)
        group = np.broadcast_to(number.min(groups.axes, keepdims=True), groups.view).ravel()
        affine = {} if len(xs) == 1 else {"w": np.broadcast_to(xs[1].reshape(groups.affine), groups.view)}
        return {"x̂": (x - mean) * inverse, "σ": np.broadcast_to(1 / inverse, x.shape), "m": groups.size,
                "S": Matrix(np.equal.outer(group, group))} | affine  # fmt: skip
    if isinstance(op, LocalResponseNorm):
        A = Matrix(np.array([op.averaged(e.reshape(y.shape)).ravel() for e in np.eye(y.size)]).T)
        s = op.k + op.alpha * np.reshape((A * xs[0] ** 2).entries, y.shape)
        return {"x": xs[0], "y": y, "s": s, "A": A, "α": op.alpha, "β": op.beta}
    if isinstance(op, SparseProduct):
        return {"A": Matrix(op.matrix.toarray())}
    if isinstance(op, Dropout):
        return {"m": np.broadcast_to(op.mask(xs[0]), y.shape)}
    if isinstance(op, Interpolate | AdaptiveAvgPool):
        made = op.averages(xs[0]) if isinstance(op, AdaptiveAvgPool) else [R.toarray() for R in op._map(xs[0]).matrices]
        letter = "A" if isinstance(op, AdaptiveAvgPool) else "R"
        many = {f"{letter}_{i}": Matrix(R) for i, R in enumerate(made, 1)}
        return many | {letter: Matrix(made[0])}
    if isinstance(op, CumulativeSum):
        return {"L": Matrix(np.tri(y.shape[op.axis]))}
    if isinstance(op, L2Penalty):
        return {notation.python(name): x for name, x in given.items()} | {"λ": op.weight}
    if isinstance(op, Conv | ConvInputGradient):
        x, w = xs[0][:1], xs[1]
        (J, _), *_ = jacobians(op(mg.parameter(x), mg.parameter(w)))  # of one sample
        if isinstance(op, ConvInputGradient):
            return {"M_F": Matrix(J.T)}
        columns = Im2col(w.shape[2:], op.stride, op.padding, op.dilation)(xs[0])
        patches = {"M_X": Matrix(columns.T)} if op.groups == 1 else {}
        return {"M_F": Matrix(J)} | patches
    if isinstance(op, linalg.MatrixOp) and xs[0].ndim == 2:
        A, n = xs[0], len(xs[0])
        if isinstance(op, linalg.PseudoInverse):
            m, n = A.shape
            K = np.array([e.reshape(m, n).T.ravel() for e in np.eye(m * n)]).T
            return {"Y": Matrix(y), "M": Matrix(np.eye(m) - A @ y), "N": Matrix(np.eye(n) - y @ A), "K": Matrix(K)}

        def of_units(function):
            return Matrix(np.array([function(e.reshape(n, n)).ravel() for e in np.eye(n * n)]).T)

        half = np.tri(n) - np.eye(n) / 2
        UPLO = getattr(op, "UPLO", "L")
        made = {
            "S": of_units(lambda v: linalg.symmetric(v, UPLO)),
            "Φ": of_units(lambda v: half * v),
            "W": Matrix(np.linalg.inv(A)),
        }
        if isinstance(op, linalg.Cholesky):
            return made | {"L": Matrix(y), "W": Matrix(np.linalg.inv(y))}
        if isinstance(op, linalg.Eigenvectors):
            w = np.linalg.eigvalsh(A, UPLO)
            gaps = w - w[:, None]
            return made | {"Q": Matrix(y), "F": np.divide(1, gaps, out=np.zeros((n, n)), where=gaps != 0)}
        if isinstance(op, linalg.Solve):
            return made | {"Y": Matrix(y)}
        return {"W": np.linalg.inv(A).T, "C": np.linalg.det(A) * np.linalg.inv(A).T}
    if op.name == "global_avg_pool":
        return {"n": prod(xs[0].shape[2:])}
    if isinstance(op, AvgPool):
        return {"A": Matrix(op.jacobians(y[:1, :1], xs[0][:1, :1])[0].toarray())}
    return given | {"y": y}


def evaluable(text, known):
    """Whether the letters of the formula are known, but for a P before it, which orders rows."""
    if any(sign in text for sign in "⊕[∏∂"):
        return False
    found = compile(notation._parsed(text.removeprefix("P "))[0].python, text, "eval").co_names
    return set(found) <= {*known, *Sized([]), "I", "J", "u", "pdf"}


CHECKED = [
    (cls, node) for cls, node in NODES if any(f and evaluable(f.text, letters(node)) for _, f in formulas_of(node))
]


@pytest.mark.parametrize(("cls", "node"), CHECKED, ids=[f"{cls.__name__}-{node.op.name}" for cls, node in CHECKED])
def test_formulas_evaluated(cls, node):
    known = letters(node)
    for J, formula in formulas_of(node):
        if formula is None or not evaluable(formula.text, known):
            continue
        dense, text = J.toarray(), formula.text
        found = list(values(text.removeprefix("P "), J.shape, **known))
        if text.startswith("P "):
            dense, found = in_order(dense), map(in_order, found)
        assert any(np.allclose(a, dense, rtol=1e-6, atol=1e-9) for a in found), f"{text} is not {J.shape} {dense}"


def blocks(parts):
    from scipy.linalg import block_diag

    return block_diag(*parts)


def test_structure():
    rng = np.random.default_rng(0)
    A, B, s = rng.standard_normal((3, 4)), rng.standard_normal((4, 2)), rng.standard_normal((2, 3))
    (J_A, text_A), (J_B, text_B) = jacobians(mg.parameter(A) @ mg.parameter(B))
    assert (text_A, text_B) == ("I ⊗ Bᵀ", "A ⊗ I")
    np.testing.assert_allclose(J_A, np.kron(np.eye(3), B.T))
    np.testing.assert_allclose(J_B, np.kron(A, np.eye(2)))

    ((J, text),) = jacobians(mg.softmax(mg.parameter(s[0])))
    p = special.softmax(s, 1)
    assert text == "diag(y) − y yᵀ"
    np.testing.assert_allclose(J, np.diag(p[0]) - np.outer(p[0], p[0]))
    ((J, text),) = jacobians(mg.softmax(mg.parameter(s)))
    assert text == "⊕ᵢ (diag(yᵢ) − yᵢ yᵢᵀ)"
    np.testing.assert_allclose(J, blocks([np.diag(y) - np.outer(y, y) for y in p]))

    ((J, text),) = jacobians(np.mean(mg.parameter(s)))
    assert text == "1ᵀ/n"
    np.testing.assert_allclose(J, np.full((1, 6), 1 / 6))

    x, w = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 4, 5))
    (J_x, text_x), (J_w, text_w) = jacobians(mg.parameter(x) @ mg.parameter(w))
    assert (text_x, text_w) == ("⊕ᵢ (I ⊗ Bᵢᵀ)", "⊕ᵢ (Aᵢ ⊗ I)")
    np.testing.assert_allclose(J_x, blocks([np.kron(np.eye(3), B.T) for B in w]))
    np.testing.assert_allclose(J_w, blocks([np.kron(A, np.eye(5)) for A in x]))

    image = rng.standard_normal((2, 3, 4, 6))
    ((J, text),) = jacobians(mg.avg_pool2d(mg.parameter(image), 2))
    assert text == "I ⊗ A"
    np.testing.assert_allclose(J, np.kron(np.eye(6), mg.pool_matrix(image[:1, :1], 2, kind="avg").toarray()))

    y = mg.conv2d(mg.parameter(image[:1]), mg.parameter(rng.standard_normal((2, 3, 2, 2))))
    (J_x, text_x), (J_w, text_w) = jacobians(y)
    assert (text_x, text_w) == ("M_F", "I ⊗ M_X")
    np.testing.assert_allclose(J_w, np.kron(np.eye(2), mg.patch_matrix(image[:1], 2).toarray()))
    np.testing.assert_allclose(J_x, mg.conv_matrix(y.inputs[1].value, image.shape[1:]).toarray())

    y = mg.conv2d(mg.parameter(image[:, :2]), mg.parameter(rng.standard_normal((4, 1, 2, 2))), groups=2)
    _, (J_w, text_w) = jacobians(y)
    assert text_w == "P (⊕_g (I ⊗ M_{X_g}))"
    each = blocks([np.kron(np.eye(2), mg.patch_matrix(image[:, [g]], 2).toarray()) for g in range(2)])
    np.testing.assert_allclose(J_w, each.reshape(4, 2, 15, 16).swapaxes(0, 1).reshape(J_w.shape))

    layer = mg.layer_norm(mg.parameter(s), 3, mg.parameter(np.array([1.0, 2, 3])))
    (J, text), *_ = jacobians(layer)
    assert text == "⊕ᵢ diag(wᵢ) σᵢ⁻¹ (I − 1 1ᵀ/m − x̂ᵢ x̂ᵢᵀ/m)"
    z = (s - s.mean(1, keepdims=True)) / np.sqrt(s.var(1, keepdims=True) + 1e-5)
    w = np.diag([1.0, 2, 3])
    np.testing.assert_allclose(
        J, blocks([w @ (np.eye(3) - 1 / 3 - np.outer(v, v) / 3) / math.sqrt(r.var() + 1e-5) for v, r in zip(z, s, strict=True)])
    )  # fmt: skip


@pytest.mark.parametrize("subscripts", ["ij,kl->lijk", "ij,jk,kl->il", "ij,jk->ki", "ij,ij->", "ij,ji->i", "ijk->ki"])
def test_entries_of_contractions(subscripts):
    """[…]: rows by the letters of y, columns by those of the operand, with ′ where y has them too."""
    rng = np.random.default_rng(0)
    terms, out = subscripts.split("->")
    xs = [rng.standard_normal([2 + "ijkl".index(c) for c in term]) for term in terms.split(",")]
    y = Contraction(subscripts)(*map(mg.parameter, xs))
    for s, (J, formula) in enumerate(formulas_of(y)):
        if formula.text[0] != "[":
            continue
        factors, arrays_ = [], []
        for c in terms.split(",")[s]:
            if c in out:
                assert f"δ_{{{c}{c}′}}" in formula.text
                factors.append(c + c.upper())
                arrays_.append(np.eye(2 + "ijkl".index(c)))
        for i, (term, x) in enumerate(zip(terms.split(","), xs, strict=True)):
            if i != s:
                assert f"{y.op.symbols(len(xs))[i]}_{{{term}}}" in formula.text
                factors.append(term)
                arrays_.append(x)
        free = "".join(c.upper() if c in out else c for c in terms.split(",")[s])
        missing = [c for c in out + free if c not in "".join(factors)]
        factors += missing
        arrays_ += [np.ones(2 + "ijkl".index(c.lower())) for c in missing]
        expected = np.einsum(f"{','.join(factors)}->{out}{free}", *arrays_)
        np.testing.assert_allclose(J.toarray(), expected.reshape(J.shape), err_msg=formula.text)


# --- the notation ------------------------------------------------------------------------------------------

LATEX = {
    "diag(cos x)": r"\operatorname{diag}(\cos x)",
    "1/(1 + x²)": r"\frac{1}{1 + x^{2}}",
    "√(1 − x²)": r"\sqrt{1 - x^{2}}",
    "aᵇ⁻¹": "a^{b - 1}",
    "σ⁻¹": r"\sigma^{-1}",
    "x̂": r"\hat{x}",
    "I ⊗ R₁": r"I \otimes R_{1}",
    "M_F": "M_F",
    "Aᵀ": r"A^{\top}",
    "Σ x²": r"\sum x^{2}",
    "∂y/∂x": r"\frac{\partial y}{\partial x}",
    "eˣ": "e^{x}",
    "a · b": r"a \cdot b",
    "Ind(a ≥ b)": r"\operatorname{Ind}(a \geq b)",
    "1ᵀ/n": r"\frac{\mathbf{1}^{\top}}{n}",
    "∂l/∂W = (∂l/∂z) M_X": r"\frac{\partial l}{\partial W} = \left( \frac{\partial l}{\partial z} \right) M_X",
    "−⌊a/b⌋": r"-\left\lfloor \frac{a}{b} \right\rfloor",
}


@pytest.mark.parametrize(("text", "expected"), LATEX.items())
def test_latex(text, expected):
    assert notation.latex(text) == expected
    PARSE(f"${expected}$")


def test_python():
    assert notation.python("−y/b") == "-y/b"
    assert notation.python("2 exp(−x²)/√π") == "2*exp(-x**2)/sqrt(pi)"
    assert notation.python("b aᵇ⁻¹ Ind(a ≠ 0)") == "b*a**(b - 1)*(a != 0)"
    for text in ("I ⊗ B", "xᵀ", "diag(x)", "Σ x"):
        with pytest.raises(ValueError, match="elementwise formula"):
            notation.python(text)


@pytest.mark.parametrize("text", ["", "(x", "x +", "⊗ x", "x)", "|x", "ᵀ"])
def test_what_is_no_formula(text):
    with pytest.raises(ValueError, match="is out of place"):
        notation.latex(text)


def test_stretching():
    for small, large in (
        ((3, 1), (3, 4)),
        ((4,), (3, 4)),
        ((), (2, 3)),
        ((2, 1, 3), (2, 4, 3)),
        ((1, 4, 1), (2, 4, 3)),
    ):
        text = notation.stretching(small, large)
        numbers = np.broadcast_to(np.arange(prod(small)).reshape(small), large).ravel()
        expected = np.eye(prod(small))[numbers]
        assert any(np.array_equal(a, expected) for a in values(text, expected.shape)), text


def test_a_function_without_a_formula():
    op = Elementwise("mine", np.sin, lambda y, x: np.cos(x))
    (formula,) = jacobian_formulas(op, np.ones(3), np.ones(3))
    assert formula.text == "diag(∂y/∂x)" and formula.shape == (3, 3)
    assert formula.latex == r"\operatorname{diag}\left( \frac{\partial y}{\partial x} \right)"
    (formula,) = jacobian_formulas(Elementwise("small", lambda x: -1e-7 * x, -1e-7), np.ones(3), np.ones(3))
    assert formula.text == "(−0.0000001) I"
