"""A trained model over real clips: load once, then one timeline per clip."""

from merkit.inference.first import HEADS, fetch_missing, needed_weights
from merkit.inference.outputs import write_outputs
from merkit.inference.pooling import Evidence, Pooled, contributions, log_opinion_pool, pool_windows
from merkit.inference.predictor import Predictor, analyze
from merkit.inference.timeline import build_timeline, window_grid

__all__ = [
    "HEADS",
    "Evidence",
    "Pooled",
    "Predictor",
    "analyze",
    "build_timeline",
    "contributions",
    "fetch_missing",
    "log_opinion_pool",
    "needed_weights",
    "pool_windows",
    "window_grid",
    "write_outputs",
]
