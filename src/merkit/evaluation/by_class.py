"""One measure of every label or class, with what surrounds the number: interval, how often the label is there, a floor.

An average over labels hides that rare ones are not learnt. What is drawn of a run (`merkit figures`) is this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from merkit.evaluation.bootstrap import Interval, percentiles, resamples, units_of
from merkit.evaluation.per_class import class_scores
from merkit.evaluation.ranking import label_average_precision

__all__ = ["BY_CLASS", "ByClass", "by_class", "class_f1"]

# (prob, target, valid) -> (K,)
_Each = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class ByClass:
    """A measure label by label.

    Args:
        value: `(K,)`, the mean over runs where there are several; NaN where the measure is not defined.
        low: `(K,)` lower end; NaN where there is no interval.
        high: `(K,)` upper end.
        support: `(K,)` answers that have the label.
        prevalence: `(K,)` their share of the known answers: what average precision a random ranking reaches.
        n: `(K,)` known answers.
        mean: over the labels where the measure is defined, with its own ends.
        interval: what lies between the ends, in words; empty where there are none.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    support: np.ndarray
    prevalence: np.ndarray
    n: np.ndarray
    mean: Interval
    interval: str


def class_f1(prob: np.ndarray, target: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """`(K,)` F1 of each class where every clip has one; NaN where a class neither occurs nor is predicted.

    Example:
        >>> class_f1(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), np.array([True, False]))
        array([ 1., nan])
    """
    return class_scores(prob[valid], target[valid]).f1


BY_CLASS: dict[str, _Each] = {"multi_label": label_average_precision, "single_label": class_f1}
"""Kind of target -> what is measured of each of its labels."""


def by_class(
    members: Sequence[np.ndarray],
    target: np.ndarray,
    valid: np.ndarray,
    *,
    each: _Each = label_average_precision,
    groups: np.ndarray | None = None,
    over: str = "",
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> ByClass:
    """A measure of each label: of one run with a bootstrap interval, of several as mean with the lowest and the highest.

    Args:
        members: one `(n, K)` of probabilities a run.
        target: `(n, K)`, on above .5, or `(n,)` class indices.
        valid: bool of the same shape.
        each: `(prob, target, valid) -> (K,)`.
        groups: `(n,)`; whole groups are drawn.
        over: what is drawn, in words, for `interval`; empty = `clips`, or `whole groups`.
        draws: resamples for the interval of one run; 0 = none.
        level: share of resamples within the interval.
        seed: of the draws.

    Example:
        >>> one = np.array([[0.9], [0.6], [0.2]]), np.array([[0.9], [0.1], [0.2]])
        >>> found = by_class(one, np.array([[1], [0], [1]]), np.ones((3, 1), bool))
        >>> found.value.round(3), found.low.round(3), found.high.round(3), found.interval
        (array([0.917]), array([0.833]), array([1.]), 'lowest to highest of 2 seeds')
    """
    labels = members[0].shape[1]
    if target.ndim == 1:
        there = (target[:, None] == np.arange(labels)) & valid[:, None]
        known = np.broadcast_to(valid[:, None], there.shape).sum(0)
    else:
        there, known = (target > 0.5) & valid, valid.sum(0)
    values = np.stack([each(prob, target, valid) for prob in members])  # (runs, K)
    means = np.array([_mean(row) for row in values])
    interval = ""
    low = high = np.full(labels, np.nan)
    ends = (float("nan"), float("nan"))
    if len(members) > 1:
        interval = f"lowest to highest of {len(members)} seeds"
        low, high, ends = values.min(0), values.max(0), (float(means.min()), float(means.max()))
    elif draws and (len(target) if groups is None else units_of(groups)[1]) > 1:
        interval = (
            f"{100 * level:g} % bootstrap interval over {over or ('clips' if groups is None else 'whole groups')}"
        )
        drawn = np.stack(
            [each(members[0][rows], target[rows], valid[rows]) for rows in resamples(len(target), groups, draws, seed)]
        )
        low, high = (np.array(end) for end in zip(*(percentiles(column, level) for column in drawn.T), strict=True))
        ends = percentiles(np.array([_mean(row) for row in drawn]), level)
    support = there.sum(0)
    prevalence = np.divide(support, known, out=np.full(labels, np.nan), where=known > 0)
    return ByClass(
        values.mean(0), low, high, support, prevalence, known, Interval(float(means.mean()), *ends), interval
    )


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
