"""CREMA-D: 91 actors, 12 sentences, six emotions, and what crowds saw in voice, in face, and in both."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from merkit.corpora.corpus import Corpus, Found, KnownBad
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.rows import Row, read_table
from merkit.corpora.targets import class_target, share_target, vote_target
from merkit.errors import MediaError
from merkit.labels import CREMA_D6
from merkit.schema import Clip, Stream, Target, TargetSpec

__all__ = ["CREMA_D"]

EMOTION = TargetSpec("emotion", "single_label", CREMA_D6.labels)
# what raters were given, in the order of the hundred thousands of a row's number
VOTES = tuple(TargetSpec(name, "soft_label", CREMA_D6.labels) for name in ("voice", "face", "multimodal"))
_LETTERS = ("A", "D", "F", "H", "N", "S")
_NAME = re.compile(r"(\d{4})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX?)")
_FOLDERS = ("AudioWAV", "VideoFlash")
# clones from before 2022 (CREMA-D#6)
_RENAMED = {"1040_ITH_SAD_X": "1040_ITH_SAD_XX"}
_CARRIES = {"AudioWAV": "speech", "VideoFlash": "face, scene"}
# (recording, folder) -> why that file cannot be used (CREMA-D#8)
_KNOWN_BAD = {
    ("1076_MTI_SAD_XX", "AudioWAV"): "no audio signal",
    ("1076_MTI_SAD_XX", "VideoFlash"): "no face and no sound",
    ("1064_TIE_SAD_XX", "VideoFlash"): "no duration",
    ("1064_IEO_DIS_MD", "VideoFlash"): "runs for a minute, over several emotions",
}


def _read(root: Root, out: Path | None) -> Found:
    rejected: list[Rejected] = []
    there = [b for b in ("", "CREMA-D/") for folder in _FOLDERS if (root.path / b / folder).is_dir()]
    base = there[0] if there else ""
    files: dict[str, dict[str, Path]] = {}
    for name in root.walk(".wav", ".flv"):
        folder, _, file = name.removeprefix(base).rpartition("/")
        if folder not in _FOLDERS:
            continue
        item = _RENAMED.get(PurePosixPath(file).stem, PurePosixPath(file).stem)
        try:
            path = root.file(name)
            if not _NAME.fullmatch(item):
                raise MediaError("the name is not like 1001_DFA_ANG_XX", field="file name")
            if why := _KNOWN_BAD.get((item, folder)):
                rejected.append(Rejected(item, f"known to be bad: {why}", what=_CARRIES[folder]))
                continue
        except MediaError as error:
            rejected.append(Rejected(name, error.reason, error.field))
            continue
        files.setdefault(item, {})[folder] = path
    votes = _votes(root, base, rejected)
    clips = []
    for item in sorted(files):
        parts = _NAME.fullmatch(item)
        assert parts is not None
        video, voice = files[item].get("VideoFlash"), files[item].get("AudioWAV")
        streams = [] if video is None else [Stream("face", video), Stream("scene", video)]
        voice = voice or video
        if voice is not None:
            streams.append(Stream("speech", voice))
        acted = class_target(EMOTION, CREMA_D6.labels[CREMA_D6.index(parts[3])])
        rated = votes.pop(item, ())
        if not rated:
            rejected.append(Rejected(item, "no votes: only the acted emotion is known", what="votes"))
        clips.append(Clip(item, tuple(streams), groups={"speaker": parts[1]}, targets=(acted, *rated)))
    rejected += [Rejected(item, "has votes, but no recording") for item in sorted(votes)] if clips else []
    return Found(clips, (EMOTION, *VOTES), rejected, {"speakers": _speakers(root, base, rejected)})


def _votes(root: Root, base: str, rejected: list[Rejected]) -> dict[str, tuple[Target, ...]]:
    """Targets by recording: counts from tabulatedVotes.csv, else the winners from summaryTable.csv."""
    found: dict[str, dict[int, Target]] = {}
    counts, summary = (f"{base}processedResults/{name}" for name in ("tabulatedVotes.csv", "summaryTable.csv"))
    if (root.path / counts).is_file():
        for row in read_table(root.place(counts), (*_LETTERS, "fileName")):
            try:
                place, item, target = _counted(row)
            except (MediaError, ValueError) as error:
                field = error.field if isinstance(error, MediaError) else "A … S"
                reason = error.reason if isinstance(error, MediaError) else str(error)
                rejected.append(Rejected(row.text("fileName") or counts, reason, field, row.line, "votes"))
                continue
            found.setdefault(item, {})[place] = target
    elif (root.path / summary).is_file():
        rejected.append(
            Rejected(counts, "no such table: winners of summaryTable.csv stand in for counts", what="votes")
        )
        for row in read_table(root.place(summary), ("FileName", "VoiceVote", "FaceVote", "MultiModalVote")):
            for place, column in enumerate(("VoiceVote", "FaceVote", "MultiModalVote")):
                winners = row.text(column).split(":")
                if not set(winners) <= set(_LETTERS):
                    reason = f"{row.text(column)!r} is none of {', '.join(_LETTERS)}"
                    rejected.append(Rejected(row.text("FileName"), reason, column, row.line, "votes"))
                    continue
                shares = np.isin(_LETTERS, winners).astype(float)
                found.setdefault(row.text("FileName"), {})[place] = share_target(VOTES[place], shares.tolist())
    else:
        rejected.append(Rejected(counts, "no such table: only the acted emotion is known", what="votes"))
    return {item: tuple(targets[place] for place in sorted(targets)) for item, targets in found.items()}


def _counted(row: Row) -> tuple[int, str, Target]:
    if row.broken:
        raise MediaError(row.broken)
    # R wrote the row's number without a title: 100001 … voice, 200001 … face, 300001 … both
    number = row.text("") or row.text("Unnamed: 0") or row.text("__index_level_0__")
    if not number.isdigit() or int(number) // 100_000 not in (1, 2, 3):
        raise MediaError(f"row number {number!r} does not say what raters were given", field="first column")
    place = int(number) // 100_000 - 1
    return place, row.text("fileName"), vote_target(VOTES[place], [row.number(letter) or 0.0 for letter in _LETTERS])


def _speakers(root: Root, base: str, rejected: list[Rejected]) -> Mapping[str, Mapping[str, str]]:
    name = f"{base}VideoDemographics.csv"
    if not (root.path / name).is_file():
        return {}
    try:
        rows = read_table(root.place(name), ("ActorID", "Age", "Sex"))
    except MediaError as error:
        rejected.append(Rejected(name, error.reason, error.field, what="demographics"))
        return {}
    return {row.text("ActorID"): {"sex": row.text("Sex").lower(), "age": row.text("Age")} for row in rows}


CREMA_D = Corpus(
    name="crema-d",
    title="Crowd-sourced Emotional Multimodal Actors Dataset",
    licence="Open Database License 1.0 (ODbL)",
    obtain="git clone https://github.com/CheyneyComputerScience/CREMA-D, with Git LFS (7.6 GB)",
    citation="H. Cao et al. IEEE Trans. Affective Computing 5(4): 377–390, 2014. doi:10.1109/TAFFC.2014.2336244",
    tree="""\
ROOT/AudioWAV/1001_DFA_ANG_XX.wav
ROOT/VideoFlash/1001_DFA_ANG_XX.flv
ROOT/processedResults/tabulatedVotes.csv    counts of votes; or summaryTable.csv, the winners alone
ROOT/VideoDemographics.csv                  optional
names: actor_sentence_emotion_level""",
    modalities=("face", "scene", "speech"),
    labels="emotion (acted), and the raters' votes for voice, face and multimodal; one of 6: "
    + ", ".join(CREMA_D6.labels),
    split="none; split by speaker",
    people="91 actors of 20 to 74 years, recorded with consent; age, sex and ethnicity are published.",
    reader=_read,
    known_bad=tuple(KnownBad(f"{folder}/{item}", why, _CARRIES[folder]) for (item, folder), why in _KNOWN_BAD.items()),
    notes=(
        "Raters often heard something else than the actor was asked for: emotion and votes are different questions.",
        "Sentences are the same for all emotions, so the words carry nothing and are not given as a modality.",
    ),
)
