"""Folders of arrays for the studies of the tensor mixer, made of the development packs.

    python -m benchmarks.tensor_mixer.packs --out .work/tensor-mixer

crema-votes: a row per recording of CREMA-D. What crowds saw in it (voice and face together) is the target; what OTHER raters
heard in the voice alone and saw in the face alone stands in for features, because there are no recordings here.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.first_model.packs import EKMAN_OF_GOEMOTIONS, root
from merkit.labels import CREMA_D6, EKMAN7, GOEMOTIONS28

__all__ = ["CremaVotes", "crema_votes", "goemotions_votes"]

# what raters were given, by the hundred thousands of a row's number
SEEN = ("voice", "face", "both")


@dataclass(frozen=True, slots=True)
class CremaVotes:
    """Votes of one kind of rating.

    Args:
        ids: `(n,)` recordings, sorted.
        votes: `(n, 6)` counts.
        intensity: `(n,)` mean of how strong raters found it, 0 to 100.
    """

    ids: np.ndarray
    votes: np.ndarray
    intensity: np.ndarray


def crema_votes() -> dict[str, CremaVotes]:
    """`voice`, `face`, `both`: the same recordings in the same order."""
    table = pq.read_table(root() / "crema_d_votes" / "tabulatedVotes.parquet").to_pandas()
    # the number of a row is the index of the frame
    kind = table.index.to_numpy().astype(int) // 100_000
    found = {}
    for number, name in enumerate(SEEN, start=1):
        rows = table[kind == number].sort_values("fileName")
        votes = rows[["A", "D", "F", "H", "N", "S"]].to_numpy(np.int64)
        found[name] = CremaVotes(rows["fileName"].to_numpy(str), votes, rows["meanEmoResp"].to_numpy(np.float64))
    assert all((own.ids == found["both"].ids).all() for own in found.values())
    return found


def goemotions_votes(part: str, groups: bool) -> tuple[list[str], np.ndarray]:
    """`train` or `dev`: texts, and `(n, 28)` which labels a comment was given, or `(n, 7)` how many of each group.

    A label stands there when two raters or more chose it; who chose it and how many is not in the published tables.
    """
    table = pq.read_table(root() / "goemotions" / f"{part}.parquet").to_pydict()
    names = {word: EKMAN7.index(label) for label, words in EKMAN_OF_GOEMOTIONS.items() for word in words}
    column = np.array([names[word] for word in GOEMOTIONS28.labels]) if groups else np.arange(28)
    votes = np.zeros((len(table["text"]), 7 if groups else 28), np.int64)
    for row, labels in enumerate(table["labels"]):
        np.add.at(votes[row], column[np.asarray(labels, int)], 1)
    return table["text"], votes


def write(folder: Path, **columns: np.ndarray) -> None:
    """`folder/data.npz`."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "data.npz", **columns)
    print(f"{folder}: {len(next(iter(columns.values())))} rows")


def shares(votes: np.ndarray) -> np.ndarray:
    return (votes / votes.sum(1, keepdims=True)).astype(np.float32)


def main(out: Path) -> None:
    found = crema_votes()
    shown = {
        f"seen_{name}": np.column_stack([shares(found[name].votes), found[name].intensity / 100]).astype(np.float32)
        for name in ("voice", "face")
    }
    ids = found["both"].ids
    actor = np.array([item[:4] for item in ids])
    target = {"emotion": shares(found["both"].votes), "labels": np.array(CREMA_D6.labels)}
    # everything is train until a fold of actors is taken out
    write(out / "crema-votes", id=ids, actor=actor, split=np.full(len(ids), "train"), **shown, **target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".work/tensor-mixer"))
    main(parser.parse_args().out)
