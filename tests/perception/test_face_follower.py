"""The streaming front of it all, with a detector that finds coloured squares and needs no weights."""

import io
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from merkit.perception import FaceFollower, Faces, PicturePyramid, Track
from merkit.perception.detector import FaceDetector

RED, BLUE = (230, 30, 40), (40, 30, 230)


class SquareDetector(FaceDetector):
    """Finds one square of each of two colours; an honest detector of a simpler thing."""

    def __init__(self) -> None:
        self.calls = 0

    def detect_in(self, pictures: PicturePyramid) -> list[Faces]:
        self.calls += 1
        return [self._one(frame) for frame in pictures.level(0)[1].permute(0, 2, 3, 1).numpy()]

    def _one(self, frame: np.ndarray) -> Faces:
        boxes = []
        for colour in (RED, BLUE):
            rows, cols = np.nonzero((frame == colour).all(axis=2))
            if len(rows):
                boxes.append([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1])
        made = np.array(boxes, np.float32).reshape(-1, 4)
        points = made[:, None, :2] + np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * 40
        return Faces(made, np.full(len(made), 0.9, np.float32), points.astype(np.float32))


def _scene(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 200, (9, 16, 3), dtype=np.uint8)
    blocks[..., seed % 3] //= 3
    blocks[..., 1] |= 64  # never red or blue
    return blocks.repeat(20, axis=0).repeat(20, axis=1)


def _clip() -> tuple[np.ndarray, np.ndarray]:
    """Shot 1: red throughout, blue in one frame only. Shot 2: blue and red. 24 frames at 3 Hz."""
    frames = []
    for i in range(24):
        frame = _scene(1 if i < 12 else 2).copy()
        if i < 12:
            frame[60:100, 40 + 4 * i : 80 + 4 * i] = RED
            if i == 5:
                frame[10:50, 250:290] = BLUE
        else:
            frame[50:90, 30:70] = BLUE
            frame[100:140, 200:240] = RED
        frames.append(frame)
    return np.stack(frames), np.arange(24) / 3


