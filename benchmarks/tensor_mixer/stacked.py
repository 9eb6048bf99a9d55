"""Many networks of one shape trained side by side: other seeds, other folds, other labels of the same study.

Of a small network, a step is nearly all overhead. `torch.vmap` pays it once for all of them; each network has its own weights,
its own rows in its own order, its own dropout and its own gradient norm, as if it were alone.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from merkit.data.batch import Batch, Tokens
from merkit.models.dropout import Dropout
from merkit.training.fit import Plan
from merkit.training.optim import build_schedule

__all__ = ["Rows", "answers", "trained"]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The clips of one network, one token each of every modality.

    Args:
        x: modality -> `(n, D)`.
        y: `(n, K)` shares or one class as shares.
        weight: `(n,)` 1, and 0 where there is no class.
    """

    x: Mapping[str, Tensor]
    y: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.y)


def trained(plans: Sequence[Plan], rows: Sequence[Rows], seeds: Sequence[int]) -> tuple[nn.Module, dict, dict]:
    """The shape without weights, and weights and buffers of all, stacked.

    An epoch has as many steps for all: rows beyond the last whole batch of the smallest part are left out of it, others in every
    epoch. AdamW, the plan's schedule and clipping, cross entropy.
    """
    models = [_with_own_dropout(plan.model) for plan in plans]
    decayed = {name: parameter.ndim > 1 for name, parameter in models[0].named_parameters()}
    weights, buffers = stack_module_state(models)
    shape = copy.deepcopy(models[0]).to("meta").train()
    optim, trainer, target = plans[0].optim, plans[0].trainer, plans[0].specs[0].name
    assert optim.name == "adamw" and not optim.module_lr and trainer.watch == "last"
    groups = [
        {"params": [weights[name] for name in weights if decayed[name] == flag], "weight_decay": decay}
        for flag, decay in ((True, optim.weight_decay), (False, 0.0))
    ]
    optimiser = torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, fused=True)
    steps = max(min(map(len, rows)) // trainer.batch_size, 1)
    size = min(trainer.batch_size, min(map(len, rows)))
    schedule, _ = build_schedule(optimiser, optim, steps * trainer.max_epochs)

    def loss(own: dict, held: dict, x: dict, y: Tensor, weight: Tensor) -> Tensor:
        logit = functional_call(shape, (own, held), (_batch(x),))[target]
        each = -(y * F.log_softmax(logit, -1)).sum(-1)
        return (each * weight).sum() / weight.sum().clamp_min(1.0)

    gradients = vmap(grad(loss), randomness="different")
    orders = [np.random.default_rng(seed) for seed in seeds]
    for _ in range(trainer.max_epochs):
        order = [torch.from_numpy(own.permutation(len(part))) for own, part in zip(orders, rows, strict=True)]
        for step in range(steps):
            at = [each[step * size : (step + 1) * size] for each in order]
            x = {name: torch.stack([part.x[name][i] for part, i in zip(rows, at, strict=True)]) for name in rows[0].x}
            y = torch.stack([part.y[i] for part, i in zip(rows, at, strict=True)])
            weight = torch.stack([part.weight[i] for part, i in zip(rows, at, strict=True)])
            found = gradients(weights, buffers, x, y, weight)
            norm = torch.stack([g.flatten(1).square().sum(1) for g in found.values()]).sum(0).sqrt()
            factor = (trainer.clip / norm.clamp_min(1e-6)).clamp_max(1.0)
            for name, g in found.items():
                weights[name].grad = g * factor.view(-1, *[1] * (g.ndim - 1))
            optimiser.step()
            schedule.step()
    return shape.eval(), weights, buffers


@torch.no_grad()
def answers(shape: nn.Module, weights: dict, buffers: dict, rows: Sequence[Rows], target: str) -> list[np.ndarray]:
    """Softmax `(n, K)` of every network for its own rows."""
    found = []
    for number, part in enumerate(rows):
        own = [{name: value[number] for name, value in held.items()} for held in (weights, buffers)]
        logit = functional_call(shape, tuple(own), (_batch(part.x),))[target]
        found.append(logit.softmax(-1).numpy())
    return found


def _batch(x: Mapping[str, Tensor]) -> Batch:
    size = len(next(iter(x.values())))
    mask = torch.ones(size, 1, 1, dtype=torch.bool)
    tokens = {name: Tokens(own[:, None, None, :], mask, torch.zeros(size, 1, 1)) for name, own in x.items()}
    return Batch(tuple(map(str, range(size))), size, tokens)


def _with_own_dropout(model: nn.Module) -> nn.Module:
    """torch's own dropout, which `vmap` draws for each network; the house's draws once for all."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Dropout):
                setattr(parent, name, nn.Dropout(child.rate))
    return model.train()
