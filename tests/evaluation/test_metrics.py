"""Measures against scikit-learn and scipy on random data."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn import metrics as reference

from merkit import evaluation


@pytest.fixture(params=range(4))
def random_set(request) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(request.param)
    n, k = int(rng.integers(30, 400)), int(rng.integers(2, 9))
    prob = softmax(rng.normal(size=(n, k)) * 2, -1)
    target = rng.integers(k - (request.param % 2), size=n)  # in odd sets one class never occurs
    return prob, target


def test_equal_scikit_learn(random_set) -> None:
    prob, target = random_set
    k = prob.shape[1]
    said = prob.argmax(1)
    np.testing.assert_array_equal(
        evaluation.confusion(prob, target), reference.confusion_matrix(target, said, labels=range(k))
    )
    pairs = [
        (evaluation.accuracy, reference.accuracy_score(target, said)),
        (evaluation.macro_f1, reference.f1_score(target, said, average="macro")),
        (evaluation.weighted_f1, reference.f1_score(target, said, average="weighted")),
        (evaluation.nll, reference.log_loss(target, prob, labels=range(k))),
    ]
    for ours, theirs in pairs:
        assert ours(prob, target) == pytest.approx(theirs, abs=1e-6), ours.__name__
    present = np.unique(target)
    recall = reference.recall_score(target, said, labels=present, average="macro")
    assert evaluation.unweighted_average_recall(prob, target) == pytest.approx(recall, abs=1e-6)


def test_brier_of_two_classes_is_twice_the_binary_score() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=200)
    target = rng.integers(2, size=200)
    ours = evaluation.brier(np.stack([1 - p, p], 1), target)
    assert ours == pytest.approx(2 * reference.brier_score_loss(target, p), abs=1e-9)


def test_ece_equals_a_loop_over_bins(random_set) -> None:
    prob, target = random_set
    confidence, right = prob.max(1), prob.argmax(1) == target
    total = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert evaluation.expected_calibration_error(prob, target) == pytest.approx(total, abs=1e-9)


def test_ece_of_perfectly_calibrated_predictions_is_small_and_of_bluff_is_large() -> None:
    rng = np.random.default_rng(0)
    prob = softmax(rng.normal(size=(20_000, 5)), -1)
    target = (prob.cumsum(1) > rng.uniform(size=(len(prob), 1))).argmax(1)
    assert evaluation.expected_calibration_error(prob, target) < 0.02
    bluff = softmax(np.log(prob) * 5, -1)
    assert evaluation.expected_calibration_error(bluff, target) > 0.2


def test_temperature_undoes_a_known_one_and_equals_scipy() -> None:
    rng = np.random.default_rng(1)
    logit = rng.normal(size=(5000, 6)) * 1.5
    target = (softmax(logit, -1).cumsum(1) > rng.uniform(size=(5000, 1))).argmax(1)
    assert evaluation.fit_temperature(logit * 3, target) == pytest.approx(3.0, rel=0.08)

    def loss(t):
        return -log_softmax(logit * 3 / t[0], -1)[np.arange(5000), target].mean()

    found = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-6}).x[0]
    assert evaluation.fit_temperature(logit * 3, target) == pytest.approx(found, rel=1e-3)


def test_interval_covers_about_95_percent() -> None:
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        target = np.zeros(120, int)
        right = rng.uniform(size=120) < 0.7
        prob = np.stack([right, ~right], 1).astype(float)
        interval = evaluation.bootstrap_interval(evaluation.accuracy, prob, target, draws=300, seed=seed)
        covered += interval.low <= 0.7 <= interval.high
    assert 50 <= covered <= 60


def test_clustered_interval_is_wider_where_groups_agree() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(12), 40)
    right = np.repeat(rng.uniform(size=12) < 0.6, 40)
    prob = np.stack([right, ~right], 1).astype(float)
    target = np.zeros(len(groups), int)
    rows = evaluation.bootstrap_interval(evaluation.accuracy, prob, target)
    whole = evaluation.bootstrap_interval(evaluation.accuracy, prob, target, groups=groups)
    assert whole.high - whole.low > 3 * (rows.high - rows.low)


def test_resample_draws_whole_groups() -> None:
    groups = np.array([0, 0, 1, 2, 2, 2])
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows = evaluation.resample(6, groups, rng)
        counts = np.bincount(rows, minlength=6)
        assert counts[0] == counts[1]
        assert counts[3] == counts[4] == counts[5]
