"""Prepared scenes become a table: who the characters are, where their tokens and words go, what is left out."""

import json
from pathlib import Path

import numpy as np
import pytest

from merkit.config import override
from merkit.corpora import write_manifest
from merkit.corpora.manifest import Manifest
from merkit.corpora.scene_table import scene_table
from merkit.corpora.utterances import Said, write_utterances
from merkit.errors import ConfigError
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore
from merkit.schema import Clip, Stream, Target, TargetSpec
from merkit.systems import emotx

WORDS = ("happy", "sad", "worried", "bored")
SCENE = TargetSpec("scene_words", "multi_label", WORDS)
OWN = TargetSpec("character_words", "multi_label", WORDS, True)


def row(modality: str, entity: str | None, tokens: int, width: int, mark: float) -> Row:
    times = np.arange(tokens) * 0.5
    return Row(modality, entity, f"{modality}@1", np.full((tokens, width), mark, np.float32), times, times + 0.5,
               np.zeros(tokens, np.int32))  # fmt: skip


def target(spec: TargetSpec, words: str, entity: str | None = None) -> Target:
    return Target(spec, np.array([word in words for word in WORDS], np.float32), entity)


def prepared(folder: Path) -> tuple[Manifest, FeatureStore]:
    """Two films: in the first scene Bob is seen most, then Ann; Cid is annotated and never seen; in the third nobody is."""
    clips = (
        Clip("tt1/s1", (Stream("text", None, text="x"),), "train", {"movie": "tt1"},
             (target(SCENE, "happy sad"), target(OWN, "happy", "Ann"), target(OWN, "sad", "Bob"), target(OWN, "sad", "Cid"))),
        Clip("tt1/s2", (Stream("text", None, text="x"),), "train", {"movie": "tt1"},
             (target(SCENE, "bored"), target(OWN, "bored", "Ann"))),
        Clip("tt2/s1", (Stream("text", None, text="x"),), "valid", {"movie": "tt2"},
             (target(SCENE, "worried"), target(OWN, "worried", "Eve"))),
        Clip("tt2/s2", (Stream("text", None, text="x"),), "valid", {"movie": "tt2"},
             (target(SCENE, "happy worried"), target(OWN, "worried", "Eve"), target(OWN, "bored", "Fay"))),
    )  # fmt: skip
    manifest = Manifest("films", clips, (SCENE, OWN), folder, (), {"provenance": {"face": {"fitted_on": ["train"]}}})
    store = FeatureStore.create(folder / "features")
    store.add(ClipRecord("tt1/s1", "k", "h", {}, (row("scene", None, 3, 2, 1), row("face", "Ann", 2, 3, 10),
                                                  row("face", "Bob", 4, 3, 20), row("face", None, 9, 3, 99))))  # fmt: skip
    store.add(ClipRecord("tt1/s2", "k", "h", {}, (row("scene", None, 1, 2, 2), row("face", "Ann", 1, 3, 11))))
    store.add(ClipRecord("tt2/s1", "k", "h", {}, (row("scene", None, 1, 2, 3),)))
    store.add(ClipRecord("tt2/s2", "k", "h", {}, (row("face", "Eve", 1, 3, 30), row("face", "Fay", 1, 3, 31))))
    store.finalise()
    return manifest, store


SAID = [
    Said("tt1/s1", 0.0, 1.0, "one", "Bob"),
    Said("tt1/s1", 1.0, 2.0, "two"),
    Said("tt1/s1", 2.0, 3.0, "three", "Zoe"),
    Said("tt2/s1", 4.0, 5.0, "four", "Eve"),
]


def test_characters_are_those_who_are_seen_or_heard_most_first(tmp_path):
    manifest, store = prepared(tmp_path)
    table = scene_table(manifest, {"scene": store, "face": store}, said=SAID, spoken=np.eye(4, dtype=np.float32))
    assert table.entities.tolist() == [("Bob", "Ann", "Zoe"), ("Ann",), ("Eve",), ("Eve", "Fay")]
    face = table.streams["face"]
    assert face.clip.tolist() == [0, 0, 1, 3, 3] and face.entity.tolist() == [0, 1, 0, 0, 1]
    assert face.lengths.tolist() == [4, 2, 1, 1, 1] and 99 not in face.x
    own = table.targets["character_words"]
    assert own.value[0, :2].tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]  # Bob sad, Ann happy; Cid is nowhere
    assert own.valid.all(-1).tolist() == [
        [True, True, False, False], [True, False, False, False], [True, False, False, False], [True, True, False, False]
    ]  # fmt: skip
    assert table.streams["text"].lengths.tolist() == [3, 1] and table.streams["text"].clip.tolist() == [0, 2]
    lines = table.streams["lines"]
    assert (
        lines.x.argmax(1).tolist() == [0, 2, 3]
        and lines.entity.tolist() == [0, 2, 0]
        and lines.clip.tolist() == [0, 0, 2]
    )
    assert table.texts.tolist() == ["one two three", "", "four", ""]
    assert table.provenance["face"].fitted_on == ("train",) and table.provenance["scene"].fitted_on == ()
    few = scene_table(manifest, {"face": store}, characters=1)
    assert few.entities.tolist() == [("Bob",), ("Ann",), (), ("Eve",)]


def config(folder: Path, *changes: str) -> emotx.EmoTxConfig:
    return override(emotx.EmoTxConfig(), [f"data.root={folder}", "top_k=2", "label_source=train", *changes])


def test_the_label_set_is_chosen_when_training_begins(tmp_path):
    manifest, _ = prepared(tmp_path)
    write_manifest(manifest, tmp_path)
    changes = ("use_srt_feats=false",)
    table = emotx.load(config(tmp_path, *changes))
    # sad is annotated twice in train, bored and happy once: published, all films would have been counted
    assert table.targets["scene"].spec.labels == ("sad", "bored")
    # the first film's scenes stay; in the second film nobody who is seen has one of these but Fay
    assert table.ids.tolist() == ["tt1/s1", "tt1/s2"]
    mapping = tmp_path / "groups.json"
    mapping.write_text(json.dumps({"Up": ["happy"], "Down": ["sad", "worried", "bored"]}))
    table = emotx.load(config(tmp_path, "use_emotic_mapping=true", f"emotic_mapping_path={mapping}", *changes))
    assert table.targets["scene"].spec.labels == ("Up", "Down")
    assert table.ids.tolist() == ["tt1/s1", "tt1/s2", "tt2/s2"]
    assert table.targets["character"].value[2, :2].tolist() == [[0, 1], [0, 1]]
    assert emotx.load(config(tmp_path, *changes), split="train").split.tolist() == ["train", "train"]


def test_features_that_were_not_prepared_are_named(tmp_path):
    manifest, _ = prepared(tmp_path)
    write_manifest(manifest, tmp_path)
    for kind in ("face_emo", "scene_mvit_v1"):
        (tmp_path / "stores" / kind).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"no features face_resnet50_fer; there are face_emo"):
        emotx.load(config(tmp_path, "use_scene_feats=false"))


@pytest.mark.weights("minilm")
def test_words_are_encoded_where_no_features_are_stored(tmp_path):
    manifest, _ = prepared(tmp_path)
    write_manifest(manifest, tmp_path)
    write_utterances(SAID, tmp_path)
    table = emotx.load(config(tmp_path, "use_emotic_mapping=true"))
    assert table.streams["text"].width == 384 and table.provenance["lines"].source.startswith("minilm")
    assert table.entities[0] == ("Bob", "Ann", "Zoe")
