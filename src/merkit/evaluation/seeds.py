"""What several seeds of one config say together."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from merkit.evaluation.bootstrap import Interval

__all__ = ["seed_interval"]


def seed_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean over seeds with Student's t interval; one value has no interval (NaN), and NaN values make the mean NaN.

    Example:
        >>> print(seed_interval([0.58, 0.60, 0.62]))
        .600 [.550, .650]
    """
    array = np.asarray(values, float)
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(t.ppf(0.5 + level / 2, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)
