"""A small MERC2020 challenge tree, true to its format, and the folder that `merkit prepare merc2020` would make of one.

`write_challenge` writes files: clips with a picture and a voice, word vectors, submission templates. `prepared_merc2020`
writes what comes out of preparation directly, without media, for tests of training and prediction. In both, every class
looks and sounds different, so that a model has something to learn.
"""

import csv
import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from merkit.corpora.manifest import Manifest
from merkit.corpora.merc2020 import CODES, SPECS
from merkit.corpora.storage import write_manifest
from merkit.features.shard import ClipRecord, Row
from merkit.features.store import FeatureStore
from merkit.schema import Clip, Target
from tests.made import write_clip

WORDS = 200
RATE = 16_000


def write_challenge(
    root: Path, *, train: int = 7, val: int = 3, test: int = 4, test3: int = 2, seconds: float = 1.0, odd: bool = True
) -> Path:
    """The tree under `root`; half of `test` is of phase 1, half of phase 2. Classes go round in the published order.

    `odd` adds to train: a clip that cannot be decoded (900, with words), one without word vectors (901), one whose name
    says no labels (902), one of nothing at all (903: neither decodable nor with words).
    """
    parts = {"qia2020/train": range(1, train + 1), "qia2020/val": range(101, 101 + val)}
    parts |= {"qia2020/test": range(201, 201 + test), "2020-3/test3": range(201, 201 + test3)}
    for number, (folder, ids) in enumerate(parts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for place, file_id in enumerate(ids):
            label = place % len(CODES)
            # no two are alike, or the leakage check would rightly say so
            rng = np.random.default_rng([number, file_id])
            _clip(root / folder / f"{_stem(file_id, label, 'test' not in folder)}.mp4", label, seconds, rng)
            _words(root / folder / f"{file_id:05d}.npz", label, rng)
    if odd:
        folder = root / "qia2020/train"
        for file_id, readable, words in (
            (900, False, True),
            (901, True, False),
            (902, True, True),
            (903, False, False),
        ):
            stem = f"{file_id:05d}-31-f" if file_id == 902 else _stem(file_id, 0, True)
            rng = np.random.default_rng(file_id)
            if readable:
                _clip(folder / f"{stem}.mp4", 0, seconds, rng)
            else:
                (folder / f"{stem}.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 8)
            if words:
                _words(folder / f"{file_id:05d}.npz", 0, rng)
    ids = list(parts["qia2020/test"])
    half = (len(ids) + 1) // 2
    write_templates(root / "features", {"test1": ids[:half], "test2": ids[half:], "test3": list(parts["2020-3/test3"])})
    return root


def write_templates(folder: Path, ids: dict[str, list[int]]) -> None:
    """`test1.csv` … with the column FileID, in an order of their own: not that of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for phase, own in ids.items():
        with (folder / f"{phase}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("FileID",), *((each,) for each in reversed(own))])


def prepared_merc2020(
    folder: Path,
    clips: int = 28,
    side: int = 32,
    *,
    frames: int = 20,
    columns: int = 60,
    gaps: bool = True,
    seed: int = 0,
) -> Path:
    """What `merkit prepare merc2020` makes of `clips` clips: of each 20, 10 train, 4 valid, and 2 of each test phase.

    Pictures are `side` pixels wide. With `gaps`, every seventh clip lacks one modality, in turn. Auxiliary answers are the
    integrated one, or in every fifth clip the class after it.
    """
    rng = np.random.default_rng(seed)
    cycle = ["train"] * 10 + ["valid"] * 4 + ["test1"] * 2 + ["test2"] * 2 + ["test3"] * 2
    features = FeatureStore.create(folder / "features", dtype="float16")
    faces = FeatureStore.create(folder / "faces", dtype="uint8")
    made: list[Clip] = []
    counted: Counter[str] = Counter()
    phases: dict[str, list[int]] = {"test1": [], "test2": [], "test3": []}
    for number in range(clips):
        part = cycle[number % len(cycle)]
        label = number % len(CODES)
        place = {"valid": "val", "test1": "test", "test2": "test"}.get(part, part)
        # each folder counts for itself, so that a number alone names no clip
        file_id = counted[place] = counted[place] + 1
        clip_id = f"{place}/{file_id:05d}"
        lacks = ("face", "text", "speech")[number // 7 % 3] if gaps and number % 7 == 6 else None
        tokens = {
            "speech": _heard(label, columns + number % 5, rng),
            "text": _said(label, 3 + number % 6, rng),
            "face": _seen(label, frames + number % 3, side, rng),
        }
        for store, names in ((features, ("speech", "text")), (faces, ("face",))):
            rows = tuple(_row(name, tokens[name]) for name in names if name != lacks)
            store.add(ClipRecord(clip_id, f"key{number}", f"hash{number}", _about(), rows))
        targets: tuple[Target, ...] = ()
        if part in ("train", "valid"):
            heard = (label + 1) % len(CODES) if number % 5 == 4 else label
            targets = tuple(Target(spec, np.array(v)) for spec, v in zip(SPECS, (label, label, heard), strict=True))
        else:
            phases[part].append(file_id)
        groups = {"phase": part} if part in phases else {}
        made.append(Clip(clip_id, (), "test" if groups else part, groups, targets))
    features.finalise()
    faces.finalise()
    write_templates(folder / "submissions", phases)
    facts = {"licence": "made up", "submissions": {phase: f"submissions/{phase}.csv" for phase in phases}, "side": side}
    write_manifest(Manifest("merc2020", tuple(made), SPECS, folder, (), facts), folder)
    return folder


def remade(folder: Path) -> Path:
    """An empty folder of that name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _stem(file_id: int, label: int, labelled: bool) -> str:
    code = list(CODES)[label]
    return f"{file_id:05d}-31-f-{code}-{code}-{code}" if labelled else f"{file_id:05d}-31-f"


def _clip(path: Path, label: int, seconds: float, rng: np.random.Generator) -> None:
    """A face-like disc whose colour is the class's, and a hum whose pitch is, between two stretches of silence."""
    wave = np.zeros(round(seconds * RATE), np.float32)
    voiced = slice(round(0.2 * seconds * RATE), round(0.8 * seconds * RATE))
    at = np.arange(voiced.stop - voiced.start) / RATE
    pitch = 150.0 * (1 + label) * rng.uniform(0.97, 1.03)
    for harmonic in (1, 2, 3):
        wave[voiced] += (0.2 / harmonic * np.sin(2 * np.pi * pitch * harmonic * at)).astype(np.float32)
    wave[voiced] += 0.01 * rng.normal(size=len(at)).astype(np.float32)
    picture = _picture(label, rng)
    write_clip(path, seconds=seconds, fps=12, size=(96, 72), rate=RATE, wave=wave, colour=lambda time_s: picture)


def _picture(label: int, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:72, :96]
    picture = rng.integers(20, 60, (72, 96, 3)).astype(np.uint8)
    left, top = rng.integers(-8, 9, 2)
    picture[(x - 48 - left) ** 2 + (y - 36 - top) ** 2 < 24**2] = _colour(label)
    return picture


def _colour(label: int) -> tuple[int, int, int]:
    return 60 + 25 * label, 200 - 20 * label, 80 + 60 * (label % 3)


def _words(path: Path, label: int, rng: np.random.Generator) -> None:
    np.savez(path, word_embed=_said(label, int(rng.integers(2, 7)), rng))


def _heard(label: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """`(T, 128)` in [0, 1], louder in a band of the class's own."""
    x = 0.3 + 0.1 * rng.random((columns, 128))
    x[:, 16 * label : 16 * label + 16] += 0.4
    return x.astype(np.float32)


def _said(label: int, words: int, rng: np.random.Generator) -> np.ndarray:
    centre = np.random.default_rng(1).normal(size=(len(CODES), WORDS))[label]
    return (centre + 0.5 * rng.normal(size=(words, WORDS))).astype(np.float32)


def _seen(label: int, frames: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """`(T, 3 * side * side)` uint8: a square of the class's colour on noise."""
    x = rng.integers(0, 60, (frames, side, side, 3))
    x[:, side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] += np.array(_colour(label)) // 2
    return x.astype(np.uint8).reshape(frames, -1)


def _row(modality: str, x: np.ndarray) -> Row:
    step_s = {"speech": 0.016, "face": 0.125, "text": 0.3}[modality]
    start_s = np.arange(len(x)) * step_s
    return Row(modality, None, f"made-{modality}@0", x, start_s, start_s + step_s, np.full(len(x), -1, np.int32))


def _about() -> dict:
    return {"duration_s": 1.0, "presence": [], "persons": [], "shots_s": [], "segments": [], "warnings": []}
