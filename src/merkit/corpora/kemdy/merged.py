"""All segments of a corpus as one table: what raters said in sum and one by one."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merkit.atomic import replacing
from merkit.corpora.kemdy.annotation import Rated
from merkit.corpora.kemdy.names import KEMDY7, fold_of
from merkit.corpora.rows import read_table
from merkit.errors import MediaError

__all__ = ["MERGED_FILE", "Ratings", "read_ratings", "write_merged"]

MERGED_FILE = "merged.csv"
_ABOUT = (
    "segment",
    "session",
    "script",
    "speaker",
    "sex",
    "fold",
    "start_s",
    "end_s",
    "wav",
    "emotion",
    "total",
    "valence",
    "arousal",
    "valence_spread",
    "arousal_spread",
)
_PARTS = ("emotion", "valence", "arousal")


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """What each rater said of each segment.

    Args:
        segments: `n` ids.
        raters: `R` titles.
        emotion: `(n, R)` class in the order of `KEMDY7`, NaN where there is none or several.
        valence: `(n, R)` 1 to 5, NaN where there is none.
        arousal: `(n, R)` the same.
    """

    segments: tuple[str, ...]
    raters: tuple[str, ...]
    emotion: np.ndarray
    valence: np.ndarray
    arousal: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Rated]) -> "Ratings":
        """The ratings of these rows; raters in the order in which they first appear."""
        raters = list(dict.fromkeys(rater for row in rows for rater in row.raters))
        at = {rater: r for r, rater in enumerate(raters)}
        values = np.full((3, len(rows), len(raters)), np.nan)
        for i, row in enumerate(rows):
            columns = [at[rater] for rater in row.raters]
            values[0, i, columns] = np.where(row.emotions < 0, np.nan, row.emotions)
            values[1:, i, columns] = row.places.T
        return cls(tuple(row.name.id for row in rows), tuple(raters), *values)


def write_merged(
    corpus: str, rows: Sequence[Rated], path: Path, listened: Sequence[Rated | None] | None = None
) -> Path:
    """Writes one row per segment, by rename: identity, label, votes, means and spreads, then each rater's three answers.

    `emotion` is empty where votes are tied, `total` says what is tied. Votes stand under the names of the classes.

    Args:
        corpus: `kemdy19` or `kemdy20`, for folds.
        rows: segments in order.
        path: of the CSV.
        listened: for each row how the listener appeared, where that was asked: columns `listener_…`.

    Raises:
        MediaError: a session is none of the corpus.
    """
    raters = list(dict.fromkeys(rater for row in rows for rater in row.raters))
    heads = [*_ABOUT, *KEMDY7.labels]
    if listened is not None:
        heads += [f"listener_{part}" for part in (*_PARTS, *KEMDY7.labels)]
    heads += [f"{rater}_{part}" for rater in raters for part in _PARTS]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        for i, row in enumerate(rows):
            cells = _about(corpus, row) + [_plain(vote) for vote in row.votes]
            if listened is not None:
                other = listened[i]
                cells += [""] * (3 + len(KEMDY7.labels)) if other is None else _answer(other)
            own = {rater: r for r, rater in enumerate(row.raters)}
            for rater in raters:
                cells += _said(row, own[rater]) if rater in own else ["", "", ""]
            writer.writerow(cells)
    return path


def read_ratings(path: str | Path) -> Ratings:
    """The raters' answers out of a merged table, for statistics of agreement.

    Raises:
        MediaError: there is no such table, it is damaged, or it has no raters.
    """
    path = Path(path)
    rows = read_table(path, ("segment",))
    raters = [name.removesuffix("_arousal") for name in (rows[0].cells if rows else ()) if name.endswith("_arousal")]
    raters = [name for name in raters if name != "listener" and f"{name}_emotion" in rows[0].cells]
    if not raters:
        raise MediaError("has no columns of raters (Eval01F_emotion, …)", path=path, field="line 1")
    values = np.full((3, len(rows), len(raters)), np.nan)
    for i, row in enumerate(rows):
        if row.broken:
            raise MediaError(row.broken, path=path, field=f"line {row.line}")
        for r, rater in enumerate(raters):
            word = row.text(f"{rater}_emotion")
            if word in KEMDY7.labels:
                values[0, i, r] = KEMDY7.labels.index(word)
            for part in (1, 2):
                value = row.number(f"{rater}_{_PARTS[part]}")
                values[part, i, r] = np.nan if value is None else value
    return Ratings(tuple(row.text("segment") for row in rows), tuple(raters), *values)


def _about(corpus: str, row: Rated) -> list[str]:
    name = row.name
    fold = str(fold_of(corpus, name.number))
    numbers = [*row.affect, *row.spread]
    who = [name.id, name.session, name.script, name.speaker, name.sex, fold]
    where = [_plain(row.start_s), _plain(row.end_s), name.sound]
    return [*who, *where, row.label or "", ";".join(row.total), *map(_plain, numbers)]


def _answer(row: Rated) -> list[str]:
    return [row.label or "", *map(_plain, row.affect), *map(_plain, row.votes)]


def _said(row: Rated, r: int) -> list[str]:
    chosen = [KEMDY7.labels[k] for k in np.flatnonzero(row.shares[r])]
    return [";".join(chosen), *map(_plain, row.places[r])]


def _plain(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""
