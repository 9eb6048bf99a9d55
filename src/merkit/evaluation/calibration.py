"""One temperature per head, fitted on valid data."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

__all__ = ["fit_temperature"]


def fit_temperature(logit: np.ndarray, target: np.ndarray) -> float:
    """The temperature that minimises the negative log-likelihood of `softmax(logit / T)` (Guo et al. 2017, section 4.2).

    Args:
        logit: `(n, K)`.
        target: `(n,)` class indices, or `(n, K)` soft labels.

    Returns:
        T in [0.05, 20]; above 1 where the logits are overconfident.

    Example:
        >>> logit = np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
        >>> round(fit_temperature(logit, np.array([0, 0, 1, 1])), 2)
        3.64
    """
    soft = np.eye(logit.shape[1])[target] if target.ndim == 1 else target

    def loss(log_t: float) -> float:
        return float(-(soft * log_softmax(logit / np.exp(log_t), -1)).sum(1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))
