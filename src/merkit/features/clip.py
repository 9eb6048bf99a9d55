"""One pass over a clip: bytes in, token sequences out. Training and `analyze` both come through here.

The decoder runs in its own process; what it sends is consumed once, in time order, by everything that wants it: shots,
faces and their crops, the scene, voice activity and what is said. Nothing but tokens, times and boxes is kept, so
memory grows with tokens (about 4 MB an hour per modality), not with pixels or samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from merkit.features import presence as reasons
from merkit.features.extractor import Extractor
from merkit.features.presence import presence_rows
from merkit.features.utterances import Utterance, UtteranceCollector
from merkit.media import AudioChunk, MediaInfo, Signal, VideoChunk, probe, read_clip, read_physiology, read_text
from merkit.perception import FaceFollower, HubRecogniser, Recogniser, VoiceActivity
from merkit.schema import Clip, Modality, Person, Presence, Segment, TokenSequence

__all__ = ["ClipFeatures", "Tools", "extract_clip"]

Entity = str | None
Progress = Callable[[float, float | None], None]
# Who speaks is said only where one face, and no other, is seen in this share of an utterance's sampled frames.
ONE_FACE_SHARE = 0.8
# Lines of text whose tokens are made at once.
_LINES = 128


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


@dataclass(slots=True)
class _Run:
    """What accumulates while the clip streams by."""

    tracks: list[np.ndarray] = field(default_factory=list)
    face_x: list[np.ndarray] = field(default_factory=list)
    face_s: list[np.ndarray] = field(default_factory=list)
    scene_x: list[np.ndarray] = field(default_factory=list)
    scene_s: list[np.ndarray] = field(default_factory=list)
    frames: int = 0
    picture: tuple[int, int] | None = None
    warnings: list[str] = field(default_factory=list)
    why: dict[Modality, str] = field(default_factory=dict)


def extract_clip(
    clip: Clip,
    tools: Tools,
    *,
    fps: float = 3.0,
    progress: Progress | None = None,
    absent: Mapping[Modality, str] | None = None,
) -> ClipFeatures:
    """Decodes a clip once and gives every tool its share.

    Args:
        clip: what to read. Its face, scene and speech streams name the same media file.
        tools: the loaded models.
        fps: sampled frames a second.
        progress: called with the seconds of the clip that are done and its duration (None while unknown).
        absent: modality -> why the caller left it out, for the presence rows.

    Raises:
        MediaError: a file cannot be used. A stream that is simply not there is an absent modality, not an error.
    """
    run = _Run(why=dict(absent or {}))
    media = clip.path_of("face") or clip.path_of("speech")
    words = clip.path_of("text")
    table = clip.path_of("physiology")
    cues = read_text(words) if words is not None else None
    signals = read_physiology(table) if table is not None else ()
    info = probe(media) if media is not None else None

    collector = UtteranceCollector(cues, tools.recogniser if tools.text else None, tools.speech)
    follower = tools.faces() if tools.faces and tools.face and info and info.video else None
    wants_voice = tools.speech is not None or (tools.text is not None and cues is None)
    voice = tools.voice() if tools.voice and wants_voice and info and info.audio else None
    wants_video = follower is not None or (tools.scene is not None and info is not None and info.video is not None)
    duration_s = info.duration_s if info else 0.0
    reached_s = 0.0
    if media is not None and (wants_video or voice is not None):
        for chunk in read_clip(media, fps=fps, video=wants_video, audio=voice is not None):
            if isinstance(chunk, VideoChunk):
                reached_s = max(reached_s, float(chunk.times_s[-1]) + 1.0 / fps)
                _see(chunk, follower, tools, run)
            elif isinstance(chunk, AudioChunk):
                reached_s = max(reached_s, chunk.start_s + len(chunk.samples) / 16_000)
                if voice is not None:
                    collector.add(voice.feed(chunk.samples, chunk.start_s))
            else:
                run.warnings += chunk.warnings
            if progress:
                progress(min(reached_s, duration_s or reached_s), duration_s or None)
    if voice is not None:
        collector.add(voice.finish())
    utterances = collector.finish()
    duration_s = max([duration_s or reached_s, *(u.end_s for u in utterances if info is None)])
    if info is None and signals:
        duration_s = max(duration_s, *(float(signal.times_s[-1]) for signal in signals))

    tokens: dict[tuple[Modality, Entity], TokenSequence] = {}
    persons, shots_s, seen = _people(follower, run, tokens, fps)
    if run.scene_x:
        times_s = np.concatenate(run.scene_s)
        tokens["scene", None] = TokenSequence(np.concatenate(run.scene_x), times_s, times_s + 1.0 / fps)
    segments = tuple(Segment(u.start_s, u.end_s, u.text, _speaker(u, persons, seen, fps), u.source) for u in utterances)
    segment_of = _talk_tokens(utterances, tools, tokens)
    if tools.physiology is not None and signals:
        tokens["physiology", None] = tools.physiology(signals)
    if progress:
        progress(duration_s, duration_s)
    why = {
        "face": reasons.no_video(info) or f"no face was found in {run.frames} frames",
        "scene": reasons.no_video(info),
        "speech": reasons.no_speech(info, collector.speech_s) or "every stretch of speech is shorter than 0.3 s",
        "text": (reasons.no_speech(info, collector.speech_s) if cues is None else "the subtitle file has no lines")
        or "no words were recognised",
        "physiology": "no physiology table was given" if table is None else None,
    }
    presence = presence_rows(tokens, signals, tools.extractors, run.why, why, duration_s)
    return ClipFeatures(
        clip=clip,
        duration_s=duration_s,
        info=info,
        picture=run.picture,
        tokens=tokens,
        segment_of=segment_of,
        persons=persons,
        segments=segments,
        shots_s=shots_s,
        signals=tuple(signals),
        presence=presence,
        warnings=tuple(run.warnings),
        extractor_ids={m: e.id for m, e in tools.extractors.items()},
    )


def _see(chunk: VideoChunk, follower: FaceFollower | None, tools: Tools, run: _Run) -> None:
    run.frames += len(chunk.times_s)
    run.picture = (chunk.frames.shape[2], chunk.frames.shape[1])
    if tools.scene is not None:
        run.scene_x.append(tools.scene(chunk.frames))
        run.scene_s.append(chunk.times_s)
    if follower is not None and tools.face is not None:
        faces = follower.update(chunk.frames, chunk.times_s)
        if len(faces):
            run.tracks.append(faces.track)
            run.face_s.append(faces.times_s)
            run.face_x.append(tools.face(faces.crops))


def _talk_tokens(
    utterances: list[Utterance], tools: Tools, tokens: dict[tuple[Modality, Entity], TokenSequence]
) -> dict[Modality, np.ndarray]:
    """Text and speech tokens of all utterances, in order, spread evenly over each utterance's time."""
    voiced = [(i, u.speech) for i, u in enumerate(utterances) if u.speech is not None and len(u.speech)]
    made: dict[Modality, tuple[list[int], list[int], list[np.ndarray]]] = {
        "speech": ([i for i, _ in voiced], [len(x) for _, x in voiced], [x for _, x in voiced])
    }
    voiced.clear()
    for utterance in utterances:
        utterance.speech = None  # the tokens below are the only copy that an hour of talk can afford
    if tools.text is not None:
        lines = [(i, u.text) for i, u in enumerate(utterances) if u.text and u.text.strip()]
        counts, blocks = [], []
        for first in range(0, len(lines), _LINES):
            parts = tools.text([text for _, text in lines[first : first + _LINES]])
            counts += [len(part) for part in parts]
            blocks.append(np.concatenate(parts))
        made["text"] = ([i for i, _ in lines], counts, blocks)
    segment_of: dict[Modality, np.ndarray] = {}
    for modality, (index, lengths, blocks) in made.items():
        if not index:
            continue
        owner = np.repeat(index, lengths)
        start_s = np.array([u.start_s for u in utterances])[owner]
        length_s = np.array([u.end_s for u in utterances])[owner] - start_s
        step = np.concatenate([np.arange(n) for n in lengths])
        share = np.repeat(lengths, lengths)
        tokens[modality, None] = TokenSequence(
            _joined(blocks), start_s + length_s * step / share, start_s + length_s * (step + 1) / share
        )
        segment_of[modality] = owner
    return segment_of


