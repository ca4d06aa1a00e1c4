"""Digits: values and derivatives at every magnitude and over long sums, in float32 and float64, against exact formulas."""

import itertools
from time import perf_counter

import numpy as np
import pytest
from scipy import special

import minigraph as mg
from minigraph.array import IMPLEMENTATIONS
from minigraph.ops.elementwise import Elementwise
from minigraph.tape import Tape

DTYPES = [np.float32, np.float64]
RELATIVE = {np.float32: 2e-5, np.float64: 1e-12}
L = np.longdouble
PI, LN2, LN10 = L("3.14159265358979323846264338327950288"), np.log(L(2)), np.log(L(10))
TANH = np.sqrt(2 / PI)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def density(x):
    return 1 / (2 * np.cosh(x / 2)) ** 2


def phi(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * PI)


def normal(x):
    return special.erfc(-x.astype(float) / np.sqrt(2)).astype(L) / 2


def zeros(*xs):
    return np.zeros(np.broadcast_shapes(*[x.shape for x in xs]), L)


def sinc(x):
    """sin πx / πx and its derivative, by their series where these converge at once; πx is rounded, which tells far out."""
    x = np.where(abs(x) < 4, x, np.nan)
    t = np.where(abs(x) < 0.5, PI * x, PI)
    even = [(-1) ** k * t ** (2 * k) / L(special.factorial(2 * k + 1, exact=True)) for k in range(12)]
    odd = [(-1) ** k * 2 * k * t ** (2 * k - 1) / L(special.factorial(2 * k + 1, exact=True)) for k in range(1, 12)]
    far = np.where(abs(x) < 0.5, 1, x)
    return (
        np.where(abs(x) < 0.5, sum(even), np.sin(PI * far) / (PI * far)),
        np.where(abs(x) < 0.5, PI * sum(odd), (np.cos(PI * far) - np.sin(PI * far) / (PI * far)) / far),
    )


def gelu_tanh(x):
    c = np.clip(x, -100, 100)
    u, slope = TANH * (c + L("0.044715") * c**3), TANH * (1 + 3 * L("0.044715") * c**2)
    return x * logistic(2 * u), logistic(2 * u) + c * density(2 * u) * 2 * slope


