"""Networks as after a training."""

import torch

__all__ = ["unsettled"]


def unsettled(net: torch.nn.Module, most: float = 0.5) -> torch.nn.Module:
    """Norms as after a training, so that a wrong epsilon, order or place shows."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, most / 50, most)
    return net.eval()
