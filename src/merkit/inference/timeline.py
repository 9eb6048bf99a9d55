"""From a clip's tokens to its timeline: heads judge, the pool joins, windows are laid over each person and the clip."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from merkit.features.clip import ClipFeatures
from merkit.inference.pooling import Evidence, Pooled, pool_windows
from merkit.labels import EKMAN7
from merkit.media import Signal
from merkit.schema import Modality, Presence, Segment, Timeline, Trace, Window

__all__ = ["build_timeline", "window_grid"]

# A signal is drawn at most this many points wide: more than a screen has pixels.
TRACE_POINTS = 2000


class Head(Protocol):
    """What the timeline needs of a head: `merkit.models.EmotionHead` is one."""

    @property
    def skill(self) -> float: ...
    def __call__(self, sequences: Any, /) -> Any: ...


def window_grid(duration_s: float, window_s: float, hop_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends in seconds of the windows over a clip; the last one ends with the clip, or, where there are gaps
    between windows (`hop_s` above `window_s`), before it. There is always one.

    Example:
        >>> start_s, end_s = window_grid(3.5, window_s=2.0, hop_s=1.0)
        >>> start_s.tolist(), end_s.tolist()
        ([0.0, 1.0, 2.0], [2.0, 3.0, 3.5])
        >>> window_grid(0.8, 2.0, 1.0)[1].tolist()
        [0.8]
        >>> window_grid(1.5, 1.0, 3.0)[1].tolist()
        [1.0]
    """
    count = max(1, int(np.ceil((duration_s - window_s) / hop_s - 1e-9)) + 1)
    start_s = np.arange(count) * hop_s
    # the step over a gap may lead out of the clip
    start_s = start_s[(start_s < duration_s) | (start_s == 0)]
    return start_s, np.minimum(start_s + window_s, duration_s)


def build_timeline(
    features: ClipFeatures,
    heads: Mapping[Modality, Head],
    *,
    window_s: float,
    hop_s: float,
    clip: Mapping[str, Any],
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
    notice: str,
) -> Timeline:
    """Judges every token with its modality's head and lays windows over the clip and over each person.

    Args:
        features: what `extract_clip` found.
        heads: modality -> head, for the modalities that the model judges.
        window_s: length of a window in seconds.
        hop_s: seconds from one window's start to the next.
        clip: facts about the file, for the record.
        model: name, version, weights and licence, for the record.
        settings: options of the run, for the record.
        notice: the intended-use notice.
    """
    weights: dict[str, float] = {modality: head.skill for modality, head in heads.items()}
    faces = {
        entity: _judge(heads["face"], list(tokens.x[:, None]), tokens.start_s, tokens.end_s)
        for (modality, entity), tokens in features.tokens.items()
        if modality == "face" and entity is not None and "face" in heads
    }
    talk = {m: _judge_segments(features, m, heads[m]) for m in ("speech", "text") if m in heads}

    clip_evidence: dict[str, Evidence] = {m: evidence for m, (evidence, _) in talk.items()}
    if faces:
        clip_evidence["face"] = _merge(list(faces.values()))
    duration_s = features.duration_s
    grid = window_grid(duration_s, window_s, hop_s)
    whole = np.array([0.0]), np.array([duration_s])
    windows = _windows(None, clip_evidence, weights, *grid, keep_empty=True)
    summary = _windows(None, clip_evidence, weights, *whole, keep_empty=True)
    for person in features.persons:
        own = _of_person(person.id, features.segments, talk)
        if person.id in faces:
            own["face"] = faces[person.id]
        windows += _windows(person.id, own, weights, *grid)
        summary += _windows(person.id, own, weights, *whole)

    return Timeline(
        clip=clip,
        model=model,
        settings=settings,
        labels=EKMAN7.labels,
        presence=tuple(_judged(row, heads) for row in features.presence),
        persons=features.persons,
        segments=_judge_lines(features.segments, clip_evidence, weights),
        shots_s=features.shots_s,
        windows=tuple(windows),
        summary=tuple(summary),
        warnings=features.warnings,
        notice=notice,
        traces=tuple(_trace(signal) for signal in features.signals),
    )


def _judge(head: Head, sequences: Sequence[np.ndarray], start_s: np.ndarray, end_s: np.ndarray) -> Evidence:
    said = head(sequences)
    return Evidence(start_s, end_s, said.log_prob, said.members)


