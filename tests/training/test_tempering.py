"""Powers and means of probabilities against scipy and sums written out."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import entropy, gmean

from merkit.schema import TargetSpec
from merkit.training.tempering import mean_over_views, temper, weighted_mean

ONE = TargetSpec("emotion", "single_label", tuple("abcdefg"))
MANY = TargetSpec("labels", "multi_label", tuple("abc"))
NUMBERS = TargetSpec("values", "regression", tuple("ab"))


@pytest.fixture
def logit():
    return np.random.default_rng(0).normal(scale=3, size=(4, 50, 7))


@pytest.mark.parametrize("power", [0.1, 0.5, 1.0, 3.0])
def test_a_power_is_a_temperature_of_one_over_it(logit, power):
    np.testing.assert_allclose(temper(softmax(logit, -1), ONE, power), softmax(power * logit, -1), atol=1e-6)
    labels = logit[..., :3]
    np.testing.assert_allclose(temper(expit(labels), MANY, power), expit(power * labels), atol=1e-6)
    assert temper(logit, NUMBERS, power) is logit


def test_below_one_flattens_and_above_one_sharpens(logit):
    prob = softmax(logit[0], -1)
    sure = [entropy(temper(prob, ONE, power), axis=-1) for power in (0.1, 0.5, 1.0, 2.0)]
    assert all((one > other).all() for one, other in itertools.pairwise(sure))
    np.testing.assert_array_equal(temper(prob, ONE, 0.1).argmax(-1), prob.argmax(-1))


def test_nothing_becomes_undefined_where_a_probability_is_zero():
    np.testing.assert_allclose(temper(np.array([1.0, 0, 0, 0, 0, 0, 0]), ONE, 0.1), [1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(temper(np.array([1.0, 0.0, 0.5]), MANY, 0.1), [1.0, 0.0, 0.5])


def test_mean_over_views_is_the_published_formula_for_a_network_without_a_temperature(logit):
    expected = np.zeros((50, 7))
    for view in logit:
        prob = softmax(view, -1)
        for row in range(50):
            expected[row] += prob[row] ** 0.1 / (prob[row] ** 0.1).sum() / 4
    np.testing.assert_allclose(mean_over_views(logit, ONE, power=0.1), expected, atol=1e-12)
    # in blocks it is the same, and a temperature divides the logits before the power is taken
    np.testing.assert_array_equal(mean_over_views(logit, ONE, 1.7, 0.3, block=7), mean_over_views(logit, ONE, 1.7, 0.3))
    np.testing.assert_allclose(
        mean_over_views(logit, ONE, 1.7, 0.3), softmax(0.3 / 1.7 * logit, -1).mean(0), atol=1e-12
    )
    np.testing.assert_allclose(mean_over_views(logit[..., :2], NUMBERS, 5.0, 0.1), logit[..., :2].mean(0), atol=1e-6)
    assert mean_over_views(logit[:, :0], ONE).shape == (0, 7)


def test_of_very_flat_answers_the_arithmetic_mean_orders_labels_as_the_geometric_mean_does(logit):
    geometric = gmean(softmax(logit, -1), axis=0)
    flat = mean_over_views(logit, ONE, power=1e-7)
    np.testing.assert_array_equal(np.argsort(flat, -1), np.argsort(geometric, -1))
    plain = mean_over_views(logit, ONE)
    assert (plain.argmax(-1) != geometric.argmax(-1)).any()  # which the untempered mean does not


def test_members_count_by_weight_and_only_where_they_have_something_to_go_by():
    rng = np.random.default_rng(1)
    outputs = [rng.dirichlet(np.ones(3), 4) for _ in range(3)]
    weights = [1.0, 2.0, 0.5]
    heard = [np.array(row, bool) for row in ([1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0])]
    made = weighted_mean(outputs, weights, heard)
    a, b, c = outputs
    np.testing.assert_allclose(made[0], (a[0] + 2 * b[0] + 0.5 * c[0]) / 3.5)
    np.testing.assert_allclose(made[1], a[1])
    np.testing.assert_allclose(made[2], b[2])
    np.testing.assert_allclose(made[3], (a[3] + 2 * b[3] + 0.5 * c[3]) / 3.5)  # nobody has: all count
    np.testing.assert_allclose(weighted_mean(outputs, weights), (a + 2 * b + 0.5 * c) / 3.5)
    np.testing.assert_allclose(weighted_mean(outputs, [2, 2, 2]), np.mean(outputs, 0))
