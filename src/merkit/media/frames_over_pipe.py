"""The wire between the decoding child and its parent: one line of JSON, then raw bytes. No pickle, sizes checked."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from merkit.errors import LimitError, MediaError
from merkit.media.chunks import AudioChunk, StreamReport, VideoChunk
from merkit.media.header import AudioInfo, MediaInfo, VideoInfo

__all__ = ["read_message", "write_message"]

# A header holds the times of its frames (about 20 bytes each): room for every frame of the largest chunk of small frames.
_MAX_HEADER = 2**20
_MAX_PAYLOAD = 4 * 2**30


def write_message(pipe: IO[bytes], message: VideoChunk | AudioChunk | StreamReport | MediaInfo | Exception) -> None:
    """Sends one message."""
    payload: np.ndarray | None = None
    if isinstance(message, VideoChunk):
        payload = np.ascontiguousarray(message.frames)
        header = {"kind": "video", "shape": payload.shape, "times_s": message.times_s.tolist()}
    elif isinstance(message, AudioChunk):
        payload = np.ascontiguousarray(message.samples)
        header = {"kind": "audio", "shape": payload.shape, "start_s": message.start_s}
    elif isinstance(message, StreamReport):
        header = {
            "kind": "report",
            "frames": message.frames,
            "samples": message.samples,
            "warnings": [line[:500] for line in message.warnings],
        }
    elif isinstance(message, MediaInfo):
        header = {"kind": "info", **asdict(message), "path": None}
    elif isinstance(message, MediaError):
        header = {
            "kind": "limit" if isinstance(message, LimitError) else "error",
            "reason": message.reason[:2000],
            "time_s": message.time_s,
            "field": message.field,
        }
    else:
        header = {
            "kind": "error",
            "reason": f"{type(message).__name__}: {message}"[:2000],
            "time_s": None,
            "field": None,
        }
    pipe.write(json.dumps(header).encode() + b"\n")
    if payload is not None:
        pipe.write(payload.data.cast("B"))
    pipe.flush()


def read_message(
    pipe: IO[bytes], path: str | Path
) -> VideoChunk | AudioChunk | StreamReport | MediaInfo | MediaError | None:
    """The next message, an error as a value; None where the pipe ended.

    Raises:
        MediaError: what came is not a message.
    """
    line = pipe.readline(_MAX_HEADER)
    if not line:
        return None
    try:
        header: dict[str, Any] = json.loads(line)
        kind = header["kind"]
        if kind == "video":
            times_s = np.array(header["times_s"], np.float64)
            n, height, width, channels = header["shape"]
            if channels != 3 or not n or times_s.shape != (n,):
                raise ValueError(f"a picture chunk of shape {header['shape']} with {times_s.size} times")
            return VideoChunk(_payload(pipe, [n, height, width, channels], np.dtype(np.uint8)), times_s)
        if kind == "audio":
            return AudioChunk(_payload(pipe, header["shape"], np.dtype(np.float32)), float(header["start_s"]))
        if kind == "report":
            return StreamReport(header["frames"], header["samples"], tuple(header["warnings"]))
        if kind == "info":
            video, audio = header["video"], header["audio"]
            return MediaInfo(
                Path(path),
                str(header["container"]),
                float(header["duration_s"]),
                int(header["size_bytes"]),
                None if video is None else VideoInfo(**video),
                None if audio is None else AudioInfo(**audio),
            )
        make = LimitError if kind == "limit" else MediaError
        return make(header["reason"], path=path, time_s=header["time_s"], field=header["field"])
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise MediaError(f"the decoding process broke off in mid-message ({error})", path=path) from None


def _payload(pipe: IO[bytes], shape: list[int], dtype: np.dtype) -> np.ndarray:
    size = int(np.prod([int(n) for n in shape], dtype=np.int64)) * dtype.itemsize
    if size < 0 or size > _MAX_PAYLOAD:
        raise ValueError(f"a payload of {size} bytes")
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = pipe.readinto(view[done:])  # ty: ignore[missing-attribute]
        if not count:
            raise EOFError("the pipe ended")
        done += count
    return np.frombuffer(data, dtype).reshape(shape)
