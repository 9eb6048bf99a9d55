"""Reads a copy of MELD: rows of its tables, with the recordings that belong to them."""

import re
from pathlib import Path

from merkit.corpora.corpus import Found
from merkit.corpora.manifest import Rejected
from merkit.corpora.meld.media import TABLES, MediaFiles, find_media, find_table
from merkit.corpora.paths import Root
from merkit.corpora.rows import Row, mended, read_table
from merkit.corpora.targets import class_target
from merkit.errors import MediaError
from merkit.labels import EKMAN7, MELD_SENTIMENT3
from merkit.schema import Clip, Stream, TargetSpec

__all__ = ["EMOTION", "KNOWN_BAD", "SENTIMENT", "VIDEO", "read_tree"]

EMOTION = TargetSpec("emotion", "single_label", EKMAN7.labels)
"""One of seven."""
SENTIMENT = TargetSpec("sentiment", "single_label", MELD_SENTIMENT3.labels)
"""One of three."""
VIDEO = "face, scene, speech"
"""What a clip lacks without its video."""
KNOWN_BAD = {
    ("train", 125, 3): "the video is corrupt (MELD#39)",
    ("train", 309, 0): "the video is cut wrongly (MELD#20)",
    ("valid", 110, 7): "the video is missing (MELD#22)",
    ("test", 38, 4): "the video runs for minutes, far beyond the utterance (MELD#20)",
    ("test", 220, 0): "the video runs for minutes, far beyond the utterance (MELD#20)",
}
"""(split, dialogue, utterance) -> why its video cannot be used."""

_COLUMNS = ("Utterance", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")


def read_tree(root: Root, out: Path | None) -> Found:
    """The clips of all parts that have a table; words survive whatever is wrong with the recordings.

    Args:
        root: the copy.
        out: not needed.

    Raises:
        MediaError: a table cannot be read.
    """
    clips: list[Clip] = []
    rejected: list[Rejected] = []
    media = find_media(root)
    named: set[str] = set()
    for split, table in TABLES.items():
        name = find_table(root, split)
        if name is None:
            rejected.append(Rejected(table, f"no such table: no {split} clips"))
            continue
        rejected += _lacking(media, split)
        seen: set[str] = set()
        for row in read_table(root.place(name), _COLUMNS):
            try:
                clip = _clip(row, split)
                if clip.id in seen:
                    raise MediaError(f"{clip.id} stands there twice", field="Utterance_ID")
            except MediaError as error:
                rejected.append(Rejected(name, error.reason, error.field, row.line))
                continue
            seen.add(clip.id)
            streams, why = _recorded(root, media, split, clip, named)
            rejected += [Rejected(clip.id, reason, "video", row.line, what) for what, reason in why.items()]
            clips.append(Clip(clip.id, (*streams, *clip.streams), split, clip.groups, clip.targets, turn=clip.turn))
    rejected += media.rejected
    rejected += [
        Rejected(name, "no usable row of the table names it", "video")
        for name in media.found.values()
        if name not in named
    ]
    return Found(clips, (EMOTION, SENTIMENT), rejected)


def _lacking(media: MediaFiles, split: str) -> list[Rejected]:
    """What a whole part lacks, said once and not for a thousand clips."""
    if media.has(split, "mp4"):
        return []
    if media.has(split, "wav"):
        return [Rejected(split, f"no .mp4 files: {split} clips have words and sound only", what="face, scene")]
    return [Rejected(split, f"no recordings: {split} clips have words only", what=VIDEO)]


def _clip(row: Row, split: str) -> Clip:
    if row.broken:
        raise MediaError(row.broken)
    numbers = []
    for column in ("Dialogue_ID", "Utterance_ID"):
        text = row.text(column)
        if not re.fullmatch(r"\d{1,6}", text):
            raise MediaError(f"{text!r} is not a number", field=column)
        numbers.append(int(text))
    targets = []
    for column, spec in (("Emotion", EMOTION), ("Sentiment", SENTIMENT)):
        label = row.text(column).lower()
        if label not in spec.labels:
            raise MediaError(f"unknown label {label!r}; there are {', '.join(spec.labels)}", field=column)
        targets.append(class_target(spec, label))
    words = mended(row.text("Utterance")).strip()
    if not words:
        raise MediaError("the utterance is empty", field="Utterance")
    dialogue = f"{split}_dia{numbers[0]}"
    # not `speaker`: the official parts share them on purpose, which the leakage check then says as a warning
    return Clip(
        f"{dialogue}_utt{numbers[1]}",
        (Stream("text", None, text=words),),
        split,
        {"dialogue": dialogue} | ({"character": name} if (name := row.text("Speaker")) else {}),
        tuple(targets),
        turn=numbers[1],
    )


def _recorded(
    root: Root, media: MediaFiles, split: str, clip: Clip, named: set[str]
) -> tuple[tuple[Stream, ...], dict[str, str]]:
    """The streams of a clip's recordings, and modalities -> why they are missing."""
    dialogue, utterance = (int(number) for number in re.findall(r"\d+", clip.id))
    names = {suffix: media.found.get((split, dialogue, utterance, suffix)) for suffix in ("mp4", "wav")}
    named.update(name for name in names.values() if name is not None)
    if why := KNOWN_BAD.get((split, dialogue, utterance)):
        return (), {VIDEO: f"known to be bad: {why}"} if media.has(split, "mp4") or media.has(split, "wav") else {}
    paths: dict[str, Path] = {}
    reasons: dict[str, str] = {}
    for suffix, name in names.items():
        if not media.has(split, suffix):
            continue
        try:
            if name is None:
                raise MediaError("no such file")
            paths[suffix] = root.file(name)
        except MediaError as error:
            reasons[suffix] = f"{error.reason}: {name or f'dia{dialogue}_utt{utterance}.{suffix} of {split}'}"
    video, sound = paths.get("mp4"), paths.get("wav", paths.get("mp4"))
    streams: list[Stream] = []
    missing: dict[str, str] = {}
    if video is not None:
        streams += [Stream("face", video), Stream("scene", video)]
    if sound is not None:
        streams.append(Stream("speech", sound))
    if sound is None and reasons:
        missing[VIDEO if media.has(split, "mp4") else "speech"] = "; ".join(reasons.values())
    elif video is None and "mp4" in reasons:
        missing["face, scene"] = reasons["mp4"]
    return tuple(streams), missing
