"""Divisions by group: disjoint, near their shares, the same in every process, blind to what is test already."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merkit.data.splits import by_group, kfold_by_group, leave_one_group_out, subset
from merkit.data.table import ClipTable, TargetColumn
from merkit.errors import ConfigError
from merkit.schema import TargetSpec


def corpus(seed: int, n: int = 600, speakers: int = 30, classes: int = 4, test: float = 0.0) -> ClipTable:
    """Speakers of very different sizes, each with classes of its own liking."""
    rng = np.random.default_rng(seed)
    speaker = rng.choice(speakers, n, p=rng.dirichlet(np.full(speakers, 2.0)))
    taste = rng.dirichlet(np.full(classes, 1.0), speakers)
    label = np.array([rng.choice(classes, p=taste[s]) for s in speaker])
    spec = TargetSpec("emotion", "single_label", tuple("abcdefgh"[:classes]))
    return ClipTable(
        "made",
        np.char.mod("c%d", np.arange(n)),
        np.where(rng.uniform(size=n) < test, "test", "train"),
        {},
        {"emotion": TargetColumn(spec, label, rng.uniform(size=n) < 0.9)},
        {"speaker": np.char.mod("s%02d", speaker)},
        dialogue=np.char.mod("d%02d", speaker % 7),
    )


def sides(table: ClipTable, kind: str = "speaker") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, split in zip(table.groups[kind], table.split, strict=True):
        found.setdefault(str(name), set()).add(str(split))
    return found


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), folds=st.integers(2, 6), speakers=st.integers(6, 40))
def test_no_group_lies_in_two_splits_and_every_clip_is_valid_once(seed: int, folds: int, speakers: int) -> None:
    table = corpus(seed, 300, speakers)
    divided = by_group(table, "speaker", (0.7, 0.15, 0.15), seed=seed)
    assert all(len(splits) == 1 for splits in sides(divided).values())
    assert set(divided.split) == {"train", "valid", "test"}
    assert divided.ids is table.ids
    if len(np.unique(table.groups["speaker"])) < folds:
        return
    valid = np.zeros(len(table), int)
    for fold in range(folds):
        one = kfold_by_group(table, "speaker", folds, fold, seed=seed)
        assert all(len(splits) == 1 for splits in sides(one).values())
        assert set(one.split) == {"train", "valid"}
        valid += one.split == "valid"
    np.testing.assert_array_equal(valid, 1)


@pytest.mark.parametrize("seed", range(5))
def test_sizes_and_classes_come_near_their_shares(seed: int) -> None:
    table = corpus(seed, 3000, 60)
    divided = by_group(table, "speaker", (0.7, 0.2, 0.1), seed=seed)
    column = table.targets["emotion"]
    whole = np.bincount(column.value[column.valid], minlength=4)
    for split, share in (("train", 0.7), ("valid", 0.2), ("test", 0.1)):
        inside = divided.split == split
        assert inside.mean() == pytest.approx(share, abs=0.02)
        counts = np.bincount(column.value[inside & column.valid], minlength=4)
        np.testing.assert_allclose(counts / whole, share, atol=0.06)
    # the same shares dealt by chance are further off
    rng = np.random.default_rng(seed)
    names, index = np.unique(table.groups["speaker"], return_inverse=True)
    worst = [
        np.abs(whole * 0.1 - np.bincount(column.value[chance & column.valid], minlength=4)).max() / whole.min()
        for chance in (rng.uniform(size=len(names))[index] < 0.1 for _ in range(20))
    ]
    test = np.bincount(column.value[(divided.split == "test") & column.valid], minlength=4)
    assert np.abs(whole * 0.1 - test).max() / whole.min() < np.median(worst)


def test_the_seed_decides_and_nothing_else_does() -> None:
    table = corpus(3)
    one = by_group(table, "speaker", (0.8, 0.2), seed=1)
    np.testing.assert_array_equal(one.split, by_group(table, "speaker", (0.8, 0.2), seed=1).split)
    others = [by_group(table, "speaker", (0.8, 0.2), seed=seed).split for seed in range(2, 8)]
    assert any((one.split != other).any() for other in others)
    # the order of the rows does not matter to which group goes where
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(table))
    shuffled = by_group(table.take(rows), "speaker", (0.8, 0.2), seed=1)
    np.testing.assert_array_equal(shuffled.split, one.split[rows])


def test_the_same_in_a_process_with_another_hash_seed() -> None:
    code = (
        "import numpy as np\n"
        "from merkit.data.table import ClipTable\n"
        "from merkit.data.splits import kfold_by_group, subset\n"
        "who = np.array([f's{i % 13}' for i in range(90)])\n"
        "table = ClipTable('t', np.arange(90).astype(str), np.array(['train'] * 90), {}, {}, {'speaker': who})\n"
        "table = subset(kfold_by_group(table, 'speaker', 3, 1, seed=5), 20, seed=2)\n"
        "said = ','.join(table.ids) + ' ' + ','.join(table.split)\n"
    )
    here: dict[str, str] = {}
    exec(code, here)
    env = {"PYTHONHASHSEED": "77"}
    there = subprocess.run(
        [sys.executable, "-c", f"{code}print(said)"], env=env, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here["said"]
    assert len(here["said"]) > 80


def test_what_is_test_stays_test_and_its_answers_are_not_looked_at() -> None:
    table = corpus(4, test=0.3)
    test = table.split == "test"
    divided = by_group(table, "speaker", (0.6, 0.2, 0.2))
    np.testing.assert_array_equal(divided.split == "test", test)
    assert (divided.split == "valid").sum() / (~test).sum() == pytest.approx(0.25, abs=0.04)  # .2 of .8
    column = table.targets["emotion"]
    rng = np.random.default_rng(0)
    other = np.where(test, rng.integers(4, size=len(table)), column.value)
    relabelled = replace(table, targets={"emotion": replace(column, value=other)})
    np.testing.assert_array_equal(by_group(relabelled, "speaker", (0.6, 0.2, 0.2)).split, divided.split)
    assert not np.array_equal(by_group(table, "speaker", (0.6, 0.2, 0.2), keep_test=False).split == "test", test)
    for fold in range(3):
        assert set(kfold_by_group(table, "speaker", 3, fold, keep_test=False).split) == {"train", "valid"}
        np.testing.assert_array_equal(kfold_by_group(table, "speaker", 3, fold).split == "test", test)


def test_one_group_left_out_and_nothing_else_moves() -> None:
    table = corpus(5, speakers=5, test=0.2)
    test = table.split == "test"
    for name in np.unique(table.groups["speaker"]):
        chosen = table.groups["speaker"] == name
        divided = leave_one_group_out(table, "speaker", str(name))
        np.testing.assert_array_equal(divided.split == "valid", chosen & ~test)
        np.testing.assert_array_equal(divided.split == "test", test)
        whole = leave_one_group_out(table, "speaker", str(name), keep_test=False)
        np.testing.assert_array_equal(whole.split, np.where(chosen, "valid", "train"))
    assert set(leave_one_group_out(table, "dialogue", "d00").split) == {"train", "valid", "test"}


def test_tables_without_classes_are_balanced_by_size() -> None:
    table = replace(corpus(6, 1000), targets={})
    divided = by_group(table, "dialogue", (0.5, 0.5))
    assert (divided.split == "train").mean() == pytest.approx(0.5, abs=0.1)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 80), more=st.integers(0, 40), seed=st.integers(0, 50))
def test_subsets_nest_and_each_split_is_on_its_own(n: int, more: int, seed: int) -> None:
    table = corpus(1, 200, test=0.4)
    small, large = subset(table, n, seed=seed), subset(table, n + more, seed=seed)
    assert set(small.ids) <= set(large.ids)
    for split in ("train", "test"):
        assert len(small.where(split)) == min(n, int((table.split == split).sum()))
        np.testing.assert_array_equal(subset(table.where(split), n, seed=seed).ids, small.where(split).ids)
    labels = small.targets["emotion"]
    known = table.targets["emotion"].value[(table.split == "train") & table.targets["emotion"].valid]
    if n >= 5:  # each class has its turn, and so have the clips of which none is known
        assert set(labels.value[(small.split == "train") & labels.valid]) == set(known)
    place = {name: row for row, name in enumerate(table.ids)}
    assert (np.diff([place[name] for name in small.ids]) > 0).all()
    assert set(subset(table, 20, seed=0).ids) != set(subset(table, 20, seed=1).ids)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda t: by_group(t, "film", (0.8, 0.2)), "data.split.by=film: .*there are: speaker, dialogue"),
        (lambda t: by_group(t, "speaker", (0.8,)), "give shares of train"),
        (lambda t: by_group(t, "speaker", (0.8, -0.1)), "none negative"),
        (lambda t: by_group(t, "speaker", (0.0, 1.0)), "train and valid above 0"),
        (lambda t: by_group(t, "speaker", (float("nan"), 1.0)), "give shares of train"),
        (lambda t: kfold_by_group(t, "speaker", 31, 0), "29 groups cannot fill 31 parts"),
        (lambda t: kfold_by_group(t, "speaker", 5, 5), "folds count from 0"),
        (lambda t: kfold_by_group(t, "speaker", 5, -1), "folds count from 0"),
        (lambda t: kfold_by_group(t, "speaker", 1, 0), "there are at least 2"),
        (lambda t: leave_one_group_out(t, "speaker", "nobody"), "no speaker of that name.*there are s00"),
        (lambda t: by_group(replace(t, groups={}, dialogue=None), "speaker", (1, 1)), "there are: none"),
        (lambda t: by_group(replace(t, split=np.full(len(t), "test")), "speaker", (1, 1)), "cannot fill"),
        (lambda t: by_group(replace(t, groups={"speaker": np.full(len(t), "")}), "speaker", (1, 1)), "belong to no"),
        (lambda t: subset(t, 0), "at least 1"),
    ],
)
def test_what_cannot_be_is_said(ask, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ask(corpus(0))
