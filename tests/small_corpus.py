"""A small corpus with something to learn in it, for tests of training: two modalities, three classes, dialogues."""

from pathlib import Path

import numpy as np

from merkit.corpora.arrays import ArraysConfig, ArrayTarget, read_arrays
from merkit.data.table import ClipTable

ARRAYS = ArraysConfig(
    id="id",
    modalities={"text": "text", "speech": "voice"},
    targets={"emotion": ArrayTarget(column="label", labels=("joy", "anger", "neutral"))},
    groups={"speaker": "speaker"},
    dialogue="dialogue",
    turn="turn",
)


def write_arrays(folder: Path, n: int = 60, seed: int = 0) -> Path:
    """`data.npz` with 60 % train, 20 % valid, 20 % test; every fifth clip has no voice."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(n) % 3)
    centre = np.random.default_rng(1).normal(size=(3, 7))
    text = centre[label] + rng.normal(size=(n, 7))
    voice = centre[label][:, :5] + rng.normal(size=(n, 5))
    voice[::5] = np.nan
    split = np.repeat(["train", "valid", "test"], [n - 2 * (n // 5), n // 5, n // 5])
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "data.npz",
        id=np.char.add(f"clip{seed}_", np.arange(n).astype(str)),
        text=text,
        voice=voice,
        label=label,
        split=split,
        speaker=np.char.add(split, (np.arange(n) % 4).astype(str)),
        dialogue=np.char.add(split, (np.arange(n) // 4).astype(str)),
        turn=np.arange(n) % 4,
    )
    return folder


def small_table(folder: Path, n: int = 60) -> ClipTable:
    """The same, read."""
    return read_arrays(write_arrays(folder, n), ARRAYS, name="small")
