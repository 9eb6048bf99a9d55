"""Scenes made of dialogues, checked against loops over the utterances."""

import numpy as np
import pytest

from merkit.data.scenes import mean_tokens, scenes_of_dialogues
from merkit.data.table import ClipTable, TargetColumn, TokenColumn
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

SPEC = TargetSpec("emotion", "single_label", ("joy", "anger", "neutral"))
# split, dialogue, turn, speaker, label (-1 = not known), words
SAID = (
    ("valid", "d1", 1, "Ann", 0, "four words are here"),
    ("valid", "d1", 0, "Bob", 1, "two words"),
    ("train", "d1", 0, "Cid", 2, "one"),
    ("train", "d1", 1, "Ann & Bob", 0, "both say this"),
    ("train", "d1", 2, "Dan", 1, ""),
    ("train", "d1", 3, "Bob", -1, "nobody rated this"),
    ("train", "d2", 5, "Eve", 2, "alone here"),
)


def said(with_text: bool = True) -> ClipTable:
    n = len(SAID)
    present = np.array([bool(row[5]) for row in SAID])
    label = np.array([row[4] for row in SAID])
    return ClipTable(
        "made",
        np.array([f"u{i}" for i in range(n)]),
        np.array([row[0] for row in SAID]),
        {"text": TokenColumn.one_per_clip(np.arange(n)[:, None] * np.ones((1, 2)), present)} if with_text else {},
        {"emotion": TargetColumn(SPEC, np.maximum(label, 0), label >= 0)},
        {"character": np.array([row[3] for row in SAID])},
        np.array([row[1] for row in SAID]),
        np.array([row[2] for row in SAID]),
        np.array([row[5] for row in SAID]),
    )


def test_who_showed_what():
    table = scenes_of_dialogues(said(), characters=3)
    assert list(zip(table.split, table.ids, strict=True)) == [("train", "d1"), ("train", "d2"), ("valid", "d1")]
    # Bob has two lines, Ann, Cid and Dan one each: the first two of them by name
    assert table.entities.tolist() == [("Bob", "Ann", "Cid"), ("Eve",), ("Ann", "Bob")]
    assert table.targets["scene"].value.tolist() == [[1, 1, 1], [0, 0, 1], [1, 1, 0]]
    own = table.targets["character"]
    assert own.value[0].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert own.value[2].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert own.valid.all(-1).tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    assert table.texts[2] == "two words four words are here"
    assert table.groups["dialogue"].tolist() == ["d1", "d2", "d1"] and table.dialogue is None


def test_tokens_follow_their_speakers_in_order_of_time():
    table = scenes_of_dialogues(said(), characters=3)
    text, lines = table.streams["text"], table.streams["lines"]
    assert text.clip.tolist() == [0, 1, 2] and text.offsets.tolist() == [0, 3, 4, 6]
    assert text.x[:, 0].tolist() == [2, 3, 5, 6, 1, 0]  # Dan's empty line has no token; turn 0 comes before turn 1
    assert text.start_s.tolist() == [0.0, 0.4, 1.6, 0.0, 0.0, 0.8]
    found = {
        (int(clip), int(entity)): lines.x[a:b, 0].tolist()
        for clip, entity, a, b in zip(lines.clip, lines.entity, lines.offsets, lines.offsets[1:], strict=False)
    }
    assert found == {(0, 0): [3, 5], (0, 1): [3], (0, 2): [2], (1, 0): [6], (2, 0): [0], (2, 1): [1]}
    assert lines.per_entity and not text.per_entity


def test_labels_of_characters_beyond_the_limit_still_belong_to_the_scene():
    table = scenes_of_dialogues(said(), characters=1)
    assert table.entities.tolist() == [("Bob",), ("Eve",), ("Ann",)]
    assert table.targets["scene"].value[0].tolist() == [1, 1, 1]
    assert table.targets["character"].value.shape == (3, 1, 3)


def test_what_is_missing_is_named():
    with pytest.raises(ConfigError, match="text features"):
        scenes_of_dialogues(said(with_text=False))
    with pytest.raises(ConfigError, match="single-label target 'mood'"):
        scenes_of_dialogues(said(), target="mood")
    table = said()
    with pytest.raises(ConfigError, match="named speakers"):
        scenes_of_dialogues(ClipTable("t", table.ids, table.split, table.streams, table.targets))


def test_mean_of_tokens_is_the_mean_of_each_sequence():
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(n, 3)) if n else None for n in (4, 0, 1, 7)]
    found = mean_tokens(TokenColumn.of_sequences(sequences))
    np.testing.assert_allclose(found.x, [s.mean(0) for s in sequences if s is not None], rtol=1e-5)
    assert found.clip.tolist() == [0, 2, 3] and found.lengths.tolist() == [1, 1, 1]
