"""Processes that train one model together, each on its share of the batches.

Lightning starts the others by running the same command again with `LOCAL_RANK` set; the first one alone writes the run.
"""

import os
from typing import Any

from merkit.training.config import TrainerConfig

__all__ = ["rank", "strategy_of"]


def rank() -> int:
    """Which of them this process is; 0 where there is only one.

    Example:
        >>> rank()
        0
    """
    return int(os.environ.get("LOCAL_RANK", "0"))


def strategy_of(config: TrainerConfig) -> Any:
    """What Lightning is told of how gradients meet: nothing for one process; the mean of all otherwise, through gloo between
    CPUs and nccl between GPUs. Parameters that a batch does not touch (a modality that nobody in it has) are waited for
    by nobody."""
    if config.devices == 1:
        return "auto"
    from lightning.pytorch.strategies import DDPStrategy

    backend = "gloo" if config.accelerator == "cpu" else None
    return DDPStrategy(process_group_backend=backend, find_unused_parameters=True)
