"""Views of a clip: the same pictures mirrored, upside down, darker or brighter, each answered for (test-time augmentation).

A view is a function of a batch, and every view is made of the pictures themselves, before any normalisation: a picture that
is 10 % brighter is one that a camera could have taken, whereas 1.1 times a normalised tensor stretches its contrast around
the mean of ImageNet. Streams without pictures, masks, times and targets are the same objects in every view.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from merkit.data.batch import Batch
from merkit.data.columns import TokenColumn
from merkit.errors import ConfigError

__all__ = ["VIEWS", "PictureView", "find_views", "picture_side", "picture_streams"]


@dataclass(frozen=True, slots=True)
class PictureView:
    """One way of looking at the pictures of a batch.

    Tokens of the stream are flattened `(S, S, 3)` RGB pictures, `D = 3 S²`: uint8, or floats in [0, 1]. Flips leave the type
    as it is. Another brightness makes floats in [0, 1]; what would be brighter than white is white, as in a camera.

    Args:
        flip_x: left and right change places.
        flip_y: top and bottom do.
        brightness: factor.

    Example:
        >>> from merkit.data.batch import Tokens
        >>> pictures = torch.arange(12).reshape(1, 1, 1, 12).to(torch.uint8)  # 2 x 2, channels last
        >>> batch = Batch(("a",), 1, {"face": Tokens(pictures, torch.ones(1, 1, 1, dtype=torch.bool))})
        >>> PictureView(flip_x=True)(batch, ("face",)).tokens["face"].x.tolist()
        [[[[3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]]]]
    """

    flip_x: bool = False
    flip_y: bool = False
    brightness: float = 1.0

    def __call__(self, batch: Batch, streams: tuple[str, ...]) -> Batch:
        """The batch with the pictures of `streams` seen this way; nothing of `batch` itself is changed.

        Raises:
            ConfigError: a stream does not hold pictures.
        """
        if self == PictureView():
            return batch
        tokens = dict(batch.tokens)
        for name in streams:
            tokens[name] = replace(tokens[name], x=self._seen(tokens[name].x, name))
        return replace(batch, tokens=tokens)

    def _seen(self, x: torch.Tensor, name: str) -> torch.Tensor:
        side = picture_side(x.shape[-1])
        if not side:
            raise ConfigError(f"{name} tokens are {x.shape[-1]} wide, which is no picture of S x S x 3")
        axes = [axis for axis, flipped in ((-3, self.flip_y), (-2, self.flip_x)) if flipped]
        if axes:
            x = x.unflatten(-1, (side, side, 3)).flip(axes).flatten(-3)
        if self.brightness != 1.0:
            x = (x.float() / 255 if x.dtype == torch.uint8 else x).mul(self.brightness).clamp_(0, 1)
        return x


_AS_IT_IS = (PictureView(),)
_FLIP_X = (*_AS_IT_IS, PictureView(flip_x=True))
_FACTORS = (1.0, 0.9, 1.1)

# Every set begins with the pictures as they are.
VIEWS: Mapping[str, tuple[PictureView, ...]] = {
    "none": _AS_IT_IS,
    "hflip": _FLIP_X,
    "hflip+multiply": tuple(replace(view, brightness=factor) for factor in _FACTORS for view in _FLIP_X),
    "all": tuple(
        PictureView(flip_x, flip_y, factor)
        for factor in _FACTORS
        for flip_y in (False, True)
        for flip_x in (False, True)
    ),
}


def find_views(text: str) -> tuple[PictureView, ...]:
    """The set of that name, or of that many views.

    Raises:
        ConfigError: there is none.

    Example:
        >>> [len(find_views(text)) for text in ("1", "2", "hflip+multiply", "12")]
        [1, 2, 6, 12]
    """
    found = VIEWS.get(text) or next((views for views in VIEWS.values() if str(len(views)) == text), None)
    if found is None:
        known = ", ".join(f"{name} ({len(views)})" for name, views in VIEWS.items())
        raise ConfigError(f"no set of views {text!r}; there are {known}")
    return found


def picture_side(width: int) -> int:
    """`S` of pictures `(S, S, 3)` that flatten to `width` numbers; 0 where none do.

    Example:
        >>> picture_side(3 * 224 * 224), picture_side(512)
        (224, 0)
    """
    side = round((width / 3) ** 0.5)
    return side if width and 3 * side * side == width else 0


def picture_streams(streams: Mapping[str, TokenColumn], modalities: tuple[str, ...]) -> tuple[str, ...]:
    """Which of the streams that a run looks at hold pictures: bytes, as many to a token as a square picture has.

    Features that merely have such a width (768 = 3 · 16²) are floats, and not taken for pictures.
    """
    return tuple(
        name for name in modalities if str(streams[name].x.dtype) == "uint8" and picture_side(streams[name].width)
    )
