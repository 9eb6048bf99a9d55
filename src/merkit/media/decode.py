"""One demux pass over a file: sampled pictures and 16 kHz sound, in time order, in bounded memory."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error

from merkit.errors import ConfigError, LimitError, MediaError
from merkit.media.chunks import AudioChunk, StreamReport, VideoChunk
from merkit.media.clock import StreamClock
from merkit.media.header import describe, open_container, real_video
from merkit.media.limits import LIMITS, Limits
from merkit.media.sampling import PictureSampler, SoundResampler

__all__ = ["check_rate", "decode"]

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
        ConfigError: `fps` is no rate.
    """
    check_rate(fps)
    path = Path(path)
    with open_container(path) as container:
        info = describe(container, path, limits)
        run = _Decoding(container, path, info.duration_s, fps, video, audio, limits, chunk_frames)
        yield from run.chunks()


def check_rate(fps: float) -> None:
    """Raises ConfigError for a number that is no sampling rate."""
    if not (math.isfinite(fps) and fps > 0):
        raise ConfigError(f"fps must be a number of frames a second above 0, not {fps}")


class _Decoding:
    def __init__(
        self,
        container: Any,
        path: Path,
        header_s: float,
        fps: float,
        video: bool,
        audio: bool,
        limits: Limits,
        chunk_frames: int,
    ) -> None:
        self._container = container
        self._path = path
        self._limits = limits
        picture = real_video(container) if video else None
        sound = next(iter(container.streams.audio), None) if audio else None
        self._streams = [stream for stream in (picture, sound) if stream is not None]
        for stream in self._streams:
            stream.thread_type = "AUTO"
        zero_s = (container.start_time or 0) / av.time_base
        rate = (picture.average_rate or picture.guessed_rate) if picture is not None else None
        self._clocks = {
            stream.index: StreamClock(zero_s, float(1 / rate) if rate and stream is picture else 0.04, header_s)
            for stream in self._streams
        }
        # the header speaks of all streams: only one who reads them all can tell that something is missing
        whole = not (real_video(container) and not video) and not (container.streams.audio and not audio)
        self._header_s = header_s if whole else 0.0
        self._pictures = PictureSampler(fps, chunk_frames, path, limits)
        self._sound = SoundResampler(path, limits)
        self._frames = 0
        self._broken = 0
        self._corrupt = 0
        self._reached_s = 0.0
        self._end = ""

    def chunks(self) -> Iterator[VideoChunk | AudioChunk | StreamReport]:
        if self._streams:
            for frame, time_s in self._placed():
                yield from self._take(frame, time_s)
        last = self._pictures.flush()
        if last is not None:
            yield last
        yield from self._sound.flush()
        if self._streams and not self._frames and not self._sound.samples:
            detail = f" ({self._end})" if self._end else ""
            raise MediaError(f"nothing in it could be decoded{detail}", path=self._path)
        yield StreamReport(self._frames, self._sound.samples, tuple(self._warnings()))

    def _placed(self) -> Iterator[tuple[Any, float]]:
        for stream, frame in self._decoded():
            self._corrupt += frame.is_corrupt
            yield from self._clocks[stream].place(frame)
        for clock in self._clocks.values():
            yield from clock.flush()

    def _decoded(self) -> Iterator[tuple[int, Any]]:
        """Frames of all streams, with the stream's index; damage is counted and passed over."""
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
            for frame in frames:
                yield packet.stream_index, frame

    def _take(self, frame: Any, time_s: float) -> Iterator[VideoChunk | AudioChunk]:
        if time_s > self._limits.max_duration_s:
            raise LimitError(f"longer than its header says: over {self._limits.max_duration_s:.0f} s", path=self._path)
        self._reached_s = max(self._reached_s, time_s)
        if isinstance(frame, av.AudioFrame):
            yield from self._sound.add(frame, time_s)
            return
        self._frames += 1
        if self._frames > self._limits.max_frames:
            raise LimitError(f"more than {self._limits.max_frames} frames", path=self._path, time_s=self._reached_s)
        chunk = self._pictures.add(frame, max(time_s, 0.0))
        if chunk is not None:
            yield chunk

    def _warnings(self) -> Iterator[str]:
        name = self._path.name
        if self._broken:
            yield f"{name}: {self._broken} damaged packets were passed over"
        if self._corrupt:
            yield f"{name}: {self._corrupt} frames were decoded from damaged data"
        if self._end and not self._end.startswith("[Errno"):
            yield f"{name}: {self._end}"
        clocks = self._clocks.values()
        if damaged := sum(clock.damaged for clock in clocks):
            yield f"{name}: {damaged} damaged timestamps were passed over"
        if unstamped := sum(clock.unstamped for clock in clocks):
            yield f"{name}: {unstamped} frames carry no timestamp and were placed at the stated rate"
        end_s = max((clock.next_s for clock in clocks), default=0.0)
        if end_s < self._header_s - max(1.0, 0.02 * self._header_s):
            yield f"{name}: it ends at {end_s:.1f} s although its header says {self._header_s:.1f} s"
        for start_s, stop_s in self._sound.gaps[:5]:
            yield f"{name}: no sound from {start_s:.2f} to {stop_s:.2f} s; silence stands in"
