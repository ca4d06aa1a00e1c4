"""Products: every multilinear op is one contraction of index letters, an einsum.

For "ik,kj->ij" the Jacobian in the first slot is v ↦ einsum("ik,kj->ij", v, b), its transpose
g ↦ einsum("ij,kj->ik", g, b): products again, so the family is closed under differentiation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from math import prod
from operator import index
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from minigraph import notation
from minigraph.array import Array, plain
from minigraph.facts import Axis, Layer
from minigraph.kernels import tasks
from minigraph.kernels.sparse import compressed, sized
from minigraph.maps import Bounds, Broadcast, FunctionMap, LinearMap, promoted
from minigraph.node import Spec, value_of
from minigraph.op import Op, expect, expect_floats, implements, operand
from minigraph.ops.shape import diagonal, squeeze

__all__ = [
    "dot", "einsum", "inner", "linear", "matmul", "outer", "tensordot", "vdot",
]  # fmt: skip

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Contraction(Op):
    """y = einsum(subscripts, x₁, …, xₙ).

    J in slot s has, at output indices o and input indices i of the slot, the product of the other
    factors summed over the letters in neither o nor i.
    """

    name = "einsum"

    def __init__(self, subscripts: str, name: str = "einsum") -> None:
        self.subscripts, self.name = subscripts, name
        terms, self.out = subscripts.split("->")
        self.terms = terms.split(",")

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"subscripts": self.subscripts} if self.name == "einsum" else {}

    legend: ClassVar[dict[str, str]] = {
        "[ ]": "the matrix with these entries; rows have the indices of y, columns those of the operand, with ′ if y has them too",
        "i": "the index of the leading axes, shared by all factors",
    }

    def symbols(self, n: int) -> list[str]:
        if not 1 < n <= 8:
            return super().symbols(n)
        return [name if len(t) > 1 else name.lower() for name, t in zip("ABCDEFGH", self.terms, strict=False)]

    def formula(self, i: int) -> str | None:
        return slot_formula(self, i, dict.fromkeys("".join(self.terms), 2))

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        return slot_formula(self, i, self.sides(*xs))

    def operand(self, x: Any, xs: Sequence[Any]) -> Any:
        array = plain(x, self.name)
        floats = [other.dtype for other in xs if getattr(other, "dtype", np.dtype(bool)).kind == "f"]
        return array.astype(np.result_type(*floats)) if floats and array.dtype.kind in "iub" else array

    def sides(self, *xs: Any) -> dict[str, int]:
        """The length that each letter stands for."""
        return {
            letter: n for term, x in zip(self.terms, xs, strict=True) for letter, n in zip(term, x.shape, strict=True)
        }

    def infer(self, *xs: Spec) -> Spec:
        got = {f"factor {i}": x for i, x in enumerate(xs, 1)}
        valid = len(xs) == len(self.terms) and all(len(t) == x.ndim for t, x in zip(self.terms, xs, strict=True))
        expect(valid, self, f"factors with the axes of {self.subscripts}", **got)
        sides = self.sides(*xs)
        for term, x in zip(self.terms, xs, strict=True):
            for letter, n in zip(term, x.shape, strict=True):
                expect(sides[letter] == n, self, f"axes of {self.subscripts} that agree in {letter}", **got)
        return Spec(
            tuple(sides[letter] for letter in self.out),
            expect_floats(self, **got)
            if any(x.dtype.kind in "fc" for x in xs)
            else np.result_type(*[x.dtype for x in xs]),
        )

    def forward(self, *xs: Array) -> Any:
        return tasks.contract(self.subscripts, *xs)

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [tuple(range(n))]

    def multiply_adds(self, y: Any, *xs: Any) -> int:
        return (len(xs) - 1) * prod(self.sides(*xs).values())

    def layer(self, learned: int, *xs: Spec) -> Layer | None:
        if len(xs) != 2 or learned < 0:
            return None
        axes = [
            Axis(c, ((-1, k), *((i, term.index(c)) for i, term in enumerate(self.terms) if c in term)))
            for k, c in enumerate(self.out)
        ]
        return Layer(xs, 1 - learned, learned, cuts=[axes])

    def jacobians(self, y: Any, *xs: Any) -> list[LinearMap | None]:
        return [promoted(self._slot(s, y, *xs), x) if x.dtype.kind in "fc" else None for s, x in enumerate(xs)]

    def _slot(self, s: int, y: Any, *xs: Any) -> LinearMap:
        x, sides, out, term = xs[s], self.sides(*xs), self.out, self.terms[s]
        others = [(t, f) for i, (t, f) in enumerate(zip(self.terms, xs, strict=True)) if i != s]
        pulled = "".join(c for c in term if c in out or any(c in t for t, _ in others))

        def push(v: Any) -> Any:
            return einsum(self.subscripts, *xs[:s], v, *xs[s + 1 :])

        def pull(g: Any) -> Any:
            terms = ",".join([out, *[t for t, _ in others]])
            return stretched(einsum(f"{terms}->{pulled}", g, *[f for _, f in others]))

        def stretched(c: Any, *leading: int) -> Any:
            """c along the letters that are summed in this slot alone, too, where the cotangent is the same."""
            if pulled == term:
                return c
            shape = tuple(sides[c] if c in pulled else 1 for c in term)
            return np.broadcast_to(np.reshape(c, leading + shape), leading + x.shape)

        def product(rows: Any, given: str, wanted: str) -> Any:
            terms = ",".join([spare + given, *[t for t, _ in others]])
            return tasks.contract(f"{terms}->{spare}{wanted}", rows, *[value_of(f) for _, f in others])

        def push_rows(rows: Any) -> Any:
            return product(rows, term, out)

        def pull_rows(rows: Any) -> Any:
            return stretched(product(rows, out, pulled), len(rows))

        def pull_samples(rows: Any) -> Any:
            return stretched(product(rows, out, out[0] + pulled), *rows.shape[:2])

        def rows(index: Array) -> sp.csr_array:
            own = "".join(c for c in term if c not in out)
            width = prod([sides[c] for c in own])
            at = dict(zip(out, (i[:, None] for i in np.unravel_index(index, y.shape)), strict=True))
            at |= (
                dict(zip(own, np.unravel_index(np.arange(width), [sides[c] for c in own]), strict=True)) if own else {}
            )
            remaining = "".join(c for c in out + own if any(c in t for t, _ in others))
            terms = ",".join(t for t, _ in others)
            factor = (
                tasks.contract(f"{terms}->{remaining}", *[value_of(f) for _, f in others])
                if others
                else np.ones((), x.dtype)
            )
            strides = {c: prod(x.shape[i + 1 :]) for i, c in enumerate(term)}
            columns = sum((at[c] * strides[c] for c in term), np.zeros((len(index), width), np.int64))
            data = np.broadcast_to(np.asarray(factor)[tuple(at[c] for c in remaining)], columns.shape)
            return compressed(
                data.ravel(), columns.ravel(), np.arange(len(index) + 1) * width, (len(index), prod(x.shape))
            )

        spare = next((c for c in reversed(LETTERS) if c not in self.subscripts), "")
        row = prod(tuple(sides[c] for c in set(term) - set(out)))
        col = prod(tuple(sides[c] for c in set(out) - set(term)))
        return FunctionMap(x.shape, y.shape, y.dtype, push=push, pull=pull, bounds=Bounds(prod(y.shape) * row, row, col),
                       rows=rows, push_rows=push_rows if spare else None,
                       pull_rows=pull_rows if spare else None, by_sample=bool(out) and out[0] == term[:1],
                       pull_samples=pull_samples if spare and out and out[0] not in term else None)  # fmt: skip


def slot_formula(op: Contraction, s: int, sides: dict[str, int]) -> str:
    """The Jacobian in slot s on paper: a Kronecker product where it is one, else its entries."""
    names, term, out = op.symbols(len(op.terms)), op.terms[s], op.out
    others = [(t, n) for i, (t, n) in enumerate(zip(op.terms, names, strict=True)) if i != s]
    if len(others) < 2:
        other, name = others[0] if others else ("", "")
        factors = kronecker_factors(out, term, other, name, sides)
        if factors is not None:
            text = notation.kronecker(factors)
            return notation.scaled(name, notation.term(text)) if name and not other else text
        shared = 0
        while out[shared : shared + 1] and out[: shared + 1] == term[: shared + 1] == other[: shared + 1]:
            shared += 1
        factors = kronecker_factors(out[shared:], term[shared:], other[shared:], name + "ᵢ", sides) if shared else None
        if factors is not None:
            return f"⊕ᵢ {notation.term(notation.kronecker(factors))}"
    below = ["Σ_{" + c + "}" for c in dict.fromkeys("".join(t for t, _ in others)) if c not in out + term]
    same = ["δ_{" + c + c + "′}" for c in term if c in out]
    return "[" + " ".join([*same, *below, *(f"{n}_{{{t}}}" if t else n for t, n in others)] or "1") + "]"


def kronecker_factors(
    out: str, term: str, other: str, name: str, sides: dict[str, int]
) -> list[tuple[str, int]] | None:
    """Of ∂y[out]/∂x[term], y the product with ``name``[other]: a matrix for each run of axes; None if there are none.

    Axes that y and x share give I, axes that are summed in x alone 1ᵀ, and those of the other factor its matrix.
    """
    factors: list[tuple[str, int]] = []
    i = j = 0
    placed = not other
    while i < len(out) or j < len(term):
        a, b = out[i : i + 1], term[j : j + 1]
        if a and a == b and a not in other:
            factors.append(("I", sides[a]))
            i, j = i + 1, j + 1
        elif not placed and out[i : i + len(other)] == term[j : j + len(other)] == other:
            factors.append((f"diag({name})", 0))
            i, j, placed = i + len(other), j + len(other), True
        elif not placed and ((a and a in other) or (b and b in other)):
            rows = "".join(takewhile(lambda c: c in other and c not in term, out[i:]))
            columns = "".join(takewhile(lambda c: c in other and c not in out, term[j:]))
            if other not in (rows + columns, columns + rows):
                return None
            matrix = name if rows and columns or len(other) == 1 else f"vec({name})"
            factors.append((matrix if other == rows + columns and rows else matrix + "ᵀ", 0))
            i, j, placed = i + len(rows), j + len(columns), True
        elif b and b not in out + other:
            factors.append(("1ᵀ", sides[b]))
            j += 1
        else:
            return None
    return factors if placed else None


def _product(name: str, terms: list[str], out: str, *xs: Any) -> Any:
    """A Contraction of factors in which an axis of side 1 stretches, and a letter may stand twice in a factor."""
    factors = [operand(name, x) for x in xs]
    sides: dict[str, int] = {}
    for term, x in zip(terms, factors, strict=True):
        for letter, n in zip(term, x.shape, strict=True):
            sides[letter] = n if sides.get(letter, 1) == 1 else sides[letter]
    for k, (term, x) in enumerate(zip(terms, factors, strict=True)):
        stretched = tuple(i for i, c in enumerate(term) if x.shape[i] == 1 != sides[c])
        if stretched:
            x, term = squeeze(x, stretched), "".join(c for i, c in enumerate(term) if i not in stretched)
        while len(set(term)) < len(term):
            c = next(c for c in term if term.count(c) > 1)
            i = term.index(c)
            j = term.index(c, i + 1)
            expect(x.shape[i] == x.shape[j], name, f"equal sides where {c} stands twice", factor=x.shape)
            x, term = diagonal(x, 0, i, j), term[:i] + term[i + 1 : j] + term[j + 1 :] + c
        terms[k], factors[k] = term, x
    return Contraction(f"{','.join(terms)}->{out}", name)(*factors)


@implements(np.einsum)
def einsum(subscripts: Any, *xs: Any, optimize: Any = True) -> Any:
    """Sum of products over index letters, as numpy.einsum: einsum("ij,jk->ik", a, b) or einsum(a, [0, 1], b, [1, 2], [0, 2]).

    Raises ValueError for subscripts that NumPy would not take, ShapeError for factors that do not fit them.
    """
    if not isinstance(subscripts, str) and xs and isinstance(xs[0], (list, tuple)):
        subscripts, xs = _with_letters((subscripts, *xs))
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: got subscripts of type {type(subscripts).__name__}; wanted a string like 'ij,jk->ik'")
    terms, arrow, out = subscripts.replace(" ", "").partition("->")
    names, xs = terms.split(","), tuple(operand("einsum", x) for x in xs)
    if len(names) != len(xs):
        raise ValueError(f"einsum: got {len(xs)} factors for {subscripts!r}; wanted {len(names)}")
    if "." in terms:
        spare = "".join(c for c in LETTERS if c not in subscripts)
        widths = [np.ndim(x) - len(t) + 3 if "..." in t else 0 for t, x in zip(names, xs, strict=True)]
        dots = spare[: max(widths)]
        names = [t.replace("...", dots[len(dots) - n :]) for t, n in zip(names, widths, strict=True)]
        out = out.replace("...", dots) if arrow else dots
    if not arrow:
        letters = "".join(names)
        out += "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c not in out))
    for c in "".join(names) + out:
        if c not in LETTERS or out.count(c) > 1 or (c in out and not any(c in t for t in names)):
            raise ValueError(
                f"einsum: got subscripts {subscripts!r}; {c!r} is out of place; wanted letters, in the result once each and of a factor"
            )
    for term, x in zip(names, xs, strict=True):
        expect(len(term) == np.ndim(x), "einsum", f"a factor with axes {term}", shape=np.shape(x))
    return _product("einsum", names, out, *xs)


def _with_letters(given: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """The subscripts as text, and the factors, of factors each followed by a list of integers, and the result's list last."""

    def text(axes: Any) -> str:
        try:
            return "".join("..." if a is Ellipsis else LETTERS[index(a)] for a in axes)
        except (IndexError, TypeError):
            raise ValueError(f"einsum: got axes {axes!r}; wanted integers from 0 to {len(LETTERS) - 1}") from None

    pairs = len(given) // 2
    terms = ",".join(text(given[2 * i + 1]) for i in range(pairs))
    return terms + (f"->{text(given[-1])}" if len(given) % 2 else ""), tuple(given[0 : 2 * pairs : 2])


