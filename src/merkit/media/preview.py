"""A small copy of a clip that every browser plays, on the clip's own clock."""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from merkit.errors import MediaError
from merkit.media.chunks import SAMPLE_RATE, AudioChunk, VideoChunk
from merkit.media.limits import LIMITS, Limits
from merkit.media.probe import probe
from merkit.media.reader import read_clip

__all__ = ["PreviewFile", "write_preview"]

# A file of these codecs, small as it is, plays anywhere: it is embedded as it came.
_PLAYABLE = {"h264", "aac", "mp3", "mp3float"}
_COPY_BYTES = 24 * 2**20


@dataclass(frozen=True, slots=True)
class PreviewFile:
    """A file and its media type."""

    path: Path
    mime: str


def write_preview(
    path: str | Path,
    out: str | Path,
    *,
    max_height: int = 360,
    fps: float = 15.0,
    limits: Limits = LIMITS,
) -> PreviewFile:
    """Writes an MP4 (H.264 + AAC, index in front) of the clip; audio alone gives an MP4 with sound only.

    Args:
        path: the clip.
        out: file to write, replaced atomically.
        max_height: pixels; larger pictures are scaled down.
        fps: frames a second of the copy.
        limits: what is accepted.

    Returns:
        The file and its media type. A small MP4 that browsers play as it is comes back itself, not copied.

    Raises:
        MediaError: the clip is not readable or this build of FFmpeg cannot encode it.
    """
    info = probe(path, limits=limits)
    codecs = {stream.codec for stream in (info.video, info.audio) if stream is not None}
    if "mp4" in info.container and info.size_bytes <= _COPY_BYTES and codecs <= _PLAYABLE:
        return PreviewFile(Path(path), "video/mp4" if info.video else "audio/mp4")
    target = Path(out)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with av.open(str(unfinished), "w", format="mp4", options={"movflags": "faststart"}) as sink:
            writer = _Writer(sink, info.video is not None, info.audio is not None, max_height, fps)
            for chunk in read_clip(path, fps=fps, limits=limits):
                if isinstance(chunk, VideoChunk):
                    writer.pictures(chunk)
                elif isinstance(chunk, AudioChunk):
                    writer.sound(chunk)
            writer.finish()
        unfinished.replace(target)
    except av.error.FFmpegError as error:
        raise MediaError(f"no preview could be encoded ({error})", path=path) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return PreviewFile(target, "video/mp4" if info.video else "audio/mp4")


class _Writer:
    """Encodes chunks as they come; the picture's size is known with the first of them."""

    def __init__(self, sink: Any, video: bool, audio: bool, max_height: int, fps: float) -> None:
        self._sink = sink
        self._max_height = max_height
        self._audio: Any = sink.add_stream("aac", rate=SAMPLE_RATE, layout="mono") if audio else None
        if self._audio is not None:
            self._audio.bit_rate = 48_000
        self._video: Any = None
        if video:
            self._video = sink.add_stream("libx264", rate=round(fps), options={"preset": "veryfast", "crf": "28"})
            self._video.pix_fmt = "yuv420p"
        self._sized = False
        self._held: list[Any] = []  # sound that came before the first picture told the size

    def pictures(self, chunk: VideoChunk) -> None:
        height, width = chunk.frames.shape[1:3]
        if not self._sized:
            scale = min(1.0, self._max_height / height)
            # H.264 in yuv420p wants even sides
            self._video.width = max(2, int(width * scale) // 2 * 2)
            self._video.height = max(2, int(height * scale) // 2 * 2)
            self._video.codec_context.time_base = Fraction(1, 1000)
            self._sized = True
            for frame in self._held:
                self._sink.mux(self._audio.encode(frame))
            self._held = []
        for picture, time_s in zip(chunk.frames, chunk.times_s, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(self._video.width, self._video.height, format="yuv420p")
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            self._sink.mux(self._video.encode(frame))

    def sound(self, chunk: AudioChunk) -> None:
        frame = av.AudioFrame.from_ndarray(chunk.samples[None], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.pts, frame.time_base = round(chunk.start_s * SAMPLE_RATE), Fraction(1, SAMPLE_RATE)
        if self._video is not None and not self._sized:
            self._held.append(frame)
            return
        self._sink.mux(self._audio.encode(frame))

    def finish(self) -> None:
        if self._video is not None and self._sized:
            self._sink.mux(self._video.encode())
        if self._audio is not None:
            for frame in self._held:
                self._sink.mux(self._audio.encode(frame))
            self._sink.mux(self._audio.encode())
