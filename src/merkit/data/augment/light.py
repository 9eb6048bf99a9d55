"""Brightness and contrast of pictures and of spectrograms."""

from dataclasses import dataclass

import torch

from merkit.data.augment.steps import checked, chosen, tokens_in, with_x
from merkit.data.batch import Batch
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["BrightnessContrast"]


@dataclass(frozen=True, slots=True)
class BrightnessContrast:
    """`min(max(α·x + β, 0), 1)` for values in [0, 1], with α = 1 ± `contrast` and β = ± `brightness`, both evenly drawn.

    One draw for each sequence, so all pictures of a clip change alike. uint8 becomes float. Padding stays 0.

    Args:
        stream: which modality.
        brightness: largest |β|, in [0, 1].
        contrast: largest |α - 1|, in [0, 1].
        prob: share of sequences that are changed.

    Raises:
        ConfigError: a number out of its range, or the batch has no such stream.

    Example:
        >>> from merkit.data.batch import Tokens
        >>> face = Tokens(torch.full((1, 1, 2, 3), 51, dtype=torch.uint8), torch.tensor([[[True, False]]]))
        >>> step = BrightnessContrast("face", brightness=0.0, contrast=0.0)
        >>> step(Batch(("a",), 1, {"face": face}), []).tokens["face"].x[0, 0, 0]
        tensor([0.2000, 0.2000, 0.2000])
    """

    stream: str = "speech"
    brightness: float = 0.3
    contrast: float = 0.3
    prob: float = 1.0

    def __post_init__(self) -> None:
        checked(self.prob, "brightness and contrast")
        if not (0 <= self.brightness <= 1 and 0 <= self.contrast <= 1):
            raise ConfigError(f"brightness and contrast change by shares in [0, 1], not {self}")

    def __call__(self, batch: Batch, specs: list[TargetSpec]) -> Batch:
        """The batch with `stream` changed, as float in [0, 1]."""
        tokens = tokens_in(batch, self.stream)
        shape = tuple(tokens.mask.shape[:2])
        alpha, beta = (2 * torch.rand(2, *shape) - 1).unbind()
        hit = chosen(shape, self.prob)
        x, device = tokens.x, tokens.x.device
        factor, offset = (1 + self.contrast * alpha * hit).to(device), (self.brightness * beta * hit).to(device)
        own = None  # the caller's numbers stay as they are; bytes are copied into floats anyway
        if x.dtype == torch.uint8:
            own = x = x.float()
            factor = factor / 255
        factor, offset = factor[..., None, None].to(x.dtype), (offset[..., None] * tokens.mask)[..., None].to(x.dtype)
        return with_x(batch, self.stream, torch.addcmul(offset, x, factor, out=own).clamp_(0, 1))