@implements(np.matmul)
def matmul(a: Any, b: Any) -> Any:
    """Matrix product, as numpy.matmul. (…, m, k), (…, k, n) → (…, m, n); vectors and sparse constants too.

    ∂y/∂a: v ↦ v b, g ↦ g bᵀ; ∂y/∂b: v ↦ a v, g ↦ aᵀ g.
    """
    if sp.issparse(a):
        return SparseProduct(a)(b)
    if sp.issparse(b):
        return np.transpose(SparseProduct(b.T)(np.transpose(a)))
    a, b = operand("matmul", a), operand("matmul", b)
    m, n = len(a.shape), len(b.shape)
    got = {"a": a.shape, "b": b.shape}
    expect(m > 0 and n > 0, "matmul", "at least one axis each (scalars: use *)", **got)
    expect(a.shape[-1] == b.shape[-2 if n > 1 else 0], "matmul", "as many columns in a as rows in b", **got)
    batch = LETTERS[3 : 3 + max(m, n, 2) - 2]
    left = batch[len(batch) - max(m - 2, 0) :] + ("ac" if m > 1 else "c")
    right = batch[len(batch) - max(n - 2, 0) :] + ("cb" if n > 1 else "c")
    return _product("matmul", [left, right], batch + ("a" if m > 1 else "") + ("b" if n > 1 else ""), a, b)


