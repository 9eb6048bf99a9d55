"""Intervals over seeds, against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from merkit.evaluation.seeds import describe_seeds, seed_interval


@pytest.mark.parametrize("n", [2, 3, 5, 30])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_equal_scipy(n: int, level: float) -> None:
    values = np.random.default_rng(n).normal(0.6, 0.02, n)
    low, high = stats.t.interval(level, n - 1, loc=values.mean(), scale=stats.sem(values))
    ours = seed_interval(values.tolist(), level)
    assert (ours.value, ours.low, ours.high) == pytest.approx((values.mean(), low, high), abs=1e-12)


def test_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = [seed_interval(rng.normal(0.6, 0.02, 5).tolist()) for _ in range(1000)]
    assert 0.93 < np.mean([i.low <= 0.6 <= i.high for i in held]) < 0.97


def test_one_seed_has_no_interval_and_a_failed_one_is_not_left_out() -> None:
    one = seed_interval([0.6])
    assert one.value == 0.6
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert math.isnan(seed_interval([0.6, float("nan"), 0.7]).value)
    with pytest.raises(ValueError, match="at least one seed"):
        seed_interval([])


def test_words_state_the_number_of_seeds() -> None:
    assert (
        describe_seeds([0.5, 0.7, 0.6, 0.6, 0.6]) == ".600 ± .088 (95 % t interval, 5 seeds, standard deviation .071)"
    )
