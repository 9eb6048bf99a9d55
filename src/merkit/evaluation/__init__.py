"""Figures that can be trusted: measures over whole sets, calibration, abstention, intervals, comparisons, tables."""

from merkit.evaluation.abstention import RiskCoverage, risk_coverage
from merkit.evaluation.bootstrap import Interval, bootstrap_interval, percentiles, resample, resamples
from merkit.evaluation.calibration import fit_temperature
from merkit.evaluation.measures import MEASURES, Measure, definitions, interval_of, measure_all, measures_of
from merkit.evaluation.metrics import (
    ReliabilityTable,
    accuracy,
    brier,
    confusion,
    expected_calibration_error,
    macro_f1,
    nll,
    reliability_table,
    unweighted_average_recall,
    weighted_f1,
)
from merkit.evaluation.multilabel import fit_thresholds, label_f1, multilabel_macro_f1, multilabel_micro_f1
from merkit.evaluation.paired import PairedComparison, paired_bootstrap
from merkit.evaluation.per_class import (
    ClassScores,
    class_scores,
    label_scores,
    micro_f1,
    unweighted_accuracy,
    weighted_accuracy,
)
from merkit.evaluation.ranking import auroc, average_precision, label_average_precision, mean_average_precision
from merkit.evaluation.regression import (
    acc2_negative_nonnegative,
    acc2_negative_positive,
    acc7,
    ccc,
    f1_negative_nonnegative,
    f1_negative_positive,
    mae,
    pearson,
    rmse,
)
from merkit.evaluation.seeds import describe_seeds, seed_interval
from merkit.evaluation.softlabels import (
    expected_accuracy,
    kl_divergence,
    of_clear_majority,
    soft_cross_entropy,
    tie_aware_accuracy,
    tie_aware_macro_f1,
)
from merkit.evaluation.tables import ResultRow, ResultTable

__all__ = [
    "MEASURES",
    "ClassScores",
    "Interval",
    "Measure",
    "PairedComparison",
    "ReliabilityTable",
    "ResultRow",
    "ResultTable",
    "RiskCoverage",
    "acc2_negative_nonnegative",
    "acc2_negative_positive",
    "acc7",
    "accuracy",
    "auroc",
    "average_precision",
    "bootstrap_interval",
    "brier",
    "ccc",
    "class_scores",
    "confusion",
    "definitions",
    "describe_seeds",
    "expected_accuracy",
    "expected_calibration_error",
    "f1_negative_nonnegative",
    "f1_negative_positive",
    "fit_temperature",
    "fit_thresholds",
    "interval_of",
    "kl_divergence",
    "label_average_precision",
    "label_f1",
    "label_scores",
    "macro_f1",
    "mae",
    "mean_average_precision",
    "measure_all",
    "measures_of",
    "micro_f1",
    "multilabel_macro_f1",
    "multilabel_micro_f1",
    "nll",
    "of_clear_majority",
    "paired_bootstrap",
    "pearson",
    "percentiles",
    "reliability_table",
    "resample",
    "resamples",
    "risk_coverage",
    "rmse",
    "seed_interval",
    "soft_cross_entropy",
    "tie_aware_accuracy",
    "tie_aware_macro_f1",
    "unweighted_accuracy",
    "unweighted_average_recall",
    "weighted_accuracy",
    "weighted_f1",
]
