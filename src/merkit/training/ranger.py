"""Ranger: RAdam (Liu et al. 2020) + LookAhead (Zhang et al. 2019) + gradient centralisation (Yong et al. 2020)."""

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["Ranger"]


class Ranger(torch.optim.RAdam):
    """torch's RAdam with decoupled decay, fed with centralised gradients, under a slow copy of the weights.

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: of RAdam; .95 for the first, as Ranger was published, only if asked for.
        weight_decay: decoupled.
        alpha: how far the slow weights go towards the fast ones (LookAhead, algorithm 1).
        every: steps between two such moves.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([[1.0, -1.0]]))
        >>> optimiser = Ranger([weight], lr=0.1, every=1, alpha=0.5)
        >>> weight.grad = torch.tensor([[3.0, 1.0]])
        >>> optimiser.step()
        >>> weight.grad  # each row's mean is taken off
        tensor([[ 1., -1.]])
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        *,
        alpha: float = 0.5,
        every: int = 6,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay, decoupled_weight_decay=True)
        self.alpha, self.every = alpha, every

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # ty: ignore[incompatible-method-override]
        """One step; every `every`-th one ends with the slow weights moving and the fast ones starting over from there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.ndim > 1:
                    axes = tuple(range(1, parameter.grad.ndim))
                    parameter.grad.sub_(parameter.grad.mean(axes, keepdim=True))
        # the slow copy starts at the weights before the first step; it lives in the optimiser's state, so it is saved
        fresh = [
            parameter
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None and "slow" not in self.state.get(parameter, {})
        ]
        starts = {parameter: parameter.detach().clone() for parameter in fresh}
        super().step()
        for parameter, start in starts.items():
            self.state[parameter]["slow"] = start
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state.get(parameter)
                if state and int(state["step"]) % self.every == 0:
                    state["slow"].lerp_(parameter, self.alpha)
                    parameter.copy_(state["slow"])
        return loss
