"""Whether a fitted mean and scale saw other clips than those of train."""

from itertools import combinations

import numpy as np

from merkit.data.findings import Finding, LeakageReport
from merkit.data.moments import Moments, moments_of
from merkit.data.table import ClipTable

__all__ = ["check_standardiser"]


def check_standardiser(
    centre: np.ndarray, scale: np.ndarray, table: ClipTable, modality: str, *, tolerance: float = 1e-3
) -> LeakageReport:
    """Whether a fitted mean and scale come from the tokens of train and of nothing else.

    Args:
        centre: `(D,)` mean that is subtracted.
        scale: `(D,)` standard deviation that is divided by; where a dimension hardly varies, any number.
        table: all splits together.
        modality: which stream.
        tolerance: root mean square over the dimensions, in standard deviations, up to which two statistics are the same.

    Returns:
        A report with one error of kind `statistics` where they differ; it names the splits that they do come from,
        where some union of splits fits.

    Example:
        >>> from merkit.data.table import TokenColumn
        >>> x = np.array([[0.0], [2.0], [10.0]])
        >>> table = ClipTable("t", np.array(list("abc")), np.array(["train", "train", "test"]),
        ...     {"speech": TokenColumn.one_per_clip(x)}, {})
        >>> check_standardiser(np.array([1.0]), np.array([1.0]), table, "speech").findings
        ()
        >>> check_standardiser(x.mean(0), x.std(0), table, "speech").findings[0].splits
        ('train', 'test')
    """
    column = table.streams[modality]
    found = {
        name: moments_of(column.take(np.flatnonzero(table.split == name)).x) for name in ("train", "valid", "test")
    }
    names = [name for name in found if found[name].count]
    unions = [union for size in range(1, len(names) + 1) for union in combinations(names, size)]
    distance = {union: _distance(centre, scale, Moments.together([found[name] for name in union])) for union in unions}
    if distance.get(("train",), np.inf) <= tolerance:
        return LeakageReport((), table.name)
    best = min(distance, key=lambda union: distance[union], default=())
    if best and distance[best] <= tolerance:
        why = f"mean and scale of {modality} were computed on {' and '.join(best)}: fit them on train alone."
    else:
        best, why = (
            (),
            f"mean and scale of {modality} are not those of train, nor of any union of splits: fit them on train.",
        )
    count = int(np.isin(table.split, [name for name in best if name != "train"]).sum())
    return LeakageReport((Finding("statistics", "error", best, count, (), why),), table.name)


def _distance(centre: np.ndarray, scale: np.ndarray, tokens: Moments) -> float:
    mean, deviation = tokens.mean, np.sqrt(tokens.variance)
    varies = deviation > 1e-4 * max(float(deviation.max(initial=0.0)), 1e-12)
    if not varies.any():
        return float(np.abs(centre - mean).max(initial=0.0))
    mean, deviation = mean[varies], deviation[varies]
    off = np.sqrt(np.square((centre[varies] - mean) / deviation).mean())
    # with n or with n - 1: both are in use
    wide = [
        np.sqrt(np.square(scale[varies] / (deviation * factor) - 1).mean()) for factor in (1.0, _bessel(tokens.count))
    ]
    return float(max(off, min(wide)))


def _bessel(n: int) -> float:
    return float(np.sqrt(n / (n - 1))) if n > 1 else 1.0
