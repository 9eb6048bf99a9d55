"""Optimisers, parameter groups that cannot forget a parameter, and learning-rate schedules."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from merkit.config import Config
from merkit.errors import ConfigError
from merkit.training.ranger import Ranger

__all__ = ["OPTIMISERS", "SCHEDULES", "OptimConfig", "build_optimiser", "build_schedule", "parameter_groups"]


class OptimConfig(Config):
    """How weights are updated."""

    name: Literal["adam", "adamw", "sgd", "ranger"] = "adamw"
    """`ranger` is RAdam with LookAhead and gradient centralisation; `sgd` is Nesterov's."""
    lr: float = 1e-3
    """Learning rate at the top of the schedule."""
    weight_decay: float = 1e-2
    """On matrices only; norms, biases and single vectors are never decayed."""
    momentum: float = 0.9
    """Of `sgd`."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of `adam`, `adamw` and `ranger`."""
    module_lr: dict[str, float] = {}  # noqa: RUF012  pydantic copies defaults
    """Learning rates of parts of the model by name prefix, e.g. `{fusion: 1e-4}`; the longest prefix wins."""
    schedule: Literal["constant", "linear", "polynomial", "cosine", "cosine_restarts", "plateau", "step"] = "cosine"
    """How the learning rate goes on after warm-up."""
    warmup: float = 0.0
    """Warm-up: a share of all steps below 1, else a number of steps."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Warm-up in epochs; the longer of the two holds."""
    final: float = 0.0
    """Learning rate at the end of `linear`, `polynomial`, `cosine` and each restart, as a share of `lr`."""
    power: float = 1.0
    """Of `polynomial`."""
    restarts: int = Field(3, ge=1)
    """Cycles of `cosine_restarts`, which together are the run."""
    restart_growth: float = Field(1.0, ge=1)
    """How much longer each cycle of `cosine_restarts` is than the one before: T_mult of Loshchilov and Hutter 2017."""
    restart_steps: int = Field(0, ge=0)
    """Steps of the first cycle of `cosine_restarts`, their T_0; as many follow as there are steps for, whatever `restarts` says.
    0 = as long as makes `restarts` of them."""
    step_every: float = 0.5
    """`step`: share of all steps after which the rate is multiplied with `factor`, again and again."""
    factor: float = 0.1
    """Of `step` and `plateau`."""
    patience: int = 5
    """Epochs without improvement before `plateau` lowers the rate."""


OPTIMISERS: dict[str, Callable[[list[dict[str, Any]], OptimConfig, bool], torch.optim.Optimizer]] = {
    "adam": lambda groups, c, fused: torch.optim.Adam(
        groups, lr=c.lr, betas=c.betas, weight_decay=c.weight_decay, fused=fused
    ),
    "adamw": lambda groups, c, fused: torch.optim.AdamW(
        groups, lr=c.lr, betas=c.betas, weight_decay=c.weight_decay, fused=fused
    ),
    "sgd": lambda groups, c, fused: torch.optim.SGD(
        groups, lr=c.lr, momentum=c.momentum, nesterov=c.momentum > 0, weight_decay=c.weight_decay, fused=fused
    ),
    "ranger": lambda groups, c, fused: Ranger(groups, lr=c.lr, betas=c.betas, weight_decay=c.weight_decay),
}


