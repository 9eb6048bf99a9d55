"""A few good pictures of a face out of many: sharp, frontal, spread over time."""

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

__all__ = ["Portrait", "best_spread", "merit", "to_jpeg"]


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A crop that may stand for its track.

    Args:
        time_s: seconds.
        merit: how good the picture is, higher is better.
        crop: `(112, 112, 3)` uint8, or its JPEG bytes once the track is over.
        points: `(5, 2)` the face's points in pixels of the crop.
    """

    time_s: float
    merit: float
    crop: np.ndarray | bytes
    points: np.ndarray = field(default_factory=lambda: np.zeros((5, 2)))


def merit(crops: np.ndarray, points: np.ndarray, boxes: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """How well each crop would show its face: `(k,)`, higher is better.

    Args:
        crops: `(k, S, S, 3)` uint8.
        points: `(k, 5, 2)` eyes, nose, corners of the mouth, in any one scale per face.
        boxes: `(k, 4)` pixels of the frame.
        prob: `(k,)` in [0, 1].

    Example:
        >>> rng = np.random.default_rng(0)
        >>> sharp = rng.integers(0, 255, (1, 112, 112, 3), dtype=np.uint8)
        >>> both = np.concatenate([sharp, np.full_like(sharp, 90)])
        >>> points = np.tile(np.array([[0, 0], [2, 0], [1, 1], [0.3, 2], [1.7, 2]]), (2, 1, 1))
        >>> good, bad = merit(both, points, np.tile([0.0, 0, 80, 90], (2, 1)), np.ones(2))
        >>> bool(good > bad)
        True
    """
    grey = crops[:, ::2, ::2, 1].astype(np.float32)
    across, down = np.diff(grey, axis=2), np.diff(grey, axis=1)
    detail = np.sqrt((across**2).mean(axis=(1, 2)) + (down**2).mean(axis=(1, 2)))
    eyes = points[:, :2].mean(axis=1)
    apart = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    # a frontal nose lies below the middle between the eyes
    aside = np.abs(points[:, 2, 0] - eyes[:, 0]) / np.maximum(apart, 1e-6)
    frontal = 1.0 / (1.0 + (2.0 * aside) ** 2)
    size = np.sqrt(np.clip((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1.0, 112.0**2)) / 112.0
    return prob * frontal * np.sqrt(size) * detail / (detail + 10.0)


def best_spread(portraits: list[Portrait], most: int) -> list[Portrait]:
    """At most `most` of the portraits: of the two that lie closest in time, the worse one goes, again and again.

    Example:
        >>> kept = best_spread([Portrait(t, m, b"") for t, m in ((0.0, 0.9), (0.3, 0.5), (0.6, 0.8), (9.0, 0.1))], 2)
        >>> [(portrait.time_s, portrait.merit) for portrait in kept]
        [(0.0, 0.9), (9.0, 0.1)]
    """
    kept = sorted(portraits, key=lambda portrait: portrait.time_s)
    while len(kept) > most:
        gap = np.diff([portrait.time_s for portrait in kept])
        first = int(np.argmin(gap))
        kept.pop(first if kept[first].merit < kept[first + 1].merit else first + 1)
    return kept


def to_jpeg(crop: np.ndarray, quality: int = 85) -> bytes:
    """`(H, W, 3)` uint8 RGB as JPEG.

    Example:
        >>> to_jpeg(np.zeros((8, 8, 3), np.uint8))[:2] == bytes([0xFF, 0xD8])
        True
    """
    stream = io.BytesIO()
    Image.fromarray(crop).save(stream, "JPEG", quality=quality)
    return stream.getvalue()
