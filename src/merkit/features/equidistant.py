"""Frames at equal distances, from a clip's first to the last that can be decoded."""

from collections.abc import Iterator

import numpy as np

from merkit.features.sources import Sources
from merkit.media import StreamReport, VideoChunk

__all__ = ["even_frames"]

# frames that are looked at for times alone, of a clip whose header says nothing true
_MOST_LOOKED_AT = 512
_USUAL_FPS = 30.0


def even_frames(sources: Sources, count: int) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]:
    """`count` frames at even distances, the first and the last readable one among them; fewer of a clip that has fewer.

    Decoding is one pass from the start, and only frames that are wanted become pictures. Which are wanted follows from the
    header's duration; where that is wrong, which shows when fewer come, from the frames that were counted; else all frames
    (of long clips, 512) are gone through for their times.

    Args:
        sources: of a clip.
        count: how many, at least 1; of one, the first is taken.

    Returns:
        The frames `(H, W, 3)` uint8 (their size may change within a clip), their seconds, and warnings of the decoder.

    Raises:
        MediaError: the clip cannot be read.
    """
    info = sources.info()
    if info is None or info.video is None:
        return [], np.zeros(0), ()
    rate = info.video.fps if 0.0 < info.video.fps <= 240.0 else _USUAL_FPS
    length_s = min(info.duration_s - sources.start_s, sources.length_s)
    if count == 1 or length_s * rate < 1.5:
        return _taken(sources, rate, None, max(count, 1))
    if sources.clip.span is None:
        for _ in range(2):
            # the grid ends half a frame before the last one begins: the first frame after it is the last
            frames, times_s, warnings, decoded = _sampled(sources, (length_s * rate - 1.5) / rate / (count - 1))
            if len(frames) == count:
                return frames, times_s, warnings
            length_s = decoded / rate
            if length_s * rate < count + 1.5:
                break
    dense = min(rate, _MOST_LOOKED_AT / length_s) if length_s > 0 else rate
    times_s = np.array([time_s for _, time_s in _seen(sources, dense)])
    if not len(times_s):
        return [], times_s, ()
    at = np.linspace(times_s[0], times_s[-1], count)
    near = np.unique(np.abs(times_s[None] - at[:, None]).argmin(1))
    return _taken(sources, dense, near, count)


def _sampled(sources: Sources, step_s: float) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...], int]:
    """Frames on a grid, and how many there are in all."""
    frames: list[np.ndarray] = []
    times: list[float] = []
    warnings: tuple[str, ...] = ()
    decoded = 0
    for chunk in sources.chunks(1.0 / step_s, video=True, audio=False):
        if isinstance(chunk, VideoChunk):
            frames += list(chunk.frames)
            times += chunk.times_s.tolist()
        elif isinstance(chunk, StreamReport):
            warnings, decoded = chunk.warnings, chunk.frames
    return frames, np.array(times), warnings, decoded


def _taken(
    sources: Sources, fps: float, numbers: np.ndarray | None, count: int
) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]:
    """The frames of these numbers; None = the first `count`."""
    wanted = set(range(count) if numbers is None else numbers.tolist())
    kept: list[tuple[np.ndarray, float]] = []
    for number, (frame, time_s) in enumerate(_seen(sources, fps)):
        if number in wanted:
            kept.append((frame.copy(), time_s))
        if len(kept) == len(wanted):
            break
    return [frame for frame, _ in kept], np.array([time_s for _, time_s in kept]), ()


def _seen(sources: Sources, fps: float) -> Iterator[tuple[np.ndarray, float]]:
    for chunk in sources.chunks(fps, video=True, audio=False):
        if isinstance(chunk, VideoChunk):
            yield from zip(chunk.frames, chunk.times_s.tolist(), strict=True)
