"""Result tables that can be checked: every number carries split, measure, seeds, clips, interval and feature provenance.

A figure without those is not comparable with any other. A `ResultTable` refuses rows that lack them; Markdown and CSV
are plain text, the picture needs matplotlib (`pip install merkit[viz]`).
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from merkit.atomic import replacing
from merkit.errors import ConfigError
from merkit.evaluation.bootstrap import Interval

__all__ = ["BEST", "ResultRow", "ResultTable"]

BEST = "best value of its split; whether it differs from the next is for a paired comparison to say."


@dataclass(frozen=True, slots=True, eq=False)
class ResultRow:
    """One configuration and what it reached.

    Args:
        cells: what tells it from the others, one entry per column of the table.
        values: measure -> value with its interval; NaN where the measure is undefined.
        split: which part of the data.
        n: clips of that part.
        seeds: of the runs behind it; one seed = the interval is a bootstrap over clips, several = over seeds.
        features: modality -> where its features come from (`Provenance.source`).
        note: anything that a reader must know of this row.
    """

    cells: tuple[str, ...]
    values: Mapping[str, Interval]
    split: str
    n: int
    seeds: tuple[int, ...]
    features: Mapping[str, str]
    note: str = ""

    @property
    def interval(self) -> str:
        """What the brackets hold."""
        over = f"t interval over {len(self.seeds)} seeds" if len(self.seeds) > 1 else "bootstrap interval over clips"
        return f"95 % {over}"


@dataclass(frozen=True, slots=True, eq=False)
class ResultTable:
    """Rows that are set side by side.

    Args:
        title: what is compared.
        columns: names of the rows' cells.
        measures: measure -> its definition in one sentence, in the order of the columns (see `definitions`).
        rows: the figures.
        higher_is_better: measure -> direction, where the best row is to be marked; others are not marked.

    Raises:
        ConfigError: a row lacks a cell, a measure, its split, its clips, its seeds or the source of its features, or a
            measure has no definition.

    Example:
        >>> row = ResultRow(("concat",), {"accuracy": Interval(0.6, 0.58, 0.62)}, "valid", 536, (0, 1, 2), {"text": "MiniLM"})
        >>> print(ResultTable("Families", ("fusion",), {"accuracy": "share of clips ..."}, (row,)).markdown())
        **Families**
        <BLANKLINE>
        | fusion | accuracy |
        |---|---|
        | concat | .600 [.580, .620] |
        <BLANKLINE>
        All figures: split valid, n = 536 clips, seeds 0, 1, 2; in brackets: 95 % t interval over 3 seeds.
        Features: text = MiniLM.
        accuracy: share of clips ...
    """

    title: str
    columns: tuple[str, ...]
    measures: Mapping[str, str]
    rows: tuple[ResultRow, ...]
    higher_is_better: Mapping[str, bool] | None = None

    def __post_init__(self) -> None:
        if not self.rows or not self.measures:
            raise ConfigError(f"table {self.title!r} has no {'rows' if not self.rows else 'measures'}")
        for name, definition in self.measures.items():
            if not definition.strip():
                raise ConfigError(f"table {self.title!r}: measure {name} needs a definition")
        for row in self.rows:
            name = " · ".join(row.cells) or "a row"
            if len(row.cells) != len(self.columns):
                raise ConfigError(
                    f"table {self.title!r}: {name} has {len(row.cells)} cells for {len(self.columns)} columns"
                )
            if missing := [measure for measure in self.measures if measure not in row.values]:
                raise ConfigError(f"table {self.title!r}: {name} has no {', '.join(missing)}")
            stated = {"split": row.split, "n": row.n, "seeds": row.seeds, "features": row.features}
            if missing := [what for what, value in stated.items() if not value]:
                raise ConfigError(f"table {self.title!r}: {name} does not state its {', '.join(missing)}")
            if blank := [modality for modality, source in row.features.items() if not source.strip()]:
                raise ConfigError(
                    f"table {self.title!r}: {name} does not say where features of {', '.join(blank)} come from"
                )

    def best(self, measure: str) -> tuple[int, ...]:
        """Places of the rows with the best value, by split; none where the direction is not known.

        Rows of different splits are not compared, nor is a lone row better than any other.
        """
        if not self.higher_is_better or measure not in self.higher_is_better:
            return ()
        sign = 1 if self.higher_is_better[measure] else -1
        found = []
        for split in dict.fromkeys(row.split for row in self.rows):
            here = {i: sign * r.values[measure].value for i, r in enumerate(self.rows) if r.split == split}
            here = {i: value for i, value in here.items() if not math.isnan(value)}
            if len(here) > 1:
                found += [i for i, value in here.items() if value == max(here.values())]
        return tuple(found)

    def labels(self) -> tuple[str, ...]:
        """A name for each row, with the marks of its footnotes: `concat · text [1]`."""
        marks = self._marks()
        return tuple(
            " · ".join(row.cells) + "".join(f" {marks[text]}" for text in (_features(row), row.note) if text in marks)
            for row in self.rows
        )

    def notes(self) -> tuple[str, ...]:
        """What holds for the figures: shared facts first, then marked footnotes, then the measures' definitions."""
        facts, sources, marks = self._facts(), list(dict.fromkeys(map(_features, self.rows))), self._marks()
        one = [row for row in self.rows if len(row.seeds) == 1]
        brackets = self.rows[0].interval
        if one and len(one) < len(self.rows):
            brackets = "95 % t interval over seeds, for rows of one seed 95 % bootstrap interval over clips"
        elif len({row.interval for row in self.rows}) > 1:
            brackets = "95 % t interval over the row's seeds"
        said = {
            "split": "split {}",
            "n": "n = {} clips",
            "seeds": "seeds {}" if len(self.rows[0].seeds) > 1 else "seed {}",
        }
        same = [said[name].format(values[0]) for name, values in facts.items() if len(set(values)) == 1]
        lines = [f"All figures: {', '.join(same)}; in brackets: {brackets}." if same else f"In brackets: {brackets}."]
        lines += [f"Features: {sources[0]}."] if len(sources) == 1 else []
        lines += [f"{mark} {'features: ' if text in sources else ''}{text}." for text, mark in marks.items()]
        lines += [f"{name}: {definition}" for name, definition in self.measures.items()]
        return tuple(lines)

    def markdown(self) -> str:
        """The table with its footnotes; what all rows share is said once, what differs becomes a column."""
        facts, marks = self._facts(), self._marks()
        differ = [name for name, values in facts.items() if len(set(values)) > 1]
        head = [*self.columns, *differ, *self.measures]
        lines = [f"**{self.title}**", "", _line(head), f"|{'---|' * len(head)}"]
        best = {measure: self.best(measure) for measure in self.measures}
        for place, row in enumerate(self.rows):
            refs = "".join(f" {marks[text]}" for text in (_features(row), row.note) if text in marks)
            values = [_value(row.values[measure], place in best[measure]) for measure in self.measures]
            values[0] += refs if not row.cells else ""
            cells = [*row.cells[:-1], row.cells[-1] + refs] if row.cells else []
            lines.append(_line([*cells, *(facts[name][place] for name in differ), *values]))
        lines += ["", *(f"{note}  " for note in self.notes())]  # two spaces keep each note on its own line
        if any(best.values()):
            lines.append(f"Bold: {BEST}")
        return "\n".join(lines).rstrip()

    def csv(self) -> str:
        """One line per number, with everything that belongs to it, at full precision; undefined values are empty."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            [
                *self.columns,
                "measure",
                "value",
                "low",
                "high",
                "interval",
                "split",
                "n",
                "seeds",
                "features",
                "note",
                "definition",
            ]
        )
        for row in self.rows:
            for measure, definition in self.measures.items():
                i = row.values[measure]
                numbers = ["" if math.isnan(x) else repr(float(x)) for x in (i.value, i.low, i.high)]
                seeds = " ".join(map(str, row.seeds))
                about = [row.interval, row.split, row.n, seeds, _features(row), row.note, definition]
                writer.writerow([*row.cells, measure, *numbers, *about])
        return out.getvalue()

    def write(self, folder: Path, name: str) -> tuple[Path, ...]:
        """`name.md` and `name.csv`, and `name.png` where matplotlib is installed; by rename.

        Returns:
            The files written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        written = [
            _replace(folder / f"{name}.md", (self.markdown() + "\n").encode()),
            _replace(folder / f"{name}.csv", self.csv().encode()),
        ]
        if find_spec("matplotlib") is None:
            return tuple(written)
        from merkit.evaluation.picture import picture_of

        return (*written, _replace(folder / f"{name}.png", picture_of(self)))

    def _facts(self) -> dict[str, list[str]]:
        return {
            "split": [row.split for row in self.rows],
            "n": [str(row.n) for row in self.rows],
            "seeds": [_seeds(row.seeds) for row in self.rows],
        }

    def _marks(self) -> dict[str, str]:
        """Text of a footnote that holds for some rows -> its mark."""
        sources = list(dict.fromkeys(_features(row) for row in self.rows))
        notes = list(dict.fromkeys(row.note for row in self.rows if row.note))
        return {text: f"[{i + 1}]" for i, text in enumerate([*(sources if len(sources) > 1 else []), *notes])}


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _value(interval: Interval, best: bool) -> str:
    if math.isnan(interval.value):
        return "undefined"
    text = str(interval) if not math.isnan(interval.low) else f"{interval.value:.3f}".removeprefix("0")
    return f"**{text}**" if best else text


def _seeds(seeds: tuple[int, ...]) -> str:
    return ", ".join(map(str, seeds))


def _features(row: ResultRow) -> str:
    return ", ".join(f"{modality} = {source}" for modality, source in row.features.items())


def _replace(path: Path, content: bytes) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path