@implements(np.dot)
def dot(a: Any, b: Any) -> Any:
    """Product over the last axis of a and the last but one of b, as numpy.dot."""
    m, n = (len(operand("dot", x).shape) for x in (a, b))
    if not m or not n:
        return np.multiply(a, b)
    return tensordot(a, b, ((m - 1,), (max(n - 2, 0),)))


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum over pairs of axes, as numpy.tensordot: the last ``axes`` of a with the first of b, or two lists."""
    a, b = operand("tensordot", a), operand("tensordot", b)
    m, n = len(a.shape), len(b.shape)
    got = {"axes": axes, "a": a.shape, "b": b.shape}
    try:
        if not np.iterable(axes):
            count = index(axes)
            expect(0 <= count <= min(m, n), "tensordot", "a number of axes that a and b have", **got)
            axes = (range(m - count, m), range(count))
        lists = [[index(i) for i in np.atleast_1d(list(ax) if np.iterable(ax) else ax)] for ax in axes]
    except TypeError:
        raise TypeError(f"tensordot: got axes {axes!r}; wanted an integer, or two lists of integers") from None
    expect(len(lists) == 2 and len(lists[0]) == len(lists[1]), "tensordot", "two lists of equal length", **got)
    exist = all(-k <= i < k for ax, k in zip(lists, (m, n), strict=True) for i in ax)
    expect(exist, "tensordot", "axes that a and b have", **got)
    lists = [[i % k for i in ax] for ax, k in zip(lists, (m, n), strict=True)]
    expect(all(len(set(ax)) == len(ax) for ax in lists), "tensordot", "each axis once", **got)
    left, right = list(LETTERS[:m]), list(LETTERS[m : m + n])
    for i, j in zip(*lists, strict=True):
        right[j] = left[i]
    out = [c for c in left + right if not (c in left and c in right)]
    return Contraction(f"{''.join(left)},{''.join(right)}->{''.join(out)}", "tensordot")(a, b)


@implements(np.outer)
def outer(a: Any, b: Any) -> Any:
    """y[i, j] = a[i] b[j]. (m), (n) → (m, n), flattened first, as numpy.outer."""
    return Contraction("a,b->ab", "outer")(np.ravel(operand("outer", a)), np.ravel(operand("outer", b)))


@implements(np.inner)
def inner(a: Any, b: Any) -> Any:
    """Product over the last axes, as numpy.inner."""
    m, n = (len(operand("inner", x).shape) for x in (a, b))
    return tensordot(a, b, ((m - 1,), (n - 1,))) if m and n else np.multiply(a, b)


@implements(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    """Σ aᵢ bᵢ over all entries, as numpy.vdot."""
    return inner(np.ravel(operand("vdot", a)), np.ravel(operand("vdot", b)))


class Linear(Op):
    """y = x wᵀ + b.   x (…, I), w (O, I), b (O) → (…, O);   ∂y/∂x: g ↦ g w;   ∂y/∂w: g ↦ gᵀ x;   ∂y/∂b: g ↦ Σ g."""

    name = "linear"
    operands = ("x", "w", "b")
    data_operands = 1
    formulas = ("I ⊗ w", "P (I ⊗ x)", "1 ⊗ I")
    legend: ClassVar[dict[str, str]] = {"P": "the permutation that puts samples before outputs"}

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        N, outputs = prod(y.shape[:-1]), y.shape[-1]
        if i == 1:
            if len(xs[0].shape) == 1 or N == 1:
                return notation.kronecker([("I", outputs), ("xᵀ" if len(xs[0].shape) == 1 else "x", 0)])
            return notation.times("P", notation.kronecker([("I", outputs), ("x", 0)])) if outputs > 1 else "x"
        return notation.kronecker([("1", N), ("I", outputs)] if i else [("I", N), ("w", 0)])

    def infer(self, x: Spec, w: Spec, b: Spec | None = None) -> Spec:
        got = {"x": x, "w": w} | ({"b": b} if b else {})
        expect(x.ndim >= 1 and w.ndim == 2, self, "x (…, in) and w (out, in)", **got)
        expect(x.shape[-1] == w.shape[1], self, f"x with {w.shape[1]} features, the columns of w", **got)
        expect(b is None or b.shape == w.shape[:1], self, f"b of shape ({w.shape[0]},)", **got)
        return Spec((*x.shape[:-1], w.shape[0]), expect_floats(self, **got))

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        y = tasks.matmul(x, w.T) if x.ndim > 1 else x @ w.T
        if b is not None:
            y = np.add(y, b, out=y if y.ndim and y.dtype == np.result_type(y, b) else None)
        return y

    def polynomial(self, n: int) -> list[tuple[int, ...]]:
        return [(0, 1), (2,)][: n - 1]

    def multiply_adds(self, y: Any, x: Any, w: Any, b: Any = None) -> int:
        return int(y.size * w.shape[1])

    def layer(self, learned: int, x: Spec, w: Spec, *b: Spec) -> Layer:
        batch = [Axis("N" if i == 0 else f"axis {i}", ((0, i), (-1, i))) for i in range(x.ndim - 1)]
        out = Axis("out", ((-1, -1), (1, 0), *(((2, 0),) if b else ())))
        return Layer((Spec(x.shape[-1:], x.dtype), w, *b), 0, 1, cuts=[batch, [out]])

    def jacobians(self, y: Any, x: Any, w: Any, b: Any = None) -> list[LinearMap | None]:
        batch = LETTERS[2 : 1 + len(x.shape)]
        maps = Contraction(f"{batch}b,ab->{batch}a").jacobians(y, x, w)
        return maps if b is None else [*maps, Broadcast(b, y.shape, y.dtype)]


def linear(x: Any, w: Any, b: Any = None) -> Any:
    """Fully connected layer y = x wᵀ + b. x (…, I), w (O, I), b (O,) → (…, O).

    ∂y/∂x = blocks of w, ∂y/∂w: g ↦ gᵀ x, ∂y/∂b: g ↦ Σ g. Raises ShapeError for shapes that do not fit.
    """
    return Linear()(x, w) if b is None else Linear()(x, w, b)


class SparseProduct(Op):
    """y = A x for a constant sparse A (m, n).   x (n) or (n, k) → (m) or (m, k);   J = A, or A ⊗ I_k."""

    name = "sparse_matmul"
    formulas = ("A ⊗ I",)

    def formula_at(self, i: int, y: Any, *xs: Any) -> str | None:
        return notation.kronecker([("A", 0), ("I", prod(y.shape[1:]))])

    def __init__(self, matrix: Any) -> None:
        if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
            raise TypeError(
                f"sparse @ node: got a sparse array of {matrix.ndim} axes and dtype {matrix.dtype}; wanted a real matrix"
            )
        self.matrix = sp.csr_array(matrix, copy=True)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return {"matrix": "×".join(map(str, self.matrix.shape)), "nnz": self.matrix.nnz}

    def infer(self, x: Spec) -> Spec:
        expect(x.ndim in (1, 2) and x.shape[0] == self.matrix.shape[1], self, f"x of {self.matrix.shape[1]} rows", x=x)
        return Spec((self.matrix.shape[0], *x.shape[1:]), expect_floats(self, x=x))

    def forward(self, x: Array) -> Any:
        return tasks.sparse_matmul(self.matrix.astype(x.dtype, copy=False), x)

    def multiply_adds(self, y: Any, x: Any) -> int:
        return int(self.matrix.nnz * prod(x.shape[1:]))

    def jacobians(self, y: Any, x: Any) -> tuple[LinearMap | None]:
        matrix, k = self.matrix, prod(x.shape[1:])

        def rows_of(index: Array) -> sp.csr_array:
            i, j = np.divmod(index, k)
            some = sized(matrix.astype(x.dtype)[i])
            columns = some.indices.astype(np.int64) * k + np.repeat(j, np.diff(some.indptr))
            return compressed(some.data, columns, some.indptr, (len(index), prod(x.shape)))

        def moved(A: sp.csr_array, rows: Array) -> Any:
            """A times each of (R, n, …), as one product with all of their columns."""
            columns = np.moveaxis(rows, 0, 1)
            y = SparseProduct(A).forward(columns.reshape(len(columns), -1))
            return np.moveaxis(y.reshape(len(y), *columns.shape[1:]), 1, 0)

        rows, cols = np.diff(matrix.indptr).max(initial=0), np.bincount(matrix.indices, minlength=1).max()
        return (FunctionMap(x.shape, y.shape, x.dtype, push=SparseProduct(matrix), pull=SparseProduct(matrix.T),
                        rows=rows_of,
                        push_rows=lambda rows: moved(matrix, rows), pull_rows=lambda rows: moved(matrix.T, rows),
                        bounds=Bounds(matrix.nnz * k, int(rows), int(cols))),)  # fmt: skip
