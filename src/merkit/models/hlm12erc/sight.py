"""Pictures of the store as one vector a clip, through an encoder that is trained along."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError
from merkit.models.pooling import hide
from merkit.models.streams import over_clips, rows_of
from merkit.networks.image_encoder import ImageEncoder

__all__ = ["PictureVector"]


class PictureVector(nn.Module):
    """Every picture through the encoder, the mean over those of a clip.

    Tokens are bytes, row by row, three a pixel; how high and wide pictures are is kept with the weights. They are brought to
    the size, crop and scale that the encoder's own files state, or, with `height`, whole to that height: a mosaic of frames
    must not be cropped to its middle.

    Args:
        encoder: of pictures.
        shape: height and width of a picture, as stored; zeros where weights that know it are loaded later.
        height: pixels that pictures are brought to, the shape kept; 0 = as the encoder says.
        out: width of the vector; 0 = as it comes.
        frozen: the encoder stays as it is.

    Example:
        >>> from merkit.networks.image_encoder import load_image_encoder
        >>> PictureVector(load_image_encoder("resnet-50"), (240, 426)).width  # doctest: +SKIP
        2048
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        shape: tuple[int, int] = (0, 0),
        *,
        height: int = 0,
        out: int = 0,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.shape: Tensor
        self.register_buffer("shape", torch.tensor(shape))
        self.encoder, self.height, self.frozen = encoder, height, frozen
        for name, parameter in encoder.named_parameters():
            # what nothing is computed with would get no gradient
            unused = "mask_token" in name or ("pooler." in name and encoder.pooling != "pooled")
            parameter.requires_grad_(not frozen and not unused)
        self.project: Any = nn.Linear(encoder.width, out) if out else nn.Identity()
        self.width = out or encoder.width
        self.train(self.training)

    def train(self, mode: bool = True) -> "PictureVector":
        """As `nn.Module.train`; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, tokens: Tokens, batch: Batch) -> tuple[Tensor, Tensor]:
        """Bytes `(R, N, T, 3 H W)` -> `(B, width)`, zeros where a clip has none, and `(B,)` bool.

        Raises:
            ConfigError: other pictures than those that were trained on.
        """
        own = rows_of(over_clips(tokens), batch.size)
        height, width = self.shape.tolist()
        if own.x.shape[-1] != 3 * height * width:
            raise ConfigError(f"pictures of {own.x.shape[-1]} bytes; this network was trained on {height}x{width}")
        clip, place = own.mask.nonzero(as_tuple=True)
        found = own.x.new_zeros(batch.size, self.encoder.width, dtype=torch.float32)
        if len(clip):
            pictures = own.x[clip, place].reshape(-1, height, width, 3)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                states = self.encoder(self._prepared(pictures))
            found = found.index_add(0, clip, states) / own.mask.sum(1, keepdim=True).clamp_min(1)
        return hide(self.project(found), own.present), own.present

    def _prepared(self, pictures: Tensor) -> Tensor:
        """`(n, H, W, 3)`, bytes or numbers in [0, 1] -> `(n, 3, h, w)` as the encoder wants them."""
        device = next(self.encoder.parameters()).device
        if not self.height:
            if pictures.is_floating_point():
                pictures = (pictures * 255).round().clamp(0, 255).to(torch.uint8)
            return self.encoder.prepare(pictures.cpu().numpy()).to(device)
        x = pictures.movedim(-1, 1).to(device, torch.float32)
        x = x if pictures.is_floating_point() else x / 255
        wide = max(round(x.shape[3] * self.height / x.shape[2]), 1)
        x = F.interpolate(x, (self.height, wide), mode="bilinear", antialias=True)
        processor = self.encoder.processor
        mean, deviation = (x.new_tensor(each)[:, None, None] for each in (processor.image_mean, processor.image_std))
        return (x - mean) / deviation
