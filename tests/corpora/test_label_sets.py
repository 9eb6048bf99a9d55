"""Which words turn which label on: against loops over sets, for every kind of label set and shape of target."""

import json

import numpy as np
import pytest

from merkit.corpora.label_sets import LabelSet, read_mapping
from merkit.data.columns import TargetColumn
from merkit.errors import ConfigError
from merkit.labels import EMOTIC26, MOVIEGRAPHS_TOP10, MOVIEGRAPHS_TOP25
from merkit.schema import TargetSpec

WORDS = ("happy", "worried", "calm", "amused", "nervous", "sneezing", "shocked")


def column(value: np.ndarray, valid: np.ndarray | None = None) -> TargetColumn:
    spec = TargetSpec("words", "multi_label", WORDS, value.ndim == 3)
    return TargetColumn(spec, value.astype(np.float32), np.ones(value.shape, bool) if valid is None else valid)


def test_the_published_lists() -> None:
    assert len(MOVIEGRAPHS_TOP25) == 25
    assert MOVIEGRAPHS_TOP10.labels == MOVIEGRAPHS_TOP25.labels[:10]
    assert MOVIEGRAPHS_TOP25.labels[:4] == ("happy", "worried", "calm", "excited")
    assert MOVIEGRAPHS_TOP25.labels[9:12] == ("surprise", "friendly", "angry")
    assert MOVIEGRAPHS_TOP25.labels[-1] == "alarmed"
    assert EMOTIC26.labels == tuple(read_mapping())
    assert EMOTIC26.index("Doubt/Confusion") == 9
    with pytest.raises(ConfigError, match="10 or 25 words, not 12"):
        LabelSet.published_top(12, WORDS)


def test_emotic_holds_181_words_of_which_the_top_25_have_a_group_each() -> None:
    groups = read_mapping()
    words = [word for group in groups.values() for word in group]
    assert (len(groups), len(words), len(set(words))) == (26, 181, 181)
    assert all(word == word.strip().lower() for word in words)
    # each of the published 25 is in a group, in the one that the words themselves suggest
    of = {word: group for group, members in groups.items() for word in members}
    assert {word: of[word] for word in MOVIEGRAPHS_TOP25.labels[:6]} == {
        "happy": "Happiness",
        "worried": "Disquietment",
        "calm": "Peace",
        "excited": "Excitement",
        "quiet": "Peace",
        "amused": "Happiness",
    }
    assert set(MOVIEGRAPHS_TOP25.labels) - set(of) == {"polite", "honest", "helpful"}


@pytest.mark.parametrize("entities", [0, 3])
@pytest.mark.parametrize("which", ["top", "train", "emotic"])
def test_a_label_is_on_where_any_of_its_words_is(which: str, entities: int) -> None:
    rng = np.random.default_rng(0)
    shape = (40, entities, len(WORDS)) if entities else (40, len(WORDS))
    value = rng.random(shape) < 0.3
    chosen = {
        "top": LabelSet.published_top(10, WORDS),
        "train": LabelSet.top_of_train(3, WORDS, np.array([5, 0, 7, 5, 1, 0, 2])),
        "emotic": LabelSet.emotic(WORDS),
    }[which]
    groups = {"top": {w: {w} for w in chosen.labels}, "train": {w: {w} for w in ("calm", "amused", "happy")}}
    of = groups.get(which) or {group: set(words) for group, words in read_mapping().items()}
    assert chosen.labels == tuple(of)
    got = chosen.apply(column(value), "asked")
    assert got.spec == TargetSpec("asked", "multi_label", chosen.labels, bool(entities))
    assert got.valid.all()
    assert got.value.dtype == np.float32
    for place in np.ndindex(shape[:-1]):
        there = {word for word, on in zip(WORDS, value[place], strict=True) if on}
        assert got.value[place].tolist() == [float(bool(there & of[label])) for label in chosen.labels]


def test_what_is_not_known_of_a_word_is_not_known_of_its_label_unless_another_word_settles_it() -> None:
    mapping = {"Joy": ["happy", "amused"], "Peace": ["calm"], "Gone": ["absent"]}
    chosen = LabelSet.emotic(WORDS, mapping)
    value, valid = np.zeros((4, 7)), np.ones((4, 7), bool)
    value[0, 3], valid[0, 0] = 1, False  # amused is on, happy unknown: Joy is on
    valid[1, 0] = False  # amused is off, happy unknown: Joy is not known
    value[2, 0], valid[2, 0] = 1, False  # what an unknown word says does not count
    valid[3] = False  # nobody there
    got = chosen.apply(column(value, valid), "asked")
    assert got.value.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert got.valid.tolist() == [[True, True, True], [False, True, True], [False, True, True], [False] * 3]


def test_top_of_train_asks_training_alone_and_ties_go_by_name() -> None:
    counts = np.array([2, 2, 9, 2, 0, 0, 0])
    assert LabelSet.top_of_train(3, WORDS, counts).labels == ("calm", "amused", "happy")
    back = LabelSet.top_of_train(3, WORDS[::-1], counts[::-1])
    assert back.labels == ("calm", "amused", "happy")
    assert [WORDS[::-1][w] for w in back.matrix.argmax(0)] == list(back.labels)
    with pytest.raises(ConfigError, match="5 labels were asked for; training has 4 words"):
        LabelSet.top_of_train(5, WORDS, counts)
    with pytest.raises(ConfigError, match="7 words need as many counts"):
        LabelSet.top_of_train(2, WORDS, counts[:3])


def test_a_mapping_of_ones_own(tmp_path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"Up": ["Happy ", "amused"], "Down": ["worried"]}), "utf-8")
    chosen = LabelSet.emotic(WORDS, file)
    assert chosen.labels == ("Up", "Down")
    assert np.argwhere(chosen.matrix).tolist() == [[0, 0], [1, 1], [3, 0]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"A": ["happy"], "B": ["Happy"]}', "'happy' stands in A and B"),
        ('{"A": ["happy", "happy"]}', "'happy' stands in A, twice"),
        ('{"A": ["happy"], "A": ["calm"]}', "group 'A' is there twice"),
        ('{"A": "happy"}', "A: must be a list of words"),
        ('{"A": []}', "A: must be a list of words"),
        ('{"A": [3]}', "A: 3 is not a word"),
        ('{" ": ["happy"]}', "a group has no name"),
        ("{}", "at least one group"),
        ('["happy"]', "must be an object"),
        ("{", "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ('{"A": ["unheard"]}', "none of the mapping's 1 words is among the corpus's 7"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused_in_words(tmp_path, text: str, reason: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=reason):
        LabelSet.emotic(WORDS, file)


def test_no_file_and_other_words_are_errors(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.json"):
        read_mapping(tmp_path / "nowhere.json")
    with pytest.raises(ConfigError, match="is not of the label set's 7 words"):
        LabelSet.emotic(WORDS).apply(column(np.zeros((2, 7))).__class__(
            TargetSpec("w", "multi_label", WORDS[:3]), np.zeros((2, 3)), np.ones((2, 3), bool)), "asked")  # fmt: skip