def _colour(crops: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A likeness that knows two colours; `points` are in pixels of the crop."""
    assert crops.dtype == np.uint8 and crops.shape[1:] == (112, 112, 3)
    assert ((points > 0) & (points < 112)).all()
    return crops[:, 40:72, 40:72].mean(axis=(0, 1, 2)) / 100


def _follow(likeness, pieces: tuple[int, ...] = (24,)):
    frames, times_s = _clip()
    follower = FaceFollower(SquareDetector(), likeness=likeness)
    bounds = np.cumsum([0, *pieces])
    parts = [follower.update(frames[a:b], times_s[a:b]) for a, b in pairwise(bounds)]
    return follower, parts, follower.finish()


def test_tracks_shots_and_persons_of_a_composed_clip() -> None:
    _, (faces,), found = _follow(None)
    assert found.shots_s == (4.0,)
    assert len(faces) == 12 + 1 + 24
    assert [(track.hits, track.kept) for track in found.tracks] == [(12, True), (1, False), (12, True), (12, True)]
    assert list(found.person_of) == [0, 2, 3]  # the single blue frame is nobody
    assert [person.id for person in found.persons] == ["person_1", "person_2", "person_3"]
    red = found.persons[0]
    np.testing.assert_allclose(red.times_s, np.arange(12) / 3)
    np.testing.assert_allclose(red.boxes[3], [52 / 320, 60 / 180, 92 / 320, 100 / 180], atol=1e-6)


def test_likeness_joins_a_person_across_shots() -> None:
    follower, _, found = _follow(_colour)
    assert found.person_of == {0: "person_1", 2: "person_2", 3: "person_1"} or found.person_of == {
        0: "person_1",
        2: "person_1",
        3: "person_2",
    }
    joined = next(person for person in found.persons if len(person.times_s) == 24)
    assert (np.diff(joined.times_s) > 0).all()
    assert follower._vectors == {}  # nothing that could recognise a face outlives the clip


@pytest.mark.parametrize("pieces", [(1,) * 24, (5, 7, 12), (11, 1, 1, 11)])
def test_the_division_into_batches_makes_no_difference(pieces: tuple[int, ...]) -> None:
    _, (whole,), found = _follow(_colour)
    _, parts, found_in_parts = _follow(_colour, pieces)
    for name in ("times_s", "track", "boxes", "prob", "points"):
        np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name))
    assert np.abs(np.concatenate([p.crops for p in parts]).astype(int) - whole.crops).max() <= 1
    assert found_in_parts.person_of == found.person_of
    assert found_in_parts.shots_s == found.shots_s


def test_one_detection_run_and_one_crop_per_face() -> None:
    follower, parts, _ = _follow(None, (12, 12))
    assert follower.detector.calls == 2
    assert all(len(part.crops) == len(part) for part in parts)
    assert (np.abs(parts[0].crops[:, 50:60, 50:60].astype(int) - RED).max(axis=(1, 2, 3)) <= 2).sum() == 12


def test_portraits_are_small_jpegs_and_hold_no_batch_in_memory() -> None:
    frames, times_s = _clip()
    follower = FaceFollower(SquareDetector(), likeness=None)
    follower.update(frames[:12], times_s[:12])
    crops = [portrait.crop for album in follower._portraits.values() for portrait in album]
    assert crops and all(crop.base is None for crop in crops)
    found = follower.finish()
    for person in found.persons:
        assert 1 <= len(person.thumbnails) <= 6
        for time_s, jpeg in person.thumbnails:
            assert Image.open(io.BytesIO(jpeg)).size == (112, 112)
            assert time_s in person.times_s


def test_a_change_of_picture_size_ends_all_tracks() -> None:
    frames, times_s = _clip()
    follower = FaceFollower(SquareDetector(), likeness=None)
    follower.update(frames[:4], times_s[:4])
    follower.update(np.ascontiguousarray(frames[4:8, :, :240]), times_s[4:8])
    assert follower.finish().shots_s == (pytest.approx(4 / 3),)


def test_a_clip_without_faces_has_nobody() -> None:
    follower = FaceFollower(SquareDetector(), likeness=None)
    faces = follower.update(np.stack([_scene(1)] * 5), np.arange(5) / 3)
    assert len(faces) == 0 and faces.crops.shape == (0, 112, 112, 3)
    found = follower.finish()
    assert found.persons == () and found.person_of == {} and found.tracks == ()


def test_the_real_sequence_holds_one_person(weights) -> None:
    (folder, _, _) = weights("carphone", "mtcnn", "face-api-recognition")
    with av.open(str(Path(folder) / "carphone_pristine.mp4")) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)][::10])
    follower = FaceFollower()
    assert follower.likeness is not None
    follower.update(frames, np.arange(12) / 3)
    # the same man in another shot: mirrored, behind a cut
    other = np.random.default_rng(0).integers(0, 256, (2, 9, 11, 3), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    follower.update(other, np.array([4.0, 4.4]))
    follower.update(np.ascontiguousarray(frames[:, :, ::-1]), 5 + np.arange(12) / 3)
    found = follower.finish()
    assert [track.hits for track in found.tracks if track.kept] == [12, 12]
    assert set(found.person_of.values()) == {"person_1"}
    assert isinstance(found.tracks[0], Track)


@pytest.mark.data
def test_two_real_clips_of_one_actor_hold_one_person_and_one_face_per_frame(weights, real_data) -> None:
    weights("mtcnn", "face-api-recognition")
    follower, start_s = FaceFollower(), 0.0
    for path in sorted((real_data / "av_samples" / "crema_d").glob("*.flv"))[:2]:
        with av.open(str(path)) as container:
            frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)][::10])
        faces = follower.update(frames, start_s + np.arange(len(frames)) / 3)
        assert len(faces) == len(frames)
        start_s += 10.0  # far beyond any gap that a track bridges
    found = follower.finish()
    assert len(found.tracks) == 2
    assert [person.id for person in found.persons] == ["person_1"]
