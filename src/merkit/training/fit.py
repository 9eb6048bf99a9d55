"""One run of one seed: a plan in, chosen weights and a history out."""

import logging
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from merkit.atomic import replacing
from merkit.data.context import dialogue_context
from merkit.data.loader import TableBatches, batch_loader
from merkit.data.sampler import EpochBatches
from merkit.data.table import ClipTable
from merkit.data.token_sampling import Sampling
from merkit.errors import ConfigError
from merkit.schema import TargetSpec
from merkit.training.callbacks import Averaging, EpochDone, Keeper, write_history
from merkit.training.checkpoint import SafeCheckpointIO
from merkit.training.config import TrainerConfig
from merkit.training.criteria import Criterion
from merkit.training.module import Answers, Trainee
from merkit.training.optim import OptimConfig
from merkit.training.ranks import rank, strategy_of
from merkit.training.trackers import build_tracker

__all__ = ["Fitted", "Plan", "fit", "loader_for"]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that a run needs, made by a system from its config and its table.

    Args:
        table: clips of `train` and `valid`.
        modalities: streams that the model takes.
        specs: targets.
        model: freshly initialised from the seed.
        objective: what is minimised.
        optim: how.
        trainer: the rest.
        context: `earlier, later` turns of the dialogue.
        measure: answers over the valid split -> measures.
        sampling: which tokens the model sees, anew each epoch in training; None = all. `training.train` takes it from
            the system where a plan leaves it out, and evaluation always does.
    """

    table: ClipTable
    modalities: tuple[str, ...]
    specs: tuple[TargetSpec, ...]
    model: nn.Module
    objective: nn.Module
    optim: OptimConfig
    trainer: TrainerConfig
    measure: Callable[[Answers], Mapping[str, float]]
    context: tuple[int, int] = (0, 0)
    sampling: Sampling | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What came of a run.

    Args:
        model: with the chosen weights, in evaluation mode.
        best: criterion -> `value`, `epoch` and file of its weights.
        history: measures by epoch.
        seconds: of training.
    """

    model: nn.Module
    best: Mapping[str, Mapping[str, Any]]
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def loader_for(
    table: ClipTable,
    modalities: tuple[str, ...],
    trainer: TrainerConfig,
    *,
    context: tuple[int, int] = (0, 0),
    train: bool = False,
    with_targets: bool = True,
    sampling: Sampling | None = None,
) -> tuple[Any, EpochBatches]:
    """Batches of one split's clips and the order they come in: shuffled for training, else as in the table.

    Args:
        table: clips of one split.
        modalities: streams to take.
        trainer: batch size, seed, workers.
        context: `earlier, later` turns of the dialogue.
        train: False keeps the order of the table and leaves nothing to chance.
        with_targets: False for prediction.
        sampling: which tokens are taken; None = all.

    Raises:
        ConfigError: `trainer.balance` without a single-label target of whole clips.
    """
    rows = dialogue_context(table, *context)
    lengths = None
    if trainer.bucket and train and not trainer.balance:  # sorted by length, batches would not hold classes evenly
        lengths = np.zeros(len(table), np.int64)
        for name in modalities:
            column = table.streams[name]
            seen = column.lengths if sampling is None else sampling.counts(name, column.lengths, training=True)
            np.maximum.at(lengths, column.clip, seen)
        lengths = lengths if lengths.max(initial=0) > 1 else None
    balance = None
    if trainer.balance and train:
        whole = [column for column in table.targets.values() if not column.spec.per_entity]
        single = next((column for column in whole if column.spec.kind == "single_label"), None)
        if single is None or not single.valid.any():
            raise ConfigError("trainer.balance needs a single-label target of whole clips")
        balance = np.where(single.valid, single.value, -1)  # clips of no known class are not drawn
    order = EpochBatches(
        len(table),
        trainer.batch_size,
        seed=trainer.seed,
        shuffle=train,
        lengths=lengths,
        # classes drawn evenly break dialogues up; what they are read with comes along with each clip
        groups=table.dialogue if rows is not None and train and balance is None else None,
        balance=balance,
        rank=rank() if train else 0,
        world_size=trainer.devices if train else 1,
    )
    dataset = TableBatches(table, modalities, rows, with_targets, sampling, trainer.seed if train else None)
    return batch_loader(dataset, order, workers=trainer.workers), order


