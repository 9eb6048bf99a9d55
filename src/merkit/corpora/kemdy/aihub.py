"""The pre-training set: sentences with one emotion each, 80 % for training."""

import hashlib
from pathlib import Path

from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.kemdy.about import FACTS_AIHUB
from merkit.corpora.kemdy.names import EMOTION, KEMDY7
from merkit.corpora.manifest import Rejected
from merkit.corpora.paths import Root
from merkit.corpora.rows import Row, read_table
from merkit.corpora.targets import class_target
from merkit.errors import ConfigError, MediaError
from merkit.schema import Clip, Stream

__all__ = ["KEMDY_AIHUB"]

_VALID_SHARE = 0.2


def _read(root: Root, out: Path | None) -> Found:
    base = "" if (root.path / "annotation").is_dir() else "aihub/"
    folder = root.path / f"{base}annotation"
    if not folder.is_dir():
        raise ConfigError(f"{root.path}: no folder annotation, nor aihub/annotation")
    clips: dict[str, Clip] = {}
    rejected: list[Rejected] = []
    for table in sorted(path.name for path in folder.iterdir() if path.suffix == ".csv" and path.name[0] != "."):
        name = f"{base}annotation/{table}"
        try:
            rows = read_table(root.place(name), ("txt", "segment_id", "emotion"))
        except MediaError as error:
            rejected.append(Rejected(name, error.reason, error.field))
            continue
        for row in rows:
            try:
                clip = _clip(root, base, row, rejected)
                if clip.id in clips:
                    raise MediaError("stands there twice; the first row counts", field="segment_id")
            except MediaError as error:
                item = row.text("segment_id") or name
                rejected.append(Rejected(item, error.reason, error.field, row.line))
                continue
            clips[clip.id] = clip
    return Found([clips[item] for item in sorted(clips)], (EMOTION,), rejected)


def _clip(root: Root, base: str, row: Row, rejected: list[Rejected]) -> Clip:
    if row.broken:
        raise MediaError(row.broken)
    item, word = row.text("segment_id"), row.text("emotion")
    if not item:
        raise MediaError("is empty", field="segment_id")
    try:
        label = KEMDY7.labels[KEMDY7.index(word)]
    except KeyError:
        raise MediaError(f"unknown emotion {word[:40]!r}", field="emotion") from None
    streams = []
    name = f"{base}wav/{item.removesuffix('.wav')}.wav"
    try:
        streams.append(Stream("speech", root.file(name)))
    except MediaError as error:
        rejected.append(Rejected(item, f"{error.reason}: {name}", "wav", row.line, "speech"))
    if words := " ".join(row.text("txt").split()):
        streams.append(Stream("text", None, text=words))
    if not streams:
        raise MediaError("neither sound nor words")
    return Clip(item, tuple(streams), _part(item), {}, (class_target(EMOTION, label),))


def _part(item: str) -> str:
    """By the id alone: whatever else is in the table, a sentence stays where it is."""
    drawn = int.from_bytes(hashlib.sha256(item.encode()).digest()[:8], "big") / 2**64
    return "valid" if drawn < _VALID_SHARE else "train"


KEMDY_AIHUB = Corpus(reader=_read, **FACTS_AIHUB)
