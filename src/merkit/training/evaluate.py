"""What a run is worth on a split: measures with intervals, over seeds and as an ensemble. The one reader of `test`.

Every reading of a test split is counted in the run's record and shown with its figures.
"""

import hashlib
import logging
import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from merkit.data.table import ClipTable
from merkit.errors import ConfigError
from merkit.evaluation.seeds import seed_interval
from merkit.training.answering import Answering, Told, answers_of
from merkit.training.config import data_key
from merkit.training.evaluated import Evaluation, evaluation_of, points
from merkit.training.folds import are_folds, over_folds, side_by_side
from merkit.training.panel import seen_of, weights_of
from merkit.training.predictions import Predictions, ensemble
from merkit.training.prior import training_prior
from merkit.training.run import Run, write_json
from merkit.training.trained_on import other_features_of

__all__ = ["Evaluation", "Predictions", "elsewhere", "ensemble", "evaluate_runs", "predictions_of"]

Missing = Literal["model", "prior"]
_log = logging.getLogger(__name__)


def elsewhere(run: Run, root: Path | None) -> str:
    """What the names of files about another folder than the run's own data end in, `@NAME-<8 hex of its path>`; empty for its
    own. Figures read the files of the run's own data alone, and so does `merkit compare` that is given no folder.
    """
    if root is None or root.resolve() == Path(run.config.data.root).resolve():
        return ""
    where = root.resolve()
    name = re.sub(r"[^\w.+-]+", "-", where.name)
    return f"@{name}-{hashlib.sha256(str(where).encode()).hexdigest()[:8]}"


def predictions_of(
    run: Run,
    table: ClipTable,
    how: Answering | None = None,
    *,
    missing: Missing = "model",
    kept: Path | None = None,
    told: Told = lambda done, total, last: None,
) -> Predictions:
    """Answers of one run for all clips of `table`.

    Args:
        run: of one seed.
        table: with targets.
        how: views, power, calibration, device; None = one view, calibrated, on the CPU.
        missing: what clips get that show nothing: what the `model` says of nothing, or the `prior`: the shares of the
            training labels.
        kept: folder for what was answered so far, from which a stopped call goes on.
        told: of progress, in views of clips.

    Raises:
        ConfigError: the table lacks what the run looks at or answers.
    """
    modalities = tuple(run.record["modalities"])
    if lacking := [name for name in modalities if name not in table.streams]:
        raise ConfigError(f"{run.path} was trained with {', '.join(lacking)}, which {table.name} lacks")
    for name, width in run.record["widths"].items():
        if table.streams[name].width != width:
            raise ConfigError(
                f"{name} features are {table.streams[name].width} wide; {run.path} was trained with {width}"
            )
    _tell_other_features(run, table)
    for spec in run.specs:
        here = table.targets.get(spec.name)
        if here is None or here.spec != spec:
            asked = "nothing" if here is None else f"{here.spec.kind} over {', '.join(here.spec.labels)}"
            raise ConfigError(
                f"{run.path} answers {spec.name} ({spec.kind} over {', '.join(spec.labels)}); {table.name} asks {asked}"
            )
    columns = {spec.name: table.targets[spec.name] for spec in run.specs}
    known = {name: _persons(column.valid) for name, column in columns.items() if column.spec.per_entity}
    output = answers_of(run, table, known, how or Answering(), with_targets=True, kept=kept, told=told)
    streams = {name: table.streams[name] for name in modalities}
    seen = {spec.name: seen_of(streams, len(table), known.get(spec.name)) for spec in run.specs}
    if missing == "prior":
        prior = training_prior(run)
        output = {name: np.where(seen[name][:, None], value, prior[name]) for name, value in output.items()}
    return Predictions(
        table.ids,
        output,
        {name: column.value[known[name]] if name in known else column.value for name, column in columns.items()},
        {name: column.valid[known[name]] if name in known else column.valid for name, column in columns.items()},
        _units(table.groups.get(run.config.data.split.by, table.dialogue), table.ids),
        {name: owner for name, (owner, _) in known.items()},
        seen,
    )


