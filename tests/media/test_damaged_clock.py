"""Timestamps that are missing or damaged, clips that end early, and the process border as an attacker meets it."""

import sys
from pathlib import Path

import numpy as np
import pytest
from made import write_clip

from merkit.errors import ConfigError, LimitError, MediaError
from merkit.media import AudioChunk, Limits, StreamReport, VideoChunk, probe, read_clip

PICTURES, SOUND = 9, 8  # FLV tag types


def collected(path: Path, **options) -> tuple[np.ndarray, np.ndarray, StreamReport]:
    """Times of the pictures, samples, and the report."""
    times_s, samples, report = [np.zeros(0)], [np.zeros(0, np.float32)], None
    for chunk in read_clip(path, **{"isolate": False, **options}):
        if isinstance(chunk, VideoChunk):
            times_s.append(chunk.times_s)
        elif isinstance(chunk, AudioChunk):
            samples.append(chunk.samples)
        else:
            report = chunk
    assert report is not None
    return np.concatenate(times_s), np.concatenate(samples), report


def shift_stamps(path: Path, kind: int, after_ms: int, by_ms: int, count: int) -> None:
    """Moves the timestamps of the first `count` FLV tags of one kind after a time."""
    raw = bytearray(path.read_bytes())
    at = 13
    while at + 11 < len(raw) and count:
        size, stamp = int.from_bytes(raw[at + 1 : at + 4], "big"), int.from_bytes(raw[at + 4 : at + 7], "big")
        if raw[at] == kind and stamp > after_ms:
            stamp += by_ms
            raw[at + 4 : at + 8] = (stamp & 0xFFFFFF).to_bytes(3, "big") + bytes([stamp >> 24])
            count -= 1
        at += 11 + size + 4
    path.write_bytes(raw)


@pytest.mark.parametrize("kind", [PICTURES, SOUND])
def test_one_damaged_timestamp_costs_neither_pictures_nor_hours_of_silence(tmp_path, kind: int) -> None:
    clip = write_clip(tmp_path / "a.flv", seconds=6.0)
    times_s, samples, report = collected(clip)
    assert report.warnings == ()
    shift_stamps(clip, kind, after_ms=2000, by_ms=3 * 3600 * 1000, count=1)
    damaged_times_s, damaged_samples, report = collected(clip)
    np.testing.assert_allclose(damaged_times_s, times_s, atol=2e-3)
    assert len(damaged_samples) == len(samples)
    assert report.warnings == ("a.flv: 1 damaged timestamps were passed over",)


def test_a_damaged_timestamp_over_the_longest_duration_does_not_refuse_the_clip(tmp_path) -> None:
    clip = write_clip(tmp_path / "a.flv", seconds=3.0)
    shift_stamps(clip, PICTURES, after_ms=1000, by_ms=10 * 3600 * 1000, count=1)
    assert len(collected(clip)[0]) == 9


def test_a_real_hole_of_hours_is_silence_in_small_pieces(tmp_path) -> None:
    clip = write_clip(tmp_path / "a.flv", seconds=3.0, video=False)
    shift_stamps(clip, SOUND, after_ms=1000, by_ms=3600 * 1000, count=10_000)
    sizes, silent = [], 0
    for chunk in read_clip(clip, isolate=False):
        if isinstance(chunk, AudioChunk):
            sizes.append(len(chunk.samples))
            silent += not chunk.samples.any()
    assert sum(sizes) / 16_000 == pytest.approx(3603, abs=0.2)
    assert max(sizes) < 4 * 16_000
    assert silent > 1000
    with pytest.raises(LimitError, match="longer"):
        list(read_clip(clip, isolate=False, limits=Limits(max_duration_s=600)))


def test_pictures_without_timestamps_are_placed_at_the_stated_rate(tmp_path) -> None:
    clip = write_clip(tmp_path / "a.h264", audio=False, seconds=2.0)
    rate = probe(clip).video.fps
    times_s, _, report = collected(clip, fps=1000.0)
    np.testing.assert_allclose(times_s, np.arange(60) / rate, atol=1e-6)
    assert report.warnings == ("a.h264: 60 frames carry no timestamp and were placed at the stated rate",)


def test_a_clip_that_ends_before_its_header_says_is_reported(tmp_path) -> None:
    whole = write_clip(tmp_path / "a.mkv", seconds=6.0, size=(128, 96))
    assert collected(whole)[2].warnings == ()
    assert collected(whole, video=False)[2].warnings == ()
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    warnings = collected(whole)[2].warnings
    assert any("although its header says 6.0 s" in line for line in warnings)


def test_files_in_the_current_folder_do_not_run_in_the_child(tmp_path, monkeypatch) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    for module in ("soxr", "av", "numpy", "json"):
        (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    assert isinstance(list(read_clip(clip))[-1], StreamReport)
    assert probe(clip).video is not None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("options", [{}, {"video": False}, {"audio": False, "rotation": 90}])
def test_the_header_read_in_the_child_is_the_same(tmp_path, options) -> None:
    clip = write_clip(tmp_path / "a.mp4", **options)
    assert probe(clip) == probe(clip, isolate=False)


def test_a_header_that_crashes_the_reader_is_an_error_of_that_file(tmp_path, monkeypatch) -> None:
    import subprocess

    clip = write_clip(tmp_path / "a.mp4")
    real = subprocess.Popen
    monkeypatch.setattr(
        "merkit.media.child.subprocess.Popen",
        lambda argv, **options: real([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], **options),
    )
    with pytest.raises(MediaError, match=r"a\.mp4.*crashed \(signal 11\)"):
        probe(clip)


def test_limits_reach_the_child_that_reads_the_header(tmp_path) -> None:
    with pytest.raises(LimitError, match="pixels"):
        probe(write_clip(tmp_path / "a.mp4"), limits=Limits(max_pixels=1000))


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(tmp_path, fps: float) -> None:
    for isolate in (True, False):
        with pytest.raises(ConfigError, match="fps"):
            list(read_clip(write_clip(tmp_path / "a.mp4"), fps=fps, isolate=isolate))
