"""How far raters agree: Fleiss' kappa, Krippendorff's alpha, and how each rater goes with each other one."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from merkit.errors import ConfigError

__all__ = ["agreement", "fleiss_kappa", "krippendorff_alpha", "rater_correlation", "rater_kappa"]


def fleiss_kappa(counts: np.ndarray) -> float:
    """Fleiss' kappa: agreement beyond chance on classes, `(P - Pe) / (1 - Pe)`.

    `P` is the mean over items of the share of pairs of raters who agree, `Pe` the sum of squared shares of the classes
    (J. L. Fleiss, Psychological Bulletin 76: 378-382, 1971).

    Args:
        counts: `(n, K)` how many raters put each item into each class; as many raters for every item, two or more.

    Returns:
        1 where all agree, about 0 for chance; NaN where everybody always said the same class, and for no item at all.

    Raises:
        ConfigError: items differ in their number of raters, or have fewer than two.

    Example:
        >>> round(fleiss_kappa(np.array([[3, 0], [0, 3], [2, 1]])), 4)
        0.55
    """
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 2 or not np.isfinite(counts).all() or (counts < 0).any():
        raise ConfigError(f"counts must be (n, K) and 0 or more; they are {counts.shape}")
    if not len(counts):
        return float("nan")
    raters = counts.sum(1)
    if raters[0] < 2 or not np.allclose(raters, raters[0]):
        raise ConfigError(
            f"Fleiss' kappa needs as many raters for every item, at least 2; there are {raters.min():g} to {raters.max():g}"
        )
    m = raters[0]
    observed = ((counts**2).sum(1) - m).mean() / (m * (m - 1))
    expected = float(((counts.sum(0) / counts.sum()) ** 2).sum())
    return float("nan") if expected >= 1 else float((observed - expected) / (1 - expected))


def krippendorff_alpha(values: np.ndarray, level: Literal["nominal", "interval"] = "nominal") -> float:
    """Krippendorff's alpha: `1 - Do / De`, observed over expected disagreement; raters may be missing.

    Disagreement of two values is 0 or 1 (nominal) or their squared difference (interval). `Do` is its mean over pairs
    within items, an item's pairs weighing `1 / (m - 1)`; `De` over all pairs of values of items that can be paired
    (K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011).

    Args:
        values: `(n, R)` what each rater said of each item, NaN where nothing. Items with one value or none do not count.
        level: `nominal` for classes, `interval` for numbers.

    Returns:
        1 where all agree, about 0 for chance; NaN where all values are the same or none can be paired.

    Raises:
        ConfigError: another level, or another shape.

    Example:
        >>> said = np.array([[1, 1], [2, 2], [3, 2], [3, np.nan]])
        >>> round(krippendorff_alpha(said), 4), round(krippendorff_alpha(said, "interval"), 4)
        (0.5455, 0.7059)
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2:
        raise ConfigError(f"values must be (n, R); they are {values.shape}")
    if level not in ("nominal", "interval"):
        raise ConfigError(f"level is nominal or interval, not {level!r}")
    values = values[np.isfinite(values).sum(1) >= 2]
    if not len(values):
        return float("nan")
    there = np.isfinite(values)
    m = there.sum(1)
    n = int(m.sum())
    # sums over pairs (i, j), i != j, of their disagreement: within each item, and over everything
    if level == "nominal":
        classes = np.unique(values[there])
        counts = np.stack([(values == each).sum(1) for each in classes], 1).astype(float)
        within = m**2 - (counts**2).sum(1)
        among = n**2 - float((counts.sum(0) ** 2).sum())
    else:
        x = np.where(there, values - values[there].mean(), 0.0)
        within = 2 * (m * (x**2).sum(1) - x.sum(1) ** 2)
        among = 2 * (n * float((x**2).sum()) - float(x.sum()) ** 2)
    observed = float((within / (m - 1)).sum()) / n
    expected = among / (n * (n - 1))
    # what rounding leaves of equal values
    if expected <= 1e-12 * max(1.0, float(np.abs(values[there]).max()) ** 2):
        return float("nan")
    return 1 - observed / expected


