"""Dropout whose random numbers cost half as much on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import ConfigError

__all__ = ["Dropout"]

_STEPS = 1 << 16


class Dropout(nn.Module):
    """`torch.nn.Dropout`, the rate rounded to 1 / 65536.

    torch draws a double for every element; in small models that is an eighth to a fifth of a training step. Here one draw of
    64 bits decides four elements. The draws come from torch's own generator, so a seed and a restored state mean what
    they always do. On other devices it is torch's own kernel.

    Args:
        rate: probability in [0, 1) that an element is zeroed.

    Raises:
        ConfigError: the rate is not in [0, 1).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x = Dropout(0.25).train()(torch.ones(100_000))
        >>> sorted(set(x.tolist())), round((x == 0).float().mean().item(), 2)
        ([0.0, 1.3333333730697632], 0.25)
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ConfigError(f"dropout must lie in [0, 1), not {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; in evaluation mode the same tensor."""
        zeroed = round(self.rate * _STEPS)
        if not self.training or not zeroed:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.rate)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= zeroed - _STEPS // 2
        return x * kept.to(x.dtype).mul_(_STEPS / (_STEPS - zeroed))

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"rate={self.rate}"
