"""Orders, context and collation: what a batch holds, against plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merkit.data.augment import Mixup
from merkit.data.batch import collate
from merkit.data.context import dialogue_context
from merkit.data.sampler import EpochBatches, balanced_rows
from merkit.data.table import ClipTable, TargetColumn, TokenColumn
from merkit.errors import ConfigError
from merkit.schema import TargetSpec


def table(n: int, seed: int = 0) -> ClipTable:
    rng = np.random.default_rng(seed)
    sequences = [rng.normal(size=(rng.integers(0, 4), 3)) for _ in range(n)]
    spec = TargetSpec("emotion", "single_label", ("a", "b", "c"))
    return ClipTable(
        "t", np.array([f"c{i}" for i in range(n)]), rng.choice(["train", "valid"], n),
        {"text": TokenColumn.of_sequences(sequences, 3), "face": TokenColumn.one_per_clip(rng.normal(size=(n, 2)))},
        {"emotion": TargetColumn(spec, rng.integers(0, 3, n), np.ones(n, bool))},
        dialogue=rng.choice(["x", "y"], n), turn=rng.permutation(n),
    )  # fmt: skip


@given(st.integers(1, 60), st.integers(1, 9), st.booleans(), st.integers(0, 3))
def test_every_clip_comes_once_an_epoch_whatever_the_order(n: int, size: int, bucket: bool, epoch: int) -> None:
    lengths = np.random.default_rng(n).integers(1, 9, n) if bucket else None
    order = EpochBatches(n, size, seed=1, lengths=lengths)
    order.set_epoch(epoch)
    batches = list(order)
    assert sorted(np.concatenate(batches)) == list(range(n)) and max(map(len, batches)) <= size
    assert len(order) == len(batches)


@given(st.integers(5, 60), st.integers(0, 4))
def test_a_resumed_order_is_the_rest_of_the_whole_one(n: int, done: int) -> None:
    whole, rest = EpochBatches(n, 3, seed=2), EpochBatches(n, 3, seed=2)
    whole.set_epoch(4)
    rest.resume(4, done)
    for a, b in zip(list(whole)[done:], list(rest), strict=True):
        np.testing.assert_array_equal(a, b)


def test_epochs_and_seeds_differ_and_buckets_hold_like_lengths() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 400)
    order = EpochBatches(400, 8, seed=0, lengths=lengths)
    first = [tuple(rows) for rows in order]
    order.set_epoch(1)
    assert [tuple(rows) for rows in order] != first
    padding = np.mean([lengths[list(rows)].max() - lengths[list(rows)].mean() for rows in first])
    assert padding < 4  # 25 for batches at random


def test_dialogues_stay_whole_and_classes_come_evenly() -> None:
    groups = np.repeat(["a", "b", "c", "d"], [5, 1, 9, 3])
    for rows in EpochBatches(18, 6, seed=0, groups=groups):
        for group in np.unique(groups[rows]):
            assert np.sum(groups[rows] == group) == np.sum(groups == group)
    classes = np.repeat([0, 1, 2], [50, 9, 1])
    rows = balanced_rows(classes, np.random.default_rng(0))
    assert len(rows) == 60 and np.bincount(classes[rows]).tolist() == [20, 20, 20]
    # clips of no known class are not drawn for any
    unknown = np.where(np.arange(60) % 2, classes, -1)
    rows = balanced_rows(unknown, np.random.default_rng(0))
    assert len(rows) == 30 and np.bincount(unknown[rows]).tolist() == [10, 10, 10]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 33))
def test_every_epoch_of_whole_dialogues_has_as_many_batches(sizes: list[int], batch_size: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    order = EpochBatches(len(groups), batch_size, seed=3, groups=groups)
    counts = set()
    for epoch in range(4):
        order.set_epoch(epoch)
        batches = list(order)
        counts.add(len(batches))
        assert min(map(len, batches)) > 0
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(groups)))
        assert max(map(len, batches)) <= batch_size + max(sizes)
    assert counts == {min(-(-len(groups) // batch_size), len(sizes))}


@given(st.integers(2, 30), st.integers(-1, 4), st.integers(-1, 4))
def test_context_is_what_a_loop_finds(n: int, earlier: int, later: int) -> None:
    t = table(n, n)
    found = dialogue_context(t, earlier, later)
    if not earlier and not later:
        assert found is None
        return
    for i in range(n):
        mates = [j for j in range(n) if t.dialogue[j] == t.dialogue[i] and t.split[j] == t.split[i]]
        mates.sort(key=lambda j: t.turn[j])
        at = mates.index(i)
        low = 0 if earlier < 0 else max(0, at - earlier)
        high = len(mates) if later < 0 else at + later + 1
        assert [j for j in found[i] if j >= 0] == mates[low:high]


def test_a_batch_holds_each_context_row_once_and_says_where() -> None:
    t = table(20)
    context = dialogue_context(t, 2, 1)
    rows = np.array([7, 3, 11])
    batch = collate(t, rows, modalities=("text", "face"), context=context)
    assert batch.ids[:3] == ("c7", "c3", "c11") and len(set(batch.ids)) == len(batch.ids) and batch.size == 3
    for b, row in enumerate(rows):
        named = [batch.ids[r] for r in batch.context[b].tolist() if r >= 0]
        assert named == [f"c{j}" for j in context[row] if j >= 0]
        own = batch.position[b].tolist().index(0)
        assert batch.ids[batch.context[b, own]] == f"c{row}"
    for r, clip in enumerate(batch.ids):
        i = int(clip[1:])
        column = t.streams["text"]
        where = np.flatnonzero(column.clip == i)
        expected = column.x[column.offsets[where[0]] : column.offsets[where[0] + 1]] if len(where) else np.zeros((0, 3))
        tokens = batch.tokens["text"]
        np.testing.assert_array_equal(tokens.x[r, 0][tokens.mask[r, 0]].numpy(), expected)
        assert not tokens.x[r, 0][~tokens.mask[r, 0]].any()
    assert batch.targets["emotion"].tolist() == t.targets["emotion"].value[rows].tolist()


def tokens_of_clip(column: TokenColumn, clip: int) -> np.ndarray:
    sequences = np.flatnonzero(column.clip == clip)
    parts = [column.x[column.offsets[s] : column.offsets[s + 1]] for s in sequences]
    return np.concatenate(parts) if parts else np.zeros((0, column.width))


def test_taking_clips_in_any_order_takes_their_tokens_along() -> None:
    column = table(12).streams["text"]
    rows = np.array([5, 5, 0, 11])
    taken = column.take(rows)
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(tokens_of_clip(taken, place), tokens_of_clip(column, row))


def test_mixup_mixes_streams_and_targets_with_one_weight() -> None:
    t = table(16)
    batch = collate(t, np.arange(16), modalities=("text", "face"))
    spec = t.targets["emotion"].spec
    torch.manual_seed(3)
    mixed = Mixup(alpha=1.0)(batch, [spec])
    torch.manual_seed(3)
    partner = torch.randperm(16)
    share = torch.distributions.Beta(1.0, 1.0).sample((16,))
    hot = torch.nn.functional.one_hot(batch.targets["emotion"], 3).float()
    w = share[:, None]
    torch.testing.assert_close(mixed.targets["emotion"], w * hot + (1 - w) * hot[partner])
    face = batch.tokens["face"].x[:, 0, 0]
    torch.testing.assert_close(mixed.tokens["face"].x[:, 0, 0], w * face + (1 - w) * face[partner])
    text = batch.tokens["text"]
    only = text.mask & ~text.mask[partner]
    torch.testing.assert_close(mixed.tokens["text"].x[only], text.x[only])
    assert torch.equal(mixed.tokens["text"].mask, text.mask | text.mask[partner])
    with pytest.raises(ConfigError, match="context"):
        Mixup()(collate(t, np.arange(4), modalities=("face",), context=dialogue_context(t, 1, 0)), [spec])
