"""Tracks over composed detections, where the truth is known."""

import numpy as np
import pytest

from merkit.perception import Faces, FaceTracker


def _faces(*boxes: tuple[float, float, float]) -> Faces:
    """Square faces given as centre x, centre y, side."""
    made = np.array([[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x, y, s in boxes], np.float32).reshape(-1, 4)
    return Faces(made, np.full(len(made), 0.99, np.float32), np.zeros((len(made), 5, 2), np.float32))


def test_two_faces_that_pass_each_other_keep_their_tracks() -> None:
    tracker = FaceTracker()
    left, right = [], []
    for i in range(13):
        t = i / 3
        a, b = (100 + 30 * i, 150, 60), (460 - 30 * i, 235, 62)  # they pass side by side at i = 6
        order = [a, b] if i % 2 else [b, a]
        ids = tracker.update(t, _faces(*order))
        left.append(ids[order.index(a)])
        right.append(ids[order.index(b)])
    assert len(set(left)) == len(set(right)) == 1
    assert left[0] != right[0]


def test_assignment_minimises_the_sum_not_the_first_choice() -> None:
    tracker = FaceTracker()
    first = tracker.update(0.0, _faces((100, 100, 60), (140, 100, 60)))
    # the face at 130 is nearest to 140, but then 165 would be left without a track
    second = tracker.update(0.33, _faces((130, 100, 60), (165, 100, 60)))
    assert second == first


def test_a_short_absence_is_bridged_and_a_long_one_is_not() -> None:
    tracker = FaceTracker(max_gap_s=1.5)
    (first,) = tracker.update(0.0, _faces((100, 100, 50)))
    for t in (0.33, 0.67, 1.0):
        assert tracker.update(t, _faces()) == []
    assert tracker.update(1.33, _faces((110, 104, 52))) == [first]
    for t in np.arange(1.67, 3.3, 1 / 3):
        tracker.update(float(t), _faces())
    assert tracker.update(3.34, _faces((110, 104, 52))) != [first]


def test_no_track_crosses_a_cut_and_none_jumps_or_swells() -> None:
    tracker = FaceTracker()
    ids = [tracker.update(0.0, _faces((100, 100, 50)))]
    ids.append(tracker.update(0.3, _faces((100, 100, 50)), cut=True))
    ids.append(tracker.update(0.6, _faces((400, 100, 50))))  # six faces further
    ids.append(tracker.update(0.9, _faces((400, 100, 110))))  # twice the size
    assert [one for (one,) in ids] == [0, 1, 2, 3]


def test_motion_is_carried_over_a_missed_frame() -> None:
    tracker = FaceTracker()
    # a walker, and a second face that stands where the walker was last seen
    for i in range(4):
        ids = tracker.update(i / 3, _faces((100 + 40 * i, 100, 60)))
    after = tracker.update(5 / 3, _faces((100 + 40 * 3 - 55, 100, 60), (100 + 40 * 5, 100, 60)))
    assert after[1] == ids[0]
    assert after[0] != ids[0]


def test_one_offs_are_not_kept_unless_the_shot_is_as_short() -> None:
    tracker = FaceTracker(min_hits=2)
    tracker.update(0.0, _faces((100, 100, 50)))
    tracker.update(0.3, _faces((100, 100, 50), (300, 50, 40)))
    tracker.update(0.6, _faces((100, 100, 50)))
    tracker.update(0.9, _faces((200, 80, 60)), cut=True)  # the only frame of its shot
    tracks = tracker.finish()
    assert [(t.id, t.hits, t.kept) for t in tracks] == [(0, 3, True), (1, 1, False), (2, 1, True)]
    assert (tracks[0].start_s, tracks[0].end_s) == (0.0, 0.6)


def test_finished_tracks_leave_and_memory_does_not_grow() -> None:
    tracker = FaceTracker()
    rng = np.random.default_rng(0)
    taken = 0
    for i in range(3000):
        place = rng.integers(0, 600), rng.integers(0, 300), 30
        tracker.update(i / 3, _faces(place), cut=i % 7 == 0)
        finished = tracker.take_finished()
        taken += len(finished)
        assert len(tracker._active) <= 7
        assert tracker._finished == []
    assert taken + len(tracker.finish()) == tracker._next


def test_time_must_run_forward() -> None:
    tracker = FaceTracker()
    tracker.update(1.0, _faces())
    with pytest.raises(ValueError, match="time order"):
        tracker.update(1.0, _faces())
