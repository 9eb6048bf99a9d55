"""Arithmetic on boxes `(k, 4)`: x0 y0 x1 y1 in pixels, continuous (a box from 0 to 2 covers two pixels)."""

from typing import Literal

import numpy as np

__all__ = ["centres_and_sizes", "iou", "moved", "squared", "suppress"]


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of `a (m, 4)` with every box of `b (n, 4)`: `(m, n)` in [0, 1].

    Example:
        >>> iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
        [[0.333, 0.0]]
    """
    shared = _shared(a[:, None], b[None])
    union = _area(a)[:, None] + _area(b)[None] - shared
    return shared / np.maximum(union, 1e-9)


def squared(boxes: np.ndarray) -> np.ndarray:
    """The smallest squares `(k, 4)` around the same centres that hold the boxes.

    Example:
        >>> squared(np.array([[0.0, 0, 4, 2]])).tolist()
        [[0.0, -1.0, 4.0, 3.0]]
    """
    centre, size = centres_and_sizes(boxes)
    half = size.max(axis=1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def moved(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Boxes whose edges move by `offsets (k, 4)`, given as shares of width and height.

    Example:
        >>> moved(np.array([[0.0, 0, 10, 20]]), np.array([[0.1, 0.0, 0.0, -0.5]])).tolist()
        [[1.0, 0.0, 10.0, 10.0]]
    """
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def centres_and_sizes(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres `(k, 2)` and widths and heights `(k, 2)`."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def suppress(
    boxes: np.ndarray,
    score: np.ndarray,
    group: np.ndarray,
    limit: float,
    share_of: Literal["union", "smaller"] = "union",
) -> np.ndarray:
    """Greedy non-maximum suppression in all groups at once.

    In every round the best box left in each group is kept and drops what overlaps it; a round costs a few array
    operations over all that is left, so the number of groups (pictures, or pictures x scales) does not matter.

    Args:
        boxes: `(k, 4)`.
        score: `(k,)`, higher is better; of equals the first wins.
        group: `(k,)` integers; boxes of different groups never suppress each other.
        limit: overlaps above this are dropped.
        share_of: what the intersection is measured against, the union or the smaller of the two boxes.

    Returns:
        `(j,)` indices that stay, by group, best first within each.

    Example:
        >>> boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10]])
        >>> suppress(boxes, np.array([0.8, 0.9, 0.7]), np.array([0, 0, 1]), 0.5).tolist()
        [1, 2]
    """
    left = np.lexsort((-score, group))
    kept = []
    while left.size:
        mine = group[left]
        best = np.concatenate([[True], mine[1:] != mine[:-1]])
        leader = left[best][np.cumsum(best) - 1]
        shared = _shared(boxes[left], boxes[leader])
        area, other = _area(boxes[left]), _area(boxes[leader])
        against = area + other - shared if share_of == "union" else np.minimum(area, other)
        kept.append(left[best])
        left = left[~best & (shared <= limit * against)]
    if not kept:
        return np.zeros(0, np.int64)
    chosen = np.concatenate(kept)
    return chosen[np.lexsort((-score[chosen], group[chosen]))]


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[..., 2] - boxes[..., 0], 0, None) * np.clip(boxes[..., 3] - boxes[..., 1], 0, None)


def _shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    return np.clip(width, 0, None) * np.clip(height, 0, None)
