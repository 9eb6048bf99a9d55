"""Which measures a target has: one table per kind, each entry with its definition. A measure that is undefined is NaN.

So is every measure of a target of which a known answer is NaN or infinite: `argmax`, ranks and thresholds would make
figures of it that look like those of a network that works.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from merkit.evaluation import metrics, multilabel, per_class, ranking, regression, softlabels
from merkit.evaluation.bootstrap import Interval, percentiles, resamples, units_of
from merkit.schema import TargetSpec

__all__ = ["MEASURES", "Measure", "definitions", "interval_of", "measure_all", "measures_of"]

_Function = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure.

    Args:
        name: as configs and tables write it.
        function: `(output, target, valid) -> number`, over whole splits.
        higher_is_better: direction.
        definition: what exactly is computed, in one sentence.
    """

    name: str
    function: _Function
    higher_is_better: bool
    definition: str


def _rows(function: Callable[[np.ndarray, np.ndarray], float]) -> _Function:
    """For measures of whole clips: clips that are not known are left out."""

    def known(output: np.ndarray, target: np.ndarray, valid: np.ndarray) -> float:
        keep = valid if valid.ndim == 1 else valid.all(-1)
        return function(output[keep], target[keep]) if keep.any() else float("nan")

    return known


def _columns(function: Callable[[np.ndarray, np.ndarray], float]) -> _Function:
    """For regressions: the mean over the dimensions, each on its known clips."""

    def mean(output: np.ndarray, target: np.ndarray, valid: np.ndarray) -> float:
        each = [
            function(output[valid[:, k], k].astype(float), target[valid[:, k], k].astype(float))
            for k in range(output.shape[1])
            if valid[:, k].any()
        ]
        return float(np.mean(each)) if each else float("nan")

    return mean


def _finite(function: _Function) -> _Function:
    """NaN where a known answer is no number."""

    def known(output: np.ndarray, target: np.ndarray, valid: np.ndarray) -> float:
        return function(output, target, valid) if np.isfinite(output[valid]).all() else float("nan")

    return known


def _clear(function: Callable[[np.ndarray, np.ndarray], float]) -> _Function:
    """For measures of classes on raters' shares: clips whose most-voted classes are tied are left out."""
    return _rows(softlabels.of_clear_majority(function))


def _table(*rows: tuple[str, _Function, bool, str]) -> dict[str, Measure]:
    return {name: Measure(name, _finite(function), up, definition) for name, function, up, definition in rows}


_CLASSES = (
    ("accuracy", _rows(metrics.accuracy), True, "share of clips whose likeliest class is the true one (WA)"),
    ("uar", _rows(metrics.unweighted_average_recall), True, "mean recall over the classes that occur (UA, UAR)"),
    ("macro_f1", _rows(metrics.macro_f1), True, "mean F1 over the classes that occur or are predicted"),
    ("weighted_f1", _rows(metrics.weighted_f1), True, "F1 averaged with the classes' shares as weights"),
    (
        "micro_f1",
        _rows(per_class.micro_f1),
        True,
        "F1 over all clips as one pile; with one class per clip, the accuracy",
    ),
    ("auroc", _rows(ranking.auroc), True, "area under the ROC curve, mean of one class against the rest"),
    ("nll", _rows(metrics.nll), False, "mean negative log-likelihood, nats"),
    ("brier", _rows(metrics.brier), False, "squared distance to the one-hot truth, summed over classes, in [0, 2]"),
    ("ece", _rows(metrics.expected_calibration_error), False, "expected calibration error of the top class, 15 bins"),
)
_REGRESSION = (
    ("mae", _columns(regression.mae), False, "mean absolute error"),
    ("rmse", _columns(regression.rmse), False, "root mean squared error"),
    ("pearson", _columns(regression.pearson), True, "Pearson's r"),
    ("ccc", _columns(regression.ccc), True, "Lin's concordance correlation"),
)
_SENTIMENT = (
    ("acc7", _columns(regression.acc7), True, "share whose value rounds to the rounded truth, in [-3, 3]"),
    (
        "acc2_negative_nonnegative",
        _columns(regression.acc2_negative_nonnegative),
        True,
        "negative against zero or positive, all clips",
    ),
    (
        "acc2_negative_positive",
        _columns(regression.acc2_negative_positive),
        True,
        "negative against positive, clips rated exactly 0 left out",
    ),
    (
        "f1_negative_nonnegative",
        _columns(regression.f1_negative_nonnegative),
        True,
        "weighted F1, negative against zero or positive",
    ),
    (
        "f1_negative_positive",
        _columns(regression.f1_negative_positive),
        True,
        "weighted F1, clips rated exactly 0 left out",
    ),
)

_SHARES = (
    ("cross_entropy", softlabels.soft_cross_entropy, False, "mean cross-entropy with the raters' shares, nats"),
    ("kl", softlabels.kl_divergence, False, "mean KL divergence of the raters' shares from the answer, nats"),
    ("tie_accuracy", softlabels.tie_aware_accuracy, True, "likeliest class is among those most raters chose"),
    (
        "tie_macro_f1",
        softlabels.tie_aware_macro_f1,
        True,
        "mean F1 over classes, tied clips counting for any of the tied",
    ),
    ("expected_accuracy", softlabels.expected_accuracy, True, "mean share of raters who chose the likeliest class"),
)
# What is said of classes, of soft labels too: over the clips that have a class.
_CLEAR = (
    ("accuracy", metrics.accuracy, "share of clips whose likeliest class is the true one"),
    ("uar", metrics.unweighted_average_recall, "mean recall over the classes that occur"),
    ("macro_f1", metrics.macro_f1, "mean F1 over the classes that occur or are predicted"),
    ("weighted_f1", metrics.weighted_f1, "F1 averaged with the classes' shares as weights"),
    ("micro_f1", per_class.micro_f1, "F1 over all clips as one pile"),
    ("auroc", ranking.auroc, "area under the ROC curve, mean of one class against the rest"),
)

