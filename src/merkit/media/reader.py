"""`read_clip`: a clip once from start to end, decoded in a child process."""

from collections.abc import Iterator
from pathlib import Path

from merkit.media.child import messages
from merkit.media.chunks import AudioChunk, StreamReport, VideoChunk
from merkit.media.decode import CHUNK_FRAMES, check_rate, decode
from merkit.media.header import MediaInfo
from merkit.media.limits import LIMITS, Limits

__all__ = ["read_clip"]


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
) -> Iterator[VideoChunk | AudioChunk | StreamReport]:
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
        ConfigError: `fps` is no rate.

    Example:
        >>> for chunk in read_clip("talk.mp4", fps=3.0):  # doctest: +SKIP
        ...     print(type(chunk).__name__)
    """
    check_rate(fps)
    if not isolate:
        yield from decode(path, fps=fps, video=video, audio=audio, limits=limits, chunk_frames=chunk_frames)
        return
    order = {"do": "decode", "fps": fps, "video": video, "audio": audio, "chunk_frames": chunk_frames}
    for message in messages(order, Path(path), limits, stall_s):
        if not isinstance(message, MediaInfo):
            yield message
