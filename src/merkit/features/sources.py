"""What a clip is read from: its files and words, put on the clip's own clock and cut to its span.

A clip may be a stretch of a longer file: an utterance of a dialogue, a scene of a film. Its clock then begins where the
span does, and whatever lies outside is dropped before any model sees it. `read_clip` cannot seek, so a file is decoded
from its start and given up as soon as the span is over.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from merkit.errors import MediaError
from merkit.features.still import is_still, probe_still, read_still
from merkit.media import (
    SAMPLE_RATE,
    AudioChunk,
    Cue,
    MediaInfo,
    Signal,
    StreamReport,
    VideoChunk,
    probe,
    read_clip,
    read_physiology,
    read_text,
)
from merkit.schema import Clip, Modality, Stream

__all__ = ["VECTORS", "Sources"]

VECTORS = ".npz"

# Frames that are read at once; fewer for a short span, so that decoding can stop soon after it.
_CHUNK_FRAMES = 16
_TINY_S = 1e-6


@dataclass(frozen=True, slots=True)
class Sources:
    """The first stream of each kind, and the window of the media's clock that the clip is.

    Args:
        clip: what is read.
        picture: the stream with frames; None where there is none.
        sound: the stream with speech.
        words: the stream with text, a file or the words themselves.
        table: the stream with physiology.
        start_s: where the clip begins on the clock of its files, in seconds.
        end_s: where it ends; infinite for a clip without a span.

    Example:
        >>> sources = Sources.of(Clip("hello", (Stream("text", None, text="Hello there"),)))
        >>> sources.cues()
        (Cue(start_s=0.0, end_s=inf, text='Hello there', speaker=None),)
    """

    clip: Clip
    picture: Stream | None
    sound: Stream | None
    words: Stream | None
    table: Stream | None
    start_s: float = 0.0
    end_s: float = math.inf

    @classmethod
    def of(cls, clip: Clip) -> "Sources":
        """Raises MediaError for a span that is none."""
        start_s, end_s = (float(edge) for edge in clip.span) if clip.span is not None else (0.0, math.inf)
        if clip.span is not None and not (0.0 <= start_s < end_s < math.inf):
            raise MediaError(f"a span begins at 0 s or later and ends after that, not {start_s:g} to {end_s:g} s",
                             field=f"span of clip {clip.id}")  # fmt: skip
        picture, sound, words, table = (
            _first(clip, *kinds) for kinds in (("face", "scene"), ("speech",), ("text",), ("physiology",))
        )
        return cls(clip, picture, sound, words, table, start_s, end_s)

    @property
    def length_s(self) -> float:
        """Seconds of the span; infinite without one."""
        return self.end_s - self.start_s

    def cues(self) -> tuple[Cue, ...] | None:
        """Lines of words, or None where the clip brings none.

        Words that come without a file are one line over the whole clip, however long that is. A subtitle line belongs
        to a span if its middle does: a line is not torn, and of two spans that meet only one gets it. Vectors of words
        (`.npz`) are no words: nobody can tell what was said.

        Raises:
            MediaError: the file cannot be read.
        """
        if self.words is None or (self.words.path is not None and self.words.path.suffix == VECTORS):
            return None
        if self.words.path is None:
            said = (self.words.text or "").strip()
            return (Cue(0.0, math.inf, said),) if said else ()
        kept = []
        for cue in read_text(self.words.path):
            start_s, end_s = cue.start_s + self.words.start_s, cue.end_s + self.words.start_s
            if self.start_s <= (start_s + end_s) / 2 < self.end_s:
                kept.append(
                    replace(cue, start_s=max(start_s - self.start_s, 0.0), end_s=min(end_s, self.end_s) - self.start_s)
                )
        return tuple(kept)

    def signals(self) -> tuple[Signal, ...]:
        """Physiology inside the span; a signal that has nothing there is left out.

        Raises:
            MediaError: the table cannot be read.
        """
        if self.table is None or self.table.path is None:
            return ()
        if self.clip.span is None:
            found = read_physiology(self.table.path)
            if not self.table.start_s:
                return tuple(found)
        else:
            found = _table_of_spans(self.table.path)
        kept = []
        for signal in found:
            times_s = signal.times_s + self.table.start_s
            first, last = np.searchsorted(times_s, [self.start_s - _TINY_S, self.end_s - _TINY_S])
            if last > first:
                kept.append(
                    replace(signal, values=signal.values[first:last], times_s=times_s[first:last] - self.start_s)
                )
        return tuple(kept)

    def info(self) -> MediaInfo | None:
        """The header of the media, None without any; of two files, pictures are the one's and sound is the other's.

        Raises:
            MediaError: a file is not media, or ends before the span begins.
        """
        found: list[MediaInfo] = []
        for stream in (self.picture, self.sound):
            if stream is None or stream.path is None:
                continue
            if found and found[0].path == stream.path:
                continue
            info = probe_still(stream.path) if is_still(stream.path) else probe(stream.path)
            ends_s = info.duration_s + stream.start_s
            if info.duration_s and ends_s <= self.start_s:
                raise MediaError(
                    f"the clip begins at {self.start_s:.2f} s, but the file ends at {ends_s:.2f} s",
                    path=stream.path,
                    field="span",
                )
            found.append(replace(info, duration_s=max(0.0, ends_s)) if stream.start_s else info)
        if not found:
            return None
        if self.picture is None or self.sound is None or self.picture.path == self.sound.path:
            return found[0]
        return replace(found[0], audio=found[1].audio, duration_s=max(info.duration_s for info in found))

    def chunks(self, fps: float, *, video: bool, audio: bool) -> Iterator[VideoChunk | AudioChunk | StreamReport]:
        """Pictures and sound of the span, in time order for each; the report is missing where reading stopped early.

        Args:
            fps: sampled frames a second. The grid is the file's own; a span that is shorter than a step of it is
                sampled more densely, so that it has a frame.
            video: whether pictures are wanted.
            audio: whether sound is wanted.

        Raises:
            MediaError: a file cannot be decoded.
        """
        both = self.picture is not None and self.sound is not None and self.picture.path == self.sound.path
        if both and video and audio and self.picture == replace(self.sound, modality=self.picture.modality):
            yield from self._read(self.picture, fps, video=True, audio=True)
            return
        if video and self.picture is not None:
            yield from self._read(self.picture, fps, video=True, audio=False)
        if audio and self.sound is not None:
            yield from self._read(self.sound, fps, video=False, audio=True)

    def _read(
        self, stream: Stream, fps: float, *, video: bool, audio: bool
    ) -> Iterator[VideoChunk | AudioChunk | StreamReport]:
        assert stream.path is not None
        if is_still(stream.path):
            yield read_still(stream.path)
            return
        if self.clip.span is None and not stream.start_s:
            yield from read_clip(stream.path, fps=fps, video=video, audio=audio)
            return
        dense = max(fps, 2.0 / self.length_s) if self.length_s < 1.0 / fps else fps
        frames = _CHUNK_FRAMES if math.isinf(self.length_s) else math.ceil(self.length_s * dense)
        waiting = {kind for kind, wanted in ((VideoChunk, video), (AudioChunk, audio)) if wanted}
        for chunk in read_clip(
            stream.path, fps=dense, video=video, audio=audio, chunk_frames=min(_CHUNK_FRAMES, max(1, frames))
        ):
            if isinstance(chunk, StreamReport):
                yield chunk
                return
            cut, reached_s = self._cut(chunk, stream.start_s)
            if cut is not None:
                yield cut
            if reached_s >= self.end_s:
                waiting.discard(type(chunk))
                if not waiting:
                    return

    def _cut(self, chunk: VideoChunk | AudioChunk, offset_s: float) -> tuple[VideoChunk | AudioChunk | None, float]:
        """The part inside the span, on the clip's clock, and how far the chunk reached on the files'."""
        if isinstance(chunk, VideoChunk):
            times_s = chunk.times_s + offset_s
            first, last = np.searchsorted(times_s, [self.start_s - _TINY_S, self.end_s - _TINY_S])
            cut = VideoChunk(chunk.frames[first:last], np.maximum(times_s[first:last] - self.start_s, 0.0))
            return (cut if last > first else None), float(times_s[-1])
        start_s = chunk.start_s + offset_s
        end_s = start_s + len(chunk.samples) / SAMPLE_RATE
        first, last = (
            math.ceil(min(max((edge_s - start_s) * SAMPLE_RATE - 1e-3, 0.0), len(chunk.samples)))
            for edge_s in (self.start_s, self.end_s)
        )
        begins_s = max(start_s + first / SAMPLE_RATE - self.start_s, 0.0)
        return (AudioChunk(chunk.samples[first:last], begins_s) if last > first else None), end_s


def _table_of_spans(path: Path) -> tuple[Signal, ...]:
    """A whole table; the last one is kept, because the clip that comes next is most often the next span of it."""
    if not path.is_file():
        return read_physiology(path)  # which says so
    state = path.stat()
    return _last_table(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1)
def _last_table(path: Path, size: int, mtime_ns: int) -> tuple[Signal, ...]:
    return tuple(read_physiology(path))


def _first(clip: Clip, *kinds: Modality) -> Stream | None:
    found: Sequence[Stream] = [stream for kind in kinds for stream in clip.streams if stream.modality == kind]
    return found[0] if found else None
