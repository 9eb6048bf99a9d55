"""Risk against coverage, against a loop over thresholds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from merkit.evaluation.abstention import risk_coverage


def made(seed: int, n: int, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    prob = softmax(rng.normal(size=(n, 4)) * 2, -1)
    if levels:  # few different confidences: many ties
        top = np.round(prob.max(1) * levels) / levels
        prob = np.stack([top, *[(1 - top) / 3] * 3], 1)
    return prob, rng.integers(4, size=n)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.sampled_from([None, 5, 20]))
def test_the_curve_equals_a_loop_over_thresholds(seed: int, n: int, levels: int | None) -> None:
    prob, target = made(seed, n, levels)
    confidence, wrong = prob.max(1), prob.argmax(1) != target
    curve = risk_coverage(prob, target)
    for place in range(n):
        answered = confidence >= np.sort(confidence)[::-1][place]
        assert curve.coverage[place] == pytest.approx(answered.mean())
        assert curve.risk[place] == pytest.approx(wrong[answered].mean())
    assert curve.aurc == pytest.approx(curve.risk.mean())
    assert curve.coverage[-1] == 1.0
    assert curve.risk[-1] == pytest.approx(wrong.mean())
    assert curve.best_aurc <= curve.aurc + 1e-12
    for limit in (0.0, 0.3, 1.0):
        best = max(
            ((confidence >= c).mean() for c in confidence if wrong[confidence >= c].mean() <= limit), default=0.0
        )
        assert curve.coverage_at(limit) == pytest.approx(best)
        answered = confidence >= curve.threshold_at(limit)
        assert answered.mean() == pytest.approx(best)


def test_the_best_order_is_reached_by_a_confidence_that_knows() -> None:
    prob, target = made(3, 200)
    right = (prob.argmax(1) == target).astype(float)
    knowing = risk_coverage(prob, target, right + 1e-6 * np.random.default_rng(0).normal(size=200))
    assert knowing.aurc == pytest.approx(knowing.best_aurc)
    assert knowing.coverage_at(0.0) == pytest.approx(right.mean())
    blind = risk_coverage(prob, target, -right)
    assert blind.aurc > risk_coverage(prob, target).aurc
    # a confidence that is always the same can only answer everything
    level = risk_coverage(prob, target, np.ones(200))
    assert level.aurc == pytest.approx(1 - right.mean())
    assert set(level.coverage) == {1.0}


def test_only_the_order_of_confidences_counts() -> None:
    prob, target = made(4, 100)
    ours, theirs = risk_coverage(prob, target), risk_coverage(prob, target, np.log(prob.max(1)) * 7 - 3)
    np.testing.assert_array_equal(ours.risk, theirs.risk)


def test_no_clips_and_a_single_one() -> None:
    none = risk_coverage(np.zeros((0, 3)), np.zeros(0, int))
    assert math.isnan(none.aurc)
    assert none.coverage_at(0.5) == 0.0
    assert none.threshold_at(0.5) == math.inf
    wrong = risk_coverage(np.array([[0.9, 0.1]]), np.array([1]))
    assert (wrong.aurc, wrong.coverage_at(0.9), wrong.threshold_at(0.9)) == (1.0, 0.0, math.inf)
