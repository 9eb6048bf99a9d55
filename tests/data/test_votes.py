"""Labels made of rater votes: the authors' vectors for PeakL, every tie rule, and what must hold for any votes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from merkit.data.table import TargetColumn
from merkit.data.votes import NearestCentroid, hard, peak, soft, with_hard, with_peak, with_soft
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

LABELS = ("surprise", "fear", "angry", "neutral", "happy", "sad", "disgust")
COUNTS = arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(2, 8)), elements=st.integers(0, 10))


def column(votes: np.ndarray) -> TargetColumn:
    spec = TargetSpec("emotion", "single_label", LABELS[: votes.shape[1]])
    return TargetColumn(spec, np.zeros(len(votes), np.int64), np.ones(len(votes), bool), votes)


@pytest.mark.parametrize(
    ("shares", "sharpened"),
    [
        ((0, 0, 1, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0, 0)),
        ((0.5, 0.5, 0, 0, 0, 0, 0), (0.5, 0.5, 0, 0, 0, 0, 0)),
        ((0.6, 0.4, 0, 0, 0, 0, 0), (0.6201, 0.3799, 0, 0, 0, 0, 0)),
        ((0.5, 0.3, 0.2, 0, 0, 0, 0), (0.5827, 0.2835, 0.1338, 0, 0, 0, 0)),
        ((0.4, 0.3, 0.1, 0.1, 0.1, 0, 0), (0.6121, 0.3879, 0, 0, 0, 0, 0)),
        ((1 / 7,) * 7, (1 / 7,) * 7),
        ((0,) * 7, (0,) * 7),
    ],
)
def test_peak_gives_the_published_vectors_and_no_nan(shares, sharpened) -> None:
    np.testing.assert_allclose(peak(np.array([shares], float))[0], sharpened, atol=5e-5)


def test_peak_equals_the_formula_written_out() -> None:
    rng = np.random.default_rng(0)
    for shares in rng.dirichlet(np.full(6, 0.7), 50):
        sharpness = np.tanh(-sum(p * np.log(p) for p in shares if p > 0))
        # the authors also divide by 1 - r, which the last step cancels
        z = [max(p - sharpness / 6, 0) / (1 - sharpness) for p in shares]
        z = [value - min(z) for value in z]
        np.testing.assert_allclose(peak(shares[None])[0], np.array(z) / sum(z), atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(votes=COUNTS, dtype=st.sampled_from([np.float32, np.float64]))
def test_peak_of_any_votes_is_a_distribution_that_keeps_the_order(votes: np.ndarray, dtype) -> None:
    shares, voted = soft(votes)
    sharpened = peak(shares.astype(dtype))
    assert sharpened.dtype == dtype
    assert np.isfinite(sharpened).all()
    assert (sharpened >= 0).all()
    np.testing.assert_allclose(sharpened.sum(1), voted.astype(float), atol=1e-5)
    # sharpening never turns two classes around, nor takes the lead away
    for row, made in zip(votes, sharpened, strict=True):
        assert (np.diff(made[np.argsort(row, kind="stable")]) >= -1e-6).all()
        assert made.max(initial=0) >= (row / max(row.sum(), 1)).max() - 1e-6


@settings(max_examples=150, deadline=None)
@given(votes=COUNTS)
def test_hard_and_soft_against_python(votes: np.ndarray) -> None:
    shares, voted = soft(votes)
    dropped, first = hard(votes), hard(votes, "first")
    for i, row in enumerate(votes.tolist()):
        total, best = sum(row), max(row)
        leaders = [k for k, count in enumerate(row) if count == best and count > 0]
        assert shares[i].tolist() == pytest.approx([count / total if total else 0.0 for count in row], abs=1e-6)
        assert voted[i] == (total > 0)
        assert dropped[1][i] == (len(leaders) == 1)
        assert first[1][i] == bool(leaders)
        assert first[0][i] == (leaders[0] if leaders else 0)
        if len(leaders) == 1:
            assert dropped[0][i] == leaders[0]


def test_ties_by_centroid_go_to_the_nearest_of_the_tied() -> None:
    # KEMDy19, valence and arousal
    centroids = np.array(
        [[2.638, 3.638], [1.739, 3.638], [1.803, 3.8], [2.971, 2.981], [4.314, 3.863], [1.896, 2.612], [2.205, 3.124]]
    )
    votes = np.array(
        [
            [0, 0, 5, 5, 0, 0, 0],  # angry or neutral
            [0, 0, 5, 5, 0, 0, 0],
            [0, 0, 3, 0, 0, 3, 4],  # no tie: the rating does not matter
            [0, 0, 5, 5, 0, 0, 0],  # a rating is missing
            [0, 0, 0, 0, 0, 0, 0],
        ]
    )
    place = np.array([[1.9, 3.6], [3.0, 3.0], [4.3, 3.9], [np.nan, 3.0], [3.0, 3.0]])
    # the third clip lies on `happy`, which nobody chose
    value, valid = hard(votes, NearestCentroid(place, centroids))
    assert value.tolist() == [2, 3, 6, 0, 0]
    assert valid.tolist() == [True, True, True, False, False]
    place[2] = np.nan
    assert hard(votes, NearestCentroid(place, centroids))[1].tolist() == [True, True, True, False, False]
    # in the middle between two, the order of labels decides
    middle = centroids[[2, 3]].mean(0)[None]
    assert hard(votes[:1], NearestCentroid(middle, np.round(centroids, 0) * 0 + middle))[0].tolist() == [2]
    with pytest.raises(ConfigError, match=r"need place \(5, 2\) and centroids \(7, 2\)"):
        hard(votes, NearestCentroid(place[:2], centroids))


def test_columns_change_kind_and_keep_their_votes() -> None:
    votes = np.array([[6, 4, 0], [3, 3, 0], [0, 0, 0]])
    held = column(votes)
    one, shares, sharpened = with_hard(held), with_soft(held), with_peak(held)
    assert (one.spec.kind, shares.spec.kind, sharpened.spec.kind) == ("single_label", "soft_label", "soft_label")
    assert one.spec.name == shares.spec.name == "emotion"
    assert one.valid.tolist() == [True, False, False]
    assert shares.valid.tolist() == [[True] * 3, [True] * 3, [False] * 3]
    assert shares.value.dtype == sharpened.value.dtype == np.float32
    np.testing.assert_array_equal(sharpened.value, peak(shares.value))
    for made in (one, shares, sharpened):
        np.testing.assert_array_equal(made.votes, votes)
    # counts, not labels, are what the next transform starts from
    np.testing.assert_array_equal(with_soft(with_peak(with_hard(held))).value, shares.value)
    assert with_hard(held, "first").valid.tolist() == [True, True, False]


def test_shares_without_counts_can_be_sharpened_and_hardened() -> None:
    spec = TargetSpec("emotion", "soft_label", LABELS)
    value = np.zeros((2, 7), np.float32)
    value[:, :3] = [0.5, 0.3, 0.2]
    valid = np.array([[True] * 7, [False] * 7])
    held = TargetColumn(spec, value, valid)
    made = with_peak(held)
    np.testing.assert_allclose(made.value[0, :3], [0.5827, 0.2835, 0.1338], atol=5e-5)
    assert made.valid[0].all()
    assert not made.valid[1].any()
    assert with_hard(held).valid.tolist() == [True, False]


def test_what_cannot_be_is_refused() -> None:
    held = column(np.array([[1, 2]]))
    with pytest.raises(ConfigError, match="no votes"):
        with_soft(replace(held, votes=None))
    multi = replace(held.spec, kind="multi_label")
    with pytest.raises(ConfigError, match="multi_label"):
        with_hard(replace(held, spec=multi))
    with pytest.raises(ConfigError, match="per entity"):
        with_hard(replace(held, spec=replace(held.spec, per_entity=True)))
    with pytest.raises(ConfigError, match="row 1"):
        soft(np.array([[1.0, 2.0], [np.nan, 1.0]]))
    with pytest.raises(ConfigError, match="row 0"):
        hard(np.array([[-1, 2]]))
    with pytest.raises(ConfigError, match=r"\(n, K\)"):
        hard(np.array([1, 2]))
    with pytest.raises(ConfigError, match="`drop`, `first`"):
        hard(np.array([[1, 2]]), "last")  # type: ignore[arg-type]
