"""Stress and amusement told from rest in people that training has not met: forest, regression, merkit's own network.

    OMP_NUM_THREADS=1 python -m benchmarks.wesad.subjects WINDOWS.parquet [--seeds 5] [--without ACC_,net_acc]

The table has a row per window: columns of statistics, `subject`, and `label` (1 baseline, 2 stress, 0 amusement). Of its
columns only deviations, the pulse's peak frequency and the temperature's slope are used. Every subject is left out once;
all settings were fixed beforehand, so nothing was chosen on what is measured. A figure is over the windows of all subjects,
the mean over seeds; in brackets 95 % of bootstrap draws of whole subjects.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from benchmarks.machine import header
from merkit.config import config_from
from merkit.data.leakage import check_leakage
from merkit.data.persons import centre_and_scale_of, each_column, normalise_by_person, rescaled
from merkit.data.table import ClipTable, Provenance, TargetColumn, TokenColumn
from merkit.evaluation.bootstrap import Interval, percentiles, resamples
from merkit.evaluation.metrics import accuracy, macro_f1, unweighted_average_recall
from merkit.labels import WESAD3
from merkit.schema import TargetSpec
from merkit.systems.fusion import FusionConfig, plan
from merkit.training.fit import loader_for
from merkit.training.optim import build_optimiser, build_schedule

NETWORK = {
    "model": {"fusion": "concat", "width": 32, "hidden": 32, "dropout": 0.3},
    "optim": {"lr": 3e-3},
    "trainer": {"max_epochs": 20, "watch": "last"},
}
SPEC = TargetSpec("state", "single_label", WESAD3.labels)
MEASURES = {"accuracy": accuracy, "macro F1": macro_f1, "mean recall": unweighted_average_recall}
DRAWS = 1000
# windows (of half a minute) that are known of a person before the first answer, where not all are
KNOWN = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("windows", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without", default="", help="Columns whose names begin so are left out: ACC_,net_acc")
    parser.add_argument("--scales", default="train,own,few,rest")
    given = parser.parse_args()
    if not given.windows.is_file():
        raise SystemExit(f"skipped: no file {given.windows}")
    torch.set_num_threads(1)
    table = read(given.windows, tuple(filter(None, given.without.split(","))))
    subjects, target = table.groups["subject"], table.targets["state"].value
    print(header("torch", "scikit-learn", "numpy"))
    print(f"{len(table)} windows, {len(np.unique(subjects))} subjects, {table.streams['physiology'].width} columns")
    answers: dict[tuple[str, str], np.ndarray] = {}
    # the windows that a rest recording would be made of are known to be rest: they are judged for no row but the first two
    rest = resting(table)
    for how in given.scales.split(","):
        for name, fitted in MODELS.items():
            begun = time.perf_counter()
            answers[name, how] = np.stack([left_out(table, how, fitted, seed) for seed in range(given.seeds)])
            seconds, seeds = time.perf_counter() - begun, np.std([accuracy(p, target) for p in answers[name, how]])
            for judged, where in ((np.ones(len(table), bool), "all windows"), (~rest, "without the rest recording")):
                if how in ("train", "own") or where != "all windows":
                    prob = answers[name, how][:, judged]
                    row = [str(told(prob, target[judged], subjects[judged], m)) for m in MEASURES.values()]
                    print(
                        f"| {name} | {how} | {where} | {' | '.join(row)} | {seeds:.3f} | {seconds:.0f} s |", flush=True
                    )
    for name in MODELS:
        one, other = answers[name, "own"], answers[name, "train"]
        gains = {m: difference(one, other, target, subjects, measure) for m, measure in MEASURES.items()}
        print(f"{name}, own - train: " + ", ".join(f"{m} {gain}" for m, gain in gains.items()))
        gain = np.mean(
            [(a.argmax(1) == target) * 1.0 - (b.argmax(1) == target) for a, b in zip(one, other, strict=True)], 0
        )
        better = [gain[subjects == subject].mean() > 0 for subject in np.unique(subjects)]
        print(f"  more right answers for {sum(better)} of {len(better)} subjects")


def read(path: Path, without: tuple[str, ...] = ()) -> ClipTable:
    """The usable columns, less those of `without`; all windows are training until a subject is left out."""
    frame = pd.read_parquet(path)
    used = [name for name in frame.columns if name.endswith("_std") or name in ("BVP_peak_freq", "TEMP_slope")]
    used = [name for name in used if not name.startswith(without)]
    x = frame[used].to_numpy(np.float64)
    state = np.array([{1: 0, 2: 1, 0: 2}[label] for label in frame["label"]])
    return ClipTable(
        "wesad",
        np.array([f"window-{i}" for i in range(len(frame))]),
        np.full(len(frame), "train"),
        {"physiology": TokenColumn.one_per_clip(x)},
        {"state": TargetColumn(SPEC, state, np.ones(len(frame), bool))},
        {"subject": np.array([f"S{number}" for number in frame["subject"]])},
        provenance={"physiology": Provenance("statistics of windows")},
    )


def left_out(table: ClipTable, how: str, fitted: Callable[[ClipTable, int], Callable], seed: int) -> np.ndarray:
    """`(n, K)` answers for every window from a model that never saw an answer of its subject."""
    prob = np.zeros((len(table), len(SPEC.labels)))
    for subject in np.unique(table.groups["subject"]):
        mine = table.groups["subject"] == subject
        fold = table.take(np.arange(len(table)))
        fold.split[mine] = "test"
        scaled = scaled_by(how, fold, seed)
        report = check_leakage(scaled, group="subject")
        report.raise_if_leaking()
        assert [finding.kind for finding in report.warnings] == ([] if how == "train" else ["statistics"]), report
        prob[mine] = fitted(scaled, seed)(scaled.where("test"))
    return prob


def resting(table: ClipTable) -> np.ndarray:
    """`(n,)` bool: the first `KNOWN` windows of rest of each subject."""
    subjects, rest = table.groups["subject"], table.targets["state"].value == 0
    found = np.zeros(len(table), bool)
    for subject in np.unique(subjects):
        found[np.flatnonzero((subjects == subject) & rest)[:KNOWN]] = True
    return found


def scaled_by(how: str, table: ClipTable, seed: int) -> ClipTable:
    """The table on the scale of training's persons (`train`), of each person (`own`), of `KNOWN` windows of each person drawn
    at random (`few`) or from a recording of rest (`rest`)."""
    if how in ("train", "own"):
        return normalise_by_person(table, "physiology", by="subject", how=how)  # ty: ignore[invalid-argument-type]
    x, subjects = _numbers(table).astype(np.float64), table.groups["subject"]
    everything, rest, numbers = each_column(x.shape[1]), resting(table), np.random.default_rng(seed)
    out = np.empty(x.shape, np.float32)
    for subject in np.unique(subjects):
        mine = np.flatnonzero(subjects == subject)
        known = np.intersect1d(mine, np.flatnonzero(rest)) if how == "rest" else numbers.permutation(mine)[:KNOWN]
        centre, scale, _ = centre_and_scale_of(x[known], everything)
        out[mine] = rescaled(x[mine], centre, np.where(scale > 0, scale, 1.0), everything)
    about = Provenance(f"statistics of windows, scaled by {KNOWN} of each subject", (), ("train", "test"))
    streams = {"physiology": replace(table.streams["physiology"], x=out)}
    return replace(table, streams=streams, provenance={"physiology": about})


def _numbers(table: ClipTable) -> np.ndarray:
    return table.streams["physiology"].x[:]


def forest(table: ClipTable, seed: int) -> Callable[[ClipTable], np.ndarray]:
    """Breiman's, 300 trees."""
    train = table.where("train")
    model = RandomForestClassifier(300, random_state=seed).fit(_numbers(train), train.targets["state"].value)
    return lambda judged: model.predict_proba(_numbers(judged))


