"""An MLP-mixer over a matrix, for reducing outer products (Tolstikhin et al. 2021, "MLP-Mixer")."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.errors import ConfigError
from merkit.models.dropout import Dropout

__all__ = ["MlpMixer"]


class _Block(nn.Module):
    """Pre-norm residual: mixing over tokens, then over channels."""

    def __init__(
        self, tokens: int, width: int, token_expansion: float, channel_expansion: float, dropout: float
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        inner, channels = max(1, int(tokens * token_expansion)), max(1, int(width * channel_expansion))
        self.tokens: Any = nn.ModuleList([nn.Linear(tokens, inner), nn.Linear(inner, tokens)])
        self.channels: Any = nn.ModuleList([nn.Linear(width, channels), nn.Linear(channels, width)])
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, tokens, width)` to the same."""
        first, second = self.tokens
        mixed = self.dropout(F.gelu(first(self.norms[0](x).transpose(1, 2))))
        x = x + self.dropout(second(mixed)).transpose(1, 2)
        first, second = self.channels
        return x + self.dropout(second(self.dropout(F.gelu(first(self.norms[1](x))))))


class MlpMixer(nn.Module):
    """A matrix cut into patches, patches mixed, the mean over patches: `(B, rows, columns)` to `(B, width)`.

    Args:
        rows: must be a multiple of the patch.
        columns: must be a multiple of the patch, or 1.
        patch: side of a patch.
        width: channels.
        depth: blocks.
        token_expansion: inner width of mixing over patches, as a multiple of their number.
        channel_expansion: inner width of mixing over channels, as a multiple of `width`.
        dropout: in training.

    Raises:
        ConfigError: the patch does not tile the matrix.

    Example:
        >>> MlpMixer(8, 8, patch=4, width=6)(torch.randn(2, 8, 8)).shape
        torch.Size([2, 6])
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        *,
        patch: int,
        width: int,
        depth: int = 2,
        token_expansion: float = 4.0,
        channel_expansion: float = 0.5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.sides = patch, min(patch, columns)
        if rows % self.sides[0] or columns % self.sides[1]:
            raise ConfigError(f"mixer: patches of {patch} do not tile a matrix of {rows} x {columns}")
        tokens = (rows // self.sides[0]) * (columns // self.sides[1])
        self.embed = nn.Linear(self.sides[0] * self.sides[1], width)
        self.blocks = nn.ModuleList(
            _Block(tokens, width, token_expansion, channel_expansion, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, matrix: Tensor) -> Tensor:
        """`(B, rows, columns)` to `(B, width)`."""
        b, rows, columns = matrix.shape
        high, wide = self.sides
        # (B, rows/h, h, columns/w, w) -> (B, patches, h w)
        patches = matrix.view(b, rows // high, high, columns // wide, wide).transpose(2, 3).reshape(b, -1, high * wide)
        x = self.embed(patches)
        for block in self.blocks:
            x = block(x)
        return torch.mean(self.norm(x), 1)
