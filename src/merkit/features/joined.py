"""Parts of one array, put together without both standing in memory whole."""

import numpy as np

__all__ = ["joined"]


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """The parts as one array; each is let go as soon as it is copied, and the list is empty afterwards.

    Args:
        parts: at least one, of one shape but for their lengths.

    Example:
        >>> parts = [np.zeros((2, 1)), np.ones((1, 1))]
        >>> joined(parts).ravel().tolist(), parts
        ([0.0, 0.0, 1.0], [])
    """
    out = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    at = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        out[at : at + len(part)] = part
        at += len(part)
    return out
