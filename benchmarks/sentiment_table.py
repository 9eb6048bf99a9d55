"""One table of the sentiment measures of all cells of a study, on valid.

    merkit study sse_ft --config benchmarks/mosi/sse_ft.json --subsets --seeds 5 --measure sentiment.mae --out STUDY
    python -m benchmarks.sentiment_table STUDY

MAE, Pearson's r, Acc7, Acc2 under both conventions: mean over seeds [95 % t interval].
"""

import argparse
from pathlib import Path

from merkit.training import evaluate_runs

COLUMNS = {
    "MAE": "sentiment.mae",
    "Pearson": "sentiment.pearson",
    "Acc7": "sentiment.acc7",
    "Acc2, negative / not": "sentiment.acc2_negative_nonnegative",
    "Acc2, negative / positive": "sentiment.acc2_negative_positive",
    "polarity accuracy": "polarity.accuracy",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    given = parser.parse_args()
    print(f"| modalities | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    cells = [path for path in given.study.iterdir() if (path / "config.json").is_file()]
    for cell in sorted(cells, key=lambda path: (path.name.count("+"), path.name)):
        found = next(each for each in evaluate_runs([cell], split="valid", draws=100) if each.seeds > 1).measures
        shown = [str(found[name]) for name in COLUMNS.values()]
        print(f"| {cell.name.replace('+', ' + ')} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
