"""Figures that can be trusted: measures over whole sets, calibration, intervals."""

from merkit.evaluation.bootstrap import Interval, bootstrap_interval, resample
from merkit.evaluation.calibration import fit_temperature
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

__all__ = [
    "Interval",
    "ReliabilityTable",
    "accuracy",
    "bootstrap_interval",
    "brier",
    "confusion",
    "expected_calibration_error",
    "fit_temperature",
    "macro_f1",
    "nll",
    "reliability_table",
    "resample",
    "unweighted_average_recall",
    "weighted_f1",
]
