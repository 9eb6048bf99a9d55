"""One temperature per head, fitted on valid data."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

__all__ = ["fit_temperature"]

_COLDEST, _HOTTEST = 0.05, 20.0


def fit_temperature(
    logit: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None, *, multi_label: bool = False
) -> float:
    """The temperature that minimises the negative log-likelihood of `softmax(logit / T)` (Guo et al. 2017, section 4.2).

    A temperature changes no order: classes, average precision and areas under curves stay, thresholds other than 0.5 do
    not, and must be fitted after it.

    Args:
        logit: `(n, K)`.
        target: `(n,)` class indices, or `(n, K)` soft labels; with `multi_label`, `(n, K)` on or off.
        valid: bool, `(n,)` or `(n, K)`: what is known; none = all. Of classes, a clip counts where it is known as a whole.
        multi_label: every label has its own yes or no: `sigmoid(logit / T)`.

    Returns:
        T in [0.05, 20]; above 1 where the logits are overconfident.

    Raises:
        ValueError: nothing is known.

    Example:
        >>> logit = np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
        >>> round(fit_temperature(logit, np.array([0, 0, 1, 1])), 2)
        3.64
        >>> round(fit_temperature(np.array([[4.0], [4.0], [4.0], [4.0]]), np.array([[1], [1], [1], [0]]), multi_label=True), 2)
        3.64
    """
    logit = np.asarray(logit, np.float64)
    if multi_label:
        known = np.ones(logit.shape, bool) if valid is None else valid
        flat, truth = logit[known], np.asarray(target, np.float64)[known]
        # a yes or no is a choice between two classes, the second with logit 0
        logit, soft = np.stack([flat, np.zeros_like(flat)], -1), np.stack([truth, 1 - truth], -1)
    else:
        soft = np.eye(logit.shape[1])[target] if target.ndim == 1 else np.asarray(target, np.float64)
        if valid is not None:
            known = valid if valid.ndim == 1 else valid.all(1)
            logit, soft = logit[known], soft[known]
    if not len(logit):
        raise ValueError("a temperature cannot be fitted on no answers")

    def loss(log_t: float) -> float:
        return float(-(soft * log_softmax(logit / np.exp(log_t), -1)).sum(1).mean())

    bounds = (np.log(_COLDEST), np.log(_HOTTEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
