"""Intervals hold the truth about as often as they say, whole groups stay whole, and a comparison has no favourite."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import bootstrap, norm

from merkit.evaluation.bootstrap import percentiles, resample, resamples
from merkit.evaluation.measures import MEASURES, interval_of, measure_all
from merkit.evaluation.paired import paired_bootstrap
from merkit.schema import TargetSpec

SPEC = TargetSpec("emotion", "single_label", tuple("abcdefg"))
ACCURACY = MEASURES["single_label"]["accuracy"]


def guesses(rng: np.random.Generator, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Answers that are right exactly where `right` says."""
    target = rng.integers(7, size=len(right))
    prob = np.full((len(right), 7), 0.05)
    prob[np.arange(len(right)), np.where(right, target, (target + 1) % 7)] = 0.7
    return prob, target


def test_the_truth_lies_inside_about_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for seed in range(200):
        right = rng.uniform(size=150) < 0.7
        prob, target = guesses(rng, right)
        drawn = [ACCURACY.function(prob[r], target[r], np.ones(len(r), bool)) for r in resamples(150, None, 200, seed)]
        low, high = percentiles(np.array(drawn), 0.9)
        inside.append(low <= 0.7 <= high)
    # 90 % of 200, give or take three standard deviations of a count
    assert abs(np.mean(inside) - 0.9) < 3 * np.sqrt(0.09 / 200)


def test_intervals_are_those_of_scipy() -> None:
    rng = np.random.default_rng(1)
    right = rng.uniform(size=400) < 0.6
    prob, target = guesses(rng, right)
    drawn = [ACCURACY.function(prob[rows], target[rows], np.ones(400, bool)) for rows in resamples(400, None, 4000)]
    low, high = percentiles(np.array(drawn))
    theirs = bootstrap(
        (right.astype(float),), np.mean, n_resamples=4000, method="percentile", rng=rng
    ).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.006)
    assert high == pytest.approx(theirs.high, abs=0.006)


def test_speakers_who_are_alike_inside_make_the_interval_as_wide_as_they_are_few() -> None:
    rng = np.random.default_rng(2)
    speakers = np.repeat([f"s{i}" for i in range(20)], 50)
    right = np.repeat(rng.uniform(size=20) < 0.5, 50)  # each speaker is understood always or never
    prob, target = guesses(rng, right)
    known = np.ones(1000, bool)
    by_clip = interval_of(SPEC, prob, target, known, draws=300)["accuracy"]
    by_speaker = interval_of(SPEC, prob, target, known, groups=speakers, draws=300)["accuracy"]
    p = right.mean()
    expected = 2 * norm.ppf(0.975) * np.sqrt(p * (1 - p) / 20)
    assert by_speaker.high - by_speaker.low == pytest.approx(expected, rel=0.2)
    assert by_speaker.high - by_speaker.low > 5 * (by_clip.high - by_clip.low)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 99))
def test_groups_are_drawn_whole_and_as_often_as_there_are(names: list[int], seed: int) -> None:
    groups = np.array([f"g{name}" for name in names])
    for rows in (*resamples(len(groups), groups, 3, seed), resample(len(groups), groups, np.random.default_rng(seed))):
        times = np.bincount(rows, minlength=len(groups))
        drawn = 0
        for name in set(groups.tolist()):
            (once,) = set(times[groups == name].tolist())  # all clips of a group equally often
            drawn += once
        assert drawn == len(set(names))


def test_same_seed_same_interval_and_other_seed_another() -> None:
    rng = np.random.default_rng(3)
    prob, target = guesses(rng, rng.uniform(size=80) < 0.5)
    known = np.ones(80, bool)
    ask = [interval_of(SPEC, prob, target, known, draws=100, seed=seed) for seed in (0, 0, 1)]
    assert ask[0] == ask[1] != ask[2]
    assert {name: interval.value for name, interval in ask[0].items()} == measure_all(SPEC, prob, target, known)


def test_one_clip_or_one_speaker_has_no_interval() -> None:
    prob, target = guesses(np.random.default_rng(0), np.array([True, True, False]))
    for rows, groups in ((slice(1), None), (slice(3), np.array(["ann"] * 3))):
        interval = interval_of(SPEC, prob[rows], target[rows], np.ones(3, bool)[rows], groups=groups, draws=20)[
            "accuracy"
        ]
        assert interval.value in (1.0, 2 / 3)
        assert np.isnan([interval.low, interval.high]).all()
    same = paired_bootstrap(ACCURACY, prob, prob, target, np.ones(3, bool), groups=np.array(["ann"] * 3))
    assert np.isnan([same.p_value, same.difference.low]).all()


