"""Where the scenes of a film begin and end: shots joined to scenes of a length that scene models know.

A shot lasts a few seconds, a scene most of a minute. A film is parted at its strongest cut, each part again at its
strongest, until no part is longer than `max_s`; nothing is ever shorter than `min_s`. How strong a cut is, the pictures
say: the further what is seen in the quarter of a minute before lies from what is seen after, the stronger. Two people who
are shown in turns look the same on both sides of every cut between them, so a conversation holds together. A cut in the
middle of an utterance is taken only where there is no other.

These are stretches of a useful length, not the scenes that a screenwriter would count.
"""

from collections.abc import Sequence

import numpy as np

from merkit.errors import ConfigError

__all__ = ["cut_strengths", "scene_spans"]

# What is compared on either side of a cut: several shots of a conversation.
_LOOK_S = 15.0


def scene_spans(
    duration_s: float, cuts_s: np.ndarray, strength: np.ndarray, *, min_s: float = 30.0, max_s: float = 90.0
) -> list[tuple[float, float]]:
    """Spans of scenes, in order and without gaps; a film that is no longer than `max_s` is one scene.

    Of cuts of one strength the most central is taken. A stretch that can be parted at no cut is halved.

    Args:
        duration_s: of the film, in seconds.
        cuts_s: `(n,)` seconds at which it may be parted.
        strength: `(n,)` of the cuts; the order alone matters.
        min_s: seconds of a scene at least.
        max_s: seconds of a scene at most, twice `min_s` or more, so that whatever is too long can be parted.

    Raises:
        ConfigError: the two bounds leave no way to part a film, or it has no duration.

    Example:
        >>> scene_spans(150.0, np.array([10.0, 45.0, 70.0, 145.0]), np.array([9.0, 2.0, 1.0, 9.0]))
        [(0.0, 45.0), (45.0, 97.5), (97.5, 150.0)]
        >>> scene_spans(20.0, np.array([10.0]), np.array([1.0]))
        [(0.0, 20.0)]
    """
    if not 0.0 < 2 * min_s <= max_s < np.inf:
        raise ConfigError(
            f"scenes of {min_s:g} to {max_s:g} s: the longest must be at least twice as long as the shortest"
        )
    if not 0.0 < duration_s < np.inf:
        raise ConfigError(f"a film of {duration_s:g} s has no scenes")
    waiting, done = [(0.0, float(duration_s))], []
    while waiting:
        start_s, end_s = waiting.pop()
        if end_s - start_s <= max_s:
            done.append((start_s, end_s))
            continue
        middle_s = (start_s + end_s) / 2
        open_to = np.flatnonzero((cuts_s >= start_s + min_s) & (cuts_s <= end_s - min_s))
        if len(open_to):
            aside_s = np.abs(cuts_s[open_to] - middle_s)
            middle_s = float(cuts_s[open_to[np.lexsort((aside_s, -strength[open_to]))[0]]])
        waiting += [(middle_s, end_s), (start_s, middle_s)]
    return done


def cut_strengths(
    cuts_s: np.ndarray,
    x: np.ndarray | None,
    times_s: np.ndarray,
    said: Sequence[tuple[float, float]] = (),
) -> np.ndarray:
    """`(n,)` how strong each cut is: in [0, 1] between utterances, below 0 within one.

    Args:
        cuts_s: `(n,)` seconds.
        x: `(T, D)` what the picture looks like; None where nobody looked, and all cuts are alike.
        times_s: `(T,)` seconds of `x`, rising.
        said: `start_s, end_s` of the utterances.

    Example:
        >>> x = np.repeat(np.eye(2), 4, axis=0)
        >>> strength = cut_strengths(np.array([2.0, 4.0]), x, np.arange(8.0))
        >>> bool(strength[1] > strength[0])
        True
    """
    found = np.zeros(len(cuts_s))
    if x is not None and len(x):
        spread = x.std(0, dtype=np.float64)
        spread[spread < 1e-6] = np.inf  # what never changes tells of no cut
        for i, cut_s in enumerate(cuts_s):
            first, at, last = np.searchsorted(times_s, [cut_s - _LOOK_S, cut_s - 1e-6, cut_s + _LOOK_S])
            if first < at < last:
                apart = (x[first:at].mean(0) - x[at:last].mean(0)) / spread
                found[i] = np.sqrt(np.square(apart).mean())
        found /= max(float(found.max(initial=0.0)), 1e-9)
    for start_s, end_s in said:
        found[(cuts_s > start_s) & (cuts_s < end_s)] -= 2.0
    return found
