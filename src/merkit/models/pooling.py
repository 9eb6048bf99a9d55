"""Pooling: the tokens of one stream as one vector, `(B, T, D)` with a mask to `(B, P)`.

What stands under a False mask never matters, and a row without any real token gives zeros. Every class says its output
width `P` as `width`.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from merkit.errors import ConfigError

__all__ = [
    "POOLINGS",
    "AttentionPooling",
    "FirstPooling",
    "FrameAttentionPooling",
    "FrameRelationPooling",
    "LastPooling",
    "MaxPooling",
    "MeanMaxPooling",
    "MeanPooling",
    "Pooler",
    "build_pooling",
    "hide",
]


class Pooler(Protocol):
    """What a pooling is: called with `x (B, T, D)` and `mask (B, T)` (True = real), it gives `(B, width)`."""

    width: int

    def __call__(self, x: Tensor, mask: Tensor) -> Tensor: ...


def hide(x: Tensor, mask: Tensor) -> Tensor:
    """`x (…, T, D)` with zeros where `mask (…, T)` is False, so that no later sum can pick up what stands there.

    Example:
        >>> hide(torch.tensor([[[1.0], [float("nan")]]]), torch.tensor([[True, False]])).flatten().tolist()
        [1.0, 0.0]
    """
    return x.masked_fill(~mask[..., None], 0.0)


def _weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """`(B, T, D)` by weights `(B, T)` that are 0 where there is nothing; zeros where all of them are."""
    total = weight.sum(1, keepdim=True)
    share = weight / total.masked_fill(total == 0, 1.0)
    return torch.bmm(share[:, None], x)[:, 0]


class MeanPooling(nn.Module):
    """The mean over real tokens.

    Example:
        >>> x, mask = torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[True, True, False]])
        >>> MeanPooling(1)(x, mask).item()
        2.0
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, D)`."""
        if x.shape[1] == 1:
            return hide(x, mask)[:, 0]
        return _weighted_mean(hide(x, mask), mask.to(x.dtype))


class MaxPooling(nn.Module):
    """The largest value of each feature over real tokens.

    Example:
        >>> x, mask = torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[True, True, False]])
        >>> MaxPooling(1)(x, mask).item()
        3.0
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, D)`."""
        largest = x.masked_fill(~mask[..., None], -torch.inf).amax(1)
        return largest.masked_fill(~mask.any(1)[:, None], 0.0)


class MeanMaxPooling(nn.Module):
    """Mean and maximum side by side, as published for wav2vec 2.0 states in dialogue (HLM-12-ERC).

    Example:
        >>> x, mask = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[True, True]])
        >>> MeanMaxPooling(1)(x, mask).tolist()
        [[2.0, 3.0]]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 2 * width
        self.mean, self.max = MeanPooling(width), MaxPooling(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, 2 D)`."""
        return torch.cat([self.mean(x, mask), self.max(x, mask)], -1)


class FirstPooling(nn.Module):
    """The first real token: where an encoder writes its summary (`[CLS]`, `<s>`).

    Example:
        >>> x, mask = torch.tensor([[[1.0], [3.0], [5.0]]]), torch.tensor([[False, True, True]])
        >>> FirstPooling(1)(x, mask).item()
        3.0
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, D)`."""
        at = mask.to(torch.uint8).argmax(1)
        return hide(x, mask)[torch.arange(len(x), device=x.device), at]


class LastPooling(nn.Module):
    """The last real token: the state of a left-to-right encoder that has read everything.

    Example:
        >>> x, mask = torch.tensor([[[1.0], [3.0], [5.0]]]), torch.tensor([[True, True, False]])
        >>> LastPooling(1)(x, mask).item()
        3.0
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, D)`."""
        at = mask.shape[1] - 1 - mask.flip(1).to(torch.uint8).argmax(1)
        return hide(x, mask)[torch.arange(len(x), device=x.device), at]


class AttentionPooling(nn.Module):
    """One learned query weighs the tokens by a softmax (Lin et al. 2017, "A structured self-attentive sentence
    embedding", eq. 6 with one hop and no hidden layer).

    Example:
        >>> pool = AttentionPooling(2)
        >>> pool(torch.ones(1, 3, 2), torch.tensor([[True, True, False]])).tolist()
        [[1.0, 1.0]]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        # no bias: a softmax does not see a constant, so the bias would never get a gradient
        self.query = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, D)`."""
        x = hide(x, mask)
        # the lowest finite number: a row without any token gives equal weights over zeros instead of NaN
        score = self.query(x)[..., 0].masked_fill(~mask, torch.finfo(x.dtype).min)
        return torch.bmm(score.softmax(1)[:, None], x)[:, 0]


class FrameAttentionPooling(nn.Module):
    """Frame attention, self form: each token has its own weight in (0, 1), normalised by their sum (Meng et al. 2019,
    "Frame attention networks", arXiv 1907.00193, eq. 1-2).

    Example:
        >>> FrameAttentionPooling(2)(torch.ones(1, 3, 2), torch.tensor([[True, True, False]])).tolist()
        [[1.0, 1.0]]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.own = nn.Linear(width, 1)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T)`, 0 where there is no token. The thousandth keeps the sum away from 0, as published."""
        return (self.own(x)[..., 0].sigmoid() + 1e-3) * mask

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, D)`."""
        x = hide(x, mask)
        return _weighted_mean(x, self.weights(x, mask))


class FrameRelationPooling(nn.Module):
    """Frame attention, relation form: each token is weighed again beside the pooled vector `f` (arXiv 1907.00193,
    eq. 3-4); the result is the weighted mean of `[f ; token]`.

    Example:
        >>> FrameRelationPooling(2)(torch.ones(1, 3, 2), torch.tensor([[True, True, False]])).tolist()
        [[1.0, 1.0, 1.0, 1.0]]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 2 * width
        self.frames = FrameAttentionPooling(width)
        self.relation = nn.Linear(2 * width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(B, T, D)` to `(B, 2 D)`."""
        x = hide(x, mask)
        own = self.frames.weights(x, mask)
        pooled = _weighted_mean(x, own)
        both = torch.cat([pooled[:, None].expand_as(x), x], -1)
        beside = self.relation(both)[..., 0].sigmoid() + 1e-3
        return _weighted_mean(both, own * beside)


POOLINGS: dict[str, Callable[[int], nn.Module]] = {
    "mean": MeanPooling,
    "max": MaxPooling,
    "mean_max": MeanMaxPooling,
    "first": FirstPooling,
    "last": LastPooling,
    "attention": AttentionPooling,
    "fan_self": FrameAttentionPooling,
    "fan_relation": FrameRelationPooling,
}


def build_pooling(name: str, width: int) -> Pooler:
    """The pooling `name` over tokens of `width`.

    Raises:
        ConfigError: there is none of this name.

    Example:
        >>> build_pooling("mean_max", 8).width
        16
    """
    if name not in POOLINGS:
        raise ConfigError(f"no pooling {name!r}; there are {', '.join(POOLINGS)}")
    pooling: Pooler = POOLINGS[name](width)  # ty: ignore[invalid-assignment]
    return pooling
