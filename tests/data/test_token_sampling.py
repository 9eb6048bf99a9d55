"""Tokens sampled and persons shuffled: against plain loops, evenly, and the same wherever a clip turns up."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from merkit.data.batch import Batch, collate
from merkit.data.draws import Draw
from merkit.data.loader import TableBatches, batch_loader
from merkit.data.sampler import EpochBatches
from merkit.data.table import ClipTable, TargetColumn, TokenColumn
from merkit.data.token_sampling import Sampling, TokenSampling, entity_places
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

CHARACTER = TargetSpec("character", "multi_label", ("a", "b"), per_entity=True)
SCENE = TargetSpec("scene", "multi_label", ("a", "b"))
ASKED, CLIPS = 4, 30
RANDOM = TokenSampling(2, 6, random=True)
BOTH = Sampling({"face": RANDOM, "scene": RANDOM, "text": TokenSampling(1, 5)}, shuffle_entities=True)
FIRST = Draw(0, 0)
STREAMS = ("face", "lines", "scene", "text")


def films(n: int = CLIPS) -> ClipTable:
    """Every token says where it is from: (clip, entity, place, stream); so do the answers per person."""
    rng = np.random.default_rng(0)
    faces = [tuple(np.flatnonzero(rng.random(ASKED) < 0.6)) for _ in range(n)]
    lines = [tuple(e for e in there if rng.random() < 0.7) for there in faces]
    streams = {}
    for s, (name, who) in enumerate([("face", faces), ("lines", lines), ("scene", [(0,)] * n), ("text", [(0,)] * n)]):
        pairs = [(clip, entity) for clip, there in enumerate(who) for entity in there]
        lengths = rng.integers(1, 40, len(pairs))
        at = np.concatenate([np.arange(k) for k in lengths])
        clip, entity = (np.array(part) for part in zip(*pairs, strict=True))
        x = np.stack([np.repeat(clip, lengths), np.repeat(entity, lengths), at, np.full(len(at), s)], 1)
        streams[name] = TokenColumn(
            x.astype(np.float32), np.append(0, np.cumsum(lengths)), clip, entity, at / 2.0, name in ("face", "lines")
        )
    value = np.stack(np.broadcast_arrays(np.arange(n)[:, None], np.arange(ASKED)), -1).astype(np.float32)
    there = np.array([[entity in who for entity in range(ASKED)] for who in faces])
    targets = {
        "character": TargetColumn(CHARACTER, value, np.repeat(there[..., None], 2, 2)),
        "scene": TargetColumn(SCENE, np.zeros((n, 2), np.float32), np.ones((n, 2), bool)),
    }
    return ClipTable("films", np.array([f"c{i}" for i in range(n)]), np.full(n, "train"), streams, targets)


def batch_of(table: ClipTable, rows, sampling: Sampling | None = BOTH, draw: Draw | None = FIRST) -> Batch:
    return collate(table, np.asarray(rows), modalities=STREAMS, sampling=sampling, draw=draw)


def same(a: Batch, b: Batch) -> bool:
    streams = all(
        torch.equal(a.tokens[k].x, b.tokens[k].x)
        and torch.equal(a.tokens[k].mask, b.tokens[k].mask)
        and torch.equal(a.tokens[k].times, b.tokens[k].times)
        for k in a.tokens
    )
    return streams and all(torch.equal(a.targets[k], b.targets[k]) for k in a.targets) and a.ids == b.ids


def seen(batch: Batch, name: str, b: int) -> list[list[int]]:
    """Numbers that stand in the tokens of one clip, by entity: nothing depends on the padding."""
    tokens = batch.tokens[name]
    return [tokens.x[b, n][tokens.mask[b, n]].int().tolist() for n in range(tokens.x.shape[1])]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(1, 9), st.integers(0, 12), st.booleans())
def test_counts_and_places_are_what_a_loop_finds(lengths: list[int], step: int, limit: int, training: bool) -> None:
    rule, n = TokenSampling(step, limit, random=True), np.array(lengths)
    keys = np.random.default_rng(1).integers(0, 2**63, n.sum()).astype(np.uint64) if training else None
    places, counts = rule.places(n, keys)
    at = 0
    for length, chosen in zip(lengths, np.split(places, np.cumsum(counts)[:-1]), strict=True):
        most = limit or length
        if training:
            wanted = min(max(1, length // step), most, length)
            own = keys[at : at + length]
            assert chosen.tolist() == sorted(np.argsort(own)[:wanted].tolist())
        else:
            assert chosen.tolist() == list(range(0, length, step))[:most]
        at += length
    assert counts.tolist() == rule.counts(n, training=training).tolist()


def test_what_is_not_random_is_the_same_in_training() -> None:
    windows = TokenSampling(1, 3)
    assert windows.places(np.array([5, 2]), np.zeros(7, np.uint64))[0].tolist() == [0, 1, 2, 0, 1]
    for bad in ({"step": 0}, {"limit": -1}):
        with pytest.raises(ConfigError, match="step of at least 1"):
            TokenSampling(**bad)


def test_a_clip_looks_the_same_in_every_batch_and_in_no_other_epoch() -> None:
    table = films()
    whole = batch_of(table, np.arange(CLIPS))
    for rows in ([3], [7, 3], [29, 3, 3, 0]):
        part = batch_of(table, rows)
        for b, row in enumerate(rows):
            assert all(seen(part, name, b) == seen(whole, name, row) for name in STREAMS)
            assert torch.equal(part.targets["character"][b], whole.targets["character"][row])
    assert same(whole, batch_of(table, np.arange(CLIPS)))
    for other in (Draw(0, 1), Draw(1, 0)):
        changed = batch_of(table, np.arange(CLIPS), draw=other)
        assert sum(seen(changed, "face", row) != seen(whole, "face", row) for row in range(CLIPS)) > CLIPS / 2
    # streams do not draw the same places, nor do persons: their numbers are their own
    drawn = [[token[2] for token in seen(whole, name, 0)[0]] for name in ("face", "scene")]
    assert drawn[0] != drawn[1]


def test_evaluation_leaves_nothing_to_chance() -> None:
    table = films()
    batch = batch_of(table, np.arange(CLIPS), draw=None)
    for row in range(CLIPS):
        for entity, tokens in enumerate(seen(batch, "face", row)):
            length = int((table.streams["face"].lengths[_sequence(table, row, entity)]).sum())
            assert tokens == [[row, entity, place, 0] for place in range(0, length, 2)][:6]
        assert [token[2] for token in seen(batch, "text", row)[0]] == list(range(5))[: len(seen(batch, "text", row)[0])]
    assert torch.equal(batch.targets["character"], torch.from_numpy(table.targets["character"].value))


def _sequence(table: ClipTable, row: int, entity: int) -> np.ndarray:
    column = table.streams["face"]
    return np.flatnonzero((column.clip == row) & (column.entity == entity))


def test_persons_trade_places_together_with_all_that_is_theirs() -> None:
    table = films()
    moved = 0
    for epoch in range(5):
        batch = batch_of(table, np.arange(CLIPS), draw=Draw(0, epoch))
        plain = table.targets["character"]
        for row in range(CLIPS):
            there = {entity for entity in range(ASKED) if plain.valid[row, entity].any()}
            now = batch.targets["character"][row, :, 1].int().tolist()  # who stands at each place
            assert sorted(now) == list(range(ASKED))
            assert {place for place in range(ASKED) if now[place] in there} == there  # absent places stay empty
            assert all(now[place] == place for place in range(ASKED) if place not in there)
            for place in range(ASKED):
                assert batch.valid["character"][row, place].any() == (place in there)
                for name in ("face", "lines"):
                    tokens = seen(batch, name, row)[place]
                    assert all(token[:2] == [row, now[place]] for token in tokens)
                    has = len(_who(table, name, row, now[place])) > 0
                    assert bool(tokens) == has
            assert all(token[:2] == [row, 0] for name in ("scene", "text") for token in seen(batch, name, row)[0])
            moved += now != sorted(now)
            times = batch.tokens["face"].times[row][batch.tokens["face"].mask[row]]
            assert torch.equal(times * 2, batch.tokens["face"].x[row][batch.tokens["face"].mask[row]][:, 2].double())
    assert moved > 5 * CLIPS / 3


def _who(table: ClipTable, name: str, row: int, entity: int) -> np.ndarray:
    column = table.streams[name]
    return np.flatnonzero((column.clip == row) & (column.entity == entity))


def test_every_order_of_persons_is_equally_likely_and_clips_differ() -> None:
    table = films()
    full = np.flatnonzero(table.targets["character"].valid[..., 0].sum(1) == 3)[:1]
    orders = [tuple(entity_places(table, full, STREAMS, Draw(0, epoch))[0]) for epoch in range(1200)]
    names, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(names) == 6 and chisquare(counts).pvalue > 0.01
    many = films(200)
    found = entity_places(many, np.arange(200), STREAMS, Draw(0, 0))
    whole = found[many.targets["character"].valid[..., 0].all(1)]
    assert len(np.unique(whole, axis=0)) > 10  # of 24: one draw a clip, not one a batch


def test_tokens_of_the_clip_as_a_whole_stay_in_front() -> None:
    table = films()
    names = np.empty(CLIPS, object)
    names[:] = [("", "x", "y", "z")] * CLIPS
    for epoch in range(20):
        places = entity_places(replace(table, entities=names), np.arange(CLIPS), STREAMS, Draw(0, epoch))
        assert (places[:, 0] == 0).all()


def test_every_token_is_drawn_equally_often_and_none_hangs_on_another() -> None:
    rule, lengths, epochs = TokenSampling(3, 0, random=True), np.array([21, 12]), 4000
    hits, pairs = np.zeros(21), np.zeros((21, 21))
    other = np.zeros(12)
    for epoch in range(epochs):
        keep = Sampling({"face": rule}).keep("face", Draw(5, epoch))
        places, counts = keep(np.array([2, 9]), np.array([0, 1]), lengths)
        first, second = places[: counts[0]], places[counts[0] :]
        assert len(set(first)) == 7 and len(set(second)) == 4
        hits[first] += 1
        other[second] += 1
        pairs[np.ix_(first, first)] += 1
    # counts without replacement vary less than those of a multinomial: scale to its variance
    for counts, share in ((hits, 7 / 21), (other, 4 / 12)):
        expected = epochs * share
        statistic = np.square(counts - expected).sum() / expected / (1 - share) * (len(counts) - 1) / len(counts)
        assert statistic < 2 * len(counts)
    together = pairs[np.triu_indices(21, 1)] / epochs
    np.testing.assert_allclose(together, 7 / 21 * 6 / 20, atol=0.035)  # five standard deviations


def test_keys_are_even_and_belong_to_their_place() -> None:
    draw = Draw(3, 1)
    keys = draw.keys("tokens", np.arange(200)[:, None], np.arange(200))
    assert kstest(keys.ravel() / 2**64, "uniform").pvalue > 0.01
    assert np.abs(np.corrcoef(keys / 2**64)[np.triu_indices(200, 1)]).max() < 0.35
    assert len(np.unique(keys)) == keys.size
    assert not np.isin(keys, draw.keys("entities", np.arange(200)[:, None], np.arange(200))).any()


def test_what_is_not_sampled_is_not_read() -> None:
    class Watched:
        """An array that knows which of its rows were asked for."""

        def __init__(self, x: np.ndarray) -> None:
            self.x, self.shape, self.dtype, self.read = x, x.shape, x.dtype, []

        def __len__(self) -> int:
            return len(self.x)

        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            self.read.append(rows)
            return self.x[rows]

    table = films()
    face = table.streams["face"]
    watched = Watched(face.x)
    table = replace(table, streams={**table.streams, "face": replace(face, x=watched)})
    batch = batch_of(table, [4, 9])
    rows = np.concatenate(watched.read)
    asked = batch.tokens["face"].x[batch.tokens["face"].mask].numpy()
    assert len(rows) == len(asked) < face.lengths[np.isin(face.clip, [4, 9])].sum() / 2 + 1
    np.testing.assert_array_equal(np.sort(face.x[rows], 0), np.sort(asked, 0))


def test_workers_draw_what_the_process_itself_draws() -> None:
    table, passes = films(), []
    for workers in (0, 2):
        order = EpochBatches(CLIPS, 7, seed=1)
        order.set_epoch(3)
        loader = batch_loader(TableBatches(table, STREAMS, sampling=BOTH, seed=8), order, workers=workers)
        passes.append(list(loader))
    assert all(same(a, b) for a, b in zip(*passes, strict=True))
    first = passes[0][0]
    rows = [int(clip[1:]) for clip in first.ids]
    assert same(first, batch_of(table, rows, draw=Draw(8, 3)))  # and of the epoch that the order is at
    assert not same(first, batch_of(table, rows, draw=Draw(8, 2)))
