"""Label spaces are what the corpora publish; every alias leads to a label, and nothing is in two places."""

import pytest

from merkit.labels import (
    CREMA_D6,
    EMODB7,
    GOEMOTIONS28,
    IEMOCAP4,
    IEMOCAP6,
    LABEL_SPACES,
    RAVDESS8,
    LabelSpace,
)


@pytest.mark.parametrize("space", LABEL_SPACES.values(), ids=list(LABEL_SPACES))
def test_aliases_lead_to_labels_and_shadow_none(space: LabelSpace) -> None:
    assert len(set(space.labels)) == len(space) > 0
    for word, label in space.aliases.items():
        assert label in space.labels, word
        assert word not in space.labels, f"{word} is a label of its own"
        assert word == word.lower().strip()
        assert space.index(f" {word.upper()} ") == space.labels.index(label)
    with pytest.raises(KeyError, match="no place"):
        space.index("no such feeling")


def test_sizes_and_orders_as_published() -> None:
    assert {name: len(space) for name, space in LABEL_SPACES.items()} == {
        "ekman7": 7,
        "iemocap4": 4,
        "iemocap6": 6,
        "iemocap10": 10,
        "goemotions28": 28,
        "ravdess8": 8,
        "crema-d6": 6,
        "emodb7": 7,
        "emorynlp7": 7,
        "meld-sentiment3": 3,
        "wesad3": 3,
        "moviegraphs-top10": 10,
        "moviegraphs-top25": 25,
        "emotic26": 26,
        "sentiment": 1,
        "valence-arousal": 2,
    }
    # emotions.txt begins and ends so, and is in alphabetical order but for neutral
    assert GOEMOTIONS28.labels[:27] == tuple(sorted(GOEMOTIONS28.labels[:27]))
    assert (GOEMOTIONS28.labels[0], GOEMOTIONS28.labels[27]) == ("admiration", "neutral")
    assert RAVDESS8.labels[4] == "angry"  # code 05
    assert [CREMA_D6.labels[CREMA_D6.index(letter)] for letter in "ADFHNS"] == list(CREMA_D6.labels)
    assert [EMODB7.labels[EMODB7.index(letter)] for letter in "WLEAFTN"] == list(EMODB7.labels)


def test_excitement_is_happiness_in_four_classes_and_itself_in_six() -> None:
    assert IEMOCAP4.labels[IEMOCAP4.index("exc")] == "happy"
    assert IEMOCAP6.labels[IEMOCAP6.index("exc")] == "excited"
    assert IEMOCAP6.labels[IEMOCAP6.index("fru")] == "frustrated"
    with pytest.raises(KeyError):
        IEMOCAP4.index("fru")
