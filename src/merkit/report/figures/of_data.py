"""The figures of a labelled corpus: how often labels occur, how many at once, which together, who is in which scenes.

Answers of `test` are looked at only where that split is asked for.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merkit.errors import ConfigError
from merkit.evaluation.label_counts import (
    CoOccurrence,
    any_of_entities,
    co_occurrence,
    histogram,
    label_frequency,
    scenes_of_characters,
)
from merkit.report.figures.co_occurrence import co_occurrence_map
from merkit.report.figures.drawing import Drawing
from merkit.report.figures.statistics import character_bars, count_bars, frequency_bars

if TYPE_CHECKING:
    from merkit.data.table import ClipTable, TargetColumn

__all__ = ["data_figures", "read_table", "table_figures"]

# of a map: MovieGraphs has hundreds of words before a label set is chosen
_MOST_LABELS = 30
# numbered within one clip: the same number in two clips says nothing about who it is
_ANONYMOUS = re.compile(r"(person|character|face|track|speaker)?[ _-]?\d+|", re.IGNORECASE)


def data_figures(source: Path, *, split: str | None = None) -> tuple[list[Drawing], list[str]]:
    """Figures of a prepared corpus, or of the data of a run as it was trained on.

    Args:
        source: folder with a manifest (`merkit prepare`), a run, or a `config.json` of one.
        split: one split alone; None = train and valid. `test` must be asked for.

    Returns:
        The drawings, and in sentences what is not drawn and why.

    Raises:
        ConfigError: nothing of the kind there, or no clip in the split, or no label to count.
    """
    return table_figures(read_table(source, split), split=split)


def read_table(source: Path, split: str | None = None) -> "ClipTable":
    """The clips with their labels: of a prepared folder without features, of a run or config as its system loads them.

    Raises:
        ConfigError: neither.
    """
    from merkit.corpora import clip_table, read_manifest

    if source.suffix == ".parquet" or (source / "manifest.parquet").is_file():
        return clip_table(read_manifest(source))
    file = source / "config.json" if source.is_dir() else source
    if not file.is_file():
        raise ConfigError(f"{source}: neither a prepared corpus (manifest.parquet) nor a run (config.json)")
    from merkit.config import config_from
    from merkit.systems.system import find_system

    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        system, values = find_system(held["system"]), dict(held["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: not the config of a run ({error})") from None
    config = config_from(system.config, values)
    return system.load(config, split=split) if split == "test" else system.load(config)


def table_figures(table: "ClipTable", *, split: str | None = None) -> tuple[list[Drawing], list[str]]:
    """The same of a table in memory.

    Raises:
        ConfigError: no clip in the split, or no label to count.
    """
    parts = _parts(table, split)
    film = "movie" in table.groups
    scenes = film or any(name.startswith("scene") for name in table.targets)
    unit, persons = ("scenes", "characters") if scenes else ("clips", "persons")
    drawings, said = [], []
    counted = {name: column for name, column in table.targets.items() if _there(column) is not None}
    said += [
        f"{name}: {table.targets[name].spec.kind}, no labels to count." for name in set(table.targets) - set(counted)
    ]
    if not counted and table.entities is None:
        raise ConfigError(f"corpus {table.name} has no labels to count")
    of = f"{table.name} · {', '.join(parts)}"
    for name in counted:
        per = {part: _answers(part_table.targets[name]) for part, part_table in parts.items()}
        spec = table.targets[name].spec
        counts = {part: label_frequency(there, valid) for part, (there, valid) in per.items()}
        drawings.append(
            frequency_bars(
                spec.labels,
                counts,
                title=f"Frequency of {name} labels: {of}",
                name=f"label-frequency-{name}",
                unit=persons if spec.per_entity else unit,
            )
        )
    several = [name for name, column in counted.items() if column.spec.kind == "multi_label"]
    if several:
        drawings.append(_labels_at_once(several, parts, of, unit, persons))
    drawings += _persons(parts, of, unit, persons)
    if film:
        drawings += _character_frequency(parts, of, said)
    first, only = next(iter(parts.items()))
    drawings += _together(several, only, f"{table.name} · {first}", unit, persons)
    return drawings, said


def _parts(table: "ClipTable", split: str | None) -> dict[str, "ClipTable"]:
    """Split -> its clips; those of test only where they are asked for."""
    if split is not None:
        wanted = [split]
    else:
        wanted = [name for name in ("train", "valid") if (table.split == name).any()]
        if not wanted and not (table.split == "test").any():
            return {"all": table}
    found = {name: table.where(name) for name in wanted}
    if not found or not all(map(len, found.values())):
        raise ConfigError(f"corpus {table.name} has no clips in split {split or 'train or valid'}")
    return found


def _there(column: "TargetColumn") -> np.ndarray | None:
    """`(n, K)` or `(n, N, K)` bool, or None for targets that are no labels."""
    if column.spec.kind == "multi_label":
        return column.value > 0.5
    if column.spec.kind == "single_label":
        return column.value[..., None] == np.arange(len(column.spec.labels))
    return None


def _answers(column: "TargetColumn") -> tuple[np.ndarray, np.ndarray]:
    there = _there(column)
    assert there is not None
    valid = column.valid if column.spec.kind == "multi_label" else column.valid[..., None]
    return there, np.broadcast_to(valid, there.shape)


def _labels_at_once(names: list[str], parts: Mapping[str, "ClipTable"], of: str, unit: str, persons: str) -> Drawing:
    panels = {}
    for name in names:
        per_entity = next(iter(parts.values())).targets[name].spec.per_entity
        panel = f"{name}: per {(persons if per_entity else unit)[:-1]}"
        panels[panel] = {}
        for part, table in parts.items():
            there, valid = _answers(table.targets[name])
            panels[panel][part] = histogram((there & valid).sum(-1)[valid.any(-1)])
    return count_bars(
        panels, title=f"Labels at once: {of}", name=f"labels-per-{unit[:-1]}", unit="answers", what="labels"
    )


def _persons(parts: Mapping[str, "ClipTable"], of: str, unit: str, persons: str) -> list[Drawing]:
    """How many are in a clip: those that are known, and those that raters answered for."""
    panels: dict[str, dict[str, np.ndarray]] = {}
    for part, table in parts.items():
        if table.entities is not None:
            counts = np.array([sum(bool(name) for name in names) for names in table.entities])
            panels.setdefault(f"{persons} in a {unit[:-1]}", {})[part] = histogram(counts)
        for name, column in table.targets.items():
            if column.spec.per_entity and _there(column) is not None:
                counts = _answers(column)[1].any(-1).sum(1)
                panels.setdefault(f"{persons} with labels ({name})", {})[part] = histogram(counts)
    if not panels:
        return []
    title = f"{persons.capitalize()} per {unit[:-1]}: {of}"
    return [count_bars(panels, title=title, name=f"{persons}-per-{unit[:-1]}", unit=unit, what=persons)]


def _character_frequency(parts: Mapping[str, "ClipTable"], of: str, said: list[str]) -> list[Drawing]:
    movies: list[str] = []
    names: list[list[str]] = []
    for table in parts.values():
        if table.entities is None:
            return []
        movies += list(map(str, table.groups["movie"]))
        names += [[name for name in present if not _ANONYMOUS.fullmatch(name)] for present in table.entities]
    found = {movie: counts for movie, counts in scenes_of_characters(movies, names).items() if counts}
    if not found:
        said.append("Persons have no names, so who is in how many scenes is not known.")
        return []
    scenes = {movie: movies.count(movie) for movie in found}
    return [character_bars(found, scenes, title=f"Scenes of each named character: {of}", name="character-frequency")]


def _together(names: list[str], table: "ClipTable", of: str, unit: str, persons: str) -> list[Drawing]:
    """Co-occurrence within each target, and of what is said of a clip with what is said of its persons."""
    drawings = []
    flat, whole, labels, notes = {}, {}, {}, {}
    for name in names:
        column = table.targets[name]
        there, valid = _answers(column)
        chosen = np.sort(np.argsort(-label_frequency(there, valid)[0], kind="stable")[:_MOST_LABELS])
        there, valid = there[..., chosen], valid[..., chosen]
        labels[name] = [column.spec.labels[k] for k in chosen]
        notes[name] = ""
        if len(chosen) < len(column.spec.labels):
            notes[name] = f"Shown: the {_MOST_LABELS} most frequent of {len(column.spec.labels):,} labels of {name}."
        if column.spec.per_entity:
            known = valid.any(-1)
            flat[name], whole[name] = (there[known], valid[known]), any_of_entities(there, valid)
        else:
            flat[name] = whole[name] = (there, valid)
        who = persons if column.spec.per_entity else unit
        found = _found(flat[name], flat[name])
        title = f"Which labels of {name} come together: {of} · {len(flat[name][0]):,} {who}"
        drawings.append(
            co_occurrence_map(
                found, labels[name], labels[name], row_of=f"the {who[:-1]}", column_of=f"the same {who[:-1]}", title=title,
                name=f"co-occurrence-{name}", unit=who, same=True, note=notes[name],
            )
        )  # fmt: skip
    of_clips = [name for name in names if not table.targets[name].spec.per_entity]
    of_persons = [name for name in names if table.targets[name].spec.per_entity]
    for one in of_clips:
        for other in of_persons:
            title = f"Labels of the {unit[:-1]} and of its {persons}: {of} · {len(table):,} {unit}"
            note = f"Only {unit} of whose {persons} something is known. {notes[one]} {notes[other]}"
            drawings.append(
                co_occurrence_map(
                    _found(whole[one], whole[other]), labels[one], labels[other], row_of=f"the {unit[:-1]}",
                    column_of=f"at least one of its {persons}", title=title, name=f"co-occurrence-{one}-{other}", unit=unit,
                    note=note.strip(),
                )
            )  # fmt: skip
    return drawings


def _found(rows: tuple[np.ndarray, np.ndarray], columns: tuple[np.ndarray, np.ndarray]) -> CoOccurrence:
    return co_occurrence(rows[0], columns[0], rows[1], columns[1])
