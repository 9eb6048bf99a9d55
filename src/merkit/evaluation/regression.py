"""Measures of numbers: errors, correlation, concordance, and what the sentiment field derives from them."""

import numpy as np

__all__ = [
    "acc2_negative_nonnegative",
    "acc2_negative_positive",
    "acc7",
    "ccc",
    "f1_negative_nonnegative",
    "f1_negative_positive",
    "mae",
    "pearson",
    "rmse",
]


def mae(value: np.ndarray, target: np.ndarray) -> float:
    """Mean absolute error.

    Example:
        >>> mae(np.array([1.0, 2.0]), np.array([0.0, 2.0]))
        0.5
    """
    return float(np.abs(value - target).mean())


def rmse(value: np.ndarray, target: np.ndarray) -> float:
    """Root of the mean squared error.

    Example:
        >>> rmse(np.array([2.0, 0.0]), np.array([0.0, 0.0])) == 2**0.5
        True
    """
    return float(np.sqrt(np.square(value - target).mean()))


def pearson(value: np.ndarray, target: np.ndarray) -> float:
    """Pearson's r; NaN where either side is constant.

    Example:
        >>> round(pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 6)
        1.0
    """
    if np.ptp(value) == 0 or np.ptp(target) == 0:  # rounding in the mean would make a correlation of nothing
        return float("nan")
    a, b = value - value.mean(), target - target.mean()
    spread = float(np.sqrt(np.square(a).sum()) * np.sqrt(np.square(b).sum()))
    return float(np.clip((a * b).sum() / spread, -1, 1)) if spread > 0 else float("nan")


def ccc(value: np.ndarray, target: np.ndarray) -> float:
    """Lin's concordance (1989): correlation that also counts shifts and scale; population variances.

    0 where one side is constant, NaN where both are the same number throughout.

    Example:
        >>> ccc(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
        1.0
    """
    gap = value.mean() - target.mean()
    if np.ptp(value) == 0 or np.ptp(target) == 0:  # no agreement to measure; and none at all where both are one number
        return 0.0 if np.ptp(value) or np.ptp(target) or value.flat[0] != target.flat[0] else float("nan")
    together = ((value - value.mean()) * (target - target.mean())).mean()
    return float(2 * together / (value.var() + target.var() + gap**2))


def acc7(value: np.ndarray, target: np.ndarray) -> float:
    """Sentiment in [-3, 3]: share of clips whose rounded value is the rounded truth.

    Example:
        >>> acc7(np.array([2.4, 5.0]), np.array([2.0, 3.0]))
        1.0
    """
    return float((np.round(np.clip(value, -3, 3)) == np.round(np.clip(target, -3, 3))).mean())


def acc2_negative_nonnegative(value: np.ndarray, target: np.ndarray) -> float:
    """Sentiment: negative against zero or positive, all clips (the older convention of CMU-MOSI).

    Example:
        >>> acc2_negative_nonnegative(np.array([0.1, -0.1]), np.array([0.0, 0.0]))
        0.5
    """
    return float(((value >= 0) == (target >= 0)).mean())


def acc2_negative_positive(value: np.ndarray, target: np.ndarray) -> float:
    """Sentiment: negative against positive; clips whose truth is exactly zero are left out.

    Example:
        >>> acc2_negative_positive(np.array([0.1, -0.1]), np.array([0.0, -2.0]))
        1.0
    """
    clear = target != 0
    return float(((value[clear] > 0) == (target[clear] > 0)).mean()) if clear.any() else float("nan")


def f1_negative_nonnegative(value: np.ndarray, target: np.ndarray) -> float:
    """Weighted F1 that goes with `acc2_negative_nonnegative`.

    Example:
        >>> f1_negative_nonnegative(np.array([0.1, -0.1]), np.array([1.0, -1.0]))
        1.0
    """
    return _weighted_f1(value >= 0, target >= 0)


def f1_negative_positive(value: np.ndarray, target: np.ndarray) -> float:
    """Weighted F1 that goes with `acc2_negative_positive`.

    Example:
        >>> f1_negative_positive(np.array([0.1, -0.1]), np.array([1.0, -1.0]))
        1.0
    """
    clear = target != 0
    return _weighted_f1(value[clear] > 0, target[clear] > 0) if clear.any() else float("nan")


def _weighted_f1(guess: np.ndarray, truth: np.ndarray) -> float:
    total = 0.0
    for side in (False, True):
        hit = np.sum((guess == side) & (truth == side))
        size = np.sum(guess == side) + np.sum(truth == side)
        total += (2 * hit / size if size else 0.0) * np.mean(truth == side)
    return float(total)
