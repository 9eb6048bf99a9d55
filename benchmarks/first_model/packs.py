"""Adapters from the development packs to arrays: FER2013 sheets, GoEmotions tables, RAVDESS and EmoDB manifests."""

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from merkit.labels import EKMAN7

WORK = Path(__file__).resolve().parents[2] / ".work"

# Demszky et al. 2020, "GoEmotions", section 5.2 and the mapping published with the data
EKMAN_OF_GOEMOTIONS = {
    "anger": ("anger", "annoyance", "disapproval"),
    "disgust": ("disgust",),
    "fear": ("fear", "nervousness"),
    "joy": (
        "joy", "amusement", "approval", "excitement", "gratitude", "love", "optimism", "relief", "pride", "admiration",
        "desire", "caring",
    ),
    "sadness": ("sadness", "disappointment", "embarrassment", "grief", "remorse"),
    "surprise": ("surprise", "realization", "confusion", "curiosity"),
    "neutral": ("neutral",),
}  # fmt: skip


def root() -> Path:
    """The folder of development packs."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("MERKIT_DATA", beside))
    if not folder.is_dir():
        raise SystemExit(f"no development data in {folder}: set MERKIT_DATA")
    return folder


def fer2013(part: str) -> tuple[np.ndarray, np.ndarray]:
    """`train` or `publictest`: faces `(n, 48, 48)` uint8 and EKMAN7 targets `(n,)`."""
    folder = root() / "fer2013"
    index = json.loads((folder / "index.json").read_text())
    tile, columns = index["tile"], index["columns"]
    faces, targets = [], []
    for name, count in sorted(index["count"].items()):
        if name.startswith(f"{part}_"):
            sheet = np.asarray(Image.open(folder / name))
            rows = sheet.shape[0] // tile
            tiles = sheet.reshape(rows, tile, columns, tile).swapaxes(1, 2).reshape(-1, tile, tile)
            faces.append(tiles[:count])
            targets.append(np.full(count, EKMAN7.index(name.removeprefix(f"{part}_").removesuffix(".png"))))
    return np.concatenate(faces), np.concatenate(targets)


def goemotions(part: str) -> tuple[list[str], np.ndarray]:
    """`train` or `dev`: texts and soft EKMAN7 targets `(n, 7)`, the row's groups with equal shares."""
    folder = root() / "goemotions"
    names = json.loads((folder / "labels.json").read_text())
    group = {word: EKMAN7.index(label) for label, words in EKMAN_OF_GOEMOTIONS.items() for word in words}
    to_label = np.array([group[name] for name in names])
    table = pq.read_table(folder / f"{part}.parquet").to_pydict()
    target = np.zeros((len(table["text"]), len(EKMAN7)), np.float32)
    key = next(name for name in table if name not in ("text", "id"))
    for row, ids in enumerate(table[key]):
        ids = [int(i) for i in (ids.split(",") if isinstance(ids, str) else ids)]
        target[row, np.unique(to_label[ids])] = 1.0
    return table["text"], target / target.sum(1, keepdims=True)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording of a speech corpus."""

    path: Path
    emotion: str
    speaker: str
    fold: int


def ravdess() -> list[Utterance]:
    """960 utterances of 16 actors; `fold` is the EmoBox fold (1 to 4, by actor)."""
    return _speech("ravdess_speech", "actor", "emobox_test_fold")


def emodb() -> list[Utterance]:
    """339 utterances of 7 speakers, cut or padded to 2.000 s in this copy; `fold` spreads the speakers over 1 to 4."""
    rows = _speech("emodb", "speaker", None)
    speakers = sorted({row.speaker for row in rows})
    return [Utterance(r.path, r.emotion, r.speaker, speakers.index(r.speaker) % 4 + 1) for r in rows]


def _speech(pack: str, speaker: str, fold: str | None) -> list[Utterance]:
    folder = root() / pack
    with (folder / "manifest.csv").open() as file:
        return [
            Utterance(
                folder / "audio" / f"{row['utt_id']}.flac",
                row["emotion"],
                f"{pack}-{row[speaker]}",
                int(row[fold]) if fold else 0,
            )
            for row in csv.DictReader(file)
        ]
