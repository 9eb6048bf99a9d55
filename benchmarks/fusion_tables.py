"""The tables of docs/results.md: fusion families across, modality subsets down, from finished studies.

python -m benchmarks.fusion_tables .work/study-merc .work/study-mosi
"""

import json
import sys
from pathlib import Path

from merkit.evaluation.seeds import seed_interval
from merkit.training.run import Run

FAMILIES = ("concat", "modality_attention", "tensor", "cross_modal", "label_query")


def table(folder: Path) -> str:
    """One study as Markdown, best cell of the whole table in bold."""
    found = json.loads((folder / "study.json").read_text())
    values = {tuple(slug.rsplit("_", 1)): seed_interval(each) for slug, each in found["values"].items()}
    subsets = list(dict.fromkeys(subset for _, subset in values))
    run = Run(folder / found["best"]).seeds()[0]
    clips = run.record["data"]["clips"]
    lines = [f"| {found['measure']} | {' | '.join(FAMILIES)} |", f"|---{'|---' * len(FAMILIES)}|"]
    for subset in subsets:
        cells = []
        for family in FAMILIES:
            text = str(values[family, subset])
            cells.append(f"**{text}**" if f"{family}_{subset}" == found["best"] else text)
        lines.append(f"| {subset.replace('+', ' + ')} | {' | '.join(cells)} |")
    watch = run.config.trainer.watch
    kept = "last epoch" if watch == "last" else f"epoch chosen by {watch} on the same split"
    return "\n".join(
        [
            *lines,
            "",
            f"Valid, {clips['valid']} clips; trained on {clips['train']}; mean of 5 seeds [95 % t interval over seeds]; {kept}.",
        ]
    )


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(f"\n### {argument}\n\n{table(Path(argument))}")
