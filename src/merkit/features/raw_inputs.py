"""What networks read that learn from the recording itself: log-mel columns, words as vectors, pictures of one face.

Two passes over a clip, each into a store of its own: what is heard and said (float16), and what is seen (bytes). Both are
`ClipExtractor`s, so that `extract_many` makes them resumable, in as many processes as there are cores. What a clip lacks,
and why, is in the record's `presence`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from merkit.errors import MediaError
from merkit.features.clip import ClipFeatures
from merkit.features.extractor import extractor_id
from merkit.features.face_pictures import EveryKth, FacePictures, PictureConfig
from merkit.features.log_mel import HOP, LogMelExtractor, voiced_range
from merkit.features.sources import VECTORS, Sources
from merkit.features.still import is_still
from merkit.features.whole_clip import LONG, MAX_S, NoSoundError, features_of, sound_of
from merkit.features.word_vectors import read_word_embed
from merkit.media import SAMPLE_RATE, StreamReport, VideoChunk
from merkit.perception import FaceDetector, FaceFollower, FaceTracker, clip_likeness
from merkit.schema import Clip, Modality, TokenSequence

__all__ = ["HeardExtraction", "SeenExtraction", "Words"]

_TINY_S = 1e-6
_EMBEDDED = "word-embed-npz@1"


class Words(Protocol):
    """Texts to one `(T, D)` array each; small until it is called, for it travels to the workers."""

    @property
    def id(self) -> str: ...
    def __call__(self, inputs: list[str], /) -> Sequence[np.ndarray]: ...


@dataclass(frozen=True)
class HeardExtraction:
    """Speech as log-mel columns, and words as vectors.

    A text stream that is an `.npz` file holds the vectors itself (`read_word_embed`); other words need `words`.

    Args:
        words: texts to vectors; None leaves such words out.
        speech: waveforms to columns.
    """

    words: Words | None = None
    speech: LogMelExtractor = field(default_factory=LogMelExtractor)

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What the tokens depend on, beside the clip."""
        return {"speech": self.speech.id, "text": self.words.id if self.words else None, "npz": _EMBEDDED}

    def __call__(self, clip: Clip, /) -> ClipFeatures:
        sources = Sources.of(clip)
        begin_s, end_s, tokens, why = 0.0, 0.0, {}, {}
        if sources.sound is not None:
            try:
                samples, start_s, _ = sound_of(sources)
                first, last = _voiced(samples, self.speech)
                begin_s, end_s = start_s + first / SAMPLE_RATE, start_s + last / SAMPLE_RATE
                (x,) = self.speech([samples])
                columns_s = begin_s + np.arange(len(x)) * (HOP / SAMPLE_RATE)
                tokens["speech", None] = TokenSequence(x, columns_s, columns_s + HOP / SAMPLE_RATE)
            except MediaError as error:
                why["speech"] = str(error)
        ids: dict[Modality, str] = {"speech": self.speech.id}
        if sources.words is not None:
            try:
                x, ids["text"] = self._said(sources)
                edges_s = begin_s + np.linspace(0.0, max(end_s - begin_s, 1e-3), len(x) + 1)
                tokens["text", None] = TokenSequence(x, edges_s[:-1], edges_s[1:])
            except MediaError as error:
                why["text"] = str(error)
        return features_of(clip, tokens, why, end_s, ids)

    def _said(self, sources: Sources) -> tuple[np.ndarray, str]:
        """`(T, D)` float32 and what made them; spread evenly over the voice, for nobody says when each was said."""
        stream = sources.words
        if stream is not None and stream.path is not None and stream.path.suffix == VECTORS:
            return read_word_embed(stream.path), _EMBEDDED
        if self.words is None:
            raise MediaError("there are no vectors for its words")
        said = " ".join(cue.text for cue in sources.cues() or ())
        (x,) = self.words([said]) if said.strip() else (np.zeros((0, 0), np.float32),)
        if not len(x):
            raise MediaError("none of its words has a vector" if said.strip() else "the text is empty")
        return x, self.words.id


