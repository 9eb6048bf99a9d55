"""Plain named tensors and merkit's `Batch`: what an exported model takes, and what its networks do.

NAME        (B, T, D), or (B, N, T, D) where the stream is of persons
NAME_mask   (B, T) or (B, N, T) bool, True = real
NAME_times  the same shape, seconds, where the networks look at them
context     (B, C) rows of the dialogue around each clip, -1 = none;  position  (B, C) turns relative to the clip
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError

if TYPE_CHECKING:
    from merkit.export.config import MerkitConfig

__all__ = ["batch_of", "input_names", "tensors_of"]


def input_names(config: "MerkitConfig") -> list[str]:
    """Names of the tensors that a model takes, in order."""
    names = []
    for stream in config.modalities:
        names += [stream, f"{stream}_mask", *([f"{stream}_times"] if stream in config.times else [])]
    return [*names, *(["context", "position"] if any(config.context) else [])]


def batch_of(config: "MerkitConfig", given: Mapping[str, Tensor | None]) -> Batch:
    """Named tensors as a batch.

    A stream that is not given is absent from every clip; one without a mask is real everywhere. A stream of whole clips may
    be `(B, T, D)`, a vector a clip `(B, D)`.

    Raises:
        ConfigError: a name that the model does not have, nothing at all, or a shape that does not fit.

    Example:
        >>> from merkit.export.config import MerkitConfig
        >>> config = MerkitConfig(modalities=["text", "speech"], widths={"text": 3, "speech": 2})
        >>> batch = batch_of(config, {"text": torch.ones(2, 4, 3)})
        >>> batch.tokens["text"].x.shape, batch.tokens["speech"].mask.any().item()
        (torch.Size([2, 1, 4, 3]), False)
    """
    known = {name for stream in config.modalities for name in (stream, f"{stream}_mask", f"{stream}_times")}
    if unknown := set(given) - known - {"context", "position"}:
        raise ConfigError(
            f"{', '.join(sorted(unknown))}: no input of this model; it takes {', '.join(input_names(config))}"
        )
    there = {name: x for name in config.modalities if (x := given.get(name)) is not None}
    if not there:
        raise ConfigError(f"give at least one of {', '.join(config.modalities)}")
    first = next(iter(there.values()))
    rows, device = first.shape[0], first.device
    tokens = {}
    for name in config.modalities:
        if name in there:
            tokens[name] = _tokens(name, config.widths[name], there[name], given)
        else:
            x = torch.zeros(rows, 1, 1, config.widths[name], device=device)
            tokens[name] = Tokens(x, torch.zeros(rows, 1, 1, dtype=torch.bool, device=device))
    context, position = given.get("context"), given.get("position")
    if (context is None) != (position is None):
        raise ConfigError("context and position belong together: give both or neither")
    size = rows if context is None else context.shape[0]
    return Batch(("",) * int(rows), size, tokens, context, position)


def _tokens(name: str, width: int, x: Tensor, given: Mapping[str, Tensor | None]) -> Tokens:
    mask, times = given.get(f"{name}_mask"), given.get(f"{name}_times")
    if x.ndim not in (2, 3, 4) or x.shape[-1] != width:
        raise ConfigError(f"{name} is {tuple(x.shape)}; wanted is (B, T, {width}), or (B, N, T, {width}) of persons")
    if x.ndim == 2:
        x = x[:, None]
    if mask is None:
        mask = torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device)
    if mask.ndim == 1:
        mask = mask[:, None]
    if mask.shape != x.shape[:-1]:
        raise ConfigError(f"{name}_mask is {tuple(mask.shape)}; wanted is {tuple(x.shape[:-1])}")
    mask = mask.bool()
    if x.ndim == 3:
        x, mask = x[:, None], mask[:, None]
        times = None if times is None else times[:, None]
    return Tokens(x, mask, times)


def tensors_of(config: "MerkitConfig", batch: Batch) -> dict[str, Tensor]:
    """A batch as named tensors, the inverse of `batch_of`: exactly those of `input_names` that it has."""
    found: dict[str, Tensor] = {}
    for name in config.modalities:
        tokens, own = batch.tokens[name], {}
        own = {name: tokens.x, f"{name}_mask": tokens.mask}
        if name in config.times and tokens.times is not None:
            own[f"{name}_times"] = tokens.times
        if not config.streams.get(name, {}).get("per_entity"):
            own = {key: value[:, 0] for key, value in own.items()}
        found |= own
    if batch.context is not None and batch.position is not None:
        found |= {"context": batch.context, "position": batch.position}
    return found
