"""EmoTx against its baselines on dialogues as scenes: MELD and EmoryNLP, words alone.

    merkit prepare meld --root MELD --out .work/meld; merkit prepare emorynlp --root EMORYNLP --out .work/emorynlp
    OMP_NUM_THREADS=1 python -m benchmarks.dialogue_scenes search      # settings, on folds of MELD's train part
    OMP_NUM_THREADS=1 python -m benchmarks.dialogue_scenes train       # five seeds of each on both corpora
    OMP_NUM_THREADS=1 python -m benchmarks.dialogue_scenes table       # docs/results.md

Each stage takes names, models or corpora, to be divided between processes.

Every model has the same number of epochs, ends with its last one, and chooses learning rate, dropout and width by the
geometric mean of both mAP over three folds of MELD's training dialogues. Valid is read by `table` alone; test never.
"""

import itertools
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from merkit.config import override
from merkit.data.table import ClipTable
from merkit.evaluation.measures import measure_all
from merkit.evaluation.seeds import seed_interval
from merkit.systems import emotx
from merkit.training.compare import compare_runs
from merkit.training.evaluate import Predictions, evaluate_runs
from merkit.training.fit import fit, loader_for
from merkit.training.measuring import measure_of
from merkit.training.module import collect
from merkit.training.run import Run
from merkit.training.train import train, with_seed

ROOT = Path(".work")
OUT = ROOT / "dialogue-scenes"
CORPORA = ("meld", "emorynlp")
SEEDS, FOLDS = 5, 3
FIXED = (
    "trainer.max_epochs=12", "trainer.watch=last", "trainer.best_by=[]", "trainer.batch_size=16", "shuffle_characters=true",
)  # fmt: skip
GRIDS: dict[str, dict[str, tuple[object, ...]]] = {
    "emotx": {"optim.lr": (5e-4, 3e-4), "dropout": (0.3,), "hidden_dim": (256, 128)},
    "emotx_1cls": {"optim.lr": (5e-4, 3e-4), "dropout": (0.3,), "hidden_dim": (256, 128)},
    "transformer": {"optim.lr": (1e-4, 3e-4), "dropout": (0.2, 0.4)},
    "mlp": {"optim.lr": (1e-3, 3e-3), "optim.weight_decay": (1e-2, 1e-1)},
}
TITLES = {
    "emotx": "label queries (EmoTx)",
    "emotx_1cls": "one class token (EmoTx-1CLS)",
    "transformer": "single-stream transformer",
    "mlp": "max-pool MLP",
}


def config(corpus: str, *changes: str) -> emotx.EmoTxConfig:
    """Of one run."""
    return override(emotx.PRESETS["dialogues"](), [f"data.root={ROOT / corpus}", *FIXED, *changes])


def scenes(corpus: str) -> ClipTable:
    """All of a corpus."""
    return emotx.load(config(corpus))


def search(*models: str) -> None:
    """Every setting of every model on folds of MELD's training dialogues; what is there already is kept."""
    OUT.mkdir(parents=True, exist_ok=True)
    table = scenes("meld").where("train")
    fold = np.random.default_rng(0).permutation(len(table)) % FOLDS
    for model, grid in GRIDS.items():
        if models and model not in models:
            continue
        file = OUT / f"search-{model}.json"
        found: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}
        for values in itertools.product(*grid.values()):
            changes = [f"model_no={model}", *(f"{key}={value}" for key, value in zip(grid, values, strict=True))]
            name = " ".join(changes)
            if name in found:
                continue
            begun, scores = time.perf_counter(), []
            for k in range(FOLDS):
                parted = replace(table, split=np.where(fold == k, "valid", "train"))
                torch.manual_seed(0)
                plan = emotx.plan(config("meld", *changes), parted)
                with tempfile.TemporaryDirectory() as folder:
                    fitted = fit(plan, Path(folder))
                loader, _ = loader_for(parted.where("valid"), plan.modalities, plan.trainer)
                measures = measure_of(plan.specs, ["scene.map", "character.map"])(
                    collect(fitted.model, loader, plan.specs)
                )
                scores.append(float(np.sqrt(measures["scene.map"] * measures["character.map"])))
            found[name] = float(np.mean(scores))
            file.write_text(json.dumps(found, indent=1) + "\n")
            print(f"{name}: {found[name]:.4f} ({time.perf_counter() - begun:.0f} s)", flush=True)


def chosen(model: str) -> list[str]:
    """The best settings of a model."""
    found = json.loads((OUT / f"search-{model}.json").read_text())
    return max(found, key=lambda name: found[name]).split()


def train_all(*corpora: str) -> None:
    """Five seeds of each model on each corpus."""
    for corpus in corpora or CORPORA:
        table = scenes(corpus)
        for model in GRIDS:
            asked = config(corpus, *chosen(model))
            for seed in range(SEEDS):
                run = train("emotx", with_seed(asked, seed), OUT / corpus / model / f"seed-{seed}", table=table)
                print(corpus, model, seed, run.record["seconds"], flush=True)
            Run.of_seeds(OUT / corpus / model, "emotx", asked)


def table_of(corpus: str) -> str:
    """Markdown: mAP with t intervals over seeds, and how much the label queries are ahead, paired."""
    rows = []
    for model in GRIDS:
        evaluate_runs([OUT / corpus / model], split="valid", draws=2)
        made = [Predictions.load(run.path / "predictions" / "valid.npz") for run in Run(OUT / corpus / model).seeds()]
        specs = Run(OUT / corpus / model).seeds()[0].specs
        values = {
            spec.name: [
                measure_all(spec, one.output[spec.name], one.target[spec.name], one.valid[spec.name], ["map"])["map"]
                for one in made
            ]
            for spec in specs
        }
        ahead = {}
        if model != "emotx":
            for row in compare_runs(
                OUT / corpus / "emotx", OUT / corpus / model, split="valid", measure="map", draws=2000
            ):
                ahead[row.measure.split(".")[0]] = row
        cells = [f"{seed_interval(values[name])}" for name in ("scene", "character")]
        cells += [
            "" if name not in ahead else f"{ahead[name].difference} (p {ahead[name].p_value:.3f})"
            for name in ("scene", "character")
        ]
        rows.append(f"| {TITLES[model]} | {' | '.join(cells)} |")
    rng = np.random.default_rng(0)
    one = made[0]
    by_chance = []
    for spec in specs:
        drawn = [
            measure_all(
                spec, rng.random(one.output[spec.name].shape), one.target[spec.name], one.valid[spec.name], ["map"]
            )
            for _ in range(SEEDS)
        ]
        by_chance.append(str(seed_interval([each["map"] for each in drawn])))
    rows.append(f"| random scores | {' | '.join(by_chance)} | | |")
    head = "| model | scene mAP | character mAP | EmoTx ahead, scene | EmoTx ahead, character |\n|---|---|---|---|---|"
    note = f"{corpus}: {len(one.ids)} valid scenes with {len(one.target['character'])} characters, {SEEDS} seeds."
    return "\n".join([note, "", head, *rows])


if __name__ == "__main__":
    stage, *asked_for = sys.argv[1:]
    if stage == "table":
        print("\n\n".join(table_of(corpus) for corpus in asked_for or CORPORA))
    else:
        {"search": search, "train": train_all}[stage](*asked_for)
