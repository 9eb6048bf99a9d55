"""Streaming conversions: decoded frames to sampled pictures, decoded sound to 16 kHz mono without seams."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from merkit.media.chunks import SAMPLE_RATE, AudioChunk, VideoChunk
from merkit.media.header import check_picture, check_sound
from merkit.media.limits import Limits

__all__ = ["PictureSampler", "SoundResampler"]

# Timestamps of containers jitter by up to a packet; a hole wider than this is real and is filled with silence.
GAP_S = 0.06
# Sound is passed on in pieces of about this length: small against memory, large against per-piece overhead.
PIECE_S = 2.0
# Chunks of large pictures hold fewer frames.
MAX_CHUNK_BYTES = 48 * 2**20


class PictureSampler:
    """Keeps the first frame at or after every point of the grid k / fps, with its own timestamp.

    Args:
        fps: points of the grid a second.
        chunk: frames per `VideoChunk`.
        path: for errors.
        limits: for errors.
    """

    def __init__(self, fps: float, chunk: int, path: Path, limits: Limits) -> None:
        self._fps = fps
        self._chunk = chunk
        self._path = path
        self._limits = limits
        self._next = 0  # index of the grid point that waits for a frame
        self._frames: list[np.ndarray] = []
        self._times_s: list[float] = []

    def add(self, frame: Any, time_s: float) -> VideoChunk | None:
        """Takes a decoded frame; only frames on the grid are converted to RGB, which costs more than decoding."""
        if time_s * self._fps < self._next - 1e-6:
            return None
        self._next = int(np.floor(time_s * self._fps + 1e-6)) + 1
        check_picture(frame.width, frame.height, self._path, self._limits)
        picture = frame.to_ndarray(format="rgb24")
        if frame.rotation % 360:
            picture = np.rot90(picture, round(frame.rotation / 90) % 4)
        out = None
        if self._frames and self._frames[0].shape != picture.shape:
            out = self.flush()  # the picture changed its size in mid-stream: a new chunk begins
        self._frames.append(picture)
        self._times_s.append(time_s)
        full = len(self._frames) >= self._chunk or len(self._frames) * picture.nbytes >= MAX_CHUNK_BYTES
        return out or (self.flush() if full else None)

    def flush(self) -> VideoChunk | None:
        """The frames that wait, if any."""
        if not self._frames:
            return None
        chunk = VideoChunk(np.stack(self._frames), np.array(self._times_s))
        self._frames, self._times_s = [], []
        return chunk


class SoundResampler:
    """Any rate and channel count to 16 kHz mono (mean of the channels), gap-free, in one streaming filter.

    Args:
        path: for errors.
        limits: for errors.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._rate = 0
        self._filter: Any = None
        self._expected_s = 0.0
        self._out: list[np.ndarray] = []
        self._waiting = 0
        self._start_s: float | None = None
        self._given = 0
        self.samples = 0
        self.gaps: list[tuple[float, float]] = []

    def add(self, frame: Any, time_s: float) -> Iterator[AudioChunk]:
        """Takes a decoded frame and the time of its first sample in seconds; yields the pieces that are full."""
        rate = frame.sample_rate
        check_sound(frame.layout.nb_channels, rate, self._path, self._limits)
        mono = _mono(frame)
        if self._start_s is None:
            self._start_s = self._expected_s = time_s
        if rate != self._rate:
            self._close_filter()
            self._rate = rate
            self._filter = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32") if rate != SAMPLE_RATE else None
        hole_s = time_s - self._expected_s
        if hole_s > GAP_S:
            self.gaps.append((self._expected_s, time_s))
            # a hole may be hours long: silence goes in, and on, by the second
            silence = round(hole_s * rate)
            while silence > 0:
                piece = min(silence, rate)
                self._push(np.zeros(piece, np.float32))
                silence -= piece
                yield from self._take(PIECE_S)
            self._expected_s = time_s
        elif hole_s < -GAP_S:
            mono = mono[min(len(mono), round(-hole_s * rate)) :]  # this stretch of time was delivered already
        self._expected_s += len(mono) / rate
        self._push(mono)
        yield from self._take(PIECE_S)

    def flush(self) -> Iterator[AudioChunk]:
        """What the filter still holds, if anything."""
        self._close_filter()
        yield from self._take(0.0)

    def _push(self, mono: np.ndarray) -> None:
        if self._filter is not None:
            mono = self._filter.resample_chunk(mono)
        if len(mono):
            self._out.append(mono)
            self._waiting += len(mono)

    def _close_filter(self) -> None:
        if self._filter is not None:
            rest = self._filter.resample_chunk(np.zeros(0, np.float32), last=True)
            self._filter = None
            self._push(rest)

    def _take(self, least_s: float) -> Iterator[AudioChunk]:
        if not self._waiting or self._waiting < least_s * SAMPLE_RATE:
            return
        samples = np.concatenate(self._out) if len(self._out) > 1 else self._out[0]
        self._out, self._waiting = [], 0
        # the clock is counted in samples, so that pieces join without a rounding error
        start_s = (self._start_s or 0.0) + self._given / SAMPLE_RATE
        self._given += len(samples)
        self.samples = self._given
        yield AudioChunk(np.ascontiguousarray(samples, np.float32), start_s)


def _mono(frame: Any) -> np.ndarray:
    """`(T,)` float32 in [-1, 1]: the mean of a frame's channels, whatever its sample format."""
    data = frame.to_ndarray()
    channels = frame.layout.nb_channels
    if not frame.format.is_planar and channels > 1:
        data = data.reshape(-1, channels).T
    if data.dtype == np.uint8:
        data = (data.astype(np.float32) - 128.0) / 128.0
    elif np.issubdtype(data.dtype, np.integer):
        data = data.astype(np.float32) / -float(np.iinfo(data.dtype).min)
    mono = data.reshape(channels, -1).mean(0, dtype=np.float32)
    # damaged float streams carry NaN and absurd values; silence is the only honest reading of them
    return np.clip(np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
