"""A small copy of MELD, true to its format: the published columns, real clips with picture and sound, dialogues a part.

Every class has words, a colour and a tone of its own, so that a model has something to learn. Pictures grow brighter with
time, so that the order of frames can be seen.
"""

import csv
from pathlib import Path

import numpy as np

from merkit.labels import EKMAN7
from tests.made import write_clip

HEADER = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
)  # fmt: skip
FOLDERS = {
    "official": {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"},
    "kaggle": {
        "train": "MELD-RAW/MELD.Raw/train/train_splits",
        "dev": "MELD-RAW/MELD.Raw/dev/dev_splits_complete",
        "test": "MELD-RAW/MELD.Raw/test/output_repeated_splits_test",
    },
}
TABLES = {
    "official": "{}_sent_emo.csv",
    "kaggle": "MELD-RAW/MELD.Raw/{}_sent_emo.csv",
}
SENTIMENT = {"joy": "positive", "neutral": "neutral"}
SAID = {
    "anger": "no bad",
    "disgust": "not it",
    "fear": "a b c",
    "joy": "yes good day",
    "neutral": "the film is",
    "sadness": "bad day was",
    "surprise": "very very",
}
SPEAKERS = ("Ross", "Monica", "Dr. Green")
SECONDS, FPS, SIZE, RATE = 0.5, 20, (64, 36), 16_000
CORRUPT, MISSING, SOUND_ONLY = ("train_dia90_utt0", "train_dia90_utt1", "train_dia90_utt2")
"""Clips of `odd`."""


def colour_of(label: str, share: float) -> tuple[int, int, int]:
    """RGB at `share` of a clip of this class."""
    k = EKMAN7.labels.index(label)
    return 30 * k + 20, 220 - 30 * k, round(40 + 160 * share)


def tone_of(label: str) -> float:
    """Hz."""
    return 200.0 * (1 + EKMAN7.labels.index(label))


def write_meld(
    root: Path, layout: str = "official", *, dialogues: tuple[int, int, int] = (2, 1, 1), odd: bool = True,
    turns: int = 7, media: bool = True,
) -> Path:  # fmt: skip
    """The tree under `root`, with so many dialogues of `turns` utterances in train, dev and test; classes go round.

    `odd` adds a dialogue 90 to train: a clip that is corrupt, one that is missing, one that is there as sound alone, and a
    usual one.
    """
    for place, (part, count) in enumerate(zip(("train", "dev", "test"), dialogues, strict=True)):
        folder = root / FOLDERS[layout][part]
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for dialogue in range(count):
            for turn in range(turns):
                label = EKMAN7.labels[(dialogue + turn) % 7]
                rows.append(row(len(rows), label, dialogue, turn))
                if media:
                    write_utterance(folder / f"dia{dialogue}_utt{turn}.mp4", label, seed=(place, dialogue, turn))
        if odd and part == "train":
            rows += [row(len(rows) + turn, EKMAN7.labels[turn], 90, turn) for turn in range(4)]
            (folder / "dia90_utt0.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 8)
            write_utterance(folder / "dia90_utt2.wav", EKMAN7.labels[2], seed=(0, 90, 2))
            write_utterance(folder / "dia90_utt3.mp4", EKMAN7.labels[3], seed=(0, 90, 3))
        table = root / TABLES[layout].format(part)
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HEADER, *rows])
    return root


def row(number: int, label: str, dialogue: int, turn: int) -> tuple:
    """One line of a table."""
    words = f"{SAID[label]} {('.', 'it .', 'is it .')[(dialogue + turn) % 3]}"
    start = f"00:{dialogue:02d}:{turn:02d},059"
    end = f"00:{dialogue:02d}:{turn:02d},559"
    feeling = SENTIMENT.get(label, "negative")
    return number + 1, words, SPEAKERS[turn % 3], label, feeling, dialogue, turn, 8, 21, start, end


def write_utterance(path: Path, label: str, seed: tuple[int, int, int] = (0, 0, 0), seconds: float = SECONDS) -> Path:
    """One clip, `.mp4` or `.wav`; no two are alike, or the leakage check would rightly say so."""
    at = np.arange(round(seconds * RATE)) / RATE
    detune = 1 + 0.01 * np.random.default_rng(seed).uniform(-1, 1)
    wave = (0.3 * np.sin(2 * np.pi * tone_of(label) * detune * at)).astype(np.float32)
    if path.suffix == ".wav":
        return write_clip(path, video=False, audio_codec="pcm_s16le", rate=RATE, wave=wave)
    return write_clip(
        path, seconds=seconds, fps=FPS, size=SIZE, rate=RATE, wave=wave,
        colour=lambda time_s: colour_of(label, time_s / (seconds - 1 / FPS)),
    )  # fmt: skip