def evaluate_runs(
    paths: Sequence[Path],
    *,
    root: Path | None = None,
    split: str = "test",
    draws: int = 1000,
    how: Answering | None = None,
    weights: Sequence[float] = (),
    missing: Missing = "model",
    told: Told = lambda done, total, last: None,
) -> list[Evaluation]:
    """Evaluates runs; several seeds also as mean and as ensemble, several runs also together: as one ensemble where they
    answered for the same clips, as folds where none answered for a clip of another (mean over folds, and all clips at once).

    Args:
        paths: runs, each of one or of several seeds.
        root: another folder of the same layout; none = the one of training. What is written about it has its name in the
            file names, see `elsewhere`, beside what is known of the run's own data.
        split: which. `test` is counted.
        draws: bootstrap resamples.
        how: views, power, calibration, device; None = one view, calibrated, on the CPU. Figures of another way of answering
            are kept beside those of the plain one.
        weights: of each network of each run, in the ensemble of several runs; none = 1 each.
        missing: see `predictions_of`.
        told: of progress, in views of clips of one network.

    Raises:
        ConfigError: the data lacks the split or what the runs need; several runs answered for some clips in common and for
            others not; weights for folds.
        StoreError: a run is not finished.
    """
    how, found = how or Answering(), []
    way = "-".join(part for part in (how.label, "prior" if missing == "prior" else "") if part)
    kind = f"{split}-{way}" if way else split
    bootstrap: dict[str, Any] = {"draws": draws, "answering": way}
    by_run = weights_of(weights, len(paths))
    together: list[tuple[Predictions, Run, float]] = []
    folds: list[Predictions] = []
    by_fold: list[dict[str, float]] = []
    tables: dict[str, ClipTable] = {}
    for path, weight in zip(paths, by_run, strict=True):
        top, begun = Run(path), len(found)
        tag = elsewhere(top, root)
        file, where = f"{kind}{tag}", str(root.resolve() if root and tag else top.config.data.root)
        singles: list[tuple[Predictions, Run]] = []
        for run in top.seeds():
            key = data_key(run.system.name, run.config)
            if key not in tables:
                tables[key] = run.system.load(run.config, root=root if tag else None, split=split)
            kept = run.path / "predictions" / "so-far" if way else None
            made = predictions_of(run, tables[key], how, missing=missing, kept=kept, told=told)
            made.save(run.path / "predictions" / f"{file}.npz")
            if kept is not None:
                shutil.rmtree(kept, ignore_errors=True)
            singles.append((made, run))
        readings = 0
        if split == "test":
            for made, run in singles:
                point = {key: value for key, value in points(made, run.specs).items() if not math.isnan(value)}
                told_how = {"answering": way} if way else {}
                readings = run.count_reading(str(root or run.config.data.root), len(made.ids), {**told_how, **point})
        per_seed = [points(made, run.specs) for made, run in singles]
        by_fold.append({key: float(np.mean([row[key] for row in per_seed])) for key in per_seed[0]})
        if len(singles) > 1:
            over = {key: seed_interval([row[key] for row in per_seed]) for key in per_seed[0]}
            found.append(
                Evaluation(str(path), split, len(singles[0][0].ids), len(singles), over, readings, answering=way)
            )
        name = str(path) if len(singles) == 1 else f"ensemble of {len(singles)} seeds"
        folds.append(ensemble([made for made, _ in singles]))
        found.append(evaluation_of(name, split, folds[-1], singles[0][1].specs, readings=readings, **bootstrap))
        about = [{**item.to_dict(), "root": where} for item in found[begun:]]
        write_json(about, top.path / f"evaluation-{file}.json")
        together += [(made, run, weight) for made, run in singles]
    corpora = {run.record["data"]["name"] for _, run, _ in together}
    if len(corpora) == 1 and are_folds(folds):
        if len(weights):
            raise ConfigError(
                "--weight is of networks that answer together; these runs answered for clips of their own"
            )
        whole, count = side_by_side(folds), len(folds)
        found += [
            Evaluation(
                f"mean of {count} folds", split, len(whole.ids), 1, over_folds(by_fold), answering=way, folds=count
            ),
            evaluation_of(f"all clips of {count} folds", split, whole, together[0][1].specs, **bootstrap),
        ]
    elif len(paths) > 1:
        whole = ensemble([made for made, _, _ in together], [weight for _, _, weight in together])
        found.append(
            evaluation_of(f"ensemble of {len(together)} networks", split, whole, together[0][1].specs, **bootstrap)
        )
    return found


def _tell_other_features(run: Run, table: ClipTable) -> None:
    """Features of another extractor than those of training are told: figures about them say nothing of the run."""
    record = run.record
    for name in record["modalities"]:
        if other := other_features_of(record, table, name):
            _log.warning("%s: %s features are %s, and it was trained with %s", run.path, name, *other)


def _units(groups: np.ndarray | None, ids: np.ndarray) -> np.ndarray | None:
    """`(n,)` groups, in which a clip of no group is one of its own; None where no clip has one."""
    if groups is None or not (named := groups.astype(str) != "").any():
        return None
    return np.where(named, groups.astype(str), np.char.add("clip ", ids.astype(str)))


def _persons(valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(m,)` clips and `(m,)` places of the persons of whom anything is known, in order."""
    clip, place = np.nonzero(valid if valid.ndim == 2 else valid.any(axis=-1))
    return clip, place
