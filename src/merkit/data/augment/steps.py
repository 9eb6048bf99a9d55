"""What augmentations are, how they are put together, and what they share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["Augment", "Chain", "FirstOf", "checked", "chosen", "square_side", "tokens_in", "unit_range", "with_x"]

# A step that leaves a batch as it is returns that very batch.
Augment = Callable[[Batch, list[TargetSpec]], Batch]


@dataclass(frozen=True, slots=True)
class Chain:
    """One step after the other.

    Args:
        steps: `(batch, specs) -> batch` each.

    Example:
        >>> batch = Batch(("a",), 1, {})
        >>> Chain((lambda batch, specs: batch, lambda batch, specs: batch))(batch, []) is batch
        True
    """

    steps: Sequence[Augment]

    def __call__(self, batch: Batch, specs: list[TargetSpec]) -> Batch:
        """The batch after the last step."""
        for step in self.steps:
            batch = step(batch, specs)
        return batch


@dataclass(frozen=True, slots=True)
class FirstOf:
    """The first step whose draw comes true, and none after it: `FirstOf((Mixup(prob=0.5), CutMix3D()))` mixes half of the
    batches and cuts the other half.

    Args:
        steps: each draws for itself whether it changes the batch.

    Example:
        >>> batch = Batch(("a",), 1, {})
        >>> FirstOf((lambda batch, specs: batch, lambda batch, specs: replace(batch, ids=("b",))))(batch, []).ids
        ('b',)
    """

    steps: Sequence[Augment]

    def __call__(self, batch: Batch, specs: list[TargetSpec]) -> Batch:
        """The batch as one of the steps left it, or as it was."""
        for step in self.steps:
            changed = step(batch, specs)
            if changed is not batch:
                return changed
        return batch


def tokens_in(batch: Batch, stream: str) -> Tokens:
    """A stream of the batch.

    Raises:
        ConfigError: there is none of that name: an augmentation that never does anything is a mistake.
    """
    if stream not in batch.tokens:
        raise ConfigError(f"augmentation of {stream!r}: the batch has {', '.join(batch.tokens) or 'no stream'}")
    return batch.tokens[stream]


def with_x(batch: Batch, stream: str, x: Tensor) -> Batch:
    """The batch with other values of a stream."""
    tokens = batch.tokens[stream]
    return replace(batch, tokens={**batch.tokens, stream: Tokens(x, tokens.mask, tokens.times)})


def chosen(shape: tuple[int, ...], prob: float) -> Tensor:
    """Bool of `shape`, on the CPU, each True with `prob`."""
    return torch.rand(shape) < prob


def checked(prob: float, what: str) -> None:
    """Raises ConfigError where `prob` is no probability."""
    if not 0 <= prob <= 1:
        raise ConfigError(f"{what}: prob is a probability, not {prob}")


def unit_range(x: Tensor) -> Tensor:
    """Pictures as floats in [0, 1]: uint8 is divided by 255, floats are taken as they are.

    Example:
        >>> unit_range(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([0., 1.])
    """
    return x.float().div_(255) if x.dtype == torch.uint8 else x


def square_side(width: int, stream: str) -> int:
    """`S` of a token that is a flattened `(S, S, 3)` picture of `width` numbers.

    Raises:
        ConfigError: it cannot be one.
    """
    side = round((width / 3) ** 0.5)
    if 3 * side * side != width:
        raise ConfigError(f"augmentation of {stream!r}: tokens of width {width} are no square pictures in colour")
    return side
