"""Figures of one or several runs on one split: measures with intervals, and what the intervals are of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from merkit.evaluation.bootstrap import Interval
from merkit.evaluation.measures import interval_of, measure_all
from merkit.schema import TargetSpec
from merkit.training.predictions import Predictions

__all__ = ["Evaluation", "evaluation_of", "points"]


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
        folds: runs that were judged on clips of their own, of which the figures are a mean; 0 where there is one judge.
    """

    name: str
    split: str
    n: int
    seeds: int
    measures: Mapping[str, Interval]
    readings: int = 0
    clustered: bool = False
    answering: str = ""
    folds: int = 0

    @property
    def interval(self) -> str:
        """What the brackets hold."""
        if self.folds:
            return f"mean, and one standard deviation over {self.folds} folds to either side"
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
            "folds": self.folds,
            "interval": self.interval,
            "measures": {
                key: [None if math.isnan(v) else round(v, 6) for v in (i.value, i.low, i.high)]
                for key, i in self.measures.items()
            },
            "test_readings": self.readings,
        }


def evaluation_of(
    name: str,
    split: str,
    made: Predictions,
    specs: Sequence[TargetSpec],
    *,
    draws: int = 1000,
    readings: int = 0,
    answering: str = "",
) -> Evaluation:
    """Bootstrap figures of what was answered.

    Args:
        name: of the run, or of the runs together.
        split: which.
        made: the answers.
        specs: the questions; those that were not answered are left out.
        draws: bootstrap resamples.
        readings: of the test split so far.
        answering: how answers were made, where not in the plain way.
    """
    figures = _intervals(made, [spec for spec in specs if spec.name in made.output], draws)
    return Evaluation(name, split, len(made.ids), 1, figures, readings, made.groups is not None, answering)


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
