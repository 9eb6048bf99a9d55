"""The pool against closed forms and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from merkit.inference.pooling import Evidence, contributions, log_opinion_pool, pool_windows

K = 7


def _evidence(seed: int, n: int, *, members: int = 4, length_s: float = 1.0) -> Evidence:
    rng = np.random.default_rng(seed)
    start_s = np.sort(rng.uniform(0, 10, n))
    log_prob = log_softmax(rng.normal(size=(n, K)), -1)
    spread = log_softmax(log_prob[:, None] + 0.3 * rng.normal(size=(n, members, K)), -1)
    return Evidence(start_s, start_s + length_s, log_prob, spread)


def test_one_modality_gives_its_own_probability_exactly() -> None:
    items = _evidence(0, 1)
    pooled = pool_windows({"face": items}, {"face": 0.3}, items.start_s, items.end_s, K)
    np.testing.assert_allclose(pooled.fused[0], np.exp(items.log_prob[0]), atol=1e-12)


def test_windows_equal_a_brute_force_pool() -> None:
    evidence = {"face": _evidence(1, 40, length_s=0.33), "speech": _evidence(2, 6, length_s=2.5)}
    weights = {"face": 0.4, "speech": 0.9}
    start_s = np.arange(0.0, 9.0)
    end_s = start_s + 2.0
    pooled = pool_windows(evidence, weights, start_s, end_s, K)
    for w in range(len(start_s)):
        total, used = np.zeros(K), 0.0
        for name, items in evidence.items():
            overlaps = [
                max(0.0, min(e, end_s[w]) - max(s, start_s[w])) for s, e in zip(items.start_s, items.end_s, strict=True)
            ]
            if sum(overlaps) == 0:
                assert not pooled.present[name][w]
                continue
            mean = sum(o * row for o, row in zip(overlaps, items.log_prob, strict=True)) / sum(overlaps)
            np.testing.assert_allclose(pooled.prob[name][w], softmax(mean), atol=1e-12)
            total += weights[name] * log_softmax(mean)
            used += weights[name]
        np.testing.assert_allclose(pooled.fused[w], softmax(total / used), atol=1e-12)


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_pool_is_a_distribution_and_ignores_absent_modalities(seed: int, n_present: int) -> None:
    rng = np.random.default_rng(seed)
    log_prob = log_softmax(rng.normal(scale=4, size=(3, K)), -1)
    weight = np.where(np.arange(3) < n_present, rng.uniform(0.1, 1, 3), 0.0)
    full = log_opinion_pool(log_prob, weight)
    assert full.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(full, log_opinion_pool(log_prob[:n_present], weight[:n_present]))
    disturbed = log_prob.copy()
    disturbed[n_present:] = -50.0
    np.testing.assert_allclose(full, log_opinion_pool(disturbed, weight))


def test_contributions_sum_to_one_and_follow_how_much_is_said() -> None:
    sure, flat = np.zeros(K), np.zeros(K)
    sure[2] = 5.0
    log_prob = log_softmax(np.stack([sure, flat]), -1)
    np.testing.assert_allclose(contributions(log_prob, np.array([0.5, 0.5])), [1.0, 0.0], atol=1e-12)
    same = log_softmax(np.stack([sure, sure[::-1]]), -1)  # equally loud, for different labels
    np.testing.assert_allclose(contributions(same, np.array([0.25, 0.75])), [0.25, 0.75])
    np.testing.assert_allclose(contributions(same, np.array([0.0, 0.75])), [0.0, 1.0])
    np.testing.assert_allclose(contributions(np.full((2, K), -np.log(K)), np.array([0.25, 0.75])), [0.25, 0.75])


def test_band_holds_the_point_estimate_and_is_wider_where_evidence_disagrees() -> None:
    def two(a: int, b: int) -> Evidence:
        logit = np.zeros((2, K))
        logit[0, a] = logit[1, b] = 4.0
        log_prob = log_softmax(logit, -1)
        return Evidence(np.array([0.0, 1.0]), np.array([1.0, 2.0]), log_prob, np.repeat(log_prob[:, None], 3, 1))

    window = np.array([0.0]), np.array([2.0])
    agree = pool_windows({"face": two(1, 1)}, {"face": 1.0}, *window, K)
    disagree = pool_windows({"face": two(1, 5)}, {"face": 1.0}, *window, K)
    for pooled in (agree, disagree):
        assert (pooled.low <= pooled.fused + 1e-12).all()
        assert (pooled.fused <= pooled.high + 1e-12).all()
    assert (agree.high - agree.low).max() < 0.01
    assert (disagree.high - disagree.low)[0, 1] > 0.3


def test_members_alone_open_the_band() -> None:
    items = _evidence(5, 1, members=8)
    pooled = pool_windows({"text": items}, {"text": 1.0}, items.start_s, items.end_s, K)
    assert (pooled.high - pooled.low).max() > 0.01


def test_same_seed_same_band_and_slicing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = {"face": _evidence(1, 40, length_s=0.33), "speech": _evidence(2, 6, length_s=2.5)}
    args = (evidence, {"face": 1.0, "speech": 1.0}, np.arange(0.0, 9.0), np.arange(0.0, 9.0) + 2.0, K)
    one = pool_windows(*args)
    monkeypatch.setattr("merkit.inference.pooling.SLICE", 2)
    other = pool_windows(*args)
    np.testing.assert_allclose(one.fused, other.fused)
    np.testing.assert_allclose(one.low, other.low)


def test_nothing_seen_gives_nan_and_no_warning() -> None:
    with np.errstate(all="raise"):
        pooled = pool_windows({}, {}, np.array([0.0]), np.array([1.0]), K)
    assert np.isnan(pooled.fused).all()
