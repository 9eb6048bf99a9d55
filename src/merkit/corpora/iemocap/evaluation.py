"""EmoEvaluation files: what raters said of each turn of a dialogue.

A turn begins with `[start - end] <tab> name <tab> emotion <tab> [valence, activation, dominance]`. Under it stand the raters, one
a line: `C-E1: <tab> Neutral; Anger; <tab> (a remark)` for categories, `A-E1: <tab> val 3; act 2; dom 2; <tab> ()` for dimensions.
Raters `F1` and `M1` are the actors themselves; the release counts them neither in the emotion nor in the means.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merkit.corpora.iemocap.names import TurnName
from merkit.corpora.manifest import Rejected
from merkit.corpora.targets import value_target
from merkit.corpora.text_lines import read_lines
from merkit.errors import MediaError
from merkit.labels import IEMOCAP10
from merkit.schema import Target, TargetSpec

__all__ = ["DIMENSIONS", "EMOTION", "Turn", "read_evaluation"]

EMOTION = TargetSpec("emotion", "single_label", IEMOCAP10.labels)
# means over raters, each from 1 to 5; what the release calls activation is arousal
DIMENSIONS = TargetSpec("dimensions", "regression", ("valence", "arousal", "dominance"))
_CODES = ("neu", "hap", "exc", "sad", "ang", "fru", "fea", "sur", "dis", "oth")
_NO_MAJORITY = "xxx"
_NUMBER = r"\s*(-?[0-9]+(?:\.[0-9]*)?)\s*"
_TURN = re.compile(rf"\[{_NUMBER}-{_NUMBER}\]\s+(\S+)\s+(\S+)\s+\[{_NUMBER},{_NUMBER},{_NUMBER}\]")
_RATER = re.compile(r"([CA])-([EFM])\w*\s*:(.*)")


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One turn.

    Args:
        id: its name.
        name: the same, taken apart.
        start_s: seconds on the dialogue's clock.
        end_s: seconds.
        targets: `emotion` where raters agreed on one, with the votes; `dimensions`.
        line: where it begins in its file.
    """

    id: str
    name: TurnName
    start_s: float
    end_s: float
    targets: tuple[Target, ...]
    line: int


def read_evaluation(file: Path, name: str) -> tuple[list[Turn], list[Rejected]]:
    """The turns of a dialogue in order of time, and all that could not be used.

    A turn without a majority stays, with its votes and dimensions: it is context of others, and a soft label of its own.

    Args:
        file: `Ses01F_impro01.txt`.
        name: what to call the file in the list.

    Raises:
        MediaError: it cannot be read as text.
    """
    turns: dict[str, Turn] = {}
    rejected: list[Rejected] = []
    for head, raters in _blocks(read_lines(file), name, rejected):
        try:
            turn = _turn(head, raters, name, rejected)
            if turn.name.dialogue != file.stem:
                raise MediaError(f"{turn.id} belongs to another dialogue", field="TURN_NAME")
            if turn.id in turns:
                raise MediaError(f"{turn.id} stands there twice", field="TURN_NAME")
        except MediaError as error:
            rejected.append(Rejected(name, error.reason, error.field, head[0]))
            continue
        turns[turn.id] = turn
    ordered = sorted(turns.values(), key=lambda turn: (turn.start_s, turn.end_s, turn.id))
    return ordered, rejected


_Line = tuple[int, str]


def _blocks(lines: list[_Line], name: str, rejected: list[Rejected]) -> list[tuple[_Line, list[_Line]]]:
    """Each turn's first line with the lines under it."""
    blocks: list[tuple[_Line, list[_Line]]] = []
    for number, text in lines:
        if text.startswith("%"):
            continue
        if text.startswith("["):
            blocks.append(((number, text), []))
        elif blocks:
            blocks[-1][1].append((number, text))
        else:
            rejected.append(Rejected(name, f"stands before the first turn: {text[:60]!r}", None, number, "votes"))
    return blocks


def _turn(head: _Line, raters: list[_Line], name: str, rejected: list[Rejected]) -> Turn:
    line, text = head
    found = _TURN.fullmatch(text)
    if found is None:
        raise MediaError(f"not like [start - end] name emotion [V, A, D]: {text[:80]!r}")
    turn, code = found[3], found[4].lower()
    parts = TurnName.of(turn)
    start_s, end_s = float(found[1]), float(found[2])
    if not 0 <= start_s < end_s:
        raise MediaError(f"{turn} begins at {start_s:g} s and ends at {end_s:g} s", field="START_TIME - END_TIME")
    votes = _votes(turn, raters, name, rejected)
    known = np.ones(len(EMOTION.labels), bool)
    value = np.array(0, np.int64)
    if code in _CODES:
        value = np.array(IEMOCAP10.index(code), np.int64)
    else:
        known[:] = False
        why = "raters agree on no emotion (xxx)" if code == _NO_MAJORITY else f"unknown emotion {code[:20]!r}"
        rejected.append(Rejected(turn, why, "EMOTION", line, "emotion"))
    emotion = Target(EMOTION, value, valid=known, votes=votes if votes.any() else None)
    means: dict[str, float | None] = {}
    for label, words in zip(DIMENSIONS.labels, found.groups()[4:], strict=True):
        means[label] = float(words)
        if not 1 <= float(words) <= 5:
            means[label] = None
            rejected.append(Rejected(turn, f"{label} {float(words):g} is not from 1 to 5", "V, A, D", line, label))
    return Turn(turn, parts, start_s, end_s, (emotion, value_target(DIMENSIONS, means)), line)


def _votes(turn: str, raters: list[_Line], name: str, rejected: list[Rejected]) -> np.ndarray:
    """`(K,)` how many raters named each emotion, the actors left out; a rater who named two counts for both."""
    votes = np.zeros(len(EMOTION.labels), np.float32)
    for line, text in raters:
        found = _RATER.fullmatch(text)
        if found is None:
            rejected.append(Rejected(turn, f"not a rater's line: {text[:60]!r}", None, line, "votes"))
            continue
        if found[1] != "C" or found[2] != "E":
            continue
        words = {word.strip().lower() for word in found[3].partition("(")[0].split(";")} - {""}
        for word in sorted(words):
            try:
                votes[IEMOCAP10.index(word)] += 1
            except KeyError:
                rejected.append(Rejected(turn, f"a rater's unknown emotion {word[:40]!r}", "C-E", line, "votes"))
    return votes
