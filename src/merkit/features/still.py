"""A picture as a clip of one frame: corpora of faces are folders of PNG or JPEG files."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from merkit.errors import LimitError, MediaError
from merkit.media import LIMITS, Limits, MediaInfo, VideoChunk, VideoInfo

__all__ = ["is_still", "probe_still", "read_still"]

_SUFFIXES = {".png", ".jpg", ".jpeg"}
_FORMATS = ("PNG", "JPEG")  # Pillow knows fifty more, and each is another parser for bytes that nobody vouches for
# what Pillow raises on damaged files, by its own documentation and by experience
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def is_still(path: Path) -> bool:
    """Whether the suffix says that the file is a picture.

    Example:
        >>> is_still(Path("0001.PNG")), is_still(Path("talk.mp4"))
        (True, False)
    """
    return path.suffix.lower() in _SUFFIXES


def probe_still(path: Path, limits: Limits = LIMITS) -> MediaInfo:
    """A picture's header, as `merkit.media.probe` gives a clip's; it lasts 0 s.

    Raises:
        MediaError: no such file, or neither PNG nor JPEG.
        LimitError: over `max_pixels`.

    Example:
        >>> probe_still(Path("0001.png")).video  # doctest: +SKIP
        VideoInfo(width=48, height=48, fps=0.0, codec='png')
    """
    with _opened(path, limits) as image:
        codec = (image.format or "").lower()
        video = VideoInfo(image.width, image.height, 0.0, codec)
        return MediaInfo(path, codec, 0.0, path.stat().st_size, video, None)


def read_still(path: Path, limits: Limits = LIMITS) -> VideoChunk:
    """The picture as one RGB frame at 0 s, upright.

    Raises:
        MediaError: no such file, neither PNG nor JPEG, or damaged.
        LimitError: over `max_pixels`; nothing was decoded.

    Example:
        >>> read_still(Path("0001.png")).frames.shape  # doctest: +SKIP
        (1, 48, 48, 3)
    """
    with _opened(path, limits) as image:
        try:
            upright = ImageOps.exif_transpose(image)
            return VideoChunk(np.asarray(upright.convert("RGB"))[None], np.zeros(1))
        except _BROKEN as error:
            raise MediaError(f"the picture is damaged ({error})", path=path) from None


def _opened(path: Path, limits: Limits) -> Image.Image:
    if not path.is_file():
        raise MediaError("no such file" if not path.exists() else "not a regular file", path=path)
    if path.stat().st_size == 0:
        raise MediaError("the file is empty", path=path)
    try:
        image = Image.open(path, formats=_FORMATS)
    except _BROKEN:
        raise MediaError("not readable as PNG or JPEG", path=path) from None
    if image.width * image.height > limits.max_pixels:
        image.close()
        raise LimitError(f"{image.width}x{image.height} pixels; the limit is {limits.max_pixels} pixels", path=path)
    return image
