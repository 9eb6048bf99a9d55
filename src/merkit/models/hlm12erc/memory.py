"""What a frozen text encoder has read is not read again: not in the next epoch, not by the next run of a study."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Memory", "architecture_of", "dtype_of", "memory_of"]

# bytes of vectors that are kept at most, of all encoders together
_ROOM = 256 << 20


class Memory:
    """Vectors of clips by the token ids that they were read from, the oldest of them forgotten when room runs out.

    Example:
        >>> memory = Memory()
        >>> memory.keep(["a"], torch.ones(1, 3))
        >>> memory.find(["a"]).tolist(), memory.find(["a", "b"])
        ([[1.0, 1.0, 1.0]], None)
    """

    def __init__(self, room: int = _ROOM) -> None:
        self.room = room
        self._held: dict[str, Tensor] = {}
        self._bytes = 0

    def __deepcopy__(self, memo: dict[int, object]) -> "Memory":
        """Itself: a copy of a model asks the same memory."""
        return self

    def find(self, keys: Sequence[str]) -> Tensor | None:
        """`(n, D)` on the CPU, if all of them are known."""
        if not keys or any(key not in self._held for key in keys):
            return None
        return torch.stack([self._held[key] for key in keys])

    def keep(self, keys: Sequence[str], x: Tensor) -> None:
        """Keeps row `i` of `x (n, D)` by the key `i`."""
        for key, row in zip(keys, x.detach().cpu(), strict=True):
            if key not in self._held:
                # a row of its own: a view would hold on to the whole batch
                self._held[key] = row.clone()
                self._bytes += row.nbytes
        while self._bytes > self.room:
            self._bytes -= self._held.pop(next(iter(self._held))).nbytes


_MEMORY = Memory()


def memory_of(reader: nn.Module, *about: object) -> tuple[Memory, str]:
    """The memory of this process, and what keys of clips begin with: the weights themselves, so that one run of a study
    finds what another has read, and never what other weights have.

    Args:
        reader: its weights and buffers are hashed, 0.1 s for 90 MB.
        about: whatever else its answers depend on (`architecture_of`).
    """
    digest = hashlib.blake2b(repr(about).encode(), digest_size=16)
    for name, x in sorted(reader.state_dict().items()):
        digest.update(f"{name} {tuple(x.shape)} {x.dtype}".encode())
        digest.update(x.detach().cpu().contiguous().view(torch.uint8).numpy().data if x.ndim else repr(x).encode())
    return _MEMORY, digest.hexdigest()


def architecture_of(backbone: Any) -> str:
    """What answers of a transformers model depend on beside its weights: heads, epsilons, activations …; not where it lies."""
    config = backbone.config
    values = {k: v for k, v in config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    attention = getattr(config, "_attn_implementation", "")
    return json.dumps([type(backbone).__name__, attention, values], sort_keys=True, default=str)


def dtype_of(weights: Tensor) -> torch.dtype:
    """The numbers that are computed with: those of autocast where it is on, else those of the weights.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     dtype_of(torch.ones(1))
        torch.bfloat16
        >>> dtype_of(torch.ones(1))
        torch.float32
    """
    kind = weights.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weights.dtype