@dataclass(frozen=True)
class SeenExtraction:
    """Pictures of the face of one person, as bytes, between the first and the last moment of voice.

    Args:
        config: which pictures.
        detector: makes what finds faces, once per process; it travels to the workers.
        name: of the detector, for the record.
    """

    config: PictureConfig = field(default_factory=PictureConfig)
    detector: Callable[[], Any] = FaceDetector
    name: str = "mtcnn"

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What the pictures depend on, beside the clip."""
        return {"face": self.id, "voice": LogMelExtractor().params["top_db"]}

    @cached_property
    def id(self) -> str:
        """Of the pictures."""
        return extractor_id("face-pictures", 1, {**self.config.to_dict(), "detector": self.name})

    def ready(self) -> None:
        """Loads the detector now, where faces are to be found, so that missing weights are told before hours of work.

        Raises:
            WeightError: they are not on this machine.
        """
        if self.config.crop == "face":
            _ = self._detector

    @cached_property
    def _detector(self) -> Any:
        return self.detector()

    @cached_property
    def _likeness(self) -> Any:
        return clip_likeness()

    def __call__(self, clip: Clip, /) -> ClipFeatures:
        sources = Sources.of(clip)
        begin_s, end_s = _stretch(sources)
        step_s = max(1.0 / self.config.frames_per_second, (end_s - begin_s) / self.config.most)
        pictures = FacePictures(self.config, self._follower(step_s))
        for chunk in sources.chunks(1.0 / step_s, video=True, audio=False):
            if isinstance(chunk, VideoChunk):
                first, last = np.searchsorted(chunk.times_s, [begin_s - _TINY_S, end_s - _TINY_S])
                if last > first:
                    pictures.see(VideoChunk(chunk.frames[first:last], chunk.times_s[first:last]))
                if chunk.times_s[-1] >= end_s:
                    break
            elif isinstance(chunk, StreamReport):
                pictures.warnings += chunk.warnings
        found = pictures.finish(step_s)
        if found is not None:
            return _seen(clip, {("face", None): found}, {}, end_s, self.id, pictures)
        why = f"no face was found in {pictures.count} frames" if pictures.count else "no picture could be decoded"
        return _seen(clip, {}, {"face": why}, end_s, self.id, pictures)

    def _follower(self, step_s: float) -> FaceFollower | None:
        if self.config.crop == "picture":
            return None
        looks = EveryKth(self._detector, self.config.detect_every)
        # a face may be missed for a moment, or, in a clip that is looked at seldom, once
        tracker = FaceTracker(max_gap_s=max(1.5, 2.5 * step_s * self.config.detect_every))
        return FaceFollower(looks, tracker, likeness=self._likeness)  # ty: ignore[invalid-argument-type]

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return SeenExtraction, (self.config, self.detector, self.name)  # a loaded detector stays behind


def _stretch(sources: Sources) -> tuple[float, float]:
    """Seconds of the clip that pictures are taken from: its voice, or, where there is no sound to go by, all of it."""
    path = sources.picture.path if sources.picture else None
    try:
        if sources.sound is not None and not (path is not None and is_still(path)):
            samples, start_s, _ = sound_of(sources)
            first, last = voiced_range(samples)
            return start_s + first / SAMPLE_RATE, start_s + last / SAMPLE_RATE
    except NoSoundError:
        pass
    info = sources.info()
    duration_s = min(info.duration_s - sources.start_s if info else 0.0, sources.length_s)
    if duration_s > MAX_S:
        raise MediaError(LONG, path=path)
    return 0.0, max(duration_s, 1.0)


def _voiced(samples: np.ndarray, speech: LogMelExtractor) -> tuple[int, int]:
    if not np.abs(samples).max(initial=0.0) > 0.0:
        raise MediaError("the sound is silent from start to end")
    first, last = voiced_range(samples, speech.top_db)
    if last - first < speech.least_s * SAMPLE_RATE:
        raise MediaError(f"only {1000 * (last - first) / SAMPLE_RATE:.0f} ms of sound")
    return first, last


def _seen(
    clip: Clip,
    tokens: Mapping[tuple[Modality, str | None], TokenSequence],
    why: Mapping[Modality, str],
    end_s: float,
    made_by: str,
    pictures: FacePictures,
) -> ClipFeatures:
    warnings = pictures.warnings
    if pictures.persons > 1:
        warnings += (f"{pictures.persons} persons; the one seen most was taken",)
    ids: dict[Modality, str] = {"face": made_by}
    return features_of(
        clip, tokens, why, end_s, ids, picture=pictures.picture, shots_s=pictures.shots_s, warnings=warnings
    )
