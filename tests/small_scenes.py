"""A few made scenes with a signal to find: what any character shows, the scene shows."""

import numpy as np

from merkit.data.scenes import column_of_rows
from merkit.data.table import ClipTable, TargetColumn
from merkit.schema import TargetSpec

LABELS = ("happy", "angry", "calm")
WIDTHS = {"scene": 6, "face": 5, "text": 4, "lines": 4}
CHARACTERS = 3


def small_scenes(n: int = 24, seed: int = 3) -> ClipTable:
    """`n` scenes, two in three of them for training; one to three characters; streams are missing here and there.

    A character's faces and lines carry the sum of the directions of the labels that the character shows; picture and dialog
    those of the scene. Every character of every scene has at least one face.
    """
    rng = np.random.default_rng(seed)
    direction = {name: rng.normal(size=(len(LABELS), width)) * 2 for name, width in WIDTHS.items()}
    there = np.arange(CHARACTERS) < rng.integers(1, CHARACTERS + 1, n)[:, None]
    own = (rng.random((n, CHARACTERS, len(LABELS))) < 0.4) & there[..., None]
    for i in range(n):
        for j in np.flatnonzero(there[i] & ~own[i].any(-1)):
            own[i, j, (i + j) % len(LABELS)] = True
    scene = own.any(1)
    streams = {}
    for m, (name, width) in enumerate(WIDTHS.items()):
        x, clip, entity, start_s = [], [], [], []
        for i in range(n):
            if i % 7 == m and name != "face":
                continue
            for j in np.flatnonzero(there[i]) if name in ("face", "lines") else (0,):
                count = rng.integers(1, 6)
                shown = own[i, j] if name in ("face", "lines") else scene[i]
                x.append(shown @ direction[name] + rng.normal(size=(count, width)))
                clip.append(np.full(count, i))
                entity.append(np.full(count, j))
                start_s.append(np.sort(rng.uniform(0, 40, count)))
        columns = [np.concatenate(each) for each in (x, clip, entity, start_s)]
        streams[name] = column_of_rows(
            columns[0].astype(np.float32), *columns[1:], per_entity=name in ("face", "lines")
        )
    names = np.empty(n, object)
    names[:] = [tuple(f"person_{j + 1}" for j in np.flatnonzero(row)) for row in there]
    targets = {
        "scene": TargetColumn(
            TargetSpec("scene", "multi_label", LABELS), scene.astype(np.float32), np.ones_like(scene)
        ),
        "character": TargetColumn(
            TargetSpec("character", "multi_label", LABELS, True),
            own.astype(np.float32),
            there[..., None].repeat(len(LABELS), -1),
        ),
    }
    return ClipTable(
        "made scenes",
        np.array([f"s{i}" for i in range(n)]),
        np.where(np.arange(n) < 2 * n // 3, "train", "valid"),
        streams,
        targets,
        {"movie": np.array([f"m{i // 4}" for i in range(n)])},
        entities=names,
    )
