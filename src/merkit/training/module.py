"""The one Lightning module that trains every system: a model, what it minimises, and how its weights move.

Random numbers of a step are a function of (seed, epoch, batch), so a run that was stopped anywhere goes on as if it had
not been, and no state of a generator has to be saved. Measures are taken over whole splits, never averaged over batches.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from merkit.data.batch import Batch
from merkit.schema import TargetSpec
from merkit.training.criteria import Criterion
from merkit.training.optim import OptimConfig, build_optimiser, build_schedule

__all__ = ["Answers", "Trainee", "collect"]

# target -> (raw model output, target, valid), each over a whole split
Answers = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
Measure = Callable[[Answers], Mapping[str, float]]


class Trainee(pl.LightningModule):
    """A model in training.

    Args:
        model: `forward(batch) -> {target: logits}`.
        objective: `(model, batch) -> loss`; it may hold parameters of its own.
        specs: targets that are measured.
        optim: how weights move.
        measure: answers of the whole valid split -> measures.
        watch: what `plateau` listens to.
        seed: of all randomness in training steps.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: nn.Module,
        specs: Sequence[TargetSpec],
        optim: OptimConfig,
        measure: Measure,
        watch: Criterion,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self.specs, self.optim, self.measure, self.watch, self.seed = list(specs), optim, measure, watch, seed
        self.measures: dict[str, float] = {}
        self._answers: list[tuple[Mapping[str, Tensor], Batch]] = []
        self._valid_loss: list[tuple[Tensor, int]] = []
        self.plateau: ReduceLROnPlateau | None = None
        self._per_step: Any = None
        self._plateau_state: dict[str, Any] | None = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One loss; every random number in it follows from seed, epoch and batch."""
        # of several processes, each has every so-manieth batch of the epoch
        place = batch_idx * self.trainer.world_size + self.trainer.global_rank
        seed = int(np.random.SeedSequence([self.seed, self.current_epoch, place]).generate_state(1)[0])
        # torch.manual_seed also asks every kind of device and keeps a stack trace for it: 3 ms, more than a small model's
        # backward pass
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        return self.objective(self.model, batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Answers are kept until the split is through."""
        known = sum(int(batch.valid[spec.name].sum()) for spec in self.specs)
        self._valid_loss.append((self.objective(self.model, batch), known))
        self._answers.append((self.model(batch), batch))

    def on_validation_epoch_end(self) -> None:
        """Measures over the whole split, logged once."""
        answers = gathered(self._answers, self.specs)
        sizes = sum(size for _, size in self._valid_loss)
        # weighed by what is known: a batch of unlabelled clips has no loss
        loss = sum(float(value) * size for value, size in self._valid_loss if size) / sizes if sizes else math.nan
        self.measures = {"loss": loss, **self.measure(answers)}
        self._answers, self._valid_loss = [], []
        if self.trainer.loggers:
            self.log_dict({f"valid/{name}": value for name, value in self.measures.items()})
            self.log("valid/watch", self.watch(self.measures))

    def configure_optimizers(self) -> Any:
        """Optimiser over model and objective together, with its schedule per step."""
        holder = nn.ModuleDict({"model": self.model, "objective": self.objective})
        optim = self.optim
        if optim.module_lr:
            optim = optim.model_copy(update={"module_lr": {_held(k, self): v for k, v in optim.module_lr.items()}})
        optimiser = build_optimiser(holder, optim, fused=self.trainer.precision == "32-true")
        total = int(self.trainer.estimated_stepping_batches)
        schedule, plateau = build_schedule(
            optimiser, optim, total, {"mode": self.watch.mode}, epochs=max(self.trainer.max_epochs or 1, 1)
        )
        if plateau is not None and self._plateau_state is not None:
            plateau.load_state_dict(self._plateau_state)
        self.plateau, self._per_step = plateau, schedule
        return [optimiser], [{"scheduler": schedule, "interval": "step"}]

    def lower_rate(self) -> None:
        """The plateau's step after an epoch. Lightning would take it after the epoch is saved, and a run that goes on from
        there would lose it. What it takes off must also come off the base rates that the per-step schedule multiplies."""
        if self.plateau is None:
            return
        groups = self.plateau.optimizer.param_groups
        before = [group["lr"] for group in groups]
        self.plateau.step(self.watch(self.measures))
        for i, group in enumerate(groups):
            self._per_step.base_lrs[i] *= group["lr"] / before[i] if before[i] else 1.0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What the plateau has seen."""
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """It is there before there is a plateau to give it to."""
        self._plateau_state = checkpoint.get("plateau")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Tokens, targets and context of a batch; on the CPU it is the batch itself."""
        return batch if device.type == "cpu" else batch.to(device)


def _held(prefix: str, trainee: Trainee) -> str:
    """`optim.module_lr` names parts of the model as the user sees them, without the holder's `model.`."""
    name = prefix.split(".")[0]
    return f"model.{prefix}" if name in dict(trainee.model.named_children()) else prefix


def gathered(parts: Sequence[tuple[Mapping[str, Tensor], Batch]], specs: Sequence[TargetSpec]) -> Answers:
    """Concatenates what batches gave. Per-entity targets are flattened to the entities that are valid."""
    answers: Answers = {}
    for spec in specs:
        outputs, targets, valids = [], [], []
        for out, batch in parts:
            output, target, valid = out[spec.name].float(), batch.targets[spec.name], batch.valid[spec.name]
            if spec.per_entity:
                known = valid if valid.ndim == 2 else valid.any(-1)
                output, target, valid = output[known], target[known], valid[known]
            outputs.append(output.detach().cpu().numpy())
            targets.append(target.cpu().numpy())
            valids.append(valid.cpu().numpy())
        answers[spec.name] = (np.concatenate(outputs), np.concatenate(targets), np.concatenate(valids))
    return answers


@torch.inference_mode()
def collect(model: nn.Module, batches: Any, specs: Sequence[TargetSpec]) -> Answers:
    """Answers of a model over all batches, in their order, in evaluation mode."""
    model.eval()
    return gathered([(model(batch), batch) for batch in batches], specs)
