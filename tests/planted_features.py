"""Features that say what the labels say, in the store of a prepared folder: for walks in which no encoder is asked."""

import hashlib
from pathlib import Path

import numpy as np

from merkit.corpora import read_manifest
from merkit.features import ClipRecord, FeatureStore, Row

WIDTHS = {"text": 8, "speech": 6, "face": 4}


def plant(prepared: Path, widths: dict[str, int] | None = None, *, faceless: int = 4, noise: float = 0.3) -> Path:
    """Writes `prepared/features`: one to four tokens a modality around a point that the first target of a clip gives.

    Every `faceless`-th clip has no face; 0 = all have one. A clip without an answer has tokens around nothing. Clips that
    are copies of one another (`copy_of`) have the same bytes.
    """
    widths = WIDTHS if widths is None else widths
    store = FeatureStore.create(prepared / "features")
    directions = np.random.default_rng(1).normal(size=(12, max(widths.values()))) * 2
    for place, clip in enumerate(read_manifest(prepared).clips):
        source = clip.groups.get("copy_of", clip.id)
        rng = np.random.default_rng(list(source.encode()))
        rows = []
        for name, width in widths.items():
            if name == "face" and faceless and place % faceless == 0:
                continue
            time = np.arange(rng.integers(1, 5), dtype=float)
            x = (_point(clip, directions)[:width] + noise * rng.normal(size=(len(time), width))).astype(np.float32)
            who = "person_1" if name == "face" else None
            rows.append(Row(name, who, f"planted-{name}@{width}", x, time, time + 1, np.full(len(time), -1, np.int32)))
        digest = hashlib.sha256(source.encode()).hexdigest()
        store.add(ClipRecord(clip.id, key=clip.id, input_sha256=digest, about={}, rows=tuple(rows)))
    store.finalise()
    return prepared


def _point(clip, directions: np.ndarray) -> np.ndarray:
    known = [target for target in clip.targets if target.valid is None or np.all(target.valid)]
    if not known:
        return np.zeros(directions.shape[1])
    target = known[-1]
    return directions[int(target.value)] if target.spec.kind == "single_label" else target.value[0] * directions[0]
