"""Convolutions as TensorFlow pads them, and batch norm folded into the convolution before it."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["fold_norm", "pad_same"]


def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """`x` padded so that a `kernel` at `stride` gives `ceil(size / stride)`; an odd pixel goes right and below.

    PyTorch's own `padding="same"` has no stride, and its symmetric padding shifts every stride-2 layer by a pixel.

    Args:
        x: `(B, C, H, W)`.
        kernel: side of the window in pixels.
        stride: step of the window in pixels.
        value: what the border holds: 0 before a convolution, -inf before max pooling.

    Example:
        >>> pad_same(torch.zeros(1, 1, 6, 7), 3, 2).shape
        torch.Size([1, 1, 7, 9])
    """
    height, width = x.shape[-2:]
    down = max((-(-height // stride) - 1) * stride + kernel - height, 0)
    right = max((-(-width // stride) - 1) * stride + kernel - width, 0)
    if not down and not right:
        return x
    return F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2), value=value)


def fold_norm(
    weight: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that equals `weight` followed by batch norm in eval mode.

    Args:
        weight: `(C_out, C_in, k, k)` of a convolution without bias.
        gamma: `(C_out,)` scale of the norm.
        beta: `(C_out,)` shift of the norm.
        mean: `(C_out,)` running mean.
        variance: `(C_out,)` running variance.
        eps: as the norm was trained with.

    Example:
        >>> one = torch.ones(1)
        >>> weight, bias = fold_norm(torch.ones(1, 1, 1, 1), 2 * one, one, 3 * one, one, eps=0.0)
        >>> weight.item(), bias.item()
        (2.0, -5.0)
    """
    scale = gamma / torch.sqrt(variance + eps)
    return weight * scale[:, None, None, None], beta - mean * scale
