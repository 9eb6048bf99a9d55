"""Measures of targets where every label is on or off, and the threshold of each label."""

import numpy as np

__all__ = [
    "fit_thresholds",
    "label_f1",
    "mean_binary_accuracy",
    "mean_binary_weighted_f1",
    "multilabel_macro_f1",
    "multilabel_micro_f1",
]


def label_f1(
    prob: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None, threshold: float | np.ndarray = 0.5
) -> np.ndarray:
    """F1 of each label, `(K,)`; 0 where a label is neither there nor predicted, NaN where nothing is known of it.

    Args:
        prob: `(n, K)`.
        target: `(n, K)`, on above .5.
        valid: `(n, K)` bool.
        threshold: one, or `(K,)`; at it or above a label is predicted.

    Example:
        >>> label_f1(np.array([[0.9, 0.2], [0.7, 0.6]]), np.array([[1, 0], [0, 1]]))
        array([0.66666667, 1.        ])
    """
    known = np.ones(prob.shape, bool) if valid is None else valid
    guess, truth = (prob >= threshold) & known, (target > 0.5) & known
    hits, size = (guess & truth).sum(0), guess.sum(0) + truth.sum(0)
    return np.divide(2.0 * hits, size, out=np.where(known.any(0), 0.0, np.nan), where=size > 0)


def multilabel_macro_f1(
    prob: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None, threshold: float | np.ndarray = 0.5
) -> float:
    """Mean of `label_f1` over the labels of which something is known; NaN where nothing is.

    Example:
        >>> multilabel_macro_f1(np.array([[0.9, 0.2]]), np.array([[1, 1]]))
        0.5
    """
    each = label_f1(prob, target, valid, threshold)
    there = each[~np.isnan(each)]
    return float(there.mean()) if len(there) else float("nan")


def multilabel_micro_f1(
    prob: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None, threshold: float | np.ndarray = 0.5
) -> float:
    """F1 over all clips and labels as one pile; 0 where nothing is there or predicted, NaN where nothing is known.

    Example:
        >>> round(multilabel_micro_f1(np.array([[0.9, 0.2]]), np.array([[1, 1]])), 4)
        0.6667
    """
    known = np.ones(prob.shape, bool) if valid is None else valid
    guess, truth = (prob >= threshold) & known, (target > 0.5) & known
    size = guess.sum() + truth.sum()
    if not known.any():
        return float("nan")
    return float(2 * (guess & truth).sum() / size) if size else 0.0


def mean_binary_accuracy(prob: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Accuracy of each label's yes or no at .5, the mean over the labels of which something is known: how IEMOCAP is
    reported one emotion against the rest. A model that never says yes scores high on rare labels.

    Example:
        >>> mean_binary_accuracy(np.array([[0.9, 0.2], [0.7, 0.6]]), np.array([[1, 0], [0, 1]]))
        0.75
    """
    known = np.ones(prob.shape, bool) if valid is None else valid
    right = (((prob >= 0.5) == (target > 0.5)) & known).sum(0)
    return _mean_of_known(right, known.sum(0))


def mean_binary_weighted_f1(prob: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> float:
    """F1 of yes and of no, weighted by how often each is true, of each label; the mean over the labels of which
    something is known.

    Example:
        >>> round(mean_binary_weighted_f1(np.array([[0.9], [0.7], [0.1]]), np.array([[1], [0], [0]])), 4)
        0.6667
    """
    known = np.ones(prob.shape, bool) if valid is None else valid
    on, off = (target > 0.5) & known, (target <= 0.5) & known
    yes = label_f1(prob, target, known)
    guess = (prob < 0.5) & known  # at .5 itself yes is predicted
    hits, size = (guess & off).sum(0), guess.sum(0) + off.sum(0)
    no = np.divide(2.0 * hits, size, out=np.zeros(len(hits)), where=size > 0)
    return _mean_of_known(np.nan_to_num(yes) * on.sum(0) + no * off.sum(0), known.sum(0))


def _mean_of_known(total: np.ndarray, count: np.ndarray) -> float:
    there = count > 0
    return float((total[there] / count[there]).mean()) if there.any() else float("nan")


def fit_thresholds(prob: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """`(K,)` thresholds with the best F1 of each label; fit on valid, use elsewhere. .5 for labels without a positive.

    Example:
        >>> fit_thresholds(np.array([[0.3], [0.2], [0.1]]), np.array([[1], [1], [0]]))
        array([0.2])
    """
    known = np.ones(prob.shape, bool) if valid is None else valid
    found = np.full(prob.shape[1], 0.5)
    for k in range(prob.shape[1]):
        score, truth = prob[known[:, k], k], target[known[:, k], k] > 0.5
        if truth.any():
            order = np.argsort(-score, kind="stable")
            hits = np.cumsum(truth[order])
            last = np.append(np.diff(score[order]) != 0, True)
            f1 = 2 * hits[last] / (np.flatnonzero(last) + 1 + truth.sum())
            found[k] = score[order][last][f1.argmax()]
    return found
