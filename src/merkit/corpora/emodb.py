"""EmoDB (Berlin Database of Emotional Speech): ten actors, ten sentences, seven emotions."""

import re
from pathlib import Path, PurePosixPath

from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.targets import class_target
from merkit.errors import MediaError
from merkit.labels import EMODB7
from merkit.schema import Clip, Stream, TargetSpec

__all__ = ["EMODB"]

EMOTION = TargetSpec("emotion", "single_label", EMODB7.labels)
_NAME = re.compile(r"(\d{2})([ab]\d{2})([WLEAFTN])([a-z])")
# number -> (sex, age), from the data set's own page
_SPEAKERS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}


def _read(root: Root, out: Path | None) -> Found:
    clips: dict[str, Clip] = {}
    rejected = []
    for name in root.walk(".wav"):
        item = PurePosixPath(name).stem
        try:
            path = root.file(name)
            parts = _NAME.fullmatch(item)
            if parts is None:
                raise MediaError("the name is not speaker, text, emotion, version, e.g. 03a01Fa", field="file name")
            if parts[1] not in _SPEAKERS:
                raise MediaError(f"there is no speaker {parts[1]}", field="file name")
            if item in clips:
                raise MediaError("the same recording is there twice", field="path")
        except MediaError as error:
            rejected.append(Rejected(name, error.reason, error.field))
            continue
        target = class_target(EMOTION, EMODB7.labels[EMODB7.index(parts[3])])
        clips[item] = Clip(item, (Stream("speech", path),), groups={"speaker": parts[1]}, targets=(target,))
    there = sorted({clip.groups["speaker"] for clip in clips.values()})
    facts = {speaker: {"sex": _SPEAKERS[speaker][0], "age": _SPEAKERS[speaker][1]} for speaker in there}
    return Found([clips[item] for item in sorted(clips)], (EMOTION,), rejected, {"speakers": facts})


EMODB = Corpus(
    name="emodb",
    title="Berlin Database of Emotional Speech (EmoDB)",
    licence="free to use with citation; newer copies (audEERING, Zenodo 7447302) state CC0",
    obtain="http://emodb.bilderbar.info/download (download.zip), unpacked",
    citation="F. Burkhardt et al. Interspeech 2005, pp. 1517–1520",
    tree="""\
ROOT/wav/03a01Fa.wav
name: speaker 03, text a01, emotion F, version a""",
    modalities=("speech",),
    labels="emotion, one of 7: " + ", ".join(EMODB7.labels) + " (acted; recordings that most listeners recognised)",
    split="none; split by speaker",
    people="ten German actors, five women and five men, recorded with consent.",
    reader=_read,
    notes=(
        "535 recordings. Copies that were cut or padded to one length are not comparable with published figures.",
        "Sentences are the same for all emotions, so the words carry nothing and are not given as a modality.",
    ),
)
