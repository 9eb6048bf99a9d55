"""Decoding by content: known colours at known times, known tones, one clock, and the same bytes in and out of isolation."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from made import write_clip

from merkit.errors import LimitError, MediaError
from merkit.media import AudioChunk, Limits, StreamReport, VideoChunk, probe, read_clip


def collect(path, **options) -> tuple[np.ndarray, np.ndarray, np.ndarray, float | None, StreamReport]:
    """Frames, their times, samples, start of the sound, and the report."""
    frames, times_s, samples, start_s, report = [], [], [], None, None
    for chunk in read_clip(path, **{"isolate": False, **options}):
        if isinstance(chunk, VideoChunk):
            frames.append(chunk.frames)
            times_s.append(chunk.times_s)
        elif isinstance(chunk, AudioChunk):
            if start_s is None:
                start_s = chunk.start_s
            elif samples:
                assert chunk.start_s == pytest.approx(start_s + sum(map(len, samples)) / 16_000, abs=1e-6)
            samples.append(chunk.samples)
        else:
            report = chunk
    none = np.zeros((0,))
    return (
        np.concatenate(frames) if frames else none,
        np.concatenate(times_s) if times_s else none,
        np.concatenate(samples) if samples else none,
        start_s,
        report,
    )


def test_sampled_frames_show_what_was_there_at_their_own_times(tmp_path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=3.0, colour=lambda t: (round(40 + 60 * t), 90, 150))
    frames, times_s, *_ = collect(path, fps=3.0, audio=False)
    assert len(times_s) == 9
    grid = np.arange(9) / 3
    assert (times_s >= grid - 1e-3).all()
    assert (times_s - grid < 1 / 30 + 2e-3).all()  # the first frame at or after the grid point
    np.testing.assert_allclose(frames[:, 20, 30, 0], 40 + 60 * times_s, atol=3)


def test_variable_frame_rate_keeps_true_times_and_never_repeats_a_frame(tmp_path) -> None:
    shown = np.array([0.0, 0.1, 0.9, 1.0, 2.6, 2.7])
    path = write_clip(tmp_path / "a.mkv", times_s=shown, audio=False)
    _, times_s, *_ = collect(path, fps=2.0)
    np.testing.assert_allclose(times_s, [0.0, 0.9, 1.0, 2.6], atol=2e-3)


@pytest.mark.parametrize(("angle", "corner"), [(90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))])
def test_rotation_is_honoured(tmp_path, angle: int, corner: tuple[int, int]) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("libx264", rate=10, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.set_display_rotation(angle)
        picture = np.zeros((32, 64, 3), np.uint8)
        picture[:16, :16] = 255  # white top left corner as coded
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 10)
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode())
    frames, *_ = collect(path)
    first = frames[0].astype(int).sum(-1)
    assert first.shape == ((64, 32) if angle % 180 else (32, 64))
    # display rotation is counter-clockwise: 90 brings the top left corner to the bottom left
    row, column = (4 if i == 0 else -5 for i in corner)
    assert first[row, column] > 600
    assert first[4, 4] < 100 or corner == (0, 0)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_sound_is_16_khz_mono_without_seams(tmp_path, layout: str) -> None:
    rate = 44_100
    at = np.arange(7 * rate) / rate
    wave = (0.3 * np.sin(2 * np.pi * 300 * at) + 0.2 * np.sin(2 * np.pi * 3000 * at)).astype(np.float32)
    path = write_clip(tmp_path / "a.mkv", video=False, audio_codec="pcm_f32le", rate=rate, layout=layout, wave=wave)
    _, _, samples, start_s, report = collect(path)
    assert start_s == 0.0
    assert report.samples == len(samples)
    reference = soxr.resample(wave, rate, 16_000, quality="HQ")
    assert abs(len(samples) - len(reference)) <= 1
    n = min(len(samples), len(reference))
    np.testing.assert_allclose(samples[:n], reference[:n], atol=2e-4)  # one shot against pieces: no click at a border


def test_a_stream_that_begins_late_keeps_its_place_on_the_clock(tmp_path) -> None:
    path = write_clip(tmp_path / "a.mkv", seconds=2.0, audio_start_s=0.5)
    _, times_s, _, start_s, _ = collect(path)
    assert times_s[0] == pytest.approx(0.0, abs=1e-3)
    assert start_s == pytest.approx(0.5, abs=0.03)


def test_a_hole_in_the_sound_is_filled_with_silence_and_reported(tmp_path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for second in (0, 1, 4):
            frame = av.AudioFrame.from_ndarray(np.full((1, 16_000), 8000, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, second * 16_000, Fraction(1, 16_000)
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode())
    _, _, samples, _, report = collect(path)
    assert len(samples) == pytest.approx(5 * 16_000, abs=100)
    assert np.abs(samples[33_000:63_000]).max() == 0.0
    assert samples[70_000] == pytest.approx(8000 / 32768, abs=1e-3)
    assert any("silence" in line for line in report.warnings)


def test_absent_streams_are_absent_and_no_error(tmp_path) -> None:
    silent = write_clip(tmp_path / "v.mp4", audio=False)
    assert probe(silent).audio is None
    frames, _, samples, _, _ = collect(silent)
    assert len(frames)
    assert not len(samples)
    sound = write_clip(tmp_path / "a.mp4", video=False)
    assert probe(sound).video is None
    assert len(collect(sound)[2])


def test_isolation_changes_no_byte(tmp_path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=4.0, size=(128, 96))
    inside, outside = collect(path, isolate=False), collect(path, isolate=True)
    for a, b in zip(inside[:3], outside[:3], strict=True):
        np.testing.assert_array_equal(a, b)
    assert inside[3:] == outside[3:]


def test_a_truncated_clip_gives_what_it_holds_and_says_so(tmp_path) -> None:
    whole = write_clip(tmp_path / "a.mkv", seconds=6.0, size=(128, 96))
    half = tmp_path / "half.mkv"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    _, times_s, *_ = collect(half)
    assert 1.0 < times_s[-1] < 5.0


def test_an_mp4_without_its_index_says_why(tmp_path) -> None:
    whole = write_clip(tmp_path / "a.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(MediaError, match=r"cut\.mp4"):
        collect(cut)


def test_limits_hold_before_a_frame_is_decoded(tmp_path, monkeypatch) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=3.0, size=(320, 240), layout="5.1")

    def never(*_: object) -> None:
        raise AssertionError("decoding began")

    monkeypatch.setattr("merkit.media.decode._Decoding", never)
    for limits, word in [
        (Limits(max_pixels=320 * 200), "pixels"),
        (Limits(max_duration_s=2.0), "long"),
        (Limits(max_channels=2), "channels"),
        (Limits(max_fps=20), "frames a second"),
        (Limits(max_frames=40), "frames"),
        (Limits(max_rate_hz=22_050), "Hz"),
    ]:
        with pytest.raises(LimitError, match=word):
            list(read_clip(path, isolate=False, limits=limits))


def test_a_header_that_lies_about_the_length_is_caught_while_decoding(tmp_path) -> None:
    path = write_clip(tmp_path / "a.ts", seconds=4.0, video_codec="mpeg4")
    with pytest.raises(LimitError):
        list(read_clip(path, isolate=True, limits=Limits(max_frames=30)))


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{other}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{other}</BaseURL></Period></MPD>',
    ],
)
def test_a_playlist_in_disguise_is_refused(tmp_path, text: str) -> None:
    other = write_clip(tmp_path / "secret.mp4")
    disguised = tmp_path / "holiday.mp4"
    disguised.write_text(text.format(other=other))
    with pytest.raises(MediaError, match=r"holiday\.mp4"):
        list(read_clip(disguised, isolate=False))


@pytest.mark.parametrize("name", ["http://example.invalid/a.mp4", "concat:a.mp4|b.mp4", "no/such/file.mp4", "."])
def test_names_are_files_and_nothing_else(name: str) -> None:
    with pytest.raises(MediaError):
        probe(name)


def test_a_decoder_that_dies_is_an_error_with_file_and_reason(tmp_path, monkeypatch) -> None:
    path = write_clip(tmp_path / "a.mp4")
    real = subprocess.Popen

    def doomed(argv, **options):
        return real([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], **options)

    monkeypatch.setattr("merkit.media.child.subprocess.Popen", doomed)
    with pytest.raises(MediaError, match=r"a\.mp4.*crashed \(signal 11\)"):
        list(read_clip(path))


def test_a_decoder_that_hangs_is_given_up(tmp_path, monkeypatch) -> None:
    path = write_clip(tmp_path / "a.mp4")
    real = subprocess.Popen
    monkeypatch.setattr(
        "merkit.media.child.subprocess.Popen",
        lambda argv, **options: real([sys.executable, "-c", "import time; time.sleep(60)"], **options),
    )
    begun = time.monotonic()
    with pytest.raises(MediaError, match=r"no progress for 0\.5 s"):
        list(read_clip(path, stall_s=0.5))
    assert time.monotonic() - begun < 20


def test_a_message_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path, monkeypatch) -> None:
    path = write_clip(tmp_path / "a.mp4")
    real = subprocess.Popen
    lie = 'print(\'{"kind": "video", "shape": [99999, 99999, 99999, 3], "times_s": []}\')'
    monkeypatch.setattr(
        "merkit.media.child.subprocess.Popen", lambda argv, **options: real([sys.executable, "-c", lie], **options)
    )
    with pytest.raises(MediaError, match="mid-message"):
        list(read_clip(path))


def test_closing_early_ends_the_child(tmp_path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=8.0)
    children = _children()
    reader = read_clip(path, fps=30, chunk_frames=2)
    next(reader)
    assert _children() - children
    reader.close()
    assert not _children() - children


def _children() -> set[int]:
    found = set()
    for listing in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with suppress(OSError):
            found |= {int(pid) for pid in listing.read_text().split()}
    return found


@pytest.fixture(autouse=True)
def _no_zombie_signals() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
