"""Measures that look at the order of probabilities: average precision and area under the ROC curve."""

import numpy as np
from scipy.stats import rankdata

__all__ = ["auroc", "average_precision", "mean_average_precision"]


def average_precision(score: np.ndarray, target: np.ndarray) -> float:
    """Area under the precision-recall steps: sum over thresholds of (recall gained) x precision; ties are one threshold.

    Args:
        score: `(n,)`.
        target: `(n,)` bool.

    Returns:
        NaN where nothing is positive: there is no recall to gain.

    Example:
        >>> round(average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, False, True])), 4)
        0.8333
    """
    positives = int(target.sum())
    if positives == 0:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(target[order])
    last = np.append(np.diff(score[order]) != 0, True)  # the end of each run of equal scores
    hits = hits[last]
    seen = np.flatnonzero(last) + 1
    return float((np.diff(hits, prepend=0) / positives * hits / seen).sum())


def mean_average_precision(prob: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Mean over the labels that have a positive (mAP).

    Args:
        prob: `(n, K)`.
        target: `(n, K)`, positive above .5.
        valid: `(n, K)` bool; what is not known counts for nothing.

    Example:
        >>> mean_average_precision(np.array([[0.9, 0.2], [0.1, 0.1]]), np.array([[1, 0], [0, 0]]))
        1.0
    """
    known = np.ones(prob.shape, bool) if valid is None else valid
    each = [average_precision(prob[known[:, k], k], target[known[:, k], k] > 0.5) for k in range(prob.shape[1])]
    return float(np.nanmean(each)) if not np.all(np.isnan(each)) else float("nan")


def auroc(score: np.ndarray, target: np.ndarray) -> float:
    """Chance that a positive scores above a negative, ties half (Mann-Whitney; Hanley & McNeil 1982).

    Args:
        score: `(n,)` for a yes-or-no target; `(n, K)` for classes, then the mean of one class against the rest.
        target: `(n,)` bool, or `(n,)` class indices.

    Returns:
        NaN where there is only one kind.

    Example:
        >>> auroc(np.array([0.9, 0.4, 0.6]), np.array([True, False, False]))
        1.0
    """
    if score.ndim == 2:
        each = [auroc(score[:, k], target == k) for k in range(score.shape[1])]
        return float(np.nanmean(each)) if not np.all(np.isnan(each)) else float("nan")
    target = target.astype(bool)
    positives, negatives = int(target.sum()), int((~target).sum())
    if not positives or not negatives:
        return float("nan")
    return float((rankdata(score)[target].sum() - positives * (positives + 1) / 2) / (positives * negatives))