def regression(table: ClipTable, seed: int) -> Callable[[ClipTable], np.ndarray]:
    """Multinomial; the same for every seed."""
    train = table.where("train")
    model = LogisticRegression(max_iter=2000, random_state=seed).fit(_numbers(train), train.targets["state"].value)
    return lambda judged: model.predict_proba(_numbers(judged))


def network(table: ClipTable, seed: int) -> Callable[[ClipTable], np.ndarray]:
    """The generic recipe's own model, objective, optimiser and order of batches, without its records."""
    changed: dict[str, Any] = {**NETWORK, "trainer": {**NETWORK["trainer"], "seed": seed}}
    config = config_from(FusionConfig, changed)
    torch.manual_seed(seed)
    made = plan(config, table)
    loader, order = loader_for(made.table.where("train"), made.modalities, config.trainer, train=True)
    optimiser = build_optimiser(made.model, config.optim)
    schedule, _ = build_schedule(optimiser, config.optim, len(order) * config.trainer.max_epochs)
    made.model.train()
    for epoch in range(config.trainer.max_epochs):
        order.set_epoch(epoch)
        for batch in loader:
            optimiser.zero_grad()
            made.objective(made.model, batch).backward()
            torch.nn.utils.clip_grad_norm_(made.model.parameters(), config.trainer.clip)
            optimiser.step()
            schedule.step()
    made.model.eval()

    def answered(judged: ClipTable) -> np.ndarray:
        batches, _ = loader_for(judged, made.modalities, config.trainer, train=False)
        with torch.no_grad():
            found = {
                name: row
                for batch in batches
                for name, row in zip(batch.ids, made.model(batch)["state"].softmax(1), strict=True)
            }
        return np.stack([found[name].numpy() for name in judged.ids])

    return answered


MODELS = {"random forest": forest, "logistic regression": regression, "merkit network": network}


def told(prob: np.ndarray, target: np.ndarray, subjects: np.ndarray, measure: Callable) -> Interval:
    """Mean over seeds of answers `(S, n, K)`, with the interval over subjects."""

    def mean(rows: np.ndarray) -> float:
        return float(np.mean([measure(each[rows], target[rows]) for each in prob]))

    drawn = [mean(rows) for rows in resamples(len(target), subjects, DRAWS)]
    return Interval(mean(np.arange(len(target))), *percentiles(np.array(drawn)))


def difference(one: np.ndarray, other: np.ndarray, target: np.ndarray, subjects: np.ndarray, measure: Callable) -> str:
    """`one - other` on the same draws of subjects."""

    def mean(rows: np.ndarray) -> float:
        return float(
            np.mean(
                [
                    measure(a[rows], target[rows]) - measure(b[rows], target[rows])
                    for a, b in zip(one, other, strict=True)
                ]
            )
        )

    low, high = percentiles(np.array([mean(rows) for rows in resamples(len(target), subjects, DRAWS)]))
    return f"{mean(np.arange(len(target))):+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    main()
