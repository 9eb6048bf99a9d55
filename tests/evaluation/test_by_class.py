"""Every label by itself: against scikit-learn, with what is not known left out, and intervals that respect groups."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from merkit.evaluation.by_class import BY_CLASS, by_class, class_f1
from merkit.evaluation.ranking import label_average_precision, mean_average_precision


def made(n: int = 120, labels: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = (rng.random((n, labels)) < [0.5, 0.3, 0.1, 0.0][:labels]).astype(np.float32)
    prob = np.clip(0.3 * target + rng.random((n, labels)).round(1), 0, 1)  # rounded: there are ties
    return prob, target, rng.random((n, labels)) < 0.8


def test_average_precision_by_label_equals_scikit_learn() -> None:
    prob, target, valid = made()
    found = by_class([prob], target, valid, draws=0)
    for k in range(3):
        known = valid[:, k]
        assert found.value[k] == pytest.approx(average_precision_score(target[known, k], prob[known, k]))
        assert found.support[k] == target[known, k].sum() and found.n[k] == known.sum()
        assert found.prevalence[k] == pytest.approx(target[known, k].mean())
    assert np.isnan(found.value[3]) and found.support[3] == 0
    assert found.mean.value == pytest.approx(mean_average_precision(prob, target, valid))
    assert np.isnan(found.low).all() and found.interval == ""


def test_f1_of_classes_equals_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    prob, target = rng.random((80, 3)), rng.integers(3, size=80)
    valid = rng.random(80) < 0.7
    found = by_class([prob], target, valid, each=BY_CLASS["single_label"], draws=0)
    want = f1_score(target[valid], prob[valid].argmax(1), average=None, labels=[0, 1, 2])
    assert found.value == pytest.approx(want)
    assert found.support.tolist() == np.bincount(target[valid]).tolist()
    assert found.n.tolist() == [valid.sum()] * 3


def test_a_random_ranking_reaches_the_prevalence_on_average() -> None:
    """What the upright mark claims."""
    rng = np.random.default_rng(0)
    target = (rng.random((400, 1)) < 0.2).astype(float)
    values = [label_average_precision(rng.random((400, 1)), target)[0] for _ in range(200)]
    found = by_class([rng.random((400, 1))], target, np.ones((400, 1), bool), draws=0)
    assert np.mean(values) == pytest.approx(found.prevalence[0], abs=0.015)


def test_several_runs_give_mean_lowest_and_highest() -> None:
    members = [made(seed=seed)[0] for seed in range(3)]
    _, target, valid = made()
    found = by_class(members, target, valid)
    each = np.array([label_average_precision(prob, target, valid) for prob in members])
    assert found.value[:3] == pytest.approx(each[:, :3].mean(0))
    assert found.low[:3] == pytest.approx(each[:, :3].min(0)) and found.high[:3] == pytest.approx(each[:, :3].max(0))
    maps = each[:, :3].mean(1)
    assert (found.mean.value, found.mean.low, found.mean.high) == pytest.approx((maps.mean(), maps.min(), maps.max()))
    assert found.interval == "lowest to highest of 3 seeds"


def test_whole_groups_are_drawn() -> None:
    """Ten copies of every clip say no more than one: by rows the interval is far too narrow, by groups it is not."""
    prob, target, _ = made(40, 1)
    valid = np.ones(target.shape, bool)
    alone = by_class([prob], target, valid, draws=400)
    copies = [np.repeat(array, 10, axis=0) for array in (prob, target, valid)]
    by_rows = by_class([copies[0]], *copies[1:], draws=400)
    by_groups = by_class([copies[0]], *copies[1:], groups=np.repeat(np.arange(40), 10), draws=400)
    width = [float(found.high[0] - found.low[0]) for found in (alone, by_rows, by_groups)]
    assert width[1] < 0.6 * width[0]
    assert width[2] == pytest.approx(width[0], rel=0.15)
    assert "whole groups" in by_groups.interval and "clips" in by_rows.interval


def test_the_bootstrap_equals_one_written_down_again() -> None:
    prob, target, valid = made(30, 2)
    found = by_class([prob], target, valid, draws=50, seed=7)
    rng = np.random.default_rng(7)
    drawn = []
    for _ in range(50):
        rows = rng.integers(30, size=30)
        drawn.append(
            [
                average_precision_score(target[rows][valid[rows][:, k], k], prob[rows][valid[rows][:, k], k])
                for k in (0, 1)
            ]
        )
    assert found.low == pytest.approx(np.quantile(drawn, 0.025, axis=0))
    assert found.high == pytest.approx(np.quantile(drawn, 0.975, axis=0))


def test_one_group_has_no_interval() -> None:
    prob, target, valid = made(20, 2)
    found = by_class([prob], target, valid, groups=np.zeros(20), draws=100)
    assert np.isnan(found.low).all() and np.isnan(found.mean.low) and found.interval == ""


def test_a_class_that_is_predicted_in_vain_has_f1_zero_and_one_that_never_is_has_none() -> None:
    prob = np.array([[0.1, 0.8, 0.1], [0.7, 0.2, 0.1]])
    found = class_f1(prob, np.array([0, 0]), np.array([True, True]))
    assert found[0] == pytest.approx(2 / 3) and found[1] == 0 and np.isnan(found[2])
