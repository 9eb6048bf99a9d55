"""Every measure of every kind of target equals scikit-learn, scipy or a loop; what is not known counts for nothing."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy, pearsonr
from sklearn import metrics as reference

from merkit.evaluation import multilabel, ranking, regression
from merkit.evaluation.measures import MEASURES, definitions, interval_of, measure_all, measures_of
from merkit.evaluation.paired import paired_bootstrap
from merkit.schema import TargetSpec
from merkit.training.measuring import measure_of

CLOSE = {"abs": 1e-6}


def spec_of(kind: str, k: int, per_entity: bool = False) -> TargetSpec:
    return TargetSpec("asked", kind, tuple(f"l{i}" for i in range(k)), per_entity)


def classes(seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(20, 300)), int(rng.integers(2 + seed % 2, 9))
    prob = softmax(rng.normal(size=(n, k)) * 2, -1)
    if ties:
        prob = np.round(prob * 4) + 0.25
        prob /= prob.sum(1, keepdims=True)
    return prob, rng.integers(k - (seed % 2), size=n)  # in odd sets one class never occurs


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_single_labels_equal_scikit_learn(seed: int, ties: bool) -> None:
    prob, target = classes(seed, ties)
    n, k = prob.shape
    rng = np.random.default_rng(seed)
    valid = rng.uniform(size=n) < 0.8
    ours = measure_all(spec_of("single_label", k), prob, np.where(valid, target, 0), valid)
    p, t = prob[valid], target[valid]
    said, there = p.argmax(1), np.unique(t)
    one_against_rest = [reference.roc_auc_score(t == c, p[:, c]) for c in there]
    theirs = {
        "accuracy": reference.accuracy_score(t, said),
        "uar": reference.recall_score(t, said, labels=there, average="macro"),
        "macro_f1": reference.f1_score(t, said, average="macro"),
        "micro_f1": reference.f1_score(t, said, labels=range(k), average="micro"),
        "weighted_f1": reference.f1_score(t, said, average="weighted"),
        "auroc": np.mean(one_against_rest),
        "nll": reference.log_loss(t, p, labels=range(k)),
        "brier": sum(np.mean((p[:, c] - (t == c)) ** 2) for c in range(k)),
    }
    if len(there) == k > 2:
        assert theirs["auroc"] == pytest.approx(reference.roc_auc_score(t, p, multi_class="ovr"), **CLOSE)
    assert ours.pop("ece") == pytest.approx(_ece(p, t), **CLOSE)
    assert ours == pytest.approx(theirs, **CLOSE)


def _ece(prob: np.ndarray, target: np.ndarray) -> float:
    total = 0.0
    for low in np.linspace(0, 1, 16)[:-1]:
        inside = [i for i in range(len(prob)) if low < prob[i].max() <= low + 1 / 15 + 1e-12]
        if inside:
            right = np.mean([prob[i].argmax() == target[i] for i in inside])
            total += len(inside) / len(prob) * abs(right - np.mean([prob[i].max() for i in inside]))
    return total


@pytest.mark.parametrize("seed", range(6))
def test_soft_labels_equal_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = 150, int(rng.integers(2, 8))
    prob = softmax(rng.normal(size=(n, k)), -1)
    votes = rng.multinomial(10, np.full(k, 1 / k), n)
    shares = votes / 10
    valid = np.repeat(rng.uniform(size=(n, 1)) < 0.7, k, 1)
    ours = measure_all(spec_of("soft_label", k), prob, shares, valid)
    rows = np.flatnonzero(valid[:, 0])
    assert ours["kl"] == pytest.approx(np.mean([entropy(shares[i], prob[i]) for i in rows]), **CLOSE)
    assert ours["cross_entropy"] == pytest.approx(
        np.mean([entropy(shares[i], prob[i]) + entropy(shares[i]) for i in rows]), **CLOSE
    )
    assert ours["tie_accuracy"] == np.mean([votes[i, prob[i].argmax()] == votes[i].max() for i in rows])
    assert ours["expected_accuracy"] == pytest.approx(np.mean([shares[i, prob[i].argmax()] for i in rows]), **CLOSE)
    clear = np.array([i for i in rows if (votes[i] == votes[i].max()).sum() == 1])
    assert 0 < len(clear) < len(rows)
    truth, said = votes[clear].argmax(1), prob[clear].argmax(1)
    assert ours["accuracy"] == pytest.approx(reference.accuracy_score(truth, said), **CLOSE)
    for average in ("macro", "micro", "weighted"):
        assert ours[f"{average}_f1"] == pytest.approx(reference.f1_score(truth, said, average=average), **CLOSE)
    # without ties it is the macro F1 of scikit-learn; a tie that is answered with one of the tied is that class
    favoured = [
        prob[i].argmax() if votes[i, prob[i].argmax()] == votes[i].max() else votes[i].argmax()
        for i in (*clear, *(i for i in rows if votes[i, prob[i].argmax()] == votes[i].max() and i not in set(clear)))
    ]
    kept = [*clear, *(i for i in rows if votes[i, prob[i].argmax()] == votes[i].max() and i not in set(clear))]
    some = measure_all(spec_of("soft_label", k), prob[kept], shares[kept], np.ones((len(kept), k), bool))
    expected = reference.f1_score(favoured, prob[kept].argmax(1), average="macro")
    assert some["tie_macro_f1"] == pytest.approx(expected, **CLOSE)


def test_a_tie_that_is_missed_counts_for_each_of_the_tied_in_part() -> None:
    prob, shares = np.array([[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]]), np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    ours = measure_all(spec_of("soft_label", 3), prob, shares, np.ones((2, 3), bool))
    # first class: one right, half a clip missed; second: half a clip missed; third: one answer too many
    assert ours["tie_macro_f1"] == pytest.approx((2 / (1.5 + 1) + 0 + 0) / 3)
    assert ours["accuracy"] == 1.0 and ours["tie_accuracy"] == 0.5
    tied = measure_all(spec_of("soft_label", 3), prob[:1], shares[:1], np.ones((1, 3), bool))
    assert np.isnan(tied["accuracy"]) and tied["tie_accuracy"] == 0.0


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_multi_labels_equal_scikit_learn(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(10, 200)), int(rng.integers(2, 9))
    prob = rng.uniform(size=(n, k))
    prob = np.round(prob, 1) if ties else prob
    target = (rng.uniform(size=(n, k)) < 0.3).astype(np.float32)
    target[:, 0] = 0 if seed % 2 else target[:, 0]  # a label that never occurs
    full = np.ones((n, k), bool)
    ours = measure_all(spec_of("multi_label", k), prob, target, full)
    said = prob >= 0.5
    assert ours["micro_f1"] == pytest.approx(
        reference.f1_score(target, said, average="micro", zero_division=0), **CLOSE
    )
    assert ours["macro_f1"] == pytest.approx(
        reference.f1_score(target, said, average="macro", zero_division=0), **CLOSE
    )
    there = target.any(0)
    if there.any():
        theirs = reference.average_precision_score(target[:, there], prob[:, there], average="macro")
        assert ours["map"] == pytest.approx(theirs, **CLOSE)
    # with a mask, each label on its own clips
    valid = rng.uniform(size=(n, k)) < 0.7
    target = np.where(valid, target, rng.integers(2, size=(n, k)))
    ours = measure_all(spec_of("multi_label", k), np.where(valid, prob, rng.uniform(size=(n, k))), target, valid)
    f1, ap = [], []
    for c in range(k):
        t, p = target[valid[:, c], c], prob[valid[:, c], c]
        f1.append(reference.f1_score(t, p >= 0.5, zero_division=0))
        ap += [reference.average_precision_score(t, p)] if t.any() else []
    assert ours["macro_f1"] == pytest.approx(np.mean(f1), **CLOSE)
    assert ours["micro_f1"] == pytest.approx(
        reference.f1_score(target[valid], prob[valid] >= 0.5, zero_division=0), **CLOSE
    )
    assert ours["map"] == pytest.approx(np.mean(ap) if ap else np.nan, nan_ok=True, **CLOSE)


@pytest.mark.parametrize("seed", range(6))
def test_regressions_equal_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = 120, 3
    truth = rng.normal(size=(n, k))
    said = truth + rng.normal(size=(n, k)) + np.array([0, 2, -1])
    valid = rng.uniform(size=(n, k)) < 0.6
    ours = measure_all(spec_of("regression", k), said.astype(np.float32), truth.astype(np.float32), valid)
    each = {"mae": [], "rmse": [], "pearson": [], "ccc": []}
    for c in range(k):
        a, b = said[valid[:, c], c].astype(np.float32), truth[valid[:, c], c].astype(np.float32)
        a, b = a.astype(float), b.astype(float)
        each["mae"].append(reference.mean_absolute_error(b, a))
        each["rmse"].append(reference.mean_squared_error(b, a) ** 0.5)
        each["pearson"].append(pearsonr(a, b)[0])
        each["ccc"].append(2 * np.cov(a, b, ddof=0)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2))
    assert ours == pytest.approx({name: np.mean(values) for name, values in each.items()}, **CLOSE)


@pytest.mark.parametrize("seed", range(6))
def test_sentiment_in_both_conventions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.round(np.clip(rng.normal(size=(200, 1)) * 2, -3, 3) * 5) / 5  # steps of .2, with exact zeros
    said = np.clip(truth + rng.normal(size=(200, 1)), -4, 4)
    said[:5] = 0.0
    assert (truth == 0).any()
    ours = measure_all(TargetSpec("s", "regression", ("sentiment",)), said, truth, np.ones(truth.shape, bool))
    a, b = said[:, 0], truth[:, 0]
    clear = b != 0
    assert ours["acc2_negative_nonnegative"] == reference.accuracy_score(b >= 0, a >= 0)
    assert ours["acc2_negative_positive"] == reference.accuracy_score(b[clear] > 0, a[clear] > 0)
    assert ours["f1_negative_nonnegative"] == pytest.approx(
        reference.f1_score(b >= 0, a >= 0, average="weighted"), **CLOSE
    )
    assert ours["f1_negative_positive"] == pytest.approx(
        reference.f1_score(b[clear] > 0, a[clear] > 0, average="weighted"), **CLOSE
    )
    assert ours["acc7"] == reference.accuracy_score(np.clip(a, -3, 3).round(), np.clip(b, -3, 3).round())
    assert ours["acc2_negative_nonnegative"] != ours["acc2_negative_positive"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 5))
def test_ranks_equal_counting_pairs(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    score, target = rng.integers(levels, size=n) / 4, rng.uniform(size=n) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a in score[target] for b in score[~target]]
    assert ranking.auroc(score, target) == pytest.approx(np.mean(pairs) if pairs else np.nan, nan_ok=True, **CLOSE)
    if target.any():
        assert ranking.average_precision(score, target) == pytest.approx(
            reference.average_precision_score(target, score), **CLOSE
        )
    else:
        assert np.isnan(ranking.average_precision(score, target))


@pytest.mark.parametrize("seed", range(8))
def test_thresholds_are_the_best_there_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prob, target = np.round(rng.uniform(size=(60, 3)), 2), rng.uniform(size=(60, 3)) < 0.3
    valid = rng.uniform(size=(60, 3)) < 0.8
    target[:, 2] = False
    found = multilabel.fit_thresholds(prob, target.astype(float), valid)
    assert found[2] == 0.5
    for c in (0, 1):
        p, t = prob[valid[:, c], c], target[valid[:, c], c]
        best = max(reference.f1_score(t, p >= cut, zero_division=0) for cut in np.append(p, 2.0))
        assert reference.f1_score(t, p >= found[c]) == pytest.approx(best, **CLOSE)
    every = multilabel.label_f1(prob, target, valid, found)
    assert every[0] >= multilabel.label_f1(prob, target, valid)[0]


def random_answers(kind: str, seed: int, n: int = 90) -> tuple[TargetSpec, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if kind == "sentiment":
        spec = TargetSpec("asked", "regression", ("sentiment",))
        return spec, rng.normal(size=(n, 1)), rng.normal(size=(n, 1)), rng.uniform(size=(n, 1)) < 0.8
    spec = spec_of(kind, 4)
    output = rng.normal(size=(n, 4)) if kind == "regression" else softmax(rng.normal(size=(n, 4)), -1)
    if kind == "single_label":
        return spec, output, rng.integers(4, size=n), rng.uniform(size=n) < 0.8
    target = {
        "soft_label": lambda: softmax(rng.normal(size=(n, 4)), -1),
        "multi_label": lambda: (rng.uniform(size=(n, 4)) < 0.4).astype(float),
        "regression": lambda: rng.normal(size=(n, 4)),
    }[kind]()
    valid = np.repeat(rng.uniform(size=(n, 1)) < 0.8, 4, 1) if kind == "soft_label" else rng.uniform(size=(n, 4)) < 0.8
    return spec, output, target, valid


@pytest.mark.parametrize("kind", MEASURES)
def test_batches_and_order_make_no_difference(kind: str) -> None:
    spec, *arrays = random_answers(kind, 3)
    whole = measure_all(spec, *arrays)
    assert whole
    assert not np.isnan(list(whole.values())).any()
    for size in (1, 7, 64):
        parts = [[array[i : i + size] for array in arrays] for i in range(0, len(arrays[0]), size)]
        assert measure_all(spec, *(np.concatenate(part) for part in zip(*parts, strict=True))) == whole
    rows = np.random.default_rng(0).permutation(len(arrays[0]))
    assert measure_all(spec, *(array[rows] for array in arrays)) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("kind", MEASURES)
def test_what_is_not_known_counts_for_nothing(kind: str) -> None:
    spec, output, target, valid = random_answers(kind, 4)
    before = measure_all(spec, output, target, valid)
    other_spec, other, wrong, _ = random_answers(kind, 5)
    assert other_spec == spec
    known = valid if valid.shape == output.shape else valid[:, None]
    after = measure_all(spec, np.where(known, output, other), np.where(valid, target, wrong), valid)
    assert after == before
    assert measure_all(spec, output, wrong, valid) != before


@pytest.mark.parametrize("kind", MEASURES)
def test_nothing_known_is_undefined_and_one_clip_is_no_crash(kind: str) -> None:
    spec, output, target, valid = random_answers(kind, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nothing = measure_all(spec, output, target, np.zeros_like(valid))
        measure_all(spec, output[:1], target[:1], np.ones_like(valid[:1]))
        empty = measure_all(spec, output[:0], target[:0], valid[:0])
    undefined = {name for name, value in nothing.items() if np.isnan(value)}
    assert undefined == set(nothing)
    assert all(np.isnan(value) for value in empty.values())


def test_undefined_is_nan_and_not_a_number_that_looks_good() -> None:
    one_class = measure_all(spec_of("single_label", 2), np.array([[0.9, 0.1]] * 3), np.zeros(3, int), np.ones(3, bool))
    assert np.isnan(one_class["auroc"])
    assert one_class["accuracy"] == one_class["uar"] == one_class["macro_f1"] == 1.0
    same = np.full(7, 0.1)
    for a, b in ((same, np.arange(7.0)), (np.arange(7.0), same), (same, same)):
        assert np.isnan(regression.pearson(a, b))
    assert np.isnan(regression.acc2_negative_positive(same, np.zeros(7)))
    assert np.isnan(regression.f1_negative_positive(same, np.zeros(7)))
    assert regression.ccc(same, same + 1) == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(regression.ccc(same, same))


def test_entities_count_once_each() -> None:
    rng = np.random.default_rng(0)
    prob, target = softmax(rng.normal(size=(40, 3, 5)), -1), rng.integers(5, size=(40, 3))
    valid = rng.uniform(size=(40, 3)) < 0.6
    whole = measure_all(spec_of("single_label", 5, True), prob, target, valid)
    flat = measure_all(spec_of("single_label", 5), prob[valid], target[valid], np.ones(int(valid.sum()), bool))
    assert whole == pytest.approx(flat, abs=1e-12)


def test_every_measure_says_what_it_is() -> None:
    for kind, table in MEASURES.items():
        for name, measure in table.items():
            assert measure.name == name
            assert len(measure.definition) > 5, (kind, name)
    one, many = spec_of("single_label", 2), TargetSpec("several", "multi_label", ("a", "b"))
    assert definitions([one, one]) == {name: measure.definition for name, measure in measures_of(one).items()}
    both = definitions([one, many])["macro_f1"]
    assert MEASURES["single_label"]["macro_f1"].definition in both
    assert f"for several: {MEASURES['multi_label']['macro_f1'].definition}" in both
    assert set(measures_of(TargetSpec("s", "regression", ("sentiment",)))) > set(measures_of(spec_of("regression", 1)))
    assert measure_all(one, np.eye(2), np.arange(2), np.ones(2, bool), ["nope"]) == {}


def test_one_against_the_rest_equals_scikit_learn_label_by_label():
    rng = np.random.default_rng(4)
    prob, target = rng.random((60, 4)), (rng.random((60, 4)) < 0.3).astype(float)
    valid = rng.random((60, 4)) < 0.8
    prob[:, 3] *= 0.4  # never predicted
    accuracies, scores = [], []
    for k in range(4):
        truth, guess = target[valid[:, k], k], prob[valid[:, k], k] >= 0.5
        accuracies.append(reference.accuracy_score(truth, guess))
        scores.append(reference.f1_score(truth, guess, average="weighted", zero_division=0))
    assert multilabel.mean_binary_accuracy(prob, target, valid) == pytest.approx(np.mean(accuracies), abs=1e-9)
    assert multilabel.mean_binary_weighted_f1(prob, target, valid) == pytest.approx(np.mean(scores), abs=1e-9)
    nothing = np.zeros_like(valid)
    assert np.isnan(multilabel.mean_binary_accuracy(prob, target, nothing))


@pytest.mark.parametrize("kind", ["single_label", "soft_label", "multi_label", "regression"])
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_known_answer_that_is_no_number_leaves_no_figure(kind: str, broken: float) -> None:
    rng = np.random.default_rng(0)
    spec = TargetSpec("sentiment", kind, ("sentiment",) if kind == "regression" else ("a", "b", "c"))
    k = len(spec.labels)
    output = rng.normal(size=(20, 1)) if kind == "regression" else softmax(rng.normal(size=(20, k)), -1)
    target = {
        "single_label": np.arange(20) % 3,
        "soft_label": softmax(rng.normal(size=(20, 3)), -1),
        "multi_label": (rng.uniform(size=(20, 3)) < 0.5).astype(float),
        "regression": rng.normal(size=(20, 1)),
    }[kind]
    valid = np.ones(target.shape, bool)
    valid[4] = False
    output[4] = broken  # nobody knows the truth of that one
    assert np.isfinite(list(measure_all(spec, output, target, valid).values())).all()
    output[5, 0] = broken
    assert np.isnan(list(measure_all(spec, output, target, valid).values())).all()
    # resamples that miss the clip do not make the figure known again
    found = interval_of(spec, output, target, valid, draws=30).values()
    assert np.isnan([(each.value, each.low, each.high) for each in found]).all()
    measure = next(iter(measures_of(spec).values()))
    paired = paired_bootstrap(measure, output, np.where(np.isfinite(output), output, 0.3), target, valid, draws=30)
    assert np.isnan([paired.p_value, paired.difference.low]).all()


def test_a_sure_answer_from_an_infinite_logit_is_none() -> None:
    spec, rng = spec_of("multi_label", 2), np.random.default_rng(0)
    logit, target = rng.normal(size=(9, 2)), (rng.uniform(size=(9, 2)) < 0.5).astype(float)
    answers = {spec.name: (logit, target, np.ones((9, 2), bool))}
    assert np.isfinite(list(measure_of([spec])(answers).values())).all()
    logit[3, 1] = np.inf
    assert np.isnan(list(measure_of([spec])(answers).values())).all()
