"""Which of the published tricks help the multimodal stage: each alone, and all together, on the organiser's own features.

    OMP_NUM_THREADS=1 python -m benchmarks.merc2020.tricks --out .work/merc-tricks

Words, voice and face (bottleneck features, one row a clip), each projected to 64, side by side, a linear head. 2,700 clips
train, 536 valid, divided by blocks. Cosine over a fixed number of epochs, the last one kept, so nothing is chosen on valid.
Auxiliary heads: weight 2, as published. Five seeds; what is said of an ensemble is the mean over the five ways to leave one
seed out of it. Tempering takes powers of the networks' own softmax, as published.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import header
from merkit.config import config_from, override
from merkit.evaluation.seeds import seed_interval
from merkit.systems.fusion import FusionConfig
from merkit.systems.system import find_system
from merkit.training import Run, train_seeds
from merkit.training.evaluate import predictions_of

SMOOTHING = "objective.loss_params={emotion: {smoothing: 0.1, spread: others}}"
CELLS: dict[str, tuple[str, ...]] = {
    "none": (),
    "auxiliary heads, λ = 2": ("objective.auxiliary=2",),
    "mixup": ("objective.mixup=1",),
    "label smoothing .1": (SMOOTHING,),
    "heads + mixup": ("objective.auxiliary=2", "objective.mixup=1"),
    "heads + mixup + smoothing": ("objective.auxiliary=2", "objective.mixup=1", SMOOTHING),
}
PLAIN = (
    "model.late=false",
    "model.modality_dropout=0",
    "objective.mixup=0",
    "objective.auxiliary=0",
    "trainer.watch=last",
)
SEEDS = 5


def base(here: Path) -> FusionConfig:
    config = config_from(FusionConfig, json.loads((here / "base.json").read_text()))
    return override(config, [*PLAIN, "objective.loss_params={}"])


def measures(prob: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Accuracy and mean negative log likelihood."""
    return float((prob.argmax(1) == truth).mean()), float(-np.log(prob[np.arange(len(truth)), truth]).mean())


def powered(prob: np.ndarray, power: float) -> np.ndarray:
    raised = prob**power
    return raised / raised.sum(1, keepdims=True)


def answers(run: Run, table: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each seed: calibrated and raw probabilities `(n, K)`."""
    found = []
    for each in run.seeds():
        calibrated = predictions_of(each, table).output["emotion"]
        # p ∝ softmax(z / τ), so p^τ is the network's own softmax
        found.append((calibrated, powered(calibrated, each.record["temperature"]["emotion"])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".work/merc-tricks"))
    given = parser.parse_args()
    print(header())
    start = base(Path(__file__).parent)
    table = find_system("fusion").load(start).where("valid")
    truth = table.targets["emotion"].value
    print("| | accuracy | NLL as trained | NLL calibrated | 4 seeds: accuracy | NLL | + power .1: accuracy | NLL |")
    print("|---|---|---|---|---|---|---|---|")
    for number, (name, changes) in enumerate(CELLS.items()):
        run = train_seeds("fusion", override(start, changes), given.out / f"cell-{number}", SEEDS)
        made = answers(run, table)
        single = [measures(raw, truth) for _, raw in made]
        fitted = [measures(calibrated, truth)[1] for calibrated, _ in made]
        fours = list(itertools.combinations([raw for _, raw in made], SEEDS - 1))
        mean = [measures(np.mean(four, 0), truth) for four in fours]
        soft = [measures(np.mean([powered(raw, 0.1) for raw in four], 0), truth) for four in fours]
        cells = [str(seed_interval(each)) for each in ([a for a, _ in single], [n for _, n in single], fitted)]
        cells += [f"{np.mean([m[i] for m in group]):.3f}" for group in (mean, soft) for i in (0, 1)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
