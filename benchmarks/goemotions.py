"""GoEmotions with 28 labels: macro F1 of a run on dev under three rules for what is said.

    merkit evaluate RUN --split valid
    python -m benchmarks.goemotions RUN

At .5; at .3 for every label, as monologg/GoEmotions-pytorch judges BERT-base; and at thresholds per label, fitted on four fifths
of dev and read on the fifth that they did not see (five ways, ten random divisions), since thresholds that were fitted on the
comments they are judged on flatter. Intervals: bootstrap over comments.
"""

import argparse
from pathlib import Path

import numpy as np

from merkit.evaluation import bootstrap_interval, fit_thresholds, label_f1, multilabel_macro_f1
from merkit.training.predictions import Predictions
from merkit.training.run import Run

DIVISIONS = 10


def cross_thresholded(prob: np.ndarray, target: np.ndarray, seed: int, parts: int = 5) -> np.ndarray:
    """`(n, K)` bool answers, each by thresholds that its comment had no part in."""
    part = np.random.default_rng(seed).permutation(len(prob)) % parts
    said = np.zeros(prob.shape, bool)
    for i in range(parts):
        here = part == i
        said[here] = prob[here] >= fit_thresholds(prob[~here], target[~here])
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run = Run(parser.parse_args().run)
    (spec,) = run.specs
    made = Predictions.load(run.path / "predictions" / "valid.npz")
    prob, target = made.output[spec.name], made.target[spec.name]

    def row(name: str, said: np.ndarray) -> None:
        print(f"{name:28} {bootstrap_interval(multilabel_macro_f1, said, target)}")

    row("all at .5", (prob >= 0.5).astype(float))
    row("all at .3", (prob >= 0.3).astype(float))
    divided = [cross_thresholded(prob, target, seed).astype(float) for seed in range(DIVISIONS)]
    row("per label, cross-fitted", divided[0])
    over = [multilabel_macro_f1(said, target) for said in divided]
    print(f"  over {DIVISIONS} divisions: {np.mean(over):.3f}, {min(over):.3f} to {max(over):.3f}")
    each = np.mean([label_f1(said, target) for said in divided], 0)
    print("  " + ", ".join(f"{spec.labels[i]} {each[i]:.2f}" for i in np.argsort(-each)))


if __name__ == "__main__":
    main()
