"""Training: ``train.fit(model, data, epochs=10)``, or a Trainer with callbacks, or a loop of your own with ``optim``.

``evaluate`` and ``predict`` tell how well a model does; checkpoints survive a loss of power.
"""

from minigraph.train.callbacks import (
    Checkpoints,
    EarlyStopping,
    HistoryFiles,
    Progress,
    Statistics,
    TensorBoard,
    read_history,
)
from minigraph.train.checkpoint import latest
from minigraph.train.fitting import fit, learning_rate_range
from minigraph.train.metrics import Evaluation, classification_loss, evaluate, predict
from minigraph.train.trainer import Callback, Trainer

__all__ = [
    "Callback", "Checkpoints", "EarlyStopping", "Evaluation", "HistoryFiles", "Progress", "Statistics", "TensorBoard",
    "Trainer", "classification_loss", "evaluate", "fit", "latest", "learning_rate_range", "predict", "read_history",
]  # fmt: skip
