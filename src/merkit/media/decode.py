"""One demux pass over a file: sampled pictures and 16 kHz sound, in time order, in bounded memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error

from merkit.errors import LimitError, MediaError
from merkit.media.chunks import AudioChunk, StreamReport, VideoChunk
from merkit.media.limits import LIMITS, Limits
from merkit.media.probe import describe, open_container, real_video
from merkit.media.sampling import PictureSampler, SoundResampler

__all__ = ["decode"]

CHUNK_FRAMES = 16
# More broken packets in a row than this and the rest of the file is given up: a stream that is noise decodes for ever.
MAX_BROKEN_RUN = 2000


def decode(
    path: str | Path,
    *,
    fps: float = 3.0,
    video: bool = True,
    audio: bool = True,
    limits: Limits = LIMITS,
    chunk_frames: int = CHUNK_FRAMES,
) -> Iterator[VideoChunk | AudioChunk | StreamReport]:
    """Decodes in this process; `read_clip` is the same behind a process border.

    Args:
        path: the file.
        fps: sampled frames a second; each is the first frame at or after k / fps, with its true timestamp.
        video: whether to decode pictures.
        audio: whether to decode sound.
        limits: what is accepted.
        chunk_frames: frames per `VideoChunk`.

    Yields:
        Chunks of both kinds in time order, then one `StreamReport`.

    Raises:
        MediaError: not readable, or nothing in it could be decoded.
        LimitError: over a limit.
    """
    path = Path(path)
    with open_container(path) as container:
        describe(container, path, limits)
        run = _Decoding(container, path, fps, video, audio, limits, chunk_frames)
        yield from run.chunks()


class _Decoding:
    def __init__(
        self, container: Any, path: Path, fps: float, video: bool, audio: bool, limits: Limits, chunk_frames: int
    ) -> None:
        self._container = container
        self._path = path
        self._limits = limits
        self._zero_s = (container.start_time or 0) / av.time_base
        picture = real_video(container) if video else None
        sound = next(iter(container.streams.audio), None) if audio else None
        self._streams = [stream for stream in (picture, sound) if stream is not None]
        for stream in self._streams:
            stream.thread_type = "AUTO"
        self._pictures = PictureSampler(fps, chunk_frames, path, limits)
        self._sound = SoundResampler(path, limits)
        self._frames = 0
        self._broken = 0
        self._reached_s = 0.0
        self._end = ""

    def chunks(self) -> Iterator[VideoChunk | AudioChunk | StreamReport]:
        if self._streams:
            for frame in self._decoded():
                chunk = self._take(frame)
                if chunk is not None:
                    yield chunk
        for last in (self._pictures.flush(), self._sound.flush()):
            if last is not None:
                yield last
        if self._streams and not self._frames and not self._sound.samples:
            detail = f" ({self._end})" if self._end else ""
            raise MediaError(f"nothing in it could be decoded{detail}", path=self._path)
        yield StreamReport(self._frames, self._sound.samples, tuple(self._warnings()))

    def _decoded(self) -> Iterator[Any]:
        """Frames of all streams; damage is counted and passed over."""
        run = 0
        packets = self._container.demux(self._streams)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, ValueError, OSError) as error:
                self._end = f"reading stopped at {self._reached_s:.1f} s: {error}"
                return
            try:
                frames = packet.decode()
            except av.error.EOFError:
                continue
            except (av.error.FFmpegError, ValueError) as error:
                self._broken += 1
                run += 1
                self._end = str(error)
                if run > MAX_BROKEN_RUN:
                    self._end = f"given up at {self._reached_s:.1f} s after {run} damaged packets in a row"
                    return
                continue
            if frames:
                run = 0
            yield from frames

    def _take(self, frame: Any) -> VideoChunk | AudioChunk | None:
        time_s = None if frame.pts is None else float(frame.pts * frame.time_base) - self._zero_s
        if time_s is not None:
            if time_s > self._limits.max_duration_s:
                raise LimitError(
                    f"longer than its header says: over {self._limits.max_duration_s:.0f} s", path=self._path
                )
            self._reached_s = max(self._reached_s, time_s)
        if isinstance(frame, av.AudioFrame):
            return self._sound.add(frame, time_s)
        self._frames += 1
        if self._frames > self._limits.max_frames:
            raise LimitError(f"more than {self._limits.max_frames} frames", path=self._path, time_s=self._reached_s)
        # a frame without a timestamp cannot be placed on the clock
        return None if time_s is None else self._pictures.add(frame, max(time_s, 0.0))

    def _warnings(self) -> Iterator[str]:
        if self._broken:
            yield f"{self._path.name}: {self._broken} damaged packets were passed over"
        if self._end and not self._end.startswith("[Errno"):
            yield f"{self._path.name}: {self._end}"
        for start_s, end_s in self._sound.gaps[:5]:
            yield f"{self._path.name}: no sound from {start_s:.2f} to {end_s:.2f} s; silence stands in"
