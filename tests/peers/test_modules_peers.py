"""Modules against PyTorch's modules of the same name: outputs, and gradients by input and parameters."""

import re
from pathlib import Path

import numpy as np
import pytest

import minigraph as mg

torch = pytest.importorskip("torch")
rng = np.random.default_rng(0)
X, Y, Z = rng.standard_normal((3, 2, 6, 4))
LINE, IMAGE, VOLUME = (
    rng.standard_normal((2, 6, 8)),
    rng.standard_normal((2, 12, 6, 8)),
    rng.standard_normal((2, 4, 4, 6, 5)),
)
P, Q = rng.uniform(0.05, 0.95, (2, 6, 4))
SIGNS, LABELS = rng.choice([-1.0, 1.0], 6), np.array([0, 3, 1, 2, 2, 0])
A, B = X[0], Y[0]

MODULES = [
    *[(name, (), {}, (3 * IMAGE,)) for name in ("ReLU", "ReLU6", "Hardtanh", "Hardswish", "Hardshrink", "Softshrink", "SELU",
      "CELU", "Mish", "Softsign", "Tanhshrink", "LogSigmoid", "GLU", "SiLU", "GELU", "ELU", "LeakyReLU", "Tanh", "Sigmoid", "Softplus", "Identity", "PReLU")],
    ("Threshold", (0.1, 2.0), {}, (X,)), ("Softmin", (1,), {}, (X,)), ("Softmax", (1,), {}, (X,)), ("LogSoftmax", (1,), {}, (X,)),
    ("PixelShuffle", (2,), {}, (IMAGE,)), ("PixelUnshuffle", (2,), {}, (IMAGE,)), ("ChannelShuffle", (3,), {}, (IMAGE,)),
    ("Unflatten", (1, (3, 4)), {}, (IMAGE,)), ("Flatten", (), {}, (IMAGE,)),
    ("Upsample", (), {"scale_factor": 2}, (IMAGE,)), ("Upsample", ((9, 5),), {"mode": "bilinear"}, (IMAGE,)),
    *[(f"{kind}Pad{d}d", (width,), {}, (x,)) for kind in ("Zero", "Reflection", "Replication", "Circular")
      for d, x, width in ((1, LINE, (1, 2)), (2, IMAGE, (1, 2, 3, 0)), (3, VOLUME, 1))],
    ("ConstantPad2d", (2, 0.5), {}, (IMAGE,)),
    *[(f"Adaptive{kind}Pool{d}d", (3,), {}, (x,)) for kind in ("Avg", "Max") for d, x in ((1, LINE), (2, IMAGE), (3, VOLUME))],
    *[(f"{kind}Pool{d}d", (2,), {}, (x,)) for kind in ("Avg", "Max") for d, x in ((1, LINE), (2, IMAGE), (3, VOLUME))],
    ("LayerNorm", (8,), {}, (IMAGE,)), ("LayerNorm", ((6, 8),), {"eps": 0.1, "bias": False}, (IMAGE,)), ("RMSNorm", (8,), {"eps": 0.1}, (IMAGE,)),
    ("GroupNorm", (3, 12), {}, (IMAGE,)), ("InstanceNorm1d", (6,), {"affine": True}, (LINE,)), ("InstanceNorm2d", (12,), {}, (IMAGE,)),
    ("InstanceNorm3d", (4,), {"affine": True}, (VOLUME,)), ("BatchNorm2d", (12,), {}, (IMAGE,)), ("LocalResponseNorm", (3,), {}, (IMAGE,)),
    ("Linear", (8, 3), {}, (IMAGE,)), ("Conv2d", (12, 4, 3), {"stride": 2, "padding": 1}, (IMAGE,)),
    ("ConvTranspose2d", (12, 4, 3), {"stride": 2, "padding": 1}, (IMAGE,)), ("PReLU", (12,), {}, (IMAGE,)),
    ("CosineSimilarity", (), {}, (A, B)), ("PairwiseDistance", (), {}, (A, B)),
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1}, (A, LABELS)), ("NLLLoss", (), {}, (A, LABELS)), ("MultiMarginLoss", (), {}, (A, LABELS)),
    *[(name, (), {}, (A, B)) for name in ("MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss")], ("BCELoss", (), {}, (P, Q)),
    ("BCEWithLogitsLoss", (), {}, (A, Q)), ("KLDivLoss", (), {"reduction": "batchmean"}, (np.log(P), Q)), ("PoissonNLLLoss", (), {}, (A, P)),
    ("GaussianNLLLoss", (), {}, (A, B, P)), ("HingeEmbeddingLoss", (), {}, (A, np.sign(B))), ("SoftMarginLoss", (), {}, (A, np.sign(B))),
    ("MarginRankingLoss", (), {"margin": 0.1}, (A[:, 0], B[:, 0], SIGNS)), ("CosineEmbeddingLoss", (), {}, (A, B, SIGNS)),
    ("TripletMarginLoss", (), {}, (A, B, Z[0])), ("RReLU", (), {}, (IMAGE,)), ("Softmax2d", (), {}, (IMAGE,)),
    ("LPPool1d", (2, 2), {}, (LINE,)), ("LPPool2d", (2, 3), {"stride": 1}, (IMAGE,)), ("LPPool3d", (2, 2), {}, (VOLUME,)),
    ("Unfold", (2,), {"padding": 1}, (IMAGE,)), ("Fold", ((4, 5), (1, 3)), {}, (rng.standard_normal((2, 6, 12)),)),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, (IMAGE,)), ("UpsamplingBilinear2d", ((9, 5),), {}, (IMAGE,)),
    ("Bilinear", (4, 4, 3), {}, (A, B)), ("RNNCell", (4, 5), {}, (A, rng.standard_normal((6, 5)))), ("GRUCell", (4, 5), {}, (A, rng.standard_normal((6, 5)))),
    ("RNNCell", (4, 5), {"nonlinearity": "relu", "bias": False}, (A,)), ("GRUCell", (4, 5), {}, (A[0],)), ("LSTMCell", (4, 5), {}, (A,)),
    ("FractionalMaxPool2d", (2,), {"output_ratio": (0.5, 0.6), "_random_samples": torch.tensor(rng.random((2, 12, 2)))}, (IMAGE,)),
    ("FractionalMaxPool3d", ((2, 1, 2),), {"output_size": (2, 3, 3), "_random_samples": torch.tensor(rng.random((2, 4, 3)))}, (VOLUME,)), ("MultiLabelSoftMarginLoss", (), {}, (A, Q)), ("TripletMarginWithDistanceLoss", (), {}, (A, B, Z[0])),
    *[(f"Lazy{kind}{d}d", (5, 2), {}, (x,)) for kind in ("Conv", "ConvTranspose") for d, x in ((1, LINE), (2, IMAGE), (3, VOLUME))],
    *[(f"Lazy{kind}Norm{d}d", (), {}, (x,)) for kind in ("Batch", "Instance") for d, x in ((1, LINE), (2, IMAGE), (3, VOLUME))],
    ("LazyLinear", (3,), {}, (IMAGE,)), ("BatchNorm2d", (12,), {"momentum": None}, (IMAGE,)), ("BatchNorm1d", (6,), {"affine": False}, (LINE,)),
    ("BatchNorm3d", (4,), {"track_running_stats": False}, (VOLUME,)), ("InstanceNorm2d", (12,), {"affine": True, "track_running_stats": True}, (IMAGE,)),
    ("InstanceNorm2d", (12,), {}, (IMAGE[0],)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "options", "inputs"), MODULES, ids=lambda x: x if isinstance(x, str) else ""
)
def test_modules(name, arguments, options, inputs):
    theirs = getattr(torch.nn, name)(*arguments, **options).double()
    theirs = theirs.eval() if name == "RReLU" else theirs
    if name.startswith("Lazy"):
        theirs(torch.tensor(inputs[0]))
    wide = {"dtype": np.float64} if any(True for _ in theirs.parameters()) else {}
    wide |= {"rng": 0} if name.startswith("Lazy") and "Norm" not in name else {}
    ours = getattr(mg.nn, name)(*arguments, **options, **wide)
    if name.startswith("Lazy"):
        ours(inputs[0])
        assert type(ours).__name__ == name.removeprefix("Lazy")
    state = {k: v.numpy(force=True) for k, v in theirs.state_dict().items()}
    if state and wide:
        ours.load_state_dict(state)
    differentiated = [x.dtype.kind == "f" and not np.isin(x, (-1, 1)).all() for x in inputs]
    tensors = [torch.tensor(x, requires_grad=d) for x, d in zip(inputs, differentiated, strict=True)]
    nodes = [mg.parameter(x) if d else x for x, d in zip(inputs, differentiated, strict=True)]
    y, expected = ours(*nodes), theirs(*tensors)
    if isinstance(y, tuple):  # h and c of an LSTM
        y, expected = np.concatenate(y, -1), torch.cat(expected, -1)
    np.testing.assert_allclose(y.value, expected.detach().numpy(), rtol=1e-9, atol=1e-10)
    g = rng.standard_normal(y.shape)
    y.backward(g)
    expected.backward(torch.tensor(g))
    pairs = [(n, t) for n, t, d in zip(nodes, tensors, differentiated, strict=True) if d]
    mine = dict(ours.named_parameters())
    pairs += [(mine[k], p) for k, p in theirs.named_parameters()]
    for node, tensor in pairs:
        np.testing.assert_allclose(node.grad, tensor.grad.numpy(), rtol=1e-8, atol=1e-9)
    buffers = dict(theirs.named_buffers())
    for key, buffer in ours.named_buffers():
        np.testing.assert_allclose(buffer.value, buffers[key].numpy(), rtol=1e-6)


def test_an_embedding():
    theirs, index = torch.nn.Embedding(7, 3).double(), rng.integers(7, size=(2, 5))
    ours = mg.nn.Embedding(7, 3, dtype=np.float64)
    ours.load_state_dict({"weight": theirs.weight.detach().numpy()})
    ours(index).backward(np.ones((2, 5, 3)))
    theirs(torch.tensor(index)).sum().backward()
    np.testing.assert_array_equal(ours.weight.grad, theirs.weight.grad.numpy())


def test_modules_that_are_absent_are_named():
    page = (Path(__file__).parent.parent.parent / "docs" / "coverage.md").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", page))
    theirs = {n for n, c in vars(torch.nn).items() if isinstance(c, type) and issubclass(c, torch.nn.Module)}
    assert theirs - set(dir(mg.nn)) - {"Container"} <= words
