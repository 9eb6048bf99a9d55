"""The tables of the tensor mixer's studies, from what `runs` kept.

    python -m benchmarks.tensor_mixer.tables crema_votes --runs .work/tensor-mixer/runs

Each figure is a mean over seeds with its 95 % t interval. Where there are folds, a seed's figure is the mean over them. Raters'
shares are judged as they are, whatever a network was trained on. `calibrated` = after one temperature a network, fitted on the
answers for the OTHER folds (on train where there are none it is left out). Differences are by seed [95 % t interval] and, on the
mean over seeds, [95 % bootstrap over whole actors, or clips where there are none].
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from benchmarks.tensor_mixer.cells import STUDIES
from benchmarks.tensor_mixer.runs import Cell, read_cell, target_of
from merkit.data.table import ClipTable
from merkit.evaluation.bootstrap import percentiles, resamples
from merkit.evaluation.metrics import accuracy, expected_calibration_error, macro_f1, nll, unweighted_average_recall
from merkit.evaluation.seeds import seed_interval
from merkit.evaluation.softlabels import (
    expected_accuracy,
    kl_divergence,
    soft_cross_entropy,
    tie_aware_accuracy,
    tie_aware_macro_f1,
)

Measure = Callable[[np.ndarray, np.ndarray], float]
DRAWS = 1000
OVER_CLIPS = (accuracy, tie_aware_accuracy, expected_accuracy, kl_divergence, soft_cross_entropy, nll)
BINS = 15


def rater_ece(prob: np.ndarray, target: np.ndarray) -> float:
    """How far confidence lies from the share of raters who chose the answer, over 15 bins of equal width."""
    said = prob.argmax(1)
    confidence, share = prob.max(1), target[np.arange(len(prob)), said]
    where = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(where, confidence - share, minlength=BINS)
    return float(np.abs(gaps).sum() / len(prob))


def majority_ece(prob: np.ndarray, target: np.ndarray) -> float:
    """The same with: whether the answer is among the most-voted classes."""
    tops = target >= target.max(1, keepdims=True) - 1e-6
    return rater_ece(prob, tops.astype(float))


SHARES: Mapping[str, Measure] = {
    "tie-aware accuracy": tie_aware_accuracy,
    "tie-aware macro F1": tie_aware_macro_f1,
    "share of raters who chose the answer": expected_accuracy,
    "KL": kl_divergence,
    "cross entropy": soft_cross_entropy,
    "ECE, raters": rater_ece,
    "ECE, majority": majority_ece,
}
CLASSES: Mapping[str, Measure] = {
    "UAR": unweighted_average_recall,
    "accuracy": accuracy,
    "macro F1": macro_f1,
    "NLL": nll,
    "ECE": expected_calibration_error,
}


class Judged:
    """One cell on the truth, fold by fold.

    Args:
        cells: of each fold.
        tables: of each fold, in the order of the cell's ids.
    """

    def __init__(self, cells: list[Cell], tables: list[ClipTable]) -> None:
        self.cells = cells
        columns = [next(iter(table.targets.values())) for table in tables]
        assert all(column.valid.all() for column in columns)
        self.truth = [column.value for column in columns]
        self.groups = [table.groups.get("speaker", table.ids) for table in tables]
        self.seeds = len(cells[0].prob)

    def by_seed(self, measure: Measure, *, calibrated: bool = False) -> np.ndarray:
        """`(S,)` means over folds."""
        probs = self.tempered() if calibrated else [cell.prob for cell in self.cells]
        return np.array(
            [
                np.mean([measure(prob[seed], truth) for prob, truth in zip(probs, self.truth, strict=True)])
                for seed in range(self.seeds)
            ]
        )

    def tempered(self) -> list[np.ndarray]:
        """Probabilities of each fold after the temperature that suits the other folds."""
        found = []
        for fold, cell in enumerate(self.cells):
            others = [k for k in range(len(self.cells)) if k != fold]
            truth = np.concatenate([self.truth[k] for k in others])
            made = []
            for seed in range(self.seeds):
                rest = np.concatenate([self.cells[k].prob[seed] for k in others])
                made.append(powered(cell.prob[seed], fitted_power(rest, truth)))
            found.append(np.stack(made))
        return found

    def on_draws(self, measure: Measure, draws: list[np.ndarray]) -> np.ndarray:
        """`(DRAWS,)` means over seeds, all folds together, on the same rows for every cell."""
        prob = np.concatenate([cell.prob for cell in self.cells], 1)
        truth = np.concatenate(self.truth)
        if measure not in OVER_CLIPS:
            return np.array([np.mean([measure(one[rows], truth[rows]) for one in prob]) for rows in draws])
        # a mean over clips: each actor's is worked out once
        groups, of = np.unique(np.concatenate(self.groups), return_inverse=True)
        own = [of == g for g in range(len(groups))]
        value = np.array([np.mean([measure(one[rows], truth[rows]) for one in prob]) for rows in own])
        return np.array([value[of[rows]].mean() for rows in draws])


def powered(prob: np.ndarray, power: float) -> np.ndarray:
    raised = np.maximum(prob.astype(np.float64), 1e-12) ** power
    return raised / raised.sum(-1, keepdims=True)


def fitted_power(prob: np.ndarray, truth: np.ndarray) -> float:
    """1 / temperature: the power with the best likelihood."""
    own = soft_cross_entropy if truth.ndim == 2 else nll
    found = minimize_scalar(lambda log: own(powered(prob, np.exp(log)), truth), bounds=(-2, 2), method="bounded")
    return float(np.exp(found.x))


def judged(study: str, runs: Path) -> dict[str, Judged]:
    """Cell -> its answers, of those whose folds are all there."""
    own = STUDIES[study]
    cells = own.cells()
    names = list(dict.fromkeys(name.rpartition("_")[0] if own.folds else name for name in cells))
    tables: dict[str, ClipTable] = {}
    found = {}
    for name in names:
        parts = [f"{name}_{fold}" for fold in own.folds] or [name]
        if not all((runs / study / f"{part}.npz").is_file() for part in parts):
            continue
        kept = [read_cell(runs, study, part) for part in parts]
        for part, cell in zip(parts, kept, strict=True):
            key = part.rpartition("_")[2] if own.folds else ""
            if key not in tables:
                table = target_of(study, cells[part])
                tables[key] = table.take(np.argsort(table.ids))
            assert (tables[key].ids == cell.ids).all()
        found[name] = Judged(kept, [tables[fold] for fold in own.folds] or [tables[""]])
    return found


def untrained(tables: list[ClipTable]) -> Cell:
    """CREMA-D's votes without any training: the mean of what raters heard in the voice and saw in the face, kept off zero."""
    shares = np.concatenate([sum(own.x[:][:, :6] for own in table.streams.values()) / 2 for table in tables])
    return Cell(np.concatenate([table.ids for table in tables]), 0.95 * shares[None] + 0.05 / 6, 0, 0.0)


