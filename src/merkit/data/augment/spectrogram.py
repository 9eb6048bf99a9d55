"""SpecAugment: spectrograms warped in time, with bands and stretches left out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from merkit.data.augment.steps import checked, chosen, tokens_in, with_x
from merkit.data.batch import Batch
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["SpecAugment", "time_warp"]


@dataclass(frozen=True, slots=True)
class SpecAugment:
    """Time warp, frequency masks, time masks (Park et al. 2019, arXiv:1904.08779, section 2).

    A token is one frame of a spectrogram, its numbers are frequencies; real frames stand in front, as `collate` puts
    them. Everything is drawn for each sequence on its own and keeps to its real frames; which frames are real does not
    change. A mask can have width 0, as in the paper.

    Args:
        warp: W, frames: an anchor in [W, n - 1 - W] moves by less than W; 0 = no warp. Clips shorter than 2W + 1 are not warped.
        frequency_masks: how many.
        frequency_width: each covers fewer frequencies than this.
        time_masks: how many.
        time_width: each covers fewer frames than this.
        time_share: and less than this share of the clip's frames (the paper's p).
        fill: what masked cells become.
        prob: share of sequences that are changed.
        stream: which modality.

    Raises:
        ConfigError: a number out of its range, or the batch has no such stream.

    Example:
        >>> from merkit.data.batch import Tokens
        >>> speech = Tokens(torch.rand(2, 1, 100, 128), torch.ones(2, 1, 100, dtype=torch.bool))
        >>> masked = SpecAugment()(Batch(("a", "b"), 2, {"speech": speech}), []).tokens["speech"]
        >>> masked.x.shape, bool((masked.x == 0).any()), torch.equal(masked.mask, speech.mask)
        (torch.Size([2, 1, 100, 128]), True, True)
    """

    warp: int = 5
    frequency_masks: int = 3
    frequency_width: int = 27
    time_masks: int = 4
    time_width: int = 50
    time_share: float = 1.0
    fill: float = 0.0
    prob: float = 1.0
    stream: str = "speech"

    def __post_init__(self) -> None:
        checked(self.prob, "SpecAugment")
        counts = self.warp, self.frequency_masks, self.frequency_width, self.time_masks, self.time_width
        if min(counts) < 0 or not 0 <= self.time_share <= 1:
            raise ConfigError(f"SpecAugment counts and widths are 0 or more, and time_share is in [0, 1]: {self}")

    def __call__(self, batch: Batch, specs: list[TargetSpec]) -> Batch:
        """The batch with `stream` changed."""
        tokens = tokens_in(batch, self.stream)
        x, device = tokens.x, tokens.x.device
        length = tokens.mask.sum(-1).cpu()  # (R, N)
        hit = chosen(tuple(length.shape), self.prob)
        place = (torch.rand(length.shape) * (length - 2 * self.warp).clamp_min(0)).floor() + self.warp
        shift = (2 * torch.rand(length.shape) - 1) * self.warp
        bands = _spans(torch.full_like(length, x.shape[-1]), self.frequency_masks, self.frequency_width, hit)
        most = (length * self.time_share).clamp_max(self.time_width)
        stretches = _spans(length, self.time_masks, most, hit)
        if self.warp:
            shift = shift * (hit & (length > 2 * self.warp))
            x = time_warp(x, length.to(device), place.to(device), shift.to(device))
        hidden = (
            _covered(stretches, x.shape[-2], device)[..., None] | _covered(bands, x.shape[-1], device)[..., None, :]
        )
        return with_x(batch, self.stream, x.masked_fill(hidden & tokens.mask[..., None], self.fill))


def _spans(size: Tensor, count: int, width: Tensor | int, hit: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last of `count` spans narrower than `width` within `size (R, N)`: `(R, N, count)` each."""
    drawn = torch.rand(2, *size.shape, count)
    width = width if isinstance(width, int) else width[..., None]
    span = (drawn[0] * width).floor().clamp_max(size[..., None]) * hit[..., None]
    first = (drawn[1] * (size[..., None] - span + 1)).floor()
    return first, first + span


def _covered(spans: tuple[Tensor, Tensor], size: int, device: torch.device) -> Tensor:
    """`(R, N, size)` bool: some span covers it."""
    first, end = (part.to(device)[..., None] for part in spans)
    at = torch.arange(size, device=device)
    return ((at >= first) & (at < end)).any(-2)


def time_warp(x: Tensor, length: Tensor, place: Tensor, shift: Tensor) -> Tensor:
    """Sequences whose frame `place` moves to `place + shift`, while the first and last real frame stay where they are.

    In between, time runs evenly (piecewise linear), and frames are interpolated linearly. Padding does not move.

    Args:
        x: `(R, N, T, D)`.
        length: `(R, N)` real frames, in front.
        place: `(R, N)` frame to move, inside (0, length - 1).
        shift: `(R, N)` frames it moves by; 0 leaves the sequence as it is.

    Example:
        >>> ramp = torch.arange(5.0).reshape(1, 1, 5, 1)
        >>> one = torch.ones(1, 1)
        >>> time_warp(ramp, 5 * one, 2 * one, one).flatten()  # what was at 2 is at 3 now
        tensor([0.0000, 0.6667, 1.3333, 2.0000, 4.0000])
    """
    rows, entities, size, _ = x.shape
    at = torch.arange(size, device=x.device, dtype=torch.float32)
    length, place, shift = (part.float()[..., None] for part in (length, place, shift))
    to, last = place + shift, length - 1
    before = at * (place / to.clamp_min(1e-6))
    after = last - (last - at) * ((last - place) / (last - to).clamp_min(1e-6))
    source = torch.where(at < to, before, after)
    source = torch.where((shift == 0) | (at > last), at, source.clamp(at.new_zeros(()), last.clamp_min(0)))
    low = source.floor()
    first = torch.arange(rows * entities, device=x.device).reshape(rows, entities, 1) * size
    flat = x.flatten(0, 2)
    index = low.long() + first
    following = torch.minimum(low + 1, torch.where(at > last, at, last)).long() + first
    return torch.lerp(flat[index], flat[following], (source - low).to(x.dtype)[..., None])
