"""Answers of trained runs for clips that nobody has labelled: per clip and per person, as calibrated probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from merkit.data.table import ClipTable
from merkit.training.answering import Answering, Told, answers_of, views_of
from merkit.training.panel import Member, Panel, open_panel, seen_of
from merkit.training.predicted import Predicted
from merkit.training.prior import training_prior
from merkit.training.tempering import weighted_mean
from merkit.training.unlabelled import FILMS, unlabelled

__all__ = ["predict_panel", "predict_run", "predict_runs", "unlabelled"]


def predict_run(path: Path, root: Path, *, other_features: bool = False) -> Predicted:
    """Answers of one run for all clips of a folder; several seeds answer as their mean. See `predict_runs`."""
    return predict_runs([path], root, other_features=other_features)


def predict_runs(
    paths: Sequence[Path],
    root: Path,
    *,
    how: Answering | None = None,
    weights: Sequence[float] = (),
    targets: Sequence[str] = (),
    missing: Literal["none", "prior"] = "none",
    other_features: bool = False,
    kept: Path | None = None,
    told: Told = lambda done, total, last: None,
) -> Predicted:
    """Answers of runs for all clips of a folder: the mean over all their networks, and over views of the pictures.

    Logits become probabilities with the temperature that each network was given on its valid split. Targets that the folder
    may hold are not looked at.

    Args:
        paths: runs of one or several seeds that answer the same questions; they may look at different modalities.
        root: a prepared folder, or one of arrays as the runs' configs name them.
        how: views, power, calibration, device; None = one view, calibrated, on the CPU.
        weights: of each network of each run; none = 1 each.
        targets: the questions; none = all, which must be the same for every run.
        missing: what clips get that show nothing: `none` = no answer, `prior` = the shares of the training labels.
        other_features: go on where features come from another extractor than those of training.
        kept: folder for what was answered so far, from which a stopped call goes on.
        told: of progress, in views of clips.

    Raises:
        ConfigError: the folder lacks what the runs look at, or its features are others than those of training, or the runs
            cannot answer together.
        StoreError: a run is not finished.
    """
    panel = open_panel(paths, root, weights=weights, targets=targets, other_features=other_features)
    return predict_panel(panel, how or Answering(), missing=missing, kept=kept, told=told)


def predict_panel(
    panel: Panel,
    how: Answering,
    *,
    missing: Literal["none", "prior"] = "none",
    kept: Path | None = None,
    told: Told = lambda done, total, last: None,
) -> Predicted:
    """Answers of an opened panel (`merkit.training.panel.open_panel`); arguments as of `predict_runs`.

    A network that sees nothing of a clip is left out of that clip's mean: its guess would dilute what others have seen.
    """
    warnings, members = [*panel.warnings], panel.members
    persons = [_persons(member) for member in members]
    keys = sorted({key: place for found in reversed(persons) for key, place in found.items()}.items(), key=_by_place)
    union = {key: i for i, (key, _) in enumerate(keys)}
    sizes = [len(views_of(member.run, member.table, how)) * len(panel.ids) for member in members]
    made: list[dict[str, np.ndarray]] = []
    for i, (member, found) in enumerate(zip(members, persons, strict=True)):
        before = sum(sizes[:i])
        places = (np.array([row for row, _ in found], np.int64), np.array(list(found.values()), np.int64))
        answered = answers_of(
            member.run,
            member.table,
            {spec.name: places for spec in member.run.specs if spec.per_entity},
            how,
            kept=kept,
            told=lambda done, total, last, before=before: told(before + done, sum(sizes), last),
        )
        made.append(answered)
    output: dict[str, np.ndarray] = {}
    by_clip = [seen_of(member.table.streams, len(member.table)) for member in members]
    weights = [member.weight for member in members]
    for spec in panel.specs:
        each, heard = [answered[spec.name] for answered in made], by_clip
        if spec.per_entity:
            at = [np.array([union[key] for key in found], np.int64) for found in persons]
            each = [_spread(values, rows, len(union)) for values, rows in zip(each, at, strict=True)]
            heard = [np.isin(np.arange(len(union)), rows) for rows in at]
        alike = all(np.array_equal(mask, heard[0]) for mask in heard)
        output[spec.name] = weighted_mean(each, weights, None if alike else heard)
    seen = np.any(by_clip, axis=0)
    warnings += _said(panel, how, by_clip, missing)
    prior: dict[str, np.ndarray] = {}
    if missing == "prior":
        shares = [training_prior(member.run) for member in members]
        for spec in panel.specs:
            prior[spec.name] = np.average([share[spec.name] for share in shares], axis=0, weights=weights)
            if not spec.per_entity:
                output[spec.name] = np.where(seen[:, None], output[spec.name], prior[spec.name])
    film, span = _places(members[0].table, panel.root)
    owner, who = np.array([row for row, _ in union], np.int64), np.array([name for _, name in union], str)
    asked = [spec.name for spec in panel.specs if spec.per_entity]
    return Predicted(
        ", ".join(map(str, panel.paths)),
        ", ".join(dict.fromkeys(member.run.system.name for member in members)),
        len(members),
        panel.specs,
        panel.ids,
        film,
        span,
        seen,
        output,
        dict.fromkeys(asked, owner),
        dict.fromkeys(asked, who),
        tuple(dict.fromkeys(warnings)),
        views=max(sizes) // max(len(panel.ids), 1),
        power=how.power,
        prior=prior,
    )


def _said(panel: Panel, how: Answering, by_clip: list[np.ndarray], missing: str) -> list[str]:
    """What a reader of the answers must know of how they were made."""
    said = []
    seen = np.any(by_clip, axis=0)
    if not seen.all():
        then = "they get the shares of the training labels" if missing == "prior" else "no answer"
        said.append(f"{int((~seen).sum())} of {len(seen)} clips hold nothing that the run looks at: {then}")
    for member, own in zip(panel.members, by_clip, strict=True):
        if count := int((seen & ~own).sum()):
            said.append(f"{count} clips hold nothing that {member.run.path} looks at: they are left to the others")
        if how.views not in ("none", "1") and len(views_of(member.run, member.table, how)) == 1:
            said.append(f"{member.run.path} looks at no pictures here: one view of each clip")
    if how.power != 1.0:
        said.append(f"probabilities are tempered (T={how.power:g}): their order counts, their size does not")
    return said


def _by_place(item: tuple[tuple[int, str], int]) -> tuple[int, int, str]:
    (row, name), place = item
    return row, place, name


def _persons(member: Member) -> dict[tuple[int, str], int]:
    """Persons that any stream of the member shows, in order: (row of the clip, who) -> place in the clip."""
    if not any(spec.per_entity for spec in member.run.specs):
        return {}
    pairs: set[tuple[int, int]] = set()
    for column in member.table.streams.values():
        if column.per_entity:
            there = column.lengths > 0
            pairs |= set(zip(column.clip[there].tolist(), column.entity[there].tolist(), strict=True))
    found = {(row, _name(member.table, row, place)): place for row, place in sorted(pairs)}
    return {key: place for key, place in found.items() if key[1]}


def _spread(values: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    spread = np.zeros((count, *values.shape[1:]), values.dtype)
    spread[rows] = values
    return spread


def _name(table: ClipTable, row: int, entity: int) -> str:
    """Who is at that place of a clip; empty where it is the clip as a whole."""
    names = () if table.entities is None else table.entities[row]
    return str(names[entity]) if entity < len(names) else f"entity_{entity + 1}"


def _places(table: ClipTable, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """What each clip is of, `(n,)`, and where in it, `(n, 2)` seconds."""
    film = next((table.groups[kind] for kind in FILMS if kind in table.groups), None)
    span = np.full((len(table), 2), np.nan)
    if root.suffix == ".parquet" or (root / "manifest.parquet").is_file():
        from merkit.corpora.storage import read_manifest

        spans = {clip.id: clip.span for clip in read_manifest(root).clips if clip.span is not None}
        for row, clip in enumerate(table.ids):
            span[row] = spans.get(str(clip), (np.nan, np.nan))
    return (np.full(len(table), "") if film is None else film), span
