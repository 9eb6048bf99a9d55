"""From manifest and feature store to columns: every token in its place, absent modalities absent, answers aligned."""

import numpy as np
import pytest

from merkit.corpora import Manifest, clip_table
from merkit.data.batch import collate
from merkit.errors import ConfigError, StoreError
from merkit.features import ClipRecord, FeatureStore, Row
from merkit.schema import Clip, Stream, Target, TargetSpec

EMOTION = TargetSpec("emotion", "single_label", ("joy", "anger", "fear"))
CROWD = TargetSpec("crowd", "soft_label", ("joy", "anger"))
WHO = TargetSpec("who", "single_label", ("joy", "anger"), per_entity=True)


def row(modality, entity, value, tokens, width=2, made_by="maker@1"):
    x = np.full((tokens, width), value, np.float32) + np.arange(tokens, dtype=np.float32)[:, None] / 10
    start_s = np.arange(tokens, dtype=np.float64)
    return Row(modality, entity, made_by, x, start_s, start_s + 1, np.full(tokens, -1, np.int32))


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    store = FeatureStore.create(tmp_path / "store")
    faces = tuple(row("face", f"person_{n}", float(n), n) for n in (10, 2, 1))
    store.add(ClipRecord("b", "k", "hash-b", {"segments": [{"text": "heard this"}]}, (*faces, row("text", None, 7, 1))))
    store.add(ClipRecord("a", "k", "hash-a", {}, (row("text", None, 5.0, 3),)))
    store.add(ClipRecord("nothing", "k", "hash-n", {}, ()))
    store.add(ClipRecord("another corpus", "k", "hash-o", {}, (row("text", None, 99.0, 4),)))
    store.finalise()
    return store


def corpus(tmp_path) -> Manifest:
    text = Stream("text", None, text=" said this ")
    clips = (
        Clip(
            "b",
            (Stream("speech", tmp_path / "b.wav"),),
            "train",
            {"speaker": "1", "dialogue": "d"},
            (Target(EMOTION, np.array(2)), Target(WHO, np.array(1), "person_10"), Target(WHO, np.array(0), "person_1")),
            turn=4,
        ),
        Clip("nothing", (text,), "valid", {"speaker": "2"}, (Target(CROWD, np.array([0.5, 0.5], np.float32)),)),
        Clip(
            "a",
            (text,),
            None,
            {"dialogue": "d"},
            (Target(CROWD, np.array([0.25, 0.75], np.float32), None, np.array([True, False]), np.array([1, 3])),),
            turn=3,
        ),
        Clip("never extracted", (text,)),
    )
    facts = {"provenance": {"text": {"source": "a network", "fitted_on": ["train", "valid"]}}}
    return Manifest("mine", clips, (EMOTION, CROWD, WHO), tmp_path, (), facts)


def test_every_token_is_in_its_place(tmp_path, store) -> None:
    table = clip_table(corpus(tmp_path), store)
    face = table.streams["face"]
    assert table.ids.tolist() == ["b", "nothing", "a", "never extracted"]
    assert face.clip.tolist() == [0, 0, 0]
    assert face.entity.tolist() == [0, 1, 2]
    assert face.lengths.tolist() == [1, 2, 10]  # person_1, person_2, person_10
    assert face.x[:, 0].tolist() == pytest.approx([1, 2, 2.1, *(10 + np.arange(10) / 10)])
    text = table.streams["text"]
    assert text.clip.tolist() == [0, 2]
    assert text.offsets.tolist() == [0, 1, 4]
    assert text.start_s.tolist() == [0, 0, 1, 2]
    for i, column in ((0, face), (2, text)):
        read = store.read(str(table.ids[i]), "face" if i == 0 else "text", "person_1" if i == 0 else None)
        assert np.array_equal(column.take(np.array([i])).x[: len(read)], read.x)


def test_clips_without_features_keep_their_row(tmp_path, store) -> None:
    batch = collate(clip_table(corpus(tmp_path), store), np.arange(4), modalities=("face", "text"))
    assert batch.tokens["text"].present[:, 0].tolist() == [True, False, True, False]
    assert batch.tokens["face"].present.sum(1).tolist() == [3, 0, 0, 0]


def test_answers_groups_turns_words_and_hashes(tmp_path, store) -> None:
    table = clip_table(corpus(tmp_path), store)
    emotion, crowd, who = (table.targets[name] for name in ("emotion", "crowd", "who"))
    assert (emotion.value[0], emotion.valid.tolist()) == (2, [True, False, False, False])
    assert crowd.value[[1, 2]].tolist() == [[0.5, 0.5], [0.25, 0.75]]
    assert crowd.valid.tolist() == [[False, False], [True, True], [True, False], [False, False]]
    assert crowd.votes.tolist() == [[0, 0], [0, 0], [1, 3], [0, 0]]
    assert who.value[0].tolist() == [0, 0, 1]
    assert who.valid.tolist() == [[True, False, True], [False] * 3, [False] * 3, [False] * 3]
    assert table.split.tolist() == ["train", "valid", "", ""]
    assert table.groups["speaker"].tolist() == ["1", "2", "", ""]
    assert table.dialogue[0] == table.dialogue[2] == "d"
    assert len(set(table.dialogue)) == 3
    assert table.turn.tolist() == [4, 0, 3, 0]
    assert table.texts.tolist() == ["heard this", "said this", "said this", "said this"]
    assert table.media_sha256.tolist() == ["hash-b", "hash-n", "hash-a", ""]
    assert (table.provenance["text"].source, table.provenance["text"].fitted_on) == ("a network", ("train", "valid"))
    assert (table.provenance["face"].source, table.provenance["face"].fitted_on) == ("maker@1", ())


def test_only_what_is_asked_for(tmp_path, store) -> None:
    assert list(clip_table(corpus(tmp_path), store, ("text",)).streams) == ["text"]
    with pytest.raises(ConfigError, match=r"no speech tokens; there are face, text"):
        clip_table(corpus(tmp_path), store, ("speech",))
    bare = clip_table(corpus(tmp_path), None)
    assert (dict(bare.streams), bare.media_sha256) == ({}, None)


@pytest.mark.parametrize(("width", "made_by", "said"), [(3, "maker@1", "width 2, 3"), (2, "other@1", "other@1")])
def test_tokens_of_two_kinds_are_refused(tmp_path, store, width, made_by, said) -> None:
    store.add(ClipRecord("nothing", "k", "h", {}, (row("text", None, 1.0, 1, width, made_by),)))
    with pytest.raises(StoreError, match=said):
        clip_table(corpus(tmp_path), store)
