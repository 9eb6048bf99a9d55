"""The report's copy of the clip: small, playable, on the same clock."""

import numpy as np
import pytest
from made import write_clip

from merkit.errors import MediaError
from merkit.media import AudioChunk, VideoChunk, probe, read_clip, write_preview


def test_a_clip_that_browsers_cannot_play_becomes_one_they_can(tmp_path) -> None:
    source = write_clip(
        tmp_path / "a.avi", seconds=3.0, size=(640, 480), video_codec="mpeg4", audio_codec="pcm_s16le",
        colour=lambda t: (round(40 + 60 * t), 90, 150),
    )  # fmt: skip
    made = write_preview(source, tmp_path / "out.mp4", max_height=240)
    info = probe(made.path)
    assert made.mime == "video/mp4"
    assert (info.video.codec, info.video.width, info.video.height) == ("h264", 320, 240)
    assert info.audio.codec.startswith("aac")
    for chunk in read_clip(made.path, fps=2.0, isolate=False):
        if isinstance(chunk, VideoChunk):
            np.testing.assert_allclose(chunk.frames[:, 100, 100, 0], 40 + 60 * chunk.times_s, atol=8)


def test_offsets_survive(tmp_path) -> None:
    source = write_clip(tmp_path / "a.mkv", seconds=2.0, audio_start_s=0.5, audio_codec="pcm_s16le", rate=16_000)
    made = write_preview(source, tmp_path / "out.mp4")
    first = next(c for c in read_clip(made.path, isolate=False) if isinstance(c, AudioChunk))
    loud = np.abs(first.samples) > 0.05
    assert first.start_s + loud.argmax() / 16_000 == pytest.approx(0.5, abs=0.08)


def test_a_small_mp4_is_taken_as_it_is(tmp_path) -> None:
    source = write_clip(tmp_path / "a.mp4")
    assert write_preview(source, tmp_path / "out.mp4").path == source


def test_sound_alone(tmp_path) -> None:
    source = write_clip(tmp_path / "a.wav", video=False, audio_codec="pcm_s16le")
    made = write_preview(source, tmp_path / "out.mp4")
    assert made.mime == "audio/mp4"
    assert probe(made.path).video is None


def test_what_cannot_be_read_leaves_nothing_behind(tmp_path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no media")
    with pytest.raises(MediaError):
        write_preview(tmp_path / "a.mp4", tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
