"""Optimizers, which read ``.grad`` of parameters and replace their values; schedules, clipping, averages of weights.

Names, arguments and meaning are PyTorch's: ``optim.SGD(model.parameters(), lr=0.1, momentum=0.9)``.
"""

from minigraph.optim import lr_scheduler
from minigraph.optim.averaging import ExponentialMovingAverage
from minigraph.optim.gradients import clip_grad_norm_, clip_grad_value_
from minigraph.optim.optimizer import Optimizer
from minigraph.optim.rules import SGD, Adagrad, Adam, AdamW, RMSprop

__all__ = [
    "Adagrad", "Adam", "AdamW", "ExponentialMovingAverage", "Optimizer", "RMSprop", "SGD", "clip_grad_norm_",
    "clip_grad_value_", "lr_scheduler",
]  # fmt: skip
