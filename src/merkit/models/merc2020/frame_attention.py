"""Frame attention (FAN) by its published name; the arithmetic is that of the poolings `fan_self` and `fan_relation`."""

from typing import Any, Literal

from torch import Tensor, nn

from merkit.errors import ConfigError
from merkit.models.pooling import build_pooling

__all__ = ["FrameAttention"]


class FrameAttention(nn.Module):
    """Frames to one vector, each weighed by what it holds (Meng et al. 2019, arXiv 1907.00193, equations 1 to 4).

    `self`: `alpha_t = sigmoid(w f_t) + 1e-3` and `f = sum alpha_t f_t / sum alpha_t`. `relation`: `beta_t = sigmoid(u [f ; f_t])
    + 1e-3` and `sum alpha_t beta_t [f ; f_t] / sum alpha_t beta_t`, twice as wide.

    Args:
        width: `D` of the frames.
        mode: `self` or `relation`.

    Raises:
        ConfigError: there is no such mode.

    Example:
        >>> import torch
        >>> attention = FrameAttention(4, "relation")
        >>> attention(torch.randn(2, 5, 4), torch.ones(2, 5) > 0).shape, attention.width
        (torch.Size([2, 8]), 8)
    """

    def __init__(self, width: int, mode: Literal["self", "relation"] = "self") -> None:
        super().__init__()
        if mode not in ("self", "relation"):
            raise ConfigError(f"frame attention is {mode!r}; it can be self or relation")
        self.mode = mode
        self.pool: Any = build_pooling(f"fan_{mode}", width)
        self.width: int = self.pool.width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` and `mask (B, T)`, True = real, to `(B, width)`; zeros for a row without any frame."""
        return self.pool(x, mask)
