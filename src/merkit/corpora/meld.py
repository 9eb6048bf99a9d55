"""MELD: dialogues of the series Friends, each utterance as words and as a video clip."""

import re
from pathlib import Path

from merkit.corpora.corpus import Corpus, Found, KnownBad
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.rows import Row, read_table
from merkit.corpora.targets import class_target
from merkit.errors import MediaError
from merkit.labels import EKMAN7, MELD_SENTIMENT3
from merkit.schema import Clip, Stream, TargetSpec

__all__ = ["MELD"]

EMOTION = TargetSpec("emotion", "single_label", EKMAN7.labels)
SENTIMENT = TargetSpec("sentiment", "single_label", MELD_SENTIMENT3.labels)
# split -> (table, the archive's folder, folder of its clips)
_PARTS = {
    "train": ("train_sent_emo.csv", "train", "train_splits"),
    "valid": ("dev_sent_emo.csv", "dev", "dev_splits_complete"),
    "test": ("test_sent_emo.csv", "test", "output_repeated_splits_test"),
}
_COLUMNS = ("Utterance", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
_VIDEO = "face, scene, speech"
# (split, dialogue, utterance) -> why its video cannot be used
_KNOWN_BAD = {
    ("train", 125, 3): "the video is corrupt (MELD#39)",
    ("train", 309, 0): "the video is cut wrongly (MELD#20)",
    ("valid", 110, 7): "the video is missing (MELD#22)",
    ("test", 38, 4): "the video runs for minutes, far beyond the utterance (MELD#20)",
    ("test", 220, 0): "the video runs for minutes, far beyond the utterance (MELD#20)",
}
_PUBLISHED = {"train": "train", "valid": "dev", "test": "test"}


def _read(root: Root, out: Path | None) -> Found:
    clips: list[Clip] = []
    rejected: list[Rejected] = []
    for split, (table, part, folder) in _PARTS.items():
        name = _find(root, (table, f"{part}/{table}"))
        if name is None:
            rejected.append(Rejected(table, f"no such table: no {split} clips"))
            continue
        videos = _find(root, (folder, f"{part}/{folder}"), folder=True)
        if videos is None:
            rejected.append(Rejected(folder, f"no such folder: {split} clips have words only", what=_VIDEO))
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
            streams, why = _video(root, videos, split, clip)
            if why is not None:
                rejected.append(Rejected(clip.id, why, "video", row.line, _VIDEO))
            clips.append(Clip(clip.id, (*streams, *clip.streams), split, clip.groups, clip.targets, turn=clip.turn))
        if videos is not None:
            rejected += _unnamed(root, videos, split, seen)
    return Found(clips, (EMOTION, SENTIMENT), rejected)


def _find(root: Root, names: tuple[str, ...], folder: bool = False) -> str | None:
    """The archive may be unpacked in place, as `MELD.Raw`, or be the repository with its `data/MELD`."""
    for base in ("", "MELD.Raw/", "data/MELD/", "MELD/"):
        for name in names:
            path = root.path / base / name
            if path.is_dir() if folder else path.is_file():
                return base + name
    return None


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
    words = _mended(row.text("Utterance"))
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


def _video(root: Root, folder: str | None, split: str, clip: Clip) -> tuple[tuple[Stream, ...], str | None]:
    if folder is None:
        return (), None
    dialogue, utterance = (int(number) for number in re.findall(r"\d+", clip.id))
    if why := _KNOWN_BAD.get((split, dialogue, utterance)):
        return (), f"known to be bad: {why}"
    try:
        path = root.file(f"{folder}/dia{dialogue}_utt{utterance}.mp4")
    except MediaError as error:
        return (), f"{error.reason}: {folder}/dia{dialogue}_utt{utterance}.mp4"
    return (Stream("face", path), Stream("scene", path), Stream("speech", path)), None


def _unnamed(root: Root, folder: str, split: str, ids: set[str]) -> list[Rejected]:
    """Videos that no row names; the published folders hold a few (MELD#22)."""
    named = {f"{folder}/{item.removeprefix(f'{split}_')}.mp4" for item in ids}
    inside = [name for name in root.walk(".mp4") if name.startswith(f"{folder}/")]
    return [Rejected(name, "no usable row of the table names it", "video") for name in inside if name not in named]


def _mended(words: str) -> str:
    """The tables hold cp1252 quotes and dashes that were once read as Latin-1: control letters in place of them."""
    return re.sub("[\x80-\x9f]", lambda letter: letter[0].encode("latin-1").decode("cp1252", "ignore"), words).strip()


MELD = Corpus(
    name="meld",
    title="MELD: Multimodal EmotionLines Dataset",
    licence="annotations GPL-3.0; the clips are excerpts of a television series, for research only",
    obtain="https://affective-meld.github.io (MELD.Raw.tar.gz, with train, dev and test archives inside), all unpacked",
    citation="S. Poria et al. ACL 2019. arXiv:1810.02508",
    tree="""\
ROOT/[train/]train_sent_emo.csv    ROOT/[train/]train_splits/dia0_utt0.mp4
ROOT/[dev/]dev_sent_emo.csv        ROOT/[dev/]dev_splits_complete/dia0_utt0.mp4
ROOT/[test/]test_sent_emo.csv      ROOT/[test/]output_repeated_splits_test/dia0_utt0.mp4
The tables alone give a corpus of words.""",
    modalities=("text", "face", "scene", "speech"),
    labels="emotion, one of 7: " + ", ".join(EKMAN7.labels) + "; sentiment: " + ", ".join(MELD_SENTIMENT3.labels),
    split="official: train 9,989 utterances, dev 1,109 (valid), test 2,610",
    people="actors in their roles; three raters saw the clips. The same characters are in all three parts.",
    reader=_read,
    known_bad=tuple(
        KnownBad(f"{_PUBLISHED[split]} dia{dialogue}_utt{utterance}", why, _VIDEO)
        for (split, dialogue, utterance), why in _KNOWN_BAD.items()
    ),
    notes=(
        "The official parts share their speakers; only dialogues are kept together.",
        "Published weighted F1 ranges from 57 to 70; state split and metric.",
    ),
)
