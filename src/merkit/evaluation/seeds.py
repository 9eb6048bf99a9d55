"""What several seeds of one config say together."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from merkit.evaluation.bootstrap import Interval

__all__ = ["describe_seeds", "seed_interval"]


def seed_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean over seeds with Student's t interval.

    It says where the mean of many more seeds would lie on these very clips. It knows nothing of other clips: that is
    what the bootstrap over clips is for.

    Args:
        values: one per seed. One value has no interval (NaN); a NaN among them makes everything NaN, because leaving a
            failed seed out would flatter the rest.
        level: of confidence.

    Raises:
        ValueError: there are no values.

    Example:
        >>> print(seed_interval([0.58, 0.60, 0.62]))
        .600 [.550, .650]
    """
    array = np.asarray(values, float)
    if not len(array):
        raise ValueError("an interval over seeds needs the value of at least one seed")
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(t.ppf(0.5 + level / 2, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)


def describe_seeds(values: Sequence[float], level: float = 0.95) -> str:
    """The same in words, with the number of seeds and their standard deviation.

    Example:
        >>> describe_seeds([0.58, 0.60, 0.62])
        '.600 ± .050 (95 % t interval, 3 seeds, standard deviation .020)'
        >>> describe_seeds([0.58])
        '.580 (1 seed, no interval)'
    """
    interval = seed_interval(values, level)
    value = _short(interval.value)
    if len(values) == 1:
        return f"{value} (1 seed, no interval)"
    half, deviation = _short(interval.high - interval.value), _short(float(np.std(values, ddof=1)))
    return f"{value} ± {half} ({100 * level:g} % t interval, {len(values)} seeds, standard deviation {deviation})"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
