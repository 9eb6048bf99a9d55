"""What the challenge's file names say: an id, and for training clips the three answers of the raters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from merkit.errors import MediaError
from merkit.schema import Target, TargetSpec

__all__ = ["CODES", "EMOTION", "FACE_EMOTION", "LABELS", "SPECS", "SPEECH_EMOTION", "ClipName", "file_id_of"]

CODES: Mapping[str, str] = MappingProxyType(
    {
        "hap": "happy",
        "ang": "angry",
        "dis": "disgust",
        "fea": "fear",
        "sad": "sad",
        "neu": "neutral",
        "sur": "surprise",
    }
)
"""Code in file names and submissions -> label, in the order of the published class numbers 0 to 6."""

LABELS = tuple(CODES.values())
EMOTION = TargetSpec("emotion", "single_label", LABELS)
"""What raters said who saw and heard the clip: the challenge's question."""
FACE_EMOTION = TargetSpec("face_emotion", "single_label", LABELS)
"""What they said who saw the face alone."""
SPEECH_EMOTION = TargetSpec("speech_emotion", "single_label", LABELS)
"""What they said who heard the voice alone."""
SPECS = (EMOTION, FACE_EMOTION, SPEECH_EMOTION)

_ID = re.compile(r"\d{1,12}")
_FIELDS = 3


@dataclass(frozen=True, slots=True)
class ClipName:
    """The stem of a clip's file.

    Args:
        stem: as it stands.
        id: its first field, digits, zeros in front included: the name of its word vectors.
        targets: the integrated, face and speech answer; none for test clips.
    """

    stem: str
    id: str
    targets: tuple[Target, ...] = ()

    @property
    def file_id(self) -> int:
        """The id as submission templates write it."""
        return int(self.id)

    @classmethod
    def of(cls, stem: str, labelled: bool) -> "ClipName":
        """Parts a stem: `<id>-…-<integrated>-<face>-<speech>`, the last three only where clips are labelled.

        A label is a code, its English word or its number: `hap`, `happy` and `0` are one.

        Raises:
            MediaError: the name is not of this form; it says which part.

        Example:
            >>> name = ClipName.of("00042-31-f-hap-neu-0", labelled=True)
            >>> name.file_id, [(t.spec.name, LABELS[int(t.value)]) for t in name.targets]
            (42, [('emotion', 'happy'), ('face_emotion', 'neutral'), ('speech_emotion', 'happy')])
            >>> ClipName.of("00042-31-f", labelled=False).id
            '00042'
        """
        fields = stem.split("-")
        if not _ID.fullmatch(fields[0]):
            raise MediaError(f"the name must begin with a number, not {fields[0]!r}", field="file name")
        if not labelled:
            return cls(stem, fields[0])
        if len(fields) <= _FIELDS:
            raise MediaError(
                "the name must end in three labels, <integrated>-<face>-<speech>", path=None, field="file name"
            )
        targets = [
            Target(spec, np.array(_class_of(word, spec.name), np.int64))
            for spec, word in zip(SPECS, fields[-_FIELDS:], strict=True)
        ]
        return cls(stem, fields[0], tuple(targets))


def _class_of(word: str, question: str) -> int:
    word = word.strip().lower()
    known = [*CODES, *CODES.values(), *map(str, range(len(LABELS)))]
    if word not in known:
        raise MediaError(
            f"{question} is {word!r}, which is none of {', '.join(CODES)} (or 0 to {len(LABELS) - 1})",
            field="file name",
        )
    return known.index(word) % len(LABELS)


def file_id_of(clip_id: str) -> int:
    """The FileID of a submission template that a test clip of a prepared folder answers.

    Raises:
        ValueError: the clip is none of the challenge.

    Example:
        >>> file_id_of("test3/00012")
        12
    """
    number = clip_id.rpartition("/")[2]
    if not _ID.fullmatch(number):
        raise ValueError(f"{clip_id}: its id does not end in a number, so no template can name it")
    return int(number)