# The value and the derivative in every argument, each by a formula that keeps its digits in extended precision.
SELU, ALPHA = L(1.0507009873554805), L(1.6732632423543772)
EXACT = {
    "add": lambda a, b: (a + b, 1 + 0 * (a + b), 1 + 0 * (a + b)),
    "subtract": lambda a, b: (a - b, 1 + 0 * (a + b), -1 + 0 * (a + b)),
    "multiply": lambda a, b: (a * b, b + 0 * a, a + 0 * b),
    "divide": lambda a, b: (a / b, 1 / b + 0 * a, -a / b / b),
    "power": lambda a, b: (
        a**b,
        np.where(abs(b) > 2**20, np.nan, np.where(b == 0, 0, b * a ** (b - 1))),  # b − 1 is rounded
        np.where(a > 0, a**b * np.log(np.where(a > 0, a, 1)), np.where((a == 0) & (b < 0), -np.inf, 0)),
    ),
    "remainder": lambda a, b: (a % b, 1 + 0 * (a + b), -np.floor_divide(a, b)),
    "fmod": lambda a, b: (np.fmod(a, b), 1 + 0 * (a + b), -np.trunc((a - np.fmod(a, b)) / b + np.sign(a * b) * 0.5)),
    "negative": lambda x: (-x, -1 + 0 * x),
    "positive": lambda x: (x, 1 + 0 * x),
    "conjugate": lambda x: (x, 1 + 0 * x),
    "reciprocal": lambda x: (1 / x, -1 / x / x),
    "square": lambda x: (x * x, 2 * x),
    "absolute": lambda x: (abs(x), np.sign(x)),
    "fabs": lambda x: (abs(x), np.sign(x)),
    "hypot": lambda a, b: (np.hypot(a, b), a / np.hypot(a, b), b / np.hypot(a, b)),
    "maximum": lambda a, b: (np.maximum(a, b), L(1) * (a >= b), L(1) * (a < b)),
    "minimum": lambda a, b: (np.minimum(a, b), L(1) * (a <= b), L(1) * (a > b)),
    "where": lambda c, a, b: (np.where(c, a, b), None, L(1) * (c != 0) + zeros(a), L(1) * (c == 0) + zeros(a)),
    "exp": lambda x: (np.exp(x), np.exp(x)),
    "exp2": lambda x: (np.exp2(x), np.exp2(x) * LN2),
    "expm1": lambda x: (np.expm1(x), np.exp(x)),
    "log": lambda x: (np.log(x), 1 / x),
    "log2": lambda x: (np.log2(x), 1 / x / LN2),
    "log10": lambda x: (np.log10(x), 1 / x / LN10),
    "log1p": lambda x: (np.log1p(x), 1 / (1 + x)),
    "sqrt": lambda x: (np.sqrt(x), 1 / np.sqrt(x) / 2),
    "cbrt": lambda x: (np.cbrt(x), 1 / np.cbrt(x) ** 2 / 3),
    "logaddexp": lambda a, b: (np.logaddexp(a, b), logistic(a - b), logistic(b - a)),
    "logaddexp2": lambda a, b: (np.logaddexp2(a, b), logistic((a - b) * LN2), logistic((b - a) * LN2)),
    "sin": lambda x: (np.sin(x), np.cos(x)),
    "cos": lambda x: (np.cos(x), -np.sin(x)),
    "tan": lambda x: (np.tan(x), 1 / np.cos(x) ** 2),
    "arcsin": lambda x: (np.arcsin(x), 1 / np.sqrt(1 - x) / np.sqrt(1 + x)),
    "arccos": lambda x: (np.arccos(x), -1 / np.sqrt(1 - x) / np.sqrt(1 + x)),
    "arctan": lambda x: (np.arctan(x), 1 / (1 + x * x)),
    "arctan2": lambda a, b: (np.arctan2(a, b), b / (a * a + b * b), -a / (a * a + b * b)),
    "sinh": lambda x: (np.sinh(x), np.cosh(x)),
    "cosh": lambda x: (np.cosh(x), np.sinh(x)),
    "tanh": lambda x: (np.tanh(x), 1 / np.cosh(x) ** 2),
    "arcsinh": lambda x: (np.arcsinh(x), 1 / np.sqrt(1 + x * x)),
    "arccosh": lambda x: (np.arccosh(x), 1 / np.sqrt(x - 1) / np.sqrt(x + 1)),
    "arctanh": lambda x: (np.arctanh(x), 1 / (1 - x) / (1 + x)),
    "deg2rad": lambda x: (x * (PI / 180), PI / 180 + 0 * x),
    "rad2deg": lambda x: (x * (180 / PI), 180 / PI + 0 * x),
    "sinc": sinc,
    "erf": lambda x: (special.erf(x.astype(float)), 2 / np.sqrt(PI) * np.exp(-x * x)),
    "logistic_density": lambda x: (density(x), -density(x) * np.tanh(x / 2)),
    "gaussian": lambda x: (np.exp(-x * x), -2 * x * np.exp(-x * x)),
    "relu": lambda x: (np.maximum(x, 0), L(1) * (x > 0)),
    "sigmoid": lambda x: (logistic(x), density(x)),
    "softplus": lambda x: (np.logaddexp(x, L(0)), logistic(x)),
    "silu": lambda x: (x * logistic(x), logistic(x) * (1 + x * logistic(-x))),
    "normal_distribution": lambda x: (normal(x), phi(x)),
    "gelu": lambda x: (x * normal(x), normal(x) + x * phi(x)),
    "gelu_tanh": gelu_tanh,
    "leaky_relu": lambda x, s: (np.where(x > 0, x, s * x), np.where(x > 0, 1, s) + 0 * x, np.minimum(x, 0) + 0 * s),
    "erfc": lambda x: (special.erfc(x.astype(float)), -2 / np.sqrt(PI) * np.exp(-x * x)),
    "logit": lambda x: (np.where((x > 0) & (x < 1), np.log(x) - np.log1p(-x), np.nan), 1 / x / (1 - x)),
    "xlogy": lambda a, b: (np.where(a == 0, 0, a * np.log(b)), np.where(a == 0, 0, np.log(b)), a / b),
    "xlog1py": lambda a, b: (np.where(a == 0, 0, a * np.log1p(b)), np.where(a == 0, 0, np.log1p(b)), a / (1 + b)),
    "entr": lambda x: (np.where(x > 0, -x * np.log(x), np.nan), -np.log(x) - 1),
    "fmax": lambda a, b: (np.fmax(a, b), L(1) * (a >= b), L(1) * (a < b)),
    "fmin": lambda a, b: (np.fmin(a, b), L(1) * (a <= b), L(1) * (a > b)),
    "copysign": lambda a, b: (np.copysign(a, b), np.copysign(L(1), a) * np.copysign(L(1), b), None),
    "heaviside": lambda a, b: (np.heaviside(a, b), None, L(1) * (a == 0)),
    **dict.fromkeys(["erfinv", "erfcinv", "gamma", "rgamma", "gammasgn", "ldexp", "log_ndtr", "gammaln", "digamma", "i0", "i1", "i0e", "i1e"]),  # SciPy answers for its own values
    "relu6": lambda x: (np.clip(x, 0, 6), L(1) * ((x > 0) & (x < 6))),
    "hardtanh": None,  # of three arguments, like threshold
    "threshold": None,
    "hardsigmoid": lambda x: (np.clip(x + 3, 0, 6) / 6, ((x > -3) & (x < 3)) / L(6)),
    "hardswish": lambda x: (x * (np.clip(x + 3, 0, 6) / 6), np.where(x < -3, 0, np.where(x <= 3, x / 3 + L(0.5), 1))),
    "hardshrink": lambda x, b: (np.where(abs(x) > b, x, 0), L(1) * (abs(x) > b), None),
    "softshrink": lambda x, b: (np.where(b < 0, np.nan, np.sign(x) * np.maximum(abs(x) - b, 0)), L(1) * (abs(x) > b), -np.sign(x) * (abs(x) > b)),
    "selu": lambda x: (SELU * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0))), SELU * np.where(x > 0, 1, ALPHA * np.exp(np.minimum(x, 0)))),
    "celu": lambda x, a: (np.where(x > 0, x, np.where(abs(x / a) < 1e-37, np.nan, a * np.expm1(np.minimum(x, 0) / a))), np.where(a > 0, np.exp(np.minimum(x, 0) / a), np.nan), None),
    "softsign": lambda x: (x / (1 + abs(x)), 1 / (1 + abs(x)) / (1 + abs(x))),
    "tanhshrink": lambda x: (np.where(abs(x) < 1e-3, x**3 / 3 - 2 * x**5 / 15 + 17 * x**7 / 315, x - np.tanh(x)), np.tanh(x) ** 2),
    "logsigmoid": lambda x: (-np.logaddexp(L(0), -x), logistic(-x)),
    "mish": lambda x: (x * np.tanh(np.logaddexp(L(0), x)), np.tanh(np.logaddexp(L(0), x)) + x * logistic(x) / np.cosh(np.logaddexp(L(0), x)) ** 2),
    "elu": lambda x, s: (np.where(x > 0, x, s * np.expm1(x)), np.where(x > 0, 1, np.where(abs(s) < 1e6, s * np.exp(x), np.nan)), np.where(x > 0, 0, np.expm1(x)) + 0 * s),
}  # fmt: skip


