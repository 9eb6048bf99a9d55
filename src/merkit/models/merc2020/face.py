"""The face network: a picture network over each picture and a BiLSTM over them, or a film network over all (X3D)."""

import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.errors import ConfigError
from merkit.models.merc2020.recurrent import AttentiveBiLSTM, Head, folded, only_present
from merkit.networks.efficientnet_weights import load_efficientnet
from merkit.networks.x3d import X3D

__all__ = ["FaceNet", "pictures_of"]

# Pictures that go through together where no gradient is wanted, so that a long clip does not fill the memory.
_AT_ONCE = 32


def pictures_of(x: Tensor) -> Tensor:
    """Flattened pictures as pictures.

    Args:
        x: `(…, 3 S S)`, each a flattened `(S, S, 3)` RGB picture, uint8 or float in [0, 1].

    Returns:
        `(…, 3, S, S)` float in [0, 1].

    Raises:
        ConfigError: the width is not that of a square RGB picture.

    Example:
        >>> pictures_of(torch.tensor([[255, 0, 51] * 4], dtype=torch.uint8))[0, :, 1, 1].tolist()
        [1.0, 0.0, 0.20000000298023224]
    """
    side = math.isqrt(x.shape[-1] // 3)
    if 3 * side * side != x.shape[-1] or not side:
        raise ConfigError(f"face: {x.shape[-1]} numbers a picture are no square RGB picture (3 S S)")
    x = x.unflatten(-1, (side, side, 3)).movedim(-1, -3)
    return x.float() / 255 if x.dtype == torch.uint8 else x


class FaceNet(nn.Module):
    """Pictures of one person to a feature and logits: the published "CLSTM", or X3D.

    Only real pictures are computed: those of all clips run as one stack.

    Args:
        classes: `K`; 0 = no linear layer.
        backbone: an EfficientNet variant (b0 … b7, lite0, tiny), or `x3d_s`, `x3d_m`, `x3d_xl`, `x3d_tiny`, which take the
            place of the BiLSTM as well.
        hidden: `h` of each direction of the LSTM.
        dropout: before the linear layer.
        mode: of `FrameAttention`.
        weights: see `load_efficientnet`; None = random. For X3D there are none.
        convention: see `load_efficientnet`.
        drop_path: see `EfficientNet`.

    Raises:
        ConfigError: unknown variant or weights.
        WeightError: the weights are not there or do not fit.

    Example:
        >>> net = FaceNet(7, "tiny", hidden=8).eval()
        >>> tokens = Tokens(torch.zeros(2, 1, 4, 3 * 32 * 32, dtype=torch.uint8), torch.ones(2, 1, 4) > 0)
        >>> feature, logits = net(tokens)
        >>> feature.shape, logits.shape
        (torch.Size([2, 16]), torch.Size([2, 7]))
    """

    def __init__(
        self,
        classes: int,
        backbone: str = "b0",
        *,
        hidden: int = 320,
        dropout: float = 0.2,
        mode: Literal["self", "relation"] = "self",
        weights: str | Path | None = None,
        convention: Literal["auto", "tf", "torch"] = "auto",
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        self.film = backbone.startswith("x3d_")
        self.recurrent: Any = None
        if self.film:
            if weights not in (None, "none"):
                raise ConfigError(f"face: no weights can be had for {backbone}; leave weights out")
            self.backbone: Any = X3D(backbone.removeprefix("x3d_"))
            self.width = self.backbone.width
        else:
            self.backbone = load_efficientnet(
                backbone, 3, weights or "none", convention=convention, drop_path=drop_path
            )
            self.recurrent = AttentiveBiLSTM(self.backbone.width, hidden, 0, mode=mode)
            self.width = self.recurrent.width
        self.head = Head(self.width, classes, dropout)
        # what the backbone's weights expect: ImageNet's statistics, or those that lite0 and X3D are published with
        mean, std = self.backbone.mean_std
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.absent = nn.Parameter(torch.zeros(self.width))
        nn.init.normal_(self.absent, std=0.02)

    def encode(self, x: Tensor, mask: Tensor) -> Tensor:
        """Pictures `(b, T, 3 S S)` of clips that have any to `(b, width)`."""
        pictures = (pictures_of(x[mask]) - self.mean) / self.std
        if self.film:
            return self._films(pictures, mask.sum(1))
        frames = pictures.new_zeros(*mask.shape, self.backbone.width)
        frames[mask] = self._pooled(pictures).to(frames.dtype)
        return self.recurrent.feature(frames, mask)

    def _pooled(self, pictures: Tensor) -> Tensor:
        """`(P, 3, S, S)` to `(P, C)`."""
        if torch.is_grad_enabled():
            return self.backbone(pictures)
        return torch.cat([self.backbone(part) for part in pictures.split(_AT_ONCE)])

    def _films(self, pictures: Tensor, counts: Tensor) -> Tensor:
        """`(P, 3, S, S)`, those of one clip behind one another, to `(b, 2048)`; clips of one length run together."""
        films = pictures.split(counts.tolist())
        out = pictures.new_zeros(len(films), self.width)
        for count in counts.unique():
            rows = (counts == count).nonzero()[:, 0]
            together = torch.stack([films[row] for row in rows.tolist()])  # (n, T, 3, S, S)
            out = out.index_copy(0, rows, self.backbone(together.transpose(1, 2)).to(out.dtype))
        return out

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Pictures `(B, 1, T, 3 S S)` to feature `(B, width)` and logits `(B, K)`; an absent face is a learned feature."""
        feature = only_present(*folded(tokens, "face"), self.absent, self.encode)
        return feature, self.head(feature)