def difference(one: Judged, other: Judged, measures: Mapping[str, Measure], draws: list[np.ndarray]) -> str:
    told = []
    for name, measure in measures.items():
        gap = seed_interval(one.by_seed(measure) - other.by_seed(measure))
        low, high = percentiles(one.on_draws(measure, draws) - other.on_draws(measure, draws))
        told.append(f"{name} {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}] [{low:+.3f}, {high:+.3f}]")
    return "; ".join(told)


def main(study: str, runs: Path, pairs: list[str], shown: list[str]) -> None:
    found = judged(study, runs)
    first = next(iter(found.values()))
    measures = SHARES if first.truth[0].ndim == 2 else CLASSES
    calibrated = {name: measures[name] for name in (("KL", "ECE, raters") if measures is SHARES else ("NLL",))}
    calibrated = calibrated if STUDIES[study].folds else {}
    heads = [*measures, *(f"{name} calibrated" for name in calibrated), "weights", "s a run"]
    print(f"| | {' | '.join(heads)} |\n{'|---' * (len(heads) + 1)}|")
    for name, own in found.items():
        row = [str(seed_interval(own.by_seed(measure))) for measure in measures.values()]
        row += [str(seed_interval(own.by_seed(measure, calibrated=True))) for measure in calibrated.values()]
        spent = np.mean([cell.cpu_s for cell in own.cells])
        print(f"| {name} | {' | '.join(row)} | {own.cells[0].weights:,} | {spent:.2f} |")
    if study == "crema_votes":
        table = [target_of(study, [f"data.split.fold={fold}"]) for fold in STUDIES[study].folds]
        floor = untrained(table).prob[0]
        truth = np.concatenate([own.targets["emotion"].value for own in table])
        print("mean of voice and face, untrained:", {name: round(m(floor, truth), 3) for name, m in measures.items()})
    rows = sum(map(len, first.truth))
    print(f"valid, {rows} clips, {len(first.truth)} folds, {first.seeds} seeds")
    draws = list(resamples(rows, np.concatenate(first.groups), DRAWS)) if pairs else []
    for pair in pairs:
        one, _, other = pair.partition(":")
        told = difference(found[one], found[other], {name: measures[name] for name in shown}, draws)
        print(f"{one} less {other}: {told}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--runs", type=Path, default=Path(".work/tensor-mixer/runs"))
    parser.add_argument("--pairs", nargs="*", default=[], help="A:B, differences of cells")
    parser.add_argument("--shown", nargs="*", default=["KL", "tie-aware accuracy"], help="measures of the differences")
    given = parser.parse_args()
    main(given.study, given.runs, given.pairs, given.shown)
