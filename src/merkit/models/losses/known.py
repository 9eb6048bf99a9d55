"""What every loss shares: only what is known counts, and rows have weights."""

import torch
from torch import Tensor

__all__ = ["known_entries", "known_rows", "weighted_mean"]


def weighted_mean(loss: Tensor, weight: Tensor) -> Tensor:
    """`Σ weight · loss / Σ weight`; 0, with a gradient of 0, where all weights are 0.

    Example:
        >>> weighted_mean(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 0.0])).item()
        1.0
    """
    total = weight.sum()
    return (loss * weight).sum() / total.masked_fill(total == 0, 1.0)


def known_rows(logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Flattens everything but the labels: one row an answer, with weight 0 where it is not known.

    Args:
        logit: `(B, K)` or `(B, N, K)`.
        target: class indices `(B,)`, `(B, N)`, or distributions of the shape of `logit`.
        valid: bool; `(B,)`, `(B, N)`, or of the shape of `logit`: a distribution is known where all of it is.
        weight: `(B,)`, or None.

    Returns:
        `logit (n, K)`, `target (n,)` int64 or `(n, K)`, `weight (n,)`. What stands in unknown rows is replaced.

    Example:
        >>> logit, target, valid = torch.zeros(2, 3), torch.tensor([1, -100]), torch.tensor([True, False])
        >>> known_rows(logit, target, valid, None)[1:]
        (tensor([1, 0]), tensor([1., 0.]))
    """
    labels, logit = logit.shape[-1], _single(logit)
    if valid.ndim == logit.ndim:
        valid = valid.all(-1)
    rows = torch.ones_like(logit[..., 0]) if weight is None else _over_rows(weight.to(logit.dtype), valid)
    valid = valid.reshape(-1)
    logit = logit.reshape(-1, labels).masked_fill(~valid[:, None], 0.0)
    if target.is_floating_point():
        target = target.reshape(-1, labels).to(logit.dtype).masked_fill(~valid[:, None], 1 / labels)
    else:
        target = target.reshape(-1).masked_fill(~valid, 0)
    return logit, target, rows.reshape(-1) * valid


def known_entries(logit: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The same where each label is known or not on its own.

    Args:
        logit: `(B, K)` or `(B, N, K)`.
        target: of the same shape.
        valid: bool of the same shape.
        weight: `(B,)`, or None.

    Returns:
        `logit`, `target` and `weight`, all `(n, K)`.

    Example:
        >>> known_entries(torch.zeros(1, 2), torch.tensor([[1.0, 9.0]]), torch.tensor([[True, False]]), None)[1:]
        (tensor([[1., 0.]]), tensor([[1., 0.]]))
    """
    labels, logit = logit.shape[-1], _single(logit)
    weight = torch.ones_like(logit) if weight is None else _over_rows(weight.to(logit.dtype), valid)
    unknown = ~valid.reshape(-1, labels)
    return (
        logit.reshape(-1, labels).masked_fill(unknown, 0.0),
        target.reshape(-1, labels).to(logit.dtype).masked_fill(unknown, 0.0),
        weight.reshape(-1, labels).masked_fill(unknown, 0.0),
    )


def _over_rows(weight: Tensor, like: Tensor) -> Tensor:
    """`(B,)` in the shape of `like (B, …)`."""
    return weight.view(-1, *[1] * (like.ndim - 1)).expand(like.shape)


def _single(logit: Tensor) -> Tensor:
    """Half precision is good enough for a network and not for a logarithm of what it says."""
    return logit.float() if logit.dtype in (torch.bfloat16, torch.float16) else logit
