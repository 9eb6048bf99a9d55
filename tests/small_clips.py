"""A few made clips as the MERC2020 networks see them: spectrogram frames, pictures as bytes, words, three questions."""

import numpy as np

from merkit.data.table import ClipTable, TargetColumn, TokenColumn
from merkit.schema import TargetSpec

LABELS = ("happy", "angry", "sad")
SIDE = 32
BANDS = 128
WORDS = 8
NAMES = ("emotion", "face_emotion", "speech_emotion")


def small_clips(n: int = 24, seed: int = 3, targets: tuple[str, ...] = NAMES) -> ClipTable:
    """`n` clips, two in three of them for training; streams and answers are missing here and there.

    Every stream carries the class. Some spectrograms are shorter than 32 frames, some longer.
    """
    rng = np.random.default_rng(seed)
    label = np.arange(n) % len(LABELS)
    tint = rng.integers(80, 200, (len(LABELS), 3))
    word = rng.normal(size=(len(LABELS), WORDS)) * 2
    made: dict[str, list[np.ndarray]] = {"speech": [], "face": [], "text": []}
    for k in label:
        frames = 0.2 * rng.random((rng.integers(8, 48), BANDS))
        frames[:, 40 * k : 40 * k + 40] += 0.6
        made["speech"].append(frames.astype(np.float32))
        pictures = rng.integers(0, 60, (rng.integers(1, 4), SIDE, SIDE, 3))
        pictures[:, 8:24, 8:24] += tint[k] // 2
        made["face"].append(pictures.astype(np.uint8).reshape(len(pictures), -1))
        made["text"].append((word[k] + rng.normal(size=(rng.integers(1, 6), WORDS))).astype(np.float32))
    streams = {
        name: TokenColumn.of_sequences([None if i % 7 == m + 2 else x for i, x in enumerate(each)])
        for m, (name, each) in enumerate(made.items())
    }
    answers = {
        "emotion": (label, np.arange(n) % 11 != 0),
        "face_emotion": (np.where(np.arange(n) % 5 == 4, (label + 1) % 3, label), np.arange(n) % 13 != 10),
        "speech_emotion": (label, np.arange(n) % 9 != 0),
    }
    return ClipTable(
        "made clips",
        np.array([f"c{i}" for i in range(n)]),
        np.where(np.arange(n) < 2 * n // 3, "train", "valid"),
        streams,
        {name: TargetColumn(TargetSpec(name, "single_label", LABELS), *answers[name]) for name in targets},
    )
