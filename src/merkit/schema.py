"""The contracts that rooms hand to one another: frozen dataclasses over numpy, no torch.

Shape legend, here and everywhere: `B` clips, `N` entities, `T` time steps, `D` width, `K` labels, `M` modalities.
Times are float seconds on ONE clock per clip: 0.0 is the first instant that the container presents.
Boxes are `x0, y0, x1, y1` as shares of width and height, in [0, 1].
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

__all__ = [
    "MODALITIES",
    "SCHEMA_VERSION",
    "Clip",
    "Modality",
    "Person",
    "Presence",
    "Segment",
    "Stream",
    "Target",
    "TargetKind",
    "TargetSpec",
    "Timeline",
    "TokenSequence",
    "Trace",
    "Window",
    "to_plain",
]

Modality = Literal["text", "speech", "face", "scene", "physiology"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
SCHEMA_VERSION = "1"
TargetKind = Literal["single_label", "soft_label", "multi_label", "regression"]


@dataclass(frozen=True, slots=True)
class Stream:
    """One source of one modality in a clip.

    Args:
        modality: which modality the source carries.
        path: the file; None where `text` holds the words themselves. Several streams of a clip may name the same file
            (video carries face, scene and speech).
        entity: None for the clip as a whole, else a person within the clip.
        start_s: where the source's own zero lies on the clip's clock, in seconds.
        text: the words, for a text stream that a corpus gives in a table instead of a file.
    """

    modality: Modality
    path: Path | None
    entity: str | None = None
    start_s: float = 0.0
    text: str | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.text is None):
            raise ValueError(f"a {self.modality} stream needs a path or a text, and not both")


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One question that raters answered, and in which form.

    Args:
        name: what losses, metrics and predictions call it.
        kind: `single_label` (one class), `soft_label` (a distribution over classes), `multi_label` (each label on or
            off), `regression` (one number per label).
        labels: the `K` classes, labels or dimensions, in order.
        per_entity: asked of every person of the clip instead of the clip as a whole.
    """

    name: str
    kind: TargetKind
    labels: tuple[str, ...]
    per_entity: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(TargetKind):
            raise ValueError(f"target {self.name}: kind must be one of {', '.join(get_args(TargetKind))}")
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"target {self.name}: labels must be there and distinct")


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The answer for one clip, or for one entity of it.

    Args:
        spec: the question.
        value: `single_label`: an array of shape () that holds the class index; else `(K,)` float32.
        entity: the person, where the question is asked per entity.
        valid: `(K,)` bool, False where nothing is known of that label; None = all known.
        votes: `(K,)` raters who chose each label, where the corpus has them. Hard, soft and PeakL labels are
            transforms of these counts (`merkit.data.votes`).
    """

    spec: TargetSpec
    value: np.ndarray
    entity: str | None = None
    valid: np.ndarray | None = None
    votes: np.ndarray | None = None

    def __post_init__(self) -> None:
        want = () if self.spec.kind == "single_label" else (len(self.spec.labels),)
        if self.value.shape != want:
            raise ValueError(f"target {self.spec.name} is {self.spec.kind}: value must have shape {want}")
        if (self.entity is not None) != self.spec.per_entity:
            raise ValueError(f"target {self.spec.name}: per_entity is {self.spec.per_entity}, entity {self.entity!r}")
        for name in ("valid", "votes"):
            given = getattr(self, name)
            if given is not None and given.shape != (len(self.spec.labels),):
                raise ValueError(f"target {self.spec.name}: {name} must have shape ({len(self.spec.labels)},)")


@dataclass(frozen=True, slots=True)
class Clip:
    """A unit of analysis: an id and its streams, and in a corpus what is known about it.

    Args:
        id: unique in its corpus.
        streams: what it can be seen, heard or read from.
        split: `train`, `valid`, `test`, or None where the corpus has no official split.
        groups: what must not be torn apart by a split: `speaker`, `dialogue`, `session`, `movie` … -> name.
        targets: what raters said.
        context: ids of earlier and later turns of the same dialogue, in order of time, this clip left out.
        turn: place in the dialogue, counted from 0; None where there is none.
        span: `start_s, end_s` of this clip within its media files; None = the whole of them.

    Example:
        >>> clip = Clip.from_files("talk.mp4", subtitles="talk.srt")
        >>> clip.id, [stream.modality for stream in clip.streams]
        ('talk', ['face', 'scene', 'speech', 'text'])
    """

    id: str
    streams: tuple[Stream, ...]
    split: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    context: tuple[str, ...] = ()
    turn: int | None = None
    span: tuple[float, float] | None = None

    @classmethod
    def from_files(
        cls,
        media: str | Path | None = None,
        *,
        subtitles: str | Path | None = None,
        physio: str | Path | None = None,
        clip_id: str | None = None,
    ) -> "Clip":
        """A clip over one media file and, where given, its subtitles and its physiology table.

        Raises:
            ValueError: no file at all was given.
        """
        files: list[tuple[Modality, Path]] = []
        if media is not None:
            files += [("face", Path(media)), ("scene", Path(media)), ("speech", Path(media))]
        if subtitles is not None:
            files.append(("text", Path(subtitles)))
        if physio is not None:
            files.append(("physiology", Path(physio)))
        if not files:
            raise ValueError("a clip needs at least one file: media, subtitles or physio")
        streams = tuple(Stream(modality, path) for modality, path in files)
        return cls(clip_id if clip_id is not None else files[0][1].stem, streams)

    def path_of(self, modality: Modality) -> Path | None:
        """The file of the first stream of `modality`, or None where the clip has none."""
        return next((stream.path for stream in self.streams if stream.modality == modality), None)


@dataclass(frozen=True, slots=True, eq=False)
class TokenSequence:
    """What an extractor made of one stream of one entity: `T` tokens of width `D` and when each one holds.

    Args:
        x: `(T, D)` float32.
        start_s: `(T,)` float64, seconds on the clip's clock.
        end_s: `(T,)` float64, seconds, `end_s >= start_s`.
    """

    x: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.start_s.shape != (len(self.x),) or self.end_s.shape != (len(self.x),):
            raise ValueError(
                f"tokens must be x (T, D) with start_s (T,) and end_s (T,); got x {self.x.shape}, "
                f"start_s {self.start_s.shape}, end_s {self.end_s.shape}"
            )

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a modality could be used in this clip, and if not, why.

    Args:
        modality: which.
        present: True where at least one token was made.
        reason: why it is absent or only partly usable, in one phrase; None where all is well.
        coverage: share of the clip's duration that tokens cover, in [0, 1].
    """

    modality: Modality
    present: bool
    reason: str | None = None
    coverage: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A face that was followed within this clip. Anonymous: the id means nothing outside the clip.

    Args:
        id: `person_1`, `person_2`, … by first appearance.
        times_s: `(T,)` seconds at which the face was seen.
        boxes: `(T, 4)` shares of the picture in [0, 1].
        prob: `(T,)` detector's probability that this is a face, in [0, 1].
        thumbnails: a few `(time_s, JPEG bytes)` crops for the report.
    """

    id: str
    times_s: np.ndarray
    boxes: np.ndarray
    prob: np.ndarray
    thumbnails: tuple[tuple[float, bytes], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A stretch of speech or a subtitle line.

    Args:
        start_s: seconds.
        end_s: seconds.
        text: what was said; None where it was not transcribed.
        person: the person who speaks, only where exactly one face is visible throughout; else None = the clip.
        source: where the words come from: `subtitles`, `transcript`, or the recogniser's catalogue name.
        prob: modality -> `(K,)` calibrated probabilities, with `fused` beside the modalities that took part.
    """

    start_s: float
    end_s: float
    text: str | None = None
    person: str | None = None
    source: str | None = None
    prob: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The answer for one stretch of time and one person (or the clip as a whole).

    Args:
        start_s: seconds.
        end_s: seconds.
        person: a `Person.id`, or None for the clip as a whole.
        prob: modality -> `(K,)` calibrated probabilities, only for modalities with evidence in this window.
        fused: `(K,)` probabilities after pooling the modalities; None where nothing was seen or heard.
        low: `(K,)` lower end of the 90 % evidence band around `fused`.
        high: `(K,)` upper end of that band.
        contribution: modality -> share of the fused result that this modality accounts for; the shares sum to 1.
    """

    start_s: float
    end_s: float
    person: str | None
    prob: Mapping[str, np.ndarray]
    fused: np.ndarray | None
    low: np.ndarray | None
    high: np.ndarray | None
    contribution: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A measured signal as the report draws it: physiology that no head of the model judges is still shown.

    Args:
        name: `ecg`, `eda`, `temperature`, `ibi`, …
        unit: as the table states it: mV, µS, °C, s.
        times_s: `(T,)` seconds on the clip's clock.
        values: `(T,)` in `unit`, thinned for drawing.
    """

    name: str
    unit: str
    times_s: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Everything `analyze` says about one clip; what the JSON, the CSV and the report are made from.

    `clip` holds `id, file, sha256, duration_s, width, height, fps`; `model` holds `name, version, weights`
    (name -> sha256) and `licence`; `settings` the options of the run. `summary` is one window over the whole clip per
    entity (the clip itself first). See docs/timeline.md for the JSON.
    """

    clip: Mapping[str, Any]
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    labels: tuple[str, ...]
    presence: tuple[Presence, ...]
    persons: tuple[Person, ...]
    segments: tuple[Segment, ...]
    shots_s: tuple[float, ...]
    windows: tuple[Window, ...]
    summary: tuple[Window, ...]
    warnings: tuple[str, ...]
    notice: str
    traces: tuple[Trace, ...] = ()
    schema_version: str = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dicts, numbers and strings, ready for `json.dumps`; thumbnails are left out."""
        return to_plain(self)

    def to_json(self, *, indent: int | None = 1) -> str:
        """The JSON document; probabilities are rounded to 6 digits, times to the millisecond."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)


def to_plain(value: Any) -> Any:
    """Any of the contracts above as JSON types, by one rule: numbers to 6 digits, arrays as lists, paths as text.

    Example:
        >>> to_plain({"low": np.array([0.12345678])})
        {'low': [0.123457]}
    """
    if isinstance(value, Timeline | Window | Segment | Presence | Trace):
        return {name: to_plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Person):
        return {name: to_plain(getattr(value, name)) for name in ("id", "times_s", "boxes", "prob")}
    if isinstance(value, np.ndarray):
        return np.round(value.astype(float), 6).tolist()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, np.floating | float):
        return round(float(value), 6)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Path):
        return str(value)
    return value
