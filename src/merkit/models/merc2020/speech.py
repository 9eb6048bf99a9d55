"""The speech network: a picture network over the log-mel spectrogram, a BiLSTM with frame attention over its columns."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Tokens
from merkit.models.merc2020.recurrent import AttentiveBiLSTM, Head, folded, only_present
from merkit.models.pooling import hide
from merkit.networks.efficientnet_weights import load_efficientnet

__all__ = ["SpeechNet", "centred"]

_STRIDE = 32


def centred(x: Tensor, mask: Tensor, frames: int, fill: float = 0.0) -> tuple[Tensor, Tensor]:
    """The real frames of each row in the middle of exactly `frames`; of more, the middle ones are kept.

    Args:
        x: `(B, T, D)`.
        mask: `(B, T)`, real frames anywhere.
        frames: length to bring rows to.
        fill: what stands around them.

    Returns:
        `(B, frames, D)` and which of them are real, `(B, frames)`.

    Example:
        >>> x, mask = torch.tensor([[[1.0], [2.0], [7.0]]]), torch.tensor([[True, True, False]])
        >>> centred(x, mask, 4)[0].flatten().tolist(), centred(x, mask, 1)[0].item()
        ([0.0, 1.0, 2.0, 0.0], 1.0)
    """
    count = mask.sum(1, keepdim=True)
    order = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)
    spare = frames - count
    # an odd frame goes behind, or stays behind when cutting
    first = torch.where(spare >= 0, spare // 2, -((-spare) // 2))
    place = torch.arange(frames, device=x.device) - first
    real = (place >= 0) & (place < count)
    at = order.gather(1, place.clamp(0, x.shape[1] - 1))
    x = hide(x, mask).gather(1, at[..., None].expand(-1, -1, x.shape[2]))
    return x.masked_fill(~real[..., None], fill), real


class SpeechNet(nn.Module):
    """Log-mel frames to a feature and logits: the published "AttnCNN".

    The spectrogram is brought to `frames` columns: the middle of a longer one, a shorter one in the middle of `fill`. The
    convolutions see the fill, as published; the LSTM and the frame attention see only feature columns (of 32 frames
    each) that hold a real frame.

    Args:
        classes: `K`; 0 = no linear layer.
        backbone: an EfficientNet variant: b0 … b7, lite0, tiny.
        frames: length that spectrograms are brought to; 400 of 16 ms each as published.
        hidden: `h` of each direction of the LSTM.
        dropout: before the linear layer.
        mode: of `FrameAttention`.
        fill: value of the columns around short clips; 0 is the quietest there is.
        weights: see `load_efficientnet`; None = random.
        convention: see `load_efficientnet`.
        drop_path: see `EfficientNet`.

    Raises:
        ConfigError: unknown variant or weights.
        WeightError: the weights are not there or do not fit.

    Example:
        >>> net = SpeechNet(7, "tiny", frames=64, hidden=8).eval()
        >>> feature, logits = net(Tokens(torch.rand(2, 1, 50, 128), torch.ones(2, 1, 50) > 0))
        >>> feature.shape, logits.shape
        (torch.Size([2, 16]), torch.Size([2, 7]))
    """

    def __init__(
        self,
        classes: int,
        backbone: str = "b4",
        *,
        frames: int = 400,
        hidden: int = 512,
        dropout: float = 0.2,
        mode: Literal["self", "relation"] = "self",
        fill: float = 0.0,
        weights: str | Path | None = None,
        convention: Literal["auto", "tf", "torch"] = "auto",
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        self.frames, self.fill = frames, fill
        self.backbone = load_efficientnet(backbone, 1, weights or "none", convention=convention, drop_path=drop_path)
        self.recurrent = AttentiveBiLSTM(self.backbone.width, hidden, 0, mode=mode)
        self.width = self.recurrent.width
        self.head = Head(self.width, classes, dropout)
        self.absent = nn.Parameter(torch.zeros(self.width))
        nn.init.normal_(self.absent, std=0.02)

    def encode(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(b, T, D)` of clips that have speech to `(b, width)`."""
        x, real = centred(x, mask, self.frames, self.fill)
        maps = self.backbone.features(x.transpose(1, 2)[:, None])  # (b, C, D / 32, frames / 32)
        columns = maps.mean(2).transpose(1, 2)  # (b, frames / 32, C)
        held = nn.functional.pad(real, (0, columns.shape[1] * _STRIDE - self.frames))
        return self.recurrent.feature(columns, held.unflatten(1, (-1, _STRIDE)).any(-1))

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Frames `(B, 1, T, D)` in [0, 1] to feature `(B, width)` and logits `(B, K)`; absent speech is a learned feature."""
        feature = only_present(*folded(tokens, "speech"), self.absent, self.encode)
        return feature, self.head(feature)