def _judge_segments(features: ClipFeatures, modality: Modality, head: Head) -> tuple[Evidence, np.ndarray]:
    """Evidence of one modality, one row per segment that has tokens, and the index of that segment."""
    tokens = features.tokens.get((modality, None))
    if tokens is None or not len(tokens):
        empty = np.zeros(0)
        nothing = Evidence(empty, empty, np.zeros((0, len(EKMAN7))), np.zeros((0, 1, len(EKMAN7))))
        return nothing, np.zeros(0, int)
    index, first = np.unique(features.segment_of[modality], return_index=True)
    sequences = np.split(tokens.x, first[1:])
    start_s = np.array([features.segments[i].start_s for i in index])
    end_s = np.array([features.segments[i].end_s for i in index])
    return _judge(head, sequences, start_s, end_s), index


def _merge(parts: Sequence[Evidence]) -> Evidence:
    start_s = np.concatenate([part.start_s for part in parts])
    order = np.argsort(start_s, kind="stable")
    return Evidence(
        start_s[order],
        np.concatenate([part.end_s for part in parts])[order],
        np.concatenate([part.log_prob for part in parts])[order],
        np.concatenate([part.members for part in parts])[order],
    )


def _of_person(
    person: str, segments: Sequence[Segment], talk: Mapping[str, tuple[Evidence, np.ndarray]]
) -> dict[str, Evidence]:
    speaks = np.array([segment.person == person for segment in segments], bool)
    return {name: evidence.take(speaks[index]) for name, (evidence, index) in talk.items() if len(index)}


def _windows(
    person: str | None,
    evidence: Mapping[str, Evidence],
    weights: Mapping[str, float],
    start_s: np.ndarray,
    end_s: np.ndarray,
    *,
    keep_empty: bool = False,
) -> list[Window]:
    if not keep_empty:
        # a person's windows are only those in which the person is seen or speaks
        touched = np.zeros(len(start_s), bool)
        for items in evidence.values():
            first = np.searchsorted(end_s, items.start_s, side="right")
            last = np.searchsorted(start_s, items.end_s, side="left")
            for a, b in np.unique(np.stack([first, last], 1), axis=0) if len(items) else ():
                touched[a:b] = True
        start_s, end_s = start_s[touched], end_s[touched]
    pooled = pool_windows(evidence, weights, start_s, end_s, len(EKMAN7))
    return [_window(person, pooled, i, float(start_s[i]), float(end_s[i])) for i in range(len(start_s))]


def _window(person: str | None, pooled: Pooled, i: int, start_s: float, end_s: float) -> Window:
    here = [name for name in pooled.prob if pooled.present[name][i]]
    seen = bool(here)
    return Window(
        start_s=start_s,
        end_s=end_s,
        person=person,
        prob={name: pooled.prob[name][i] for name in here},
        fused=pooled.fused[i] if seen else None,
        low=pooled.low[i] if seen else None,
        high=pooled.high[i] if seen else None,
        contribution={name: float(pooled.contribution[name][i]) for name in here},
    )


def _judge_lines(
    segments: Sequence[Segment], evidence: Mapping[str, Evidence], weights: Mapping[str, float]
) -> tuple[Segment, ...]:
    """Each line with the probabilities of its own stretch of time: its words, its voice, and the faces seen then."""
    if not segments:
        return ()
    start_s = np.array([segment.start_s for segment in segments])
    end_s = np.array([segment.end_s for segment in segments])
    pooled = pool_windows(evidence, weights, start_s, end_s, len(EKMAN7), draws=1)
    lines = []
    for i, segment in enumerate(segments):
        prob = {name: pooled.prob[name][i] for name in pooled.prob if pooled.present[name][i]}
        if prob:
            prob["fused"] = pooled.fused[i]
        lines.append(replace(segment, prob=prob))
    return tuple(lines)


def _judged(row: Presence, heads: Mapping[Modality, Head]) -> Presence:
    if row.present and row.modality not in heads:
        return replace(row, reason="shown, not judged: this model has no head for it")
    return row


def _trace(signal: Signal) -> Trace:
    """All samples, or, of a long signal, the lowest and the highest of every stretch, where they were measured: a mean
    over a third of a second would draw an ECG without its beats."""
    values, times_s = signal.values, signal.times_s
    if len(values) > TRACE_POINTS:
        edges = np.linspace(0, len(values), TRACE_POINTS // 2).astype(int)
        ends = [
            (first + int(values[first:last].argmin()), first + int(values[first:last].argmax()))
            for first, last in pairwise(edges)
        ]
        # the first and the last as well: a trace begins and ends where the signal does
        kept = np.union1d(ends, [0, len(values) - 1])
        values, times_s = values[kept], times_s[kept]
    return Trace(signal.name, signal.unit, times_s, values)
