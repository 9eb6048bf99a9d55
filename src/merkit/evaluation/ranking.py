"""Measures that look at the order of probabilities: average precision and area under the ROC curve.

All labels are ranked in one sort over the columns; equal scores are one threshold, so no order among them is made up.
"""

import numpy as np

__all__ = ["auroc", "average_precision", "label_average_precision", "mean_average_precision"]


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
    return float(_precisions(np.asarray(score)[:, None], np.asarray(target, bool)[:, None])[0])


def label_average_precision(prob: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """`(K,)` average precision of each label; NaN where it has no positive.

    Args:
        prob: `(n, K)`.
        target: `(n, K)`, positive above .5.
        valid: `(n, K)` bool; what is not known counts for nothing.

    Example:
        >>> label_average_precision(np.array([[0.9, 0.2], [0.1, 0.1]]), np.array([[1, 0], [0, 0]]))
        array([ 1., nan])
    """
    positive = np.asarray(target) > 0.5
    if valid is not None:
        # what is not known comes last, where it gains no recall and spoils nobody's precision
        prob, positive = np.where(valid, prob, -np.inf), positive & valid
    return _precisions(prob, positive)


def mean_average_precision(prob: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Mean over the labels that have a positive (mAP); NaN where none has. See `label_average_precision`.

    Example:
        >>> mean_average_precision(np.array([[0.9, 0.2], [0.1, 0.1]]), np.array([[1, 0], [0, 0]]))
        1.0
    """
    return _mean_of_known(label_average_precision(prob, target, valid))


def auroc(score: np.ndarray, target: np.ndarray) -> float:
    """Chance that a positive scores above a negative, ties half (Mann-Whitney; Hanley & McNeil 1982).

    Args:
        score: `(n,)` for a yes-or-no target; `(n, K)` for classes, then the mean of one class against the rest over the
            classes that occur, as long as there are two.
        target: `(n,)` bool, or `(n,)` class indices.

    Returns:
        NaN where there is only one kind.

    Example:
        >>> auroc(np.array([0.9, 0.4, 0.6]), np.array([True, False, False]))
        1.0
    """
    if score.ndim == 1:
        score, positive = score[:, None], np.asarray(target, bool)[:, None]
    else:
        positive = np.asarray(target)[:, None] == np.arange(score.shape[1])
    order, first, last = _ranking(score.T)
    hit = np.take_along_axis(np.ascontiguousarray(positive.T), order, 1)
    positives = hit.sum(1)
    rank = (first + last) / 2 + 1  # from 1, the mean of a run of equal scores
    above = (rank * hit).sum(1) - positives * (positives + 1) / 2
    pairs = positives * (len(score) - positives)
    return _mean_of_known(np.divide(above, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))


def _ranking(score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row of `(K, n)`: places from low to high, and where each one's run of equal scores begins and ends."""
    score = np.ascontiguousarray(score)
    order = np.argsort(score, axis=1)
    ranked = np.take_along_axis(score, order, 1)
    n = score.shape[1]
    place = np.arange(n)
    new = np.ones(score.shape, bool)
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.ones(score.shape, bool)
    ends[:, :-1] = new[:, 1:]
    last = np.minimum.accumulate(np.where(ends, place, n)[:, ::-1], axis=1)[:, ::-1]
    return order, first, last


def _precisions(score: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """`(K,)` average precision of each column of `(n, K)`: each positive counts the precision at its own threshold."""
    order, first, _ = _ranking(score.T)
    hit = np.take_along_axis(np.ascontiguousarray(positive.T), order, 1)
    chosen = len(score) - first  # at or above the threshold
    total = hit.sum(1)
    below = np.cumsum(hit, axis=1) - hit  # positives before each place
    found = total[:, None] - np.take_along_axis(below, first, 1)
    gained = (hit * found / np.maximum(chosen, 1)).sum(1)
    return np.divide(gained, total, out=np.full(len(total), np.nan), where=total > 0)


def _mean_of_known(each: np.ndarray) -> float:
    known = each[~np.isnan(each)]
    return float(known.mean()) if len(known) else float("nan")