def parameter_groups(module: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Every trainable parameter in exactly one group, by learning rate and whether it is decayed.

    Raises:
        ConfigError: a prefix of `module_lr` names no parameter.

    Example:
        >>> groups = parameter_groups(nn.Linear(2, 3), OptimConfig(lr=0.1, weight_decay=0.5))
        >>> [(len(g["params"]), g["lr"], g["weight_decay"]) for g in groups]
        [(1, 0.1, 0.5), (1, 0.1, 0.0)]
    """
    prefixes = sorted(config.module_lr, key=len, reverse=True)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    used: set[str] = set()
    # named_parameters gives a shared parameter once
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        prefix = next((p for p in prefixes if name == p or name.startswith(f"{p}.")), None)
        lr = config.lr if prefix is None else config.module_lr[prefix]
        used |= {prefix} if prefix is not None else set()
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((lr, decay), []).append(parameter)
    if unknown := set(prefixes) - used:
        children = ", ".join(name for name, _ in module.named_children())
        raise ConfigError(
            f"optim.module_lr: no trainable parameter under {', '.join(sorted(unknown))}; there are {children}"
        )
    return [{"params": parameters, "lr": lr, "weight_decay": decay} for (lr, decay), parameters in groups.items()]


def build_optimiser(module: nn.Module, config: OptimConfig, fused: bool = True) -> torch.optim.Optimizer:
    """The optimiser over all trainable parameters of `module`.

    Args:
        module: what is trained.
        config: how.
        fused: one kernel for all parameters, where there is one; False for mixed precision, where gradients must be
            unscaled and clipped before the step and a fused step does its own unscaling.

    Example:
        >>> type(build_optimiser(nn.Linear(2, 2), OptimConfig(name="sgd"))).__name__
        'SGD'
    """
    return OPTIMISERS[config.name](parameter_groups(module, config), config, fused)


def _linear(t: float, c: OptimConfig, steps: int) -> float:
    return c.final + (1 - c.final) * (1 - t)


def _polynomial(t: float, c: OptimConfig, steps: int) -> float:
    return c.final + (1 - c.final) * (1 - t) ** c.power


def _cosine(t: float, c: OptimConfig, steps: int) -> float:
    return c.final + (1 - c.final) * 0.5 * (1 + math.cos(math.pi * t))


def _cosine_restarts(t: float, c: OptimConfig, steps: int) -> float:
    if t >= 1 and not c.restart_steps:
        return c.final
    # cycles of 1, g, g^2 …, in shares of the run
    longer = c.restart_growth
    length = c.restart_steps / steps if c.restart_steps else 1 / sum(longer**i for i in range(c.restarts))
    # a hair before the edge is the edge: steps are whole, shares are rounded
    if longer == 1:
        t -= length * math.floor(t / length + 1e-9)
    while t >= length * (1 - 1e-9):
        t -= length
        length *= longer
    return _cosine(max(t / length, 0.0), c, steps)


# share of the run after warm-up, in [0, 1], and its steps after warm-up -> factor on the learning rate
SCHEDULES: dict[str, Callable[[float, OptimConfig, int], float]] = {
    "constant": lambda t, c, steps: 1.0,
    "linear": _linear,
    "polynomial": _polynomial,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
    "step": lambda t, c, steps: c.factor ** math.floor(t / c.step_every + 1e-9),
    "plateau": lambda t, c, steps: 1.0,
}


def build_schedule(
    optimiser: torch.optim.Optimizer,
    config: OptimConfig,
    total_steps: int,
    mode: Mapping[str, Any] | None = None,
    *,
    epochs: int = 1,
) -> tuple[LambdaLR, ReduceLROnPlateau | None]:
    """A per-step schedule with warm-up, and for `plateau` the per-epoch one that goes on top of it.

    Args:
        optimiser: to steer.
        config: which schedule.
        total_steps: optimiser steps of the whole run.
        mode: `mode` ("min" or "max") of the watched measure, for `plateau`.
        epochs: passes that these steps are, for `warmup_epochs`.

    Example:
        >>> optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule, _ = build_schedule(optimiser, OptimConfig(schedule="linear", warmup=2), 10)
        >>> round(schedule.lr_lambdas[0](1), 2), round(schedule.lr_lambdas[0](6), 2)
        (1.0, 0.5)
    """
    warm = round(config.warmup * total_steps) if config.warmup < 1 else round(config.warmup)
    warm = max(warm, round(min(config.warmup_epochs / epochs, 1.0) * total_steps))
    rest = max(total_steps - warm, 1)
    shape = SCHEDULES[config.schedule]

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return shape(min(1.0, (step - warm) / rest), config, rest)

    plateau = None
    if config.schedule == "plateau":
        plateau = ReduceLROnPlateau(optimiser, factor=config.factor, patience=config.patience, **(mode or {}))
    return LambdaLR(optimiser, factor), plateau
