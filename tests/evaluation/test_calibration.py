"""Temperatures of classes and of yes-or-no labels."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, softmax

from merkit.evaluation.calibration import fit_temperature


def test_multi_label_temperature_undoes_a_known_one_and_equals_scipy() -> None:
    rng = np.random.default_rng(1)
    logit = rng.normal(size=(3000, 5)) * 1.5
    target = rng.uniform(size=logit.shape) < expit(logit)
    fitted = fit_temperature(logit * 3, target, multi_label=True)
    assert fitted == pytest.approx(3.0, rel=0.05)

    def loss(t):
        scaled = logit * 3 / t[0]
        return -np.where(target, log_expit(scaled), log_expit(-scaled)).mean()

    found = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-6}).x[0]
    assert fitted == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("multi_label", [False, True])
def test_what_is_not_known_has_no_say(multi_label: bool) -> None:
    rng = np.random.default_rng(2)
    logit = rng.normal(size=(400, 3)) * 2
    target = (rng.uniform(size=logit.shape) < expit(logit)).astype(float)
    target = target if multi_label else softmax(logit + rng.normal(size=logit.shape), -1)
    valid = np.repeat(rng.uniform(size=(400, 1)) < 0.5, 3, 1)
    spoilt = np.where(valid, target, 1 - target)
    kept = valid[:, 0]
    held = fit_temperature(logit[kept], target[kept], multi_label=multi_label)
    assert fit_temperature(logit, spoilt, valid, multi_label=multi_label) == pytest.approx(held, rel=1e-9)
    assert fit_temperature(logit, spoilt, multi_label=multi_label) != pytest.approx(held, rel=1e-2)


def test_soft_labels_are_calibrated_to_shares() -> None:
    logit = np.random.default_rng(3).normal(size=(500, 4))
    assert fit_temperature(logit * 2, softmax(logit, -1)) == pytest.approx(2.0, rel=1e-3)


def test_it_stays_within_bounds_and_refuses_nothing_to_fit_on() -> None:
    sure = np.array([[0.5, 0.0]] * 5)
    assert fit_temperature(sure, np.zeros(5, int)) == pytest.approx(0.05, rel=0.01)
    assert fit_temperature(sure, np.ones(5, int)) == pytest.approx(20.0, rel=0.01)
    with pytest.raises(ValueError, match="no answers"):
        fit_temperature(sure, np.zeros(5, int), np.zeros(5, bool))
