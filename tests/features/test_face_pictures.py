"""Pictures of one person out of made frames: coloured patches stand in for faces."""

import numpy as np
import pytest

from merkit.features.face_pictures import EveryKth, FacePictures, PictureConfig
from merkit.media import VideoChunk
from merkit.perception import FaceFollower, PicturePyramid
from tests.colour_faces import PATCHES, ColourFaces

RED, BLUE = PATCHES
GROUND = (90, 120, 90)


def film(frames: int, *patches) -> np.ndarray:
    """`(n, 120, 160, 3)`: each patch `(colour, frames it is seen in, x, y, width, height)` moves right by a pixel a frame."""
    made = np.tile(np.array(GROUND, np.uint8), (frames, 120, 160, 1))
    for colour, when, x, y, width, height in patches:
        for i in when:
            made[i, y : y + height, x + i : x + i + width] = colour
    return made


def pictures_of(frames: np.ndarray, chunk: int = 7, detector=None, **config) -> tuple[FacePictures, object]:
    config = PictureConfig(**{"side": 16, "detect_every": 1, **config})
    follower = FaceFollower(EveryKth(detector or ColourFaces(), config.detect_every), likeness=None)
    made = FacePictures(config, follower)
    for first in range(0, len(frames), chunk):
        part = frames[first : first + chunk]
        made.see(VideoChunk(part, (first + np.arange(len(part))) * 0.1))
    return made, made.finish(0.1)


def mean_colour(tokens) -> np.ndarray:
    return tokens.x.reshape(len(tokens), -1, 3).astype(float).mean(1)


def test_the_crop_is_the_face_and_nothing_is_squeezed():
    _, tokens = pictures_of(film(6, (RED, range(6), 30, 20, 40, 60)), margin=1.0, side=60)
    assert tokens.x.dtype == np.uint8 and tokens.x.shape == (6, 3 * 60 * 60)
    crop = tokens.x[3].reshape(60, 60, 3)
    red = (crop[:, :, 0] > 200).sum(1)
    # 60 high and 40 wide in a square of 60: full height, two thirds of the width
    assert np.median(red) == pytest.approx(40, abs=1) and (red > 30).sum() >= 58


def test_one_person_alone_is_kept_however_many_there_are():
    both = film(12, (RED, range(12), 10, 30, 40, 50), (BLUE, range(2, 12), 90, 30, 30, 40))
    made, tokens = pictures_of(both)
    assert made.persons == 2 and len(tokens) == 12
    colours = mean_colour(tokens)
    assert (colours[:, 0] > 150).all() and (colours[:, 2] < 80).all(), "no picture of the other"
    assert (np.diff(tokens.start_s) > 0).all(), "one picture a moment"


def test_a_large_face_counts_for_more_than_a_small_one_that_stays():
    seen = film(12, (RED, range(12), 10, 30, 14, 14), (BLUE, range(4, 12), 70, 30, 50, 60))
    _, tokens = pictures_of(seen)
    assert (mean_colour(tokens)[:, 2] > 150).all()
    np.testing.assert_allclose(tokens.start_s, np.arange(4, 12) * 0.1)


def test_frames_without_the_person_give_no_picture():
    _, tokens = pictures_of(film(10, (RED, [0, 1, 2, 6, 7, 8, 9], 30, 20, 40, 40)))
    np.testing.assert_allclose(tokens.start_s, np.array([0, 1, 2, 6, 7, 8, 9]) * 0.1)
    assert (mean_colour(tokens)[:, 0] > 190).all(), "no black pictures in between"
    assert pictures_of(film(5))[1] is None


@pytest.mark.parametrize("chunk", [1, 3, 4, 12])
def test_every_kth_frame_is_looked_at_whatever_the_chunks(chunk):
    frames = film(12, (RED, range(12), 30, 20, 40, 40))
    detector = ColourFaces()
    _, tokens = pictures_of(frames, chunk, detector, detect_every=3, side=40)
    assert detector.looked == 4 and len(tokens) == 12
    _, whole = pictures_of(frames, 12, detect_every=3, side=40)
    np.testing.assert_array_equal(tokens.x, whole.x)
    # between looks the box stays where it was: the patch moves out of it by two pixels of 40
    left = tokens.x.reshape(12, 40, 40, 3)[:, 20, 0, 0]
    assert left[0] > 200 and left[2] < 150 and left[3] > 200


def test_every_kth_alone_or_all():
    frames = film(5, (RED, range(5), 30, 20, 40, 40))
    each, other = (EveryKth(ColourFaces(), k) for k in (1, 2))
    boxes = [[f.boxes[0, 0] for f in looks.detect_in(PicturePyramid(frames))] for looks in (each, other)]
    assert boxes == [[30, 31, 32, 33, 34], [30, 30, 32, 32, 34]]


def test_no_more_than_asked_for_and_spread_evenly():
    _, tokens = pictures_of(film(30, (RED, range(30), 10, 20, 40, 40)), most=7)
    np.testing.assert_allclose(tokens.start_s, np.linspace(0, 29, 7).round() * 0.1)


def test_in_a_crowd_the_largest_faces_wait():
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (250, 250, 10), (250, 10, 250), (10, 250, 250)]
    frames = np.tile(np.array(GROUND, np.uint8), (4, 120, 160, 1))
    for i, colour in enumerate(colours):
        frames[:, 10 : 20 + 3 * i, 5 + 25 * i : 25 + 25 * i] = colour
    made, tokens = pictures_of(frames, detector=ColourFaces(colours))
    assert made.persons == 6 and len(made._waiting) == 4 * 4
    np.testing.assert_allclose(mean_colour(tokens)[:, 1:], [[250, 250]] * 4, atol=100)


def test_a_picture_that_is_a_face_is_taken_whole():
    made = FacePictures(PictureConfig(side=24, crop="picture"), None)
    frame = np.zeros((1, 48, 48, 3), np.uint8)
    frame[:, :24] = 200
    made.see(VideoChunk(frame, np.zeros(1)))
    crop = made.finish(1.0).x.reshape(24, 24, 3)
    assert (crop[:12] == 200).all() and (crop[12:] == 0).all()
