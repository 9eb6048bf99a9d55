"""One clock a scene: its clips follow each other, whatever film and kind of features they come from.

A clip's length is the number of its frames at 24000/1001 a second. It is taken from the first of these that is there,
whichever features are being converted: features with one row a frame; MViT's windows, one for every 16 frames begun (up to
15 frames too long); the last frame in which anybody was followed; the end of the last words.
"""

from collections.abc import Sequence

import numpy as np

__all__ = ["FRAMES_PER_S", "frame_times", "length_s", "offsets_s", "window_times"]

FRAMES_PER_S = 24000 / 1001
_WINDOW_STEP = 16


def length_s(frames: int | None, windows: int | None, last_frame: int, last_words_s: float) -> float:
    """How long a clip is.

    Args:
        frames: rows of features that have one a frame; None = there are none.
        windows: rows of MViT's features; None = there are none.
        last_frame: in which anybody was followed; -1 = nobody was.
        last_words_s: end of the last words; 0 = nothing was said.

    Returns:
        Seconds; 0 where nothing tells.

    Example:
        >>> [round(length_s(*known), 2) for known in ((240, 15, 7, 0.0), (None, 15, 7, 0.0), (None, None, 47, 9.0))]
        [10.01, 10.01, 2.0]
    """
    if frames:
        return frames / FRAMES_PER_S
    if windows:
        return windows * _WINDOW_STEP / FRAMES_PER_S
    return (last_frame + 1) / FRAMES_PER_S if last_frame >= 0 else last_words_s


def offsets_s(lengths: Sequence[float]) -> list[float]:
    """Where each clip begins on the scene's clock: the lengths of those before it.

    Example:
        >>> offsets_s([2.0, 1.5, 3.0])
        [0.0, 2.0, 3.5]
    """
    return [float(sum(lengths[:i])) for i in range(len(lengths))]


def frame_times(frame: np.ndarray, offset_s: float) -> np.ndarray:
    """`(n,)` seconds on the scene's clock at which frames of a clip begin, from their numbers, counted from 0.

    Example:
        >>> frame_times(np.array([0, 24]), 2.0).round(3).tolist()
        [2.0, 3.001]
    """
    return offset_s + np.asarray(frame, np.float64) / FRAMES_PER_S


def window_times(count: int, offset_s: float) -> np.ndarray:
    """`(n,)` seconds at which MViT's windows stand: at their middles, frame 16 (j + 1) of the clip.

    Example:
        >>> window_times(2, 0.0).round(3).tolist()
        [0.667, 1.335]
    """
    return frame_times(_WINDOW_STEP * np.arange(1, count + 1), offset_s)
