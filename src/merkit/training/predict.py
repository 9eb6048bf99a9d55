"""Answers of a trained run for clips that nobody has labelled: per clip and per person, as calibrated probabilities."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from merkit.data.table import ClipTable, TokenColumn
from merkit.errors import ConfigError
from merkit.training.config import data_key
from merkit.training.fit import loader_for
from merkit.training.measuring import probabilities
from merkit.training.predicted import Predicted
from merkit.training.run import Run

__all__ = ["predict_run", "unlabelled"]

# streams whose tokens belong to persons, whoever made them
_PERSONAL = ("face", "lines")
# groups that say what a clip is of
_FILMS = ("movie", "video", "dialogue")


def predict_run(path: Path, root: Path, *, other_features: bool = False) -> Predicted:
    """Answers of a run for all clips of a folder; several seeds answer as their mean.

    Logits become probabilities with the temperature that each network was given on its valid split. Targets that the folder
    may hold are not looked at.

    Args:
        path: the run, of one or several seeds.
        root: a prepared folder, or one of arrays as the run's config names them.
        other_features: go on where features come from another extractor than those of training.

    Raises:
        ConfigError: the folder lacks what the run looks at, or its features are others than those of training.
        StoreError: the run is not finished.
    """
    top, tables = Run(path), {}
    runs = top.seeds()
    made: list[dict[str, np.ndarray]] = []
    warnings: list[str] = []
    for run in runs:
        config = unlabelled(run.config)
        key = data_key(run.system.name, config)
        if key not in tables:
            tables[key] = _fitting(run, run.system.load(config, root=root), warnings, other_features)
        made.append(_outputs(run, tables[key]))
    if len(tables) > 1:
        raise ConfigError(f"{path}: its seeds read their data in different ways and cannot answer together")
    table, specs = next(iter(tables.values())), runs[0].specs
    modalities = tuple(runs[0].record["modalities"])
    owner, place = _persons(table, modalities)
    asked = [spec.name for spec in specs if spec.per_entity]
    who = np.array([_name(table, row, entity) for row, entity in zip(owner, place, strict=True)], str)
    seen = np.zeros(len(table), bool)
    for name in modalities:
        column = table.streams[name]
        seen[column.clip[column.lengths > 0]] = True
    if not seen.all():
        warnings.append(f"{int((~seen).sum())} of {len(seen)} clips hold nothing that the run looks at: no answer")
    film, span = _places(table, root)
    return Predicted(
        str(path),
        runs[0].system.name,
        len(runs),
        specs,
        table.ids,
        film,
        span,
        seen,
        {spec.name: np.mean([each[spec.name] for each in made], axis=0) for spec in specs},
        dict.fromkeys(asked, owner),
        dict.fromkeys(asked, who),
        tuple(dict.fromkeys(warnings)),
    )


def unlabelled(config: Any) -> Any:
    """A run's config for a folder without labels and splits, of which everything is taken.

    Example:
        >>> from merkit.systems.fusion import FusionConfig
        >>> unlabelled(FusionConfig(data={"targets": ["emotion"], "num_data": 8})).data.num_data
        0
    """
    data = config.data
    kept = {name: type(data).model_fields[name].get_default() for name in ("split", "store", "num_data", "modalities")}
    groups = {kind: column for kind, column in data.arrays.groups.items() if kind in _FILMS}
    arrays = data.arrays.model_copy(update={"targets": {}, "split": "", "groups": groups})
    return config.model_copy(update={"data": data.model_copy(update={**kept, "targets": (), "arrays": arrays})})


def _fitting(run: Run, table: ClipTable, warnings: list[str], other_features: bool) -> ClipTable:
    """The table with every stream of the run, and no other; what the folder lacks is absent from every clip."""
    if not len(table):
        raise ConfigError(f"{table.name} has no clips")
    record = run.record
    trained = record["data"].get("provenance", {})
    streams: dict[str, TokenColumn] = {}
    for name in record["modalities"]:
        width, column = record["widths"][name], table.streams.get(name)
        if column is None or not len(column.x):
            warnings.append(f"the run looks at {name}, of which there is nothing here")
            nothing = np.zeros(0, np.int64)
            column = TokenColumn(
                np.zeros((0, width), np.float32),
                np.zeros(1, np.int64),
                nothing,
                nothing,
                np.zeros(0),
                name in _PERSONAL,
            )
        elif column.width != width:
            raise ConfigError(f"{name} features are {column.width} wide; {run.path} was trained with {width}")
        else:
            here = table.provenance[name].source if name in table.provenance else None
            there = trained.get(name, {}).get("source")
            if here and there and here.split(";")[0] != there.split(";")[0]:
                said = f"{name} features are {here}; {run.path} was trained with {there}"
                if not other_features:
                    raise ConfigError(f"{said}. Answers would mean nothing (--other-features goes on in spite of it)")
                warnings.append(said)
        streams[name] = column
    if not any(len(column.x) for column in streams.values()):
        raise ConfigError(f"{table.name} holds nothing of what {run.path} looks at: {', '.join(streams)}")
    return replace(table, streams=streams, targets={})


@torch.inference_mode()
def _outputs(run: Run, table: ClipTable) -> dict[str, np.ndarray]:
    """target -> probabilities `(n, K)`, or `(m, K)` of the persons that are there."""
    config, model, modalities = run.config, run.model(), tuple(run.record["modalities"])
    loader, _ = loader_for(
        table,
        modalities,
        config.trainer,
        context=(config.data.earlier, config.data.later),
        with_targets=False,
        sampling=run.system.sampling(config, table),
    )
    owner, place = _persons(table, modalities)
    parts: dict[str, list[np.ndarray]] = {spec.name: [] for spec in run.specs}
    first = 0
    for batch in loader:
        logits = model(batch)
        here = np.flatnonzero((owner >= first) & (owner < first + batch.size))
        for spec in run.specs:
            logit = logits[spec.name].float()
            if spec.per_entity:
                logit = logit[owner[here] - first, place[here]]
            parts[spec.name].append(logit.cpu().numpy())
        first += batch.size
    temperature = run.record.get("temperature", {})
    return {
        spec.name: probabilities(np.concatenate(parts[spec.name]), spec, temperature.get(spec.name, 1.0))
        for spec in run.specs
    }


def _persons(table: ClipTable, modalities: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """`(m,)` clips and `(m,)` places of the persons that any of the streams shows, in order."""
    pairs: set[tuple[int, int]] = set()
    for name in modalities:
        column = table.streams[name]
        if column.per_entity:
            there = column.lengths > 0
            pairs |= set(zip(column.clip[there].tolist(), column.entity[there].tolist(), strict=True))
    found = sorted(pair for pair in pairs if _name(table, *pair))
    return np.array([row for row, _ in found], np.int64), np.array([entity for _, entity in found], np.int64)


def _name(table: ClipTable, row: int, entity: int) -> str:
    """Who is at that place of a clip; empty where it is the clip as a whole."""
    names = () if table.entities is None else table.entities[row]
    return str(names[entity]) if entity < len(names) else f"entity_{entity + 1}"


def _places(table: ClipTable, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """What each clip is of, `(n,)`, and where in it, `(n, 2)` seconds."""
    film = next((table.groups[kind] for kind in _FILMS if kind in table.groups), None)
    span = np.full((len(table), 2), np.nan)
    if root.suffix == ".parquet" or (root / "manifest.parquet").is_file():
        from merkit.corpora.storage import read_manifest

        spans = {clip.id: clip.span for clip in read_manifest(root).clips if clip.span is not None}
        for row, clip in enumerate(table.ids):
            span[row] = spans.get(str(clip), (np.nan, np.nan))
    return (np.full(len(table), "") if film is None else film), span
