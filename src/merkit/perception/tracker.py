"""Faces of successive frames joined into tracks: one face, one shot, no gap longer than a moment."""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from merkit.perception.boxes import centres_and_sizes, iou
from merkit.perception.detector import Faces

__all__ = ["FaceTracker", "Track"]

# How far a face may move between two sightings, in face sizes: at once, and more for each second.
_STEP, _STEP_PER_S, _FARTHEST = 0.6, 0.9, 1.6
# Largest change of size between two sightings: the natural logarithm of the ratio (1.7 times).
_GROWTH = 0.53
# Motion seen before says less and less about where the face is now: seconds.
_MEMORY_S = 0.5


@dataclass(frozen=True, slots=True)
class Track:
    """A finished track.

    Args:
        id: whole number, from 0, in order of first appearance.
        start_s: seconds, first sighting.
        end_s: seconds, last sighting.
        hits: frames in which the face was seen.
        kept: False for a one-off that was most likely no face.
    """

    id: int
    start_s: float
    end_s: float
    hits: int
    kept: bool


@dataclass(slots=True, eq=False)
class _Active:
    id: int
    start_s: float
    last_s: float
    box: np.ndarray
    speed: np.ndarray = field(default_factory=lambda: np.zeros(2))  # pixels a second
    hits: int = 1


class FaceTracker:
    """Follows faces through a stream of detections; holds no more than the faces of the last moment.

    Faces are assigned to tracks frame by frame so that the sum of distances (centre, size, overlap) is least
    (Hungarian method), among the pairs that are near enough to be one face.

    Args:
        max_gap_s: a face that is away for longer comes back as a new track.
        min_hits: a track seen in fewer frames is marked as not kept, unless its shot had no more frames than that.

    Example:
        >>> seen = Faces(np.array([[10.0, 10, 40, 50]]), np.array([0.99]), np.zeros((1, 5, 2)))
        >>> tracker = FaceTracker()
        >>> tracker.update(0.0, seen), tracker.update(0.33, seen), tracker.update(0.67, seen, cut=True)
        ([0], [0], [1])
        >>> [(track.id, track.hits, track.kept) for track in tracker.finish()]
        [(0, 2, True), (1, 1, True)]
    """

    def __init__(self, *, max_gap_s: float = 1.5, min_hits: int = 2) -> None:
        if max_gap_s <= 0 or min_hits < 1:
            raise ValueError(f"max_gap_s must be above 0 and min_hits at least 1, got {max_gap_s} and {min_hits}")
        self.max_gap_s = max_gap_s
        self.min_hits = min_hits
        self._active: list[_Active] = []
        self._finished: list[Track] = []
        self._frames = 0  # in this shot
        self._next = 0
        self._now_s = -np.inf

    def update(self, time_s: float, faces: Faces, cut: bool = False) -> list[int]:
        """The track of each face of the next frame.

        Args:
            time_s: seconds, later than the last frame's.
            faces: the detections of that frame.
            cut: whether a new shot begins with it; no track crosses a cut.
        """
        if time_s <= self._now_s:
            raise ValueError(f"frames must come in time order: {time_s} s after {self._now_s} s")
        self._now_s = time_s
        if cut:
            self._end(self._active)
            self._active, self._frames = [], 0
        self._frames += 1
        gone = [track for track in self._active if time_s - track.last_s > self.max_gap_s]
        self._end(gone)
        self._active = [track for track in self._active if time_s - track.last_s <= self.max_gap_s]

        ids = [-1] * len(faces)
        for row, col in self._pairs(time_s, faces.boxes):
            track = self._active[row]
            _advance(track, time_s, faces.boxes[col].astype(np.float64))
            ids[col] = track.id
        for col in range(len(faces)):
            if ids[col] < 0:
                ids[col] = self._next
                self._active.append(_Active(self._next, time_s, time_s, faces.boxes[col].astype(np.float64)))
                self._next += 1
        return ids

    def take_finished(self) -> list[Track]:
        """Tracks that ended since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def finish(self) -> list[Track]:
        """Ends all tracks; those not taken yet are returned, in order of first appearance."""
        self._end(self._active)
        self._active = []
        return sorted(self.take_finished(), key=lambda track: track.id)

    def _end(self, tracks: list[_Active]) -> None:
        enough = min(self.min_hits, self._frames)
        self._finished += [Track(t.id, t.start_s, t.last_s, t.hits, t.hits >= enough) for t in tracks]

    def _pairs(self, time_s: float, boxes: np.ndarray) -> list[tuple[int, int]]:
        if not self._active or not len(boxes):
            return []
        away_s = np.array([time_s - track.last_s for track in self._active])
        speed = np.array([track.speed for track in self._active])
        moved = speed * (_MEMORY_S * (1 - np.exp(-away_s / _MEMORY_S)))[:, None]
        expected = np.array([track.box for track in self._active]) + np.tile(moved, 2)
        centre_a, size_a = centres_and_sizes(expected)
        centre_b, size_b = centres_and_sizes(boxes)
        side_a, side_b = np.sqrt(size_a.prod(axis=1)), np.sqrt(size_b.prod(axis=1))
        distance = np.linalg.norm(centre_a[:, None] - centre_b[None], axis=2) / np.sqrt(side_a[:, None] * side_b[None])
        growth = np.abs(np.log(side_a[:, None] / side_b[None]))
        reach = np.minimum(_STEP + _STEP_PER_S * away_s, _FARTHEST)[:, None]
        near = (distance <= reach) & (growth <= _GROWTH)
        cost = np.where(near, distance + growth + 1.0 - iou(expected, boxes), 1e3)
        rows, cols = linear_sum_assignment(cost)
        return [(int(row), int(col)) for row, col in zip(rows, cols, strict=True) if near[row, col]]


def _advance(track: _Active, time_s: float, box: np.ndarray) -> None:
    step_s = time_s - track.last_s
    seen = (centres_and_sizes(box[None])[0][0] - centres_and_sizes(track.box[None])[0][0]) / step_s
    track.speed = 0.5 * track.speed + 0.5 * seen
    track.box, track.last_s, track.hits = box, time_s, track.hits + 1
