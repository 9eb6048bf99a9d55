"""Clips that ten raters judged: votes with ties, valence and arousal, folds by session; voice, words and physiology planted."""

from pathlib import Path

import numpy as np

from merkit.corpora import write_manifest
from merkit.corpora.manifest import Manifest
from merkit.features import ClipRecord, FeatureStore, Row
from merkit.schema import Clip, Stream, Target, TargetSpec

LABELS = ("angry", "neutral", "happy")
EMOTION = TargetSpec("emotion", "single_label", LABELS)
AFFECT = TargetSpec("affect", "regression", ("valence", "arousal"))
SPREAD = TargetSpec("affect_spread", "regression", ("valence", "arousal"))
PLACE = np.array([[1.8, 3.8], [3.0, 3.0], [4.3, 3.9]])
COUNT = 54
WIDTHS = {"speech": 6, "text": 5, "physiology": 4}
_rng = np.random.default_rng(5)
VOTES = np.array([[6, 3, 1], [8, 1, 1], [10, 0, 0], [4, 4, 2], [5, 3, 2], [9, 1, 0]])[np.arange(COUNT) % 6]
VOTES = np.stack([np.roll(row, i % 3) for i, row in enumerate(VOTES)])
RATED = np.clip(VOTES / 10 @ PLACE + _rng.normal(0, 0.15, (COUNT, 2)), 1, 5).astype(np.float32)


def planted(shares: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
    """One to four tokens around a point that the votes give."""
    direction = np.random.default_rng(1).normal(size=(3, 6)) * 1.5
    return shares @ direction[:, :width] + 0.3 * rng.normal(size=(rng.integers(1, 5), width))


def write(folder: Path, *, speakers: int = 6, line=None, **made) -> Path:
    """A prepared folder: three folds of two sessions, every seventh clip without physiology; 36 clips train, the others valid.

    `line(shares, rng)` makes the words of a clip; `made` is modality -> (extractor id, `(shares, rng) -> (T, D)`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.wav").write_bytes(b"")
    store = FeatureStore.create(folder / "features")
    clips = []
    for i in range(COUNT):
        session = i * 6 // COUNT
        rng = np.random.default_rng(i)
        targets = (
            Target(EMOTION, np.array(int(VOTES[i].argmax())), votes=VOTES[i].astype(float)),
            Target(AFFECT, RATED[i]),
            Target(SPREAD, np.full(2, 0.3, np.float32)),
        )
        groups = {"session": str(session), "fold": str(session // 2), "speaker": str(i * speakers // COUNT)}
        if speakers < 6:
            groups["speaker"] = str(i % speakers)
        words = f"the line number {i} of them" if line is None else line(VOTES[i] / 10, rng)
        streams = (Stream("speech", folder / "a.wav"), Stream("text", None, text=words))
        clips.append(Clip(f"c{i:02}", streams, split="train" if i < 36 else "valid", targets=targets, groups=groups))
        rows = []
        for name, width in WIDTHS.items():
            if name == "physiology" and i % 7 == 0:
                continue
            made_by, tokens = made.get(name, (f"planted-{name}@0", None))
            shares = VOTES[i] / 10
            x = planted(shares, width, rng) if tokens is None else tokens(shares, rng)
            time, at = np.arange(len(x), dtype=float) * 0.02, np.zeros(len(x), np.int32)
            rows.append(Row(name, None, made_by, x.astype(np.float32), time, time + 0.02, at))
        store.add(ClipRecord(f"c{i:02}", f"k{i}", f"h{i}", {}, tuple(rows)))
    store.finalise()
    write_manifest(Manifest("rated", tuple(clips), (EMOTION, AFFECT, SPREAD), folder), folder)
    return folder
