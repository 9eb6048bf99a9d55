"""Names and questions of KEMDy19 and KEMDy20: segments, label space, folds, what is known to be unusable."""

import re
from dataclasses import dataclass

import numpy as np

from merkit.errors import MediaError
from merkit.labels import LabelSpace
from merkit.schema import TargetSpec

__all__ = [
    "AFFECT",
    "CENTROIDS",
    "EMOTION",
    "KEMDY7",
    "LISTENER_AFFECT",
    "LISTENER_EMOTION",
    "SESSIONS",
    "SPREAD",
    "UNUSABLE",
    "SegmentName",
    "fold_of",
]

# `disqust` is how KEMDy20 spells it; long and Korean words are those of the pre-training set
KEMDY7 = LabelSpace(
    "kemdy7",
    ("surprise", "fear", "angry", "neutral", "happy", "sad", "disgust"),
    {
        "disqust": "disgust",
        "surprised": "surprise",
        "fearful": "fear",
        "anger": "angry",
        "happiness": "happy",
        "joy": "happy",
        "sadness": "sad",
        "놀람": "surprise",
        "당황": "surprise",
        "공포": "fear",
        "불안": "fear",
        "분노": "angry",
        "중립": "neutral",
        "행복": "happy",
        "기쁨": "happy",
        "슬픔": "sad",
        "혐오": "disgust",
    },
)
EMOTION = TargetSpec("emotion", "single_label", KEMDY7.labels)
# means over raters, from 1 to 5
AFFECT = TargetSpec("affect", "regression", ("valence", "arousal"))
# how far raters are apart: standard deviation over those who answered (divided by their number)
SPREAD = TargetSpec("affect_spread", "regression", ("valence_spread", "arousal_spread"))
# the state of who listens meanwhile, as the same raters saw it; KEMDy19 alone asks for it
LISTENER_EMOTION = TargetSpec("listener_emotion", "single_label", KEMDY7.labels)
LISTENER_AFFECT = TargetSpec("listener_affect", "regression", ("valence", "arousal"))

SESSIONS = {"kemdy19": 20, "kemdy20": 40}
_FOLDS = 5

# Valence and arousal of each class as published, for ties. They were counted over all sessions, those of the fold that is
# judged included: for a fold without a look at it, take means over its training clips.
CENTROIDS = {
    "kemdy19": np.array(
        [
            [2.638, 3.638],
            [1.739, 3.638],
            [1.803, 3.800],
            [2.971, 2.981],
            [4.314, 3.863],
            [1.896, 2.612],
            [2.205, 3.124],
        ]
    ),
    "kemdy20": np.array(
        [
            [3.094, 3.381],
            [2.391, 3.077],
            [2.221, 3.569],
            [2.996, 3.191],
            [3.839, 3.602],
            [2.508, 2.918],
            [2.203, 3.293],
        ]
    ),
}

# dialogue -> why nothing of it is used
UNUSABLE = {
    "Sess01_impro03": "skin conductance and temperature are missing",
    "Sess01_impro04": "skin conductance and temperature are missing",
    "Sess03_script04": "left out by the published system",
    "Sess06_script02": "left out by the published system",
    "Sess07_script02": "left out by the published system",
}

_ID19 = re.compile(r"Sess(\d{2})_((?:script|impro)\d{2})_(([MF])\d{3,4})")
_ID20 = re.compile(r"Sess(\d{2})_((?:script|impro)\d{2})_(User\d{3}([MF]))_(\d{3,4})")


@dataclass(frozen=True, slots=True)
class SegmentName:
    """The id of a segment, taken apart.

    Args:
        id: e.g. `Sess01_impro02_F003`, or in KEMDy20 `Sess01_script01_User002M_001`.
        number: of the session, from 1.
        script: which scene or talk, e.g. `impro02`.
        speaker: `Sess01F`, or in KEMDy20 `User002M`.
        sex: F or M, as the id says.

    Example:
        >>> name = SegmentName.of("Sess01_impro02_F003")
        >>> name.session, name.dialogue, name.speaker, name.sound
        ('Sess01', 'Sess01_impro02', 'Sess01F', 'wav/Session01/Sess01_impro02/Sess01_impro02_F003.wav')
        >>> SegmentName.of("Sess01_script01_User002M_001").sound
        'wav/Session01/Sess01_script01_User002M_001.wav'
    """

    id: str
    number: int
    script: str
    speaker: str
    sex: str

    @classmethod
    def of(cls, segment: str) -> "SegmentName":
        """Takes an id of either corpus apart.

        Raises:
            MediaError: it is none.
        """
        if found := _ID19.fullmatch(segment):
            return cls(segment, int(found[1]), found[2], f"Sess{found[1]}{found[4]}", found[4])
        if found := _ID20.fullmatch(segment):
            return cls(segment, int(found[1]), found[2], found[3], found[4])
        raise MediaError(
            f"{segment[:80]!r} is not like Sess01_impro01_F001 or Sess01_script01_User001F_001", field="Segment ID"
        )

    @property
    def session(self) -> str:
        """`Sess01` …"""
        return f"Sess{self.number:02d}"

    @property
    def dialogue(self) -> str:
        """Session and script: one talk of two people."""
        return f"{self.session}_{self.script}"

    @property
    def sound(self) -> str:
        """The segment's recording, relative to the corpus; its words lie beside it as `.txt`."""
        folder = f"wav/Session{self.number:02d}"
        return f"{folder}/{self.id}.wav" if "User" in self.id else f"{folder}/{self.dialogue}/{self.id}.wav"


def fold_of(corpus: str, session: int) -> int:
    """Fold of a session, from 0 to 4: contiguous ranges of the sessions that were published.

    A tree that lacks sessions keeps the folds of the others.

    Raises:
        MediaError: the corpus has no such session.

    Example:
        >>> [fold_of("kemdy19", session) for session in (1, 4, 5, 20)], fold_of("kemdy20", 9)
        ([0, 0, 1, 4], 1)
    """
    last = SESSIONS[corpus]
    if not 1 <= session <= last:
        raise MediaError(f"{corpus} has sessions 1 to {last}, not {session}", field="Segment ID")
    return (session - 1) * _FOLDS // last
