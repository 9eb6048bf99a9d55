"""Frames at even distances, mosaics and faces out of clips whose every picture is known; sound that is known sample by sample."""

import pickle
from functools import partial

import numpy as np
import pytest

from merkit.config import config_from
from merkit.errors import ConfigError, MediaError
from merkit.features import equidistant, sources
from merkit.features.frame_layout import FrameLayout
from merkit.features.frame_stack import FrameStackConfig, FrameStackExtraction, fitted
from merkit.features.whole_sound import SoundExtraction
from merkit.media import probe, read_clip
from merkit.schema import Clip, Stream
from tests.colour_faces import PATCHES, ColourFaces
from tests.made import write_clip

SMALL = {"height": 24, "width": 32}
GREY = (90, 120, 90)


def shade(time_s: float) -> tuple[int, int, int]:
    """Ten frames a second, each ten brighter than the one before."""
    value = 20 + round(time_s * 100)
    return value, value, value


def extraction(**changes) -> FrameStackExtraction:
    return FrameStackExtraction(FrameStackConfig(**{**SMALL, **changes}), ColourFaces, "colours")


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    for name, function in (("read_clip", read_clip), ("probe", probe)):
        monkeypatch.setattr(sources, name, partial(function, isolate=False))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """17 frames, 1.7 s; the sound goes on for another half a second, as it may."""
    wave = (0.4 * np.sin(2 * np.pi * 300 * np.arange(35_200) / 16_000)).astype(np.float32)
    return write_clip(
        tmp_path_factory.mktemp("clip") / "a.mp4",
        seconds=1.7,
        fps=10,
        size=(64, 48),
        rate=16_000,
        wave=wave,
        colour=shade,
    )


def clip_of(path, **changes) -> Clip:
    return Clip("a", (Stream("scene", path), Stream("speech", path)), **changes)


def greys(frames: np.ndarray) -> list[int]:
    return frames.mean((1, 2, 3)).round().astype(int).tolist()


def test_first_to_last_at_even_distances(path):
    made = extraction()(clip_of(path))
    tokens = made.tokens["scene", None]
    layout = FrameLayout.of(made.extractor_ids["scene"], tokens.x.shape[1])
    assert layout == FrameLayout(24, 32) and tokens.x.dtype == np.uint8
    # frames 0, 4, 8, 12 and 16 of 17, although the header says that the clip lasts 2.2 s
    np.testing.assert_allclose(tokens.start_s, [0, 0.4, 0.8, 1.2, 1.6], atol=0.01)
    np.testing.assert_allclose(greys(layout.pictures(tokens.x)), [20, 60, 100, 140, 180], atol=4)
    assert not made.warnings and made.picture == (64, 48)


def test_so_many_a_second_and_a_stretch(path):
    made = extraction(frames_per_second=2.5, frames=8)(clip_of(path)).tokens["scene", None]
    np.testing.assert_allclose(made.start_s, [0, 0.5, 1.1, 1.6], atol=0.06)
    part = extraction(frames=3)(clip_of(path, span=(0.5, 0.95))).tokens["scene", None]
    np.testing.assert_allclose(part.start_s, [0, 0.2, 0.4], atol=0.01)
    np.testing.assert_allclose(greys(FrameLayout(24, 32).pictures(part.x)), [70, 90, 110], atol=4)
    one = extraction(frames=1)(clip_of(path)).tokens["scene", None]
    assert one.start_s.tolist() == [0.0]


def test_long_clips_are_thinned_between_their_ends(path, monkeypatch):
    monkeypatch.setattr(equidistant, "_MOST_BYTES", 1)
    monkeypatch.setattr(equidistant, "_LEAST_EACH", 1)
    made = extraction(frames=3)(clip_of(path)).tokens["scene", None]
    assert made.start_s[0] == 0 and made.start_s[-1] == pytest.approx(1.6, abs=0.01)
    assert made.start_s[1] == pytest.approx(0.8, abs=0.2)


