"""Everything that is counted of a corpus, as tables, JSON, CSV, pictures and one page."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.atomic import replacing
from merkit.report.corpus.contents import turn_sections, word_sections
from merkit.report.corpus.labels import label_sections
from merkit.report.corpus.reading import CountedCorpus, read_counted
from merkit.report.corpus.section import Section
from merkit.report.corpus.sizes import size_sections
from merkit.report.notice import NOTICE_SHORT

if TYPE_CHECKING:
    from merkit.report.figures import Drawing

__all__ = ["CorpusStatistics", "corpus_statistics", "sections_of"]

_FACTS = ("title", "licence", "citation", "people", "source")


@dataclass(frozen=True, slots=True, eq=False)
class CorpusStatistics:
    """What `merkit corpora --stats` says.

    Args:
        name: the corpus.
        facts: title, licence, citation, people, where the manifest has them.
        labels_of: the splits whose labels were counted.
        splits: split -> clips.
        sections: the tables.
        rejected: clips that `merkit prepare` left out.
    """

    name: str
    facts: Mapping[str, Any]
    labels_of: tuple[str, ...]
    splits: Mapping[str, int]
    sections: tuple[Section, ...]
    rejected: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON types: the tables by name, each a list of rows by column."""
        return {
            "name": self.name,
            "facts": dict(self.facts),
            "splits": dict(self.splits),
            "labels_of": list(self.labels_of),
            "left_out": self.rejected,
            "tables": {section.name: section.records() for section in self.sections},
            "notes": {section.name: list(section.notes) for section in self.sections if section.notes},
            "notice": NOTICE_SHORT,
        }

    def write(self, folder: Path) -> list[Path]:
        """`statistics.html`, `statistics.json`, `tables/NAME.csv` and `pictures/NAME.png`, `.svg` and `.csv`.

        Returns:
            The files, the page first.

        Raises:
            ConfigError: matplotlib is not installed; nothing is written then.
        """
        from merkit.report.corpus.page import page
        from merkit.report.figures.drawing import style

        with style():  # an error now rather than after half of the files
            pass
        drawn: dict[str, list[Drawing]] = {
            section.name: section.drawings() if section.drawings is not None else [] for section in self.sections
        }
        files: list[Path] = []
        pictures: dict[str, list[Path]] = {}
        for name, drawings in drawn.items():
            for drawing in drawings:
                made = drawing.write(folder / "pictures")
                files += made
                pictures.setdefault(name, []).append(made[1])
        for section in self.sections:
            files.append(_text(folder / "tables" / f"{section.name}.csv", section.csv()))
        told = json.dumps(self.to_dict(), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        files.append(_text(folder / "statistics.json", told))
        return [_text(folder / "statistics.html", page(self, pictures)), *files]


def _text(path: Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def corpus_statistics(
    source: Path,
    *,
    split: str | None = None,
    headers: bool = False,
    progress: Callable[[int, int, str], object] | None = None,
) -> CorpusStatistics:
    """Counts a prepared corpus; see `read_counted` for the arguments and errors."""
    return sections_of(read_counted(source, split=split, headers=headers, progress=progress))


def sections_of(corpus: CountedCorpus) -> CorpusStatistics:
    """The same of clips in memory."""
    sections = (*size_sections(corpus), *label_sections(corpus), *turn_sections(corpus), *word_sections(corpus))
    return CorpusStatistics(
        corpus.name,
        {key: corpus.facts[key] for key in _FACTS if corpus.facts.get(key)},
        tuple(corpus.labelled),
        {split: int(here.sum()) for split, here in corpus.splits.items()},
        sections,
        corpus.rejected,
    )
