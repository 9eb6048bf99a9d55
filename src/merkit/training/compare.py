"""Does one run beat another? Paired, on the clips that both answered for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from merkit.errors import ConfigError, StoreError
from merkit.evaluation.bootstrap import Interval
from merkit.evaluation.measures import measures_of
from merkit.evaluation.paired import paired_bootstrap
from merkit.training.evaluate import Predictions, elsewhere, ensemble, evaluate_runs
from merkit.training.run import Run

__all__ = ["ComparedMeasure", "compare_runs"]


@dataclass(frozen=True, slots=True)
class ComparedMeasure:
    """One measure of two runs.

    Args:
        measure: `target.measure`.
        n: clips that both answered for.
        first: value of the first run.
        second: value of the second.
        difference: first minus second, with its 95 % interval.
        p_value: two-sided.
    """

    measure: str
    n: int
    first: float
    second: float
    difference: Interval
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        d = self.difference
        return {
            "measure": self.measure, "n": self.n, "first": self.first, "second": self.second,
            "difference": [d.value, d.low, d.high], "p_value": self.p_value,
        }  # fmt: skip


def compare_runs(
    first: Path,
    second: Path,
    *,
    root: Path | None = None,
    split: str = "valid",
    measure: str | None = None,
    draws: int = 2000,
) -> list[ComparedMeasure]:
    """Paired bootstrap of every measure, or of one.

    Args:
        first: a run, of one or of several seeds.
        second: another.
        root: another folder that both were evaluated on; none = the data of each run.
        split: which.
        measure: which; None = all.
        draws: bootstrap resamples.

    Raises:
        ConfigError: the runs have no target, clip or such measure in common.
        StoreError: predictions for `test` are not there: `merkit evaluate` makes them.
    """
    a, b = _answers(first, split, root), _answers(second, split, root)
    ids, in_a, in_b = np.intersect1d(a.ids, b.ids, return_indices=True)
    if not len(ids):
        raise ConfigError(f"{first} and {second} answered for no clip in common")
    rows = []
    for spec in Run(first).seeds()[0].specs:
        if spec.name not in b.output:
            continue
        one_rows, other_rows = a.rows(spec.name, in_a), b.rows(spec.name, in_b)
        target, valid = a.target[spec.name][one_rows], a.valid[spec.name][one_rows]
        if not np.array_equal(target, b.target[spec.name][other_rows]):
            raise ConfigError(f"{first} and {second} were measured against different answers for {spec.name}")
        units = a.units(spec.name)
        for name, one in measures_of(spec).items():
            if measure is not None and measure not in (name, f"{spec.name}.{name}"):
                continue
            found = paired_bootstrap(
                one, a.output[spec.name][one_rows], b.output[spec.name][other_rows], target, valid,
                groups=None if units is None else units[one_rows], draws=draws,
            )  # fmt: skip
            rows.append(
                ComparedMeasure(
                    f"{spec.name}.{name}", len(ids), found.first, found.second, found.difference, found.p_value
                )
            )
    if not rows:
        raise ConfigError(f"{first} and {second} have no measure {measure or ''} in common")
    return rows


def _answers(path: Path, split: str, root: Path | None) -> Predictions:
    runs, tag = Run(path).seeds(), elsewhere(Run(path), root)
    files = [run.path / "predictions" / f"{split}{tag}.npz" for run in runs]
    if split != "test" and not all(file.is_file() for file in files):
        evaluate_runs([path], root=root, split=split)
    if missing := [file for file in files if not file.is_file()]:
        raise StoreError(
            f"{missing[0]}: no predictions for {split}; run `merkit evaluate {path} --split {split}"
            f"{f' --root {root}' if tag else ''}` first"
        )
    return ensemble([Predictions.load(file) for file in files])
