"""Measures against distributions that raters gave, where one right answer need not exist."""

from collections.abc import Callable

import numpy as np
from scipy.special import rel_entr

__all__ = [
    "expected_accuracy",
    "kl_divergence",
    "of_clear_majority",
    "soft_cross_entropy",
    "tie_aware_accuracy",
    "tie_aware_macro_f1",
]


def soft_cross_entropy(prob: np.ndarray, target: np.ndarray) -> float:
    """Mean of `-sum target log prob`, in nats.

    Args:
        prob: `(n, K)`.
        target: `(n, K)` distributions.

    Example:
        >>> round(soft_cross_entropy(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]])), 4)
        0.6931
    """
    return float(-(target * np.log(np.maximum(prob, 1e-12))).sum(1).mean())


def kl_divergence(prob: np.ndarray, target: np.ndarray) -> float:
    """Mean of KL(target || prob), in nats; zero where they agree.

    Example:
        >>> kl_divergence(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]]))
        0.0
    """
    return float(rel_entr(target, np.maximum(prob, 1e-12)).sum(1).mean())


def tie_aware_accuracy(prob: np.ndarray, target: np.ndarray) -> float:
    """Share of clips whose likeliest class is among those that most raters chose.

    Example:
        >>> tie_aware_accuracy(np.array([[0.1, 0.9]]), np.array([[0.5, 0.5]]))
        1.0
    """
    return float(_tops(target)[np.arange(len(prob)), prob.argmax(1)].mean())


def of_clear_majority(
    function: Callable[[np.ndarray, np.ndarray], float],
) -> Callable[[np.ndarray, np.ndarray], float]:
    """A measure of classes over the clips that have one: those whose largest share one class alone has.

    So were soft labels scored in the publication of the Tensor Mixer Network ("remove deuce"). What it leaves out, the
    clips that raters do not agree on, `tie_aware_accuracy`, `expected_accuracy` and the distances judge.

    Args:
        function: `(prob (m, K), class (m,)) -> number`.

    Returns:
        `(prob (n, K), target (n, K)) -> number`; NaN where no clip has one class.

    Example:
        >>> from merkit.evaluation.metrics import accuracy
        >>> shares = np.array([[0.7, 0.3], [0.5, 0.5]])
        >>> of_clear_majority(accuracy)(np.array([[0.9, 0.1], [0.9, 0.1]]), shares)
        1.0
    """

    def clear(prob: np.ndarray, target: np.ndarray) -> float:
        keep = _tops(target).sum(1) == 1
        return function(prob[keep], target[keep].argmax(1)) if keep.any() else float("nan")

    return clear


def expected_accuracy(prob: np.ndarray, target: np.ndarray) -> float:
    """Mean share of raters who chose the likeliest class: how often one rater, drawn by chance, would agree.

    Example:
        >>> expected_accuracy(np.array([[0.9, 0.1]]), np.array([[0.6, 0.4]]))
        0.6
    """
    return float(target[np.arange(len(prob)), prob.argmax(1)].mean())


def tie_aware_macro_f1(prob: np.ndarray, target: np.ndarray) -> float:
    """Mean over classes of F1, where a clip whose most-voted classes are tied counts for the one that was answered, if that
    is among them, and else for each of them with an equal part.

    Classes that nobody chose and nobody answered are left out.

    Example:
        >>> tie_aware_macro_f1(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.5, 0.5], [0.0, 1.0]]))
        1.0
    """
    tops = _tops(target)
    rows, said = np.arange(len(prob)), prob.argmax(1)
    right = tops[rows, said]
    truth = tops / tops.sum(1, keepdims=True)
    truth[right] = 0.0
    truth[rows[right], said[right]] = 1.0
    answered = np.zeros_like(truth)
    answered[rows, said] = 1.0
    both, either = (truth * answered).sum(0), truth.sum(0) + answered.sum(0)
    return float((2 * both[either > 0] / either[either > 0]).mean())


def _tops(target: np.ndarray) -> np.ndarray:
    """`(n, K)` bool: the classes that most raters chose; shares carry the rounding of float32."""
    return target >= target.max(1, keepdims=True) - 1e-6
