"""Pictures of training and of what was learned. Needs matplotlib: pip install 'minigraph[plot]'.

Each function gives a matplotlib Figure, which notebooks show, and writes it as PNG where it is given a ``path``.
"""

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError("minigraph.plot: it needs matplotlib: pip install 'minigraph[plot]'") from error

from minigraph.plot.curves import error_bars, learning_rate_range, statistics, training_curves
from minigraph.plot.learned import activations, feature_maps, filters, receptive_field, saliency
from minigraph.plot.pictures import confusion_matrix, edges, equivariance, images, mistakes

__all__ = [
    "activations", "confusion_matrix", "edges", "equivariance", "error_bars", "feature_maps", "filters", "images",
    "learning_rate_range", "mistakes", "receptive_field", "saliency", "statistics", "training_curves",
]  # fmt: skip
