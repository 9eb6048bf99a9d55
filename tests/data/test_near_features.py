"""Near copies against chance: where features are worth few dimensions, clips come close that have nothing in common."""

import numpy as np
import pytest

from merkit.data.duplicates import directions_of, feature_keys, near_pairs
from merkit.data.leakage import check_leakage
from merkit.data.table import ClipTable, TokenColumn

N = 2400
SPLIT = np.where(np.arange(N) % 5 == 0, "valid", "train")


def bottleneck(worth: int, width: int = 48, seed: int = 0) -> np.ndarray:
    """`(N, width)` features that fill only `worth` dimensions."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, worth)) @ rng.normal(size=(worth, width))


def table(x: np.ndarray) -> ClipTable:
    return ClipTable("made", np.char.mod("%d", np.arange(N)), SPLIT, {"face": TokenColumn.one_per_clip(x)}, {})


@pytest.mark.parametrize("worth", [3, 4, 5, 6, 8, 16])
def test_chance_is_no_leak_however_few_dimensions_there_are(worth: int) -> None:
    x = bottleneck(worth, seed=worth)
    unit = (x - x.mean(0)) / x.std(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    close = (unit[SPLIT == "train"] @ unit[SPLIT == "valid"].T >= 0.999).sum()
    if worth <= 4:
        assert close > 10  # a fixed threshold would cry wolf here
    assert check_leakage(table(x)).findings == ()


@pytest.mark.parametrize("worth", [4, 5, 8, 16])
def test_copies_that_are_closer_than_chance_are_found(worth: int) -> None:
    rng = np.random.default_rng(1)
    x = bottleneck(worth)
    train, valid = (np.flatnonzero(split == SPLIT)[:12] for split in ("train", "valid"))
    x[valid] = x[train] * (1 + 3e-4 * rng.normal(size=(12, x.shape[1])))
    (finding,) = check_leakage(table(x)).findings
    assert (finding.kind, finding.severity, finding.count) == ("near_duplicate_features", "error", 12)


def test_the_threshold_rises_as_dimensions_fall_and_never_below_what_is_asked() -> None:
    least = []
    for worth in (2, 4, 6, 12, 40):
        column = TokenColumn.one_per_clip(bottleneck(worth))
        least.append(directions_of(column, feature_keys(column, N)).least)
    assert least == sorted(least, reverse=True)
    assert least[0] > 0.9999
    assert least[-2:] == [0.999, 0.999]


def test_two_clips_or_one_direction_break_nothing() -> None:
    for x in (np.random.default_rng(0).normal(size=(2, 9)), np.outer(np.arange(1, 7.0), np.arange(1, 10))):
        column = TokenColumn.one_per_clip(x)
        key = feature_keys(column, len(x))
        assert near_pairs(directions_of(column, key), key, np.arange(len(x)) % 2).shape[1] == 2
