"""Parts of a network that see the same tokens again answer as before, without computing: voice, in every view of a face."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens

__all__ = ["remembering"]


@contextmanager
def remembering(model: nn.Module) -> Generator[None]:
    """While open, a part of `model` that is called with `Tokens` alone and gives tensors keeps its last answer.

    It is given again, as a copy, where the next tokens are equal, to the bit. That holds in evaluation mode, where a part is
    a function of its tokens; the model is itself again when the block is left.

    Raises:
        ValueError: the model is in training mode, where answers are drawn.

    Example:
        >>> class Voice(nn.Module):
        ...     calls = 0
        ...     def forward(self, tokens):
        ...         self.calls += 1
        ...         return tokens.x.mean((1, 2))
        >>> voice = nn.Sequential(Voice()).eval()
        >>> tokens = Tokens(torch.ones(2, 1, 3, 4), torch.ones(2, 1, 3, dtype=torch.bool))
        >>> with remembering(voice):
        ...     same = torch.equal(voice(tokens), voice(Tokens(tokens.x.clone(), tokens.mask)))
        >>> same, voice[0].calls
        (True, 1)
    """
    if model.training:
        raise ValueError("a model in training mode does not say the same twice")
    wrapped = [module for module in model.modules() if module is not model and "forward" not in vars(module)]
    for module in wrapped:
        module.forward = _Remembered(module.forward)
    try:
        yield
    finally:
        for module in wrapped:
            del module.forward


class _Remembered:
    """A forward pass with its last tokens and what it said of them."""

    def __init__(self, forward: Any) -> None:
        self.forward = forward
        self.tokens: Tokens | None = None
        self.said: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) != 1 or kwargs or not isinstance(args[0], Tokens):
            return self.forward(*args, **kwargs)
        if self.tokens is not None and _equal(self.tokens, args[0]):
            return _copied(self.said)
        said = self.forward(args[0])
        parts = said if isinstance(said, tuple) else (said,)
        if all(isinstance(part, Tensor) for part in parts):
            self.tokens, self.said = args[0], _copied(said)
        return said


def _copied(said: Any) -> Any:
    return said.clone() if isinstance(said, Tensor) else tuple(part.clone() for part in said)


def _equal(one: Tokens, other: Tokens) -> bool:
    pairs = ((one.x, other.x), (one.mask, other.mask), (one.times, other.times))
    return all(
        a is b or (a is not None and b is not None and a.dtype == b.dtype and torch.equal(a, b)) for a, b in pairs
    )