def test_a_comparison_is_the_same_from_both_sides() -> None:
    rng = np.random.default_rng(4)
    n = 300
    target = rng.integers(7, size=n)
    signal = np.eye(7)[target]
    one, other = (softmax(rng.normal(size=(n, 7)) + s * signal, -1) for s in (1.0, 1.2))
    known, speakers = rng.uniform(size=n) < 0.9, np.arange(n) // 10
    for name in ("accuracy", "macro_f1", "auroc", "nll"):
        measure = MEASURES["single_label"][name]
        ab, ba = (
            paired_bootstrap(measure, a, b, target, known, groups=speakers, draws=300)
            for a, b in ((one, other), (other, one))
        )
        assert (ab.first, ab.second, ab.p_value) == (ba.second, ba.first, ba.p_value)
        assert ab.difference.value == -ba.difference.value
        assert ab.difference.low == pytest.approx(-ba.difference.high, abs=1e-12)
        assert ab.difference.low < ab.difference.value < ab.difference.high


def test_pairing_sees_what_two_intervals_do_not() -> None:
    rng = np.random.default_rng(5)
    n = 400
    right = rng.uniform(size=n) < 0.6
    better = right.copy()
    better[np.flatnonzero(~right)[:16]] = True  # four points better, on top of the same clips
    prob, target = guesses(rng, right)
    improved, _ = guesses(np.random.default_rng(0), better)
    improved = np.full((n, 7), 0.05)
    improved[np.arange(n), np.where(better, target, (target + 1) % 7)] = 0.7
    known = np.ones(n, bool)
    apart = [interval_of(SPEC, p, target, known, draws=300)["accuracy"] for p in (prob, improved)]
    assert apart[0].high > apart[1].low  # side by side they overlap
    found = paired_bootstrap(ACCURACY, improved, prob, target, known, draws=1000)
    assert found.difference.value == pytest.approx(16 / n)
    assert found.difference.low > 0
    assert found.p_value <= 0.002


def test_models_that_do_not_differ_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(6)
    p_values = []
    for seed in range(60):
        target = rng.integers(7, size=120)
        one, other = (softmax(rng.normal(size=(120, 7)) + np.eye(7)[target], -1) for _ in range(2))
        p_values.append(
            paired_bootstrap(ACCURACY, one, other, target, np.ones(120, bool), draws=100, seed=seed).p_value
        )
    assert np.mean(np.array(p_values) < 0.05) <= 0.15
    assert np.mean(np.array(p_values) < 0.5) > 0.3  # and not because nothing ever is
    itself = paired_bootstrap(ACCURACY, one, one, target, np.ones(120, bool), draws=50)
    assert (itself.p_value, itself.difference.low, itself.difference.high) == (1.0, 0.0, 0.0)


def test_five_hundred_resamples_of_all_measures_and_two_thousand_clips_take_under_three_seconds() -> None:
    rng = np.random.default_rng(7)
    prob, target = softmax(rng.normal(size=(2000, 7)), -1), rng.integers(7, size=2000)
    speakers = np.char.mod("s%d", np.arange(2000) // 20)
    started = time.process_time()
    found = interval_of(SPEC, prob, target, np.ones(2000, bool), groups=speakers, draws=500)
    assert time.process_time() - started < 3.0
    assert set(found) == set(MEASURES["single_label"])


def test_clips_of_no_group_are_no_group() -> None:
    rng = np.random.default_rng(8)
    prob, target = guesses(rng, rng.uniform(size=100) < 0.6)
    known, blank = np.ones(100, bool), np.full(100, "")
    alone, apart = (
        interval_of(SPEC, prob, target, known, groups=groups, draws=300)["accuracy"]
        for groups in (blank, np.arange(100))
    )
    assert alone == apart and alone.low < alone.value < alone.high
    half = np.where(np.arange(100) < 50, np.char.mod("s%d", np.arange(100) // 5), "")
    named = np.where(half == "", np.char.mod("z%03d", np.arange(100)), half)
    one, other = (
        paired_bootstrap(ACCURACY, prob, prob[::-1], target, known, groups=g, draws=300) for g in (half, named)
    )
    assert one == other
    for rows in resamples(100, half, 5):
        times = np.bincount(rows, minlength=100)
        assert times[:50].reshape(10, 5).std(1).max() == 0 and len(set(times[50:].tolist())) > 1