def fit(plan: Plan, folder: Path, *, resume: bool = True, epoch_done: EpochDone | None = None) -> Fitted:
    """Trains; goes on from `folder/last.ckpt` where there is one. The result is the same either way, to the bit on a CPU.

    Raises:
        ConfigError: there is nothing to train or to choose the epoch by.
    """
    config = plan.trainer
    folder.mkdir(parents=True, exist_ok=True)
    train, valid = plan.table.where("train"), plan.table.where("valid")
    if not len(train):
        raise ConfigError(f"corpus {plan.table.name} has no clips in split train")
    if not len(valid) and config.watch != "last":
        raise ConfigError(
            f"corpus {plan.table.name} has no clips in split valid to choose an epoch by: trainer.watch=last"
        )
    watch = Criterion.parse("loss" if config.watch == "last" else config.watch)
    trainee = Trainee(plan.model, plan.objective, plan.specs, plan.optim, plan.measure, watch, config.seed)
    parts: dict[str, Any] = {"context": plan.context, "sampling": plan.sampling}
    loader, order = loader_for(train, plan.modalities, config, train=True, **parts)
    valid_loader = loader_for(valid, plan.modalities, config, **parts)[0] if len(valid) else None
    averaging = Averaging(config.ema) if config.ema else None
    keeper = Keeper(folder, config, averaging, epoch_done, order)
    begun = time.perf_counter()
    with _quiet():
        trainer = pl.Trainer(
            default_root_dir=folder,
            accelerator=config.accelerator,
            devices=config.devices,
            strategy=strategy_of(config),
            max_epochs=config.max_epochs,
            precision={"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[config.precision],
            accumulate_grad_batches=config.accumulate,
            gradient_clip_val=config.clip or None,
            fast_dev_run=2 if config.fast_dev_run else False,
            logger=build_tracker(folder, config),
            callbacks=[keeper] if averaging is None else [averaging, keeper],
            plugins=[SafeCheckpointIO()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=50,
            use_distributed_sampler=False,
        )
        last = folder / "last.ckpt"
        trainer.fit(trainee, loader, valid_loader, ckpt_path=last if resume and last.is_file() else None)
        if trainer.interrupted:
            raise KeyboardInterrupt
        if not config.fast_dev_run:
            keeper.save(trainer)
    if rank():
        # the first process writes what came of it
        return Fitted(plan.model, {}, keeper.history, time.perf_counter() - begun)
    return _finished(plan, keeper, averaging, folder, time.perf_counter() - begun)


def _finished(plan: Plan, keeper: Keeper, averaging: Averaging | None, folder: Path, seconds: float) -> Fitted:
    """Writes the chosen weights and those of every other criterion, and hands the model over."""
    best: dict[str, dict[str, Any]] = {}
    for criterion in keeper.criteria:
        held = keeper.best.get(criterion.text)
        if held is not None:
            name = f"best-{criterion.slug}.safetensors"
            save_weights(held["weights"], folder / name)
            best[criterion.text] = {"value": held["value"], "epoch": held["epoch"], "file": name}
    model = plan.model
    if keeper.watch is not None and keeper.watch.text in keeper.best:
        model.load_state_dict(keeper.best[keeper.watch.text]["weights"])
    elif averaging is not None:
        model.load_state_dict(averaging.average)
    model = model.cpu().eval()
    save_weights(model.state_dict(), folder / "model.safetensors")
    write_history(keeper.history, folder / "history.csv")
    return Fitted(model, best, keeper.history, seconds)


def save_weights(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """A safetensors file, by rename."""
    with replacing(path) as temporary:
        save_file({name: value.detach().cpu().clone().contiguous() for name, value in weights.items()}, temporary)


@contextmanager
def _quiet() -> Generator[None]:
    """Lightning's hints about loaders, hardware and tips are not for users of this program."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings(
                "ignore", message=r".*(lr_scheduler\.step|num_workers|does not have many workers).*"
            )
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
