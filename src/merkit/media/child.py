"""The parent's side of the decoding child: started, read ahead a little, watched over, and ended with its reader."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from merkit.errors import MediaError
from merkit.media.chunks import AudioChunk, StreamReport, VideoChunk
from merkit.media.frames_over_pipe import read_message
from merkit.media.header import MediaInfo
from merkit.media.limits import Limits

__all__ = ["messages"]

# Messages that wait in the parent: enough for decoding and inference to overlap, little enough to stay small.
READ_AHEAD = 3

Message = VideoChunk | AudioChunk | StreamReport | MediaInfo


def messages(order: dict[str, Any], path: Path, limits: Limits, stall_s: float) -> Iterator[Message]:
    """What a child that carries out `order` on `path` sends, up to its last message.

    Raises:
        MediaError: what the child reports, or that it crashed or made no progress for `stall_s` seconds.
    """
    order = {**order, "path": str(path), "limits": asdict(limits)}
    child = subprocess.Popen(
        # -P: without it the current folder leads the child's import path, and a numpy.py beside the clips would run
        [sys.executable, "-P", "-m", "merkit.media.worker", json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    waiting: queue.Queue[Message | MediaError | None] = queue.Queue(READ_AHEAD)
    stop = threading.Event()
    reader = threading.Thread(target=_fill, args=(child, path, waiting, stop), daemon=True)
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
                raise MediaError(f"the decoder crashed ({_how(child.wait())})", path=path, time_s=reached_s)
            if isinstance(message, VideoChunk):
                reached_s = max(reached_s, float(message.times_s[-1]))
            elif isinstance(message, AudioChunk):
                reached_s = max(reached_s, message.start_s)
            yield message
            if isinstance(message, StreamReport | MediaInfo):
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
    path: Path,
    waiting: "queue.Queue[Message | MediaError | None]",
    stop: threading.Event,
) -> None:
    assert child.stdout is not None
    message: Message | MediaError | None
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
        if message is None or isinstance(message, MediaError | StreamReport | MediaInfo):
            return


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
