"""Products: lists and NumPy are the other implementations."""

import numpy as np
import scipy.sparse as sp

from cases.case import Case, cases_of
from minigraph.ops.products import Contraction, Linear, SparseProduct, dot, inner, matmul, outer, tensordot


@cases_of(Contraction)
def contraction(rng):
    a, b, c = rng.standard_normal((3, 4)), rng.standard_normal((4, 2)), rng.standard_normal((2, 5))
    yield Case(
        Contraction("ij,jk->ik"),
        (a, b),
        [[sum(p * q for p, q in zip(r, k, strict=True)) for k in b.T] for r in a],
        (a, c),
        "agree in j",
    )
    yield Case(Contraction("ij,jk,kl->il"), (a, b, c), np.linalg.multi_dot([a, b, c]), (a, b), "factors")
    yield Case(Contraction("ij->i"), (a,), [sum(row) for row in a])
    yield Case(
        Contraction("ij,kl->lijk"), (a, b), [[[[p * q for q in b[:, n]] for p in row] for row in a] for n in range(2)]
    )
    x, w = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 4, 5))
    yield Case(Contraction("bij,bjk->bik"), (x, w), [m @ n for m, n in zip(x, w, strict=True)])
    yield Case(Contraction("bij,kl->bl"), (x, b), np.array([[m.sum() * n.sum() for n in b.T] for m in x]))
    for op, factors in (
        (matmul, (x, w)),
        (matmul, (a[0], b)),
        (matmul, (x, b)),
        (dot, (a, b)),
        (outer, (a[0], b[0])),
        (inner, (a, x)),
    ):
        yield Case(op, factors, getattr(np, op.__name__)(*factors))
    yield Case(lambda a, b: tensordot(a, b, ((1,), (0,))), (a, b), a.dot(b), (a, c), "agree")


@cases_of(Linear)
def linear(rng):
    x, w, b = rng.standard_normal((3, 4)), rng.standard_normal((2, 4)), rng.standard_normal(2)
    yield Case(
        Linear(),
        (x, w, b),
        [[sum(p * q for p, q in zip(r, k, strict=True)) + c for k, c in zip(w, b, strict=True)] for r in x],
        (x, w.T, b),
        "features",
    )
    yield Case(Linear(), (x[0], w), w.dot(x[0]), (x, w[0]), "w .out, in.")
    yield Case(Linear(), (x, w, b), np.einsum("nk,ck->nc", x, w) + b, (x, w, b[:1]), "b of shape")


@cases_of(SparseProduct)
def sparse_product(rng):
    dense = rng.standard_normal((3, 4)) * (rng.random((3, 4)) > 0.5)
    x = rng.standard_normal((4, 2))
    yield Case(SparseProduct(sp.csr_array(dense)), (x,), dense @ x, (x.T,), "rows")
    yield Case(SparseProduct(sp.coo_array(dense)), (x[:, 0],), dense @ x[:, 0])