def test_a_mosaic_has_frames_one_under_the_other_and_nothing_transposed(path):
    made = extraction(mosaic=True)(clip_of(path)).tokens["scene", None]
    layout = FrameLayout.of(extraction(mosaic=True).ids["scene"], made.x.shape[1])
    (picture,) = layout.pictures(made.x)
    assert picture.shape == (5 * 24, 32, 3), "height before width"
    np.testing.assert_allclose(greys(picture.reshape(5, 24, 32, 3)), [20, 60, 100, 140, 180], atol=4)
    apart = extraction()(clip_of(path)).tokens["scene", None]
    np.testing.assert_array_equal(made.x.ravel(), apart.x.ravel())
    assert (made.start_s[0], made.end_s[0]) == (0.0, apart.end_s[-1])


def test_the_published_size(tmp_path):
    """Four quarters of a 16:9 picture, each where it belongs, in a tile of 426 by 240."""
    picture = np.zeros((360, 640, 3), np.uint8)
    picture[:180, 320:], picture[180:, :320], picture[180:, 320:] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    path = write_clip(tmp_path / "q.mp4", seconds=0.2, fps=10, size=(640, 360), audio=False, colour=lambda t: picture)
    made = FrameStackExtraction(FrameStackConfig(mosaic=True))(Clip("q", (Stream("scene", path),)))
    (mosaic,) = FrameStackConfig(mosaic=True).layout.pictures(made.tokens["scene", None].x)
    assert mosaic.shape == (1200, 426, 3) and made.warnings == ("has only 2 frames",)
    for top in (0, 240):
        tile = mosaic[top : top + 240].astype(int)
        assert tile[60, 319].argmax() == 0 and tile[180, 106].argmax() == 1 and tile[180, 319].argmax() == 2
        assert tile[60, 106].max() < 20
    assert not mosaic[480:].any(), "what is missing is black"


def test_nothing_is_stretched():
    tall = np.full((80, 40, 3), 200, np.uint8)
    made, scale, left, top = fitted(tall, 40, 60)
    assert (scale, left, top) == (0.5, 20, 0)
    assert (made[0, :, 20:40] == 200).all() and not made[0, :, :20].any() and not made[0, :, 40:].any()


def face_scene(time_s: float) -> np.ndarray:
    """A red face that moves to the right; none in the middle of the clip."""
    picture = np.full((72, 96, 3), GREY, np.uint8)
    if not 0.4 < time_s < 0.7:
        left = 8 + round(40 * time_s)
        picture[16:56, left : left + 40] = PATCHES[0]
    return picture


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    return Clip(
        "talk", (Stream("face", write_clip(path, seconds=1.1, fps=10, size=(96, 72), audio=False, colour=face_scene)),)
    )


def test_all_but_faces_is_black(talk):
    make = pickle.loads(pickle.dumps(extraction(faces="black", height=36, width=60)))
    made = make(talk)
    scene, face = (make.config.layout.pictures(made.tokens[name, None].x) for name in ("scene", "face"))
    assert made.tokens["face", None].start_s.tolist() == made.tokens["scene", None].start_s.tolist()
    assert not face[2].any() and scene[2].any(), "nobody was seen in the third frame"
    # 72 rows are 36 here, 96 columns 48, in the middle of 60
    for number, time_s in ((0, 0.0), (4, 1.0)):
        left = 6 + (8 + round(40 * time_s)) / 2
        rows, columns = np.nonzero(face[number].max(2) > 40)
        assert abs(rows.min() - 8) <= 1 and abs(rows.max() - 27) <= 1
        assert abs(columns.min() - left) <= 1 and abs(columns.max() - (left + 19)) <= 1
        inside = face[number, 12:24, round(left) + 3 : round(left) + 17].astype(int)
        assert (inside[..., 0] > inside[..., 2] + 60).all()
        np.testing.assert_array_equal(inside, scene[number, 12:24, round(left) + 3 : round(left) + 17])


def test_one_persons_face(talk):
    make = extraction(faces="crop", side=16)
    face = make(talk).tokens["face", None]
    layout = FrameLayout.of(make.ids["face"], face.x.shape[1])
    assert layout.shape == (16, 16, 3) and len(face) == 4, "in the four frames that show it"
    assert not np.isclose(face.start_s, 0.5, atol=0.04).any()
    crops = layout.pictures(face.x).astype(int)
    assert (crops[:, 4:12, 4:12, 0] > crops[:, 4:12, 4:12, 2] + 60).all()


