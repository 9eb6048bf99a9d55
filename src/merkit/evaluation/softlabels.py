"""Measures against distributions that raters gave, where one right answer need not exist."""

import numpy as np
from scipy.special import rel_entr

__all__ = ["kl_divergence", "soft_cross_entropy", "tie_aware_accuracy"]


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
    top = target >= target.max(1, keepdims=True) - 1e-9
    return float(top[np.arange(len(prob)), prob.argmax(1)].mean())
