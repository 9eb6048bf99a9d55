"""Small dialogues for HLM12ERC: words with a signal, speech features, samples, pictures; and folders as they are prepared."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
from tiny_encoders import write_encoder

from merkit.data.table import ClipTable, Provenance, TargetColumn, TokenColumn
from merkit.schema import TargetSpec

LABELS = ("joy", "anger", "calm")
FILLERS = "the film is was very it day no . yes a b c".split(" ")  # noqa: SIM905
SIDE = 8


@functools.cache
def tiny_folder(kind: str) -> str:
    """A tiny text encoder, made once in a process."""
    root = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return str(write_encoder(Path(root) / kind, kind, positions=48))


def made_dialogues(n: int = 24) -> ClipTable:
    """Four dialogues of six turns, two speakers; the label is a word that is said, or, of every third clip, that the turn before
    said. Every seventh clip lacks a modality."""
    rng = np.random.default_rng(3)
    label = np.arange(n) % 3
    texts = []
    for i, k in enumerate(label):
        words = list(rng.choice(FILLERS, rng.integers(1, 5)))
        words.insert(int(rng.integers(0, len(words) + 1)), LABELS[k])
        texts.append("" if i % 7 == 6 else " ".join(words))
    centre = rng.normal(size=(3, 6)) * 2

    def tokens(m: int, width: int) -> TokenColumn:
        made = [centre[k][:width] + rng.normal(size=(int(rng.integers(1, 4)), width)) for k in label]
        return TokenColumn.of_sequences([None if i % 7 == m else x for i, x in enumerate(made)], width)

    pictures = [
        np.full((int(rng.integers(1, 4)), 3 * SIDE * SIDE), 60 + 80 * k, np.uint8)
        + rng.integers(0, 20, 3 * SIDE * SIDE).astype(np.uint8)
        for k in label
    ]
    samples = [rng.normal(size=(3, 320)).astype(np.float32) * (0.05 + 0.2 * k) for k in label]
    emotion = TargetSpec("emotion", "single_label", LABELS)
    arousal = TargetSpec("arousal", "regression", ("arousal",))
    return ClipTable(
        "made", np.array([f"c{i}" for i in range(n)]), np.where(np.arange(n) < 16, "train", "valid"),
        {"speech": tokens(0, 6), "face": tokens(1, 4), "scene": TokenColumn.of_sequences(pictures),
         "samples": TokenColumn.of_sequences(samples)},
        {"emotion": TargetColumn(emotion, label, np.arange(n) % 11 != 0),
         "arousal": TargetColumn(arousal, label[:, None].astype(np.float32), np.ones((n, 1), bool))},
        {"character": np.array([("Ross", "Phoebe")[i % 2] for i in range(n)])},
        dialogue=np.array([f"d{i // 6}" for i in range(n)]), turn=np.arange(n) % 6, texts=np.array(texts),
        provenance={"scene": Provenance(f"frames-{SIDE}x{SIDE}@0123456789ab")},
    )  # fmt: skip