def grid(dtype, dense):
    """Numbers of every magnitude, of both signs, and those that lie next to 0 and 1."""
    limits = np.finfo(dtype)
    powers = np.linspace(limits.minexp - limits.nmant, limits.maxexp - 1, 200 if dense else 24)
    near = 2.0 ** -np.arange(2, limits.nmant, 5)
    usual = np.linspace(0.03, 25, 200 if dense else 9)
    some = [
        np.exp2(powers.astype(L)),
        usual,
        1 - near,
        1 + near,
        [1, limits.max, limits.tiny, limits.smallest_subnormal],
    ]
    some = np.concatenate([np.asarray(x, dtype) for x in some])
    return np.concatenate([some, -some, np.zeros(1, dtype)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name", [name for name, op in Elementwise.table.items() if any(op.derivatives) and EXACT[name]]
)
def test_elementwise_at_every_magnitude(name, dtype):
    op = Elementwise.table[name]
    xs = [grid(dtype, True)] if len(op.derivatives) == 1 else list(np.meshgrid(*[grid(dtype, False)] * 2))
    compare(op, EXACT[name], [xs[0] > xs[1], *xs] if len(op.derivatives) == 3 else xs, getattr(np, name, None) is None)


def compare(function, exact, xs, values=True):
    """Values and derivatives of ``function`` at ``xs`` against the exact ones, where these are numbers."""
    dtype = xs[-1].dtype.type
    limits = np.finfo(dtype)
    with np.errstate(all="ignore"):
        nodes = [mg.constant(x) if x.dtype == bool else mg.parameter(x) for x in xs]
        y = function(*nodes)
        got = [y.value, *Tape.of(y).pull(np.ones(y.shape, dtype), nodes)]
        wanted = exact(*[x if x.dtype == bool else x.astype(L) for x in xs])
        inside = ~np.isnan(y.value) & ~np.isnan(np.asarray(wanted[0], float))
        for what, g, e in zip(("value", *"abc")[: len(got)], got, wanted, strict=True):
            if e is not None and (values or what != "value"):  # NumPy answers for its own values
                error = abs(g.astype(L) - e) - RELATIVE[dtype] * abs(e)
                wrong = inside & np.isfinite(e) & ~(error <= limits.tiny)
                wrong &= ~(np.isinf(g) & (abs(e) > limits.max / 2))
                i = np.argmax(wrong)
                at = [x.ravel()[i] for x in xs]
                assert not wrong.any(), f"{what} at {at}: got {g.ravel()[i]}, wanted {e.ravel()[i]}"


def cross_entropy(x, t):
    """−t log σ(x) − (1 − t) log σ(−x)."""
    slope = (1 - t) * logistic(x) - t * logistic(-x)
    return t * np.logaddexp(-x, L(0)) + (1 - t) * np.logaddexp(x, L(0)), slope, -x + 0 * t


LOSSES = {
    "mse_loss": lambda a, b: ((a - b) ** 2, 2 * (a - b), 2 * (b - a)),
    "l1_loss": lambda a, b: (abs(a - b), np.sign(a - b), np.sign(b - a)),
    "huber_loss": lambda a, b: (
        np.where(abs(a - b) < 1, (a - b) ** 2 / 2, abs(a - b) - L(0.5)), np.clip(a - b, -1, 1), np.clip(b - a, -1, 1)),
    "binary_cross_entropy_with_logits": cross_entropy,
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_losses_at_every_magnitude(name, dtype):
    targets = np.array([0, 0.25, 1], dtype)
    a, b = np.meshgrid(grid(dtype, True), targets)
    a, b = (a[:, abs(a[0]) < 1e18], b[:, abs(a[0]) < 1e18])
    exact = LOSSES[name]
    if name != "binary_cross_entropy_with_logits":
        a = np.where(a - b == (a.astype(L) - b), a, b)  # a difference that is rounded has lost its digits already
    compare(lambda a, b: getattr(mg, name)(a, b, reduction="none"), exact, [a, b])


# Functions of which f(s x) = s^degree f(x).
HOMOGENEOUS = {
    "sum": (1, lambda x: np.sum(x, axis=1)),
    "mean": (1, lambda x: np.mean(x, axis=0)),
    "std": (1, lambda x: np.std(x, axis=1)),
    "norm": (1, lambda x: np.linalg.norm(x, axis=1)),
    "norm of order 3": (1, lambda x: np.linalg.norm(x, 3, axis=0)),
    "norm of order 1.5": (1, lambda x: np.linalg.norm(x, 1.5, axis=1)),
    "largest": (1, lambda x: np.linalg.norm(x, np.inf, axis=1)),
    "l1_loss": (1, lambda x: mg.l1_loss(x, 1.5 * x.value)),
    "smooth_l1_loss": (1, lambda x: mg.smooth_l1_loss(x, 1.5 * x.value, beta=float(abs(x.value[0, 0, 0])))),
    "batch_norm": (0, lambda x: mg.batch_norm(x, training=True, eps=0.0)),
    "batch_norm, channels last": (
        0, lambda x: mg.batch_norm(np.transpose(np.transpose(x, (0, 2, 1)), (0, 2, 1)), training=True, eps=0.0)),
    "layer_norm": (0, lambda x: mg.layer_norm(x, 5, np.arange(1, 6, dtype=x.dtype), np.zeros(5, x.dtype), eps=0.0)),
    "group_norm": (0, lambda x: mg.group_norm(x, 2, eps=0.0)),
    "instance_norm": (0, lambda x: mg.instance_norm(x, eps=0.0)),
    "local_response_norm": (-0.5, lambda x: mg.local_response_norm(x, 3, k=0.0)),
    "arctan2": (0, lambda x: np.arctan2(x[0], x[1])),
    "hypot": (1, lambda x: np.hypot(x[0], x[1])),
    "divide": (0, lambda x: x[0] / x[1]),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_scale(name, dtype):
    """A power of two is a scale that costs no digit: values and derivatives follow it over the dtype's range."""
    (degree, f), limits, rng = HOMOGENEOUS[name], np.finfo(dtype), np.random.default_rng(0)
    x, g = rng.standard_normal((3, 4, 5)).astype(dtype), None

    def found(scale):
        nonlocal g
        node = mg.parameter(x * scale)
        y = f(node)
        g = rng.standard_normal(y.shape).astype(dtype) if g is None else g
        return y.value, Tape.of(y).pull(g, [node])[0]

    wanted = found(dtype(1))
    most = 380 if name == "local_response_norm" and dtype == np.float64 else limits.maxexp - 24  # no wider dtype
    most /= max(1, abs(degree), abs(degree - 1))
    for k in np.linspace(-most, most, 24).astype(int) // 2 * 2:
        for got, want, d in zip(found(dtype(2.0 ** int(k))), wanted, (degree, degree - 1), strict=True):
            error = np.abs(got * np.exp2(L(-k * d)) - want).max() / np.abs(want).max()
            assert error < 100 * limits.eps, f"scale 2^{k}: {error}"


N = 1 << 18
LABELS = np.arange(N) % 3
LONG = {
    "sum": lambda x: np.sum(x, axis=0),
    "mean": lambda x: np.mean(x, axis=0),
    "var": lambda x: np.var(x, axis=0),
    "std": lambda x: np.std(x, axis=0),
    "norm": lambda x: np.linalg.norm(x, axis=0),
    "norm of order 3": lambda x: np.linalg.norm(x, 3, axis=0),
    "logsumexp": lambda x: mg.logsumexp(x, axis=0),
    "cumsum": lambda x: np.cumsum(x, axis=0),
    "average": lambda x: np.average(x, axis=0, weights=np.full(N, 0.1, x.dtype)),
    "trace": lambda x: np.trace(np.reshape(x[:, 0], (512, 512))[:, :, None] * np.ones(3, x.dtype)),
    "softmax": lambda x: mg.softmax(x, 0),
    "log_softmax": lambda x: mg.log_softmax(x, 0),
    "broadcast": lambda x: np.broadcast_to(x[:1], (N, 3)),
    "bias": lambda x: x + x[0],
    "linear": lambda x: mg.linear(x, x[:2], x[0, :2]),
    "einsum, one factor": lambda x: np.einsum("ij->j", x),
    "einsum, two factors": lambda x: np.einsum("ij,kj->jk", x, x[:2]),
    "dot": lambda x: np.dot(x[:, 0], x[:, 1]),
    "vector by matrix": lambda x: x[:, 0] @ x,
    "batch_norm": lambda x: mg.batch_norm(x, training=True, weight=x[0], bias=x[0]),
    "batch_norm of images": lambda x: mg.batch_norm(
        np.transpose(np.reshape(x, (4, 256, 256, 3)), (0, 3, 1, 2)), training=True, weight=x[0], bias=x[0]
    ),
    "layer_norm": lambda x: mg.layer_norm(np.transpose(x), N),
    "layer_norm, its bias": lambda x: mg.layer_norm(x, 3, x[0], x[1], eps=0.1),
    "group_norm": lambda x: mg.group_norm(x[None], N // 8, eps=0.1),
    "mse_loss": lambda x: mg.mse_loss(x, 0.5 * x),
    "l1_loss": lambda x: mg.l1_loss(x, 0.5 * x, "sum"),
    "binary_cross_entropy": lambda x: mg.binary_cross_entropy_with_logits(x, 0.5 * x),
    "cross_entropy": lambda x: mg.cross_entropy(x, LABELS, weight=np.array([0.1, 0.2, 0.3])),
    "cross_entropy of many classes": lambda x: mg.cross_entropy(np.transpose(x), LABELS[:3]),
    "nll_loss": lambda x: mg.nll_loss(x, LABELS, reduction="sum"),
    "multi_margin_loss": lambda x: mg.multi_margin_loss(x, LABELS),
    "l2_penalty": lambda x: mg.l2_penalty([x], 0.1),
    "interpolate": lambda x: mg.interpolate(np.transpose(x[:1])[None], N),
}  # fmt: skip


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("name", LONG)
def test_long_sums(name, order):
    """Sums of 2¹⁸ numbers in float32, on the way forward and back, as in float64."""
    rng, found = np.random.default_rng(0), []
    x = np.asarray(0.1 + 0.1 * rng.random((N, 3), dtype=np.float32), order=order)
    for dtype in DTYPES:
        node = mg.parameter(x.astype(dtype))
        y = LONG[name](node)
        g = (0.5 + np.random.default_rng(1).random(y.shape, dtype=np.float32)).astype(dtype)
        found.append((y.value, Tape.of(y).pull(g, [node])[0]))
    for single, double in zip(*found, strict=True):
        assert np.abs(single - double).max() <= 3e-6 * np.abs(double).max()


@pytest.mark.parametrize("zeros", range(5))
def test_products_with_zeros_to_third_order(zeros):
    """∂ᵏ/∂xᵢ∂xⱼ… of a product is the product of the other entries, for different indices, and else 0."""
    x = np.array([2.0, -3.0, 0.5, 1.5, -1.0])
    x[:zeros] = 0

    def expected(*indices):
        return np.prod(np.delete(x, indices)) if len(set(indices)) == len(indices) else 0.0

    def third(x):
        return mg.jacobian(mg.jacobian(mg.grad(lambda x: np.sum(np.prod(x, axis=(0, 2))))))(x)

    numbers = range(5)
    box = np.stack([x, np.ones(5)], 1)[:, :, None]  # two products
    pick = [np.stack([expected(i, j, k) for k in numbers]) for i in numbers for j in numbers]
    found = third(box)[:, 0, 0][:, :, 0, 0][:, :, :, 0, 0]
    np.testing.assert_allclose(found.reshape(25, 5), pick, atol=1e-15)
    np.testing.assert_allclose(mg.hessian(np.prod)(x), [[expected(i, j) for j in numbers] for i in numbers], atol=1e-15)
    np.testing.assert_allclose(mg.grad(np.prod)(x), [expected(i) for i in numbers], atol=1e-15)


def test_a_product_of_many_entries_with_a_zero():
    x = 1 + 1e-5 * np.random.default_rng(0).standard_normal((2, 20_000))
    x[0, 7] = 0
    start = perf_counter()
    slope = mg.grad(lambda x: np.sum(np.prod(x, axis=1)))(x)
    assert perf_counter() - start < 1  # not a product for each entry
    np.testing.assert_allclose(slope[0], np.where(np.arange(20_000) == 7, np.prod(np.delete(x[0], 7)), 0), rtol=1e-10)
    np.testing.assert_allclose(slope[1], np.prod(x[1]) / x[1], rtol=1e-10)


RATIOS = np.array([1.0, -1.0, 0.3, -0.3, 7.0, -5.0, 12.25])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [np.remainder, np.fmod])
def test_the_slope_of_a_remainder_is_the_quotient_that_was_taken(function, dtype):
    """a = q b + y for the q that the derivative in b tells, −q; also where a/b is rounded to another integer."""
    b = np.array([0.1, -0.1, 0.3, 0.7, 1e-3, np.inf, -np.inf], dtype)
    a, b = np.meshgrid(np.concatenate([RATIOS, np.outer(np.arange(-9, 10), b[:4]).ravel()]).astype(dtype), b)
    node = mg.parameter(b)
    y = function(a, node)
    (slope,) = Tape.of(y).pull(np.ones(y.shape, dtype), [node])
    finite = np.isfinite(b)
    remade = a[finite].astype(L) + slope[finite].astype(L) * b[finite]
    np.testing.assert_allclose(remade.astype(dtype), y.value[finite], atol=1e-20 + np.finfo(dtype).eps * 0.1)
    taken = np.floor_divide(a, b) if function is np.remainder else np.zeros(b.shape)
    np.testing.assert_array_equal(slope[~finite], -taken[~finite])


KINDS = [np.bool_, np.int8, np.int32, np.int64, np.float32, np.float64]
UFUNCS = [f for f in IMPLEMENTATIONS if isinstance(f, np.ufunc) and f.nin < 3 and not f.signature]
UFUNCS = [f for f in UFUNCS if getattr(np, f.__name__, None) is f]


@pytest.mark.parametrize("shape", [(3,), ()])
@pytest.mark.parametrize("ufunc", [*(f for f in UFUNCS if f.nout == 1), np.clip], ids=lambda f: f.__name__)
def test_dtypes_are_numpys(ufunc, shape):
    """For every pair of dtypes, but for integers beside float32, which do not make float64 of it; Specs say the same."""
    for kinds in itertools.product(KINDS, repeat=getattr(ufunc, "nin", 3)):
        xs = [np.ones(3, kinds[0]), *[np.ones(shape, kind) for kind in kinds[1:]]]
        try:
            with np.errstate(all="ignore"):
                wanted = ufunc(*xs).dtype
        except TypeError:
            wanted = None
        if np.float32 in kinds and np.float64 not in kinds and ufunc is not np.float_power and wanted == np.float64:
            wanted = np.dtype(np.float32)
        for leaves in ([mg.constant(x) for x in xs], [mg.Spec(x.shape, x.dtype) for x in xs]):
            if wanted is None:
                with pytest.raises(TypeError, match=r"got .*; wanted"):
                    ufunc(*leaves)
            else:
                with np.errstate(all="ignore"):
                    assert ufunc(*leaves).dtype == wanted, (kinds, leaves)


X = mg.parameter(np.arange(1.0, 7).reshape(2, 3))
REDUCTIONS = ["sum", "mean", "prod", "max", "min", "var", "std", "logsumexp", "norm", "cumsum", "average"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_every_dtype_are_numpys(name, kind):
    x = (np.arange(6).reshape(2, 3) % 3).astype(kind)
    theirs = {"norm": np.linalg.norm, "logsumexp": special.logsumexp}.get(name) or getattr(np, name)
    given = x.astype(float) if name == "logsumexp" and x.dtype.kind != "f" else x  # SciPy 1.13 takes no booleans
    for axis in (None, 0):
        y, wanted = getattr(mg.ops, name)(mg.constant(x), axis=axis), theirs(given, axis=axis)
        assert y.dtype == getattr(mg.ops, name)(mg.Spec(x.shape, x.dtype), axis=axis).dtype == wanted.dtype
        np.testing.assert_allclose(y.value, wanted, rtol=1e-6)


NO_NUMBERS = [None, "abc", np.array(["a"]), np.array([None]), {}, np.array([1], "M8[s]"), [1, "a"], [[1], [1, 2]]]
MISTAKES = [
    *[(name, [value]) for name in REDUCTIONS for value in NO_NUMBERS],
    *[(name, [X, *([2] if name == "norm" else []), axis]) for name in REDUCTIONS for axis in ("a", 1.5, (0, "a"), 5)],
    *[(name, [X, None, *([None] if name == "norm" else [0] if name in ("var", "std") else []), value])
      for name in REDUCTIONS[:-2] for value in ("yes", None, X)],
    *[(name, [X, None, value]) for name in ("var", "std") for value in ("a", None, X, [1])],
    *[("norm", [X, value, 0]) for value in ("fro", np.nan, X, [2], 2j)],
    *[("average", [X, 0, value]) for value in ("a", [None, 1], np.ones(5), X.value.T)],
    *[(name, [X, value][: 1 + (name != "exp")] if name != "exp" else [value]) for name in ("exp", "add", "power", "maximum")
      for value in NO_NUMBERS],
    *[("tensordot", [X, X, value]) for value in ("a", 5, -1, None, 1.5, ((5,), (0,)), ((0,), (0, 1)), ((0,), (0,), (0,)))],
    *[("cross_entropy", [X, [0, 1], None, -100, "mean", value]) for value in ("a", None, 2.0)],
    *[("cross_entropy", [X, [0, 1], value]) for value in ("abc", [None] * 3)],
    *[("interpolate", [X[None], None, value]) for value in ("a", [None], X, np.nan, -1)],
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), MISTAKES)
def test_what_is_no_number_axis_or_setting(name, args):
    function = getattr(mg, name, None) or getattr(mg.ops, name)
    with pytest.raises((TypeError, ValueError), match=rf"(?s)^{name}.*got .*; wanted "):
        function(*args)
