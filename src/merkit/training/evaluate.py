"""What a run is worth on a split: measures with intervals, over seeds and as an ensemble. The one reader of `test`.

Every reading of a test split is counted in the run's record and shown with its figures.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from merkit.data.table import ClipTable
from merkit.errors import ConfigError
from merkit.evaluation.bootstrap import Interval
from merkit.evaluation.measures import interval_of, measure_all
from merkit.evaluation.seeds import seed_interval
from merkit.schema import TargetSpec
from merkit.training.answering import Answering, Told, answers_of
from merkit.training.config import data_key
from merkit.training.panel import seen_of, weights_of
from merkit.training.predictions import Predictions, ensemble
from merkit.training.prior import training_prior
from merkit.training.run import Run, write_json

__all__ = ["Evaluation", "Predictions", "ensemble", "evaluate_runs", "predictions_of"]

Missing = Literal["model", "prior"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Figures of one or several runs on one split.

    Args:
        name: of the run, or `ensemble of …`.
        split: which.
        n: clips.
        seeds: runs that the figures are a mean of.
        measures: `target.measure` -> interval: over clips (bootstrap) for one run, over seeds (t) for several.
        readings: how often this run's test split has been read, this time included; 0 for other splits.
        clustered: whether the bootstrap drew whole groups (speakers, dialogues).
        answering: how answers were made, where not in the plain way: `views12-T0.1`.
    """

    name: str
    split: str
    n: int
    seeds: int
    measures: Mapping[str, Interval]
    readings: int = 0
    clustered: bool = False
    answering: str = ""

    @property
    def interval(self) -> str:
        """What the brackets hold."""
        if self.seeds > 1:
            return f"95 % t interval over {self.seeds} seeds"
        return f"95 % bootstrap interval over {'whole groups' if self.clustered else 'clips'}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; NaN becomes null."""
        return {
            "name": self.name,
            "split": self.split,
            "answering": self.answering,
            "n": self.n,
            "seeds": self.seeds,
            "interval": self.interval,
            "measures": {
                key: [None if math.isnan(v) else round(v, 6) for v in (i.value, i.low, i.high)]
                for key, i in self.measures.items()
            },
            "test_readings": self.readings,
        }


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
        table.groups.get(run.config.data.split.by, table.dialogue),
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
    """Evaluates runs; several seeds also as mean and as ensemble, several runs also together as one ensemble.

    Args:
        paths: runs, each of one or of several seeds.
        root: another folder of the same layout; none = the one of training.
        split: which. `test` is counted.
        draws: bootstrap resamples.
        how: views, power, calibration, device; None = one view, calibrated, on the CPU. Figures of another way of answering
            are kept beside those of the plain one.
        weights: of each network of each run, in the ensemble of several runs; none = 1 each.
        missing: see `predictions_of`.
        told: of progress, in views of clips of one network.

    Raises:
        ConfigError: the data lacks the split or what the runs need.
        StoreError: a run is not finished.
    """
    how, found = how or Answering(), []
    way = "-".join(part for part in (how.label, "prior" if missing == "prior" else "") if part)
    file = f"{split}-{way}" if way else split
    by_run = weights_of(weights, len(paths))
    together: list[tuple[Predictions, Run, float]] = []
    tables: dict[str, ClipTable] = {}
    for path, weight in zip(paths, by_run, strict=True):
        top, begun = Run(path), len(found)
        singles: list[tuple[Predictions, Run]] = []
        for run in top.seeds():
            key = data_key(run.system.name, run.config)
            if key not in tables:
                tables[key] = run.system.load(run.config, root=root, split=split)
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
        if len(singles) > 1:
            per_seed = [points(made, run.specs) for made, run in singles]
            over = {key: seed_interval([row[key] for row in per_seed]) for key in per_seed[0]}
            found.append(
                Evaluation(str(path), split, len(singles[0][0].ids), len(singles), over, readings, answering=way)
            )
        name = str(path) if len(singles) == 1 else f"ensemble of {len(singles)} seeds"
        found.append(_of(name, split, ensemble([made for made, _ in singles]), singles[0][1], draws, readings, way))
        write_json([item.to_dict() for item in found[begun:]], top.path / f"evaluation-{file}.json")
        together += [(made, run, weight) for made, run in singles]
    if len(paths) > 1:
        whole = ensemble([made for made, _, _ in together], [weight for _, _, weight in together])
        found.append(_of(f"ensemble of {len(together)} networks", split, whole, together[0][1], draws, 0, way))
    return found


def _persons(valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(m,)` clips and `(m,)` places of the persons of whom anything is known, in order."""
    clip, place = np.nonzero(valid if valid.ndim == 2 else valid.any(axis=-1))
    return clip, place


def _of(name: str, split: str, made: Predictions, run: Run, draws: int, readings: int, way: str) -> Evaluation:
    figures = _intervals(made, [spec for spec in run.specs if spec.name in made.output], draws)
    return Evaluation(name, split, len(made.ids), 1, figures, readings, made.groups is not None, way)


def points(made: Predictions, specs: Sequence[TargetSpec]) -> dict[str, float]:
    """`target.measure` -> value."""
    return {
        f"{spec.name}.{name}": value
        for spec in specs
        for name, value in measure_all(
            spec, made.output[spec.name], made.target[spec.name], made.valid[spec.name]
        ).items()
    }


def _intervals(made: Predictions, specs: Sequence[TargetSpec], draws: int) -> dict[str, Interval]:
    return {
        f"{spec.name}.{name}": interval
        for spec in specs
        for name, interval in interval_of(
            spec,
            made.output[spec.name],
            made.target[spec.name],
            made.valid[spec.name],
            groups=made.units(spec.name),
            draws=draws,
        ).items()
    }
