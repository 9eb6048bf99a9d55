"""`probe`: a file's header, read where a hostile one can do no harm."""

from pathlib import Path

from merkit.errors import MediaError
from merkit.media.child import messages
from merkit.media.header import MediaInfo, read_header
from merkit.media.limits import LIMITS, Limits

__all__ = ["probe"]


def probe(path: str | Path, *, limits: Limits = LIMITS, isolate: bool = True, stall_s: float = 60.0) -> MediaInfo:
    """Reads the header and holds it against the limits.

    FFmpeg decodes a little to learn what a header leaves out, so this too happens in a child process (about 0.15 s).

    Args:
        path: the file.
        limits: what is accepted.
        isolate: False reads in this process: the same answer, no protection.
        stall_s: seconds after which the child is given up.

    Raises:
        MediaError: not a media file, neither video nor audio inside, or the reader crashed or stalled.
        LimitError: over a limit.

    Example:
        >>> info = probe("talk.mp4")  # doctest: +SKIP
        >>> info.video.fps, info.audio.rate_hz  # doctest: +SKIP
        (29.97, 48000)
    """
    path = Path(path)
    if not isolate:
        return read_header(path, limits)
    for message in messages({"do": "probe"}, path, limits, stall_s):
        if isinstance(message, MediaInfo):
            return message
    raise MediaError("its header could not be read", path=path)
