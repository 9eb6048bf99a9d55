"""One pass over a clip: bytes in, token sequences out. Training and `analyze` both come through here.

The decoder runs in its own process; what it sends is consumed once, in time order, by everything that wants it: shots,
faces and their crops, the scene, voice activity and what is said. Nothing but tokens, times and boxes is kept, so
memory grows with tokens (about 4 MB an hour per modality), not with pixels or samples.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from merkit.errors import MediaError
from merkit.features import presence as reasons
from merkit.features.extractor import Extractor
from merkit.features.frames import FrameTokens
from merkit.features.presence import presence_rows
from merkit.features.sources import Sources
from merkit.features.talk import talk_tokens
from merkit.features.utterances import Utterance, UtteranceCollector
from merkit.media import SAMPLE_RATE, AudioChunk, MediaInfo, Signal, VideoChunk
from merkit.perception import FaceFollower, HubRecogniser, Recogniser, VoiceActivity
from merkit.schema import Clip, Modality, Person, Presence, Segment, TokenSequence

__all__ = ["ClipFeatures", "Tools", "extract_clip"]

Entity = str | None
Progress = Callable[[float, float | None], None]


@dataclass(frozen=True, slots=True)
class Tools:
    """The loaded models that one run uses; None leaves a modality out.

    Args:
        faces: makes a fresh follower for a clip (detection, tracking, crops).
        face: extractor over face crops.
        scene: extractor over whole frames.
        voice: makes a fresh voice-activity detector for a clip.
        speech: extractor over utterance waveforms.
        recogniser: transcribes speech where a clip brings no words of its own.
        text: extractor over the words.
        physiology: extractor over signal tables.
    """

    faces: Callable[[], FaceFollower] | None = None
    face: Extractor | None = None
    scene: Extractor | None = None
    voice: Callable[[], VoiceActivity] | None = None
    speech: Extractor | None = None
    recogniser: Recogniser | HubRecogniser | None = None
    text: Extractor | None = None
    physiology: Extractor | None = None

    @property
    def extractors(self) -> dict[Modality, Extractor]:
        """Modality -> extractor, for those that are there."""
        named: dict[Modality, Extractor | None] = {
            "face": self.face,
            "scene": self.scene,
            "speech": self.speech,
            "text": self.text,
            "physiology": self.physiology,
        }
        return {modality: extractor for modality, extractor in named.items() if extractor is not None}


@dataclass(frozen=True, slots=True, eq=False)
class ClipFeatures:
    """Everything that one pass found in one clip.

    Args:
        clip: what was asked.
        duration_s: seconds; of the media where there is one, else of what the text or physiology covers.
        info: the media file's header; None for clips without media.
        picture: width and height in pixels, upright; None where no picture was decoded.
        tokens: (modality, entity) -> tokens. Entity is None for the clip, a person's id for faces.
        segment_of: modality -> `(T,)` index into `segments` for every clip-level token of speech and text.
        persons: anonymous persons by first appearance.
        segments: utterances, in time order.
        shots_s: seconds at which a new shot begins.
        signals: physiology as measured.
        presence: one row per modality.
        warnings: what went wrong without ending the run.
        extractor_ids: modality -> id of the extractor that made the tokens.
    """

    clip: Clip
    duration_s: float
    info: MediaInfo | None
    picture: tuple[int, int] | None
    tokens: Mapping[tuple[Modality, Entity], TokenSequence]
    segment_of: Mapping[Modality, np.ndarray]
    persons: tuple[Person, ...]
    segments: tuple[Segment, ...]
    shots_s: tuple[float, ...]
    signals: tuple[Signal, ...]
    presence: tuple[Presence, ...]
    warnings: tuple[str, ...]
    extractor_ids: Mapping[Modality, str]


def extract_clip(
    clip: Clip,
    tools: Tools,
    *,
    fps: float = 3.0,
    progress: Progress | None = None,
    absent: Mapping[Modality, str] | None = None,
) -> ClipFeatures:
    """Decodes a clip once and gives every tool its share.

    Only what the clip names is read: a clip without a speech stream has no speech, whatever its video file holds. A
    clip with a span is that stretch of its files, on a clock of its own that begins at 0 with the span.

    Args:
        clip: what to read. Its face and scene streams name one media file, its speech stream the same or another; a
            text stream may hold the words themselves, which are then one segment over the whole clip.
        tools: the loaded models.
        fps: sampled frames a second.
        progress: called with the seconds of the clip that are done and its duration (None while unknown).
        absent: modality -> why the caller left it out, for the presence rows.

    Raises:
        MediaError: a file cannot be used, or ends before the span begins. A stream that is simply not there is an
            absent modality, not an error.
    """
    sources = Sources.of(clip)
    cues = sources.cues()
    signals = sources.signals()
    info = sources.info()
    seen_info = info if sources.picture is not None else None
    heard_info = info if sources.sound is not None else None

    inline = sources.words is not None and sources.words.path is None
    collector = UtteranceCollector(
        cues, tools.recogniser if tools.text else None, tools.speech, "transcript" if inline else "subtitles"
    )
    has_video = seen_info is not None and seen_info.video is not None
    frames = FrameTokens(
        fps,
        tools.faces() if tools.faces and tools.face and has_video and _names(clip, "face") else None,
        tools.face,
        tools.scene if has_video and _names(clip, "scene") else None,
    )
    transcribes = tools.text is not None and tools.recogniser is not None and cues is None
    wants_voice = tools.speech is not None or transcribes
    voice = tools.voice() if tools.voice and wants_voice and heard_info and heard_info.audio else None
    warnings: list[str] = []
    duration_s = min(max(info.duration_s - sources.start_s, 0.0), sources.length_s) if info else 0.0
    reached_s = 0.0
    for chunk in sources.chunks(fps, video=frames.wanted, audio=voice is not None):
        if isinstance(chunk, VideoChunk):
            reached_s = max(reached_s, float(chunk.times_s[-1]) + 1.0 / fps)
            frames.see(chunk)
        elif isinstance(chunk, AudioChunk):
            reached_s = max(reached_s, chunk.start_s + len(chunk.samples) / SAMPLE_RATE)
            if voice is not None:
                collector.add(voice.feed(chunk.samples, chunk.start_s))
        else:
            warnings += chunk.warnings
        if progress:
            progress(min(reached_s, duration_s or reached_s), duration_s or None)
    if clip.span is not None and not reached_s and (frames.wanted or voice is not None):
        raise MediaError("nothing of the clip's span could be decoded", path=info.path if info else None, field="span")
    if voice is not None:
        collector.add(voice.finish())
    utterances = collector.finish()
    duration_s = _duration_s(clip, duration_s or min(reached_s, sources.length_s), info, utterances, signals)
    for utterance in utterances:
        utterance.end_s = min(utterance.end_s, duration_s) if math.isinf(utterance.end_s) else utterance.end_s

    tokens: dict[tuple[Modality, Entity], TokenSequence] = {}
    seen = frames.finish(tokens, duration_s if clip.span is not None else math.inf)
    segments = tuple(Segment(u.start_s, u.end_s, u.text, seen.speaker(u), u.source) for u in utterances)
    segment_of = talk_tokens(utterances, tools.text, tokens)
    if tools.physiology is not None and signals:
        tokens["physiology", None] = tools.physiology(signals)
    if progress:
        progress(duration_s, duration_s)
    why = {
        "face": reasons.no_video(seen_info) or f"no face was found in {frames.count} frames",
        "scene": reasons.no_video(seen_info) or "the span holds no frame",
        "speech": reasons.no_speech(heard_info, collector.speech_s)
        or f"every stretch of speech is shorter than {collector.least_s:g} s",
        "text": reasons.no_words(cues is not None, inline, clip.span is not None)
        or reasons.no_speech(heard_info, collector.speech_s)
        or "no words were recognised",
        "physiology": reasons.no_table(sources.table is not None, clip.span is not None),
    }
    if info is not None:
        why |= {m: f"the clip names no {m} stream" for m in ("face", "scene", "speech") if not _names(clip, m)}
        if cues is None and sources.sound is None:
            why["text"] = "the clip names no text stream, and no speech stream to transcribe"
    if cues is None and tools.recogniser is None:
        why["text"] = "the clip brings no words, and none are to be transcribed"
    presence = presence_rows(tokens, signals, tools.extractors, absent or {}, why, duration_s)
    return ClipFeatures(
        clip=clip,
        duration_s=duration_s,
        info=info,
        picture=frames.picture,
        tokens=tokens,
        segment_of=segment_of,
        persons=seen.persons,
        segments=segments,
        shots_s=seen.shots_s,
        signals=tuple(signals),
        presence=presence,
        warnings=tuple(warnings),
        extractor_ids={m: e.id for m, e in tools.extractors.items()},
    )


def _names(clip: Clip, modality: Modality) -> bool:
    return any(stream.modality == modality for stream in clip.streams)


def _duration_s(
    clip: Clip, media_s: float, info: MediaInfo | None, utterances: list[Utterance], signals: Sequence[Signal]
) -> float:
    """Seconds of the clip: of its media, else of its span, else as far as its words and signals reach.

    Words without media, span and times have no duration: 0.
    """
    if info is not None:
        return media_s
    if clip.span is not None:
        return float(clip.span[1] - clip.span[0])
    ends_s = [u.end_s for u in utterances if math.isfinite(u.end_s)] + [float(s.times_s[-1]) for s in signals]
    return max([0.0, *ends_s])
