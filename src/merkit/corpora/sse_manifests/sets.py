"""The four data sets of the lists: how names are made, and which answers the label files hold."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from merkit.corpora.iemocap.evaluation import EMOTION as IEMOCAP_EMOTION
from merkit.corpora.rows import Row
from merkit.corpora.targets import class_target, value_target
from merkit.errors import MediaError
from merkit.labels import EKMAN7, IEMOCAP10, LabelSpace
from merkit.schema import Target, TargetSpec

__all__ = ["SETS", "Name", "SetOfClips"]

MELD_EMOTION = TargetSpec("emotion", "single_label", EKMAN7.labels)
SENTIMENT = TargetSpec("sentiment", "regression", ("sentiment",))
SENTIMENT7 = TargetSpec("sentiment7", "single_label", ("-3", "-2", "-1", "0", "1", "2", "3"))
SENTIMENT2 = TargetSpec("sentiment2", "single_label", ("negative", "positive"))
_POLES = {"0": "negative", "1": "positive"}
_DECIMALS = 4  # as the published code rounds them


@dataclass(frozen=True, slots=True)
class Name:
    """What the name of a clip says.

    Args:
        id: of the clip, distinct over the splits.
        groups: that it belongs to.
        order: where it comes within the set.
        turn: place within its dialogue, if it is of one.
        label: the answer, where the name holds it.
    """

    id: str
    groups: Mapping[str, str]
    order: tuple[int | str, ...]
    turn: int | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class SetOfClips:
    """One of the sets.

    Args:
        folders: what its folder is called.
        specs: what its label files answer.
        name: `(stem, split) -> Name`; raises MediaError for a name of another set.
        targets: `(row, Name) -> targets` of a row of the label file, None where there is no file; raises MediaError.
        across: the same name in two splits is the same clip.
    """

    folders: tuple[str, ...]
    specs: tuple[TargetSpec, ...]
    name: Callable[[str, str], Name]
    targets: Callable[[Row | None, Name], tuple[Target, ...]]
    across: bool = True


def _iemocap_name(stem: str, split: str) -> Name:
    found = re.fullmatch(r"([0-9]{1,5})_s_([1-5])_([a-z]{3})", stem)
    if found is None:
        raise MediaError(f"the name {stem[:60]!r} is not like 38_s_5_sad: number, session, label", field="name")
    session = f"Ses0{found[2]}"
    return Name(stem, {"session": session}, (session, int(found[1]), found[3]), label=found[3])


def _iemocap_targets(row: Row | None, name: Name) -> tuple[Target, ...]:
    word = name.label if row is None else row.text("Emotion").lower()
    if name.label != word:
        raise MediaError(f"the label file says {word!r}, the name {name.label!r}", field="Emotion")
    return (class_target(IEMOCAP_EMOTION, _label(IEMOCAP10, word or "")),)


def _meld_name(stem: str, split: str) -> Name:
    found = re.fullmatch(r"dia([0-9]{1,6})_utt([0-9]{1,6})", stem)
    if found is None:
        raise MediaError(f"the name {stem[:60]!r} is not like dia0_utt0", field="name")
    # each split counts its dialogues from 0
    dialogue = f"{split}_dia{int(found[1])}"
    turn = int(found[2])
    return Name(f"{dialogue}_utt{turn}", {"dialogue": dialogue}, (int(found[1]), turn), turn)


def _meld_targets(row: Row | None, name: Name) -> tuple[Target, ...]:
    return (class_target(MELD_EMOTION, _label(EKMAN7, _needed(row).text("Emotion"))),)


def _video_name(stem: str, split: str) -> Name:
    found = re.fullmatch(r"(.+)_([0-9]{1,6})", stem)
    if found is None:
        raise MediaError(f"the name {stem[:60]!r} is not like bOL9jKpeJRs_1: video and number", field="name")
    return Name(stem, {"dialogue": found[1]}, (found[1], int(found[2])), int(found[2]))


def _video_targets(row: Row | None, name: Name) -> tuple[Target, ...]:
    row = _needed(row)
    if "sentiment_score" in row.cells:
        score = row.number("sentiment_score")
        if score is None or not -3.001 <= score <= 3.001:
            raise MediaError(f"{row.text('sentiment_score')!r} is not from -3 to 3", field="sentiment_score")
        return (value_target(SENTIMENT, {"sentiment": round(score, _DECIMALS)}),)
    seven, pole = row.text("SEVEN"), row.text("TWO").lower()
    if seven not in SENTIMENT7.labels:
        raise MediaError(f"{seven[:20]!r} is not a whole number from -3 to 3", field="SEVEN")
    targets = [class_target(SENTIMENT7, seven)]
    if pole in _POLES:
        targets.append(class_target(SENTIMENT2, _POLES[pole]))
    elif pole != "non":  # neither
        raise MediaError(f"{pole[:20]!r} is none of 0, 1, non", field="TWO")
    return tuple(targets)


def _needed(row: Row | None) -> Row:
    if row is None:
        raise MediaError("there is no label file", field="FileName")
    return row


def _label(space: LabelSpace, word: str) -> str:
    try:
        return space.labels[space.index(word)]
    except KeyError:
        raise MediaError(f"unknown label {word[:20]!r}", field="Emotion") from None


_VIDEO_SPECS = (SENTIMENT, SENTIMENT7, SENTIMENT2)
SETS: Mapping[str, SetOfClips] = {
    "iemocap": SetOfClips(("iemocap", "emocap"), (IEMOCAP_EMOTION,), _iemocap_name, _iemocap_targets),
    "meld": SetOfClips(("meld",), (MELD_EMOTION,), _meld_name, _meld_targets, across=False),
    "mosi": SetOfClips(("mosi",), _VIDEO_SPECS, _video_name, _video_targets),
    "mosei": SetOfClips(("mosei",), _VIDEO_SPECS, _video_name, _video_targets),
}
