"""Scores of single classes and labels, against scikit-learn, with classes that are missing on either side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as reference

from merkit.evaluation import macro_f1, weighted_f1
from merkit.evaluation.per_class import class_scores, label_scores, micro_f1, unweighted_accuracy, weighted_accuracy


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60), k=st.integers(2, 8))
def test_classes_equal_scikit_learn(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    prob = np.round(softmax(rng.normal(size=(n, k)) * 2, -1), 1)  # ties as well
    target = rng.integers(max(k - 2, 1), size=n)
    said = prob.argmax(1)
    theirs = reference.precision_recall_fscore_support(target, said, labels=range(k), zero_division=np.nan)
    ours = class_scores(prob, target)
    for one, other in zip((ours.precision, ours.recall, ours.f1, ours.support), theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert micro_f1(prob, target) == pytest.approx(reference.f1_score(target, said, average="micro"), abs=1e-6)
    assert weighted_accuracy(prob, target) == pytest.approx(reference.accuracy_score(target, said), abs=1e-6)
    recall = reference.recall_score(target, said, labels=np.unique(target), average="macro", zero_division=0)
    assert unweighted_accuracy(prob, target) == pytest.approx(recall, abs=1e-6)
    # the averages are averages of these
    assert macro_f1(prob, target) == pytest.approx(np.nanmean(ours.f1), abs=1e-9)
    assert weighted_f1(prob, target) == pytest.approx(np.nansum(ours.f1 * ours.support) / n, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), k=st.integers(2, 6), per_label=st.booleans())
def test_labels_equal_scikit_learn_on_what_is_known(seed: int, n: int, k: int, per_label: bool) -> None:
    rng = np.random.default_rng(seed)
    prob = np.round(rng.uniform(size=(n, k)), 1)
    target = (rng.uniform(size=(n, k)) < rng.uniform(0, 0.5, k)).astype(float)
    valid = rng.uniform(size=(n, k)) < 0.8
    threshold = np.round(rng.uniform(size=k), 1) if per_label else 0.5
    ours = label_scores(prob, target, valid, threshold)
    limits = np.broadcast_to(threshold, k)
    for i in range(k):
        here = valid[:, i]
        truth, said = target[here, i] > 0.5, prob[here, i] >= limits[i]
        assert ours.support[i] == truth.sum()
        if not here.any():
            assert np.isnan([ours.precision[i], ours.recall[i], ours.f1[i]]).all()
            continue
        theirs = reference.precision_recall_fscore_support(truth, said, labels=[True], zero_division=np.nan)
        np.testing.assert_allclose([ours.precision[i], ours.recall[i], ours.f1[i]], np.ravel(theirs[:3]), atol=1e-6)


def test_no_clips_is_nan_and_no_crash() -> None:
    for scores in (class_scores(np.zeros((0, 3)), np.zeros(0, int)), label_scores(np.zeros((0, 3)), np.zeros((0, 3)))):
        assert np.isnan([scores.precision, scores.recall, scores.f1]).all()
        assert scores.support.tolist() == [0, 0, 0]
