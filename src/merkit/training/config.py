"""How a run goes: epochs, batches, precision, what is watched and what is kept."""

import json
from typing import Literal

from pydantic import Field

from merkit.config import Config

__all__ = ["TrainerConfig", "data_key"]

# Groups of a system's config that its table does not depend on.
_APART = {"model", "objective", "optim", "trainer"}


def data_key(system: str, config: Config) -> str:
    """What a table is kept by while several runs are trained or judged: everything that loading it may depend on.

    Example:
        >>> class Run(Config):
        ...     top_k: int = 10
        ...     trainer: TrainerConfig = TrainerConfig()
        >>> data_key("emotx", Run()), data_key("emotx", Run()) == data_key("emotx", Run(top_k=25))
        ('emotx {"top_k": 10}', False)
    """
    held = {key: value for key, value in config.to_dict().items() if key not in _APART}
    return f"{system} {json.dumps(held, sort_keys=True)}"


class TrainerConfig(Config):
    """Settings of the trainer, the same for every system."""

    max_epochs: int = Field(30, ge=1)
    """Passes over the training clips at most."""
    batch_size: int = Field(64, ge=1)
    """Clips a batch; with dialogue context, batches close with the first whole dialogue over it."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are added up before a step."""
    clip: float = Field(1.0, ge=0)
    """Largest gradient norm; 0 = no limit."""
    precision: Literal["32", "bf16", "16"] = "32"
    """`bf16` and `16` compute in mixed precision."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is evaluated and kept; 0 = none."""
    watch: str = "loss"
    """Measure on the valid split that chooses the epoch: `loss`, `accuracy`, `emotion.macro_f1`,
    `mean(accuracy+macro_f1)`, `gmean(a+b)`; `last` keeps the last epoch and needs no valid split."""
    best_by: tuple[str, ...] = ()
    """Further measures; the weights of the best epoch by each are kept beside the chosen ones."""
    patience: int = Field(0, ge=0)
    """Epochs without a better `watch` before stopping; 0 = never."""
    bucket: bool = True
    """Put clips of nearly the same length into one batch."""
    balance: bool = False
    """Draw classes evenly, rarer ones again and again."""
    save_every_s: float = Field(60.0, ge=0)
    """Seconds between two checkpoints to resume from, at ends of epochs."""
    save_every_steps: int = Field(0, ge=0)
    """Batches between two checkpoints to resume from, within epochs; 0 = only at ends of epochs."""
    fast_dev_run: bool = False
    """Two batches of everything, to see that it runs."""
    seed: int = 0
    """Of weights, order, dropout and augmentation."""
    workers: int = Field(0, ge=0)
    """Processes that prepare batches; the result is the same with any number."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Where to compute."""
    devices: int = Field(1, ge=1)
    """How many of them. Each takes its share of the batches and gradients are averaged, so that `devices=2` does what
    `accumulate=2` does on one; give `--out` with more than one."""
    tracker: Literal["none", "csv", "tensorboard", "wandb", "mlflow"] = "none"
    """Where measures are logged beside the run's own history.csv. W&B and MLflow write to the run's folder, offline."""
    tracker_mode: Literal["offline", "online"] = "offline"
    """`online` lets W&B send what it logs to its server, and MLflow to that of MLFLOW_TRACKING_URI; nothing goes anywhere
    unless this asks for it."""
    artifact: bool = False
    """Of W&B: log the finished run's weights, config and record as an artifact of type `model`."""
    project: str = "merkit"
    """Project or experiment name for the tracker."""
    entity: str = ""
    """User or team at W&B; empty = your own default."""
