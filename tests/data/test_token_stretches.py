"""Clips cut to a stretch, strides over a whole clip, ends left out: against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from merkit.data.batch import collate
from merkit.data.draws import Draw
from merkit.data.table import ClipTable, TokenColumn
from merkit.data.token_sampling import Sampling, TokenSampling
from merkit.errors import ConfigError

LENGTHS = st.lists(st.integers(0, 90), min_size=1, max_size=8)


def chosen(rule: TokenSampling, lengths: list[int], keys: np.ndarray | None = None) -> list[list[int]]:
    n = np.array(lengths)
    places, counts = rule.places(n, keys)
    assert counts.tolist() == rule.counts(n, training=keys is not None).tolist()
    return [part.tolist() for part in np.split(places, np.cumsum(counts)[:-1])]


def random_keys(lengths: list[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, sum(lengths), dtype=np.uint64)


def skipped(length: int, skip: int, limit: int) -> int:
    """One more at either end as long as enough remain."""
    count = 0
    while count < skip and length - 2 * (count + 1) >= max(limit, 1):
        count += 1
    return count


@given(LENGTHS, st.integers(1, 30), st.integers(0, 12), st.booleans())
def test_a_stretch_is_consecutive_and_in_the_middle_unless_drawn(
    lengths: list[int], limit: int, skip: int, random: bool
) -> None:
    rule = TokenSampling(limit=limit, random=random, stretch=True, skip_ends=skip)
    for keys in (None, random_keys(lengths)):
        for length, places in zip(lengths, chosen(rule, lengths, keys), strict=True):
            off = skipped(length, skip, limit)
            assert len(places) == min(length - 2 * off, limit) and np.diff(places).tolist() == [1] * (len(places) - 1)
            if places:
                assert off <= places[0] and places[-1] < length - off
            if places and (keys is None or not random):
                assert places[0] == off + (length - 2 * off - len(places)) // 2


@given(LENGTHS, st.integers(1, 30), st.integers(0, 12))
def test_strides_take_the_middle_of_equal_parts(lengths: list[int], limit: int, skip: int) -> None:
    rule = TokenSampling(limit=limit, random=True, strided=True, skip_ends=skip)
    for length, places in zip(lengths, chosen(rule, lengths), strict=True):
        off = skipped(length, skip, limit)
        inner = length - 2 * off
        count = min(limit, inner)
        assert len(set(places)) == len(places) == count  # exactly as many as asked for, where there are as many
        assert places == [off + int((i + 0.5) * inner / count + 1e-9) for i in range(count)]
    drawn = chosen(rule, lengths, random_keys(lengths))
    for length, places in zip(lengths, drawn, strict=True):
        off = skipped(length, skip, limit)
        assert places == sorted(set(places)) and len(places) == min(limit, length - 2 * off)
        assert all(off <= place < length - off for place in places)


def test_strides_with_a_step_and_no_limit_are_spread_as_well() -> None:
    assert chosen(TokenSampling(step=4, strided=True), [10, 3]) == [[1, 5, 8], [1]]


def test_more_pictures_in_evaluation_than_in_training() -> None:
    rule = TokenSampling(limit=16, evaluation_limit=32, random=True, strided=True, skip_ends=10)
    lengths = [100, 40, 20]
    assert [len(places) for places in chosen(rule, lengths)] == [32, 32, 20]
    assert [len(places) for places in chosen(rule, lengths, random_keys(lengths))] == [16, 16, 16]
    assert chosen(rule, lengths)[1] == list(range(4, 36))  # fewer are left out where 32 would not remain


def test_every_start_is_equally_likely_and_every_clip_has_its_own() -> None:
    rule, starts = Sampling({"speech": TokenSampling(limit=8, random=True, stretch=True)}), []
    for epoch in range(3000):
        places, counts = rule.keep("speech", Draw(1, epoch))(np.array([4, 9]), np.array([0, 0]), np.array([20, 20]))
        starts.append((places[0], places[counts[0]]))
    first, second = np.array(starts).T
    for one in (first, second):
        counts = np.bincount(one, minlength=13)
        assert len(counts) == 13 and chisquare(counts).pvalue > 0.001
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06


def test_interior_tokens_are_drawn_equally_often_and_the_ends_never() -> None:
    rule, hits = TokenSampling(limit=4, random=True, strided=True, skip_ends=3), np.zeros(14)
    for seed in range(3000):
        hits[chosen(rule, [14], random_keys([14], seed))[0]] += 1
    assert not hits[:3].any() and not hits[11:].any()
    assert np.abs(hits[3:11] / 3000 - 0.5).max() < 0.05


def test_a_batch_holds_the_stretch_and_its_times() -> None:
    x = [np.arange(n, dtype=np.float32)[:, None] for n in (30, 5, 12)]
    column = TokenColumn(
        np.concatenate(x), np.array([0, 30, 35, 47]), np.arange(3), np.zeros(3, np.int64),
        np.concatenate(x)[:, 0].astype(np.float64) * 0.016,
    )  # fmt: skip
    table = ClipTable("t", np.array(["a", "b", "c"]), np.array(["train"] * 3), {"speech": column}, {})
    sampling = Sampling({"speech": TokenSampling(limit=10, random=True, stretch=True)})
    middle = collate(table, np.arange(3), modalities=("speech",), sampling=sampling).tokens["speech"]
    assert [row[0, :, 0][mask[0]].tolist() for row, mask in zip(middle.x, middle.mask, strict=True)] == [
        list(range(10, 20)), list(range(5)), list(range(1, 11)),
    ]  # fmt: skip
    seen = set()
    for epoch in range(30):
        tokens = collate(table, np.arange(3), modalities=("speech",), sampling=sampling, draw=Draw(0, epoch)).tokens[
            "speech"
        ]
        seen.add(float(tokens.x[0, 0, 0, 0]))
        np.testing.assert_allclose(tokens.times[0, 0], tokens.x[0, 0, :, 0].double() * 0.016)
        np.testing.assert_array_equal(tokens.x[0, 0, :, 0].diff(), np.ones(9))
    assert len(seen) > 8


@pytest.mark.parametrize(
    "bad",
    [
        {"stretch": True}, {"stretch": True, "limit": 4, "step": 2}, {"stretch": True, "limit": 4, "strided": True},
        {"skip_ends": -1}, {"evaluation_limit": -1},
    ],
)  # fmt: skip
def test_contradictions_are_refused(bad: dict) -> None:
    with pytest.raises(ConfigError):
        TokenSampling(**bad)
