"""Mean over the actor-disjoint folds of a study, seed by seed.

    merkit study sse_ft --config benchmarks/ravdess/sse_ft.json --over data.split.out=1,2,3,4 --subsets --seeds 3 \\
        --measure emotion.uar --out STUDY
    python -m benchmarks.ravdess.folds STUDY

The folds partition the actors and every run keeps its last epoch, so no choice was made on what is measured. Unweighted average
recall and accuracy are means over the four folds for each seed; in brackets the 95 % t interval over seeds.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from merkit.evaluation.seeds import seed_interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    given = parser.parse_args()
    found: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(given.study.glob("*/seed-*/record.json")):
        record = json.loads(path.read_text())
        if "valid" not in record:
            continue
        cell = path.parent.parent.name.partition("_")[2] or "all"
        for name in ("emotion.uar", "emotion.accuracy"):
            found[cell, int(path.parent.name.removeprefix("seed-"))][name].append(record["valid"][name])
    for cell in sorted({cell for cell, _ in found}):
        shown = []
        for name in ("emotion.uar", "emotion.accuracy"):
            folds = [values[name] for (own, _), values in sorted(found.items()) if own == cell]
            means = [np.mean(each) for each in folds if len(each) == 4]
            shown.append(str(seed_interval(means)))
        print(f"| {cell.replace('+', ' + ')} | {' | '.join(shown)} | {len(means)} seeds |")


if __name__ == "__main__":
    main()
