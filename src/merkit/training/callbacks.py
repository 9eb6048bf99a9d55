"""What happens around an epoch: averaging weights, keeping the best, stopping, saving, history.

`Keeper` holds the best weights in memory and in every checkpoint, so a run that is resumed from `last.ckpt` knows its
best epoch even if that lies before the crash. All writing is atomic.
"""

import csv
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from merkit.atomic import replacing
from merkit.errors import ConfigError
from merkit.training.config import TrainerConfig
from merkit.training.criteria import Criterion
from merkit.training.module import Trainee

__all__ = ["Averaging", "Keeper"]

Weights = dict[str, Tensor]
# epochs, of how many, measures of the epoch, chosen measure so far
EpochDone = Callable[[int, int, Mapping[str, float]], object]


class Averaging(pl.Callback):
    """An exponential moving average of the weights, which takes their place while measuring.

    Args:
        decay: share of the old average at each step; it starts lower, `(1 + t) / (10 + t)`, so that early weights are
            forgotten.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: Weights = {}
        self.steps = 0
        self._live: Weights = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The average starts at the first weights."""
        live = copy_of(pl_module)
        # an average from a checkpoint lies where checkpoints are read to, not where the model works
        self.average = (
            {name: self.average[name].to(value.device) for name, value in live.items()} if self.average else live
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One step of the average after each step of the optimiser."""
        if trainer.global_step == self.steps:
            return
        self.steps = trainer.global_step
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in _trained(pl_module).state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value.detach(), 1 - decay)
            else:
                self.average[name].copy_(value)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The average is what is measured."""
        self._live = copy_of(pl_module)
        _trained(pl_module).load_state_dict(self.average)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training goes on from the live weights."""
        _trained(pl_module).load_state_dict(self._live)
        self._live = {}

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"average": self.average, "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From checkpoints."""
        self.average, self.steps = state_dict["average"], state_dict["steps"]


class Keeper(pl.Callback):
    """Measures by epoch, best weights by each criterion, early stopping, and checkpoints to resume from.

    Args:
        folder: of the run.
        config: of the trainer.
        averaging: whose average is kept in place of the live weights.
        epoch_done: told after every epoch.
    """

    def __init__(
        self,
        folder: Path,
        config: TrainerConfig,
        averaging: Averaging | None = None,
        epoch_done: EpochDone | None = None,
        order: Any = None,
    ) -> None:
        self.folder, self.config, self.averaging, self.epoch_done = folder, config, averaging, epoch_done
        self.order = order
        self.watch = None if config.watch == "last" else Criterion.parse(config.watch)
        self.criteria = [Criterion.parse(text) for text in config.best_by]
        if self.watch is not None and self.watch.text not in config.best_by:
            self.criteria.insert(0, self.watch)
        self.best: dict[str, dict[str, Any]] = {}
        self.history: list[dict[str, float]] = []
        self._losses: list[Tensor] = []
        self._since_save = 0
        self._steps = 0
        self._saved_s = time.monotonic()
        self._begun_s = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that was killed after its last epoch, before it was written down, is not trained on."""
        trainer.should_stop = trainer.should_stop or self._out_of_patience

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The order of the epoch that begins; the iterator is made after this (Lightning looks for samplers, not orders)."""
        if self.order is not None:
            if self.order.start == 0 or self.order.epoch != trainer.current_epoch:
                self._losses = []
            self.order.set_epoch(trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A checkpoint within the epoch, where asked for; never between batches whose gradients are being added up."""
        every = self.config.save_every_steps
        self._losses.append(outputs["loss"].detach())
        self._since_save += 1
        # the end of an epoch is saved after measuring, not before
        within = not trainer.is_last_batch
        if every and within and self._since_save >= every and trainer.global_step != self._steps:
            trainer.save_checkpoint(self.folder / "last.ckpt")
            self._since_save = 0
        self._steps = trainer.global_step

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compares the epoch with the best so far."""
        assert isinstance(pl_module, Trainee)
        for criterion in self.criteria:
            value = criterion(pl_module.measures)
            held = self.best.get(criterion.text)
            if criterion.better(value, None if held is None else held["value"]):
                weights = self.averaging.average if self.averaging else copy_of(pl_module)
                weights = {name: value.clone() for name, value in weights.items()} if self.averaging else weights
                self.best[criterion.text] = {"value": value, "epoch": trainer.current_epoch, "weights": weights}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """History, early stopping, and a checkpoint when one is due."""
        assert isinstance(pl_module, Trainee)
        epoch = trainer.current_epoch
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        loss = float(torch.stack([each.cpu() for each in self._losses]).mean()) if self._losses else float("nan")
        if not math.isfinite(loss) and not all(value.isfinite().all() for value in pl_module.parameters()):
            write_history(self.history, self.folder / "history.csv")
            raise ConfigError(
                f"training diverged in epoch {epoch + 1}: the weights are no longer finite. A lower optim.lr, or trainer.clip, "
                f"may help; the epochs before are in {self.folder / 'history.csv'}"
            )
        row = {"epoch": epoch, "lr": rate, "train_loss": loss}
        if trainer.loggers:
            pl_module.log_dict({"train/loss": loss, "train/lr": rate})
        self.history.append({**row, **{f"valid.{name}": value for name, value in pl_module.measures.items()}})
        pl_module.lower_rate()
        trainer.should_stop = trainer.should_stop or self._out_of_patience
        if self.epoch_done is not None and trainer.is_global_zero:
            self.epoch_done(epoch + 1, trainer.max_epochs or 0, self.history[-1])
        due = self.config.save_every_steps and self._since_save >= self.config.save_every_steps
        due = due or time.monotonic() - self._saved_s >= self.config.save_every_s
        # all processes save or none: their clocks need not agree
        if trainer.strategy.broadcast(bool(due)):
            self.save(trainer)

    @property
    def _out_of_patience(self) -> bool:
        if self.watch is None or not self.config.patience or not self.history or self.watch.text not in self.best:
            return False
        return self.history[-1]["epoch"] - self.best[self.watch.text]["epoch"] >= self.config.patience

    def save(self, trainer: pl.Trainer) -> None:
        """A checkpoint and the history so far."""
        trainer.save_checkpoint(self.folder / "last.ckpt")
        if trainer.is_global_zero:
            write_history(self.history, self.folder / "history.csv")
        self._saved_s = time.monotonic()
        self._since_save = 0

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints: the best weights travel inside."""
        return {"best": self.best, "history": self.history, "losses": self._losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From checkpoints."""
        self.best, self.history, self._losses = state_dict["best"], state_dict["history"], state_dict["losses"]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Tells the order of batches where the run was."""
        if self.order is not None:
            loop = checkpoint["loops"]["fit_loop"]
            done = loop["epoch_loop.batch_progress"]["current"]["processed"]
            finished = loop["epoch_loop.batch_progress"]["is_last_batch"]
            # a checkpoint from the end of an epoch goes on with the next one
            self.order.resume(checkpoint["epoch"] + finished, 0 if finished else done)


def write_history(history: list[dict[str, float]], path: Path) -> None:
    """One row an epoch, atomically."""
    if not history:
        return
    names = list(dict.fromkeys(name for row in history for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(history)


def _trained(pl_module: pl.LightningModule) -> torch.nn.Module:
    assert isinstance(pl_module, Trainee)
    return pl_module.model


def copy_of(pl_module: pl.LightningModule) -> Weights:
    """The model's weights as they are now."""
    return {name: value.detach().clone() for name, value in _trained(pl_module).state_dict().items()}
