"""Batches of whole dialogues of very unequal lengths: every clip is seen in every epoch, and every epoch is measured."""

from dataclasses import replace

import numpy as np
import torch
from small_corpus import small_table

from merkit.config import override
from merkit.systems.fusion import FusionConfig, plan
from merkit.training.fit import fit

EPOCHS = 8


def test_every_epoch_sees_all_clips_and_is_measured(tmp_path) -> None:
    table = small_table(tmp_path / "corpus", 120)
    # dialogues of very unequal lengths, each within one split
    lengths = np.resize([1, 7, 2, 1, 8], len(table))
    dialogue = np.repeat(np.arange(len(table)), lengths)[: len(table)].astype(str)
    order = np.argsort(table.split, kind="stable")
    names = np.empty(len(table), object)
    names[order] = dialogue
    dialogue = np.array([f"{name} {split}" for name, split in zip(names, table.split, strict=True)])
    turn = np.arange(len(table))
    table = replace(table, dialogue=dialogue, turn=turn)
    changes = [
        "trainer.batch_size=6", f"trainer.max_epochs={EPOCHS}", "trainer.accelerator=cpu", "model.width=8", "data.earlier=2",
        "model.context=fused", "trainer.watch=loss", "optim.lr=0.003",
    ]  # fmt: skip
    torch.manual_seed(0)
    made = plan(override(FusionConfig(), changes), table)
    inner, steps = made.objective.forward, [[] for _ in range(EPOCHS)]
    done: list[int] = []

    def forward(model, batch):
        if model.training:
            steps[len(done)].append(batch.ids[: batch.size])
        return inner(model, batch)

    made.objective.forward = forward
    fitted = fit(made, tmp_path / "run", epoch_done=lambda *_: done.append(1))
    assert len({tuple(map(len, batches)) for batches in steps}) > 1  # else the test would show nothing
    clips = sorted(table.where("train").ids.tolist())
    assert all(sorted(np.concatenate(batches).tolist()) == clips for batches in steps)
    assert len({row["valid.loss"] for row in fitted.history}) == EPOCHS
