"""Whether two models differ, on the clips that both answered for."""

from dataclasses import dataclass

import numpy as np

from merkit.evaluation.bootstrap import Interval, percentiles, resamples, units_of
from merkit.evaluation.measures import Measure

__all__ = ["PairedComparison", "paired_bootstrap"]


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """One measure of two models.

    Args:
        first: value of the first.
        second: value of the second.
        difference: first minus second with its interval.
        p_value: two-sided: twice the share of resamples in which the sign turns or the difference is gone, at least one
            resample's worth; NaN where nothing can be said.
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

    def difference(rows: np.ndarray) -> float:
        t, v = target[rows], valid[rows]
        return measure.function(first[rows], t, v) - measure.function(second[rows], t, v)

    a, b = measure.function(first, target, valid), measure.function(second, target, valid)
    units = len(target) if groups is None else units_of(groups)[1]
    drawn = resamples(len(target), groups, draws if units > 1 else 0, seed)
    # what is undefined on the clips themselves is not made known by resamples that happen to miss what spoils it
    values = np.array([] if np.isnan(a - b) else [difference(rows) for rows in drawn], float)
    values = values[~np.isnan(values)]
    if not len(values):
        return PairedComparison(a, b, Interval(a - b, float("nan"), float("nan")), float("nan"))
    turned = min(float((values <= 0).mean()), float((values >= 0).mean()))
    p_value = min(1.0, max(2 * turned, 1 / len(values)))
    return PairedComparison(a, b, Interval(a - b, *percentiles(values, level)), p_value)
