"""A list of numbers in a line: how many, their mean, and where they lie."""

from typing import Any

import numpy as np

__all__ = ["QUANTILES", "spread"]

QUANTILES = {"min": 0.0, "p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


def spread(values: np.ndarray) -> dict[str, Any]:
    """Number, mean, standard deviation and quantiles of what is known.

    Quantiles lie on the line between neighbouring values (definition 7 of R. J. Hyndman, Y. Fan, The American
    Statistician 50(4): 361-365, 1996); the deviation is that of a sample, over `n - 1`.

    Args:
        values: `(n,)`, NaN where unknown.

    Returns:
        `n`, `mean`, `sd` and the keys of `QUANTILES`; None where too few are known.

    Example:
        >>> found = spread(np.array([1.0, 2.0, 3.0, 4.0, np.nan]))
        >>> found["n"], found["mean"], round(found["sd"], 3), found["p25"], found["max"]
        (4, 2.5, 1.291, 1.75, 4.0)
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    n = len(known)
    found: dict[str, Any] = {
        "n": n,
        "mean": float(known.mean()) if n else None,
        "sd": float(known.std(ddof=1)) if n > 1 else None,
    }
    at = np.quantile(known, list(QUANTILES.values())).tolist() if n else [None] * len(QUANTILES)
    return found | dict(zip(QUANTILES, at, strict=True))
