"""Frames at equal distances, from a clip's first to the last that can be decoded."""

import numpy as np

from merkit.features.sources import Sources
from merkit.media import StreamReport, VideoChunk

__all__ = ["even_frames"]

# Frames a second that are looked at. The header's duration says when sound ends as well, and cannot be aimed by.
_LOOK_FPS = 30.0
# Beyond this many bytes every other frame is forgotten, as long as so many are left for each that is wanted.
_MOST_BYTES, _LEAST_EACH = 128 << 20, 4


def even_frames(
    sources: Sources, count: int, per_second: float = 0.0
) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]:
    """Frames at even distances, the first and the last readable one among them; fewer of a clip that has fewer.

    One pass, in bounded memory whatever the length: of long clips the candidates between the ends are thinned, so that a frame
    may lie an eighth of the distance off its place.

    Args:
        sources: of a clip.
        count: how many; of one, the first is taken.
        per_second: so many a second, from `1` to `count`; 0 = `count`.

    Returns:
        The frames `(H, W, 3)` uint8 (their size may change within a clip), their seconds, and warnings of the decoder.

    Raises:
        MediaError: the clip cannot be read.
    """
    kept: list[tuple[np.ndarray, float]] = []
    last: tuple[np.ndarray, float] | None = None
    warnings: tuple[str, ...] = ()
    stride, number, size = 1, 0, 0
    for chunk in sources.chunks(_LOOK_FPS, video=True, audio=False):
        if isinstance(chunk, StreamReport):
            warnings += chunk.warnings
        if not isinstance(chunk, VideoChunk):
            continue
        for frame, time_s in zip(chunk.frames, chunk.times_s.tolist(), strict=True):
            last = (frame, time_s)
            if number % stride == 0:
                kept.append(last)
                size += frame.nbytes
            number += 1
        # a view keeps its whole chunk
        kept = [(frame.copy() if frame.base is not None else frame, time_s) for frame, time_s in kept]
        while size > _MOST_BYTES and len(kept) > 2 * _LEAST_EACH * count:
            kept, stride = kept[::2], 2 * stride
            size = sum(frame.nbytes for frame, _ in kept)
    if last is None:
        return [], np.zeros(0), warnings
    if kept[-1][1] != last[1]:
        kept.append(last)
    times_s = np.array([time_s for _, time_s in kept])
    if per_second:
        count = int(np.clip(round((times_s[-1] - times_s[0]) * per_second), 1, count))
    at = np.linspace(times_s[0], times_s[-1], count)
    near = np.unique(np.abs(times_s[None] - at[:, None]).argmin(1))
    return [kept[i][0] for i in near], times_s[near], warnings
