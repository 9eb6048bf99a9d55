"""Annotation tables: what ten raters said of each segment, under two rows of titles.

KEMDy19 has one table per session and speaker, 13 columns and three for each rater; either table lists the segments of both
speakers and says how *that* person appeared in each. KEMDy20 has one per session, 7 columns and three for each rater. Titles
are often empty or repeated, so columns go by position.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merkit.corpora.kemdy.names import AFFECT, EMOTION, KEMDY7, SegmentName
from merkit.corpora.manifest import Rejected
from merkit.errors import LimitError, MediaError

__all__ = ["Rated", "read_annotation", "read_korean"]

_MAX_BYTES = 64 << 20
# corpus -> column of the segment's id; the total's three columns follow, then the raters'
_AT = {"kemdy19": 9, "kemdy20": 3}
_LABELS = len(KEMDY7.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Rated:
    """One segment as raters saw one person in it.

    Args:
        name: the segment.
        line: in its table, counted from 1.
        order: `Numb`: place in the session; NaN where it is missing.
        start_s: of the recording of the session, seconds; NaN where it is missing.
        end_s: seconds.
        total: what most raters said; several words are a tie, none is not known.
        affect: `(2,)` mean valence and arousal, 1 to 5; NaN where not known.
        raters: their titles, e.g. `Eval01F`.
        emotions: `(R,)` the class that each rater chose; -1 = none, or several.
        shares: `(R, K)` the same as votes: a rater who chose two gives half a vote to each.
        places: `(R, 2)` valence and arousal by rater; NaN where there is none.
    """

    name: SegmentName
    line: int
    order: float
    start_s: float
    end_s: float
    total: tuple[str, ...]
    affect: np.ndarray
    raters: tuple[str, ...]
    emotions: np.ndarray
    shares: np.ndarray
    places: np.ndarray

    @property
    def votes(self) -> np.ndarray:
        """`(K,)` votes for each class."""
        return self.shares.sum(0)

    @property
    def label(self) -> str | None:
        """The class that most raters chose; None for a tie and where nothing is known."""
        return self.total[0] if len(self.total) == 1 else None

    @property
    def spread(self) -> np.ndarray:
        """`(2,)` standard deviation of valence and arousal over raters; NaN where fewer than two answered."""
        enough = np.isfinite(self.places).sum(0) >= 2
        there = np.where(enough, self.places, 0.0)
        return np.where(enough, np.nanstd(there, axis=0), np.nan)


def read_korean(file: Path, limit: int = _MAX_BYTES) -> str:
    """Text in UTF-8 (with or without a mark) or in cp949, whichever it is.

    Raises:
        MediaError: there is no such file, or it is in neither.
        LimitError: it is too large.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.txt"
        ...     _ = file.write_bytes("좋아".encode("cp949"))
        ...     read_korean(file)
        '좋아'
    """
    try:
        if file.stat().st_size > limit:
            raise LimitError(f"{file.stat().st_size} bytes; the limit is {limit}", path=file)
        data = file.read_bytes()
    except FileNotFoundError:
        raise MediaError("no such file", path=file) from None
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", path=file) from error
    # a wrong guess between the two is an error, not another text: two bytes of cp949 are hardly ever UTF-8
    for encoding in ("utf-8-sig", "cp949"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            raise MediaError("holds zero bytes: not a text file", path=file)
        return text
    raise MediaError("is neither UTF-8 nor cp949 text", path=file)


def read_annotation(file: Path, corpus: str, name: str) -> tuple[list[Rated], list[Rejected]]:
    """The rows of a table in its order, and all that could not be used. Of an id that stands there twice the first counts.

    Args:
        file: `Session01_M_res.csv`, or `Sess01_eval.csv`.
        corpus: `kemdy19` or `kemdy20`.
        name: what to call the file in the list.

    Raises:
        MediaError: it cannot be read, or no row holds a segment.
    """
    at = _AT[corpus]
    rows: list[Rated] = []
    rejected: list[Rejected] = []
    titles: list[str] = []
    seen: set[str] = set()
    reader = csv.reader(io.StringIO(read_korean(file), newline=""))
    try:
        for cells in reader:
            if len(titles) == 0:
                titles = cells
                continue
            segment = cells[at].strip() if len(cells) > at else ""
            # the second row of titles, and what a table program leaves at the end
            if not segment or (not rows and not segment.startswith("Sess")):
                continue
            try:
                if segment in seen:
                    raise MediaError(f"{segment} stands there twice; the first row counts", field="Segment ID")
                row = _row(cells, titles, at, reader.line_num, name, rejected)
            except MediaError as error:
                rejected.append(Rejected(name, error.reason, error.field, reader.line_num, "row"))
                continue
            seen.add(segment)
            rows.append(row)
    except csv.Error as error:
        raise MediaError(f"not readable as CSV ({error})", path=file, field=f"line {reader.line_num}") from None
    if not rows:
        raise MediaError(f"no segment in column {at + 1}, where {corpus} has them", path=file)
    return rows, rejected


def _row(cells: list[str], titles: list[str], at: int, line: int, name: str, rejected: list[Rejected]) -> Rated:
    segment = SegmentName.of(cells[at].strip())
    first = at + 4
    # table programs drop blank cells at the end of a row, or add some
    cells = cells + [""] * (max(len(titles), first) - len(cells))
    starts = [i for i in range(first, len(cells), 3) if any(map(str.strip, (*titles[i : i + 1], *cells[i : i + 3])))]
    if starts and starts[-1] + 3 > len(cells):
        raise MediaError(f"{len(cells)} cells: {first} and three for each rater are expected", field=segment.id)
    raters = tuple((titles[i].strip() if i < len(titles) else "") or f"Eval{(i - first) // 3 + 1:02d}" for i in starts)

    def unusable(reason: str, field: str, what: str) -> None:
        rejected.append(Rejected(segment.id, f"{reason} ({name})", field, line, what))

    shares = np.zeros((len(raters), _LABELS))
    emotions = np.full(len(raters), -1)
    places = np.full((len(raters), 2), np.nan)
    for r, (rater, start) in enumerate(zip(raters, starts, strict=True)):
        cell = cells[start : start + 3]
        chosen = [KEMDY7.labels.index(word) for word in _words(cell[0], rater, unusable)]
        if chosen:
            shares[r, chosen] = 1 / len(chosen)
        if len(chosen) == 1:
            emotions[r] = chosen[0]
        places[r] = [_scale(cell[1 + k], f"{rater} {label}", unusable) for k, label in enumerate(AFFECT.labels)]
    total = _words(cells[at + 1], "Total Evaluation", unusable)
    votes = shares.sum(0)
    if not total and votes.any():
        total = tuple(KEMDY7.labels[k] for k in np.flatnonzero(votes == votes.max()))
    affect = np.array([_scale(cells[at + 2 + k], label, unusable) for k, label in enumerate(AFFECT.labels)])
    known = np.isfinite(places).any(0)
    mean = np.where(known, np.nansum(places, 0) / np.maximum(np.isfinite(places).sum(0), 1), np.nan)
    affect = np.where(np.isfinite(affect), affect, mean)
    order, start_s, end_s = (_number(cells[i]) for i in (0, 1, 2))
    return Rated(segment, line, order, start_s, end_s, total, affect, raters, emotions, shares, places)


def _words(cell: str, field: str, unusable) -> tuple[str, ...]:
    """Classes in the order of labels; ties are joined with `;`."""
    found = set()
    for word in cell.split(";"):
        if not word.strip():
            continue
        try:
            found.add(KEMDY7.index(word))
        except KeyError:
            unusable(f"unknown emotion {word.strip()[:40]!r}", field, EMOTION.name)
    return tuple(KEMDY7.labels[k] for k in sorted(found))


def _scale(cell: str, field: str, unusable) -> float:
    value = _number(cell)
    if np.isfinite(value) and not 1 <= value <= 5:
        unusable(f"{value:g} is not from 1 to 5", field, AFFECT.name)
        return np.nan
    return value


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return np.nan
    return value if np.isfinite(value) else np.nan
