"""What an average hides: precision, recall and F1 of every class or label; and the field's names for two averages."""

from dataclasses import dataclass

import numpy as np

from merkit.evaluation.metrics import accuracy, confusion, unweighted_average_recall

__all__ = ["ClassScores", "class_scores", "label_scores", "micro_f1", "unweighted_accuracy", "weighted_accuracy"]


@dataclass(frozen=True, slots=True, eq=False)
class ClassScores:
    """One entry per class, in the order of the labels; what is not defined is NaN.

    Args:
        precision: `(K,)` share of right ones among those predicted; NaN where the class is never predicted.
        recall: `(K,)` share found among those that are there; NaN where the class never occurs.
        f1: `(K,)` harmonic mean; 0 where the class occurs or is predicted without a hit, NaN where neither.
        support: `(K,)` clips of the class.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def class_scores(prob: np.ndarray, target: np.ndarray) -> ClassScores:
    """Scores of each class, where every clip has one.

    Args:
        prob: `(n, K)`; the likeliest class is the prediction.
        target: `(n,)` class indices.

    Example:
        >>> scores = class_scores(np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.3, 0.7, 0]]), np.array([0, 1, 1]))
        >>> scores.precision, scores.recall, scores.support
        (array([0.5, 1. , nan]), array([1. , 0.5, nan]), array([1, 2, 0]))
    """
    counts = confusion(prob, target)
    return _scores(np.diag(counts), counts.sum(0), counts.sum(1))


def label_scores(
    prob: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None, threshold: float | np.ndarray = 0.5
) -> ClassScores:
    """Scores of each label, where every label is on or off.

    Args:
        prob: `(n, K)`.
        target: `(n, K)`, on above .5.
        valid: `(n, K)` bool; what is not known counts for nothing.
        threshold: one, or `(K,)`; at it or above a label is predicted (see `fit_thresholds`).

    Example:
        >>> label_scores(np.array([[0.9, 0.2], [0.7, 0.6]]), np.array([[1, 0], [0, 1]])).precision
        array([0.5, 1. ])
    """
    known = np.ones(prob.shape, bool) if valid is None else valid
    guess, truth = (prob >= threshold) & known, (target > 0.5) & known
    return _scores((guess & truth).sum(0), guess.sum(0), truth.sum(0))


def micro_f1(prob: np.ndarray, target: np.ndarray) -> float:
    """F1 over all decisions as one pile. With one class per clip this IS the accuracy; it is given under both names.

    Example:
        >>> micro_f1(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
        0.5
    """
    return accuracy(prob, target)


def weighted_accuracy(prob: np.ndarray, target: np.ndarray) -> float:
    """WA of the speech field: plain accuracy, so called because it weighs classes by their size.

    Example:
        >>> weighted_accuracy(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 1, 1])) == 2 / 3
        True
    """
    return accuracy(prob, target)


def unweighted_accuracy(prob: np.ndarray, target: np.ndarray) -> float:
    """UA of the speech field: mean recall over the classes that occur, the same as UAR (not the plain accuracy).

    Example:
        >>> unweighted_accuracy(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 1, 1]))
        0.75
    """
    return unweighted_average_recall(prob, target)


def _scores(hits: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> ClassScores:
    return ClassScores(_share(hits, predicted), _share(hits, support), _share(2 * hits, predicted + support), support)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
