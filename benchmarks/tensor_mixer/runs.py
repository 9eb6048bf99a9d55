"""Trains the cells of a study of the tensor mixer and keeps what every seed answered for valid.

    OMP_NUM_THREADS=1 python -m benchmarks.tensor_mixer.runs crema_votes --out .work/tensor-mixer/runs

A cell is the study's config with changes as one types them behind `merkit train tensor_mixer --config …`. The system's own table,
model and first weights; cells that differ in seed, fold, labels or scale alone are trained side by side (`stacked`). The last
epoch is kept, so that nothing is chosen on valid. Cells that are there already are not trained again. Answers are softmax as
trained, without a temperature.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import header
from benchmarks.tensor_mixer import stacked
from benchmarks.tensor_mixer.cells import STUDIES
from merkit.atomic import replacing
from merkit.config import config_from, override
from merkit.data.table import ClipTable, TokenColumn
from merkit.systems.data import SplitConfig
from merkit.systems.tensor_mixer import TensorMixerConfig, build_model, load, plan
from merkit.training.fit import Plan

__all__ = ["Cell", "read_cell", "read_config", "target_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What the seeds of one cell answered.

    Args:
        ids: `(n,)` valid clips.
        prob: `(S, n, K)`.
        weights: numbers that the network learns.
        cpu_s: of CPU for each network, training and answering, as trained side by side.
    """

    ids: np.ndarray
    prob: np.ndarray
    weights: int
    cpu_s: float


def read_config(study: str, changes: Sequence[str]) -> TensorMixerConfig:
    """The config of a cell."""
    file = Path(__file__).with_name(f"{STUDIES[study].config}.json")
    return override(config_from(TensorMixerConfig, json.loads(file.read_text())), list(changes))


def read_cell(out: Path, study: str, name: str) -> Cell:
    """What `main` kept."""
    with np.load(out / study / f"{name}.npz") as found:
        return Cell(found["ids"], found["prob"], int(found["weights"]), float(found["cpu_s"]))


def target_of(study: str, changes: Sequence[str]) -> ClipTable:
    """Valid with plain shares of raters, where there are any, whatever the cell was trained on."""
    config = read_config(study, changes)
    soft = config.labels.mode != "hard" or "soft_label" in json.dumps(config.data.to_dict())
    return load(override(config, ["labels.mode=soft"]) if soft else config, split="valid")


def one_token(column: TokenColumn, clips: int) -> np.ndarray:
    """`(n, D)` the mean token of each clip, which is what fusions of pooled vectors see of it (projections are affine); the mean
    clip where there is none: of RAVDESS, one recording without a voice."""
    x = np.asarray(column.x[:], np.float32)
    total, count = np.zeros((clips, column.width), np.float32), np.zeros(clips)
    owner = np.repeat(column.clip, column.lengths)
    np.add.at(total, owner, x)
    np.add.at(count, owner, 1)
    return np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], x.mean(0)).astype(np.float32)


def rows_of(table: ClipTable) -> stacked.Rows:
    """The clips of a table; a class becomes its share."""
    column = next(iter(table.targets.values()))
    k = len(column.spec.labels)
    shares = column.value if column.value.ndim == 2 else np.eye(k, dtype=np.float32)[column.value]
    known = column.valid if column.valid.ndim == 1 else column.valid.all(1)
    x = {name: one_token(own, len(table)) for name, own in table.streams.items()}
    return stacked.Rows(
        {name: torch.from_numpy(own) for name, own in x.items()},
        torch.from_numpy(np.asarray(shares, np.float32)),
        torch.from_numpy(known.astype(np.float32)),
    )


def plans_of(config: TensorMixerConfig, table: ClipTable, seeds: int) -> list[Plan]:
    """The system's plan of every seed: the same but for the first weights."""
    torch.manual_seed(0)
    first = plan(config, table)
    held, widths = dict(first.model.named_buffers()), {name: own.width for name, own in table.streams.items()}
    found = [first]
    for seed in range(1, seeds):
        torch.manual_seed(seed)
        model = build_model(config, widths, first.specs)
        model.load_state_dict(held, strict=False)
        found.append(replace(first, model=model))
    return found


def together(study: str) -> dict[str, list[str]]:
    """Cells whose networks have one shape and one schedule, and can be trained side by side."""
    found: dict[str, list[str]] = {}
    for name, changes in STUDIES[study].cells().items():
        config = override(read_config(study, changes), ["labels.mode=hard", "data.own_scale=[]"])
        data = config.data.model_copy(update={"split": SplitConfig()})
        key = json.dumps(config.model_copy(update={"data": data}).to_dict(), sort_keys=True)
        found.setdefault(key, []).append(name)
    return found


def main(study: str, out: Path, seeds: int, most: int) -> None:
    cells = STUDIES[study].cells()
    tables: dict[str, ClipTable] = {}
    for names in together(study).values():
        left = [name for name in names if not (out / study / f"{name}.npz").is_file()]
        for first in range(0, len(left), most):
            part = left[first : first + most]
            begun, cpu_s = time.perf_counter(), time.process_time()
            plans, train, valid, ids = [], [], [], []
            for name in part:
                config = read_config(study, cells[name])
                key = json.dumps([config.data.to_dict(), config.labels.to_dict()], sort_keys=True)
                if key not in tables:
                    tables[key] = load(config)
                plans += plans_of(config, tables[key], seeds)
                train += [rows_of(tables[key].where("train"))] * seeds
                judged = tables[key].where("valid")
                valid += [rows_of(judged)] * seeds
                ids.append(judged.ids)
            torch.manual_seed(0)
            shape, weights, buffers = stacked.trained(plans, train, list(range(seeds)) * len(part))
            prob = stacked.answers(shape, weights, buffers, valid, plans[0].specs[0].name)
            cpu_s = (time.process_time() - cpu_s) / len(plans)
            count = sum(p.numel() for p in plans[0].model.parameters())
            for number, name in enumerate(part):
                own = np.stack(prob[number * seeds : (number + 1) * seeds])
                at = np.argsort(ids[number])
                file = out / study / f"{name}.npz"
                file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(file) as fresh, fresh.open("wb") as stream:
                    np.savez(stream, ids=ids[number][at], prob=own[:, at], weights=count, cpu_s=cpu_s)
            told = f"{len(plans)} networks, {cpu_s:.2f} s of CPU each, {time.perf_counter() - begun:.0f} s, {count:,} weights"
            print(f"{study} {part[0]} …: {told}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", choices=STUDIES)
    parser.add_argument("--out", type=Path, default=Path(".work/tensor-mixer/runs"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--most", type=int, default=5, help="cells side by side; a matter of memory")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(header("torch", "numpy"), flush=True)
    for each in given.studies:
        main(each, given.out, given.seeds, given.most)