def test_what_it_depends_on_is_in_its_id():
    ids = [
        extraction(**c).ids["scene"]
        for c in ({}, {"frames": 4}, {"height": 26}, {"mosaic": True}, {"frames_per_second": 1})
    ]
    assert len(set(ids)) == 5 and ids[0].startswith("frames-24x32@") and ids[3].startswith("mosaic-5x24x32@")
    assert extraction(faces="black").ids["face"].startswith("face-frames-24x32@")
    assert extraction(faces="black").ids["scene"] == ids[0]


@pytest.mark.parametrize(
    "changes", [{"frames": 0}, {"faces": "hands"}, {"mosaic": True, "frames_per_second": 2.0}, {"height": 4}]
)
def test_options_that_mean_nothing(changes):
    with pytest.raises(ConfigError):
        config_from(FrameStackConfig, changes)


def test_a_layout_must_fit_its_tokens():
    with pytest.raises(ConfigError, match="are no pictures"):
        FrameLayout.of("frames-24x32@0123456789ab", 100)
    with pytest.raises(ValueError, match="do not fit"):
        FrameLayout(4, 4, 2).tokens(np.zeros((3, 4, 4, 3), np.uint8))


def test_why_something_is_absent(tmp_path, talk):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + b"x" * 99)
    for make in (extraction(), SoundExtraction()):
        with pytest.raises(MediaError, match="broken"):
            make(clip_of(broken))
    mute = SoundExtraction()(Clip("t", (Stream("speech", talk.streams[0].path),)))
    assert not mute.tokens and mute.presence[0].reason.endswith("no sound")
    empty = write_clip(tmp_path / "e.mp4", seconds=0.3, fps=10, audio=False, colour=lambda t: GREY)
    made = extraction(faces="black")(Clip("e", (Stream("scene", empty),)))
    assert [(p.modality, p.present, p.reason) for p in made.presence] == [
        ("scene", True, None),
        ("face", False, "no face was found in 3 frames"),
    ]
    hush = write_clip(
        tmp_path / "h.wav", video=False, audio_codec="pcm_s16le", rate=16_000, wave=np.zeros(3200, np.float32)
    )
    assert "silent" in SoundExtraction()(Clip("h", (Stream("speech", hush),))).presence[0].reason


def test_sound_is_all_of_it_at_16_khz(path, tmp_path):
    made = SoundExtraction()(clip_of(path))
    tokens = made.tokens["speech", None]
    wave = tokens.x.ravel()
    assert tokens.x.shape[1] == 320 and len(wave) / 16_000 == pytest.approx(2.2, abs=0.1)
    np.testing.assert_allclose(np.diff(tokens.start_s), 0.02, atol=1e-9)
    share = np.abs(np.fft.rfft(wave[8000:24_000]))
    assert share.argmax() == 300 and np.abs(wave).max() == pytest.approx(0.4, abs=0.05)
    # 44.1 kHz stereo, as MELD's own clips: one channel, no interleaving, the same pitch
    stereo = write_clip(tmp_path / "s.mp4", video=False, seconds=1.2, rate=44_100, layout="stereo", tone_hz=500)
    wave = SoundExtraction()(Clip("s", (Stream("speech", stereo),))).tokens["speech", None].x.ravel()
    assert len(wave) / 16_000 == pytest.approx(1.2, abs=0.1)
    assert np.abs(np.fft.rfft(wave[:16_000])).argmax() == pytest.approx(500, abs=1)


def test_long_sound_is_cut_and_that_is_said(path):
    made = SoundExtraction(most_s=0.5)(clip_of(path))
    assert made.tokens["speech", None].x.size == 8000 and made.warnings == (
        "only the first 0.5 s of its sound were kept",
    )
    assert made.extractor_ids["speech"] != SoundExtraction()(clip_of(path)).extractor_ids["speech"]
    whole = SoundExtraction()(clip_of(path)).tokens["speech", None].x.ravel()
    np.testing.assert_array_equal(made.tokens["speech", None].x.ravel(), whole[:8000])
