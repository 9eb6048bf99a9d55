"""Whether two models differ, on the clips that both answered for."""

from dataclasses import dataclass

import numpy as np

from merkit.evaluation.bootstrap import Interval, resample
from merkit.evaluation.measures import Measure

__all__ = ["PairedComparison", "paired_bootstrap"]


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """One measure of two models.

    Args:
        first: value of the first.
        second: value of the second.
        difference: first minus second with its interval.
        p_value: two-sided: twice the share of resamples in which the sign turns, at least one resample's worth.
    """

    first: float
    second: float
    difference: Interval
    p_value: float


def paired_bootstrap(
    measure: Measure,
    first: np.ndarray,
    second: np.ndarray,
    target: np.ndarray,
    valid: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> PairedComparison:
    """Resamples clips, or whole groups, and measures both models on the same ones (Efron & Tibshirani 1993, chapter 16).

    Args:
        measure: what is compared.
        first: output of one model.
        second: output of the other, for the same clips.
        target: the truth.
        valid: what is known of it.
        groups: `(n,)` whole groups are drawn where given.
        draws: resamples.
        level: share of resamples inside the interval.
        seed: of the draws.

    Example:
        >>> from merkit.evaluation.measures import MEASURES
        >>> right, wrong = np.tile([[0.9, 0.1]], (30, 1)), np.tile([[0.1, 0.9]], (30, 1))
        >>> paired_bootstrap(MEASURES["single_label"]["accuracy"], right, wrong, np.zeros(30, int), np.ones(30, bool),
        ...     draws=200).difference.low
        1.0
    """
    rng = np.random.default_rng(seed)
    a, b = measure.function(first, target, valid), measure.function(second, target, valid)
    drawn = []
    for _ in range(draws):
        rows = resample(len(target), groups, rng)
        t, v = target[rows], valid[rows]
        drawn.append(measure.function(first[rows], t, v) - measure.function(second[rows], t, v))
    values = np.asarray(drawn)
    values = values[~np.isnan(values)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]) if len(values) else (np.nan, np.nan)
    turned = min((values <= 0).mean(), (values >= 0).mean()) if len(values) else np.nan
    p_value = float(min(1.0, max(2 * turned, 1 / max(len(values), 1))))
    return PairedComparison(a, b, Interval(a - b, float(low), float(high)), p_value)
