"""What one run of a study costs, and how much of a step is the model's, ours around it, and the trainer's.

    OMP_NUM_THREADS=1 python -m benchmarks.study [--epochs 10] [--repeats 5] [key=value …]

The same batches are stepped through three ways: forward, backward and optimiser alone over batches made beforehand; the
same with our loader and objective; and the whole run under Lightning with measuring, keeping and recording.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import header, spread
from merkit.config import config_from, override
from merkit.systems.fusion import FusionConfig, plan
from merkit.systems.system import find_system
from merkit.training.fit import loader_for
from merkit.training.optim import build_optimiser, build_schedule
from merkit.training.train import train

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("changes", nargs="*")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    base = config_from(FusionConfig, json.loads((HERE / "merc2020" / "base.json").read_text()))
    print(header())
    for family in ("concat", "modality_attention", "tensor", "cross_modal", "label_query"):
        config = override(base, [f"model.fusion={family}", f"trainer.max_epochs={asked.epochs}", *asked.changes])
        table = find_system("fusion").load(config)
        steps = asked.epochs * len(
            loader_for(table.where("train"), tuple(table.streams), config.trainer, train=True)[1]
        )
        bare = [stepped(config, table, prepared=True) for _ in range(asked.repeats)]
        ours = [stepped(config, table, prepared=False) for _ in range(asked.repeats)]
        whole = [run(config, table) for _ in range(asked.repeats)]
        per_step = [np.median(times) / steps * 1e3 for times in (bare, ours, whole)]
        print(
            f"{family:20} model {per_step[0]:.2f} ms a step, + loader {per_step[1] - per_step[0]:.2f}, "
            f"+ trainer, measuring, record {per_step[2] - per_step[1]:.2f}; whole run {spread(whole)} s, {steps} steps"
        )


def stepped(config: FusionConfig, table: object, *, prepared: bool) -> float:
    """Seconds of all steps in a plain loop."""
    torch.manual_seed(0)
    made = plan(config, table)  # ty: ignore[invalid-argument-type]
    loader, order = loader_for(made.table.where("train"), made.modalities, config.trainer, train=True)
    held = [list(loader)] * config.trainer.max_epochs if prepared else None
    optimiser = build_optimiser(made.model, config.optim)
    schedule, _ = build_schedule(optimiser, config.optim, len(order) * config.trainer.max_epochs)
    made.model.train(), made.objective.train()

    def steps() -> None:
        for epoch in range(config.trainer.max_epochs):
            order.set_epoch(epoch)
            for batch in held[epoch] if held else loader:
                loss = made.objective(made.model, batch)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(made.model.parameters(), 1.0)
                optimiser.step()
                schedule.step()

    return seconds(steps)


def run(config: FusionConfig, table: object) -> float:
    """Seconds of a whole run with everything that it writes."""
    folder = Path(tempfile.mkdtemp())
    try:
        return seconds(lambda: train("fusion", config, folder / "run", table=table))  # ty: ignore[invalid-argument-type]
    finally:
        shutil.rmtree(folder)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