MEASURES: dict[str, dict[str, Measure]] = {
    "single_label": _table(*_CLASSES),
    "soft_label": _table(
        *((name, _rows(function), up, text) for name, function, up, text in _SHARES),
        *(
            (name, _clear(function), True, f"{text}; over clips that one class leads alone")
            for name, function, text in _CLEAR
        ),
    ),
    "multi_label": _table(
        (
            "map",
            ranking.mean_average_precision,
            True,
            "mean average precision over the labels that have a positive",
        ),
        ("micro_f1", multilabel.multilabel_micro_f1, True, "F1 over all clips and labels at .5"),
        ("macro_f1", multilabel.multilabel_macro_f1, True, "mean F1 of the labels at .5"),
        (
            "binary_accuracy",
            multilabel.mean_binary_accuracy,
            True,
            "accuracy of each label's yes or no at .5, mean over labels",
        ),
        (
            "binary_weighted_f1",
            multilabel.mean_binary_weighted_f1,
            True,
            "F1 of yes and no weighted by their frequency, mean over labels",
        ),
    ),
    "regression": _table(*_REGRESSION),
    "sentiment": _table(*_REGRESSION, *_SENTIMENT),
}


def measures_of(spec: TargetSpec) -> dict[str, Measure]:
    """The measures of a target; a regression whose only dimension is called `sentiment` has those of its field too.

    Example:
        >>> list(measures_of(TargetSpec("rating", "regression", ("valence",))))
        ['mae', 'rmse', 'pearson', 'ccc']
    """
    sentiment = spec.kind == "regression" and spec.labels == ("sentiment",)
    return MEASURES["sentiment" if sentiment else spec.kind]


def measure_all(
    spec: TargetSpec,
    output: np.ndarray,
    target: np.ndarray,
    valid: np.ndarray,
    names: Iterable[str] | None = None,
) -> dict[str, float]:
    """Measures of one target.

    Args:
        spec: the target.
        output: `(n, K)` probabilities, or values of a regression.
        target: `(n,)` class indices, or `(n, K)`.
        valid: `(n,)` or `(n, K)` bool.
        names: which; none = all.

    Targets per entity have `N` after `n` in all three; every entity that is known counts once. Where a known answer is NaN
    or infinite, every measure is NaN.

    Example:
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> measure_all(spec, np.eye(2), np.array([0, 1]), np.array([True, True]), ["accuracy"])
        {'accuracy': 1.0}
    """
    table = measures_of(spec)
    chosen = table if names is None else {name: table[name] for name in names if name in table}
    if spec.per_entity and output.ndim == 3:
        output, target, valid = (array.reshape(-1, *array.shape[2:]) for array in (output, target, valid))
    return {name: measure.function(output, target, valid) for name, measure in chosen.items()}


def interval_of(
    spec: TargetSpec,
    output: np.ndarray,
    target: np.ndarray,
    valid: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """All measures with bootstrap intervals over clips, or over whole groups; one set of resamples serves them all.

    A resample in which a measure is undefined counts for nothing; with fewer than two clips or groups the ends are NaN,
    as they are where the measure is undefined on the clips themselves.

    Example:
        >>> spec = TargetSpec("emotion", "single_label", ("joy", "anger"))
        >>> print(interval_of(spec, np.eye(2), np.array([0, 1]), np.array([True, True]), draws=100)["accuracy"])
        1.000 [1.000, 1.000]
    """
    point = measure_all(spec, output, target, valid)
    units = len(output) if groups is None else units_of(groups)[1]
    if units < 2:  # one clip or one group says nothing about others
        return {name: Interval(value, float("nan"), float("nan")) for name, value in point.items()}
    drawn: dict[str, list[float]] = {name: [] for name in point}
    for rows in resamples(len(output), groups, draws, seed):
        for name, value in measure_all(spec, output[rows], target[rows], valid[rows]).items():
            drawn[name].append(value)
    nothing = (float("nan"), float("nan"))
    return {
        name: Interval(point[name], *(nothing if np.isnan(point[name]) else percentiles(np.array(values), level)))
        for name, values in drawn.items()
    }


def definitions(specs: Iterable[TargetSpec]) -> dict[str, str]:
    """What each measure of these targets means; said once where targets share it.

    Example:
        >>> definitions([TargetSpec("emotion", "single_label", ("joy", "anger"))])["uar"]
        'mean recall over the classes that occur (UA, UAR)'
    """
    found: dict[str, str] = {}
    for spec in specs:
        for name, measure in measures_of(spec).items():
            if measure.definition not in found.get(name, ""):  # one name, two kinds of target: say both
                found[name] = (f"{found[name]}; for {spec.name}: " if name in found else "") + measure.definition
    return found
