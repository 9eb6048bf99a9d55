"""The searches behind the leakage check find what comparing every pair finds."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merkit.data.duplicates import crossing, directions_of, feature_keys, near_pairs
from merkit.data.repeated_texts import informative_texts, near_texts, normalise_text
from merkit.data.table import TokenColumn


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 2)), max_size=25))
def test_crossing_equals_a_loop(clips: list[tuple[int, int]]) -> None:
    key, side = (np.array([clip[i] for clip in clips], np.int64) for i in (0, 1))
    expected = []
    for row, (k, s) in enumerate(clips):
        earlier = [(clips[j][1], j) for j in range(len(clips)) if clips[j][0] == k and 0 <= clips[j][1] < s]
        if k >= 0 and earlier:
            expected.append([min(earlier)[1], row])
    assert crossing(key, side).tolist() == expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [8, 40])
def test_near_pairs_equal_all_cosines(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    n = 300
    x = rng.normal(size=(n, 5)) @ rng.normal(size=(5, width)) + 0.3 * rng.normal(size=(n, width))
    copies = rng.choice(n, 40, replace=False)
    x[copies[20:]] = x[copies[:20]] + np.repeat([0.001, 0.003, 0.02, 0.1], 5)[:, None] * rng.normal(size=(20, width))
    side = rng.integers(-1, 3, n)
    column = TokenColumn.one_per_clip(x)
    key = feature_keys(column, n)
    directions = directions_of(column, key)
    found = near_pairs(directions, key, side)
    z = (column.x - column.x.mean(0)) / column.x.std(0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    cosine = z @ z.T
    expected = {
        (i, j) if side[i] < side[j] else (j, i)
        for i, j in combinations(range(n), 2)
        if cosine[i, j] >= directions.least and min(side[i], side[j]) >= 0 and side[i] != side[j]
    }
    assert {tuple(pair) for pair in found.tolist()} == expected
    assert len(expected) >= 2


def test_keys_see_every_token_and_forgive_the_last_digits() -> None:
    rng = np.random.default_rng(0)
    tokens = [rng.normal(size=(t, 6)).astype(np.float32) for t in (3, 3, 2, 4)]
    same, other, shorter = tokens[0] + 1e-7, tokens[0].copy(), tokens[0][:2]
    other[2, 5] += 0.01
    column = TokenColumn.of_sequences(
        [*tokens, None, np.round(same, 5) * 0 + tokens[0], other, shorter, tokens[0][::-1]]
    )
    key = feature_keys(column, 9)
    assert key[4] == -1
    assert key[5] == key[0]
    assert len({key[0], key[1], key[2], key[3], key[6], key[7], key[8]}) == 7


def _shingles(text: str) -> set[str]:
    return {text[i : i + 5] for i in range(len(text) - 4)}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_near_texts_equal_comparing_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = ["harbour", "lemon", "crate", "eleven", "über", "日本語の本", "sea", "old", "house", "sold"]
    texts = [" ".join(rng.choice(words, rng.integers(1, 14))) for _ in range(12)]
    for text in texts[:6]:
        letters = list(text)
        letters[rng.integers(len(letters))] = "x"
        texts.append("".join(letters))
    texts = sorted(set(texts))
    expected = []
    for i, j in combinations(range(len(texts)), 2):
        one, other = _shingles(texts[i]), _shingles(texts[j])
        if one and other and len(one & other) >= 0.8 * len(one | other):
            expected.append([i, j])
    assert near_texts(texts).tolist() == expected


def test_texts_are_judged_by_what_they_tell() -> None:
    common = ["i do not know what you are talking about"] * 2000
    texts = [*common, "yeah", "", "we sold eleven crates of lemons to the harbour master", "lemon lemon lemon"]
    told = informative_texts([normalise_text(text) for text in texts])
    assert told[2002]
    assert not told[[0, 2000, 2001, 2003]].any()
    assert normalise_text("ＷＥ sold\t11 crates—“of” Lemons’ master’s!") == "we sold 11 crates of lemons master's"