def _people(
    follower: FaceFollower | None, run: _Run, tokens: dict[tuple[Modality, Entity], TokenSequence], fps: float
) -> tuple[tuple[Person, ...], tuple[float, ...], np.ndarray]:
    """Closes the follower, files face tokens under persons, and says who was seen when.

    Returns:
        Persons, shot cuts in seconds, and `seen (T, 2)`: time in seconds and index of the person, in time order.
    """
    if follower is None:
        return (), (), np.zeros((0, 2))
    found = follower.finish()
    if not run.tracks:
        return found.persons, found.shots_s, np.zeros((0, 2))
    x, times_s, track = (_joined(parts) for parts in (run.face_x, run.face_s, run.tracks))
    # tracks that were dropped as one-off false alarms belong to nobody
    index = {person.id: i for i, person in enumerate(found.persons)}
    owner = np.array([index.get(found.person_of.get(int(t), ""), -1) for t in track])
    for i, person in enumerate(found.persons):
        mine = np.flatnonzero(owner == i)
        tokens["face", person.id] = TokenSequence(x[mine], times_s[mine], times_s[mine] + 1.0 / fps)
    known = owner >= 0
    seen = np.stack([times_s[known], owner[known]], axis=1)
    return found.persons, found.shots_s, seen[np.argsort(seen[:, 0], kind="stable")]


def _speaker(utterance: Utterance, persons: tuple[Person, ...], seen: np.ndarray, fps: float) -> str | None:
    """The one person whose face is visible throughout, if there is exactly one; else nobody is named."""
    near = seen[(seen[:, 0] >= utterance.start_s - 0.5 / fps) & (seen[:, 0] <= utterance.end_s + 0.5 / fps)]
    who = np.unique(near[:, 1])
    expected = max(1.0, (utterance.end_s - utterance.start_s) * fps)
    if len(who) == 1 and len(near) >= ONE_FACE_SHARE * expected:
        return persons[int(who[0])].id
    return None


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """The parts as one array; each is let go as soon as it is copied, so that both never stand in memory whole."""
    out = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    at = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        out[at : at + len(part)] = part
        at += len(part)
    return out
