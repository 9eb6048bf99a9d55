"""A run that was stopped anywhere goes on to the very same weights."""

from importlib import import_module
from pathlib import Path

import pytest
import torch
from small_corpus import small_table

from merkit.config import override
from merkit.systems.fusion import FusionConfig, plan
from merkit.training.callbacks import Keeper
from merkit.training.fit import Fitted, fit

COMMON = [
    "trainer.batch_size=8",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "model.width=8",
    "model.dropout=0.3",
]


class Stopped(RuntimeError):
    """Stands for anything that ends a process."""


def run(folder: Path, changes: list[str], stop_after: int | None = None) -> Fitted:
    config = override(FusionConfig(), COMMON + changes)
    torch.manual_seed(config.trainer.seed)
    made = plan(config, small_table(folder.parent / "corpus"))
    if stop_after is not None:
        inner, calls = made.objective.forward, []

        def forward(model, batch):
            if model.training:
                calls.append(1)
                if len(calls) > stop_after:
                    raise Stopped
            return inner(model, batch)

        made.objective.forward = forward
    return fit(made, folder)


def same(a: Fitted, b: Fitted) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    "changes",
    [
        ["trainer.watch=accuracy", "objective.mixup=1"],
        ["optim.name=ranger", "trainer.ema=0.9", "trainer.watch=last"],
        # a rate so high that the loss gets worse, so that the plateau lowers it
        ["optim.schedule=plateau", "optim.patience=0", "optim.lr=1", "optim.warmup=2", "trainer.accumulate=2"],
        ["data.earlier=2", "model.context=fused", "optim.name=sgd", "model.modality_dropout=0.3"],
    ],
)
@pytest.mark.parametrize("stop_after", [1, 5, 9, 12])  # 5 batches an epoch, fewer with dialogues
def test_resumed_equals_uninterrupted_bitwise(tmp_path: Path, changes: list[str], stop_after: int) -> None:
    changes = [*changes, "trainer.save_every_steps=1"]
    whole = run(tmp_path / "whole", changes)
    stopped = tmp_path / "stopped"
    try:
        run(stopped, changes, stop_after)
    except Stopped:
        # two batches make a step where gradients are added up: after one of them there is nothing to save yet
        assert (stopped / "last.ckpt").is_file() or stop_after == 1
        resumed = run(stopped, changes)
    else:  # fewer batches than that: the run simply finished
        assert stop_after > 9
        return
    assert same(whole, resumed)
    assert [row["train_loss"] for row in whole.history][-1] == [row["train_loss"] for row in resumed.history][-1]
    assert [row["epoch"] for row in resumed.history] == [0, 1, 2]
    assert [row["lr"] for row in resumed.history] == [row["lr"] for row in whole.history]
    assert {k: v["epoch"] for k, v in whole.best.items()} == {k: v["epoch"] for k, v in resumed.best.items()}


def test_the_best_epoch_before_a_crash_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ["trainer.watch=accuracy", "trainer.save_every_s=0"]
    worse = iter([0.9, 0.5, 0.4])
    compared = Keeper.on_validation_end

    def measured(self, trainer, module):
        module.measures = {**module.measures, "emotion.accuracy": next(worse)}
        compared(self, trainer, module)

    monkeypatch.setattr(Keeper, "on_validation_end", measured)
    with pytest.raises(Stopped):
        run(tmp_path / "run", changes, stop_after=7)  # within the second epoch
    found = run(tmp_path / "run", changes)
    assert found.best["accuracy"]["epoch"] == 0 and found.best["accuracy"]["value"] == 0.9


def test_other_seeds_give_other_weights(tmp_path: Path) -> None:
    assert not same(run(tmp_path / "a", []), run(tmp_path / "b", ["trainer.seed=1"]))


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    assert same(run(tmp_path / "a", []), run(tmp_path / "b", []))


def test_a_plateau_lowers_the_rate_and_forgets_nothing_when_it_goes_on(tmp_path: Path) -> None:
    changes = ["optim.schedule=plateau", "optim.patience=0", "optim.factor=0.5", "optim.lr=1", "trainer.max_epochs=6"]
    changes += ["trainer.save_every_s=0"]
    whole = run(tmp_path / "whole", changes)
    assert whole.history[-1]["lr"] < 0.5, "a case in which nothing is lowered would show nothing"
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", changes, stop_after=22)  # within the fifth epoch, of five batches each
    resumed = run(tmp_path / "stopped", changes)
    assert [row["lr"] for row in resumed.history] == [row["lr"] for row in whole.history] and same(whole, resumed)


def test_a_run_that_was_killed_after_early_stopping_is_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ["trainer.patience=1", "trainer.max_epochs=30", "optim.lr=1", "optim.schedule=constant"]

    def killed(*given):
        raise Stopped

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(import_module("merkit.training.fit"), "_finished", killed)
        run(tmp_path / "run", changes)
    whole = run(tmp_path / "whole", changes)
    assert len(whole.history) < 30
    resumed = run(tmp_path / "run", changes)
    assert len(resumed.history) == len(whole.history) and same(whole, resumed)
