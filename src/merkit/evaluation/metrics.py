"""Classification measures over whole sets of predictions: numpy in, one number out, no running averages.

`prob (n, K)` rows sum to 1; `target (n,)` holds class indices. Every measure is a function of the concatenated set, so
it cannot depend on how the set was batched.
"""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "ReliabilityTable",
    "accuracy",
    "brier",
    "confusion",
    "expected_calibration_error",
    "macro_f1",
    "nll",
    "reliability_table",
    "unweighted_average_recall",
    "weighted_f1",
]


def confusion(prob: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Counts `(K, K)`: rows are true classes, columns the likeliest predicted class.

    Example:
        >>> confusion(np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]), np.array([0, 1, 1]))
        array([[1, 0],
               [1, 1]])
    """
    classes = prob.shape[1]
    return np.bincount(target * classes + prob.argmax(1), minlength=classes**2).reshape(classes, classes)


def accuracy(prob: np.ndarray, target: np.ndarray) -> float:
    """Share of rows whose likeliest class is the true one.

    Example:
        >>> accuracy(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
        0.5
    """
    return float((prob.argmax(1) == target).mean())


def _f1_per_class(prob: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = confusion(prob, target)
    hits, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    total = true + predicted
    return np.divide(2.0 * hits, total, out=np.zeros(len(hits)), where=total > 0), true


def macro_f1(prob: np.ndarray, target: np.ndarray) -> float:
    """Mean F1 over the classes that occur in `target` or among the predictions.

    Example:
        >>> round(macro_f1(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 1, 1])), 4)
        0.6667
    """
    f1, true = _f1_per_class(prob, target)
    occurs = (true > 0) | (np.bincount(prob.argmax(1), minlength=len(true)) > 0)
    return float(f1[occurs].mean())


def weighted_f1(prob: np.ndarray, target: np.ndarray) -> float:
    """F1 averaged over classes with their share of `target` as weight.

    Example:
        >>> weighted_f1(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
        1.0
    """
    f1, true = _f1_per_class(prob, target)
    return float((f1 * true).sum() / true.sum())


def unweighted_average_recall(prob: np.ndarray, target: np.ndarray) -> float:
    """Mean recall over the classes that occur in `target` (UAR, the speech field's measure; Schuller et al. 2009).

    Example:
        >>> unweighted_average_recall(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 1, 1]))
        0.75
    """
    counts = confusion(prob, target)
    true = counts.sum(1)
    return float((np.diag(counts)[true > 0] / true[true > 0]).mean())


def nll(prob: np.ndarray, target: np.ndarray) -> float:
    """Mean negative log-likelihood in nats.

    Example:
        >>> round(nll(np.array([[0.5, 0.5]]), np.array([0])), 4)
        0.6931
    """
    return float(-np.log(np.maximum(prob[np.arange(len(target)), target], 1e-12)).mean())


def brier(prob: np.ndarray, target: np.ndarray) -> float:
    """Mean squared distance to the one-hot truth, summed over classes (Brier 1950), in [0, 2].

    Example:
        >>> brier(np.array([[0.5, 0.5]]), np.array([0]))
        0.5
    """
    return float(np.square(prob - np.eye(prob.shape[1])[target]).sum(1).mean())


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityTable:
    """Confidence against accuracy in equal-width bins; empty bins hold NaN.

    Args:
        edges: `(bins + 1,)` in [0, 1].
        count: `(bins,)` rows.
        confidence: `(bins,)` mean probability of the predicted class.
        accuracy: `(bins,)` share that was right.
    """

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability_table(prob: np.ndarray, target: np.ndarray, bins: int = 15) -> ReliabilityTable:
    """Bins rows by the probability of their predicted class.

    Example:
        >>> table = reliability_table(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), bins=2)
        >>> table.count.tolist(), table.accuracy[1]
        ([0, 2], np.float64(0.5))
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    confidence = prob.max(1)
    right = prob.argmax(1) == target
    index = np.clip(np.digitize(confidence, edges[1:-1], right=True), 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, confidence, bins) / count
        hit = np.bincount(index, right, bins) / count
    return ReliabilityTable(edges, count, mean, hit)


def expected_calibration_error(prob: np.ndarray, target: np.ndarray, bins: int = 15) -> float:
    """ECE of the predicted class: equal-width bins, gaps weighted by count (Guo et al. 2017, eq. 3).

    Example:
        >>> round(expected_calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1])), 4)
        0.3
    """
    table = reliability_table(prob, target, bins)
    gap = np.abs(table.accuracy - table.confidence)
    return float(np.nansum(gap * table.count) / table.count.sum())
