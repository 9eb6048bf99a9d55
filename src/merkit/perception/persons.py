"""Which tracks of one clip show the same person, as far as that can be told without knowing anybody.

Faces are compared within the clip only. The vectors that the comparison needs live as long as the clip is read; they
are neither returned nor stored, and a `person_1` of one clip has nothing to do with that of another.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from merkit.perception.tracker import Track

__all__ = ["Likeness", "name_persons"]


class Likeness(Protocol):
    """What compares faces: the crops of one track to one vector, near those of the same person's other tracks."""

    def __call__(self, crops: np.ndarray, points: np.ndarray, /) -> np.ndarray:
        """`(k, 112, 112, 3)` uint8 and `(k, 5, 2)` points in pixels of the crop -> `(D,)` float32."""
        ...


# Mean distance between the vectors of two groups of tracks below which they are one person. With face-api's network,
# single crops of one talking person lie 0.30 (CREMA-D) and 0.46 (carphone) apart in the median, those of the two 0.76;
# of pairs of FER2013 pictures, nearly all of strangers, 0.6 % lie nearer than 0.5 and 0.3 % nearer than 0.45.
SAME_PERSON = 0.5
# Comparing every pair costs memory by the square: beyond this number, the shorter tracks join the groups that the
# longest ones have formed.
MOST_COMPARED = 2000
_NEVER = 1e9


def name_persons(
    tracks: Sequence[Track], vectors: dict[int, np.ndarray] | None = None, same_person: float = SAME_PERSON
) -> dict[int, str]:
    """Track id -> `person_1`, `person_2`, … by first appearance; tracks that are not kept are left out.

    Without vectors every track is a person of its own. With them, tracks are joined by average linkage as long as the
    mean distance stays below `same_person`; two tracks that are seen at the same time are never joined.

    Args:
        tracks: finished tracks of one clip.
        vectors: track id -> likeness vector `(D,)`; tracks without one stay on their own.
        same_person: largest mean Euclidean distance within a person.

    Example:
        >>> tracks = [Track(0, 0.0, 2.0, 7, True), Track(1, 2.3, 2.3, 1, False), Track(2, 5.0, 6.0, 4, True)]
        >>> name_persons(tracks)
        {0: 'person_1', 2: 'person_2'}
        >>> name_persons(tracks, {0: np.zeros(2), 2: np.array([0.1, 0.0])})
        {0: 'person_1', 2: 'person_1'}
    """
    kept = sorted((track for track in tracks if track.kept), key=lambda track: (track.start_s, track.id))
    known = sorted((track for track in kept if vectors and track.id in vectors), key=lambda track: -track.hits)
    group = {track.id: -1 - track.id for track in kept}  # each on its own
    if vectors and len(known) > 1:
        labels = _grouped(known, np.stack([vectors[track.id] for track in known]), same_person)
        group |= {track.id: int(label) for track, label in zip(known, labels, strict=True)}
    names: dict[int, str] = {}
    for track in kept:
        names.setdefault(group[track.id], f"person_{len(names) + 1}")
    return {track.id: names[group[track.id]] for track in kept}


def _grouped(tracks: Sequence[Track], vectors: np.ndarray, same_person: float) -> np.ndarray:
    """`(n,)` group labels of tracks that are sorted by length, longest first."""
    labels = np.zeros(len(tracks), np.int64)
    most = min(len(tracks), MOST_COMPARED)
    labels[:most] = _linked(tracks[:most], vectors[:most], same_person)
    start_s = np.array([track.start_s for track in tracks])
    end_s = np.array([track.end_s for track in tracks])
    for i in range(most, len(tracks)):
        distance = np.linalg.norm(vectors[:i] - vectors[i], axis=1)
        distance[(start_s[:i] <= end_s[i]) & (start_s[i] <= end_s[:i])] = _NEVER
        members = np.bincount(labels[:i])
        mean = np.bincount(labels[:i], distance) / np.maximum(members, 1)
        mean[members == 0] = _NEVER
        best = int(np.argmin(mean))
        labels[i] = best if mean[best] <= same_person else len(members)
    return labels


def _linked(tracks: Sequence[Track], vectors: np.ndarray, same_person: float) -> np.ndarray:
    """Average linkage: `(n,)` group labels."""
    from scipy.cluster.hierarchy import fcluster, linkage  # 0.2 s to import, and most clips never come here
    from scipy.spatial.distance import pdist

    distance = pdist(vectors.astype(np.float64))
    start_s = np.array([track.start_s for track in tracks])
    end_s = np.array([track.end_s for track in tracks])
    a, b = np.triu_indices(len(tracks), 1)
    together = (start_s[a] <= end_s[b]) & (start_s[b] <= end_s[a])
    # so large that no mean over a group can hide it
    distance[together] = _NEVER
    return fcluster(linkage(distance, "average"), same_person, "distance")
