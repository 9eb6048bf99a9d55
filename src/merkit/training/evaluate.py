"""What a run is worth on a split: measures with intervals, over seeds and as an ensemble. The one reader of `test`.

Every reading of a test split is counted in the run's record and shown with its figures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from merkit.atomic import replacing
from merkit.data.table import ClipTable
from merkit.errors import ConfigError, StoreError
from merkit.evaluation.bootstrap import Interval
from merkit.evaluation.measures import interval_of, measure_all
from merkit.evaluation.seeds import seed_interval
from merkit.schema import TargetSpec
from merkit.training.config import data_key
from merkit.training.fit import loader_for
from merkit.training.measuring import probabilities
from merkit.training.module import collect
from merkit.training.run import Run, write_json

__all__ = ["Evaluation", "Predictions", "ensemble", "evaluate_runs", "predictions_of"]


_KINDS = ("output", "target", "valid", "owner")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Answers of one run for one split.

    Args:
        ids: `(n,)` of the clips.
        output: target -> `(n, K)` probabilities, or values of a regression.
        target: target -> the truth.
        valid: target -> what is known of it.
        groups: `(n,)` group that the bootstrap draws as a whole, or None.
        owner: target asked per entity -> `(m,)` row of the clip that each of its `m` answers belongs to, in rising order;
            its output, target and valid have `m` rows.
    """

    ids: np.ndarray
    output: Mapping[str, np.ndarray]
    target: Mapping[str, np.ndarray]
    valid: Mapping[str, np.ndarray]
    groups: np.ndarray | None
    owner: Mapping[str, np.ndarray] = field(default_factory=dict)

    def units(self, name: str) -> np.ndarray | None:
        """What the bootstrap draws as a whole for a target: the groups; without groups, the persons of one clip together."""
        if name not in self.owner:
            return self.groups
        return (self.ids if self.groups is None else self.groups)[self.owner[name]]

    def rows(self, name: str, clips: np.ndarray) -> np.ndarray:
        """Rows of a target's answers that belong to the clips `clips`, in that order."""
        if name not in self.owner:
            return clips
        first = np.searchsorted(self.owner[name], clips, "left")
        last = np.searchsorted(self.owner[name], clips, "right")
        return np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)]).astype(np.int64)

    def save(self, path: Path) -> None:
        """As `.npz`, by rename."""
        parts = {f"{kind}.{name}": value for kind in _KINDS for name, value in getattr(self, kind).items()}
        groups = {} if self.groups is None else {"groups": self.groups.astype(str)}
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **{"ids": self.ids.astype(str), **groups, **parts})  # ty: ignore[invalid-argument-type]

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """What `save` wrote.

        Raises:
            StoreError: there is nothing there.
        """
        if not path.is_file():
            raise StoreError(f"{path}: no predictions; `merkit evaluate` writes them")
        with np.load(path, allow_pickle=False) as archive:
            held = dict(archive)
        kinds: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in _KINDS}
        for key, value in held.items():
            if "." in key:
                kind, name = key.split(".", 1)
                kinds[kind][name] = value
        return cls(held["ids"], **kinds, groups=held.get("groups"))


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
    """

    name: str
    split: str
    n: int
    seeds: int
    measures: Mapping[str, Interval]
    readings: int = 0
    clustered: bool = False

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
            "n": self.n,
            "seeds": self.seeds,
            "interval": self.interval,
            "measures": {
                key: [None if math.isnan(v) else round(v, 6) for v in (i.value, i.low, i.high)]
                for key, i in self.measures.items()
            },
            "test_readings": self.readings,
        }


def predictions_of(run: Run, table: ClipTable) -> Predictions:
    """Answers of one run for all clips of `table`."""
    model = run.model()
    config = run.config
    modalities = tuple(run.record["modalities"])
    if missing := [name for name in modalities if name not in table.streams]:
        raise ConfigError(f"{run.path} was trained with {', '.join(missing)}, which {table.name} lacks")
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
    loader, _ = loader_for(
        table,
        modalities,
        config.trainer,
        context=(config.data.earlier, config.data.later),
        sampling=run.system.sampling(config, table),
    )
    answers = collect(model, loader, run.specs)
    temperature = run.record.get("temperature", {})
    groups = table.groups.get(config.data.split.by, table.dialogue)
    return Predictions(
        table.ids,
        {spec.name: probabilities(answers[spec.name][0], spec, temperature.get(spec.name, 1.0)) for spec in run.specs},
        {name: answer[1] for name, answer in answers.items()},
        {name: answer[2] for name, answer in answers.items()},
        groups,
        {spec.name: table.targets[spec.name].owner() for spec in run.specs if spec.per_entity},
    )


def evaluate_runs(
    paths: Sequence[Path], *, root: Path | None = None, split: str = "test", draws: int = 1000
) -> list[Evaluation]:
    """Evaluates runs; several seeds also as mean and as ensemble, several runs also together as one ensemble.

    Args:
        paths: runs, each of one or of several seeds.
        root: another folder of the same layout; none = the one of training.
        split: which. `test` is counted.
        draws: bootstrap resamples.

    Raises:
        ConfigError: the data lacks the split or what the runs need.
        StoreError: a run is not finished.
    """
    found: list[Evaluation] = []
    together: list[tuple[Predictions, Run]] = []
    tables: dict[str, ClipTable] = {}
    for path in paths:
        top = Run(path)
        singles: list[tuple[Predictions, Run]] = []
        for run in top.seeds():
            key = data_key(run.system.name, run.config)
            if key not in tables:
                tables[key] = run.system.load(run.config, root=root, split=split)
            made = predictions_of(run, tables[key])
            made.save(run.path / "predictions" / f"{split}.npz")
            singles.append((made, run))
        readings = 0
        if split == "test":
            for made, run in singles:
                point = {key: value for key, value in points(made, run.specs).items() if not math.isnan(value)}
                readings = run.count_reading(str(root or run.config.data.root), len(made.ids), point)
        if len(singles) > 1:
            per_seed = [points(made, run.specs) for made, run in singles]
            over = {key: seed_interval([row[key] for row in per_seed]) for key in per_seed[0]}
            found.append(Evaluation(str(path), split, len(singles[0][0].ids), len(singles), over, readings))
        whole = ensemble([made for made, _ in singles])
        name = str(path) if len(singles) == 1 else f"ensemble of {len(singles)} seeds"
        figures = _intervals(whole, singles[0][1].specs, draws)
        found.append(Evaluation(name, split, len(whole.ids), 1, figures, readings, whole.groups is not None))
        write_json([item.to_dict() for item in found], top.path / f"evaluation-{split}.json")
        together += singles
    if len(paths) > 1:
        whole = ensemble([made for made, _ in together])
        figures = _intervals(whole, together[0][1].specs, draws)
        name = f"ensemble of {len(together)} networks"
        found.append(Evaluation(name, split, len(whole.ids), 1, figures, clustered=whole.groups is not None))
    return found


def ensemble(members: Sequence[Predictions]) -> Predictions:
    """The mean of what the members answered (Lakshminarayanan et al. 2017).

    Raises:
        ConfigError: they did not answer for the same clips.
    """
    first = members[0]
    for other in members[1:]:
        if not np.array_equal(first.ids, other.ids):
            raise ConfigError("an ensemble needs runs that answered for the same clips in the same order")
    output = {name: np.mean([member.output[name] for member in members], axis=0) for name in first.output}
    return replace(first, output=output)


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