def rater_correlation(values: np.ndarray) -> np.ndarray:
    """Pearson correlation of every two raters over the items that both rated.

    Args:
        values: `(n, R)`, NaN where a rater said nothing.

    Returns:
        `(R, R)`; NaN where two raters share fewer than two items, or one of them always said the same.

    Raises:
        ConfigError: another shape.

    Example:
        >>> rater_correlation(np.array([[1, 2, 3.0], [2, 4, 1], [3, 6, np.nan]])).round(6)[0].tolist()
        [1.0, 1.0, -1.0]
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2:
        raise ConfigError(f"values must be (n, R); they are {values.shape}")
    raters = values.shape[1]
    found = np.full((raters, raters), np.nan)
    for a in range(raters):
        for b in range(a, raters):
            both = np.isfinite(values[:, a]) & np.isfinite(values[:, b])
            x, y = values[both, a], values[both, b]
            if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
                continue
            x, y = x - x.mean(), y - y.mean()
            found[a, b] = found[b, a] = (x @ y) / np.sqrt((x @ x) * (y @ y))
    return found


def rater_kappa(classes: np.ndarray) -> np.ndarray:
    """Cohen's kappa of every two raters over the items that both rated: `(Po - Pe) / (1 - Pe)`, `Pe` from their own shares.

    Args:
        classes: `(n, R)` class of each item by rater, NaN where there is none.

    Returns:
        `(R, R)`; NaN where two raters share no item, or both always said the same one class.

    Raises:
        ConfigError: another shape.

    Example:
        >>> rater_kappa(np.array([[0, 0], [0, 0], [1, 1], [1, 0.0]])).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    classes = np.asarray(classes, np.float64)
    if classes.ndim != 2:
        raise ConfigError(f"classes must be (n, R); they are {classes.shape}")
    kinds = np.unique(classes[np.isfinite(classes)])
    raters = classes.shape[1]
    found = np.full((raters, raters), np.nan)
    for a in range(raters):
        for b in range(a, raters):
            both = np.isfinite(classes[:, a]) & np.isfinite(classes[:, b])
            if not both.any():
                continue
            x, y = classes[both, a, None] == kinds, classes[both, b, None] == kinds
            observed, expected = (x & y).any(1).mean(), float(x.mean(0) @ y.mean(0))
            if expected < 1:
                found[a, b] = found[b, a] = (observed - expected) / (1 - expected)
    return found


def agreement(classes: np.ndarray, numbers: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Everything above of one corpus, as JSON types; what is not defined is None.

    Fleiss' kappa is over the items that have the commonest number of raters (`fleiss_items` of `items`); alpha needs no
    such choice.

    Args:
        classes: `(n, R)` class of each item by rater, NaN where there is none.
        numbers: name -> `(n, R)` numbers by rater, e.g. valence.

    Returns:
        `items`, `raters`, `fleiss_kappa`, `fleiss_items`, `alpha_nominal`, and for each of `numbers` `alpha_NAME` and
        `mean_correlation_NAME` over pairs of raters.

    Example:
        >>> agreement(np.array([[0, 0], [1, 1.0]]), {"valence": np.array([[1, 2], [4, 5.0]])})["fleiss_kappa"]
        1.0
    """
    classes = np.asarray(classes, np.float64)
    raters = np.isfinite(classes).sum(1)
    usable = raters[raters >= 2]
    kappa, items = float("nan"), 0
    if len(usable):
        rows = classes[raters == np.bincount(usable).argmax()]
        kinds = np.unique(rows[np.isfinite(rows)])
        items = len(rows)
        kappa = fleiss_kappa(np.stack([(rows == each).sum(1) for each in kinds], 1))
    found: dict[str, Any] = {
        "items": len(classes),
        "raters": classes.shape[1],
        "fleiss_kappa": kappa,
        "fleiss_items": items,
        "alpha_nominal": krippendorff_alpha(classes),
    }
    for name, values in numbers.items():
        pairs = rater_correlation(values)[np.triu_indices(values.shape[1], 1)]
        known = pairs[np.isfinite(pairs)]
        found[f"alpha_{name}"] = krippendorff_alpha(values, "interval")
        found[f"mean_correlation_{name}"] = float(known.mean()) if len(known) else float("nan")
    return {key: None if value != value else round(value, 6) for key, value in found.items()}
