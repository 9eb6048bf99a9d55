"""`read_clip`: decoding in a child process, read ahead a little, watched over."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from merkit.errors import MediaError
from merkit.media.chunks import AudioChunk, StreamReport, VideoChunk
from merkit.media.decode import CHUNK_FRAMES, decode
from merkit.media.frames_over_pipe import read_message
from merkit.media.limits import LIMITS, Limits

__all__ = ["read_clip"]

# Chunks that wait in the parent: enough for decoding and inference to overlap, little enough to stay small.
READ_AHEAD = 3

Chunk = VideoChunk | AudioChunk | StreamReport


def read_clip(
    path: str | Path,
    *,
    fps: float = 3.0,
    video: bool = True,
    audio: bool = True,
    isolate: bool = True,
    limits: Limits = LIMITS,
    chunk_frames: int = CHUNK_FRAMES,
    stall_s: float = 60.0,
) -> Iterator[Chunk]:
    """Reads a clip once, from start to end, in bounded memory.

    Decoding runs in a child process with a memory cap: bytes that crash FFmpeg end the child, not the caller, and
    decoding overlaps with whatever the caller does between two chunks.

    Args:
        path: the file.
        fps: sampled frames a second.
        video: whether pictures are wanted.
        audio: whether sound is wanted.
        isolate: False decodes in this process: the same chunks, no protection.
        limits: what is accepted.
        chunk_frames: frames per `VideoChunk`.
        stall_s: seconds without progress after which the child is given up.

    Yields:
        `VideoChunk` and `AudioChunk` in time order, then one `StreamReport`.

    Raises:
        MediaError: not readable, nothing decodable, or the decoder crashed or stalled; with the time reached.
        LimitError: over a limit.

    Example:
        >>> for chunk in read_clip("talk.mp4", fps=3.0):  # doctest: +SKIP
        ...     print(type(chunk).__name__)
    """
    if not isolate:
        yield from decode(path, fps=fps, video=video, audio=audio, limits=limits, chunk_frames=chunk_frames)
        return
    order = {"path": str(path), "fps": fps, "video": video, "audio": audio, "chunk_frames": chunk_frames}
    order["limits"] = asdict(limits)
    child = subprocess.Popen(
        [sys.executable, "-m", "merkit.media.worker", json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    waiting: queue.Queue[Chunk | MediaError | None] = queue.Queue(READ_AHEAD)
    stop = threading.Event()
    reader = threading.Thread(target=_fill, args=(child, str(path), waiting, stop), daemon=True)
    reader.start()
    reached_s = 0.0
    try:
        while True:
            try:
                message = waiting.get(timeout=stall_s)
            except queue.Empty:
                raise MediaError(
                    f"the decoder made no progress for {stall_s:g} s", path=path, time_s=reached_s
                ) from None
            if isinstance(message, MediaError):
                raise message
            if message is None:
                code = child.wait()
                raise MediaError(f"the decoder crashed ({_how(code)})", path=path, time_s=reached_s)
            if isinstance(message, VideoChunk):
                reached_s = max(reached_s, float(message.times_s[-1]))
            elif isinstance(message, AudioChunk):
                reached_s = max(reached_s, message.start_s)
            yield message
            if isinstance(message, StreamReport):
                return
    finally:
        stop.set()
        child.kill()
        child.wait()
        reader.join()
        assert child.stdout is not None
        child.stdout.close()


def _fill(
    child: subprocess.Popen[bytes],
    path: str,
    waiting: "queue.Queue[Chunk | MediaError | None]",
    stop: threading.Event,
) -> None:
    assert child.stdout is not None
    message: Chunk | MediaError | None
    while not stop.is_set():
        try:
            message = read_message(child.stdout, path)
        except MediaError as error:
            message = error
        while not stop.is_set():
            try:
                waiting.put(message, timeout=0.1)
                break
            except queue.Full:
                continue
        if message is None or isinstance(message, MediaError | StreamReport):
            return


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
