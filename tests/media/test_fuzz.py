"""Mutated real media, bounded in number and time: the parent never falls, nothing hangs, every skip has an explanation.

The clip is real H.264/AAC (and VP8/Vorbis, MPEG-4/PCM) made by the encoder; the mutations are what damage and malice
look like: flipped bits, cuts, swapped blocks, blown-up sizes in headers. Most run through one guarded child, so that a
crash of FFmpeg would be seen as a crash; some through the real isolation path.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from made import write_clip

from merkit.errors import MediaError
from merkit.media import StreamReport, read_clip, read_physiology, read_text

SEED = 20261121
PER_FORMAT = 14
ISOLATED_PER_FORMAT = 2
# One mutated clip of 1 s must be read, or refused, within this time.
EACH_S = 20.0

FORMATS = {
    "mp4": {},
    "mkv": {"video_codec": "libx264", "audio_codec": "pcm_s16le"},
    "avi": {"video_codec": "mpeg4", "audio_codec": "pcm_s16le"},
    "flv": {"video_codec": "flv1", "audio_codec": "aac"},
    "wav": {"video": False, "audio_codec": "pcm_s16le"},
}

_GUARDED = """
import json, sys
from merkit.errors import MediaError
from merkit.media import read_clip, Limits
limits = Limits(max_pixels=1_000_000, max_frames=2_000, max_duration_s=600)
for line in sys.stdin:
    path = line.strip()
    try:
        kinds = [type(chunk).__name__ for chunk in read_clip(path, fps=5, isolate=False, limits=limits)]
        print(json.dumps(["read", kinds]), flush=True)
    except MediaError as error:
        print(json.dumps(["refused", str(error)]), flush=True)
"""


def mutations(data: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """Endless damage to `data`, a different kind each time."""
    while True:
        raw = np.frombuffer(data, np.uint8).copy()
        kind = rng.integers(6)
        if kind == 0:  # scattered bit flips
            at = rng.integers(len(raw), size=max(1, int(len(raw) * 10 ** rng.uniform(-4, -1.5))))
            raw[at] ^= (1 << rng.integers(8, size=len(at))).astype(np.uint8)
        elif kind == 1:  # cut off
            raw = raw[: rng.integers(1, len(raw))]
        elif kind == 2:  # a block is lost
            first = int(rng.integers(len(raw)))
            raw = np.delete(raw, np.s_[first : first + int(rng.integers(1, 2000))])
        elif kind == 3:  # two blocks change places
            size = int(rng.integers(16, 1500))
            a, b = rng.integers(max(1, len(raw) - size), size=2)
            raw[a : a + size], raw[b : b + size] = raw[b : b + size].copy(), raw[a : a + size].copy()
        elif kind == 4:  # header fields blown up
            at = rng.integers(min(len(raw), 1500), size=4)
            for i in at:
                raw[i : i + 4] = 255
        else:  # noise over the middle
            first = int(rng.integers(len(raw)))
            raw[first : first + 800] = rng.integers(256, size=len(raw[first : first + 800]))
        yield raw.tobytes()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> dict[str, list]:
    folder = tmp_path_factory.mktemp("fuzz")
    rng = np.random.default_rng(SEED)
    files = {}
    for suffix, options in FORMATS.items():
        whole = write_clip(folder / f"whole.{suffix}", seconds=1.0, fps=15, **options)
        source = mutations(whole.read_bytes(), rng)
        files[suffix] = []
        for number in range(PER_FORMAT):
            path = folder / f"{number}.{suffix}"
            path.write_bytes(next(source))
            files[suffix].append(path)
    return files


def test_damaged_media_never_bring_the_reader_down(damaged) -> None:
    paths = [path for some in damaged.values() for path in some]
    with subprocess.Popen(
        [sys.executable, "-c", _GUARDED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        read = refused = 0
        try:
            for path in paths:
                begun = time.monotonic()
                child.stdin.write(f"{path}\n")
                child.stdin.flush()
                line = child.stdout.readline()
                assert line, f"{path.name} crashed the decoder"
                assert time.monotonic() - begun < EACH_S, f"{path.name} took too long"
                outcome, detail = json.loads(line)
                if outcome == "read":
                    read += 1
                    assert detail[-1] == "StreamReport"
                else:
                    refused += 1
                    assert path.name in detail
                    assert len(detail) > len(path.name) + 10, f"no explanation: {detail}"
        finally:
            child.kill()
    assert read > 5  # the mutations are mild enough to reach the decoders ...
    assert refused > 5  # ... and harsh enough to be refused


def test_the_isolated_path_gives_chunks_or_an_explanation(damaged) -> None:
    for some in damaged.values():
        for path in some[:ISOLATED_PER_FORMAT]:
            try:
                chunks = list(read_clip(path, fps=5, stall_s=EACH_S))
                assert isinstance(chunks[-1], StreamReport)
            except MediaError as error:
                assert path.name in str(error)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nHello there\n\n2\n00:00:03,000 --> 00:00:04,500\n- a\n- b\n"),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n<v A>Hello\n"),
        ("a.csv", "time_s,eda_uS,temp\n0,1.0,33\n0.25,1.1,33\n0.5,1.2,34\n"),
    ],
)
def test_damaged_text_is_read_or_explained(tmp_path, name: str, text: str) -> None:
    rng = np.random.default_rng(SEED)
    source = mutations(text.encode(), rng)
    path = tmp_path / name
    for _ in range(150):
        path.write_bytes(next(source))
        for read in (read_text, read_physiology):
            try:
                read(path)
            except MediaError as error:
                assert name in str(error)
